// SPDX-License-Identifier: Apache-2.0
#include "base/loops.h"

static bool in_equal_steps(const leat_loops_t *loops, uint32_t outer, uint32_t inner) {
  for (uint32_t o = 0; o < loops->operands; o++) {
    const int64_t *strides = &loops->strides[(size_t)o * loops->row];
    if (strides[outer] != strides[inner] * loops->extents[inner]) return false;
  }
  return true;
}

void leat_loops_merge(leat_loops_t *loops, uint32_t apart, uint32_t *out_places) {
  assert(loops->count <= 32);
  uint32_t kept = 0;
  for (uint32_t d = 0; d < loops->count; d++) {
    bool merge = kept > 0 && !(apart >> d & 1) && in_equal_steps(loops, kept - 1, d);
    uint32_t place = merge ? kept - 1 : kept++;
    loops->extents[place] = loops->extents[d] * (merge ? loops->extents[place] : 1);
    for (uint32_t o = 0; o < loops->operands; o++)
      loops->strides[(size_t)o * loops->row + place] = loops->strides[(size_t)o * loops->row + d];
    if (out_places != NULL) out_places[d] = place;
  }
  loops->count = kept;
}
