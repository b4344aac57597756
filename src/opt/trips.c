// SPDX-License-Identifier: Apache-2.0
// See trips.h.
#include "opt/trips.h"

#include "ir/loop.h"
#include "ir/rebuild.h"

typedef enum place_e { BEFORE, TRIP, AFTER, PLACE_COUNT } place_t;

typedef struct roll_s {
  const leat_graph_t *from;
  int64_t streams;      // of a trip
  int64_t trips;        // 0: nothing hangs on a part
  uint8_t *place;       // per op
  bool *feeds;          // per op: a trip reads what it gives
  leat_op_id_t *order;  // BEFORE, TRIP, AFTER, each as it was
  uint32_t first_after;
  leat_value_id_t *own;      // per value of `from`: in the body; LEAT_NONE: not there yet
  uint32_t *number;          // per op that is a JOIN: of the carried value, or of the stack
  uint32_t *origins;         // per origin of `from`: in the body, plus 1; 0: not there yet
  leat_value_id_t is_first;  // in the body: is this the first trip? LEAT_NONE: nobody has asked yet
  leat_loop_builder_t loop;
  leat_rebuild_t *r;
  leat_arena_t arena;
} roll_t;

static leat_status_t refuse(const roll_t *t, const leat_op_t *op, const char *why) {
  char text[256];
  LEAT_FAIL(LEAT_UNSUPPORTED, "%s %s", leat_op_text(t->from, op, text, sizeof text), why);
}

static const leat_op_t *maker_of(const roll_t *t, leat_value_id_t v) {
  return leat_graph_op(t->from, leat_graph_value(t->from, v)->op);
}

static int64_t dim_of(const roll_t *t, const leat_op_t *op) { return leat_op_int(t->from, op, LEAT_ATTR_DIM, -1); }
static bool is_part(const leat_op_t *op) { return leat_op_role(op->kind) == LEAT_ROLE_PART; }
static bool is_join(const leat_op_t *op) { return leat_op_role(op->kind) == LEAT_ROLE_JOIN; }

// --- what runs when -------------------------------------------------------------------------------------------------

static bool is_draw_of_trip(const roll_t *t, const leat_op_t *op) {
  return leat_op_draws(t->from, op) && leat_op_int(t->from, op, LEAT_ATTR_STREAM, 0) >= t->streams;
}

static bool reads(const roll_t *t, const leat_op_t *op, place_t place) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    const leat_value_id_t v = leat_op_input(t->from, op, i);
    if (v == LEAT_NONE) continue;
    const leat_op_t *maker = maker_of(t, v);
    const place_t made = is_join(maker) ? AFTER : (place_t)t->place[leat_graph_value(t->from, v)->op];
    if (made == place) return true;
  }
  return false;
}

static leat_status_t place_op(roll_t *t, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(t->from, id);
  const bool marks = is_join(op) || (is_part(op) && dim_of(t, op) >= 0);
  const bool trip = marks || is_draw_of_trip(t, op) || reads(t, op, TRIP), after = reads(t, op, AFTER);
  t->place[id] = (uint8_t)(trip ? TRIP : after ? AFTER : BEFORE);
  if (marks) t->trips = leat_op_int(t->from, op, LEAT_ATTR_TRIPS, 1);
  if (trip && after)
    return refuse(t, op, "hangs on what all micro-batches give, so none can be done before the others");
  if (is_part(op) && dim_of(t, op) >= 0 && reads(t, op, TRIP)) return refuse(t, op, "cuts a micro-batch");
  if (leat_op_is_statement(op->kind) && trip) return refuse(t, op, "keeps what a single micro-batch gives");
  return NULL;
}

static void mark_feeding(roll_t *t) {
  for (leat_op_id_t id = t->from->ops.count; id-- > 0;) {
    const leat_op_t *op = leat_graph_op(t->from, id);
    for (uint32_t i = 0; i < op->input_count && (t->place[id] == TRIP || t->feeds[id]); i++) {
      const leat_value_id_t v = leat_op_input(t->from, op, i);
      if (v != LEAT_NONE) t->feeds[leat_graph_value(t->from, v)->op] = true;
    }
  }
}

static leat_status_t find_places(roll_t *t) {
  uint32_t count = 0;
  for (leat_op_id_t id = 0; id < t->from->ops.count; id++) LEAT_TRY(place_op(t, id));
  mark_feeding(t);
  for (place_t place = BEFORE; place < PLACE_COUNT; place++) {
    if (place == AFTER) t->first_after = count;
    for (leat_op_id_t id = 0; id < t->from->ops.count; id++)
      if (t->place[id] == place) t->order[count++] = id;
  }
  return NULL;
}

// --- before the loop ------------------------------------------------------------------------------------------------

// What backward would compute for a trip is computed before the first.
static void at_op(roll_t *t, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(t->from, id);
  leat_builder_t *b = &t->r->b;
  b->type = t->place[id] == BEFORE && t->feeds[id] ? LEAT_TYPE_FWD : op->type;
  b->detached = op->detached;
  b->group = 0;
  b->origin = op->origin;
}

// --- the body -------------------------------------------------------------------------------------------------------

static leat_status_t at_body(roll_t *t, const leat_op_t *op) {
  leat_builder_t *b = &t->loop.b;
  uint32_t *origin = &t->origins[op->origin];
  b->type = op->type;
  b->detached = op->detached;
  if (*origin == 0 && op->origin != 0)
    LEAT_TRY(leat_graph_add_origin(b->graph, &t->from->origins.data[op->origin], origin));
  b->origin = *origin;
  return NULL;
}

static leat_status_t import(roll_t *t, leat_value_id_t v, leat_value_id_t *out_value);

static leat_status_t copy_op(roll_t *t, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(t->from, id);
  leat_value_id_t *inputs = leat_alloc((op->input_count + 1u) * sizeof *inputs);
  leat_op_id_t copy = 0;
  leat_status_t status = inputs == NULL ? leat_out_of_memory() : NULL;
  for (uint32_t i = 0; i < op->input_count && status == NULL; i++)
    status = import(t, leat_op_input(t->from, op, i), &inputs[i]);
  if (status == NULL) status = at_body(t, op);
  if (status == NULL) status = leat_graph_import_op(&t->loop.b, t->from, op, inputs, &copy);
  leat_free(inputs);
  LEAT_TRY(status);
  if (is_draw_of_trip(t, op)) leat_graph_shift_stream(t->loop.b.graph, copy, -t->streams);
  for (uint32_t i = 0; i < op->result_count; i++)
    t->own[op->result_first + i] = leat_graph_op(t->loop.b.graph, copy)->result_first + i;
  return NULL;
}

// Value `v` in the body. What a trip reads of the program is read as it lies there, and seen through views of the body.
static leat_status_t import(roll_t *t, leat_value_id_t v, leat_value_id_t *out_value) {
  const leat_op_t *maker = maker_of(t, v);
  const leat_op_role_t role = leat_op_role(maker->kind);
  const bool leaf = leat_op_is_leaf(maker->kind) && role != LEAT_ROLE_SYMBOL;
  if (t->own[v] == LEAT_NONE && (leaf || role == LEAT_ROLE_VIEW))
    LEAT_TRY(copy_op(t, leat_graph_value(t->from, v)->op));
  else if (t->own[v] == LEAT_NONE && is_part(maker))
    LEAT_TRY(import(t, leat_op_input(t->from, maker, 0), &t->own[v]));
  else if (t->own[v] == LEAT_NONE)
    t->own[v] = leat_b_loop_fixed(&t->loop, t->r->map[v]);
  *out_value = t->own[v];
  return NULL;
}

// x of the whole batch as a stack of parts: [.., trips * n, ..] -> [trips, .., n, ..].
static leat_value_id_t stack_parts(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t trips) {
  const leat_value_t type = *leat_b_value(b, x);
  int64_t dims[LEAT_RANK_MAX], perm[LEAT_RANK_MAX] = {dim};
  for (uint32_t d = 0; d < type.rank; d++) dims[d + (d > dim)] = type.dims[d];
  dims[dim] = trips;
  dims[dim + 1] = type.dims[dim] / trips;
  for (uint32_t d = 0; d < type.rank; d++) perm[d + 1] = d < dim ? d : d + 1;
  return leat_b_transpose(b, leat_b_reshape(b, x, type.rank + 1u, dims), perm);
}

// The other way.
static leat_value_id_t join_parts(leat_builder_t *b, leat_value_id_t stack, uint32_t dim) {
  const leat_value_t type = *leat_b_value(b, stack);
  int64_t dims[LEAT_RANK_MAX], perm[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < type.rank; d++) perm[d] = d < dim ? d + 1 : d == dim ? 0 : d;
  for (uint32_t d = 0; d + 1 < type.rank; d++) dims[d] = type.dims[d + 1];
  dims[dim] *= type.dims[0];
  return leat_b_reshape(b, leat_b_transpose(b, stack, perm), type.rank - 1u, dims);
}

static leat_status_t read_part(roll_t *t, const leat_op_t *op) {
  leat_builder_t *b = &t->r->b;
  const leat_value_id_t x = leat_rebuild_input(t->r, op, 0);
  if (leat_graph_value(b->graph, x)->rank == LEAT_RANK_MAX) return refuse(t, op, "has no dim left for a stack");
  b->type = LEAT_TYPE_FWD;
  t->own[op->result_first] = leat_b_loop_scanned(&t->loop, stack_parts(b, x, (uint32_t)dim_of(t, op), t->trips));
  return NULL;
}

static leat_dtype_t sum_dtype(leat_dtype_t dtype) {
  return leat_dtype_is_float(dtype) && leat_dtype_bytes(dtype) < 4 ? LEAT_F32 : dtype;
}

static leat_value_id_t is_first_trip(roll_t *t) {
  if (t->is_first != LEAT_NONE) return t->is_first;
  uint8_t *firsts = leat_arena_alloc(&t->arena, (size_t)t->trips);
  if (firsts == NULL) return leat_b_fail(&t->r->b, LEAT_OUT_OF_MEMORY, "out of memory");
  firsts[0] = 1;
  t->r->b.type = LEAT_TYPE_FWD;
  t->is_first = leat_b_loop_scanned(&t->loop, leat_b_constant(&t->r->b, LEAT_BOOL, 1, &t->trips, firsts));
  return t->is_first;
}

// ((0 + part 0) + part 1) + .., or, from `anew`, (part 0 + part 1) + ..
static void add_to_sum(roll_t *t, leat_op_id_t id, leat_value_id_t x, bool anew) {
  leat_builder_t *body = &t->loop.b;
  const leat_value_t type = *leat_b_value(body, x);
  const leat_dtype_t dtype = sum_dtype((leat_dtype_t)type.dtype);
  const leat_value_id_t is_first = anew ? is_first_trip(t) : LEAT_NONE;
  t->number[id] = t->loop.carried.count;
  t->r->b.type = LEAT_TYPE_FWD;
  const leat_value_id_t so_far =
      leat_b_loop_carried(&t->loop, leat_b_splat(&t->r->b, dtype, type.rank, type.dims, 0.0));
  const leat_value_id_t term = leat_b_cast(body, x, dtype), sum = leat_b_add(body, so_far, term);
  leat_b_loop_next(&t->loop, t->number[id], anew ? leat_b_select(body, is_first, term, sum) : sum);
}

// Is the sum a gradient as it is? Then it is made where that lies, which forward leaves alone.
static bool is_gradient(const roll_t *t, const leat_op_t *join) {
  if (sum_dtype((leat_dtype_t)leat_graph_value(t->from, join->result_first)->dtype) !=
      (leat_dtype_t)leat_graph_value(t->from, join->result_first)->dtype)
    return false;
  for (leat_op_id_t id = 0; id < t->from->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(t->from, id);
    if (leat_op_is_store(t->from, op, LEAT_STORE_GRAD) && leat_op_input(t->from, op, 0) == join->result_first)
      return true;
  }
  return false;
}

static leat_status_t write_join(roll_t *t, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(t->from, id);
  leat_value_id_t x;
  LEAT_TRY(import(t, leat_op_input(t->from, op, 0), &x));
  LEAT_TRY(at_body(t, op));
  if (dim_of(t, op) >= 0 && leat_b_value(&t->loop.b, x)->rank == LEAT_RANK_MAX)
    return refuse(t, op, "has no dim left for a stack");
  if (dim_of(t, op) < 0)
    add_to_sum(t, id, x, is_gradient(t, op));
  else
    t->number[id] = leat_b_loop_stack(&t->loop, x);
  return NULL;
}

static leat_status_t write_trip_op(roll_t *t, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(t->from, id);
  if (is_join(op)) return write_join(t, id);
  if (is_part(op) && dim_of(t, op) >= 0) return read_part(t, op);
  if (!is_part(op)) return copy_op(t, id);
  leat_value_id_t x;
  return import(t, op->result_first, &x);
}

// --- behind the loop ------------------------------------------------------------------------------------------------

static leat_status_t finish(roll_t *t) {
  leat_builder_t *b = &t->r->b;
  const uint32_t operands = t->loop.carried.count + t->loop.scanned.count + t->loop.fixed.count;
  const uint32_t most = leat_op_info(LEAT_PRIM_LOOP)->max_inputs, carried = t->loop.carried.count;
  if (operands > most || t->loop.stacked.count > most)
    LEAT_FAIL(LEAT_UNSUPPORTED, "a loop over micro-batches has at most %u operands, and this one %u", most, operands);
  const leat_origin_t origin = {"micro-batches", "", ""};
  b->type = LEAT_TYPE_FWD;
  LEAT_TRY(leat_graph_add_origin(b->graph, &origin, &b->origin));
  const leat_value_id_t first = leat_b_loop_finish(&t->loop);
  for (uint32_t i = 0; i < t->first_after && first != LEAT_NONE; i++) {
    const leat_op_id_t id = t->order[i];
    const leat_op_t *op = leat_graph_op(t->from, id);
    if (!is_join(op)) continue;
    at_op(t, id);
    const leat_dtype_t dtype = (leat_dtype_t)leat_graph_value(t->from, op->result_first)->dtype;
    const leat_value_id_t sum = first + t->number[id];
    t->r->map[op->result_first] =
        dim_of(t, op) < 0 ? leat_b_cast(b, sum, dtype) : join_parts(b, sum + carried, (uint32_t)dim_of(t, op));
  }
  return NULL;
}

// --- all of it ------------------------------------------------------------------------------------------------------

// The walk goes on in `order`.
static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t step) {
  roll_t *t = r->user;
  const leat_op_id_t id = t->order[step];
  const leat_op_t *op = leat_graph_op(t->from, id);
  t->r = r;
  if (step == 0) leat_b_loop_start(&t->loop, &r->b, t->trips, false);
  t->loop.streams = t->streams;
  if (step == t->first_after) LEAT_TRY(finish(t));
  at_op(t, id);
  if (t->place[id] == TRIP) return write_trip_op(t, id);
  if (!is_part(op)) return leat_rebuild_copy(r, id);
  r->map[op->result_first] = leat_rebuild_input(r, op, 0);  // all of it
  return NULL;
}

static leat_status_t make_room(roll_t *t) {
  const size_t ops = t->from->ops.count + 1u, values = t->from->values.count + 1u;
  t->place = leat_arena_alloc(&t->arena, ops);
  t->feeds = leat_arena_alloc(&t->arena, ops);
  t->order = leat_arena_alloc(&t->arena, ops * sizeof *t->order);
  t->number = leat_arena_alloc(&t->arena, ops * sizeof *t->number);
  t->own = leat_arena_alloc(&t->arena, values * sizeof *t->own);
  t->origins = leat_arena_alloc(&t->arena, (t->from->origins.count + 1u) * sizeof *t->origins);
  if (t->place == NULL || t->feeds == NULL || t->order == NULL || t->number == NULL || t->own == NULL ||
      t->origins == NULL)
    return leat_out_of_memory();
  for (size_t v = 0; v < values; v++) t->own[v] = LEAT_NONE;
  return NULL;
}

leat_status_t leat_opt_roll_trips(const leat_graph_t *from, int64_t streams, leat_graph_t **out_graph) {
  roll_t t = {.from = from, .streams = streams, .is_first = LEAT_NONE};
  leat_arena_init(&t.arena);
  leat_status_t status = make_room(&t);
  if (status == NULL) status = find_places(&t);
  if (status == NULL && (t.trips == 0 || t.first_after == from->ops.count))
    status = leat_status_make(LEAT_UNSUPPORTED, "nothing of the program hangs on the batch");
  if (status == NULL) status = leat_rebuild(from, visit, &t, out_graph);
  if (t.loop.outer != NULL) leat_b_loop_drop(&t.loop);
  leat_arena_deinit(&t.arena);
  return status;
}
