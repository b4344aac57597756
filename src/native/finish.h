// SPDX-License-Identifier: Apache-2.0
// How a convolution ends with the MAP behind it (behind.h): what adds a number of its output, adds another value and
// bounds what it has made is done where its sums are stored.
#ifndef LEAT_NATIVE_FINISH_H_
#define LEAT_NATIVE_FINISH_H_

#include "native/stage.h"

typedef struct leat_native_finish_s {
  const leat_native_operand_t *bias, *side;  // NULL: none
  const leat_native_operand_t *y;            // where results go
  bool bounded;
  float low, high;
} leat_native_finish_t;

// Whether `map` computes nothing but what leat_native_finish_t says, of the f32 that operand `made` of a convolution
// holds, which has its outputs along dim 1.
bool leat_native_finish_find(const leat_native_stage_t *map, const leat_native_operand_t *made,
                             leat_native_finish_t *out);

#endif
