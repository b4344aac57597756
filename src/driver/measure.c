// SPDX-License-Identifier: Apache-2.0
// See measure.h: each rate is a piece of work that is timed until its time is up, the best try counts.
#include "driver/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "native/cpu.h"
#include "run/program.h"
#include "run/threads.h"

static const double PEAK_SECONDS = 0.1, WINDOW_SECONDS = 1e-3;
enum { BLOCK = 32, BLOCK_BYTES = BLOCK * BLOCK * 8 };
enum { WALKS = 5, MEETINGS = 4, ROUNDS = 3000, WAKES = 31, SLEEP_NANOSECONDS = 3000000 };
enum { MEMORY_MIN = 192 << 20, MEMORY_MAX = 768 << 20 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double larger(double a, double b) { return a > b ? a : b; }

// As many digits as a measurement has.
static double rounded(double value) {
  char text[32];
  const char *end;
  (void)snprintf(text, sizeof text, "%.3e", value);
  return leat_text_read_double(text, &end);
}

typedef struct meter_s {
  const leat_measure_t *how;
  uint32_t done, total;
  uint32_t threads;
  leat_run_threads_t *pool;       // NULL: one thread
  const leat_kern_t *kern;        // of the best level
  float *memory;                  // three arrays, one behind the other
  size_t memory_bytes, elements;  // of each array
} meter_t;

static void begin(meter_t *m, const char *what) {
  if (m->how->progress != NULL) m->how->progress(m->how->user, m->done, m->total, what);
  m->done++;
}

// --- products -----------------------------------------------------------------------------------------------------

// A dtype at a level: chains of multiply-adds in registers, and the product of blocks that L1 holds. The first is as
// fast as it goes; the second is there for a clock that happens to be higher meanwhile, so that no product passes the
// peak.
typedef struct product_s {
  int64_t (*peak)(void *out, int64_t rounds);
  void (*gemm)(const leat_kern_gemm_t *g, const void *a, const void *b, void *c);
  void *blocks;
} product_t;

static double time_chains(const product_t *p, int64_t rounds, double *out_flops) {
  _Alignas(64) char room[64];
  const double start = now();
  *out_flops = (double)p->peak(room, rounds);
  return now() - start;
}

static double time_blocks(const product_t *p, int64_t rounds, double *out_flops) {
  const leat_kern_gemm_t g = {.m = BLOCK, .n = BLOCK, .k = BLOCK, .a_m = BLOCK, .a_k = 1, .b_k = BLOCK, .c_m = BLOCK};
  char *a = p->blocks, *b = a + BLOCK_BYTES, *c = b + BLOCK_BYTES;
  const double start = now();
  for (int64_t i = 0; i < rounds; i++) p->gemm(&g, a, b, c);
  *out_flops = 2.0 * BLOCK * BLOCK * BLOCK * (double)rounds;
  return now() - start;
}

// Operations a second: of windows that are short, so that one of them is not disturbed.
static double measure_windows(const product_t *p, double (*time)(const product_t *, int64_t, double *)) {
  double best = 0, flops;
  int64_t rounds = 1;
  while (time(p, rounds, &flops) < WINDOW_SECONDS) rounds *= 2;
  for (const double end = now() + PEAK_SECONDS; now() < end;) {
    const double seconds = time(p, rounds, &flops);
    best = larger(best, flops / seconds);
  }
  return best;
}

static double measure_product(product_t product) {
  return rounded(larger(measure_windows(&product, time_chains), measure_windows(&product, time_blocks)));
}

static void measure_peaks(meter_t *m, enum leat_isa best, leat_arch_t *arch) {
  double *const to[LEAT_ARCH_DTYPE_COUNT][LEAT_ARCH_LEVEL_COUNT] = {
      [LEAT_ARCH_F32] = {&arch->f32_portable, &arch->f32_avx2, &arch->f32_avx512},
      [LEAT_ARCH_F64] = {&arch->f64_portable, &arch->f64_avx2, &arch->f64_avx512},
  };
  for (int level = 0; level < LEAT_ISA_COUNT; level++) {
    const enum leat_isa isa = (enum leat_isa)(level < (int)best ? level : (int)best);
    const leat_kern_t *kern = leat_native_cpu_kernels(isa);
    begin(m, leat_native_cpu_isa_name((enum leat_isa)level));
    const bool known = level > (int)best;
    const product_t f32 = {kern->peak_f32, kern->gemm_f32, m->memory},
                    f64 = {kern->peak_f64, kern->gemm_f64, m->memory};
    *to[LEAT_ARCH_F32][level] = known ? *to[LEAT_ARCH_F32][best] : measure_product(f32);
    *to[LEAT_ARCH_F64][level] = known ? *to[LEAT_ARCH_F64][best] : measure_product(f64);
  }
}

// --- memory -------------------------------------------------------------------------------------------------------

// What each worker takes of the arrays.
static void share(const meter_t *m, uint32_t workers, uint32_t worker, size_t *out_first, size_t *out_count) {
  const size_t line = 16, lines = m->elements / line;
  *out_first = lines * worker / workers * line;
  *out_count = lines * (worker + 1) / workers * line - *out_first;
}

typedef struct walk_s {
  const meter_t *meter;
  uint32_t workers;
} walk_t;

static void read_share(void *context, uint32_t worker) {
  const walk_t *walk = context;
  const meter_t *m = walk->meter;
  size_t first, count;
  share(m, walk->workers, worker, &first, &count);
  for (size_t array = 0; array < 3; array++) {
    volatile float sum = m->kern->read_f32(m->memory + array * m->elements + first, (int64_t)count);
    (void)sum;
  }
}

static void triad_share(void *context, uint32_t worker) {
  const walk_t *walk = context;
  const meter_t *m = walk->meter;
  size_t first, count;
  share(m, walk->workers, worker, &first, &count);
  float *arrays = m->memory + first;
  m->kern->triad_f32(arrays, arrays + m->elements, arrays + 2 * m->elements, 0.5f, (int64_t)count);
}

// Bytes a second that one worker moves, or all.
static double measure_walk(meter_t *m, leat_run_job_t job, bool all, const char *what) {
  walk_t walk = {m, all ? m->threads : 1};
  double best = 0;
  begin(m, what);
  for (int i = 0; i < WALKS; i++) {
    const double start = now();
    if (all && m->pool != NULL) {
      leat_run_threads_run(m->pool, job, &walk);
    } else {
      job(&walk, 0);
    }
    best = larger(best, 3.0 * (double)m->elements * sizeof(float) / (now() - start));
  }
  return rounded(best);
}

// Arrays that no cache holds, as far as there is memory for them: a quarter of what is free.
static leat_status_t take_memory(meter_t *m, uint64_t l3_bytes) {
  size_t bytes = l3_bytes > MEMORY_MAX / 4 ? MEMORY_MAX : 4 * (size_t)l3_bytes;
  if (bytes < MEMORY_MIN) bytes = MEMORY_MIN;
  const long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  const size_t spare = pages > 0 && page > 0 ? (size_t)pages / 4 * (size_t)page : bytes;
  if (bytes > spare) bytes = spare;
  m->memory_bytes = bytes / 3 / 4096 * 3 * 4096;
  m->elements = m->memory_bytes / 3 / sizeof(float);
  m->memory = leat_run_pages_map(m->memory_bytes);
  if (m->memory == NULL)
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the %zu bytes that bandwidth is measured on", m->memory_bytes);
  memset(m->memory, 0, m->memory_bytes);  // pages are given when they are written
  for (size_t i = 0; i < 3 * BLOCK_BYTES / sizeof(float); i++) m->memory[i] = 1.0f + (float)(i % 97) / 128;
  return NULL;
}

static void measure_memory(meter_t *m, leat_arch_t *arch) {
  arch->read_bytes = measure_walk(m, read_share, false, "reading, one core");
  arch->read_bytes_all = larger(arch->read_bytes, measure_walk(m, read_share, true, "reading, all cores"));
  arch->triad_bytes = measure_walk(m, triad_share, false, "triad, one core");
  arch->triad_bytes_all = larger(arch->triad_bytes, measure_walk(m, triad_share, true, "triad, all cores"));
}

// --- meetings -----------------------------------------------------------------------------------------------------

typedef struct meeting_s {
  leat_run_threads_t *pool;
  leat_run_count_t came;
  double seconds[ROUNDS];  // of one meeting
} meeting_t;

// A few at a time, so that some are not disturbed.
static void meet(void *context, uint32_t worker) {
  meeting_t *meeting = context;
  const uint32_t workers = leat_run_threads_count(meeting->pool);
  uint64_t wanted = 0;
  for (int round = 0; round < ROUNDS; round++) {
    const double start = now();
    for (int i = 0; i < MEETINGS; i++) {
      leat_run_count_add(&meeting->came, 1);
      leat_run_threads_await(meeting->pool, worker, &meeting->came, wanted += workers);
    }
    if (worker == 0) meeting->seconds[round] = (now() - start) / MEETINGS;
  }
}
static void nothing(void *context, uint32_t worker) { (void)context, (void)worker; }

static int compare_doubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// What one in ten stays below: typical where nothing disturbs.
static double undisturbed(double *seconds, size_t count) {
  qsort(seconds, count, sizeof *seconds, compare_doubles);
  return seconds[count / 10];
}

static void measure_meetings(meter_t *m, leat_arch_t *arch) {
  begin(m, "barrier");
  if (m->pool == NULL) return;  // one core meets nobody
  meeting_t meeting = {.pool = m->pool};
  double wakes[WAKES];
  leat_run_threads_run(m->pool, meet, &meeting);
  for (int i = 0; i < WAKES; i++) {
    nanosleep(&(struct timespec){.tv_nsec = SLEEP_NANOSECONDS}, NULL);
    const double start = now();
    leat_run_threads_run(m->pool, nothing, NULL);
    wakes[i] = now() - start;
  }
  const double barrier = undisturbed(meeting.seconds, ROUNDS);
  arch->barrier_seconds = rounded(barrier);
  arch->wake_seconds = rounded(larger(undisturbed(wakes, WAKES), barrier));
}

// --- all ----------------------------------------------------------------------------------------------------------

// The CPU as the system calls it: what a record may hold of that.
static void name_machine(const meter_t *m, leat_arch_t *arch) {
  char line[256], model[LEAT_ARCH_NAME_MAX - 24] = "x86-64";
  FILE *file = fopen("/proc/cpuinfo", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    const char *colon = strchr(line, ':');
    if (colon == NULL || strncmp(line, "model name", 10) != 0) continue;
    (void)snprintf(model, sizeof model, "%s", colon + 1 + strspn(colon + 1, " "));
    break;
  }
  if (file != NULL) fclose(file);
  for (char *c = model; *c != '\0'; c++) {
    if (*c == '\n')
      *c = '\0';
    else if (*c == '#' || *c == ':' || *c < ' ' || *c > '~')
      *c = ' ';
    if (*c == '\0') break;
  }
  (void)snprintf(arch->name, sizeof arch->name, "%s, %u %s", model, m->threads, m->threads == 1 ? "core" : "cores");
}

static leat_status_t measure(meter_t *m, leat_arch_t *arch) {
  enum leat_isa best;
  LEAT_TRY(leat_arch_native("native", arch));
  LEAT_TRY(leat_native_cpu_isa(NULL, &best));
  static const uint32_t vectors[LEAT_ISA_COUNT] = {16, 32, 64};
  arch->built_in = false;
  arch->level = (uint8_t)best;
  arch->vector_bytes = vectors[best];
  arch->cores = m->threads;
  m->kern = leat_native_cpu_kernels(best);
  name_machine(m, arch);
  if (m->threads > 1) LEAT_TRY(leat_run_threads_create(m->threads, (uint32_t)arch->spin_rounds, &m->pool));
  LEAT_TRY(take_memory(m, arch->l3_bytes));
  measure_peaks(m, best, arch);
  measure_memory(m, arch);
  measure_meetings(m, arch);
  return NULL;
}

leat_status_t leat_measure_machine(const leat_measure_t *how, leat_arch_t *out_arch) {
  meter_t m = {.how = how, .total = LEAT_ISA_COUNT + 5};
  m.threads = how->threads != 0 ? how->threads : leat_run_cpu_count();
  leat_status_t status = measure(&m, out_arch);
  if (status == NULL && how->progress != NULL) how->progress(how->user, m.total, m.total, "done");
  leat_run_threads_destroy(m.pool);
  leat_run_pages_unmap(m.memory, m.memory_bytes);
  return status;
}
