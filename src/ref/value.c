// SPDX-License-Identifier: Apache-2.0
// Conversions. A float becomes an integer by truncation, INT64_MIN where that does not fit or it is a NaN; integers
// wrap to fewer bits; bool is whether a value is not 0; everything else is rounded once, to nearest, ties to even.
#include "ref/value.h"

#include <math.h>

// --- classes -----------------------------------------------------------------------------------------------------

ref_value_t leat_ref_of_int(uint32_t class_, int64_t x) {
  if (class_ == PEF_CLASS_F32) return (ref_value_t){.f32 = (float)x};
  if (class_ == PEF_CLASS_F64) return (ref_value_t){.f64 = (double)x};
  return (ref_value_t){.i64 = x};
}

ref_value_t leat_ref_of_double(uint32_t class_, double x) {
  return class_ == PEF_CLASS_F32 ? (ref_value_t){.f32 = (float)x} : (ref_value_t){.f64 = x};
}

static int64_t truncated(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN; }

ref_value_t leat_ref_convert(uint32_t to, uint32_t from, ref_value_t value) {
  if (to == from) return value;
  if (from == PEF_CLASS_I64) return leat_ref_of_int(to, value.i64);
  const double x = from == PEF_CLASS_F32 ? (double)value.f32 : value.f64;
  return to == PEF_CLASS_I64 ? (ref_value_t){.i64 = truncated(x)} : leat_ref_of_double(to, x);
}

bool leat_ref_is_nan(uint32_t class_, ref_value_t value) {
  return class_ == PEF_CLASS_F32 ? isnan(value.f32) : class_ == PEF_CLASS_F64 && isnan(value.f64);
}

bool leat_ref_less(uint32_t class_, ref_value_t a, ref_value_t b) {
  if (class_ == PEF_CLASS_F32) return a.f32 < b.f32;
  return class_ == PEF_CLASS_F64 ? a.f64 < b.f64 : a.i64 < b.i64;
}

ref_value_t leat_ref_add(uint32_t class_, ref_value_t a, ref_value_t b) {
  if (class_ == PEF_CLASS_F32) return (ref_value_t){.f32 = a.f32 + b.f32};
  if (class_ == PEF_CLASS_F64) return (ref_value_t){.f64 = a.f64 + b.f64};
  return (ref_value_t){.i64 = (int64_t)((uint64_t)a.i64 + (uint64_t)b.i64)};
}

ref_value_t leat_ref_multiply(uint32_t class_, ref_value_t a, ref_value_t b) {
  if (class_ == PEF_CLASS_F32) return (ref_value_t){.f32 = a.f32 * b.f32};
  if (class_ == PEF_CLASS_F64) return (ref_value_t){.f64 = a.f64 * b.f64};
  return (ref_value_t){.i64 = (int64_t)((uint64_t)a.i64 * (uint64_t)b.i64)};
}

ref_value_t leat_ref_multiply_add(uint32_t class_, ref_value_t a, ref_value_t b, ref_value_t sum) {
  if (class_ == PEF_CLASS_F32) return (ref_value_t){.f32 = fmaf(a.f32, b.f32, sum.f32)};
  if (class_ == PEF_CLASS_F64) return (ref_value_t){.f64 = fma(a.f64, b.f64, sum.f64)};
  return leat_ref_add(class_, leat_ref_multiply(class_, a, b), sum);
}

// --- terms of pairs ----------------------------------------------------------------------------------------------

static float without_denormal(float x) { return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x; }

// Whether a b + c, rounded to 24 bits of any exponent, is below the least normal number: it is itself below what is
// halfway between that and the number of 24 bits before it. In f64 the product is exact, and the sum known with its
// error.
static bool is_below_normal(float a, float b, float c) {
  const double product = (double)a * b, term = c, sum = product + term, part = sum - product;
  const double error = (product - (sum - part)) + (term - part), half = 0x1p-126 - 0x1p-151;
  if (fabs(sum) != half) return fabs(sum) < half;
  return error != 0 && signbit(error) != signbit(sum);
}

ref_value_t leat_ref_pair_term(ref_value_t a, ref_value_t b, ref_value_t sum) {
  const float x = without_denormal(a.f32), y = without_denormal(b.f32), z = without_denormal(sum.f32);
  const float exact = fmaf(x, y, z);
  return (ref_value_t){.f32 = is_below_normal(x, y, z) ? copysignf(0, exact) : exact};
}

// --- halves ------------------------------------------------------------------------------------------------------

// A float of 16 bits: a sign, an exponent, and so many bits of mantissa.
typedef struct half_s {
  int mantissa, least;  // exponent of the least normal number
} half_t;
static const half_t bf16 = {7, -126}, f16 = {10, -14};

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
static float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
static uint32_t infinity_of(half_t h) { return 0x7fffu >> h.mantissa << h.mantissa; }

// `x` has bits to spare for every value of the classes.
static uint16_t half_from(half_t h, long double x) {
  const uint32_t sign = signbit(x) ? 0x8000u : 0, infinity = infinity_of(h);
  if (isnan(x)) {  // quiet, with the first bits of what it carries
    return (uint16_t)(sign | infinity | 1u << (h.mantissa - 1) | (bits_of((float)x) & 0x7fffffu) >> (23 - h.mantissa));
  }
  if (x == 0 || isinf(x)) return (uint16_t)(sign | (x == 0 ? 0 : infinity));
  const int exponent = ilogbl(x) > h.least ? ilogbl(x) : h.least;
  const long double steps = nearbyintl(ldexpl(fabsl(x), h.mantissa - exponent));
  const uint32_t magnitude = ((uint32_t)(exponent - h.least) << h.mantissa) + (uint32_t)steps;  // carries count up
  return (uint16_t)(sign | (magnitude < infinity ? magnitude : infinity));
}

static float half_to(half_t h, uint16_t bits) {
  const uint32_t infinity = infinity_of(h), magnitude = bits & 0x7fffu, sign = (bits & 0x8000u) << 16;
  if (magnitude >= infinity) {
    const uint32_t carried = (magnitude - infinity) << (23 - h.mantissa);
    return float_of(sign | 0x7f800000u | carried | (carried != 0 ? 0x400000u : 0));
  }
  const uint32_t exponent = magnitude >> h.mantissa, fraction = magnitude & ((1u << h.mantissa) - 1);
  const float steps = (float)(exponent > 0 ? fraction + (1u << h.mantissa) : fraction);
  const float x = ldexpf(steps, (int)(exponent > 0 ? exponent - 1 : 0) + h.least - h.mantissa);
  return sign != 0 ? -x : x;
}

// --- memory ------------------------------------------------------------------------------------------------------

// The element in the class that its dtype is computed in.
static ref_value_t element(uint32_t dtype, const char *at) {
  union {
    float f32;
    double f64;
    uint16_t half;
    int8_t i8;
    uint8_t u8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
  } e;
  memcpy(&e, at, leat_pef_dtype_bytes(dtype));
  switch (dtype) {
    case PEF_F32:
      return (ref_value_t){.f32 = e.f32};
    case PEF_F64:
      return (ref_value_t){.f64 = e.f64};
    case PEF_BF16:
      return (ref_value_t){.f32 = half_to(bf16, e.half)};
    case PEF_F16:
      return (ref_value_t){.f32 = half_to(f16, e.half)};
    case PEF_I8:
      return (ref_value_t){.i64 = e.i8};
    case PEF_U8:
      return (ref_value_t){.i64 = e.u8};
    case PEF_I16:
      return (ref_value_t){.i64 = e.i16};
    case PEF_I32:
      return (ref_value_t){.i64 = e.i32};
    case PEF_BOOL:
      return (ref_value_t){.i64 = e.u8 != 0};
    default:
      return (ref_value_t){.i64 = e.i64};
  }
}

ref_value_t leat_ref_load(uint32_t class_, uint32_t dtype, const char *at) {
  return leat_ref_convert(class_, leat_pef_dtype_class(dtype), element(dtype, at));
}

static long double exactly(uint32_t class_, ref_value_t value) {
  if (class_ == PEF_CLASS_F32) return (long double)value.f32;
  return class_ == PEF_CLASS_F64 ? (long double)value.f64 : (long double)value.i64;
}

void leat_ref_store(uint32_t class_, uint32_t dtype, char *at, ref_value_t value) {
  if (dtype == PEF_BF16 || dtype == PEF_F16) {
    const uint16_t half = half_from(dtype == PEF_BF16 ? bf16 : f16, exactly(class_, value));
    memcpy(at, &half, sizeof half);
  } else if (dtype == PEF_BOOL) {
    *at = exactly(class_, value) != 0;
  } else {
    // Integers are stored with their low bytes, which come first.
    const ref_value_t as = leat_ref_convert(leat_pef_dtype_class(dtype), class_, value);
    memcpy(at, &as, leat_pef_dtype_bytes(dtype));
  }
}
