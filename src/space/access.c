// SPDX-License-Identifier: Apache-2.0
// Views as strides, and where dims go under them: a row of functions a view, in a table over op.def.
#include "space/access.h"

#include "base/loops.h"

// --- strides -------------------------------------------------------------------------------------------------------

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
    leat_loops_t group = {.count = i1 - i, .extents = &dims[i], .operands = 1, .strides = &strides[i]};
    leat_loops_merge(&group, 0, NULL);
    if (group.count != 1) return false;
    int64_t stride = strides[i];
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

static bool apply_unfold(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *result, leat_access_t *a) {
  uint32_t count;
  const int64_t dim = leat_op_int(g, op, LEAT_ATTR_DIM, 0);
  a->strides[a->rank++] = a->strides[dim];
  a->strides[dim] *= leat_op_list(g, op, LEAT_ATTR_STEP, &count)[0];
  memcpy(a->dims, result->dims, sizeof a->dims);
  return true;
}

// --- dims ----------------------------------------------------------------------------------------------------------

static int64_t product_before(const int64_t *dims, uint32_t end) {
  int64_t product = 1;
  for (uint32_t i = 0; i < end; ++i) product *= dims[i];
  return product;
}

static uint32_t rows_of_reshape(const leat_view_dim_t *d) {
  int64_t before = product_before(d->from->dims, d->dim);
  for (uint32_t i = 0; i < d->to->rank; ++i) {
    if (product_before(d->to->dims, i) == before && d->to->dims[i] % d->rows == 0 && d->to->dims[i] > 0) {
      if (d->rows == 1 || d->to->dims[i] != 1) return i;
    }
  }
  return LEAT_NONE;
}

// A reshape that only adds or drops extents of 1.
static uint32_t count_of_reshape(const leat_view_dim_t *d) {
  uint32_t i = 0, j = 0;
  for (;;) {
    while (i < d->from->rank && d->from->dims[i] == 1) ++i;
    while (j < d->to->rank && d->to->dims[j] == 1) ++j;
    if (i == d->from->rank || j == d->to->rank) return LEAT_NONE;
    if (d->from->dims[i] != d->to->dims[j]) return LEAT_NONE;
    if (i == d->dim) return j;
    ++i, ++j;
  }
}

static uint32_t place_in_dims(const leat_view_dim_t *d) {
  uint32_t count;
  const int64_t *dims = leat_op_list(d->g, d->op, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; ++i) {
    if (dims[i] == (int64_t)d->dim) return i;
  }
  return LEAT_NONE;
}

static uint32_t rows_of_slice(const leat_view_dim_t *d) {
  uint32_t count;
  const int64_t *start = leat_op_list(d->g, d->op, LEAT_ATTR_START, &count);
  const int64_t *stop = leat_op_list(d->g, d->op, LEAT_ATTR_STOP, &count);
  const int64_t *step = leat_op_list(d->g, d->op, LEAT_ATTR_STEP, &count);
  return start[d->dim] == 0 && stop[d->dim] == d->from->dims[d->dim] && step[d->dim] == 1 ? d->dim : LEAT_NONE;
}

static uint32_t rows_of_flip(const leat_view_dim_t *d) { return place_in_dims(d) == LEAT_NONE ? d->dim : LEAT_NONE; }

static uint32_t beside_windows(const leat_view_dim_t *d) {
  return d->dim == leat_op_int(d->g, d->op, LEAT_ATTR_DIM, 0) ? LEAT_NONE : d->dim;
}

static uint32_t same_dim(const leat_view_dim_t *d) {
  return d->from->dims[d->dim] == d->to->dims[d->dim] ? d->dim : LEAT_NONE;
}

static uint32_t nowhere(const leat_view_dim_t *d) {
  (void)d;
  return LEAT_NONE;
}

// --- the table -----------------------------------------------------------------------------------------------------

typedef struct view_s {
  bool (*apply)(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *result, leat_access_t *a);
  uint32_t (*rows)(const leat_view_dim_t *d);   // where equal pieces of a dim stay apart
  uint32_t (*count)(const leat_view_dim_t *d);  // where indices along a dim stay what they are
} view_t;

#define VIEW_RESHAPE \
  { apply_reshape, rows_of_reshape, count_of_reshape }
#define VIEW_TRANSPOSE \
  { apply_transpose, place_in_dims, place_in_dims }
#define VIEW_SLICE \
  { apply_slice, rows_of_slice, nowhere }
#define VIEW_BROADCAST \
  { apply_broadcast, same_dim, same_dim }
#define VIEW_UNFOLD \
  { apply_unfold, beside_windows, beside_windows }
#define VIEW_FLIP \
  { apply_flip, rows_of_flip, nowhere }

// A primitive whose role is VIEW does not compile without its row.
static const view_t view_table[LEAT_PRIM_COUNT] = {
#define NO_VIEW(e)
#define ROW_SYMBOL NO_VIEW
#define ROW_CONSTANT NO_VIEW
#define ROW_SEQUENCE NO_VIEW
#define ROW_KEEP NO_VIEW
#define ROW_LOOP NO_VIEW
#define ROW_PART NO_VIEW
#define ROW_JOIN NO_VIEW
#define ROW_DRAW NO_VIEW
#define ROW_ELEMENTWISE NO_VIEW
#define ROW_COMPUTE NO_VIEW
#define ROW_VIEW(e) [LEAT_PRIM_##e] = VIEW_##e,
#define PRIM(e, n, lo, hi, r, a, role, ...) ROW_##role(e)
#include "ir/op.def"
#undef PRIM
};

// NULL: `op` is no view.
static const view_t *view_of(const leat_op_t *op) {
  return leat_op_role(op->kind) == LEAT_ROLE_VIEW ? &view_table[op->kind] : NULL;
}

uint32_t leat_view_rows(const leat_view_dim_t *d) { return view_of(d->op)->rows(d); }

uint32_t leat_view_count(const leat_view_dim_t *d) { return view_of(d->op)->count(d); }

// --- accesses ------------------------------------------------------------------------------------------------------

leat_value_id_t leat_access_base(const leat_graph_t *g, leat_value_id_t v) {
  for (;;) {
    const leat_op_t *op = leat_graph_op(g, leat_graph_value(g, v)->op);
    if (view_of(op) == NULL) return v;
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
  const view_t *view = view_of(op);
  if (view != NULL)
    return leat_access_resolve(g, leat_op_input(g, op, 0), out_access) && view->apply(g, op, value, out_access);
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

uint32_t leat_access_row_dim(const leat_graph_t *g, leat_value_id_t v, uint32_t base_dim, int64_t rows) {
  const leat_value_t *value = leat_graph_value(g, v);
  const leat_op_t *op = leat_graph_op(g, value->op);
  if (view_of(op) == NULL) return base_dim;
  leat_value_id_t source = leat_op_input(g, op, 0);
  uint32_t dim = leat_access_row_dim(g, source, base_dim, rows);
  if (dim == LEAT_NONE) return LEAT_NONE;
  return leat_view_rows(&(leat_view_dim_t){g, op, leat_graph_value(g, source), value, dim, rows});
}
