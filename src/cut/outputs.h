// SPDX-License-Identifier: Apache-2.0
// o0 is for debugging: what every op of the program computes is kept under a name.
#ifndef LEAT_CUT_OUTPUTS_H_
#define LEAT_CUT_OUTPUTS_H_

#include "ir/graph.h"

// Appends a store of kind internal for every result of a traced op that is no output: group.h says how it is named.
leat_status_t leat_store_op_outputs(leat_graph_t *traced) LEAT_MUST_USE;

#endif
