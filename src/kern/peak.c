// SPDX-License-Identifier: Apache-2.0
// What a core can do at most, to be timed by `leat machine`: chains of fused multiply-adds, and walks over memory.
#define VEC_NATIVE

#include "kern/fma.h"
#include "kern/isa.h"

// Twelve independent chains fill the pipes of any core that has them (two of latency 5 want ten), and with factor and
// term they are registers on AVX2, too, which has sixteen: variables, since elements of an array go through memory.
enum { CHAINS = 12 };
#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

VEC_INLINE vf64_t vf64_fma(vf64_t a, vf64_t b, vf64_t c) {
  vf64_t r = a;
  for (int i = 0; i < VF64_LANES; i++) r[i] = f64_fma(a[i], b[i], c[i]);
  return r;
}

#define START(T, element, name, c) T chain##c = v##name##_splat((element)c);
#define STEP(name, c)                               \
  chain##c = v##name##_fma(chain##c, factor, term); \
  __asm__ volatile("" : "+x"(chain##c));

#define START_F32(c) START(vf32_t, float, f32, c)
#define STEP_F32(c) STEP(f32, c)
#define START_F64(c) START(vf64_t, double, f64, c)
#define STEP_F64(c) STEP(f64, c)
#define ADD(c) +chain##c

#define DEFINE_PEAK(T, element, name, START, STEP)                                         \
  int64_t KERN(peak_##name)(void *out, int64_t rounds) {                                   \
    const T factor = v##name##_splat((element)0.5), term = v##name##_splat((element)0.25); \
    EACH_CHAIN(START)                                                                      \
    for (int64_t i = 0; i < rounds; i++) {                                                 \
      EACH_CHAIN(STEP)                                                                     \
    }                                                                                      \
    v##name##_store(out, factor EACH_CHAIN(ADD));                                          \
    return 2 * CHAINS * (int64_t)(sizeof(T) / sizeof(element)) * rounds;                   \
  }
DEFINE_PEAK(vf32_t, float, f32, START_F32, STEP_F32)
DEFINE_PEAK(vf64_t, double, f64, START_F64, STEP_F64)

// Lines of four vectors, whose sums keep several loads under way.
enum { STREAMS = 4 };

float KERN(read_f32)(const float *in, int64_t n) {
  vf32_t sum[STREAMS];
  _Pragma("GCC unroll 4") for (int s = 0; s < STREAMS; s++) sum[s] = vf32_splat(0);
  for (int64_t i = 0; i + STREAMS * VF32_LANES <= n; i += STREAMS * VF32_LANES) {
    _Pragma("GCC unroll 4") for (int s = 0; s < STREAMS; s++) sum[s] += vf32_load(in + i + s * VF32_LANES);
  }
  const vf32_t all = sum[0] + sum[1] + sum[2] + sum[3];
  float total = 0;
  for (int l = 0; l < VF32_LANES; l++) total += all[l];
  return total;
}

void KERN(triad_f32)(float *out, const float *a, const float *b, float factor, int64_t n) {
  const vf32_t times = vf32_splat(factor);
  for (int64_t i = 0; i + VF32_LANES <= n; i += VF32_LANES)
    vf32_store(out + i, vf32_load(a + i) + times * vf32_load(b + i));
}
