// SPDX-License-Identifier: Apache-2.0
// Rows that move elements by position.
#include "lower/row.h"

static leat_value_id_t reshape_to_declared(leat_lower_t *c, leat_value_id_t x) {
  const leat_value_t *y = leat_lower_declared(c, 0);
  return leat_b_reshape(c->b, x, y->rank, y->dims);
}

LOWER(RESHAPE) { return reshape_to_declared(c, c->in[0]); }
LOWER(VIEW) { return reshape_to_declared(c, c->in[0]); }
LOWER(FLATTEN) { return reshape_to_declared(c, c->in[0]); }
LOWER(SQUEEZE) { return reshape_to_declared(c, c->in[0]); }
LOWER(UNSQUEEZE) { return reshape_to_declared(c, c->in[0]); }

static leat_value_id_t permute(leat_lower_t *c) {
  uint32_t count, rank = leat_b_value(c->b, c->in[0])->rank;
  const int64_t *dims = leat_lower_list(c, LEAT_ATTR_DIMS, &count);
  if (count != rank) return leat_b_fail(c->b, LEAT_INVALID_ARGUMENT, "dims names %u of %u dimensions", count, rank);
  return rank == 0 ? c->in[0] : leat_b_transpose(c->b, c->in[0], dims);
}
LOWER(PERMUTE) { return permute(c); }
LOWER(TRANSPOSE) { return permute(c); }

LOWER(EXPAND) {
  const leat_value_t *y = leat_lower_declared(c, 0);
  return leat_b_broadcast_to(c->b, c->in[0], y->rank, y->dims);
}

// start, stop, step: one entry a dim.
static leat_value_id_t slice(leat_lower_t *c) {
  uint32_t starts, stops, steps, rank = leat_b_value(c->b, c->in[0])->rank, reversed = 0;
  const int64_t *start = leat_lower_list(c, LEAT_ATTR_START, &starts);
  const int64_t *stop = leat_lower_list(c, LEAT_ATTR_STOP, &stops);
  const int64_t *step = leat_lower_list(c, LEAT_ATTR_STEP, &steps);
  int64_t forward[LEAT_RANK_MAX];
  if (starts != rank || stops != rank || (steps != 0 && steps != rank))
    return leat_b_fail(c->b, LEAT_INVALID_ARGUMENT, "start, stop and step need %u entries", rank);
  for (uint32_t d = 0; d < rank; d++) {
    forward[d] = steps == 0 ? 1 : step[d] < 0 ? -step[d] : step[d];
    if (steps != 0 && step[d] < 0) reversed |= 1u << d;
  }
  if (rank == 0) return c->in[0];
  return leat_b_flip(c->b, leat_b_slice(c->b, c->in[0], start, stop, forward), reversed);
}
LOWER(GETITEM) { return reshape_to_declared(c, slice(c)); }
LOWER(NARROW) { return slice(c); }
LOWER(SPLIT) { return reshape_to_declared(c, slice(c)); }  // pieces of unbind lose the dim

LOWER(SELECT) {
  uint32_t dim = (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0);
  int64_t index = leat_lower_int(c, LEAT_ATTR_INDEX, 0);
  if (index < 0) index += leat_b_value(c->b, c->in[0])->dims[dim];
  return reshape_to_declared(c, leat_b_slice_dim(c->b, c->in[0], dim, index, index + 1, 1));
}

LOWER(FLIP) {
  uint32_t count = 0, mask = 0;
  const int64_t *dims = leat_lower_list(c, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; i++) mask |= 1u << dims[i];
  return leat_b_flip(c->b, c->in[0], mask);
}

LOWER(CAT) { return leat_b_concat(c->b, c->in, c->in_count, (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0)); }

LOWER(STACK) {
  uint32_t dim = (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0);
  leat_value_id_t *parts = leat_alloc(c->in_count * sizeof *parts);
  if (parts == NULL) return leat_b_fail(c->b, LEAT_OUT_OF_MEMORY, "out of memory");
  for (uint32_t i = 0; i < c->in_count; i++) parts[i] = leat_b_unsqueeze(c->b, c->in[i], 1u << dim);
  const leat_value_id_t joined = leat_b_concat(c->b, parts, c->in_count, dim);
  leat_free(parts);
  return joined;
}

// x[before.., 1, n, 1, n, ..], each 1 repeated: of `count` dims those from *d on, as many as a rank has room for. What
// is not repeated is one with what lies before.
static leat_value_id_t repeat_some(leat_builder_t *b, leat_value_id_t x, const int64_t *dims, const int64_t *times,
                                   uint32_t count, uint32_t *d, int64_t *before) {
  int64_t shape[LEAT_RANK_MAX] = {*before}, repeats[LEAT_RANK_MAX] = {1};
  uint32_t rank = 1;
  for (; *d < count && (times[*d] == 1 || rank + 2 <= LEAT_RANK_MAX); ++*d) {
    if (times[*d] != 1) {
      repeats[rank] = times[*d];
      shape[rank++] = 1;
      repeats[rank] = 1;
      shape[rank++] = 1;
    }
    shape[rank - 1] *= dims[*d];
    *before *= dims[*d] * times[*d];
  }
  for (uint32_t i = *d; i < count; i++) shape[rank - 1] *= dims[i];
  x = leat_b_reshape(b, x, rank, shape);
  for (uint32_t i = 0; i < rank; i++) {
    shape[i] *= repeats[i];
    if (repeats[i] != 1) x = leat_b_broadcast_to(b, x, rank, shape);
  }
  return x;
}

LOWER(REPEAT) {
  leat_builder_t *b = c->b;
  uint32_t count, rank = leat_b_value(b, c->in[0])->rank;
  const int64_t *times = leat_lower_list(c, LEAT_ATTR_SHAPE, &count);
  if (count < rank || count > LEAT_RANK_MAX)
    return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "shape needs %u to %d repeats", rank, LEAT_RANK_MAX);
  leat_value_id_t x = leat_b_unsqueeze(b, c->in[0], (1u << (count - rank)) - 1u);
  const leat_value_t v = *leat_b_value(b, x);
  int64_t before = 1;
  for (uint32_t d = 0; d < count;) x = repeat_some(b, x, v.dims, times, count, &d, &before);
  return reshape_to_declared(c, x);
}

leat_value_id_t leat_row_repeat_elements(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t times) {
  leat_value_t v = *leat_b_value(b, x);
  int64_t before = 1, after = 1;
  for (uint32_t i = 0; i < v.rank; i++) *(i <= dim ? &before : &after) *= v.dims[i];
  leat_value_id_t flat = leat_b_reshape(b, x, 3, (const int64_t[]){before, 1, after});
  flat = leat_b_broadcast_to(b, flat, 3, (const int64_t[]){before, times, after});
  v.dims[dim] *= times;
  return leat_b_reshape(b, flat, v.rank, v.dims);
}

LOWER(REPEAT_INTERLEAVE) {
  return leat_row_repeat_elements(c->b, c->in[0], (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0),
                                  leat_lower_int(c, LEAT_ATTR_K, 1));
}

// Joins two parts of a dim, either of which may be empty.
static leat_value_id_t join(leat_builder_t *b, leat_value_id_t x, uint32_t dim, const int64_t first[2],
                            const int64_t second[2]) {
  leat_value_id_t parts[2];
  uint32_t count = 0;
  if (first[0] < first[1]) parts[count++] = leat_b_slice_dim(b, x, dim, first[0], first[1], 1);
  if (second[0] < second[1]) parts[count++] = leat_b_slice_dim(b, x, dim, second[0], second[1], 1);
  return count == 1 ? parts[0] : leat_b_concat(b, parts, count, dim);
}

LOWER(ROLL) {
  leat_builder_t *b = c->b;
  uint32_t shifts, count;
  const int64_t *shift = leat_lower_list(c, LEAT_ATTR_START, &shifts);
  const int64_t *dims = leat_lower_list(c, LEAT_ATTR_DIMS, &count);
  leat_value_t v = *leat_b_value(b, c->in[0]);
  bool flat = count == 0;  // without dims torch rolls the flattened tensor
  leat_value_id_t x = flat ? leat_b_reshape(b, c->in[0], 1, (const int64_t[]){leat_value_elements(&v)}) : c->in[0];
  for (uint32_t i = 0; i < shifts && (flat || i < count); i++) {
    uint32_t dim = flat ? 0 : (uint32_t)dims[i];
    int64_t n = leat_b_value(b, x)->dims[dim];
    int64_t cut = n == 0 ? 0 : ((-shift[i]) % n + n) % n;
    if (cut != 0) x = join(b, x, dim, (const int64_t[]){cut, n}, (const int64_t[]){0, cut});
  }
  return reshape_to_declared(c, x);
}

// bool [1.., rows, columns]: column - row `fn` diagonal
static leat_value_id_t triangle(leat_lower_t *c, leat_scalar_t fn, int64_t diagonal) {
  leat_builder_t *b = c->b;
  uint32_t rank = leat_b_value(b, c->in[0])->rank;
  if (rank < 2) return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "needs at least two dimensions");
  leat_value_id_t row = leat_b_index_along(b, c->in[0], rank - 2u), column = leat_b_index_along(b, c->in[0], rank - 1u);
  return leat_b_map2s(b, fn, leat_b_sub(b, column, row), (double)diagonal);
}
LOWER(TRIL) {
  return leat_b_select_or(c->b, triangle(c, LEAT_SCALAR_LE, leat_lower_int(c, LEAT_ATTR_DIAGONAL, 0)), c->in[0], 0.0);
}
LOWER(TRIU) {
  return leat_b_select_or(c->b, triangle(c, LEAT_SCALAR_GE, leat_lower_int(c, LEAT_ATTR_DIAGONAL, 0)), c->in[0], 0.0);
}
LOWER(TRIU_FILL) {
  return leat_b_number_or(c->b, triangle(c, LEAT_SCALAR_GT, 0), leat_lower_float(c, LEAT_ATTR_VALUE, 0.0), c->in[0]);
}

LOWER(DIAGONAL) {
  uint32_t count;
  const int64_t *axes = leat_lower_list(c, LEAT_ATTR_DIMS, &count);
  if (leat_b_value(c->b, c->in[0])->rank < 2 || (count != 0 && count != 2))
    return leat_b_fail(c->b, LEAT_INVALID_ARGUMENT, "needs two axes");
  const uint32_t row = count == 2 ? (uint32_t)axes[0] : 0, column = count == 2 ? (uint32_t)axes[1] : 1;
  return leat_row_diagonal(c->b, c->in[0], row, column, leat_lower_int(c, LEAT_ATTR_DIAGONAL, 0));
}

LOWER(UNFOLD) {
  uint32_t steps;
  const int64_t *step = leat_lower_list(c, LEAT_ATTR_STEP, &steps);
  if (leat_b_value(c->b, c->in[0])->rank == 0) return reshape_to_declared(c, c->in[0]);
  return leat_b_unfold(c->b, c->in[0], (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0), leat_lower_int(c, LEAT_ATTR_K, 1),
                       steps != 0 ? *step : 1);
}

// x[N, C*k*k, H, W] -> [N, C, H*k, W*k]
LOWER(PIXEL_SHUFFLE) {
  leat_builder_t *b = c->b;
  const leat_value_t *y = leat_lower_declared(c, 0);
  int64_t k = leat_lower_int(c, LEAT_ATTR_K, 1), batch = 1;
  for (uint32_t d = 0; d + 3 < y->rank; d++) batch *= y->dims[d];
  const int64_t *last = y->dims + y->rank - 3;
  leat_value_id_t split =
      leat_b_reshape(b, c->in[0], 6, (const int64_t[]){batch, last[0], k, k, last[1] / k, last[2] / k});
  return reshape_to_declared(c, leat_b_transpose(b, split, (const int64_t[]){0, 1, 4, 2, 5, 3}));
}
