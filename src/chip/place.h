// SPDX-License-Identifier: Apache-2.0
// Placement: a cell for each unit, and banks for what a PMU holds. Strips first, in the order of the pipeline,
// snake-wise over the tiles; then simulated annealing, which moves units within windows that shrink. Whole numbers and
// a generator of its own: equal inputs and seeds give equal placements on every machine, by every compiler.
#ifndef LEAT_CHIP_PLACE_H_
#define LEAT_CHIP_PLACE_H_

#include "chip/grid.h"
#include "chip/netlist.h"

typedef struct leat_chip_effort_s {
  uint64_t seed;
  uint32_t moves;  // that a unit tries at a temperature, on average; 0: strips only
} leat_chip_effort_t;

enum { LEAT_CHIP_MOVES = 32, LEAT_CHIP_COPIES = 3 };  // moves: what compiles take; copies: even, odd, last

typedef struct leat_chip_banks_s {
  uint32_t of[LEAT_CHIP_COPIES];  // as pef_chip_unit_t has them
} leat_chip_banks_t;

typedef struct leat_chip_placement_s {
  uint32_t *cells;           // of units
  leat_chip_banks_t *banks;  // of units
  uint64_t wire;             // bandwidth times half of what is around a net, in 1024ths of a vector and hops
} leat_chip_placement_t;

// LEAT_UNSUPPORTED where units do not fit, or what a PMU shall hold: says which, and what is short. LEAT_OUT_OF_MEMORY.
leat_status_t leat_chip_place(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist,
                              leat_chip_effort_t effort, leat_chip_placement_t *out_placement) LEAT_MUST_USE;
void leat_chip_placement_deinit(leat_chip_placement_t *placement);

const char *leat_chip_type_name(uint32_t type);  // "PCU"

#endif
