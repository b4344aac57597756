// SPDX-License-Identifier: Apache-2.0
// Rebuilding a graph: the walk that every pass shares.
#include "ir/rebuild.h"

#include <inttypes.h>

enum { COPIED_ATTRS_MAX = 32 };  // more than any op has

// Symbols, origins, groups, blobs and bodies keep their indices, so that ops can be copied without translating them.
static leat_status_t copy_tables(const leat_graph_t *from, leat_graph_t *to) {
  uint32_t index;
  LEAT_TRY(leat_graph_copy_symbols(to, from));
  for (uint32_t i = 1; i < from->origins.count; i++) {
    LEAT_TRY(leat_graph_add_origin(to, &from->origins.data[i], &index));
    assert(index == i);
  }
  for (uint32_t i = 0; i < from->groups.count; i++) LEAT_TRY(leat_graph_add_group(to, &from->groups.data[i]));
  for (uint32_t i = 0; i < from->blobs.count; i++) LEAT_TRY(leat_graph_share_blob(to, &from->blobs.data[i], &index));
  for (uint32_t i = 0; i < from->bodies.count; i++) LEAT_TRY(leat_graph_add_body(to, from->bodies.data[i], &index));
  return NULL;
}

// The operands of an op in the new graph. `out_inputs` has room for all of them.
static leat_status_t map_inputs(const leat_rebuild_t *r, const leat_op_t *op, leat_value_id_t *out_inputs) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    out_inputs[i] = leat_rebuild_input(r, op, i);
    if (out_inputs[i] == LEAT_NONE && leat_op_input(r->from, op, i) != LEAT_NONE)
      LEAT_FAIL(LEAT_INTERNAL, "operand %" PRIu32 " was dropped by a rewrite but is still used", i);
  }
  return NULL;
}

static leat_status_t append_copy(leat_rebuild_t *r, const leat_op_t *op, const leat_value_id_t *inputs,
                                 const leat_attr_t *attrs, uint32_t attr_count) {
  const leat_op_desc_t desc = {.kind = op->kind,
                               .type = r->b.type,
                               .detached = r->b.detached,
                               .exact = op->exact,
                               .group = r->b.group,
                               .origin = r->b.origin,
                               .inputs = inputs,
                               .input_count = op->input_count,
                               .attrs = attrs,
                               .attr_count = attr_count,
                               .results = r->from->values.data + op->result_first,
                               .result_count = op->result_count};
  leat_op_id_t id;
  LEAT_TRY(leat_graph_append(r->b.graph, &desc, &id));
  uint32_t first = leat_graph_op(r->b.graph, id)->result_first;
  for (uint32_t i = 0; i < op->result_count; i++) r->map[op->result_first + i] = first + i;
  return NULL;
}

static leat_status_t copy(leat_rebuild_t *r, leat_op_id_t id, const leat_attr_t *attrs, uint32_t attr_count) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  enum { FEW = 16 };
  leat_value_id_t few[FEW], *inputs = few;
  if (op->input_count > FEW) {
    inputs = leat_alloc_zero(op->input_count, sizeof *inputs);
    if (inputs == NULL) return leat_out_of_memory();
  }
  leat_status_t status = map_inputs(r, op, inputs);
  if (status == NULL) status = append_copy(r, op, inputs, attrs, attr_count);
  if (inputs != few) leat_free(inputs);
  return status;
}

leat_status_t leat_rebuild_copy(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  return copy(r, id, r->from->attrs.data + op->attr_first, op->attr_count);
}

leat_status_t leat_rebuild_copy_with(leat_rebuild_t *r, leat_op_id_t id, const leat_attr_t *attr) {
  leat_attr_t attrs[COPIED_ATTRS_MAX];
  const leat_op_t *op = leat_graph_op(r->from, id);
  assert(op->attr_count < COPIED_ATTRS_MAX);
  for (uint32_t i = 0; i < op->attr_count; i++) attrs[i] = r->from->attrs.data[op->attr_first + i];
  attrs[op->attr_count] = *attr;
  return copy(r, id, attrs, op->attr_count + 1);
}

leat_status_t leat_rebuild_again(leat_rebuild_t *r, const leat_op_t *op, const leat_value_id_t *inputs, uint8_t type,
                                 uint32_t group, leat_value_id_t *out_value) {
  const leat_op_desc_t desc = {.kind = op->kind,
                               .type = type,
                               .detached = op->detached,
                               .exact = op->exact,
                               .group = group,
                               .origin = op->origin,
                               .inputs = inputs,
                               .input_count = op->input_count,
                               .attrs = r->from->attrs.data + op->attr_first,
                               .attr_count = op->attr_count,
                               .results = leat_graph_value(r->from, op->result_first),
                               .result_count = 1};
  leat_op_id_t id;
  assert(op->result_count == 1);
  LEAT_TRY(leat_graph_append(r->b.graph, &desc, &id));
  *out_value = leat_graph_op(r->b.graph, id)->result_first;
  return NULL;
}

// An attribute as it is in `to`.
static leat_status_t import_attr(leat_graph_t *to, const leat_graph_t *from, const leat_op_t *op, leat_attr_t *attr) {
  const bool blob = leat_op_role(op->kind) == LEAT_ROLE_CONSTANT && attr->key == LEAT_ATTR_INDEX;
  const bool body = leat_attr_kind((leat_attr_key_t)attr->key) == 'B';
  uint32_t index = 0;
  assert(leat_attr_kind((leat_attr_key_t)attr->key) != 'Y');
  if (blob) LEAT_TRY(leat_graph_share_blob(to, &from->blobs.data[attr->v.i], &index));
  if (body) LEAT_TRY(leat_graph_add_body(to, from->bodies.data[attr->v.i], &index));
  if (blob || body) attr->v.i = index;
  return NULL;
}

leat_status_t leat_graph_import_op(leat_builder_t *b, const leat_graph_t *from, const leat_op_t *op,
                                   const leat_value_id_t *inputs, leat_op_id_t *out_op) {
  leat_attr_t attrs[COPIED_ATTRS_MAX];
  assert(op->attr_count <= COPIED_ATTRS_MAX);
  for (uint32_t i = 0; i < op->attr_count; i++) {
    attrs[i] = from->attrs.data[op->attr_first + i];
    LEAT_TRY(import_attr(b->graph, from, op, &attrs[i]));
  }
  const leat_op_desc_t desc = {.kind = op->kind,
                               .type = b->type,
                               .detached = b->detached,
                               .exact = op->exact,
                               .group = b->group,
                               .origin = b->origin,
                               .inputs = inputs,
                               .input_count = op->input_count,
                               .attrs = attrs,
                               .attr_count = op->attr_count,
                               .results = from->values.data + op->result_first,
                               .result_count = op->result_count};
  return leat_graph_append(b->graph, &desc, out_op);
}

void leat_graph_shift_stream(leat_graph_t *g, leat_op_id_t id, int64_t streams) {
  const leat_op_t *op = leat_graph_op(g, id);
  for (uint32_t i = 0; leat_op_draws(g, op) && i < op->attr_count; i++) {
    leat_attr_t *attr = &g->attrs.data[op->attr_first + i];
    if (attr->key == LEAT_ATTR_STREAM) attr->v.i += streams;
  }
}

static leat_status_t visit_op(leat_rebuild_t *r, leat_rebuild_visit_t visit, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  r->b.type = op->type;
  r->b.detached = op->detached;
  r->b.group = op->group;
  r->b.origin = op->origin;
  leat_status_t status = visit(r, id), sticky = leat_builder_take_status(&r->b);
  if (status == NULL)
    status = sticky;
  else
    leat_status_free(sticky);
  char text[256];
  return status == NULL ? NULL : leat_status_annotate(status, "%s", leat_op_text(r->from, op, text, sizeof text));
}

static leat_status_t walk(leat_rebuild_t *r, leat_rebuild_visit_t visit) {
  LEAT_TRY(copy_tables(r->from, r->b.graph));
  for (leat_op_id_t id = 0; id < r->from->ops.count; id++) LEAT_TRY(visit_op(r, visit, id));
  return NULL;
}

leat_status_t leat_rebuild(const leat_graph_t *from, leat_rebuild_visit_t visit, void *user, leat_graph_t **out_graph) {
  *out_graph = NULL;
  leat_graph_t *to;
  LEAT_TRY(leat_graph_create(&to));
  leat_rebuild_t r = {.from = from, .user = user};
  leat_builder_init(&r.b, to);
  r.map = leat_alloc(from->values.count * sizeof *r.map);
  leat_status_t status = NULL;
  if (r.map == NULL) {
    status = leat_out_of_memory();
  } else {
    for (uint32_t i = 0; i < from->values.count; i++) r.map[i] = LEAT_NONE;
    status = walk(&r, visit);
  }
  leat_free(r.map);
  if (status != NULL)
    leat_graph_destroy(to);
  else
    *out_graph = to;
  return status;
}
