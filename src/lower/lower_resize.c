// SPDX-License-Identifier: Apache-2.0
// interpolate: separable. Along each axis that changes a result is a sum of a few elements of the operand, its taps,
// each times its weight; what is no tap, be it NaN, has no part in it. Nearest with a whole factor only repeats.
#include "lower/row.h"

typedef struct axis_s {
  leat_builder_t *b;
  leat_dtype_t dtype;  // of the positions: f32 as in torch, f64 for f64
  int64_t in, out;
  double scale;  // operand steps per result step
  bool align_corners;
} axis_t;

enum { TAPS_MAX = 4 };

// Of every result along an axis: where its taps lie, and their weights; both [out], the places not whole numbers.
typedef struct taps_s {
  uint32_t count;
  leat_value_id_t at[TAPS_MAX], weight[TAPS_MAX];  // no weight: LEAT_NONE
} taps_t;

static leat_value_id_t clamp_index(const axis_t *a, leat_value_id_t index) {
  return leat_b_fn2s(a->b, MIN, leat_b_fn2s(a->b, MAX, index, 0.0), (double)(a->in - 1));
}

static leat_value_id_t steps(const axis_t *a) { return leat_b_iota(a->b, a->dtype, 1, (const int64_t[]){a->out}, 0); }

static taps_t nearest_taps(const axis_t *a, bool exact) {
  leat_value_id_t i = exact ? leat_b_adds(a->b, steps(a), 0.5) : steps(a);
  leat_value_id_t index = clamp_index(a, leat_b_fn1(a->b, FLOOR, leat_b_muls(a->b, i, a->scale)));
  return (taps_t){1, {index}, {LEAT_NONE}};
}

// Where result i lies between the operand's elements.
static leat_value_id_t position(const axis_t *a) {
  if (a->align_corners) return leat_b_muls(a->b, steps(a), a->scale);
  return leat_b_adds(a->b, leat_b_muls(a->b, leat_b_adds(a->b, steps(a), 0.5), a->scale), -0.5);
}

static taps_t linear_taps(const axis_t *a) {
  leat_builder_t *b = a->b;
  leat_value_id_t at = leat_b_fn2s(b, MAX, position(a), 0.0);
  leat_value_id_t left = clamp_index(a, leat_b_fn1(b, FLOOR, at));
  leat_value_id_t right = leat_b_fn2s(b, MIN, leat_b_sub(b, at, left), 1.0);
  return (taps_t){2, {left, clamp_index(a, leat_b_adds(b, left, 1.0))}, {leat_b_sub_from(b, 1.0, right), right}};
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
static taps_t cubic_taps(const axis_t *a) {
  leat_builder_t *b = a->b;
  leat_value_id_t at = position(a), left = leat_b_fn1(b, FLOOR, at), t = leat_b_sub(b, at, left);
  leat_value_id_t distance[4] = {leat_b_adds(b, t, 1.0), t, leat_b_sub_from(b, 1.0, t), leat_b_sub_from(b, 2.0, t)};
  taps_t taps = {.count = 4};
  for (int tap = 0; tap < 4; tap++) {
    taps.at[tap] = clamp_index(a, leat_b_adds(b, left, (double)(tap - 1)));
    taps.weight[tap] = cubic(b, distance[tap], tap == 1 || tap == 2);
  }
  return taps;
}

static bool is_nearest(leat_resize_t mode) { return mode == LEAT_RESIZE_NEAREST || mode == LEAT_RESIZE_NEAREST_EXACT; }

static taps_t taps_of(const axis_t *a, leat_resize_t mode) {
  if (is_nearest(mode)) return nearest_taps(a, mode == LEAT_RESIZE_NEAREST_EXACT);
  return mode == LEAT_RESIZE_BICUBIC ? cubic_taps(a) : linear_taps(a);
}

// x with `dim` resized: the sum over the taps, whose weights are numbers of `dtype`, as torch's are.
static leat_value_id_t blend(leat_builder_t *b, leat_value_id_t x, uint32_t dim, const taps_t *taps,
                             leat_dtype_t dtype) {
  const leat_value_t v = *leat_b_value(b, x);
  if (v.rank <= dim) return LEAT_NONE;                                    // after an error
  int64_t dims[LEAT_RANK_MAX] = {leat_b_value(b, taps->at[0])->dims[0]};  // of weights, against what lies behind `dim`
  for (uint32_t d = 1; d < v.rank - dim; d++) dims[d] = 1;
  leat_value_id_t sum = LEAT_NONE;
  for (uint32_t i = 0; i < taps->count; i++) {
    leat_value_id_t part = leat_b_gather(b, x, leat_b_cast(b, taps->at[i], LEAT_I64), dim, 0);
    if (taps->weight[i] != LEAT_NONE) {
      leat_value_id_t weight = leat_b_cast(b, leat_b_cast(b, taps->weight[i], dtype), (leat_dtype_t)v.dtype);
      part = leat_b_mul(b, part, leat_b_reshape(b, weight, v.rank - dim, dims));
    }
    sum = sum == LEAT_NONE ? part : leat_b_add(b, sum, part);
  }
  return sum;
}

static double axis_scale(const leat_lower_t *c, int64_t in, int64_t out) {
  double factor = leat_lower_float(c, LEAT_ATTR_SCALE, 0.0);
  if (leat_lower_int(c, LEAT_ATTR_ALIGN_CORNERS, 0)) return out > 1 ? (double)(in - 1) / (double)(out - 1) : 0.0;
  return factor > 0.0 ? 1.0 / factor : (double)in / (double)out;
}

LOWER(INTERPOLATE) {
  leat_builder_t *b = c->b;
  const leat_resize_t mode = leat_lower_word(c, LEAT_ATTR_MODE, LEAT_RESIZE_NEAREST);
  const leat_value_t v = *leat_b_value(b, c->in[0]);
  const leat_dtype_t dtype = v.dtype == LEAT_F64 ? LEAT_F64 : LEAT_F32;
  leat_value_id_t x = is_nearest(mode) ? c->in[0] : leat_b_cast(b, c->in[0], dtype);
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
    const taps_t taps = taps_of(&a, mode);
    x = repeats ? leat_row_repeat_elements(b, x, dim, a.out / a.in) : blend(b, x, dim, &taps, (leat_dtype_t)v.dtype);
  }
  return leat_b_cast(b, x, (leat_dtype_t)v.dtype);
}
