// SPDX-License-Identifier: Apache-2.0
// Gradient of the primitive `map`: one derivative a row of scalar.def. Cotangents may keep the broadcast shape.
#include <math.h>

#include "grad/rules.h"

// D(EXP) { .. }: reads v->x, v->y[0], v->dy[0], writes v->dx.
#define D(row) static void d_##row(leat_vjp_t *v)
#define FLAT(row) \
  D(row) { (void)v; }
#define DY (v->dy[0])

// Constant in pieces, or not a function of floats.
FLAT(STOP)
FLAT(SIGN)
FLAT(FLOOR)
FLAT(CEIL)
FLAT(TRUNC)
FLAT(ROUND)
FLAT(NOT)
FLAT(ISNAN)
FLAT(DITHER)
FLAT(FLOORDIV)
FLAT(EQ)
FLAT(NE)
FLAT(LT)
FLAT(LE)
FLAT(GT)
FLAT(GE)
FLAT(AND)
FLAT(OR)
FLAT(XOR)
FLAT(SHL)
FLAT(SHR)

// dx = dy * slope
static void chain(leat_vjp_t *v, leat_value_id_t slope) { v->dx[0] = leat_b_mul(v->b, DY, slope); }
static leat_value_id_t fn(leat_vjp_t *v, leat_scalar_t f) { return leat_b_map1(v->b, f, v->x[0]); }

D(COPY) { v->dx[0] = DY; }
D(CAST) { v->dx[0] = leat_b_cast(v->b, DY, leat_b_dtype(v->b, v->x[0])); }
D(NEG) { v->dx[0] = leat_b_fn1(v->b, NEG, DY); }
D(ABS) { chain(v, fn(v, LEAT_SCALAR_SIGN)); }
D(EXP) { chain(v, v->y[0]); }
D(EXPM1) { chain(v, leat_b_adds(v->b, v->y[0], 1.0)); }
D(EXP2) { chain(v, leat_b_muls(v->b, v->y[0], M_LN2)); }
D(LOG) { v->dx[0] = leat_b_div(v->b, DY, v->x[0]); }
D(LOG1P) { v->dx[0] = leat_b_div(v->b, DY, leat_b_adds(v->b, v->x[0], 1.0)); }
D(LOG2) { v->dx[0] = leat_b_div(v->b, DY, leat_b_muls(v->b, v->x[0], M_LN2)); }
D(LOG10) { v->dx[0] = leat_b_div(v->b, DY, leat_b_muls(v->b, v->x[0], M_LN10)); }
D(SQRT) { v->dx[0] = leat_b_div(v->b, DY, leat_b_muls(v->b, v->y[0], 2.0)); }
D(RSQRT) { chain(v, leat_b_muls(v->b, leat_b_mul(v->b, leat_b_square(v->b, v->y[0]), v->y[0]), -0.5)); }
D(RECIP) { chain(v, leat_b_fn1(v->b, NEG, leat_b_square(v->b, v->y[0]))); }
D(SIN) { chain(v, fn(v, LEAT_SCALAR_COS)); }
D(COS) { chain(v, leat_b_fn1(v->b, NEG, fn(v, LEAT_SCALAR_SIN))); }
D(TAN) { chain(v, leat_b_adds(v->b, leat_b_square(v->b, v->y[0]), 1.0)); }
D(ASIN) { chain(v, leat_b_fn1(v->b, RSQRT, leat_b_sub_from(v->b, 1.0, leat_b_square(v->b, v->x[0])))); }
D(ACOS) {
  d_ASIN(v);
  v->dx[0] = leat_b_fn1(v->b, NEG, v->dx[0]);
}
D(ATAN) { v->dx[0] = leat_b_div(v->b, DY, leat_b_adds(v->b, leat_b_square(v->b, v->x[0]), 1.0)); }
D(SINH) { chain(v, fn(v, LEAT_SCALAR_COSH)); }
D(COSH) { chain(v, fn(v, LEAT_SCALAR_SINH)); }
// dx = dy / sqrt(x * x + number)
static void over_root(leat_vjp_t *v, double number) {
  chain(v, leat_b_fn1(v->b, RSQRT, leat_b_adds(v->b, leat_b_square(v->b, v->x[0]), number)));
}
D(ASINH) { over_root(v, 1.0); }
D(ACOSH) { over_root(v, -1.0); }
D(ATANH) { v->dx[0] = leat_b_div(v->b, DY, leat_b_sub_from(v->b, 1.0, leat_b_square(v->b, v->x[0]))); }
D(TANH) { chain(v, leat_b_sub_from(v->b, 1.0, leat_b_square(v->b, v->y[0]))); }
D(SIGMOID) { chain(v, leat_b_mul(v->b, v->y[0], leat_b_sub_from(v->b, 1.0, v->y[0]))); }
D(ERF) {
  leat_value_id_t bell = leat_b_fn1(v->b, EXP, leat_b_fn1(v->b, NEG, leat_b_square(v->b, v->x[0])));
  chain(v, leat_b_muls(v->b, bell, M_2_SQRTPI));
}

D(ERFC) {
  leat_value_id_t bell = leat_b_fn1(v->b, EXP, leat_b_fn1(v->b, NEG, leat_b_square(v->b, v->x[0])));
  chain(v, leat_b_muls(v->b, bell, -M_2_SQRTPI));
}

D(ADD) { v->dx[0] = v->dx[1] = DY; }
D(SUB) {
  v->dx[0] = DY;
  if (v->wants[1]) v->dx[1] = leat_b_fn1(v->b, NEG, DY);
}
D(MUL) {
  if (v->wants[0]) v->dx[0] = leat_b_mul(v->b, DY, v->x[1]);
  if (v->wants[1]) v->dx[1] = leat_b_mul(v->b, DY, v->x[0]);
}
D(DIV) { leat_vjp_quotient(v); }

// y = a - n * b with a whole number n that is constant in pieces.
static void remainder_of(leat_vjp_t *v, leat_scalar_t rounding) {
  v->dx[0] = DY;
  if (!v->wants[1]) return;
  leat_value_id_t n = rounding == LEAT_SCALAR_FLOOR ? leat_b_floor_div(v->b, v->x[0], v->x[1])
                                                    : leat_b_fn1(v->b, TRUNC, leat_b_div(v->b, v->x[0], v->x[1]));
  v->dx[1] = leat_b_fn1(v->b, NEG, leat_b_mul(v->b, DY, n));
}
D(FMOD) { remainder_of(v, LEAT_SCALAR_TRUNC); }
D(REM) { remainder_of(v, LEAT_SCALAR_FLOOR); }

D(POW) {
  leat_builder_t *b = v->b;
  if (v->wants[0]) {
    leat_value_id_t slope = leat_b_mul(b, v->x[1], leat_b_fn2(b, POW, v->x[0], leat_b_adds(b, v->x[1], -1.0)));
    v->dx[0] = leat_b_number_or(b, leat_b_fn2s(b, EQ, v->x[1], 0.0), 0.0, leat_b_mul(b, DY, slope));
  }
  if (v->wants[1]) {
    leat_value_id_t slope = leat_b_mul(b, v->y[0], leat_b_fn1(b, LOG, v->x[0]));
    v->dx[1] = leat_b_mul(b, DY, leat_b_number_or(b, leat_b_fn2s(b, EQ, v->x[0], 0.0), 0.0, slope));
  }
}

// Equal operands share, so that max(x,0) + log1p(exp(-|x|)) has its slope 1/2 at zero.
static void extreme(leat_vjp_t *v, leat_scalar_t loses) {
  leat_builder_t *b = v->b;
  leat_value_id_t tie = leat_b_fn2(b, EQ, v->x[0], v->x[1]);
  leat_value_id_t shared = leat_b_select(b, tie, leat_b_muls(b, DY, 0.5), DY);
  for (uint32_t i = 0; i < 2; i++)
    if (v->wants[i]) v->dx[i] = leat_b_number_or(b, leat_b_map2(b, loses, v->x[i], v->x[1 - i]), 0.0, shared);
}
D(MAX) { extreme(v, LEAT_SCALAR_LT); }
D(MIN) { extreme(v, LEAT_SCALAR_GT); }

D(ATAN2) {
  leat_builder_t *b = v->b;
  leat_value_id_t square = leat_b_add(b, leat_b_square(b, v->x[0]), leat_b_square(b, v->x[1]));
  leat_value_id_t r = leat_b_number_or(b, leat_b_fn2s(b, EQ, square, 0.0), 0.0, leat_b_fn1(b, RECIP, square));
  if (v->wants[0]) v->dx[0] = leat_b_mul(b, leat_b_mul(b, DY, v->x[1]), r);
  if (v->wants[1]) v->dx[1] = leat_b_mul(b, leat_b_mul(b, DY, leat_b_fn1(b, NEG, v->x[0])), r);
}

D(SELECT) {
  if (v->wants[1]) v->dx[1] = leat_b_select_or(v->b, v->x[0], DY, 0.0);
  if (v->wants[2]) v->dx[2] = leat_b_number_or(v->b, v->x[0], 0.0, DY);
}
D(FMA) {
  if (v->wants[0]) v->dx[0] = leat_b_mul(v->b, DY, v->x[1]);
  if (v->wants[1]) v->dx[1] = leat_b_mul(v->b, DY, v->x[0]);
  v->dx[2] = DY;
}

PRIM_VJP(MAP) {
  static const leat_vjp_rule_t derivatives[LEAT_SCALAR_COUNT] = {
#define SCALAR(e, ...) d_##e,
#include "ir/scalar.def"
#undef SCALAR
  };
  derivatives[leat_op_scalar(v->b->graph, &v->op)](v);
}
