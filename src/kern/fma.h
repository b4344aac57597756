// SPDX-License-Identifier: Apache-2.0
// Scalar fused multiply-add with the same bits on every ISA level: one instruction where the level has it, elsewhere an
// exact emulation (no libm: kernels are sealed).
#ifndef LEAT_KERN_FMA_H_
#define LEAT_KERN_FMA_H_

#include "kern/vec.h"

#ifdef __FMA__

VEC_INLINE float f32_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
VEC_INLINE double f64_fma(double a, double b, double c) { return __builtin_fma(a, b, c); }

#else

typedef union fma_f64_bits_u {
  double d;
  uint64_t u;
} fma_f64_bits_t;

// The product of two floats is exact in double. The sum is rounded to odd there, so that rounding it once more to float
// gives what a fused operation gives.
VEC_INLINE float f32_fma(float a, float b, float c) {
  double product = (double)a * b, sum = product + c, part = sum - product;
  double error = (product - (sum - part)) + ((double)c - part);  // two-sum: sum + error is exact
  fma_f64_bits_t bits = {.d = sum};
  if ((error < 0 || error > 0) && (bits.u & 1) == 0) bits.u += (error > 0) == (sum > 0) ? 1u : ~(uint64_t)0;
  return (float)bits.d;
}

// |x| = mantissa * 2^exponent for finite x != 0, the mantissa normalised to 53 bits.
VEC_INLINE uint64_t fma_split(double x, int *out_exponent) {
  fma_f64_bits_t bits = {.d = x};
  int exponent = (int)(bits.u >> 52 & 0x7ff);
  uint64_t mantissa = bits.u & 0xfffffffffffffu;
  if (exponent != 0) mantissa |= (uint64_t)1 << 52;
  if (exponent == 0) exponent = 1;
  int shift = __builtin_clzll(mantissa) - 11;
  *out_exponent = exponent - 1075 - shift;
  return mantissa << shift;
}

// x >> shift with every bit that falls out kept in the last one.
VEC_INLINE unsigned __int128 fma_shift_sticky(unsigned __int128 x, int shift) {
  if (shift <= 0) return x;
  if (shift > 127) return x != 0;
  unsigned __int128 kept = x >> shift;
  return kept | (kept << shift != x);
}

// mantissa * 2^exponent rounded to nearest even; mantissa != 0.
VEC_INLINE double fma_round(unsigned __int128 mantissa, int exponent, uint64_t sign) {
  uint64_t high = (uint64_t)(mantissa >> 64);
  int width = high != 0 ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)mantissa);
  int shift = width - 53;
  if (exponent + shift < -1074) shift = -1074 - exponent;  // subnormal: the last bit is 2^-1074
  if (shift <= 0)
    mantissa <<= -shift;
  else
    mantissa = fma_shift_sticky(mantissa << 2, shift);  // two bits below the last: half, and the rest
  uint64_t m = (uint64_t)mantissa;
  if (shift > 0) {
    uint64_t rest = m & 3;
    m >>= 2;
    m += rest == 3 || (rest == 2 && (m & 1) != 0);
  }
  exponent += shift;
  if (m >> 53 != 0) m >>= 1, exponent++;
  fma_f64_bits_t r = {.u = sign};
  if (exponent > 971)
    r.u |= (uint64_t)0x7ff << 52;
  else if (m >> 52 != 0)
    r.u |= (uint64_t)(exponent + 1075) << 52 | (m & 0xfffffffffffffu);
  else
    r.u |= m;
  return r.d;
}

// Integer arithmetic on the mantissas: 106 bits of product, the addend aligned to it within 125.
static __attribute__((unused)) double f64_fma(double a, double b, double c) {
  if (a - a != 0 || b - b != 0 || a == 0 || b == 0) return a * b + c;
  if (c - c != 0) return c;
  if (c == 0) return a * b;
  fma_f64_bits_t ba = {.d = a}, bb = {.d = b}, bc = {.d = c};
  uint64_t sign = (ba.u ^ bb.u) & (uint64_t)1 << 63, sign_c = bc.u & (uint64_t)1 << 63;
  int ea, eb, ec;
  uint64_t ma = fma_split(a, &ea), mb = fma_split(b, &eb), mc = fma_split(c, &ec);
  unsigned __int128 product = (unsigned __int128)ma * mb, addend = mc;
  int exponent = ea + eb, distance = ec - exponent;
  if (distance > 71) {  // the addend is far above: the product only decides the rounding
    product = fma_shift_sticky(product, distance - 71);
    exponent += distance - 71;
    distance = 71;
  }
  addend = distance >= 0 ? addend << distance : fma_shift_sticky(addend, -distance);
  if (sign == sign_c) return fma_round(product + addend, exponent, sign);
  if (product == addend) return 0;
  if (product > addend) return fma_round(product - addend, exponent, sign);
  return fma_round(addend - product, exponent, sign_c);
}

#endif
#endif
