// SPDX-License-Identifier: Apache-2.0
// Losses. The class of a row is gathered, which a fused section does while the logits are in cache.
#include "lower/class_loss.h"
#include "lower/row.h"

static leat_reduction_t reduction_of(const leat_lower_t *c) {
  return leat_lower_word(c, LEAT_ATTR_REDUCTION, LEAT_REDUCTION_MEAN);
}

// Finishes a loss of plain elements.
static leat_value_id_t finish(leat_lower_t *c, leat_value_id_t elements) {
  return leat_b_cast(c->b, leat_row_reduce_loss(c->b, elements, reduction_of(c)), leat_lower_dtype(c, 0));
}

// Finishes a loss over rows: "mean" divides by the sum of the rows' weights. `rows` keep the class dim with extent 1.
static leat_value_id_t finish_rows(leat_lower_t *c, const leat_class_loss_t *l, leat_value_id_t rows) {
  leat_builder_t *b = c->b;
  const leat_reduction_t reduction = reduction_of(c);
  leat_value_id_t y;
  if (reduction == LEAT_REDUCTION_NONE) {
    y = leat_b_squeeze(b, rows, 1u << l->dim);
  } else {
    y = leat_b_reduce(b, LEAT_FOLD_SUM, rows, leat_b_all_dims(b, rows), false);
    if (reduction == LEAT_REDUCTION_MEAN) y = leat_b_div(b, y, l->denominator);
  }
  return leat_b_cast(b, y, leat_lower_dtype(c, 0));
}

// Of each row the logit or log-probability of its target class.
static leat_value_id_t picked_class(leat_lower_t *c, const leat_class_loss_t *l) {
  return leat_b_widen(c->b, leat_b_take_along(c->b, c->in[0], l->target, l->dim));
}

LOWER(CROSS_ENTROPY) {
  leat_builder_t *b = c->b;
  leat_class_loss_t l = leat_row_class_loss(b, c->from, c->op, c->in, c->in_count);
  leat_softmax_t s = leat_row_softmax(b, l.x, 1u << l.dim);
  leat_value_id_t log_sum = leat_b_fn1(b, LOG, s.sum);
  leat_value_id_t rows;
  if (l.q == LEAT_NONE) {  // one class a row: weight * (log sum - its logit)
    leat_value_id_t picked = leat_b_sub(b, picked_class(c, &l), s.shift);
    rows = leat_b_number_or(b, l.ignored, 0.0, leat_b_mul(b, leat_b_sub(b, log_sum, picked), l.row_weight));
  } else {
    leat_value_id_t terms = leat_b_mul(b, leat_b_sub(b, log_sum, s.shifted), l.q);
    rows = leat_b_sum(b, terms, 1u << l.dim);
    if (l.ignored != LEAT_NONE) rows = leat_b_number_or(b, l.ignored, 0.0, rows);
  }
  return finish_rows(c, &l, rows);
}

LOWER(NLL_LOSS) {
  leat_builder_t *b = c->b;
  leat_class_loss_t l = leat_row_class_loss(b, c->from, c->op, c->in, c->in_count);
  leat_value_id_t rows = leat_b_mul(b, leat_b_fn1(b, NEG, picked_class(c, &l)), l.row_weight);
  return finish_rows(c, &l, leat_b_number_or(b, l.ignored, 0.0, rows));
}

LOWER(MSE_LOSS) { return finish(c, leat_b_square(c->b, leat_b_sub(c->b, c->in[0], c->in[1]))); }
LOWER(L1_LOSS) { return finish(c, leat_b_fn1(c->b, ABS, leat_b_sub(c->b, c->in[0], c->in[1]))); }

LOWER(SMOOTH_L1_LOSS) {
  leat_builder_t *b = c->b;
  double beta = leat_lower_float(c, LEAT_ATTR_BETA, 1.0);
  leat_value_id_t z = leat_b_fn1(b, ABS, leat_b_sub(b, c->in[0], c->in[1]));
  if (beta == 0.0) return finish(c, z);
  leat_value_id_t near = leat_b_fn2s(b, DIV, leat_b_muls(b, leat_b_square(b, z), 0.5), beta);
  return finish(c, leat_b_select(b, leat_b_fn2s(b, LT, z, beta), near, leat_b_adds(b, z, -0.5 * beta)));
}

LOWER(HUBER_LOSS) {
  leat_builder_t *b = c->b;
  double delta = leat_lower_float(c, LEAT_ATTR_BETA, 1.0);
  leat_value_id_t z = leat_b_fn1(b, ABS, leat_b_sub(b, c->in[0], c->in[1]));
  leat_value_id_t near = leat_b_muls(b, leat_b_square(b, z), 0.5);
  leat_value_id_t far = leat_b_muls(b, leat_b_adds(b, z, -0.5 * delta), delta);
  return finish(c, leat_b_select(b, leat_b_fn2s(b, LE, z, delta), near, far));
}

// Logarithms are held at -100, so that certainty that is wrong costs a finite loss (torch).
LOWER(BCE_LOSS) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = c->in[0], t = c->in[1], weight = leat_lower_in(c, 2);
  leat_value_id_t log_x = leat_b_fn2s(b, MAX, leat_b_fn1(b, LOG, x), -100.0);
  leat_value_id_t log_rest = leat_b_fn2s(b, MAX, leat_b_fn1(b, LOG1P, leat_b_fn1(b, NEG, x)), -100.0);
  leat_value_id_t y = leat_b_sub(b, leat_b_mul(b, leat_b_adds(b, t, -1.0), log_rest), leat_b_mul(b, t, log_x));
  return finish(c, weight == LEAT_NONE ? y : leat_b_mul(b, y, weight));
}

// (1-t)*x + w*(log(1+exp(-|x|)) + max(-x,0)) with w = 1 + (pos_weight-1)*t
LOWER(BCE_LOGITS) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = c->in[0], t = c->in[1], weight = leat_lower_in(c, 2), pos_weight = leat_lower_in(c, 3);
  leat_value_id_t minus_x = leat_b_fn1(b, NEG, x);
  leat_value_id_t softplus = leat_b_cast(b, leat_row_softplus(b, leat_b_widen(b, minus_x)), leat_b_dtype(b, x));
  if (pos_weight != LEAT_NONE) {
    leat_value_id_t w = leat_b_adds(b, leat_b_mul(b, leat_b_adds(b, pos_weight, -1.0), t), 1.0);
    softplus = leat_b_mul(b, softplus, w);
  }
  leat_value_id_t y = leat_b_add(b, leat_b_mul(b, leat_b_sub_from(b, 1.0, t), x), softplus);
  return finish(c, weight == LEAT_NONE ? y : leat_b_mul(b, y, weight));
}

// t*(log t - x), zero where t is; with mode "log_target" t comes as its logarithm.
LOWER(KL_DIV) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = c->in[0], t = c->in[1];
  if (leat_lower_word(c, LEAT_ATTR_MODE, LEAT_TARGET_PLAIN) == LEAT_TARGET_LOG)
    return finish(c, leat_b_mul(b, leat_b_fn1(b, EXP, t), leat_b_sub(b, t, x)));
  return finish(c, leat_b_sub(b, leat_row_xlogy(b, t, t), leat_b_mul(b, t, x)));
}
