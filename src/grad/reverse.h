// SPDX-License-Identifier: Apache-2.0
// Inside grad/: reverse mode over one graph, a program or the body of a loop.
#ifndef LEAT_GRAD_REVERSE_H_
#define LEAT_GRAD_REVERSE_H_

#include "grad/rules.h"

typedef struct leat_reverse_s {
  leat_builder_t b;  // appends to the graph that it walks
  const leat_vjp_table_t *traced;
  uint32_t op_count, value_count;  // before anything was appended
  bool *needs;                     // per value: is its cotangent asked for? Set by the caller
  leat_value_id_t *cotangents;     // per value; LEAT_NONE: zero
  // of the op at hand: operands, what is added to their cotangents, which of them need it; results and their cotangents
  leat_value_id_t *x, *dx;
  bool *wants;
  leat_value_id_t *y, *dy;
} leat_reverse_t;

// `traced` may be NULL for a graph of primitives. Deinit also after a failure.
leat_status_t leat_reverse_init(leat_reverse_t *r, leat_graph_t *g, const leat_vjp_table_t *traced) LEAT_MUST_USE;
void leat_reverse_deinit(leat_reverse_t *r);
// What is appended belongs to the backward of `op`.
void leat_reverse_at(leat_builder_t *b, const leat_op_t *op);
// Adds a contribution to the cotangent of a value: brought to its shape and dtype, and summed with what other uses
// contributed.
void leat_reverse_add(leat_reverse_t *r, leat_value_id_t value, leat_value_id_t contribution);
// All rules, from the last op to the first.
leat_status_t leat_reverse_walk(leat_reverse_t *r) LEAT_MUST_USE;

#endif
