// SPDX-License-Identifier: Apache-2.0
// Elementary functions on vectors of floats. exp, log, tanh, sigmoid and erf have bodies of their own (error below
// 2.5 ulp, written with explicit fused multiply-add); those that scalar.def calls WIDE or TWO are computed in double
// and rounded once (below 0.51 ulp); second bodies of the latter are in math_single.h. Limits, infinities, NaN and
// denormal results are exact.
#ifndef LEAT_KERN_MATH_F32_H_
#define LEAT_KERN_MATH_F32_H_

#include "kern/math_f64.h"
#include "kern/numbers_f32.h"
#include "kern/vec.h"

#define F32_INF __builtin_inff()
#define F32_NAN __builtin_nanf("")
#define F32_SIGN ((int32_t)(1u << 31))

VEC_INLINE vf32_t vf32_abs(vf32_t x) { return (vf32_t)((vi32_t)x & ~F32_SIGN); }
VEC_INLINE vf32_t vf32_copysign(vf32_t x, vf32_t sign) {
  return (vf32_t)(((vi32_t)x & ~F32_SIGN) | ((vi32_t)sign & F32_SIGN));
}

#define VF32_POLY(x, ...) vf32_poly(x, (const float[]){__VA_ARGS__}, sizeof((float[]){__VA_ARGS__}) / sizeof(float))
VEC_INLINE vf32_t vf32_poly(vf32_t x, const float *c, size_t n) {
  vf32_t r = vf32_splat(c[n - 1]);
#pragma GCC unroll 16  // coefficients become operands: without it they are loaded and branched over one by one
  for (size_t i = n - 1; i-- > 0;) r = vf32_fma(r, x, vf32_splat(c[i]));
  return r;
}

VEC_INLINE vf32_t vf32_round(vf32_t x) {
  const float magic = 0x1p23f;
  vf32_t a = vf32_abs(x), r = (a + magic) - magic;
  return vf32_select(a < magic, vf32_copysign(r, x), x);
}
VEC_INLINE vf32_t vf32_trunc(vf32_t x) {
  vf32_t a = vf32_abs(x), r = vf32_round(a);
  return vf32_copysign(vf32_select(r > a, r - 1.0f, r), x);
}
VEC_INLINE vf32_t vf32_floor(vf32_t x) {
  vf32_t r = vf32_round(x);
  return vf32_copysign(vf32_select(r > x, r - 1.0f, r), x);
}
VEC_INLINE vf32_t vf32_ceil(vf32_t x) {
  vf32_t r = vf32_round(x);
  return vf32_copysign(vf32_select(r < x, r + 1.0f, r), x);
}

// The bits of b's first 16 places are added to those of a, of which 16 stay.
VEC_INLINE vf32_t vf32_dither(vf32_t a, vf32_t b) {
  const vf32_t share = vf32_greater(vf32_lesser(b, vf32_splat(0x1.fffffep-1f)), vf32_splat(0.0f));
  const vi32_t exponent = (vi32_t){0} + 0x7f800000;
  vi32_t added;
  for (int i = 0; i < VF32_LANES; i++) added[i] = (int32_t)(share[i] * 0x1p16f);
  const vf32_t sum = (vf32_t)((vu32_t)((vi32_t)a + added) & 0xffff0000u);
  return vf32_choose(((vi32_t)a & exponent) == exponent, a, sum);
}

// Whether all lanes are positive normal numbers.
VEC_INLINE int vf32_are_usual(vf32_t x) {
#if defined(__AVX512F__)
  return _mm512_fpclass_ps_mask((__m512)x, 0xff) == 0;  // of all classes that have a bit
#else
  return !vi32_any((vi32_t)((vu32_t)x + 0x7f800000u) > -0x1000001);
#endif
}
VEC_INLINE vf32_t vf32_clamp(vf32_t x, float low, float high) {  // NaN becomes high
  return vf32_greater(vf32_lesser(x, vf32_splat(high)), vf32_splat(low));
}
// x 2^n for n in [-252, 254], rounded once where the result is denormal; `shifted` is n + F32_WHOLE.
VEC_INLINE vf32_t vf32_scale(vf32_t x, vf32_t shifted) {
#if defined(__AVX512F__)
  return (vf32_t)_mm512_scalef_ps((__m512)x, (__m512)(shifted - F32_WHOLE));
#else
  vu32_t half = (vu32_t)((vi32_t)shifted >> 1) << 23, rest = ((vu32_t)shifted << 23) - half;
  return x * (vf32_t)(half + (127u << 23)) * (vf32_t)(rest + (127u << 23));
#endif
}
// The same where the result is finite and no denormal; not of NaN.
VEC_INLINE vf32_t vf32_scale_normal(vf32_t x, vf32_t shifted) { return (vf32_t)((vu32_t)x + ((vu32_t)shifted << 23)); }
// exp(x) = 2^n times what is returned; NaN of NaN.
VEC_INLINE vf32_t vf32_exp_fraction(vf32_t x, vf32_t *out_shifted) {
  vf32_t shifted = vf32_fma(x, vf32_splat(F32_EXP_OVER_LOG2), vf32_splat(F32_WHOLE)), n = shifted - F32_WHOLE;
  vf32_t r = vf32_fma(n, vf32_splat(F32_EXP_LESS_HIGH), x);
  r = vf32_fma(n, vf32_splat(F32_EXP_LESS_LOW), r);
  vf32_t q = VF32_POLY(r, F32_EXP_POLY);
  *out_shifted = shifted;
  return vf32_fma(r * r, q, r) + 1.0f;
}
// Lanes whose result is 0 are not scaled to it: what underflows takes a CPU a hundred cycles, and masks of -infinity
// are many.
VEC_INLINE vf32_t vf32_exp(vf32_t x) {
  vf32_t shifted, p, at_most = vf32_lesser(vf32_splat(F32_EXP_HIGHEST), x);  // or NaN
#if defined(__AVX512F__)
  const __mmask16 some = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(F32_EXP_LOWEST), _CMP_NLT_UQ);
  p = vf32_exp_fraction(at_most, &shifted);
  return (vf32_t)_mm512_maskz_scalef_ps(some, (__m512)p, (__m512)(shifted - F32_WHOLE));
#else
  if (__builtin_expect(!vi32_any(~(vf32_abs(x) < 87.0f)), 1)) {  // what is usual costs half
    p = vf32_exp_fraction(x, &shifted);
    return vf32_scale_normal(p, shifted);
  }
  p = vf32_exp_fraction(vf32_greater(vf32_splat(F32_EXP_LOWEST), at_most), &shifted);
  return vf32_scale((vf32_t)((vi32_t)p & ~(x < F32_EXP_LOWEST)), shifted);
#endif
}

// Of a positive normal number times 2^less.
VEC_INLINE vf32_t vf32_log_normal(vf32_t x, vi32_t less) {
  vi32_t bits = (vi32_t)((vu32_t)x - 0x3f3504f3u);  // of sqrt(1/2)
  vf32_t e = __builtin_convertvector((bits >> 23) - less, vf32_t);
  vf32_t f = (vf32_t)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, z = f * f;
  vf32_t p = VF32_POLY(f, 0.3333333f, -0.24999997f, 0.20000716f, -0.16667803f, 0.14249058f, -0.12425687f, 0.1168542f,
                       -0.11479734f, 0.06971612f);
  vf32_t low = vf32_fma(f * z, p, e * -0x1.05c61p-29f);
  return vf32_fma(e, vf32_splat(0x1.62e43p-1f), f + vf32_fma(vf32_splat(-0.5f), z, low));
}
VEC_INLINE vf32_t vf32_log_limits(vf32_t x, vf32_t r) {
  r = vf32_choose(x == 0.0f, vf32_splat(-F32_INF), r);
  r = vf32_choose(x < 0.0f, vf32_splat(F32_NAN), r);
  return vf32_choose((x == F32_INF) | (x != x), x, r);
}
VEC_INLINE vf32_t vf32_log(vf32_t x) {
  if (__builtin_expect(vf32_are_usual(x), 1)) return vf32_log_normal(x, (vi32_t){0});  // half of the work
  vi32_t tiny = x < 0x1p-126f;
  return vf32_log_limits(x, vf32_log_normal(vf32_select(tiny, x * 0x1p24f, x), tiny & 24));
}

VEC_INLINE vf32_t vf32_tanh(vf32_t x) {
  vf32_t a = vf32_abs(x), z = x * x;
  vf32_t p = VF32_POLY(z, F32_TANH_POLY);
  vf32_t small = vf32_fma(x * z, p, x);
  vf32_t shifted, e = vf32_exp_fraction(vf32_lesser(a + a, vf32_splat(F32_TANH_FAR)), &shifted);
  vf32_t large = 1.0f - 2.0f / (vf32_scale_normal(e, shifted) + 1.0f);
  return vf32_copysign(vf32_choose_less(vf32_splat(F32_TANH_NEAR), a, large, small), x);  // small of a NaN, too
}
VEC_INLINE vf32_t vf32_sigmoid(vf32_t x) {
  vf32_t e = vf32_exp(-vf32_abs(x));
  return vf32_choose(x >= 0.0f, vf32_splat(1.0f), e) / (1.0f + e);
}
VEC_INLINE vf32_t vf32_erf(vf32_t x) {
  vf32_t a = vf32_abs(x), z = x * x, small = x * VF32_POLY(z, F32_ERF_NEAR_POLY);
  vf32_t b = vf32_lesser(a, vf32_splat(F32_ERF_FAR)), l = VF32_POLY(b, F32_ERF_LOG2_POLY);
  vf32_t shifted = l + F32_WHOLE, r = l - (shifted - F32_WHOLE), p = VF32_POLY(r, F32_ERF_POWER_POLY);
  vf32_t erfc = (vf32_t)((vi32_t)p + ((vi32_t)shifted << 23));  // p 2^n, no denormal: n >= -26
  return vf32_select(a >= 1.0f, vf32_copysign(1.0f - erfc, x), small);
}

#define VF32_THROUGH_F64_1(name)                                                         \
  VEC_INLINE vf32_t vf32_##name(vf32_t a) {                                              \
    return vf32_narrow(vf64_##name(vf32_widen_low(a)), vf64_##name(vf32_widen_high(a))); \
  }
#define VF32_THROUGH_F64_2(name)                                             \
  VEC_INLINE vf32_t vf32_##name(vf32_t a, vf32_t b) {                        \
    return vf32_narrow(vf64_##name(vf32_widen_low(a), vf32_widen_low(b)),    \
                       vf64_##name(vf32_widen_high(a), vf32_widen_high(b))); \
  }
#define OF_WIDE(name, arity) VF32_THROUGH_F64_##arity(name)
#define OF_TWO(name, arity) VF32_THROUGH_F64_##arity(name)
#define OF_EACH(name, arity)
#define OF_HERE(name, arity)
#define OF_NONE(name, arity)
#define SCALAR(suffix, name, number, arity, result, kernels, body, ...) OF_##body(name, arity)
#include "ir/scalar.def"
#undef SCALAR
#undef OF_WIDE
#undef OF_TWO
#undef OF_EACH
#undef OF_HERE
#undef OF_NONE

// Exact: a whole quotient below 2^29 times a float is a double; other lanes go through long division.
VEC_INLINE vf64_t vf32_fmod_part(vf64_t a, vf64_t b) {
  vf64_t r = a - vf64_trunc(a / b) * b;
  return vf64_select(r < 0.0, r + b, r);  // the quotient was rounded up to the next whole number
}
VEC_INLINE vf32_t vf32_fmod_far(vf32_t x, vf32_t y) {
  vf32_t a = vf32_abs(x), b = vf32_abs(y);
  vf32_t r = vf32_narrow(vf32_fmod_part(vf32_widen_low(a), vf32_widen_low(b)),
                         vf32_fmod_part(vf32_widen_high(a), vf32_widen_high(b)));
  r = vf32_choose(a < b, x, vf32_copysign(r, x));
  vi32_t far = ~(a * 0x1p-29f < b);
  if (__builtin_expect(vi32_any(far), 0)) {
    vf32_t exact =
        vf32_narrow(vf64_fmod(vf32_widen_low(x), vf32_widen_low(y)), vf64_fmod(vf32_widen_high(x), vf32_widen_high(y)));
    r = vf32_choose(far, exact, r);
  }
  return r;
}
// Exact, too: what a whole quotient below 2^22, right or one off, leaves of a float is a float.
VEC_INLINE vf32_t vf32_fmod(vf32_t x, vf32_t y) {
#ifdef __FMA__
  vf32_t a = vf32_abs(x), b = vf32_abs(y), q = a / b, whole = (q + 0x1p23f) - 0x1p23f;
  vf32_t r = vf32_fma(-whole, b, a);
  r = vf32_choose(r < 0.0f, r + b, r);
  if (__builtin_expect(!vi32_any(~(q < 0x1p22f)), 1)) return vf32_choose(a < b, x, vf32_copysign(r, x));
#endif
  return vf32_fmod_far(x, y);
}
// The exact remainder of floats is a float; the sign correction is one float addition.
VEC_INLINE vf32_t vf32_rem(vf32_t x, vf32_t y) {
  vf32_t r = vf32_fmod(x, y);
  return vf32_choose((r != 0.0f) & ((r < 0.0f) != (y < 0.0f)), r + y, r);
}

#endif
