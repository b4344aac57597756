// SPDX-License-Identifier: Apache-2.0
// CONTRACT and CONTRACT_SCALED on a tile. Of a matrix product CONTRACT_ROWS rows at a time; of those, chunks of k
// ascending, so that every element is one chain of fused multiply-adds; of a chunk, blocks of columns and rows. So a
// chunk of A stays in the second-level cache while B streams by once, and packing is done once a chunk. A long k goes
// in blocks of its own (the parameter `chain`): chains end there, and their sums are added pairwise
// (leat_kern_pairs_t).
#include "base/loops.h"
#include "native/contract_plan.h"

typedef struct contract_run_s {
  const contract_plan_t *plan;
  const leat_kern_t *kern;
  int64_t m, n;      // extents of the matrix product in this tile
  int64_t n_first;   // packed B of the file: the tile's first column there
  int64_t outer[8];  // extents in this tile
  char *buffer_a, *buffer_b, *buffer_c;
  const float *scale;  // of the matrix product, for its first column in this tile
} contract_run_t;

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

// --- packing -----------------------------------------------------------------------------------------------------

// Of the block of columns, from term `p` of k on; `outer`: where the outer dims of k are.
static leat_kern_scales_t scales_at(const contract_run_t *run, const contract_columns_t *columns, int64_t outer,
                                    int64_t p) {
  const contract_plan_t *plan = run->plan;
  if (!plan->scaled) return (leat_kern_scales_t){.group = INT64_MAX};
  const int64_t at = outer + p / plan->scale_group * plan->scale_step + (columns->first - run->n_first) * plan->n.s;
  return (leat_kern_scales_t){.at = run->scale + at,
                              .next = plan->n.s,
                              .group = plan->scale_group,
                              .step = plan->scale_step,
                              .gone = p % plan->scale_group};
}

// A piece of joined dims of k: `count` elements along the innermost from `k` on, and where they lie.
typedef struct contract_piece_s {
  int64_t count, a, b;
} contract_piece_t;
static contract_piece_t piece_at(const contract_plan_t *plan, int64_t k, int64_t left) {
  const contract_dim_t *inner = &plan->joined[plan->joined_count - 1];
  int64_t at = k % inner->extent, rest = k / inner->extent;
  contract_piece_t piece = {min64(inner->extent - at, left), at * inner->a, at * inner->b};
  for (uint32_t d = plan->joined_count - 1; d-- > 0;) {
    const int64_t index = rest % plan->joined[d].extent;
    piece.a += index * plan->joined[d].a;
    piece.b += index * plan->joined[d].b;
    rest /= plan->joined[d].extent;
  }
  return piece;
}

// The `count` elements of k from `first` on, row by row: elements of a pair lie in two pieces at times.
static void pack_b_pieces(const contract_run_t *run, const contract_columns_t *columns, const char *b, int64_t first,
                          int64_t count) {
  const contract_plan_t *plan = run->plan;
  const int64_t step = plan->joined[plan->joined_count - 1].b, wide = columns->wide;
  uint16_t *out = (void *)run->buffer_b;
  for (int64_t k = 0; k < count;) {
    const contract_piece_t piece = piece_at(plan, first + k, count - k);
    const uint16_t *in = (const uint16_t *)(const void *)b + piece.b;
    for (int64_t end = k + piece.count; k < end; k++, in += step)
      run->kern->copy2_b2(out + k / 2 * 2 * wide + k % 2, 2, in, plan->n.b, 0, columns->width, 1);
  }
  for (int64_t j = 0; count % 2 != 0 && j < columns->width; j++) out[(count - 1) * wide + 2 * j + 1] = 0;
}
static void pack_a_pieces(const contract_run_t *run, const char *a, int64_t rows, int64_t first, int64_t count) {
  const contract_plan_t *plan = run->plan;
  const int64_t step = plan->joined[plan->joined_count - 1].a, row = 2 * CONTRACT_K;
  uint16_t *out = (void *)run->buffer_a;
  for (int64_t k = 0; k < count;) {
    const contract_piece_t piece = piece_at(plan, first + k, count - k);
    run->kern->copy2_b2(out + k, row, (const uint16_t *)(const void *)a + piece.a, plan->m.a, step, rows, piece.count);
    k += piece.count;
  }
  for (int64_t i = 0; count % 2 != 0 && i < rows; i++) out[i * row + count] = 0;
}

// out[k / 2][wide] = B in pairs.
static void pack_b_pairs(const contract_run_t *run, const contract_columns_t *columns, const char *b, int64_t first,
                         int64_t count) {
  const contract_plan_t *plan = run->plan;
  if (plan->joined_count > 0)
    pack_b_pieces(run, columns, b, first, count);
  else
    run->kern->pack_bf16((void *)run->buffer_b, columns->wide, 1, (const void *)b, plan->k.b, plan->n.b, count,
                         columns->width);
}
// Rows of CONTRACT_K pairs, or blocks of [pairs][CONTRACT_M].
static void pack_a_pairs(const contract_run_t *run, const char *a, int64_t rows, int64_t first, int64_t count) {
  const contract_plan_t *plan = run->plan;
  uint32_t *out = (void *)run->buffer_a;
  const uint16_t *in = (const void *)a;
  if (plan->joined_count > 0) {
    pack_a_pieces(run, a, rows, first, count);
  } else if (!plan->a_columns) {
    run->kern->pack_bf16(out, 1, CONTRACT_K, in, plan->k.a, plan->m.a, count, rows);
  } else {
    for (int64_t i = 0; i < rows; i += CONTRACT_M)
      run->kern->pack_bf16(out + i * CONTRACT_K, CONTRACT_M, 1, in + i, plan->k.a, 1, count,
                           min64(CONTRACT_M, rows - i));
  }
}

// out[k][wide] = B as class values.
static void pack_b(const contract_run_t *run, const contract_columns_t *columns, const leat_kern_scales_t *scales,
                   const char *b, int64_t k) {
  const contract_plan_t *plan = run->plan;
  int64_t width = columns->width, wide = columns->wide, b_k = columns->memory_b_k,
          b_n = plan->n_block > 0 ? 1 : plan->n.b;
  void *out = run->buffer_b;
  if (plan->scaled) {
    run->kern->widen_i8_f32(out, wide, scales, (const void *)b, b_k, b_n, k, width);
  } else if (plan->b_bytes == 4 && plan->b_native) {
    run->kern->copy2_b4(out, wide, (const void *)b, b_k, b_n, k, width);
  } else if (plan->b_native) {
    run->kern->copy2_b8(out, wide, (const void *)b, b_k, b_n, k, width);
  } else {
    for (int64_t p = 0; p < k; p++) {
      plan->load_b(run->buffer_b + p * wide * plan->value_bytes, b + p * b_k * plan->b_bytes, b_n, width);
    }
  }
}

static void pack_a(const contract_run_t *run, const char *a, int64_t rows, int64_t k) {
  const contract_plan_t *plan = run->plan;
  for (int64_t i = 0; plan->a_columns && i < rows; i += CONTRACT_M) {
    run->kern->copy2_b4((void *)(run->buffer_a + i * CONTRACT_K * plan->value_bytes), CONTRACT_M,
                        (const void *)(a + i * plan->a_bytes), plan->k.a, 1, k, min64(CONTRACT_M, rows - i));
  }
  for (int64_t i = 0; !plan->a_columns && i < rows; i++) {
    plan->load_a(run->buffer_a + i * CONTRACT_K * plan->value_bytes, a + i * plan->m.a * plan->a_bytes, plan->k.a, k);
  }
}

// The part of C in work, as class values, from and to its place.
static void load_c(const contract_run_t *run, const char *c, int64_t rows, int64_t width) {
  const contract_plan_t *plan = run->plan;
  for (int64_t i = 0; i < rows; i++) {
    plan->load_c(run->buffer_c + i * plan->part_columns * plan->value_bytes, c + i * plan->m.c * plan->c_bytes,
                 plan->n.c, width);
  }
}
static void store_c(const contract_run_t *run, char *c, int64_t rows, int64_t width) {
  const contract_plan_t *plan = run->plan;
  if (plan->m.c == 1 && plan->c_bytes == 4 && plan->class_ == PEF_CLASS_F32) {  // C lies transposed
    run->kern->copy2_b4((void *)c, plan->n.c, (const void *)run->buffer_c, 1, plan->part_columns, width, rows);
    return;
  }
  for (int64_t i = 0; i < rows; i++) {
    plan->store_c(c + i * plan->m.c * plan->c_bytes, plan->n.c,
                  run->buffer_c + i * plan->part_columns * plan->value_bytes, width);
  }
}

// --- one block ---------------------------------------------------------------------------------------------------

static leat_native_jit_gemm_t find_block(const contract_plan_t *plan, const leat_kern_gemm_t *g) {
  uint32_t i = 0, j = 0, p = 0;
  while (i < CONTRACT_SIZES - 1 && plan->m_sizes[i] != g->m) i++;
  while (j < CONTRACT_SIZES - 1 && (plan->widths[j].wide != g->n || plan->widths[j].b_k != g->b_k)) j++;
  while (p < CONTRACT_SIZES - 1 && plan->k_sizes[p] != g->k) p++;
  bool found = plan->m_sizes[i] == g->m && plan->widths[j].wide == g->n && plan->widths[j].b_k == g->b_k &&
               plan->k_sizes[p] == g->k;
  return found ? plan->block[i][j][p][g->add] : NULL;
}

static void multiply(const contract_plan_t *plan, const leat_kern_gemm_t *g, const leat_kern_scales_t *scales,
                     const char *a, const char *b, char *c) {
  leat_native_jit_gemm_t block = plan->b_narrow ? NULL : find_block(plan, g);
  if (plan->b_narrow) {
    plan->gemm_narrow(g, scales, a, b, c);
  } else if (block != NULL) {
    leat_native_jit_run(block, b, a, c);
  } else {
    plan->gemm(g, a, b, c);
  }
}

// --- chunks of k -------------------------------------------------------------------------------------------------

// Walks all k dims: the outer ones as an odometer, the innermost in chunks.
typedef struct contract_k_s {
  int64_t index[8], extents[8];
  int64_t a, b, s;   // offsets of the outer k dims, elements
  int64_t linear;    // k index of the chunk's outer position
  int64_t p, count;  // chunk [p, p + count) of the innermost
} contract_k_t;

// Of `left` steps: up to the end of a block of k at most.
static int64_t chunk_at(const contract_plan_t *plan, int64_t linear, int64_t left) {
  int64_t count = min64(plan->k_chunk, left);
  return plan->k_block > 0 ? min64(count, plan->k_block - linear % plan->k_block) : count;
}

static contract_k_t first_chunk(const contract_plan_t *plan) {
  contract_k_t k = {.count = chunk_at(plan, 0, plan->k.extent)};
  for (uint32_t d = 0; d < plan->k_count; d++) k.extents[d] = plan->k_outer[d].extent;
  return k;
}
static bool next_chunk(const contract_plan_t *plan, contract_k_t *k) {
  k->p += k->count;
  if (k->p >= plan->k.extent) {
    if (!leat_index_next(plan->k_count, k->extents, k->index)) return false;
    k->p = k->a = k->b = k->s = 0;
    for (uint32_t d = 0; d < plan->k_count; d++) {
      k->a += plan->k_outer[d].a * k->index[d];
      k->b += plan->k_outer[d].b * k->index[d];
      k->s += plan->k_outer[d].s * k->index[d];
    }
    k->linear += plan->k.extent;
  }
  k->count = chunk_at(plan, k->linear + k->p, plan->k.extent - k->p);
  return true;
}

static const char *b_of_chunk(const contract_plan_t *plan, const contract_columns_t *columns, const contract_k_t *k) {
  int64_t offset = plan->n_block > 0 ? (k->linear + k->p) * columns->memory_b_k : k->b + k->p * plan->k.b;
  return columns->b + offset * plan->b_bytes;
}

// --- a part of C: rows x [first, end) columns --------------------------------------------------------------------

typedef struct contract_part_s {
  const char *a, *b;  // row 0 of A; B
  char *c;            // class values: element 0 of the part
  int64_t rows, first, end;
} contract_part_t;

static void run_chunk(const contract_run_t *run, const contract_part_t *part, const contract_k_t *k, int add) {
  const contract_plan_t *plan = run->plan;
  const char *a = part->a + (k->a + k->p * plan->k.a) * plan->a_bytes;
  int64_t a_row = plan->m.a * plan->a_bytes,
          c_row = (plan->pack_c ? plan->part_columns : plan->m.c) * plan->value_bytes;
  if (plan->pack_a) {
    if (plan->pairs)
      pack_a_pairs(run, a, part->rows, k->p, k->count);
    else
      pack_a(run, a, part->rows, k->count);
    a = run->buffer_a;
    a_row = CONTRACT_K * plan->value_bytes;
  }
  for (int64_t j = part->first; j < part->end;) {
    contract_columns_t columns = leat_native_contract_columns(plan, part->b, j, part->end);
    const leat_kern_scales_t scales = scales_at(run, &columns, k->s, k->p);
    const char *b = b_of_chunk(plan, &columns, k);
    if (plan->pack_b) {
      if (plan->pairs)
        pack_b_pairs(run, &columns, b, k->p, k->count);
      else
        pack_b(run, &columns, &scales, b, k->count);
      b = run->buffer_b;
    }
    for (int64_t i = 0; i < part->rows; i += CONTRACT_M) {
      leat_kern_gemm_t g =
          leat_native_contract_gemm(plan, min64(CONTRACT_M, part->rows - i), columns.wide, k->count, columns.b_k, add);
      multiply(plan, &g, &scales, a + i * a_row, b, part->c + i * c_row + (j - part->first) * plan->value_bytes);
    }
    j += columns.width;
  }
}

// The sum of block `count` of k, which is in work, goes to the others.
static void close_block(const contract_run_t *run, const contract_part_t *part, int64_t count) {
  const contract_plan_t *plan = run->plan;
  for (int64_t i = 0; i < part->rows; i++) {
    char *row = part->c + i * plan->part_columns * plan->value_bytes;
    plan->close(row, plan->pair_width, count, part->end - part->first);
  }
}
// Back in the part in work: the sum of all.
static void end_blocks(const contract_run_t *run, const contract_part_t *part, int64_t count) {
  const contract_plan_t *plan = run->plan;
  for (int64_t i = 0; i < part->rows; i++) {
    char *row = part->c + i * plan->part_columns * plan->value_bytes;
    plan->end(row, row, plan->pair_width, count, part->end - part->first);
  }
}

static void run_chunks(const contract_run_t *run, const contract_part_t *part) {
  const contract_plan_t *plan = run->plan;
  contract_k_t k = first_chunk(plan);
  int add = plan->add;
  int64_t blocks = 0;
  bool more = true;
  while (more) {
    run_chunk(run, part, &k, add);
    int64_t done = k.linear + k.p + k.count;
    more = next_chunk(plan, &k);
    add = 1;
    if (plan->k_block == 0 || (more && done % plan->k_block != 0)) continue;
    close_block(run, part, blocks++);
    add = 0;
  }
  if (plan->k_block > 0) end_blocks(run, part, blocks);
}

static void run_part(const contract_run_t *run, contract_part_t part, char *c) {
  const contract_plan_t *plan = run->plan;
  int64_t width = part.end - part.first;
  part.c = plan->pack_c ? run->buffer_c : c;
  if (plan->pack_c && plan->add) load_c(run, c, part.rows, width);
  run_chunks(run, &part);
  if (plan->pack_c) store_c(run, c, part.rows, width);
}

static void run_matrix(const contract_run_t *run, const char *a, const char *b, char *c) {
  const contract_plan_t *plan = run->plan;
  int64_t columns = plan->pack_c ? plan->part_columns : run->n, end = run->n_first + run->n;
  for (int64_t i = 0; i < run->m; i += plan->part_rows) {
    for (int64_t j = run->n_first; j < end; j += columns) {
      contract_part_t part = {.a = a + i * plan->m.a * plan->a_bytes,
                              .b = b,
                              .rows = min64(plan->part_rows, run->m - i),
                              .first = j,
                              .end = min64(end, j + columns)};
      run_part(run, part, c + (i * plan->m.c + (j - run->n_first) * plan->n.c) * plan->c_bytes);
    }
  }
}

void leat_native_contract_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const contract_plan_t *plan = stage->plan;
  contract_run_t run = {.plan = plan, .kern = stage->kern};
  run.m = plan->m.extent * (plan->m.is_rows ? tile->rows : 1);
  run.n = plan->n.extent * (plan->n.is_rows ? tile->rows : 1);
  run.buffer_a = tile->workspace;
  run.buffer_b = tile->workspace + plan->b_offset;
  run.buffer_c = tile->workspace + plan->c_offset;
  for (uint32_t d = 0; d < plan->outer_count; d++) {
    run.outer[d] = plan->outer[d].extent * (plan->outer[d].is_rows ? tile->rows : 1);
  }
  const char *a = leat_native_operand_at(&stage->operands[plan->swapped ? 1 : 0], tile);
  const char *b = leat_native_operand_at(&stage->operands[plan->swapped ? 0 : 1], tile);
  char *c = leat_native_operand_at(&stage->operands[stage->operand_count - 1], tile);
  const float *scale = NULL;
  if (plan->scaled) scale = (const void *)leat_native_operand_at(&stage->operands[PEF_CONTRACT_SCALED_scale], tile);
  if (plan->n_block > 0 && plan->n.is_rows) {  // blocks are found by the column in the whole of B
    run.n_first = tile->r0 * plan->n.extent;
    b -= tile->r0 * stage->operands[1].row_bytes;
  }
  int64_t index[8] = {0};
  do {
    int64_t at_a = 0, at_b = 0, at_c = 0, at_s = 0;
    for (uint32_t d = 0; d < plan->outer_count; d++) {
      at_a += plan->outer[d].a * index[d];
      at_b += plan->outer[d].b * index[d];
      at_c += plan->outer[d].c * index[d];
      at_s += plan->outer[d].s * index[d];
    }
    if (scale != NULL) run.scale = scale + at_s;
    run_matrix(&run, a + at_a * plan->a_bytes, b + at_b * plan->b_bytes, c + at_c * plan->c_bytes);
  } while (leat_index_next(plan->outer_count, run.outer, index));
}

void leat_native_contract_scaled_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  leat_native_contract_run(stage, tile);
}
