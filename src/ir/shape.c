// SPDX-License-Identifier: Apache-2.0
// Shape inference: checks that an op is well formed, then calls the rule of its row. The rules are in shape_core.c
// (leaves, map, reductions, contraction), shape_move.c (moving elements), shape_window.c (convolution, pooling) and
// shape_loop.c.
#include "ir/shape.h"

#include <inttypes.h>

typedef leat_status_t (*rule_t)(const leat_shape_call_t *call);

// A row of op.def without a rule does not link.
static const rule_t rules[LEAT_PRIM_COUNT] = {
#define PRIM(e, ...) [LEAT_PRIM_##e] = leat_shape_##e,
#include "ir/op.def"
#undef PRIM
};

static const leat_attr_t *find_attr(const leat_shape_call_t *call, leat_attr_key_t key) {
  for (uint32_t i = 0; i < call->attr_count; i++) {
    if (call->attrs[i].key == key) return &call->attrs[i];
  }
  return NULL;
}

int64_t leat_shape_int(const leat_shape_call_t *call, leat_attr_key_t key) {
  const leat_attr_t *attr = find_attr(call, key);
  assert(attr != NULL);
  return attr->v.i;
}

leat_dtype_t leat_shape_dtype(const leat_shape_call_t *call, leat_dtype_t otherwise) {
  const leat_attr_t *attr = find_attr(call, LEAT_ATTR_DTYPE);
  return attr == NULL ? otherwise : (leat_dtype_t)attr->v.i;
}

const leat_spec_t *leat_shape_spec(const leat_shape_call_t *call) {
  const leat_attr_t *attr = find_attr(call, LEAT_ATTR_SPEC);
  assert(attr != NULL);
  return attr->v.spec;
}

const int64_t *leat_shape_list(const leat_shape_call_t *call, leat_attr_key_t key, uint32_t *out_count) {
  const leat_attr_t *attr = find_attr(call, key);
  assert(attr != NULL);
  *out_count = attr->count;
  return attr->v.l;
}

leat_status_t leat_shape_list_of(const leat_shape_call_t *call, leat_attr_key_t key, uint32_t rank,
                                 const int64_t **out_list) {
  uint32_t count;
  *out_list = leat_shape_list(call, key, &count);
  if (count == rank) return NULL;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "attribute '%s' has %" PRIu32 " entries, expected %" PRIu32, leat_attr_name(key),
            count, rank);
}

leat_status_t leat_shape_dim(const leat_shape_call_t *call, uint32_t rank, uint32_t *out_dim) {
  int64_t dim = leat_shape_int(call, LEAT_ATTR_DIM);
  if (dim < 0 || dim >= (int64_t)rank)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "dim %" PRId64 " is not in a tensor of rank %" PRIu32, dim, rank);
  *out_dim = (uint32_t)dim;
  return NULL;
}

leat_status_t leat_shape_dims(const leat_shape_call_t *call, uint32_t rank, uint32_t *out_mask) {
  uint32_t count;
  const int64_t *dims = leat_shape_list(call, LEAT_ATTR_DIMS, &count);
  *out_mask = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (dims[i] < 0 || dims[i] >= (int64_t)rank || (i != 0 && dims[i] <= dims[i - 1]))
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "dims must ascend below the rank %" PRIu32 ", but entry %" PRIu32 " is %" PRId64,
                rank, i, dims[i]);
    *out_mask |= 1u << dims[i];
  }
  return NULL;
}

leat_status_t leat_shape_same_dtypes(const leat_shape_call_t *call, uint32_t first) {
  leat_dtype_t expected = (leat_dtype_t)leat_shape_operand(call, first)->dtype;
  for (uint32_t i = first + 1; i < call->input_count; i++) {
    leat_dtype_t dtype = (leat_dtype_t)leat_shape_operand(call, i)->dtype;
    if (dtype == expected) continue;
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "operand %" PRIu32 " is %s but operand %" PRIu32 " is %s: primitives never promote", i,
              leat_dtype_name(dtype), first, leat_dtype_name(expected));
  }
  return NULL;
}

leat_status_t leat_shape_expect(const leat_shape_call_t *call, uint32_t i, const leat_value_t *expected,
                                const char *what) {
  const leat_value_t *operand = leat_shape_operand(call, i);
  if (leat_same_shape(operand, expected)) return NULL;
  char have[160], want[160];
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "operand %" PRIu32 " is %s, but %s has the shape of %s", i,
            leat_value_text(operand, have, sizeof have), what, leat_value_text(expected, want, sizeof want));
}

// --- what holds of every primitive ------------------------------------------------------------------------------

static leat_status_t check_inputs(const leat_shape_call_t *call) {
  const leat_op_info_t *info = leat_op_info(call->kind);
  if (call->input_count < info->min_inputs || call->input_count > info->max_inputs)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "takes %u to %u operands, got %" PRIu32, info->min_inputs, info->max_inputs,
              call->input_count);
  for (uint32_t i = 0; i < call->input_count; i++) {
    if (call->inputs[i] >= call->graph->values.count)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "operand %" PRIu32 " does not exist; a primitive has no absent operands", i);
  }
  return NULL;
}

// What a symbol begins with and whether it is trained has defaults, and so has the dtype of a result: the operands'.
static bool is_optional(uint32_t kind, leat_attr_key_t key) {
  if (key == LEAT_ATTR_DTYPE) return true;
  bool fact = key == LEAT_ATTR_VALUE || key == LEAT_ATTR_REQUIRES_GRAD;
  return leat_op_role(kind) == LEAT_ROLE_SYMBOL && fact;
}

static uint32_t count_words(const char *text) {
  uint32_t count = text[0] != '\0';
  for (; *text != '\0'; ++text) count += *text == ' ';
  return count;
}

// An attribute is never there twice, so that the right number of them is all of them. A constant takes one of its own.
static leat_status_t check_attrs(const leat_shape_call_t *call) {
  const bool constant = leat_op_role(call->kind) == LEAT_ROLE_CONSTANT;
  bool complete = constant || call->attr_count == count_words(leat_op_info(call->kind)->attrs);
  for (uint32_t i = 0; i < LEAT_ATTR_COUNT && !complete; i++) {
    leat_attr_key_t key = (leat_attr_key_t)i;
    if (find_attr(call, key) != NULL || !leat_op_takes_attr(call->kind, key) || is_optional(call->kind, key)) continue;
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "attribute '%s' is missing: a primitive states all of its attributes",
              leat_attr_name(key));
  }
  if (constant && (find_attr(call, LEAT_ATTR_VALUE) != NULL) == (find_attr(call, LEAT_ATTR_INDEX) != NULL))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "takes either 'value' or 'index'");
  return NULL;
}

static leat_status_t check_result(const leat_value_t *result) {
  if (result->rank <= LEAT_RANK_MAX && leat_value_fits(result)) return NULL;
  if (result->rank > LEAT_RANK_MAX) LEAT_FAIL(LEAT_UNSUPPORTED, "rank %u is more than 8", result->rank);
  char text[160];
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the result %s has a negative extent or too many elements",
            leat_value_text(result, text, sizeof text));
}

static leat_status_t infer(const leat_shape_call_t *call) {
  LEAT_TRY(check_inputs(call));
  LEAT_TRY(check_attrs(call));
  LEAT_TRY(rules[call->kind](call));
  const uint32_t count = leat_op_result_count(call->graph, call->kind, call->attrs, call->attr_count);
  for (uint32_t i = 0; i < count; i++) LEAT_TRY(check_result(&call->results[i]));
  return NULL;
}

leat_status_t leat_shape_infer(const leat_graph_t *g, uint32_t kind, const leat_value_id_t *inputs,
                               uint32_t input_count, const leat_attr_t *attrs, uint32_t attr_count,
                               leat_value_t *results) {
  assert(leat_op_is_primitive(kind));
  const leat_shape_call_t call = {g, kind, inputs, input_count, attrs, attr_count, results};
  leat_status_t status = infer(&call);
  return status == NULL ? NULL : leat_status_annotate(status, "prim.%s", leat_op_info(kind)->name);
}
