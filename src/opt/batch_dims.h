// SPDX-License-Identifier: Apache-2.0
// Where the outputs of a traced program have their batch.
#ifndef LEAT_OPT_BATCH_DIMS_H_
#define LEAT_OPT_BATCH_DIMS_H_

#include "ir/graph.h"

// For each output of `graph`, in the order of the program: the first dim whose extent is another in `other`, the same
// program traced on another number of rows; LEAT_NONE where all are equal. LEAT_MISMATCH where `other` has other
// outputs, LEAT_INVALID_ARGUMENT where `graph` has not `count` of them.
leat_status_t leat_opt_batch_dims(const leat_graph_t *graph, const leat_graph_t *other, uint32_t *out_dims,
                                  uint32_t count) LEAT_MUST_USE;

#endif
