// SPDX-License-Identifier: Apache-2.0
// Ops whose results have no elements: there is nothing to compute, whatever the op. Reverse mode has to see what the
// results hang on, since a symbol that reaches a loss through them has a gradient of zeros, not none.
#include "lower/row.h"

bool leat_lower_is_empty(const leat_graph_t *g, const leat_op_t *op) {
  bool empty = op->result_count > 0 && leat_op_role(op->kind) != LEAT_ROLE_SYMBOL;
  for (uint32_t i = 0; i < op->result_count; i++)
    empty = empty && leat_value_elements(leat_graph_value(g, op->result_first + i)) == 0;
  return empty;
}

// No element of x.
static leat_value_id_t none_of(leat_builder_t *b, leat_value_id_t x, leat_dtype_t dtype) {
  const int64_t elements = leat_value_elements(leat_b_value(b, x));
  x = leat_b_reshape(b, x, 1, &elements);
  return leat_b_cast(b, leat_b_slice_dim(b, x, 0, 0, 0, 1), dtype);
}

static bool carries_gradient(const leat_builder_t *b, leat_value_id_t v) {
  return v != LEAT_NONE && leat_dtype_is_float((leat_dtype_t)leat_b_value(b, v)->dtype);
}

static leat_value_id_t result_of(leat_lower_t *c, uint32_t result, bool for_grad) {
  const leat_value_t *as = leat_lower_declared(c, result);
  const leat_dtype_t dtype = (leat_dtype_t)as->dtype;
  leat_value_id_t joined = LEAT_NONE;
  for (uint32_t i = 0; i < c->in_count && for_grad && leat_dtype_is_float(dtype); i++) {
    if (!carries_gradient(c->b, c->in[i])) continue;
    leat_value_id_t none = none_of(c->b, c->in[i], dtype);
    joined = joined == LEAT_NONE ? none : leat_b_add(c->b, joined, none);
  }
  if (joined == LEAT_NONE) return leat_b_splat(c->b, dtype, as->rank, as->dims, 0.0);
  return leat_b_reshape(c->b, joined, as->rank, as->dims);
}

leat_value_id_t leat_lower_empty(leat_lower_t *c, bool for_grad) {
  for (uint32_t i = 0; i < c->op->result_count; i++) c->out[i] = result_of(c, i, for_grad);
  return c->out[0];
}
