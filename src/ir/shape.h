// SPDX-License-Identifier: Apache-2.0
// Shape rules, one per primitive: what ir/shape.c calls and ir/shape_*.c define. Private to ir.
#ifndef LEAT_IR_SHAPE_H_
#define LEAT_IR_SHAPE_H_

#include "ir/graph.h"

// What a rule sees: the operands' types and the attributes; it fills `results`.
typedef struct leat_shape_call_s {
  const leat_graph_t *graph;
  uint32_t kind;
  const leat_value_id_t *inputs;
  uint32_t input_count;
  const leat_attr_t *attrs;
  uint32_t attr_count;
  leat_value_t *results;
} leat_shape_call_t;

#define PRIM(e, ...) leat_status_t leat_shape_##e(const leat_shape_call_t *call) LEAT_MUST_USE;
#include "ir/op.def"
#undef PRIM

static inline const leat_value_t *leat_shape_operand(const leat_shape_call_t *call, uint32_t i) {
  assert(i < call->input_count);
  return leat_graph_value(call->graph, call->inputs[i]);
}

// Attributes. ir/shape.c has checked that every attribute of the row is there, so these do not fail; a list also has to
// have `rank` entries.
int64_t leat_shape_int(const leat_shape_call_t *call, leat_attr_key_t key);
// The attribute `dtype`, which may be absent.
leat_dtype_t leat_shape_dtype(const leat_shape_call_t *call, leat_dtype_t otherwise);
const leat_spec_t *leat_shape_spec(const leat_shape_call_t *call);
const int64_t *leat_shape_list(const leat_shape_call_t *call, leat_attr_key_t key, uint32_t *out_count);
leat_status_t leat_shape_list_of(const leat_shape_call_t *call, leat_attr_key_t key, uint32_t rank,
                                 const int64_t **out_list) LEAT_MUST_USE;
// The attribute `dim`, checked to be below `rank`.
leat_status_t leat_shape_dim(const leat_shape_call_t *call, uint32_t rank, uint32_t *out_dim) LEAT_MUST_USE;
// The attribute `dims` as a bit mask: entries ascending, below `rank`.
leat_status_t leat_shape_dims(const leat_shape_call_t *call, uint32_t rank, uint32_t *out_mask) LEAT_MUST_USE;
// All operands from `first` on have the dtype of operand `first`.
leat_status_t leat_shape_same_dtypes(const leat_shape_call_t *call, uint32_t first) LEAT_MUST_USE;
// Operand `i` has the shape of `expected` (which is what the message calls it).
leat_status_t leat_shape_expect(const leat_shape_call_t *call, uint32_t i, const leat_value_t *expected,
                                const char *what) LEAT_MUST_USE;

#endif
