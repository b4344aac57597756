// SPDX-License-Identifier: Apache-2.0
// Units: a grouped program taken apart into pieces that are compiled alone, so that equal ones are compiled once.
//
// Each group is a unit: a small traced program of its own whose forward, backward and updates belong together. Its
// ends, what it reads and gives away, are symbols with a role and a number (ir/end.def), so that two units are equal
// if their graphs are (origins aside); place.h says what the ends are in the program:
//
//   UNIT_IN          a value that another unit computes; its gradient: the cotangent that is given back
//   UNIT_SYMBOL      a symbol of the program, with its gradient and the states of its optimizer
//   UNIT_OUT         a result that other units read
//   UNIT_SEED        the same result as an output, whose seed is its cotangent
//   UNIT_SEED_IN, UNIT_SEED_SYMBOL   what is read as an output, whose seed is what units that come later gave for the
//                    same value: this one adds its own
//   UNIT_GRADIENT, UNIT_NORM, UNIT_CLIP   gradients that a norm is made of, the factor that follows where it is
//                    computed, and where it is used (of the optimizer of that number)
//
// Program outputs, hyperparameters and the random state keep their names; random streams count from zero in each unit.
// Where several units read a value, its cotangent goes from the last of them to the first, each adding its own. Further
// units, without a group: one for outputs that nobody computes, one for updates of buffers, one a gradient norm.
#ifndef LEAT_UNIT_UNIT_H_
#define LEAT_UNIT_UNIT_H_

#include "ir/graph.h"

// A cotangent that a unit gives: the gradient of one of its ins or symbols.
typedef struct leat_unit_given_s {
  uint32_t unit;  // LEAT_NONE: there is none
  uint32_t port;
  bool symbol;  // of `symbols`, else of `ins`
} leat_unit_given_t;

// What an in or symbol stands for: a value of the traced program.
typedef struct leat_unit_port_s {
  leat_value_id_t value;
  bool gives;                // its cotangent is given back
  bool partial;              // of a symbol: a unit that runs later in backward gives the whole
  leat_unit_given_t before;  // what later readers of the value gave: the unit adds its own to it
} leat_unit_port_t;

// What others read of a unit.
typedef struct leat_unit_out_s {
  leat_value_id_t value;
  leat_unit_given_t seed;  // its cotangent
} leat_unit_out_t;

typedef enum leat_unit_role_e {
  LEAT_UNIT_GROUP,
  LEAT_UNIT_REST,  // outputs that are symbols or constants
  LEAT_UNIT_NORM,  // of one optimizer
  LEAT_UNIT_LATE,  // runs when everything else has: updates, counters
} leat_unit_role_t;

typedef struct leat_unit_s {
  leat_unit_role_t role;
  uint32_t group;
  uint32_t op_first, op_count;  // into leat_units_t.order
  int64_t stream;               // the smallest of its ops' random streams: its graph counts from there
  LEAT_ARRAY(leat_unit_port_t) ins;
  LEAT_ARRAY(leat_unit_port_t) symbols;
  LEAT_ARRAY(leat_unit_out_t) outs;
  LEAT_ARRAY(leat_op_id_t) statements;  // outputs of the program and updates that happen here
  LEAT_ARRAY(uint32_t) optimizers;      // statements that update symbols of this unit, by number
} leat_unit_t;

typedef struct leat_units_s {
  const leat_graph_t *g;
  LEAT_ARRAY(leat_unit_t) all;          // in the order of forward
  leat_op_id_t *order;                  // computing ops, unit by unit
  uint32_t *unit_of;                    // per op; LEAT_NONE: leaves, dead ops
  LEAT_ARRAY(leat_op_id_t) optimizers;  // statements
  uint32_t *kept_by;                    // per value: internal store of the program + 1; 0: none
} leat_units_t;

// Is the program compiled in units? It has groups, and forward writes to no parameter that an optimizer updates: the
// update starts from what was written, and no unit would hold both.
bool leat_units_suit(const leat_graph_t *g);
// needs: a verified traced graph after leat_group in which every computing op has a group; `trains`: its gradients
// are wanted. `g` must outlive the units.
leat_status_t leat_units_make(const leat_graph_t *g, bool trains, leat_units_t *out_units) LEAT_MUST_USE;
void leat_units_deinit(leat_units_t *units);

// The graph of one unit. `dropout_rate`: the default that all dropouts of the program share (row.h); `map`: room for
// every value of the program, all LEAT_NONE, and so again afterwards. Its heuristic, if its group has one, is the entry
// of group 0.
leat_status_t leat_unit_graph(const leat_units_t *units, uint32_t unit, double dropout_rate, leat_value_id_t *map,
                              leat_graph_t **out_graph) LEAT_MUST_USE;

// Once gradients are written and everything is lowered: takes out the stores that only carried seeds and those of
// the shared counters, and makes what other units read internal instead of outputs.
leat_status_t leat_unit_trim(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
