// SPDX-License-Identifier: Apache-2.0
// The walk of reverse mode: backwards over the ops of a graph, each by its rule, with sums where a value is used more
// than once.
#include "grad/reverse.h"

// --- life ---------------------------------------------------------------------------------------------------------

// Operands (results) of the op that has most, at least 1.
static size_t most(const leat_graph_t *g, bool results) {
  uint32_t count = 1;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    const uint32_t own = results ? op->result_count : op->input_count;
    count = own > count ? own : count;
  }
  return count;
}

leat_status_t leat_reverse_init(leat_reverse_t *r, leat_graph_t *g, const leat_vjp_table_t *traced) {
  const size_t count = g->values.count, operands = most(g, false), results = most(g, true);
  *r = (leat_reverse_t){.traced = traced, .op_count = g->ops.count, .value_count = g->values.count};
  leat_builder_init(&r->b, g);
  r->needs = leat_alloc_zero(count + 1u, sizeof *r->needs);
  r->cotangents = leat_alloc_zero(count + 1u, sizeof *r->cotangents);
  r->x = leat_alloc_zero(operands, sizeof *r->x);
  r->dx = leat_alloc_zero(operands, sizeof *r->dx);
  r->wants = leat_alloc_zero(operands, sizeof *r->wants);
  r->y = leat_alloc_zero(results, sizeof *r->y);
  r->dy = leat_alloc_zero(results, sizeof *r->dy);
  if (r->needs == NULL || r->cotangents == NULL || r->x == NULL || r->dx == NULL || r->wants == NULL || r->y == NULL ||
      r->dy == NULL)
    return leat_out_of_memory();
  for (size_t i = 0; i < count; i++) r->cotangents[i] = LEAT_NONE;
  return NULL;
}

void leat_reverse_deinit(leat_reverse_t *r) {
  leat_free(r->needs);
  leat_free(r->cotangents);
  leat_free(r->x);
  leat_free(r->dx);
  leat_free(r->wants);
  leat_free(r->y);
  leat_free(r->dy);
}

// --- the walk -------------------------------------------------------------------------------------------------------

void leat_reverse_at(leat_builder_t *b, const leat_op_t *op) {
  b->type = LEAT_TYPE_BCKWD;
  b->detached = 0;
  b->group = op->group;
  b->origin = op->origin;
}

// The sum belongs to the op that produced the value.
void leat_reverse_add(leat_reverse_t *r, leat_value_id_t value, leat_value_id_t contribution) {
  leat_builder_t *b = &r->b;
  leat_value_t v = *leat_graph_value(b->graph, value);
  contribution = leat_b_sum_to(b, contribution, v.rank, v.dims);
  contribution = leat_b_broadcast_to(b, contribution, v.rank, v.dims);
  contribution = leat_b_cast(b, contribution, (leat_dtype_t)v.dtype);
  if (r->cotangents[value] == LEAT_NONE) {
    r->cotangents[value] = contribution;
    return;
  }
  uint32_t group = b->group, origin = b->origin;
  const leat_op_t *producer = leat_graph_op(b->graph, v.op);
  b->group = producer->group;
  b->origin = producer->origin;
  r->cotangents[value] = leat_b_add(b, r->cotangents[value], contribution);
  b->group = group;
  b->origin = origin;
}

static leat_status_t apply_rule(leat_reverse_t *r, const leat_op_t *op) {
  leat_builder_t *b = &r->b;
  leat_value_id_t *x = r->x, *dx = r->dx, *y = r->y, *dy = r->dy;
  bool *wants = r->wants, reached = false, any = false;
  if (op->result_count == 0 || op->input_count == 0 || op->detached) return NULL;
  for (uint32_t i = 0; i < op->result_count; i++) {
    y[i] = op->result_first + i;
    dy[i] = r->cotangents[y[i]];
    reached = reached || dy[i] != LEAT_NONE;
  }
  for (uint32_t i = 0; i < op->input_count; i++) {
    x[i] = leat_op_input(b->graph, op, i);
    dx[i] = LEAT_NONE;
    wants[i] = x[i] != LEAT_NONE && r->needs[x[i]];
    any = any || wants[i];
  }
  if (!reached || !any) return NULL;
  leat_vjp_rule_t rule = leat_vjp_rule(r->traced, op->kind);
  if (rule == NULL) LEAT_FAIL(LEAT_INTERNAL, "a traced op without own gradient reached reverse mode");
  leat_reverse_at(b, op);
  leat_vjp_t v = {.b = b, .op = *op, .x = x, .x_count = op->input_count, .y = y, .dy = dy, .wants = wants, .dx = dx};
  rule(&v);
  for (uint32_t i = 0; i < op->input_count; i++)
    if (wants[i] && dx[i] != LEAT_NONE) leat_reverse_add(r, x[i], dx[i]);
  return leat_builder_take_status(b);
}

leat_status_t leat_reverse_walk(leat_reverse_t *r) {
  for (leat_op_id_t id = r->op_count; id-- > 0;) {
    leat_op_t op = *leat_graph_op(r->b.graph, id);
    leat_status_t status = apply_rule(r, &op);
    char where[256];
    if (status != NULL)
      return leat_status_annotate(status, "gradient of %s", leat_op_text(r->b.graph, &op, where, sizeof where));
  }
  return NULL;
}
