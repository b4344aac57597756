// SPDX-License-Identifier: Apache-2.0
// Gradients of reductions and scans.
#include "grad/rules.h"

static leat_fold_t fold_of(const leat_vjp_t *v) { return leat_vjp_word(v, LEAT_ATTR_FN, LEAT_FOLD_SUM); }

// Of max and min, elements that equal the result share; arg* yield integers and are never asked.
PRIM_VJP(REDUCE) {
  leat_builder_t *b = v->b;
  leat_value_t x = *leat_b_value(b, v->x[0]);
  const leat_fold_t fold = fold_of(v);
  if (fold == LEAT_FOLD_SUM) {
    v->dx[0] = leat_b_broadcast_to(b, v->dy[0], x.rank, x.dims);
  } else if (fold == LEAT_FOLD_PROD) {
    v->dx[0] = leat_b_div(b, leat_b_mul(b, v->dy[0], v->y[0]), v->x[0]);
  } else if (fold == LEAT_FOLD_MAX || fold == LEAT_FOLD_MIN) {
    uint32_t count, dims = 0;
    const int64_t *list = leat_vjp_list(v, LEAT_ATTR_DIMS, &count);
    for (uint32_t i = 0; i < count; i++) dims |= 1u << list[i];
    leat_value_id_t wins = leat_b_fn2(b, EQ, v->x[0], v->y[0]);
    leat_value_id_t ties = leat_b_sum(b, leat_b_cast(b, wins, (leat_dtype_t)x.dtype), dims);
    v->dx[0] = leat_b_select_or(b, wins, leat_b_div(b, v->dy[0], ties), 0.0);
  }
}

// max, min: the last element so far that equals the running result gets the gradient of each result it gives.
static void extreme_scan(leat_vjp_t *v, uint32_t dim, bool reverse) {
  leat_builder_t *b = v->b;
  leat_value_id_t at = leat_b_index_along(b, v->x[0], dim);
  double never = reverse ? (double)leat_b_extent(b, v->x[0], 1u << dim) : -1.0;
  leat_value_id_t winners = leat_b_select_or(b, leat_b_fn2(b, EQ, v->x[0], v->y[0]), at, never);
  leat_value_id_t index = leat_b_scan(b, reverse ? LEAT_FOLD_MIN : LEAT_FOLD_MAX, winners, dim, reverse);
  v->dx[0] = leat_b_put_along(b, v->x[0], index, v->dy[0], dim);
}

PRIM_VJP(SCAN) {
  leat_builder_t *b = v->b;
  uint32_t dim = (uint32_t)leat_vjp_int(v, LEAT_ATTR_DIM, 0);
  bool reverse = leat_vjp_int(v, LEAT_ATTR_REVERSE, 0) != 0;
  const leat_fold_t fold = fold_of(v);
  if (fold == LEAT_FOLD_SUM)
    v->dx[0] = leat_b_scan(b, LEAT_FOLD_SUM, v->dy[0], dim, !reverse);
  else if (fold == LEAT_FOLD_PROD)
    v->dx[0] = leat_b_div(b, leat_b_scan(b, LEAT_FOLD_SUM, leat_b_mul(b, v->dy[0], v->y[0]), dim, !reverse), v->x[0]);
  else
    extreme_scan(v, dim, reverse);
}
