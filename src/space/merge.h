// SPDX-License-Identifier: Apache-2.0
// Merging dims of elementwise ops and row reductions, so that they have the rows of the products around them.
#ifndef LEAT_SPACE_MERGE_H_
#define LEAT_SPACE_MERGE_H_

#include "ir/graph.h"

enum { LEAT_MERGE_INPUTS_MAX = 3 };

// needs: primitives only. gives: maps and reductions of fewer dims between reshapes that move nothing.
// keeps: order, groups, origins, values. worst case: linear in ops.
leat_status_t leat_merge_dims(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
