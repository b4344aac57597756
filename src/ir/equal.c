// SPDX-License-Identifier: Apache-2.0
// Are two graphs the same but for origins?
#include "ir/graph.h"

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
