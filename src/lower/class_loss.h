// SPDX-License-Identifier: Apache-2.0
// What cross_entropy and nll_loss and their gradients have in common: targets, weights, who counts.
#ifndef LEAT_LOWER_CLASS_LOSS_H_
#define LEAT_LOWER_CLASS_LOSS_H_

#include "ir/formula.h"

// Shapes: x [N,C,d..] or [C]; "rows" means x with the class dim of extent 1.
typedef struct leat_class_loss_s {
  uint32_t dim;             // the class dim
  leat_value_id_t x;        // logits or log-probabilities, half types widened
  leat_value_id_t hit;      // bool, x: is this the row's target class?    LEAT_NONE for targets as probabilities
  leat_value_id_t target;   // i64, rows: the target class, C where ignored      LEAT_NONE for targets as probabilities
  leat_value_id_t ignored;  // bool, rows: target is ignore_index          LEAT_NONE for targets as probabilities
  leat_value_id_t row_weight;   // rows: weight of the target class (0 when ignored); a number 1 without class weights
  leat_value_id_t q;            // x: weight of each class's log-probability; LEAT_NONE when it is hit * row_weight
  leat_value_id_t denominator;  // 0-d: what "mean" divides by
} leat_class_loss_t;

leat_class_loss_t leat_row_class_loss(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                      const leat_value_id_t *in, uint32_t in_count);
// Weights of the classes as [1,C,1..]; LEAT_NONE stays.
leat_value_id_t leat_row_class_weights(leat_builder_t *b, leat_value_id_t weight, const leat_class_loss_t *l);

#endif
