// SPDX-License-Identifier: Apache-2.0
// The helpers that the expressions of scalar.def are written with. Integers wrap; what C leaves undefined is defined.
#ifndef LEAT_IR_SCALAR_H_
#define LEAT_IR_SCALAR_H_

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// floats
static inline double leat_sign(double a) { return (double)((a > 0) - (a < 0)); }  // NaN: 0, as in torch
static inline double leat_sigmoid(double a) { return 1.0 / (1.0 + exp(-a)); }
static inline double leat_fmax(double a, double b) { return isnan(a) || isnan(b) ? (double)NAN : a < b ? b : a; }
static inline double leat_fmin(double a, double b) { return isnan(a) || isnan(b) ? (double)NAN : b < a ? b : a; }
// The bits of a in f32 and the first 16 of b's are added; 16 bits are left of the sum, but of infinities and NaNs.
static inline double leat_dither(double a, double b) {
  const float last = 0x1.fffffep-1f, number = (float)a, least = (float)b < last ? (float)b : last;
  uint32_t bits;
  memcpy(&bits, &number, sizeof bits);
  if ((bits & 0x7f800000u) == 0x7f800000u) return (double)number;
  bits = (bits + (uint32_t)((least > 0 ? least : 0) * 0x1p16f)) & 0xffff0000u;
  float result;
  memcpy(&result, &bits, sizeof bits);
  return (double)result;
}
static inline double leat_rem(double a, double b) {
  double r = fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// integers, modulo 2^64
static inline int64_t leat_wrap_neg(int64_t a) { return (int64_t)(0 - (uint64_t)a); }
static inline int64_t leat_wrap_add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static inline int64_t leat_wrap_sub(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
static inline int64_t leat_wrap_mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

// division by zero gives 0 (quotient and remainder); INT64_MIN / -1 wraps
static inline int64_t leat_idiv_trunc(int64_t a, int64_t b) { return b == 0 ? 0 : b == -1 ? leat_wrap_neg(a) : a / b; }
static inline int64_t leat_imod_trunc(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }
static inline int64_t leat_imod_floor(int64_t a, int64_t b) {
  int64_t r = leat_imod_trunc(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
static inline int64_t leat_idiv_floor(int64_t a, int64_t b) {
  int64_t r = leat_imod_trunc(a, b), q = leat_idiv_trunc(a, b);
  return r != 0 && (r < 0) != (b < 0) ? q - 1 : q;
}
// a negative power of 1 and -1 is what it is, of everything else 0
static inline int64_t leat_ipow(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
  int64_t result = 1;
  for (; b != 0; b >>= 1, a = leat_wrap_mul(a, a)) {
    if ((b & 1) != 0) result = leat_wrap_mul(result, a);
  }
  return result;
}

// shifts by less than 0 or more than 63 shift everything out
static inline int64_t leat_shl(int64_t a, int64_t b) { return b < 0 || b > 63 ? 0 : (int64_t)((uint64_t)a << b); }
static inline int64_t leat_shr(int64_t a, int64_t b) { return b < 0 || b > 63 ? (a < 0 ? -1 : 0) : a >> b; }
static inline int64_t leat_not(int64_t a, bool is_bool) { return is_bool ? a == 0 : ~a; }

#endif
