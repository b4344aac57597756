// SPDX-License-Identifier: Apache-2.0
// Activations. Each formula is the one torch documents; kinks have the derivative of torch (zero at zero for relu's
// kin, by comparisons that are strict on the flat side).
#include <math.h>

#include "lower/row.h"

// The operand as torch computes with it: the narrow types in f32, rounded once at the end.
static leat_value_id_t wide(leat_lower_t *c) { return leat_b_widen(c->b, c->in[0]); }
static leat_value_id_t narrowed(leat_lower_t *c, leat_value_id_t y) {
  return leat_b_cast(c->b, y, leat_lower_dtype(c, 0));
}

LOWER(RELU) { return leat_b_fn2s(c->b, MAX, c->in[0], 0.0); }

LOWER(GELU) {
  leat_builder_t *b = c->b;
  bool by_tanh = leat_lower_word(c, LEAT_ATTR_APPROXIMATE, LEAT_GELU_EXACT) == LEAT_GELU_TANH;
  leat_value_id_t x = wide(c);
  leat_value_id_t inner = by_tanh ? leat_row_gelu_tanh(b, x) : leat_b_fn1(b, ERF, leat_b_muls(b, x, M_SQRT1_2));
  return narrowed(c, leat_b_mul(b, leat_b_muls(b, x, 0.5), leat_b_adds(b, inner, 1.0)));
}

LOWER(SILU) { return narrowed(c, leat_b_mul(c->b, wide(c), leat_b_fn1(c->b, SIGMOID, wide(c)))); }

static leat_value_id_t leaky(leat_builder_t *b, leat_value_id_t x, leat_value_id_t scaled) {
  return leat_b_select(b, leat_b_fn2s(b, GT, x, 0.0), x, scaled);
}

LOWER(LEAKY_RELU) {
  return leaky(c->b, c->in[0], leat_b_muls(c->b, c->in[0], leat_lower_float(c, LEAT_ATTR_SLOPE, 0.01)));
}

LOWER(PRELU) { return leaky(c->b, c->in[0], leat_b_mul(c->b, c->in[0], leat_row_slopes(c->b, c->in[1], c->in[0]))); }

LOWER(ELU) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = wide(c), positive = leat_b_fn2s(b, GT, x, 0.0);
  leat_value_id_t bent = leat_b_fn1(b, EXPM1, leat_b_muls(b, x, leat_lower_float(c, LEAT_ATTR_BETA, 1.0)));
  leat_value_id_t curve = leat_b_muls(b, bent, leat_lower_float(c, LEAT_ATTR_ALPHA, 1.0));
  leat_value_id_t y = leat_b_select(b, positive, x, curve);
  return narrowed(c, leat_b_muls(b, y, leat_lower_float(c, LEAT_ATTR_SCALE, 1.0)));
}

LOWER(SOFTPLUS) {
  leat_builder_t *b = c->b;
  double beta = leat_lower_float(c, LEAT_ATTR_BETA, 1.0);
  leat_value_id_t x = wide(c), scaled = leat_b_muls(b, x, beta);
  leat_value_id_t linear = leat_b_fn2s(b, GT, scaled, leat_lower_float(c, LEAT_ATTR_THRESHOLD, 20.0));
  return narrowed(c, leat_b_select(b, linear, x, leat_b_fn2s(b, DIV, leat_row_softplus(b, scaled), beta)));
}

LOWER(HARDTANH) {
  double low = leat_lower_float(c, LEAT_ATTR_MIN, -1.0), high = leat_lower_float(c, LEAT_ATTR_MAX, 1.0);
  return leat_b_fn2s(c->b, MIN, leat_b_fn2s(c->b, MAX, c->in[0], low), high);
}

static leat_value_id_t between_0_and_6(leat_builder_t *b, leat_value_id_t x) {
  return leat_b_fn2s(b, MIN, leat_b_fn2s(b, MAX, x, 0.0), 6.0);
}

LOWER(HARDSIGMOID) {
  leat_builder_t *b = c->b;
  return narrowed(c, leat_b_fn2s(b, DIV, between_0_and_6(b, leat_b_adds(b, wide(c), 3.0)), 6.0));
}

LOWER(HARDSWISH) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = wide(c), factor = between_0_and_6(b, leat_b_adds(b, x, 3.0));
  return narrowed(c, leat_b_fn2s(b, DIV, leat_b_mul(b, x, factor), 6.0));
}

LOWER(MISH) { return narrowed(c, leat_b_mul(c->b, wide(c), leat_b_fn1(c->b, TANH, leat_row_softplus(c->b, wide(c))))); }

// min(x, 0) - log(1 + exp(-|x|))
LOWER(LOGSIGMOID) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = wide(c), z = leat_b_fn1(b, EXP, leat_b_fn1(b, NEG, leat_b_fn1(b, ABS, x)));
  return narrowed(c, leat_b_sub(b, leat_b_fn2s(b, MIN, x, 0.0), leat_b_fn1(b, LOG1P, z)));
}
