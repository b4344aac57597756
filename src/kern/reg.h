// SPDX-License-Identifier: Apache-2.0
// One hardware register of floats: 16, 8 or 4 lanes by ISA level. For micro kernels that must hold their accumulators
// in registers, where the 64-byte vectors of vec.h would be split and spilled below AVX-512. A body walks its positions
// in steps of REG_LANES; lanes do not depend on each other, so the result bits are those of every other level.
//
// reg_lanes(from, to) masks the lanes from <= i < to, 0 <= from <= to <= REG_LANES, reg_odd those of odd numbers,
// reg_lanes_of those whose words are -1 and not 0; lanes that are masked out load as zero and are not touched in
// memory. reg_beats masks the lanes where v is greater or a NaN,
// reg_winner is v there and best elsewhere; reg_pick takes those of a mask from a. reg_least and
// reg_most keep v within a bound, also where it is a NaN or a zero of another sign. reg_evens: a0 a2 .. and then b1 b3
// ..; reg_interleave: a0 b0 a1 b1 .., the second half in *out_high; reg_split: back, a and b being the halves.
// reg_transpose: lane j of register i goes to lane i of register j, of REG_LANES registers.
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
VEC_INLINE reg_t reg_add(reg_t a, reg_t b) { return _mm512_add_ps(a, b); }
VEC_INLINE reg_t reg_mul(reg_t a, reg_t b) { return _mm512_mul_ps(a, b); }
VEC_INLINE reg_t reg_load_i8(const int8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}
VEC_INLINE reg_t reg_load_bf16(const uint16_t *p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16));
}
VEC_INLINE reg_t reg_least(reg_t low, reg_t v) { return _mm512_max_ps(low, v); }
VEC_INLINE reg_t reg_most(reg_t high, reg_t v) { return _mm512_min_ps(high, v); }
VEC_INLINE reg_mask_t reg_lanes(int64_t from, int64_t to) { return (reg_mask_t)((1u << to) - (1u << from)); }
VEC_INLINE reg_mask_t reg_odd(void) { return (reg_mask_t)0xaaaa; }
VEC_INLINE reg_mask_t reg_lanes_of(const int32_t *words) { return _mm512_movepi32_mask(_mm512_loadu_si512(words)); }
VEC_INLINE reg_t reg_load_lanes(const float *p, reg_mask_t m) { return _mm512_maskz_loadu_ps(m, p); }
VEC_INLINE void reg_store_lanes(float *p, reg_t v, reg_mask_t m) { _mm512_mask_storeu_ps(p, m, v); }
VEC_INLINE reg_mask_t reg_beats(reg_t v, reg_t best) {
  return (reg_mask_t)(_mm512_cmp_ps_mask(v, best, _CMP_GT_OQ) | _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q));
}
VEC_INLINE reg_t reg_winner(reg_t v, reg_t best) {
  return _mm512_mask_mov_ps(_mm512_max_ps(v, best), _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), v);
}
VEC_INLINE reg_mask_t reg_equals(reg_t a, reg_t b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
VEC_INLINE reg_t reg_pick(reg_mask_t m, reg_t a, reg_t b) { return _mm512_mask_blend_ps(m, b, a); }
VEC_INLINE reg_t reg_evens(reg_t a, reg_t b) {
  const __m512i from = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
  return _mm512_permutex2var_ps(a, from, b);
}
VEC_INLINE reg_t reg_interleave(reg_t a, reg_t b, reg_t *out_high) {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  *out_high = _mm512_permutex2var_ps(a, high, b);
  return _mm512_permutex2var_ps(a, low, b);
}
VEC_INLINE reg_t reg_split(reg_t low, reg_t high, reg_t *out_odds) {
  const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odds = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  *out_odds = _mm512_permutex2var_ps(low, odds, high);
  return _mm512_permutex2var_ps(low, evens, high);
}
// The quarters of four registers of columns c: those of columns c, 4 + c, 8 + c, 12 + c.
VEC_INLINE void reg_join_quarters(reg_t r[16], int c) {
  reg_t low = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x44), high = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xee);
  reg_t next_low = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x44);
  reg_t next_high = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xee);
  r[c] = _mm512_shuffle_f32x4(low, next_low, 0x88);
  r[4 + c] = _mm512_shuffle_f32x4(low, next_low, 0xdd);
  r[8 + c] = _mm512_shuffle_f32x4(high, next_high, 0x88);
  r[12 + c] = _mm512_shuffle_f32x4(high, next_high, 0xdd);
}
// Within quarters, of four registers.
VEC_INLINE void reg_transpose_quarters(reg_t r[4]) {
  __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1])), b = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1]));
  __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3])), d = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
  r[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
  r[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
  r[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
  r[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
}
VEC_INLINE void reg_transpose(reg_t r[16]) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) reg_transpose_quarters(r + 4 * i);
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) reg_join_quarters(r, c);
}
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
VEC_INLINE reg_t reg_add(reg_t a, reg_t b) { return _mm256_add_ps(a, b); }
VEC_INLINE reg_t reg_mul(reg_t a, reg_t b) { return _mm256_mul_ps(a, b); }
VEC_INLINE reg_t reg_load_i8(const int8_t *p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
}
VEC_INLINE reg_t reg_load_bf16(const uint16_t *p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16));
}
VEC_INLINE reg_t reg_least(reg_t low, reg_t v) { return _mm256_max_ps(low, v); }
VEC_INLINE reg_t reg_most(reg_t high, reg_t v) { return _mm256_min_ps(high, v); }
VEC_INLINE reg_mask_t reg_lanes(int64_t from, int64_t to) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)from), lane),
                             _mm256_cmpgt_epi32(_mm256_set1_epi32((int)to), lane));
}
VEC_INLINE reg_mask_t reg_odd(void) { return _mm256_setr_epi32(0, -1, 0, -1, 0, -1, 0, -1); }
VEC_INLINE reg_mask_t reg_lanes_of(const int32_t *words) {
  return _mm256_loadu_si256((const reg_mask_t *)(const void *)words);
}
VEC_INLINE reg_t reg_load_lanes(const float *p, reg_mask_t m) { return _mm256_maskload_ps(p, m); }
VEC_INLINE void reg_store_lanes(float *p, reg_t v, reg_mask_t m) { _mm256_maskstore_ps(p, m, v); }
VEC_INLINE reg_mask_t reg_beats(reg_t v, reg_t best) {
  return _mm256_castps_si256(_mm256_or_ps(_mm256_cmp_ps(v, best, _CMP_GT_OQ), _mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}
VEC_INLINE reg_t reg_winner(reg_t v, reg_t best) {
  return _mm256_blendv_ps(_mm256_max_ps(v, best), v, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}
VEC_INLINE reg_mask_t reg_equals(reg_t a, reg_t b) { return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
VEC_INLINE reg_t reg_pick(reg_mask_t m, reg_t a, reg_t b) { return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m)); }
VEC_INLINE reg_t reg_evens(reg_t a, reg_t b) {
  __m256d pairs = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xd8));  // a0 a2 b1 b3, a4 a6 b5 b7
  return _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, 0xd8));
}
VEC_INLINE reg_t reg_interleave(reg_t a, reg_t b, reg_t *out_high) {
  reg_t low = _mm256_unpacklo_ps(a, b), high = _mm256_unpackhi_ps(a, b);  // 0 1 4 5, 2 3 6 7
  *out_high = _mm256_permute2f128_ps(low, high, 0x31);
  return _mm256_permute2f128_ps(low, high, 0x20);
}
VEC_INLINE reg_t reg_split(reg_t low, reg_t high, reg_t *out_odds) {
  const __m256d evens = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0x88));  // 0 2 8 10, 4 6 12 14
  const __m256d odds = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0xdd));
  *out_odds = _mm256_castpd_ps(_mm256_permute4x64_pd(odds, 0xd8));
  return _mm256_castpd_ps(_mm256_permute4x64_pd(evens, 0xd8));
}
// Within halves, of four registers.
VEC_INLINE void reg_transpose_halves(reg_t r[4]) {
  __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(r[0], r[1])), b = _mm256_castps_pd(_mm256_unpackhi_ps(r[0], r[1]));
  __m256d c = _mm256_castps_pd(_mm256_unpacklo_ps(r[2], r[3])), d = _mm256_castps_pd(_mm256_unpackhi_ps(r[2], r[3]));
  r[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
  r[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
  r[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
  r[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
}
VEC_INLINE void reg_transpose(reg_t r[8]) {
  reg_transpose_halves(r);
  reg_transpose_halves(r + 4);
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) {
    reg_t low = _mm256_permute2f128_ps(r[c], r[4 + c], 0x20);
    r[4 + c] = _mm256_permute2f128_ps(r[c], r[4 + c], 0x31);
    r[c] = low;
  }
}
#else
enum { REG_LANES = 4, REG_COUNT = 16 };
typedef float reg_t __attribute__((vector_size(16)));
typedef float reg_unaligned_t __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t reg_mask_t __attribute__((vector_size(16)));
VEC_INLINE reg_t reg_zero(void) { return (reg_t){0}; }
VEC_INLINE reg_t reg_splat(float x) { return (reg_t){x, x, x, x}; }
VEC_INLINE reg_t reg_load(const float *p) { return *(const reg_unaligned_t *)p; }
VEC_INLINE void reg_store(float *p, reg_t v) { *(reg_unaligned_t *)p = v; }
VEC_CALL reg_t reg_fma(reg_t a, reg_t b, reg_t c) {
  return (reg_t){f32_fma(a[0], b[0], c[0]), f32_fma(a[1], b[1], c[1]), f32_fma(a[2], b[2], c[2]),
                 f32_fma(a[3], b[3], c[3])};
}
VEC_INLINE reg_t reg_add(reg_t a, reg_t b) { return a + b; }
VEC_INLINE reg_t reg_mul(reg_t a, reg_t b) { return a * b; }
VEC_INLINE reg_t reg_load_i8(const int8_t *p) { return (reg_t){p[0], p[1], p[2], p[3]}; }
VEC_INLINE reg_t reg_load_bf16(const uint16_t *p) {
  const reg_mask_t bits = {(int32_t)((uint32_t)p[0] << 16), (int32_t)((uint32_t)p[1] << 16),
                           (int32_t)((uint32_t)p[2] << 16), (int32_t)((uint32_t)p[3] << 16)};
  return (reg_t)bits;
}
VEC_INLINE reg_mask_t reg_lanes(int64_t from, int64_t to) {
  const reg_mask_t lane = {0, 1, 2, 3};
  return (lane >= (int32_t)from) & (lane < (int32_t)to);
}
VEC_INLINE reg_mask_t reg_odd(void) { return (reg_mask_t){0, -1, 0, -1}; }
VEC_INLINE reg_mask_t reg_lanes_of(const int32_t *words) {
  return (reg_mask_t){words[0], words[1], words[2], words[3]};
}
VEC_INLINE reg_t reg_load_lanes(const float *p, reg_mask_t m) {
  return (reg_t){m[0] ? p[0] : 0, m[1] ? p[1] : 0, m[2] ? p[2] : 0, m[3] ? p[3] : 0};
}
VEC_INLINE void reg_store_lanes(float *p, reg_t v, reg_mask_t m) {
  for (int i = 0; i < REG_LANES; i++) {
    if (m[i] != 0) p[i] = v[i];
  }
}
VEC_INLINE reg_mask_t reg_beats(reg_t v, reg_t best) { return (v > best) | (v != v); }
VEC_INLINE reg_mask_t reg_equals(reg_t a, reg_t b) { return a == b; }
VEC_INLINE reg_t reg_pick(reg_mask_t m, reg_t a, reg_t b) {
  return (reg_t)(((reg_mask_t)a & m) | ((reg_mask_t)b & ~m));
}
VEC_INLINE reg_t reg_least(reg_t low, reg_t v) { return reg_pick(low > v, low, v); }
VEC_INLINE reg_t reg_most(reg_t high, reg_t v) { return reg_pick(high < v, high, v); }
VEC_INLINE reg_t reg_winner(reg_t v, reg_t best) { return reg_pick(reg_beats(v, best), v, best); }
VEC_INLINE reg_t reg_evens(reg_t a, reg_t b) { return (reg_t){a[0], a[2], b[1], b[3]}; }
VEC_INLINE reg_t reg_interleave(reg_t a, reg_t b, reg_t *out_high) {
  *out_high = (reg_t){a[2], b[2], a[3], b[3]};
  return (reg_t){a[0], b[0], a[1], b[1]};
}
VEC_INLINE reg_t reg_split(reg_t low, reg_t high, reg_t *out_odds) {
  *out_odds = (reg_t){low[1], low[3], high[1], high[3]};
  return (reg_t){low[0], low[2], high[0], high[2]};
}
VEC_INLINE void reg_transpose(reg_t r[4]) {
  const reg_t a = r[0], b = r[1], c = r[2], d = r[3];
  r[0] = (reg_t){a[0], b[0], c[0], d[0]};
  r[1] = (reg_t){a[1], b[1], c[1], d[1]};
  r[2] = (reg_t){a[2], b[2], c[2], d[2]};
  r[3] = (reg_t){a[3], b[3], c[3], d[3]};
}
#endif

// The lanes from <= at + i < to, for any from and to.
VEC_INLINE int64_t reg_clamp(int64_t n) { return n < 0 ? 0 : n > REG_LANES ? REG_LANES : n; }
VEC_INLINE reg_mask_t reg_part(int64_t from, int64_t to, int64_t at) {
  int64_t a = reg_clamp(from - at), b = reg_clamp(to - at);
  return reg_lanes(a < b ? a : b, b);
}

#endif
