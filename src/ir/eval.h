// SPDX-License-Identifier: Apache-2.0
// What the files of the slow reference share. Private to ir.
//
// One function per primitive, in plain nested loops over indices: written to be seen to be right, not to be fast. They
// are called on verified ops only, and fail only when memory runs out.
#ifndef LEAT_IR_EVAL_H_
#define LEAT_IR_EVAL_H_

#include "base/loops.h"
#include "ir/element.h"
#include "ir/graph.h"

typedef struct leat_eval_call_s {
  const leat_graph_t *graph;
  const leat_op_t *op;
  const void *const *inputs;  // contiguous
  void *const *results;       // contiguous, uninitialised
} leat_eval_call_t;

#define PRIM(e, ...) leat_status_t leat_eval_##e(const leat_eval_call_t *call) LEAT_MUST_USE;
#include "ir/op.def"
#undef PRIM

static inline const leat_value_t *leat_eval_operand(const leat_eval_call_t *call, uint32_t i) {
  return leat_graph_value(call->graph, leat_op_input(call->graph, call->op, i));
}
static inline const leat_value_t *leat_eval_result(const leat_eval_call_t *call, uint32_t i) {
  return leat_graph_value(call->graph, call->op->result_first + i);
}
static inline leat_element_t leat_eval_load(const leat_eval_call_t *call, uint32_t i, int64_t offset) {
  return leat_element_load((leat_dtype_t)leat_eval_operand(call, i)->dtype, call->inputs[i], offset);
}
static inline void leat_eval_store(const leat_eval_call_t *call, uint32_t i, int64_t offset, leat_element_t element) {
  leat_element_store((leat_dtype_t)leat_eval_result(call, i)->dtype, call->results[i], offset, element);
}
static inline int64_t leat_eval_int(const leat_eval_call_t *call, leat_attr_key_t key) {
  return leat_op_int(call->graph, call->op, key, 0);
}
static inline const int64_t *leat_eval_list(const leat_eval_call_t *call, leat_attr_key_t key) {
  uint32_t count;
  return leat_op_list(call->graph, call->op, key, &count);
}

static inline int64_t leat_index_offset(uint32_t rank, const int64_t *index, const int64_t *strides) {
  int64_t offset = 0;
  for (uint32_t d = 0; d < rank; d++) offset += index[d] * strides[d];
  return offset;
}
// Row-major strides in elements.
static inline void leat_value_strides(const leat_value_t *v, int64_t *out_strides) {
  int64_t stride = 1;
  for (uint32_t d = v->rank; d-- > 0;) {
    out_strides[d] = stride;
    stride *= v->dims[d];
  }
}

// What reduce, scan, pool and scatter combine elements with; not argmax and argmin, which look for a place.
leat_element_t leat_fold_identity(leat_fold_t fold, leat_dtype_t dtype);
leat_element_t leat_fold(leat_fold_t fold, leat_dtype_t dtype, leat_element_t so_far, leat_element_t next);
leat_element_t leat_multiply_add(leat_dtype_t dtype, leat_element_t a, leat_element_t b, leat_element_t sum);
// Does `next` beat `best` under argmax (argmin)? Only a strictly better one does, and the first NaN beats all.
bool leat_fold_beats(bool greatest, leat_dtype_t dtype, leat_element_t next, leat_element_t best);

// Element `at` of a uniform draw, as op.def states it.
double leat_eval_uniform(uint64_t seed, uint32_t step, uint32_t stream, int64_t at);

// Where the run of a body keeps its end of that role and number, and how many bytes that is.
void *leat_eval_end(const leat_eval_t *eval, leat_symbol_role_t role, uint32_t number, size_t *out_bytes);

// Operand `i` as elements, for loops that read it many times; free with leat_free.
leat_status_t leat_eval_widen(const leat_eval_call_t *call, uint32_t i, leat_element_t **out_elements) LEAT_MUST_USE;

#endif
