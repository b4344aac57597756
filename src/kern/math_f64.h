// SPDX-License-Identifier: Apache-2.0
// Elementary functions on vectors of doubles: relative error below 1e-14 (most below 4e-16), exact limits, infinities,
// NaN in NaN out, denormal results rounded. Only + - * / and sqrt and integer operations, so that every ISA level gives
// the same bits. Polynomials are interpolations at Chebyshev nodes in 60-digit arithmetic, coefficients ascending.
#ifndef LEAT_KERN_MATH_F64_H_
#define LEAT_KERN_MATH_F64_H_

#include "kern/vec.h"

#define F64_INF __builtin_inf()
#define F64_NAN __builtin_nan("")
#define F64_SIGN ((int64_t)(1ull << 63))

VEC_INLINE vf64_t vf64_abs(vf64_t x) { return (vf64_t)((vi64_t)x & ~F64_SIGN); }
VEC_INLINE vf64_t vf64_copysign(vf64_t x, vf64_t sign) {
  return (vf64_t)(((vi64_t)x & ~F64_SIGN) | ((vi64_t)sign & F64_SIGN));
}

#define VF64_POLY(x, ...) vf64_poly(x, (const double[]){__VA_ARGS__}, sizeof((double[]){__VA_ARGS__}) / sizeof(double))
VEC_INLINE vf64_t vf64_poly(vf64_t x, const double *c, size_t n) {
  vf64_t r = vf64_splat(c[n - 1]);
#pragma GCC unroll 16  // coefficients become operands: without it they are loaded and branched over one by one
  for (size_t i = n - 1; i-- > 0;) r = r * x + c[i];
  return r;
}

// Round to nearest even, as a double; the sign of zero is kept.
VEC_INLINE vf64_t vf64_round(vf64_t x) {
  const double magic = 0x1p52;
  vf64_t a = vf64_abs(x), r = (a + magic) - magic;
  return vf64_select(a < magic, vf64_copysign(r, x), x);
}
VEC_INLINE vf64_t vf64_trunc(vf64_t x) {
  vf64_t a = vf64_abs(x), r = vf64_round(a);
  r = vf64_select(r > a, r - 1.0, r);
  return vf64_copysign(r, x);
}
VEC_INLINE vf64_t vf64_floor(vf64_t x) {
  vf64_t r = vf64_round(x);
  return vf64_copysign(vf64_select(r > x, r - 1.0, r), x);
}
VEC_INLINE vf64_t vf64_ceil(vf64_t x) {
  vf64_t r = vf64_round(x);
  return vf64_copysign(vf64_select(r < x, r + 1.0, r), x);
}

// x * 2^n for whole n in [-2100, 2100], in two steps, so that denormal results are rounded once.
VEC_INLINE vf64_t vf64_scale(vf64_t x, vf64_t n) {
  vi64_t k = __builtin_convertvector(n, vi64_t), half = k >> 1;
  vf64_t a = (vf64_t)((half + 1023) << 52), b = (vf64_t)((k - half + 1023) << 52);
  return x * a * b;
}

// exp(x) = 2^n (1 + p) with p = expm1 of the rest; |x| <= 746.
VEC_INLINE vf64_t vf64_exp_parts(vf64_t x, vf64_t low, vf64_t *out_n) {
  vf64_t n = vf64_round(x * 0x1.71547652b82fep+0);
  vf64_t r = (x - n * 0x1.62e42feep-1) - (n * 0x1.a39ef35793c76p-33 - low);
  *out_n = n;
  return r + r * r *
                 VF64_POLY(r, 0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333325544, 0.0013888888888883327,
                           0.00019841269876864356, 2.4801587327007187e-05, 2.755725283351691e-06, 2.75572718102198e-07,
                           2.5106274733573296e-08, 2.0915442297780116e-09);
}
VEC_INLINE vf64_t vf64_clamp(vf64_t x, double low, double high) {  // NaN becomes high
  return vf64_greater(vf64_lesser(x, vf64_splat(high)), vf64_splat(low));
}
VEC_INLINE vf64_t vf64_exp_sum(vf64_t x, vf64_t low) {  // exp(x + low)
  vf64_t n, p = vf64_exp_parts(vf64_clamp(x, -746.0, 710.0), low, &n);
  vf64_t r = vf64_scale(1.0 + p, n);
  return vf64_select(x == x, r, x);
}
VEC_INLINE vf64_t vf64_exp(vf64_t x) { return vf64_exp_sum(x, vf64_splat(0.0)); }
VEC_INLINE vf64_t vf64_exp2(vf64_t x) {
  vf64_t a = vf64_clamp(x, -1100.0, 1030.0), whole = vf64_round(a), rest = a - whole, n;
  vf64_t p = vf64_exp_parts(rest * 0x1.62e42fefa39efp-1, rest * 0x1.abc9e3b39803fp-56, &n);
  return vf64_select(x == x, vf64_scale(1.0 + p, whole + n), x);
}
VEC_INLINE vf64_t vf64_expm1(vf64_t x) {
  vf64_t n, p = vf64_exp_parts(vf64_clamp(x, -60.0, 710.0), vf64_splat(0.0), &n);
  vf64_t scaled = vf64_scale(p, n);
  vf64_t r = vf64_select(n > 60.0, vf64_scale(1.0 + p, n), scaled + (vf64_scale(vf64_splat(1.0), n) - 1.0));
  r = vf64_select(x < -60.0, vf64_splat(-1.0), r);
  r = vf64_select(n == 0.0, p, r);
  return vf64_select((x == x) & (x != 0.0), r, x);
}

// x = m * 2^e with m in [sqrt(1/2), sqrt(2)), for finite x > 0.
VEC_INLINE vf64_t vf64_split(vf64_t x, vf64_t *out_e) {
  vi64_t tiny = x < 0x1p-1022;
  x = vf64_select(tiny, x * 0x1p54, x);
  vi64_t bits = (vi64_t)((vu64_t)x - 0x3fe6a09e667f3bcdu);  // of sqrt(1/2)
  vi64_t e = bits >> 52;
  *out_e = __builtin_convertvector(e, vf64_t) - vf64_select(tiny, vf64_splat(54.0), vf64_splat(0.0));
  return (vf64_t)((bits & 0x000fffffffffffff) + 0x3fe6a09e667f3bcd);
}
// log(1 + f) - f + f*f/2 for the f of a split; s = f / (2 + f).
VEC_INLINE vf64_t vf64_log_tail(vf64_t f) {
  vf64_t s = f / (2.0 + f), z = s * s;
  vf64_t r = z * VF64_POLY(z, 0.6666666666666666, 0.40000000000000885, 0.28571428570799784, 0.22222222392581045,
                           0.18181795547521132, 0.15386244737621896, 0.1326863836926161, 0.13088034850974767);
  return s * (0.5 * f * f + r);
}
VEC_INLINE vf64_t vf64_log_limits(vf64_t x, vf64_t r) {
  r = vf64_select(x == 0.0, vf64_splat(-F64_INF), r);
  r = vf64_select(x < 0.0, vf64_splat(F64_NAN), r);
  return vf64_select((x == F64_INF) | (x != x), x, r);
}
VEC_INLINE vf64_t vf64_log_finite(vf64_t x) {
  vf64_t e, f = vf64_split(x, &e) - 1.0;
  vf64_t low = vf64_log_tail(f) + e * 0x1.a39ef35793c76p-33;
  return e * 0x1.62e42feep-1 - ((0.5 * f * f - low) - f);
}
VEC_INLINE vf64_t vf64_log(vf64_t x) { return vf64_log_limits(x, vf64_log_finite(x)); }
VEC_INLINE vf64_t vf64_log1p(vf64_t x) {
  vf64_t u = 1.0 + x;
  vf64_t correction = vf64_select(x < 1.0, x - (u - 1.0), 1.0 - (u - x)) / u;
  vf64_t r = vf64_log_finite(u) + vf64_select(u < 0x1p60, correction, vf64_splat(0.0));
  r = vf64_log_limits(u, r);
  return vf64_select(vf64_abs(x) < 0x1p-54, x, r);
}
VEC_INLINE vf64_t vf64_log2(vf64_t x) {
  vf64_t e, f = vf64_split(x, &e) - 1.0;
  vf64_t log_m = f - (0.5 * f * f - vf64_log_tail(f));
  return vf64_log_limits(x, e + (log_m * 0x1.71547652b82fep+0 + log_m * 0x1.777d0ffda0d24p-56));
}
VEC_INLINE vf64_t vf64_log10(vf64_t x) {
  vf64_t e, f = vf64_split(x, &e) - 1.0;
  vf64_t log_m = f - (0.5 * f * f - vf64_log_tail(f));
  vf64_t high = e * 0x1.34413509f7p-2;  // log10(2) with room for e; its rest follows
  return vf64_log_limits(x, high + (log_m * 0x1.bcb7b1526e50ep-2 + e * 0x1.3fde623e2566bp-43));
}

VEC_INLINE vf64_t vf64_sinh(vf64_t x) {
  vf64_t a = vf64_abs(x), t = vf64_expm1(vf64_clamp(a, 0.0, 30.0)), e = vf64_exp(0.5 * a);
  vf64_t r = vf64_select(a < 30.0, 0.5 * (t + t / (t + 1.0)), 0.5 * e * e);
  return vf64_select(x == x, vf64_copysign(r, x), x);
}
VEC_INLINE vf64_t vf64_cosh(vf64_t x) {
  vf64_t e = vf64_exp(0.5 * vf64_abs(x));
  vf64_t small = e * e;
  return vf64_select(vf64_abs(x) < 30.0, 0.5 * small + 0.5 / small, 0.5 * e * e);
}
// log(2 a) where the square of a says nothing more.
VEC_INLINE vf64_t vf64_log_of_twice(vf64_t a) { return vf64_log(a) + 0x1.62e42fefa39efp-1; }
VEC_INLINE vf64_t vf64_asinh(vf64_t x) {
  vf64_t a = vf64_abs(x), b = vf64_clamp(a, 0.0, 0x1p28), z = b * b;
  vf64_t near = vf64_log1p(b + z / (1.0 + vf64_sqrt(1.0 + z)));
  return vf64_select(x == x, vf64_copysign(vf64_select(a < 0x1p28, near, vf64_log_of_twice(a)), x), x);
}
VEC_INLINE vf64_t vf64_acosh(vf64_t x) {
  vf64_t t = vf64_clamp(x, 1.0, 0x1p28) - 1.0;
  vf64_t near = vf64_log1p(t + vf64_sqrt(t * (2.0 + t)));
  vf64_t r = vf64_select(x < 0x1p28, near, vf64_log_of_twice(x));
  return vf64_select(x >= 1.0, r, vf64_splat(F64_NAN));
}
VEC_INLINE vf64_t vf64_atanh(vf64_t x) {
  vf64_t a = vf64_abs(x);
  vf64_t r = vf64_copysign(0.5 * vf64_log1p(2.0 * a / (1.0 - a)), x);
  return vf64_select(a <= 1.0, vf64_select(x == 0.0, x, r), vf64_splat(F64_NAN));
}
typedef union dither_bits_u {
  float f;
  uint32_t u;
} dither_bits_t;
// Of a rounded to float, which has the result, too: math_f32.h.
VEC_INLINE double dither_of(double a, double b) {
  const float last = 0x1.fffffep-1f, least = (float)b < last ? (float)b : last, share = least > 0.0f ? least : 0.0f;
  const dither_bits_t bits = {.f = (float)a};
  const dither_bits_t sum = {.u = (bits.u + (uint32_t)(share * 0x1p16f)) & 0xffff0000u};
  return (bits.u & 0x7f800000u) == 0x7f800000u ? bits.f : sum.f;
}
VEC_INLINE vf64_t vf64_dither(vf64_t a, vf64_t b) {
  vf64_t r = a;
  for (int i = 0; i < VF64_LANES; i++) r[i] = dither_of(a[i], b[i]);
  return r;
}
VEC_INLINE vf64_t vf64_tanh(vf64_t x) {
  vf64_t t = vf64_expm1(-2.0 * vf64_abs(x));
  return vf64_select((x == x) & (x != 0.0), vf64_copysign(-t / (t + 2.0), x), x);
}
VEC_INLINE vf64_t vf64_sigmoid(vf64_t x) {
  vf64_t e = vf64_exp(-vf64_abs(x));
  return vf64_select(x >= 0.0, vf64_splat(1.0), e) / (1.0 + e);
}

VEC_INLINE vf64_t vf64_erf_small(vf64_t x) {  // |x| < 1
  return x * VF64_POLY(x * x, 1.1283791670955126, -0.37612638903183754, 0.1128379167095512, -0.02686617064512984,
                       0.0052239776254232985, -0.000854832702193483, 0.00012055332902888736, -1.4925647567519332e-05,
                       1.6462045441468418e-06, -1.6364642158167616e-07, 1.4792401209404813e-08, -1.216456005728345e-09,
                       8.709045129053106e-11, -4.230945824295338e-12);
}
VEC_INLINE vf64_t vf64_erf(vf64_t x) {
  vf64_t a = vf64_abs(x), small = vf64_erf_small(x);
  vf64_t b = vf64_clamp(a, 1.0, 6.0);
  vf64_t t = (b - 2.3) / (b + 2.3);  // erfc(b) = exp(-b*b) g(t)
  vf64_t g = VF64_POLY(t, 0.22674156216755917, -0.39269271317380555, 0.25046983691288405, -0.10951296689412646,
                       0.025379733224680134, 0.0021707900247694293, -0.0029274628424118283, 3.5936361777768024e-05,
                       0.00038978060176741026, 4.829424127929123e-06, -6.2284334224841e-05, -8.76565370291202e-06,
                       9.94901805325594e-06, 3.81058234014119e-06, -1.0979009694693724e-06, -1.1344664992039497e-06,
                       -4.685890596796179e-08, 2.405311715728337e-07);
  vf64_t large = vf64_copysign(1.0 - vf64_exp(-b * b) * g, x);
  return vf64_select(x == x, vf64_select(a < 1.0, small, large), x);
}

// Keeps its relative precision in the tail: erfc(b) = exp(-b*b) p(t) / (1 + 2 b) for b >= 1, the square in two parts.
VEC_INLINE vf64_t vf64_erfc(vf64_t x) {
  vf64_t a = vf64_abs(x), b = vf64_clamp(a, 1.0, 27.5), t = (b - 4.0) / (b + 4.0);
  vf64_t p = VF64_POLY(t, 1.2329951186255526, -0.13962111684056205, 0.015379652102624762, 0.06809705425462456,
                       -0.10103906603666743, 0.09373283500137809, -0.06633036580232679, 0.037167515475114224,
                       -0.01619773418944693, 0.005031970687386567, -0.000757772338836325, -0.0001992615314386137,
                       0.0001506179128514562, -2.4378822903688414e-05, -1.12147708369415e-05, 5.657058406530793e-06,
                       2.917998185791329e-07, -7.467713716360366e-07, 5.977663734804956e-08, 5.1708352989939034e-08);
  vf64_t high = (vf64_t)((vi64_t)b & ~(vi64_t){0} << 27);
  vf64_t tail = vf64_exp_sum(-high * high, -(b - high) * (b + high)) * (p / (1.0 + 2.0 * b));
  vf64_t far = vf64_select(x < 0.0, 2.0 - tail, tail);
  return vf64_select(x == x, vf64_select(a < 1.0, 1.0 - vf64_erf_small(x), far), x);
}

VEC_INLINE vf64_t vf64_atan(vf64_t x) {
  vf64_t a = vf64_abs(x);
  vi64_t far = a > 2.414213562373095, mid = (a > 0.4142135623730951) & ~far;
  vf64_t u = vf64_select(far, -1.0 / a, vf64_select(mid, (a - 1.0) / (a + 1.0), a));
  vf64_t base = vf64_select(far, vf64_splat(0x1.921fb54442d18p+0),
                            vf64_select(mid, vf64_splat(0x1.921fb54442d18p-1), vf64_splat(0.0)));
  vf64_t rest = vf64_select(far, vf64_splat(0x1.1a62633145c07p-54),
                            vf64_select(mid, vf64_splat(0x1.1a62633145c07p-55), vf64_splat(0.0)));
  vf64_t z = u * u;
  vf64_t p = u * z *
             VF64_POLY(z, -0.3333333333333333, 0.1999999999999548, -0.14285714284657894, 0.11111111014561013,
                       -0.09090904549884611, 0.07692182535116648, -0.06664502215671446, 0.058580687568615036,
                       -0.05085030492810908, 0.03921955253255045, -0.019162068915901647);
  vf64_t r = base + (u + (p + rest));
  return vf64_select(x == x, vf64_copysign(r, x), x);
}
VEC_INLINE vf64_t vf64_asin(vf64_t x) {
  return vf64_select(x == 0.0, x, vf64_atan(x / vf64_sqrt((1.0 - x) * (1.0 + x))));
}
VEC_INLINE vf64_t vf64_acos(vf64_t x) { return 2.0 * vf64_atan(vf64_sqrt(1.0 - x) / vf64_sqrt(1.0 + x)); }
VEC_INLINE vf64_t vf64_atan2(vf64_t y, vf64_t x) {
  vf64_t ay = vf64_abs(y), ax = vf64_abs(x);
  vi64_t both_inf = (ax == F64_INF) & (ay == F64_INF), both_zero = (ax == 0.0) & (ay == 0.0);
  vf64_t q = vf64_select(both_inf, vf64_splat(1.0), vf64_select(both_zero, vf64_splat(0.0), ay / ax));
  vf64_t r = vf64_atan(q);
  r = vf64_select((vi64_t)x < 0, 0x1.921fb54442d18p+1 - (r - 0x1.1a62633145c07p-53), r);
  return vf64_select((x == x) & (y == y), vf64_copysign(r, y), x + y);
}

#include "kern/math_pow.h"
#include "kern/math_trig.h"

#endif
