// SPDX-License-Identifier: Apache-2.0
// What scaled_dot_product_attention and its gradient have in common.
#ifndef LEAT_LOWER_ATTENTION_H_
#define LEAT_LOWER_ATTENTION_H_

#include "ir/formula.h"

// q [.., L, E], k [.., S, E], v [.., S, Ev]; with grouped heads q is [.., heads of k, queries a head, L, E] and k and v
// have extent 1 there.
typedef struct leat_sdpa_s {
  leat_value_id_t q, k, v;
  leat_value_id_t mask;  // or LEAT_NONE
  double scale;
  bool causal, grouped, bare, rounded;  // rounded: what is multiplied is, to bf16
  double rate, shared_rate;             // of dropout; rate 0: none
  int64_t stream;
} leat_sdpa_t;

leat_sdpa_t leat_row_sdpa(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op, const leat_value_id_t *in,
                          uint32_t in_count, double shared_rate);
// [.., groups, queries a group, L, S] as [.., heads, L, S].
leat_value_id_t leat_row_merge_heads(leat_builder_t *b, leat_value_id_t x);

// With the table of scores in memory, where narrow types are computed in f32.
leat_sdpa_t leat_row_wide_sdpa(leat_builder_t *b, const leat_sdpa_t *a);
typedef struct leat_stored_scores_s {
  leat_value_id_t weights;  // softmax of the scores [.., L, S]
  leat_value_id_t drop;     // factor of the dropout, or LEAT_NONE
} leat_stored_scores_t;
leat_stored_scores_t leat_row_stored_scores(leat_builder_t *b, const leat_sdpa_t *a);

// Is it computed in blocks, as the primitive ATTENTION, which leaves no table in memory? Shapes and dtypes decide.
// Factors that are of bf16, or rounded to it, are multiplied as such.
bool leat_row_in_blocks(const leat_builder_t *b, const leat_sdpa_t *a);
leat_attention_t leat_row_attention(leat_builder_t *b, const leat_sdpa_t *a);

#endif
