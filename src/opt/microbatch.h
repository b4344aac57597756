// SPDX-License-Identifier: Apache-2.0
// Micro-batches: the program on a batch, computed in equal parts that flow through one after the other.
//
// Needs the program twice, traced on the whole batch and on one micro-batch: comparing both says which dim of which
// value is the batch, without guessing from extents. Ops on the batch are repeated for every part; what reads only
// parameters and constants is not. Results that sum over the batch (losses, sums, means, products over rows) are put
// together from those of the parts: mean losses are weighted by how many labels each part really counts. So outputs,
// losses and gradients are those of the whole batch but for the order of sums, and but for dropout, which draws other
// masks from the same distribution.
//
// LEAT_UNSUPPORTED names the op, its module and its source line where the result of the whole batch cannot be put
// together from the parts: batch statistics, ops along the batch dim, a batch merged behind another dim.
#ifndef LEAT_OPT_MICROBATCH_H_
#define LEAT_OPT_MICROBATCH_H_

#include "ir/graph.h"

leat_status_t leat_opt_microbatch(const leat_graph_t *whole, const leat_graph_t *part,
                                  leat_graph_t **out_graph) LEAT_MUST_USE;

// The same with ops on the batch written once, for one trip that stands for all, between PART and JOIN (op.def): what
// opt/trips.h makes a loop of. Random draws of trips have the numbers of their streams plus *out_streams, which is how
// many a part has. LEAT_UNSUPPORTED, besides: the parts are joined by something else than sums.
leat_status_t leat_opt_microbatch_in_trips(const leat_graph_t *whole, const leat_graph_t *part, int64_t *out_streams,
                                           leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
