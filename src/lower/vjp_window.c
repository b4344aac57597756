// SPDX-License-Identifier: Apache-2.0
// Gradients of pooling.
#include "lower/row.h"

static leat_window_t window_of(const leat_vjp_t *v) {
  leat_value_t x = *leat_b_value(v->b, v->x[0]), y = *leat_b_value(v->b, v->y[0]);
  return leat_row_pool_window(v->b->graph, &v->op, &x, &y);
}

VJP(MAX_POOL) {
  leat_window_t w = window_of(v);
  v->dx[0] = leat_b_pool_grad(v->b, LEAT_FOLD_MAX, v->x[0], v->dy[0], &w);
}

VJP(AVG_POOL) {
  leat_window_t w = window_of(v);
  leat_value_t x = *leat_b_value(v->b, v->x[0]);
  leat_value_id_t scale = leat_row_pool_scale(v->b, v->b->graph, &v->op, &x, &w);
  v->dx[0] = leat_b_pool_grad(v->b, LEAT_FOLD_SUM, v->x[0], leat_b_mul(v->b, v->dy[0], scale), &w);
}
