// SPDX-License-Identifier: Apache-2.0
// Micro-batches as a loop: what lies between PART and JOIN (op.def) becomes the body of one `loop`.
//
// A primitive graph behind reverse mode has three kinds of ops: those that hang on the part of a trip, forward and
// backward; those that read what all trips gave; and the others, which run once, before the loop. Sums over trips are
// carried, in f32 at least, rows that leave a trip are stacked, rows that it reads are scanned. A trip's backward
// follows its forward, so that what passes between them is a trip's alone.
//
// So nothing that a trip reads may hang on what the trips give together: no loss that is not linear in its sums over
// the batch, no statistic of the batch that its rows read. That is LEAT_UNSUPPORTED, and the message names the op.
#ifndef LEAT_OPT_TRIPS_H_
#define LEAT_OPT_TRIPS_H_

#include "ir/graph.h"

// `streams`: as leat_opt_microbatch_in_trips gives it.
leat_status_t leat_opt_roll_trips(const leat_graph_t *from, int64_t streams, leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
