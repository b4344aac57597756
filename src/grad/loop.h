// SPDX-License-Identifier: Apache-2.0
// Inside grad/: gradients of loops.
//
// The gradient of a loop is a loop the other way. Its body is the reverse mode of the forward body; what that reads of
// a forward trip is computed again where that is cheap, and else read from stacks that the forward loop leaves for it
// (loop_keep.c). The cotangents of carried values are carried, those of scanned values stacked. The cotangent of what
// every trip reads is a sum over trips: of products and of sums it is one product or sum over all trips, of operands
// that are stacked; of anything else it is carried from trip to trip.
#ifndef LEAT_GRAD_LOOP_H_
#define LEAT_GRAD_LOOP_H_

#include "grad/reverse.h"
#include "ir/loop.h"

// One trip with its reverse mode: a graph whose first ops are those of the body, under their ids.
typedef struct leat_trip_s {
  leat_loop_t loop;
  leat_graph_t *graph;
  leat_reverse_t r;
  leat_arena_t arena;
  leat_value_id_t *carried, *next, *scanned, *fixed, *stacked;  // values of the ends, by number
  leat_value_id_t *seed_next,
      *seed_stacked;  // where cotangents come in: symbols; LEAT_NONE: it is zero or not asked for
} leat_trip_t;

// wants: which operands' cotangents are asked for; dy: cotangents of the results, LEAT_NONE where zero, NULL: all may
// have one. Deinit also after a failure.
leat_status_t leat_trip_make(leat_trip_t *t, const leat_graph_t *g, const leat_op_t *op, const bool *wants,
                             const leat_value_id_t *dy) LEAT_MUST_USE;
void leat_trip_deinit(leat_trip_t *t);
// Is `v` of the trip forward's?
static inline bool leat_trip_is_forward(const leat_trip_t *t, leat_value_id_t v) {
  return leat_graph_value(t->graph, v)->op < t->r.op_count;
}
// The number of the forward stack that `v` goes to; LEAT_NONE: none.
uint32_t leat_trip_stack_of(const leat_trip_t *t, leat_value_id_t v);
// Does `v` lie in a stack outside of the reverse loop: an entry that the forward trip read, left, or whose cotangent
// comes in?
bool leat_trip_is_stacked(const leat_trip_t *t, leat_value_id_t v);

// How the sum over all trips of a cotangent is made.
typedef enum leat_trip_sum_e {
  LEAT_SUM_BY_TRIP,    // carried from trip to trip
  LEAT_SUM_PRODUCT,    // a contraction: one with the trips among what is summed
  LEAT_SUM_REDUCTION,  // a sum: likewise
  LEAT_SUM_MOVED,      // elements moved, each to one place or to many: of the sum of operand 0
  LEAT_SUM_BOTH        // x + y
} leat_trip_sum_t;
leat_trip_sum_t leat_trip_sum(const leat_trip_t *t, leat_value_id_t v);
// Calls `leaf` for each value of the trip that the sum of `v` is made of: those that have to be stacked, or carried.
typedef void (*leat_trip_leaf_t)(void *user, leat_value_id_t v, bool by_trip);
void leat_trip_leaves(const leat_trip_t *t, leat_value_id_t v, leat_trip_leaf_t leaf, void *user);

// Sets needed[v] of what the reverse loop computes or reads from outside, given the values that it starts from: nothing
// is needed for a value of forward with kept[v], for scanned and for fixed ends.
void leat_trip_mark(const leat_trip_t *t, const bool *kept, bool *needed);
// Sets roots[v] of the values that cotangents of operands with wants[] are made of: those that the loop computes.
void leat_trip_roots(const leat_trip_t *t, const bool *wants, bool *roots);

// Rebuilds a lowered graph in which loops that are differentiated leave the stacks that their gradients read, behind
// their other results. *out_graph is NULL if no loop is.
leat_status_t leat_loop_keep(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
