// SPDX-License-Identifier: Apache-2.0
// Matrix products of bf16 in pairs of k (pef_format.h, "Pairs"): a word of A and of B is a pair, the even element in
// its low half. With AVX512-BF16 a step is one instruction; elsewhere it is two fused multiply-adds, the odd elements'
// first, that take denormals as zero: by the bits of MXCSR where the level has the operation, else by hand.
#define VEC_NATIVE

#include "kern/fma.h"
#include "kern/isa.h"

// A word passes through registers as a float that nothing computes with. It may lie at any even address.
typedef float word_t __attribute__((aligned(2), may_alias));

#define V(name) pairs_##name
#define VT vf32_t
#define ET word_t
#define LANES VF32_LANES
#if defined(__AVX512BF16__)
enum { ROWS = 6, WIDTH = 4 };
#elif defined(__AVX512F__)
enum { ROWS = 4, WIDTH = 4 };
#else
enum { ROWS = 4, WIDTH = 2 };
#endif

typedef vf32_t pairs_vector_t __attribute__((aligned(2), may_alias));
VEC_INLINE vf32_t pairs_load(const word_t *p) { return *(const pairs_vector_t *)p; }
VEC_INLINE void pairs_store(word_t *p, vf32_t v) { *(pairs_vector_t *)p = v; }
VEC_INLINE vf32_t pairs_load_part(const word_t *p, int64_t n) {
  word_t lanes[LANES] = {0};
  for (int64_t i = 0; i < n; i++) lanes[i] = p[i];
  return pairs_load(lanes);
}
VEC_INLINE void pairs_store_part(word_t *p, vf32_t v, int64_t n) {
  word_t lanes[LANES];
  pairs_store(lanes, v);
  for (int64_t i = 0; i < n; i++) p[i] = lanes[i];
}

#if defined(__AVX512BF16__)

VEC_INLINE vf32_t pairs_splat(float word) { return (vf32_t)_mm512_set1_ps(word); }
VEC_INLINE vf32_t pairs_fma(vf32_t a, vf32_t b, vf32_t sum) {
  return (vf32_t)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}
#define FN KERN(gemm_bf16)
#include "kern/gemm_float.h"

#else

VEC_INLINE vf32_t odd_of(vf32_t pairs) { return (vf32_t)((vu32_t)pairs & 0xffff0000u); }
VEC_INLINE vf32_t even_of(vf32_t pairs) { return (vf32_t)((vu32_t)pairs << 16); }

#if defined(__AVX2__)

#if defined(__AVX512F__)
VEC_INLINE vf32_t pairs_splat(float word) { return (vf32_t)_mm512_set1_ps(word); }
VEC_INLINE vf32_t term(vf32_t a, vf32_t b, vf32_t sum) {
  return (vf32_t)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
}
#else
VEC_INLINE vf32_t pairs_splat(float word) { return (vf32_t)_mm256_set1_ps(word); }
VEC_INLINE vf32_t term(vf32_t a, vf32_t b, vf32_t sum) {
  return (vf32_t)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
}
#endif
enum { DENORMALS_ARE_ZERO = 0x40, FLUSH_TO_ZERO = 0x8000 };  // of MXCSR
#define OPEN()                            \
  const unsigned int mode = _mm_getcsr(); \
  _mm_setcsr(mode | DENORMALS_ARE_ZERO | FLUSH_TO_ZERO)
#define CLOSE() _mm_setcsr(mode)

#else

VEC_INLINE vf32_t pairs_splat(float word) { return (vf32_t){word, word, word, word}; }

typedef union pairs_bits_u {
  float f;
  uint32_t u;
} pairs_bits_t;
VEC_INLINE float without_denormal(float x) {
  pairs_bits_t bits = {.f = x};
  if ((bits.u & 0x7f800000u) == 0) bits.u &= 0x80000000u;
  return bits.f;
}

// As f32_fma without that operation, in double, where the sum is rounded to odd; there what rounds to less than the
// least normal float is less than the middle between that and what comes before it at 24 bits.
VEC_INLINE float term_of(float a, float b, float c) {
  double product = (double)without_denormal(a) * without_denormal(b), term = without_denormal(c);
  double sum = product + term, part = sum - product, error = (product - (sum - part)) + (term - part);
  fma_f64_bits_t bits = {.d = sum};
  if ((error < 0 || error > 0) && (bits.u & 1) == 0) bits.u += (error > 0) == (sum > 0) ? 1u : ~(uint64_t)0;
  const double size = bits.d < 0 ? -bits.d : bits.d;
  if (size < 0x1p-126 - 0x1p-151) bits.u &= (uint64_t)1 << 63;
  return (float)bits.d;
}
VEC_INLINE vf32_t term(vf32_t a, vf32_t b, vf32_t sum) {
  for (int i = 0; i < VF32_LANES; i++) sum[i] = term_of(a[i], b[i], sum[i]);
  return sum;
}
#define OPEN()
#define CLOSE()

#endif

VEC_INLINE vf32_t pairs_fma(vf32_t a, vf32_t b, vf32_t sum) {
  return term(even_of(a), even_of(b), term(odd_of(a), odd_of(b), sum));
}

static __attribute__((noinline)) void multiply(const leat_kern_gemm_t *g, const void *a, const void *b, void *c);
#define FN multiply
#include "kern/gemm_float.h"

void KERN(gemm_bf16)(const leat_kern_gemm_t *g, const void *a, const void *b, void *c) {
  OPEN();
  multiply(g, a, b, c);
  CLOSE();
}

#endif
