// SPDX-License-Identifier: Apache-2.0
// ATTENTION_GRAD on a tile: head by head, blocks of queries, in each blocks of keys. Scores are made again from the
// logs of forward. Queries and what reaches the results are turned once a block of queries; sums go to the results
// block by block.
#include <math.h>

#include "arch/blocks.h"
#include "native/scores.h"

enum { SCORES, REACHES, TO_Q, TO_K, TO_V, PRODUCTS };
enum { MOST, LOGS, DELTA, NUMBERS };  // a query

typedef struct attention_grad_s {
  int64_t block, lanes;
  leat_native_product_t products[PRODUCTS][2][2];  // last block of queries, of keys
  // Offsets in the workspace, floats: queries, and what reaches the results, as they lie and turned; keys, values; the
  // scores, what reaches them; a sum; lse and delta.
  int64_t q, q_turned, dout, dout_turned, k, v, scores, reaches, sum, numbers, table, lines;
} attention_grad_t;

static int64_t greatest(int64_t a, int64_t b) { return a > b ? a : b; }

static bool lay_out(attention_grad_t *a, int64_t width, int64_t values, size_t *out_bytes) {
  const int64_t wide = greatest(width, values);
  const leat_native_part_t parts[] = {{&a->q, a->lanes, width},         {&a->q_turned, width, a->lanes},
                                      {&a->dout, a->lanes, values},     {&a->dout_turned, values, a->lanes},
                                      {&a->k, a->block, width},         {&a->v, a->block, values},
                                      {&a->scores, a->block, a->lanes}, {&a->reaches, a->block, a->lanes},
                                      {&a->sum, a->lanes, wide},        {&a->numbers, NUMBERS, a->lanes},
                                      {&a->table, a->block, a->lanes},  {&a->lines, a->block, a->lanes}};
  return leat_native_place_parts(parts, sizeof parts / sizeof *parts, out_bytes);
}

static void choose_products(attention_grad_t *a, int64_t queries, int64_t keys, int64_t width, int64_t values,
                            const leat_native_prepare_t *context) {
  for (uint32_t last = 0; last < 4; last++) {
    const int64_t of_queries = last / 2 == 0 ? leat_native_least(a->block, queries) : queries % a->block;
    const int64_t of_keys = last % 2 == 0 ? leat_native_least(a->block, keys) : keys % a->block, lanes = a->lanes;
    if (of_queries == 0 || of_keys == 0) continue;
    const leat_kern_gemm_t of[PRODUCTS] = {
        [SCORES] = {.m = of_keys, .n = lanes, .k = width, .a_m = width, .a_k = 1, .b_k = lanes, .c_m = lanes},
        [REACHES] = {.m = of_keys, .n = lanes, .k = values, .a_m = values, .a_k = 1, .b_k = lanes, .c_m = lanes},
        [TO_Q] = {.m = of_queries, .n = width, .k = of_keys, .a_m = 1, .a_k = lanes, .b_k = width, .c_m = width},
        [TO_K] = {.m = of_keys, .n = width, .k = of_queries, .a_m = lanes, .a_k = 1, .b_k = width, .c_m = width},
        [TO_V] = {.m = of_keys, .n = values, .k = of_queries, .a_m = lanes, .a_k = 1, .b_k = values, .c_m = values}};
    for (uint32_t p = 0; p < PRODUCTS; p++) a->products[p][last / 2][last % 2] = leat_native_product(context, of[p]);
  }
}

leat_status_t leat_native_attention_grad_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  attention_grad_t *a = leat_arena_alloc(context->arena, sizeof *a);
  if (a == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of an ATTENTION_GRAD");
  const leat_native_operand_t *q = &stage->operands[PEF_ATTENTION_q], *v = &stage->operands[PEF_ATTENTION_v];
  const int64_t queries = q->dims[q->rank - 2], keys = v->dims[v->rank - 2];
  const int64_t width = q->dims[q->rank - 1], values = v->dims[v->rank - 1];
  a->block = stage->params->attention_grad.block;
  a->lanes = leat_native_up(leat_native_least(a->block, queries > 0 ? queries : 1), ATTENTION_STEP);
  choose_products(a, queries, keys, width, values, context);
  // A sum has as many rows as a block of keys or of queries.
  const int64_t rows = a->lanes;
  a->lanes = greatest(rows, leat_native_up(leat_native_least(a->block, keys > 0 ? keys : 1), ATTENTION_STEP));
  const bool fits = lay_out(a, width, values, &stage->workspace_bytes);
  a->lanes = rows;
  if (!fits)
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "an ATTENTION_GRAD over heads of %lld and %lld takes more memory than there is",
              (long long)width, (long long)values);
  stage->plan = a;
  return NULL;
}

// --- a tile ------------------------------------------------------------------------------------------------------

typedef struct run_s {
  const attention_grad_t *plan;
  const leat_kern_t *kern;
  leat_native_scores_t *s;
  float *workspace;
} run_t;

// out[rows][width] = the rows of a matrix from `first` on.
static void copy_rows(const run_t *run, uint32_t operand, int64_t first, int64_t rows, int64_t width, int64_t place) {
  const leat_native_matrix_t x = leat_native_scores_matrix(run->s, operand);
  run->kern->copy2_b4((uint32_t *)(void *)(run->workspace + place), width,
                      (const uint32_t *)(const void *)(x.at + first * x.row), x.row, x.column, rows, width);
}

// The same turned; lanes without a row are 0.
static void turn_rows(const run_t *run, int64_t rows, int64_t width, int64_t from, int64_t place) {
  const int64_t lanes = run->plan->lanes;
  float *to = run->workspace + place;
  if (rows < lanes) memset(to, 0, (size_t)(lanes * width) * sizeof *to);
  run->kern->copy2_b4((uint32_t *)(void *)to, lanes, (const uint32_t *)(const void *)(run->workspace + from), 1, width,
                      width, rows);
}

// Of each query the number in `column`; `beside` where there is none.
static void load_numbers(const run_t *run, uint32_t operand, int64_t column, const leat_native_block_t *block,
                         float beside, float *to) {
  const int64_t count = block->queries;
  const leat_native_matrix_t x = leat_native_scores_matrix(run->s, operand);
  for (int64_t i = count; i < run->plan->lanes; i++) to[i] = beside;
  run->kern->load[LEAT_KERN_F32][PEF_F32](to, x.at + block->i * x.row + column * x.column, x.row, count);
}

// True: the rows of all queries have sums, so that a key which takes no part has weight 0.
static bool begin_queries(const run_t *run, const leat_native_block_t *block) {
  const attention_grad_t *a = run->plan;
  float *numbers = run->workspace + a->numbers;
  const float inf = INFINITY;
  copy_rows(run, PEF_ATTENTION_GRAD_q, block->i, block->queries, run->s->width, a->q);
  copy_rows(run, PEF_ATTENTION_GRAD_dout, block->i, block->queries, run->s->values, a->dout);
  turn_rows(run, block->queries, run->s->width, a->q, a->q_turned);
  turn_rows(run, block->queries, run->s->values, a->dout, a->dout_turned);
  load_numbers(run, PEF_ATTENTION_GRAD_lse, 0, block, inf, numbers + MOST * a->lanes);
  load_numbers(run, PEF_ATTENTION_GRAD_lse, 1, block, 0.0f, numbers + LOGS * a->lanes);
  load_numbers(run, PEF_ATTENTION_GRAD_delta, 0, block, 0.0f, numbers + DELTA * a->lanes);
  bool have_sums = true;
  for (int64_t i = 0; i < block->queries; i++)
    have_sums = have_sums && numbers[MOST * a->lanes + i] > -inf && !isnan(numbers[LOGS * a->lanes + i]);
  return have_sums;
}

// Rows of a result from `first` on: cleared, or with a sum added.
static void add_rows(const run_t *run, uint32_t operand, int64_t first, int64_t rows, int64_t width, const float *sum) {
  const leat_native_operand_t *o = &run->s->stage->operands[operand];
  if (o->space == PEF_SPACE_NONE) return;
  const int64_t row = o->strides[o->rank - 2], column = o->strides[o->rank - 1];
  float *to = (float *)(void *)leat_native_scores_at(run->s, operand) + first * row;
  if (column == 1 && sum != NULL) {
    run->kern->attention_add_f32(to, row, sum, rows, width);
    return;
  }
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t c = 0; c < width; c++) {
      float *at = to + i * row + c * column;
      *at = sum == NULL ? 0 : *at + sum[i * width + c];
    }
  }
}

static void multiply(const run_t *run, uint32_t product, const uint32_t last[2], int64_t a, int64_t b, int64_t c) {
  leat_native_multiply(run->kern, &run->plan->products[product][last[0]][last[1]], run->workspace + a,
                       run->workspace + b, run->workspace + c);
}

static void take_pair(const run_t *run, const leat_native_block_t *block, bool have_sums) {
  const attention_grad_t *a = run->plan;
  const int64_t width = run->s->width, values = run->s->values;
  const uint32_t last[2] = {block->i + a->block > run->s->queries && block->i != 0,
                            block->j + a->block > run->s->keys && block->j != 0};
  float *scores = run->workspace + a->scores, *reaches = run->workspace + a->reaches, *sum = run->workspace + a->sum;
  const float *numbers = run->workspace + a->numbers;
  if (have_sums && leat_native_scores_hidden(run->s, block)) return;
  copy_rows(run, PEF_ATTENTION_GRAD_k, block->j, block->keys, width, a->k);
  copy_rows(run, PEF_ATTENTION_GRAD_v, block->j, block->keys, values, a->v);
  multiply(run, SCORES, last, a->k, a->q_turned, a->scores);
  leat_native_scores_mask(run->s, block, scores);
  multiply(run, REACHES, last, a->v, a->dout_turned, a->reaches);
  const float *kept = leat_native_scores_kept(run->s, block);
  const leat_native_operand_t *operands = run->s->stage->operands, *mask = &operands[PEF_ATTENTION_GRAD_mask];
  const bool hides = mask->space != PEF_SPACE_NONE && mask->dtype == PEF_BOOL;
  if (run->kern->attention_slopes_f32(scores, reaches, block->keys, a->lanes, numbers, numbers + DELTA * a->lanes, kept,
                                      hides ? -INFINITY : NAN) == 0)
    return;
  if (operands[PEF_ATTENTION_GRAD_dv].space != PEF_SPACE_NONE) {
    multiply(run, TO_V, last, a->scores, a->dout, a->sum);
    add_rows(run, PEF_ATTENTION_GRAD_dv, block->j, block->keys, values, sum);
  }
  if (operands[PEF_ATTENTION_GRAD_dk].space != PEF_SPACE_NONE) {
    multiply(run, TO_K, last, a->reaches, a->q, a->sum);
    add_rows(run, PEF_ATTENTION_GRAD_dk, block->j, block->keys, width, sum);
  }
  if (operands[PEF_ATTENTION_GRAD_dq].space == PEF_SPACE_NONE) return;
  multiply(run, TO_Q, last, a->reaches, a->k, a->sum);
  add_rows(run, PEF_ATTENTION_GRAD_dq, block->i, block->queries, width, sum);
}

static void run_head(const run_t *run) {
  const attention_grad_t *a = run->plan;
  const leat_native_scores_t *s = run->s;
  add_rows(run, PEF_ATTENTION_GRAD_dq, 0, s->queries, s->width, NULL);
  add_rows(run, PEF_ATTENTION_GRAD_dk, 0, s->keys, s->width, NULL);
  add_rows(run, PEF_ATTENTION_GRAD_dv, 0, s->keys, s->values, NULL);
  for (int64_t i = 0; i < s->queries; i += a->block) {
    leat_native_block_t block = {.i = i, .queries = leat_native_least(a->block, s->queries - i), .lanes = a->lanes};
    const bool have_sums = begin_queries(run, &block);
    for (block.j = 0; block.j < s->keys; block.j += a->block) {
      block.keys = leat_native_least(a->block, s->keys - block.j);
      take_pair(run, &block, have_sums);
    }
  }
}

void leat_native_attention_grad_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const attention_grad_t *a = stage->plan;
  uint32_t out = PEF_ATTENTION_GRAD_dq;
  while (stage->operands[out].space == PEF_SPACE_NONE) ++out;
  leat_native_scores_t s = leat_native_scores(stage, tile, out);
  const run_t run = {.plan = a, .kern = stage->kern, .s = &s, .workspace = (float *)(void *)tile->workspace};
  s.table = run.workspace + a->table;
  s.lines = run.workspace + a->lines;
  do {
    run_head(&run);
  } while (leat_native_scores_next(&s));
}
