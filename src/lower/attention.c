// SPDX-License-Identifier: Apache-2.0
#include "lower/attention.h"

#include <math.h>

#include "lower/row.h"

// x[.., heads, rows, cols] as [.., heads/per, per, rows, cols]
static leat_value_id_t split_heads(leat_builder_t *b, leat_value_id_t x, int64_t per) {
  leat_value_t v = *leat_b_value(b, x);
  if (v.rank >= LEAT_RANK_MAX || per <= 0)
    return leat_b_fail(b, LEAT_UNSUPPORTED, "grouped heads need at most %d dimensions", LEAT_RANK_MAX - 1);
  v.dims[v.rank] = v.dims[v.rank - 1];
  v.dims[v.rank - 1] = v.dims[v.rank - 2];
  v.dims[v.rank - 2] = per;
  v.dims[v.rank - 3] /= per;
  return leat_b_reshape(b, x, v.rank + 1u, v.dims);
}

leat_value_id_t leat_row_merge_heads(leat_builder_t *b, leat_value_id_t x) {
  leat_value_t v = *leat_b_value(b, x);
  if (v.rank < 4) return x;
  v.dims[v.rank - 4] *= v.dims[v.rank - 3];
  v.dims[v.rank - 3] = v.dims[v.rank - 2];
  v.dims[v.rank - 2] = v.dims[v.rank - 1];
  return leat_b_reshape(b, x, v.rank - 1u, v.dims);
}

// How many query heads share a head of k; 1 where heads are equal or broadcast.
static int64_t heads_per_group(const leat_value_t *q, const leat_value_t *k) {
  if (q->rank < 3 || k->rank < 3) return 1;
  int64_t q_heads = q->dims[q->rank - 3], k_heads = k->dims[k->rank - 3];
  return k_heads > 1 && q_heads > k_heads && q_heads % k_heads == 0 ? q_heads / k_heads : 1;
}

static leat_value_id_t mask_scores(leat_builder_t *b, leat_value_id_t scores, leat_value_id_t mask, bool causal) {
  if (causal) {
    uint32_t rank = leat_b_value(b, scores)->rank;
    leat_value_id_t row = leat_b_index_along(b, scores, rank - 2u), column = leat_b_index_along(b, scores, rank - 1u);
    scores = leat_b_select_or(b, leat_b_fn2(b, GE, row, column), scores, -(double)INFINITY);
  }
  if (mask == LEAT_NONE) return scores;
  if (leat_b_dtype(b, mask) == LEAT_BOOL) return leat_b_select_or(b, mask, scores, -(double)INFINITY);
  return leat_b_add(b, scores, leat_b_cast(b, mask, leat_b_dtype(b, scores)));
}

leat_attention_t leat_row_attention(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                    const leat_value_id_t *in, uint32_t in_count, double dropout_rate) {
  leat_attention_t a = {
      .q = leat_b_widen(b, in[0]), .k = leat_b_widen(b, in[1]), .v = leat_b_widen(b, in[2]), .drop = LEAT_NONE};
  leat_value_id_t mask = in_count > 3 ? in[3] : LEAT_NONE;
  leat_value_t q = *leat_b_value(b, a.q), k = *leat_b_value(b, a.k);
  a.weights = LEAT_NONE;
  if (q.rank < 2 || k.rank < 2 || leat_b_value(b, a.v)->rank < 2) {
    leat_b_fail(b, LEAT_INVALID_ARGUMENT, "query, key and value need at least two dimensions");
    return a;
  }
  a.scale = leat_op_float(g, op, LEAT_ATTR_SCALE, 0.0);
  if (a.scale == 0.0) a.scale = 1.0 / sqrt((double)q.dims[q.rank - 1]);
  int64_t per = heads_per_group(&q, &k);
  a.grouped = per > 1;
  if (a.grouped) {
    a.q = split_heads(b, a.q, per);
    a.k = leat_b_unsqueeze(b, a.k, 1u << (k.rank - 2u));
    a.v = leat_b_unsqueeze(b, a.v, 1u << (k.rank - 2u));
    if (mask != LEAT_NONE && leat_b_value(b, mask)->rank >= 3) {
      uint32_t rank = leat_b_value(b, mask)->rank;
      bool one = leat_b_value(b, mask)->dims[rank - 3u] == 1;
      mask = one ? leat_b_unsqueeze(b, mask, 1u << (rank - 2u)) : split_heads(b, mask, per);
    }
  }
  leat_value_id_t scores = leat_b_muls(b, leat_row_batched(b, a.q, "mk", a.k, "nk", "mn"), a.scale);
  scores = mask_scores(b, scores, mask, leat_op_int(g, op, LEAT_ATTR_CAUSAL, 0) != 0);
  if (scores == LEAT_NONE) return a;
  leat_softmax_t s = leat_row_safe_softmax(b, scores, 1u << (leat_b_value(b, scores)->rank - 1u));
  // A row that is masked everywhere attends to nothing.
  a.weights = leat_b_div(b, s.exp, leat_b_number_or(b, leat_b_fn2s(b, EQ, s.sum, 0.0), 1.0, s.sum));
  double rate = leat_op_float(g, op, LEAT_ATTR_P, 0.0);
  if (rate > 0.0)
    a.drop = leat_row_dropout_scale(b, a.weights, dropout_rate, rate, leat_op_int(g, op, LEAT_ATTR_STREAM, 0));
  return a;
}
