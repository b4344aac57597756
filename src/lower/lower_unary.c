// SPDX-License-Identifier: Apache-2.0
// Rows of one operand, element by element, that are not simply a scalar function.
#include <math.h>

#include "lower/row.h"

LOWER(SQUARE) { return leat_b_square(c->b, c->in[0]); }
LOWER(LOGICAL_NOT) { return leat_b_fn1(c->b, NOT, leat_b_cast(c->b, c->in[0], LEAT_BOOL)); }

// x - x is zero for finite numbers only, and NaN for the rest.
LOWER(ISFINITE) { return leat_b_fn2s(c->b, EQ, leat_b_sub(c->b, c->in[0], c->in[0]), 0.0); }

LOWER(ISINF) {
  if (!leat_dtype_is_float(leat_b_dtype(c->b, c->in[0])))
    return leat_b_fn2(c->b, NE, c->in[0], c->in[0]);  // integers never are
  return leat_b_fn2s(c->b, EQ, leat_b_fn1(c->b, ABS, c->in[0]), (double)INFINITY);
}
