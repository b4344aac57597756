// SPDX-License-Identifier: Apache-2.0
// What the benchmark measures in C: the FMA peak of a core, and a run without Python around it.
// Built by bench/machine.py with: cc -O2 -shared -fPIC
#include <immintrin.h>
#include <stdint.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Twelve independent chains of fused multiply-add fill the pipes of any core that has them (two of latency 5 want ten),
// and with factor and term they are registers on AVX2, too, which has sixteen.
#define CHAINS 12
#define UNROLL _Pragma("GCC unroll 12")  // the chains must be registers
#define PEAK(name, isa, vector, lanes, set, fma)                      \
  __attribute__((target(isa))) static double name(long count) {       \
    vector chain[CHAINS], factor = set(0.5f), term = set(0.5f);       \
    UNROLL for (int c = 0; c < CHAINS; ++c) chain[c] = set((float)c); \
    const double start = now();                                       \
    for (long i = 0; i < count; ++i) {                                \
      UNROLL for (int c = 0; c < CHAINS; ++c) {                       \
        chain[c] = fma(chain[c], factor, term);                       \
        __asm__ volatile("" : "+v"(chain[c]));                        \
      }                                                               \
    }                                                                 \
    const double seconds = now() - start;                             \
    return 2.0 * lanes * CHAINS * (double)count / seconds;            \
  }
PEAK(peak_avx512, "avx512f", __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps)
PEAK(peak_avx2, "avx2,fma", __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps)

// Flops a second of the calling thread: best of five runs of about 2 ms.
double fma_peak(void) {
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    const double flops = __builtin_cpu_supports("avx512f") ? peak_avx512(300000) : peak_avx2(300000);
    if (flops > best) best = flops;
  }
  return best;
}

// Seconds that `count` calls of leat_program_run take. Each status is NULL in a run that succeeds.
double time_runs(void *(*run)(void *, uint32_t), void *program, uint32_t types, long count) {
  const double start = now();
  for (long i = 0; i < count; ++i)
    if (run(program, types)) return -1;
  return now() - start;
}
