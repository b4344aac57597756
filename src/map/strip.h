// SPDX-License-Identifier: Apache-2.0
// What every program of a MAP stage is made of, and the two that need no ops: copy and fill.
#ifndef LEAT_MAP_STRIP_H_
#define LEAT_MAP_STRIP_H_

#include "map/draft.h"

uint32_t leat_strip_class_of(uint32_t dtype);  // pef_class
// `number` as the bits of an immediate of `class`, rounded to `dtype`.
uint64_t leat_strip_immediate(uint32_t class, uint32_t dtype, double number);

// Programs of the current stage: operand 0 -> operand 1; number -> operand 0.
void leat_strip_copy(leat_draft_t *d, uint32_t dtype);
void leat_strip_fill(leat_draft_t *d, uint32_t dtype, double number);

#endif
