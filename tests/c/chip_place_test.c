// SPDX-License-Identifier: Apache-2.0
// Place and route: legal by the proof, equal everywhere, near to what a much longer anneal finds.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "chip_rig.h"
#include "draws.h"

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
