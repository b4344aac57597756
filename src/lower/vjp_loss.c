// SPDX-License-Identifier: Apache-2.0
// Gradients of losses. Those over classes recompute what their forward computed by the same steps, which CSE merges.
#include "lower/class_loss.h"
#include "lower/row.h"

static leat_reduction_t reduction_of(const leat_vjp_t *v) {
  return leat_vjp_word(v, LEAT_ATTR_REDUCTION, LEAT_REDUCTION_MEAN);
}

// Cotangent of each row's loss, with the class dim of extent 1; zero for ignored rows.
static leat_value_id_t row_cotangent(leat_vjp_t *v, const leat_class_loss_t *l) {
  leat_builder_t *b = v->b;
  const leat_reduction_t reduction = reduction_of(v);
  leat_value_id_t r = leat_b_cast(b, v->dy[0], leat_b_dtype(b, l->x));
  if (reduction == LEAT_REDUCTION_NONE) r = leat_b_unsqueeze(b, r, 1u << l->dim);
  if (reduction == LEAT_REDUCTION_MEAN) r = leat_b_div(b, r, l->denominator);
  return l->ignored == LEAT_NONE ? r : leat_b_number_or(b, l->ignored, 0.0, r);
}

// The loss of a row is -sum_c q_c log softmax(x)_c, so dx = r * (softmax * sum(q) - q), with q = weight of the target
// class when there is one.
VJP(CROSS_ENTROPY) {
  leat_builder_t *b = v->b;
  leat_class_loss_t l = leat_row_class_loss(b, b->graph, &v->op, v->x, v->x_count);
  leat_softmax_t s = leat_row_softmax(b, l.x, 1u << l.dim);
  leat_value_id_t r = row_cotangent(v, &l);
  if (v->wants[0] && l.q == LEAT_NONE) {
    leat_value_id_t k = leat_b_mul(b, r, l.row_weight);
    leat_value_id_t softmax = leat_b_mul(b, s.exp, leat_b_div(b, k, s.sum));
    v->dx[0] = leat_b_sub(b, softmax, leat_b_select_or(b, l.hit, k, 0.0));
  } else if (v->wants[0]) {
    leat_value_id_t softmax = leat_b_div(b, s.exp, s.sum);
    leat_value_id_t pull = leat_b_mul(b, softmax, leat_b_sum(b, l.q, 1u << l.dim));
    v->dx[0] = leat_b_mul(b, r, leat_b_sub(b, pull, l.q));
  }
  if (!v->wants[1]) return;
  leat_value_id_t loss = leat_b_sub(b, leat_b_fn1(b, LOG, s.sum), s.shifted);
  if (v->x_count > 2 && v->x[2] != LEAT_NONE) loss = leat_b_mul(b, loss, leat_row_class_weights(b, v->x[2], &l));
  loss = leat_b_muls(b, loss, 1.0 - leat_vjp_float(v, LEAT_ATTR_LABEL_SMOOTHING, 0.0));
  v->dx[1] = leat_b_mul(b, r, loss);
}

VJP(NLL_LOSS) {
  leat_builder_t *b = v->b;
  leat_class_loss_t l = leat_row_class_loss(b, b->graph, &v->op, v->x, v->x_count);
  leat_value_id_t k = leat_b_fn1(b, NEG, leat_b_mul(b, row_cotangent(v, &l), l.row_weight));
  v->dx[0] = leat_b_select_or(b, l.hit, k, 0.0);
}

// Cotangent of each element of a loss without classes.
static leat_value_id_t spread(leat_vjp_t *v, leat_value_id_t elements) {
  return leat_row_spread_loss(v->b, v->dy[0], elements, reduction_of(v));
}

// Losses of the difference: the gradient of the target is that of the prediction with both exchanged, signs of zeros
// included.
static void to_both(leat_vjp_t *v, leat_value_id_t (*slope)(leat_vjp_t *v, leat_value_id_t z)) {
  for (uint32_t i = 0; i < 2; i++) {
    if (!v->wants[i]) continue;
    leat_value_id_t z = leat_b_sub(v->b, v->x[i], v->x[1 - i]);
    v->dx[i] = leat_b_mul(v->b, slope(v, z), spread(v, z));
  }
}

static leat_value_id_t smooth_l1_slope(leat_vjp_t *v, leat_value_id_t z) {
  leat_builder_t *b = v->b;
  double beta = leat_vjp_float(v, LEAT_ATTR_BETA, 1.0);
  if (beta == 0.0) return leat_b_fn1(b, SIGN, z);
  return leat_b_fn2s(b, DIV, leat_b_fn2s(b, MIN, leat_b_fn2s(b, MAX, z, -beta), beta), beta);
}
VJP(SMOOTH_L1_LOSS) { to_both(v, smooth_l1_slope); }

static leat_value_id_t huber_slope(leat_vjp_t *v, leat_value_id_t z) {
  double delta = leat_vjp_float(v, LEAT_ATTR_BETA, 1.0);
  return leat_b_fn2s(v->b, MIN, leat_b_fn2s(v->b, MAX, z, -delta), delta);
}
VJP(HUBER_LOSS) { to_both(v, huber_slope); }

static leat_value_id_t square_slope(leat_vjp_t *v, leat_value_id_t z) { return leat_b_muls(v->b, z, 2.0); }
VJP(MSE_LOSS) { to_both(v, square_slope); }

static leat_value_id_t weigh(leat_vjp_t *v, leat_value_id_t d) {
  return v->x_count > 2 && v->x[2] != LEAT_NONE ? leat_b_mul(v->b, d, v->x[2]) : d;
}

// (x - t) / max(x * (1 - x), 1e-12f), as torch, which has the constant in single precision.
VJP(BCE_LOSS) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = v->x[0], t = v->x[1], rest = leat_b_sub_from(b, 1.0, x);
  leat_value_id_t dy = weigh(v, spread(v, leat_b_sub(b, x, t)));
  if (v->wants[0]) {
    leat_value_id_t variance = leat_b_fn2s(b, MAX, leat_b_mul(b, rest, x), (double)1e-12f);
    v->dx[0] = leat_b_mul(b, dy, leat_b_div(b, leat_b_sub(b, x, t), variance));
  }
  if (v->wants[1]) {  // -logit(x)
    leat_value_id_t logit = leat_b_fn1(b, LOG, leat_b_div(b, x, rest));
    v->dx[1] = leat_b_mul(b, dy, leat_b_fn1(b, NEG, logit));
  }
}

// sigmoid(x) - t; with pos_weight p: (p t + 1 - t) sigmoid(x) - p t.
VJP(BCE_LOGITS) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = v->x[0], t = v->x[1], p = v->x_count > 3 ? v->x[3] : LEAT_NONE;
  leat_value_id_t dy = weigh(v, spread(v, x)), sigmoid = leat_b_fn1(b, SIGMOID, x);
  if (v->wants[0]) {
    leat_value_id_t positive = p == LEAT_NONE ? t : leat_b_mul(b, p, t);
    leat_value_id_t total =
        p == LEAT_NONE ? sigmoid : leat_b_mul(b, leat_b_adds(b, leat_b_sub(b, positive, t), 1.0), sigmoid);
    v->dx[0] = leat_b_mul(b, dy, leat_b_sub(b, total, positive));
  }
  if (!v->wants[1]) return;
  leat_value_id_t slope = leat_b_fn1(b, NEG, x);
  if (p != LEAT_NONE) {
    leat_value_id_t softplus = leat_row_softplus(b, leat_b_fn1(b, NEG, x));
    slope = leat_b_add(b, slope, leat_b_mul(b, leat_b_adds(b, p, -1.0), softplus));
  }
  v->dx[1] = leat_b_mul(b, dy, slope);
}

// Of t log t - t x: torch differentiates x log y in each of its operands, so that t = 0 has no gradient (0/0).
VJP(KL_DIV) {
  leat_builder_t *b = v->b;
  leat_value_id_t x = v->x[0], t = v->x[1], dy = spread(v, leat_b_sub(b, x, t)), minus = leat_b_fn1(b, NEG, dy);
  if (leat_vjp_word(v, LEAT_ATTR_MODE, LEAT_TARGET_PLAIN) == LEAT_TARGET_LOG) {
    leat_value_id_t p = leat_b_fn1(b, EXP, t);
    if (v->wants[0]) v->dx[0] = leat_b_mul(b, minus, p);
    if (v->wants[1]) {
      leat_value_id_t share = leat_b_mul(b, leat_b_mul(b, dy, leat_b_sub(b, t, x)), p);
      v->dx[1] = leat_b_add(b, leat_b_mul(b, dy, p), share);
    }
    return;
  }
  if (v->wants[0]) v->dx[0] = leat_b_mul(b, minus, t);
  if (v->wants[1]) {
    leat_value_id_t first = leat_b_number_or(b, leat_b_fn2s(b, EQ, t, 0.0), 0.0, leat_row_xlogy(b, dy, t));
    leat_value_id_t entropy = leat_b_add(b, first, leat_b_div(b, leat_b_mul(b, dy, t), t));
    v->dx[1] = leat_b_add(b, leat_b_mul(b, minus, x), entropy);
  }
}
