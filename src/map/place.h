// SPDX-License-Identifier: Apache-2.0
// Second step of a mapping: where everything that was decided is. Homes of values in scratch or arena, tiles, packs.
#ifndef LEAT_MAP_PLACE_H_
#define LEAT_MAP_PLACE_H_

#include "map/tile.h"

typedef struct leat_placed_s {
  leat_home_t *homes;      // per value: of those that are kept in memory
  leat_tiling_t *tilings;  // per section
  uint64_t *packs;         // per pack: offset in the arena
  uint64_t arena_bytes;
} leat_placed_t;

// LEAT_UNSUPPORTED with decided->options->shortage filled: a section does not fit. `out_placed` is to be released
// whether or not this succeeds.
leat_status_t leat_map_place(const leat_decided_t *decided, leat_placed_t *out_placed) LEAT_MUST_USE;
void leat_placed_deinit(leat_placed_t *placed);

#endif
