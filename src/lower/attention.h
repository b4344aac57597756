// SPDX-License-Identifier: Apache-2.0
// What scaled_dot_product_attention and its gradient have in common.
#ifndef LEAT_LOWER_ATTENTION_H_
#define LEAT_LOWER_ATTENTION_H_

#include "ir/formula.h"

// q [.., L, E], k [.., S, E], v [.., S, Ev]; with grouped heads q is [.., heads of k, queries a head, L, E] and k and v
// have extent 1 there. Half types are widened.
typedef struct leat_attention_s {
  leat_value_id_t q, k, v;
  double scale;
  leat_value_id_t weights;  // softmax of the scores [.., L, S]
  leat_value_id_t drop;     // factor of the dropout, or LEAT_NONE
  bool grouped;
} leat_attention_t;

leat_attention_t leat_row_attention(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                    const leat_value_id_t *in, uint32_t in_count, double dropout_rate);
// [.., groups, queries a group, L, S] as [.., heads, L, S].
leat_value_id_t leat_row_merge_heads(leat_builder_t *b, leat_value_id_t x);

#endif
