// SPDX-License-Identifier: Apache-2.0
// Rows that move elements by index, and sorting.
#include "lower/row.h"

// The row of padding_idx takes no gradient: its uses read through a stop.
LOWER(EMBEDDING) {
  leat_builder_t *b = c->b;
  int64_t padding = leat_lower_int(c, LEAT_ATTR_INDEX, -1);
  leat_value_id_t y = leat_b_gather(b, c->in[0], c->in[1], 0, 0);
  if (padding < 0) return y;
  leat_value_id_t ids = leat_b_unsqueeze(b, c->in[1], 1u << leat_b_value(b, c->in[1])->rank);
  return leat_b_select(b, leat_b_fn2s(b, EQ, ids, (double)padding), leat_b_fn1(b, STOP, y), y);
}

// A 0-d index counts as one of one element; a 0-d operand as one of one element too.
static leat_value_id_t at_least_1d(leat_builder_t *b, leat_value_id_t x) {
  return leat_b_value(b, x)->rank == 0 ? leat_b_unsqueeze(b, x, 1u) : x;
}

static leat_value_id_t declared_shape(leat_lower_t *c, leat_value_id_t x) {
  const leat_value_t *y = leat_lower_declared(c, 0);
  return leat_b_reshape(c->b, x, y->rank, y->dims);
}

LOWER(INDEX_SELECT) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = at_least_1d(b, c->in[0]), index = at_least_1d(b, c->in[1]);
  return declared_shape(c, leat_b_gather(b, x, index, (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0), 0));
}

// x cut to the extents of `like` in every dim but `dim` (LEAT_NONE as dim: in all).
static leat_value_id_t cut_to(leat_builder_t *b, leat_value_id_t x, leat_value_id_t like, uint32_t dim) {
  leat_value_t v = *leat_b_value(b, x), w = *leat_b_value(b, like);
  int64_t start[LEAT_RANK_MAX] = {0}, step[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < v.rank; d++) {
    step[d] = 1;
    if (d == dim) w.dims[d] = v.dims[d];
  }
  return leat_b_slice(b, x, start, w.dims, step);
}

// Each index as a position in the flattened x: the index counts along `dim`, iotas along the others.
static leat_value_id_t flat_positions(leat_builder_t *b, leat_value_id_t x, leat_value_id_t index, uint32_t dim) {
  leat_value_t v = *leat_b_value(b, x);
  int64_t stride = 1;
  leat_value_id_t sum = LEAT_NONE;
  for (uint32_t d = v.rank; d-- > 0;) {
    leat_value_id_t term = d == dim ? leat_b_cast(b, index, LEAT_I64) : leat_b_index_along(b, index, d);
    term = leat_b_muls(b, term, (double)stride);
    sum = sum == LEAT_NONE ? term : leat_b_add(b, sum, term);
    stride *= v.dims[d];
  }
  return sum;
}

static leat_value_id_t flat(leat_builder_t *b, leat_value_id_t x) {
  const leat_value_t v = *leat_b_value(b, x);
  return leat_b_reshape(b, x, 1, (const int64_t[]){leat_value_elements(&v)});
}

// Lines along the last dim have indices of their own each. Along another dim they would have to be turned, and what is
// taken turned back: there, each index names one element of the flattened x.
LOWER(GATHER) {
  leat_builder_t *b = c->b;
  const uint32_t dim = (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0);
  leat_value_id_t index = at_least_1d(b, c->in[1]), x = at_least_1d(b, c->in[0]);
  if (dim + 1 == leat_b_value(b, x)->rank)
    return declared_shape(c, leat_b_gather(b, cut_to(b, x, index, dim), index, dim, dim));
  return leat_b_gather(b, flat(b, x), flat_positions(b, x, index, dim), 0, 0);
}

// x with y from `start` on in the dims from `dim` on: what lies before y, y and what lies behind it, side by side.
static leat_value_id_t put_inside(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y, const int64_t *start,
                                  uint32_t dim) {
  if (x == LEAT_NONE || y == LEAT_NONE || dim == leat_b_value(b, x)->rank) return y;
  const int64_t extent = leat_b_value(b, x)->dims[dim], stop = start[dim] + leat_b_value(b, y)->dims[dim];
  leat_value_id_t pieces[3];
  uint32_t count = 0;
  if (start[dim] > 0) pieces[count++] = leat_b_slice_dim(b, x, dim, 0, start[dim], 1);
  pieces[count++] = put_inside(b, leat_b_slice_dim(b, x, dim, start[dim], stop, 1), y, start, dim + 1);
  if (stop < extent) pieces[count++] = leat_b_slice_dim(b, x, dim, stop, extent, 1);
  return leat_b_concat(b, pieces, count, dim);
}

// As of gather. The index may be smaller than x and the updates in any dim: what it reaches of x are the lines.
static leat_value_id_t scatter_along(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, leat_value_id_t index,
                                     leat_value_id_t updates, uint32_t dim) {
  const leat_value_t v = *leat_b_value(b, x);
  const int64_t start[LEAT_RANK_MAX] = {0};
  if (dim + 1 == v.rank)
    return put_inside(b, x, leat_b_scatter(b, fn, cut_to(b, x, index, dim), index, updates, dim, dim), start, 0);
  leat_value_id_t y = leat_b_scatter(b, fn, flat(b, x), flat_positions(b, x, index, dim), updates, 0, 0);
  return leat_b_reshape(b, y, v.rank, v.dims);
}

LOWER(SCATTER) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = at_least_1d(b, c->in[0]), index = at_least_1d(b, c->in[1]), updates = at_least_1d(b, c->in[2]);
  if (leat_b_value(b, c->in[2])->rank == 0) {  // a number for every index
    leat_value_t v = *leat_b_value(b, index);
    updates = leat_b_broadcast_to(b, c->in[2], v.rank, v.dims);
  } else {
    updates = cut_to(b, updates, index, LEAT_NONE);
  }
  if (leat_value_elements(leat_b_value(b, index)) == 0) return c->in[0];
  uint32_t dim = (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0);
  return declared_shape(c, scatter_along(b, leat_lower_word(c, LEAT_ATTR_FN, LEAT_FOLD_SET), x, index, updates, dim));
}

LOWER(INDEX_ADD) {
  leat_builder_t *b = c->b;
  uint32_t dim = (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0);
  double alpha = leat_lower_float(c, LEAT_ATTR_ALPHA, 1.0);
  leat_value_id_t x = at_least_1d(b, c->in[0]), source = at_least_1d(b, c->in[2]);
  if (alpha != 1.0) source = leat_b_muls(b, source, alpha);
  return declared_shape(c, leat_b_scatter(b, LEAT_FOLD_SUM, x, at_least_1d(b, c->in[1]), source, dim, 0));
}

// x[i0, i1, ..]: the indexed dims are brought together (in place if they already are, else in front) and flattened to
// one dim that one combined index addresses.
typedef struct multi_index_s {
  leat_value_id_t x;  // dims permuted, the indexed ones flattened
  leat_value_id_t index;
  uint32_t dim;   // where the flattened dim is
  uint32_t rank;  // of the permuted x
  int64_t perm[LEAT_RANK_MAX];
  int64_t permuted[LEAT_RANK_MAX];
} multi_index_t;

// As i64, from the start of a dim of this extent.
static leat_value_id_t wrapped(leat_builder_t *b, leat_value_id_t index, int64_t extent) {
  if (leat_b_dtype(b, index) == LEAT_BOOL)
    return leat_b_fail(
        b, LEAT_UNSUPPORTED,
        "a mask as index gives a result whose size is not known at compile time: use where or masked_fill");
  leat_value_id_t i = leat_b_cast(b, index, LEAT_I64);
  return leat_b_select(b, leat_b_fn2s(b, LT, i, 0.0), leat_b_adds(b, i, (double)extent), i);
}

static leat_value_id_t combine_indices(leat_builder_t *b, const leat_value_t *x, const leat_value_id_t *indices,
                                       uint32_t count) {
  int64_t stride = 1;
  leat_value_id_t sum = LEAT_NONE;
  for (uint32_t d = count; d-- > 0;) {
    if (indices[d] == LEAT_NONE) continue;
    leat_value_id_t term = leat_b_muls(b, wrapped(b, indices[d], x->dims[d]), (double)stride);
    sum = sum == LEAT_NONE ? term : leat_b_add(b, sum, term);
    stride *= x->dims[d];
  }
  return sum;
}

static multi_index_t read_indices(leat_builder_t *b, leat_value_id_t x, const leat_value_id_t *indices,
                                  uint32_t count) {
  leat_value_t v = *leat_b_value(b, x);
  multi_index_t m = {.x = LEAT_NONE, .index = LEAT_NONE, .rank = v.rank};
  uint32_t first = LEAT_RANK_MAX, last = 0, indexed = 0, next = 0;
  if (count > v.rank) {
    leat_b_fail(b, LEAT_INVALID_ARGUMENT, "%u indices for %u dimensions", count, v.rank);
    return m;
  }
  for (uint32_t d = 0; d < count; d++) {
    if (indices[d] == LEAT_NONE) continue;
    if (indexed++ == 0) first = d;
    last = d;
  }
  m.dim = indexed == last - first + 1 ? first : 0;
  for (uint32_t d = 0; d < m.dim; d++) m.perm[next++] = d;
  for (uint32_t d = 0; d < count; d++)
    if (indices[d] != LEAT_NONE) m.perm[next++] = d;
  for (uint32_t d = m.dim; d < v.rank; d++)
    if (d >= count || indices[d] == LEAT_NONE) m.perm[next++] = d;
  int64_t shape[LEAT_RANK_MAX];
  uint32_t rank = 0;
  for (uint32_t d = 0; d < v.rank; d++) {
    m.permuted[d] = v.dims[m.perm[d]];
    if (d > m.dim && d < m.dim + indexed)
      shape[rank - 1] *= m.permuted[d];
    else
      shape[rank++] = m.permuted[d];
  }
  m.x = leat_b_reshape(b, leat_b_transpose(b, x, m.perm), rank, shape);
  m.index = combine_indices(b, &v, indices, count);
  return m;
}

// The dims first .. last of x, some of which are indexed, as one: index ++ the others between them names its places.
// The others are added up by themselves, so that the sum of both goes along lines of all of them together.
static leat_value_id_t combine_apart(leat_builder_t *b, const leat_value_t *x, const leat_value_id_t *indices,
                                     uint32_t first, uint32_t last, uint32_t between) {
  int64_t stride = 1;
  leat_value_id_t named = LEAT_NONE, others = LEAT_NONE;
  for (uint32_t d = last + 1, place = between; d-- > first; stride *= x->dims[d]) {
    const bool is_named = indices[d] != LEAT_NONE;
    int64_t dims[LEAT_RANK_MAX];
    for (uint32_t i = 0; i < between; i++) dims[i] = 1;
    if (!is_named) dims[--place] = x->dims[d];
    leat_value_id_t *sum = is_named ? &named : &others;
    leat_value_id_t term =
        is_named ? wrapped(b, indices[d], x->dims[d]) : leat_b_iota(b, LEAT_I64, between, dims, place);
    term = leat_b_muls(b, term, (double)stride);
    *sum = *sum == LEAT_NONE ? term : leat_b_add(b, *sum, term);
  }
  const uint32_t rank = leat_b_value(b, named)->rank;
  return leat_b_add(b, leat_b_unsqueeze(b, named, ((1u << between) - 1u) << rank), others);
}

// x[i, :, j]: to bring the indexed dims together takes a copy of x. Where the places that are read, lines of the dims
// behind the last index, are few beside x, each is named instead. LEAT_NONE: the indexed dims lie together, or the
// places are many.
static leat_value_id_t index_apart(leat_builder_t *b, leat_value_id_t x, const leat_value_id_t *indices,
                                   uint32_t count) {
  const leat_value_t v = *leat_b_value(b, x);
  uint32_t first = count, last = 0, indexed = 0, names = 0;
  int64_t dims[LEAT_RANK_MAX], perm[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < count && count <= v.rank; d++) {
    if (indices[d] == LEAT_NONE) continue;
    const uint32_t rank = leat_b_value(b, indices[d])->rank;
    first = indexed++ == 0 ? d : first;
    last = d;
    names = rank > names ? rank : names;
  }
  const uint32_t between = indexed == 0 ? 0 : last - first + 1 - indexed;
  if (between == 0 || names + v.rank - indexed > LEAT_RANK_MAX) return LEAT_NONE;
  leat_value_id_t at = combine_apart(b, &v, indices, first, last, between);
  const leat_value_t places = *leat_b_value(b, at);
  if (2 * leat_value_elements(&places) > leat_value_elements(&v)) return LEAT_NONE;
  const uint32_t rank = v.rank - (last - first);
  for (uint32_t d = 0; d < rank; d++) dims[d] = v.dims[d <= first ? d : d + last - first];
  for (uint32_t d = first + 1; d <= last; d++) dims[first] *= v.dims[d];
  leat_value_id_t y = leat_b_gather(b, leat_b_reshape(b, x, rank, dims), at, first, 0);
  for (uint32_t d = 0; d < leat_b_value(b, y)->rank; d++)
    perm[d] = d < names ? first + d : d < names + first ? d - names : d;
  return leat_b_transpose(b, y, perm);
}

LOWER(INDEX) {
  leat_value_id_t apart = index_apart(c->b, c->in[0], c->in + 1, c->in_count - 1);
  if (apart != LEAT_NONE) return apart;
  multi_index_t m = read_indices(c->b, c->in[0], c->in + 1, c->in_count - 1);
  return leat_b_gather(c->b, m.x, m.index, m.dim, 0);
}

// Values broadcast to the shape that reading the indices would give.
LOWER(INDEX_PUT) {
  leat_builder_t *b = c->b;
  multi_index_t m = read_indices(b, c->in[0], c->in + 2, c->in_count - 2);
  leat_value_t x = *leat_b_value(b, m.x), index = *leat_b_value(b, m.index), updates = {0};
  if (m.x == LEAT_NONE || m.index == LEAT_NONE) return LEAT_NONE;
  if (x.rank + index.rank > LEAT_RANK_MAX + 1u)
    return leat_b_fail(b, LEAT_UNSUPPORTED, "more than %d dimensions", LEAT_RANK_MAX);
  for (uint32_t d = 0; d < m.dim; d++) updates.dims[updates.rank++] = x.dims[d];
  for (uint32_t d = 0; d < index.rank; d++) updates.dims[updates.rank++] = index.dims[d];
  for (uint32_t d = m.dim + 1; d < x.rank; d++) updates.dims[updates.rank++] = x.dims[d];
  leat_value_id_t values = leat_b_broadcast_to(b, c->in[1], updates.rank, updates.dims);
  leat_value_id_t y =
      leat_b_scatter(b, leat_lower_word(c, LEAT_ATTR_FN, LEAT_FOLD_SET), m.x, m.index, values, m.dim, 0);
  int64_t inverse[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < m.rank; d++) inverse[m.perm[d]] = d;
  return leat_b_transpose(b, leat_b_reshape(b, y, m.rank, m.permuted), inverse);
}

// With steps y is spread out to the shape of x and taken where its places are; so, too, where it is all of x, whose
// gradient is zero then.
LOWER(SLICE_SCATTER) {
  leat_builder_t *b = c->b;
  leat_value_t x = *leat_b_value(b, c->in[0]), y = *leat_b_value(b, c->in[1]);
  uint32_t starts, steps;
  const int64_t *start = leat_lower_list(c, LEAT_ATTR_START, &starts);
  const int64_t *step = leat_lower_list(c, LEAT_ATTR_STEP, &steps);
  if (starts != x.rank || (steps != 0 && steps != x.rank))
    return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "start and step need %u entries", x.rank);
  int64_t high[LEAT_RANK_MAX], interior[LEAT_RANK_MAX];
  bool dense = true, all = true;
  for (uint32_t d = 0; d < x.rank; d++) {
    if (y.dims[d] == 0) return c->in[0];
    interior[d] = steps == 0 ? 0 : step[d] - 1;
    dense = dense && (interior[d] == 0 || y.dims[d] == 1);
    all = all && y.dims[d] == x.dims[d];
    high[d] = x.dims[d] - start[d] - ((y.dims[d] - 1) * (interior[d] + 1) + 1);
  }
  if (dense && !all) return put_inside(b, c->in[0], c->in[1], start, 0);
  leat_value_id_t here = leat_b_splat(b, LEAT_BOOL, y.rank, y.dims, 1.0);
  return leat_b_select(b, leat_b_pad(b, here, start, high, interior, 0.0),
                       leat_b_pad(b, c->in[1], start, high, interior, 0.0), c->in[0]);
}

LOWER(ONE_HOT) {
  leat_builder_t *b = c->b;
  uint32_t rank = leat_b_value(b, c->in[0])->rank;
  const leat_value_t *y = leat_lower_declared(c, 0);
  int64_t dims[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < y->rank; d++) dims[d] = d == rank ? y->dims[d] : 1;
  leat_value_id_t classes = leat_b_iota(b, LEAT_I64, y->rank, dims, rank);
  leat_value_id_t x = leat_b_cast(b, leat_b_unsqueeze(b, c->in[0], 1u << rank), LEAT_I64);
  return leat_b_cast(b, leat_b_fn2(b, EQ, classes, x), leat_lower_dtype(c, 0));
}

// Lines become the last dim of what is sorted, so that others are outermost: what of its result is read within a tile
// stays there, and nothing behind the last place that is read is made.
static leat_value_id_t sort(leat_builder_t *b, leat_value_id_t x, uint32_t dim, bool descending,
                            leat_value_id_t *out_indices) {
  const uint32_t rank = leat_b_value(b, x)->rank;
  if (rank == 0) {
    *out_indices = leat_b_scalar(b, LEAT_I64, 0.0);
    return x;
  }
  if (dim + 1 == rank) return leat_b_sort(b, x, dim, descending, out_indices);
  int64_t exchanged[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < rank; d++) exchanged[d] = d == dim ? rank - 1 : d + 1 == rank ? dim : d;
  leat_value_id_t indices;
  const leat_value_id_t values = leat_b_sort(b, leat_b_transpose(b, x, exchanged), rank - 1, descending, &indices);
  *out_indices = leat_b_transpose(b, indices, exchanged);
  return leat_b_transpose(b, values, exchanged);
}

static leat_value_id_t sort_input(leat_lower_t *c, leat_value_id_t *out_indices) {
  const bool descending = leat_lower_int(c, LEAT_ATTR_DESCENDING, 0) != 0;
  return sort(c->b, c->in[0], (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0), descending, out_indices);
}

LOWER(SORT) { return sort_input(c, &c->out[1]); }

LOWER(ARGSORT) {
  leat_value_id_t indices;
  sort_input(c, &indices);
  return indices;
}

LOWER(TOPK) {
  leat_builder_t *b = c->b;
  const uint32_t dim = (uint32_t)leat_lower_int(c, LEAT_ATTR_DIM, 0);
  const int64_t k = leat_lower_int(c, LEAT_ATTR_K, 1);
  const bool descending = leat_lower_int(c, LEAT_ATTR_DESCENDING, 1) != 0;
  leat_value_id_t indices, values = sort(b, c->in[0], dim, descending, &indices);
  if (leat_b_value(b, c->in[0])->rank == 0) {
    c->out[1] = indices;
    return values;
  }
  c->out[1] = leat_b_slice_dim(b, indices, dim, 0, k, 1);
  return leat_b_slice_dim(b, values, dim, 0, k, 1);
}

LOWER(SEARCHSORTED) {
  const int64_t dim = (int64_t)leat_b_value(c->b, c->in[0])->rank - 1;
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_DIM, dim), leat_attr_i(LEAT_ATTR_BATCH, dim),
                               leat_attr_i(LEAT_ATTR_FN, leat_lower_word(c, LEAT_ATTR_FN, LEAT_SCALAR_GE))};
  return leat_b_op(c->b, LEAT_PRIM_SEARCH, c->in, 2, attrs, 3, NULL);
}
