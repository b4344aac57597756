// SPDX-License-Identifier: Apache-2.0
// Gradient of attention from the recomputed weights P: with D = dropped P,
// dv = D^T dy; dP = drop * (dy v^T); dS = P * (dP - sum(dP * P)); dq = scale * dS k; dk = scale * dS^T q.
#include "lower/attention.h"
#include "lower/row.h"

// Sums what was broadcast, then drops the dim that grouped heads put in.
static leat_value_id_t fold_to(leat_builder_t *b, leat_value_id_t d, leat_value_id_t like, leat_value_id_t operand) {
  leat_value_t v = *leat_b_value(b, like);
  return leat_b_reshape_like(b, leat_b_sum_to(b, d, v.rank, v.dims), operand);
}

static void stored_gradient(leat_vjp_t *v, const leat_sdpa_t *given) {
  leat_builder_t *b = v->b;
  const leat_sdpa_t wide = leat_row_wide_sdpa(b, given), *a = &wide;
  const leat_stored_scores_t s = leat_row_stored_scores(b, a);
  leat_value_t shape = *leat_b_value(b, s.weights), values = *leat_b_value(b, a->v);
  if (shape.rank < 2 || values.rank < 2) return;
  shape.dims[shape.rank - 1] = values.dims[values.rank - 1];
  leat_value_id_t dy = leat_b_reshape(b, leat_b_widen(b, v->dy[0]), shape.rank, shape.dims);
  if (v->wants[2]) {
    leat_value_id_t dropped = s.drop == LEAT_NONE ? s.weights : leat_b_mul(b, s.weights, s.drop);
    v->dx[2] = fold_to(b, leat_row_batched(b, dropped, "km", dy, "kn", "mn"), a->v, v->x[2]);
  }
  leat_value_id_t dp = leat_row_batched(b, dy, "mk", a->v, "nk", "mn");
  if (s.drop != LEAT_NONE) dp = leat_b_mul(b, dp, s.drop);
  leat_value_id_t sum = leat_b_sum(b, leat_b_mul(b, dp, s.weights), 1u << (shape.rank - 1u));
  leat_value_id_t ds = leat_b_mul(b, s.weights, leat_b_sub(b, dp, sum)), scaled = leat_b_muls(b, ds, a->scale);
  if (v->wants[0]) v->dx[0] = fold_to(b, leat_row_batched(b, scaled, "mk", a->k, "kn", "mn"), a->q, v->x[0]);
  if (v->wants[1]) v->dx[1] = fold_to(b, leat_row_batched(b, scaled, "km", a->q, "kn", "mn"), a->k, v->x[1]);
  if (v->x_count > 3 && v->x[3] != LEAT_NONE && v->wants[3]) v->dx[3] = a->grouped ? leat_row_merge_heads(b, ds) : ds;
}

// In blocks: sum(dP * P) of a row is sum(dy * y), and the weights are made again from the logs of their sums. Of y what
// forward gives is read, so that nothing wider is kept.
static void gradient_in_blocks(leat_vjp_t *v, const leat_sdpa_t *a) {
  leat_builder_t *b = v->b;
  const leat_attention_t blocks = leat_row_attention(b, a);
  leat_value_id_t lse, y = leat_b_attention(b, &blocks, &lse);
  const leat_value_id_t dy = leat_b_reshape_like(b, v->dy[0], y);
  const leat_value_id_t given = leat_b_cast(b, leat_b_cast(b, y, leat_b_dtype(b, dy)), LEAT_F32);
  const leat_value_id_t met = leat_b_mul(b, leat_b_widen(b, dy), given);
  const leat_value_id_t delta = leat_b_sum(b, met, 1u << (leat_b_value(b, y)->rank - 1u));
  const leat_value_id_t dout = leat_b_cast(b, dy, leat_b_dtype(b, blocks.v));
  const leat_value_id_t dq = leat_b_attention_grad(b, &blocks, lse, delta, dout);
  if (dq == LEAT_NONE) return;
  if (v->wants[0]) v->dx[0] = leat_b_muls(b, fold_to(b, dq, blocks.q, v->x[0]), a->scale);
  if (v->wants[1]) v->dx[1] = leat_b_muls(b, fold_to(b, dq + 1, blocks.k, v->x[1]), blocks.scale);
  if (v->wants[2]) v->dx[2] = fold_to(b, dq + 2, blocks.v, v->x[2]);
}

VJP(SDPA) {
  // The shared rate is that of the symbol `p`, which forward has made.
  const leat_sdpa_t a = leat_row_sdpa(v->b, v->b->graph, &v->op, v->x, v->x_count, leat_row_shared_rate(v->b->graph));
  const bool wants_mask = v->x_count > 3 && v->x[3] != LEAT_NONE && v->wants[3];  // which needs the table
  if (!wants_mask && leat_row_in_blocks(v->b, &a)) {
    gradient_in_blocks(v, &a);
  } else {
    stored_gradient(v, &a);
  }
}
