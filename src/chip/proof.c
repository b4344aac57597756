// SPDX-License-Identifier: Apache-2.0
// See proof.h.
#include "chip/proof.h"

enum { WAYS = 5 };  // out of a node: to the right, down, to the left, up; to or from an AGCU

typedef struct prover_s {
  const pef_chip_t *chip;
  const leat_chip_netlist_t *netlist;
  const leat_chip_placement_t *placement;
  const leat_chip_routes_t *routes;
  leat_chip_rule_t rule;
  uint32_t *owner[2];   // of cells of PCUs and PMUs, of AGs: the unit there, + 1
  uint32_t *net_at;     // of nodes: the last net that was there, + 1
  uint32_t *hops_to;    // of nodes: from the source of that net
  uint8_t *leads;       // of nodes: that net goes on from there, or has a sink there
  uint64_t *link_load;  // of nodes and ways
} prover_t;

#define BREACH(prover, which, ...)         \
  do {                                     \
    (prover)->rule = (which);              \
    LEAT_FAIL(LEAT_INTERNAL, __VA_ARGS__); \
  } while (0)

// --- units ----------------------------------------------------------------------------------------------------------

static leat_status_t prove_cell(prover_t *prover, uint32_t u) {
  const pef_chip_t *chip = prover->chip;
  const uint32_t type = prover->netlist->units.data[u].type, cell = prover->placement->cells[u];
  const bool is_port = type == PEF_CHIP_AG;
  if (type >= PEF_CHIP_TYPE_COUNT || cell >= leat_pef_chip_cells(chip, type) ||
      leat_pef_chip_tile_of(chip, type, cell) >= chip->tiles_used ||
      (!is_port && leat_pef_chip_type_of(chip, cell) != type)) {
    BREACH(prover, LEAT_CHIP_RULE_CELL, "unit %u of type %u is on cell %u, which is none of its type", u, type, cell);
  }
  uint32_t *owner = &prover->owner[is_port][cell];
  if (*owner != 0) BREACH(prover, LEAT_CHIP_RULE_ALONE, "units %u and %u are both on cell %u", *owner - 1, u, cell);
  *owner = u + 1;
  return NULL;
}

// One copy after the other: even ones go to set 0, odd ones to set 1, the last of an odd number to set 2.
static leat_status_t prove_banks(prover_t *prover, uint32_t u) {
  const leat_chip_unit_t *unit = &prover->netlist->units.data[u];
  const uint32_t *sets = prover->placement->banks[u].of;
  const uint64_t bank_bytes = prover->chip->pmu_bytes / prover->chip->banks;
  uint32_t taken = 0;
  for (uint32_t s = 0; s < LEAT_CHIP_COPIES; ++s) {
    if ((taken & sets[s]) != 0 || ((uint64_t)sets[s] >> prover->chip->banks) != 0) {
      BREACH(prover, LEAT_CHIP_RULE_BANKS, "unit %u has banks %x beside %x of %u", u, sets[s], taken,
             prover->chip->banks);
    }
    taken |= sets[s];
  }
  if (unit->type != PEF_CHIP_PMU) {
    if (taken != 0) BREACH(prover, LEAT_CHIP_RULE_BANKS, "unit %u is no PMU and has banks %x", u, taken);
    return NULL;
  }
  uint64_t held[LEAT_CHIP_COPIES] = {0};
  for (uint32_t copy = 0; copy < unit->copies && copy <= PEF_CHIP_MAX_BANKS * bank_bytes; ++copy) {
    const bool is_last = copy + 1 == unit->copies && copy != 0 && copy % 2 == 0;
    held[is_last ? 2 : copy % 2] += unit->bytes;
  }
  for (uint32_t s = 0; s < LEAT_CHIP_COPIES; ++s) {
    if (held[s] <= (uint64_t)__builtin_popcount(sets[s]) * bank_bytes) continue;
    BREACH(prover, LEAT_CHIP_RULE_BANKS, "unit %u has %llu bytes in banks %x of %llu each", u,
           (unsigned long long)held[s], sets[s], (unsigned long long)bank_bytes);
  }
  return NULL;
}

static leat_status_t prove_units(prover_t *prover) {
  for (uint32_t u = 0; u < prover->netlist->units.count; ++u) {
    LEAT_TRY(prove_cell(prover, u));
    LEAT_TRY(prove_banks(prover, u));
  }
  return NULL;
}

// --- nets -----------------------------------------------------------------------------------------------------------

// Where the load of a link is counted: of its node and the way out of it; of an AGCU at that, for both ways.
static size_t place_of(const pef_chip_t *chip, uint32_t from, uint32_t to) {
  const uint32_t switches = leat_pef_chip_switches(chip);
  if (to >= switches) return (size_t)to * WAYS + WAYS - 1;
  if (from >= switches) return (size_t)from * WAYS;
  const leat_pef_chip_place_t a = leat_pef_chip_place(chip, from), b = leat_pef_chip_place(chip, to);
  return (size_t)from * WAYS + (b.x > a.x ? 0u : b.y > a.y ? 1u : b.x < a.x ? 2u : 3u);
}

static leat_status_t prove_hop(prover_t *prover, uint32_t n, const pef_chip_hop_t *hop) {
  const pef_chip_t *chip = prover->chip;
  const uint32_t nodes = leat_pef_chip_nodes(chip);
  if (hop->from >= nodes || hop->to >= nodes || leat_pef_chip_links(chip, hop->from, hop->to) == 0 ||
      leat_pef_chip_node_tile(chip, hop->from) >= chip->tiles_used ||
      leat_pef_chip_node_tile(chip, hop->to) >= chip->tiles_used) {
    BREACH(prover, LEAT_CHIP_RULE_LINK, "net %u goes from node %u to node %u, where no link goes", n, hop->from,
           hop->to);
  }
  if (prover->net_at[hop->from] != n + 1 || prover->net_at[hop->to] == n + 1) {
    BREACH(prover, LEAT_CHIP_RULE_TREE, "net %u goes from node %u to node %u and is no tree", n, hop->from, hop->to);
  }
  prover->net_at[hop->to] = n + 1;
  prover->hops_to[hop->to] = prover->hops_to[hop->from] + 1;
  prover->leads[hop->to] = false;
  prover->leads[hop->from] = true;
  prover->link_load[place_of(chip, hop->from, hop->to)] += prover->netlist->nets.data[n].bandwidth;
  return NULL;
}

static uint32_t nodes_of(const prover_t *prover, uint32_t unit, uint32_t nodes[PEF_CHIP_CORNERS]) {
  return leat_pef_chip_touches(prover->chip, prover->netlist->units.data[unit].type, prover->placement->cells[unit],
                               nodes);
}

static leat_status_t prove_sink(prover_t *prover, uint32_t n, uint32_t index) {
  const uint32_t unit = prover->netlist->sinks.data[index];
  uint32_t nodes[PEF_CHIP_CORNERS], least = UINT32_MAX;
  const uint32_t count = nodes_of(prover, unit, nodes);
  for (uint32_t i = 0; i < count; ++i) {
    if (prover->net_at[nodes[i]] != n + 1) continue;
    prover->leads[nodes[i]] = true;
    if (prover->hops_to[nodes[i]] < least) least = prover->hops_to[nodes[i]];
  }
  if (least == prover->routes->depths[index] && least != UINT32_MAX) return NULL;
  BREACH(prover, LEAT_CHIP_RULE_REACHED, "net %u reaches unit %u after %d hops, %u are said", n, unit, (int)least,
         prover->routes->depths[index]);
}

static leat_status_t prove_net(prover_t *prover, uint32_t n) {
  const leat_chip_net_t *net = &prover->netlist->nets.data[n];
  const leat_chip_routes_t *routes = prover->routes;
  uint32_t nodes[PEF_CHIP_CORNERS];
  const uint32_t count = nodes_of(prover, net->source, nodes);
  for (uint32_t i = 0; i < count; ++i) {
    prover->net_at[nodes[i]] = n + 1;
    prover->hops_to[nodes[i]] = 0;
  }
  for (uint32_t h = routes->first_hop[n]; h < routes->first_hop[n + 1]; ++h) {
    LEAT_TRY(prove_hop(prover, n, &routes->hops.data[h]));
  }
  for (uint32_t i = 0; i < net->sink_count; ++i) LEAT_TRY(prove_sink(prover, n, net->sink_first + i));
  for (uint32_t h = routes->first_hop[n]; h < routes->first_hop[n + 1]; ++h) {
    const uint32_t to = routes->hops.data[h].to;
    if (!prover->leads[to]) BREACH(prover, LEAT_CHIP_RULE_IDLE, "net %u goes to node %u for no sink", n, to);
  }
  return NULL;
}

static leat_status_t prove_nets(prover_t *prover) {
  const uint32_t count = prover->netlist->nets.count;
  const uint32_t *first = prover->routes->first_hop;
  for (uint32_t n = 0; n < count; ++n) {
    if (first[n] > first[n + 1] || first[n + 1] > prover->routes->hops.count) {
      BREACH(prover, LEAT_CHIP_RULE_TREE, "net %u has hops %u to %u of %u", n, first[n], first[n + 1],
             prover->routes->hops.count);
    }
    LEAT_TRY(prove_net(prover, n));
  }
  return NULL;
}

// --- loads ----------------------------------------------------------------------------------------------------------

static uint64_t load_of_link(const prover_t *prover, const pef_chip_hop_t *hop) {
  const uint64_t carries = (uint64_t)leat_pef_chip_links(prover->chip, hop->from, hop->to) * PEF_CHIP_ONE_VECTOR;
  const uint64_t load = prover->link_load[place_of(prover->chip, hop->from, hop->to)];
  return carries == 0 ? 0 : (load * 1024 + carries - 1) / carries;
}

static leat_status_t prove_loads(prover_t *prover) {
  const leat_chip_routes_t *routes = prover->routes;
  uint64_t most = 0;
  for (uint32_t h = 0; h < routes->hops.count; ++h) {
    const uint64_t load = load_of_link(prover, &routes->hops.data[h]);
    if (load > most) most = load;
  }
  const uint32_t nodes = leat_pef_chip_nodes(prover->chip);
  const pef_chip_hop_t *named = &routes->busiest;
  const bool is_link = most == 0 || (named->from < nodes && named->to < nodes);
  if (is_link && most == routes->load && (most == 0 || load_of_link(prover, named) == most)) return NULL;
  BREACH(prover, LEAT_CHIP_RULE_LOAD, "a link has a load of %llu in 1024, %u are said of node %u to node %u",
         (unsigned long long)most, routes->load, named->from, named->to);
}

// --- the whole ------------------------------------------------------------------------------------------------------

static leat_status_t prove(prover_t *prover) {
  const uint32_t nodes = leat_pef_chip_nodes(prover->chip);
  prover->owner[0] = leat_alloc_zero(leat_pef_chip_cells(prover->chip, PEF_CHIP_PCU), sizeof(uint32_t));
  prover->owner[1] = leat_alloc_zero(leat_pef_chip_cells(prover->chip, PEF_CHIP_AG), sizeof(uint32_t));
  prover->net_at = leat_alloc_zero(nodes, sizeof(uint32_t));
  prover->hops_to = leat_alloc_zero(nodes, sizeof(uint32_t));
  prover->leads = leat_alloc_zero(nodes, 1);
  prover->link_load = leat_alloc_zero((size_t)nodes * WAYS, sizeof(uint64_t));
  if (prover->owner[0] == NULL || prover->owner[1] == NULL || prover->net_at == NULL || prover->hops_to == NULL ||
      prover->leads == NULL || prover->link_load == NULL) {
    return leat_out_of_memory();
  }
  LEAT_TRY(prove_units(prover));
  LEAT_TRY(prove_nets(prover));
  return prove_loads(prover);
}

leat_status_t leat_chip_prove(const pef_chip_t *chip, const leat_chip_netlist_t *netlist,
                              const leat_chip_placement_t *placement, const leat_chip_routes_t *routes,
                              leat_chip_rule_t *out_rule) {
  prover_t prover = {
      .chip = chip, .netlist = netlist, .placement = placement, .routes = routes, .rule = LEAT_CHIP_RULE_COUNT};
  leat_status_t status = prove(&prover);
  if (out_rule != NULL) *out_rule = prover.rule;
  for (uint32_t i = 0; i < 2; ++i) leat_free(prover.owner[i]);
  leat_free(prover.net_at);
  leat_free(prover.hops_to);
  leat_free(prover.leads);
  leat_free(prover.link_load);
  return status;
}
