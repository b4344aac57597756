// SPDX-License-Identifier: Apache-2.0
// Fusion rules of one compile: which rules the options ask for, their matches as groups, and the account of both.
#ifndef LEAT_CUT_FUSION_H_
#define LEAT_CUT_FUSION_H_

#include "ir/graph.h"
#include "leat/compile.h"

// The pass `group` (cut/group.h) with the rules of the options. With -o1 the account of the match is written to
// fusion.txt and fusion.json of options->report_dir, and logged when options->why is "fusion".
leat_status_t leat_fusion_group(const leat_graph_t *from, const leat_compile_options_t *options,
                                leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
