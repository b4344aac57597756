// SPDX-License-Identifier: Apache-2.0
// Are the attributes of two ops the same, are two graphs but for origins?
#include "ir/graph.h"

// --- attributes -----------------------------------------------------------------------------------------------------

static bool attr_equal(const leat_graph_t *g, const leat_attr_t *a, const leat_graph_t *h, const leat_attr_t *b) {
  if (a->key != b->key) return false;
  switch (leat_attr_kind((leat_attr_key_t)a->key)) {
    case 'F':
      return memcmp(&a->v.f, &b->v.f, sizeof a->v.f) == 0;  // bits: NaN equals itself, -0.0 is not 0.0
    case 'S':
      return strcmp(a->v.s, b->v.s) == 0;
    case 'Y':  // symbols of two graphs are the same by name
      return (g == h && a->v.i == b->v.i) || strcmp(leat_graph_symbol(g, (leat_symbol_id_t)a->v.i)->name,
                                                    leat_graph_symbol(h, (leat_symbol_id_t)b->v.i)->name) == 0;
    case 'C':
      return memcmp(a->v.spec, b->v.spec, sizeof *a->v.spec) == 0;  // unused letters are NUL
    case 'L':
    case 'K':
      return a->count == b->count && (a->count == 0 || memcmp(a->v.l, b->v.l, a->count * sizeof *a->v.l) == 0);
    case 'B':
      return leat_graphs_equal(g->bodies.data[a->v.i], h->bodies.data[b->v.i]);
    default:
      return a->v.i == b->v.i;
  }
}

bool leat_attrs_equal(const leat_graph_t *a, const leat_op_t *x, const leat_graph_t *b, const leat_op_t *y) {
  if (x->attr_count != y->attr_count) return false;
  for (uint32_t i = 0; i < x->attr_count; i++) {
    if (!attr_equal(a, &a->attrs.data[x->attr_first + i], b, &b->attrs.data[y->attr_first + i])) return false;
  }
  return true;
}

// --- graphs ---------------------------------------------------------------------------------------------------------

static bool ops_equal(const leat_graph_t *a, const leat_op_t *x, const leat_graph_t *b, const leat_op_t *y) {
  if (x->kind != y->kind || x->type != y->type || x->detached != y->detached || x->input_count != y->input_count ||
      x->result_count != y->result_count) {
    return false;
  }
  for (uint32_t i = 0; i < x->input_count; ++i) {
    if (leat_op_input(a, x, i) != leat_op_input(b, y, i)) return false;
  }
  for (uint32_t i = 0; i < x->result_count; ++i) {
    const leat_value_t *v = leat_graph_value(a, x->result_first + i), *u = leat_graph_value(b, y->result_first + i);
    if (v->dtype != u->dtype || !leat_same_shape(v, u)) return false;
  }
  return leat_attrs_equal(a, x, b, y);
}

static bool blobs_equal(const leat_blob_t *x, const leat_blob_t *y) {
  return x->data_bytes == y->data_bytes && (x->data == y->data || memcmp(x->data, y->data, x->data_bytes) == 0);
}

static bool groups_equal(const leat_group_t *x, const leat_group_t *y) {
  return strcmp(x->heuristic, y->heuristic) == 0 && strcmp(x->parameters, y->parameters) == 0;
}

bool leat_graphs_equal(const leat_graph_t *a, const leat_graph_t *b) {
  if (a->ops.count != b->ops.count || a->blobs.count != b->blobs.count || a->groups.count != b->groups.count)
    return false;
  for (leat_op_id_t id = 0; id < a->ops.count; ++id) {
    if (!ops_equal(a, leat_graph_op(a, id), b, leat_graph_op(b, id))) return false;
  }
  for (uint32_t i = 0; i < a->blobs.count; ++i) {
    if (!blobs_equal(&a->blobs.data[i], &b->blobs.data[i])) return false;
  }
  for (uint32_t i = 0; i < a->groups.count; ++i) {
    if (!groups_equal(&a->groups.data[i], &b->groups.data[i])) return false;
  }
  return true;
}
