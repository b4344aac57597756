// SPDX-License-Identifier: Apache-2.0
// Reverse mode of a program: which values need a gradient, seeds, the walk (reverse.c), and the stores of what comes
// out.
#include "grad/grad.h"

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

// --- state in the memory of a parameter
// --------

enum { ALIAS_ATTRS_MAX = 8 };

static const leat_op_t *maker_of(const leat_graph_t *g, leat_value_id_t v) {
  return leat_graph_op(g, leat_graph_value(g, v)->op);
}

// Is `op` all or some of its operand's elements, as they are?
static bool is_alias(const leat_graph_t *g, const leat_op_t *op) {
  return leat_op_role(op->kind) == LEAT_ROLE_VIEW ||
         (op->kind == LEAT_PRIM_MAP && op->input_count == 1 &&
          leat_op_word(g, op, LEAT_ATTR_FN, LEAT_SCALAR_COUNT) == LEAT_SCALAR_STOP);
}

// What the optimizers have made of forward's values: of a parameter, and of what forward writes to it.
static void find_updated(const program_t *p, leat_value_id_t *updated) {
  const leat_graph_t *g = p->r.b.graph;
  for (leat_value_id_t v = 0; v < p->r.value_count; v++) updated[v] = LEAT_NONE;
  for (leat_op_id_t id = p->r.op_count; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (op->type != LEAT_TYPE_OPT || !leat_op_is_store(g, op, LEAT_STORE_UPDATE)) continue;
    const leat_op_id_t leaf = leat_graph_symbol(g, leat_op_symbol(g, op))->op;
    if (leaf >= p->r.op_count) continue;  // state of the optimizer
    const leat_value_id_t parameter = leat_graph_op(g, leaf)->result_first;
    updated[parameter] = leat_op_input(g, op, 0);
    if (p->current[parameter] != LEAT_NONE) updated[p->current[parameter]] = leat_op_input(g, op, 0);
  }
}

// The op of `v` once more, of operand `input`; what autograd is kept from is the operand itself.
static leat_value_id_t alias_of(leat_builder_t *b, leat_value_id_t v, leat_value_id_t input) {
  const leat_graph_t *g = b->graph;
  const leat_op_t op = *leat_graph_op(g, leat_graph_value(g, v)->op);
  const leat_value_t type = *leat_graph_value(g, v);
  leat_attr_t attrs[ALIAS_ATTRS_MAX];
  if (leat_op_role(op.kind) != LEAT_ROLE_VIEW) return input;
  assert(op.attr_count <= ALIAS_ATTRS_MAX);
  memcpy(attrs, g->attrs.data + op.attr_first, op.attr_count * sizeof *attrs);
  return leat_b_op(b, op.kind, &input, 1, attrs, op.attr_count, &type);
}

// The aliases from `v` down to an updated value, once more from what that has become; LEAT_NONE: it is no such alias.
static leat_status_t alias_again(program_t *p, leat_value_id_t v, const leat_value_id_t *updated,
                                 leat_value_id_t *out_value) {
  const leat_graph_t *g = p->r.b.graph;
  LEAT_ARRAY(leat_value_id_t) way = {0};
  for (; updated[v] == LEAT_NONE && is_alias(g, maker_of(g, v)); v = leat_op_input(g, maker_of(g, v), 0)) {
    leat_value_id_t *slot = leat_array_push(&way);
    if (slot == NULL) {
      leat_array_free(&way);
      return leat_out_of_memory();
    }
    *slot = v;
  }
  *out_value = updated[v];
  while (*out_value != LEAT_NONE && way.count > 0) {
    *out_value = alias_of(&p->r.b, way.data[way.count - 1], *out_value);
    --way.count;
  }
  leat_array_free(&way);
  return leat_builder_take_status(&p->r.b);
}

// State that forward has left in the memory of a parameter becomes what the optimizer makes of that.
static leat_status_t store_shared(program_t *p, const leat_graph_t *from, leat_value_id_t *updated) {
  find_updated(p, updated);
  for (leat_op_id_t id = 0; id < from->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(from, id);
    if (leat_op_role(op->kind) != LEAT_ROLE_UPDATE || leat_op_int(from, op, LEAT_ATTR_SHARED, 0) == 0) continue;
    const leat_op_t *symbol = leat_graph_op(from, leat_graph_value(from, leat_op_input(from, op, 0))->op);
    leat_value_id_t value = LEAT_NONE;
    p->r.b = (leat_builder_t){.graph = p->r.b.graph, .type = LEAT_TYPE_OPT, .origin = op->origin};
    LEAT_TRY(alias_again(p, leat_op_input(from, op, 1), updated, &value));
    if (value != LEAT_NONE) leat_b_store(&p->r.b, leat_op_symbol(from, symbol), LEAT_STORE_UPDATE, value);
  }
  return leat_builder_take_status(&p->r.b);
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
  LEAT_TRY(leat_optimizer_append(&p->r.b, from, p->r.cotangents, p->current));
  leat_value_id_t *updated = leat_alloc((p->r.value_count + 1u) * sizeof *updated);
  if (updated == NULL) return leat_out_of_memory();
  leat_status_t status = store_shared(p, from, updated);
  leat_free(updated);
  return status;
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
