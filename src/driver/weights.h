// SPDX-License-Identifier: Apache-2.0
// Narrow weights of one compile: what the options say of them, and the account of what became narrow.
#ifndef LEAT_DRIVER_WEIGHTS_H_
#define LEAT_DRIVER_WEIGHTS_H_

#include "ir/graph.h"
#include "leat/compile.h"

// LEAT_INVALID_ARGUMENT where what the options say of weights is not legal, or does not go together.
leat_status_t leat_weights_check(const leat_compile_options_t *options) LEAT_MUST_USE;

// LEAT_INVALID_ARGUMENT where a program that trains is to have narrow weights.
leat_status_t leat_weights_check_training(const leat_compile_options_t *options, bool trains) LEAT_MUST_USE;

// The pass `weights` (opt/weights.h) with the weights of the options, which name a dtype. `tells`: a message counts.
leat_status_t leat_weights_apply(const leat_graph_t *from, const leat_compile_options_t *options, bool tells,
                                 leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
