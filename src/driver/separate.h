// SPDX-License-Identifier: Apache-2.0
// Separate compilation: a grouped program unit by unit (unit/unit.h), equal units once, linked into one file. That is
// how o0 and o1 compile, and o3 where the program marks groups or blocks are repeated (--compiler-mode nlp).
#ifndef LEAT_DRIVER_SEPARATE_H_
#define LEAT_DRIVER_SEPARATE_H_

#include "leat/compile.h"
#include "link/link.h"
#include "map/map.h"
#include "unit/unit.h"

// Compiles `grouped` into `writer`; metadata and file are left to the caller. With options->separate_bodies every
// unit is compiled and stored by itself.
leat_status_t leat_compile_separately(const leat_graph_t *grouped, const leat_compile_options_t *options,
                                      const leat_map_options_t *map_options, leat_pef_writer_t *writer) LEAT_MUST_USE;

// separate_name.c: what the symbols of units are in the program.
typedef struct leat_unit_names_s {
  const leat_units_t *units;
  leat_pef_writer_t *writer;
  LEAT_ARRAY(pef_symbol_t) symbols;  // of the program, in the order of the writer
  leat_names_t index;
  leat_arena_t arena;     // their names
  uint32_t *given_first;  // per unit: its first cotangent, counted over all units
  uint32_t given_count;
  uint64_t *value_bytes;  // memory between units: values of the program, cotangents, clip factors
  uint32_t value_count;
} leat_unit_names_t;

leat_status_t leat_unit_names_init(leat_unit_names_t *names, const leat_units_t *units,
                                   leat_pef_writer_t *writer) LEAT_MUST_USE;
void leat_unit_names_deinit(leat_unit_names_t *names);
// What symbol `symbol` of the PEF that unit `unit` (LEAT_NONE: the counters) was compiled to stands for.
leat_status_t leat_unit_name_target(leat_unit_names_t *names, uint32_t unit, const leat_pef_t *pef, uint32_t symbol,
                                    leat_link_target_t *out_target) LEAT_MUST_USE;
void leat_unit_names_link_owners(leat_unit_names_t *names);

#endif
