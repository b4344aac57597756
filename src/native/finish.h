// SPDX-License-Identifier: Apache-2.0
// Two stages as one: a MAP that adds a number of its output, adds another value and bounds what a convolution has made
// is done where its sums are stored, so that nothing passes through memory in between. None of it shows in the bits.
#ifndef LEAT_NATIVE_FINISH_H_
#define LEAT_NATIVE_FINISH_H_

#include "native/stage.h"

typedef struct leat_native_finish_s {
  const leat_native_operand_t *bias, *side;  // NULL: none
  const leat_native_operand_t *y;            // where results go
  bool bounded;
  float low, high;
} leat_native_finish_t;

// The stage behind `stage` where the two may be one: it alone reads what the first writes, which is a tile buffer, runs
// whenever the first does, and writes nothing that either reads. NULL: there is none.
const pef_stage_t *leat_native_stage_behind(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage);

// Whether `map` computes nothing but what leat_native_finish_t says, of the f32 that operand `made` of a convolution
// holds, which has its outputs along dim 1.
bool leat_native_finish_find(const leat_native_stage_t *map, const leat_native_operand_t *made,
                             leat_native_finish_t *out);

#endif
