// SPDX-License-Identifier: Apache-2.0
// Micro-batches as a loop of the file (opt/trips.h), where the program and the options suit.
#ifndef LEAT_DRIVER_TRIPS_H_
#define LEAT_DRIVER_TRIPS_H_

#include "driver/pipeline.h"
#include "opt/bounds.h"

// LEAT_INVALID_ARGUMENT where the graph, or a body in it, marks parts of a batch: only leat_trips_make does that, and
// leaves no mark.
leat_status_t leat_trips_check(const leat_graph_t *graph) LEAT_MUST_USE;

// The program as primitives with a loop over micro-batches, for leat_compile_looped; the bounds of its indices, which
// are those of the whole batch, and the graph that these speak of.
typedef struct leat_trips_s {
  leat_graph_t *primitive, *bounded;
  leat_bounds_t bounds;
} leat_trips_t;

// `whole`: the program traced on the whole batch; options->part: on a micro-batch. LEAT_UNSUPPORTED says why it cannot
// be such a loop. Deinit also after a failure.
leat_status_t leat_trips_make(const leat_graph_t *whole, const leat_compile_options_t *options, const leat_arch_t *arch,
                              leat_trips_t *out_trips) LEAT_MUST_USE;
void leat_trips_deinit(leat_trips_t *trips);

#endif
