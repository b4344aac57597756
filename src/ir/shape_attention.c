// SPDX-License-Identifier: Apache-2.0
// Shape rules of attention and its gradient.
#include <inttypes.h>

#include "ir/attention.h"
#include "ir/shape.h"

// Operand `i` has the rank of q, elements, dims b that are equal or 1, and then these extents; 0: any. Widens `batch`.
static leat_status_t check_operand(const leat_shape_call_t *call, uint32_t i, leat_value_t *batch, int64_t rows,
                                   int64_t columns) {
  const leat_value_t *x = leat_shape_operand(call, i);
  char text[160];
  bool fits = x->rank == batch->rank;
  for (uint32_t d = 0; d < x->rank; d++) fits = fits && x->dims[d] > 0;
  for (uint32_t d = 0; fits && d + 2 < x->rank; d++) {
    if (batch->dims[d] == 1) batch->dims[d] = x->dims[d];
    fits = x->dims[d] == 1 || x->dims[d] == batch->dims[d];
  }
  fits = fits && (rows == 0 || x->dims[x->rank - 2] == rows) && (columns == 0 || x->dims[x->rank - 1] == columns);
  if (!fits)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "operand %" PRIu32 " is %s, which does not fit the others", i,
              leat_value_text(x, text, sizeof text));
  return NULL;
}

static leat_status_t check_dtype(const leat_shape_call_t *call, uint32_t i, leat_dtype_t dtype) {
  const leat_dtype_t is = (leat_dtype_t)leat_shape_operand(call, i)->dtype;
  if (is == dtype) return NULL;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "operand %" PRIu32 " is %s, it must be %s", i, leat_dtype_name(is),
            leat_dtype_name(dtype));
}

static leat_dtype_t dtype_of_factors(const leat_shape_call_t *call) {
  return leat_shape_operand(call, 0)->dtype == LEAT_BF16 ? LEAT_BF16 : LEAT_F32;
}

static leat_status_t check_mask(const leat_shape_call_t *call, uint32_t i, leat_value_t *batch, int64_t queries,
                                int64_t keys) {
  const leat_value_t *mask = leat_shape_operand(call, i);
  if (mask->dtype != LEAT_BOOL) LEAT_TRY(check_dtype(call, i, LEAT_F32));
  if (mask->rank != batch->rank) return check_operand(call, i, batch, 0, 0);
  const bool one_row = mask->dims[mask->rank - 2] == 1, one_column = mask->dims[mask->rank - 1] == 1;
  return check_operand(call, i, batch, one_row ? 1 : queries, one_column ? 1 : keys);
}

static leat_status_t check_drop(const leat_shape_call_t *call, const leat_attention_places_t *at) {
  LEAT_TRY(check_dtype(call, at->state, LEAT_I64));
  LEAT_TRY(check_dtype(call, at->drop, LEAT_F32));
  for (uint32_t i = at->state; i <= at->drop; i++) {
    const leat_value_t *x = leat_shape_operand(call, i);
    if (x->rank != 1 || x->dims[0] != 2)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "operand %" PRIu32 " must have two elements", i);
  }
  return NULL;
}

static leat_status_t check_band(const leat_shape_call_t *call) {
  const int64_t *list;
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_LOW, 1, &list));
  return leat_shape_list_of(call, LEAT_ATTR_HIGH, 1, &list);
}

// Of all operands; *out_batch: q with the dims b of the result.
static leat_status_t check_operands(const leat_shape_call_t *call, leat_attention_places_t *at,
                                    leat_value_t *out_batch) {
  *at = leat_attention_places(call->kind, call->input_count);
  const leat_value_t *q = leat_shape_operand(call, 0), *v = leat_shape_operand(call, 2);
  if (q->rank < 2 || v->rank != q->rank)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "q, k and v must be of one rank, of two at least");
  for (uint32_t i = 0; i < 3; i++) LEAT_TRY(check_dtype(call, i, dtype_of_factors(call)));
  const int64_t queries = q->dims[q->rank - 2], keys = v->dims[v->rank - 2];
  *out_batch = *q;
  LEAT_TRY(check_operand(call, 0, out_batch, 0, 0));
  LEAT_TRY(check_operand(call, 1, out_batch, keys, q->dims[q->rank - 1]));
  LEAT_TRY(check_operand(call, 2, out_batch, 0, 0));
  if (at->mask != LEAT_NONE) LEAT_TRY(check_mask(call, at->mask, out_batch, queries, keys));
  if (at->state != LEAT_NONE) LEAT_TRY(check_drop(call, at));
  return check_band(call);
}

static leat_value_t with_columns(leat_value_t like, int64_t rows, int64_t columns) {
  like.dtype = LEAT_F32;
  like.dims[like.rank - 2] = rows;
  like.dims[like.rank - 1] = columns;
  return like;
}

leat_status_t leat_shape_ATTENTION(const leat_shape_call_t *call) {
  leat_attention_places_t at;
  leat_value_t batch;
  LEAT_TRY(check_operands(call, &at, &batch));
  const leat_value_t *v = leat_shape_operand(call, 2);
  const int64_t queries = batch.dims[batch.rank - 2];
  call->results[0] = with_columns(batch, queries, v->dims[v->rank - 1]);
  call->results[1] = with_columns(batch, queries, LEAT_ATTENTION_LOGS);
  return NULL;
}

leat_status_t leat_shape_ATTENTION_GRAD(const leat_shape_call_t *call) {
  leat_attention_places_t at;
  leat_value_t batch;
  LEAT_TRY(check_operands(call, &at, &batch));
  const leat_value_t *v = leat_shape_operand(call, 2);
  const int64_t queries = batch.dims[batch.rank - 2], keys = v->dims[v->rank - 2], values = v->dims[v->rank - 1];
  const struct {
    uint32_t place;
    int64_t columns;
  } back[] = {{at.lse, LEAT_ATTENTION_LOGS}, {at.delta, 1}, {at.dout, values}};
  for (uint32_t i = 0; i < LEAT_ATTENTION_BACKWARD; i++) {
    leat_value_t expected = with_columns(batch, queries, back[i].columns);
    if (back[i].place == at.dout) expected.dtype = (uint8_t)dtype_of_factors(call);
    LEAT_TRY(check_dtype(call, back[i].place, (leat_dtype_t)expected.dtype));
    LEAT_TRY(leat_shape_expect(call, back[i].place, &expected, "the result"));
  }
  call->results[0] = with_columns(batch, queries, batch.dims[batch.rank - 1]);
  call->results[1] = with_columns(batch, keys, batch.dims[batch.rank - 1]);
  call->results[2] = with_columns(batch, keys, values);
  return NULL;
}
