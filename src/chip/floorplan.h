// SPDX-License-Identifier: Apache-2.0
// What a body takes on a chip, from an allocation to segments of the file: connected, placed, routed and proved.
#ifndef LEAT_CHIP_FLOORPLAN_H_
#define LEAT_CHIP_FLOORPLAN_H_

#include "chip/allocate.h"
#include "chip/netlist.h"
#include "chip/place.h"
#include "chip/route.h"

typedef struct leat_chip_floorplan_s {
  leat_chip_netlist_t netlist;
  leat_chip_placement_t placement;  // of the first part, in the first tiles
  leat_chip_routes_t routes;
  double interval;  // cycles from one tile of rows to the next, on this network
} leat_chip_floorplan_t;

// LEAT_UNSUPPORTED where units are short, LEAT_OUT_OF_MEMORY.
leat_status_t leat_chip_lay_out(const leat_chip_t *chip, const leat_chip_allocation_t *allocation,
                                leat_chip_effort_t effort, leat_chip_floorplan_t *out_plan) LEAT_MUST_USE;
void leat_chip_floorplan_deinit(leat_chip_floorplan_t *plan);

// Most hops that an edge of the allocation takes, from what makes it to what reads it: a part of what a pipeline takes
// to fill.
uint32_t leat_chip_edge_hops(const leat_chip_floorplan_t *plan, const leat_chip_allocation_t *allocation,
                             uint32_t edge);

// The file `pef` with the segments of a chip of which `tiles` tiles are used: `count` bodies, ascending, each with its
// allocation and plan. All else is as it was. Release with leat_free. LEAT_OUT_OF_MEMORY.
leat_status_t leat_chip_attach(const leat_pef_t *pef, const leat_chip_t *chip, uint32_t tiles,
                               const leat_chip_allocation_t *allocations, const leat_chip_floorplan_t *plans,
                               uint32_t count, uint8_t **out_data, size_t *out_bytes) LEAT_MUST_USE;

#endif
