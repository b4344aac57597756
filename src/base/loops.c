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

static void swap(int64_t *a, int64_t *b) {
  const int64_t keep = *a;
  *a = *b;
  *b = keep;
}

static uint64_t step_of(const leat_loops_t *loops, uint32_t operand, uint32_t loop) {
  const int64_t step = loops->strides[(size_t)operand * loops->row + loop];
  return step < 0 ? -(uint64_t)step : (uint64_t)step;
}

void leat_loops_sort(leat_loops_t *loops, uint32_t operand, uint32_t in_turn, uint32_t *out_places) {
  assert(loops->count <= 32);
  uint32_t from[32];
  for (uint32_t d = 0; d < loops->count; d++) from[d] = d;
  for (uint32_t i = 1; i < loops->count; i++) {
    for (uint32_t d = i; d > 0 && step_of(loops, operand, d) > step_of(loops, operand, d - 1); d--) {
      if (in_turn >> from[d] & in_turn >> from[d - 1] & 1u) break;
      swap(&loops->extents[d], &loops->extents[d - 1]);
      for (uint32_t o = 0; o < loops->operands; o++)
        swap(&loops->strides[(size_t)o * loops->row + d], &loops->strides[(size_t)o * loops->row + d - 1]);
      const uint32_t keep = from[d];
      from[d] = from[d - 1];
      from[d - 1] = keep;
    }
  }
  for (uint32_t d = 0; d < loops->count; d++) out_places[from[d]] = d;
}
