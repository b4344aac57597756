// SPDX-License-Identifier: Apache-2.0
// Combining elements: sums, products, extrema, and who wins.
#include "ir/eval.h"
#include "ir/scalar.h"

// The least (greatest) value that an integer dtype holds.
static int64_t integer_bound(leat_dtype_t dtype, bool greatest) {
  uint32_t bits = (uint32_t)leat_dtype_bytes(dtype) * 8;
  if (dtype == LEAT_BOOL) return greatest;
  if (dtype == LEAT_U8) return greatest ? UINT8_MAX : 0;
  int64_t most = (int64_t)(UINT64_MAX >> (65 - bits));
  return greatest ? most : -most - 1;
}

leat_element_t leat_fold_identity(leat_fold_t fold, leat_dtype_t dtype) {
  if (fold == LEAT_FOLD_SUM || fold == LEAT_FOLD_SET) return leat_element_of(dtype, 0);
  if (fold == LEAT_FOLD_PROD) return leat_element_of(dtype, 1);
  bool min = fold == LEAT_FOLD_MIN;
  if (leat_dtype_is_float(dtype)) return (leat_element_t){.f = min ? (double)INFINITY : -(double)INFINITY};
  return (leat_element_t){.i = integer_bound(dtype, min)};
}

static double fold_floats(leat_fold_t fold, double so_far, double next) {
  switch (fold) {
    case LEAT_FOLD_SUM:
      return so_far + next;
    case LEAT_FOLD_PROD:
      return so_far * next;
    case LEAT_FOLD_MAX:
      return leat_fmax(so_far, next);
    case LEAT_FOLD_MIN:
      return leat_fmin(so_far, next);
    default:
      break;
  }
  return next;
}

static int64_t fold_integers(leat_fold_t fold, int64_t so_far, int64_t next) {
  switch (fold) {
    case LEAT_FOLD_SUM:
      return leat_wrap_add(so_far, next);
    case LEAT_FOLD_PROD:
      return leat_wrap_mul(so_far, next);
    case LEAT_FOLD_MAX:
      return so_far < next ? next : so_far;
    case LEAT_FOLD_MIN:
      return next < so_far ? next : so_far;
    default:
      break;
  }
  return next;
}

leat_element_t leat_fold(leat_fold_t fold, leat_dtype_t dtype, leat_element_t so_far, leat_element_t next) {
  if (leat_dtype_is_float(dtype)) return (leat_element_t){.f = fold_floats(fold, so_far.f, next.f)};
  return (leat_element_t){.i = fold_integers(fold, so_far.i, next.i)};
}

leat_element_t leat_multiply_add(leat_dtype_t dtype, leat_element_t a, leat_element_t b, leat_element_t sum) {
  if (leat_dtype_is_float(dtype)) return (leat_element_t){.f = sum.f + a.f * b.f};
  return (leat_element_t){.i = leat_wrap_add(sum.i, leat_wrap_mul(a.i, b.i))};
}

bool leat_fold_beats(bool greatest, leat_dtype_t dtype, leat_element_t next, leat_element_t best) {
  if (!leat_dtype_is_float(dtype)) return greatest ? next.i > best.i : next.i < best.i;
  if (isnan(best.f)) return false;
  return isnan(next.f) || (greatest ? next.f > best.f : next.f < best.f);
}

leat_status_t leat_eval_widen(const leat_eval_call_t *call, uint32_t i, leat_element_t **out_elements) {
  int64_t count = leat_value_elements(leat_eval_operand(call, i));
  *out_elements = leat_alloc_zero((size_t)count, sizeof **out_elements);
  if (*out_elements == NULL) return leat_out_of_memory();
  for (int64_t at = 0; at < count; at++) (*out_elements)[at] = leat_eval_load(call, i, at);
  return NULL;
}
