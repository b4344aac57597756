// SPDX-License-Identifier: Apache-2.0
// A compiled body as a loop, in a small PEF of its own for the linker. The symbols of that file are buffers: whatever
// the trips see parts of, as a whole. Two loops with the same body, whose symbols lie in their buffers alike, are one
// file.
#ifndef LEAT_DRIVER_LOOP_FILE_H_
#define LEAT_DRIVER_LOOP_FILE_H_

#include "link/link.h"
#include "map/map.h"

// Where a symbol of the body lies.
typedef struct leat_loop_end_s {
  leat_link_target_t whole;    // what of the program it is a part of; `first` is 0
  const pef_symbol_t *symbol;  // that, where it is a symbol
  uint64_t bytes;              // of it
  int64_t first, step;         // bytes in it: of the first trip; from trip to trip
} leat_loop_end_t;

typedef struct leat_loop_file_s {
  const leat_pef_t *body;  // borrowed, as is `name`
  uint32_t trips, stream_step, flags;
  const char *name;
  uint32_t buffer_count;
  leat_link_target_t *targets;  // one per buffer; these three are of the arena
  pef_symbol_t *buffers;        // without names
  leat_link_place_t *places;    // one per symbol of the body
} leat_loop_file_t;

// needs: the first fields, up to the name, set, and one of `ends` per symbol of the body. gives: the others.
leat_status_t leat_loop_file_find_places(leat_loop_file_t *loop, const leat_loop_end_t *ends,
                                         leat_arena_t *arena) LEAT_MUST_USE;
bool leat_loop_file_equal(const leat_loop_file_t *a, const leat_loop_file_t *b);
leat_status_t leat_loop_file_write(const leat_loop_file_t *loop, const leat_map_options_t *options,
                                   leat_pef_t **out_pef) LEAT_MUST_USE;

#endif
