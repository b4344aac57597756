// SPDX-License-Identifier: Apache-2.0
#include "unit/equal.h"

// --- two graphs -----------------------------------------------------------------------------------------------------

static uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
  return hash ^ hash >> 29;
}

uint64_t leat_unit_graph_hash(const leat_graph_t *g) {
  uint64_t hash = mix(g->ops.count, g->values.count);
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    hash = mix(mix(hash, op->kind), (uint64_t)op->attr_count << 32 | op->input_count);
    for (uint32_t i = 0; i < op->input_count; ++i) hash = mix(hash, leat_op_input(g, op, i));
  }
  for (leat_value_id_t v = 0; v < g->values.count; ++v) {
    const leat_value_t *value = leat_graph_value(g, v);
    hash = mix(hash, (uint64_t)value->dtype << 8 | value->rank);
    for (uint32_t d = 0; d < value->rank; ++d) hash = mix(hash, (uint64_t)value->dims[d]);
  }
  return hash;
}

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

bool leat_unit_graphs_equal(const leat_graph_t *a, const leat_graph_t *b) {
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

// --- many -----------------------------------------------------------------------------------------------------------

leat_status_t leat_unit_kinds_init(leat_unit_kinds_t *kinds, uint32_t expected) {
  *kinds = (leat_unit_kinds_t){.bucket_count = 64};
  while (kinds->bucket_count < expected) kinds->bucket_count *= 2;
  kinds->buckets = leat_alloc_zero(kinds->bucket_count, sizeof *kinds->buckets);
  if (kinds->buckets == NULL) return leat_out_of_memory();
  return NULL;
}

void leat_unit_kinds_deinit(leat_unit_kinds_t *kinds) {
  for (uint32_t i = 0; i < kinds->graphs.count; ++i) leat_graph_destroy(kinds->graphs.data[i]);
  leat_array_free(&kinds->graphs);
  leat_array_free(&kinds->hashes);
  leat_array_free(&kinds->next);
  leat_free(kinds->buckets);
  *kinds = (leat_unit_kinds_t){0};
}

uint32_t leat_unit_kinds_find(const leat_unit_kinds_t *kinds, const leat_graph_t *graph) {
  const uint64_t hash = leat_unit_graph_hash(graph);
  uint32_t found = kinds->buckets[hash & (kinds->bucket_count - 1)];
  for (; found != 0; found = kinds->next.data[found - 1]) {
    const bool same = kinds->hashes.data[found - 1] == hash;
    if (same && leat_unit_graphs_equal(kinds->graphs.data[found - 1], graph)) return found - 1;
  }
  return LEAT_NONE;
}

leat_status_t leat_unit_kinds_add(leat_unit_kinds_t *kinds, leat_graph_t *graph) {
  const uint64_t hash = leat_unit_graph_hash(graph);
  uint32_t *bucket = &kinds->buckets[hash & (kinds->bucket_count - 1)], *next = leat_array_push(&kinds->next);
  uint64_t *hash_slot = leat_array_push(&kinds->hashes);
  leat_graph_t **slot = next == NULL || hash_slot == NULL ? NULL : leat_array_push(&kinds->graphs);
  if (slot == NULL) {
    leat_graph_destroy(graph);
    return leat_out_of_memory();
  }
  *slot = graph;
  *hash_slot = hash;
  *next = *bucket;
  *bucket = kinds->graphs.count;
  return NULL;
}
