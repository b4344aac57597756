// SPDX-License-Identifier: Apache-2.0
// The contract between reverse mode (grad/) and the rows that bring a gradient of their own (lower/vjp_*.c).
//
// A rule is asked for the cotangents of the operands of one op, given those of its results, and writes them with
// the builder into the same graph. It may read operands and results. What it leaves at LEAT_NONE is zero. A cotangent
// may still have the broadcast shape of the op: reverse mode sums it to the operand's shape.
#ifndef LEAT_IR_VJP_H_
#define LEAT_IR_VJP_H_

#include "ir/build.h"

enum { LEAT_VJP_RESULT_MAX = 3 };

typedef struct leat_vjp_s {
  leat_builder_t *b;         // appends to the graph that holds `op`
  leat_op_t op;              // a copy: the graph's arrays move while a rule writes
  const leat_value_id_t *x;  // operands; LEAT_NONE: absent
  uint32_t x_count;
  const leat_value_id_t *y;   // results
  const leat_value_id_t *dy;  // cotangents of the results; LEAT_NONE: zero; one at least is not
  const bool *wants;          // per operand: is its cotangent asked for?
  leat_value_id_t *dx;        // out: cotangents of the operands, LEAT_NONE on entry
} leat_vjp_t;

typedef void (*leat_vjp_rule_t)(leat_vjp_t *v);

// One entry a traced op, NULL where the row has no gradient of its own (its lowering is differentiated instead).
typedef struct leat_vjp_table_s {
  leat_vjp_rule_t rule[LEAT_OP_KIND_COUNT - LEAT_TRACED_FIRST];
} leat_vjp_table_t;

static inline int64_t leat_vjp_int(const leat_vjp_t *v, leat_attr_key_t key, int64_t otherwise) {
  return leat_op_int(v->b->graph, &v->op, key, otherwise);
}
static inline double leat_vjp_float(const leat_vjp_t *v, leat_attr_key_t key, double otherwise) {
  return leat_op_float(v->b->graph, &v->op, key, otherwise);
}
static inline int leat_vjp_word(const leat_vjp_t *v, leat_attr_key_t key, int otherwise) {
  return leat_op_word(v->b->graph, &v->op, key, otherwise);
}
// The gradients of y = x0 / x1.
static inline void leat_vjp_quotient(leat_vjp_t *v) {
  leat_builder_t *b = v->b;
  if (v->wants[0]) v->dx[0] = leat_b_div(b, v->dy[0], v->x[1]);
  if (v->wants[1]) v->dx[1] = leat_b_mul(b, v->dy[0], leat_b_map1(b, LEAT_SCALAR_NEG, leat_b_div(b, v->y[0], v->x[1])));
}
static inline const int64_t *leat_vjp_list(const leat_vjp_t *v, leat_attr_key_t key, uint32_t *out_count) {
  return leat_op_list(v->b->graph, &v->op, key, out_count);
}

#endif
