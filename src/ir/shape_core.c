// SPDX-License-Identifier: Apache-2.0
// Shape rules of leaves, effects, map, reductions, scans, sorting and contraction.
#include <inttypes.h>

#include "ir/shape.h"

// --- leaves and effects: the type is given ----------------------------------------------------------------------

static leat_status_t check_name(const leat_shape_call_t *call) {
  const leat_symbol_id_t symbol = (leat_symbol_id_t)leat_shape_int(call, LEAT_ATTR_NAME);
  if (leat_graph_symbol(call->graph, symbol)->name[0] == '\0') LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the name is empty");
  return NULL;
}

leat_status_t leat_shape_SYMBOL(const leat_shape_call_t *call) { return check_name(call); }
leat_status_t leat_shape_STORE(const leat_shape_call_t *call) { return check_name(call); }

leat_status_t leat_shape_CONSTANT(const leat_shape_call_t *call) {
  for (uint32_t i = 0; i < call->attr_count; i++) {
    if (call->attrs[i].key != LEAT_ATTR_INDEX) continue;
    if (call->attrs[i].v.i < 0 || call->attrs[i].v.i >= LEAT_BLOB_MAX)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "index %" PRId64 " is not that of a blob", call->attrs[i].v.i);
  }
  return NULL;
}

leat_status_t leat_shape_IOTA(const leat_shape_call_t *call) {
  uint32_t dim;
  if (call->results[0].dtype == LEAT_BOOL) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "a bool cannot hold an index");
  return leat_shape_dim(call, call->results[0].rank, &dim);
}

leat_status_t leat_shape_RANDOM(const leat_shape_call_t *call) {
  const leat_value_t *state = leat_shape_operand(call, 0);
  if (state->dtype != LEAT_I64 || state->rank != 1 || state->dims[0] != 2)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the state must be i64[2] (seed, step)");
  if (call->results[0].dtype != LEAT_F32 && call->results[0].dtype != LEAT_F64)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the result is f32 or f64; cast it to %s",
              leat_dtype_name((leat_dtype_t)call->results[0].dtype));
  return NULL;
}

// --- elementwise ------------------------------------------------------------------------------------------------

// The common dims of operands of equal rank whose extents are equal or 1.
static leat_status_t broadcast_dims(const leat_shape_call_t *call, leat_value_t *result) {
  const leat_value_t *first = leat_shape_operand(call, 0);
  char a[160], b[160];
  result->rank = first->rank;
  memcpy(result->dims, first->dims, sizeof result->dims);
  for (uint32_t i = 1; i < call->input_count; i++) {
    const leat_value_t *operand = leat_shape_operand(call, i);
    bool fits = operand->rank == first->rank;
    for (uint32_t d = 0; fits && d < operand->rank; d++) {
      if (result->dims[d] == 1) result->dims[d] = operand->dims[d];
      fits = operand->dims[d] == 1 || operand->dims[d] == result->dims[d];
    }
    if (!fits)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "operand %" PRIu32 " is %s, which does not broadcast with %s", i,
                leat_value_text(operand, a, sizeof a), leat_value_text(first, b, sizeof b));
  }
  return NULL;
}

leat_status_t leat_shape_MAP(const leat_shape_call_t *call) {
  const leat_scalar_t fn = (leat_scalar_t)leat_shape_int(call, LEAT_ATTR_FN);
  const char *name = leat_scalar_name(fn);
  if (call->input_count != leat_scalar_arity(fn))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "'%s' takes %" PRIu32 " operands, got %" PRIu32, name, leat_scalar_arity(fn),
              call->input_count);
  bool select = fn == LEAT_SCALAR_SELECT;  // the one function whose first operand is a condition
  if (select && leat_shape_operand(call, 0)->dtype != LEAT_BOOL)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the condition of 'select' must be bool");
  LEAT_TRY(leat_shape_same_dtypes(call, select ? 1 : 0));
  leat_dtype_t dtype = (leat_dtype_t)leat_shape_operand(call, select ? 1 : 0)->dtype;
  if (!leat_scalar_is_defined(fn, dtype))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "'%s' is not defined for %s", name, leat_dtype_name(dtype));
  if (fn != LEAT_SCALAR_CAST) call->results[0].dtype = leat_scalar_is_predicate(fn) ? LEAT_BOOL : (uint8_t)dtype;
  return broadcast_dims(call, &call->results[0]);
}

// --- across elements ----------------------------------------------------------------------------------------------

leat_status_t leat_shape_REDUCE(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0);
  uint32_t mask;
  LEAT_TRY(leat_shape_dims(call, x->rank, &mask));
  const leat_fold_t fn = (leat_fold_t)leat_shape_int(call, LEAT_ATTR_FN);
  const char *name = leat_word_text("fold", fn);
  bool indices = fn == LEAT_FOLD_ARGMAX || fn == LEAT_FOLD_ARGMIN;
  if (indices && (mask == 0 || (mask & (mask - 1)) != 0))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "'%s' reduces exactly one dim", name);
  leat_value_t *result = &call->results[0];
  result->dtype = indices ? LEAT_I64 : x->dtype;
  result->rank = x->rank;
  for (uint32_t d = 0; d < x->rank; d++) {
    bool reduced = (mask >> d & 1) != 0;
    if (reduced && indices && x->dims[d] == 0)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "'%s' over dim %" PRIu32 ", which is empty", name, d);
    result->dims[d] = reduced ? 1 : x->dims[d];
  }
  return NULL;
}

leat_status_t leat_shape_SCAN(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0);
  uint32_t dim;
  LEAT_TRY(leat_shape_dim(call, x->rank, &dim));
  call->results[0] = *x;
  return NULL;
}

leat_status_t leat_shape_SORT(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0);
  uint32_t dim;
  LEAT_TRY(leat_shape_dim(call, x->rank, &dim));
  call->results[0] = *x;
  call->results[1] = *x;
  call->results[1].dtype = LEAT_I64;
  return NULL;
}

// The extent of `letter`, on which the operands that have it must agree.
static leat_status_t letter_extent(const leat_shape_call_t *call, const leat_spec_t *spec, char letter,
                                   int64_t *out_extent) {
  char text[LEAT_SPEC_TEXT];
  *out_extent = -1;
  for (uint32_t which = 0; which < 2; which++) {
    int at = leat_spec_find(spec, which, letter);
    if (at < 0) continue;
    int64_t extent = leat_shape_operand(call, which)->dims[at];
    if (*out_extent >= 0 && *out_extent != extent)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT,
                "'%c' of spec '%s' is %" PRId64 " in the first operand and %" PRId64 " in the second", letter,
                leat_spec_text(spec, text), *out_extent, extent);
    *out_extent = extent;
  }
  return NULL;
}

// Operand 1 is narrower than operand 0: weights in programs that infer.
static leat_status_t check_narrow(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0), *y = leat_shape_operand(call, 1);
  const bool scaled = call->input_count == 3;
  if (x->dtype != LEAT_F32 || y->dtype != (scaled ? LEAT_I8 : LEAT_BF16)) return leat_shape_same_dtypes(call, 0);
  if (!scaled) return NULL;
  const leat_value_t *scale = leat_shape_operand(call, 2);
  bool fits = scale->dtype == LEAT_F32 && scale->rank == y->rank;
  for (uint32_t d = 0; fits && d < y->rank; d++) fits = scale->dims[d] == y->dims[d] || scale->dims[d] == 1;
  char have[160], want[160];
  if (!fits)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the scale is %s, which is not f32 with the dims, or 1, of %s",
              leat_value_text(scale, have, sizeof have), leat_value_text(y, want, sizeof want));
  return NULL;
}

leat_status_t leat_shape_CONTRACT(const leat_shape_call_t *call) {
  const leat_spec_t *spec = leat_shape_spec(call);
  char text[LEAT_SPEC_TEXT];
  LEAT_TRY(leat_spec_check(spec));
  LEAT_TRY(check_narrow(call));
  leat_value_t *result = &call->results[0];
  int64_t extent;
  for (uint32_t which = 0; which < 2; which++) {
    const leat_value_t *x = leat_shape_operand(call, which);
    if (x->rank != spec->rank[which])
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "operand %" PRIu32 " has rank %u, spec '%s' says %u", which, x->rank,
                leat_spec_text(spec, text), spec->rank[which]);
  }
  for (uint32_t i = 0; i < spec->rank[0]; i++) LEAT_TRY(letter_extent(call, spec, spec->letters[0][i], &extent));
  const leat_dtype_t dtype = (leat_dtype_t)leat_shape_operand(call, 0)->dtype;
  result->dtype = (uint8_t)leat_shape_dtype(call, dtype);
  if (result->dtype != dtype && (dtype != LEAT_BF16 || result->dtype != LEAT_F32))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "a product of %s is %s: only of bf16 it may be f32", leat_dtype_name(dtype),
              leat_dtype_name((leat_dtype_t)result->dtype));
  result->rank = spec->rank[2];
  for (uint32_t i = 0; i < spec->rank[2]; i++)
    LEAT_TRY(letter_extent(call, spec, spec->letters[2][i], &result->dims[i]));
  return NULL;
}
