// SPDX-License-Identifier: Apache-2.0
// One hardware register of floats: 16, 8 or 4 lanes by ISA level. For micro kernels that must hold their accumulators
// in registers, where the 64-byte vectors of vec.h would be split and spilled below AVX-512. A body walks its positions
// in steps of REG_LANES; lanes do not depend on each other, so the result bits are those of every other level.
//
// reg_lanes(from, to) masks the lanes from <= i < to, 0 <= from <= to <= REG_LANES; lanes that are masked out load as
// zero and are not touched in memory.
#ifndef LEAT_KERN_REG_H_
#define LEAT_KERN_REG_H_

#include "kern/fma.h"

#if defined(__AVX512F__)
#include <immintrin.h>
enum { REG_LANES = 16, REG_COUNT = 32 };
typedef __m512 reg_t;
typedef __mmask16 reg_mask_t;
VEC_INLINE reg_t reg_zero(void) { return _mm512_setzero_ps(); }
VEC_INLINE reg_t reg_splat(float x) { return _mm512_set1_ps(x); }
VEC_INLINE reg_t reg_load(const float *p) { return _mm512_loadu_ps(p); }
VEC_INLINE void reg_store(float *p, reg_t v) { _mm512_storeu_ps(p, v); }
VEC_INLINE reg_t reg_fma(reg_t a, reg_t b, reg_t c) { return _mm512_fmadd_ps(a, b, c); }
VEC_INLINE reg_mask_t reg_lanes(int64_t from, int64_t to) { return (reg_mask_t)((1u << to) - (1u << from)); }
VEC_INLINE reg_t reg_load_lanes(const float *p, reg_mask_t m) { return _mm512_maskz_loadu_ps(m, p); }
VEC_INLINE void reg_store_lanes(float *p, reg_t v, reg_mask_t m) { _mm512_mask_storeu_ps(p, m, v); }
#elif defined(__AVX2__)
#include <immintrin.h>
enum { REG_LANES = 8, REG_COUNT = 16 };
typedef __m256 reg_t;
typedef __m256i reg_mask_t;
VEC_INLINE reg_t reg_zero(void) { return _mm256_setzero_ps(); }
VEC_INLINE reg_t reg_splat(float x) { return _mm256_set1_ps(x); }
VEC_INLINE reg_t reg_load(const float *p) { return _mm256_loadu_ps(p); }
VEC_INLINE void reg_store(float *p, reg_t v) { _mm256_storeu_ps(p, v); }
VEC_INLINE reg_t reg_fma(reg_t a, reg_t b, reg_t c) { return _mm256_fmadd_ps(a, b, c); }
VEC_INLINE reg_mask_t reg_lanes(int64_t from, int64_t to) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)from), lane),
                             _mm256_cmpgt_epi32(_mm256_set1_epi32((int)to), lane));
}
VEC_INLINE reg_t reg_load_lanes(const float *p, reg_mask_t m) { return _mm256_maskload_ps(p, m); }
VEC_INLINE void reg_store_lanes(float *p, reg_t v, reg_mask_t m) { _mm256_maskstore_ps(p, m, v); }
#else
enum { REG_LANES = 4, REG_COUNT = 16 };
typedef float reg_t __attribute__((vector_size(16)));
typedef float reg_unaligned_t __attribute__((vector_size(16), aligned(4), may_alias));
typedef unsigned reg_mask_t;
VEC_INLINE reg_t reg_zero(void) { return (reg_t){0}; }
VEC_INLINE reg_t reg_splat(float x) { return (reg_t){x, x, x, x}; }
VEC_INLINE reg_t reg_load(const float *p) { return *(const reg_unaligned_t *)p; }
VEC_INLINE void reg_store(float *p, reg_t v) { *(reg_unaligned_t *)p = v; }
VEC_INLINE reg_t reg_fma(reg_t a, reg_t b, reg_t c) {
  return (reg_t){f32_fma(a[0], b[0], c[0]), f32_fma(a[1], b[1], c[1]), f32_fma(a[2], b[2], c[2]),
                 f32_fma(a[3], b[3], c[3])};
}
VEC_INLINE reg_mask_t reg_lanes(int64_t from, int64_t to) { return (reg_mask_t)((1u << to) - (1u << from)); }
VEC_INLINE reg_t reg_load_lanes(const float *p, reg_mask_t m) {
  return (reg_t){m & 1 ? p[0] : 0, m & 2 ? p[1] : 0, m & 4 ? p[2] : 0, m & 8 ? p[3] : 0};
}
VEC_INLINE void reg_store_lanes(float *p, reg_t v, reg_mask_t m) {
  for (int i = 0; i < REG_LANES; i++) {
    if ((m >> i & 1) != 0) p[i] = v[i];
  }
}
#endif

// The lanes from <= i < to of a 64-byte vector, for any from and to; the others load as zero and are not touched.
VEC_INLINE int64_t reg_clamp(int64_t n) { return n < 0 ? 0 : n > REG_LANES ? REG_LANES : n; }
VEC_INLINE reg_mask_t reg_part(int64_t from, int64_t to, int64_t at) {
  int64_t a = reg_clamp(from - at), b = reg_clamp(to - at);
  return reg_lanes(a < b ? a : b, b);
}
VEC_INLINE vf32_t vf32_load_lanes(const float *p, int64_t from, int64_t to) {
  vf32_t v;
  for (int i = 0; i < VF32_LANES; i += REG_LANES) {
    reg_t part = reg_load_lanes(p + i, reg_part(from, to, i));
    __builtin_memcpy((char *)&v + i * 4, &part, sizeof part);
  }
  return v;
}
VEC_INLINE void vf32_store_lanes(float *p, vf32_t v, int64_t from, int64_t to) {
  for (int i = 0; i < VF32_LANES; i += REG_LANES) {
    reg_t part;
    __builtin_memcpy(&part, (const char *)&v + i * 4, sizeof part);
    reg_store_lanes(p + i, part, reg_part(from, to, i));
  }
}

#endif
