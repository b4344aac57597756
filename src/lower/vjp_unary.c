// SPDX-License-Identifier: Apache-2.0
// Gradients from the result instead of the operand: cheaper, and what torch does. And zeros of what is constant in
// pieces: they are a cotangent, which becomes NaN in the ops before it where those have an infinite slope.
#include "lower/row.h"

static void flat(leat_vjp_t *v) { v->dx[0] = leat_b_full_like(v->b, v->x[0], 0.0); }
VJP(SIGN) { flat(v); }
VJP(FLOOR) { flat(v); }
VJP(CEIL) { flat(v); }
VJP(TRUNC) { flat(v); }
VJP(ROUND) { flat(v); }

VJP(TANH) { v->dx[0] = leat_b_mul(v->b, v->dy[0], leat_b_sub_from(v->b, 1.0, leat_b_square(v->b, v->y[0]))); }

VJP(SIGMOID) {
  leat_value_id_t slope = leat_b_mul(v->b, v->y[0], leat_b_sub_from(v->b, 1.0, v->y[0]));
  v->dx[0] = leat_b_mul(v->b, v->dy[0], slope);
}

VJP(RELU) { v->dx[0] = leat_b_number_or(v->b, leat_b_fn2s(v->b, LE, v->y[0], 0.0), 0.0, v->dy[0]); }  // NaN passes
