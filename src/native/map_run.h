// SPDX-License-Identifier: Apache-2.0
// A MAP plan under way on a tile: what the ways to walk it (stage_map.c, map_nest.c) have in common.
#ifndef LEAT_NATIVE_MAP_RUN_H_
#define LEAT_NATIVE_MAP_RUN_H_

#include "native/map_plan.h"

typedef struct map_run_s {
  const map_plan_t *plan;
  const leat_run_tile_t *tile;
  const leat_kern_t *kern;
  int64_t dims[8];  // merged, of this tile
  // In the workspace, as map_plan.c lays it out:
  void **value;                         // strip of every value: with what follows, the table of code (map_code_t)
  int64_t *step;                        // of every value, in code for many rows
  char **leaf_at, **store_at;           // element 0 of the tile
  int64_t *leaf_offset, *store_offset;  // row mode: element 0 of the row
} map_run_t;

// Bytes of `elements`, which may be negative.
static inline int64_t leat_native_map_bytes(int64_t elements, uint8_t element_bytes) {
  return (int64_t)((uint64_t)elements << __builtin_ctz(element_bytes));
}

static inline int64_t leat_native_map_offset(const int64_t strides[8], const int64_t index[8], uint32_t rank) {
  int64_t sum = 0;
  for (uint32_t d = 0; d < rank; d++) sum += strides[d] * index[d];
  return sum;
}

// map_nest.c: a plan whose code goes through rows by itself, and adds up what its sums say.
void leat_native_map_nest_run(map_run_t *run);

#endif
