// SPDX-License-Identifier: Apache-2.0
#include "lower/attention.h"

#include <math.h>

#include "ir/attention.h"
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

// x[.., heads, rows, cols] as [.., heads/per, per * rows, cols]
static leat_value_id_t join_heads(leat_builder_t *b, leat_value_id_t x, int64_t per) {
  leat_value_t v = *leat_b_value(b, x);
  v.dims[v.rank - 3] /= per;
  v.dims[v.rank - 2] *= per;
  return leat_b_reshape(b, x, v.rank, v.dims);
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

leat_sdpa_t leat_row_sdpa(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op, const leat_value_id_t *in,
                          uint32_t in_count, double shared_rate) {
  leat_sdpa_t a = {.q = in[0],
                   .k = in[1],
                   .v = in[2],
                   .mask = in_count > 3 ? in[3] : LEAT_NONE,
                   .scale = leat_op_float(g, op, LEAT_ATTR_SCALE, 0.0),
                   .causal = leat_op_int(g, op, LEAT_ATTR_CAUSAL, 0) != 0,
                   .bare = leat_op_int(g, op, LEAT_ATTR_BARE, 0) != 0,
                   .rounded = leat_op_int(g, op, LEAT_ATTR_ROUNDED, 0) != 0,
                   .rate = leat_op_float(g, op, LEAT_ATTR_P, 0.0),
                   .shared_rate = shared_rate,
                   .stream = leat_op_int(g, op, LEAT_ATTR_STREAM, 0)};
  leat_value_t q = *leat_b_value(b, a.q), k = *leat_b_value(b, a.k);
  if (q.rank < 2 || k.rank < 2 || leat_b_value(b, a.v)->rank < 2) {
    leat_b_fail(b, LEAT_INVALID_ARGUMENT, "query, key and value need at least two dimensions");
    return a;
  }
  if (leat_op_attr(g, op, LEAT_ATTR_SCALE) == NULL) a.scale = 1.0 / sqrt((double)q.dims[q.rank - 1]);
  int64_t per = heads_per_group(&q, &k);
  // Queries that share keys are rows of one head. A step of decoding stays one: it copies no cache.
  if (per > 1 && !a.causal && a.mask == LEAT_NONE && q.dims[q.rank - 2] >= LEAT_ATTENTION_QUERIES_MIN) {
    a.q = join_heads(b, a.q, per);
    return a;
  }
  a.grouped = per > 1;
  if (!a.grouped) return a;
  a.q = split_heads(b, a.q, per);
  a.k = leat_b_unsqueeze(b, a.k, 1u << (k.rank - 2u));
  a.v = leat_b_unsqueeze(b, a.v, 1u << (k.rank - 2u));
  if (a.mask != LEAT_NONE && leat_b_value(b, a.mask)->rank >= 3) {
    uint32_t rank = leat_b_value(b, a.mask)->rank;
    bool one = leat_b_value(b, a.mask)->dims[rank - 3u] == 1;
    a.mask = one ? leat_b_unsqueeze(b, a.mask, 1u << (rank - 2u)) : split_heads(b, a.mask, per);
  }
  return a;
}

leat_sdpa_t leat_row_wide_sdpa(leat_builder_t *b, const leat_sdpa_t *a) {
  leat_sdpa_t wide = *a;
  wide.q = leat_b_widen(b, a->q);
  wide.k = leat_b_widen(b, a->k);
  wide.v = leat_b_widen(b, a->v);
  return wide;
}

leat_stored_scores_t leat_row_stored_scores(leat_builder_t *b, const leat_sdpa_t *a) {
  leat_stored_scores_t stored = {.weights = LEAT_NONE, .drop = LEAT_NONE};
  leat_value_id_t scores = leat_b_muls(b, leat_row_batched(b, a->q, "mk", a->k, "nk", "mn"), a->scale);
  scores = mask_scores(b, scores, a->mask, a->causal);
  if (scores == LEAT_NONE) return stored;
  const uint32_t keys = 1u << (leat_b_value(b, scores)->rank - 1u);
  const leat_softmax_t s = a->bare ? leat_row_softmax(b, scores, keys) : leat_row_safe_softmax(b, scores, keys);
  // A row that is masked everywhere attends to nothing.
  const leat_value_id_t sum = leat_b_number_or(b, leat_b_fn2s(b, EQ, s.sum, 0.0), 1.0, s.sum);
  stored.weights = leat_b_div(b, s.exp, a->bare ? s.sum : sum);
  if (a->rate > 0.0) stored.drop = leat_row_dropout_scale(b, stored.weights, a->shared_rate, a->rate, a->stream);
  return stored;
}

// --- in blocks -----------------------------------------------------------------------------------------------------

static uint32_t greatest_rank(const leat_builder_t *b, const leat_sdpa_t *a) {
  const leat_value_id_t all[] = {a->q, a->k, a->v, a->mask};
  uint32_t rank = 0;
  for (uint32_t i = 0; i < 4; i++) {
    const uint32_t own = all[i] == LEAT_NONE ? 0 : leat_b_value(b, all[i])->rank;
    if (own > rank) rank = own;
  }
  return rank;
}

bool leat_row_in_blocks(const leat_builder_t *b, const leat_sdpa_t *a) {
  const leat_value_id_t factors[] = {a->q, a->k, a->v};
  for (uint32_t i = 0; i < 3; i++) {
    const leat_value_t *x = leat_b_value(b, factors[i]);
    const bool single = x->dtype == LEAT_F32 || x->dtype == LEAT_BF16 || x->dtype == LEAT_F16;
    if (factors[i] == LEAT_NONE || !single || leat_value_elements(x) == 0) return false;
  }
  const leat_value_t *q = leat_b_value(b, a->q), *k = leat_b_value(b, a->k);
  return leat_attention_in_blocks(q->dims[q->rank - 2], k->dims[k->rank - 2], q->dims[q->rank - 1], a->causal,
                                  a->rate > 0.0);
}

// Leading dims of extent 1 up to this rank.
static leat_value_id_t of_rank(leat_builder_t *b, leat_value_id_t x, uint32_t rank) {
  if (x == LEAT_NONE) return x;
  const uint32_t more = rank - leat_b_value(b, x)->rank;
  return leat_b_unsqueeze(b, x, (1u << more) - 1u);
}

static bool is_narrow(const leat_builder_t *b, const leat_sdpa_t *a) {
  return a->rounded || (leat_b_dtype(b, a->q) == LEAT_BF16 && leat_b_dtype(b, a->k) == LEAT_BF16 &&
                        leat_b_dtype(b, a->v) == LEAT_BF16);
}

// Scores of narrow factors are scaled: a scaled query would be rounded once more.
leat_attention_t leat_row_attention(leat_builder_t *b, const leat_sdpa_t *a) {
  const bool narrow = is_narrow(b, a);
  const leat_dtype_t dtype = narrow ? LEAT_BF16 : LEAT_F32;
  const leat_value_id_t query = leat_b_cast(b, a->q, dtype);
  const uint32_t rank = greatest_rank(b, a);
  const leat_value_t q = *leat_b_value(b, a->q), k = *leat_b_value(b, a->k);
  const int64_t queries = q.dims[q.rank - 2], keys = k.dims[k.rank - 2];
  leat_value_id_t mask = a->mask;
  if (mask != LEAT_NONE && leat_b_dtype(b, mask) != LEAT_BOOL) mask = leat_b_cast(b, mask, LEAT_F32);
  leat_attention_t blocks = {.q = of_rank(b, narrow ? query : leat_b_muls(b, query, a->scale), rank),
                             .k = of_rank(b, leat_b_cast(b, a->k, dtype), rank),
                             .v = of_rank(b, leat_b_cast(b, a->v, dtype), rank),
                             .mask = of_rank(b, mask, rank),
                             .state = LEAT_NONE,
                             .drop = LEAT_NONE,
                             .low = queries,
                             .high = a->causal ? 0 : keys,
                             .scale = narrow ? a->scale : 1.0,
                             .bare = a->bare};
  if (a->rate <= 0.0) return blocks;
  leat_value_id_t factor, rate = leat_row_dropout_rate(b, a->shared_rate, a->rate, &factor);
  const leat_value_id_t numbers[] = {leat_b_unsqueeze(b, leat_b_cast(b, rate, LEAT_F32), 1),
                                     leat_b_unsqueeze(b, leat_b_cast(b, factor, LEAT_F32), 1)};
  blocks.drop = leat_b_concat(b, numbers, 2, 0);
  blocks.state = leat_b_random_state(b);
  blocks.stream = a->stream;
  return blocks;
}
