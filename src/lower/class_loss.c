// SPDX-License-Identifier: Apache-2.0
#include "lower/class_loss.h"

leat_value_id_t leat_row_class_weights(leat_builder_t *b, leat_value_id_t weight, const leat_class_loss_t *l) {
  if (weight == LEAT_NONE) return LEAT_NONE;
  leat_value_t v = *leat_b_value(b, l->x);
  for (uint32_t d = 0; d < v.rank; d++)
    if (d != l->dim) v.dims[d] = 1;
  return leat_b_cast(b, leat_b_reshape(b, weight, v.rank, v.dims), (leat_dtype_t)v.dtype);
}

// Targets as probabilities: q = w * ((1-s) * t + s/C); mean divides by the number of rows.
static void probability_targets(leat_class_loss_t *l, leat_builder_t *b, leat_value_id_t t, leat_value_id_t weights,
                                double smoothing) {
  int64_t classes = leat_b_extent(b, l->x, 1u << l->dim);
  l->q = leat_b_cast(b, t, leat_b_dtype(b, l->x));
  if (smoothing != 0.0) l->q = leat_b_adds(b, leat_b_muls(b, l->q, 1.0 - smoothing), smoothing / (double)classes);
  if (weights != LEAT_NONE) l->q = leat_b_mul(b, l->q, weights);
  int64_t rows = leat_b_extent(b, l->x, leat_b_all_dims(b, l->x) & ~(1u << l->dim));
  l->denominator = leat_b_number_like(b, l->x, (double)rows);
}

// Targets as class indices: mean divides by the weights of the rows that count.
static void index_targets(leat_class_loss_t *l, leat_builder_t *b, leat_value_id_t target, leat_value_id_t weights,
                          double smoothing, int64_t ignore_index) {
  uint32_t class_dim = 1u << l->dim;
  leat_dtype_t dtype = leat_b_dtype(b, l->x);
  leat_value_id_t t = leat_b_cast(b, leat_b_unsqueeze(b, target, class_dim), LEAT_I64);
  l->hit = leat_b_is_at(b, l->x, l->dim, t);
  l->ignored = leat_b_fn2s(b, EQ, t, (double)ignore_index);
  l->target = leat_b_number_or(b, l->ignored, (double)leat_b_extent(b, l->x, class_dim), t);
  l->row_weight = leat_b_number_like(b, l->x, 1.0);
  if (weights != LEAT_NONE) {
    const int64_t classes[] = {leat_b_extent(b, l->x, class_dim)};
    l->row_weight = leat_b_gather(b, leat_b_reshape(b, weights, 1, classes), l->target, 0, 0);
  }
  leat_value_id_t counted = leat_b_number_or(b, l->ignored, 0.0, l->row_weight);
  l->denominator = leat_b_reduce(b, LEAT_FOLD_SUM, counted, leat_b_all_dims(b, counted), false);
  if (smoothing == 0.0) return;
  leat_value_id_t each = weights != LEAT_NONE ? weights : leat_b_scalar(b, dtype, 1.0);
  leat_value_id_t smooth = leat_b_muls(b, each, smoothing / (double)leat_b_extent(b, l->x, class_dim));
  leat_value_id_t exact = leat_b_select_or(b, l->hit, leat_b_muls(b, l->row_weight, 1.0 - smoothing), 0.0);
  l->q = leat_b_add(b, exact, smooth);
}

leat_class_loss_t leat_row_class_loss(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                      const leat_value_id_t *in, uint32_t in_count) {
  leat_class_loss_t l = {.x = leat_b_widen(b, in[0]),
                         .hit = LEAT_NONE,
                         .target = LEAT_NONE,
                         .ignored = LEAT_NONE,
                         .row_weight = LEAT_NONE,
                         .q = LEAT_NONE,
                         .denominator = LEAT_NONE};
  l.dim = leat_b_value(b, in[0])->rank > 1 ? 1 : 0;
  leat_value_id_t weights = leat_row_class_weights(b, in_count > 2 ? in[2] : LEAT_NONE, &l);
  double smoothing = leat_op_float(g, op, LEAT_ATTR_LABEL_SMOOTHING, 0.0);
  bool probabilities = leat_dtype_is_float(leat_b_dtype(b, in[1]));
  if (probabilities && op->kind == LEAT_TRACED_NLL_LOSS)
    leat_b_fail(b, LEAT_INVALID_ARGUMENT, "targets must be class indices, not probabilities");
  if (probabilities)
    probability_targets(&l, b, in[1], weights, smoothing);
  else
    index_targets(&l, b, in[1], weights, smoothing, leat_op_int(g, op, LEAT_ATTR_IGNORE_INDEX, -100));
  return l;
}
