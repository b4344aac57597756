// SPDX-License-Identifier: Apache-2.0
// Calls in flight: what the calls since the last barrier touch, and whether one more has to wait for them.
#ifndef LEAT_PEF_FLIGHT_H_
#define LEAT_PEF_FLIGHT_H_

#include "base/base.h"
#include "pef/pef_format.h"

// A range of memory that a call reads or writes. Symbols count as wholes.
typedef struct leat_touch_s {
  uint32_t kind, symbol;  // pef_place_kind
  uint64_t begin, end;    // of the arena
  bool written;
} leat_touch_t;

typedef struct leat_flight_s {
  LEAT_ARRAY(leat_touch_t) ranges;  // of the arena, since the last barrier
  uint32_t *read_at, *written_at;   // per symbol: the barrier since which it is touched
  uint32_t symbol_count, barrier;
} leat_flight_t;

leat_status_t leat_flight_init(leat_flight_t *flight, uint32_t symbol_count) LEAT_MUST_USE;
void leat_flight_deinit(leat_flight_t *flight);
// Must a call with these touches wait? If so what was in flight has landed; the call is in flight from now on.
leat_status_t leat_flight_add(leat_flight_t *flight, const leat_touch_t *touches, uint32_t count,
                              bool *out_barrier) LEAT_MUST_USE;

#endif
