// SPDX-License-Identifier: Apache-2.0
// ATTENTION_GRAD on a tile: head by head, blocks of queries, in each blocks of keys. Scores are made again from the
// logs of forward. Queries and what reaches the results are turned once a block of queries; sums go to the results
// block by block. Of bf16, pairs of what is summed over lie in words, so that factors which are met along rows and
// along columns are there in both forms.
#include <math.h>

#include "arch/blocks.h"
#include "native/scores.h"

enum { SCORES, REACHES, TO_Q, TO_K, TO_V, PRODUCTS };
enum { MOST, LOGS, DELTA, NUMBERS };  // a query

typedef struct attention_grad_s {
  int64_t block, lanes;
  bool pairs;                                      // of bf16
  leat_native_product_t products[PRODUCTS][2][2];  // last block of queries, of keys
  // Offsets in the workspace, floats: queries, and what reaches the results, as terms and turned; keys as rows and as
  // terms (of f32 the same), values; the scores, what reaches them; bf16 of these; a sum; lse and delta.
  int64_t q, q_turned, dout, dout_turned, k, k_terms, v, scores, reaches, narrow, sum, numbers, table, lines;
} attention_grad_t;

static int64_t greatest(int64_t a, int64_t b) { return a > b ? a : b; }

static bool lay_out(attention_grad_t *a, int64_t width, int64_t values, size_t *out_bytes) {
  const int64_t wide = greatest(width, values), half = a->pairs ? (a->block + 1) / 2 : 0;
  const leat_native_part_t parts[] = {{&a->q, a->lanes, width},         {&a->q_turned, width, a->lanes},
                                      {&a->dout, a->lanes, values},     {&a->dout_turned, values, a->lanes},
                                      {&a->k, a->block, width},         {&a->v, a->block, values},
                                      {&a->scores, a->block, a->lanes}, {&a->reaches, a->block, a->lanes},
                                      {&a->sum, a->lanes, wide},        {&a->numbers, NUMBERS, a->lanes},
                                      {&a->table, a->block, a->lanes},  {&a->lines, a->block, a->lanes},
                                      {&a->k_terms, half, width},       {&a->narrow, half, a->lanes}};
  const bool fits = leat_native_place_parts(parts, sizeof parts / sizeof *parts, out_bytes);
  if (!a->pairs) a->k_terms = a->k;
  return fits;
}

static int64_t words(const attention_grad_t *a, int64_t elements) { return leat_native_words(a->pairs, elements); }

static void choose_products(attention_grad_t *a, int64_t queries, int64_t keys, int64_t width, int64_t values,
                            const leat_native_prepare_t *context) {
  for (uint32_t last = 0; last < 4; last++) {
    const int64_t of_queries = last / 2 == 0 ? leat_native_least(a->block, queries) : queries % a->block;
    const int64_t of_keys = last % 2 == 0 ? leat_native_least(a->block, keys) : keys % a->block, lanes = a->lanes;
    if (of_queries == 0 || of_keys == 0) continue;
    const int64_t e = words(a, width), c = words(a, values), i = words(a, of_queries), j = words(a, of_keys);
    const leat_kern_gemm_t of[PRODUCTS] = {
        [SCORES] = {.m = of_keys, .n = lanes, .k = e, .a_m = e, .a_k = 1, .b_k = lanes, .c_m = lanes},
        [REACHES] = {.m = of_keys, .n = lanes, .k = c, .a_m = c, .a_k = 1, .b_k = lanes, .c_m = lanes},
        [TO_Q] = {.m = of_queries, .n = width, .k = j, .a_m = 1, .a_k = lanes, .b_k = width, .c_m = width},
        [TO_K] = {.m = of_keys, .n = width, .k = i, .a_m = words(a, lanes), .a_k = 1, .b_k = width, .c_m = width},
        [TO_V] = {.m = of_keys, .n = values, .k = i, .a_m = words(a, lanes), .a_k = 1, .b_k = values, .c_m = values}};
    for (uint32_t p = 0; p < PRODUCTS; p++)
      a->products[p][last / 2][last % 2] = leat_native_product(context, a->pairs, of[p]);
  }
}

leat_status_t leat_native_attention_grad_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  attention_grad_t *a = leat_arena_alloc(context->arena, sizeof *a);
  if (a == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of an ATTENTION_GRAD");
  const leat_native_operand_t *q = &stage->operands[PEF_ATTENTION_q], *v = &stage->operands[PEF_ATTENTION_v];
  const int64_t queries = q->dims[q->rank - 2], keys = v->dims[v->rank - 2];
  const int64_t width = q->dims[q->rank - 1], values = v->dims[v->rank - 1];
  a->block = stage->params->attention_grad.block;
  a->pairs = q->dtype == PEF_BF16;
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

static void copy_rows(const run_t *run, uint32_t operand, int64_t first, int64_t rows, leat_native_form_t form,
                      int64_t place) {
  leat_native_scores_copy(run->s, operand, first, rows, form, run->plan->lanes, run->workspace + place);
}

// Of each query the number in `column`; `beside` where there is none.
static void load_numbers(const run_t *run, uint32_t operand, int64_t column, const leat_native_block_t *block,
                         float beside, float *to) {
  const int64_t count = block->queries;
  const leat_native_matrix_t x = leat_native_scores_matrix(run->s, operand);
  for (int64_t i = count; i < run->plan->lanes; i++) to[i] = beside;
  const float *from = (const float *)(const void *)x.at;
  run->kern->load[LEAT_KERN_F32][PEF_F32](to, from + block->i * x.row + column * x.column, x.row, count);
}

// True: the rows of all queries have sums, so that a key which takes no part has weight 0.
static bool begin_queries(const run_t *run, const leat_native_block_t *block) {
  const attention_grad_t *a = run->plan;
  float *numbers = run->workspace + a->numbers;
  const float inf = INFINITY;
  copy_rows(run, PEF_ATTENTION_GRAD_q, block->i, block->queries, NATIVE_TERMS, a->q);
  copy_rows(run, PEF_ATTENTION_GRAD_dout, block->i, block->queries, NATIVE_TERMS, a->dout);
  copy_rows(run, PEF_ATTENTION_GRAD_q, block->i, block->queries, NATIVE_LANES, a->q_turned);
  copy_rows(run, PEF_ATTENTION_GRAD_dout, block->i, block->queries, NATIVE_LANES, a->dout_turned);
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
  leat_native_multiply(&run->plan->products[product][last[0]][last[1]], run->workspace + a, run->workspace + b,
                       run->workspace + c);
}

// A table as bf16, whose pairs of queries are words; of bf16 alone. Returns where the factor is.
static int64_t along_queries(const run_t *run, const leat_native_block_t *block, int64_t table) {
  const attention_grad_t *a = run->plan;
  if (!a->pairs) return table;
  uint16_t *to = (uint16_t *)(void *)(run->workspace + a->narrow);
  run->kern->store[LEAT_KERN_F32][PEF_BF16](to, 1, run->workspace + table, block->keys * a->lanes);
  for (int64_t j = 0; block->queries % 2 != 0 && j < block->keys; j++) to[j * a->lanes + block->queries] = 0;
  return a->narrow;
}
// The same of pairs of keys.
static int64_t along_keys(const run_t *run, const leat_native_block_t *block, int64_t table) {
  const attention_grad_t *a = run->plan;
  if (!a->pairs) return table;
  run->kern->attention_pair_f32((uint32_t *)(void *)(run->workspace + a->narrow), run->workspace + table, block->keys,
                                a->lanes);
  return a->narrow;
}

static void take_pair(const run_t *run, const leat_native_block_t *block, bool have_sums) {
  const attention_grad_t *a = run->plan;
  const int64_t width = run->s->width, values = run->s->values;
  const uint32_t last[2] = {block->i + a->block > run->s->queries && block->i != 0,
                            block->j + a->block > run->s->keys && block->j != 0};
  float *scores = run->workspace + a->scores, *reaches = run->workspace + a->reaches, *sum = run->workspace + a->sum;
  const float *numbers = run->workspace + a->numbers;
  if (have_sums && leat_native_scores_hidden(run->s, block)) return;
  copy_rows(run, PEF_ATTENTION_GRAD_k, block->j, block->keys, NATIVE_ROWS, a->k);
  copy_rows(run, PEF_ATTENTION_GRAD_v, block->j, block->keys, NATIVE_ROWS, a->v);
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
    multiply(run, TO_V, last, along_queries(run, block, a->scores), a->dout, a->sum);
    add_rows(run, PEF_ATTENTION_GRAD_dv, block->j, block->keys, values, sum);
  }
  if (operands[PEF_ATTENTION_GRAD_dk].space != PEF_SPACE_NONE) {
    multiply(run, TO_K, last, along_queries(run, block, a->reaches), a->q, a->sum);
    add_rows(run, PEF_ATTENTION_GRAD_dk, block->j, block->keys, width, sum);
  }
  if (operands[PEF_ATTENTION_GRAD_dq].space == PEF_SPACE_NONE) return;
  if (a->pairs) copy_rows(run, PEF_ATTENTION_GRAD_k, block->j, block->keys, NATIVE_TERMS, a->k_terms);
  multiply(run, TO_Q, last, along_keys(run, block, a->reaches), a->k_terms, a->sum);
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
