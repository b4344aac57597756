// SPDX-License-Identifier: Apache-2.0
// Elements: loading, storing and converting between the ten dtypes.
#include "ir/element.h"

#include <math.h>

// Rounds to `precision` bits of significand, the smallest normal exponent being `least`; infinite beyond `greatest`.
// Scaling by powers of two is exact, so that rint is the only rounding.
static double round_to_format(double value, int precision, int least, double greatest) {
  if (!isfinite(value) || value == 0) return value;
  int exponent = ilogb(value);
  int unit = (exponent < least ? least : exponent) - (precision - 1);
  double rounded = ldexp(rint(ldexp(value, -unit)), unit);
  return fabs(rounded) > greatest ? copysign(INFINITY, value) : rounded;
}

static double round_to_bf16(double value) { return round_to_format(value, 8, -126, 0x1.fep127); }
static double round_to_f16(double value) { return round_to_format(value, 11, -14, 65504.0); }

static uint16_t bf16_bits(double value) {
  float exact = (float)round_to_bf16(value);
  uint32_t bits;
  memcpy(&bits, &exact, sizeof bits);
  return isnan(value) ? (uint16_t)((bits >> 16) | 0x40) : (uint16_t)(bits >> 16);
}

static double bf16_value(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint16_t f16_bits(double value) {
  uint16_t sign = signbit(value) ? 0x8000 : 0;
  double magnitude = fabs(round_to_f16(value));
  if (isnan(value)) return (uint16_t)(sign | 0x7e00);
  if (isinf(magnitude)) return (uint16_t)(sign | 0x7c00);
  if (magnitude < 0x1p-14) return (uint16_t)(sign | (uint16_t)ldexp(magnitude, 24));
  int exponent = ilogb(magnitude);
  uint16_t significand = (uint16_t)ldexp(magnitude, 10 - exponent);  // 1024..2047
  return (uint16_t)(sign | ((exponent + 15) << 10) | (significand & 0x3ff));
}

static double f16_value(uint16_t half) {
  int exponent = (half >> 10) & 0x1f, fraction = half & 0x3ff;
  double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(fraction + 1024, exponent - 25);
  if (exponent == 0x1f) magnitude = fraction != 0 ? (double)NAN : (double)INFINITY;
  return half & 0x8000 ? -magnitude : magnitude;
}

leat_element_t leat_element_load(leat_dtype_t dtype, const void *data, int64_t index) {
  assert(dtype < LEAT_DTYPE_COUNT);
  switch (dtype) {
    case LEAT_F32:
      return (leat_element_t){.f = ((const float *)data)[index]};
    case LEAT_F64:
      return (leat_element_t){.f = ((const double *)data)[index]};
    case LEAT_BF16:
      return (leat_element_t){.f = bf16_value(((const uint16_t *)data)[index])};
    case LEAT_F16:
      return (leat_element_t){.f = f16_value(((const uint16_t *)data)[index])};
    case LEAT_I8:
      return (leat_element_t){.i = ((const int8_t *)data)[index]};
    case LEAT_U8:
      return (leat_element_t){.i = ((const uint8_t *)data)[index]};
    case LEAT_I16:
      return (leat_element_t){.i = ((const int16_t *)data)[index]};
    case LEAT_I32:
      return (leat_element_t){.i = ((const int32_t *)data)[index]};
    case LEAT_I64:
      return (leat_element_t){.i = ((const int64_t *)data)[index]};
    case LEAT_BOOL:
      return (leat_element_t){.i = ((const uint8_t *)data)[index] != 0};
    case LEAT_DTYPE_COUNT:
      break;
  }
  return (leat_element_t){0};
}

void leat_element_store(leat_dtype_t dtype, void *data, int64_t index, leat_element_t element) {
  assert(dtype < LEAT_DTYPE_COUNT);
  switch (dtype) {
    case LEAT_F32:
      ((float *)data)[index] = (float)element.f;
      return;
    case LEAT_F64:
      ((double *)data)[index] = element.f;
      return;
    case LEAT_BF16:
      ((uint16_t *)data)[index] = bf16_bits(element.f);
      return;
    case LEAT_F16:
      ((uint16_t *)data)[index] = f16_bits(element.f);
      return;
    case LEAT_I8:
      ((int8_t *)data)[index] = (int8_t)element.i;
      return;
    case LEAT_U8:
      ((uint8_t *)data)[index] = (uint8_t)element.i;
      return;
    case LEAT_I16:
      ((int16_t *)data)[index] = (int16_t)element.i;
      return;
    case LEAT_I32:
      ((int32_t *)data)[index] = (int32_t)element.i;
      return;
    case LEAT_I64:
      ((int64_t *)data)[index] = element.i;
      return;
    case LEAT_BOOL:
      ((uint8_t *)data)[index] = element.i != 0;
      return;
    case LEAT_DTYPE_COUNT:
      break;
  }
}

static int64_t truncated(double value) {
  return value >= -0x1p63 && value < 0x1p63 ? (int64_t)value : INT64_MIN;  // NaN fails both comparisons
}

leat_element_t leat_element_convert(leat_dtype_t from, leat_dtype_t to, leat_element_t element) {
  bool from_float = leat_dtype_is_float(from), to_float = leat_dtype_is_float(to);
  if (to == LEAT_BOOL) return (leat_element_t){.i = from_float ? element.f != 0 : element.i != 0};
  if (from_float == to_float) return element;
  if (from_float) return (leat_element_t){.i = truncated(element.f)};
  return (leat_element_t){.f = to == LEAT_F32 ? (double)(float)element.i : (double)element.i};
}

leat_element_t leat_element_of(leat_dtype_t dtype, double number) {
  return leat_element_convert(LEAT_F64, dtype, (leat_element_t){.f = number});
}

double leat_dtype_round(leat_dtype_t dtype, double number) {
  uint64_t storage;
  leat_element_store(dtype, &storage, 0, leat_element_of(dtype, number));
  leat_element_t element = leat_element_load(dtype, &storage, 0);
  return leat_dtype_is_float(dtype) ? element.f : (double)element.i;
}
