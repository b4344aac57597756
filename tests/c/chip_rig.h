// SPDX-License-Identifier: Apache-2.0
// A section that is placed and routed, for tests of that and of its proof.
#ifndef LEAT_TESTS_CHIP_RIG_H_
#define LEAT_TESTS_CHIP_RIG_H_

#include "check.h"
#include "chip/connect.h"
#include "chip/place.h"
#include "chip/proof.h"
#include "chip/route.h"
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

static inline void connect(const pef_chip_t *chip, uint32_t stages, uint64_t seed, plan_t *out) {
  *out = (plan_t){.chip = chip};
  chip_fill_section(chip, stages, seed, &section);
  assert_ok(leat_chip_grid_make(chip, &out->grid));
  assert_ok(leat_chip_connect(&section.allocation, leat_chip_ports(chip), &out->netlist));
}

static inline void place(plan_t *plan, uint64_t seed, uint32_t moves) {
  assert_ok(leat_chip_place(&plan->grid, &plan->netlist, (leat_chip_effort_t){seed, moves}, &plan->placement));
}

static inline void route(plan_t *plan) {
  assert_ok(leat_chip_route(&plan->grid, &plan->netlist, plan->placement.cells, &plan->routes));
}

static inline leat_status_t prove(const plan_t *plan, leat_chip_rule_t *out_rule) {
  return leat_chip_prove(plan->chip, &plan->netlist, &plan->placement, &plan->routes, out_rule);
}

static inline void release(plan_t *plan) {
  leat_chip_grid_deinit(&plan->grid);
  leat_chip_netlist_deinit(&plan->netlist);
  leat_chip_placement_deinit(&plan->placement);
  leat_chip_routes_deinit(&plan->routes);
}

static inline plan_t make(const pef_chip_t *chip, uint32_t stages, uint64_t seed, uint32_t moves) {
  plan_t plan;
  connect(chip, stages, seed, &plan);
  place(&plan, seed, moves);
  route(&plan);
  assert_ok(prove(&plan, NULL));
  return plan;
}

// --- drawn at random -------------------------------------------------------------------------------------------------

static uint64_t rig_random = 1;
static inline uint32_t below(uint32_t limit) { return chip_below(&rig_random, limit); }

static inline uint32_t draw_unit(const plan_t *plan, uint32_t type) {
  uint32_t unit;
  do {
    unit = below(plan->netlist.units.count);
  } while (plan->netlist.units.data[unit].type != type);
  return unit;
}

#endif
