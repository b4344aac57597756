// SPDX-License-Identifier: Apache-2.0
// Spike: the windowed stages of a LeNet training step (and some larger convolutions) on one thread, through the stage
// kinds of the engine, as fractions of the FMA peak measured beside them. Torch's times for the same ops come from
// conv_step.py.
//   (after a build in $B) gcc -O2 -march=native -Iinclude -Isrc -Itests/c bench/spike/conv_step.c tests/c/stage_rig.c
//   $B/src/rt/libleat_rt.a $B/src/kern/libleat_kern.a $B/src/pef/libleat_pef.a $B/src/base/libleat_base.a ...
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "stage_rig.h"

// CPU time of this thread: other work on the machine does not count.
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static int by_value(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) * 2 - 1; }

#define FMA(r) "vfmadd231ps %%zmm31, %%zmm31, %%zmm" #r "\n"
static double fma_peak(void) {
  double best = 0;
  for (int rep = 0; rep < 5; rep++) {
    double s = now();
    for (int i = 0; i < 50000; i++) {
      __asm__ volatile("vpxord %%zmm31, %%zmm31, %%zmm31\n" FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7)
                           FMA(8) FMA(9) FMA(10) FMA(11) FMA(12) FMA(13) FMA(14) FMA(15)::
                               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                                 "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm31");
    }
    double f = 50000.0 * 16 * 32 / (now() - s);
    best = f > best ? f : best;
  }
  return best;
}

static int64_t count(const int64_t *d) { return d[0] * d[1] * d[2] * d[3]; }
static float *buffer(const int64_t *dims) {
  float *p = leat_alloc((size_t)count(dims) * 4);
  rig_fill_f32(p, (size_t)count(dims), 1, 0);
  return p;
}

// Runs one stage of 2-D operands a, b, c; prints its time, and its share of the peak if it has flops.
static void measure(const char *name, uint32_t kind, const int64_t *params, const int64_t *a, const int64_t *b,
                    const int64_t *c, double flops) {
  rig_t rig;
  const int64_t *dims[3] = {a, b, c};
  double t[32];
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  rig_init(&rig, kind, PEF_FN_MAX, kern[levels - 1]);
  memcpy(rig.params, params, 20 * sizeof *params);
  for (int i = 0; i < 3; i++) {
    if (dims[i]) rig_operand(&rig, PEF_F32, buffer(dims[i]), 4, dims[i]);
  }
  const leat_rt_prepare_t context = {.arena = &rig.arena, .kern = rig.stage.kern, .row_count = 1, .tile_rows_max = 1};
  leat_status_t status = rig.stage.kind->prepare(&rig.stage, &context);
  if (status) {
    printf("%s\n", leat_status_message(status));
    exit(1);
  }
  const leat_rt_tile_t tile = {
      .rows = 1, .arguments = rig.arguments, .workspace = leat_alloc(rig.stage.workspace_bytes + 64)};
  double peak = fma_peak();
  for (int i = 0; i < 32; i++) {
    double s = now();
    rig.stage.kind->run(&rig.stage, &tile);
    t[i] = now() - s;
  }
  qsort(t, 32, sizeof *t, by_value);
  printf("  %-34s %8.0f us", name, t[0] * 1e6);
  if (flops > 0) printf("  %.2f of peak", flops / t[0] / peak);
  printf("\n");
  for (uint32_t i = 0; i < rig.stage.operand_count; i++) leat_free(rig.arguments[i]);
  leat_free(tile.workspace);
  rig_deinit(&rig);
}

// Forward, x gradient and weight gradient of one square convolution.
static void convolution(const char *name, int64_t n, int64_t ci, int64_t co, int64_t in, int64_t k, int64_t stride,
                        int64_t pad) {
  const int64_t out = (in + 2 * pad - k) / stride + 1, low = k - 1 - pad, high = in - 1 - (out - 1) * stride + pad;
  const int64_t x[4] = {n, ci, in, in}, w[4] = {co, ci, k, k}, wt[4] = {ci, co, k, k}, y[4] = {n, co, out, out};
  const int64_t forward[20] = {2, 1, k, k, 0, stride, stride, 0, pad, pad, 0, pad, pad, 0, 1, 1, 0, 1, 1, 0};
  const int64_t back[20] = {2, 1, k, k, 0, 1, 1, 0, low, low, 0, high, high, 0, 1, 1, 0, stride, stride, 0};
  const double flops = 2.0 * (double)(n * co * out * out * ci * k * k);
  char text[96];
  snprintf(text, sizeof text, "%s forward", name);
  measure(text, PEF_STAGE_CONV, forward, x, w, y, flops);
  snprintf(text, sizeof text, "%s x gradient", name);
  measure(text, PEF_STAGE_CONV, back, y, wt, x, flops);
  snprintf(text, sizeof text, "%s weight gradient", name);
  measure(text, PEF_STAGE_CONV_WGRAD, forward, x, y, w, flops);
}

static void pooling(const char *name, int64_t n, int64_t c, int64_t in, int64_t k, int64_t stride, int64_t pad) {
  const int64_t out = (in + 2 * pad - k) / stride + 1, x[4] = {n, c, in, in}, y[4] = {n, c, out, out};
  const int64_t params[20] = {2, 1, k, k, 0, stride, stride, 0, pad, pad, 0, pad, pad, 0, 1, 1, 0, 1, 1, 0};
  char text[96];
  snprintf(text, sizeof text, "%s", name);
  measure(text, PEF_STAGE_POOL, params, x, y, NULL, 0);
  snprintf(text, sizeof text, "%s gradient", name);
  measure(text, PEF_STAGE_POOL_GRAD, params, x, y, x, 0);
}

int main(void) {
  printf("FMA peak %.1f GFLOP/s\n", fma_peak() * 1e-9);
  for (int64_t n = 32; n <= 256; n *= 8) {
    printf("batch %d\n", (int)n);
    convolution("1->6 5x5", n, 1, 6, 28, 5, 1, 2);
    pooling("pool 2x2 of 6x28x28", n, 6, 28, 2, 2, 0);
    convolution("6->16 5x5", n, 6, 16, 14, 5, 1, 0);
    pooling("pool 2x2 of 16x10x10", n, 16, 10, 2, 2, 0);
  }
  printf("larger, batch 4\n");
  convolution("64->64 3x3, 56x56", 4, 64, 64, 56, 3, 1, 1);
  convolution("256->256 3x3, 14x14", 4, 256, 256, 14, 3, 1, 1);
  convolution("64->128 3x3 stride 2", 4, 64, 128, 56, 3, 2, 1);
  convolution("256->64 1x1, 56x56", 4, 256, 64, 56, 1, 1, 0);
  pooling("pool 3x3 stride 2 of 64x112x112", 4, 64, 112, 3, 2, 1);
  return 0;
}
