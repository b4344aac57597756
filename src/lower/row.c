// SPDX-License-Identifier: Apache-2.0
// Steps that several rows and their gradients share.
#include "lower/row.h"

#include <math.h>

uint32_t leat_row_dims(const leat_graph_t *g, const leat_op_t *op, uint32_t rank) {
  uint32_t count = 0, mask = 0;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; i++) {
    if (dims[i] >= 0 && dims[i] < rank) mask |= 1u << dims[i];
  }
  return count == 0 ? (1u << rank) - 1u : mask;
}

leat_value_id_t leat_row_reduce_loss(leat_builder_t *b, leat_value_id_t elements, leat_reduction_t reduction) {
  if (elements == LEAT_NONE || reduction == LEAT_REDUCTION_NONE) return elements;
  uint32_t all = leat_b_all_dims(b, elements);
  leat_value_id_t sum = leat_b_reduce(b, LEAT_FOLD_SUM, elements, all, false);
  if (reduction == LEAT_REDUCTION_SUM) return sum;
  int64_t count = leat_b_extent(b, elements, reduction == LEAT_REDUCTION_BATCHMEAN ? 1u : all);
  return leat_b_fn2s(b, DIV, sum, (double)count);
}

leat_value_id_t leat_row_spread_loss(leat_builder_t *b, leat_value_id_t dy, leat_value_id_t elements,
                                     leat_reduction_t reduction) {
  if (reduction != LEAT_REDUCTION_MEAN) return dy;
  return leat_b_fn2s(b, DIV, dy, (double)leat_b_extent(b, elements, leat_b_all_dims(b, elements)));
}

static leat_softmax_t softmax_with_shift(leat_builder_t *b, leat_value_id_t x, leat_value_id_t shift, uint32_t dims) {
  leat_softmax_t s = {.shift = shift, .shifted = leat_b_sub(b, x, shift)};
  s.exp = leat_b_fn1(b, EXP, s.shifted);
  s.sum = leat_b_sum(b, s.exp, dims);
  return s;
}

leat_softmax_t leat_row_softmax(leat_builder_t *b, leat_value_id_t x, uint32_t dims) {
  return softmax_with_shift(b, x, leat_b_reduce(b, LEAT_FOLD_MAX, x, dims, true), dims);
}

leat_softmax_t leat_row_safe_softmax(leat_builder_t *b, leat_value_id_t x, uint32_t dims) {
  leat_value_id_t max = leat_b_reduce(b, LEAT_FOLD_MAX, x, dims, true);
  leat_value_id_t infinite = leat_b_fn2s(b, EQ, leat_b_fn1(b, ABS, max), (double)INFINITY);
  return softmax_with_shift(b, x, leat_b_number_or(b, infinite, 0.0, max), dims);
}

// (x - mean) rstd, by a sum or by a difference.
static leat_value_id_t normal_by_sum(leat_builder_t *b, leat_value_id_t x, leat_value_id_t mean, leat_value_id_t rstd) {
  return leat_b_mul(b, leat_b_add(b, x, leat_b_fn1(b, NEG, mean)), rstd);
}
static leat_value_id_t normal_by_difference(leat_builder_t *b, leat_value_id_t x, leat_value_id_t mean,
                                            leat_value_id_t rstd) {
  return leat_b_mul(b, leat_b_sub(b, x, mean), rstd);
}

leat_standard_t leat_row_standardize(leat_builder_t *b, leat_value_id_t x, uint32_t dims, double eps) {
  leat_standard_t s = {.mean = leat_b_mean(b, x, dims)};
  s.variance = leat_b_mean(b, leat_b_square(b, leat_b_sub(b, x, s.mean)), dims);
  s.rstd = leat_b_fn1(b, RSQRT, leat_b_adds(b, s.variance, eps));
  s.normal = normal_by_sum(b, x, s.mean, s.rstd);
  s.again = normal_by_difference(b, x, s.mean, s.rstd);
  return s;
}

leat_standard_t leat_row_standardize_groups(leat_builder_t *b, leat_value_id_t x, int64_t groups, double eps) {
  const leat_value_id_t apart = leat_row_group_channels(b, x, groups);
  const leat_value_t of = *leat_b_value(b, apart);
  const int64_t rest = of.dims[2] * of.dims[3];
  const leat_value_id_t grouped = leat_b_reshape(b, x, 3, (const int64_t[]){of.dims[0], groups, rest});
  leat_standard_t s = leat_row_standardize(b, grouped, 4u, eps);
  const leat_value_id_t mean = leat_b_unsqueeze(b, s.mean, 8u), rstd = leat_b_unsqueeze(b, s.rstd, 8u);
  s.normal = normal_by_sum(b, apart, mean, rstd);
  s.again = normal_by_difference(b, apart, mean, rstd);
  return s;
}

leat_value_id_t leat_row_rms(leat_builder_t *b, leat_value_id_t x, uint32_t dims, double eps) {
  return leat_b_fn1(b, RSQRT, leat_b_adds(b, leat_b_mean(b, leat_b_square(b, x), dims), eps));
}

leat_value_id_t leat_row_slopes(leat_builder_t *b, leat_value_id_t v, leat_value_id_t x) {
  const leat_value_t like = *leat_b_value(b, x), slopes = *leat_b_value(b, v);
  int64_t dims[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < like.rank; d++) dims[d] = d == 1 ? leat_value_elements(&slopes) : 1;
  return like.rank > 1 ? leat_b_reshape(b, v, like.rank, dims) : v;
}

leat_value_id_t leat_row_channel(leat_builder_t *b, leat_value_id_t v, leat_value_id_t x) {
  if (v == LEAT_NONE) return LEAT_NONE;
  leat_value_t like = *leat_b_value(b, x);
  for (uint32_t d = 0; d < like.rank; d++)
    if (d != 1) like.dims[d] = 1;
  return leat_b_cast(b, leat_b_reshape(b, v, like.rank, like.dims), (leat_dtype_t)like.dtype);
}

leat_value_id_t leat_row_group_channels(leat_builder_t *b, leat_value_id_t x, int64_t groups) {
  if (x == LEAT_NONE) return LEAT_NONE;
  const leat_value_t v = *leat_b_value(b, x);
  const int64_t images = v.rank > 1 ? v.dims[0] : 1, channels = v.dims[v.rank > 1];
  const int64_t positions = images * channels > 0 ? leat_value_elements(&v) / images / channels : 0;
  const int64_t apart = groups > 0 ? channels / groups : 0;
  return leat_b_reshape(b, x, 4, (const int64_t[]){images, groups, apart, positions});
}

leat_value_id_t leat_row_softplus(leat_builder_t *b, leat_value_id_t x) {
  leat_value_id_t tail = leat_b_fn1(b, LOG1P, leat_b_fn1(b, EXP, leat_b_fn1(b, NEG, leat_b_fn1(b, ABS, x))));
  return leat_b_add(b, leat_b_fn2s(b, MAX, x, 0.0), tail);
}

leat_value_id_t leat_row_gelu_tanh(leat_builder_t *b, leat_value_id_t x) {
  leat_value_id_t cubic = leat_b_muls(b, leat_b_mul(b, leat_b_square(b, x), x), 0.044715);
  return leat_b_fn1(b, TANH, leat_b_muls(b, leat_b_add(b, x, cubic), M_2_SQRTPI * M_SQRT1_2));
}

leat_value_id_t leat_row_xlogy(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y) {
  leat_value_id_t known = leat_b_fn2(b, EQ, y, y), flat = leat_b_fn2(b, AND, leat_b_fn2s(b, EQ, x, 0.0), known);
  return leat_b_number_or(b, flat, 0.0, leat_b_mul(b, x, leat_b_fn1(b, LOG, y)));
}

bool leat_row_splat(const leat_builder_t *b, leat_value_id_t x, double *out_number) {
  if (x == LEAT_NONE) return false;
  const leat_op_t *op = leat_graph_op(b->graph, leat_b_value(b, x)->op);
  if (leat_op_scalar(b->graph, op) == LEAT_SCALAR_CAST)
    return leat_row_splat(b, leat_op_input(b->graph, op, 0), out_number);
  return leat_op_splat(b->graph, op, out_number);
}

leat_value_id_t leat_row_power(leat_builder_t *b, leat_value_id_t x, double exponent) {
  if (exponent == 0.0) return leat_b_full_like(b, x, 1.0);  // of NaN, too
  if (exponent == 1.0) return x;
  if (leat_b_dtype(b, x) == LEAT_F16) return leat_b_fn2s(b, POW, x, exponent);
  if (exponent == 2.0) return leat_b_square(b, x);
  if (exponent == 3.0) return leat_b_mul(b, leat_b_square(b, x), x);
  if (exponent == 0.5) return leat_b_fn1(b, SQRT, x);
  if (exponent == -0.5) return leat_b_fn1(b, RSQRT, x);
  if (exponent == -1.0) return leat_b_fn1(b, RECIP, x);
  if (exponent == -2.0) return leat_b_fn1(b, RECIP, leat_b_square(b, x));
  return leat_b_fn2s(b, POW, x, exponent);
}

leat_value_id_t leat_row_sum_behind(leat_builder_t *b, leat_value_id_t x, uint32_t kept) {
  const uint32_t dims = leat_b_all_dims(b, x) & ~((1u << kept) - 1u);
  return dims == 0 ? x : leat_b_reduce(b, LEAT_FOLD_SUM, x, dims, false);
}

// Dims lie between the two, so that they are not one even where x lies row by row: from the element at `first` on, a
// place of the diagonal is a window, of which the dims between are windows again, of all that lies behind them.
static leat_value_id_t diagonal_across(leat_builder_t *b, leat_value_id_t x, uint32_t row, uint32_t column,
                                       int64_t first, int64_t length) {
  const leat_value_t v = *leat_b_value(b, x);
  const int64_t behind = leat_product(v.dims, column + 1, v.rank), inner = leat_product(v.dims, column, v.rank);
  const int64_t between = leat_product(v.dims, row + 1, column), window = (between - 1) * inner + behind;
  const int64_t step = between * inner + behind, start = first * behind;
  int64_t shape[LEAT_RANK_MAX], perm[LEAT_RANK_MAX];
  uint32_t next = row;
  memcpy(shape, v.dims, row * sizeof *shape);
  shape[row] = v.dims[row] * between * inner;
  leat_value_id_t y = leat_b_reshape(b, x, row + 1, shape);
  y = leat_b_slice_dim(b, y, row, start, start + (length - 1) * step + window, 1);
  y = leat_b_unfold(b, leat_b_unfold(b, y, row, window, step), row + 1, behind, inner);
  shape[next++] = length;
  for (uint32_t d = row + 1; d < v.rank; d++)
    if (d != column) shape[next++] = v.dims[d];
  for (uint32_t d = 0; d < next; d++) perm[d] = d < row ? d : d + 1 < next ? d + 1 : row;
  return leat_b_transpose(b, leat_b_reshape(b, y, next, shape), perm);
}

// The two axes last and flat; then the diagonal is every (columns+1)-th element.
leat_value_id_t leat_row_diagonal(leat_builder_t *b, leat_value_id_t x, uint32_t row, uint32_t column, int64_t offset) {
  const leat_value_t v = *leat_b_value(b, x);
  if (v.rank < 2) return LEAT_NONE;  // after an error
  const int64_t columns = v.dims[column], below = offset < 0 ? -offset : 0, right = offset < 0 ? 0 : offset;
  const int64_t down = v.dims[row] - below, across = columns - right, length = down < across ? down : across;
  int64_t perm[LEAT_RANK_MAX], shape[LEAT_RANK_MAX];
  uint32_t next = 0;
  if (row > column) return leat_row_diagonal(b, x, column, row, -offset);
  if (length > 0 && leat_product(v.dims, row + 1, column) > 1 && leat_product(v.dims, column, v.rank) > 0)
    return diagonal_across(b, x, row, column, below * leat_product(v.dims, row + 1, column + 1) + right, length);
  for (uint32_t d = 0; d < v.rank; d++)
    if (d != row && d != column) perm[next++] = d;
  perm[next] = row;
  perm[next + 1] = column;
  for (uint32_t d = 0; d < next; d++) shape[d] = v.dims[perm[d]];
  shape[next] = v.dims[row] * columns;
  leat_value_id_t flat = leat_b_reshape(b, leat_b_transpose(b, x, perm), next + 1, shape);
  if (length <= 0) return leat_b_slice_dim(b, flat, next, 0, 0, 1);
  const int64_t first = below * columns + right;
  return leat_b_slice_dim(b, flat, next, first, first + (length - 1) * (columns + 1) + 1, columns + 1);
}
