// SPDX-License-Identifier: Apache-2.0
// Matrix products of class F32 of one row of A, or a few, with a B that lies row-major and is read once: in the order
// of memory, a few of its rows at a time, for sums that stay in the first-level cache. Every element is the chain of
// gemm_f32.
#include "kern/isa.h"
#include "kern/reg.h"

enum { STEPS = 8 };  // rows of B that a sum takes in before it goes back to memory

// c[0 .. n) += the products of `steps` of k, a constant after inlining; `first`: nothing has been summed up.
VEC_INLINE void add_steps(const leat_kern_gemm_t *g, const int steps, const float *a, const float *b, float *c,
                          int first) {
  reg_t factors[STEPS];
#pragma GCC unroll 8
  for (int p = 0; p < steps; p++) factors[p] = reg_splat(a[p * g->a_k]);
  int64_t j = 0;
  for (; j + REG_LANES <= g->n; j += REG_LANES) {
    reg_t sum = first ? reg_zero() : reg_load(c + j);
#pragma GCC unroll 8
    for (int p = 0; p < steps; p++) sum = reg_fma(factors[p], reg_load(b + p * g->b_k + j), sum);
    reg_store(c + j, sum);
  }
  if (j == g->n) return;
  const reg_mask_t rest = reg_lanes(0, g->n - j);
  reg_t sum = first ? reg_zero() : reg_load_lanes(c + j, rest);
#pragma GCC unroll 8
  for (int p = 0; p < steps; p++) sum = reg_fma(factors[p], reg_load_lanes(b + p * g->b_k + j, rest), sum);
  reg_store_lanes(c + j, sum, rest);
}

void KERN(gemm_row_f32)(const leat_kern_gemm_t *g, const void *a, const void *b, void *c) {
  for (int64_t i = 0; i < g->m; i++) {
    const float *row = (const float *)a + i * g->a_m, *at = b;
    float *out = (float *)c + i * g->c_m;
    int64_t p = 0;
    for (; p + STEPS <= g->k; p += STEPS)
      add_steps(g, STEPS, row + p * g->a_k, at + p * g->b_k, out, p == 0 && !g->add);
    for (; p < g->k; p++) add_steps(g, 1, row + p * g->a_k, at + p * g->b_k, out, p == 0 && !g->add);
    if (g->k == 0 && !g->add) add_steps(g, 0, row, at, out, 1);
  }
}
