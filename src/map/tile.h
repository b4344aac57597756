// SPDX-License-Identifier: Apache-2.0
// Tiles of a section: how many rows they have, and what lies where in their scratch.
#ifndef LEAT_MAP_TILE_H_
#define LEAT_MAP_TILE_H_

#include "base/fit.h"
#include "map/decide.h"

// Of a value that is kept in memory: a tile buffer of its section, or a place in the arena.
typedef struct leat_home_s {
  bool scratch;
  bool packed;      // in the arena until it is packed, among others of which that is so
  uint64_t offset;  // in native's scratch, in the arena
} leat_home_t;

typedef struct leat_tiling_s {
  int64_t rows_max;
  uint64_t quantum;  // of rows, that tiles start at
  uint64_t scratch_bytes;
} leat_tiling_t;

// Chooses the tiles of `section`. Values with a home in scratch (`homes`, per value) get their offsets there. `room` is
// working memory. LEAT_UNSUPPORTED with decided->options->shortage filled: a tile of one row does not fit.
leat_status_t leat_tiles_plan(const leat_decided_t *decided, uint32_t section, leat_home_t *homes, leat_fit_t *room,
                              leat_tiling_t *out_tiling) LEAT_MUST_USE;

#endif
