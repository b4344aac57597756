// SPDX-License-Identifier: Apache-2.0
// What has to be placed and routed: units, and nets between them. Knows no PEF and no allocation; what makes one says
// which units there are and what flows between them.
#ifndef LEAT_CHIP_NETLIST_H_
#define LEAT_CHIP_NETLIST_H_

#include "base/base.h"
#include "pef/pef_format.h"

typedef struct leat_chip_unit_s {
  uint32_t type;    // pef_chip_type
  uint32_t of;      // stage of a PCU, edge of others
  uint32_t strip;   // units of one strip are placed beside each other; strips ascend as the pipeline goes
  uint32_t copies;  // of PMUs: copies of a tile that it holds, `bytes` each
  uint64_t bytes;
} leat_chip_unit_t;

typedef struct leat_chip_net_s {
  uint32_t source;
  uint32_t sink_first, sink_count;
  uint32_t bandwidth;  // 1024ths of a vector a cycle
} leat_chip_net_t;

typedef struct leat_chip_netlist_s {
  LEAT_ARRAY(leat_chip_unit_t) units;  // strips ascend
  LEAT_ARRAY(leat_chip_net_t) nets;
  LEAT_ARRAY(uint32_t) sinks;  // units
} leat_chip_netlist_t;

// Vectors a cycle as a bandwidth: no less than the least that there is.
uint32_t leat_chip_bandwidth(double vectors);
// NULL when out of memory.
leat_chip_unit_t *leat_chip_add_unit(leat_chip_netlist_t *netlist, const leat_chip_unit_t *unit);
// A net without sinks, and one sink more of the net that was added last; false when out of memory.
bool leat_chip_add_net(leat_chip_netlist_t *netlist, uint32_t source, uint32_t bandwidth);
bool leat_chip_add_sink(leat_chip_netlist_t *netlist, uint32_t unit);
void leat_chip_netlist_deinit(leat_chip_netlist_t *netlist);

// Units of a type.
uint32_t leat_chip_count_units(const leat_chip_netlist_t *netlist, uint32_t type);

#endif
