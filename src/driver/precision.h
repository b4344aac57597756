// SPDX-License-Identifier: Apache-2.0
// Mixed precision of one compile: the preset of the options, and the account of what it changed.
#ifndef LEAT_DRIVER_PRECISION_H_
#define LEAT_DRIVER_PRECISION_H_

#include "ir/graph.h"
#include "leat/compile.h"

// The pass `precision` (opt/precision.h) with the preset of the options. What a preset changed is counted in a message
// and written to precision.json of options->report_dir.
leat_status_t leat_precision_apply(const leat_graph_t *from, const leat_compile_options_t *options,
                                   leat_graph_t **out_graph) LEAT_MUST_USE;
// The pass `narrow` (opt/narrow.c) with the preset of the options.
leat_status_t leat_precision_narrow(const leat_graph_t *from, const leat_compile_options_t *options,
                                    leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
