// SPDX-License-Identifier: Apache-2.0
// Simulated annealing of a placement (Kirkpatrick 1983; windows and temperatures as in VPR, Betz and Rose 1997).
// Private to src/chip.
#ifndef LEAT_CHIP_ANNEAL_H_
#define LEAT_CHIP_ANNEAL_H_

#include "chip/place.h"

// Moves units to other cells of their types. LEAT_OUT_OF_MEMORY.
leat_status_t leat_chip_anneal(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist,
                               leat_chip_effort_t effort, uint32_t *cells) LEAT_MUST_USE;
// What annealing makes small, of nets alone: placement.wire. LEAT_OUT_OF_MEMORY.
leat_status_t leat_chip_find_wire(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist,
                                  const uint32_t *cells, uint64_t *out_wire) LEAT_MUST_USE;

#endif
