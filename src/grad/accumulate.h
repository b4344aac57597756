// SPDX-License-Identifier: Apache-2.0
// Gradients of several runs, added up for one update.
#ifndef LEAT_GRAD_ACCUMULATE_H_
#define LEAT_GRAD_ACCUMULATE_H_

#include "ir/build.h"

// The gradient that symbol `symbol` of b->graph (an op) is updated from, `gradient` being that of this run: itself, or,
// where the symbol says `batches`, after the last of them the mean and before it that of the run. Sums are f32 (f64 for
// f64) and state of the symbol; they are added up element by element in the order of the runs.
leat_value_id_t leat_grad_accumulate(leat_builder_t *b, const leat_op_t *symbol, leat_value_id_t gradient);

#endif
