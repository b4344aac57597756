// SPDX-License-Identifier: Apache-2.0
// The builder: its sticky error, leaves, elementwise and reducing primitives. Moving elements: build_view.c;
// convolution and pooling: build_window.c.
#include "ir/build.h"

#include <stdio.h>

#include "ir/build_op.h"

void leat_builder_init(leat_builder_t *b, leat_graph_t *graph) { *b = (leat_builder_t){.graph = graph}; }

leat_status_t leat_builder_take_status(leat_builder_t *b) {
  leat_status_t status = b->status;
  b->status = NULL;
  return status;
}

leat_value_id_t leat_b_fail(leat_builder_t *b, int code, const char *format, ...) {
  if (b->status != NULL) return LEAT_NONE;
  char message[512];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  b->status = leat_status_make(code, "%s", message);
  return LEAT_NONE;
}

const leat_value_t *leat_b_value(const leat_builder_t *b, leat_value_id_t v) {
  static const leat_value_t nothing = {.dtype = LEAT_F32};
  return v == LEAT_NONE ? &nothing : leat_graph_value(b->graph, v);
}

bool leat_b_ready(leat_builder_t *b, const leat_value_id_t *inputs, uint32_t input_count) {
  for (uint32_t i = 0; i < input_count; i++) {
    if (inputs[i] == LEAT_NONE) (void)leat_b_fail(b, LEAT_INTERNAL, "operand %u of a primitive is missing", i);
  }
  return b->status == NULL;
}

leat_value_id_t leat_b_op(leat_builder_t *b, uint32_t kind, const leat_value_id_t *inputs, uint32_t input_count,
                          const leat_attr_t *attrs, uint32_t attr_count, const leat_value_t *results) {
  enum { FEW = 4 };
  leat_value_t few[FEW] = {0}, *inferred = few;
  if (!leat_b_ready(b, inputs, input_count)) return LEAT_NONE;
  const uint32_t result_count = leat_op_result_count(b->graph, kind, attrs, attr_count);
  assert(leat_op_is_primitive(kind));
  if (result_count > FEW) inferred = leat_alloc_zero(result_count, sizeof *inferred);
  if (inferred == NULL) return leat_b_fail(b, LEAT_OUT_OF_MEMORY, "out of memory");
  for (uint32_t i = 0; results != NULL && i < result_count; i++) inferred[i] = results[i];
  b->status = leat_shape_infer(b->graph, kind, inputs, input_count, attrs, attr_count, inferred);
  const leat_op_desc_t desc = {.kind = kind,
                               .type = b->type,
                               .detached = b->detached,
                               .group = b->group,
                               .origin = b->origin,
                               .inputs = inputs,
                               .input_count = input_count,
                               .attrs = attrs,
                               .attr_count = attr_count,
                               .results = inferred,
                               .result_count = result_count};
  leat_op_id_t op;
  if (b->status == NULL) b->status = leat_graph_append(b->graph, &desc, &op);
  if (inferred != few) leat_free(inferred);
  return b->status != NULL || result_count == 0 ? LEAT_NONE : leat_graph_op(b->graph, op)->result_first;
}

static leat_value_t type_of(leat_dtype_t dtype, uint32_t rank, const int64_t *dims) {
  leat_value_t type = {.dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
  assert(rank <= LEAT_RANK_MAX);
  if (rank != 0) memcpy(type.dims, dims, rank * sizeof *dims);
  return type;
}

// --- leaves -------------------------------------------------------------------------------------------------------

leat_symbol_id_t leat_b_named(leat_builder_t *b, const char *name) {
  leat_symbol_id_t symbol = LEAT_NONE;
  if (b->status == NULL) b->status = leat_graph_name_symbol(b->graph, name, &symbol);
  return b->status == NULL ? symbol : LEAT_NONE;
}

leat_symbol_id_t leat_b_role(leat_builder_t *b, leat_symbol_role_t role, uint32_t of) {
  leat_symbol_id_t symbol = LEAT_NONE;
  if (b->status == NULL) b->status = leat_graph_role_symbol(b->graph, role, of, &symbol);
  return b->status == NULL ? symbol : LEAT_NONE;
}

leat_value_id_t leat_b_symbol(leat_builder_t *b, leat_symbol_id_t symbol, leat_symbol_kind_t kind, leat_dtype_t dtype,
                              uint32_t rank, const int64_t *dims) {
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_NAME, symbol), leat_attr_i(LEAT_ATTR_KIND, kind)};
  const leat_value_t type = type_of(dtype, rank, dims);
  return leat_b_op(b, LEAT_PRIM_SYMBOL, NULL, 0, attrs, 2, &type);
}

void leat_b_store(leat_builder_t *b, leat_symbol_id_t symbol, leat_store_kind_t kind, leat_value_id_t v) {
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_NAME, symbol), leat_attr_i(LEAT_ATTR_KIND, kind)};
  (void)leat_b_op(b, LEAT_PRIM_STORE, &v, 1, attrs, 2, NULL);
}

leat_value_id_t leat_b_scalar(leat_builder_t *b, leat_dtype_t dtype, double value) {
  return leat_b_splat(b, dtype, 0, NULL, value);
}

leat_value_id_t leat_b_splat(leat_builder_t *b, leat_dtype_t dtype, uint32_t rank, const int64_t *dims, double value) {
  const leat_attr_t attr = leat_attr_f(LEAT_ATTR_VALUE, leat_dtype_round(dtype, value));
  const leat_value_t type = type_of(dtype, rank, dims);
  return leat_b_op(b, LEAT_PRIM_CONSTANT, NULL, 0, &attr, 1, &type);
}

leat_value_id_t leat_b_constant(leat_builder_t *b, leat_dtype_t dtype, uint32_t rank, const int64_t *dims,
                                const void *data) {
  const leat_value_t type = type_of(dtype, rank, dims);
  uint32_t index;
  if (b->status != NULL) return LEAT_NONE;
  b->status = leat_graph_add_blob(b->graph, data, leat_value_bytes(&type), &index);
  if (b->status != NULL) return LEAT_NONE;
  const leat_attr_t attr = leat_attr_i(LEAT_ATTR_INDEX, index);
  return leat_b_op(b, LEAT_PRIM_CONSTANT, NULL, 0, &attr, 1, &type);
}

leat_value_id_t leat_b_iota(leat_builder_t *b, leat_dtype_t dtype, uint32_t rank, const int64_t *dims, uint32_t dim) {
  const leat_attr_t attr = leat_attr_i(LEAT_ATTR_DIM, dim);
  const leat_value_t type = type_of(dtype, rank, dims);
  return leat_b_op(b, LEAT_PRIM_IOTA, NULL, 0, &attr, 1, &type);
}

leat_value_id_t leat_b_random(leat_builder_t *b, leat_draw_t fn, int64_t stream, leat_value_id_t state,
                              leat_dtype_t dtype, uint32_t rank, const int64_t *dims) {
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_FN, fn), leat_attr_i(LEAT_ATTR_STREAM, stream)};
  const leat_value_t type = type_of(dtype, rank, dims);
  return leat_b_op(b, LEAT_PRIM_RANDOM, &state, 1, attrs, 2, &type);
}

// --- shapes of operands -------------------------------------------------------------------------------------------

leat_value_id_t leat_b_reshape(leat_builder_t *b, leat_value_id_t x, uint32_t rank, const int64_t *dims) {
  if (!leat_b_ready(b, &x, 1)) return LEAT_NONE;
  if (leat_b_same_dims(leat_b_value(b, x), rank, dims)) return x;
  const leat_attr_t attr = leat_attr_l(LEAT_ATTR_SHAPE, dims, rank);
  return leat_b_op(b, LEAT_PRIM_RESHAPE, &x, 1, &attr, 1, NULL);
}

leat_value_id_t leat_b_with_rank(leat_builder_t *b, leat_value_id_t x, uint32_t rank) {
  if (!leat_b_ready(b, &x, 1)) return LEAT_NONE;
  const leat_value_t *type = leat_b_value(b, x);
  int64_t dims[LEAT_RANK_MAX];
  if (type->rank > rank)
    return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "a tensor of rank %u does not broadcast to rank %u", type->rank, rank);
  uint32_t added = rank - type->rank;
  for (uint32_t d = 0; d < rank; d++) dims[d] = d < added ? 1 : type->dims[d - added];
  return leat_b_reshape(b, x, rank, dims);
}

// --- elementwise --------------------------------------------------------------------------------------------------

// Gives all operands the greatest of their ranks by leading dims of extent 1.
static void equalise_ranks(leat_builder_t *b, leat_value_id_t *operands, uint32_t count) {
  uint32_t rank = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t own = leat_b_value(b, operands[i])->rank;
    rank = own > rank ? own : rank;
  }
  for (uint32_t i = 0; i < count; i++) operands[i] = leat_b_with_rank(b, operands[i], rank);
}

static leat_value_id_t map(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t *operands, uint32_t count,
                           leat_dtype_t cast_to) {
  if (!leat_b_ready(b, operands, count)) return LEAT_NONE;
  equalise_ranks(b, operands, count);
  const leat_attr_t attr = leat_attr_i(LEAT_ATTR_FN, fn);
  const leat_value_t type = {.dtype = (uint8_t)cast_to};
  return leat_b_op(b, LEAT_PRIM_MAP, operands, count, &attr, 1, &type);
}

leat_value_id_t leat_b_map1(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t x) {
  assert(fn != LEAT_SCALAR_CAST);
  return map(b, fn, &x, 1, LEAT_F32);
}

leat_value_id_t leat_b_map2(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t x, leat_value_id_t y) {
  leat_value_id_t operands[] = {x, y};
  return map(b, fn, operands, 2, LEAT_F32);
}

leat_value_id_t leat_b_map3(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t x, leat_value_id_t y,
                            leat_value_id_t z) {
  leat_value_id_t operands[] = {x, y, z};
  return map(b, fn, operands, 3, LEAT_F32);
}

leat_value_id_t leat_b_cast(leat_builder_t *b, leat_value_id_t x, leat_dtype_t dtype) {
  if (x != LEAT_NONE && leat_b_value(b, x)->dtype == dtype) return x;
  return map(b, LEAT_SCALAR_CAST, &x, 1, dtype);
}

// `number` in the dtype of x, as a constant that broadcasts against x.
static leat_value_id_t number_for(leat_builder_t *b, leat_value_id_t x, double number) {
  if (!leat_b_ready(b, &x, 1)) return LEAT_NONE;
  static const int64_t ones[LEAT_RANK_MAX] = {1, 1, 1, 1, 1, 1, 1, 1};
  const leat_value_t *type = leat_b_value(b, x);
  return leat_b_splat(b, (leat_dtype_t)type->dtype, type->rank, ones, number);
}

leat_value_id_t leat_b_map2s(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t x, double number) {
  return leat_b_map2(b, fn, x, number_for(b, x, number));
}

leat_value_id_t leat_b_sub_from(leat_builder_t *b, double number, leat_value_id_t x) {
  return leat_b_map2(b, LEAT_SCALAR_SUB, number_for(b, x, number), x);
}

// --- across elements ----------------------------------------------------------------------------------------------

// The dims of a mask as an ascending list.
static uint32_t list_of(uint32_t mask, int64_t *out_dims) {
  uint32_t count = 0;
  for (uint32_t d = 0; d < 32; d++) {
    if ((mask >> d & 1) != 0 && count < LEAT_RANK_MAX) out_dims[count++] = d;
  }
  return count;
}

leat_value_id_t leat_b_reduce(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, uint32_t dims, bool keepdim) {
  int64_t list[LEAT_RANK_MAX];
  uint32_t count = list_of(dims, list);
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_FN, fn), leat_attr_l(LEAT_ATTR_DIMS, list, count)};
  if (count == 0 && fn != LEAT_FOLD_ARGMAX && fn != LEAT_FOLD_ARGMIN) return x;
  leat_value_id_t reduced = leat_b_op(b, LEAT_PRIM_REDUCE, &x, 1, attrs, 2, NULL);
  if (keepdim || reduced == LEAT_NONE) return reduced;
  const leat_value_t *type = leat_b_value(b, reduced);
  int64_t left[LEAT_RANK_MAX];
  uint32_t rank = 0;
  for (uint32_t d = 0; d < type->rank; d++) {
    if ((dims >> d & 1) == 0) left[rank++] = type->dims[d];
  }
  return leat_b_reshape(b, reduced, rank, left);
}

leat_value_id_t leat_b_scan(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, uint32_t dim, bool reverse) {
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_FN, fn), leat_attr_i(LEAT_ATTR_DIM, dim),
                               leat_attr_i(LEAT_ATTR_REVERSE, reverse)};
  return leat_b_op(b, LEAT_PRIM_SCAN, &x, 1, attrs, 3, NULL);
}

leat_value_id_t leat_b_contract(leat_builder_t *b, const leat_spec_t *spec, leat_value_id_t x, leat_value_id_t y) {
  return leat_b_contract_scaled(b, spec, x, y, LEAT_NONE);
}

leat_value_id_t leat_b_contract_scaled(leat_builder_t *b, const leat_spec_t *spec, leat_value_id_t x, leat_value_id_t y,
                                       leat_value_id_t scale) {
  const leat_value_id_t operands[] = {x, y, scale};
  const leat_attr_t attr = leat_attr_spec(spec);
  return leat_b_op(b, LEAT_PRIM_CONTRACT, operands, scale == LEAT_NONE ? 2 : 3, &attr, 1, NULL);
}

leat_value_id_t leat_b_product(leat_builder_t *b, const char *spec, leat_value_id_t x, leat_value_id_t y) {
  leat_spec_t read;
  if (b->status != NULL) return LEAT_NONE;
  b->status = leat_spec_parse(spec, &read);
  return leat_b_contract(b, &read, x, y);
}

leat_value_id_t leat_b_sort(leat_builder_t *b, leat_value_id_t x, uint32_t dim, bool descending,
                            leat_value_id_t *out_indices) {
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_DIM, dim), leat_attr_i(LEAT_ATTR_DESCENDING, descending)};
  leat_value_id_t values = leat_b_op(b, LEAT_PRIM_SORT, &x, 1, attrs, 2, NULL);
  *out_indices = values == LEAT_NONE ? LEAT_NONE : values + 1;
  return values;
}
