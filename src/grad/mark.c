// SPDX-License-Identifier: Apache-2.0
// Which values need a gradient, and which have one.
#include "grad/grad.h"
#include "grad/rules.h"

static void mark_needs(const leat_graph_t *g, bool *needs) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool any = leat_op_requires_grad(g, op);
    for (uint32_t i = 0; i < op->input_count && !any && !op->detached; i++) {
      leat_value_id_t x = leat_op_input(g, op, i);
      any = x != LEAT_NONE && needs[x];
    }
    for (uint32_t i = 0; i < op->result_count; i++) {
      leat_value_id_t y = op->result_first + i;
      needs[y] = any && leat_dtype_is_float((leat_dtype_t)leat_graph_value(g, y)->dtype);
    }
  }
}

bool leat_grad_is_seeded(const leat_graph_t *g, const leat_op_t *op) {
  return leat_op_role(op->kind) == LEAT_ROLE_KEEP &&
         leat_op_word(g, op, LEAT_ATTR_SEED, LEAT_SEED_ZERO) != LEAT_SEED_ZERO;
}

bool leat_grad_flows(const leat_graph_t *g, const leat_op_t *op, uint32_t input) {
  if (op->detached || op->kind == LEAT_TRACED_DETACH) return false;
  if (op->kind == LEAT_TRACED_STRAIGHT_THROUGH) return input != 0;
  return leat_op_scalar(g, op) != LEAT_SCALAR_STOP;
}

// A symbol may be reached without a cotangent, as through floor: then its gradient is zero, not missing.
static void mark_reached(const leat_graph_t *g, const bool *needs, bool *reached) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (leat_grad_is_seeded(g, op) && needs[leat_op_input(g, op, 0)]) reached[leat_op_input(g, op, 0)] = true;
  }
  for (leat_op_id_t id = g->ops.count; id-- > 0;) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool any = false;
    for (uint32_t i = 0; i < op->result_count; i++) any = any || reached[op->result_first + i];
    for (uint32_t i = 0; i < op->input_count && any; i++) {
      leat_value_id_t x = leat_op_input(g, op, i);
      if (x != LEAT_NONE && needs[x] && leat_grad_flows(g, op, i)) reached[x] = true;
    }
  }
}

void leat_grad_mark(const leat_graph_t *g, bool *out_needs, bool *out_reached) {
  mark_needs(g, out_needs);
  mark_reached(g, out_needs, out_reached);
}
