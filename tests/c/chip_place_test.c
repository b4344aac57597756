// SPDX-License-Identifier: Apache-2.0
// Place and route: legal by the proof, equal everywhere, near to what a much longer anneal finds; and the proof finds
// what is not legal.
//
// LEAT_DRAWS: how many mutations (1,000).
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "chip/connect.h"
#include "chip/place.h"
#include "chip/proof.h"
#include "chip/route.h"
#include "draws.h"
#include "net_maker.h"

// A section, placed and routed.
typedef struct plan_s {
  const pef_chip_t *chip;
  leat_chip_grid_t grid;
  leat_chip_netlist_t netlist;
  leat_chip_placement_t placement;
  leat_chip_routes_t routes;
} plan_t;

static chip_section_t section;  // too large for a stack

static void connect(const pef_chip_t *chip, uint32_t stages, uint64_t seed, plan_t *out) {
  *out = (plan_t){.chip = chip};
  chip_fill_section(chip, stages, seed, &section);
  assert_ok(leat_chip_grid_make(chip, &out->grid));
  assert_ok(leat_chip_connect(&section.allocation, leat_chip_ports(chip), &out->netlist));
}

static void place(plan_t *plan, uint64_t seed, uint32_t moves) {
  assert_ok(leat_chip_place(&plan->grid, &plan->netlist, (leat_chip_effort_t){seed, moves}, &plan->placement));
}

static void route(plan_t *plan) {
  assert_ok(leat_chip_route(&plan->grid, &plan->netlist, plan->placement.cells, &plan->routes));
}

static leat_status_t prove(const plan_t *plan, leat_chip_rule_t *out_rule) {
  return leat_chip_prove(plan->chip, &plan->netlist, &plan->placement, &plan->routes, out_rule);
}

static void release(plan_t *plan) {
  leat_chip_grid_deinit(&plan->grid);
  leat_chip_netlist_deinit(&plan->netlist);
  leat_chip_placement_deinit(&plan->placement);
  leat_chip_routes_deinit(&plan->routes);
}

static plan_t make(const pef_chip_t *chip, uint32_t stages, uint64_t seed, uint32_t moves) {
  plan_t plan;
  connect(chip, stages, seed, &plan);
  place(&plan, seed, moves);
  route(&plan);
  assert_ok(prove(&plan, NULL));
  return plan;
}

// --- the fabric -----------------------------------------------------------------------------------------------------

static void a_tile_of_sn10_has_what_is_said(void **state) {
  (void)state;
  leat_chip_grid_t grid;
  assert_ok(leat_chip_grid_make(&chip_sn10, &grid));
  assert_int_equal(leat_pef_chip_switches(&chip_sn10), 1428);
  uint32_t counts[PEF_CHIP_TYPE_COUNT + 1] = {0};
  for (uint32_t cell = 0; cell < leat_pef_chip_cells(&chip_sn10, PEF_CHIP_PCU); ++cell) {
    ++counts[leat_pef_chip_type_of(&chip_sn10, cell)];
  }
  assert_int_equal(counts[PEF_CHIP_PCU], 640);
  assert_int_equal(counts[PEF_CHIP_PMU], 640);
  for (uint32_t cell = 0; cell + 1 < 20; ++cell) {  // a checkerboard
    const uint32_t type = leat_pef_chip_type_of(&chip_sn10, cell);
    assert_int_not_equal(leat_pef_chip_type_of(&chip_sn10, cell + 1), type);
    assert_int_not_equal(leat_pef_chip_type_of(&chip_sn10, cell + 20), type);
  }
  leat_chip_grid_deinit(&grid);
}

// Links that the grid has are those that the format says, both ways; 17 and 21 cross the borders of tiles.
static void links_of_the_grid_are_those_of_the_format(void **state) {
  (void)state;
  leat_chip_grid_t grid;
  assert_ok(leat_chip_grid_make(&chip_sn10, &grid));
  uint32_t across = 0;
  for (uint32_t l = 0; l < grid.link_count; ++l) {
    const leat_chip_link_t *link = &grid.links[l];
    assert_int_equal(link->capacity, leat_pef_chip_links(&chip_sn10, link->from, link->to) * PEF_CHIP_ONE_VECTOR);
    assert_int_equal(leat_pef_chip_links(&chip_sn10, link->to, link->from) * PEF_CHIP_ONE_VECTOR, link->capacity);
    across += leat_pef_chip_node_tile(&chip_sn10, link->from) != leat_pef_chip_node_tile(&chip_sn10, link->to);
  }
  uint32_t said = 0;
  for (uint32_t a = 0; a < grid.node_count; a += 7) {  // a part of all pairs
    for (uint32_t b = 0; b < grid.node_count; ++b) said += leat_pef_chip_links(&chip_sn10, a, b) != 0;
  }
  uint32_t there = 0;
  for (uint32_t l = 0; l < grid.link_count; ++l) there += grid.links[l].from % 7 == 0;
  assert_int_equal(said, there);
  assert_int_equal(across, 2 * (2 * 17 + 2 * 21));
  leat_chip_grid_deinit(&grid);
}

// A chip of one's own: half the PCUs, so that cells are empty.
static void a_chip_may_have_fewer_pcus(void **state) {
  (void)state;
  pef_chip_t chip = chip_sn10;
  chip.pcus = 80;
  uint32_t counts[PEF_CHIP_TYPE_COUNT + 1] = {0};
  for (uint32_t cell = 0; cell < leat_pef_chip_cells(&chip, PEF_CHIP_PCU); ++cell) {
    ++counts[leat_pef_chip_type_of(&chip, cell)];
  }
  assert_int_equal(counts[PEF_CHIP_PCU], 320);
  assert_int_equal(counts[PEF_CHIP_PMU], 640);
  assert_int_equal(counts[PEF_CHIP_TYPE_COUNT], 320);
  plan_t plan = make(&chip, 12, 1, 4);
  release(&plan);
  chip.pcus = 400;
  leat_chip_grid_t grid;
  assert_fails(leat_chip_grid_make(&chip, &grid), LEAT_CORRUPT, "400 PCUs and 160 PMUs do not fit tiles of 16 x 20");
}

static void tiles_are_stacked_as_square_as_it_gets(void **state) {
  (void)state;
  assert_int_equal(leat_chip_stack_of(1), 1);
  assert_int_equal(leat_chip_stack_of(2), 1);
  assert_int_equal(leat_chip_stack_of(4), 2);
  assert_int_equal(leat_chip_stack_of(8), 2);
  assert_int_equal(leat_chip_stack_of(9), 3);
}

// --- netlists -------------------------------------------------------------------------------------------------------

// A product of 2 x 3 PCUs between DDR and DDR: rows of PCUs share an input, columns share weights.
static void a_product_shares_its_operands(void **state) {
  (void)state;
  leat_chip_stage_t stage = {.pcus = 6, .along_m = 2, .along_n = 3, .cycles = 100, .vectors_in = 150};
  leat_chip_edge_t edges[] = {{.from = LEAT_CHIP_MEMORY, .to = 0, .pmus = 2, .depth = 2, .bytes = 1001, .vectors = 50},
                              {.from = LEAT_CHIP_MEMORY, .to = 0, .pmus = 1, .depth = 0, .vectors = 25},
                              {.from = 0, .to = LEAT_CHIP_MEMORY, .depth = 0, .vectors = 250}};
  const leat_chip_allocation_t allocation = {
      .interval = 100, .stage_count = 1, .edge_count = 3, .stages = &stage, .edges = edges};
  leat_chip_netlist_t netlist;
  assert_ok(leat_chip_connect(&allocation, 64, &netlist));
  assert_int_equal(leat_chip_count_units(&netlist, PEF_CHIP_PCU), 6);
  assert_int_equal(leat_chip_count_units(&netlist, PEF_CHIP_PMU), 3);
  assert_int_equal(leat_chip_count_units(&netlist, PEF_CHIP_AG), 1 + 1 + 3);  // 2.5 vectors a cycle go out
  assert_int_equal(netlist.units.data[0].bytes, 501);
  assert_int_equal(netlist.units.data[0].copies, 2);
  uint32_t shared[2] = {0}, results = 0;
  for (uint32_t n = 0; n < netlist.nets.count; ++n) {
    const leat_chip_net_t *net = &netlist.nets.data[n];
    const leat_chip_unit_t *source = &netlist.units.data[net->source];
    if (source->type == PEF_CHIP_PCU) ++results;
    if (source->type != PEF_CHIP_PMU) continue;
    assert_int_equal(net->sink_count, source->of == 0 ? 3 : 2);
    // read twice: 100 vectors in 2 parts, and 50 in 3, in 100 cycles
    assert_int_equal(net->bandwidth, source->of == 0 ? 512 : 171);
    ++shared[source->of];
  }
  assert_int_equal(shared[0], 2);
  assert_int_equal(shared[1], 3);
  assert_int_equal(results, 6);
  leat_chip_netlist_deinit(&netlist);
}

// What two stages read leaves its PCU once.
static void a_value_that_two_stages_read_is_one_net(void **state) {
  (void)state;
  leat_chip_stage_t stages[3] = {{.pcus = 2, .along_m = 2, .along_n = 1},
                                 {.pcus = 2, .along_m = 2, .along_n = 1},
                                 {.pcus = 2, .along_m = 2, .along_n = 1}};
  leat_chip_edge_t edges[] = {{.from = 0, .to = 1, .pmus = 2, .depth = 2, .vectors = 10},
                              {.from = 0, .to = 2, .pmus = 4, .depth = 3, .vectors = 10}};
  const leat_chip_allocation_t allocation = {
      .interval = 10, .stage_count = 3, .edge_count = 2, .stages = stages, .edges = edges};
  leat_chip_netlist_t netlist;
  assert_ok(leat_chip_connect(&allocation, 64, &netlist));
  uint32_t results = 0;
  for (uint32_t n = 0; n < netlist.nets.count; ++n) {
    const leat_chip_net_t *net = &netlist.nets.data[n];
    if (netlist.units.data[net->source].type != PEF_CHIP_PCU) continue;
    assert_int_equal(net->sink_count, 2);
    ++results;
  }
  assert_int_equal(results, 4);
  leat_chip_netlist_deinit(&netlist);
}

// Edges of DDR that follow each other take turns where ports are short.
static void few_ports_are_shared(void **state) {
  (void)state;
  leat_chip_stage_t stage = {.pcus = 2, .along_m = 2, .along_n = 1};
  leat_chip_edge_t edges[7];
  for (uint32_t e = 0; e < 7; ++e) {
    edges[e] = (leat_chip_edge_t){
        .from = e < 5 ? LEAT_CHIP_MEMORY : 0, .to = e < 5 ? 0 : LEAT_CHIP_MEMORY, .pmus = 1, .depth = 2, .vectors = 15};
  }
  const leat_chip_allocation_t allocation = {
      .interval = 10, .stage_count = 1, .edge_count = 7, .stages = &stage, .edges = edges};
  static const uint32_t ports[] = {64, 14, 13, 7, 3, 1}, wanted[] = {14, 14, 7, 7, 3, 1};
  for (uint32_t i = 0; i < 6; ++i) {
    leat_chip_netlist_t netlist;
    assert_ok(leat_chip_connect(&allocation, ports[i], &netlist));
    assert_int_equal(leat_chip_count_units(&netlist, PEF_CHIP_AG), wanted[i]);
    uint32_t from_ports = 0, to_ports = 0;
    for (uint32_t n = 0; n < netlist.nets.count; ++n) {
      const leat_chip_net_t *net = &netlist.nets.data[n];
      from_ports += netlist.units.data[net->source].type == PEF_CHIP_AG;
      to_ports += netlist.units.data[netlist.sinks.data[net->sink_first]].type == PEF_CHIP_AG;
    }
    assert_int_equal(from_ports, i < 2 ? 10 : 5);
    assert_int_equal(to_ports, i < 2 ? 4 : 2);
    leat_chip_netlist_deinit(&netlist);
  }
}

// --- what does not fit ----------------------------------------------------------------------------------------------

static leat_status_t place_units(const pef_chip_t *chip, leat_chip_unit_t unit, uint32_t count) {
  leat_chip_grid_t grid;
  leat_chip_netlist_t netlist = {0};
  leat_chip_placement_t placement;
  assert_ok(leat_chip_grid_make(chip, &grid));
  for (uint32_t i = 0; i < count; ++i) assert_non_null(leat_chip_add_unit(&netlist, &unit));
  leat_status_t status = leat_chip_place(&grid, &netlist, (leat_chip_effort_t){1, 1}, &placement);
  if (status == NULL) leat_chip_placement_deinit(&placement);
  leat_chip_netlist_deinit(&netlist);
  leat_chip_grid_deinit(&grid);
  return status;
}

static void what_does_not_fit_is_named(void **state) {
  (void)state;
  assert_fails(place_units(&chip_tiny, (leat_chip_unit_t){.type = PEF_CHIP_PCU}, 13), LEAT_UNSUPPORTED,
               "it takes 13 PCUs, 1 tiles of tiny have 12: 1 are short");
  assert_fails(place_units(&chip_tiny, (leat_chip_unit_t){.type = PEF_CHIP_AG}, 9), LEAT_UNSUPPORTED, "9 AGs");
  const leat_chip_unit_t full = {.type = PEF_CHIP_PMU, .of = 3, .copies = 2, .bytes = 32 << 10};
  assert_ok(place_units(&chip_tiny, full, 12));
  leat_chip_unit_t over = full;
  over.bytes += 1;
  assert_fails(place_units(&chip_tiny, over, 1), LEAT_UNSUPPORTED,
               "a PMU of edge 3 holds 2 copies of 32769 bytes, it has 16 banks of 4096");
  over = (leat_chip_unit_t){.type = PEF_CHIP_PMU, .copies = UINT32_MAX, .bytes = UINT64_MAX};
  assert_fails(place_units(&chip_tiny, over, 1), LEAT_UNSUPPORTED, "it has 16 banks");
  // Five copies: two even ones, two odd ones and the last, each set in banks of its own.
  assert_ok(place_units(&chip_tiny, (leat_chip_unit_t){.type = PEF_CHIP_PMU, .copies = 5, .bytes = 12 << 10}, 1));
  assert_fails(place_units(&chip_tiny, (leat_chip_unit_t){.type = PEF_CHIP_PMU, .copies = 5, .bytes = 13 << 10}, 1),
               LEAT_UNSUPPORTED, "holds 5 copies");
}

// --- the golden table -----------------------------------------------------------------------------------------------

typedef struct golden_s {
  const pef_chip_t *chip;
  uint32_t stages;
  uint64_t seed;
  uint32_t moves;
  uint64_t wire, routed;  // before and after routes are found
  uint32_t load;          // 1024ths
  double interval;        // cycles
} golden_t;

// The fullest sections of an sn10 (640 PCUs and 640 PMUs) over three seeds, and a tiny chip. Equal for gcc and clang,
// on every machine. To record them anew: LEAT_RECORD=1.
static const golden_t goldens[] = {
#include "chip_place_golden.def"
};

static double seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void placements_are_as_they_were(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof goldens / sizeof *goldens; ++i) {
    const golden_t *golden = &goldens[i];
    if (golden->seed > 1 && DRAWS_SHARE > 1) continue;  // a sanitizer sees as much in one
    const double begin = seconds();
    plan_t plan = make(golden->chip, golden->stages, golden->seed, golden->moves);
    const double taken = seconds() - begin;
    const double interval = leat_chip_routed_interval(section.allocation.interval, plan.routes.load);
    if (getenv("LEAT_RECORD") != NULL) {
      printf("    {&chip_%s, %u, %llu, %u, %llu, %llu, %u, %.17g},\n", golden->chip->name, golden->stages,
             (unsigned long long)golden->seed, golden->moves, (unsigned long long)plan.placement.wire,
             (unsigned long long)plan.routes.wire, plan.routes.load, interval);
      release(&plan);
      continue;
    }
    if (golden->chip == &chip_sn10) {
      assert_int_equal(leat_chip_count_units(&plan.netlist, PEF_CHIP_PCU), 640);
      assert_int_equal(leat_chip_count_units(&plan.netlist, PEF_CHIP_PMU), 640);
      assert_in_range(plan.netlist.nets.count, 1000, 3000);
    }
    assert_int_equal(plan.placement.wire, golden->wire);
    assert_int_equal(plan.routes.wire, golden->routed);
    assert_int_equal(plan.routes.load, golden->load);
    assert_true(interval == golden->interval);
    assert_true(taken < 5 * DRAWS_SHARE);
    release(&plan);
  }
}

// --- the proof finds what is wrong ----------------------------------------------------------------------------------

static uint64_t mutation_random = 1;
static uint32_t below(uint32_t limit) {
  mutation_random = mutation_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(((mutation_random >> 33) * limit) >> 31);
}

static uint32_t draw_unit(const plan_t *plan, uint32_t type) {
  uint32_t unit;
  do {
    unit = below(plan->netlist.units.count);
  } while (plan->netlist.units.data[unit].type != type);
  return unit;
}

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

// --- what a bad placement costs -------------------------------------------------------------------------------------

static void scrambling_a_placement_costs_time_and_names_the_link(void **state) {
  (void)state;
  plan_t plan = make(&chip_sn10, 24, 1, 4);
  const uint32_t load = plan.routes.load;
  const uint64_t wire = plan.routes.wire;
  for (uint32_t i = 0; i < 8 * plan.netlist.units.count; ++i) {
    const uint32_t unit = below(plan.netlist.units.count), type = plan.netlist.units.data[unit].type;
    const uint32_t other = draw_unit(&plan, type), cell = plan.placement.cells[unit];
    plan.placement.cells[unit] = plan.placement.cells[other];
    plan.placement.cells[other] = cell;
  }
  leat_chip_routes_deinit(&plan.routes);
  route(&plan);
  assert_ok(prove(&plan, NULL));
  assert_true(plan.routes.wire > 3 * wire);
  assert_true(plan.routes.load > 1024);
  assert_true(plan.routes.overfull > 0);
  const double before = leat_chip_routed_interval(1000, load),
               after = leat_chip_routed_interval(1000, plan.routes.load);
  assert_true(after > before);
  leat_text_t text = {0};
  leat_chip_put_link(plan.chip, &plan.routes.busiest, &text);
  assert_non_null(strstr(text.data, "tile "));
  assert_non_null(strstr(text.data, " to tile "));
  leat_text_deinit(&text);
  release(&plan);
}

// Half of the links carry half as much: nets wait, and the interval grows. (Strips alone: nets are long.)
static void half_of_the_links_cost_time(void **state) {
  (void)state;
  pef_chip_t chip = chip_sn10;
  chip.vector_links *= 2;
  chip.border_links *= 2;
  plan_t wide = make(&chip, 60, 2, 0), narrow = make(&chip_sn10, 60, 2, 0);
  assert_true(wide.routes.load <= 1024);
  assert_true(narrow.routes.load > 1024);
  assert_int_equal(narrow.routes.iterations, 30);
  assert_true(leat_chip_routed_interval(1000, wide.routes.load) == 1000);
  assert_true(leat_chip_routed_interval(1000, narrow.routes.load) == 1000.0 * narrow.routes.load / 1024);
  release(&wide);
  release(&narrow);
}

// Half of the banks are twice as large: halves of double buffers that had room in 16 have none in 4.
static void fewer_banks_hold_less(void **state) {
  (void)state;
  pef_chip_t chip = chip_tiny;
  const leat_chip_unit_t unit = {.type = PEF_CHIP_PMU, .copies = 3, .bytes = 20 << 10};
  assert_ok(place_units(&chip, unit, 1));
  chip.banks = 4;
  assert_fails(place_units(&chip, unit, 1), LEAT_UNSUPPORTED, "it has 4 banks of 16384");
}

static void annealing_is_worth_it(void **state) {
  (void)state;
  plan_t strips = make(&chip_sn10, 24, 1, 0), placed = make(&chip_sn10, 24, 1, 4);
  assert_true(2 * placed.placement.wire < strips.placement.wire);
  release(&strips);
  release(&placed);
}

static double gain_of_longer(const pef_chip_t *chip, uint32_t stages, uint64_t seed) {
  plan_t usual = make(chip, stages, seed, LEAT_CHIP_MOVES), longer = make(chip, stages, seed, 20 * LEAT_CHIP_MOVES);
  const double gain = (double)usual.placement.wire / (double)longer.placement.wire;
  assert_true(usual.routes.load <= 1024 || usual.routes.load <= 1.05 * longer.routes.load);
  release(&usual);
  release(&longer);
  return gain;
}

// Within 5 % of an anneal that takes 20 times as long. On a full sn10 with LEAT_LONG=1: half a minute.
static void a_longer_anneal_finds_little(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 3; ++seed) assert_true(gain_of_longer(&chip_tiny, 4, seed) <= 1.05);
  if (getenv("LEAT_LONG") == NULL) return;
  const double gain = gain_of_longer(&chip_sn10, 24, 1);
  print_message("a 20-fold longer anneal of a full sn10: wire %.4f times shorter\n", gain);
  assert_true(gain <= 1.05);
}

static leat_status_t try_plan(void) {
  plan_t plan = {0};
  leat_status_t status = leat_chip_grid_make(&chip_tiny, &plan.grid);
  if (status == NULL) status = leat_chip_connect(&section.allocation, 64, &plan.netlist);
  if (status == NULL) status = leat_chip_place(&plan.grid, &plan.netlist, (leat_chip_effort_t){1, 1}, &plan.placement);
  if (status == NULL) status = leat_chip_route(&plan.grid, &plan.netlist, plan.placement.cells, &plan.routes);
  if (status == NULL) status = leat_chip_prove(&chip_tiny, &plan.netlist, &plan.placement, &plan.routes, NULL);
  release(&plan);
  return status;
}

static void every_request_for_memory_may_fail(void **state) {
  (void)state;
  chip_fill_section(&chip_tiny, 4, 1, &section);
  uint32_t failed = 0;
  for (uint64_t n = 1;; ++n) {
    leat_alloc_fail_after(n);
    leat_status_t status = try_plan();
    leat_alloc_fail_after(0);
    if (status == NULL) break;
    assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
    ++failed;
  }
  assert_true(failed > 30);
}

// Half of an sn30: its second half has no units and no routes.
static void tiles_that_are_not_used_stay_empty(void **state) {
  (void)state;
  pef_chip_t half = chip_sn30;
  half.tiles_used = 4;
  plan_t plan = make(&half, 20, 1, 2);
  for (uint32_t h = 0; h < plan.routes.hops.count; ++h) {
    assert_true(leat_pef_chip_node_tile(&half, plan.routes.hops.data[h].to) < 4);
  }
  release(&plan);
}

static void whole_sn30_is_placed(void **state) {
  (void)state;
  plan_t plan = make(&chip_sn30, 40, 1, 1);
  assert_int_equal(leat_chip_count_units(&plan.netlist, PEF_CHIP_PCU), 1280);
  release(&plan);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_tile_of_sn10_has_what_is_said),
      cmocka_unit_test(links_of_the_grid_are_those_of_the_format),
      cmocka_unit_test(a_chip_may_have_fewer_pcus),
      cmocka_unit_test(tiles_are_stacked_as_square_as_it_gets),
      cmocka_unit_test(a_product_shares_its_operands),
      cmocka_unit_test(a_value_that_two_stages_read_is_one_net),
      cmocka_unit_test(few_ports_are_shared),
      cmocka_unit_test(what_does_not_fit_is_named),
      cmocka_unit_test(placements_are_as_they_were),
      cmocka_unit_test(every_mutation_is_found),
      cmocka_unit_test(scrambling_a_placement_costs_time_and_names_the_link),
      cmocka_unit_test(half_of_the_links_cost_time),
      cmocka_unit_test(fewer_banks_hold_less),
      cmocka_unit_test(annealing_is_worth_it),
      cmocka_unit_test(every_request_for_memory_may_fail),
      cmocka_unit_test(a_longer_anneal_finds_little),
      cmocka_unit_test(tiles_that_are_not_used_stay_empty),
      cmocka_unit_test(whole_sn30_is_placed),
  };
  return cmocka_run_group_tests_name("chip_place", tests, NULL, NULL);
}
