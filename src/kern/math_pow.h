// SPDX-License-Identifier: Apache-2.0
// pow, fmod and remainder of doubles (part of math_f64.h).
#ifndef LEAT_KERN_MATH_POW_H_
#define LEAT_KERN_MATH_POW_H_

#include "kern/vec.h"

// a * b = p + e exactly (no overflow), by halves of 26 bits.
VEC_INLINE vf64_t vf64_two_product(vf64_t a, vf64_t b, vf64_t *out_e) {
  const vi64_t mask = (vi64_t){0} + (int64_t)0xfffffffff8000000;
  vf64_t p = a * b;
  vf64_t ah = (vf64_t)((vi64_t)a & mask), al = a - ah, bh = (vf64_t)((vi64_t)b & mask), bl = b - bh;
  *out_e = ((ah * bh - p) + ah * bl + al * bh) + al * bl;
  return p;
}
// log of a finite x > 0 as a sum of two doubles, error about 2^-66.
VEC_INLINE vf64_t vf64_log_pair(vf64_t x, vf64_t *out_low) {
  vf64_t e, f = vf64_split(x, &e) - 1.0, d = f + 2.0, d_low = f - (d - 2.0);
  vf64_t s = f / d, q, r = vf64_two_product(s, d, &q);
  vf64_t s_low = ((f - r) - q - s * d_low) / d;
  vf64_t zz, z = vf64_two_product(s, s, &zz);
  zz += 2.0 * s * s_low;
  vf64_t tail = VF64_POLY(z, 0.40000000000000885, 0.28571428570799784, 0.22222222392581045, 0.18181795547521132,
                          0.15386244737621896, 0.1326863836926161, 0.13088034850974767);
  // log m = 2 s + s z (2/3 + z tail), the 2/3 term in two parts.
  vf64_t c_low, c = vf64_two_product(s, z, &c_low);
  c_low += s * zz + s_low * z;
  vf64_t t_low, t = vf64_two_product(c, vf64_splat(0x1.5555555555555p-1), &t_low);
  t_low += c_low * 0x1.5555555555555p-1 + c * 0x1.5555555555555p-55 + c * (z * tail);
  vf64_t a = e * 0x1.62e42feep-1, b = 2.0 * s;
  vf64_t sum = a + b, sum_low = vf64_select(e == 0.0, vf64_splat(0.0), b - (sum - a));
  vf64_t high = sum + t, high_low = t - (high - sum);
  vf64_t low = high_low + (sum_low + (2.0 * s_low + (t_low + e * 0x1.a39ef35793c76p-33)));
  vf64_t r_high = high + low;
  *out_low = low - (r_high - high);
  return r_high;
}
VEC_INLINE vi64_t vf64_is_whole(vf64_t x) { return (vf64_trunc(x) == x) & (vf64_abs(x) < F64_INF); }
VEC_INLINE vi64_t vf64_is_odd(vf64_t x) {
  vf64_t half = 0.5 * x;
  return vf64_is_whole(x) & (vf64_trunc(half) != half) & (vf64_abs(x) < 0x1p53);
}
VEC_INLINE vf64_t vf64_pow(vf64_t x, vf64_t y) {
  vf64_t a = vf64_abs(x), low;
  vf64_t base = vf64_select((a > 0.0) & (a < F64_INF), a, vf64_splat(1.0));
  vf64_t high = vf64_log_pair(base, &low);
  vf64_t yc = vf64_clamp(y, -0x1p80, 0x1p80);
  vf64_t e, p = vf64_two_product(high, yc, &e);
  e = vf64_select(vf64_abs(p) < 800.0, e + low * yc, vf64_splat(0.0));
  vf64_t r = vf64_exp_sum(p, e);
  // Limits, in the order of C's Annex F.
  vi64_t positive = y > 0.0;
  r = vf64_select(a == 0.0, vf64_select(positive, vf64_splat(0.0), vf64_splat(F64_INF)), r);
  r = vf64_select(a == F64_INF, vf64_select(positive, vf64_splat(F64_INF), vf64_splat(0.0)), r);
  vi64_t grows = (a > 1.0) == positive;
  vf64_t at_infinity = vf64_select(a == 1.0, vf64_splat(1.0), vf64_select(grows, vf64_splat(F64_INF), vf64_splat(0.0)));
  r = vf64_select(vf64_abs(y) == F64_INF, at_infinity, r);
  r = vf64_select(((vi64_t)x < 0) & vf64_is_odd(y), -r, r);
  r = vf64_select((x < 0.0) & (a < F64_INF) & ~vf64_is_whole(y) & (vf64_abs(y) < F64_INF), vf64_splat(F64_NAN), r);
  r = vf64_select((x != x) | (y != y), x + y, r);
  return vf64_select((y == 0.0) | (x == 1.0), vf64_splat(1.0), r);
}

// Exact, by long division on the mantissas.
static __attribute__((unused)) double vec_scalar_fmod(double x, double y) {
  union {
    double d;
    uint64_t u;
  } a = {.d = x}, b = {.d = y};
  uint64_t sign = a.u & (uint64_t)1 << 63;
  a.u ^= sign;
  b.u &= ~((uint64_t)1 << 63);
  const uint64_t infinity = (uint64_t)0x7ff << 52;
  if (b.u == 0 || a.u >= infinity || b.u > infinity) return (x * y) / (x * y);
  if (a.u < b.u) return x;
  int ea = (int)(a.u >> 52), eb = (int)(b.u >> 52);
  uint64_t hidden = (uint64_t)1 << 52;
  uint64_t ma = ea != 0 ? (a.u & (hidden - 1)) | hidden : a.u, mb = eb != 0 ? (b.u & (hidden - 1)) | hidden : b.u;
  if (ea == 0) ea = 1;
  if (eb == 0) eb = 1;
  for (int left = ea - eb; left > 0;) {  // 11 bits a step: the mantissa has 53 of 64
    ma %= mb;
    int step = left < 11 ? left : 11;
    ma <<= step;
    left -= step;
  }
  ma %= mb;
  if (ma == 0) {
    a.u = sign;
    return a.d;
  }
  while (eb > 1 && ma < hidden) ma <<= 1, eb--;
  a.u = sign | (ma < hidden ? ma : (ma & (hidden - 1)) | (uint64_t)eb << 52);
  return a.d;
}
VEC_INLINE vf64_t vf64_fmod(vf64_t x, vf64_t y) {
  vf64_t r = x;
  for (int i = 0; i < VF64_LANES; i++) r[i] = vec_scalar_fmod(x[i], y[i]);
  return r;
}
// Sign of the divisor.
VEC_INLINE vf64_t vf64_rem(vf64_t x, vf64_t y) {
  vf64_t r = vf64_fmod(x, y);
  return vf64_select((r != 0.0) & ((r < 0.0) != (y < 0.0)), r + y, r);
}

#endif
