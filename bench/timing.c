// SPDX-License-Identifier: Apache-2.0
// What the benchmark measures in C: a run without Python around it.
// Built by bench/machine.py with: cc -O2 -shared -fPIC
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
