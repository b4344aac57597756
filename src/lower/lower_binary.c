// SPDX-License-Identifier: Apache-2.0
// Rows of two and three operands, element by element, that are not simply a scalar function. Operands arrive in torch's
// result type.
#include "lower/row.h"

static bool is_bool(const leat_lower_t *c) { return leat_b_dtype(c->b, c->in[0]) == LEAT_BOOL; }

static leat_value_id_t times_attr(leat_lower_t *c, leat_value_id_t x, leat_attr_key_t key) {
  double factor = leat_lower_float(c, key, 1.0);
  return factor == 1.0 ? x : leat_b_muls(c->b, x, factor);
}

// Of equal operands (zeros of either sign) torch's vector code takes the second.
LOWER(MAXIMUM) { return leat_b_fn2(c->b, MAX, c->in[1], c->in[0]); }
LOWER(MINIMUM) { return leat_b_fn2(c->b, MIN, c->in[1], c->in[0]); }

#define LOGICAL(row, fn)                                                                                         \
  LOWER(row) {                                                                                                   \
    return leat_b_fn2(c->b, fn, leat_b_cast(c->b, c->in[0], LEAT_BOOL), leat_b_cast(c->b, c->in[1], LEAT_BOOL)); \
  }
LOGICAL(LOGICAL_AND, AND)
LOGICAL(LOGICAL_OR, OR)
LOGICAL(LOGICAL_XOR, XOR)
#undef LOGICAL

// On bool, sum is "or" and product is "and".
LOWER(ADD) {
  if (is_bool(c)) return leat_b_fn2(c->b, OR, c->in[0], c->in[1]);
  return leat_b_add(c->b, c->in[0], times_attr(c, c->in[1], LEAT_ATTR_ALPHA));
}
LOWER(MUL) {
  if (is_bool(c)) return leat_b_fn2(c->b, AND, c->in[0], c->in[1]);
  return leat_b_mul(c->b, c->in[0], c->in[1]);
}
LOWER(SUB) { return leat_b_sub(c->b, c->in[0], times_attr(c, c->in[1], LEAT_ATTR_ALPHA)); }
LOWER(RSUB) { return leat_b_sub(c->b, c->in[1], times_attr(c, c->in[0], LEAT_ATTR_ALPHA)); }

LOWER(DIV) {
  const leat_rounding_t rounding = leat_lower_word(c, LEAT_ATTR_ROUNDING, LEAT_ROUNDING_NONE);
  if (rounding == LEAT_ROUNDING_FLOOR)  // whole already
    return leat_b_fn1(c->b, FLOOR, leat_b_floor_div(c->b, c->in[0], c->in[1]));
  leat_value_id_t quotient = leat_b_div(c->b, c->in[0], c->in[1]);
  return rounding == LEAT_ROUNDING_TRUNC ? leat_b_fn1(c->b, TRUNC, quotient) : quotient;
}

// Exponents that torch computes without pow. The exponent of a number arrives as a splat.
LOWER(POW) {
  double exponent;
  if (!leat_dtype_is_float(leat_b_dtype(c->b, c->in[0])) || !leat_row_splat(c->b, c->in[1], &exponent))
    return leat_b_fn2(c->b, POW, c->in[0], c->in[1]);
  return leat_row_power(c->b, c->in[0], exponent);
}

LOWER(WHERE) { return leat_b_select(c->b, leat_b_cast(c->b, c->in[0], LEAT_BOOL), c->in[1], c->in[2]); }

LOWER(MASKED_FILL) {
  return leat_b_select(c->b, c->in[1], leat_b_cast(c->b, c->in[2], leat_b_dtype(c->b, c->in[0])), c->in[0]);
}

// First the lower border, then the upper: with min > max everything is max. Of equal zeros x stays, but for a tensor
// that is the only border.
LOWER(CLAMP) {
  const leat_attr_key_t keys[2] = {LEAT_ATTR_MIN, LEAT_ATTR_MAX};
  const leat_scalar_t fns[2] = {LEAT_SCALAR_MAX, LEAT_SCALAR_MIN};
  leat_value_id_t y = c->in[0];
  for (uint32_t side = 0; side < 2; side++) {
    leat_value_id_t border = leat_lower_in(c, side + 1);
    const leat_attr_t *number = leat_op_attr(c->from, c->op, keys[side]);
    bool alone = leat_lower_in(c, 2 - side) == LEAT_NONE;
    if (border != LEAT_NONE)
      y = alone ? leat_b_map2(c->b, fns[side], border, y) : leat_b_map2(c->b, fns[side], y, border);
    else if (number != NULL)
      y = leat_b_map2s(c->b, fns[side], y, number->v.f);
  }
  return y;
}

// torch keeps the end exact: from weight 1/2 on it counts back from `end`. It rounds the product and the sum at once.
LOWER(LERP) {
  leat_builder_t *b = c->b;
  leat_value_id_t start = leat_b_widen(b, c->in[0]), end = leat_b_widen(b, c->in[1]),
                  weight = leat_b_widen(b, c->in[2]);
  leat_value_id_t small = leat_b_fn2s(b, LT, leat_b_fn1(b, ABS, weight), 0.5);
  leat_value_id_t factor = leat_b_select(b, small, weight, leat_b_adds(b, weight, -1.0));
  leat_value_id_t base = leat_b_select(b, small, start, end);
  leat_value_id_t y = leat_b_map3(b, LEAT_SCALAR_FMA, factor, leat_b_sub(b, end, start), base);
  return leat_b_cast(b, y, leat_lower_dtype(c, 0));
}

LOWER(ADDCMUL) {  // one rounding, as torch's vector code
  return leat_b_map3(c->b, LEAT_SCALAR_FMA, times_attr(c, c->in[1], LEAT_ATTR_VALUE), c->in[2], c->in[0]);
}
LOWER(ADDCDIV) {
  leat_value_id_t quotient = leat_b_div(c->b, times_attr(c, c->in[1], LEAT_ATTR_VALUE), c->in[2]);
  return leat_b_add(c->b, c->in[0], quotient);
}
