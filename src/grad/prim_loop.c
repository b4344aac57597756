// SPDX-License-Identifier: Apache-2.0
// Gradient of the primitive `loop`: a loop the other way (loop.h).
#include "grad/loop.h"
#include "ir/rebuild.h"

typedef struct back_s {
  leat_vjp_t *v;
  leat_trip_t t;
  leat_loop_builder_t l;  // of the reverse loop
  // per value of the trip
  bool *kept, *needed;
  leat_value_id_t *map;         // in the body of the reverse loop
  uint32_t *stack_of, *sum_of;  // the number of its stack, or of the carried value that sums it up
  // per carried value of forward: which one of the reverse loop its cotangent is
  uint32_t *number;
  leat_value_id_t first;  // result of the reverse loop
  uint32_t carried;       // how many values that carries
} back_t;

// --- the body -------------------------------------------------------------------------------------------------------

static leat_value_id_t zeros_of(leat_builder_t *b, const leat_value_t *type) {
  return leat_b_splat(b, (leat_dtype_t)type->dtype, type->rank, type->dims, 0.0);
}

static bool is_carried(const back_t *k, uint32_t i) { return k->t.r.needs[k->t.carried[i]]; }

static void add_carried(back_t *k) {
  for (uint32_t i = 0; i < k->t.loop.carried; i++) {
    if (!is_carried(k, i)) continue;
    const leat_value_t type = *leat_graph_value(k->t.graph, k->t.carried[i]);
    const leat_value_id_t dy = k->v->dy[i];
    k->number[i] = k->l.carried.count;
    k->map[k->t.seed_next[i]] = leat_b_loop_carried(&k->l, dy != LEAT_NONE ? dy : zeros_of(k->v->b, &type));
  }
}

// The stack outside of the loop that value `v` of the trip is an entry of; LEAT_NONE: there is none.
static leat_value_id_t outer_stack(const back_t *k, leat_value_id_t v) {
  const leat_loop_t *loop = &k->t.loop;
  const uint32_t number = leat_trip_stack_of(&k->t, v);
  if (number != LEAT_NONE) return k->v->y[loop->carried + number];
  for (uint32_t i = 0; i < loop->scanned; i++)
    if (k->t.scanned[i] == v) return k->v->x[loop->carried + i];
  for (uint32_t i = 0; i < loop->stacked; i++)
    if (k->t.seed_stacked[i] == v) return k->v->dy[loop->carried + i];
  return LEAT_NONE;
}

// Value `v` of the trip where it comes from outside, as an end of the body; LEAT_NONE: the body computes it.
static leat_value_id_t end_for(back_t *k, leat_value_id_t v) {
  const leat_loop_t *loop = &k->t.loop;
  const leat_value_id_t stack = outer_stack(k, v);
  if (stack != LEAT_NONE) return leat_b_loop_scanned(&k->l, stack);
  for (uint32_t i = 0; i < loop->fixed; i++)
    if (k->t.fixed[i] == v) return leat_b_loop_fixed(&k->l, k->v->x[loop->carried + loop->scanned + i]);
  return LEAT_NONE;
}

static leat_status_t copy_op(back_t *k, const leat_op_t *op) {
  leat_value_id_t *inputs = leat_alloc((op->input_count + 1u) * sizeof *inputs);
  leat_op_id_t copy = 0;
  if (inputs == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < op->input_count; i++) inputs[i] = k->map[leat_op_input(k->t.graph, op, i)];
  leat_status_t status = leat_graph_import_op(&k->l.b, k->t.graph, op, inputs, &copy);
  leat_free(inputs);
  LEAT_TRY(status);
  const leat_value_id_t first = leat_graph_op(k->l.b.graph, copy)->result_first;
  for (uint32_t i = 0; i < op->result_count; i++) {
    leat_value_id_t *to = &k->map[op->result_first + i];
    if (*to == LEAT_NONE) *to = first + i;
  }
  return NULL;
}

// In the loop's graph or in the body, whose errors are the same in the end.
static bool has_failed(const back_t *k) { return k->v->b->status != NULL || k->l.b.status != NULL; }

static leat_status_t write_op(back_t *k, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(k->t.graph, id);
  bool computed = false;
  for (uint32_t i = 0; i < op->result_count; i++) {
    const leat_value_id_t v = op->result_first + i;
    if (!k->needed[v] || k->map[v] != LEAT_NONE) continue;
    k->map[v] = end_for(k, v);
    computed = computed || k->map[v] == LEAT_NONE;
  }
  if (!computed || has_failed(k)) return NULL;
  if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL)
    LEAT_FAIL(LEAT_INTERNAL, "a loop does not keep what its gradient reads");
  return copy_op(k, op);
}

// A leaf of a sum: another stack, or a carried sum that this trip adds to.
static void prepare_leaf(void *user, leat_value_id_t v, bool by_trip) {
  back_t *k = user;
  if (!by_trip) {
    if (outer_stack(k, v) == LEAT_NONE) k->stack_of[v] = leat_b_loop_stack(&k->l, k->map[v]);
    return;
  }
  if (k->sum_of[v] != LEAT_NONE) return;
  const leat_value_t type = *leat_graph_value(k->t.graph, v);
  k->sum_of[v] = k->l.carried.count;
  const leat_value_id_t so_far = leat_b_loop_carried(&k->l, zeros_of(k->v->b, &type));
  leat_b_loop_next(&k->l, k->sum_of[v], leat_b_add(&k->l.b, so_far, k->map[v]));
}

static bool wants_scanned(const back_t *k, uint32_t i) { return k->v->wants[k->t.loop.carried + i]; }
static bool wants_fixed(const back_t *k, uint32_t i) {
  return k->v->wants[k->t.loop.carried + k->t.loop.scanned + i] && k->t.r.cotangents[k->t.fixed[i]] != LEAT_NONE;
}

static void write_ends(back_t *k) {
  const leat_value_id_t *cotangents = k->t.r.cotangents;
  for (uint32_t i = 0; i < k->t.loop.carried; i++) {
    if (!is_carried(k, i)) continue;
    const leat_value_id_t cotangent = cotangents[k->t.carried[i]];
    leat_b_loop_next(
        &k->l, k->number[i],
        cotangent != LEAT_NONE ? k->map[cotangent] : zeros_of(&k->l.b, leat_graph_value(k->t.graph, k->t.carried[i])));
  }
  for (uint32_t i = 0; i < k->t.loop.scanned; i++)
    if (wants_scanned(k, i) && cotangents[k->t.scanned[i]] != LEAT_NONE)
      prepare_leaf(k, cotangents[k->t.scanned[i]], false);
  for (uint32_t i = 0; i < k->t.loop.fixed; i++)
    if (wants_fixed(k, i)) leat_trip_leaves(&k->t, cotangents[k->t.fixed[i]], prepare_leaf, k);
}

static leat_status_t write_loop(back_t *k) {
  leat_status_t status = NULL;
  leat_b_loop_start(&k->l, k->v->b, k->t.loop.trips, !k->t.loop.reverse);
  add_carried(k);
  for (leat_op_id_t id = 0; id < k->t.graph->ops.count && status == NULL && !has_failed(k); id++)
    status = write_op(k, id);
  if (status == NULL && !has_failed(k)) write_ends(k);
  if (status != NULL && k->v->b->status == NULL) {
    k->v->b->status = status;
    status = NULL;
  }
  k->carried = k->l.carried.count;
  k->first = leat_b_loop_finish(&k->l);
  return status;
}

// --- behind the loop ------------------------------------------------------------------------------------------------

static leat_value_id_t stacked(const back_t *k, leat_value_id_t v) {
  const leat_value_id_t outer = outer_stack(k, v);
  return outer != LEAT_NONE ? outer : k->first + k->carried + k->stack_of[v];
}

// Both operands get a dim in front, which is summed.
static leat_value_id_t sum_products(back_t *k, const leat_op_t *op) {
  leat_spec_t spec = *leat_op_spec(k->t.graph, op);
  char trips = 'a';
  while (leat_spec_find(&spec, 0, trips) >= 0 || leat_spec_find(&spec, 1, trips) >= 0) trips++;
  for (uint32_t i = 0; i < 2; i++) {
    memmove(spec.letters[i] + 1, spec.letters[i], spec.rank[i]);
    spec.letters[i][0] = trips;
    spec.rank[i]++;
  }
  return leat_b_contract(k->v->b, &spec, stacked(k, leat_op_input(k->t.graph, op, 0)),
                         stacked(k, leat_op_input(k->t.graph, op, 1)));
}

static leat_value_id_t sum_reductions(back_t *k, const leat_op_t *op) {
  uint32_t count, mask = 1;
  const int64_t *dims = leat_op_list(k->t.graph, op, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; i++) mask |= 2u << dims[i];
  const leat_value_t *type = leat_graph_value(k->t.graph, op->result_first);
  const leat_value_id_t sum =
      leat_b_reduce(k->v->b, LEAT_FOLD_SUM, stacked(k, leat_op_input(k->t.graph, op, 0)), mask, true);
  return leat_b_reshape(k->v->b, sum, type->rank, type->dims);
}

// The sum of value `v` over all trips.
static leat_value_id_t total(back_t *k, leat_value_id_t v) {
  const leat_graph_t *g = k->t.graph;
  const leat_op_t *op = leat_graph_op(g, leat_graph_value(g, v)->op);
  switch (leat_trip_sum(&k->t, v)) {
    case LEAT_SUM_PRODUCT:
      return sum_products(k, op);
    case LEAT_SUM_REDUCTION:
      return sum_reductions(k, op);
    case LEAT_SUM_MOVED: {
      const leat_value_id_t x = total(k, leat_op_input(g, op, 0));
      return leat_b_op(k->v->b, op->kind, &x, 1, g->attrs.data + op->attr_first, op->attr_count, NULL);
    }
    case LEAT_SUM_BOTH: {
      const leat_value_id_t x = total(k, leat_op_input(g, op, 0));
      return leat_b_add(k->v->b, x, total(k, leat_op_input(g, op, 1)));
    }
    default:
      return k->first + k->sum_of[v];
  }
}

static void write_cotangents(back_t *k) {
  const leat_loop_t *loop = &k->t.loop;
  const leat_value_id_t *cotangents = k->t.r.cotangents;
  for (uint32_t i = 0; i < loop->carried; i++)
    if (k->v->wants[i]) k->v->dx[i] = k->first + k->number[i];
  for (uint32_t i = 0; i < loop->scanned; i++) {
    const leat_value_id_t cotangent = cotangents[k->t.scanned[i]];
    if (wants_scanned(k, i) && cotangent != LEAT_NONE) k->v->dx[loop->carried + i] = stacked(k, cotangent);
  }
  for (uint32_t i = 0; i < loop->fixed; i++)
    if (wants_fixed(k, i)) k->v->dx[loop->carried + loop->scanned + i] = total(k, cotangents[k->t.fixed[i]]);
}

// --- the rule -------------------------------------------------------------------------------------------------------

static leat_status_t make_room(back_t *k) {
  const size_t count = k->t.graph->values.count + 1u;
  k->kept = leat_arena_alloc(&k->t.arena, count);
  k->needed = leat_arena_alloc(&k->t.arena, count);
  k->map = leat_arena_alloc(&k->t.arena, count * sizeof *k->map);
  k->stack_of = leat_arena_alloc(&k->t.arena, count * sizeof *k->stack_of);
  k->sum_of = leat_arena_alloc(&k->t.arena, count * sizeof *k->sum_of);
  k->number = leat_arena_alloc(&k->t.arena, (k->t.loop.carried + 1u) * sizeof *k->number);
  if (k->kept == NULL || k->needed == NULL || k->map == NULL || k->stack_of == NULL || k->sum_of == NULL ||
      k->number == NULL)
    return leat_out_of_memory();
  for (size_t i = 0; i < count; i++) k->map[i] = k->stack_of[i] = k->sum_of[i] = LEAT_NONE;
  return NULL;
}

static leat_status_t differentiate(back_t *k) {
  LEAT_TRY(leat_trip_make(&k->t, k->v->b->graph, &k->v->op, k->v->wants, k->v->dy));
  LEAT_TRY(make_room(k));
  for (leat_value_id_t v = 0; v < k->t.r.value_count; v++) k->kept[v] = leat_trip_stack_of(&k->t, v) != LEAT_NONE;
  leat_trip_roots(&k->t, k->v->wants, k->needed);
  leat_trip_mark(&k->t, k->kept, k->needed);
  LEAT_TRY(write_loop(k));
  if (k->first != LEAT_NONE) write_cotangents(k);
  return NULL;
}

PRIM_VJP(LOOP) {
  back_t k = {.v = v};
  leat_status_t status = differentiate(&k);
  leat_trip_deinit(&k.t);
  if (status != NULL) leat_b_fail(v->b, leat_status_code(status), "%s", leat_status_message(status));
  leat_status_free(status);
}

// --- parts of a batch -----------------------------------------------------------------------------------------------

static leat_value_id_t turned(const leat_vjp_t *v, uint32_t kind) {
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_DIM, leat_vjp_int(v, LEAT_ATTR_DIM, -1)),
                               leat_attr_i(LEAT_ATTR_TRIPS, leat_vjp_int(v, LEAT_ATTR_TRIPS, 1))};
  return leat_b_op(v->b, kind, v->dy, 1, attrs, 2, NULL);
}

// Rows go to one part each; what all trips read gets the sum of what they have for it, and a sum gives to all.
PRIM_VJP(PART) { v->dx[0] = turned(v, LEAT_PRIM_JOIN); }
PRIM_VJP(JOIN) { v->dx[0] = turned(v, LEAT_PRIM_PART); }
