// SPDX-License-Identifier: Apache-2.0
// Gradients of reductions, softmax and sorting.
#include <math.h>

#include "lower/row.h"

static uint32_t dims_of(const leat_vjp_t *v) {
  return leat_row_dims(v->b->graph, &v->op, leat_b_value(v->b, v->x[0])->rank);
}

// A result or its cotangent with the reduced dims put back, of extent 1; half types widened.
static leat_value_id_t with_dims(const leat_vjp_t *v, leat_value_id_t y, uint32_t dims) {
  bool kept = leat_vjp_int(v, LEAT_ATTR_KEEPDIM, 0) != 0;
  return leat_b_widen(v->b, kept ? y : leat_b_unsqueeze(v->b, y, dims));
}

// The product of all elements before (or behind, if `reverse`) each, along dim.
static leat_value_id_t product_of_others(leat_builder_t *b, leat_value_id_t x, uint32_t dim, bool reverse) {
  int64_t low[LEAT_RANK_MAX] = {0}, high[LEAT_RANK_MAX] = {0};
  low[dim] = reverse ? -1 : 1, high[dim] = -low[dim];
  return leat_b_scan(b, LEAT_FOLD_PROD, leat_b_pad(b, x, low, high, NULL, 1.0), dim, reverse);
}

// With a zero anywhere, torch multiplies what is before and behind each element; else it divides the product by it. In
// a product of everything two zeros leave nothing.
VJP(PROD) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = leat_b_widen(b, v->x[0]);
  leat_value_t shape = *leat_b_value(b, x);
  uint32_t dims = dims_of(v), dim = 0;
  leat_value_id_t dy = with_dims(v, v->dy[0], dims), y = with_dims(v, v->y[0], dims);
  leat_value_id_t is_zero = leat_b_cast(b, leat_b_fn2s(b, EQ, x, 0.0), LEAT_I64);
  leat_value_id_t zeros = leat_b_sum(b, is_zero, leat_b_all_dims(b, x)), flat = x;
  bool one_dim = dims != 0 && (dims & (dims - 1u)) == 0;
  if (one_dim)
    while (!(dims >> dim & 1u)) dim++;
  else
    flat = leat_b_reshape(b, x, 1, (const int64_t[]){leat_value_elements(&shape)});
  leat_value_id_t others = leat_b_mul(b, product_of_others(b, flat, dim, false), product_of_others(b, flat, dim, true));
  if (!one_dim || shape.rank == 1)
    others =
        leat_b_number_or(b, leat_b_fn2s(b, GT, leat_b_reshape(b, zeros, 1, (const int64_t[]){1}), 1.0), 0.0, others);
  others = leat_b_reshape(b, others, shape.rank, shape.dims);
  leat_value_id_t quotient = leat_b_div(b, leat_b_mul(b, dy, y), x);
  v->dx[0] = leat_b_select(b, leat_b_fn2s(b, EQ, zeros, 0.0), quotient, leat_b_mul(b, dy, others));
}

// Elements that equal the result share its gradient. A NaN equals nothing, and 0/0 is NaN; under mode "even" (the
// extreme of a whole tensor) those that are NaN share it.
static void share_among_winners(leat_vjp_t *v) {
  leat_builder_t *b = v->b;
  uint32_t dims = dims_of(v);
  leat_value_id_t x = leat_b_widen(b, v->x[0]), y = with_dims(v, v->y[0], dims), dy = with_dims(v, v->dy[0], dims);
  leat_value_id_t wins = leat_b_fn2(b, EQ, x, y);
  bool even = leat_vjp_word(v, LEAT_ATTR_MODE, LEAT_TIES_OF_NUMBERS) == LEAT_TIES_EVEN;
  if (even && leat_dtype_is_float(leat_b_dtype(b, x)))
    wins = leat_b_select(b, leat_b_fn1(b, ISNAN, y), leat_b_fn1(b, ISNAN, x), wins);
  leat_value_id_t share = leat_b_cast(b, wins, leat_b_dtype(b, x)), count = leat_b_sum(b, share, dims);
  v->dx[0] = even ? leat_b_mul(b, share, leat_b_div(b, dy, count)) : leat_b_div(b, leat_b_mul(b, dy, share), count);
}
VJP(AMAX) { share_among_winners(v); }
VJP(AMIN) { share_among_winners(v); }

// The element at the returned index gets all.
static void give_to_index(leat_vjp_t *v) {
  leat_builder_t *b = v->b;
  if (v->dy[0] == LEAT_NONE) return;
  if (leat_b_value(b, v->x[0])->rank == 0) {
    v->dx[0] = v->dy[0];
    return;
  }
  uint32_t dim = (uint32_t)leat_vjp_int(v, LEAT_ATTR_DIM, 0);
  leat_value_id_t here = leat_b_fn2(b, EQ, leat_b_index_along(b, v->x[0], dim), with_dims(v, v->y[1], 1u << dim));
  v->dx[0] = leat_b_select_or(b, here, with_dims(v, v->dy[0], 1u << dim), 0.0);
}
VJP(MAX) { give_to_index(v); }
VJP(MIN) { give_to_index(v); }

VJP(STD) {
  leat_builder_t *b = v->b;
  uint32_t dims = dims_of(v);
  leat_value_id_t x = leat_b_widen(b, v->x[0]), std = with_dims(v, v->y[0], dims);
  double degrees = (double)leat_b_extent(b, x, dims) - leat_vjp_float(v, LEAT_ATTR_CORRECTION, 1.0);
  leat_value_id_t row = leat_b_div(b, with_dims(v, v->dy[0], dims), leat_b_muls(b, std, fmax(degrees, 0.0)));
  row = leat_b_number_or(b, leat_b_fn2s(b, EQ, std, 0.0), 0.0, row);
  v->dx[0] = leat_b_mul(b, row, leat_b_sub(b, x, leat_b_mean(b, x, dims)));
}

// sign(x) |x|^(p-1) norm^(1-p); zero where x or the norm is zero.
static leat_value_id_t power_norm(leat_vjp_t *v, leat_value_id_t x, leat_value_id_t y, leat_value_id_t dy, double p) {
  leat_builder_t *b = v->b;
  leat_value_id_t at_zero = leat_b_fn2s(b, EQ, y, 0.0), size = leat_b_fn1(b, ABS, x);
  leat_value_id_t row = leat_b_number_or(b, at_zero, 0.0, leat_b_div(b, dy, leat_b_fn2s(b, POW, y, p - 1.0)));
  leat_value_id_t slope = leat_b_mul(b, leat_b_fn1(b, SIGN, x), leat_b_fn2s(b, POW, size, p - 1.0));
  return leat_b_mul(b, leat_b_number_or(b, leat_b_fn2s(b, EQ, x, 0.0), 0.0, slope), row);
}

VJP(NORM) {
  leat_builder_t *b = v->b;
  double p = leat_vjp_float(v, LEAT_ATTR_P, 2.0);
  uint32_t dims = dims_of(v);
  leat_value_id_t x = leat_b_widen(b, v->x[0]), y = with_dims(v, v->y[0], dims), dy = with_dims(v, v->dy[0], dims);
  if (p == 0.0) {
    return;
  } else if (p == 1.0) {
    v->dx[0] = leat_b_mul(b, leat_b_fn1(b, SIGN, x), dy);
  } else if (p == 2.0) {
    v->dx[0] = leat_b_mul(b, dy, leat_b_number_or(b, leat_b_fn2s(b, EQ, y, 0.0), 0.0, leat_b_div(b, x, y)));
  } else if (isinf(p)) {
    leat_value_id_t wins = leat_b_fn2(b, EQ, leat_b_fn1(b, ABS, x), y);
    leat_value_id_t count = leat_b_sum(b, leat_b_cast(b, wins, leat_b_dtype(b, x)), dims);
    v->dx[0] = leat_b_select_or(b, wins, leat_b_mul(b, leat_b_fn1(b, SIGN, x), leat_b_div(b, dy, count)), 0.0);
  } else {
    v->dx[0] = power_norm(v, x, y, dy, p);
  }
}

VJP(LOGSUMEXP) {
  leat_builder_t *b = v->b;
  uint32_t dims = dims_of(v);
  leat_value_id_t y = with_dims(v, v->y[0], dims);
  leat_value_id_t share = leat_b_fn1(b, EXP, leat_b_sub(b, leat_b_widen(b, v->x[0]), y));
  v->dx[0] = leat_b_mul(b, with_dims(v, v->dy[0], dims), share);
}

// Before the first zero of the row: the reversed running sum of dy*y, over x. At the first zero: the same with that
// element replaced by one. After it every product has a zero left.
VJP(CUMPROD) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = leat_b_widen(b, v->x[0]), dy = leat_b_widen(b, v->dy[0]), y = leat_b_widen(b, v->y[0]);
  if (leat_b_value(b, x)->rank == 0) {
    v->dx[0] = dy;
    return;
  }
  uint32_t dim = (uint32_t)leat_vjp_int(v, LEAT_ATTR_DIM, 0);
  leat_value_id_t is_zero = leat_b_fn2s(b, EQ, x, 0.0);
  leat_value_id_t zeros = leat_b_scan(b, LEAT_FOLD_SUM, leat_b_cast(b, is_zero, leat_b_dtype(b, x)), dim, false);
  leat_value_id_t first = leat_b_fn2(b, AND, is_zero, leat_b_fn2s(b, EQ, zeros, 1.0));
  leat_value_id_t without = leat_b_scan(b, LEAT_FOLD_PROD, leat_b_number_or(b, first, 1.0, x), dim, false);
  // Only results up to the first zero count for `before`, only those up to the second for `at`: others may be 0 times
  // inf.
  leat_value_id_t none = leat_b_fn2s(b, EQ, zeros, 0.0), one = leat_b_fn2s(b, EQ, zeros, 1.0);
  leat_value_id_t shares = leat_b_select_or(b, none, leat_b_mul(b, dy, y), 0.0);
  leat_value_id_t before =
      leat_b_div(b, leat_b_scan(b, LEAT_FOLD_SUM, shares, dim, true), leat_b_number_or(b, is_zero, 1.0, x));
  leat_value_id_t behind = leat_b_select_or(b, one, leat_b_mul(b, dy, without), 0.0);
  leat_value_id_t at = leat_b_select_or(b, first, leat_b_scan(b, LEAT_FOLD_SUM, behind, dim, true), 0.0);
  v->dx[0] = leat_b_select(b, none, before, at);
}

static uint32_t row_dim(const leat_vjp_t *v) {
  return leat_b_value(v->b, v->x[0])->rank == 0 ? 0u : 1u << leat_vjp_int(v, LEAT_ATTR_DIM, 0);
}

VJP(SOFTMAX) {
  leat_builder_t *b = v->b;
  leat_value_id_t y = leat_b_widen(b, v->y[0]), dy = leat_b_widen(b, v->dy[0]);
  leat_value_id_t sum = leat_b_sum(b, leat_b_mul(b, dy, y), row_dim(v));
  v->dx[0] = leat_b_mul(b, y, leat_b_sub(b, dy, sum));
}

VJP(LOG_SOFTMAX) {
  leat_builder_t *b = v->b;
  leat_value_id_t dy = leat_b_widen(b, v->dy[0]);
  leat_value_id_t softmax = leat_b_fn1(b, EXP, leat_b_widen(b, v->y[0]));
  v->dx[0] = leat_b_sub(b, dy, leat_b_mul(b, softmax, leat_b_sum(b, dy, row_dim(v))));
}

// Each value goes back to where it came from.
static void put_back(leat_vjp_t *v) {
  if (v->dy[0] == LEAT_NONE) return;
  if (leat_b_value(v->b, v->x[0])->rank == 0)
    v->dx[0] = v->dy[0];
  else
    v->dx[0] = leat_b_put_along(v->b, v->x[0], v->y[1], v->dy[0], (uint32_t)leat_vjp_int(v, LEAT_ATTR_DIM, 0));
}
VJP(SORT) { put_back(v); }
VJP(TOPK) { put_back(v); }
