// SPDX-License-Identifier: Apache-2.0
// Elementary functions on vectors of floats. exp, log, tanh, sigmoid and erf have bodies of their own (error below
// 2.5 ulp, written with explicit fused multiply-add); those that scalar.def calls WIDE or TWO are computed in double
// and rounded once (below 0.51 ulp); second bodies of the latter are in math_single.h. Limits, infinities, NaN and
// denormal results are exact.
#ifndef LEAT_KERN_MATH_F32_H_
#define LEAT_KERN_MATH_F32_H_

#include "kern/math_f64.h"
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

VEC_INLINE vf32_t vf32_clamp(vf32_t x, float low, float high) {  // NaN becomes high
  return vf32_greater(vf32_lesser(x, vf32_splat(high)), vf32_splat(low));
}
// What is whole in a float of at most 2^22 is in the low bits of its sum with this number, whose other bits are zero
// where they are shifted into an exponent.
#define F32_WHOLE 0x1.8p23f
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
  vf32_t shifted = vf32_fma(x, vf32_splat(0x1.715476p+0f), vf32_splat(F32_WHOLE)), n = shifted - F32_WHOLE;
  vf32_t r = vf32_fma(n, vf32_splat(-0x1.62e42ep-1f), x);
  r = vf32_fma(n, vf32_splat(-0x1.efa39ep-25f), r);
  vf32_t q = VF32_POLY(r, 0.5f, 0.16666573f, 0.04166655f, 0.008363774f, 0.0013926927f);
  *out_shifted = shifted;
  return vf32_fma(r * r, q, r) + 1.0f;
}
VEC_INLINE vf32_t vf32_exp(vf32_t x) {
  vf32_t shifted, p;
#if !defined(__AVX512F__)
  if (__builtin_expect(!vi32_any(~(vf32_abs(x) < 87.0f)), 1)) {  // what is usual costs half
    p = vf32_exp_fraction(x, &shifted);
    return vf32_scale_normal(p, shifted);
  }
#endif
  vf32_t finite = vf32_greater(vf32_splat(-104.0f), vf32_lesser(vf32_splat(89.0f), x));  // or NaN
  p = vf32_exp_fraction(finite, &shifted);
  return vf32_scale(p, shifted);
}

VEC_INLINE vf32_t vf32_log(vf32_t x) {
  vi32_t tiny = x < 0x1p-126f;
  vf32_t scaled = vf32_select(tiny, x * 0x1p24f, x);
  vi32_t bits = (vi32_t)((vu32_t)scaled - 0x3f3504f3u);  // of sqrt(1/2)
  vf32_t e = __builtin_convertvector((bits >> 23) - (tiny & 24), vf32_t);
  vf32_t f = (vf32_t)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, z = f * f;
  vf32_t p = VF32_POLY(f, 0.3333333f, -0.24999997f, 0.20000716f, -0.16667803f, 0.14249058f, -0.12425687f, 0.1168542f,
                       -0.11479734f, 0.06971612f);
  vf32_t low = vf32_fma(f * z, p, e * -0x1.05c61p-29f);
  vf32_t r = vf32_fma(e, vf32_splat(0x1.62e43p-1f), f + vf32_fma(vf32_splat(-0.5f), z, low));
  r = vf32_select(x == 0.0f, vf32_splat(-F32_INF), r);
  r = vf32_select(x < 0.0f, vf32_splat(F32_NAN), r);
  return vf32_select((x == F32_INF) | (x != x), x, r);
}

VEC_INLINE vf32_t vf32_tanh(vf32_t x) {
  vf32_t a = vf32_abs(x), z = x * x;
  vf32_t p = VF32_POLY(z, -0.33333334f, 0.13333304f, -0.05395925f, 0.021768834f, -0.0083436705f, 0.0022924328f);
  vf32_t small = vf32_fma(x * z, p, x);
  vf32_t shifted, e = vf32_exp_fraction(vf32_lesser(a + a, vf32_splat(40.0f)), &shifted);  // far enough
  vf32_t large = 1.0f - 2.0f / (vf32_scale_normal(e, shifted) + 1.0f);
  return vf32_choose(x == x, vf32_copysign(vf32_choose(a < 0.625f, small, large), x), x);
}
VEC_INLINE vf32_t vf32_sigmoid(vf32_t x) {
  vf32_t e = vf32_exp(-vf32_abs(x));
  return vf32_choose(x >= 0.0f, vf32_splat(1.0f), e) / (1.0f + e);
}
VEC_INLINE vf32_t vf32_erf(vf32_t x) {
  vf32_t a = vf32_abs(x), z = x * x;
  vf32_t small = x * VF32_POLY(z, 1.1283791f, -0.37612626f, 0.11283594f, -0.026854211f, 0.0051890872f, -0.00080168643f,
                               7.875875e-05f);
  vf32_t b = vf32_lesser(a, vf32_splat(4.0f));  // log2(erfc) is a polynomial on [1, 4]
  vf32_t l = VF32_POLY(b, -0.000510305945f, -1.62597508f, -0.920764998f, -0.148651519f, 0.0314584328f, -0.00424095884f,
                       0.000267726896f);
  const float magic = 0x1.8p23f;
  vf32_t shifted = l + magic, r = l - (shifted - magic);
  vf32_t p = VF32_POLY(r, 1.0f, 0.693146978f, 0.240222421f, 0.0555073374f, 0.00967151283f, 0.00132647273f);
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
