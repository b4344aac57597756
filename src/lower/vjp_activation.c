// SPDX-License-Identifier: Apache-2.0
// Gradients of activations: torch's formulas, which stay finite where the pieces of a decomposition overflow, and have
// torch's value at kinks and of NaN. The narrow types are differentiated in f32, as torch does.
#include <math.h>

#include "lower/row.h"

static leat_value_id_t operand(leat_vjp_t *v) { return leat_b_widen(v->b, v->x[0]); }
static leat_value_id_t cotangent(leat_vjp_t *v) { return leat_b_widen(v->b, v->dy[0]); }
static void chain(leat_vjp_t *v, leat_value_id_t slope) { v->dx[0] = leat_b_mul(v->b, cotangent(v), slope); }

// Phi(x) + x phi(x)
static leat_value_id_t gelu_slope(leat_builder_t *b, leat_value_id_t x) {
  leat_value_id_t erf = leat_b_fn1(b, ERF, leat_b_muls(b, x, M_SQRT1_2));
  leat_value_id_t below = leat_b_muls(b, leat_b_adds(b, erf, 1.0), 0.5);
  leat_value_id_t bell = leat_b_fn1(b, EXP, leat_b_muls(b, leat_b_square(b, x), -0.5));
  leat_value_id_t density = leat_b_muls(b, bell, M_2_SQRTPI * M_SQRT1_2 * 0.5);
  return leat_b_add(b, below, leat_b_mul(b, x, density));
}

static leat_value_id_t gelu_tanh_slope(leat_builder_t *b, leat_value_id_t x) {
  const double scale = M_2_SQRTPI * M_SQRT1_2, cubic = 0.044715;
  leat_value_id_t square = leat_b_square(b, x), tanh = leat_row_gelu_tanh(b, x);
  leat_value_id_t left = leat_b_muls(b, leat_b_adds(b, tanh, 1.0), 0.5);
  leat_value_id_t inner = leat_b_muls(b, leat_b_adds(b, leat_b_muls(b, square, 3.0 * cubic), 1.0), scale);
  leat_value_id_t flank = leat_b_mul(b, leat_b_muls(b, x, 0.5), leat_b_sub_from(b, 1.0, leat_b_square(b, tanh)));
  return leat_b_add(b, left, leat_b_mul(b, flank, inner));
}

VJP(GELU) {
  bool by_tanh = leat_vjp_word(v, LEAT_ATTR_APPROXIMATE, LEAT_GELU_EXACT) == LEAT_GELU_TANH;
  chain(v, by_tanh ? gelu_tanh_slope(v->b, operand(v)) : gelu_slope(v->b, operand(v)));
}

// s (1 + x (1 - s))
VJP(SILU) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = operand(v), s = leat_b_fn1(b, SIGMOID, x);
  leat_value_id_t rest = leat_b_mul(b, x, leat_b_sub_from(b, 1.0, s));
  chain(v, leat_b_mul(b, s, leat_b_adds(b, rest, 1.0)));
}

// t + x s (1 - t^2) with t = tanh(softplus(x)), s = sigmoid(x)
VJP(MISH) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = operand(v), t = leat_b_fn1(b, TANH, leat_row_softplus(b, x)), s = leat_b_fn1(b, SIGMOID, x);
  leat_value_id_t rest = leat_b_sub_from(b, 1.0, leat_b_square(b, t));
  chain(v, leat_b_add(b, t, leat_b_mul(b, leat_b_mul(b, x, s), rest)));
}

// An element on the straight side is not multiplied with 0 for the slopes: it may be infinite.
VJP(PRELU) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = v->x[0], dy = v->dy[0], slopes = leat_row_slopes(b, v->x[1], x);
  leat_value_id_t straight = leat_b_fn2s(b, GT, x, 0.0);
  if (v->wants[0]) v->dx[0] = leat_b_select(b, straight, dy, leat_b_mul(b, dy, slopes));
  if (!v->wants[1]) return;
  const leat_value_t shape = *leat_b_value(b, slopes);
  leat_value_id_t each = leat_b_number_or(b, straight, 0.0, leat_b_mul(b, x, dy));
  v->dx[1] = leat_b_reshape_like(b, leat_b_sum_to(b, each, shape.rank, shape.dims), v->x[1]);
}

VJP(ELU) {
  leat_builder_t *b = v->b;
  double alpha = leat_vjp_float(v, LEAT_ATTR_ALPHA, 1.0), scale = leat_vjp_float(v, LEAT_ATTR_SCALE, 1.0);
  double beta = leat_vjp_float(v, LEAT_ATTR_BETA, 1.0);
  leat_value_id_t x = operand(v), curved = leat_b_fn2s(b, LE, x, 0.0);
  leat_value_id_t bent = leat_b_muls(b, leat_b_fn1(b, EXP, leat_b_muls(b, x, beta)), alpha * scale * beta);
  chain(v, leat_b_select(b, curved, bent, leat_b_number_like(b, x, scale)));
}

// z / (1 + z) with z = exp(beta x), 1 where forward is the line
VJP(SOFTPLUS) {
  leat_builder_t *b = v->b;
  leat_value_id_t scaled = leat_b_muls(b, operand(v), leat_vjp_float(v, LEAT_ATTR_BETA, 1.0));
  leat_value_id_t line = leat_b_fn2s(b, GT, scaled, leat_vjp_float(v, LEAT_ATTR_THRESHOLD, 20.0));
  chain(v, leat_b_number_or(b, line, 1.0, leat_b_fn1(b, SIGMOID, scaled)));
}

// sigmoid(-x), from the exponential that does not overflow
VJP(LOGSIGMOID) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = operand(v), z = leat_b_fn1(b, EXP, leat_b_fn1(b, NEG, leat_b_fn1(b, ABS, x)));
  leat_value_id_t share = leat_b_div(b, z, leat_b_adds(b, z, 1.0)), negative = leat_b_fn2s(b, LT, x, 0.0);
  chain(v, leat_b_select(b, negative, leat_b_sub_from(b, 1.0, share), share));
}

// The cotangent where neither `flat` holds; zero of no sign elsewhere.
static void between(leat_vjp_t *v, leat_value_id_t below, leat_value_id_t above, leat_value_id_t inside) {
  v->dx[0] = leat_b_number_or(v->b, leat_b_fn2(v->b, OR, below, above), 0.0, inside);
}

VJP(HARDTANH) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = v->x[0];
  between(v, leat_b_fn2s(b, LE, x, leat_vjp_float(v, LEAT_ATTR_MIN, -1.0)),
          leat_b_fn2s(b, GE, x, leat_vjp_float(v, LEAT_ATTR_MAX, 1.0)), v->dy[0]);
}

// NaN is on neither side of anything: the slope there is 0.
VJP(HARDSIGMOID) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = operand(v), above = leat_b_fn2s(b, GT, x, -3.0), below = leat_b_fn2s(b, LT, x, 3.0);
  leat_value_id_t inside = leat_b_fn2(b, AND, above, below);
  v->dx[0] = leat_b_select_or(b, inside, leat_b_fn2s(b, DIV, cotangent(v), 6.0), 0.0);
}

VJP(HARDSWISH) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = operand(v), dy = cotangent(v);
  leat_value_id_t slope = leat_b_adds(b, leat_b_fn2s(b, DIV, x, 3.0), 0.5);
  leat_value_id_t curve = leat_b_select(b, leat_b_fn2s(b, LT, x, 3.0), leat_b_mul(b, dy, slope), dy);
  v->dx[0] = leat_b_number_or(b, leat_b_fn2s(b, LE, x, -3.0), 0.0, curve);
}
