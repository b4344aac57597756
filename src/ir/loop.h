// SPDX-License-Identifier: Apache-2.0
// Loops: how a `loop` op is read and written.
//
// The body of a loop is a graph of primitives that its graph owns. What goes into a trip and what comes out of it are
// the body's symbols and stores: ends, known by role (end.def) and number. A body is one trip, whatever the trip: it
// writes nothing but its ends. Only its draws know the trip: from one to the next their streams are `streams` further.
// An op of a body is of its own section type, but not before that of the loop.
#ifndef LEAT_IR_LOOP_H_
#define LEAT_IR_LOOP_H_

#include "ir/build.h"

typedef struct leat_loop_s {
  const leat_graph_t *body;
  int64_t trips;
  bool reverse;                      // trip trips - 1 is the first
  int64_t streams;                   // of a trip
  uint32_t carried, scanned, fixed;  // operands, in this order
  uint32_t stacked;                  // results: carried of them, then these
} leat_loop_t;

// Reads a `loop` op of `g`.
leat_loop_t leat_loop_of(const leat_graph_t *g, const leat_op_t *op);
// The value of the body's symbol, or of what its store keeps, of that role and number; LEAT_NONE: there is no such end.
leat_value_id_t leat_loop_end(const leat_graph_t *body, leat_symbol_role_t role, uint32_t number);
// How many stacks a body gives.
uint32_t leat_loop_stacked(const leat_graph_t *body);
// The trip that is made after `done` others.
static inline int64_t leat_loop_trip(const leat_loop_t *loop, int64_t done) {
  return loop->reverse ? loop->trips - 1 - done : done;
}
// The type of a stack of `entry`s.
leat_value_t leat_loop_stack_type(const leat_value_t *entry, int64_t trips);

// Writing one. Values of the loop's graph become ends of the body, which is written with `b`; leat_b_loop_finish
// appends the loop. Errors are those of `outer`, sticky as everywhere in the builder.
typedef struct leat_loop_builder_s {
  leat_builder_t b;  // of the body
  leat_builder_t *outer;
  int64_t trips;
  bool reverse;
  int64_t streams;                                      // of a trip; 0 unless set
  LEAT_ARRAY(leat_value_id_t) carried, scanned, fixed;  // operands so far
  LEAT_ARRAY(leat_value_id_t) fixed_ends, stacked;      // values of the body
} leat_loop_builder_t;

void leat_b_loop_start(leat_loop_builder_t *l, leat_builder_t *outer, int64_t trips, bool reverse);
// Each gives the value within the body: of the next carried one, which starts as `init`; of an entry of `stack`; of
// `x`, which is one end however often it is asked for.
leat_value_id_t leat_b_loop_carried(leat_loop_builder_t *l, leat_value_id_t init);
leat_value_id_t leat_b_loop_scanned(leat_loop_builder_t *l, leat_value_id_t stack);
leat_value_id_t leat_b_loop_fixed(leat_loop_builder_t *l, leat_value_id_t x);
// What the trip leaves of carried value `number`.
void leat_b_loop_next(leat_loop_builder_t *l, uint32_t number, leat_value_id_t v);
// The number of the stack that `v` goes to, which is one however often it is asked for.
uint32_t leat_b_loop_stack(leat_loop_builder_t *l, leat_value_id_t v);
// Appends the loop and releases `l`. Returns its first result, those of carried values and then the stacks,
// consecutive; LEAT_NONE after an error.
leat_value_id_t leat_b_loop_finish(leat_loop_builder_t *l);
// Releases `l`, of which nothing becomes.
void leat_b_loop_drop(leat_loop_builder_t *l);

#endif
