// SPDX-License-Identifier: Apache-2.0
// The linker: compiled units, each a small PEF of its own, become one program. A unit may take part any number of
// times, each time with other tensors behind its symbols; its bodies are stored once.
//
// Knows the file format and nothing of graphs. Order of the calls: prepare sections; forward, unit by unit; backward in
// reverse; gradient norms; updates; at last whatever late units do.
#ifndef LEAT_LINK_LINK_H_
#define LEAT_LINK_LINK_H_

#include "pef/pef_read.h"
#include "pef/pef_write.h"

typedef enum leat_link_kind_e {
  LEAT_LINK_NOWHERE,  // no call touches it
  LEAT_LINK_SYMBOL,   // a symbol of the program
  LEAT_LINK_VALUE,    // memory between units
} leat_link_kind_t;

// What a symbol of a unit is in the program.
typedef struct leat_link_target_s {
  leat_link_kind_t kind;
  uint32_t index;
} leat_link_target_t;

// One use of a compiled unit.
typedef struct leat_link_unit_s {
  const leat_pef_t *pef;
  uint32_t like;                      // the first unit with this very `pef`: this one replays it; itself
  const leat_link_target_t *targets;  // one per symbol of `pef`
  bool late;                          // its calls come after all others
  uint32_t stream;                    // where its random streams begin: added to those of its stages
} leat_link_unit_t;

typedef struct leat_link_program_s {
  const leat_link_unit_t *units;  // in the order of forward
  uint32_t unit_count;
  const pef_symbol_t *symbols;  // of the program, as they were added to the writer
  uint32_t symbol_count;
  const uint64_t *value_bytes;  // of the memory between units; zero until a call writes it
  uint32_t value_count;
  // The name of a call of unit `unit`, given the name it was compiled with; into `buffer`.
  const char *(*call_name)(void *user, uint32_t unit, const char *name, char *buffer, size_t buffer_bytes);
  void *user;
} leat_link_program_t;

// needs: a writer that holds the symbols. gives: calls, bodies and constants, and in *info what follows from them:
// arena_bytes, scratch_bytes, peak_bytes, run_flops, run_bytes.
leat_status_t leat_link(const leat_link_program_t *program, leat_pef_writer_t *writer, pef_info_t *info) LEAT_MUST_USE;

#endif
