// SPDX-License-Identifier: Apache-2.0
// Second bodies of elementary functions on vectors of floats, those that scalar.def calls TWO: computed in floats, with
// explicit fused multiply-add, where the first body goes through double. Errors are below 3 ulp (erfc: 4.5; the bound
// of each is in kern_math_test.c); limits, infinities, zeros with their sign, NaN and denormal results are those of the
// first body. Polynomials are minimax fits of what is left beside the leading terms, their coefficients rounded one
// after the other.
#ifndef LEAT_KERN_MATH_SINGLE_H_
#define LEAT_KERN_MATH_SINGLE_H_

#include "kern/math_f32.h"

// --- exponentials --------------------------------------------------------------------------------------------------

// 2^k for k in [-126, 127].
VEC_INLINE vf32_t vf32_power(vi32_t k) { return (vf32_t)((k + 127) << 23); }
// exp(x) = 2^k (1 + p): returns p, which keeps its relative precision, and k + F32_WHOLE; |x| <= 110.
VEC_INLINE vf32_t vf32_exp_parts(vf32_t x, vf32_t *out_shifted) {
  vf32_t shifted = vf32_fma(x, vf32_splat(0x1.715476p+0f), vf32_splat(F32_WHOLE)), n = shifted - F32_WHOLE;
  vf32_t r = vf32_fma(n, vf32_splat(-0x1.62e42ep-1f), x);
  r = vf32_fma(n, vf32_splat(-0x1.efa39ep-25f), r);
  *out_shifted = shifted;
  vf32_t q = VF32_POLY(r, 0.5f, 0.166666657f, 0.0416664928f, 0.00833354611f, 0.00139323215f, 0.00019761725f);
  return vf32_fma(r * r, q, r);
}

VEC_INLINE vf32_t vf32_single_expm1(vf32_t x) {
  vf32_t shifted, p = vf32_exp_parts(vf32_clamp(x, -18.0f, 89.0f), &shifted);
  vi32_t k = (vi32_t)shifted - (vi32_t)vf32_splat(F32_WHOLE);
  vf32_t half = vf32_power(k - 1);
  vf32_t r = vf32_fma(half, p, half - 0.5f);  // halved, so that 2^128 does not overflow
  r = vf32_copysign(vf32_choose(k == 0, p, r + r), x);
  return vf32_choose(x == x, r, x);
}
VEC_INLINE vf32_t vf32_single_exp2(vf32_t x) {
  vf32_t a = vf32_greater(vf32_splat(-152.0f), vf32_lesser(vf32_splat(129.0f), x));  // or NaN
  vf32_t shifted = a + F32_WHOLE, r = a - (shifted - F32_WHOLE);
  vf32_t p = VF32_POLY(r, 0.693147182f, 0.240226507f, 0.0555040613f, 0.00961808767f, 0.00133366603f, 0.00015451845f,
                       1.46729526e-05f);
  return vf32_scale(vf32_fma(r, p, vf32_splat(1.0f)), shifted);
}
// exp(a) / 2 for a >= 0, which overflows where sinh and cosh do.
VEC_INLINE vf32_t vf32_half_exp(vf32_t a) {
  vf32_t shifted, p = vf32_exp_parts(vf32_clamp(a, 0.0f, 91.0f), &shifted);
  return vf32_scale(1.0f + p, shifted - 1.0f);
}
VEC_INLINE vf32_t vf32_single_sinh(vf32_t x) {
  vf32_t a = vf32_abs(x), z = a * a, h = vf32_half_exp(a);
  vf32_t p = VF32_POLY(z, 0.166666672f, 0.00833331048f, 0.000198428956f, 2.78221319e-06f);
  vf32_t r = vf32_choose(a < 1.0f, vf32_fma(a * z, p, a), h - 0.25f / h);
  return vf32_choose(x == x, vf32_copysign(r, x), x);
}
VEC_INLINE vf32_t vf32_single_cosh(vf32_t x) {
  vf32_t h = vf32_half_exp(vf32_abs(x));
  return vf32_choose(x == x, h + 0.25f / h, x);
}

// --- logarithms ----------------------------------------------------------------------------------------------------

// x = 2^e (1 + f) for normal x > 0, and any finite x > 0; 1 + f in [sqrt(1/2), sqrt(2)).
VEC_INLINE vf32_t vf32_log_split_normal(vf32_t x, vi32_t *out_e) {
  vi32_t bits = (vi32_t)((vu32_t)x - 0x3f3504f3u);  // of sqrt(1/2)
  *out_e = bits >> 23;
  return (vf32_t)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f;
}
VEC_INLINE vf32_t vf32_log_split(vf32_t x, vi32_t *out_e) {
  vi32_t tiny = x < 0x1p-126f;
  vf32_t f = vf32_log_split_normal(vf32_choose(tiny, x * 0x1p24f, x), out_e);
  *out_e -= tiny & 24;
  return f;
}
// log(1 + f) - f + f^2 / 2 over f^3.
VEC_INLINE vf32_t vf32_log_rest(vf32_t f) {
  return VF32_POLY(f, 0.333333135f, -0.250000089f, 0.200020716f, -0.166679904f, 0.142203629f, -0.124062084f,
                   0.118834712f, -0.116701826f, 0.0674953908f);
}
// f is what 2^e leaves of 1 + x, not of its rounded sum.
VEC_INLINE vf32_t vf32_single_log1p(vf32_t x) {
  vf32_t u = 1.0f + x;
  vi32_t exponent;
  vf32_t of_u = vf32_log_split(u, &exponent);
  vf32_t power = (vf32_t)((127 - exponent) << 23), e = __builtin_convertvector(exponent, vf32_t);
  vf32_t f = vf32_choose(exponent < 25, vf32_fma(x, power, power - 1.0f), of_u), z = f * f;
  vf32_t low = vf32_fma(f * z, vf32_log_rest(f), e * -0x1.05c61p-29f);
  vf32_t r = vf32_fma(e, vf32_splat(0x1.62e43p-1f), f + vf32_fma(vf32_splat(-0.5f), z, low));
  return vf32_log_limits(u, vf32_copysign(r, x));
}
// log(1 + f) = f + tail, times `high` + `low`, plus `rest`.
VEC_INLINE vf32_t vf32_log_based(vf32_t f, float high, float low, vf32_t rest) {
  vf32_t z = f * f, tail = vf32_fma(vf32_splat(-0.5f), z, f * z * vf32_log_rest(f));
  rest = vf32_fma(f, vf32_splat(low), rest);
  return vf32_fma(f, vf32_splat(high), vf32_fma(tail, vf32_splat(high), rest));
}
VEC_INLINE vf32_t vf32_log2_of(vf32_t f, vi32_t exponent) {
  vf32_t e = __builtin_convertvector(exponent, vf32_t);
  return e + vf32_log_based(f, 0x1.715476p+0f, 0x1.4ae0cp-26f, vf32_splat(0.0f));
}
VEC_INLINE vf32_t vf32_log10_of(vf32_t f, vi32_t exponent) {
  vf32_t e = __builtin_convertvector(exponent, vf32_t);
  vf32_t r = vf32_log_based(f, 0x1.bcb7b2p-2f, -0x1.5b235ep-27f, e * 0x1.3509f8p-18f);  // log10(2) in two parts
  return vf32_fma(e, vf32_splat(0x1.3440p-2f), r);
}
#define VF32_LOG_OF_BASE(name)                         \
  VEC_INLINE vf32_t vf32_single_##name(vf32_t x) {     \
    vi32_t e;                                          \
    vf32_t f;                                          \
    if (__builtin_expect(vf32_are_usual(x), 1)) {      \
      f = vf32_log_split_normal(x, &e);                \
      return vf32_##name##_of(f, e);                   \
    }                                                  \
    f = vf32_log_split(x, &e);                         \
    return vf32_log_limits(x, vf32_##name##_of(f, e)); \
  }
VF32_LOG_OF_BASE(log2)
VF32_LOG_OF_BASE(log10)
VEC_INLINE vf32_t vf32_single_asinh(vf32_t x) {
  vf32_t a = vf32_abs(x), z = a * a;
  vi32_t far = a > 0x1p30f;  // log(2 a)
  vf32_t near = a + z / (1.0f + vf32_sqrt(1.0f + z));
  vf32_t r =
      vf32_single_log1p(vf32_choose(far, a, near)) + vf32_choose(far, vf32_splat(0x1.62e43p-1f), vf32_splat(0.0f));
  return vf32_choose(x == x, vf32_copysign(r, x), x);
}
VEC_INLINE vf32_t vf32_single_acosh(vf32_t x) {
  vi32_t far = x > 0x1p30f;
  vf32_t t = x - 1.0f, near = t + vf32_sqrt(vf32_fma(t, t, t + t));
  vf32_t r =
      vf32_single_log1p(vf32_choose(far, x, near)) + vf32_choose(far, vf32_splat(0x1.62e43p-1f), vf32_splat(0.0f));
  return vf32_choose(x >= 1.0f, r, vf32_splat(F32_NAN));
}
VEC_INLINE vf32_t vf32_single_atanh(vf32_t x) {
  vf32_t a = vf32_abs(x);
  vf32_t r = 0.5f * vf32_single_log1p((a + a) / (1.0f - a));
  return vf32_choose(a <= 1.0f, vf32_copysign(r, x), vf32_splat(F32_NAN));
}

// --- sine, cosine, tangent -----------------------------------------------------------------------------------------

#define VF32_TRIG_MAX 0x1p16f  // beyond it, lanes go through double
// x - q pi/2 within [-pi/4, pi/4]: pi/2 in three parts, of which the first leaves no rounding.
VEC_INLINE vf32_t vf32_trig_reduce(vf32_t x, vi32_t *out_quadrant) {
  const float magic = 0x1.8p23f;
  vf32_t shifted = vf32_fma(x, vf32_splat(0x1.45f306p-1f), vf32_splat(magic)), n = shifted - magic;
  vf32_t r = vf32_fma(n, vf32_splat(-0x1.921fb6p+0f), x);
  r = vf32_fma(n, vf32_splat(0x1.777a5cp-25f), r);
  *out_quadrant = (vi32_t)shifted;
  return vf32_fma(n, vf32_splat(0x1.ee59dap-50f), r);
}
VEC_INLINE vf32_t vf32_sin_rest(vf32_t r, vf32_t z) {
  return vf32_fma(r * z, VF32_POLY(z, -0.166666672f, 0.0083333794f, -0.000198530732f, 2.83272493e-06f), r);
}
VEC_INLINE vf32_t vf32_cos_rest(vf32_t z) {
  vf32_t p = VF32_POLY(z, 0.0416666456f, -0.00138873013f, 2.44306684e-05f);
  return vf32_fma(z * z, p, vf32_fma(z, vf32_splat(-0.5f), vf32_splat(1.0f)));
}
VEC_INLINE vf32_t vf32_negate_where(vi32_t mask, vf32_t x) { return (vf32_t)((vi32_t)x ^ (mask & F32_SIGN)); }

// Lanes beyond what floats can reduce, infinities and NaN are those of the first body.
#define VF32_FAR_LANES(name, x, r)                \
  do {                                            \
    vi32_t far = ~(vf32_abs(x) <= VF32_TRIG_MAX); \
    if (__builtin_expect(vi32_any(far), 0)) {     \
      r = vf32_choose(far, vf32_##name(x), r);    \
    }                                             \
  } while (0)

VEC_INLINE vf32_t vf32_single_sin(vf32_t x) {
  vi32_t q;
  vf32_t r = vf32_trig_reduce(x, &q), z = r * r;
  vf32_t v = vf32_choose((q & 1) != 0, vf32_cos_rest(z), vf32_sin_rest(r, z));
  v = vf32_choose(x == 0.0f, x, vf32_negate_where((q & 2) != 0, v));
  VF32_FAR_LANES(sin, x, v);
  return v;
}
VEC_INLINE vf32_t vf32_single_cos(vf32_t x) {
  vi32_t q;
  vf32_t r = vf32_trig_reduce(x, &q), z = r * r;
  vf32_t v = vf32_choose((q & 1) != 0, vf32_sin_rest(r, z), vf32_cos_rest(z));
  v = vf32_negate_where(((q + 1) & 2) != 0, v);
  VF32_FAR_LANES(cos, x, v);
  return v;
}
VEC_INLINE vf32_t vf32_single_tan(vf32_t x) {
  vi32_t q;
  vf32_t r = vf32_trig_reduce(x, &q), z = r * r, one = vf32_splat(1.0f);
  vf32_t t = vf32_fma(r * z,
                      VF32_POLY(z, 0.333333492f, 0.133326739f, 0.0540591665f, 0.0212846454f, 0.0108319307f,
                                9.21548708e-05f, 0.00437585777f),
                      r);
  vi32_t odd = (q & 1) != 0;
  vf32_t v = vf32_choose(x == 0.0f, x, vf32_choose(odd, -one, t) / vf32_choose(odd, t, one));
  VF32_FAR_LANES(tan, x, v);
  return v;
}

// --- their inverses ------------------------------------------------------------------------------------------------

#define VF32_HALF_PI 0x1.921fb6p+0f
#define VF32_HALF_PI_LOW -0x1.777a5cp-25f

// asin(s) where z = s^2 <= 1/4.
VEC_INLINE vf32_t vf32_asin_near(vf32_t s, vf32_t z) {
  return vf32_fma(s * z, VF32_POLY(z, 0.166667521f, 0.0749530941f, 0.0454691499f, 0.0241847783f, 0.0421583056f), s);
}
// asin(a) = pi/2 - 2 asin(sqrt((1 - a) / 2)) beyond 1/2; returns the inverse that is needed, *out_far where it is that.
VEC_INLINE vf32_t vf32_asin_parts(vf32_t a, vi32_t *out_far) {
  vi32_t far = a > 0.5f;
  vf32_t z = vf32_choose(far, 0.5f * (1.0f - a), a * a);
  *out_far = far;
  return vf32_asin_near(vf32_choose(far, vf32_sqrt(z), a), z);
}
VEC_INLINE vf32_t vf32_single_asin(vf32_t x) {
  vi32_t far;
  vf32_t p = vf32_asin_parts(vf32_abs(x), &far);
  vf32_t bent = vf32_fma(vf32_splat(-2.0f), p, vf32_splat(VF32_HALF_PI)) + VF32_HALF_PI_LOW;
  return vf32_copysign(vf32_choose(far, bent, p), x);
}
VEC_INLINE vf32_t vf32_single_acos(vf32_t x) {
  vi32_t far;
  vf32_t p = vf32_asin_parts(vf32_abs(x), &far);
  vf32_t near = (VF32_HALF_PI - vf32_copysign(p, x)) + VF32_HALF_PI_LOW;
  vf32_t left = vf32_fma(vf32_splat(-2.0f), p, vf32_splat(2.0f * VF32_HALF_PI)) + 2.0f * VF32_HALF_PI_LOW;
  return vf32_choose(far, vf32_choose(x < 0.0f, left, p + p), near);
}
// atan(low / high) for 0 <= low <= high.
VEC_INLINE vf32_t vf32_atan_of(vf32_t q) {
  vf32_t z = q * q;
  vf32_t p = VF32_POLY(z, -0.333332986f, 0.19998531f, -0.142640516f, 0.109511748f, -0.0840047523f, 0.0579065457f,
                       -0.0311270021f, 0.0108873611f, -0.0017875476f);
  return vf32_fma(q * z, p, q);
}
VEC_INLINE vf32_t vf32_from_half_pi(vf32_t r) { return VF32_HALF_PI - (r - VF32_HALF_PI_LOW); }
VEC_INLINE vf32_t vf32_single_atan(vf32_t x) {
  vf32_t a = vf32_abs(x), one = vf32_splat(1.0f);
  vi32_t steep = a > 1.0f;
  vf32_t r = vf32_atan_of(vf32_choose(steep, one, a) / vf32_choose(steep, a, one));
  return vf32_copysign(vf32_choose(steep, vf32_from_half_pi(r), r), x);
}
VEC_INLINE vf32_t vf32_single_atan2(vf32_t y, vf32_t x) {
  vf32_t ay = vf32_abs(y), ax = vf32_abs(x);
  vi32_t steep = ay > ax, both_zero = (ax == 0.0f) & (ay == 0.0f), both_infinite = (ax == F32_INF) & (ay == F32_INF);
  vf32_t q = vf32_choose(steep, ax, ay) / vf32_choose(steep, ay, ax);
  q = vf32_choose(both_zero, vf32_splat(0.0f), vf32_choose(both_infinite, vf32_splat(1.0f), q));
  vf32_t r = vf32_atan_of(q);
  r = vf32_choose(steep, vf32_from_half_pi(r), r);
  r = vf32_choose((vi32_t)x < 0, 2.0f * VF32_HALF_PI - (r - 2.0f * VF32_HALF_PI_LOW), r);
  return vf32_choose((x == x) & (y == y), vf32_copysign(r, y), x + y);
}

// --- the rest ------------------------------------------------------------------------------------------------------

// erfc(b) = exp(-b*b) g(t) beyond 1/2, the square in two parts, so that the tail keeps its relative precision.
VEC_INLINE vf32_t vf32_single_erfc(vf32_t x) {
  vf32_t a = vf32_abs(x), b = vf32_clamp(a, 0.5f, 10.2f), t = (b - 3.0f) / (b + 3.0f), z = x * x;
  vf32_t g = VF32_POLY(t, 0.179001153f, -0.326233566f, 0.245603666f, -0.150115505f, 0.0716683269f, -0.0243984219f,
                       0.00425205706f, 0.000735431036f, -0.000544594484f);
  vf32_t square = b * b, low = vf32_fma(b, b, -square);
  vf32_t shifted, p = vf32_exp_parts(-square, &shifted), e = 1.0f + vf32_fma(-low, 1.0f + p, p);
  vf32_t tail = vf32_scale(e * g, shifted);
  vf32_t erf = vf32_fma(x, VF32_POLY(z, 0.128379166f, -0.376126111f, 0.112828486f, -0.0267579537f, 0.00471821567f), x);
  vf32_t far = vf32_choose(x < 0.0f, 2.0f - tail, tail);
  return vf32_choose(x == x, vf32_choose(a < 0.5f, 1.0f - erf, far), x);
}

// 2^(y (e + log2(1 + f))) in double, for one rounding in the end; limits are the caller's.
VEC_INLINE vf64_t vf64_pow_parts(vf64_t e, vf64_t f, vf64_t y) {
  const double magic = 0x1.8p52;
  vf64_t s = f / (2.0 + f), z = s * s;
  vf64_t p = VF64_POLY(z, 0x1.71547652b82fep+1, 0x1.ec709dc39dba7p-1, 0x1.2776c51574453p-1, 0x1.a6175793b0c04p-2,
                       0x1.484f6cc294a1bp-2, 0x1.0bbe7f4204de2p-2, 0x1.f0f728f2806aap-3);
  vf64_t t = vf64_clamp(y * (e + s * p), -200.0, 200.0), shifted = t + magic, r = t - (shifted - magic);
  vf64_t power =
      1.0 + r * VF64_POLY(r, 0.6931471805461141, 0.24022650695569428, 0.05550410940785519, 0.009618129216369531,
                          0.00133334508511167, 0.00015403417351919854, 1.531002137704412e-05, 1.3263136309632306e-06);
  vi64_t k = (vi64_t)shifted - (vi64_t)vf64_splat(magic);
  return power * (vf64_t)((k + 1023) << 52);
}
VEC_INLINE vf32_t vf32_single_pow(vf32_t x, vf32_t y) {
  vf32_t a = vf32_abs(x);
  vi32_t exponent;
  vf32_t f = vf32_log_split(vf32_choose((a > 0.0f) & (a < F32_INF), a, vf32_splat(1.0f)), &exponent);
  vf32_t e = __builtin_convertvector(exponent, vf32_t);
  vf32_t r = vf32_narrow(vf64_pow_parts(vf32_widen_low(e), vf32_widen_low(f), vf32_widen_low(y)),
                         vf64_pow_parts(vf32_widen_high(e), vf32_widen_high(f), vf32_widen_high(y)));
  if (__builtin_expect(!vi32_any(~((x > 0.0f) & (x < F32_INF) & (vf32_abs(y) < F32_INF))), 1)) return r;
  // Limits, in the order of C's Annex F.
  vf32_t zero = vf32_splat(0.0f), one = vf32_splat(1.0f), infinity = vf32_splat(F32_INF), ay = vf32_abs(y);
  vf32_t whole = vf32_trunc(y), half = 0.5f * y;
  vi32_t positive = y > 0.0f, is_whole = (whole == y) & (ay < F32_INF);
  vi32_t is_odd = is_whole & (vf32_trunc(half) != half) & (ay < 0x1p24f);
  r = vf32_choose(a == 0.0f, vf32_choose(positive, zero, infinity), r);
  r = vf32_choose(a == F32_INF, vf32_choose(positive, infinity, zero), r);
  vf32_t at_infinity = vf32_choose(a == 1.0f, one, vf32_choose((a > 1.0f) == positive, infinity, zero));
  r = vf32_choose(ay == F32_INF, at_infinity, r);
  r = vf32_negate_where(((vi32_t)x < 0) & is_odd, r);
  r = vf32_choose((x < 0.0f) & (a < F32_INF) & ~is_whole & (ay < F32_INF), vf32_splat(F32_NAN), r);
  r = vf32_choose((x != x) | (y != y), x + y, r);
  return vf32_choose((y == 0.0f) | (x == 1.0f), one, r);
}

#endif
