// SPDX-License-Identifier: Apache-2.0
// Concatenations that copy nothing: what they join is made in their memory. A part is such where it lies in one long
// piece, so that whoever makes or reads it, by axes that are merged or not, only begins further on; and where no
// section that makes it reads the concatenation, too: such a section would read what other tiles of it write.
#ifndef LEAT_MAP_CONCAT_H_
#define LEAT_MAP_CONCAT_H_

#include "map/keep.h"
#include "space/access.h"

// Where a part lies: element e of it, row-major, is element at + e of the whole.
typedef struct leat_part_s {
  leat_value_id_t whole;  // LEAT_NONE: the value is no part
  int64_t at;
} leat_part_t;

typedef struct leat_concats_s {
  leat_part_t *of;  // per value
  bool *is_whole;   // per value: it has parts
} leat_concats_t;

leat_status_t leat_concats_choose(const leat_graph_t *g, const leat_plan_t *plan, const leat_uses_t *uses,
                                  const leat_map_symbols_t *symbols, const leat_keeps_t *keeps,
                                  leat_concats_t *out_concats) LEAT_MUST_USE;
void leat_concats_deinit(leat_concats_t *concats);

static inline bool leat_concats_is_part(const leat_concats_t *concats, leat_value_id_t v) {
  return concats->of[v].whole != LEAT_NONE;
}
// The access to what a value lies in, from that to a row-major one.
leat_access_t leat_concats_access(const leat_concats_t *concats, const leat_access_t *access);

#endif
