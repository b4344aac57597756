// SPDX-License-Identifier: Apache-2.0
// A second opinion on a placement and its routes. Shares no code with what makes them: it knows a chip as the format's
// text numbers it (pef/pef_chip.h), not the grid that place and route walk.
//   units   each on a cell of its type, in a tile that is used, alone
//   banks   those that a PMU's copies take exist and have room for them; even, odd and last copies share none
//   nets    hops go along links, in tiles that are used, from a node that the net has to one that it has not; each
//   leads
//           to a sink; all sinks are reached, as far from the source as is said
//   load    what is said is what the busiest link has, and that one is named: above 1 it is paid for in time
#ifndef LEAT_CHIP_PROOF_H_
#define LEAT_CHIP_PROOF_H_

#include "chip/netlist.h"
#include "chip/place.h"
#include "chip/route.h"

typedef enum leat_chip_rule_e {
  LEAT_CHIP_RULE_CELL,     // a unit is on a cell that is not of its type, or that does not exist
  LEAT_CHIP_RULE_ALONE,    // two units are on one cell
  LEAT_CHIP_RULE_BANKS,    // banks that do not exist, that are too few, or that two sets of copies share
  LEAT_CHIP_RULE_LINK,     // a hop goes where no link goes
  LEAT_CHIP_RULE_TREE,     // a hop begins where the net is not, or ends where it is already
  LEAT_CHIP_RULE_IDLE,     // a hop leads to no sink
  LEAT_CHIP_RULE_REACHED,  // a sink is not reached, or is not as far as is said
  LEAT_CHIP_RULE_LOAD,     // the busiest link is another one, or has another load
  LEAT_CHIP_RULE_COUNT
} leat_chip_rule_t;

// NULL: legal. LEAT_INTERNAL with the first finding; *out_rule (may be NULL): which rule it breaks. LEAT_OUT_OF_MEMORY.
leat_status_t leat_chip_prove(const pef_chip_t *chip, const leat_chip_netlist_t *netlist,
                              const leat_chip_placement_t *placement, const leat_chip_routes_t *routes,
                              leat_chip_rule_t *out_rule) LEAT_MUST_USE;

#endif
