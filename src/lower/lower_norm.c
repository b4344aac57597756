// SPDX-License-Identifier: Apache-2.0
// Normalisations. Half types are computed in f32, as in torch.
#include "lower/row.h"

// y * weight + bias, either of which may be absent; both broadcast against y.
static leat_value_id_t affine(leat_builder_t *b, leat_value_id_t y, leat_value_id_t weight, leat_value_id_t bias) {
  leat_dtype_t dtype = leat_b_dtype(b, y);
  if (weight != LEAT_NONE) y = leat_b_mul(b, y, leat_b_cast(b, weight, dtype));
  if (bias != LEAT_NONE) y = leat_b_add(b, y, leat_b_cast(b, bias, dtype));
  return y;
}

LOWER(LAYER_NORM) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = leat_b_widen(b, c->in[0]);
  uint32_t dims = leat_row_dims(c->from, c->op, leat_b_value(b, x)->rank);
  leat_standard_t s = leat_row_standardize(b, x, dims, leat_lower_float(c, LEAT_ATTR_EPS, 1e-5));
  return leat_b_cast(b, affine(b, s.normal, leat_lower_in(c, 1), leat_lower_in(c, 2)), leat_lower_dtype(c, 0));
}

LOWER(RMS_NORM) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = leat_b_widen(b, c->in[0]);
  uint32_t dims = leat_row_dims(c->from, c->op, leat_b_value(b, x)->rank);
  leat_value_id_t rms = leat_row_rms(b, x, dims, leat_lower_float(c, LEAT_ATTR_EPS, 1e-5));
  return leat_b_cast(b, affine(b, leat_b_mul(b, x, rms), leat_lower_in(c, 1), LEAT_NONE), leat_lower_dtype(c, 0));
}

// running + momentum * (batch - running), as torch updates its statistics.
static leat_value_id_t blend(leat_lower_t *c, leat_value_id_t running, leat_value_id_t batch) {
  leat_builder_t *b = c->b;
  leat_dtype_t dtype = leat_b_dtype(b, running);
  double momentum = leat_lower_float(c, LEAT_ATTR_MOMENTUM, 0.1);
  leat_value_id_t old = leat_b_muls(b, running, 1.0 - momentum);
  return leat_b_add(b, old, leat_b_muls(b, leat_b_cast(b, leat_b_reshape_like(b, batch, running), dtype), momentum));
}

// Results 1 and 2 are the new running statistics: of a batch (variance unbiased) in training, else unchanged.
// Without running statistics they are those of the batch.
LOWER(BATCH_NORM) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = leat_b_widen(b, c->in[0]), mean = leat_lower_in(c, 3), var = leat_lower_in(c, 4);
  double eps = leat_lower_float(c, LEAT_ATTR_EPS, 1e-5);
  uint32_t dims = leat_b_all_dims(b, x) & ~2u;
  leat_value_id_t normal;
  if (leat_lower_int(c, LEAT_ATTR_TRAINING, 0) || mean == LEAT_NONE) {
    leat_standard_t s = leat_row_standardize(b, x, dims, eps);
    double count = (double)leat_b_extent(b, x, dims);
    leat_value_id_t unbiased = leat_b_muls(b, s.variance, count / (count - 1.0));
    const leat_value_t *declared = leat_lower_declared(c, 1);
    c->out[1] = mean != LEAT_NONE ? blend(c, mean, s.mean) : leat_b_reshape(b, s.mean, declared->rank, declared->dims);
    c->out[2] =
        var != LEAT_NONE ? blend(c, var, unbiased) : leat_b_reshape(b, unbiased, declared->rank, declared->dims);
    normal = s.normal;
  } else {
    leat_value_id_t rstd = leat_b_fn1(b, RSQRT, leat_b_adds(b, leat_row_channel(b, var, x), eps));
    normal = leat_b_mul(b, leat_b_sub(b, x, leat_row_channel(b, mean, x)), rstd);
    c->out[1] = mean;
    c->out[2] = var;
  }
  leat_value_id_t y =
      affine(b, normal, leat_row_channel(b, leat_lower_in(c, 1), x), leat_row_channel(b, leat_lower_in(c, 2), x));
  return leat_b_cast(b, y, leat_lower_dtype(c, 0));
}

LOWER(GROUP_NORM) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = leat_b_widen(b, c->in[0]), parameters[2];
  int64_t groups = leat_lower_int(c, LEAT_ATTR_NUM_GROUPS, 1);
  leat_standard_t s = leat_row_standardize_groups(b, x, groups, leat_lower_float(c, LEAT_ATTR_EPS, 1e-5));
  for (uint32_t i = 0; i < 2; i++) parameters[i] = leat_row_group_channels(b, leat_lower_in(c, i + 1), groups);
  leat_value_id_t y = affine(b, s.normal, parameters[0], parameters[1]);
  return leat_b_cast(b, leat_b_reshape_like(b, y, x), leat_lower_dtype(c, 0));
}

LOWER(INSTANCE_NORM) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = leat_b_widen(b, c->in[0]);
  leat_standard_t s = leat_row_standardize(b, x, leat_b_all_dims(b, x) & ~3u, leat_lower_float(c, LEAT_ATTR_EPS, 1e-5));
  leat_value_id_t y =
      affine(b, s.normal, leat_row_channel(b, leat_lower_in(c, 1), x), leat_row_channel(b, leat_lower_in(c, 2), x));
  return leat_b_cast(b, y, leat_lower_dtype(c, 0));
}
