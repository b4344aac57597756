// SPDX-License-Identifier: Apache-2.0
// Numbers as RANDOM draws them.
#ifndef LEAT_REF_RANDOM_H_
#define LEAT_REF_RANDOM_H_

#include <stdint.h>

typedef struct ref_draw_s {
  uint64_t seed;
  uint32_t step, stream, fn;  // fn: PEF_FN_UNIFORM or PEF_FN_NORMAL
} ref_draw_t;

// Element `number` of what is drawn.
double leat_ref_draw(const ref_draw_t *draw, uint64_t number);

#endif
