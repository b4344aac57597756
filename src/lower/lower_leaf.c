// SPDX-License-Identifier: Apache-2.0
// Rows without arithmetic: statements, symbols, constants, casts, copies.
#include "lower/row.h"

static leat_value_id_t declared_splat(leat_lower_t *c, double value) {
  const leat_value_t *v = leat_lower_declared(c, 0);
  return leat_b_splat(c->b, (leat_dtype_t)v->dtype, v->rank, v->dims, value);
}

LOWER(OUTPUT) {
  leat_b_store(c->b, leat_op_symbol(c->from, c->op), LEAT_STORE_OUTPUT, c->in[0]);
  return LEAT_NONE;
}

// The operand is the value of a symbol: that is the place to write to.
LOWER(UPDATE) {
  const leat_value_t *v = leat_graph_value(c->from, leat_op_input(c->from, c->op, 0));
  const leat_op_t *symbol = leat_graph_op(c->from, v->op);
  if (leat_op_role(symbol->kind) != LEAT_ROLE_SYMBOL)
    return leat_b_fail(c->b, LEAT_INVALID_ARGUMENT, "operand 0 must be a symbol");
  if (leat_op_word(c->from, symbol, LEAT_ATTR_KIND, LEAT_KIND_INPUT) == LEAT_KIND_INPUT)
    return leat_b_fail(c->b, LEAT_INVALID_ARGUMENT, "input '%s' is not written: a run only reads it",
                       leat_op_name(c->from, symbol));
  leat_b_store(c->b, leat_op_symbol(c->from, symbol), LEAT_STORE_UPDATE, c->in[1]);
  return LEAT_NONE;
}

LOWER(OPTIMIZER) {
  (void)c;
  return LEAT_NONE;
}

// Hyperparameters and seeds of outputs are symbols that the compiler adds.
LOWER(SYM) {
  const int kind = leat_lower_word(c, LEAT_ATTR_KIND, LEAT_KIND_INPUT);
  if (kind == LEAT_KIND_HYPER || kind == LEAT_KIND_SEED)
    return leat_b_fail(c->b, LEAT_INVALID_ARGUMENT, "'%s' is none of input, param, buffer and state",
                       leat_op_name(c->from, c->op));
  leat_attr_t attrs[] = {{.key = LEAT_ATTR_NAME, .v.i = leat_op_symbol(c->from, c->op)},
                         {.key = LEAT_ATTR_KIND, .v.i = kind},
                         {.key = LEAT_ATTR_REQUIRES_GRAD, .v.i = leat_lower_int(c, LEAT_ATTR_REQUIRES_GRAD, 0)}};
  return leat_b_op(c->b, LEAT_PRIM_SYMBOL, NULL, 0, attrs, 3, leat_lower_declared(c, 0));
}

LOWER(CONST) {
  leat_attr_t index = {.key = LEAT_ATTR_INDEX, .v.i = leat_lower_int(c, LEAT_ATTR_INDEX, 0)};
  return leat_b_op(c->b, LEAT_PRIM_CONSTANT, NULL, 0, &index, 1, leat_lower_declared(c, 0));
}

LOWER(FULL) { return declared_splat(c, leat_lower_float(c, LEAT_ATTR_VALUE, 0.0)); }

// value + scale * i, in f64 for floats (as torch) and in i64 for integers.
LOWER(ARANGE) {
  const leat_value_t *v = leat_lower_declared(c, 0);
  leat_dtype_t dtype = leat_dtype_is_float((leat_dtype_t)v->dtype) ? LEAT_F64 : LEAT_I64;
  leat_value_id_t i = leat_b_iota(c->b, dtype, v->rank, v->dims, 0);
  leat_value_id_t scaled = leat_b_muls(c->b, i, leat_lower_float(c, LEAT_ATTR_SCALE, 1.0));
  return leat_b_cast(c->b, leat_b_adds(c->b, scaled, leat_lower_float(c, LEAT_ATTR_VALUE, 0.0)),
                     (leat_dtype_t)v->dtype);
}

// What no i32 holds (NaN too) becomes the least one, as by the processors' conversion that torch uses; i16 and i8 take
// its low bits. Into i64, and from there into u8, the conversion itself does so.
LOWER(TO) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = c->in[0];
  leat_dtype_t to = leat_lower_dtype(c, 0);
  bool narrows = !leat_dtype_is_float(to) && to != LEAT_I64 && to != LEAT_U8 && to != LEAT_BOOL;
  if (narrows && leat_dtype_is_float(leat_b_dtype(b, x))) {
    x = leat_b_widen(b, x);
    leat_value_id_t whole = leat_b_fn1(b, TRUNC, x);
    leat_value_id_t above = leat_b_fn2s(b, GE, whole, -0x1p31), below = leat_b_fn2s(b, LT, whole, 0x1p31);
    x = leat_b_select_or(b, leat_b_fn2(b, AND, above, below), whole, -0x1p31);
  }
  return leat_b_cast(b, x, to);
}
LOWER(CLONE) { return c->in[0]; }
LOWER(CONTIGUOUS) { return c->in[0]; }
LOWER(DETACH) { return leat_b_fn1(c->b, STOP, c->in[0]); }
