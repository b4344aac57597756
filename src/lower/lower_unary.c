// SPDX-License-Identifier: Apache-2.0
// Rows of one operand, element by element.
#include <math.h>

#include "lower/row.h"

#define UNARY(row, fn) \
  LOWER(row) { return leat_b_fn1(c->b, fn, c->in[0]); }
UNARY(NEG, NEG)
UNARY(ABS, ABS)
UNARY(SIGN, SIGN)
UNARY(FLOOR, FLOOR)
UNARY(CEIL, CEIL)
UNARY(TRUNC, TRUNC)
UNARY(ROUND, ROUND)
UNARY(EXP, EXP)
UNARY(EXPM1, EXPM1)
UNARY(LOG, LOG)
UNARY(LOG1P, LOG1P)
UNARY(LOG2, LOG2)
UNARY(LOG10, LOG10)
UNARY(SQRT, SQRT)
UNARY(RSQRT, RSQRT)
UNARY(RECIPROCAL, RECIP)
UNARY(SIN, SIN)
UNARY(COS, COS)
UNARY(TAN, TAN)
UNARY(ASIN, ASIN)
UNARY(ACOS, ACOS)
UNARY(ATAN, ATAN)
UNARY(SINH, SINH)
UNARY(COSH, COSH)
UNARY(TANH, TANH)
UNARY(SIGMOID, SIGMOID)
UNARY(ERF, ERF)
UNARY(ERFC, ERFC)
UNARY(BITWISE_NOT, NOT)
UNARY(ISNAN, ISNAN)
#undef UNARY

LOWER(SQUARE) { return leat_b_square(c->b, c->in[0]); }
LOWER(LOGICAL_NOT) { return leat_b_fn1(c->b, NOT, leat_b_cast(c->b, c->in[0], LEAT_BOOL)); }

// x - x is zero for finite numbers only, and NaN for the rest.
LOWER(ISFINITE) { return leat_b_fn2s(c->b, EQ, leat_b_sub(c->b, c->in[0], c->in[0]), 0.0); }

LOWER(ISINF) {
  if (!leat_dtype_is_float(leat_b_dtype(c->b, c->in[0])))
    return leat_b_fn2(c->b, NE, c->in[0], c->in[0]);  // integers never are
  return leat_b_fn2s(c->b, EQ, leat_b_fn1(c->b, ABS, c->in[0]), (double)INFINITY);
}
