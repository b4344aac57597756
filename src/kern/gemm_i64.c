// SPDX-License-Identifier: Apache-2.0
// Matrix products of class I64; sums wrap.
#include "kern/isa.h"

void KERN(gemm_i64)(const leat_kern_gemm_t *g, const void *a, const void *b, void *c) {
  for (int64_t i = 0; i < g->m; i++) {
    uint64_t *sum = (uint64_t *)c + i * g->c_m;
    for (int64_t j = 0; j < g->n && !g->add; j++) sum[j] = 0;
    for (int64_t p = 0; p < g->k; p++) {
      uint64_t x = ((const uint64_t *)a)[i * g->a_m + p * g->a_k];
      const uint64_t *row = (const uint64_t *)b + p * g->b_k;
      for (int64_t j = 0; j < g->n; j++) sum[j] += x * row[j];
    }
  }
}
