// SPDX-License-Identifier: Apache-2.0
// Reading loops.
#include "ir/loop.h"

leat_loop_t leat_loop_of(const leat_graph_t *g, const leat_op_t *op) {
  leat_loop_t loop = {.body = g->bodies.data[leat_op_attr(g, op, LEAT_ATTR_BODY)->v.i],
                      .trips = leat_op_int(g, op, LEAT_ATTR_TRIPS, 1),
                      .reverse = leat_op_int(g, op, LEAT_ATTR_REVERSE, 0) != 0,
                      .streams = leat_op_int(g, op, LEAT_ATTR_STREAM, 0),
                      .carried = (uint32_t)leat_op_int(g, op, LEAT_ATTR_CARRIED, 0),
                      .scanned = (uint32_t)leat_op_int(g, op, LEAT_ATTR_SCANNED, 0)};
  loop.fixed = op->input_count - loop.carried - loop.scanned;
  loop.stacked = op->result_count - loop.carried;
  return loop;
}

// The ends of a body: symbols, of which it reads the value, and stores.
static const leat_symbol_t *end_of(const leat_graph_t *body, const leat_op_t *op) {
  const leat_symbol_id_t symbol = leat_op_symbol(body, op);
  return symbol == LEAT_NONE ? NULL : leat_graph_symbol(body, symbol);
}

static leat_value_id_t value_of_end(const leat_graph_t *body, const leat_op_t *op) {
  return leat_op_is_statement(op->kind) ? leat_op_input(body, op, 0) : op->result_first;
}

leat_value_id_t leat_loop_end(const leat_graph_t *body, leat_symbol_role_t role, uint32_t number) {
  for (leat_op_id_t id = 0; id < body->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(body, id);
    const leat_symbol_t *end = end_of(body, op);
    if (end != NULL && end->role == role && end->number == number) return value_of_end(body, op);
  }
  return LEAT_NONE;
}

leat_value_t leat_loop_stack_type(const leat_value_t *entry, int64_t trips) {
  leat_value_t type = {.dtype = entry->dtype, .rank = (uint8_t)(entry->rank + 1), .dims = {trips}};
  for (uint32_t d = 0; d < entry->rank && d + 1 < LEAT_RANK_MAX; d++) type.dims[d + 1] = entry->dims[d];
  return type;
}

uint32_t leat_loop_stacked(const leat_graph_t *body) {
  uint32_t count = 0;
  for (leat_op_id_t id = 0; id < body->ops.count; id++) {
    const leat_symbol_t *end = end_of(body, leat_graph_op(body, id));
    if (end != NULL && end->role == LEAT_MADE_LOOP_STACKED) count++;
  }
  return count;
}

uint32_t leat_op_result_count(const leat_graph_t *g, uint32_t kind, const leat_attr_t *attrs, uint32_t attr_count) {
  const uint32_t count = leat_op_info(kind)->result_count;
  if (count != LEAT_RESULTS_OF_BODY) return count;
  int64_t carried = 0, body = -1;
  for (uint32_t i = 0; i < attr_count; i++) {
    if (attrs[i].key == LEAT_ATTR_CARRIED) carried = attrs[i].v.i;
    if (attrs[i].key == LEAT_ATTR_BODY) body = attrs[i].v.i;
  }
  if (carried < 0 || carried > leat_op_info(kind)->max_inputs || body < 0 || body >= g->bodies.count) return 0;
  return (uint32_t)carried + leat_loop_stacked(g->bodies.data[body]);
}
