// SPDX-License-Identifier: Apache-2.0
// The compiler as one ordered table of passes.
#ifndef LEAT_DRIVER_PIPELINE_H_
#define LEAT_DRIVER_PIPELINE_H_

#include "ir/graph.h"
#include "leat/compile.h"

// Steps of a whole compile: the passes, then cut, map and write.
uint32_t leat_pipeline_steps(void);

// Runs the passes from a traced graph to a settled primitive graph (`compiling`) or to what eval reads.
// `from` is not changed. Passes named in options->disable are left out where leaving them out is legal.
leat_status_t leat_pipeline_run(const leat_graph_t *from, const leat_compile_options_t *options, bool compiling,
                                leat_graph_t **out_graph) LEAT_MUST_USE;
// True if the graph asks for gradients: it has optimizers, or a symbol that requires one and a seeded output.
bool leat_pipeline_trains(const leat_graph_t *graph, const leat_compile_options_t *options);

#endif
