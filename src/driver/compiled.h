// SPDX-License-Identifier: Apache-2.0
// A part of a program that was compiled apart: a small PEF in memory, for the linker.
#ifndef LEAT_DRIVER_COMPILED_H_
#define LEAT_DRIVER_COMPILED_H_

#include "leat/compile.h"
#include "link/link.h"
#include "map/map.h"
#include "map/name.h"
#include "pef/pef_read.h"

typedef struct leat_compiled_s {
  uint32_t unit;          // the first that is it
  leat_graph_t *settled;  // set by the caller
  leat_pef_t *pef;
  leat_names_t call_names;           // of its sections -> their `ends`
  LEAT_ARRAY(leat_map_ends_t) ends;  // borrowed from `settled`
  leat_arena_t names;
} leat_compiled_t;

// Cuts and maps `settled`. `why_first`: why its first section of a type begins.
leat_status_t leat_compiled_map(leat_compiled_t *c, const leat_compile_options_t *options,
                                const leat_map_options_t *map_options, const char *why_first) LEAT_MUST_USE;
// What was written, as a file in memory; `name` is that of messages.
leat_status_t leat_compiled_open(leat_pef_writer_t *writer, const char *name, leat_pef_t **out_pef) LEAT_MUST_USE;
// Links `program` and says in the file for what it was compiled.
leat_status_t leat_compiled_link(const leat_link_program_t *program, const leat_map_options_t *options,
                                 leat_pef_writer_t *writer) LEAT_MUST_USE;
void leat_compiled_deinit(leat_compiled_t *c);

#endif
