// SPDX-License-Identifier: Apache-2.0
// Vector types (GCC and clang vector extensions) and the operations that the operators do not give: unaligned and
// partial loads and stores, splats, selects, widening, fused multiply-add.
//
// A vector has 64 bytes, which the compiler maps to one, two or four registers; or, in a file that defines VEC_NATIVE
// before it includes anything, it is one register of the ISA level. Bodies that work lane by lane give the same bits
// either way. Vectors never cross a function boundary that is not inlined. Loops over lanes become vector code.
#ifndef LEAT_KERN_VEC_H_
#define LEAT_KERN_VEC_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define VEC_INLINE static inline __attribute__((always_inline, unused))
// What a level makes of many instructions: copies of it at every use would be most of what there is to compile.
#define VEC_CALL static __attribute__((noinline, unused))

#if !defined(VEC_NATIVE) || defined(__AVX512F__)
#define VEC_BYTES 64
#elif defined(__AVX2__)
#define VEC_BYTES 32
#else
#define VEC_BYTES 16
#endif
typedef float vf32_t __attribute__((vector_size(VEC_BYTES)));
typedef int32_t vi32_t __attribute__((vector_size(VEC_BYTES)));
typedef uint32_t vu32_t __attribute__((vector_size(VEC_BYTES)));
typedef double vf64_t __attribute__((vector_size(VEC_BYTES)));
typedef int64_t vi64_t __attribute__((vector_size(VEC_BYTES)));
typedef uint64_t vu64_t __attribute__((vector_size(VEC_BYTES)));
typedef float vf32h_t __attribute__((vector_size(VEC_BYTES / 2)));  // half of a vf32_t
enum { VF32_LANES = VEC_BYTES / 4, VF64_LANES = VEC_BYTES / 8, VI64_LANES = VEC_BYTES / 8 };

// part: the first n < lanes elements; the other lanes load as zero and are not stored.
#define VEC_DEFINE(T, element, name)                                                    \
  typedef T name##_unaligned_t __attribute__((aligned(sizeof(element)), may_alias));    \
  VEC_INLINE T name##_load(const element *p) { return *(const name##_unaligned_t *)p; } \
  VEC_INLINE void name##_store(element *p, T v) { *(name##_unaligned_t *)p = v; }       \
  VEC_INLINE T name##_splat(element x) { return x - (T){0}; } /* keeps -0.0 */
#define VEC_DEFINE_PARTS(T, element, name)                        \
  VEC_INLINE T name##_load_part(const element *p, int64_t n) {    \
    element lanes[VEC_BYTES / sizeof(element)] = {0};             \
    for (int64_t i = 0; i < n; i++) lanes[i] = p[i];              \
    return name##_load(lanes);                                    \
  }                                                               \
  VEC_INLINE void name##_store_part(element *p, T v, int64_t n) { \
    element lanes[VEC_BYTES / sizeof(element)];                   \
    name##_store(lanes, v);                                       \
    for (int64_t i = 0; i < n; i++) p[i] = lanes[i];              \
  }
VEC_DEFINE(vf32_t, float, vf32)
#if defined(__AVX512F__)
VEC_INLINE vf32_t vf32_load_part(const float *p, int64_t n) {
  return (vf32_t)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
VEC_INLINE void vf32_store_part(float *p, vf32_t v, int64_t n) {
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
#elif defined(__AVX2__) && VEC_BYTES == 32
VEC_INLINE __m256i vf32_part_mask(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
VEC_INLINE vf32_t vf32_load_part(const float *p, int64_t n) { return (vf32_t)_mm256_maskload_ps(p, vf32_part_mask(n)); }
VEC_INLINE void vf32_store_part(float *p, vf32_t v, int64_t n) { _mm256_maskstore_ps(p, vf32_part_mask(n), (__m256)v); }
#else
VEC_DEFINE_PARTS(vf32_t, float, vf32)
#endif
VEC_DEFINE(vi32_t, int32_t, vi32)
VEC_DEFINE_PARTS(vi32_t, int32_t, vi32)
VEC_DEFINE(vu32_t, uint32_t, vu32)
VEC_DEFINE_PARTS(vu32_t, uint32_t, vu32)
VEC_DEFINE(vf64_t, double, vf64)
VEC_DEFINE_PARTS(vf64_t, double, vf64)
VEC_DEFINE(vi64_t, int64_t, vi64)
VEC_DEFINE_PARTS(vi64_t, int64_t, vi64)
VEC_DEFINE(vu64_t, uint64_t, vu64)
VEC_DEFINE_PARTS(vu64_t, uint64_t, vu64)

// mask lanes are 0 or -1, as comparisons yield them.
VEC_INLINE vf32_t vf32_select(vi32_t mask, vf32_t yes, vf32_t no) {
  vf32_t r = no;
  for (int i = 0; i < VF32_LANES; i++) r[i] = mask[i] ? yes[i] : no[i];
  return r;
}
// The same by bits: where a value is long to compute, compilers may compute it lane by lane for a select of lanes.
VEC_INLINE vf32_t vf32_choose(vi32_t mask, vf32_t yes, vf32_t no) {
  return (vf32_t)((mask & (vi32_t)yes) | (~mask & (vi32_t)no));
}
// The same where a < b.
VEC_INLINE vf32_t vf32_choose_less(vf32_t a, vf32_t b, vf32_t yes, vf32_t no) {
#if defined(__AVX512F__)
  return (vf32_t)_mm512_mask_blend_ps(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ), (__m512)no, (__m512)yes);
#else
  return vf32_choose(a < b, yes, no);
#endif
}
VEC_INLINE vf64_t vf64_select(vi64_t mask, vf64_t yes, vf64_t no) {
  return (vf64_t)((mask & (vi64_t)yes) | (~mask & (vi64_t)no));
}
VEC_INLINE vi64_t vi64_select(vi64_t mask, vi64_t yes, vi64_t no) { return (mask & yes) | (~mask & no); }

// a < b ? a : b, and a > b ? a : b: where either is a NaN, b.
VEC_INLINE vf32_t vf32_lesser(vf32_t a, vf32_t b) {
#if defined(__AVX512F__)
  return (vf32_t)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__) && VEC_BYTES == 32
  return (vf32_t)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return vf32_select(a < b, a, b);
#endif
}
VEC_INLINE vf32_t vf32_greater(vf32_t a, vf32_t b) {
#if defined(__AVX512F__)
  return (vf32_t)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__) && VEC_BYTES == 32
  return (vf32_t)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return vf32_select(a > b, a, b);
#endif
}

VEC_INLINE vf64_t vf64_lesser(vf64_t a, vf64_t b) {
#if defined(__AVX512F__)
  return (vf64_t)_mm512_min_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__) && VEC_BYTES == 32
  return (vf64_t)_mm256_min_pd((__m256d)a, (__m256d)b);
#else
  return vf64_select(a < b, a, b);
#endif
}
VEC_INLINE vf64_t vf64_greater(vf64_t a, vf64_t b) {
#if defined(__AVX512F__)
  return (vf64_t)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__) && VEC_BYTES == 32
  return (vf64_t)_mm256_max_pd((__m256d)a, (__m256d)b);
#else
  return vf64_select(a > b, a, b);
#endif
}

VEC_INLINE int vi32_any(vi32_t mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__) && VEC_BYTES == 32
  return _mm256_movemask_epi8((__m256i)mask) != 0;
#endif
  vi64_t lanes = (vi64_t)mask;
  int64_t any = 0;
  for (int i = 0; i < VI64_LANES; i++) any |= lanes[i];
  return any != 0;
}

// The floats of a vector as two vectors of doubles, and back (rounded once).
#if VEC_BYTES == 64
#define VEC_LOW_HALF 0, 1, 2, 3, 4, 5, 6, 7
#define VEC_HIGH_HALF 8, 9, 10, 11, 12, 13, 14, 15
#elif VEC_BYTES == 32
#define VEC_LOW_HALF 0, 1, 2, 3
#define VEC_HIGH_HALF 4, 5, 6, 7
#else
#define VEC_LOW_HALF 0, 1
#define VEC_HIGH_HALF 2, 3
#endif
VEC_INLINE vf64_t vf32_widen_low(vf32_t v) {
  vf32h_t half = __builtin_shufflevector(v, v, VEC_LOW_HALF);
  return __builtin_convertvector(half, vf64_t);
}
VEC_INLINE vf64_t vf32_widen_high(vf32_t v) {
  vf32h_t half = __builtin_shufflevector(v, v, VEC_HIGH_HALF);
  return __builtin_convertvector(half, vf64_t);
}
VEC_INLINE vf32_t vf32_narrow(vf64_t low, vf64_t high) {
  vf32h_t a = __builtin_convertvector(low, vf32h_t), b = __builtin_convertvector(high, vf32h_t);
  return __builtin_shufflevector(a, b, VEC_LOW_HALF, VEC_HIGH_HALF);
}

VEC_INLINE vf32_t vf32_sqrt(vf32_t v) {
#if defined(__AVX512F__)
  return (vf32_t)_mm512_sqrt_ps((__m512)v);
#elif defined(__AVX2__) && VEC_BYTES == 32
  return (vf32_t)_mm256_sqrt_ps((__m256)v);
#else
  vf32_t r = v;
  for (int i = 0; i < VF32_LANES; i++) r[i] = __builtin_sqrtf(v[i]);
  return r;
#endif
}
VEC_INLINE vf64_t vf64_sqrt(vf64_t v) {
  vf64_t r = v;
  for (int i = 0; i < VF64_LANES; i++) r[i] = __builtin_sqrt(v[i]);
  return r;
}

#ifdef __FMA__
VEC_INLINE vf32_t vf32_fma(vf32_t a, vf32_t b, vf32_t c) {
  vf32_t r = a;
  for (int i = 0; i < VF32_LANES; i++) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return r;
}
#else
// The product of two floats is exact in double. The sum is rounded to odd there, so that rounding it once more to
// float gives what a fused operation gives.
VEC_INLINE vf64_t vec_fma_odd(vf64_t a, vf64_t b, vf64_t c) {
  vf64_t product = a * b, sum = product + c;
  vf64_t bc = sum - product;
  vf64_t error = (product - (sum - bc)) + (c - bc);  // two-sum: sum + error is exact
  vi64_t bits = (vi64_t)sum;
  vi64_t inexact = (error != 0.0) & (error == error) & ((bits & 1) == 0);
  vi64_t away = ((error > 0.0) == (sum > 0.0)) & inexact;  // the exact value is farther from zero than sum
  vi64_t towards = ~away & inexact;
  return (vf64_t)(bits - away + towards);
}
// Rounding the sum to double first matters only where it lies half way between two floats then, or becomes denormal.
VEC_INLINE int vec_fma_rounds_twice(vf64_t sum) {
  const vi64_t half = (vi64_t){0} + 0x10000000;
  vf64_t magnitude = (vf64_t)((vi64_t)sum & INT64_MAX);
  vi64_t low = (vi64_t)sum & 0x1fffffff;
  return vi32_any((vi32_t)((vi32_t)low == (vi32_t)half) & (vi32_t)((vi64_t){0} + 0xffffffff)) |
         vi32_any((vi32_t)((magnitude < 0x1p-126) & (magnitude > 0.0)));
}
VEC_CALL vf32_t vf32_fma(vf32_t a, vf32_t b, vf32_t c) {
  vf64_t low = vf32_widen_low(a) * vf32_widen_low(b) + vf32_widen_low(c);
  vf64_t high = vf32_widen_high(a) * vf32_widen_high(b) + vf32_widen_high(c);
  if (__builtin_expect(!(vec_fma_rounds_twice(low) | vec_fma_rounds_twice(high)), 1)) return vf32_narrow(low, high);
  return vf32_narrow(vec_fma_odd(vf32_widen_low(a), vf32_widen_low(b), vf32_widen_low(c)),
                     vec_fma_odd(vf32_widen_high(a), vf32_widen_high(b), vf32_widen_high(c)));
}
#endif

#endif
