// SPDX-License-Identifier: Apache-2.0
// Reference of the primitives that move elements.
#include "ir/eval.h"

// result[index] = operand 0 at `base` + index * strides, for the whole result.
static void copy_strided(const leat_eval_call_t *call, int64_t base, const int64_t *strides) {
  const leat_value_t *result = leat_eval_result(call, 0);
  int64_t index[LEAT_RANK_MAX] = {0}, at = 0;
  if (leat_value_elements(result) == 0) return;
  do {
    int64_t from = base + leat_index_offset(result->rank, index, strides);
    leat_eval_store(call, 0, at++, leat_eval_load(call, 0, from));
  } while (leat_index_next(result->rank, result->dims, index));
}

leat_status_t leat_eval_RESHAPE(const leat_eval_call_t *call) {
  size_t bytes = leat_value_bytes(leat_eval_result(call, 0));
  if (bytes != 0) memcpy(call->results[0], call->inputs[0], bytes);
  return NULL;
}

leat_status_t leat_eval_TRANSPOSE(const leat_eval_call_t *call) {
  const int64_t *dims = leat_eval_list(call, LEAT_ATTR_DIMS);
  int64_t own[LEAT_RANK_MAX], strides[LEAT_RANK_MAX];
  leat_value_strides(leat_eval_operand(call, 0), own);
  for (uint32_t d = 0; d < leat_eval_result(call, 0)->rank; d++) strides[d] = own[dims[d]];
  copy_strided(call, 0, strides);
  return NULL;
}

leat_status_t leat_eval_SLICE(const leat_eval_call_t *call) {
  const leat_value_t *x = leat_eval_operand(call, 0);
  const int64_t *start = leat_eval_list(call, LEAT_ATTR_START), *step = leat_eval_list(call, LEAT_ATTR_STEP);
  int64_t strides[LEAT_RANK_MAX], base = 0;
  leat_value_strides(x, strides);
  for (uint32_t d = 0; d < x->rank; d++) {
    base += start[d] * strides[d];
    strides[d] *= step[d];
  }
  copy_strided(call, base, strides);
  return NULL;
}

leat_status_t leat_eval_BROADCAST(const leat_eval_call_t *call) {
  const leat_value_t *x = leat_eval_operand(call, 0);
  int64_t strides[LEAT_RANK_MAX];
  leat_value_strides(x, strides);
  for (uint32_t d = 0; d < x->rank; d++) {
    if (x->dims[d] == 1) strides[d] = 0;
  }
  copy_strided(call, 0, strides);
  return NULL;
}

leat_status_t leat_eval_FLIP(const leat_eval_call_t *call) {
  const leat_value_t *x = leat_eval_operand(call, 0);
  int64_t strides[LEAT_RANK_MAX], base = 0;
  uint32_t count;
  const int64_t *dims = leat_op_list(call->graph, call->op, LEAT_ATTR_DIMS, &count);
  leat_value_strides(x, strides);
  for (uint32_t i = 0; i < count; i++) {
    base += (x->dims[dims[i]] - 1) * strides[dims[i]];
    strides[dims[i]] = -strides[dims[i]];
  }
  copy_strided(call, base, strides);
  return NULL;
}

leat_status_t leat_eval_UNFOLD(const leat_eval_call_t *call) {
  const leat_value_t *x = leat_eval_operand(call, 0);
  const uint32_t dim = (uint32_t)leat_eval_int(call, LEAT_ATTR_DIM);
  int64_t strides[LEAT_RANK_MAX];
  leat_value_strides(x, strides);
  strides[x->rank] = strides[dim];
  strides[dim] *= leat_eval_list(call, LEAT_ATTR_STEP)[0];
  copy_strided(call, 0, strides);
  return NULL;
}

leat_status_t leat_eval_CONCAT(const leat_eval_call_t *call) {
  const leat_value_t *result = leat_eval_result(call, 0);
  uint32_t dim = (uint32_t)leat_eval_int(call, LEAT_ATTR_DIM);
  int64_t outer = leat_product(result->dims, 0, dim), line = leat_product(result->dims, dim, result->rank), first = 0;
  for (uint32_t i = 0; i < call->op->input_count; i++) {
    const leat_value_t *x = leat_eval_operand(call, i);
    int64_t piece = leat_product(x->dims, dim, x->rank);
    for (int64_t at = 0; at < outer * piece; at++)
      leat_eval_store(call, 0, at / piece * line + first + at % piece, leat_eval_load(call, i, at));
    first += piece;
  }
  return NULL;
}

// Where element `index` of the operand of a pad goes; false: it is cropped.
static bool padded_offset(const leat_eval_call_t *call, const int64_t *index, const int64_t *strides,
                          int64_t *out_offset) {
  const leat_value_t *result = leat_eval_result(call, 0);
  const int64_t *low = leat_eval_list(call, LEAT_ATTR_LOW), *interior = leat_eval_list(call, LEAT_ATTR_INTERIOR);
  *out_offset = 0;
  for (uint32_t d = 0; d < result->rank; d++) {
    int64_t place = low[d] + index[d] * (interior[d] + 1);
    if (place < 0 || place >= result->dims[d]) return false;
    *out_offset += place * strides[d];
  }
  return true;
}

leat_status_t leat_eval_PAD(const leat_eval_call_t *call) {
  const leat_value_t *x = leat_eval_operand(call, 0), *result = leat_eval_result(call, 0);
  leat_element_t value =
      leat_element_of((leat_dtype_t)result->dtype, leat_op_float(call->graph, call->op, LEAT_ATTR_VALUE, 0));
  for (int64_t at = 0; at < leat_value_elements(result); at++) leat_eval_store(call, 0, at, value);
  if (leat_value_elements(x) == 0) return NULL;
  int64_t strides[LEAT_RANK_MAX], index[LEAT_RANK_MAX] = {0}, from = 0, to;
  leat_value_strides(result, strides);
  do {
    if (padded_offset(call, index, strides, &to)) leat_eval_store(call, 0, to, leat_eval_load(call, 0, from));
    from++;
  } while (leat_index_next(x->rank, x->dims, index));
  return NULL;
}

// --- gather, scatter and search -------------------------------------------------------------------------------------

// Sizes of the dim lists of gather: x is [batch, before, extent, after], the index [batch, count], the gathered tensor
// [batch, before, count, after].
typedef struct gather_s {
  int64_t batch, before, extent, after, count;
} gather_t;

static gather_t gather_of(const leat_eval_call_t *call) {
  const leat_value_t *x = leat_eval_operand(call, 0), *index = leat_eval_operand(call, 1);
  uint32_t dim = (uint32_t)leat_eval_int(call, LEAT_ATTR_DIM), batch = (uint32_t)leat_eval_int(call, LEAT_ATTR_BATCH);
  return (gather_t){.batch = leat_product(x->dims, 0, batch),
                    .before = leat_product(x->dims, batch, dim),
                    .extent = x->dims[dim],
                    .after = leat_product(x->dims, dim + 1, x->rank),
                    .count = leat_product(index->dims, batch, index->rank)};
}

// For place `at` of the gathered tensor: its element of the index.
static leat_element_t index_of(const leat_eval_call_t *call, const gather_t *g, int64_t at) {
  int64_t i = at / g->after % g->count, lead = at / g->after / g->count;  // lead = (batch, before)
  return leat_eval_load(call, 1, lead / g->before * g->count + i);
}

// The place of x that is number `index` of the line that it goes with.
static int64_t offset_in_line(const gather_t *g, int64_t at, int64_t index) {
  return (at / g->after / g->count * g->extent + index) * g->after + at % g->after;
}

// The place of x that its index names; -1: out of range.
static int64_t indexed_offset(const leat_eval_call_t *call, const gather_t *g, int64_t at) {
  int64_t index = index_of(call, g, at).i;
  if (index < 0) index += g->extent;
  return index < 0 || index >= g->extent ? -1 : offset_in_line(g, at, index);
}

leat_status_t leat_eval_GATHER(const leat_eval_call_t *call) {
  const leat_value_t *result = leat_eval_result(call, 0);
  gather_t g = gather_of(call);
  leat_element_t zero = leat_element_of((leat_dtype_t)result->dtype, 0);
  for (int64_t at = 0; at < leat_value_elements(result); at++) {
    int64_t from = indexed_offset(call, &g, at);
    leat_eval_store(call, 0, at, from < 0 ? zero : leat_eval_load(call, 0, from));
  }
  return NULL;
}

leat_status_t leat_eval_SCATTER(const leat_eval_call_t *call) {
  const leat_value_t *x = leat_eval_operand(call, 0), *updates = leat_eval_operand(call, 2);
  leat_fold_t fold = leat_op_word(call->graph, call->op, LEAT_ATTR_FN, LEAT_FOLD_SET);
  gather_t g = gather_of(call);
  leat_element_t *sums;
  LEAT_TRY(leat_eval_widen(call, 0, &sums));
  for (int64_t at = 0; at < leat_value_elements(updates); at++) {
    int64_t to = indexed_offset(call, &g, at);
    if (to >= 0) sums[to] = leat_fold(fold, (leat_dtype_t)x->dtype, sums[to], leat_eval_load(call, 2, at));
  }
  for (int64_t at = 0; at < leat_value_elements(x); at++) leat_eval_store(call, 0, at, sums[at]);
  leat_free(sums);
  return NULL;
}

// The element is at least x, or above it.
static bool is_behind(bool floats, leat_element_t element, leat_element_t x, bool above) {
  if (floats) return above ? element.f > x.f : element.f >= x.f;
  return above ? element.i > x.i : element.i >= x.i;
}

leat_status_t leat_eval_SEARCH(const leat_eval_call_t *call) {
  const bool floats = leat_dtype_is_float((leat_dtype_t)leat_eval_operand(call, 0)->dtype);
  const bool above = leat_op_word(call->graph, call->op, LEAT_ATTR_FN, LEAT_SCALAR_GE) == LEAT_SCALAR_GT;
  const gather_t g = gather_of(call);
  for (int64_t at = 0; at < leat_value_elements(leat_eval_result(call, 0)); at++) {
    const leat_element_t x = index_of(call, &g, at);
    int64_t low = 0, high = g.extent;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      const bool behind = is_behind(floats, leat_eval_load(call, 0, offset_in_line(&g, at, middle)), x, above);
      if (behind) high = middle;
      if (!behind) low = middle + 1;
    }
    leat_eval_store(call, 0, at, (leat_element_t){.i = low});
  }
  return NULL;
}
