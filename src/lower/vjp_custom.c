// SPDX-License-Identifier: Apache-2.0
// Gradients that are not those of the value: what the program wrote itself, and writes that autograd did not see.
//
// custom_gradient: operands are the result y, the stand-in for its cotangent, the operands x
// of the program's function, and for each of them what the program's backward made of the stand-in (or none).
// Reverse mode copies the ops between the stand-in and those with the real cotangent in its place.
#include "lower/row.h"

enum { X_FIRST = 2 };

LOWER(COTANGENT) {
  const leat_value_t *v = leat_lower_declared(c, 0);  // whatever still reads the stand-in is dead
  return leat_b_splat(c->b, (leat_dtype_t)v->dtype, v->rank, v->dims, 0.0);
}

// A leaf that stays whole until reverse mode has run; nothing asks it for a gradient.
VJP(COTANGENT) { (void)v; }

LOWER(CUSTOM_GRADIENT) { return c->in[0]; }

LOWER(STRAIGHT_THROUGH) { return c->in[0]; }

VJP(STRAIGHT_THROUGH) {
  if (v->wants[1]) v->dx[1] = v->dy[0];
}

typedef struct copy_s {
  leat_builder_t *b;
  leat_op_id_t first;         // the op of the stand-in
  leat_value_id_t base;       // its value: the map starts there
  leat_value_id_t *map;       // value -> its copy; LEAT_NONE: does not depend on the stand-in
  leat_value_id_t *operands;  // room for those of any op
} copy_t;

static leat_value_id_t copied(const copy_t *c, leat_value_id_t v) {
  if (v == LEAT_NONE || v < c->base || c->map[v - c->base] == LEAT_NONE) return v;
  return c->map[v - c->base];
}

static leat_status_t copy_op(copy_t *c, leat_op_id_t id) {
  leat_graph_t *g = c->b->graph;
  const leat_op_t *op = leat_graph_op(g, id);
  bool depends = false;
  for (uint32_t i = 0; i < op->input_count; i++) {
    leat_value_id_t v = leat_op_input(g, op, i);
    c->operands[i] = copied(c, v);
    depends = depends || c->operands[i] != v;
  }
  if (!depends) return NULL;
  const uint32_t first = op->result_first, count = op->result_count;
  const leat_op_desc_t desc = {.kind = op->kind,
                               .type = c->b->type,
                               .group = c->b->group,
                               .origin = c->b->origin,
                               .inputs = c->operands,
                               .input_count = op->input_count,
                               .attrs = g->attrs.data + op->attr_first,
                               .attr_count = op->attr_count,
                               .results = g->values.data + first,
                               .result_count = count};
  leat_op_id_t copy;
  LEAT_TRY(leat_graph_append(g, &desc, &copy));
  for (uint32_t i = 0; i < count; i++) c->map[first - c->base + i] = leat_graph_op(g, copy)->result_first + i;
  return NULL;
}

// Copies what depends on the stand-in, up to op `last`.
static leat_status_t copy_ops(copy_t *c, leat_op_id_t last, leat_value_id_t cotangent) {
  const leat_graph_t *g = c->b->graph;
  uint32_t values = leat_graph_op(g, last)->result_first - c->base, operands = 0;
  for (leat_op_id_t id = c->first; id < last; id++)
    if (leat_graph_op(g, id)->input_count > operands) operands = leat_graph_op(g, id)->input_count;
  c->map = leat_alloc(values * sizeof *c->map);
  c->operands = leat_alloc((operands + 1u) * sizeof *c->operands);
  leat_status_t status = NULL;
  if (c->map == NULL || c->operands == NULL) {
    status = leat_out_of_memory();
  } else {
    for (uint32_t i = 0; i < values; i++) c->map[i] = LEAT_NONE;
    c->map[0] = cotangent;
    for (leat_op_id_t id = c->first + 1; id < last && status == NULL; id++) status = copy_op(c, id);
  }
  return status;
}

static bool is_stand_in(const leat_graph_t *g, leat_value_id_t v, leat_value_id_t result) {
  if (v == LEAT_NONE || !leat_same_shape(leat_graph_value(g, v), leat_graph_value(g, result))) return false;
  return leat_graph_op(g, leat_graph_value(g, v)->op)->kind == LEAT_TRACED_COTANGENT;
}

VJP(CUSTOM_GRADIENT) {
  const leat_graph_t *g = v->b->graph;
  const uint32_t count = (v->x_count - X_FIRST) / 2;
  const leat_value_id_t stand_in = v->x[1];
  if (v->x_count % 2 != 0 || !is_stand_in(g, stand_in, v->y[0])) {
    leat_b_fail(v->b, LEAT_INVALID_ARGUMENT, "operand 1 must be a cotangent of the result's shape, then x.. and dx..");
    return;
  }
  copy_t c = {.b = v->b, .first = leat_graph_value(g, stand_in)->op, .base = stand_in};
  leat_status_t status = copy_ops(&c, leat_graph_value(g, v->y[0])->op, v->dy[0]);
  for (uint32_t i = 0; i < count && status == NULL; i++)
    if (v->wants[X_FIRST + i]) v->dx[X_FIRST + i] = copied(&c, v->x[X_FIRST + count + i]);
  leat_free(c.map);
  leat_free(c.operands);
  if (status != NULL) leat_b_fail(v->b, leat_status_code(status), "%s", leat_status_message(status));
  leat_status_free(status);
}
