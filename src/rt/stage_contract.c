// SPDX-License-Identifier: Apache-2.0
// CONTRACT on a tile: blocks of C, chunks of k ascending, so that every element is one chain of fused multiply-adds.
#include "rt/contract_plan.h"

typedef struct contract_run_s {
  const contract_plan_t *plan;
  int64_t m;                                  // rows of the matrix product in this tile
  int64_t outer[8];                           // extents in this tile
  char *buffer_a, *buffer_b, *buffer_c;
} contract_run_t;

static bool next_index(int64_t *index, const int64_t *extents, uint32_t count) {
  for (uint32_t d = count; d-- > 0;) {
    if (++index[d] < extents[d]) return true;
    index[d] = 0;
  }
  return false;
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

// out[k][n] = B[k][n] as class values: by rows where n has the shorter stride, else by columns, then transposed.
static void pack_b(const contract_plan_t *plan, const leat_kern_t *kern, char *out, const char *b, int64_t k,
                   int64_t width, int64_t b_k) {
  int64_t b_n = plan->n_block > 0 ? 1 : plan->n.b;
  if (plan->b_bytes == plan->value_bytes) {
    if (plan->value_bytes == 4) {
      kern->copy2_b4((uint32_t *)(void *)out, width, (const uint32_t *)(const void *)b, b_k, b_n, k, width);
    } else {
      kern->copy2_b8((uint64_t *)(void *)out, width, (const uint64_t *)(const void *)b, b_k, b_n, k, width);
    }
    return;
  }
  for (int64_t p = 0; p < k; p++) {
    plan->load_b(out + p * width * plan->value_bytes, b + p * b_k * plan->b_bytes, b_n, width);
  }
}

static void pack_a(const contract_plan_t *plan, char *out, const char *a, int64_t m, int64_t k) {
  for (int64_t i = 0; i < m; i++) {
    plan->load_a(out + i * CONTRACT_K * plan->value_bytes, a + i * plan->m.a * plan->a_bytes, plan->k.a, k);
  }
}

static leat_rt_jit_gemm_t find_block(const contract_plan_t *plan, const leat_kern_gemm_t *g) {
  uint32_t i = 0, j = 0, p = 0;
  while (i < CONTRACT_SIZES - 1 && plan->m_sizes[i] != g->m) i++;
  while (j < CONTRACT_SIZES - 1 && (plan->widths[j].width != g->n || plan->widths[j].b_k != g->b_k)) j++;
  while (p < CONTRACT_SIZES - 1 && plan->k_sizes[p] != g->k) p++;
  bool found = plan->m_sizes[i] == g->m && plan->widths[j].width == g->n && plan->widths[j].b_k == g->b_k &&
               plan->k_sizes[p] == g->k;
  return found ? plan->block[i][j][p][g->add] : NULL;
}

static void multiply(const contract_plan_t *plan, const leat_kern_gemm_t *g, const char *a, const char *b, char *c) {
  leat_rt_jit_gemm_t block = find_block(plan, g);
  if (block != NULL) {
    block(b, a, c);
  } else {
    plan->gemm(g, a, b, c);
  }
}

// B of chunk (k index `linear` of all k dims, address `b`) as the block kernel reads it.
static const char *chunk_of_b(const contract_run_t *run, const leat_kern_t *kern, const contract_columns_t *columns,
                              const char *b, int64_t linear, int64_t k) {
  const contract_plan_t *plan = run->plan;
  if (!plan->pack_b) return b;
  if (plan->panel_b) return run->buffer_b + linear * columns->width * plan->value_bytes;
  pack_b(plan, kern, run->buffer_b, b, k, columns->width, columns->memory_b_k);
  return run->buffer_b;
}

typedef struct contract_k_s {
  int64_t index[8], extents[8];
  int64_t a, b;                // offsets of the outer k dims, elements
  int64_t linear;
} contract_k_t;

static contract_k_t first_k(const contract_plan_t *plan) {
  contract_k_t k = {0};
  for (uint32_t d = 0; d < plan->k_count; d++) k.extents[d] = plan->k_outer[d].extent;
  return k;
}
static bool next_k(const contract_plan_t *plan, contract_k_t *k) {
  if (!next_index(k->index, k->extents, plan->k_count)) return false;
  k->a = k->b = 0;
  for (uint32_t d = 0; d < plan->k_count; d++) {
    k->a += plan->k_outer[d].a * k->index[d];
    k->b += plan->k_outer[d].b * k->index[d];
  }
  k->linear += plan->k.extent;
  return true;
}

// Address of B at inner index p of the outer k index.
static const char *b_at(const contract_plan_t *plan, const contract_columns_t *columns, const contract_k_t *k,
                        int64_t p) {
  int64_t offset = plan->n_block > 0 ? (k->linear + p) * columns->memory_b_k : k->b + p * plan->k.b;
  return columns->b + offset * plan->b_bytes;
}

static void pack_panel(const contract_run_t *run, const leat_kern_t *kern, const contract_columns_t *columns) {
  const contract_plan_t *plan = run->plan;
  contract_k_t k = first_k(plan);
  do {
    pack_b(plan, kern, run->buffer_b + k.linear * columns->width * plan->value_bytes, b_at(plan, columns, &k, 0),
           plan->k.extent, columns->width, columns->memory_b_k);
  } while (next_k(plan, &k));
}

// One block of C, all of k.
static void run_block(const contract_run_t *run, const leat_kern_t *kern, const contract_columns_t *columns,
                      const char *a, char *c, int64_t m) {
  const contract_plan_t *plan = run->plan;
  int64_t bytes = plan->value_bytes, width = columns->width;
  char *to = plan->pack_c ? run->buffer_c : c;
  for (int64_t i = 0; plan->pack_c && plan->add && i < m; i++) {
    plan->load_c(to + i * CONTRACT_N * bytes, c + i * plan->m.c * plan->c_bytes, plan->n.c, width);
  }
  contract_k_t outer = first_k(plan);
  int add = plan->add;
  do {
    for (int64_t p = 0; p < plan->k.extent; p += CONTRACT_K) {
      int64_t k = min64(CONTRACT_K, plan->k.extent - p);
      const char *block_a = a + (outer.a + p * plan->k.a) * plan->a_bytes;
      const char *block_b = chunk_of_b(run, kern, columns, b_at(plan, columns, &outer, p), outer.linear + p, k);
      if (plan->pack_a) {
        pack_a(plan, run->buffer_a, block_a, m, k);
        block_a = run->buffer_a;
      }
      leat_kern_gemm_t g = leat_rt_contract_gemm(plan, m, width, k, columns->b_k, add);
      multiply(plan, &g, block_a, block_b, to);
      add = 1;
    }
  } while (next_k(plan, &outer));
  for (int64_t i = 0; plan->pack_c && i < m; i++) {
    plan->store_c(c + i * plan->m.c * plan->c_bytes, plan->n.c, to + i * CONTRACT_N * bytes, width);
  }
}

static void run_matrix(const contract_run_t *run, const leat_kern_t *kern, const char *a, const char *b, char *c) {
  const contract_plan_t *plan = run->plan;
  for (int64_t j = 0; j < plan->n.extent;) {
    contract_columns_t columns = leat_rt_contract_columns(plan, b, j);
    if (plan->panel_b) pack_panel(run, kern, &columns);
    for (int64_t i = 0; i < run->m; i += CONTRACT_M) {
      run_block(run, kern, &columns, a + i * plan->m.a * plan->a_bytes,
                c + (i * plan->m.c + j * plan->n.c) * plan->c_bytes, min64(CONTRACT_M, run->m - i));
    }
    j += columns.width;
  }
}

void leat_rt_contract_run(const leat_rt_stage_t *stage, const leat_rt_tile_t *tile) {
  const contract_plan_t *plan = stage->plan;
  contract_run_t run = {.plan = plan, .m = plan->m.extent * (plan->m.is_rows ? tile->rows : 1)};
  run.buffer_a = tile->workspace;
  run.buffer_b = tile->workspace + plan->b_offset;
  run.buffer_c = tile->workspace + plan->c_offset;
  for (uint32_t d = 0; d < plan->outer_count; d++) {
    run.outer[d] = plan->outer[d].extent * (plan->outer[d].is_rows ? tile->rows : 1);
  }
  const char *a = leat_rt_operand_at(&stage->operands[plan->swapped ? 1 : 0], tile);
  const char *b = leat_rt_operand_at(&stage->operands[plan->swapped ? 0 : 1], tile);
  char *c = leat_rt_operand_at(&stage->operands[2], tile);
  int64_t index[8] = {0};
  do {
    int64_t at_a = 0, at_b = 0, at_c = 0;
    for (uint32_t d = 0; d < plan->outer_count; d++) {
      at_a += plan->outer[d].a * index[d];
      at_b += plan->outer[d].b * index[d];
      at_c += plan->outer[d].c * index[d];
    }
    run_matrix(&run, stage->kern, a + at_a * plan->a_bytes, b + at_b * plan->b_bytes, c + at_c * plan->c_bytes);
  } while (next_index(index, run.outer, plan->outer_count));
}
