// SPDX-License-Identifier: Apache-2.0
// Reductions, scans and softmax.
#include <math.h>

#include "lower/row.h"

static uint32_t dims_of(const leat_lower_t *c) {
  return leat_row_dims(c->from, c->op, leat_b_value(c->b, c->in[0])->rank);
}
static bool keeps(const leat_lower_t *c) { return leat_lower_int(c, LEAT_ATTR_KEEPDIM, 0) != 0; }

static leat_value_id_t reduce(leat_lower_t *c, leat_fold_t fn, leat_value_id_t x) {
  return leat_b_reduce(c->b, fn, x, dims_of(c), keeps(c));
}

LOWER(SUM) { return reduce(c, LEAT_FOLD_SUM, leat_b_cast(c->b, c->in[0], leat_lower_dtype(c, 0))); }
LOWER(PROD) { return reduce(c, LEAT_FOLD_PROD, leat_b_cast(c->b, c->in[0], leat_lower_dtype(c, 0))); }
LOWER(AMAX) { return reduce(c, LEAT_FOLD_MAX, c->in[0]); }
LOWER(AMIN) { return reduce(c, LEAT_FOLD_MIN, c->in[0]); }
LOWER(ANY) {
  return leat_b_cast(c->b, reduce(c, LEAT_FOLD_MAX, leat_b_cast(c->b, c->in[0], LEAT_BOOL)), leat_lower_dtype(c, 0));
}
LOWER(ALL) {
  return leat_b_cast(c->b, reduce(c, LEAT_FOLD_MIN, leat_b_cast(c->b, c->in[0], LEAT_BOOL)), leat_lower_dtype(c, 0));
}

LOWER(MEAN) {
  leat_value_id_t x = leat_b_cast(c->b, c->in[0], leat_lower_dtype(c, 0));
  return leat_b_fn2s(c->b, DIV, reduce(c, LEAT_FOLD_SUM, x), (double)leat_b_extent(c->b, x, dims_of(c)));
}

static leat_value_id_t extreme(leat_lower_t *c, leat_fold_t fn, leat_fold_t arg_fn) {
  uint32_t dim = 1u << leat_lower_int(c, LEAT_ATTR_DIM, 0);
  if (leat_b_value(c->b, c->in[0])->rank == 0) {
    c->out[1] = leat_b_scalar(c->b, LEAT_I64, 0.0);
    return c->in[0];
  }
  c->out[1] = leat_b_reduce(c->b, arg_fn, c->in[0], dim, keeps(c));
  return leat_b_reduce(c->b, fn, c->in[0], dim, keeps(c));
}
LOWER(MAX) { return extreme(c, LEAT_FOLD_MAX, LEAT_FOLD_ARGMAX); }
LOWER(MIN) { return extreme(c, LEAT_FOLD_MIN, LEAT_FOLD_ARGMIN); }

// Without dims the index counts through the flattened operand.
static leat_value_id_t arg_extreme(leat_lower_t *c, leat_fold_t fn) {
  leat_value_t x = *leat_b_value(c->b, c->in[0]);
  uint32_t count = 0;
  const int64_t *dims = leat_lower_list(c, LEAT_ATTR_DIMS, &count);
  if (count == 1 && x.rank > 0) return leat_b_reduce(c->b, fn, c->in[0], 1u << dims[0], keeps(c));
  const leat_value_t *y = leat_lower_declared(c, 0);
  leat_value_id_t flat = leat_b_reshape(c->b, c->in[0], 1, (const int64_t[]){leat_value_elements(&x)});
  return leat_b_reshape(c->b, leat_b_reduce(c->b, fn, flat, 1u, true), y->rank, y->dims);
}
LOWER(ARGMAX) { return arg_extreme(c, LEAT_FOLD_ARGMAX); }
LOWER(ARGMIN) { return arg_extreme(c, LEAT_FOLD_ARGMIN); }

// The mean is held constant: its own derivative multiplies the sum of the centred elements, which is zero.
static leat_value_id_t variance(leat_lower_t *c) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = leat_b_widen(b, c->in[0]);
  uint32_t dims = dims_of(c);
  leat_value_id_t centred = leat_b_sub(b, x, leat_b_fn1(b, STOP, leat_b_mean(b, x, dims)));
  double degrees = (double)leat_b_extent(b, x, dims) - leat_lower_float(c, LEAT_ATTR_CORRECTION, 1.0);
  return leat_b_fn2s(b, DIV, leat_b_reduce(b, LEAT_FOLD_SUM, leat_b_square(b, centred), dims, keeps(c)),
                     fmax(degrees, 0.0));
}
LOWER(VAR) { return leat_b_cast(c->b, variance(c), leat_lower_dtype(c, 0)); }
LOWER(STD) { return leat_b_cast(c->b, leat_b_fn1(c->b, SQRT, variance(c)), leat_lower_dtype(c, 0)); }

LOWER(NORM) {
  leat_builder_t *b = c->b;
  leat_dtype_t dtype = leat_lower_dtype(c, 0);
  double p = leat_lower_float(c, LEAT_ATTR_P, 2.0);
  leat_value_id_t x = leat_b_widen(b, leat_b_cast(b, c->in[0], dtype)), y;
  if (p == 2.0) {
    y = leat_b_fn1(b, SQRT, reduce(c, LEAT_FOLD_SUM, leat_b_square(b, x)));
  } else if (p == 0.0) {
    y = reduce(c, LEAT_FOLD_SUM, leat_b_cast(b, leat_b_fn2s(b, NE, x, 0.0), leat_b_dtype(b, x)));
  } else if (isinf(p)) {
    y = reduce(c, p > 0.0 ? LEAT_FOLD_MAX : LEAT_FOLD_MIN, leat_b_fn1(b, ABS, x));
  } else if (p == 1.0) {
    y = reduce(c, LEAT_FOLD_SUM, leat_b_fn1(b, ABS, x));
  } else {
    y = leat_b_fn2s(b, POW, reduce(c, LEAT_FOLD_SUM, leat_b_fn2s(b, POW, leat_b_fn1(b, ABS, x), p)), 1.0 / p);
  }
  return leat_b_cast(b, y, dtype);
}

LOWER(LOGSUMEXP) {
  leat_builder_t *b = c->b;
  uint32_t dims = dims_of(c);
  leat_softmax_t s = leat_row_safe_softmax(b, leat_b_widen(b, c->in[0]), dims);
  leat_value_id_t y = leat_b_cast(b, leat_b_add(b, leat_b_fn1(b, LOG, s.sum), s.shift), leat_lower_dtype(c, 0));
  return keeps(c) ? y : leat_b_squeeze(b, y, dims);
}

static leat_value_id_t scan(leat_lower_t *c, leat_fold_t fn) {
  leat_value_id_t x = leat_b_cast(c->b, c->in[0], leat_lower_dtype(c, 0));
  if (leat_b_value(c->b, x)->rank == 0) return x;
  return leat_b_scan(c->b, fn, x, (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0), false);
}
LOWER(CUMSUM) { return scan(c, LEAT_FOLD_SUM); }
LOWER(CUMPROD) { return scan(c, LEAT_FOLD_PROD); }

// Of a 0-d operand the whole value is the row.
static leat_softmax_t softmax_pieces(leat_lower_t *c) {
  uint32_t rank = leat_b_value(c->b, c->in[0])->rank;
  uint32_t dims = rank == 0 ? 0u : 1u << leat_lower_int(c, LEAT_ATTR_DIM, 0);
  return leat_row_softmax(c->b, leat_b_widen(c->b, leat_b_cast(c->b, c->in[0], leat_lower_dtype(c, 0))), dims);
}
LOWER(SOFTMAX) {
  leat_softmax_t s = softmax_pieces(c);
  return leat_b_cast(c->b, leat_b_div(c->b, s.exp, s.sum), leat_lower_dtype(c, 0));
}
LOWER(LOG_SOFTMAX) {
  leat_softmax_t s = softmax_pieces(c);
  return leat_b_cast(c->b, leat_b_sub(c->b, s.shifted, leat_b_fn1(c->b, LOG, s.sum)), leat_lower_dtype(c, 0));
}
