// SPDX-License-Identifier: Apache-2.0
// Where the symbols of units lie in the program: which of its symbols each is, or which memory between units.
#ifndef LEAT_UNIT_PLACE_H_
#define LEAT_UNIT_PLACE_H_

#include "unit/unit.h"

typedef struct leat_unit_place_s {
  bool symbol;     // of the program, else memory between units
  uint32_t index;  // into leat_unit_places_t.symbols, or below leat_unit_places_t.value_count
} leat_unit_place_t;

typedef struct leat_unit_places_s {
  const leat_units_t *units;
  leat_graph_t *table;                   // the program's symbols and what belongs to them: a graph without ops
  LEAT_ARRAY(leat_symbol_id_t) symbols;  // of the table, in the order in which the program has them
  LEAT_ARRAY(uint32_t) index_of;         // per symbol of the table: its place in `symbols` + 1; 0: not there
  uint32_t *given_first;                 // per unit: its first cotangent, counted over all units
  uint32_t given_count;
  uint32_t value_count;  // memory between units: values of the program, cotangents, clip factors
} leat_unit_places_t;

// The program has its inputs, parameters, buffers and outputs from the start, in its order. `units` must outlive it.
leat_status_t leat_unit_places_init(leat_unit_places_t *places, const leat_units_t *units) LEAT_MUST_USE;
void leat_unit_places_deinit(leat_unit_places_t *places);
// Where symbol `symbol` of `g` lies: the graph of unit `unit` (LEAT_NONE: that of the counters), or what passes made of
// it, or of a unit equal to it. A symbol that the program does not have yet is its last one then.
leat_status_t leat_unit_place(leat_unit_places_t *places, uint32_t unit, const leat_graph_t *g, leat_symbol_id_t symbol,
                              leat_unit_place_t *out_place) LEAT_MUST_USE;
// Whose gradient, state or seed symbol `index` of the program is: a symbol of the program; LEAT_NONE: nobody's.
uint32_t leat_unit_place_owner(const leat_unit_places_t *places, uint32_t index);

// The graph that counts a draw and the steps of optimizers, of those counters that the program has; NULL: of none.
leat_status_t leat_unit_counter_graph(const leat_unit_places_t *places, leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
