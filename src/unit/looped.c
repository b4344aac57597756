// SPDX-License-Identifier: Apache-2.0
// Cutting a program with loops into parts, and where what crosses them lies.
#include "unit/looped.h"

// --- which programs -------------------------------------------------------------------------------------------------

static bool is_loop(const leat_op_t *op) { return leat_op_role(op->kind) == LEAT_ROLE_LOOP; }

static bool has_elements(const leat_graph_t *g, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; i++)
    if (leat_value_elements(leat_graph_value(g, leat_op_input(g, op, i))) == 0) return false;
  for (uint32_t i = 0; i < op->result_count; i++)
    if (leat_value_elements(leat_graph_value(g, op->result_first + i)) == 0) return false;
  return true;
}

bool leat_looped_suits(const leat_graph_t *g, const leat_arch_t *arch) {
  bool any = false;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (!is_loop(op)) continue;
    const leat_loop_t loop = leat_loop_of(g, op);
    any = true;
    if ((uint64_t)loop.trips < arch->loop_trips || loop.body->bodies.count != 0 || !has_elements(g, op)) return false;
  }
  return any;
}

// --- levels ---------------------------------------------------------------------------------------------------------

// From where on a value is there: the type of what gives it, and how many loops of that type have run by then.
typedef struct since_s {
  uint8_t type;
  uint32_t level;
} since_t;

typedef struct maker_s {
  leat_looped_t *l;
  since_t *since;  // per value
  since_t *at;     // per op that is in a part
  uint32_t levels[LEAT_TYPE_COUNT];
} maker_t;

static bool is_passive(const leat_op_t *op) {
  return leat_op_is_leaf(op->kind) || leat_op_role(op->kind) == LEAT_ROLE_VIEW;
}

// Where an op of that type runs first: behind what it reads.
static since_t place_op(const maker_t *m, const leat_op_t *op, uint8_t type) {
  since_t at = {type, 0};
  for (uint32_t i = 0; i < op->input_count; i++) {
    const since_t since = m->since[leat_op_input(m->l->g, op, i)];
    if (since.type == type && since.level > at.level) at.level = since.level;
  }
  return at;
}

// A leaf is there from the start, a view when its operand is.
static since_t since_passive(const maker_t *m, const leat_op_t *op) {
  return op->input_count == 0 ? (since_t){LEAT_TYPE_FWD, 0} : m->since[leat_op_input(m->l->g, op, 0)];
}

static void find_levels(maker_t *m) {
  const leat_graph_t *g = m->l->g;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    m->at[id] = is_passive(op) ? since_passive(m, op) : place_op(m, op, op->type);
    since_t since = m->at[id];
    if (is_loop(op)) since.level++;
    for (uint32_t i = 0; i < op->result_count; i++) m->since[op->result_first + i] = since;
    if (since.level + 1 > m->levels[since.type]) m->levels[since.type] = since.level + 1;
  }
}

// --- parts ----------------------------------------------------------------------------------------------------------

static leat_status_t add_part(maker_t *m, leat_looped_part_t part) {
  leat_looped_part_t *slot = leat_array_push(&m->l->parts);
  if (slot == NULL) return leat_out_of_memory();
  *slot = part;
  return NULL;
}

// The bodies of the loops between a stretch and the next; those of backward in reverse.
static leat_status_t add_bodies(maker_t *m, uint8_t type, uint32_t level) {
  const leat_graph_t *g = m->l->g;
  for (uint32_t i = 0; i < g->ops.count; i++) {
    const leat_op_id_t id = type == LEAT_TYPE_BCKWD ? g->ops.count - 1 - i : i;
    if (!is_loop(leat_graph_op(g, id)) || m->at[id].type != type || m->at[id].level != level) continue;
    m->l->part_of[id] = m->l->parts.count;
    LEAT_TRY(add_part(m, (leat_looped_part_t){LEAT_LOOPED_BODY, type, level, id}));
  }
  return NULL;
}

static leat_status_t add_stretch(maker_t *m, uint8_t type, uint32_t level) {
  const leat_graph_t *g = m->l->g;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (!is_passive(op) && !is_loop(op) && m->at[id].type == type && m->at[id].level == level)
      m->l->part_of[id] = m->l->parts.count;
  }
  return add_part(m, (leat_looped_part_t){LEAT_LOOPED_STRETCH, type, level, LEAT_NONE});
}

static leat_status_t add_parts(maker_t *m) {
  for (uint8_t type = 0; type < LEAT_TYPE_COUNT; type++) {
    const uint32_t levels = m->levels[type];
    for (uint32_t i = 0; i < levels; i++) {
      const uint32_t level = type == LEAT_TYPE_BCKWD ? levels - 1 - i : i;
      if (type == LEAT_TYPE_BCKWD) LEAT_TRY(add_bodies(m, type, level));
      LEAT_TRY(add_stretch(m, type, level));
      if (type != LEAT_TYPE_BCKWD) LEAT_TRY(add_bodies(m, type, level));
    }
  }
  return add_part(m, (leat_looped_part_t){LEAT_LOOPED_LATE, LEAT_TYPE_FWD, 0, LEAT_NONE});
}

static uint32_t stretch_at(const leat_looped_t *l, since_t at) {
  for (uint32_t i = 0; i < l->parts.count; i++) {
    const leat_looped_part_t *part = &l->parts.data[i];
    if (part->role == LEAT_LOOPED_STRETCH && part->type == at.type && part->level == at.level) return i;
  }
  return LEAT_NONE;
}

// --- what is behind views -------------------------------------------------------------------------------------------

static const leat_op_t *maker_of(const leat_graph_t *g, leat_value_id_t v) {
  return leat_graph_op(g, leat_graph_value(g, v)->op);
}

static leat_value_id_t base_of(const leat_graph_t *g, leat_value_id_t v) {
  while (leat_op_role(maker_of(g, v)->kind) == LEAT_ROLE_VIEW) v = leat_op_input(g, maker_of(g, v), 0);
  return v;
}

// The value whose bytes, in the same order, those of `v` are.
static leat_value_id_t storage_of(const leat_graph_t *g, leat_value_id_t v) {
  while (maker_of(g, v)->kind == LEAT_PRIM_RESHAPE) v = leat_op_input(g, maker_of(g, v), 0);
  return v;
}

// --- updates that wait ----------------------------------------------------------------------------------------------

// Does an op of another part than `part` read the symbol?
static bool is_read_elsewhere(const leat_looped_t *l, leat_symbol_id_t symbol, uint32_t part) {
  const leat_graph_t *g = l->g;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    for (uint32_t i = 0; i < op->input_count && l->part_of[id] != LEAT_NONE && l->part_of[id] != part; i++) {
      const leat_op_t *base = maker_of(g, base_of(g, leat_op_input(g, op, i)));
      if (leat_op_role(base->kind) == LEAT_ROLE_SYMBOL && leat_op_symbol(g, base) == symbol) return true;
    }
  }
  return false;
}

static void put_off_updates(leat_looped_t *l) {
  const leat_graph_t *g = l->g;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (!leat_op_is_store(g, op, LEAT_STORE_UPDATE) || op->type == LEAT_TYPE_OPT) continue;
    if (is_read_elsewhere(l, leat_op_symbol(g, op), l->part_of[id])) l->part_of[id] = l->parts.count - 1;
  }
}

// --- memory between parts -------------------------------------------------------------------------------------------

static leat_status_t add_buffer(leat_looped_t *l, uint64_t bytes, uint32_t *out_index) {
  uint64_t *slot = leat_array_push(&l->buffer_bytes);
  if (slot == NULL) return leat_out_of_memory();
  *slot = bytes;
  *out_index = l->buffer_bytes.count - 1;
  return NULL;
}

static leat_status_t add_end(leat_looped_t *l, leat_value_id_t v, uint32_t part, leat_looped_place_t place,
                             uint32_t *out_index) {
  leat_looped_end_t *slot = leat_array_push(&l->ends);
  if (slot == NULL) return leat_out_of_memory();
  *slot = (leat_looped_end_t){v, part, place};
  *out_index = l->ends.count - 1;
  return NULL;
}

// Has an update overwritten symbol value `v` by the time that `part` runs? Types may run apart, and late updates run
// behind everything.
bool leat_looped_is_overwritten(const leat_looped_t *l, leat_value_id_t v, uint32_t part) {
  const leat_graph_t *g = l->g;
  const leat_looped_part_t *reader = &l->parts.data[part];
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (!leat_op_is_store(g, op, LEAT_STORE_UPDATE) || leat_op_symbol(g, op) != leat_op_symbol(g, maker_of(g, v)))
      continue;
    if (l->part_of[id] != part && (reader->role == LEAT_LOOPED_LATE || op->type < reader->type)) return true;
  }
  return false;
}

// What symbol value `v` is at the start crosses, if it is another one when `part` reads it.
static leat_status_t keep_old(leat_looped_t *l, leat_value_id_t v, uint32_t part) {
  leat_looped_place_t place = {0};
  if (leat_op_role(maker_of(l->g, v)->kind) != LEAT_ROLE_SYMBOL || l->end_of[v] != LEAT_NONE ||
      !leat_looped_is_overwritten(l, v, part))
    return NULL;
  LEAT_TRY(add_buffer(l, leat_value_bytes(leat_graph_value(l->g, v)), &place.index));
  return add_end(l, v, stretch_at(l, (since_t){LEAT_TYPE_FWD, 0}), place, &l->end_of[v]);
}

// `v`, which a stretch computes, crosses.
static leat_status_t let_cross(leat_looped_t *l, leat_value_id_t v) {
  const leat_op_id_t op = leat_graph_value(l->g, v)->op;
  leat_looped_place_t place = {0};
  if (l->end_of[v] != LEAT_NONE || l->part_of[op] == LEAT_NONE) return NULL;
  LEAT_TRY(add_buffer(l, leat_value_bytes(leat_graph_value(l->g, v)), &place.index));
  return add_end(l, v, l->part_of[op], place, &l->end_of[v]);
}

static leat_status_t note_gradients(leat_looped_t *l) {
  for (leat_op_id_t id = 0; id < l->g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(l->g, id);
    if (!leat_op_is_store(l->g, op, LEAT_STORE_GRAD)) continue;
    const leat_looped_place_t place = {.symbol = true, .index = leat_op_symbol(l->g, op)};
    const leat_value_id_t v = leat_op_input(l->g, op, 0);
    LEAT_TRY(add_end(l, v, LEAT_NONE, place, &l->gradient_of[v]));
  }
  return NULL;
}

uint32_t leat_looped_gradient(const leat_looped_t *l, leat_value_id_t v, uint32_t part) {
  const leat_looped_part_t *p = &l->parts.data[part];
  return p->role == LEAT_LOOPED_STRETCH && p->type > LEAT_TYPE_BCKWD ? l->gradient_of[v] : LEAT_NONE;
}

// Does `part` find `v`, or what it is a view of, in the symbol of a gradient?
static bool is_gradient(const leat_looped_t *l, leat_value_id_t v, uint32_t part) {
  while (leat_looped_gradient(l, v, part) == LEAT_NONE && leat_op_role(maker_of(l->g, v)->kind) == LEAT_ROLE_VIEW)
    v = leat_op_input(l->g, maker_of(l->g, v), 0);
  return leat_looped_gradient(l, v, part) != LEAT_NONE;
}

static leat_status_t find_crossings(leat_looped_t *l) {
  for (leat_op_id_t id = 0; id < l->g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(l->g, id);
    for (uint32_t i = 0; i < op->input_count && l->part_of[id] != LEAT_NONE && !is_loop(op); i++) {
      const leat_value_id_t base = base_of(l->g, leat_op_input(l->g, op, i));
      if (is_gradient(l, leat_op_input(l->g, op, i), l->part_of[id])) continue;
      if (l->part_of[leat_graph_value(l->g, base)->op] != l->part_of[id]) LEAT_TRY(let_cross(l, base));
      LEAT_TRY(keep_old(l, base, l->part_of[id]));
    }
  }
  return NULL;
}

// Where an operand that a loop reads in place lies: in a symbol, with what another part gave, or where the stretch
// before the loop puts it.
static leat_status_t place_operand(maker_t *m, leat_op_id_t loop, leat_value_id_t v, leat_looped_place_t *out_place) {
  leat_looped_t *l = m->l;
  const leat_value_id_t storage = storage_of(l->g, v);
  const leat_op_t *maker = maker_of(l->g, storage);
  if (leat_op_role(maker->kind) == LEAT_ROLE_SYMBOL && leat_looped_is_overwritten(l, storage, l->part_of[loop])) {
    LEAT_TRY(keep_old(l, storage, l->part_of[loop]));
    *out_place = l->ends.data[l->end_of[storage]].place;
    return NULL;
  }
  if (leat_op_role(maker->kind) == LEAT_ROLE_SYMBOL) {
    *out_place = (leat_looped_place_t){.symbol = true, .index = leat_op_symbol(l->g, maker)};
    return NULL;
  }
  if (!is_passive(maker)) {
    LEAT_TRY(let_cross(l, storage));
    *out_place = l->ends.data[l->end_of[storage]].place;
    return NULL;
  }
  uint32_t end;
  *out_place = (leat_looped_place_t){0};
  LEAT_TRY(add_buffer(l, leat_value_bytes(leat_graph_value(l->g, v)), &out_place->index));
  return add_end(l, v, stretch_at(l, m->at[loop]), *out_place, &end);
}

// --- loops ----------------------------------------------------------------------------------------------------------

static int64_t bytes_of(const leat_graph_t *g, leat_value_id_t v) {
  return (int64_t)leat_value_bytes(leat_graph_value(g, v));
}

// Entry by entry from `first` on, in the order of the trips.
static leat_looped_place_t by_entries(const leat_loop_t *loop, leat_looped_place_t first, int64_t entry) {
  first.offset += loop->reverse ? entry * (loop->trips - 1) : 0;
  first.step = loop->reverse ? -entry : entry;
  return first;
}

static leat_looped_place_t moved(leat_looped_place_t place, int64_t bytes) {
  place.offset += bytes;
  return place;
}

// Which carried value's slots stack `j` is: what trips leave of it, or what they find. LEAT_NONE: it is a stack of its
// own.
static uint32_t carried_as(const leat_loop_t *loop, uint32_t j, bool *out_found) {
  const leat_value_id_t v = leat_loop_end(loop->body, LEAT_MADE_LOOP_STACKED, j);
  for (uint32_t i = 0; i < loop->carried; i++) {
    *out_found = leat_loop_end(loop->body, LEAT_MADE_LOOP_CARRIED, i) == v;
    if (*out_found || leat_loop_end(loop->body, LEAT_MADE_LOOP_NEXT, i) == v) return i;
  }
  return LEAT_NONE;
}

// Is a stack made of what trips leave of carried value `i`, or find?
static bool has_history(const leat_loop_t *loop, uint32_t i) {
  bool found;
  for (uint32_t j = 0; j < loop->stacked; j++)
    if (carried_as(loop, j, &found) == i) return true;
  return false;
}

// Per value of the body: does it hang on carried value `i`?
static bool *mark_from_carried(leat_looped_t *l, const leat_loop_t *loop, uint32_t i) {
  const leat_graph_t *body = loop->body;
  bool *marks = leat_arena_alloc(&l->arena, body->values.count + 1u);
  if (marks == NULL) return NULL;
  marks[leat_loop_end(body, LEAT_MADE_LOOP_CARRIED, i)] = true;
  for (leat_op_id_t id = 0; id < body->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(body, id);
    bool any = false;
    for (uint32_t k = 0; k < op->input_count; k++) any = any || marks[leat_op_input(body, op, k)];
    for (uint32_t k = 0; k < op->result_count && any; k++) marks[op->result_first + k] = true;
  }
  return marks;
}

// Is value `v` of the body true in the first trip and in no other?
static bool is_first_trip(const leat_looped_t *l, const leat_op_t *op, const leat_loop_t *loop, leat_value_id_t v) {
  const leat_op_t *maker = maker_of(loop->body, base_of(loop->body, v));
  const leat_symbol_id_t symbol = leat_op_symbol(loop->body, maker);
  if (symbol == LEAT_NONE || leat_graph_symbol(loop->body, symbol)->role != LEAT_MADE_LOOP_SCANNED) return false;
  const uint32_t operand = loop->carried + leat_graph_symbol(loop->body, symbol)->number;
  const leat_value_id_t stack = leat_op_input(l->g, op, operand);
  const leat_blob_t *blob = leat_op_blob(l->g, maker_of(l->g, stack));
  if (blob == NULL || leat_graph_value(l->g, stack)->dtype != LEAT_BOOL || blob->data_bytes != (size_t)loop->trips)
    return false;
  for (int64_t t = 0; t < loop->trips; t++)
    if (((const uint8_t *)blob->data)[t] != (t == 0)) return false;
  return !loop->reverse;
}

// Does nothing hang on what carried value `i` starts as: does its first trip choose what to leave without it, and
// nobody else read it?
static leat_status_t starts_anew(leat_looped_t *l, const leat_op_t *op, const leat_loop_t *loop, uint32_t i,
                                 bool *out_anew) {
  const leat_graph_t *body = loop->body;
  const leat_value_id_t next = leat_loop_end(body, LEAT_MADE_LOOP_NEXT, i);
  const leat_op_t *choice = maker_of(body, next);
  *out_anew = leat_op_scalar(body, choice) == LEAT_SCALAR_SELECT;
  if (!*out_anew) return NULL;
  const bool *marks = mark_from_carried(l, loop, i);
  if (marks == NULL) return leat_out_of_memory();
  *out_anew = is_first_trip(l, op, loop, leat_op_input(body, choice, 0)) && !marks[leat_op_input(body, choice, 1)];
  for (leat_op_id_t id = 0; id < body->ops.count; id++) {
    const leat_op_t *end = leat_graph_op(body, id);
    const leat_symbol_t *symbol =
        leat_op_is_statement(end->kind) ? leat_graph_symbol(body, leat_op_symbol(body, end)) : NULL;
    const bool own = symbol != NULL && symbol->role == LEAT_MADE_LOOP_NEXT && symbol->number == i;
    if (symbol != NULL && !own && marks[leat_op_input(body, end, 0)]) *out_anew = false;
  }
  return NULL;
}

// The statement that keeps value `v` as a gradient; LEAT_NONE: there is none.
static leat_op_id_t gradient_store(const leat_graph_t *g, leat_value_id_t v) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (leat_op_is_store(g, op, LEAT_STORE_GRAD) && leat_op_input(g, op, 0) == v) return id;
  }
  return LEAT_NONE;
}

// A gradient that trips sum up, and that starts anew with the first, is summed where it is kept.
static leat_status_t place_gradient(leat_looped_t *l, leat_op_id_t id, const leat_loop_t *loop, uint32_t i,
                                    bool *out_placed) {
  const leat_op_t *op = leat_graph_op(l->g, id);
  const leat_value_id_t result = op->result_first + i;
  const leat_op_id_t store = gradient_store(l->g, result);
  *out_placed = false;
  if (store == LEAT_NONE || has_history(loop, i)) return NULL;
  LEAT_TRY(starts_anew(l, op, loop, i, out_placed));
  if (!*out_placed) return NULL;
  const leat_looped_place_t place = {.symbol = true, .index = leat_op_symbol(l->g, leat_graph_op(l->g, store))};
  l->places[id][i] = l->places[id][op->input_count + i] = place;
  l->part_of[store] = LEAT_NONE;  // nothing is left to do
  return add_end(l, result, LEAT_NONE, place, &l->end_of[result]);
}

// The buffer of carried value `i`: of which slot 0 is what the trip of the least number finds (or, in reverse, leaves),
// or one that each trip reads and writes where nobody looks back. The first trip's slot is an end that the stretch
// before fills.
static leat_status_t place_carried(maker_t *m, leat_op_id_t id, const leat_loop_t *loop, uint32_t i) {
  leat_looped_t *l = m->l;
  const leat_op_t *op = leat_graph_op(l->g, id);
  const int64_t bytes = bytes_of(l->g, op->result_first + i), slot = has_history(loop, i) ? bytes : 0;
  const int64_t last = slot * loop->trips;
  leat_looped_place_t buffer = {0}, *places = l->places[id];
  uint32_t end;
  LEAT_TRY(add_buffer(l, (uint64_t)(last + bytes), &buffer.index));
  const leat_looped_place_t init = moved(buffer, loop->reverse ? last : 0);
  const leat_looped_place_t result = moved(buffer, loop->reverse ? 0 : last);
  LEAT_TRY(add_end(l, leat_op_input(l->g, op, i), stretch_at(l, m->at[id]), init, &end));
  LEAT_TRY(add_end(l, op->result_first + i, LEAT_NONE, result, &l->end_of[op->result_first + i]));
  places[i] = by_entries(loop, moved(buffer, loop->reverse ? slot : 0), slot);
  places[op->input_count + i] = by_entries(loop, moved(buffer, loop->reverse ? 0 : slot), slot);
  return NULL;
}

static leat_status_t place_stack(leat_looped_t *l, leat_op_id_t id, const leat_loop_t *loop, uint32_t j) {
  const leat_op_t *op = leat_graph_op(l->g, id);
  const leat_value_id_t result = op->result_first + loop->carried + j;
  const int64_t entry = bytes_of(l->g, result) / loop->trips;
  leat_looped_place_t *places = l->places[id], first = {0};
  bool found;
  const uint32_t i = carried_as(loop, j, &found);
  if (i == LEAT_NONE) {
    LEAT_TRY(add_buffer(l, (uint64_t)(entry * loop->trips), &first.index));
  } else {
    first.index = places[i].index;
    first.offset = found == loop->reverse ? entry : 0;
  }
  places[op->input_count + loop->carried + j] = by_entries(loop, first, entry);
  return add_end(l, result, LEAT_NONE, first, &l->end_of[result]);
}

static leat_status_t place_loop(maker_t *m, leat_op_id_t id) {
  leat_looped_t *l = m->l;
  const leat_op_t *op = leat_graph_op(l->g, id);
  const leat_loop_t loop = leat_loop_of(l->g, op);
  leat_looped_place_t *places =
      leat_arena_alloc(&l->arena, ((size_t)op->input_count + op->result_count + 1u) * sizeof *places);
  if (places == NULL) return leat_out_of_memory();
  l->places[id] = places;
  for (uint32_t i = 0; i < loop.carried; i++) {
    bool placed;
    LEAT_TRY(place_gradient(l, id, &loop, i, &placed));
    if (!placed) LEAT_TRY(place_carried(m, id, &loop, i));
  }
  for (uint32_t j = 0; j < loop.stacked; j++) LEAT_TRY(place_stack(l, id, &loop, j));
  for (uint32_t i = loop.carried; i < op->input_count; i++) {
    const leat_value_id_t x = leat_op_input(l->g, op, i);
    LEAT_TRY(place_operand(m, id, x, &places[i]));
    if (i < loop.carried + loop.scanned) places[i] = by_entries(&loop, places[i], bytes_of(l->g, x) / loop.trips);
  }
  return NULL;
}

static leat_status_t place_loops(maker_t *m) {
  for (leat_op_id_t id = 0; id < m->l->g->ops.count; id++)
    if (is_loop(leat_graph_op(m->l->g, id))) LEAT_TRY(place_loop(m, id));
  return NULL;
}

// What the stretches before loops store for them is behind views of what crosses, too.
static leat_status_t find_crossings_to_loops(leat_looped_t *l) {
  for (uint32_t i = 0; i < l->ends.count; i++) {
    const leat_looped_end_t end = l->ends.data[i];
    if (end.part == LEAT_NONE) continue;
    const leat_value_id_t base = base_of(l->g, end.value);
    if (l->part_of[leat_graph_value(l->g, base)->op] != end.part) LEAT_TRY(let_cross(l, base));
    LEAT_TRY(keep_old(l, base, end.part));
  }
  return NULL;
}

// --- all of it ------------------------------------------------------------------------------------------------------

static leat_status_t make(maker_t *m) {
  const size_t ops = m->l->g->ops.count + 1u, values = m->l->g->values.count + 1u;
  leat_looped_t *l = m->l;
  m->since = leat_arena_alloc(&l->arena, values * sizeof *m->since);
  m->at = leat_arena_alloc(&l->arena, ops * sizeof *m->at);
  l->part_of = leat_arena_alloc(&l->arena, ops * sizeof *l->part_of);
  l->end_of = leat_arena_alloc(&l->arena, values * sizeof *l->end_of);
  l->gradient_of = leat_arena_alloc(&l->arena, values * sizeof *l->gradient_of);
  l->places = leat_arena_alloc(&l->arena, ops * sizeof *l->places);
  if (m->since == NULL || m->at == NULL || l->part_of == NULL || l->end_of == NULL || l->gradient_of == NULL ||
      l->places == NULL)
    return leat_out_of_memory();
  for (size_t i = 0; i < ops; i++) l->part_of[i] = LEAT_NONE;
  for (size_t i = 0; i < values; i++) l->end_of[i] = l->gradient_of[i] = LEAT_NONE;
  find_levels(m);
  LEAT_TRY(add_parts(m));
  put_off_updates(l);
  LEAT_TRY(place_loops(m));
  LEAT_TRY(note_gradients(l));
  LEAT_TRY(find_crossings(l));
  return find_crossings_to_loops(l);
}

leat_status_t leat_looped_make(const leat_graph_t *g, leat_looped_t *out_looped) {
  *out_looped = (leat_looped_t){.g = g};
  leat_arena_init(&out_looped->arena);
  maker_t m = {.l = out_looped};
  return make(&m);
}

void leat_looped_deinit(leat_looped_t *looped) {
  leat_array_free(&looped->parts);
  leat_array_free(&looped->ends);
  leat_array_free(&looped->buffer_bytes);
  leat_arena_deinit(&looped->arena);
}
