// SPDX-License-Identifier: Apache-2.0
// Routing: a tree of links for each net. Trees grow from the source to one sink after the other, along the way that is
// cheapest from any of their nodes (A*); nets negotiate for links that more want than there is room for (PathFinder,
// McMurchie and Ebeling 1995). What cannot be settled stays: a link with a load above 1 makes its nets wait, and so the
// interval longer; that is reported, and no failure. Whole numbers: equal inputs give equal routes everywhere.
#ifndef LEAT_CHIP_ROUTE_H_
#define LEAT_CHIP_ROUTE_H_

#include "chip/grid.h"
#include "chip/netlist.h"
#include "chip/place.h"

typedef struct leat_chip_routes_s {
  LEAT_ARRAY(pef_chip_hop_t) hops;  // in the order of the nets, as pef_format.h has them
  uint32_t *first_hop;              // of nets, and the end
  uint32_t *depths;                 // of sinks: hops from the source
  uint32_t load;                    // of the link that has most of it, in 1024ths of its capacity; rounded up
  pef_chip_hop_t busiest;           // that link; from = to: no link has any
  uint32_t overfull;                // links with a load above 1
  uint64_t wire;                    // bandwidth times hops, over all nets
  uint32_t iterations;
} leat_chip_routes_t;

// LEAT_INTERNAL where no way leads to a sink, which a grid does not have. LEAT_OUT_OF_MEMORY.
leat_status_t leat_chip_route(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist, const uint32_t *cells,
                              leat_chip_routes_t *out_routes) LEAT_MUST_USE;
void leat_chip_routes_deinit(leat_chip_routes_t *routes);

// Cycles from one tile to the next where the network makes nets wait.
double leat_chip_routed_interval(double interval, uint32_t load);
// "tile 2, switch (3, 7) to tile 2, switch (3, 8)".
void leat_chip_put_link(const pef_chip_t *chip, const pef_chip_hop_t *link, leat_text_t *out);

#endif
