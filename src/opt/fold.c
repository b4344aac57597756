// SPDX-License-Identifier: Apache-2.0
// The rule driver: each op becomes a candidate, rules are applied until none fires (fold.h says why that ends), then
// the candidate is written or has been replaced.
#include "opt/fold.h"

#include "ir/rebuild.h"
#include "opt/opt.h"

const leat_op_t *leat_fold_producer(const leat_candidate_t *c, leat_value_id_t v) {
  return leat_graph_op(c->b->graph, leat_graph_value(c->b->graph, v)->op);
}

bool leat_fold_splat(const leat_candidate_t *c, leat_value_id_t v, double *out_number) {
  return leat_op_splat(c->b->graph, leat_fold_producer(c, v), out_number);
}

bool leat_fold_fits(const leat_candidate_t *c, leat_value_id_t v) {
  const leat_value_t *x = leat_graph_value(c->b->graph, v);
  return x->dtype == c->y.dtype && leat_same_shape(x, &c->y);
}

bool leat_fold_end(leat_candidate_t *c, leat_value_id_t v) {
  if (!leat_fold_fits(c, v)) return false;
  c->value = v;
  return true;
}

const leat_attr_t *leat_fold_attr(const leat_candidate_t *c, leat_attr_key_t key) {
  for (uint32_t i = 0; i < c->attr_count; i++)
    if (c->attrs[i].key == key) return &c->attrs[i];
  return NULL;
}

// Ops with more operands or results than rules look at are copied.
static bool is_candidate(const leat_op_t *op) {
  return leat_op_is_primitive(op->kind) && op->result_count == 1 && leat_op_role(op->kind) != LEAT_ROLE_SYMBOL &&
         op->input_count <= LEAT_FOLD_OPERANDS_MAX && op->attr_count <= LEAT_FOLD_ATTRS_MAX;
}

static leat_candidate_t read_candidate(leat_rebuild_t *r, const leat_op_t *op) {
  leat_candidate_t c = {.b = &r->b,
                        .kind = op->kind,
                        .in_count = op->input_count,
                        .attr_count = op->attr_count,
                        .y = *leat_graph_value(r->from, op->result_first),
                        .value = LEAT_NONE};
  for (uint32_t i = 0; i < op->input_count; i++) c.in[i] = leat_rebuild_input(r, op, i);
  for (uint32_t i = 0; i < op->attr_count; i++) c.attrs[i] = r->from->attrs.data[op->attr_first + i];
  return c;
}

static bool apply_one(leat_candidate_t *c) {
  for (uint32_t i = 0; i < leat_fold_rule_count; i++) {
    const leat_fold_entry_t *entry = &leat_fold_rules[i];
    if ((entry->kind == c->kind || entry->kind == LEAT_PRIM_COUNT) && entry->rule(c)) return true;
  }
  return false;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  if (!is_candidate(op)) return leat_rebuild_copy(r, id);
  leat_candidate_t c = read_candidate(r, op);
  while (c.value == LEAT_NONE && r->b.status == NULL && apply_one(&c)) {
  }
  if (c.value == LEAT_NONE) c.value = leat_b_op(&r->b, c.kind, c.in, c.in_count, c.attrs, c.attr_count, &c.y);
  LEAT_TRY(leat_builder_take_status(&r->b));
  r->map[op->result_first] = c.value;
  return NULL;
}

leat_status_t leat_opt_fold(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_rebuild(from, visit, NULL, out_graph);
}
