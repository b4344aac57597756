// SPDX-License-Identifier: Apache-2.0
// Merging dims: an elementwise op or row reduction over [a, b, .., n] beside a value of a*b rows runs over [a*b, .., n]
// itself, where every operand lies in memory so that this needs no copy.
//
// A section's rows are pieces of one dim. A product of [a, b, k] with a matrix is one product of a*b rows; with merged
// dims what follows it has the same a*b rows and joins it, in tiles as low as its weights allow, in place of a
// section whose rows are b times as long.
#include "space/merge.h"

#include "base/loops.h"
#include "ir/rebuild.h"
#include "space/access.h"

// An op in the making: its operands and its result with as many dims as are left.
typedef struct merge_s {
  const leat_op_t *op;
  uint32_t input_count;
  leat_value_id_t inputs[LEAT_MERGE_INPUTS_MAX];
  leat_access_t access[LEAT_MERGE_INPUTS_MAX];
  leat_value_t result;
  uint32_t reduced;  // bit mask of reduced dims
} merge_t;

// Whether dims 0 and 1 can be one in every operand: repeated in both, or in neither and adjacent in memory.
static bool may_merge(const merge_t *m) {
  if ((m->reduced & 3) != 0) return false;
  for (uint32_t i = 0; i < m->input_count; ++i) {
    const leat_access_t *a = &m->access[i];
    if (a->dims[0] == 1 && a->dims[1] == 1) continue;
    if (a->dims[0] != m->result.dims[0] || a->dims[1] != m->result.dims[1]) return false;
    int64_t extents[2] = {a->dims[0], a->dims[1]}, strides[2] = {a->strides[0], a->strides[1]};
    leat_loops_t loops = {.count = 2, .extents = extents, .operands = 1, .strides = strides};
    leat_loops_merge(&loops, 0, NULL);
    if (loops.count != 1) return false;
  }
  return true;
}

static void drop(int64_t *list, uint32_t count, uint32_t at) {
  memmove(&list[at], &list[at + 1], (count - at - 1) * sizeof *list);
  list[count - 1] = 0;
}

// Dim 0 becomes part of dim 1.
static void merge_first(merge_t *m) {
  for (uint32_t i = 0; i < m->input_count; ++i) {
    leat_access_t *a = &m->access[i];
    a->dims[1] *= a->dims[0];
    drop(a->dims, a->rank, 0);
    drop(a->strides, a->rank, 0);
    a->rank--;
  }
  m->result.dims[1] *= m->result.dims[0];
  drop(m->result.dims, m->result.rank, 0);
  m->result.rank--;
  m->reduced >>= 1;
}

// False if the op is none of those that merge, or an operand cannot be read through strides.
static bool begin(const leat_rebuild_t *r, const leat_op_t *op, merge_t *out) {
  const leat_graph_t *g = r->b.graph;
  if (leat_op_role(op->kind) != LEAT_ROLE_ELEMENTWISE && op->kind != LEAT_PRIM_REDUCE) return false;
  const leat_value_t *result = leat_graph_value(r->from, op->result_first);
  if (result->rank < 3 || op->input_count == 0 || op->input_count > LEAT_MERGE_INPUTS_MAX) return false;
  *out = (merge_t){.op = op, .input_count = op->input_count, .result = *result};
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_value_id_t v = leat_rebuild_input(r, op, i);
    if (leat_graph_value(g, v)->rank != result->rank || !leat_access_resolve(g, v, &out->access[i])) return false;
    const leat_op_t *source = leat_graph_op(g, leat_graph_value(g, out->access[i].base)->op);
    if (leat_op_role(source->kind) == LEAT_ROLE_SEQUENCE) return false;
    out->inputs[i] = v;
  }
  uint32_t count = 0;
  const int64_t *dims = leat_op_list(r->from, op, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; ++i) out->reduced |= 1u << dims[i];
  return true;
}

// How many leading dims should become one: as many as make the rows of some operand's own storage. The last dim stays
// apart.
static uint32_t wanted_dims(const leat_graph_t *g, const merge_t *m) {
  uint32_t wanted = 1;
  for (uint32_t i = 0; i < m->input_count; ++i) {
    const leat_value_t *base = leat_graph_value(g, m->access[i].base);
    int64_t rows = m->result.dims[0];
    for (uint32_t count = 2; count < m->result.rank && base->rank > 1; ++count) {
      rows *= m->result.dims[count - 1];
      if (rows == base->dims[0] && count > wanted) wanted = count;
    }
  }
  return wanted;
}

static bool merge_leading(merge_t *m, uint32_t count) {
  for (uint32_t i = 1; i < count; ++i) {
    if (!may_merge(m)) return false;
    merge_first(m);
  }
  return count > 1;
}

// A reshape of a reshape is one, so that the rows of what lies behind are seen.
static leat_value_id_t reshape(leat_builder_t *b, leat_value_id_t v, uint32_t rank, const int64_t *dims) {
  const leat_op_t *op = leat_graph_op(b->graph, leat_graph_value(b->graph, v)->op);
  if (op->kind == LEAT_PRIM_RESHAPE) v = leat_op_input(b->graph, op, 0);
  return leat_b_reshape(b, v, rank, dims);
}

static leat_value_id_t append_merged(leat_rebuild_t *r, merge_t *m) {
  leat_attr_t attrs[4];
  int64_t list[LEAT_RANK_MAX];
  assert(m->op->attr_count <= 4);
  for (uint32_t i = 0; i < m->op->attr_count; ++i) {
    attrs[i] = r->from->attrs.data[m->op->attr_first + i];
    if (attrs[i].key != LEAT_ATTR_DIMS) continue;
    attrs[i].count = 0;
    attrs[i].v.l = list;
    for (uint32_t d = 0; d < m->result.rank; ++d) {
      if (m->reduced >> d & 1) list[attrs[i].count++] = d;
    }
  }
  for (uint32_t i = 0; i < m->input_count; ++i)
    m->inputs[i] = reshape(&r->b, m->inputs[i], m->access[i].rank, m->access[i].dims);
  return leat_b_op(&r->b, m->op->kind, m->inputs, m->input_count, attrs, m->op->attr_count, &m->result);
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  merge_t m;
  if (op->kind == LEAT_PRIM_RESHAPE) {
    const leat_value_t *result = leat_graph_value(r->from, op->result_first);
    r->map[op->result_first] = reshape(&r->b, leat_rebuild_input(r, op, 0), result->rank, result->dims);
    return NULL;
  }
  if (!begin(r, op, &m) || !merge_leading(&m, wanted_dims(r->b.graph, &m))) return leat_rebuild_copy(r, id);
  const leat_value_t *result = leat_graph_value(r->from, op->result_first);
  r->map[op->result_first] = leat_b_reshape(&r->b, append_merged(r, &m), result->rank, result->dims);
  return NULL;
}

leat_status_t leat_merge_dims(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_status_annotate(leat_rebuild(from, visit, NULL, out_graph), "merging dims");
}
