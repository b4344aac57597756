// SPDX-License-Identifier: Apache-2.0
// The calls of a file in the order in which a run of one batch makes them, loops written out; where an argument lies in
// a trip. Loops over batches are no part of a walk: each of their trips is a run of its own.
#ifndef LEAT_PEF_WALK_H_
#define LEAT_PEF_WALK_H_

#include "pef/pef_read.h"

typedef struct leat_walk_level_s {
  uint32_t loop, trip;
} leat_walk_level_t;

// One call in one trip of every loop around it.
typedef struct leat_walk_s {
  const leat_pef_t *pef;
  uint32_t most_trips;
  uint32_t call, depth;
  leat_walk_level_t levels[PEF_MAX_LOOP_DEPTH];  // outermost first
  uint32_t next_loop, next_call;
} leat_walk_t;

// The loop over batches; NULL: the file has none.
const pef_loop_t *leat_pef_batches(const leat_pef_t *pef);

// Before the first call. No loop goes beyond `most_trips`: 1 visits each call once, PEF_MAX_TRIPS all that a run does.
static inline leat_walk_t leat_walk_start(const leat_pef_t *pef, uint32_t most_trips) {
  return (leat_walk_t){.pef = pef, .most_trips = most_trips};
}
// The same before call `first`, which no loop around it has begun.
leat_walk_t leat_walk_from(const leat_pef_t *pef, uint32_t most_trips, uint32_t first);
// To the next call; false after the last one. Allocates nothing.
bool leat_walk_next(leat_walk_t *walk);
// The next call is the one behind the loop at this level.
void leat_walk_leave(leat_walk_t *walk, uint32_t level);

// Is this the first trip of all loops around the call?
bool leat_walk_is_first(const leat_walk_t *walk);
// How often a run makes this call.
double leat_walk_times(const leat_walk_t *walk);
// What the trips add to the call's streams.
uint32_t leat_walk_stream(const leat_walk_t *walk);
// The trip of a loop that is under way.
uint32_t leat_walk_trip(const leat_walk_t *walk, uint32_t loop);

// Where argument `index` of the file, one of this call, lies in this trip, and how far in it the call's part begins.
const pef_argument_t *leat_walk_argument(const leat_walk_t *walk, uint32_t index, int64_t *out_shift);

// --- arguments that move ---------------------------------------------------------------------------------------------

// The moves of `count` arguments of the file that lie side by side.
const pef_move_t *leat_pef_moves(const leat_pef_t *pef, uint32_t argument, uint32_t count, uint32_t *out_count);
// All places where an argument may lie: its own, or one a trip.
const pef_argument_t *leat_pef_places(const leat_pef_t *pef, uint32_t argument, uint32_t *out_count);
// The least and the greatest distance that an argument moves, 0 within. False where that is more than any memory.
bool leat_pef_reach(const leat_pef_t *pef, uint32_t argument, int64_t *out_least, int64_t *out_most);

#endif
