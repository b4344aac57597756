// SPDX-License-Identifier: Apache-2.0
// What a loop that is differentiated leaves for its gradient: stacks of what the reverse trip reads and does not
// compute again. To begin with that is what is dearer to compute than to load (carried values, products, sums). Then
// kept values move forward: where all that reads one is cheap and gives no more bytes, its results are kept instead. So
// a cell keeps its gates, not the product that they are made of.
#include "grad/grad.h"
#include "grad/loop.h"
#include "ir/rebuild.h"

typedef struct keeper_s {
  const bool *needs, *reached;  // of the program
} keeper_t;

typedef struct choice_s {
  leat_trip_t t;
  bool *roots, *kept, *needed;  // per value of the trip
} choice_t;

// --- choosing -------------------------------------------------------------------------------------------------------

static bool is_dear(const leat_graph_t *g, const leat_op_t *op) {
  const leat_scalar_t fn = leat_op_scalar(g, op);
  if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL || !leat_op_info(op->kind)->cheap) return true;
  return fn != LEAT_SCALAR_COUNT && !leat_scalar_is_quick(fn);
}

static void mark(choice_t *c) {
  memcpy(c->needed, c->roots, c->t.graph->values.count * sizeof *c->needed);
  leat_trip_mark(&c->t, c->kept, c->needed);
}

static bool is_computed(const choice_t *c, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->result_count; i++)
    if (c->needed[op->result_first + i] && !c->kept[op->result_first + i]) return true;
  return false;
}

static bool reads(const leat_graph_t *g, const leat_op_t *op, leat_value_id_t v) {
  for (uint32_t i = 0; i < op->input_count; i++)
    if (leat_op_input(g, op, i) == v) return true;
  return false;
}

// Bytes of what the trip makes of `v` when it is computed again; more than any value has where it cannot do without.
static size_t bytes_of_readers(const choice_t *c, leat_value_id_t v) {
  const leat_graph_t *g = c->t.graph;
  size_t bytes = 0;
  if (c->roots[v]) return SIZE_MAX;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (!reads(g, op, v) || !is_computed(c, op)) continue;
    if (id >= c->t.r.op_count || op->result_count != 1) return SIZE_MAX;
    bytes += leat_value_bytes(leat_graph_value(g, op->result_first));
  }
  return bytes == 0 ? SIZE_MAX : bytes;
}

static void move_forward(choice_t *c, leat_value_id_t v) {
  const leat_graph_t *g = c->t.graph;
  for (leat_op_id_t id = 0; id < c->t.r.op_count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (reads(g, op, v) && is_computed(c, op)) c->kept[op->result_first] = true;
  }
  c->kept[v] = false;
  mark(c);
}

static leat_status_t choose(choice_t *c, const bool *wants) {
  const leat_graph_t *g = c->t.graph;
  c->roots = leat_arena_alloc(&c->t.arena, g->values.count + 1u);
  c->kept = leat_arena_alloc(&c->t.arena, g->values.count + 1u);
  c->needed = leat_arena_alloc(&c->t.arena, g->values.count + 1u);
  if (c->roots == NULL || c->kept == NULL || c->needed == NULL) return leat_out_of_memory();
  leat_trip_roots(&c->t, wants, c->roots);
  for (leat_value_id_t v = 0; v < c->t.r.value_count; v++)
    c->kept[v] = is_dear(g, leat_graph_op(g, leat_graph_value(g, v)->op));
  for (uint32_t i = 0; i < c->t.loop.scanned; i++) c->kept[c->t.scanned[i]] = false;  // these lie outside already
  for (uint32_t i = 0; i < c->t.loop.fixed; i++) c->kept[c->t.fixed[i]] = false;
  mark(c);
  for (leat_value_id_t v = 0; v < c->t.r.value_count; v++) {
    const bool moves = c->kept[v] && c->needed[v] && !leat_trip_is_stacked(&c->t, v);
    if (moves && bytes_of_readers(c, v) <= leat_value_bytes(leat_graph_value(g, v))) move_forward(c, v);
  }
  return NULL;
}

static bool is_new_stack(const choice_t *c, leat_value_id_t v) {
  return c->kept[v] && c->needed[v] && !leat_trip_is_stacked(&c->t, v);
}

// --- writing --------------------------------------------------------------------------------------------------------

// The body with stores of what is kept.
static leat_status_t extend_body(const choice_t *c, leat_graph_t **out_body) {
  LEAT_TRY(leat_rebuild(c->t.loop.body, leat_rebuild_copy, NULL, out_body));
  leat_builder_t b;
  leat_builder_init(&b, *out_body);
  uint32_t stacked = c->t.loop.stacked;
  for (leat_value_id_t v = 0; v < c->t.r.value_count; v++) {
    if (!is_new_stack(c, v)) continue;
    leat_b_store(&b, leat_b_role(&b, LEAT_MADE_LOOP_STACKED, stacked++), LEAT_STORE_OUTPUT, v);
  }
  return leat_builder_take_status(&b);
}

static leat_status_t write_loop(leat_rebuild_t *r, const leat_op_t *op, leat_graph_t *body) {
  uint32_t index;
  leat_attr_t attrs[8];
  leat_status_t status = leat_graph_add_body(r->b.graph, body, &index);
  if (status != NULL) leat_graph_destroy(body);
  LEAT_TRY(status);
  leat_value_id_t *inputs = leat_alloc((op->input_count + 1u) * sizeof *inputs);
  if (inputs == NULL) return leat_out_of_memory();
  assert(op->attr_count <= sizeof attrs / sizeof *attrs);
  for (uint32_t i = 0; i < op->attr_count; i++) {
    attrs[i] = r->from->attrs.data[op->attr_first + i];
    if (attrs[i].key == LEAT_ATTR_BODY) attrs[i].v.i = index;
  }
  for (uint32_t i = 0; i < op->input_count; i++) inputs[i] = leat_rebuild_input(r, op, i);
  const leat_value_id_t first = leat_b_op(&r->b, op->kind, inputs, op->input_count, attrs, op->attr_count, NULL);
  for (uint32_t i = 0; i < op->result_count; i++) r->map[op->result_first + i] = first + i;
  leat_free(inputs);
  return leat_builder_take_status(&r->b);
}

static leat_status_t keep(leat_rebuild_t *r, leat_op_id_t id, choice_t *c, bool *wants) {
  const keeper_t *k = r->user;
  const leat_op_t *op = leat_graph_op(r->from, id);
  for (uint32_t i = 0; i < op->input_count; i++) wants[i] = k->needs[leat_op_input(r->from, op, i)];
  LEAT_TRY(leat_trip_make(&c->t, r->from, op, wants, NULL));
  LEAT_TRY(choose(c, wants));
  bool any = false;
  for (leat_value_id_t v = 0; v < c->t.r.value_count; v++) any = any || is_new_stack(c, v);
  if (!any) return leat_rebuild_copy(r, id);
  leat_graph_t *body = NULL;
  leat_status_t status = extend_body(c, &body);
  if (status == NULL) return write_loop(r, op, body);
  leat_graph_destroy(body);
  return status;
}

// --- the pass -------------------------------------------------------------------------------------------------------

static bool is_differentiated(const leat_graph_t *g, const leat_op_t *op, const keeper_t *k) {
  bool needed = false, reached = false;
  if (leat_op_role(op->kind) != LEAT_ROLE_LOOP || op->detached) return false;
  for (uint32_t i = 0; i < op->input_count; i++) needed = needed || k->needs[leat_op_input(g, op, i)];
  for (uint32_t i = 0; i < op->result_count; i++) reached = reached || k->reached[op->result_first + i];
  return needed && reached;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  if (!is_differentiated(r->from, op, r->user)) return leat_rebuild_copy(r, id);
  bool *wants = leat_alloc_zero(op->input_count + 1u, sizeof *wants);
  if (wants == NULL) return leat_out_of_memory();
  choice_t c = {0};
  leat_status_t status = keep(r, id, &c, wants);
  leat_trip_deinit(&c.t);
  leat_free(wants);
  return status;
}

static bool has_loops(const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++)
    if (leat_op_role(leat_graph_op(g, id)->kind) == LEAT_ROLE_LOOP) return true;
  return false;
}

leat_status_t leat_loop_keep(const leat_graph_t *from, leat_graph_t **out_graph) {
  *out_graph = NULL;
  if (!has_loops(from)) return NULL;
  bool *needs = leat_alloc_zero((size_t)from->values.count + 1u, sizeof *needs);
  bool *reached = leat_alloc_zero((size_t)from->values.count + 1u, sizeof *reached);
  leat_status_t status = needs == NULL || reached == NULL ? leat_out_of_memory() : NULL;
  keeper_t k = {needs, reached};
  if (status == NULL) leat_grad_mark(from, needs, reached);
  if (status == NULL) status = leat_rebuild(from, visit, &k, out_graph);
  leat_free(needs);
  leat_free(reached);
  return status;
}
