// SPDX-License-Identifier: Apache-2.0
// Activations. Each formula is the one torch documents; kinks have the derivative of torch (zero at zero for relu's
// kin, by comparisons that are strict on the flat side).
#include <math.h>

#include "lower/row.h"

// log(1 + exp(x)) without overflow
static leat_value_id_t softplus(leat_builder_t *b, leat_value_id_t x) {
  leat_value_id_t tail = leat_b_fn1(b, LOG1P, leat_b_fn1(b, EXP, leat_b_fn1(b, NEG, leat_b_fn1(b, ABS, x))));
  return leat_b_add(b, leat_b_fn2s(b, MAX, x, 0.0), tail);
}

LOWER(RELU) { return leat_b_fn2s(c->b, MAX, c->in[0], 0.0); }

LOWER(GELU) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = c->in[0], inner;
  if (strcmp(leat_lower_string(c, LEAT_ATTR_APPROXIMATE, "none"), "tanh") == 0) {
    leat_value_id_t cubic = leat_b_muls(b, leat_b_mul(b, leat_b_square(b, x), x), 0.044715);
    inner = leat_b_fn1(b, TANH, leat_b_muls(b, leat_b_add(b, x, cubic), M_2_SQRTPI * M_SQRT1_2));
  } else {
    inner = leat_b_fn1(b, ERF, leat_b_muls(b, x, M_SQRT1_2));
  }
  return leat_b_mul(b, leat_b_muls(b, x, 0.5), leat_b_adds(b, inner, 1.0));
}

LOWER(SILU) { return leat_b_mul(c->b, c->in[0], leat_b_fn1(c->b, SIGMOID, c->in[0])); }

static leat_value_id_t leaky(leat_builder_t *b, leat_value_id_t x, leat_value_id_t scaled) {
  return leat_b_select(b, leat_b_fn2s(b, GT, x, 0.0), x, scaled);
}

LOWER(LEAKY_RELU) {
  return leaky(c->b, c->in[0], leat_b_muls(c->b, c->in[0], leat_lower_float(c, LEAT_ATTR_SLOPE, 0.01)));
}

// One weight for all, or one a channel (dim 1).
LOWER(PRELU) {
  leat_value_t x = *leat_b_value(c->b, c->in[0]), w = *leat_b_value(c->b, c->in[1]);
  int64_t shape[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < x.rank; d++) shape[d] = d == 1 ? leat_value_elements(&w) : 1;
  leat_value_id_t weight = x.rank > 1 ? leat_b_reshape(c->b, c->in[1], x.rank, shape) : c->in[1];
  return leaky(c->b, c->in[0], leat_b_mul(c->b, c->in[0], weight));
}

// The argument of expm1 is kept off the positive side, where it may overflow and poison the gradient of select.
LOWER(ELU) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = c->in[0], positive = leat_b_fn2s(b, GT, x, 0.0);
  leat_value_id_t negative =
      leat_b_muls(b, leat_b_number_or(b, positive, 0.0, x), leat_lower_float(c, LEAT_ATTR_BETA, 1.0));
  leat_value_id_t curve = leat_b_muls(b, leat_b_fn1(b, EXPM1, negative), leat_lower_float(c, LEAT_ATTR_ALPHA, 1.0));
  leat_value_id_t y = leat_b_select(b, positive, x, curve);
  return leat_b_muls(b, y, leat_lower_float(c, LEAT_ATTR_SCALE, 1.0));
}

LOWER(SOFTPLUS) {
  leat_builder_t *b = c->b;
  double beta = leat_lower_float(c, LEAT_ATTR_BETA, 1.0);
  leat_value_id_t scaled = leat_b_muls(b, c->in[0], beta);
  leat_value_id_t linear = leat_b_fn2s(b, GT, scaled, leat_lower_float(c, LEAT_ATTR_THRESHOLD, 20.0));
  return leat_b_select(b, linear, c->in[0], leat_b_fn2s(b, DIV, softplus(b, scaled), beta));
}

// Select, not clamp: torch's gradient is zero on both borders.
LOWER(HARDTANH) {
  leat_builder_t *b = c->b;
  double low = leat_lower_float(c, LEAT_ATTR_MIN, -1.0), high = leat_lower_float(c, LEAT_ATTR_MAX, 1.0);
  leat_value_id_t below = leat_b_fn2s(b, LE, c->in[0], low), above = leat_b_fn2s(b, GE, c->in[0], high);
  return leat_b_number_or(b, below, low, leat_b_number_or(b, above, high, c->in[0]));
}

LOWER(HARDSIGMOID) {
  leat_builder_t *b = c->b;
  leat_value_id_t line = leat_b_fn2s(b, DIV, leat_b_adds(b, c->in[0], 3.0), 6.0);
  leat_value_id_t below = leat_b_fn2s(b, LE, c->in[0], -3.0), above = leat_b_fn2s(b, GE, c->in[0], 3.0);
  return leat_b_number_or(b, below, 0.0, leat_b_number_or(b, above, 1.0, line));
}

LOWER(HARDSWISH) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = c->in[0];
  leat_value_id_t curve = leat_b_fn2s(b, DIV, leat_b_mul(b, x, leat_b_adds(b, x, 3.0)), 6.0);
  leat_value_id_t below = leat_b_fn2s(b, LE, x, -3.0), above = leat_b_fn2s(b, GE, x, 3.0);
  return leat_b_number_or(b, below, 0.0, leat_b_select(b, above, x, curve));
}

LOWER(MISH) { return leat_b_mul(c->b, c->in[0], leat_b_fn1(c->b, TANH, softplus(c->b, c->in[0]))); }
LOWER(LOGSIGMOID) { return leat_b_fn1(c->b, NEG, softplus(c->b, leat_b_fn1(c->b, NEG, c->in[0]))); }
