// SPDX-License-Identifier: Apache-2.0
// Reference of attention and its gradient: a row of the table of scores at a time, without blocks.
#include <math.h>

#include "ir/attention.h"
#include "ir/eval.h"

typedef struct table_s {
  const leat_eval_call_t *call;
  leat_attention_places_t at;
  int64_t heads, queries, keys, width, values;  // heads: all dims b together; width: of q and k
  int64_t low, high;
  double scale;
  double *scores;  // of one row
  double *factors;
  double *back;  // of one row: what reaches the weights
} table_t;

static table_t table_of(const leat_eval_call_t *call) {
  const leat_value_t *q = leat_eval_operand(call, 0), *v = leat_eval_operand(call, 2);
  const leat_value_t *result = leat_eval_result(call, 0);
  return (table_t){.call = call,
                   .at = leat_attention_places(call->op->kind, call->op->input_count),
                   .heads = leat_product(result->dims, 0, result->rank - 2u),
                   .queries = q->dims[q->rank - 2],
                   .keys = v->dims[v->rank - 2],
                   .width = q->dims[q->rank - 1],
                   .values = v->dims[v->rank - 1],
                   .low = leat_eval_list(call, LEAT_ATTR_LOW)[0],
                   .high = leat_eval_list(call, LEAT_ATTR_HIGH)[0],
                   .scale = leat_op_float(call->graph, call->op, LEAT_ATTR_SCALE, 1.0)};
}

// Element (row, column) of operand `i` for a head; dims of extent 1 are broadcast.
static leat_element_t element(const table_t *t, uint32_t i, int64_t head, int64_t row, int64_t column) {
  const leat_value_t *x = leat_eval_operand(t->call, i), *all = leat_eval_result(t->call, 0);
  const uint32_t rank = x->rank;
  int64_t strides[LEAT_RANK_MAX], offset = 0;
  leat_value_strides(x, strides);
  for (uint32_t d = rank - 2u; d-- > 0; head /= all->dims[d]) {
    if (x->dims[d] != 1) offset += head % all->dims[d] * strides[d];
  }
  if (x->dims[rank - 2] != 1) offset += row * strides[rank - 2];
  if (x->dims[rank - 1] != 1) offset += column * strides[rank - 1];
  return leat_eval_load(t->call, i, offset);
}

static double score(const table_t *t, int64_t head, int64_t i, int64_t j) {
  double sum = 0;
  if (j < i - t->low || j > i + t->high) return -HUGE_VAL;
  for (int64_t e = 0; e < t->width; e++) sum += element(t, 0, head, i, e).f * element(t, 1, head, j, e).f;
  sum *= t->scale;
  if (t->at.mask == LEAT_NONE) return sum;
  const leat_element_t mask = element(t, t->at.mask, head, i, j);
  if (leat_eval_operand(t->call, t->at.mask)->dtype != LEAT_BOOL) return sum + mask.f;
  return mask.i != 0 ? sum : -HUGE_VAL;
}

// Scores of a row, and what is kept of its weights.
static void fill_row(const table_t *t, int64_t head, int64_t i) {
  const leat_eval_call_t *call = t->call;
  const uint32_t stream = (uint32_t)leat_eval_int(call, LEAT_ATTR_STREAM);
  for (int64_t j = 0; j < t->keys; j++) {
    t->scores[j] = score(t, head, i, j);
    t->factors[j] = 1;
    if (t->at.state == LEAT_NONE) continue;
    const uint64_t seed = (uint64_t)leat_eval_load(call, t->at.state, 0).i;
    const uint32_t step = (uint32_t)leat_eval_load(call, t->at.state, 1).i;
    const double drawn = leat_eval_uniform(seed, step, stream, (head * t->queries + i) * t->keys + j);
    t->factors[j] = drawn >= leat_eval_load(call, t->at.drop, 0).f ? leat_eval_load(call, t->at.drop, 1).f : 0;
  }
}

static void forward_row(const table_t *t, int64_t head, int64_t i) {
  double most = -HUGE_VAL, sum = 0;
  for (int64_t j = 0; j < t->keys; j++) most = t->scores[j] > most ? t->scores[j] : most;
  const double shift = most == -HUGE_VAL ? 0 : most;
  for (int64_t j = 0; j < t->keys; j++) sum += t->back[j] = exp(t->scores[j] - shift);
  const int64_t row = head * t->queries + i;
  const bool bare = leat_eval_int(t->call, LEAT_ATTR_BARE) != 0;
  for (int64_t c = 0; c < t->values; c++) {
    double value = 0;
    for (int64_t j = 0; (sum != 0 || bare) && j < t->keys; j++)
      value += t->back[j] / sum * t->factors[j] * element(t, 2, head, j, c).f;
    leat_eval_store(t->call, 0, row * t->values + c, (leat_element_t){.f = value});
  }
  const bool none = sum == 0 && !bare;
  leat_eval_store(t->call, 1, row * LEAT_ATTENTION_LOGS, (leat_element_t){.f = none ? HUGE_VAL : most});
  leat_eval_store(t->call, 1, row * LEAT_ATTENTION_LOGS + 1, (leat_element_t){.f = none ? 0 : log(sum)});
}

static leat_status_t for_rows(const leat_eval_call_t *call, void (*visit)(const table_t *, int64_t, int64_t)) {
  table_t t = table_of(call);
  t.scores = leat_alloc_zero((size_t)t.keys * 3, sizeof *t.scores);
  if (t.scores == NULL) return leat_out_of_memory();
  t.factors = t.scores + t.keys;
  t.back = t.factors + t.keys;
  for (int64_t head = 0; head < t.heads; head++) {
    for (int64_t i = 0; i < t.queries; i++) {
      fill_row(&t, head, i);
      visit(&t, head, i);
    }
  }
  leat_free(t.scores);
  return NULL;
}

leat_status_t leat_eval_ATTENTION(const leat_eval_call_t *call) { return for_rows(call, forward_row); }

static void add_to(const table_t *t, uint32_t result, int64_t at, double number) {
  const double was = leat_element_load(LEAT_F32, t->call->results[result], at).f;
  leat_eval_store(t->call, result, at, (leat_element_t){.f = was + number});
}

static void backward_row(const table_t *t, int64_t head, int64_t i) {
  const double most = element(t, t->at.lse, head, i, 0).f, logs = element(t, t->at.lse, head, i, 1).f;
  const double delta = element(t, t->at.delta, head, i, 0).f;
  const bool hides = t->at.mask != LEAT_NONE && leat_eval_operand(t->call, t->at.mask)->dtype == LEAT_BOOL;
  for (int64_t j = 0; j < t->keys; j++) {
    const double weight = exp(t->scores[j] - most - logs);
    double reaches = 0;
    if (weight == 0) continue;
    for (int64_t c = 0; c < t->values; c++)
      reaches += element(t, t->at.dout, head, i, c).f * element(t, 2, head, j, c).f;
    const bool hidden = hides && t->scores[j] == -HUGE_VAL;
    const double slope = hidden ? 0 : weight * (reaches * t->factors[j] - delta);
    for (int64_t e = 0; e < t->width; e++) {
      add_to(t, 0, (head * t->queries + i) * t->width + e, slope * element(t, 1, head, j, e).f);
      add_to(t, 1, (head * t->keys + j) * t->width + e, slope * element(t, 0, head, i, e).f);
    }
    for (int64_t c = 0; c < t->values; c++)
      add_to(t, 2, (head * t->keys + j) * t->values + c, weight * t->factors[j] * element(t, t->at.dout, head, i, c).f);
  }
}

leat_status_t leat_eval_ATTENTION_GRAD(const leat_eval_call_t *call) {
  for (uint32_t i = 0; i < 3; i++) {
    const leat_value_t *result = leat_eval_result(call, i);
    memset(call->results[i], 0, leat_value_bytes(result));
  }
  return for_rows(call, backward_row);
}
