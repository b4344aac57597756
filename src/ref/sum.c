// SPDX-License-Identifier: Apache-2.0
#include "ref/sum.h"

#include <math.h>

ref_value_t leat_ref_neutral(uint32_t fn, uint32_t class_) {
  if (fn == PEF_FN_SUM || fn == PEF_FN_PROD) return leat_ref_of_int(class_, fn == PEF_FN_PROD);
  if (class_ == PEF_CLASS_I64) return (ref_value_t){.i64 = fn == PEF_FN_MAX ? INT64_MIN : INT64_MAX};
  return leat_ref_of_double(class_, fn == PEF_FN_MAX ? -(double)INFINITY : (double)INFINITY);
}

ref_value_t leat_ref_step(uint32_t fn, uint32_t class_, ref_value_t so_far, ref_value_t next) {
  if (fn == PEF_FN_SUM) return leat_ref_add(class_, so_far, next);
  if (fn == PEF_FN_PROD) return leat_ref_multiply(class_, so_far, next);
  const bool wins = fn == PEF_FN_MAX ? leat_ref_less(class_, so_far, next) : leat_ref_less(class_, next, so_far);
  return wins || leat_ref_is_nan(class_, next) ? next : so_far;
}

static bool is_negative(uint32_t class_, ref_value_t value) {
  return class_ == PEF_CLASS_F32 ? signbit(value.f32) : class_ == PEF_CLASS_F64 && signbit(value.f64);
}

ref_value_t leat_ref_fold(uint32_t fn, uint32_t class_, ref_value_t so_far, ref_value_t next) {
  if (fn == PEF_FN_SUM || fn == PEF_FN_PROD) return leat_ref_step(fn, class_, so_far, next);
  if (leat_ref_is_nan(class_, so_far) || leat_ref_is_nan(class_, next)) return leat_ref_of_double(class_, (double)NAN);
  const bool less = leat_ref_less(class_, so_far, next), equal = !less && !leat_ref_less(class_, next, so_far);
  if (equal) return is_negative(class_, so_far) == (fn == PEF_FN_MAX) ? next : so_far;
  return less == (fn == PEF_FN_MAX) ? next : so_far;
}

ref_value_t leat_ref_pairwise(uint32_t class_, ref_block_fn_t block, const void *sum, int64_t first, int64_t count) {
  if (count == 1) return block(sum, first);
  int64_t half = 1;
  while (2 * half < count) half *= 2;
  const ref_value_t a = leat_ref_pairwise(class_, block, sum, first, half);
  const ref_value_t b = leat_ref_pairwise(class_, block, sum, first + half, count - half);
  return leat_ref_add(class_, a, b);
}
