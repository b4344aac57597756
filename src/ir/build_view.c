// SPDX-License-Identifier: Apache-2.0
// Builder functions that move elements. Each returns its operand when it would do nothing. Types are copied before an
// op is appended, since appending moves the arrays of the graph.
#include "ir/build.h"
#include "ir/build_op.h"

leat_value_id_t leat_b_transpose(leat_builder_t *b, leat_value_id_t x, const int64_t *perm) {
  if (!leat_b_ready(b, &x, 1)) return LEAT_NONE;
  uint32_t rank = leat_b_value(b, x)->rank;
  bool identity = true;
  for (uint32_t d = 0; d < rank; d++) identity = identity && perm[d] == (int64_t)d;
  if (identity) return x;
  const leat_attr_t attr = leat_attr_l(LEAT_ATTR_DIMS, perm, rank);
  return leat_b_op(b, LEAT_PRIM_TRANSPOSE, &x, 1, &attr, 1, NULL);
}

leat_value_id_t leat_b_swap(leat_builder_t *b, leat_value_id_t x, uint32_t dim_a, uint32_t dim_b) {
  if (!leat_b_ready(b, &x, 1)) return LEAT_NONE;
  uint32_t rank = leat_b_value(b, x)->rank;
  int64_t perm[LEAT_RANK_MAX];
  if (dim_a >= rank || dim_b >= rank)
    return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "dims %u and %u of a tensor of rank %u", dim_a, dim_b, rank);
  for (uint32_t d = 0; d < rank; d++) perm[d] = d;
  perm[dim_a] = dim_b;
  perm[dim_b] = dim_a;
  return leat_b_transpose(b, x, perm);
}

leat_value_id_t leat_b_slice(leat_builder_t *b, leat_value_id_t x, const int64_t *start, const int64_t *stop,
                             const int64_t *step) {
  if (!leat_b_ready(b, &x, 1)) return LEAT_NONE;
  const leat_value_t *type = leat_b_value(b, x);
  uint32_t rank = type->rank;
  bool whole = true;
  for (uint32_t d = 0; d < rank; d++) whole = whole && start[d] == 0 && stop[d] == type->dims[d] && step[d] == 1;
  if (whole) return x;
  const leat_attr_t attrs[] = {leat_attr_l(LEAT_ATTR_START, start, rank), leat_attr_l(LEAT_ATTR_STOP, stop, rank),
                               leat_attr_l(LEAT_ATTR_STEP, step, rank)};
  return leat_b_op(b, LEAT_PRIM_SLICE, &x, 1, attrs, 3, NULL);
}

leat_value_id_t leat_b_slice_dim(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t start, int64_t stop,
                                 int64_t step) {
  const leat_value_t *type = leat_b_value(b, x);
  int64_t starts[LEAT_RANK_MAX] = {0}, stops[LEAT_RANK_MAX], steps[LEAT_RANK_MAX];
  if (!leat_b_ready(b, &x, 1)) return LEAT_NONE;
  if (dim >= type->rank) return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "dim %u of a tensor of rank %u", dim, type->rank);
  for (uint32_t d = 0; d < type->rank; d++) {
    stops[d] = type->dims[d];
    steps[d] = 1;
  }
  starts[dim] = start;
  stops[dim] = stop;
  steps[dim] = step;
  return leat_b_slice(b, x, starts, stops, steps);
}

static leat_value_id_t concat_few(leat_builder_t *b, const leat_value_id_t *xs, uint32_t count, uint32_t dim) {
  if (count == 1) return xs[0];
  const leat_attr_t attr = leat_attr_i(LEAT_ATTR_DIM, dim);
  return leat_b_op(b, LEAT_PRIM_CONCAT, xs, count, &attr, 1, NULL);
}

// More operands than the primitive takes are joined group by group, and the groups again.
leat_value_id_t leat_b_concat(leat_builder_t *b, const leat_value_id_t *xs, uint32_t count, uint32_t dim) {
  const uint32_t most = leat_op_info(LEAT_PRIM_CONCAT)->max_inputs;
  if (count <= most) return concat_few(b, xs, count, dim);
  const uint32_t groups = (count + most - 1) / most;
  leat_value_id_t *joined = leat_alloc(groups * sizeof *joined);
  if (joined == NULL) return leat_b_fail(b, LEAT_OUT_OF_MEMORY, "out of memory");
  for (uint32_t i = 0; i < groups; i++) {
    const uint32_t first = i * most, left = count - first;
    joined[i] = concat_few(b, xs + first, left < most ? left : most, dim);
  }
  const leat_value_id_t all = leat_b_concat(b, joined, groups, dim);
  leat_free(joined);
  return all;
}

leat_value_id_t leat_b_unfold(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t k, int64_t step) {
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_DIM, dim), leat_attr_i(LEAT_ATTR_K, k),
                               leat_attr_l(LEAT_ATTR_STEP, &step, 1)};
  return leat_b_op(b, LEAT_PRIM_UNFOLD, &x, 1, attrs, 3, NULL);
}

leat_value_id_t leat_b_pad(leat_builder_t *b, leat_value_id_t x, const int64_t *low, const int64_t *high,
                           const int64_t *interior, double value) {
  if (!leat_b_ready(b, &x, 1)) return LEAT_NONE;
  static const int64_t zeros[LEAT_RANK_MAX] = {0};
  const leat_value_t *type = leat_b_value(b, x);
  uint32_t rank = type->rank;
  if (interior == NULL) interior = zeros;
  bool nothing = true;
  for (uint32_t d = 0; d < rank; d++) nothing = nothing && low[d] == 0 && high[d] == 0 && interior[d] == 0;
  if (nothing) return x;
  const leat_attr_t attrs[] = {leat_attr_l(LEAT_ATTR_LOW, low, rank), leat_attr_l(LEAT_ATTR_HIGH, high, rank),
                               leat_attr_l(LEAT_ATTR_INTERIOR, interior, rank),
                               leat_attr_f(LEAT_ATTR_VALUE, leat_dtype_round((leat_dtype_t)type->dtype, value))};
  return leat_b_op(b, LEAT_PRIM_PAD, &x, 1, attrs, 4, NULL);
}

leat_value_id_t leat_b_broadcast_to(leat_builder_t *b, leat_value_id_t x, uint32_t rank, const int64_t *dims) {
  x = leat_b_with_rank(b, x, rank);
  if (x == LEAT_NONE || leat_b_same_dims(leat_b_value(b, x), rank, dims)) return x;
  const leat_attr_t attr = leat_attr_l(LEAT_ATTR_SHAPE, dims, rank);
  return leat_b_op(b, LEAT_PRIM_BROADCAST, &x, 1, &attr, 1, NULL);
}

leat_value_id_t leat_b_sum_to(leat_builder_t *b, leat_value_id_t x, uint32_t rank, const int64_t *dims) {
  if (!leat_b_ready(b, &x, 1)) return LEAT_NONE;
  const leat_value_t *type = leat_b_value(b, x);
  if (type->rank < rank)
    return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "a tensor of rank %u does not sum to rank %u", type->rank, rank);
  uint32_t leading = type->rank - rank, mask = 0;
  for (uint32_t d = 0; d < type->rank; d++) {
    if (d < leading || (dims[d - leading] == 1 && type->dims[d] != 1)) mask |= 1u << d;
  }
  return leat_b_reshape(b, leat_b_reduce(b, LEAT_FOLD_SUM, x, mask, true), rank, dims);
}

leat_value_id_t leat_b_flip(leat_builder_t *b, leat_value_id_t x, uint32_t dims) {
  int64_t list[LEAT_RANK_MAX];
  uint32_t count = 0;
  for (uint32_t d = 0; d < LEAT_RANK_MAX; d++) {
    if ((dims >> d & 1) != 0) list[count++] = d;
  }
  if (count == 0) return x;
  const leat_attr_t attr = leat_attr_l(LEAT_ATTR_DIMS, list, count);
  return leat_b_op(b, LEAT_PRIM_FLIP, &x, 1, &attr, 1, NULL);
}

// Places as gather and scatter take them: narrow integers become i64.
static leat_value_id_t as_places(leat_builder_t *b, leat_value_id_t indices) {
  uint8_t dtype = leat_b_value(b, indices)->dtype;
  bool narrow = dtype == LEAT_I8 || dtype == LEAT_U8 || dtype == LEAT_I16;
  return narrow ? leat_b_cast(b, indices, LEAT_I64) : indices;
}

leat_value_id_t leat_b_gather(leat_builder_t *b, leat_value_id_t x, leat_value_id_t indices, uint32_t dim,
                              uint32_t batch) {
  const leat_value_id_t operands[] = {x, as_places(b, indices)};
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_DIM, dim), leat_attr_i(LEAT_ATTR_BATCH, batch)};
  return leat_b_op(b, LEAT_PRIM_GATHER, operands, 2, attrs, 2, NULL);
}

leat_value_id_t leat_b_scatter(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, leat_value_id_t indices,
                               leat_value_id_t updates, uint32_t dim, uint32_t batch) {
  const leat_value_id_t operands[] = {x, as_places(b, indices), updates};
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_DIM, dim), leat_attr_i(LEAT_ATTR_BATCH, batch),
                               leat_attr_i(LEAT_ATTR_FN, fn)};
  return leat_b_op(b, LEAT_PRIM_SCATTER, operands, 3, attrs, 3, NULL);
}
