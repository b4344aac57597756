// SPDX-License-Identifier: Apache-2.0
// Constant folding: splats stay splats; other constants are computed by the reference evaluator and become blobs, as
// long as they are small enough to be worth their place in the file.
#include "ir/element.h"
#include "opt/fold.h"

enum { BLOB_BYTES_MAX = 256 << 10 };

static bool is_constant(const leat_candidate_t *c, leat_value_id_t v) {
  uint32_t kind = leat_fold_producer(c, v)->kind;
  return leat_op_is_leaf(kind) && leat_op_role(kind) != LEAT_ROLE_SYMBOL;
}

static bool all_constant(const leat_candidate_t *c) {
  for (uint32_t i = 0; i < c->in_count; i++)
    if (!is_constant(c, c->in[i])) return false;
  return c->in_count > 0;
}

// Memory for `bytes` bytes; NULL: out of memory, which the builder then reports.
static void *buffer(const leat_candidate_t *c, size_t bytes) {
  void *data = leat_alloc(bytes + 1u);
  if (data == NULL) (void)leat_b_fail(c->b, LEAT_OUT_OF_MEMORY, "out of memory");
  return data;
}

// The elements of a constant or iota, in memory that the caller frees; NULL: out of memory or without bytes.
static void *materialise(const leat_candidate_t *c, leat_value_id_t v) {
  const leat_graph_t *g = c->b->graph;
  const leat_op_t *op = leat_fold_producer(c, v);
  leat_value_t x = *leat_graph_value(g, v);
  leat_dtype_t dtype = (leat_dtype_t)x.dtype;
  size_t bytes = leat_value_bytes(&x);
  char *data = buffer(c, bytes);
  if (data == NULL) return NULL;
  if (leat_op_attr(g, op, LEAT_ATTR_INDEX) != NULL) {
    const leat_blob_t *blob = leat_op_blob(g, op);
    if (blob != NULL) return memcpy(data, blob->data, bytes);
    leat_free(data);
    return NULL;
  }
  const bool counts = leat_op_role(op->kind) == LEAT_ROLE_SEQUENCE;
  int64_t elements = leat_value_elements(&x), stride = 1, dim = leat_op_int(g, op, LEAT_ATTR_DIM, 0);
  for (uint32_t d = (uint32_t)dim + 1u; d < x.rank; d++) stride *= x.dims[d];
  double number = leat_op_float(g, op, LEAT_ATTR_VALUE, 0.0);
  for (int64_t i = 0; i < elements; i++) {
    if (counts) number = (double)(i / stride % x.dims[dim]);
    leat_element_store(dtype, data, i, leat_element_of(dtype, number));
  }
  return data;
}

// Writes the candidate, lets the evaluator compute it from `inputs` and returns the elements, or NULL if it cannot:
// that is no error, but running out of memory is. The op it wrote is dead when the candidate ends otherwise.
static void *evaluate(leat_candidate_t *c, const void *const *inputs) {
  leat_value_id_t v = leat_b_op(c->b, c->kind, c->in, c->in_count, c->attrs, c->attr_count, &c->y);
  if (v == LEAT_NONE) return NULL;
  void *data = buffer(c, leat_value_bytes(&c->y));
  if (data == NULL) return NULL;
  leat_status_t status = leat_eval_op(c->b->graph, leat_fold_producer(c, v), inputs, &data);
  if (status == NULL) return data;
  if (leat_status_code(status) == LEAT_OUT_OF_MEMORY) (void)leat_b_fail(c->b, LEAT_OUT_OF_MEMORY, "out of memory");
  leat_status_free(status);
  leat_free(data);
  return NULL;
}

// Evaluates with all operands materialised; `out_data` is freed by the caller.
static bool compute(leat_candidate_t *c, void **out_data) {
  void *inputs[LEAT_FOLD_OPERANDS_MAX] = {NULL};
  bool ready = true;
  for (uint32_t i = 0; i < c->in_count; i++) {
    inputs[i] = materialise(c, c->in[i]);
    ready = ready && inputs[i] != NULL;
  }
  *out_data = ready ? evaluate(c, (const void *const *)inputs) : NULL;
  for (uint32_t i = 0; i < c->in_count; i++) leat_free(inputs[i]);
  return *out_data != NULL;
}

static double element_number(leat_dtype_t dtype, const void *data) {
  leat_element_t element = leat_element_load(dtype, data, 0);
  return leat_dtype_is_float(dtype) ? element.f : (double)element.i;
}

// map of splats: computed on one element. Integers that f64 cannot hold are left alone.
bool leat_fold_splat_map(leat_candidate_t *c) {
  leat_candidate_t one = *c;
  double number;
  one.y.rank = 0;
  for (uint32_t i = 0; i < c->in_count; i++) {
    if (!leat_fold_splat(c, c->in[i], &number)) return false;
  }
  for (uint32_t i = 0; i < c->in_count; i++) {
    leat_fold_splat(c, c->in[i], &number);
    one.in[i] = leat_b_scalar(c->b, leat_b_dtype(c->b, c->in[i]), number);
  }
  void *data;
  if (c->b->status != NULL || !compute(&one, &data)) return false;
  leat_dtype_t dtype = (leat_dtype_t)c->y.dtype;
  number = element_number(dtype, data);
  bool exact = leat_dtype_is_float(dtype) || leat_element_of(dtype, number).i == leat_element_load(dtype, data, 0).i;
  leat_free(data);
  if (exact) c->value = leat_b_splat(c->b, dtype, c->y.rank, c->y.dims, number);
  return exact;
}

// A view of a splat is a splat.
bool leat_fold_splat_view(leat_candidate_t *c) {
  double number;
  if (leat_op_role(c->kind) != LEAT_ROLE_VIEW || !leat_fold_splat(c, c->in[0], &number)) return false;
  c->value = leat_b_splat(c->b, (leat_dtype_t)c->y.dtype, c->y.rank, c->y.dims, number);
  return true;
}

// A constant in another shape has the same bytes: whoever makes one twice, as forward and backward do, makes equal ops.
static bool reshape_constant(leat_candidate_t *c) {
  const leat_op_t *op = leat_fold_producer(c, c->in[0]);
  const leat_attr_t *index = leat_op_attr(c->b->graph, op, LEAT_ATTR_INDEX);
  const bool same = leat_op_takes_attr(c->kind, LEAT_ATTR_SHAPE) &&
                    leat_value_bytes(leat_graph_value(c->b->graph, c->in[0])) == leat_value_bytes(&c->y);
  if (!same || leat_op_role(op->kind) != LEAT_ROLE_CONSTANT || index == NULL) return false;
  const leat_attr_t attr = leat_attr_i(LEAT_ATTR_INDEX, index->v.i);
  c->value = leat_b_op(c->b, LEAT_PRIM_CONSTANT, NULL, 0, &attr, 1, &c->y);
  return true;
}

// Anything small whose operands are constant. A map over iotas alone may be kept as it is where its result is large:
// computing it is cheaper than loading it.
bool leat_fold_evaluate(leat_candidate_t *c) {
  if (leat_op_role(c->kind) == LEAT_ROLE_DRAW || !all_constant(c) || leat_value_bytes(&c->y) > BLOB_BYTES_MAX)
    return false;
  for (uint32_t i = 0; i < c->in_count; i++)
    if (leat_value_bytes(leat_graph_value(c->b->graph, c->in[i])) > 16u * BLOB_BYTES_MAX) return false;
  void *data;
  if (reshape_constant(c)) return true;
  if (!compute(c, &data)) return false;
  c->value = leat_b_constant(c->b, (leat_dtype_t)c->y.dtype, c->y.rank, c->y.dims, data);
  leat_free(data);
  return true;
}
