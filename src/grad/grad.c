// SPDX-License-Identifier: Apache-2.0
// Reverse mode of a program: which values need a gradient, seeds, the walk (reverse.c), and the stores of what comes
// out.
#include "grad/grad.h"

#include "grad/accumulate.h"
#include "grad/loop.h"
#include "grad/reverse.h"
#include "ir/rebuild.h"

typedef struct program_s {
  leat_reverse_t r;
  bool *reached;             // per forward value: does it reach a seeded output, by ops that carry gradients?
  leat_value_id_t *current;  // per forward value: what forward writes to an optimized parameter, or LEAT_NONE
} program_t;

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
static leat_status_t store_written(program_t *p) {
  leat_builder_t *b = &p->r.b;
  for (leat_value_id_t v = 0; v < p->r.value_count; v++) {
    if (p->current[v] == LEAT_NONE || p->r.cotangents[v] != LEAT_NONE) continue;
    const leat_op_t *symbol = leat_graph_op(b->graph, leat_graph_value(b->graph, v)->op);
    *b = (leat_builder_t){.graph = b->graph, .type = LEAT_TYPE_FWD};
    leat_b_store(b, leat_op_symbol(b->graph, symbol), LEAT_STORE_UPDATE, p->current[v]);
  }
  return leat_builder_take_status(b);
}

// --- seeds ---------------------------------------------------------------------------------------------------------

static leat_status_t seed_output(leat_reverse_t *r, leat_op_t op) {
  leat_builder_t *b = &r->b;
  const leat_graph_t *g = b->graph;
  leat_value_id_t value = leat_op_input(g, &op, 0);
  const leat_seed_t seed = leat_op_word(g, &op, LEAT_ATTR_SEED, LEAT_SEED_ZERO);
  leat_value_t v = *leat_graph_value(g, value);
  leat_reverse_at(b, leat_graph_op(g, v.op));
  leat_value_id_t cotangent = LEAT_NONE;
  if (seed == LEAT_SEED_ONE) {
    cotangent = leat_b_splat(b, (leat_dtype_t)v.dtype, v.rank, v.dims, 1.0);
  } else {
    leat_symbol_id_t symbol = leat_b_role(b, LEAT_MADE_SEED, leat_op_symbol(g, &op));
    cotangent = leat_b_symbol(b, symbol, LEAT_KIND_SEED, (leat_dtype_t)v.dtype, v.rank, v.dims);
  }
  leat_reverse_add(r, value, cotangent);
  return leat_builder_take_status(b);
}

static leat_status_t seed_outputs(leat_reverse_t *r) {
  for (leat_op_id_t id = 0; id < r->op_count; id++) {
    leat_op_t op = *leat_graph_op(r->b.graph, id);
    if (leat_grad_is_seeded(r->b.graph, &op) && r->needs[leat_op_input(r->b.graph, &op, 0)])
      LEAT_TRY(seed_output(r, op));
  }
  return NULL;
}

// --- all of it ------------------------------------------------------------------------------------------------------

static leat_status_t store_gradients(program_t *p) {
  leat_builder_t *b = &p->r.b;
  for (leat_op_id_t id = 0; id < p->r.op_count; id++) {
    leat_op_t op = *leat_graph_op(b->graph, id);
    if (!leat_op_requires_grad(b->graph, &op) || !p->reached[op.result_first]) continue;
    leat_reverse_at(b, &op);
    leat_value_id_t *gradient = &p->r.cotangents[op.result_first];
    if (*gradient == LEAT_NONE) *gradient = leat_b_full_like(b, op.result_first, 0.0);
    *gradient = leat_grad_accumulate(b, &op, *gradient);
    leat_b_store(b, leat_b_role(b, LEAT_MADE_GRAD, leat_op_symbol(b->graph, &op)), LEAT_STORE_GRAD, *gradient);
  }
  return leat_builder_take_status(b);
}

static leat_status_t run(program_t *p, const leat_graph_t *from) {
  leat_grad_mark(p->r.b.graph, p->r.needs, p->reached);
  LEAT_TRY(seed_outputs(&p->r));
  LEAT_TRY(leat_reverse_walk(&p->r));
  LEAT_TRY(store_gradients(p));
  LEAT_TRY(store_written(p));
  return leat_optimizer_append(&p->r.b, from, p->r.cotangents, p->current);
}

// Flags and values for each of `count` values.
static leat_status_t make_room(program_t *p, uint32_t count) {
  p->reached = leat_alloc_zero((size_t)count + 1u, sizeof *p->reached);
  p->current = leat_alloc_zero((size_t)count + 1u, sizeof *p->current);
  if (p->reached == NULL || p->current == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < count; i++) p->current[i] = LEAT_NONE;
  return NULL;
}

static leat_status_t differentiate(program_t *p, const leat_graph_t *from, const leat_vjp_table_t *traced,
                                   leat_graph_t **out_graph) {
  LEAT_TRY(make_room(p, from->values.count));
  LEAT_TRY(leat_rebuild(from, copy_forward, p->current, out_graph));
  assert((*out_graph)->values.count == from->values.count);  // only statements without results were left out
  LEAT_TRY(leat_reverse_init(&p->r, *out_graph, traced));
  return run(p, from);
}

leat_status_t leat_grad(const leat_graph_t *from, const leat_vjp_table_t *traced_vjps, leat_graph_t **out_graph) {
  leat_graph_t *graph = NULL, *kept = NULL;
  program_t p = {0};
  LEAT_TRY(leat_loop_keep(from, &kept));
  leat_status_t status = differentiate(&p, kept == NULL ? from : kept, traced_vjps, &graph);
  leat_reverse_deinit(&p.r);
  leat_free(p.reached);
  leat_free(p.current);
  leat_graph_destroy(kept);
  if (status != NULL) {
    if (graph != NULL) leat_graph_destroy(graph);
    return status;
  }
  *out_graph = graph;
  return NULL;
}
