// SPDX-License-Identifier: Apache-2.0
// What keeps each value while others read it, and which stores need no copy.
//
// A value that only one MAP stage touches stays in its strip program; a stored value is written straight to its symbol
// where that is safe; all else goes to memory, where place.h finds it a home.
#ifndef LEAT_MAP_KEEP_H_
#define LEAT_MAP_KEEP_H_

#include "map/stages.h"
#include "map/symbols.h"
#include "space/uses.h"

typedef enum leat_keep_kind_e {
  LEAT_KEEP_NONE,      // not computed (views, splats, iotas), or a constant that nobody reads
  LEAT_KEEP_STRIP,     // within the program of one MAP stage
  LEAT_KEEP_SYMBOL,    // the symbol's own storage
  LEAT_KEEP_CONSTANT,  // bytes of the file
  LEAT_KEEP_MEMORY,
} leat_keep_kind_t;

typedef struct leat_keep_s {
  uint8_t kind;
  uint32_t symbol;  // KEEP_SYMBOL: which
} leat_keep_t;

typedef struct leat_keeps_s {
  leat_keep_t *of;  // per value
  bool *direct;     // per op: a store that needs no copy
} leat_keeps_t;

leat_status_t leat_keeps_choose(const leat_graph_t *g, const leat_arch_t *arch, const leat_plan_t *plan,
                                const leat_uses_t *uses, const leat_map_symbols_t *symbols, const leat_stages_t *stages,
                                leat_keeps_t *out_keeps) LEAT_MUST_USE;
void leat_keeps_deinit(leat_keeps_t *keeps);

#endif
