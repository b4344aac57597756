// SPDX-License-Identifier: Apache-2.0
// Gradients of choices between operands, with torch's conventions on ties, and of powers.
#include "lower/row.h"

static leat_value_id_t masked(leat_vjp_t *v, leat_value_id_t mask) {
  return leat_b_select_or(v->b, mask, v->dy[0], 0.0);
}

// y' = e x^(e-1) for a number e; zero for e = 0.
static void power_of_number(leat_vjp_t *v, double e) {
  leat_builder_t *b = v->b;
  if (e == 0.0)
    v->dx[0] = leat_b_full_like(b, v->x[0], 0.0);
  else
    v->dx[0] = leat_b_mul(b, v->dy[0], leat_b_muls(b, leat_row_power(b, v->x[0], e - 1.0), e));
}

// Base: y' = e x^(e-1), zero where e is zero. Exponent: y' = y log x, zero where x is zero and e >= 0.
VJP(POW) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = v->x[0], e = v->x[1];
  double number;
  if (v->wants[0] && leat_row_splat(b, e, &number)) {
    power_of_number(v, number);
  } else if (v->wants[0]) {
    leat_value_id_t slope = leat_b_mul(b, e, leat_b_fn2(b, POW, x, leat_b_adds(b, e, -1.0)));
    v->dx[0] = leat_b_number_or(b, leat_b_fn2s(b, EQ, e, 0.0), 0.0, leat_b_mul(b, v->dy[0], slope));
  }
  if (v->wants[1]) {
    leat_value_id_t flat = leat_b_fn2(b, AND, leat_b_fn2s(b, EQ, x, 0.0), leat_b_fn2s(b, GE, e, 0.0));
    leat_value_id_t slope = leat_b_mul(b, v->y[0], leat_b_fn1(b, LOG, x));
    v->dx[1] = leat_b_mul(b, v->dy[0], leat_b_number_or(b, flat, 0.0, slope));
  }
}

VJP(LERP) {
  leat_builder_t *b = v->b;
  if (v->wants[0]) v->dx[0] = leat_b_mul(b, v->dy[0], leat_b_sub_from(b, 1.0, v->x[2]));
  if (v->wants[1]) v->dx[1] = leat_b_mul(b, v->dy[0], v->x[2]);
  if (v->wants[2]) v->dx[2] = leat_b_mul(b, v->dy[0], leat_b_sub(b, v->x[1], v->x[0]));
}

VJP(ADDCDIV) {
  leat_builder_t *b = v->b;
  double value = leat_vjp_float(v, LEAT_ATTR_VALUE, 1.0);
  if (v->wants[0]) v->dx[0] = v->dy[0];
  if (v->wants[1]) v->dx[1] = leat_b_mul(b, v->dy[0], leat_b_div(b, leat_b_number_like(b, v->x[2], value), v->x[2]));
  if (v->wants[2]) {
    leat_value_id_t slope = leat_b_div(b, leat_b_muls(b, v->x[1], value), leat_b_square(b, v->x[2]));
    v->dx[2] = leat_b_mul(b, leat_b_fn1(b, NEG, v->dy[0]), slope);
  }
}

// Equal operands share the gradient.
static void pick_extreme(leat_vjp_t *v, leat_scalar_t loses) {
  leat_builder_t *b = v->b;
  leat_value_id_t tie = leat_b_fn2(b, EQ, v->x[0], v->x[1]);
  leat_value_id_t shared = leat_b_select(b, tie, leat_b_muls(b, v->dy[0], 0.5), v->dy[0]);
  if (v->wants[0]) v->dx[0] = leat_b_number_or(b, leat_b_map2(b, loses, v->x[0], v->x[1]), 0.0, shared);
  if (v->wants[1]) v->dx[1] = leat_b_number_or(b, leat_b_map2(b, loses, v->x[1], v->x[0]), 0.0, shared);
}
VJP(MAXIMUM) { pick_extreme(v, LEAT_SCALAR_LT); }
VJP(MINIMUM) { pick_extreme(v, LEAT_SCALAR_GT); }

// A rounded quotient is constant in pieces: see vjp_unary.c.
VJP(DIV) {
  if (leat_vjp_word(v, LEAT_ATTR_ROUNDING, LEAT_ROUNDING_NONE) == LEAT_ROUNDING_NONE) {
    leat_vjp_quotient(v);
    return;
  }
  for (uint32_t i = 0; i < 2; i++) v->dx[i] = leat_b_full_like(v->b, v->x[i], 0.0);
}

VJP(WHERE) {
  leat_value_id_t c = leat_b_cast(v->b, v->x[0], LEAT_BOOL);
  if (v->wants[1]) v->dx[1] = masked(v, c);
  if (v->wants[2]) v->dx[2] = leat_b_number_or(v->b, c, 0.0, v->dy[0]);
}

VJP(MASKED_FILL) {
  if (v->wants[0]) v->dx[0] = leat_b_number_or(v->b, v->x[1], 0.0, v->dy[0]);
  if (v->wants[2]) v->dx[2] = leat_b_cast(v->b, masked(v, v->x[1]), leat_b_dtype(v->b, v->x[2]));
}

// The border as a value: operand or number; LEAT_NONE when open on that side.
static leat_value_id_t border(leat_vjp_t *v, uint32_t operand, leat_attr_key_t key) {
  if (operand < v->x_count && v->x[operand] != LEAT_NONE) return v->x[operand];
  const leat_attr_t *number = leat_op_attr(v->b->graph, &v->op, key);
  return number == NULL ? LEAT_NONE : leat_b_number_like(v->b, v->x[0], number->v.f);
}

// The operand has the gradient on the borders too. Of crossed borders the upper wins.
VJP(CLAMP) {
  leat_builder_t *b = v->b;
  leat_value_id_t low = border(v, 1, LEAT_ATTR_MIN), high = border(v, 2, LEAT_ATTR_MAX);
  bool both = low != LEAT_NONE && high != LEAT_NONE;
  if (v->wants[0]) {
    v->dx[0] = v->dy[0];
    if (low != LEAT_NONE) v->dx[0] = leat_b_select_or(b, leat_b_fn2(b, GE, v->x[0], low), v->dx[0], 0.0);
    if (high != LEAT_NONE) v->dx[0] = leat_b_select_or(b, leat_b_fn2(b, LE, v->x[0], high), v->dx[0], 0.0);
  }
  if (v->x_count > 1 && v->wants[1]) {
    leat_value_id_t below = leat_b_fn2(b, LT, v->x[0], low);
    if (both) below = leat_b_fn2(b, AND, below, leat_b_fn2(b, LT, low, high));
    v->dx[1] = masked(v, below);
  }
  if (v->x_count > 2 && v->wants[2]) {
    leat_value_id_t above = leat_b_fn2(b, GT, v->x[0], high);
    if (both) above = leat_b_fn2(b, OR, above, leat_b_fn2(b, GT, low, high));
    v->dx[2] = masked(v, above);
  }
}
