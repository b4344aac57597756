// SPDX-License-Identifier: Apache-2.0
// The driver of reverse mode: which values need a gradient, seeds, the walk backwards, sums where a value is used more
// than once, and the stores of what comes out.
#include "grad/grad.h"

#include <stdio.h>

#include "grad/rules.h"
#include "ir/rebuild.h"

typedef struct reverse_s {
  leat_builder_t b;
  const leat_vjp_table_t *traced;
  uint32_t op_count, value_count;  // of the forward graph
  bool *needs;                     // per forward value: does a requires_grad symbol reach it?
  bool *reached;                   // per forward value: does it reach a seeded output, by ops that carry gradients?
  leat_value_id_t *cotangents;     // per forward value
  leat_value_id_t *current;        // per forward value: what forward writes to an optimized parameter, or LEAT_NONE
  leat_value_id_t *x, *dx;         // of the op at hand: its operands, what it adds to their cotangents
  bool *wants;                     // and which of them need it
} reverse_t;

// --- what forward writes to parameters that an optimizer updates: one store, of what the optimizer makes of it
// --------

static leat_status_t copy_forward(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  leat_value_id_t *current = r->user;
  if (leat_op_role(op->kind) == LEAT_ROLE_OPTIMIZER) return NULL;
  if (leat_op_role(op->kind) != LEAT_ROLE_UPDATE || !leat_graph_is_optimized(r->from, leat_op_input(r->from, op, 0)))
    return leat_rebuild_copy(r, id);
  current[leat_op_input(r->from, op, 0)] = leat_op_input(r->from, op, 1);
  return NULL;
}

// A parameter without gradient has no update but forward's own.
static leat_status_t store_written(reverse_t *r) {
  leat_builder_t *b = &r->b;
  for (leat_value_id_t v = 0; v < r->value_count; v++) {
    if (r->current[v] == LEAT_NONE || r->cotangents[v] != LEAT_NONE) continue;
    const leat_op_t *symbol = leat_graph_op(b->graph, leat_graph_value(b->graph, v)->op);
    *b = (leat_builder_t){.graph = b->graph, .type = LEAT_TYPE_FWD};
    leat_b_store(b, leat_op_symbol(b->graph, symbol), LEAT_STORE_UPDATE, r->current[v]);
  }
  return leat_builder_take_status(b);
}

// --- what needs a gradient, and what has one ------------------------------------------------------------------------

static void mark_needs(const leat_graph_t *g, bool *needs) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool any = leat_op_requires_grad(g, op);
    for (uint32_t i = 0; i < op->input_count && !any && !op->detached; i++) {
      leat_value_id_t x = leat_op_input(g, op, i);
      any = x != LEAT_NONE && needs[x];
    }
    for (uint32_t i = 0; i < op->result_count; i++) {
      leat_value_id_t y = op->result_first + i;
      needs[y] = any && leat_dtype_is_float((leat_dtype_t)leat_graph_value(g, y)->dtype);
    }
  }
}

static bool is_seeded(const leat_graph_t *g, const leat_op_t *op) {
  return leat_op_role(op->kind) == LEAT_ROLE_KEEP &&
         leat_op_word(g, op, LEAT_ATTR_SEED, LEAT_SEED_ZERO) != LEAT_SEED_ZERO;
}

bool leat_grad_flows(const leat_graph_t *g, const leat_op_t *op, uint32_t input) {
  if (op->detached || op->kind == LEAT_TRACED_DETACH) return false;
  if (op->kind == LEAT_TRACED_STRAIGHT_THROUGH) return input != 0;
  return leat_op_scalar(g, op) != LEAT_SCALAR_STOP;
}

// A symbol may be reached without a cotangent, as through floor: then its gradient is zero, not missing.
static void mark_reached(const leat_graph_t *g, const bool *needs, bool *reached) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (is_seeded(g, op) && needs[leat_op_input(g, op, 0)]) reached[leat_op_input(g, op, 0)] = true;
  }
  for (leat_op_id_t id = g->ops.count; id-- > 0;) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool any = false;
    for (uint32_t i = 0; i < op->result_count; i++) any = any || reached[op->result_first + i];
    for (uint32_t i = 0; i < op->input_count && any; i++) {
      leat_value_id_t x = leat_op_input(g, op, i);
      if (x != LEAT_NONE && needs[x] && leat_grad_flows(g, op, i)) reached[x] = true;
    }
  }
}

void leat_grad_mark(const leat_graph_t *g, bool *out_needs, bool *out_reached) {
  mark_needs(g, out_needs);
  mark_reached(g, out_needs, out_reached);
}

// --- the walk -------------------------------------------------------------------------------------------------------

static void provenance(leat_builder_t *b, const leat_op_t *op) {
  b->type = LEAT_TYPE_BCKWD;
  b->detached = 0;
  b->group = op->group;
  b->origin = op->origin;
}

// Adds a contribution to the cotangent of a forward value: brought to its shape and dtype, and summed with what other
// uses contributed. The sum belongs to the op that produced the value.
static void accumulate(reverse_t *r, leat_value_id_t value, leat_value_id_t contribution) {
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

static leat_status_t seed_output(reverse_t *r, leat_op_t op) {
  leat_builder_t *b = &r->b;
  const leat_graph_t *g = b->graph;
  leat_value_id_t value = leat_op_input(g, &op, 0);
  const leat_seed_t seed = leat_op_word(g, &op, LEAT_ATTR_SEED, LEAT_SEED_ZERO);
  leat_value_t v = *leat_graph_value(g, value);
  provenance(b, leat_graph_op(g, v.op));
  leat_value_id_t cotangent = LEAT_NONE;
  if (seed == LEAT_SEED_ONE) {
    cotangent = leat_b_splat(b, (leat_dtype_t)v.dtype, v.rank, v.dims, 1.0);
  } else {
    leat_symbol_id_t symbol = leat_b_role(b, LEAT_MADE_SEED, leat_op_symbol(g, &op));
    cotangent = leat_b_symbol(b, symbol, LEAT_KIND_SEED, (leat_dtype_t)v.dtype, v.rank, v.dims);
  }
  accumulate(r, value, cotangent);
  return leat_builder_take_status(b);
}

static leat_status_t seed_outputs(reverse_t *r) {
  for (leat_op_id_t id = 0; id < r->op_count; id++) {
    leat_op_t op = *leat_graph_op(r->b.graph, id);
    if (is_seeded(r->b.graph, &op) && r->needs[leat_op_input(r->b.graph, &op, 0)]) LEAT_TRY(seed_output(r, op));
  }
  return NULL;
}

static leat_status_t apply_rule(reverse_t *r, const leat_op_t *op) {
  leat_builder_t *b = &r->b;
  leat_value_id_t *x = r->x, *dx = r->dx, y[LEAT_VJP_RESULT_MAX], dy[LEAT_VJP_RESULT_MAX];
  bool *wants = r->wants, reached = false, any = false;
  if (op->result_count == 0 || op->input_count == 0 || op->detached) return NULL;
  assert(op->result_count <= LEAT_VJP_RESULT_MAX);
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
  provenance(b, op);
  leat_vjp_t v = {.b = b, .op = *op, .x = x, .x_count = op->input_count, .y = y, .dy = dy, .wants = wants, .dx = dx};
  rule(&v);
  for (uint32_t i = 0; i < op->input_count; i++)
    if (wants[i] && dx[i] != LEAT_NONE) accumulate(r, x[i], dx[i]);
  return leat_builder_take_status(b);
}

static leat_status_t walk_back(reverse_t *r) {
  for (leat_op_id_t id = r->op_count; id-- > 0;) {
    leat_op_t op = *leat_graph_op(r->b.graph, id);
    leat_status_t status = apply_rule(r, &op);
    char where[256];
    if (status != NULL)
      return leat_status_annotate(status, "gradient of %s", leat_op_text(r->b.graph, &op, where, sizeof where));
  }
  return NULL;
}

static leat_status_t store_gradients(reverse_t *r) {
  leat_builder_t *b = &r->b;
  for (leat_op_id_t id = 0; id < r->op_count; id++) {
    leat_op_t op = *leat_graph_op(b->graph, id);
    if (!leat_op_requires_grad(b->graph, &op) || !r->reached[op.result_first]) continue;
    provenance(b, &op);
    leat_value_id_t *gradient = &r->cotangents[op.result_first];
    if (*gradient == LEAT_NONE) *gradient = leat_b_full_like(b, op.result_first, 0.0);
    leat_b_store(b, leat_b_role(b, LEAT_MADE_GRAD, leat_op_symbol(b->graph, &op)), LEAT_STORE_GRAD, *gradient);
  }
  return leat_builder_take_status(b);
}

static leat_status_t run(reverse_t *r, const leat_graph_t *from) {
  leat_grad_mark(r->b.graph, r->needs, r->reached);
  LEAT_TRY(seed_outputs(r));
  LEAT_TRY(walk_back(r));
  LEAT_TRY(store_gradients(r));
  LEAT_TRY(store_written(r));
  return leat_optimizer_append(&r->b, from, r->cotangents, r->current);
}

// Of an op, at least 1.
static size_t most_operands(const leat_graph_t *g) {
  size_t most = 1;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const uint32_t count = leat_graph_op(g, id)->input_count;
    most = count > most ? count : most;
  }
  return most;
}

// Arrays of `count` values, all but `needs` and `reached` filled with LEAT_NONE.
static leat_status_t make_room(reverse_t *r, uint32_t count, size_t operands) {
  r->needs = leat_alloc_zero((size_t)count + 1u, sizeof *r->needs);
  r->reached = leat_alloc_zero((size_t)count + 1u, sizeof *r->reached);
  r->cotangents = leat_alloc_zero((size_t)count + 1u, sizeof *r->cotangents);
  r->current = leat_alloc_zero((size_t)count + 1u, sizeof *r->current);
  r->x = leat_alloc_zero(operands, sizeof *r->x);
  r->dx = leat_alloc_zero(operands, sizeof *r->dx);
  r->wants = leat_alloc_zero(operands, sizeof *r->wants);
  if (r->needs == NULL || r->reached == NULL || r->cotangents == NULL || r->current == NULL || r->x == NULL ||
      r->dx == NULL || r->wants == NULL)
    return leat_out_of_memory();
  for (uint32_t i = 0; i < count; i++) r->cotangents[i] = r->current[i] = LEAT_NONE;
  return NULL;
}

static leat_status_t differentiate(reverse_t *r, const leat_graph_t *from, leat_graph_t **out_graph) {
  LEAT_TRY(make_room(r, from->values.count, most_operands(from)));
  LEAT_TRY(leat_rebuild(from, copy_forward, r->current, out_graph));
  assert((*out_graph)->values.count == from->values.count);  // only statements without results were left out
  r->op_count = (*out_graph)->ops.count;
  r->value_count = from->values.count;
  leat_builder_init(&r->b, *out_graph);
  return run(r, from);
}

leat_status_t leat_grad(const leat_graph_t *from, const leat_vjp_table_t *traced_vjps, leat_graph_t **out_graph) {
  leat_graph_t *graph = NULL;
  reverse_t r = {.traced = traced_vjps};
  leat_status_t status = differentiate(&r, from, &graph);
  leat_free(r.needs);
  leat_free(r.reached);
  leat_free(r.cotangents);
  leat_free(r.current);
  leat_free(r.x);
  leat_free(r.dx);
  leat_free(r.wants);
  if (status != NULL) {
    if (graph != NULL) leat_graph_destroy(graph);
    return status;
  }
  *out_graph = graph;
  return NULL;
}
