// SPDX-License-Identifier: Apache-2.0
// Views as strides. Each view kind is one function that rewrites an access; a table maps kinds to functions.
#include "space/access.h"

typedef bool (*apply_t)(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *result, leat_access_t *a);

// Reshape without a copy: walks both shapes from the left and matches groups of dims with equal products; a group is
// expressible if its source dims are contiguous among themselves. Extents of 1 carry no information.
static bool apply_reshape(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *result, leat_access_t *a) {
  (void)g, (void)op;
  int64_t dims[LEAT_RANK_MAX], strides[LEAT_RANK_MAX], out[LEAT_RANK_MAX] = {0};
  uint32_t n = 0;
  for (uint32_t i = 0; i < a->rank; ++i) {
    if (a->dims[i] == 1) continue;
    dims[n] = a->dims[i];
    strides[n++] = a->strides[i];
  }
  uint32_t i = 0, j = 0;
  while (i < n && j < result->rank) {
    uint32_t i1 = i + 1, j1 = j + 1;
    int64_t source = dims[i], target = result->dims[j];
    while (source != target) {
      if (source < target) {
        if (i1 == n) return false;
        source *= dims[i1++];
      } else {
        if (j1 == result->rank) return false;
        target *= result->dims[j1++];
      }
    }
    for (uint32_t k = i; k + 1 < i1; ++k) {
      if (strides[k] != dims[k + 1] * strides[k + 1]) return false;
    }
    int64_t stride = strides[i1 - 1];
    for (uint32_t k = j1; k-- > j;) {
      out[k] = stride;
      stride *= result->dims[k];
    }
    i = i1;
    j = j1;
  }
  a->rank = result->rank;
  memcpy(a->dims, result->dims, sizeof a->dims);
  memcpy(a->strides, out, sizeof out);  // trailing extents of 1 keep stride 0
  return i == n;
}

static bool apply_transpose(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *result, leat_access_t *a) {
  uint32_t count;
  const int64_t *perm = leat_op_list(g, op, LEAT_ATTR_DIMS, &count);
  int64_t strides[LEAT_RANK_MAX] = {0};
  for (uint32_t i = 0; i < count; ++i) strides[i] = a->strides[perm[i]];
  memcpy(a->strides, strides, sizeof strides);
  memcpy(a->dims, result->dims, sizeof a->dims);
  return true;
}

static bool apply_slice(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *result, leat_access_t *a) {
  uint32_t count;
  const int64_t *start = leat_op_list(g, op, LEAT_ATTR_START, &count);
  const int64_t *step = leat_op_list(g, op, LEAT_ATTR_STEP, &count);
  for (uint32_t i = 0; i < count; ++i) {
    a->offset += start[i] * a->strides[i];
    a->strides[i] *= step[i];
  }
  memcpy(a->dims, result->dims, sizeof a->dims);
  return true;
}

static bool apply_broadcast(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *result, leat_access_t *a) {
  (void)g, (void)op;
  for (uint32_t i = 0; i < a->rank; ++i) {
    if (a->dims[i] != result->dims[i]) a->strides[i] = 0;
    a->dims[i] = result->dims[i];
  }
  return true;
}

static bool apply_flip(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *result, leat_access_t *a) {
  (void)result;
  uint32_t count;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; ++i) {
    if (a->dims[dims[i]] == 0) continue;
    a->offset += (a->dims[dims[i]] - 1) * a->strides[dims[i]];
    a->strides[dims[i]] = -a->strides[dims[i]];
  }
  return true;
}

static const apply_t view_table[LEAT_PRIM_COUNT] = {
    [LEAT_PRIM_RESHAPE] = apply_reshape,     [LEAT_PRIM_TRANSPOSE] = apply_transpose, [LEAT_PRIM_SLICE] = apply_slice,
    [LEAT_PRIM_BROADCAST] = apply_broadcast, [LEAT_PRIM_FLIP] = apply_flip,
};

bool leat_kind_is_view(uint32_t kind) { return kind < LEAT_PRIM_COUNT && view_table[kind] != NULL; }

bool leat_kind_is_leaf(uint32_t kind) {
  return kind == LEAT_PRIM_SYMBOL || kind == LEAT_PRIM_CONSTANT || kind == LEAT_PRIM_IOTA;
}

bool leat_kind_computes(uint32_t kind) {
  return kind < LEAT_PRIM_COUNT && !leat_kind_is_view(kind) && !leat_kind_is_leaf(kind) && kind != LEAT_PRIM_STORE;
}

leat_value_id_t leat_access_base(const leat_graph_t *g, leat_value_id_t v) {
  for (;;) {
    const leat_op_t *op = leat_graph_op(g, leat_graph_value(g, v)->op);
    if (!leat_kind_is_view(op->kind)) return v;
    v = leat_op_input(g, op, 0);
  }
}

void leat_contiguous_strides(uint32_t rank, const int64_t *dims, int64_t *out_strides) {
  int64_t stride = 1;
  for (uint32_t i = rank; i-- > 0;) {
    out_strides[i] = stride;
    stride *= dims[i];
  }
}

bool leat_access_resolve(const leat_graph_t *g, leat_value_id_t v, leat_access_t *out_access) {
  const leat_value_t *value = leat_graph_value(g, v);
  const leat_op_t *op = leat_graph_op(g, value->op);
  if (leat_kind_is_view(op->kind)) {
    return leat_access_resolve(g, leat_op_input(g, op, 0), out_access) &&
           view_table[op->kind](g, op, value, out_access);
  }
  memset(out_access, 0, sizeof *out_access);
  out_access->base = v;
  out_access->rank = value->rank;
  memcpy(out_access->dims, value->dims, sizeof out_access->dims);
  leat_contiguous_strides(value->rank, value->dims, out_access->strides);
  return true;
}

bool leat_access_is_whole(const leat_graph_t *g, const leat_access_t *a) {
  int64_t elements = 1;
  if (a->offset != 0) return false;
  for (uint32_t i = a->rank; i-- > 0;) {
    if (a->dims[i] != 1 && a->strides[i] != elements) return false;
    elements *= a->dims[i];
  }
  return elements == leat_value_elements(leat_graph_value(g, a->base));
}

// --- rows under views ----------------------------------------------------------------------------------------------

static int64_t product_before(const int64_t *dims, uint32_t end) {
  int64_t product = 1;
  for (uint32_t i = 0; i < end; ++i) product *= dims[i];
  return product;
}

static uint32_t row_dim_of_reshape(const leat_value_t *from, const leat_value_t *to, uint32_t dim, int64_t rows) {
  int64_t before = product_before(from->dims, dim);
  for (uint32_t i = 0; i < to->rank; ++i) {
    if (product_before(to->dims, i) == before && to->dims[i] % rows == 0 && to->dims[i] > 0) {
      if (rows == 1 || to->dims[i] != 1) return i;
    }
  }
  return LEAT_NONE;
}

static bool slice_keeps(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *from, uint32_t dim) {
  uint32_t count;
  const int64_t *start = leat_op_list(g, op, LEAT_ATTR_START, &count);
  const int64_t *stop = leat_op_list(g, op, LEAT_ATTR_STOP, &count);
  const int64_t *step = leat_op_list(g, op, LEAT_ATTR_STEP, &count);
  return start[dim] == 0 && stop[dim] == from->dims[dim] && step[dim] == 1;
}

static bool list_has(const int64_t *list, uint32_t count, uint32_t dim) {
  for (uint32_t i = 0; i < count; ++i) {
    if (list[i] == (int64_t)dim) return true;
  }
  return false;
}

static uint32_t row_dim_of_view(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *from,
                                const leat_value_t *to, uint32_t dim, int64_t rows) {
  uint32_t count;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &count);
  if (op->kind == LEAT_PRIM_RESHAPE) return row_dim_of_reshape(from, to, dim, rows);
  if (op->kind == LEAT_PRIM_SLICE) return slice_keeps(g, op, from, dim) ? dim : LEAT_NONE;
  if (op->kind == LEAT_PRIM_FLIP) return list_has(dims, count, dim) ? LEAT_NONE : dim;
  if (op->kind == LEAT_PRIM_BROADCAST) return from->dims[dim] == to->dims[dim] ? dim : LEAT_NONE;
  assert(op->kind == LEAT_PRIM_TRANSPOSE);
  for (uint32_t i = 0; i < count; ++i) {
    if (dims[i] == (int64_t)dim) return i;
  }
  return LEAT_NONE;
}

uint32_t leat_access_row_dim(const leat_graph_t *g, leat_value_id_t v, uint32_t base_dim, int64_t rows) {
  const leat_value_t *value = leat_graph_value(g, v);
  const leat_op_t *op = leat_graph_op(g, value->op);
  if (!leat_kind_is_view(op->kind)) return base_dim;
  leat_value_id_t source = leat_op_input(g, op, 0);
  uint32_t dim = leat_access_row_dim(g, source, base_dim, rows);
  return dim == LEAT_NONE ? LEAT_NONE : row_dim_of_view(g, op, leat_graph_value(g, source), value, dim, rows);
}
