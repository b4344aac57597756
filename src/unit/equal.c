// SPDX-License-Identifier: Apache-2.0
#include "unit/equal.h"

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
    if (same && leat_graphs_equal(kinds->graphs.data[found - 1], graph)) return found - 1;
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
