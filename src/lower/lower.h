// SPDX-License-Identifier: Apache-2.0
// Lowering: traced ops become primitives.
#ifndef LEAT_LOWER_LOWER_H_
#define LEAT_LOWER_LOWER_H_

#include "ir/vjp.h"

// Rebuilds `from` with its traced ops lowered. With `keep_own_gradient` (before reverse mode) rows that bring a
// gradient of their own stay, and so do output, update and optimizer statements; without it nothing traced is left:
// outputs and updates become stores, optimizers are dropped (leat_grad has written their updates before).
// LEAT_UNSUPPORTED and LEAT_MISMATCH name op, module and source line.
leat_status_t leat_lower(const leat_graph_t *from, bool keep_own_gradient, leat_graph_t **out_graph) LEAT_MUST_USE;

// Appends what makes every run draw fresh numbers: the step of random__state counts runs.
void leat_lower_count_draw(leat_builder_t *b);

// The gradients of rows that bring their own, for leat_grad.
const leat_vjp_table_t *leat_lower_vjps(void);

#endif
