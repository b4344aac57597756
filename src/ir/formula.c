// SPDX-License-Identifier: Apache-2.0
// Compound steps shared by lowering, gradients and optimizers. Values are copied out of the graph before anything is
// written, because its arrays move.
#include "ir/formula.h"

#include <math.h>

leat_value_id_t leat_b_full_like(leat_builder_t *b, leat_value_id_t x, double number) {
  if (x == LEAT_NONE) return LEAT_NONE;
  leat_value_t v = *leat_b_value(b, x);
  return leat_b_splat(b, (leat_dtype_t)v.dtype, v.rank, v.dims, number);
}

leat_value_id_t leat_b_floor_div(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y) {
  if (!leat_dtype_is_float(leat_b_dtype(b, x))) return leat_b_fn2(b, FLOORDIV, x, y);
  leat_value_id_t rest = leat_b_fn2(b, FMOD, x, y), plain = leat_b_div(b, x, y);
  leat_value_id_t whole = leat_b_div(b, leat_b_sub(b, x, rest), y);
  leat_value_id_t apart = leat_b_fn2(b, NE, leat_b_fn2s(b, LT, rest, 0.0), leat_b_fn2s(b, LT, y, 0.0));
  leat_value_id_t low = leat_b_fn2(b, AND, leat_b_fn2s(b, NE, rest, 0.0), apart);
  whole = leat_b_select(b, low, leat_b_adds(b, whole, -1.0), whole);
  leat_value_id_t zero = leat_b_muls(b, plain, 0.0);  // with the sign of the quotient
  whole = leat_b_select(b, leat_b_fn2s(b, EQ, whole, 0.0), zero, leat_b_fn1(b, ROUND, whole));
  return leat_b_select(b, leat_b_fn2s(b, EQ, y, 0.0), plain, whole);
}

leat_value_id_t leat_b_widen(leat_builder_t *b, leat_value_id_t x) {
  leat_dtype_t dtype = leat_b_dtype(b, x);
  return dtype == LEAT_BF16 || dtype == LEAT_F16 ? leat_b_cast(b, x, LEAT_F32) : x;
}

int64_t leat_b_extent(const leat_builder_t *b, leat_value_id_t x, uint32_t dims) {
  const leat_value_t *v = leat_b_value(b, x);
  int64_t extent = 1;
  for (uint32_t d = 0; d < v->rank; d++)
    if (dims >> d & 1u) extent *= v->dims[d];
  return extent;
}

leat_value_id_t leat_b_unsqueeze(leat_builder_t *b, leat_value_id_t x, uint32_t dims) {
  leat_value_t v = *leat_b_value(b, x);
  int64_t shape[LEAT_RANK_MAX];
  uint32_t rank = 0, next = 0;
  while (rank < LEAT_RANK_MAX && (next < v.rank || (dims >> rank) != 0)) {
    shape[rank] = dims >> rank & 1u ? 1 : v.dims[next++];
    rank++;
  }
  if (next < v.rank) return leat_b_fail(b, LEAT_UNSUPPORTED, "more than %d dimensions", LEAT_RANK_MAX);
  return leat_b_reshape(b, x, rank, shape);
}

leat_value_id_t leat_b_squeeze(leat_builder_t *b, leat_value_id_t x, uint32_t dims) {
  leat_value_t v = *leat_b_value(b, x);
  int64_t shape[LEAT_RANK_MAX];
  uint32_t rank = 0;
  for (uint32_t d = 0; d < v.rank; d++)
    if (!(dims >> d & 1u)) shape[rank++] = v.dims[d];
  return leat_b_reshape(b, x, rank, shape);
}

leat_value_id_t leat_b_reshape_like(leat_builder_t *b, leat_value_id_t x, leat_value_id_t like) {
  leat_value_t v = *leat_b_value(b, like);
  return leat_b_reshape(b, x, v.rank, v.dims);
}

leat_value_id_t leat_b_index_along(leat_builder_t *b, leat_value_id_t x, uint32_t dim) {
  leat_value_t v = *leat_b_value(b, x);
  for (uint32_t d = 0; d < v.rank; d++)
    if (d != dim) v.dims[d] = 1;
  return leat_b_iota(b, LEAT_I64, v.rank, v.dims, dim);
}

// Floats are compared twice as many at a time as i64; they hold all these indices, and round no other number to one.
leat_value_id_t leat_b_is_at(leat_builder_t *b, leat_value_id_t x, uint32_t dim, leat_value_id_t index) {
  if (x == LEAT_NONE || index == LEAT_NONE) return LEAT_NONE;
  const bool exact = leat_b_extent(b, x, 1u << dim) <= 1 << 24;
  const leat_dtype_t dtype = exact ? LEAT_F32 : LEAT_I64;
  return leat_b_fn2(b, EQ, leat_b_cast(b, leat_b_index_along(b, x, dim), dtype), leat_b_cast(b, index, dtype));
}

leat_value_id_t leat_b_move_dim(leat_builder_t *b, leat_value_id_t x, uint32_t from, uint32_t to) {
  uint32_t rank = leat_b_value(b, x)->rank, next = 0;
  int64_t perm[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < rank; d++) {
    if (next == from) next++;
    perm[d] = d == to ? from : next++;
  }
  return leat_b_transpose(b, x, perm);
}

leat_value_id_t leat_b_swap_channels(leat_builder_t *b, leat_value_id_t w, int64_t groups) {
  leat_value_t v = *leat_b_value(b, w);
  if (v.rank < 2 || groups < 1)
    return leat_b_fail(b, LEAT_INTERNAL, "weights of rank %u with %d groups", v.rank, (int)groups);
  if (groups == 1) return leat_b_swap(b, w, 0, 1);
  if (v.rank == LEAT_RANK_MAX) return leat_b_fail(b, LEAT_UNSUPPORTED, "more than %d dimensions", LEAT_RANK_MAX);
  int64_t split[LEAT_RANK_MAX] = {groups, v.dims[0] / groups, v.dims[1]};
  int64_t merged[LEAT_RANK_MAX] = {groups * v.dims[1], v.dims[0] / groups};
  for (uint32_t d = 2; d < v.rank; d++) split[d + 1] = merged[d] = v.dims[d];
  leat_value_id_t grouped = leat_b_swap(b, leat_b_reshape(b, w, v.rank + 1u, split), 1, 2);
  return leat_b_reshape(b, grouped, v.rank, merged);
}

// Both operands with `dim` last, so that all dims before it are batch dims of the gather.
leat_value_id_t leat_b_take_along(leat_builder_t *b, leat_value_id_t x, leat_value_id_t indices, uint32_t dim) {
  if (x == LEAT_NONE || indices == LEAT_NONE) return LEAT_NONE;
  uint32_t last = leat_b_value(b, x)->rank - 1u;
  leat_value_id_t taken =
      leat_b_gather(b, leat_b_move_dim(b, x, dim, last), leat_b_move_dim(b, indices, dim, last), last, last);
  return leat_b_move_dim(b, taken, last, dim);
}

leat_value_id_t leat_b_put_along(leat_builder_t *b, leat_value_id_t like, leat_value_id_t indices,
                                 leat_value_id_t updates, uint32_t dim) {
  if (like == LEAT_NONE || indices == LEAT_NONE) return LEAT_NONE;
  uint32_t last = leat_b_value(b, like)->rank - 1u;
  leat_value_t v = *leat_b_value(b, like);
  int64_t extent = v.dims[dim];
  for (uint32_t d = dim; d < last; d++) v.dims[d] = v.dims[d + 1];
  v.dims[last] = extent;
  leat_value_id_t zeros = leat_b_splat(b, (leat_dtype_t)v.dtype, v.rank, v.dims, 0.0);
  leat_value_id_t put = leat_b_scatter(b, LEAT_FOLD_SUM, zeros, leat_b_move_dim(b, indices, dim, last),
                                       leat_b_move_dim(b, updates, dim, last), last, last);
  return leat_b_move_dim(b, put, last, dim);
}

leat_value_id_t leat_b_symbol_value(const leat_builder_t *b, leat_symbol_id_t symbol) {
  const leat_op_id_t op = symbol == LEAT_NONE ? LEAT_NONE : leat_graph_symbol(b->graph, symbol)->op;
  return op == LEAT_NONE ? LEAT_NONE : leat_graph_op(b->graph, op)->result_first;
}

leat_value_id_t leat_b_symbol_once(leat_builder_t *b, leat_symbol_id_t symbol, leat_symbol_kind_t kind,
                                   leat_dtype_t dtype, uint32_t rank, const int64_t *dims) {
  leat_value_id_t found = leat_b_symbol_value(b, symbol);
  if (found == LEAT_NONE) return leat_b_symbol(b, symbol, kind, dtype, rank, dims);
  leat_value_t wanted = {.dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
  for (uint32_t d = 0; d < rank; d++) wanted.dims[d] = dims[d];
  const leat_value_t *v = leat_graph_value(b->graph, found);
  if (v->dtype == wanted.dtype && leat_same_shape(v, &wanted)) return found;
  char have[160], want[160];
  return leat_b_fail(b, LEAT_INVALID_ARGUMENT,
                     "the name '%s' is taken by a symbol %s, but the compiler needs it for %s: rename it",
                     leat_graph_symbol(b->graph, symbol)->name, leat_value_text(v, have, sizeof have),
                     leat_value_text(&wanted, want, sizeof want));
}

leat_value_id_t leat_b_hyper(leat_builder_t *b, leat_symbol_id_t symbol, double shared, double own) {
  leat_value_id_t value = leat_b_symbol_value(b, symbol);
  const leat_symbol_t *known = symbol == LEAT_NONE ? NULL : leat_graph_symbol(b->graph, symbol);
  if (known != NULL && known->said && known->kind != LEAT_KIND_HYPER)
    return leat_b_fail(b, LEAT_INVALID_ARGUMENT,
                       "the name '%s' belongs to a hyperparameter, but the model has a tensor of that name: rename it",
                       known->name);
  if (value == LEAT_NONE) {
    const leat_attr_t attrs[] = {leat_attr_f(LEAT_ATTR_VALUE, shared), leat_attr_i(LEAT_ATTR_NAME, symbol),
                                 leat_attr_i(LEAT_ATTR_KIND, LEAT_KIND_HYPER)};
    const leat_value_t result = {.dtype = LEAT_F64};
    value = leat_b_op(b, LEAT_PRIM_SYMBOL, NULL, 0, attrs, 3, &result);
  }
  if (!isnan(shared)) return value;
  return leat_b_select(b, leat_b_fn1(b, ISNAN, value), leat_b_scalar(b, LEAT_F64, own), value);
}

leat_value_id_t leat_b_random_state(leat_builder_t *b) {
  return leat_b_symbol_once(b, leat_b_role(b, LEAT_MADE_RANDOM, 0), LEAT_KIND_STATE, LEAT_I64, 1, (const int64_t[]){2});
}
