// SPDX-License-Identifier: Apache-2.0
// ATTENTION and ATTENTION_GRAD: blocks of the table of scores, an element at a time. What is summed over blocks is kept
// in the results. Of bf16 the terms of a sum of products go in pairs.
#include <math.h>

#include "kern/scalar.h"
#include "pef/pef_scalar.h"
#include "ref/random.h"
#include "ref/stage.h"

// Of one row of the dims b, `head` being its index there.
typedef struct scores_s {
  const pef_attention_t *params;
  ref_operand_t q, k, v, mask, state, drop;
  ref_operand_t all;  // a result, of which no dim b is broadcast
  uint32_t stream;
  float scale;
  int64_t head[PEF_MAX_RANK];
  int64_t queries, first_query;  // of a tile where tiles cut them
  int64_t keys, width, values;
} scores_t;

static float scalar(uint32_t number, float x) {
  float result;
  leat_kern_scalar(PEF_CLASS_F32, number, PEF_BODY_FIRST)(&result, &x, &x, &x, 1);
  return result;
}

static const char *place(const scores_t *s, const ref_operand_t *operand, int64_t row, int64_t column) {
  int64_t index[PEF_MAX_RANK];
  memcpy(index, s->head, sizeof index);
  index[operand->rank - 2] = row;
  index[operand->rank - 1] = column;
  return leat_ref_at(operand, index);
}
static float read(const scores_t *s, const ref_operand_t *operand, int64_t row, int64_t column) {
  return leat_ref_load(PEF_CLASS_F32, operand->dtype, place(s, operand, row, column)).f32;
}
static void write(const scores_t *s, const ref_operand_t *operand, int64_t row, int64_t column, float value) {
  leat_ref_store(PEF_CLASS_F32, operand->dtype, (char *)place(s, operand, row, column), (ref_value_t){.f32 = value});
}

// --- sums of products --------------------------------------------------------------------------------------------

typedef struct term_s {
  float a, b;
} term_t;
// Term `n` of a sum.
typedef term_t (*term_fn_t)(const void *of, int64_t n);

static float pair_term(term_t term, float sum) {
  return leat_ref_pair_term((ref_value_t){.f32 = term.a}, (ref_value_t){.f32 = term.b}, (ref_value_t){.f32 = sum}).f32;
}

static float sum_of_products(const scores_t *s, term_fn_t term, const void *of, int64_t count) {
  float sum = 0;
  const bool narrow = s->q.dtype == PEF_BF16;
  for (int64_t n = 0; n < count && !narrow; n++) {
    const term_t next = term(of, n);
    sum = fmaf(next.a, next.b, sum);
  }
  for (int64_t n = 0; n < count && narrow; n += 2) {
    sum = pair_term(n + 1 < count ? term(of, n + 1) : (term_t){0}, sum);
    sum = pair_term(term(of, n), sum);
  }
  return sum;
}

// As a factor of such a sum.
static float as_factor(const scores_t *s, float x) {
  char bytes[sizeof x];
  leat_ref_store(PEF_CLASS_F32, s->q.dtype, bytes, (ref_value_t){.f32 = x});
  return leat_ref_load(PEF_CLASS_F32, s->q.dtype, bytes).f32;
}

// Of rows of two operands, along their columns.
typedef struct rows_s {
  const scores_t *s;
  const ref_operand_t *a, *b;
  int64_t i, j;
} rows_t;
static term_t term_of_rows(const void *of, int64_t n) {
  const rows_t *r = of;
  return (term_t){read(r->s, r->a, r->i, n), read(r->s, r->b, r->j, n)};
}

// Of numbers that are `step` apart, and a column of an operand from row `first` on.
typedef struct column_s {
  const scores_t *s;
  const float *numbers;
  int64_t step;
  const ref_operand_t *operand;
  int64_t first, column;
} column_t;
static term_t term_of_column(const void *of, int64_t n) {
  const column_t *c = of;
  return (term_t){c->numbers[n * c->step], read(c->s, c->operand, c->first + n, c->column)};
}

// -----------------------------------------------------------------------------------------------------------------

static scores_t scores_of(const ref_stage_t *stage, const leat_run_tile_t *tile, uint32_t out) {
  scores_t s = {.params = &stage->file->params.attention,
                .q = leat_ref_operand(stage, PEF_ATTENTION_q, tile),
                .k = leat_ref_operand(stage, PEF_ATTENTION_k, tile),
                .v = leat_ref_operand(stage, PEF_ATTENTION_v, tile),
                .mask = leat_ref_operand(stage, PEF_ATTENTION_mask, tile),
                .state = leat_ref_operand(stage, PEF_ATTENTION_state, tile),
                .drop = leat_ref_operand(stage, PEF_ATTENTION_drop, tile),
                .all = leat_ref_operand(stage, out, tile),
                .stream = (uint32_t)stage->file->params.attention.stream + tile->stream};
  const uint32_t scale = (uint32_t)stage->file->params.attention.scale;
  memcpy(&s.scale, &scale, sizeof scale);
  s.queries = s.q.file->dims[s.q.rank - 2];
  s.width = s.q.dims[s.q.rank - 1];
  s.keys = s.v.dims[s.v.rank - 2];
  s.values = s.v.dims[s.v.rank - 1];
  return s;
}

// Dims b of a tile.
static void dims_of_heads(const ref_operand_t *out, int64_t dims[PEF_MAX_RANK]) {
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) dims[d] = d + 2 < out->rank ? out->dims[d] : 1;
}

static float score(const scores_t *s, int64_t i, int64_t j) {
  const int64_t query = s->first_query + i;
  if (j < query - s->params->before || j > query + s->params->after) return -INFINITY;
  const float sum = sum_of_products(s, term_of_rows, &(rows_t){s, &s->q, &s->k, i, j}, s->width) * s->scale;
  if (s->mask.at == NULL) return sum;
  const float mask = read(s, &s->mask, i, j);
  if (s->mask.dtype != PEF_BOOL) return sum + mask;
  return mask != 0 ? sum : -INFINITY;
}

// What a weight is multiplied with.
static float factor(const scores_t *s, int64_t i, int64_t j) {
  if (s->state.at == NULL) return 1;
  const int64_t second[PEF_MAX_RANK] = {1}, first[PEF_MAX_RANK] = {0};
  uint64_t number = 0;
  for (uint32_t d = 0; d + 2 < s->all.rank; d++)
    number = number * (uint64_t)s->all.file->dims[d] + (uint64_t)(s->all.first[d] + s->head[d]);
  number = number * (uint64_t)s->q.file->dims[s->q.rank - 2] + (uint64_t)(s->first_query + i);
  const ref_draw_t draw = {.seed = (uint64_t)leat_ref_read(&s->state, PEF_CLASS_I64, first).i64,
                           .step = (uint32_t)leat_ref_read(&s->state, PEF_CLASS_I64, second).i64,
                           .stream = s->stream,
                           .fn = PEF_FN_UNIFORM};
  const float drawn = (float)leat_ref_draw(&draw, number * (uint64_t)s->keys + (uint64_t)j);
  return drawn >= leat_ref_read(&s->drop, PEF_CLASS_F32, first).f32 ? leat_ref_read(&s->drop, PEF_CLASS_F32, second).f32
                                                                    : 0;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// --- forward -----------------------------------------------------------------------------------------------------

typedef struct row_s {
  float most, sum;  // m and l
} row_t;

static void take_block(const scores_t *s, const ref_operand_t *out, int64_t i, int64_t first, row_t *row) {
  float p[PEF_ATTENTION_BLOCK_MAX], most = row->most, sum = 0;
  const int64_t count = least(s->params->block, s->keys - first);
  for (int64_t j = 0; j < count; j++) {
    p[j] = score(s, i, first + j);
    if (p[j] > most) most = p[j];
  }
  const float shift = most == -INFINITY ? 0 : most;
  for (int64_t j = 0; j < count; j++) {
    p[j] = scalar(PEF_SCALAR_EXP, p[j] - shift);
    sum += p[j];
  }
  if (sum == 0) return;
  const float before = scalar(PEF_SCALAR_EXP, row->most - shift);
  for (int64_t j = 0; j < count; j++) p[j] = as_factor(s, p[j] * factor(s, i, first + j));
  for (int64_t c = 0; c < s->values; c++) {
    const float value = sum_of_products(s, term_of_column, &(column_t){s, p, 1, &s->v, first, c}, count);
    write(s, out, i, c, fmaf(read(s, out, i, c), before, value));
  }
  *row = (row_t){.most = most, .sum = fmaf(row->sum, before, sum)};
}

static void forward_row(const scores_t *s, const ref_operand_t *out, const ref_operand_t *lse, int64_t i) {
  row_t row = {.most = -INFINITY};
  for (int64_t c = 0; c < s->values; c++) write(s, out, i, c, 0);
  for (int64_t first = 0; first < s->keys; first += s->params->block) take_block(s, out, i, first, &row);
  const bool none = row.sum == 0 && s->params->bare == 0;
  for (int64_t c = 0; c < s->values && !none; c++) write(s, out, i, c, read(s, out, i, c) / row.sum);
  if (lse->at != NULL) {
    write(s, lse, i, 0, none ? INFINITY : row.most);
    write(s, lse, i, 1, none ? 0 : scalar(PEF_SCALAR_LOG, row.sum));
  }
}

void leat_ref_attention(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  scores_t s = scores_of(stage, tile, PEF_ATTENTION_out);
  const ref_operand_t out = leat_ref_operand(stage, PEF_ATTENTION_out, tile);
  const ref_operand_t lse = leat_ref_operand(stage, PEF_ATTENTION_lse, tile);
  int64_t heads[PEF_MAX_RANK];
  s.queries = out.dims[out.rank - 2];
  s.first_query = out.first[out.rank - 2];
  dims_of_heads(&out, heads);
  do {
    for (int64_t i = 0; i < s.queries; i++) forward_row(&s, &out, &lse, i);
  } while (leat_ref_next(s.head, heads));
}

// --- backward ----------------------------------------------------------------------------------------------------

// A pair of blocks: `queries` from query i on and `keys` from key j on.
typedef struct pair_s {
  int64_t i, j, queries, keys;
  float *weights, *slopes;  // `keys` of each query: w as it meets dout, and t
} pair_t;

typedef struct backward_s {
  scores_t s;
  ref_operand_t lse, delta, dout, dq, dk, dv;
} backward_t;

static bool fill_pair(const backward_t *b, const pair_t *pair) {
  const scores_t *s = &b->s;
  bool any = false;
  for (int64_t n = 0; n < pair->queries * pair->keys; n++) {
    const int64_t i = pair->i + n / pair->keys, j = pair->j + n % pair->keys;
    const float of = score(s, i, j), kept = factor(s, i, j);
    const float weight = scalar(PEF_SCALAR_EXP, (of - read(s, &b->lse, i, 0)) - read(s, &b->lse, i, 1));
    const bool hidden = s->mask.at != NULL && s->mask.dtype == PEF_BOOL && of == -INFINITY;
    const float reaches = sum_of_products(s, term_of_rows, &(rows_t){s, &b->dout, &s->v, i, j}, s->values);
    any |= weight != 0;
    pair->weights[n] = as_factor(s, weight * kept);
    pair->slopes[n] = as_factor(s, hidden ? 0 : weight * (reaches * kept - read(s, &b->delta, i, 0)));
  }
  return any;
}

// Element (row, column) of `to` takes the sum of what the block has for it: elements of `table` from `at` on, `step`
// apart, times those of column `column` of `from`, from row `first` on.
static void add_sum(const scores_t *s, const ref_operand_t *to, int64_t row, int64_t column, const float *table,
                    int64_t step, const ref_operand_t *from, int64_t first, int64_t count) {
  if (to->at == NULL) return;
  const float sum = sum_of_products(s, term_of_column, &(column_t){s, table, step, from, first, column}, count);
  write(s, to, row, column, read(s, to, row, column) + sum);
}

static void add_pair(const backward_t *b, const pair_t *pair) {
  const scores_t *s = &b->s;
  for (int64_t i = 0; i < pair->queries; i++) {
    for (int64_t e = 0; e < s->width; e++)
      add_sum(s, &b->dq, pair->i + i, e, pair->slopes + i * pair->keys, 1, &s->k, pair->j, pair->keys);
  }
  for (int64_t j = 0; j < pair->keys; j++) {
    for (int64_t e = 0; e < s->width; e++)
      add_sum(s, &b->dk, pair->j + j, e, pair->slopes + j, pair->keys, &s->q, pair->i, pair->queries);
    for (int64_t c = 0; c < s->values; c++)
      add_sum(s, &b->dv, pair->j + j, c, pair->weights + j, pair->keys, &b->dout, pair->i, pair->queries);
  }
}

static void clear(const scores_t *s, const ref_operand_t *to) {
  if (to->at == NULL) return;
  for (int64_t row = 0; row < to->dims[to->rank - 2]; row++) {
    for (int64_t column = 0; column < to->dims[to->rank - 1]; column++) write(s, to, row, column, 0);
  }
}

static void backward_head(const backward_t *b, float *workspace) {
  const int64_t block = b->s.params->block;
  clear(&b->s, &b->dq);
  clear(&b->s, &b->dk);
  clear(&b->s, &b->dv);
  for (int64_t i = 0; i < b->s.queries; i += block) {
    for (int64_t j = 0; j < b->s.keys; j += block) {
      const pair_t pair = {.i = i,
                           .j = j,
                           .queries = least(block, b->s.queries - i),
                           .keys = least(block, b->s.keys - j),
                           .weights = workspace,
                           .slopes = workspace + block * block};
      if (fill_pair(b, &pair)) add_pair(b, &pair);
    }
  }
}

size_t leat_ref_attention_grad_workspace(const pef_stage_t *file) {
  const size_t block = (size_t)file->params.attention_grad.block;
  return 2 * block * block * sizeof(float);
}

void leat_ref_attention_grad(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const pef_operand_t *operands = &stage->pef->operands[stage->file->operand_first];
  uint32_t out = PEF_ATTENTION_GRAD_dq;
  while (operands[out].space == PEF_SPACE_NONE) out++;
  backward_t b = {.s = scores_of(stage, tile, out),
                  .lse = leat_ref_operand(stage, PEF_ATTENTION_GRAD_lse, tile),
                  .delta = leat_ref_operand(stage, PEF_ATTENTION_GRAD_delta, tile),
                  .dout = leat_ref_operand(stage, PEF_ATTENTION_GRAD_dout, tile),
                  .dq = leat_ref_operand(stage, PEF_ATTENTION_GRAD_dq, tile),
                  .dk = leat_ref_operand(stage, PEF_ATTENTION_GRAD_dk, tile),
                  .dv = leat_ref_operand(stage, PEF_ATTENTION_GRAD_dv, tile)};
  int64_t heads[PEF_MAX_RANK];
  dims_of_heads(&b.s.all, heads);
  do {
    backward_head(&b, (float *)(void *)tile->workspace);
  } while (leat_ref_next(b.s.head, heads));
}
