// SPDX-License-Identifier: Apache-2.0
// The compiler as one ordered table of passes.
#ifndef LEAT_DRIVER_PIPELINE_H_
#define LEAT_DRIVER_PIPELINE_H_

#include "arch/arch.h"
#include "ir/graph.h"
#include "leat/compile.h"

// Steps of a whole compile: the passes, then cut, map and write.
uint32_t leat_pipeline_steps(void);

typedef enum leat_pipeline_e {
  LEAT_PIPELINE_PROGRAM,     // a traced program: groups and dtypes; it stays traced
  LEAT_PIPELINE_WHOLE,       // what came out of that, as one: to a settled primitive graph
  LEAT_PIPELINE_UNIT,        // the graph of a unit (unit/unit.h): to a settled primitive graph
  LEAT_PIPELINE_LOOPS,       // what came out of PROGRAM, as one, whose loops are mapped: to primitives
  LEAT_PIPELINE_UNIT_LOOPS,  // the graph of a unit, likewise
  LEAT_PIPELINE_PART,        // a part of those (unit/looped.h): to a settled graph
  LEAT_PIPELINE_STRAIGHT,    // likewise, with loops of its own that are written out
  LEAT_PIPELINE_EVAL,        // a traced program: to what eval reads
} leat_pipeline_t;

// Runs the passes of one part of a compile, for a machine (NULL: for none, to what eval reads). `from` is not changed.
// Passes named in options->disable are left out where leaving them out is legal. Builds for debugging (LEAT_DEBUG), and
// options->verify_each, prove what each pass needs and gives (property.h).
leat_status_t leat_pipeline_run(const leat_graph_t *from, const leat_compile_options_t *options,
                                const leat_arch_t *arch, leat_pipeline_t part, leat_graph_t **out_graph) LEAT_MUST_USE;
// Shown the graph that a pass made.
typedef leat_status_t (*leat_pipeline_watch_t)(void *context, const char *pass, const leat_graph_t *graph);
// Runs the passes that `names` lists, separated by commas, in that order and each as often as it is named; NULL: those
// of a compile as one. LEAT_INVALID_ARGUMENT lists the passes there are, or names the pass that has to run before.
leat_status_t leat_pipeline_run_named(const leat_graph_t *from, const char *names,
                                      const leat_compile_options_t *options, const leat_arch_t *arch,
                                      leat_pipeline_watch_t watch, void *context,
                                      leat_graph_t **out_graph) LEAT_MUST_USE;
// Name of pass `index` in the order of a compile, and what it is for; NULL beyond the last.
const char *leat_pipeline_pass(size_t index, const char **out_purpose);
// True if the graph asks for gradients: it has optimizers, or a symbol that requires one and a seeded output.
bool leat_pipeline_trains(const leat_graph_t *graph, const leat_compile_options_t *options);

#endif
