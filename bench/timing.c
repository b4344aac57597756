// SPDX-License-Identifier: Apache-2.0
// What the benchmark measures in C: a run without Python around it, and what caches give at a level of instructions.
// Built by bench/machine.py with: cc -O3 -shared -fPIC
#include <stdint.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Seconds that `count` calls of leat_program_run take. Each status is NULL in a run that succeeds.
double time_runs(void *(*run)(void *, uint32_t), void *program, uint32_t types, long count) {
  const double start = now();
  for (long i = 0; i < count; ++i)
    if (run(program, types)) return -1;
  return now() - start;
}

// Reads of n floats, and a triad of three arrays of n / 3; n is a multiple of 384.
#define WALKS(suffix, lanes, features)                                                                        \
  typedef float v##suffix __attribute__((vector_size(4 * (lanes)), aligned(4), may_alias));                   \
  __attribute__((target(features), noinline)) static void read_##suffix(const float *x, long n, float *out) { \
    v##suffix sum[8] = {0};                                                                                   \
    for (long i = 0; i < n; i += 8 * (lanes))                                                                 \
      for (int j = 0; j < 8; ++j) sum[j] += *(const v##suffix *)(x + i + j * (lanes));                        \
    for (int j = 1; j < 8; ++j) sum[0] += sum[j];                                                             \
    *(v##suffix *)out = sum[0];                                                                               \
  }                                                                                                           \
  __attribute__((target(features), noinline)) static void triad_##suffix(float *x, long n) {                  \
    const float *a = x, *b = x + n / 3;                                                                       \
    float *c = x + n / 3 * 2;                                                                                 \
    for (long i = 0; i < n / 3; i += 8 * (lanes))                                                             \
      for (int j = 0; j < 8; ++j)                                                                             \
        *(v##suffix *)(c + i + j * (lanes)) =                                                                 \
            *(const v##suffix *)(a + i + j * (lanes)) + 0.5f * *(const v##suffix *)(b + i + j * (lanes));     \
  }
WALKS(portable, 4, "sse2")
WALKS(avx2, 8, "avx2,fma")
WALKS(avx512, 16, "avx512f")

static void walk(int level, int triad, float *memory, long n) {
  float out[16];
  if (level == 0) triad ? triad_portable(memory, n) : read_portable(memory, n, out);
  if (level == 1) triad ? triad_avx2(memory, n) : read_avx2(memory, n, out);
  if (level == 2) triad ? triad_avx512(memory, n) : read_avx512(memory, n, out);
  __asm__ volatile("" : : "r"(out), "r"(memory) : "memory");  // the sums are wanted
}

// Bytes a second that one core reads of n floats again and again, or moves in a triad (level: 0 portable, 1 AVX2,
// 2 AVX-512): the best of windows within `seconds`.
double walk_rate(int level, int triad, float *memory, long n, double seconds) {
  long rounds = 1;
  double best = 0, taken = 0;
  for (double end = now() + seconds; now() < end;) {
    const double start = now();
    for (long i = 0; i < rounds; ++i) walk(level, triad, memory, n);
    taken = now() - start;
    const double rate = 4.0 * (double)(n / 3 * 3) * (double)rounds / taken;
    if (taken < 1e-4)
      rounds *= 2;
    else if (rate > best)
      best = rate;
  }
  return best;
}
