// SPDX-License-Identifier: Apache-2.0
// Gradients of the normalisations in the compact form: with n the normalised operand and g the cotangent of n,
// dx = rstd * (g - mean(g) - n * mean(g * n)). Statistics are computed as in forward, so that CSE finds them there.
#include "lower/row.h"

// dx of a standardisation over `dims`.
static leat_value_id_t standardize_vjp(leat_builder_t *b, const leat_standard_t *s, leat_value_id_t g, uint32_t dims) {
  leat_value_id_t along = leat_b_mul(b, s->normal, leat_b_mean(b, leat_b_mul(b, g, s->normal), dims));
  leat_value_id_t centred = leat_b_sub(b, leat_b_sub(b, g, leat_b_mean(b, g, dims)), along);
  return leat_b_mul(b, centred, s->rstd);
}

static leat_value_id_t operand(const leat_vjp_t *v, uint32_t i) { return i < v->x_count ? v->x[i] : LEAT_NONE; }
static bool wanted(const leat_vjp_t *v, uint32_t i) { return operand(v, i) != LEAT_NONE && v->wants[i]; }

// dy scaled by the weight (shaped by the caller to broadcast), or dy itself.
static leat_value_id_t through_weight(leat_builder_t *b, leat_value_id_t dy, leat_value_id_t weight) {
  return weight == LEAT_NONE ? dy : leat_b_mul(b, dy, leat_b_cast(b, weight, leat_b_dtype(b, dy)));
}

VJP(LAYER_NORM) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = leat_b_widen(b, v->x[0]), dy = leat_b_widen(b, v->dy[0]);
  uint32_t dims = leat_row_dims(b->graph, &v->op, leat_b_value(b, x)->rank);
  leat_standard_t s = leat_row_standardize(b, x, dims, leat_vjp_float(v, LEAT_ATTR_EPS, 1e-5));
  if (v->wants[0]) v->dx[0] = standardize_vjp(b, &s, through_weight(b, dy, operand(v, 1)), dims);
  if (wanted(v, 1)) v->dx[1] = leat_b_mul(b, dy, s.normal);
  if (wanted(v, 2)) v->dx[2] = dy;
}

// dx = r * (g - x * r^2 * mean(g * x))
VJP(RMS_NORM) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = leat_b_widen(b, v->x[0]), dy = leat_b_widen(b, v->dy[0]);
  uint32_t dims = leat_row_dims(b->graph, &v->op, leat_b_value(b, x)->rank);
  leat_value_id_t r = leat_row_rms(b, x, dims, leat_vjp_float(v, LEAT_ATTR_EPS, 1e-5));
  leat_value_id_t normal = leat_b_mul(b, x, r);
  if (v->wants[0]) {
    leat_value_id_t g = through_weight(b, dy, operand(v, 1));
    leat_value_id_t along = leat_b_mul(b, normal, leat_b_mean(b, leat_b_mul(b, g, normal), dims));
    v->dx[0] = leat_b_mul(b, leat_b_sub(b, g, along), r);
  }
  if (wanted(v, 1)) v->dx[1] = leat_b_mul(b, dy, normal);
}

// Sums an element-wise cotangent over all dims but the channels: the cotangent of a weight or bias [C].
static leat_value_id_t per_channel(leat_vjp_t *v, leat_value_id_t d, uint32_t i) {
  leat_value_id_t sum = leat_b_sum(v->b, d, leat_b_all_dims(v->b, d) & ~2u);
  return leat_b_reshape_like(v->b, sum, v->x[i]);
}

static void affine_vjp(leat_vjp_t *v, leat_value_id_t dy, leat_value_id_t normal) {
  if (wanted(v, 1)) v->dx[1] = per_channel(v, leat_b_mul(v->b, dy, normal), 1);
  if (wanted(v, 2)) v->dx[2] = per_channel(v, dy, 2);
}

// The running statistics carry no gradient.
VJP(BATCH_NORM) {
  leat_builder_t *b = v->b;
  if (v->dy[0] == LEAT_NONE) return;
  leat_value_id_t x = leat_b_widen(b, v->x[0]), dy = leat_b_widen(b, v->dy[0]);
  leat_value_id_t g = through_weight(b, dy, leat_row_channel(b, operand(v, 1), x));
  double eps = leat_vjp_float(v, LEAT_ATTR_EPS, 1e-5);
  uint32_t dims = leat_b_all_dims(b, x) & ~2u;
  if (leat_vjp_int(v, LEAT_ATTR_TRAINING, 0) || operand(v, 3) == LEAT_NONE) {
    leat_standard_t s = leat_row_standardize(b, x, dims, eps);
    if (v->wants[0]) v->dx[0] = standardize_vjp(b, &s, g, dims);
    affine_vjp(v, dy, s.normal);
    return;
  }
  leat_value_id_t rstd = leat_b_fn1(b, RSQRT, leat_b_adds(b, leat_row_channel(b, v->x[4], x), eps));
  if (v->wants[0]) v->dx[0] = leat_b_mul(b, g, rstd);
  affine_vjp(v, dy, leat_b_mul(b, leat_b_sub(b, x, leat_row_channel(b, v->x[3], x)), rstd));
}

VJP(GROUP_NORM) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = leat_b_widen(b, v->x[0]), dy = leat_b_widen(b, v->dy[0]);
  int64_t groups = leat_vjp_int(v, LEAT_ATTR_NUM_GROUPS, 1);
  leat_value_id_t grouped = leat_row_group_channels(b, x, groups);
  uint32_t dims = leat_b_all_dims(b, grouped) & ~3u;
  leat_standard_t s = leat_row_standardize(b, grouped, dims, leat_vjp_float(v, LEAT_ATTR_EPS, 1e-5));
  leat_value_id_t g = through_weight(b, dy, leat_row_channel(b, operand(v, 1), x));
  if (v->wants[0])
    v->dx[0] = leat_b_reshape_like(b, standardize_vjp(b, &s, leat_row_group_channels(b, g, groups), dims), x);
  affine_vjp(v, dy, leat_b_reshape_like(b, s.normal, x));
}

VJP(INSTANCE_NORM) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = leat_b_widen(b, v->x[0]), dy = leat_b_widen(b, v->dy[0]);
  uint32_t dims = leat_b_all_dims(b, x) & ~3u;
  leat_standard_t s = leat_row_standardize(b, x, dims, leat_vjp_float(v, LEAT_ATTR_EPS, 1e-5));
  leat_value_id_t g = through_weight(b, dy, leat_row_channel(b, operand(v, 1), x));
  if (v->wants[0]) v->dx[0] = standardize_vjp(b, &s, g, dims);
  affine_vjp(v, dy, s.normal);
}
