// SPDX-License-Identifier: Apache-2.0
// The proof of place and route finds what is not legal: plans that are, each with one rule broken.
//
// LEAT_DRAWS: how many mutations (1,000).
#include "chip_rig.h"
#include "draws.h"

static uint32_t draw_hop(const plan_t *plan) { return below(plan->routes.hops.count); }

static uint32_t net_of(const plan_t *plan, uint32_t hop) {
  uint32_t net = 0;
  while (plan->routes.first_hop[net + 1] <= hop) ++net;
  return net;
}

static void unit_on_another_type(plan_t *plan) {
  const uint32_t unit = draw_unit(plan, PEF_CHIP_PCU);
  plan->placement.cells[unit] = plan->placement.cells[draw_unit(plan, PEF_CHIP_PMU)];
}

static void unit_outside(plan_t *plan) {
  const uint32_t unit = below(plan->netlist.units.count), type = plan->netlist.units.data[unit].type;
  plan->placement.cells[unit] = leat_pef_chip_cells(plan->chip, type) + below(9);
}

static void two_units_on_a_cell(plan_t *plan) {
  const uint32_t type = below(PEF_CHIP_TYPE_COUNT), unit = draw_unit(plan, type);
  uint32_t other;
  do {
    other = draw_unit(plan, type);
  } while (other == unit);
  plan->placement.cells[unit] = plan->placement.cells[other];
}

static void halves_in_one_bank(plan_t *plan) {
  leat_chip_banks_t *banks = &plan->placement.banks[draw_unit(plan, PEF_CHIP_PMU)];
  banks->of[0] |= banks->of[1] & (0u - banks->of[1]);
}

static void bank_too_few(plan_t *plan) {
  leat_chip_banks_t *banks = &plan->placement.banks[draw_unit(plan, PEF_CHIP_PMU)];
  const uint32_t set = below(2);
  banks->of[set] &= banks->of[set] - 1;
}

static void bank_that_is_none(plan_t *plan) {
  plan->placement.banks[draw_unit(plan, PEF_CHIP_PMU)].of[below(3)] |= 1u << plan->chip->banks;
}

static void banks_of_a_pcu(plan_t *plan) { plan->placement.banks[draw_unit(plan, PEF_CHIP_PCU)].of[below(3)] = 1; }

static void hop_to_nowhere(plan_t *plan) {
  plan->routes.hops.data[draw_hop(plan)].to = leat_pef_chip_nodes(plan->chip) + below(3);
}

static uint32_t draw_node(const plan_t *plan, uint32_t without_link_from, uint32_t without_link_to) {
  uint32_t node;
  do {
    node = below(leat_pef_chip_nodes(plan->chip));
  } while ((without_link_from != PEF_NONE && leat_pef_chip_links(plan->chip, without_link_from, node) != 0) ||
           (without_link_to != PEF_NONE && leat_pef_chip_links(plan->chip, node, without_link_to) != 0));
  return node;
}

static void hop_over_a_node(plan_t *plan) {
  pef_chip_hop_t *hop = &plan->routes.hops.data[draw_hop(plan)];
  hop->to = draw_node(plan, hop->from, PEF_NONE);
}

static void hop_from_elsewhere(plan_t *plan) {
  pef_chip_hop_t *hop = &plan->routes.hops.data[draw_hop(plan)];
  hop->from = draw_node(plan, PEF_NONE, hop->to);
}

static void hop_back(plan_t *plan) {
  pef_chip_hop_t *hop = &plan->routes.hops.data[draw_hop(plan)];
  *hop = (pef_chip_hop_t){hop->to, hop->from};
}

static void hop_twice(plan_t *plan) {
  uint32_t hop, net;
  do {
    hop = draw_hop(plan);
    net = net_of(plan, hop);
  } while (hop == plan->routes.first_hop[net]);
  plan->routes.hops.data[hop - 1] = plan->routes.hops.data[hop];
}

// Of a net with one sink no hop can be spared.
static void hop_less(plan_t *plan) {
  uint32_t hop, net;
  do {
    hop = draw_hop(plan);
    net = net_of(plan, hop);
  } while (plan->netlist.nets.data[net].sink_count != 1);
  memmove(&plan->routes.hops.data[hop], &plan->routes.hops.data[hop + 1],
          (plan->routes.hops.count - hop - 1) * sizeof *plan->routes.hops.data);
  --plan->routes.hops.count;
  for (uint32_t n = net + 1; n <= plan->netlist.nets.count; ++n) --plan->routes.first_hop[n];
}

static bool is_for_a_sink(const plan_t *plan, uint32_t net, uint32_t node) {
  const leat_chip_net_t *of = &plan->netlist.nets.data[net];
  for (uint32_t i = 0; i < 4 * of->sink_count; ++i) {
    const uint32_t unit = plan->netlist.sinks.data[of->sink_first + i / 4];
    uint32_t nodes[PEF_CHIP_CORNERS];
    const uint32_t type = plan->netlist.units.data[unit].type;
    const uint32_t count = leat_pef_chip_touches(plan->chip, type, plan->placement.cells[unit], nodes);
    if (i % 4 < count && nodes[i % 4] == node) return true;
  }
  return false;
}

// One more hop, out of the node that the last one enters: to where no sink is.
static void hop_for_no_sink(plan_t *plan) {
  uint32_t net, end, from, to;
  do {
    net = below(plan->netlist.nets.count);
    end = plan->routes.first_hop[net + 1];
    from = end == 0 ? 0 : plan->routes.hops.data[end - 1].to;
    const uint32_t first = plan->grid.first_link[from];
    to = plan->grid.links[first + below(plan->grid.first_link[from + 1] - first)].to;
  } while (plan->routes.first_hop[net] == end || is_for_a_sink(plan, net, to));
  assert_non_null(leat_array_push(&plan->routes.hops));
  memmove(&plan->routes.hops.data[end + 1], &plan->routes.hops.data[end],
          (plan->routes.hops.count - end - 1) * sizeof *plan->routes.hops.data);
  plan->routes.hops.data[end] = (pef_chip_hop_t){from, to};
  for (uint32_t n = net + 1; n <= plan->netlist.nets.count; ++n) ++plan->routes.first_hop[n];
}

static void net_of_another(plan_t *plan) {
  uint32_t hop, net;
  do {
    hop = draw_hop(plan);
    net = net_of(plan, hop);
  } while (net + 1 >= plan->netlist.nets.count || plan->routes.first_hop[net + 1] != hop + 1 ||
           plan->netlist.nets.data[net].sink_count != 1);
  --plan->routes.first_hop[net + 1];
}

static void sink_at_another_distance(plan_t *plan) {
  plan->routes.depths[below(plan->netlist.sinks.count)] += 1 + below(5);
}

static void less_load_than_there_is(plan_t *plan) { plan->routes.load -= 1 + below(plan->routes.load); }

static void another_link_is_named(plan_t *plan) {
  pef_chip_hop_t *busiest = &plan->routes.busiest;
  const uint32_t from = below(leat_pef_chip_switches(plan->chip));
  *busiest = (pef_chip_hop_t){from, from};
}

static void (*const mutations[])(plan_t *) = {unit_on_another_type,
                                              unit_outside,
                                              two_units_on_a_cell,
                                              halves_in_one_bank,
                                              bank_too_few,
                                              bank_that_is_none,
                                              banks_of_a_pcu,
                                              hop_to_nowhere,
                                              hop_over_a_node,
                                              hop_from_elsewhere,
                                              hop_back,
                                              hop_twice,
                                              hop_less,
                                              hop_for_no_sink,
                                              net_of_another,
                                              less_load_than_there_is,
                                              another_link_is_named,
                                              sink_at_another_distance};

static void *copy(const void *data, size_t bytes) {
  void *to = leat_alloc(bytes + 1);
  assert_non_null(to);
  memcpy(to, data, bytes);
  return to;
}

static plan_t copy_plan(const plan_t *plan) {
  plan_t out = *plan;
  const uint32_t units = plan->netlist.units.count, nets = plan->netlist.nets.count;
  out.placement.cells = copy(plan->placement.cells, units * sizeof *out.placement.cells);
  out.placement.banks = copy(plan->placement.banks, units * sizeof *out.placement.banks);
  out.routes.hops.capacity = out.routes.hops.count;
  out.routes.hops.data = copy(plan->routes.hops.data, plan->routes.hops.count * sizeof(pef_chip_hop_t));
  out.routes.first_hop = copy(plan->routes.first_hop, (nets + 1) * sizeof(uint32_t));
  out.routes.depths = copy(plan->routes.depths, plan->netlist.sinks.count * sizeof(uint32_t));
  return out;
}

static void every_mutation_is_found(void **state) {
  (void)state;
  const size_t kinds = sizeof mutations / sizeof *mutations;
  uint32_t rules[LEAT_CHIP_RULE_COUNT] = {0};
  plan_t plan = make(&chip_tiny, 4, 1, 8), wide = make(&chip_sn10, 14, 1, 2);
  for (uint32_t i = 0; i < draws(1000); ++i) {
    plan_t broken = copy_plan(i % 2 == 0 ? &plan : &wide);
    mutations[i / 2 % kinds](&broken);
    leat_chip_rule_t rule = LEAT_CHIP_RULE_COUNT;
    leat_status_t status = prove(&broken, &rule);
    if (status == NULL) fail_msg("mutation %u, of kind %zu, was not found", i, i / 2 % kinds);
    assert_int_equal(leat_status_code(status), LEAT_INTERNAL);
    ++rules[rule];
    leat_status_free(status);
    leat_chip_placement_deinit(&broken.placement);
    leat_chip_routes_deinit(&broken.routes);
  }
  for (uint32_t rule = 0; rule < LEAT_CHIP_RULE_COUNT; ++rule) assert_true(rules[rule] != 0);
  release(&plan);
  release(&wide);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_mutation_is_found)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
