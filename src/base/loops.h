// SPDX-License-Identifier: Apache-2.0
// Nests of strided loops, as the compiler plans them and the engine runs them.
#ifndef LEAT_BASE_LOOPS_H_
#define LEAT_BASE_LOOPS_H_

#include "base/base.h"

// Loops, the outermost first. A step of loop d moves operand o by strides[o * row + d].
typedef struct leat_loops_s {
  uint32_t count;  // at most 32
  int64_t *extents;
  uint32_t operands, row;
  int64_t *strides;
} leat_loops_t;

// A loop becomes one with the loop around it where every operand goes through both in equal steps: a step of the outer
// one is a walk through all of the inner one. Order and addresses of all steps stay the same. Loops of the bit mask
// `apart` stay apart from the one around them. `out_places`, if not NULL: where each of the loops went.
void leat_loops_merge(leat_loops_t *loops, uint32_t apart, uint32_t *out_places);

// The loops in descending order of the steps of one operand, whichever way they go: what it holds is walked as it lies
// in memory. Loops of the bit mask `in_turn` keep their order among themselves. `out_places`: where each of the loops
// went.
void leat_loops_sort(leat_loops_t *loops, uint32_t operand, uint32_t in_turn, uint32_t *out_places);

// The next index of a nest of `count` loops in row-major order; false after the last. Starts from all zeros; an extent
// of 0 must have been seen before.
static inline bool leat_index_next(uint32_t count, const int64_t *extents, int64_t *index) {
  for (uint32_t d = count; d-- > 0;) {
    if (++index[d] < extents[d]) return true;
    index[d] = 0;
  }
  return false;
}

#endif
