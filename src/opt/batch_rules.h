// SPDX-License-Identifier: Apache-2.0
// What traced ops do with the rows of a batch: the facts that splitting a batch needs.
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

// A word of the column `batch` of traced.def.
typedef struct leat_batch_rule_s {
  // Why `op` of `g`, whose operand `input` has its batch in dim `dim`, does not treat every row of the batch by itself;
  // NULL if it does.
  const char *(*couples)(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim);
  // Of an op on batched operands whose result has no batch: what joins the parts, or a function that says it.
  leat_batch_join_t join;
  leat_batch_join_t (*join_by)(const leat_graph_t *g, const leat_op_t *op);
  uint32_t fold;           // of LEAT_JOIN_FOLD
  uint8_t first_index;     // operands from here on are indices, one a dim of operand 0; 0: there are none
  uint8_t first_gradient;  // operands from here on are gradients of the program's own; 0: there are none
  bool reshapes;           // may merge or split the batch dim
  bool passes;             // results without batch are operands without batch
  bool stands_in;          // reads nothing, but stands for a value of each part
} leat_batch_rule_t;

const leat_batch_rule_t *leat_batch_rule(uint32_t kind);
leat_batch_join_t leat_batch_join(const leat_graph_t *g, const leat_op_t *op);

#endif
