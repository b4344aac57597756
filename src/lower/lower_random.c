// SPDX-License-Identifier: Apache-2.0
// Random draws. They are functions of random__state and of the op's own stream, so that backward can draw again.
#include <math.h>

#include "lower/row.h"

static leat_value_id_t draw(leat_lower_t *c, leat_draw_t fn) {
  const leat_value_t *v = leat_lower_declared(c, 0);
  return leat_b_random(c->b, fn, leat_lower_int(c, LEAT_ATTR_STREAM, 0), leat_b_random_state(c->b),
                       (leat_dtype_t)v->dtype, v->rank, v->dims);
}

LOWER(RAND) { return draw(c, LEAT_DRAW_UNIFORM); }
LOWER(RANDN) { return draw(c, LEAT_DRAW_NORMAL); }

// Dropout of attention is off unless the op asks for it.
static double rate_of(const leat_graph_t *g, const leat_op_t *op) {
  if (!leat_op_takes_attr(op->kind, LEAT_ATTR_STREAM)) return -1.0;
  if (leat_op_takes_attr(op->kind, LEAT_ATTR_TRAINING))
    return leat_op_int(g, op, LEAT_ATTR_TRAINING, 0) ? leat_op_float(g, op, LEAT_ATTR_P, 0.5) : -1.0;
  double p = leat_op_float(g, op, LEAT_ATTR_P, 0.0);
  return p > 0.0 ? p : -1.0;
}

double leat_row_shared_rate(const leat_graph_t *g) {
  double shared = -1.0;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool hyper = leat_op_is_symbol(g, op, LEAT_KIND_HYPER);
    if (hyper && leat_graph_symbol(g, leat_op_symbol(g, op))->role == LEAT_MADE_DROPOUT)
      return leat_op_float(g, op, LEAT_ATTR_VALUE, NAN);
    double rate = rate_of(g, op);
    if (rate < 0.0) continue;
    if (shared >= 0.0 && rate != shared) return NAN;
    shared = rate;
  }
  return shared;
}

// 1/(1-p) of p = 1 would be infinite; then nothing is kept and the scale is 0.
leat_value_id_t leat_row_dropout_rate(leat_builder_t *b, double shared_rate, double rate, leat_value_id_t *out_scale) {
  leat_value_id_t p = leat_b_hyper(b, leat_b_role(b, LEAT_MADE_DROPOUT, 0), shared_rate, rate);
  leat_value_id_t keep_rate = leat_b_sub_from(b, 1.0, p);
  leat_value_id_t none_kept = leat_b_fn2s(b, LE, keep_rate, 0.0);
  *out_scale = leat_b_number_or(b, none_kept, 0.0, leat_b_fn1(b, RECIP, keep_rate));
  return p;
}

// Drawn in f32 so that the rate is kept exactly for half types too.
leat_value_id_t leat_row_dropout_scale(leat_builder_t *b, leat_value_id_t x, double shared_rate, double rate,
                                       int64_t stream) {
  if (x == LEAT_NONE) return LEAT_NONE;
  leat_value_t v = *leat_b_value(b, x);
  leat_value_id_t scale, p = leat_row_dropout_rate(b, shared_rate, rate, &scale);
  leat_value_id_t u = leat_b_random(b, LEAT_DRAW_UNIFORM, stream, leat_b_random_state(b), LEAT_F32, v.rank, v.dims);
  leat_value_id_t kept = leat_b_fn2(b, GE, u, leat_b_cast(b, p, LEAT_F32));
  return leat_b_select_or(b, kept, leat_b_cast(b, scale, (leat_dtype_t)v.dtype), 0.0);
}

LOWER(DROPOUT) {
  if (!leat_lower_int(c, LEAT_ATTR_TRAINING, 0)) return c->in[0];
  leat_value_id_t scale = leat_row_dropout_scale(c->b, c->in[0], c->dropout_rate, leat_lower_float(c, LEAT_ATTR_P, 0.5),
                                                 leat_lower_int(c, LEAT_ATTR_STREAM, 0));
  return leat_b_mul(c->b, c->in[0], scale);
}
