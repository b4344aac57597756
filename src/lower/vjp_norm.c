// SPDX-License-Identifier: Apache-2.0
// Gradients of the normalisations in the compact form: with n the normalised operand and g the cotangent of n,
// dx = rstd * (g - mean(g) - n * mean(g * n)). Statistics are computed as in forward, so that CSE finds them there.
#include "lower/row.h"

// dx of a standardisation over `dims`. `again`: the numbers of g once more, computed apart (as leat_standard_t has
// them).
static leat_value_id_t standardize_vjp(leat_builder_t *b, const leat_standard_t *s, leat_value_id_t g,
                                       leat_value_id_t again, uint32_t dims) {
  leat_value_id_t along = leat_b_mul(b, s->again, leat_b_mean(b, leat_b_mul(b, g, s->normal), dims));
  leat_value_id_t centred = leat_b_sub(b, leat_b_sub(b, again, leat_b_mean(b, g, dims)), along);
  return leat_b_mul(b, centred, s->rstd);
}

static leat_value_id_t operand(const leat_vjp_t *v, uint32_t i) { return i < v->x_count ? v->x[i] : LEAT_NONE; }
static bool wanted(const leat_vjp_t *v, uint32_t i) { return operand(v, i) != LEAT_NONE && v->wants[i]; }

// dy scaled by the weight (shaped by the caller to broadcast), or dy itself.
static leat_value_id_t through_weight(leat_builder_t *b, leat_value_id_t dy, leat_value_id_t weight) {
  return weight == LEAT_NONE ? dy : leat_b_mul(b, dy, leat_b_cast(b, weight, leat_b_dtype(b, dy)));
}

// The same numbers in another op, which stands where they are read again.
static leat_value_id_t weight_through(leat_builder_t *b, leat_value_id_t weight, leat_value_id_t dy) {
  return weight == LEAT_NONE ? dy : leat_b_mul(b, leat_b_cast(b, weight, leat_b_dtype(b, dy)), dy);
}

VJP(LAYER_NORM) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = leat_b_widen(b, v->x[0]), dy = leat_b_widen(b, v->dy[0]);
  uint32_t dims = leat_row_dims(b->graph, &v->op, leat_b_value(b, x)->rank);
  leat_standard_t s = leat_row_standardize(b, x, dims, leat_vjp_float(v, LEAT_ATTR_EPS, 1e-5));
  if (v->wants[0]) {
    const leat_value_id_t g = through_weight(b, dy, operand(v, 1)), again = weight_through(b, operand(v, 1), dy);
    v->dx[0] = standardize_vjp(b, &s, g, again, dims);
  }
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

// Of a norm with weight and bias a channel: sums of dy and of dy * normal over the dims along which both are the same
// are all that dx and the gradients of both need. Statistics go over those dims, `alone`, and over `across`, along
// which the weight differs; then they are sums of sums. `weight` broadcasts against dy, or LEAT_NONE.
typedef struct channel_norm_s {
  leat_value_id_t dy, normal, again, rstd, weight;  // dx reads `again`
  uint32_t alone, across;
} channel_norm_t;

// The cotangent of a weight or bias [C], from sums over `alone`.
static leat_value_id_t per_channel(leat_vjp_t *v, leat_value_id_t sums, uint32_t channels, uint32_t i) {
  leat_value_id_t sum = leat_b_sum(v->b, sums, leat_b_all_dims(v->b, sums) & ~channels);
  return leat_b_reshape_like(v->b, sum, v->x[i]);
}

// Means of what is summed over `alone`, times the weight where it differs.
static leat_value_id_t mean_of(leat_builder_t *b, const channel_norm_t *n, leat_value_id_t sums) {
  const int64_t count = leat_b_extent(b, n->dy, n->alone | n->across);
  if (n->across != 0) sums = leat_b_sum(b, through_weight(b, sums, n->weight), n->across);
  return leat_b_fn2s(b, DIV, sums, (double)count);
}

// `channels`: the dims that are one of a weight. Puts the gradients into v->dx, that of x like `n->dy`.
static void channel_norm_vjp(leat_vjp_t *v, const channel_norm_t *n, uint32_t channels) {
  leat_builder_t *b = v->b;
  const leat_value_id_t sums = leat_b_sum(b, n->dy, n->alone);
  const leat_value_id_t along = leat_b_sum(b, leat_b_mul(b, n->dy, n->normal), n->alone);
  if (wanted(v, 1)) v->dx[1] = per_channel(v, along, channels, 1);
  if (wanted(v, 2)) v->dx[2] = per_channel(v, sums, channels, 2);
  if (!v->wants[0]) return;
  const bool differs = n->across != 0;
  const leat_value_id_t g = differs ? through_weight(b, n->dy, n->weight) : n->dy;
  const leat_value_id_t scale = differs ? n->rstd : through_weight(b, n->rstd, n->weight);
  const leat_value_id_t centred = leat_b_sub(b, g, mean_of(b, n, sums));
  v->dx[0] = leat_b_mul(b, leat_b_sub(b, centred, leat_b_mul(b, n->again, mean_of(b, n, along))), scale);
}

// The running statistics carry no gradient.
VJP(BATCH_NORM) {
  leat_builder_t *b = v->b;
  if (v->dy[0] == LEAT_NONE) return;
  leat_value_id_t x = leat_b_widen(b, v->x[0]);
  const double eps = leat_vjp_float(v, LEAT_ATTR_EPS, 1e-5);
  const uint32_t dims = leat_b_all_dims(b, x) & ~2u;
  channel_norm_t n = {.dy = leat_b_widen(b, v->dy[0]), .weight = leat_row_channel(b, operand(v, 1), x), .alone = dims};
  if (leat_vjp_int(v, LEAT_ATTR_TRAINING, 0) || operand(v, 3) == LEAT_NONE) {
    leat_standard_t s = leat_row_standardize(b, x, dims, eps);
    n.normal = s.normal, n.again = s.again, n.rstd = s.rstd;
    channel_norm_vjp(v, &n, 2u);
    return;
  }
  n.rstd = leat_b_fn1(b, RSQRT, leat_b_adds(b, leat_row_channel(b, v->x[4], x), eps));
  n.normal = leat_b_mul(b, leat_b_sub(b, x, leat_row_channel(b, v->x[3], x)), n.rstd);
  if (v->wants[0]) v->dx[0] = leat_b_mul(b, n.dy, through_weight(b, n.rstd, n.weight));
  if (wanted(v, 1)) v->dx[1] = per_channel(v, leat_b_mul(b, n.dy, n.normal), 2u, 1);
  if (wanted(v, 2)) v->dx[2] = per_channel(v, n.dy, 2u, 2);
}

VJP(GROUP_NORM) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = leat_b_widen(b, v->x[0]);
  const int64_t groups = leat_vjp_int(v, LEAT_ATTR_NUM_GROUPS, 1);
  leat_standard_t s = leat_row_standardize_groups(b, x, groups, leat_vjp_float(v, LEAT_ATTR_EPS, 1e-5));
  leat_value_id_t dy = leat_b_reshape_like(b, leat_b_widen(b, v->dy[0]), s.normal);
  const leat_value_id_t weight = leat_row_group_channels(b, operand(v, 1), groups);
  const leat_value_id_t rstd = leat_b_unsqueeze(b, s.rstd, 8u);
  const channel_norm_t n = {dy, s.normal, s.again, rstd, weight, 8u, 4u};
  channel_norm_vjp(v, &n, 2u | 4u);
  if (v->wants[0]) v->dx[0] = leat_b_reshape_like(b, v->dx[0], x);
}

VJP(INSTANCE_NORM) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = leat_b_widen(b, v->x[0]), dy = leat_b_widen(b, v->dy[0]);
  const uint32_t dims = leat_b_all_dims(b, x) & ~3u;
  leat_standard_t s = leat_row_standardize(b, x, dims, leat_vjp_float(v, LEAT_ATTR_EPS, 1e-5));
  const channel_norm_t n = {.dy = dy,
                            .normal = s.normal,
                            .again = s.again,
                            .rstd = s.rstd,
                            .weight = leat_row_channel(b, operand(v, 1), x),
                            .alone = dims};
  channel_norm_vjp(v, &n, 2u);
}
