// SPDX-License-Identifier: Apache-2.0
// Values without elements, on primitives. A result without elements is a constant, and an op that adds up, joins or
// pads nothing is one, too; so behind this pass no op reads such a value but a store, which writes nothing. Runs
// always: what comes after it may take every extent to be at least 1.
#include <math.h>

#include "ir/rebuild.h"
#include "opt/opt.h"

static bool is_empty(const leat_graph_t *g, leat_value_id_t v) {
  return leat_value_elements(leat_graph_value(g, v)) == 0;
}

static bool reads_nothing(const leat_graph_t *g, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    if (is_empty(g, leat_op_input(g, op, i))) return true;
  }
  return false;
}

static void splat(leat_rebuild_t *r, const leat_op_t *op, uint32_t result, double number) {
  const leat_value_t *as = leat_graph_value(r->from, op->result_first + result);
  r->map[op->result_first + result] = leat_b_splat(&r->b, (leat_dtype_t)as->dtype, as->rank, as->dims, number);
}

// The operands of a concat that have elements, of which there are some.
static void join_rest(leat_rebuild_t *r, const leat_op_t *op) {
  leat_value_id_t *rest = leat_alloc(op->input_count * sizeof *rest);
  if (rest == NULL) {
    (void)leat_b_fail(&r->b, LEAT_OUT_OF_MEMORY, "out of memory");
    return;
  }
  uint32_t count = 0;
  for (uint32_t i = 0; i < op->input_count; i++) {
    if (!is_empty(r->from, leat_op_input(r->from, op, i))) rest[count++] = leat_rebuild_input(r, op, i);
  }
  const uint32_t dim = (uint32_t)leat_op_int(r->from, op, LEAT_ATTR_DIM, 0);
  r->map[op->result_first] = leat_b_concat(&r->b, rest, count, dim);
  leat_free(rest);
}

// The sum, product or extreme of nothing.
static void reduce_nothing(leat_rebuild_t *r, const leat_op_t *op) {
  const char *fn = leat_op_string(r->from, op, LEAT_ATTR_FN, "");
  const uint32_t dtype = leat_graph_value(r->from, op->result_first)->dtype;
  const bool max = strcmp(fn, "max") == 0;
  double number = strcmp(fn, "prod") == 0 ? 1.0 : 0.0;
  if (max || strcmp(fn, "min") == 0) {
    if (leat_dtype_is_float((leat_dtype_t)dtype)) {
      number = max ? -HUGE_VAL : HUGE_VAL;
    } else if (dtype == LEAT_BOOL) {
      number = max ? 0.0 : 1.0;
    } else {
      (void)leat_b_fail(&r->b, LEAT_UNSUPPORTED, "the '%s' of no integers", fn);
    }
  }
  splat(r, op, 0, number);
}

// What a result with elements is when an operand has none.
static leat_status_t visit_reader(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  const char *fn = leat_op_string(r->from, op, LEAT_ATTR_FN, "");
  switch (op->kind) {
    case LEAT_PRIM_REDUCE:
      reduce_nothing(r, op);
      return NULL;
    case LEAT_PRIM_CONTRACT:
    case LEAT_PRIM_CONV:
    case LEAT_PRIM_CONV_WGRAD:
    case LEAT_PRIM_POOL_GRAD:
    case LEAT_PRIM_GATHER:  // of an empty table: every index is out of range
      splat(r, op, 0, 0.0);
      return NULL;
    case LEAT_PRIM_POOL:
      splat(r, op, 0, strcmp(fn, "max") == 0 ? -HUGE_VAL : 0.0);
      return NULL;
    case LEAT_PRIM_PAD:
      splat(r, op, 0, leat_op_float(r->from, op, LEAT_ATTR_VALUE, 0.0));
      return NULL;
    case LEAT_PRIM_SCATTER:  // no updates
      r->map[op->result_first] = leat_rebuild_input(r, op, 0);
      return NULL;
    case LEAT_PRIM_CONCAT:
      join_rest(r, op);
      return NULL;
    default:
      return leat_rebuild_copy(r, id);
  }
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  bool empty = op->result_count > 0 && op->kind != LEAT_PRIM_SYMBOL;
  for (uint32_t i = 0; i < op->result_count; i++) empty = empty && is_empty(r->from, op->result_first + i);
  if (!empty && (op->result_count == 0 || !reads_nothing(r->from, op))) return leat_rebuild_copy(r, id);
  if (!empty) return visit_reader(r, id);
  for (uint32_t i = 0; i < op->result_count; i++) splat(r, op, i, 0.0);
  return NULL;
}

leat_status_t leat_opt_empty(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_rebuild(from, visit, NULL, out_graph);
}
