// SPDX-License-Identifier: Apache-2.0
// Sine, cosine and tangent of doubles (part of math_f64.h). Arguments up to 2^20 are reduced by pi/2 in four parts;
// lanes beyond that go through scalar_reduce, exact multiplication by the bits of 2/pi.
#ifndef LEAT_KERN_MATH_TRIG_H_
#define LEAT_KERN_MATH_TRIG_H_

#include "kern/vec.h"

// x mod pi/2 for |x| >= 1: returns the rest in [-pi/4, pi/4], its low part, and the quadrant. Window of 192 bits of
// 2/pi at the place where multiples of 4 drop out.
static __attribute__((unused)) double vec_scalar_reduce(double x, double *out_low, int64_t *out_quadrant) {
  static const uint64_t two_over_pi[20] = {
      0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u, 0xdb6295993c439041u, 0xfe5163abdebbc561u, 0xb7246e3a424dd2e0u,
      0x06492eea09d1921cu, 0xfe1deb1cb129a73eu, 0xe88235f52ebb4484u, 0xe99c7026b45f7e41u, 0x3991d639835339f4u,
      0x9c845f8bbdf9283bu, 0x1ff897ffde05980fu, 0xef2f118b5a0a6d1fu, 0x6d367ecf27cb09b7u, 0x4f463f669e5fea2du,
      0x7527bac7ebe5f17bu, 0x3d0739f78a5292eau, 0x6bfb5fb11f8d5d08u, 0x56033046fc7b6babu, 0xf0cfbc209af4361du};
  union {
    double d;
    uint64_t u;
  } bits = {.d = x};
  int exponent = (int)(bits.u >> 52 & 0x7ff);
  if (exponent == 0x7ff) {
    *out_low = 0.0, *out_quadrant = 0;
    return x - x;
  }
  uint64_t mantissa = (bits.u & 0xfffffffffffffu) | 0x10000000000000u;
  int shift = exponent - 1075;            // |x| = mantissa * 2^shift
  int first = shift > 2 ? shift - 2 : 0;  // bits of 2/pi before this one give multiples of 4
  uint64_t window[4];
  for (int i = 0; i < 4; i++) {
    int bit = first + 64 * i, word = bit / 64, offset = bit % 64;
    uint64_t next = word + 1 < 20 ? two_over_pi[word + 1] : 0;
    window[i] = word < 20 ? two_over_pi[word] << offset | (offset != 0 ? next >> (64 - offset) : 0) : 0;
  }
  // product = mantissa * window, a fixed-point number whose point is known; keep its lowest 4 words of 5.
  uint64_t product[4] = {0};
  uint64_t carry = 0;
  for (int i = 3; i >= 0; i--) {
    unsigned __int128 t = (unsigned __int128)mantissa * window[i] + carry;
    product[i] = (uint64_t)t;
    carry = (uint64_t)(t >> 64);
  }
  // value = (carry:product) * 2^(shift - first - 256); the integer bits lie above bit 256 - (shift - first).
  int whole = shift - first;  // <= 2; negative when shift < 0
  uint64_t fraction[3];       // top 192 bits below the point
  uint64_t quadrant;
  if (whole > 0) {
    quadrant = carry << whole | product[0] >> (64 - whole);
    for (int i = 0; i < 3; i++) fraction[i] = product[i] << whole | product[i + 1] >> (64 - whole);
  } else if (whole == 0) {
    quadrant = carry;
    for (int i = 0; i < 3; i++) fraction[i] = product[i];
  } else {  // -53 < whole < 0
    quadrant = carry >> -whole;
    fraction[0] = product[0] >> -whole | carry << (64 + whole);
    for (int i = 1; i < 3; i++) fraction[i] = product[i] >> -whole | product[i - 1] << (64 + whole);
  }
  int negate = fraction[0] >> 63 != 0;  // nearest quadrant: the rest becomes negative
  if (negate) {
    quadrant++;
    uint64_t borrow = 1;
    for (int i = 2; i >= 0; i--) {
      fraction[i] = ~fraction[i] + borrow;
      borrow = borrow != 0 && fraction[i] == 0;
    }
  }
  double high = (double)(fraction[0] >> 11) * 0x1p-53;
  double low = (double)(((fraction[0] & 0x7ff) << 53) | fraction[1] >> 11) * 0x1p-117;
  double pi2_high = 0x1.921fb54442d18p+0, pi2_low = 0x1.1a62633145c07p-54;
  // (high + low) * pi/2, high * pi2_high split exactly in halves of 26 bits.
  double ah = (double)(float)high, al = high - ah, bh = (double)(float)pi2_high, bl = pi2_high - bh;
  double p = high * pi2_high, e = ((ah * bh - p) + ah * bl + al * bh) + al * bl;
  double rest_low = e + (high * pi2_low + low * pi2_high);
  double rest = p + rest_low;
  rest_low = (p - rest) + rest_low;
  if (negate != (x < 0.0)) rest = -rest, rest_low = -rest_low;
  *out_low = rest_low;
  *out_quadrant = (int64_t)(x < 0.0 ? -quadrant : quadrant);
  return rest;
}

VEC_INLINE vf64_t vf64_trig_reduce(vf64_t x, vf64_t *out_low, vi64_t *out_quadrant) {
  vf64_t n = vf64_round(vf64_clamp(x, -0x1p20, 0x1p20) * 0x1.45f306dc9c883p-1);
  vf64_t a = x - n * 0x1.921fb54p+0;  // exact: 30-bit parts times at most 20 bits
  vf64_t b = n * 0x1.10b46118p-30;
  vf64_t r = a - b, low = (a - r) - b;
  vf64_t c = n * 0x1.313198ap-61, r2 = r + (low - c);
  vf64_t low2 = (r - r2) + (low - c) - n * 0x1.701b839a25205p-92;
  *out_quadrant = __builtin_convertvector(n, vi64_t);
  vf64_t rest = r2 + low2;
  *out_low = (r2 - rest) + low2;
  vi64_t big = ~(vf64_abs(x) <= 0x1p20);
  for (int i = 0; i < VF64_LANES; i++) {
    if (__builtin_expect(big[i] != 0, 0)) {
      double l;
      int64_t q;
      rest[i] = vec_scalar_reduce(x[i], &l, &q);
      (*out_low)[i] = l;
      (*out_quadrant)[i] = q;
    }
  }
  return rest;
}
VEC_INLINE vf64_t vf64_sin_rest(vf64_t r, vf64_t low) {
  vf64_t z = r * r;
  vf64_t p = VF64_POLY(z, -0.16666666666666666, 0.008333333333333331, -0.00019841269841265017, 2.755731921930192e-06,
                       -2.5052106219521895e-08, 1.6058529572267877e-10, -7.586576588171071e-13);
  return r + (r * z * p + low * (1.0 - 0.5 * z));
}
VEC_INLINE vf64_t vf64_cos_rest(vf64_t r, vf64_t low) {
  vf64_t z = r * r;
  vf64_t p = VF64_POLY(z, 0.041666666666666664, -0.0013888888888888887, 2.4801587301584618e-05, -2.7557319221382114e-07,
                       2.087675578389404e-09, -1.1470459749675607e-11, 4.7458048897606736e-14);
  vf64_t half = 0.5 * z, top = 1.0 - half;
  return top + (((1.0 - top) - half) + (z * z * p - r * low));
}
VEC_INLINE vf64_t vf64_sin(vf64_t x) {
  vf64_t low, r;
  vi64_t q;
  r = vf64_trig_reduce(x, &low, &q);
  vf64_t v = vf64_select((q & 1) != 0, vf64_cos_rest(r, low), vf64_sin_rest(r, low));
  v = vf64_select((q & 2) != 0, -v, v);
  return vf64_select(x == 0.0, x, v);
}
VEC_INLINE vf64_t vf64_cos(vf64_t x) {
  vf64_t low, r;
  vi64_t q;
  r = vf64_trig_reduce(x, &low, &q);
  vf64_t v = vf64_select((q & 1) != 0, vf64_sin_rest(r, low), vf64_cos_rest(r, low));
  return vf64_select(((q + 1) & 2) != 0, -v, v);
}
VEC_INLINE vf64_t vf64_tan(vf64_t x) {
  vf64_t low, r;
  vi64_t q;
  r = vf64_trig_reduce(x, &low, &q);
  vf64_t s = vf64_sin_rest(r, low), c = vf64_cos_rest(r, low);
  vf64_t v = vf64_select((q & 1) != 0, -c, s) / vf64_select((q & 1) != 0, s, c);
  return vf64_select(x == 0.0, x, v);
}

#endif
