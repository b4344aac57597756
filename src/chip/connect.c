// SPDX-License-Identifier: Apache-2.0
// See connect.h.
#include "chip/connect.h"

#include <math.h>

// Units that lie one behind the other.
typedef struct range_s {
  uint32_t first, count;
} range_t;

typedef struct connector_s {
  const leat_chip_allocation_t *allocation;
  leat_chip_netlist_t *netlist;
  range_t *stages;                   // PCUs of a stage
  range_t *pmus;                     // PMUs of an edge
  range_t *ports;                    // ports of an edge from or to DDR
  double *read_vectors;              // of an edge: what is taken from it in a tile
  uint8_t *is_first;                 // of an edge: the first that its stage reads
  uint32_t port_count;               // that the chip has
  uint32_t ddr_edges, edges_so_far;  // from or to DDR
  range_t shared_port;               // of the edge before
  bool is_short;                     // of ports: one an edge
  bool failed;                       // out of memory
} connector_t;

uint32_t leat_chip_copies(const leat_chip_edge_t *edge) { return edge->depth == 0 ? 1 : edge->depth; }

// --- units ----------------------------------------------------------------------------------------------------------

static range_t add_units(connector_t *connector, uint32_t count, leat_chip_unit_t unit) {
  const range_t range = {connector->netlist->units.count, count};
  for (uint32_t i = 0; i < count && !connector->failed; ++i) {
    connector->failed = leat_chip_add_unit(connector->netlist, &unit) == NULL;
  }
  return range;
}

static double per_cycle(const connector_t *connector, double vectors) {
  const double interval = connector->allocation->interval;
  return interval > 1 ? vectors / interval : vectors;
}

static uint32_t count_ports(const connector_t *connector, const leat_chip_edge_t *edge) {
  const double rate = edge->depth == 1 ? 1 : ceil(per_cycle(connector, edge->vectors));
  return rate < 2 ? 1 : rate < UINT16_MAX ? (uint32_t)rate : UINT16_MAX;
}

static bool is_of_ddr(const leat_chip_edge_t *edge) {
  return edge->from == LEAT_CHIP_MEMORY || edge->to == LEAT_CHIP_MEMORY;
}

static void count_all_ports(connector_t *connector) {
  uint64_t ports = 0;
  for (uint32_t e = 0; e < connector->allocation->edge_count; ++e) {
    const leat_chip_edge_t *edge = &connector->allocation->edges[e];
    if (!is_of_ddr(edge)) continue;
    ports += count_ports(connector, edge);
    ++connector->ddr_edges;
  }
  connector->is_short = ports > connector->port_count;
}

static range_t add_ports(connector_t *connector, uint32_t e, leat_chip_unit_t port) {
  if (!connector->is_short) return add_units(connector, count_ports(connector, &connector->allocation->edges[e]), port);
  const uint32_t edge = connector->edges_so_far++;
  const uint32_t ports = connector->ddr_edges < connector->port_count ? connector->ddr_edges : connector->port_count;
  const bool is_new =
      edge == 0 || (uint64_t)edge * ports / connector->ddr_edges != (uint64_t)(edge - 1) * ports / connector->ddr_edges;
  if (is_new) connector->shared_port = add_units(connector, 1, port);
  return connector->shared_port;
}

static void add_edge_units(connector_t *connector, uint32_t e, uint32_t strip) {
  const leat_chip_edge_t *edge = &connector->allocation->edges[e];
  if (edge->pmus != 0) {
    const leat_chip_unit_t pmu = {.type = PEF_CHIP_PMU,
                                  .of = e,
                                  .strip = strip,
                                  .copies = leat_chip_copies(edge),
                                  .bytes = (edge->bytes + edge->pmus - 1) / edge->pmus};
    connector->pmus[e] = add_units(connector, edge->pmus, pmu);
  }
  if (!is_of_ddr(edge)) return;
  connector->ports[e] = add_ports(connector, e, (leat_chip_unit_t){.type = PEF_CHIP_AG, .of = e, .strip = strip});
}

// A strip a stage: what it reads, its PCUs, and what goes from it to DDR.
static void add_strip(connector_t *connector, uint32_t s) {
  const leat_chip_allocation_t *allocation = connector->allocation;
  for (uint32_t e = 0; e < allocation->edge_count; ++e) {
    if (allocation->edges[e].to == s) add_edge_units(connector, e, s);
  }
  const leat_chip_unit_t pcu = {.type = PEF_CHIP_PCU, .of = s, .strip = s};
  connector->stages[s] = add_units(connector, allocation->stages[s].pcus, pcu);
  for (uint32_t e = 0; e < allocation->edge_count; ++e) {
    if (allocation->edges[e].from == s && allocation->edges[e].to == LEAT_CHIP_MEMORY) add_edge_units(connector, e, s);
  }
}

// --- nets -----------------------------------------------------------------------------------------------------------

static uint32_t greater(uint32_t a, uint32_t b) { return a > b ? a : b; }

// Which of `count` has part `part` of `parts`.
static uint32_t share(uint32_t part, uint32_t parts, uint32_t count) {
  return (uint32_t)((uint64_t)part * count / parts);
}

static void begin_net(connector_t *connector, uint32_t source, double vectors, uint32_t parts) {
  if (connector->failed) return;
  const uint32_t bandwidth = leat_chip_bandwidth(per_cycle(connector, vectors) / parts);
  connector->failed = !leat_chip_add_net(connector->netlist, source, bandwidth);
}

static void end_at(connector_t *connector, uint32_t unit) {
  if (!connector->failed) connector->failed = !leat_chip_add_sink(connector->netlist, unit);
}

static void join(connector_t *connector, range_t from, range_t to, double vectors) {
  const uint32_t parts = greater(from.count, to.count);
  for (uint32_t i = 0; i < parts; ++i) {
    begin_net(connector, from.first + share(i, parts, from.count), vectors, parts);
    end_at(connector, to.first + share(i, parts, to.count));
  }
}

// Where an edge takes what its producer makes; nothing: its readers are told directly.
static range_t holder(const connector_t *connector, uint32_t e) {
  return connector->pmus[e].count != 0 ? connector->pmus[e] : connector->ports[e];
}

static void send_results(connector_t *connector, uint32_t s) {
  const leat_chip_allocation_t *allocation = connector->allocation;
  const range_t pcus = connector->stages[s];
  uint32_t parts = pcus.count;
  double vectors = 0;
  bool is_held = false;
  for (uint32_t e = 0; e < allocation->edge_count; ++e) {
    if (allocation->edges[e].from != s || holder(connector, e).count == 0) continue;
    parts = greater(parts, holder(connector, e).count);
    vectors = fmax(vectors, allocation->edges[e].vectors);
    is_held = true;
  }
  for (uint32_t i = 0; is_held && pcus.count != 0 && i < parts; ++i) {
    begin_net(connector, pcus.first + share(i, parts, pcus.count), vectors, parts);
    for (uint32_t e = 0; e < allocation->edge_count; ++e) {
      const range_t to = holder(connector, e);
      if (allocation->edges[e].from == s && to.count != 0) end_at(connector, to.first + share(i, parts, to.count));
    }
  }
}

// Parts go to groups of PCUs that share them: rows of along_n PCUs beside each other, or columns.
static void take_operand(connector_t *connector, uint32_t e, range_t from) {
  const leat_chip_edge_t *edge = &connector->allocation->edges[e];
  const leat_chip_stage_t *stage = &connector->allocation->stages[edge->to];
  const range_t pcus = connector->stages[edge->to];
  const bool by_rows = connector->is_first[e] || stage->along_n <= 1;
  const uint32_t groups = by_rows ? stage->along_m : stage->along_n,
                 members = by_rows ? stage->along_n : stage->along_m;
  if (from.count == 0 || pcus.count == 0 || groups == 0) return;
  const uint32_t parts = greater(from.count, groups);
  for (uint32_t i = 0; i < parts; ++i) {
    begin_net(connector, from.first + share(i, parts, from.count), connector->read_vectors[e], parts);
    const uint32_t group = share(i, parts, groups);
    for (uint32_t j = 0; j < members; ++j) {
      end_at(connector, pcus.first + (by_rows ? group * stage->along_n + j : j * stage->along_n + group));
    }
  }
}

static void connect_edge(connector_t *connector, uint32_t e) {
  const leat_chip_edge_t *edge = &connector->allocation->edges[e];
  const range_t pmus = connector->pmus[e], ports = connector->ports[e];
  const double loaded = edge->depth == 1 ? 0 : edge->vectors;  // what is resident comes once
  if (pmus.count != 0 && edge->from == LEAT_CHIP_MEMORY) join(connector, ports, pmus, loaded);
  if (pmus.count != 0 && edge->to == LEAT_CHIP_MEMORY) join(connector, pmus, ports, edge->vectors);
  if (edge->to == LEAT_CHIP_MEMORY) return;
  const range_t direct = edge->from == LEAT_CHIP_MEMORY ? ports : connector->stages[edge->from];
  take_operand(connector, e, pmus.count != 0 ? pmus : direct);
}

// --- the whole ------------------------------------------------------------------------------------------------------

// What a stage reads more than its edges carry it reads again from each of them.
static void find_reads(connector_t *connector, uint32_t s) {
  const leat_chip_allocation_t *allocation = connector->allocation;
  double carried = 0;
  bool is_first = true;
  for (uint32_t e = 0; e < allocation->edge_count; ++e) {
    if (allocation->edges[e].to != s) continue;
    carried += allocation->edges[e].vectors;
    connector->is_first[e] = is_first;
    is_first = false;
  }
  const double times = carried > 0 ? fmax(1, allocation->stages[s].vectors_in / carried) : 1;
  for (uint32_t e = 0; e < allocation->edge_count; ++e) {
    if (allocation->edges[e].to == s) connector->read_vectors[e] = times * allocation->edges[e].vectors;
  }
}

static void connect_all(connector_t *connector) {
  const leat_chip_allocation_t *allocation = connector->allocation;
  count_all_ports(connector);
  for (uint32_t s = 0; s < allocation->stage_count; ++s) {
    find_reads(connector, s);
    add_strip(connector, s);
  }
  for (uint32_t s = 0; s < allocation->stage_count; ++s) send_results(connector, s);
  for (uint32_t e = 0; e < allocation->edge_count; ++e) connect_edge(connector, e);
}

leat_status_t leat_chip_connect(const leat_chip_allocation_t *allocation, uint32_t ports, leat_chip_netlist_t *out) {
  *out = (leat_chip_netlist_t){0};
  connector_t connector = {.allocation = allocation, .netlist = out, .port_count = ports};
  connector.stages = leat_alloc_zero(allocation->stage_count + 1u, sizeof *connector.stages);
  connector.pmus = leat_alloc_zero(allocation->edge_count + 1u, sizeof *connector.pmus);
  connector.ports = leat_alloc_zero(allocation->edge_count + 1u, sizeof *connector.ports);
  connector.read_vectors = leat_alloc_zero(allocation->edge_count + 1u, sizeof *connector.read_vectors);
  connector.is_first = leat_alloc_zero(allocation->edge_count + 1u, sizeof *connector.is_first);
  connector.failed = connector.stages == NULL || connector.pmus == NULL || connector.ports == NULL ||
                     connector.read_vectors == NULL || connector.is_first == NULL;
  if (!connector.failed) connect_all(&connector);
  leat_free(connector.stages);
  leat_free(connector.pmus);
  leat_free(connector.ports);
  leat_free(connector.read_vectors);
  leat_free(connector.is_first);
  if (!connector.failed) return NULL;
  leat_chip_netlist_deinit(out);
  return leat_out_of_memory();
}
