// SPDX-License-Identifier: Apache-2.0
// Reference of what combines elements along dims: reduce, scan, contract, sort.
#include <stdlib.h>

#include "ir/eval.h"
#include "ir/scalar.h"

// --- reduce -------------------------------------------------------------------------------------------------------

// The part of the operand that one element of the result combines: from `base`, over `dims` (1 where not reduced).
typedef struct part_s {
  uint32_t rank;
  int64_t base;
  int64_t dims[LEAT_RANK_MAX], strides[LEAT_RANK_MAX];
} part_t;

static leat_element_t reduce_part(const leat_eval_call_t *call, const part_t *part, leat_fold_t fold) {
  leat_dtype_t dtype = (leat_dtype_t)leat_eval_operand(call, 0)->dtype;
  leat_element_t result = leat_fold_identity(fold, dtype);
  int64_t index[LEAT_RANK_MAX] = {0};
  if (leat_product(part->dims, 0, part->rank) == 0) return result;
  do {
    int64_t at = part->base + leat_index_offset(part->rank, index, part->strides);
    result = leat_fold(fold, dtype, result, leat_eval_load(call, 0, at));
  } while (leat_index_next(part->rank, part->dims, index));
  return result;
}

// Where in its (only) reduced dim the first winner stands.
static leat_element_t find_winner(const leat_eval_call_t *call, const part_t *part, bool greatest) {
  leat_dtype_t dtype = (leat_dtype_t)leat_eval_operand(call, 0)->dtype;
  leat_element_t best = leat_eval_load(call, 0, part->base);
  int64_t index[LEAT_RANK_MAX] = {0}, place = 0, winner = 0;
  while (leat_index_next(part->rank, part->dims, index)) {
    place++;
    leat_element_t next = leat_eval_load(call, 0, part->base + leat_index_offset(part->rank, index, part->strides));
    if (!leat_fold_beats(greatest, dtype, next, best)) continue;
    best = next;
    winner = place;
  }
  return (leat_element_t){.i = winner};
}

leat_status_t leat_eval_REDUCE(const leat_eval_call_t *call) {
  const leat_value_t *x = leat_eval_operand(call, 0), *result = leat_eval_result(call, 0);
  const leat_fold_t fold = leat_op_word(call->graph, call->op, LEAT_ATTR_FN, LEAT_FOLD_SUM);
  const bool indices = fold == LEAT_FOLD_ARGMAX || fold == LEAT_FOLD_ARGMIN;
  part_t part = {.rank = x->rank};
  leat_value_strides(x, part.strides);
  uint32_t count;
  const int64_t *dims = leat_op_list(call->graph, call->op, LEAT_ATTR_DIMS, &count);
  for (uint32_t d = 0; d < x->rank; d++) part.dims[d] = 1;
  for (uint32_t i = 0; i < count; i++) part.dims[dims[i]] = x->dims[dims[i]];
  int64_t index[LEAT_RANK_MAX] = {0}, at = 0;
  if (leat_value_elements(result) == 0) return NULL;
  do {
    part.base = leat_index_offset(x->rank, index, part.strides);
    leat_eval_store(call, 0, at++,
                    indices ? find_winner(call, &part, fold == LEAT_FOLD_ARGMAX) : reduce_part(call, &part, fold));
  } while (leat_index_next(result->rank, result->dims, index));
  return NULL;
}

// --- lines: scan and sort -----------------------------------------------------------------------------------------

// A tensor as lines along one dim: line (outer, inner) has elements at outer * extent * step + inner + k * step.
typedef struct lines_s {
  int64_t outer, extent, step;
} lines_t;

static lines_t lines_of(const leat_value_t *x, uint32_t dim) {
  return (lines_t){leat_product(x->dims, 0, dim), x->dims[dim], leat_product(x->dims, dim + 1, x->rank)};
}

static void scan_line(const leat_eval_call_t *call, const lines_t *lines, int64_t first, leat_fold_t fold,
                      bool reverse) {
  leat_dtype_t dtype = (leat_dtype_t)leat_eval_operand(call, 0)->dtype;
  leat_element_t so_far = leat_fold_identity(fold, dtype);
  for (int64_t k = 0; k < lines->extent; k++) {
    int64_t at = first + (reverse ? lines->extent - 1 - k : k) * lines->step;
    so_far = leat_fold(fold, dtype, so_far, leat_eval_load(call, 0, at));
    leat_eval_store(call, 0, at, so_far);
  }
}

leat_status_t leat_eval_SCAN(const leat_eval_call_t *call) {
  lines_t lines = lines_of(leat_eval_operand(call, 0), (uint32_t)leat_eval_int(call, LEAT_ATTR_DIM));
  leat_fold_t fold = leat_op_word(call->graph, call->op, LEAT_ATTR_FN, LEAT_FOLD_SUM);
  bool reverse = leat_eval_int(call, LEAT_ATTR_REVERSE) != 0;
  for (int64_t outer = 0; outer < lines.outer; outer++) {
    for (int64_t inner = 0; inner < lines.step; inner++)
      scan_line(call, &lines, outer * lines.extent * lines.step + inner, fold, reverse);
  }
  return NULL;
}

typedef struct sorted_s {
  leat_element_t value;
  int64_t index;
} sorted_t;

static int by_index(const sorted_t *a, const sorted_t *b) { return (a->index > b->index) - (a->index < b->index); }

// -1, 0, 1; NaN is greatest.
static int compare_floats(double a, double b) {
  if (isnan(a) || isnan(b)) return (isnan(a) != 0) - (isnan(b) != 0);
  return (a > b) - (a < b);
}
static int compare_integers(int64_t a, int64_t b) { return (a > b) - (a < b); }

static int floats_up(const void *a, const void *b) {
  int order = compare_floats(((const sorted_t *)a)->value.f, ((const sorted_t *)b)->value.f);
  return order != 0 ? order : by_index(a, b);
}
static int floats_down(const void *a, const void *b) {
  int order = compare_floats(((const sorted_t *)b)->value.f, ((const sorted_t *)a)->value.f);
  return order != 0 ? order : by_index(a, b);
}
static int integers_up(const void *a, const void *b) {
  int order = compare_integers(((const sorted_t *)a)->value.i, ((const sorted_t *)b)->value.i);
  return order != 0 ? order : by_index(a, b);
}
static int integers_down(const void *a, const void *b) {
  int order = compare_integers(((const sorted_t *)b)->value.i, ((const sorted_t *)a)->value.i);
  return order != 0 ? order : by_index(a, b);
}

static void sort_line(const leat_eval_call_t *call, const lines_t *lines, int64_t first, sorted_t *line,
                      int (*order)(const void *, const void *)) {
  for (int64_t k = 0; k < lines->extent; k++) line[k] = (sorted_t){leat_eval_load(call, 0, first + k * lines->step), k};
  qsort(line, (size_t)lines->extent, sizeof *line, order);
  for (int64_t k = 0; k < lines->extent; k++) {
    leat_eval_store(call, 0, first + k * lines->step, line[k].value);
    leat_eval_store(call, 1, first + k * lines->step, (leat_element_t){.i = line[k].index});
  }
}

leat_status_t leat_eval_SORT(const leat_eval_call_t *call) {
  const leat_value_t *x = leat_eval_operand(call, 0);
  lines_t lines = lines_of(x, (uint32_t)leat_eval_int(call, LEAT_ATTR_DIM));
  bool down = leat_eval_int(call, LEAT_ATTR_DESCENDING) != 0;
  int (*order)(const void *, const void *) = down ? integers_down : integers_up;
  if (leat_dtype_is_float((leat_dtype_t)x->dtype)) order = down ? floats_down : floats_up;
  sorted_t *line = leat_alloc_zero((size_t)lines.extent, sizeof *line);
  if (line == NULL) return leat_out_of_memory();
  for (int64_t outer = 0; outer < lines.outer; outer++) {
    for (int64_t inner = 0; inner < lines.step; inner++)
      sort_line(call, &lines, outer * lines.extent * lines.step + inner, line, order);
  }
  leat_free(line);
  return NULL;
}

// --- contract -----------------------------------------------------------------------------------------------------

// Letters that one loop runs over: their extents and their strides in both operands (0: not there).
typedef struct letters_s {
  uint32_t count;
  int64_t dims[LEAT_RANK_MAX], strides[2][LEAT_RANK_MAX];
} letters_t;

static void add_letter(const leat_eval_call_t *call, const leat_spec_t *spec, char letter, letters_t *letters) {
  for (uint32_t which = 0; which < 2; which++) {
    const leat_value_t *x = leat_eval_operand(call, which);
    int64_t strides[LEAT_RANK_MAX];
    int at = leat_spec_find(spec, which, letter);
    leat_value_strides(x, strides);
    letters->strides[which][letters->count] = at < 0 ? 0 : strides[at];
    if (at >= 0) letters->dims[letters->count] = x->dims[at];
  }
  letters->count++;
}

static void contract(const leat_eval_call_t *call, const letters_t *kept, const letters_t *summed,
                     const leat_element_t *x, const leat_element_t *y) {
  leat_dtype_t dtype = (leat_dtype_t)leat_eval_result(call, 0)->dtype;
  int64_t index[LEAT_RANK_MAX] = {0}, at = 0;
  bool nothing = leat_product(summed->dims, 0, summed->count) == 0;
  do {
    int64_t first_x = leat_index_offset(kept->count, index, kept->strides[0]);
    int64_t first_y = leat_index_offset(kept->count, index, kept->strides[1]), k[LEAT_RANK_MAX] = {0};
    leat_element_t sum = leat_fold_identity(LEAT_FOLD_SUM, dtype);
    do {
      if (nothing) break;
      sum = leat_multiply_add(dtype, x[first_x + leat_index_offset(summed->count, k, summed->strides[0])],
                              y[first_y + leat_index_offset(summed->count, k, summed->strides[1])], sum);
    } while (leat_index_next(summed->count, summed->dims, k));
    leat_eval_store(call, 0, at++, sum);
  } while (leat_index_next(kept->count, kept->dims, index));
}

// Operand 1 as f32: times its scale, rounded once.
static void apply_scale(const leat_eval_call_t *call, leat_element_t *y) {
  const leat_value_t *of = leat_eval_operand(call, 1), *scale = leat_eval_operand(call, 2);
  int64_t index[LEAT_RANK_MAX] = {0}, strides[LEAT_RANK_MAX], at = 0;
  leat_value_strides(scale, strides);
  for (uint32_t d = 0; d < scale->rank; d++) strides[d] = scale->dims[d] == 1 ? 0 : strides[d];
  do {
    const double factor = leat_eval_load(call, 2, leat_index_offset(of->rank, index, strides)).f;
    y[at].f = (double)(float)((double)y[at].i * factor);
    at++;
  } while (leat_index_next(of->rank, of->dims, index));
}

leat_status_t leat_eval_CONTRACT(const leat_eval_call_t *call) {
  const leat_spec_t *spec = leat_op_spec(call->graph, call->op);
  letters_t kept = {0}, summed = {0};
  for (uint32_t i = 0; i < spec->rank[2]; i++) add_letter(call, spec, spec->letters[2][i], &kept);
  for (uint32_t i = 0; i < spec->rank[0]; i++) {
    if (leat_spec_find(spec, 2, spec->letters[0][i]) < 0) add_letter(call, spec, spec->letters[0][i], &summed);
  }
  if (leat_value_elements(leat_eval_result(call, 0)) == 0) return NULL;
  leat_element_t *x = NULL, *y = NULL;
  leat_status_t status = leat_eval_widen(call, 0, &x);
  if (status == NULL) status = leat_eval_widen(call, 1, &y);
  if (status == NULL && call->op->input_count == 3 && leat_value_elements(leat_eval_operand(call, 1)) > 0)
    apply_scale(call, y);
  if (status == NULL) contract(call, &kept, &summed, x, y);
  leat_free(x);
  leat_free(y);
  return status;
}
