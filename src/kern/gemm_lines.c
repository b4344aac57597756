// SPDX-License-Identifier: Apache-2.0
// Matrix products of class F32 of few rows of A with lines of B that lie along k, as keys do that a query is multiplied
// with. A lane is a line: blocks of B are transposed in registers on the way, so that every element is the chain of
// gemm_f32, and B is read once and as it lies.
#include "kern/isa.h"
#include "kern/reg.h"

// Rows of A that share a transposed block, and blocks of lines whose chains go on side by side.
enum { ROWS_MAX = 4, GROUPS_MAX = 2 };
enum { CACHE_LINE = 64 };

// What comes behind the lines at work, asked for in the order of memory: they are read block by block, which nobody
// foresees. `at` bytes of the line at `line` have been asked for.
typedef struct ahead_s {
  uintptr_t line;
  int64_t at, line_bytes, step;
} ahead_t;

VEC_INLINE void ask_for(ahead_t *ahead, int64_t cache_lines) {
  for (int64_t i = 0; i < cache_lines; i++) {
    __builtin_prefetch((const void *)(ahead->line + (uintptr_t)ahead->at));
    ahead->at += CACHE_LINE;
    if (ahead->at < ahead->line_bytes) continue;
    ahead->at = 0;
    ahead->line += (uintptr_t)ahead->step;
  }
}

// `steps` of k, at most REG_LANES: `part` masks those of the last block. Where there are fewer lines than lanes, the
// last one stands in for those that lack.
VEC_INLINE void add_block(const leat_kern_gemm_t *g, const int rows, const int64_t count, const float *a,
                          const float *b, int64_t steps, reg_mask_t part, reg_t sums[ROWS_MAX]) {
  reg_t lines[REG_LANES];
#pragma GCC unroll 16
  for (int i = 0; i < REG_LANES; i++) lines[i] = reg_load_lanes(b + (i < count ? i : count - 1) * g->b_k, part);
  reg_transpose(lines);
#pragma GCC unroll 16
  for (int p = 0; p < REG_LANES; p++) {
    if (p >= steps) break;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) sums[i] = reg_fma(reg_splat(a[i * g->a_m + p * g->a_k]), lines[p], sums[i]);
  }
}

// rows of A with groups * REG_LANES lines, or with one group of `count` lines, all constants after inlining but for a
// smaller count; results of the lanes `kept` alone are read and written.
VEC_INLINE void add_lines(const leat_kern_gemm_t *g, const int rows, const int groups, const int64_t count,
                          const float *a, const float *b, float *c, reg_mask_t kept) {
  reg_t sums[GROUPS_MAX][ROWS_MAX];
#pragma GCC unroll 2
  for (int j = 0; j < groups; j++) {
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
      sums[j][i] = g->add ? reg_load_lanes(c + i * g->c_m + j * REG_LANES, kept) : reg_zero();
  }
  const int64_t step = g->b_k * (int64_t)sizeof *b, width = groups * REG_LANES;
  ahead_t ahead = {(uintptr_t)b + (uintptr_t)(width * step), 0, g->k * (int64_t)sizeof *b, step};
  int64_t p = 0;
  for (; p + REG_LANES <= g->k; p += REG_LANES) {
    ask_for(&ahead, width * REG_LANES * (int64_t)sizeof *b / CACHE_LINE);
#pragma GCC unroll 2
    for (int j = 0; j < groups; j++)
      add_block(g, rows, count, a + p * g->a_k, b + j * REG_LANES * g->b_k + p, REG_LANES, reg_lanes(0, REG_LANES),
                sums[j]);
  }
  for (int j = 0; p < g->k && j < groups; j++)
    add_block(g, rows, count, a + p * g->a_k, b + j * REG_LANES * g->b_k + p, g->k - p, reg_lanes(0, g->k - p),
              sums[j]);
#pragma GCC unroll 2
  for (int j = 0; j < groups; j++) {
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) reg_store_lanes(c + i * g->c_m + j * REG_LANES, sums[j][i], kept);
  }
}

// The last lines go with those before them, whose results stay.
VEC_INLINE void add_rows(const leat_kern_gemm_t *g, const int rows, const float *a, const float *b, float *c) {
  const reg_mask_t all = reg_lanes(0, REG_LANES);
  int64_t j = 0;
  if (g->n < REG_LANES) {
    add_lines(g, rows, 1, g->n, a, b, c, reg_lanes(0, g->n));
    return;
  }
  for (; j + GROUPS_MAX * REG_LANES <= g->n; j += GROUPS_MAX * REG_LANES)
    add_lines(g, rows, GROUPS_MAX, REG_LANES, a, b + j * g->b_k, c + j, all);
  for (; j + REG_LANES <= g->n; j += REG_LANES) add_lines(g, rows, 1, REG_LANES, a, b + j * g->b_k, c + j, all);
  const int64_t from = g->n - REG_LANES;
  if (j < g->n) add_lines(g, rows, 1, REG_LANES, a, b + from * g->b_k, c + from, reg_lanes(j - from, REG_LANES));
}

static void rows_1(const leat_kern_gemm_t *g, const float *a, const float *b, float *c) { add_rows(g, 1, a, b, c); }
static void rows_2(const leat_kern_gemm_t *g, const float *a, const float *b, float *c) { add_rows(g, 2, a, b, c); }
static void rows_3(const leat_kern_gemm_t *g, const float *a, const float *b, float *c) { add_rows(g, 3, a, b, c); }
static void rows_4(const leat_kern_gemm_t *g, const float *a, const float *b, float *c) { add_rows(g, 4, a, b, c); }

void KERN(gemm_lines_f32)(const leat_kern_gemm_t *g, const void *a, const void *b, void *c) {
  static void (*const few[ROWS_MAX])(const leat_kern_gemm_t *, const float *, const float *, float *) = {
      rows_1, rows_2, rows_3, rows_4};
  for (int64_t i = 0; i < g->m; i += ROWS_MAX) {
    const int64_t rows = g->m - i < ROWS_MAX ? g->m - i : ROWS_MAX;
    few[rows - 1](g, (const float *)a + i * g->a_m, b, (float *)c + i * g->c_m);
  }
}
