// SPDX-License-Identifier: Apache-2.0
// Shape rules of the primitives that move elements.
#include <inttypes.h>

#include "ir/shape.h"

// result := the dtype of operand 0, with the attribute `shape` as dims.
static leat_status_t take_shape(const leat_shape_call_t *call) {
  uint32_t rank;
  const int64_t *dims = leat_shape_list(call, LEAT_ATTR_SHAPE, &rank);
  leat_value_t *result = &call->results[0];
  if (rank > LEAT_RANK_MAX) LEAT_FAIL(LEAT_UNSUPPORTED, "rank %" PRIu32 " is more than 8", rank);
  result->dtype = leat_shape_operand(call, 0)->dtype;
  result->rank = (uint8_t)rank;
  for (uint32_t d = 0; d < rank; d++) result->dims[d] = dims[d];
  if (!leat_value_fits(result)) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "attribute 'shape' is not a shape");
  return NULL;
}

leat_status_t leat_shape_RESHAPE(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0);
  LEAT_TRY(take_shape(call));
  if (leat_value_elements(x) == leat_value_elements(&call->results[0])) return NULL;
  char a[160], b[160];
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s and %s have different numbers of elements", leat_value_text(x, a, sizeof a),
            leat_value_text(&call->results[0], b, sizeof b));
}

leat_status_t leat_shape_BROADCAST(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0);
  LEAT_TRY(take_shape(call));
  const leat_value_t *result = &call->results[0];
  bool fits = x->rank == result->rank;
  for (uint32_t d = 0; fits && d < x->rank; d++) fits = x->dims[d] == 1 || x->dims[d] == result->dims[d];
  if (fits) return NULL;
  char a[160], b[160];
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s does not broadcast to %s: ranks must be equal and extents equal or 1",
            leat_value_text(x, a, sizeof a), leat_value_text(result, b, sizeof b));
}

leat_status_t leat_shape_TRANSPOSE(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0);
  leat_value_t *result = &call->results[0];
  const int64_t *dims;
  uint32_t seen = 0;
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_DIMS, x->rank, &dims));
  *result = *x;
  for (uint32_t d = 0; d < x->rank; d++) {
    if (dims[d] < 0 || dims[d] >= x->rank || (seen >> dims[d] & 1) != 0)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "dims is not a permutation of 0..%d", x->rank - 1);
    seen |= 1u << dims[d];
    result->dims[d] = x->dims[dims[d]];
  }
  return NULL;
}

leat_status_t leat_shape_FLIP(const leat_shape_call_t *call) {
  uint32_t mask;
  call->results[0] = *leat_shape_operand(call, 0);
  return leat_shape_dims(call, call->results[0].rank, &mask);
}

leat_status_t leat_shape_UNFOLD(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0);
  leat_value_t *result = &call->results[0];
  const int64_t k = leat_shape_int(call, LEAT_ATTR_K), *step;
  uint32_t dim;
  LEAT_TRY(leat_shape_dim(call, x->rank, &dim));
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_STEP, 1, &step));
  if (x->rank == LEAT_RANK_MAX) LEAT_FAIL(LEAT_UNSUPPORTED, "rank 9 is more than 8");
  if (k < 0 || k > x->dims[dim] || step[0] < 1)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "windows of %" PRId64 " with step %" PRId64 " of dim %" PRIu32 ", which has extent %" PRId64, k, step[0],
              dim, x->dims[dim]);
  *result = *x;
  result->dims[dim] = (x->dims[dim] - k) / step[0] + 1;
  result->dims[result->rank++] = k;
  return NULL;
}

leat_status_t leat_shape_SLICE(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0);
  const int64_t *start, *stop, *step;
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_START, x->rank, &start));
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_STOP, x->rank, &stop));
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_STEP, x->rank, &step));
  call->results[0] = *x;
  for (uint32_t d = 0; d < x->rank; d++) {
    if (start[d] < 0 || start[d] > stop[d] || stop[d] > x->dims[d] || step[d] < 1)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT,
                "slice %" PRId64 ":%" PRId64 ":%" PRId64 " of dim %" PRIu32 ", which has extent %" PRId64, start[d],
                stop[d], step[d], d, x->dims[d]);
    int64_t span = stop[d] - start[d];
    call->results[0].dims[d] = span == 0 ? 0 : (span - 1) / step[d] + 1;
  }
  return NULL;
}

leat_status_t leat_shape_CONCAT(const leat_shape_call_t *call) {
  leat_value_t *result = &call->results[0];
  *result = *leat_shape_operand(call, 0);
  uint32_t dim;
  LEAT_TRY(leat_shape_dim(call, result->rank, &dim));
  LEAT_TRY(leat_shape_same_dtypes(call, 0));
  for (uint32_t i = 1; i < call->input_count; i++) {
    const leat_value_t *x = leat_shape_operand(call, i);
    leat_value_t expected = *result;
    if (x->rank == result->rank) expected.dims[dim] = x->dims[dim];
    LEAT_TRY(leat_shape_expect(call, i, &expected, "what it is joined to (but for the joined dim)"));
    if (__builtin_add_overflow(result->dims[dim], x->dims[dim], &result->dims[dim]))
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the joined extent is too large");
  }
  return NULL;
}

leat_status_t leat_shape_PAD(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0);
  const int64_t *low, *high, *interior;
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_LOW, x->rank, &low));
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_HIGH, x->rank, &high));
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_INTERIOR, x->rank, &interior));
  call->results[0] = *x;
  for (uint32_t d = 0; d < x->rank; d++) {
    int64_t gaps = x->dims[d] > 1 ? x->dims[d] - 1 : 0, extent, inside;
    bool fits = interior[d] >= 0 && !__builtin_mul_overflow(gaps, interior[d], &inside) &&
                !__builtin_add_overflow(x->dims[d], inside, &extent) &&
                !__builtin_add_overflow(extent, low[d], &extent) && !__builtin_add_overflow(extent, high[d], &extent);
    if (!fits || extent < 0)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT,
                "padding %" PRId64 ", %" PRId64 " (interior %" PRId64 ") of dim %" PRIu32 " leaves no legal extent",
                low[d], high[d], interior[d], d);
    call->results[0].dims[d] = extent;
  }
  return NULL;
}

// --- gather, scatter and search -------------------------------------------------------------------------------------

// x: B ++ P ++ [D] ++ S and index: B ++ I make B ++ P ++ I ++ S.
static leat_status_t looked_up(const leat_shape_call_t *call, leat_value_t *out) {
  const leat_value_t *x = leat_shape_operand(call, 0), *index = leat_shape_operand(call, 1);
  uint32_t dim;
  LEAT_TRY(leat_shape_dim(call, x->rank, &dim));
  int64_t batch = leat_shape_int(call, LEAT_ATTR_BATCH);
  if (batch < 0 || batch > dim || batch > index->rank)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "batch %" PRId64 " exceeds dim %" PRIu32 " or the rank of the index", batch, dim);
  for (int64_t d = 0; d < batch; d++) {
    if (x->dims[d] != index->dims[d])
      LEAT_FAIL(LEAT_INVALID_ARGUMENT,
                "batch dim %" PRId64 " is %" PRId64 " in the tensor and %" PRId64 " in the index", d, x->dims[d],
                index->dims[d]);
  }
  int64_t rank = (int64_t)x->rank - 1 + index->rank - batch;
  if (rank > LEAT_RANK_MAX) LEAT_FAIL(LEAT_UNSUPPORTED, "the result would have rank %" PRId64 ", more than 8", rank);
  out->dtype = x->dtype;
  out->rank = 0;
  for (uint32_t d = 0; d < dim; d++) out->dims[out->rank++] = x->dims[d];
  for (uint32_t d = (uint32_t)batch; d < index->rank; d++) out->dims[out->rank++] = index->dims[d];
  for (uint32_t d = dim + 1; d < x->rank; d++) out->dims[out->rank++] = x->dims[d];
  return NULL;
}

static leat_status_t gathered(const leat_shape_call_t *call, leat_value_t *out) {
  const uint32_t dtype = leat_shape_operand(call, 1)->dtype;
  if (dtype != LEAT_I32 && dtype != LEAT_I64)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the index is %s, it must be i32 or i64", leat_dtype_name((leat_dtype_t)dtype));
  return looked_up(call, out);
}

leat_status_t leat_shape_GATHER(const leat_shape_call_t *call) { return gathered(call, &call->results[0]); }

leat_status_t leat_shape_SCATTER(const leat_shape_call_t *call) {
  leat_value_t expected;
  LEAT_TRY(gathered(call, &expected));
  LEAT_TRY(leat_shape_expect(call, 2, &expected, "what a gather with this index gives"));
  const leat_value_t *x = leat_shape_operand(call, 0);
  if (leat_shape_operand(call, 2)->dtype != x->dtype)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the updates must have the dtype of the tensor, %s",
              leat_dtype_name((leat_dtype_t)x->dtype));
  call->results[0] = *x;
  return NULL;
}

leat_status_t leat_shape_SEARCH(const leat_shape_call_t *call) {
  const uint32_t table = leat_shape_operand(call, 0)->dtype, x = leat_shape_operand(call, 1)->dtype;
  if (table != x || table == LEAT_BOOL)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s is looked for in %s: both must be of one dtype, which is not bool",
              leat_dtype_name((leat_dtype_t)x), leat_dtype_name((leat_dtype_t)table));
  LEAT_TRY(looked_up(call, &call->results[0]));
  call->results[0].dtype = LEAT_I64;
  return NULL;
}
