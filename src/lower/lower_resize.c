// SPDX-License-Identifier: Apache-2.0
// interpolate: separable. Each axis that changes is multiplied by a matrix [out, in] of weights, which is built from
// iota and folds to a constant. Nearest with a whole factor only repeats.
#include "lower/row.h"

leat_value_id_t leat_row_resize_axis(leat_builder_t *b, leat_value_id_t x, uint32_t dim, leat_value_id_t matrix) {
  leat_value_t v = *leat_b_value(b, x);
  int64_t before = 1, after = 1, out = leat_b_value(b, matrix)->dims[0];
  for (uint32_t d = 0; d < v.rank; d++) {
    if (d < dim) before *= v.dims[d];
    if (d > dim) after *= v.dims[d];
  }
  leat_value_id_t flat = leat_b_reshape(b, x, 3, (const int64_t[]){before, v.dims[dim], after});
  v.dims[dim] = out;
  return leat_b_reshape(b, leat_b_product(b, "oi,bis->bos", matrix, flat), v.rank, v.dims);
}

typedef struct axis_s {
  leat_builder_t *b;
  leat_dtype_t dtype;  // of the positions: f32 as in torch, f64 for f64
  int64_t in, out;
  double scale;  // operand steps per result step
  bool align_corners;
} axis_t;

// [out, in]: `weight` where the operand index is `index` (both [out, 1]).
static leat_value_id_t at_index(const axis_t *a, leat_value_id_t index, leat_value_id_t weight) {
  leat_value_id_t j = leat_b_iota(a->b, a->dtype, 2, (const int64_t[]){1, a->in}, 1);
  return leat_b_select_or(a->b, leat_b_fn2(a->b, EQ, j, index), weight, 0.0);
}

static leat_value_id_t clamp_index(const axis_t *a, leat_value_id_t index) {
  return leat_b_fn2s(a->b, MIN, leat_b_fn2s(a->b, MAX, index, 0.0), (double)(a->in - 1));
}

static leat_value_id_t steps(const axis_t *a) {
  return leat_b_iota(a->b, a->dtype, 2, (const int64_t[]){a->out, 1}, 0);
}

static leat_value_id_t nearest_matrix(const axis_t *a, bool exact) {
  leat_value_id_t i = exact ? leat_b_adds(a->b, steps(a), 0.5) : steps(a);
  leat_value_id_t index = clamp_index(a, leat_b_fn1(a->b, FLOOR, leat_b_muls(a->b, i, a->scale)));
  return at_index(a, index, leat_b_scalar(a->b, a->dtype, 1.0));
}

// Where result i lies between the operand's elements.
static leat_value_id_t position(const axis_t *a) {
  if (a->align_corners) return leat_b_muls(a->b, steps(a), a->scale);
  return leat_b_adds(a->b, leat_b_muls(a->b, leat_b_adds(a->b, steps(a), 0.5), a->scale), -0.5);
}

static leat_value_id_t linear_matrix(const axis_t *a) {
  leat_builder_t *b = a->b;
  leat_value_id_t at = clamp_index(a, position(a));
  leat_value_id_t left = leat_b_fn1(b, FLOOR, at), right = leat_b_sub(b, at, left);
  return leat_b_add(b, at_index(a, left, leat_b_sub_from(b, 1.0, right)),
                    at_index(a, clamp_index(a, leat_b_adds(b, left, 1.0)), right));
}

// Cubic convolution with A = -3/4: ((A+2)t - (A+3))t^2 + 1 up to 1, ((A t - 5A)t + 8A)t - 4A from 1 to 2.
static leat_value_id_t cubic(leat_builder_t *b, leat_value_id_t t, bool near) {
  const double a = -0.75;
  if (near) {
    leat_value_id_t inner = leat_b_adds(b, leat_b_muls(b, t, a + 2.0), -(a + 3.0));
    return leat_b_adds(b, leat_b_mul(b, leat_b_mul(b, inner, t), t), 1.0);
  }
  leat_value_id_t inner = leat_b_mul(b, leat_b_adds(b, leat_b_muls(b, t, a), -5.0 * a), t);
  return leat_b_adds(b, leat_b_mul(b, leat_b_adds(b, inner, 8.0 * a), t), -4.0 * a);
}

// Four taps around the position; taps beyond the border read the border.
static leat_value_id_t cubic_matrix(const axis_t *a) {
  leat_builder_t *b = a->b;
  leat_value_id_t at = position(a), left = leat_b_fn1(b, FLOOR, at), t = leat_b_sub(b, at, left), sum = LEAT_NONE;
  leat_value_id_t distance[4] = {leat_b_adds(b, t, 1.0), t, leat_b_sub_from(b, 1.0, t), leat_b_sub_from(b, 2.0, t)};
  for (int tap = 0; tap < 4; tap++) {
    leat_value_id_t index = clamp_index(a, leat_b_adds(b, left, (double)(tap - 1)));
    leat_value_id_t weight = at_index(a, index, cubic(b, distance[tap], tap == 1 || tap == 2));
    sum = tap == 0 ? weight : leat_b_add(b, sum, weight);
  }
  return sum;
}

static bool is_nearest(leat_resize_t mode) { return mode == LEAT_RESIZE_NEAREST || mode == LEAT_RESIZE_NEAREST_EXACT; }

static leat_value_id_t matrix_of(const axis_t *a, leat_resize_t mode) {
  if (is_nearest(mode)) return nearest_matrix(a, mode == LEAT_RESIZE_NEAREST_EXACT);
  return mode == LEAT_RESIZE_BICUBIC ? cubic_matrix(a) : linear_matrix(a);
}

static double axis_scale(const leat_lower_t *c, int64_t in, int64_t out) {
  double factor = leat_lower_float(c, LEAT_ATTR_SCALE, 0.0);
  if (leat_lower_int(c, LEAT_ATTR_ALIGN_CORNERS, 0)) return out > 1 ? (double)(in - 1) / (double)(out - 1) : 0.0;
  return factor > 0.0 ? 1.0 / factor : (double)in / (double)out;
}

LOWER(INTERPOLATE) {
  leat_builder_t *b = c->b;
  const leat_resize_t mode = leat_lower_word(c, LEAT_ATTR_MODE, LEAT_RESIZE_NEAREST);
  leat_value_id_t x = c->in[0];
  leat_value_t v = *leat_b_value(b, x);
  leat_dtype_t dtype = v.dtype == LEAT_F64 ? LEAT_F64 : LEAT_F32;
  const leat_value_t *y = leat_lower_declared(c, 0);
  for (uint32_t dim = 2; dim < v.rank; dim++) {
    axis_t a = {b,
                dtype,
                v.dims[dim],
                y->dims[dim],
                axis_scale(c, v.dims[dim], y->dims[dim]),
                leat_lower_int(c, LEAT_ATTR_ALIGN_CORNERS, 0) != 0};
    if (a.in == a.out && a.scale == 1.0) continue;
    bool repeats = is_nearest(mode) && a.out % a.in == 0 && a.scale * (double)a.out == (double)a.in;
    x = repeats ? leat_row_repeat_elements(b, x, dim, a.out / a.in)
                : leat_row_resize_axis(b, x, dim, leat_b_cast(b, matrix_of(&a, mode), (leat_dtype_t)v.dtype));
  }
  return x;
}
