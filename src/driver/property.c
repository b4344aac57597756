// SPDX-License-Identifier: Apache-2.0
// Implementation of property.h: one row and one short function a property.
#include "driver/property.h"

#include "space/settle.h"

// Does `op` belong in a graph of the property? NULL: no op says, as with a program that is written in primitives.
typedef bool (*fits_t)(const leat_graph_t *g, const leat_op_t *op);

static bool is_forward(const leat_graph_t *g, const leat_op_t *op) {
  (void)g;
  return op->type == LEAT_TYPE_FWD;
}

// Conversions of what symbols hold (precision) are in no group.
static bool is_grouped(const leat_graph_t *g, const leat_op_t *op) {
  return g->groups.count == 0 || op->group == 0 || leat_graph_group(g, op->group) != NULL;
}

static bool is_lowered(const leat_graph_t *g, const leat_op_t *op) {
  (void)g;
  return leat_op_is_primitive(op->kind) || leat_op_info(op->kind)->own_gradient || leat_op_is_statement(op->kind);
}

static bool is_differentiated(const leat_graph_t *g, const leat_op_t *op) {
  (void)g;
  return op->kind != LEAT_TRACED_OPTIMIZER;
}

static bool is_primitive(const leat_graph_t *g, const leat_op_t *op) {
  (void)g;
  return leat_op_is_primitive(op->kind);
}

static bool is_straight(const leat_graph_t *g, const leat_op_t *op) {
  (void)g;
  return leat_op_role(op->kind) != LEAT_ROLE_LOOP;
}

static bool is_empty(const leat_graph_t *g, leat_value_id_t v) {
  return v != LEAT_NONE && leat_value_elements(leat_graph_value(g, v)) == 0;
}

static bool has_elements(const leat_graph_t *g, const leat_op_t *op) {
  if (leat_op_is_leaf(op->kind)) return true;
  for (uint32_t i = 0; i < op->input_count && !leat_op_is_statement(op->kind); ++i) {
    if (is_empty(g, leat_op_input(g, op, i))) return false;
  }
  for (uint32_t i = 0; i < op->result_count; ++i) {
    if (is_empty(g, op->result_first + i)) return false;
  }
  return true;
}

static const struct {
  const char *text;
  fits_t fits;
} properties[LEAT_PROPERTY_COUNT] = {
    [LEAT_PROPERTY_TRACED] = {"a program that is not lowered", NULL},
    [LEAT_PROPERTY_FORWARD] = {"a graph without backward", is_forward},
    [LEAT_PROPERTY_GROUPED] = {"a graph whose ops are in groups or in none", is_grouped},
    [LEAT_PROPERTY_LOWERED] = {"a graph lowered up to rows with a gradient of their own", is_lowered},
    [LEAT_PROPERTY_DIFFERENTIATED] = {"a graph with the updates of its optimizers", is_differentiated},
    [LEAT_PROPERTY_PRIMITIVE] = {"a graph of primitives", is_primitive},
    [LEAT_PROPERTY_STRAIGHT] = {"a graph without loops", is_straight},
    [LEAT_PROPERTY_NO_EMPTY] = {"a graph that computes nothing without elements", has_elements},
    [LEAT_PROPERTY_SETTLED] = {"a graph whose views are read through strides", leat_is_settled},
};

const char *leat_property_text(leat_property_t property) { return properties[property].text; }

leat_status_t leat_property_check(leat_property_t property, const leat_graph_t *graph) {
  const fits_t fits = properties[property].fits;
  for (leat_op_id_t id = 0; id < graph->ops.count && fits != NULL; ++id) {
    const leat_op_t *op = leat_graph_op(graph, id);
    char text[256];
    if (!fits(graph, op)) LEAT_FAIL(LEAT_INTERNAL, "%s", leat_op_text(graph, op, text, sizeof text));
  }
  return NULL;
}
