// SPDX-License-Identifier: Apache-2.0
// Loops become straight ops: the body once a trip. What does not depend on the trip is computed once; a stack that one
// loop makes and another reads by entries is not put together for it. Loops within bodies are unrolled in turn.
//
// Works on primitives; behind it no op is a loop.
#include "ir/loop.h"
#include "ir/rebuild.h"
#include "opt/opt.h"

typedef struct unroll_s {
  // per result of a loop of the old graph that is a stack: its entries, values of the new graph; NULL: any other value
  leat_value_id_t **entries;
  leat_arena_t arena;
} unroll_t;

// One loop on its way.
typedef struct trips_s {
  leat_rebuild_t *r;
  const leat_op_t *op;
  leat_loop_t loop;
  leat_value_id_t *map;       // per value of the body: what it is in this trip
  bool *varies;               // per value of the body: may it differ from trip to trip?
  leat_value_id_t *carried;   // what the trip before left
  leat_value_id_t *next;      // values of the body, by number
  leat_value_id_t *stacked;   // likewise
  leat_value_id_t **entries;  // per stack: what each trip gave
  leat_value_id_t *inputs;    // room for the operands of any op
} trips_t;

// --- one trip -------------------------------------------------------------------------------------------------------

// Entry `trip` of the stack that operand `operand` is.
static leat_value_id_t entry_of(const trips_t *t, uint32_t operand, int64_t trip) {
  const unroll_t *u = t->r->user;
  leat_builder_t *b = &t->r->b;
  const leat_value_id_t old = leat_op_input(t->r->from, t->op, operand);
  if (u->entries[old] != NULL) return u->entries[old][trip];
  const leat_value_id_t slice = leat_b_slice_dim(b, t->r->map[old], 0, trip, trip + 1, 1);
  const leat_value_t type = *leat_b_value(b, t->r->map[old]);
  return leat_b_reshape(b, slice, type.rank - 1u, type.dims + 1);
}

// The value that a symbol of the body has in this trip.
static leat_value_id_t end_value(const trips_t *t, const leat_symbol_t *end, int64_t trip) {
  const uint32_t first = t->loop.carried, fixed = first + t->loop.scanned;
  if (end->role == LEAT_MADE_LOOP_CARRIED) return t->carried[end->number];
  if (end->role == LEAT_MADE_LOOP_SCANNED) return entry_of(t, first + end->number, trip);
  return leat_rebuild_input(t->r, t->op, fixed + end->number);
}

static leat_status_t write_op(const trips_t *t, const leat_op_t *op, int64_t trip) {
  const leat_graph_t *body = t->loop.body;
  if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) {
    t->map[op->result_first] = end_value(t, leat_graph_symbol(body, leat_op_symbol(body, op)), trip);
    return leat_builder_take_status(&t->r->b);
  }
  leat_op_id_t copy;
  for (uint32_t i = 0; i < op->input_count; i++) t->inputs[i] = t->map[leat_op_input(body, op, i)];
  LEAT_TRY(leat_graph_import_op(&t->r->b, body, op, t->inputs, &copy));
  leat_graph_shift_stream(t->r->b.graph, copy, t->loop.streams * trip);
  for (uint32_t i = 0; i < op->result_count; i++)
    t->map[op->result_first + i] = leat_graph_op(t->r->b.graph, copy)->result_first + i;
  return NULL;
}

static bool is_done(const trips_t *t, const leat_op_t *op) {
  return t->map[op->result_first] != LEAT_NONE && !t->varies[op->result_first];
}

static leat_status_t write_trip(const trips_t *t, int64_t trip) {
  const leat_graph_t *body = t->loop.body;
  for (leat_op_id_t id = 0; id < body->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(body, id);
    if (!leat_op_is_statement(op->kind) && !is_done(t, op)) LEAT_TRY(write_op(t, op, trip));
  }
  for (uint32_t i = 0; i < t->loop.carried; i++) t->carried[i] = t->map[t->next[i]];
  for (uint32_t i = 0; i < t->loop.stacked; i++) t->entries[i][trip] = t->map[t->stacked[i]];
  return NULL;
}

// --- one loop -------------------------------------------------------------------------------------------------------

static void mark_varying(const trips_t *t) {
  const leat_graph_t *body = t->loop.body;
  for (leat_op_id_t id = 0; id < body->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(body, id);
    bool varies = leat_op_role(op->kind) == LEAT_ROLE_SYMBOL &&
                  leat_graph_symbol(body, leat_op_symbol(body, op))->role != LEAT_MADE_LOOP_FIXED;
    varies = varies || (t->loop.streams != 0 && leat_op_draws(body, op));
    for (uint32_t i = 0; i < op->input_count; i++) varies = varies || t->varies[leat_op_input(body, op, i)];
    for (uint32_t i = 0; i < op->result_count; i++) t->varies[op->result_first + i] = varies;
  }
}

// The entries one behind the other.
static leat_value_id_t join(const trips_t *t, const leat_value_id_t *entries, const leat_value_t *type) {
  leat_builder_t *b = &t->r->b;
  const uint32_t trips = (uint32_t)t->loop.trips;
  leat_value_id_t *lines = leat_alloc(trips * sizeof *lines);
  if (lines == NULL) return leat_b_fail(b, LEAT_OUT_OF_MEMORY, "out of memory");
  leat_value_t line = *type;
  line.dims[0] = 1;
  for (uint32_t i = 0; i < trips; i++)
    lines[i] = type->rank > 1 ? entries[i] : leat_b_reshape(b, entries[i], line.rank, line.dims);
  const leat_value_id_t joined = leat_b_concat(b, lines, trips, 0);
  leat_free(lines);
  return leat_b_reshape(b, joined, type->rank, type->dims);
}

static leat_status_t give_results(const trips_t *t) {
  unroll_t *u = t->r->user;
  leat_value_id_t *map = t->r->map + t->op->result_first;
  for (uint32_t i = 0; i < t->loop.carried; i++) map[i] = t->carried[i];
  for (uint32_t i = 0; i < t->loop.stacked; i++) {
    const leat_value_id_t result = t->op->result_first + t->loop.carried + i;
    map[t->loop.carried + i] = join(t, t->entries[i], leat_graph_value(t->r->from, result));
    u->entries[result] = t->entries[i];
  }
  return leat_builder_take_status(&t->r->b);
}

static leat_value_id_t *list_of_ends(const trips_t *t, leat_symbol_role_t role, uint32_t count) {
  unroll_t *u = t->r->user;
  leat_value_id_t *list = leat_arena_alloc(&u->arena, (count + 1u) * sizeof *list);
  for (uint32_t i = 0; list != NULL && i < count; i++) list[i] = leat_loop_end(t->loop.body, role, i);
  return list;
}

static leat_status_t make_room(trips_t *t) {
  unroll_t *u = t->r->user;
  const leat_graph_t *body = t->loop.body;
  t->map = leat_arena_alloc(&u->arena, (body->values.count + 1u) * sizeof *t->map);
  t->varies = leat_arena_alloc(&u->arena, body->values.count + 1u);
  t->carried = leat_arena_alloc(&u->arena, (t->loop.carried + 1u) * sizeof *t->carried);
  t->next = list_of_ends(t, LEAT_MADE_LOOP_NEXT, t->loop.carried);
  t->stacked = list_of_ends(t, LEAT_MADE_LOOP_STACKED, t->loop.stacked);
  t->entries = leat_arena_alloc(&u->arena, (t->loop.stacked + 1u) * sizeof *t->entries);
  t->inputs = leat_arena_alloc(&u->arena, (body->inputs.count + 1u) * sizeof *t->inputs);
  if (t->map == NULL || t->varies == NULL || t->carried == NULL || t->next == NULL || t->stacked == NULL ||
      t->entries == NULL || t->inputs == NULL)
    return leat_out_of_memory();
  for (leat_value_id_t v = 0; v < body->values.count; v++) t->map[v] = LEAT_NONE;
  for (uint32_t i = 0; i < t->loop.carried; i++) t->carried[i] = leat_rebuild_input(t->r, t->op, i);
  for (uint32_t i = 0; i < t->loop.stacked; i++) {
    t->entries[i] = leat_arena_alloc(&u->arena, (size_t)t->loop.trips * sizeof *t->entries[i]);
    if (t->entries[i] == NULL) return leat_out_of_memory();
  }
  return NULL;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  if (leat_op_role(op->kind) != LEAT_ROLE_LOOP) return leat_rebuild_copy(r, id);
  trips_t t = {.r = r, .op = op, .loop = leat_loop_of(r->from, op)};
  LEAT_TRY(make_room(&t));
  mark_varying(&t);
  for (int64_t done = 0; done < t.loop.trips; done++) LEAT_TRY(write_trip(&t, leat_loop_trip(&t.loop, done)));
  return give_results(&t);
}

// --- all of them ----------------------------------------------------------------------------------------------------

static bool has_loops(const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++)
    if (leat_op_role(leat_graph_op(g, id)->kind) == LEAT_ROLE_LOOP) return true;
  return false;
}

static leat_status_t unroll(const leat_graph_t *from, leat_graph_t **out_graph) {
  unroll_t u = {0};
  leat_arena_init(&u.arena);
  u.entries = leat_arena_alloc(&u.arena, (from->values.count + 1u) * sizeof *u.entries);
  leat_status_t status = u.entries == NULL ? leat_out_of_memory() : leat_rebuild(from, visit, &u, out_graph);
  leat_arena_deinit(&u.arena);
  return status;
}

leat_status_t leat_opt_unroll(const leat_graph_t *from, leat_graph_t **out_graph) {
  LEAT_TRY(unroll(from, out_graph));
  while (has_loops(*out_graph)) {
    leat_graph_t *next = NULL;
    leat_status_t status = unroll(*out_graph, &next);
    leat_graph_destroy(*out_graph);
    *out_graph = next;
    LEAT_TRY(status);
  }
  return NULL;
}
