// SPDX-License-Identifier: Apache-2.0
// What traced ops do with the rows of a batch, as a table: the facts that splitting a batch needs.
#ifndef LEAT_OPT_BATCH_RULES_H_
#define LEAT_OPT_BATCH_RULES_H_

#include "ir/graph.h"

// How the results of the parts make the result of the whole, for ops that sum over the batch.
typedef enum leat_batch_join_e {
  LEAT_JOIN_NONE,     // they do not
  LEAT_JOIN_FOLD,     // by the traced op `fold`: add, maximum, ...
  LEAT_JOIN_AVERAGE,  // sum over the number of parts
  LEAT_JOIN_WEIGHTED  // mean loss over class labels: sums over the number of labels that count
} leat_batch_join_t;

// Why `op` of `g`, whose operand `input` has its batch in dim `dim`, does not treat every row of the batch by itself;
// NULL if it does.
const char *leat_batch_couples(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim);
// For an op on batched operands whose result has no batch. *out_fold is set for LEAT_JOIN_FOLD.
leat_batch_join_t leat_batch_join(const leat_graph_t *g, const leat_op_t *op, uint32_t *out_fold);
// True if the op may merge or split the batch dim.
bool leat_batch_reshapes(uint32_t kind);

#endif
