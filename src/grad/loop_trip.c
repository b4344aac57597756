// SPDX-License-Identifier: Apache-2.0
// One trip of a loop, differentiated: what keeping (loop_keep.c) and the rule (prim_loop.c) look at.
#include "grad/loop.h"
#include "ir/rebuild.h"

// --- making it ------------------------------------------------------------------------------------------------------

static leat_value_id_t *list_of_ends(leat_trip_t *t, leat_symbol_role_t role, uint32_t count) {
  leat_value_id_t *list = leat_arena_alloc(&t->arena, (count + 1u) * sizeof *list);
  for (uint32_t i = 0; list != NULL && i < count; i++) list[i] = leat_loop_end(t->graph, role, i);
  return list;
}

static leat_value_id_t *list_of_none(leat_trip_t *t, uint32_t count) {
  leat_value_id_t *list = leat_arena_alloc(&t->arena, (count + 1u) * sizeof *list);
  for (uint32_t i = 0; list != NULL && i < count; i++) list[i] = LEAT_NONE;
  return list;
}

static leat_status_t list_ends(leat_trip_t *t) {
  t->carried = list_of_ends(t, LEAT_MADE_LOOP_CARRIED, t->loop.carried);
  t->next = list_of_ends(t, LEAT_MADE_LOOP_NEXT, t->loop.carried);
  t->scanned = list_of_ends(t, LEAT_MADE_LOOP_SCANNED, t->loop.scanned);
  t->fixed = list_of_ends(t, LEAT_MADE_LOOP_FIXED, t->loop.fixed);
  t->stacked = list_of_ends(t, LEAT_MADE_LOOP_STACKED, t->loop.stacked);
  t->seed_next = list_of_none(t, t->loop.carried);
  t->seed_stacked = list_of_none(t, t->loop.stacked);
  if (t->carried == NULL || t->next == NULL || t->scanned == NULL || t->fixed == NULL || t->stacked == NULL ||
      t->seed_next == NULL || t->seed_stacked == NULL)
    return leat_out_of_memory();
  return NULL;
}

static bool is_float(const leat_trip_t *t, leat_value_id_t v) {
  return leat_dtype_is_float((leat_dtype_t)leat_graph_value(t->graph, v)->dtype);
}

// What hangs on what needs a cotangent does, too.
static void spread_needs(leat_trip_t *t) {
  const leat_graph_t *g = t->graph;
  for (leat_op_id_t id = 0; id < t->r.op_count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool any = false;
    for (uint32_t i = 0; i < op->input_count; i++) any = any || t->r.needs[leat_op_input(g, op, i)];
    for (uint32_t i = 0; i < op->result_count && any; i++)
      t->r.needs[op->result_first + i] = is_float(t, op->result_first + i);
  }
}

// A carried value needs one from the trip on in which what the trip before left does.
static void mark_needs(leat_trip_t *t, const bool *wants) {
  const uint32_t carried = t->loop.carried, scanned = t->loop.scanned;
  for (uint32_t i = 0; i < carried; i++) t->r.needs[t->carried[i]] = wants[i] && is_float(t, t->carried[i]);
  for (uint32_t i = 0; i < scanned; i++) t->r.needs[t->scanned[i]] = wants[carried + i] && is_float(t, t->scanned[i]);
  for (uint32_t i = 0; i < t->loop.fixed; i++)
    t->r.needs[t->fixed[i]] = wants[carried + scanned + i] && is_float(t, t->fixed[i]);
  for (bool more = true; more;) {
    spread_needs(t);
    more = false;
    for (uint32_t i = 0; i < carried; i++) {
      if (t->r.needs[t->carried[i]] || !t->r.needs[t->next[i]]) continue;
      t->r.needs[t->carried[i]] = more = true;
    }
  }
}

static leat_value_id_t add_seed(leat_trip_t *t, uint32_t number, leat_value_id_t of) {
  leat_builder_t *b = &t->r.b;
  const leat_value_t type = *leat_graph_value(t->graph, of);
  b->type = LEAT_TYPE_BCKWD;
  leat_value_id_t seed = leat_b_symbol(b, leat_b_role(b, LEAT_MADE_LOOP_COTANGENT, number), LEAT_KIND_INPUT,
                                       (leat_dtype_t)type.dtype, type.rank, type.dims);
  if (seed != LEAT_NONE) leat_reverse_add(&t->r, of, seed);
  return seed;
}

// A stack of what needs a cotangent has one where its loop's result has.
static leat_status_t add_seeds(leat_trip_t *t, const leat_value_id_t *dy) {
  const uint32_t carried = t->loop.carried;
  for (uint32_t i = 0; i < carried; i++)
    if (t->r.needs[t->carried[i]]) t->seed_next[i] = add_seed(t, i, t->next[i]);
  for (uint32_t i = 0; i < t->loop.stacked; i++) {
    if (!t->r.needs[t->stacked[i]] || (dy != NULL && dy[carried + i] == LEAT_NONE)) continue;
    t->seed_stacked[i] = add_seed(t, carried + i, t->stacked[i]);
  }
  return leat_builder_take_status(&t->r.b);
}

leat_status_t leat_trip_make(leat_trip_t *t, const leat_graph_t *g, const leat_op_t *op, const bool *wants,
                             const leat_value_id_t *dy) {
  *t = (leat_trip_t){.loop = leat_loop_of(g, op)};
  leat_arena_init(&t->arena);
  LEAT_TRY(leat_rebuild(t->loop.body, leat_rebuild_copy, NULL, &t->graph));
  LEAT_TRY(leat_reverse_init(&t->r, t->graph, NULL));
  LEAT_TRY(list_ends(t));
  mark_needs(t, wants);
  LEAT_TRY(add_seeds(t, dy));
  return leat_reverse_walk(&t->r);
}

void leat_trip_deinit(leat_trip_t *t) {
  leat_reverse_deinit(&t->r);
  leat_graph_destroy(t->graph);
  leat_arena_deinit(&t->arena);
}

// --- what lies in stacks --------------------------------------------------------------------------------------------

static uint32_t place_of(const leat_value_id_t *list, uint32_t count, leat_value_id_t v) {
  for (uint32_t i = 0; i < count; i++) {
    if (list[i] == v) return i;
  }
  return LEAT_NONE;
}

uint32_t leat_trip_stack_of(const leat_trip_t *t, leat_value_id_t v) {
  return place_of(t->stacked, t->loop.stacked, v);
}

bool leat_trip_is_stacked(const leat_trip_t *t, leat_value_id_t v) {
  return place_of(t->scanned, t->loop.scanned, v) != LEAT_NONE || leat_trip_stack_of(t, v) != LEAT_NONE ||
         place_of(t->seed_stacked, t->loop.stacked, v) != LEAT_NONE;
}

// --- sums over trips ------------------------------------------------------------------------------------------------

static const leat_op_t *maker(const leat_trip_t *t, leat_value_id_t v) {
  return leat_graph_op(t->graph, leat_graph_value(t->graph, v)->op);
}

// May it be stacked: does it differ from trip to trip, and is there a dim left?
static bool may_stack(const leat_trip_t *t, leat_value_id_t v) {
  const bool same = leat_op_is_leaf(maker(t, v)->kind) && leat_op_role(maker(t, v)->kind) != LEAT_ROLE_SYMBOL;
  return !same && place_of(t->fixed, t->loop.fixed, v) == LEAT_NONE &&
         leat_graph_value(t->graph, v)->rank < LEAT_RANK_MAX;
}

// Padding with zeros moves elements, too.
static bool is_move(const leat_trip_t *t, const leat_op_t *op) {
  if (op->kind == LEAT_PRIM_PAD) return leat_op_float(t->graph, op, LEAT_ATTR_VALUE, 0.0) == 0.0;
  return leat_op_role(op->kind) == LEAT_ROLE_VIEW;
}

leat_trip_sum_t leat_trip_sum(const leat_trip_t *t, leat_value_id_t v) {
  const leat_op_t *op = maker(t, v);
  const leat_value_id_t x = leat_op_input(t->graph, op, 0), y = leat_op_input(t->graph, op, 1);
  if (leat_trip_is_forward(t, v)) return LEAT_SUM_BY_TRIP;
  if (op->kind == LEAT_PRIM_CONTRACT) return may_stack(t, x) && may_stack(t, y) ? LEAT_SUM_PRODUCT : LEAT_SUM_BY_TRIP;
  if (op->kind == LEAT_PRIM_REDUCE && leat_op_word(t->graph, op, LEAT_ATTR_FN, LEAT_FOLD_SUM) == LEAT_FOLD_SUM)
    return may_stack(t, x) ? LEAT_SUM_REDUCTION : LEAT_SUM_BY_TRIP;
  if (is_move(t, op)) return LEAT_SUM_MOVED;
  return leat_op_scalar(t->graph, op) == LEAT_SCALAR_ADD ? LEAT_SUM_BOTH : LEAT_SUM_BY_TRIP;
}

void leat_trip_leaves(const leat_trip_t *t, leat_value_id_t v, leat_trip_leaf_t leaf, void *user) {
  const leat_op_t *op = maker(t, v);
  const leat_trip_sum_t sum = leat_trip_sum(t, v);
  const bool two = sum == LEAT_SUM_PRODUCT || sum == LEAT_SUM_BOTH;
  if (sum == LEAT_SUM_BY_TRIP) leaf(user, v, true);
  for (uint32_t i = 0; sum != LEAT_SUM_BY_TRIP && i < (two ? 2u : 1u); i++) {
    const leat_value_id_t x = leat_op_input(t->graph, op, i);
    if (sum == LEAT_SUM_MOVED || sum == LEAT_SUM_BOTH)
      leat_trip_leaves(t, x, leaf, user);
    else
      leaf(user, x, false);
  }
}

// --- what the reverse loop needs ------------------------------------------------------------------------------------

static bool comes_from_outside(const leat_trip_t *t, const bool *kept, leat_value_id_t v) {
  return leat_trip_is_forward(t, v) && (kept[v] || place_of(t->scanned, t->loop.scanned, v) != LEAT_NONE ||
                                        place_of(t->fixed, t->loop.fixed, v) != LEAT_NONE);
}

void leat_trip_mark(const leat_trip_t *t, const bool *kept, bool *needed) {
  const leat_graph_t *g = t->graph;
  for (leat_op_id_t id = g->ops.count; id-- > 0;) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool computed = false;
    for (uint32_t i = 0; i < op->result_count; i++) {
      const leat_value_id_t v = op->result_first + i;
      computed = computed || (needed[v] && !comes_from_outside(t, kept, v));
    }
    for (uint32_t i = 0; i < op->input_count && computed; i++) needed[leat_op_input(g, op, i)] = true;
  }
}

typedef struct roots_s {
  const leat_trip_t *t;
  bool *roots;
} roots_t;

static void note_root(void *user, leat_value_id_t v, bool by_trip) {
  roots_t *r = user;
  if (by_trip || !leat_trip_is_stacked(r->t, v)) r->roots[v] = true;
}

void leat_trip_roots(const leat_trip_t *t, const bool *wants, bool *roots) {
  const leat_value_id_t *cotangents = t->r.cotangents;
  const uint32_t carried = t->loop.carried, scanned = t->loop.scanned;
  roots_t r = {t, roots};
  for (uint32_t i = 0; i < carried; i++) {
    if (t->r.needs[t->carried[i]] && cotangents[t->carried[i]] != LEAT_NONE)
      note_root(&r, cotangents[t->carried[i]], true);
  }
  for (uint32_t i = 0; i < scanned; i++) {
    if (wants[carried + i] && cotangents[t->scanned[i]] != LEAT_NONE) note_root(&r, cotangents[t->scanned[i]], false);
  }
  for (uint32_t i = 0; i < t->loop.fixed; i++) {
    if (wants[carried + scanned + i] && cotangents[t->fixed[i]] != LEAT_NONE)
      leat_trip_leaves(t, cotangents[t->fixed[i]], note_root, &r);
  }
}
