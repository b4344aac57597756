// SPDX-License-Identifier: Apache-2.0
// Gradients of the primitives that move elements: the movement backwards.
#include "grad/rules.h"

#define LEAF(row) \
  PRIM_VJP(row) { (void)v; }
LEAF(SYMBOL)
LEAF(STORE)
LEAF(CONSTANT)
LEAF(IOTA)
LEAF(RANDOM)
LEAF(SEARCH)  // counts

PRIM_VJP(RESHAPE) { v->dx[0] = leat_b_reshape_like(v->b, v->dy[0], v->x[0]); }

PRIM_VJP(TRANSPOSE) {
  uint32_t rank;
  int64_t inverse[LEAT_RANK_MAX];
  const int64_t *perm = leat_vjp_list(v, LEAT_ATTR_DIMS, &rank);
  for (uint32_t d = 0; d < rank; d++) inverse[perm[d]] = d;
  v->dx[0] = leat_b_transpose(v->b, v->dy[0], inverse);
}

PRIM_VJP(SLICE) {
  leat_value_t x = *leat_b_value(v->b, v->x[0]), y = *leat_b_value(v->b, v->y[0]);
  uint32_t rank, steps;
  const int64_t *start = leat_vjp_list(v, LEAT_ATTR_START, &rank), *step = leat_vjp_list(v, LEAT_ATTR_STEP, &steps);
  int64_t high[LEAT_RANK_MAX], interior[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < rank; d++) {
    if (y.dims[d] == 0) return;  // nothing was read: zeros, which reverse mode gives
    interior[d] = d < steps ? step[d] - 1 : 0;
    high[d] = x.dims[d] - start[d] - ((y.dims[d] - 1) * (interior[d] + 1) + 1);
  }
  v->dx[0] = leat_b_pad(v->b, v->dy[0], start, high, interior, 0.0);
}

PRIM_VJP(CONCAT) {
  uint32_t dim = (uint32_t)leat_vjp_int(v, LEAT_ATTR_DIM, 0);
  int64_t start = 0;
  for (uint32_t i = 0; i < v->x_count; i++) {
    int64_t extent = leat_b_value(v->b, v->x[i])->dims[dim];
    if (v->wants[i]) v->dx[i] = leat_b_slice_dim(v->b, v->dy[0], dim, start, start + extent, 1);
    start += extent;
  }
}

// Padding negated takes padding off and puts cropped elements back as zeros; then the interior is skipped.
PRIM_VJP(PAD) {
  leat_builder_t *b = v->b;
  uint32_t rank, count;
  const int64_t *low = leat_vjp_list(v, LEAT_ATTR_LOW, &rank), *high = leat_vjp_list(v, LEAT_ATTR_HIGH, &count);
  const int64_t *interior = leat_vjp_list(v, LEAT_ATTR_INTERIOR, &count);
  int64_t minus_low[LEAT_RANK_MAX], minus_high[LEAT_RANK_MAX], start[LEAT_RANK_MAX] = {0}, step[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < rank; d++) {
    minus_low[d] = -low[d];
    minus_high[d] = -high[d];
    step[d] = d < count ? interior[d] + 1 : 1;
  }
  leat_value_id_t inner = leat_b_pad(b, v->dy[0], minus_low, minus_high, NULL, 0.0);
  leat_value_t stop = *leat_b_value(b, inner);
  v->dx[0] = leat_b_slice(b, inner, start, stop.dims, step);
}

PRIM_VJP(BROADCAST) { v->dx[0] = v->dy[0]; }  // reverse mode sums it to the operand's shape

PRIM_VJP(FLIP) {
  uint32_t count, mask = 0;
  const int64_t *dims = leat_vjp_list(v, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; i++) mask |= 1u << dims[i];
  v->dx[0] = leat_b_flip(v->b, v->dy[0], mask);
}

// Windows of dy[.., windows, k, ..] lie side by side, with zeros between them and behind the last; one is where it is,
// however large the step.
static leat_value_id_t fold_apart(leat_builder_t *b, const leat_value_t *x, leat_value_id_t dy, uint32_t dim,
                                  int64_t step) {
  leat_value_t y = *leat_b_value(b, dy);
  int64_t low[LEAT_RANK_MAX] = {0}, high[LEAT_RANK_MAX] = {0}, interior[LEAT_RANK_MAX] = {0};
  if (y.dims[dim] < 2) step = y.dims[dim + 1];
  high[dim + 1] = step - y.dims[dim + 1];
  dy = leat_b_pad(b, dy, low, high, interior, 0.0);
  y.dims[dim] *= step;
  for (uint32_t d = dim + 1; d + 1 < y.rank; d++) y.dims[d] = y.dims[d + 1];
  dy = leat_b_reshape(b, dy, x->rank, y.dims);
  if (y.dims[dim] >= x->dims[dim]) return leat_b_slice_dim(b, dy, dim, 0, x->dims[dim], 1);
  high[dim + 1] = 0;
  high[dim] = x->dims[dim] - y.dims[dim];
  return leat_b_pad(b, dy, low, high, interior, 0.0);
}

// Windows may share elements: each is added where it was read, the first window first.
PRIM_VJP(UNFOLD) {
  leat_builder_t *b = v->b;
  const leat_value_t x = *leat_b_value(b, v->x[0]), y = *leat_b_value(b, v->y[0]);
  const uint32_t dim = (uint32_t)leat_vjp_int(v, LEAT_ATTR_DIM, 0);
  uint32_t count;
  const int64_t *step = leat_vjp_list(v, LEAT_ATTR_STEP, &count), k = y.dims[x.rank];
  leat_value_id_t dy = leat_b_move_dim(b, v->dy[0], x.rank, dim + 1);
  if (k <= step[0]) {
    v->dx[0] = fold_apart(b, &x, dy, dim, step[0]);
    return;
  }
  leat_value_id_t first = leat_b_iota(b, LEAT_I64, 2, (const int64_t[]){y.dims[dim], 1}, 0);
  leat_value_id_t place = leat_b_iota(b, LEAT_I64, 2, (const int64_t[]){1, k}, 1);
  leat_value_id_t index = leat_b_add(b, leat_b_muls(b, first, (double)step[0]), place);
  v->dx[0] = leat_b_scatter(b, LEAT_FOLD_SUM, leat_b_full_like(b, v->x[0], 0.0), index, dy, dim, 0);
}

PRIM_VJP(GATHER) {
  leat_value_id_t zeros = leat_b_full_like(v->b, v->x[0], 0.0);
  v->dx[0] = leat_b_scatter(v->b, LEAT_FOLD_SUM, zeros, v->x[1], v->dy[0], (uint32_t)leat_vjp_int(v, LEAT_ATTR_DIM, 0),
                            (uint32_t)leat_vjp_int(v, LEAT_ATTR_BATCH, 0));
}

// set: what is overwritten has no gradient. mul, max and min as torch.scatter_reduce: ties share.
PRIM_VJP(SCATTER) {
  leat_builder_t *b = v->b;
  uint32_t dim = (uint32_t)leat_vjp_int(v, LEAT_ATTR_DIM, 0), batch = (uint32_t)leat_vjp_int(v, LEAT_ATTR_BATCH, 0);
  const leat_fold_t fn = leat_vjp_word(v, LEAT_ATTR_FN, LEAT_FOLD_SET);
  leat_value_id_t x = v->x[0], index = v->x[1], updates = v->x[2], y = v->y[0], dy = v->dy[0];
  if (fn == LEAT_FOLD_SET || fn == LEAT_FOLD_SUM) {
    leat_value_id_t zeros = leat_b_full_like(b, updates, 0.0);
    v->dx[0] = fn == LEAT_FOLD_SUM ? dy : leat_b_scatter(b, LEAT_FOLD_SET, dy, index, zeros, dim, batch);
    v->dx[2] = leat_b_gather(b, dy, index, dim, batch);
  } else if (fn == LEAT_FOLD_PROD) {
    leat_value_id_t product = leat_b_mul(b, dy, y);
    v->dx[0] =
        leat_b_mul(b, dy, leat_b_scatter(b, LEAT_FOLD_PROD, leat_b_full_like(b, x, 1.0), index, updates, dim, batch));
    v->dx[2] = leat_b_div(b, leat_b_gather(b, product, index, dim, batch), updates);
  } else {
    leat_value_id_t stays = leat_b_cast(b, leat_b_fn2(b, EQ, x, y), leat_b_dtype(b, x));
    leat_value_id_t wins = leat_b_fn2(b, EQ, updates, leat_b_gather(b, y, index, dim, batch));
    wins = leat_b_cast(b, wins, leat_b_dtype(b, x));
    leat_value_id_t share = leat_b_div(b, dy, leat_b_scatter(b, LEAT_FOLD_SUM, stays, index, wins, dim, batch));
    v->dx[0] = leat_b_mul(b, stays, share);
    v->dx[2] = leat_b_mul(b, wins, leat_b_gather(b, share, index, dim, batch));
  }
}

PRIM_VJP(SORT) {
  if (v->dy[0] == LEAT_NONE) return;
  v->dx[0] = leat_b_put_along(v->b, v->x[0], v->y[1], v->dy[0], (uint32_t)leat_vjp_int(v, LEAT_ATTR_DIM, 0));
}
