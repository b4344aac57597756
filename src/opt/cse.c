// SPDX-License-Identifier: Apache-2.0
// Common subexpressions by value numbers.
//
// Two values have the same number when the same op, with the same attributes and group, computes them from operands of
// the same numbers. Ops of one section type that have the same number become one. Across section types (backward
// computing again what forward had) only ops that are dearer than a load become one, so that backward keeps its cheap
// copies of elementwise work instead of reading large intermediates back from memory; what depends on such a copy
// still meets its twin, because numbers, not ops, are compared. Groups are never joined: they are fused separately.
#include "ir/rebuild.h"
#include "opt/opt.h"

typedef struct cse_s {
  leat_value_id_t *number;  // per old value: the first old value with the same number
  leat_op_id_t *buckets;    // hash -> most recent op; LEAT_NONE: empty
  leat_op_id_t *next;       // per op: the one before it in the same bucket
  uint32_t bucket_count;    // a power of two
} cse_t;

static uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
  return hash ^ hash >> 29;
}

// Attributes are left to the comparison, but for their count.
static uint32_t hash_op(const cse_t *c, const leat_graph_t *g, const leat_op_t *op) {
  uint64_t hash = mix(op->kind, op->group);
  for (uint32_t i = 0; i < op->input_count; i++) hash = mix(hash, c->number[leat_op_input(g, op, i)]);
  const leat_value_t *y = leat_graph_value(g, op->result_first);
  hash = mix(mix(hash, y->dtype), op->attr_count);
  for (uint32_t d = 0; d < y->rank; d++) hash = mix(hash, (uint64_t)y->dims[d]);
  return (uint32_t)(hash >> 32) & (c->bucket_count - 1u);
}

static bool same_results(const leat_graph_t *g, const leat_op_t *x, const leat_op_t *y) {
  for (uint32_t i = 0; i < x->result_count; i++) {
    const leat_value_t *a = leat_graph_value(g, x->result_first + i), *b = leat_graph_value(g, y->result_first + i);
    if (a->dtype != b->dtype || !leat_same_shape(a, b)) return false;
  }
  return true;
}

static bool same_number(const cse_t *c, const leat_graph_t *g, const leat_op_t *x, const leat_op_t *y) {
  if (x->kind != y->kind || x->group != y->group || x->input_count != y->input_count) return false;
  for (uint32_t i = 0; i < x->input_count; i++)
    if (c->number[leat_op_input(g, x, i)] != c->number[leat_op_input(g, y, i)]) return false;
  return leat_attrs_equal(g, x, g, y) && same_results(g, x, y);
}

// Symbols and stores are the interface; everything else, random draws too, is a function of operands and attributes.
static bool is_candidate(const leat_op_t *op) {
  return leat_op_role(op->kind) != LEAT_ROLE_SYMBOL && !leat_op_is_statement(op->kind);
}

static leat_op_id_t find_twin(const cse_t *c, const leat_graph_t *g, const leat_op_t *op, uint32_t bucket) {
  for (leat_op_id_t id = c->buckets[bucket]; id != LEAT_NONE; id = c->next[id])
    if (same_number(c, g, leat_graph_op(g, id), op)) return id;
  return LEAT_NONE;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  cse_t *c = r->user;
  const leat_graph_t *g = r->from;
  const leat_op_t *op = leat_graph_op(g, id);
  for (uint32_t i = 0; i < op->result_count; i++) c->number[op->result_first + i] = op->result_first + i;
  if (!is_candidate(op)) return leat_rebuild_copy(r, id);
  uint32_t bucket = hash_op(c, g, op);
  leat_op_id_t twin = find_twin(c, g, op, bucket);
  bool merge = false;
  if (twin != LEAT_NONE) {
    const leat_op_t *first = leat_graph_op(g, twin);
    merge = first->type == op->type || !leat_op_info(op->kind)->cheap;
    for (uint32_t i = 0; i < op->result_count; i++) {
      c->number[op->result_first + i] = c->number[first->result_first + i];
      if (merge) r->map[op->result_first + i] = r->map[first->result_first + i];
    }
    if (merge) return NULL;
  }
  c->next[id] = c->buckets[bucket];
  c->buckets[bucket] = id;
  return leat_rebuild_copy(r, id);
}

leat_status_t leat_opt_cse(const leat_graph_t *from, leat_graph_t **out_graph) {
  cse_t c = {.bucket_count = 64};
  while (c.bucket_count < from->ops.count) c.bucket_count *= 2;
  c.number = leat_alloc((from->values.count + 1u) * sizeof *c.number);
  c.next = leat_alloc((from->ops.count + 1u) * sizeof *c.next);
  c.buckets = leat_alloc(c.bucket_count * sizeof *c.buckets);
  leat_status_t status;
  if (c.number == NULL || c.next == NULL || c.buckets == NULL) {
    status = leat_out_of_memory();
  } else {
    memset(c.buckets, 0xff, c.bucket_count * sizeof *c.buckets);
    status = leat_rebuild(from, visit, &c, out_graph);
  }
  leat_free(c.number);
  leat_free(c.next);
  leat_free(c.buckets);
  return status;
}
