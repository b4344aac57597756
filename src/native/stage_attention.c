// SPDX-License-Identifier: Apache-2.0
// ATTENTION on a tile. A group of queries goes through the keys together, so that a block of keys and values is copied
// once for all of them where it lies spread out; of a group as many queries as the lanes of a table at a time. Queries
// are turned once: keys are then the rows of a product as they lie, and values the columns of one.
#include "arch/blocks.h"
#include "native/scores.h"

typedef struct attention_s {
  int64_t block, lanes, group;                                           // keys; queries of a table; tables of a group
  bool pairs;                                                            // of bf16
  bool copy_k, copy_v;                                                   // block by block
  leat_native_product_t scores[2], out[2];                               // of whole blocks of keys, and of the last one
  int64_t q, k, v, out_all, sum, numbers, table, lines, weights, words;  // offsets in the workspace, floats
} attention_t;

// Rows of pairs are words where they are even.
static bool lies_apart(const leat_native_operand_t *x) {
  const int64_t width = x->dims[x->rank - 1], row = x->strides[x->rank - 2];
  return x->strides[x->rank - 1] != 1 || row != width || (x->dtype == PEF_BF16 && width % 2 != 0);
}

static int64_t most_queries(const leat_native_operand_t *out, const leat_native_prepare_t *context) {
  const uint32_t dim = out->rank - 2u;
  return out->row_dim == dim ? context->tile_rows_max * out->row_mult : out->dims[dim];
}

enum { NUMBERS = 4 };  // of each query: m, l, and a, z of a block

// Gives every part of the workspace its place; false: it does not fit.
static bool lay_out(attention_t *a, int64_t width, int64_t values, size_t *out_bytes) {
  const leat_native_part_t parts[] = {{&a->q, width, a->lanes * a->group},
                                      {&a->out_all, values, a->lanes * a->group},
                                      {&a->sum, values, a->lanes},
                                      {&a->numbers, NUMBERS, a->lanes * a->group},
                                      {&a->weights, a->block, a->lanes},
                                      {&a->table, a->block, a->lanes},
                                      {&a->lines, a->block, a->lanes},
                                      {&a->words, a->pairs ? (a->block + 1) / 2 : 0, a->lanes},
                                      {&a->k, a->copy_k ? a->block : 0, width},
                                      {&a->v, a->copy_v ? a->block : 0, values}};
  return leat_native_place_parts(parts, sizeof parts / sizeof *parts, out_bytes);
}

static void choose_products(attention_t *a, const leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  const leat_native_operand_t *k = &stage->operands[PEF_ATTENTION_k], *v = &stage->operands[PEF_ATTENTION_v];
  const int64_t keys = v->dims[v->rank - 2], width = k->dims[k->rank - 1], values = v->dims[v->rank - 1];
  for (uint32_t i = 0; i < 2; i++) {
    const int64_t count = i == 0 ? leat_native_least(a->block, keys) : keys % a->block;
    if (count == 0) continue;
    const int64_t along = leat_native_words(a->pairs, width), terms = leat_native_words(a->pairs, count);
    a->scores[i] = leat_native_product(
        context, a->pairs,
        (leat_kern_gemm_t){
            .m = count, .n = a->lanes, .k = along, .a_m = along, .a_k = 1, .b_k = a->lanes, .c_m = a->lanes});
    a->out[i] = leat_native_product(
        context, a->pairs,
        (leat_kern_gemm_t){
            .m = values, .n = a->lanes, .k = terms, .a_m = 1, .a_k = values, .b_k = a->lanes, .c_m = a->lanes});
  }
}

leat_status_t leat_native_attention_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  attention_t *a = leat_arena_alloc(context->arena, sizeof *a);
  if (a == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of an ATTENTION");
  const leat_native_operand_t *q = &stage->operands[PEF_ATTENTION_q], *v = &stage->operands[PEF_ATTENTION_v];
  const int64_t queries = most_queries(&stage->operands[PEF_ATTENTION_out], context);
  a->block = leat_native_least(stage->params->attention.block, v->dims[v->rank - 2]);
  a->lanes = leat_native_least(ATTENTION_LANES, leat_native_up(queries > 0 ? queries : 1, ATTENTION_STEP));
  a->group = leat_native_least(ATTENTION_GROUP, leat_native_up(queries > 0 ? queries : 1, a->lanes) / a->lanes);
  a->pairs = q->dtype == PEF_BF16;
  a->copy_k = lies_apart(&stage->operands[PEF_ATTENTION_k]);
  a->copy_v = a->pairs || lies_apart(v);
  choose_products(a, stage, context);
  if (!lay_out(a, q->dims[q->rank - 1], v->dims[v->rank - 1], &stage->workspace_bytes))
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "an ATTENTION over heads of %lld and %lld takes more memory than there is",
              (long long)q->dims[q->rank - 1], (long long)v->dims[v->rank - 1]);
  stage->plan = a;
  return NULL;
}

// --- a tile ------------------------------------------------------------------------------------------------------

typedef struct run_s {
  const attention_t *plan;
  const leat_kern_t *kern;
  leat_native_scores_t *s;
  float *workspace;
} run_t;

static float *numbers_of(const run_t *run, int64_t table, int64_t which) {
  return run->workspace + run->plan->numbers + (table * NUMBERS + which) * run->plan->lanes;
}

// Queries of a table, turned; what is beside them is 0.
static void begin_table(const run_t *run, int64_t table, const leat_native_block_t *block) {
  const attention_t *a = run->plan;
  leat_native_scores_copy(run->s, PEF_ATTENTION_q, block->i, block->queries, NATIVE_LANES, a->lanes,
                          run->workspace + a->q + table * a->lanes * run->s->width);
  memset(run->workspace + a->out_all + table * a->lanes * run->s->values, 0,
         (size_t)(a->lanes * run->s->values) * sizeof(float));
  uint32_t least_number;
  const float number = -__builtin_inff();
  memcpy(&least_number, &number, sizeof number);
  run->kern->fill_b4(numbers_of(run, table, 0), least_number, a->lanes);
  memset(numbers_of(run, table, 1), 0, (size_t)a->lanes * sizeof(float));
}

static void take_block(const run_t *run, int64_t table, const leat_native_block_t *block, const float *keys,
                       const float *values) {
  const attention_t *a = run->plan;
  const uint32_t last = block->keys == a->block ? 0 : 1;
  float *weights = run->workspace + a->weights, *sum = run->workspace + a->sum;
  float *most = numbers_of(run, table, 0), *all = numbers_of(run, table, 1);
  float *before = numbers_of(run, table, 2), *taken = numbers_of(run, table, 3);
  leat_native_multiply(&a->scores[last], keys, run->workspace + a->q + table * a->lanes * run->s->width, weights);
  leat_native_scores_mask(run->s, block, weights);
  run->kern->attention_weights_f32(weights, block->keys, a->lanes, most, all, before, taken);
  const float *kept = leat_native_scores_kept(run->s, block);
  if (kept != NULL)
    run->kern->map[LEAT_KERN_F32][LEAT_KERN_FN_MUL](weights, weights, kept, kept, block->keys * a->lanes);
  if (a->pairs) {
    float *words = run->workspace + a->words;
    run->kern->attention_pair_f32((uint32_t *)(void *)words, weights, block->keys, a->lanes);
    weights = words;
  }
  leat_native_multiply(&a->out[last], values, weights, sum);
  run->kern->attention_take_f32(run->workspace + a->out_all + table * a->lanes * run->s->values, sum, run->s->values,
                                a->lanes, before, taken);
}

static void end_table(const run_t *run, int64_t table, const leat_native_block_t *block) {
  const attention_t *a = run->plan;
  const leat_native_operand_t *out = &run->s->stage->operands[PEF_ATTENTION_out];
  const leat_native_operand_t *lse = &run->s->stage->operands[PEF_ATTENTION_lse];
  const int64_t row = out->strides[out->rank - 2], column = out->strides[out->rank - 1];
  float *from = run->workspace + a->out_all + table * a->lanes * run->s->values, *logs = numbers_of(run, table, 2);
  run->kern->attention_end_f32(from, run->s->values, a->lanes, numbers_of(run, table, 0), numbers_of(run, table, 1),
                               logs, run->s->stage->params->attention.bare != 0);
  float *to = (float *)(void *)leat_native_scores_at(run->s, PEF_ATTENTION_out) + block->i * row;
  if (column == 1) {
    run->kern->copy2_b4((uint32_t *)(void *)to, row, (const uint32_t *)(const void *)from, 1, a->lanes, block->queries,
                        run->s->values);
  } else {
    for (int64_t c = 0; c < run->s->values; c++)
      run->kern->store[LEAT_KERN_F32][PEF_F32](to + c * column, row, from + c * a->lanes, block->queries);
  }
  if (lse->space == PEF_SPACE_NONE) return;
  const int64_t step = lse->strides[lse->rank - 2], next = lse->strides[lse->rank - 1];
  float *to_lse = (float *)(void *)leat_native_scores_at(run->s, PEF_ATTENTION_lse) + block->i * step;
  run->kern->store[LEAT_KERN_F32][PEF_F32](to_lse, step, logs, block->queries);
  run->kern->store[LEAT_KERN_F32][PEF_F32](to_lse + next, step, logs + a->lanes, block->queries);
}

// A block of keys or values side by side.
static const float *side_by_side(const run_t *run, uint32_t operand, bool copy, int64_t place, int64_t j,
                                 int64_t count) {
  const leat_native_matrix_t x = leat_native_scores_matrix(run->s, operand);
  const bool keys = operand == PEF_ATTENTION_k;
  float *to = run->workspace + place;
  if (!copy) return (const float *)(const void *)(x.at + j * x.row * run->s->stage->operands[operand].element_bytes);
  leat_native_scores_copy(run->s, operand, j, count, keys ? NATIVE_ROWS : NATIVE_TERMS, 0, to);
  return to;
}

// `count` queries from query i of the tile on.
static void run_group(const run_t *run, int64_t i, int64_t count) {
  const attention_t *a = run->plan;
  const int64_t tables = (count + a->lanes - 1) / a->lanes;
  leat_native_block_t blocks[ATTENTION_GROUP];
  for (int64_t t = 0; t < tables; t++) {
    blocks[t] = (leat_native_block_t){
        .i = i + t * a->lanes, .queries = leat_native_least(a->lanes, count - t * a->lanes), .lanes = a->lanes};
    begin_table(run, t, &blocks[t]);
  }
  for (int64_t j = 0; j < run->s->keys; j += a->block) {
    const float *keys = NULL, *values = NULL;
    for (int64_t t = 0; t < tables; t++) {
      blocks[t].j = j;
      blocks[t].keys = leat_native_least(a->block, run->s->keys - j);
      if (leat_native_scores_hidden(run->s, &blocks[t])) continue;
      if (keys == NULL) {
        keys = side_by_side(run, PEF_ATTENTION_k, a->copy_k, a->k, j, blocks[t].keys);
        values = side_by_side(run, PEF_ATTENTION_v, a->copy_v, a->v, j, blocks[t].keys);
      }
      take_block(run, t, &blocks[t], keys, values);
    }
  }
  for (int64_t t = 0; t < tables; t++) end_table(run, t, &blocks[t]);
}

void leat_native_attention_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const attention_t *a = stage->plan;
  const leat_native_operand_t *out = &stage->operands[PEF_ATTENTION_out];
  leat_native_scores_t s = leat_native_scores(stage, tile, PEF_ATTENTION_out);
  s.queries = leat_native_operand_extent(out, out->rank - 2u, tile);
  s.first_query = leat_native_operand_first(out, out->rank - 2u, tile);
  const run_t run = {.plan = a, .kern = stage->kern, .s = &s, .workspace = (float *)(void *)tile->workspace};
  s.table = run.workspace + a->table;
  s.lines = run.workspace + a->lines;
  const int64_t group = a->lanes * a->group;
  do {
    for (int64_t i = 0; i < s.queries; i += group) run_group(&run, i, leat_native_least(group, s.queries - i));
  } while (leat_native_scores_next(&s));
}
