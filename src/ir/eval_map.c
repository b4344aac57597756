// SPDX-License-Identifier: Apache-2.0
// Reference of the elementwise primitive and of the leaves that are computed: map, constant, iota.
#include "ir/eval.h"
#include "ir/scalar.h"

// The columns of scalar.def as functions. What a column does not define (NA) is never called: see leat_shape_MAP.
#define NA 0
typedef double (*on_floats_t)(double a, double b, double c);
typedef int64_t (*on_integers_t)(int64_t a, int64_t b, int64_t c, bool is_bool);
#define SCALAR(e, n, number, arity, result, kernels, body, flops, speed, on_floats, on_integers) \
  static double floats_##e(double a, double b, double c) {                                       \
    (void)a, (void)b, (void)c;                                                                   \
    return (double)(on_floats);                                                                  \
  }                                                                                              \
  static int64_t integers_##e(int64_t a, int64_t b, int64_t c, bool is_bool) {                   \
    (void)a, (void)b, (void)c, (void)is_bool;                                                    \
    return (int64_t)(on_integers);                                                               \
  }
#include "ir/scalar.def"
#undef SCALAR

static const struct {
  on_floats_t on_floats;
  on_integers_t on_integers;
} functions[LEAT_SCALAR_COUNT] = {
#define SCALAR(e, ...) [LEAT_SCALAR_##e] = {floats_##e, integers_##e},
#include "ir/scalar.def"
#undef SCALAR
};

// fn(x) for operands that are all of `dtype`.
static leat_element_t apply(leat_scalar_t fn, leat_dtype_t dtype, const leat_element_t x[3]) {
  if (!leat_dtype_is_float(dtype))
    return (leat_element_t){.i = functions[fn].on_integers(x[0].i, x[1].i, x[2].i, dtype == LEAT_BOOL)};
  double result = functions[fn].on_floats(x[0].f, x[1].f, x[2].f);
  if (leat_scalar_is_predicate(fn)) return (leat_element_t){.i = result != 0};
  return (leat_element_t){.f = result};
}

// Strides of an operand that is broadcast to the shape of the result.
static void broadcast_strides(const leat_value_t *v, int64_t *out_strides) {
  leat_value_strides(v, out_strides);
  for (uint32_t d = 0; d < v->rank; d++) {
    if (v->dims[d] == 1) out_strides[d] = 0;
  }
}

leat_status_t leat_eval_MAP(const leat_eval_call_t *call) {
  const leat_scalar_t fn = leat_op_scalar(call->graph, call->op);
  const leat_value_t *result = leat_eval_result(call, 0);
  uint32_t count = call->op->input_count;
  // select computes in the dtype of what it selects
  leat_dtype_t dtype = (leat_dtype_t)leat_eval_operand(call, fn == LEAT_SCALAR_SELECT ? 1 : 0)->dtype;
  int64_t strides[3][LEAT_RANK_MAX], index[LEAT_RANK_MAX] = {0}, at = 0;
  for (uint32_t i = 0; i < count; i++) broadcast_strides(leat_eval_operand(call, i), strides[i]);
  if (leat_value_elements(result) == 0) return NULL;
  do {
    leat_element_t x[3] = {{0}};
    for (uint32_t i = 0; i < count; i++) {
      leat_dtype_t own = (leat_dtype_t)leat_eval_operand(call, i)->dtype;
      x[i] = leat_eval_load(call, i, leat_index_offset(result->rank, index, strides[i]));
      if (own != dtype) x[i] = leat_element_convert(own, dtype, x[i]);
    }
    leat_element_t y =
        fn == LEAT_SCALAR_CAST ? leat_element_convert(dtype, (leat_dtype_t)result->dtype, x[0]) : apply(fn, dtype, x);
    leat_eval_store(call, 0, at++, y);
  } while (leat_index_next(result->rank, result->dims, index));
  return NULL;
}

leat_status_t leat_eval_CONSTANT(const leat_eval_call_t *call) {
  const leat_value_t *result = leat_eval_result(call, 0);
  const leat_attr_t *index = leat_op_attr(call->graph, call->op, LEAT_ATTR_INDEX);
  if (index != NULL) {
    if (leat_value_bytes(result) != 0)
      memcpy(call->results[0], call->graph->blobs.data[index->v.i].data, leat_value_bytes(result));
    return NULL;
  }
  leat_element_t value =
      leat_element_of((leat_dtype_t)result->dtype, leat_op_float(call->graph, call->op, LEAT_ATTR_VALUE, 0));
  for (int64_t at = 0; at < leat_value_elements(result); at++) leat_eval_store(call, 0, at, value);
  return NULL;
}

leat_status_t leat_eval_IOTA(const leat_eval_call_t *call) {
  const leat_value_t *result = leat_eval_result(call, 0);
  int64_t dim = leat_eval_int(call, LEAT_ATTR_DIM), strides[LEAT_RANK_MAX];
  leat_value_strides(result, strides);
  for (int64_t at = 0; at < leat_value_elements(result); at++) {
    leat_element_t place = {.i = at / strides[dim] % result->dims[dim]};
    leat_eval_store(call, 0, at, leat_element_convert(LEAT_I64, (leat_dtype_t)result->dtype, place));
  }
  return NULL;
}
