// SPDX-License-Identifier: Apache-2.0
// The lines of pictures as a second dim of what a body iterates over. Along output channels every thread reads the
// whole picture, half of which the others have made; along its lines each reads what it has made itself, but for a
// halo, and all of the weights. Which is less follows from shapes.
#ifndef LEAT_MAP_AXIS_H_
#define LEAT_MAP_AXIS_H_

#include "map/draft.h"

typedef struct leat_axis_s {
  int64_t count;  // lines; 0: there is no axis
  LEAT_ARRAY(pef_cut_t) cuts;
} leat_axis_t;

// The axis of a body that is made of `draft`, whose operands have their places in `operands`; `buffers` and `arguments`
// are how many it has. None where a stage cannot be cut along lines, or where that saves no reading.
leat_status_t leat_axis_find(const leat_draft_t *draft, const pef_operand_t *operands, uint32_t buffers,
                             uint32_t arguments, leat_axis_t *out_axis) LEAT_MUST_USE;
void leat_axis_deinit(leat_axis_t *axis);

#endif
