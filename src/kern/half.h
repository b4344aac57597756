// SPDX-License-Identifier: Apache-2.0
// bf16 and f16 to and from float, on bits, rounding to nearest even; NaN stays NaN. Branch-free, so that loops over
// them become vector code.
#ifndef LEAT_KERN_HALF_H_
#define LEAT_KERN_HALF_H_

#include <stdint.h>

typedef union half_bits_u {
  float f;
  uint32_t u;
} half_bits_t;
#define HALF_INLINE static inline __attribute__((always_inline, unused))

HALF_INLINE float bf16_to_f32(uint16_t h) { return (half_bits_t){.u = (uint32_t)h << 16}.f; }
HALF_INLINE uint16_t bf16_from_f32(float f) {
  uint32_t u = (half_bits_t){.f = f}.u;
  uint32_t rounded = u + 0x7fffu + (u >> 16 & 1u);
  return (uint16_t)((f == f ? rounded : u | 0x400000u) >> 16);
}
HALF_INLINE float f16_to_f32(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  float scaled = (half_bits_t){.u = magnitude << 13}.f * 0x1p112f;  // also normalises denormals
  uint32_t u = (half_bits_t){.f = scaled}.u;
  uint32_t special = 0x7f800000u | magnitude << 13 | ((magnitude & 0x3ffu) != 0 ? 0x400000u : 0u);
  return (half_bits_t){.u = sign | (magnitude >= 0x7c00u ? special : u)}.f;
}
HALF_INLINE uint16_t f16_from_f32(float f) {
  uint32_t u = (half_bits_t){.f = f}.u, sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
  // Denormal halves: adding 0.5 leaves the rounded mantissa in the low bits.
  uint32_t small = (half_bits_t){.f = (half_bits_t){.u = magnitude}.f + 0.5f}.u - 0x3f000000u;
  uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  uint32_t large = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x3ffu) : 0x7c00u;
  uint32_t r = magnitude < 0x38800000u ? small : magnitude >= 0x477ff000u ? large : normal;
  return (uint16_t)(sign | r);
}
HALF_INLINE float f32_round_bf16(float f) { return bf16_to_f32(bf16_from_f32(f)); }
HALF_INLINE float f32_round_f16(float f) { return f16_to_f32(f16_from_f32(f)); }

// A double rounded once: to float with the last bit set when inexact (round to odd), which has bits to spare for both.
HALF_INLINE float f32_odd_from_f64(double d) {
  float f = (float)d;
  double back = (double)f;
  half_bits_t b = {.f = f};
  int inexact = back != d && d == d && f - f == 0 && (b.u & 1u) == 0;
  // Towards the exact value: away from zero if |d| is the larger one.
  int away = (d < 0 ? -d : d) > (back < 0 ? -back : back);
  b.u += inexact ? (away ? 1u : ~0u) : 0u;
  return b.f;
}

#endif
