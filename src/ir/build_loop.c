// SPDX-License-Identifier: Apache-2.0
// Writing loops.
#include "ir/loop.h"

void leat_b_loop_start(leat_loop_builder_t *l, leat_builder_t *outer, int64_t trips, bool reverse) {
  leat_graph_t *body = NULL;
  *l = (leat_loop_builder_t){.outer = outer, .trips = trips, .reverse = reverse};
  if (outer->status == NULL) outer->status = leat_graph_create(&body);
  leat_builder_init(&l->b, body);
}

// Appends `v` to a list of the builder; what fails is an error of the loop's graph.
#define PUSH(l, list, v)                                                  \
  do {                                                                    \
    leat_value_id_t *slot_ = leat_array_push(&(l)->list);                 \
    if (slot_ == NULL)                                                    \
      (void)leat_b_fail((l)->outer, LEAT_OUT_OF_MEMORY, "out of memory"); \
    else                                                                  \
      *slot_ = (v);                                                       \
  } while (0)

static bool is_sound(const leat_loop_builder_t *l, leat_value_id_t v) {
  if (v == LEAT_NONE) (void)leat_b_fail(l->outer, LEAT_INTERNAL, "an operand of a loop is missing");
  return l->outer->status == NULL && l->b.status == NULL;
}

// End `number` of that role, of the type of `x` in the loop's graph, or of its entries.
static leat_value_id_t add_symbol(leat_loop_builder_t *l, leat_symbol_role_t role, uint32_t number, leat_value_id_t x) {
  leat_value_t type = *leat_b_value(l->outer, x);
  const uint32_t first = role == LEAT_MADE_LOOP_SCANNED;  // dims that belong to the stack
  if (type.rank < first) return leat_b_fail(l->outer, LEAT_INVALID_ARGUMENT, "a stack has a dim for its entries");
  return leat_b_symbol(&l->b, leat_b_role(&l->b, role, number), LEAT_KIND_INPUT, (leat_dtype_t)type.dtype,
                       type.rank - first, type.dims + first);
}

leat_value_id_t leat_b_loop_carried(leat_loop_builder_t *l, leat_value_id_t init) {
  if (!is_sound(l, init)) return LEAT_NONE;
  PUSH(l, carried, init);
  return add_symbol(l, LEAT_MADE_LOOP_CARRIED, l->carried.count - 1, init);
}

leat_value_id_t leat_b_loop_scanned(leat_loop_builder_t *l, leat_value_id_t stack) {
  if (!is_sound(l, stack)) return LEAT_NONE;
  PUSH(l, scanned, stack);
  return add_symbol(l, LEAT_MADE_LOOP_SCANNED, l->scanned.count - 1, stack);
}

leat_value_id_t leat_b_loop_fixed(leat_loop_builder_t *l, leat_value_id_t x) {
  if (!is_sound(l, x)) return LEAT_NONE;
  for (uint32_t i = 0; i < l->fixed.count; i++) {
    if (l->fixed.data[i] == x) return l->fixed_ends.data[i];
  }
  PUSH(l, fixed, x);
  const leat_value_id_t end = add_symbol(l, LEAT_MADE_LOOP_FIXED, l->fixed.count - 1, x);
  PUSH(l, fixed_ends, end);
  return end;
}

void leat_b_loop_next(leat_loop_builder_t *l, uint32_t number, leat_value_id_t v) {
  if (l->outer->status != NULL) return;
  leat_b_store(&l->b, leat_b_role(&l->b, LEAT_MADE_LOOP_NEXT, number), LEAT_STORE_OUTPUT, v);
}

uint32_t leat_b_loop_stack(leat_loop_builder_t *l, leat_value_id_t v) {
  for (uint32_t i = 0; i < l->stacked.count; i++) {
    if (l->stacked.data[i] == v) return i;
  }
  if (l->outer->status != NULL) return 0;
  PUSH(l, stacked, v);
  leat_b_store(&l->b, leat_b_role(&l->b, LEAT_MADE_LOOP_STACKED, l->stacked.count - 1), LEAT_STORE_OUTPUT, v);
  return l->stacked.count - 1;
}

// The operands in the order of the op.
static leat_value_id_t *join_operands(const leat_loop_builder_t *l) {
  const uint32_t carried = l->carried.count, scanned = l->scanned.count, fixed = l->fixed.count;
  leat_value_id_t *inputs = leat_alloc_zero((size_t)carried + scanned + fixed + 1u, sizeof *inputs);
  if (inputs == NULL) return NULL;
  for (uint32_t i = 0; i < carried; i++) inputs[i] = l->carried.data[i];
  for (uint32_t i = 0; i < scanned; i++) inputs[carried + i] = l->scanned.data[i];
  for (uint32_t i = 0; i < fixed; i++) inputs[carried + scanned + i] = l->fixed.data[i];
  return inputs;
}

static leat_value_id_t append(leat_loop_builder_t *l) {
  leat_builder_t *b = l->outer;
  uint32_t index = 0;
  if (b->status == NULL) b->status = leat_builder_take_status(&l->b);
  if (b->status == NULL) b->status = leat_graph_verify(l->b.graph);
  if (b->status == NULL) b->status = leat_graph_add_body(b->graph, l->b.graph, &index);
  if (b->status != NULL) return LEAT_NONE;
  l->b.graph = NULL;
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_BODY, index),
                               leat_attr_i(LEAT_ATTR_TRIPS, l->trips),
                               leat_attr_i(LEAT_ATTR_CARRIED, l->carried.count),
                               leat_attr_i(LEAT_ATTR_SCANNED, l->scanned.count),
                               leat_attr_i(LEAT_ATTR_REVERSE, l->reverse),
                               leat_attr_i(LEAT_ATTR_STREAM, l->streams)};
  leat_value_id_t *inputs = join_operands(l);
  if (inputs == NULL) return leat_b_fail(b, LEAT_OUT_OF_MEMORY, "out of memory");
  const uint32_t count = l->carried.count + l->scanned.count + l->fixed.count;
  const leat_value_id_t first = leat_b_op(b, LEAT_PRIM_LOOP, inputs, count, attrs, 6, NULL);
  leat_free(inputs);
  return first;
}

void leat_b_loop_drop(leat_loop_builder_t *l) {
  leat_status_free(leat_builder_take_status(&l->b));
  leat_graph_destroy(l->b.graph);
  leat_array_free(&l->carried);
  leat_array_free(&l->scanned);
  leat_array_free(&l->fixed);
  leat_array_free(&l->fixed_ends);
  leat_array_free(&l->stacked);
  *l = (leat_loop_builder_t){0};
}

leat_value_id_t leat_b_loop_finish(leat_loop_builder_t *l) {
  const leat_value_id_t first = append(l);
  leat_b_loop_drop(l);
  return first;
}
