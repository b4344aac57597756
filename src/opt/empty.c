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

// --- what a result with elements is when an operand has none: the column `empty` of op.def --------------------------

typedef void (*empty_t)(leat_rebuild_t *r, const leat_op_t *op);

// Of an empty table, too: every index is out of range.
static void empty_zeros(leat_rebuild_t *r, const leat_op_t *op) { splat(r, op, 0, 0.0); }

// The operands of a concat that have elements, of which there are some.
static void empty_joined(leat_rebuild_t *r, const leat_op_t *op) {
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
static void empty_reduced(leat_rebuild_t *r, const leat_op_t *op) {
  const leat_fold_t fn = leat_op_word(r->from, op, LEAT_ATTR_FN, LEAT_FOLD_SUM);
  const uint32_t dtype = leat_graph_value(r->from, op->result_first)->dtype;
  const bool max = fn == LEAT_FOLD_MAX;
  double number = fn == LEAT_FOLD_PROD ? 1.0 : 0.0;
  if (max || fn == LEAT_FOLD_MIN) {
    if (leat_dtype_is_float((leat_dtype_t)dtype)) {
      number = max ? -HUGE_VAL : HUGE_VAL;
    } else if (dtype == LEAT_BOOL) {
      number = max ? 0.0 : 1.0;
    } else {
      (void)leat_b_fail(&r->b, LEAT_UNSUPPORTED, "the '%s' of no integers", max ? "max" : "min");
    }
  }
  splat(r, op, 0, number);
}

static void empty_pooled(leat_rebuild_t *r, const leat_op_t *op) {
  const bool max = leat_op_word(r->from, op, LEAT_ATTR_FN, LEAT_FOLD_MAX) == LEAT_FOLD_MAX;
  splat(r, op, 0, max ? -HUGE_VAL : 0.0);
}

static void empty_padded(leat_rebuild_t *r, const leat_op_t *op) {
  splat(r, op, 0, leat_op_float(r->from, op, LEAT_ATTR_VALUE, 0.0));
}

// No updates.
static void empty_first(leat_rebuild_t *r, const leat_op_t *op) {
  r->map[op->result_first] = leat_rebuild_input(r, op, 0);
}

#define empty_copied NULL  // the op as it is
static const empty_t empty_table[LEAT_PRIM_COUNT] = {
#define PRIM(e, n, lo, hi, r, a, role, products, again, rows, flops, bytes, empty) [LEAT_PRIM_##e] = empty_##empty,
#include "ir/op.def"
#undef PRIM
};

static leat_status_t visit_reader(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  if (empty_table[op->kind] == NULL) return leat_rebuild_copy(r, id);
  empty_table[op->kind](r, op);
  return NULL;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  bool empty = op->result_count > 0 && leat_op_role(op->kind) != LEAT_ROLE_SYMBOL;
  for (uint32_t i = 0; i < op->result_count; i++) empty = empty && is_empty(r->from, op->result_first + i);
  if (!empty && (op->result_count == 0 || !reads_nothing(r->from, op))) return leat_rebuild_copy(r, id);
  if (!empty) return visit_reader(r, id);
  for (uint32_t i = 0; i < op->result_count; i++) splat(r, op, i, 0.0);
  return NULL;
}

leat_status_t leat_opt_empty(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_rebuild(from, visit, NULL, out_graph);
}
