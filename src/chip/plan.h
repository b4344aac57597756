// SPDX-License-Identifier: Apache-2.0
// The plan of a PEF for a chip: each body allocated once, each call of a run timed.
#ifndef LEAT_CHIP_PLAN_H_
#define LEAT_CHIP_PLAN_H_

#include "chip/time.h"

typedef struct leat_chip_section_s {
  uint32_t call;
  double times;           // how often a run makes it
  double loads;           // how often its program is loaded for that
  leat_chip_time_t time;  // of one call whose program is there
  double seconds;         // of all its calls in a run, with loads
} leat_chip_section_t;

typedef struct leat_chip_plan_s {
  leat_chip_allocation_t *bodies;            // of every body that a call has; of others stage_count is 0
  LEAT_ARRAY(leat_chip_section_t) sections;  // in the order of calls
  uint32_t body_count, tiles;
  double run_seconds;      // of one run of all section types but PREPARE
  double prepare_seconds;  // of the PREPARE sections, after weights changed
} leat_chip_plan_t;

// `tiles`: of the chip; as leat_chip_allocate. The time of a run is that of one that follows another.
leat_status_t leat_chip_plan_make(const leat_chip_t *chip, const leat_pef_t *pef, uint32_t tiles,
                                  leat_chip_plan_t *out_plan) LEAT_MUST_USE;
void leat_chip_plan_deinit(leat_chip_plan_t *plan);

// What a chip can be asked for: 1, 2, .. tiles up to chip->tiles_together, and whole multiples of that. Fails with
// LEAT_INVALID_ARGUMENT. 0 is all tiles.
leat_status_t leat_chip_check_tiles(const leat_chip_t *chip, uint32_t tiles, uint32_t *out_tiles) LEAT_MUST_USE;

#endif
