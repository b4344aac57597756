// SPDX-License-Identifier: Apache-2.0
// Stable sorting of lines. Values become unsigned keys of the same order (NaN greatest, -0 equal to 0), keys are sorted
// digit by digit beside the index they came from; the caller moves the values by these indices.
#include "kern/isa.h"

// Keys of floats of any width: negative numbers are complemented, positive ones get the sign bit.
static inline uint64_t float_key(uint64_t bits, uint64_t sign, uint64_t infinity) {
  uint64_t magnitude = bits & (sign - 1);
  if (magnitude > infinity) return sign << 1 | 1;  // NaN
  if (magnitude == 0) return sign;
  return (bits & sign) != 0 ? sign - magnitude : sign + magnitude;
}
// The 64-bit key has no room above infinity for sign << 1: its magnitudes end at infinity, so NaN is all ones.
static inline uint64_t double_key(uint64_t bits) {
  const uint64_t sign = (uint64_t)1 << 63, infinity = (uint64_t)0x7ff << 52;
  return (bits & (sign - 1)) > infinity ? ~(uint64_t)0 : float_key(bits, sign, infinity);
}

#define DEFINE_KEYS(name, T, expression)                                                                             \
  void KERN(sort_keys_##name)(const T *in, int64_t step, int64_t count, uint64_t flip, leat_kern_sort_item_t *out) { \
    for (int64_t i = 0; i < count; i++) {                                                                            \
      T v = in[i * step];                                                                                            \
      out[i].key = (expression) ^ flip;                                                                              \
      out[i].index = i;                                                                                              \
    }                                                                                                                \
  }
DEFINE_KEYS(f32, uint32_t, float_key(v, (uint64_t)1 << 31, (uint64_t)0xff << 23))
DEFINE_KEYS(f64, uint64_t, double_key(v))
DEFINE_KEYS(bf16, uint16_t, float_key(v, (uint64_t)1 << 15, (uint64_t)0xff << 7))
DEFINE_KEYS(f16, uint16_t, float_key(v, (uint64_t)1 << 15, (uint64_t)0x1f << 10))
DEFINE_KEYS(i8, int8_t, (uint64_t)(int64_t)v ^ (uint64_t)1 << 63)
DEFINE_KEYS(i16, int16_t, (uint64_t)(int64_t)v ^ (uint64_t)1 << 63)
DEFINE_KEYS(i32, int32_t, (uint64_t)(int64_t)v ^ (uint64_t)1 << 63)
DEFINE_KEYS(i64, int64_t, (uint64_t)v ^ (uint64_t)1 << 63)
DEFINE_KEYS(u8, uint8_t, v)

static void insertion(leat_kern_sort_item_t *items, int64_t count) {
  for (int64_t i = 1; i < count; i++) {
    leat_kern_sort_item_t item = items[i];
    int64_t j = i;
    for (; j > 0 && item.key < items[j - 1].key; j--) items[j] = items[j - 1];
    items[j] = item;
  }
}

// --- by digits ------------------------------------------------------------------------------------------------------

enum { BITS = 8, DIGITS = 64 / BITS, VALUES = 1 << BITS, FEW = 64 };

static inline uint32_t digit_of(uint64_t key, int digit) { return (uint32_t)(key >> (digit * BITS)) & (VALUES - 1); }

static void count_digits(const leat_kern_sort_item_t *items, int64_t count, int64_t counts[DIGITS][VALUES]) {
  for (int d = 0; d < DIGITS; d++) {
    for (int v = 0; v < VALUES; v++) counts[d][v] = 0;
  }
  for (int64_t i = 0; i < count; i++) {
#pragma GCC unroll 8
    for (int d = 0; d < DIGITS; d++) counts[d][digit_of(items[i].key, d)]++;
  }
}

// From the least digit to the greatest, each keeping the order of the one before; a digit that all share is left out.
static leat_kern_sort_item_t *by_digits(leat_kern_sort_item_t *items, leat_kern_sort_item_t *spare, int64_t count) {
  int64_t counts[DIGITS][VALUES];
  count_digits(items, count, counts);
  for (int d = 0; d < DIGITS; d++) {
    if (counts[d][digit_of(items[0].key, d)] == count) continue;
    int64_t place = 0;
    for (int v = 0; v < VALUES; v++) {
      const int64_t many = counts[d][v];
      counts[d][v] = place;
      place += many;
    }
    for (int64_t i = 0; i < count; i++) spare[counts[d][digit_of(items[i].key, d)]++] = items[i];
    leat_kern_sort_item_t *swap = items;
    items = spare;
    spare = swap;
  }
  return items;
}

// Sorts `items`; `spare` is as long. Returns which of the two holds the result.
leat_kern_sort_item_t *KERN(sort_items)(leat_kern_sort_item_t *items, leat_kern_sort_item_t *spare, int64_t count) {
  if (count > FEW) return by_digits(items, spare, count);
  insertion(items, count);
  return items;
}
