// SPDX-License-Identifier: Apache-2.0
// See netlist.h.
#include "chip/netlist.h"

#include <math.h>

uint32_t leat_chip_bandwidth(double vectors) {
  const double parts = ceil(vectors * PEF_CHIP_ONE_VECTOR);
  if (!(parts > 1)) return 1;
  return parts < INT32_MAX ? (uint32_t)parts : INT32_MAX;
}

leat_chip_unit_t *leat_chip_add_unit(leat_chip_netlist_t *netlist, const leat_chip_unit_t *unit) {
  leat_chip_unit_t *added = leat_array_push(&netlist->units);
  if (added != NULL) *added = *unit;
  return added;
}

bool leat_chip_add_net(leat_chip_netlist_t *netlist, uint32_t source, uint32_t bandwidth) {
  leat_chip_net_t *net = leat_array_push(&netlist->nets);
  if (net == NULL) return false;
  *net = (leat_chip_net_t){.source = source, .sink_first = netlist->sinks.count, .bandwidth = bandwidth};
  return true;
}

bool leat_chip_add_sink(leat_chip_netlist_t *netlist, uint32_t unit) {
  uint32_t *sink = leat_array_push(&netlist->sinks);
  if (sink == NULL) return false;
  *sink = unit;
  ++netlist->nets.data[netlist->nets.count - 1].sink_count;
  return true;
}

void leat_chip_netlist_deinit(leat_chip_netlist_t *netlist) {
  leat_array_free(&netlist->units);
  leat_array_free(&netlist->nets);
  leat_array_free(&netlist->sinks);
}

uint32_t leat_chip_count_units(const leat_chip_netlist_t *netlist, uint32_t type) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < netlist->units.count; ++i) count += netlist->units.data[i].type == type;
  return count;
}
