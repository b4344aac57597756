// SPDX-License-Identifier: Apache-2.0
// What an optimizer statement says, for who writes updates and for who deals them out to units.
#ifndef LEAT_GRAD_OPTIMIZER_H_
#define LEAT_GRAD_OPTIMIZER_H_

#include "ir/build.h"

// May a run set the hyperparameter `key`? Then it is a symbol, else a constant.
bool leat_optimizer_is_open(const leat_graph_t *g, const leat_op_t *statement, leat_attr_key_t key);
// The default that all statements of `g` agree on that let a run set `key` under the same prefix, else NaN.
double leat_optimizer_shared_default(const leat_graph_t *g, const leat_op_t *statement, leat_attr_key_t key);
// Does the statement clip the norm of its gradients?
bool leat_optimizer_clips(const leat_graph_t *g, const leat_op_t *statement);
// min(1, max_norm / (norm + 1e-6)) over `gradients` (torch.nn.utils.clip_grad_norm_), 0-d f64; LEAT_NONE without
// gradients. `statement` is of `g`, the gradients and what is appended are of b->graph.
leat_value_id_t leat_optimizer_clip_factor(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *statement,
                                           const leat_value_id_t *gradients, uint32_t count);
// The number of steps that statement `index` has done before this run, 0-d f64; stores *out_next, one more.
leat_value_id_t leat_optimizer_count_step(leat_builder_t *b, uint32_t index, leat_value_id_t *out_next);

#endif
