// SPDX-License-Identifier: Apache-2.0
// Which stage of a file computes an op, and on what dtypes: asked of the schema of stages (pef/stage.def).
#ifndef LEAT_SPACE_STAGE_H_
#define LEAT_SPACE_STAGE_H_

#include "ir/graph.h"

// The function (pef_fn) of a stage for the `fn` of a primitive that folds elements; 0 where the op has none.
uint32_t leat_stage_fn(const leat_graph_t *g, const leat_op_t *op);
// Engines compute the primitive in `dtype`.
bool leat_stage_computes(const leat_graph_t *g, const leat_op_t *op, uint32_t dtype);
// A MAP reads operand `input` of the primitive: numbers need no memory there.
bool leat_stage_maps(uint32_t kind, uint32_t input);

#endif
