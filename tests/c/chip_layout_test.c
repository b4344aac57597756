// SPDX-License-Identifier: Apache-2.0
// Golden files of the compiler, laid out on chips: every body that is allocated is placed, routed and proved, the
// file takes it, and the picture shows it.

#include <stdio.h>
#include <stdlib.h>

#include "arch/chip.h"
#include "check.h"
#include "chip/floorplan.h"
#include "chip/plan.h"
#include "floorplan_text.h"

typedef struct laid_out_s {
  leat_chip_allocation_t *allocations;
  leat_chip_floorplan_t *plans;
  uint32_t count;
} laid_out_t;

static void lay_out(const leat_chip_t *chip, const leat_chip_plan_t *plan, laid_out_t *out) {
  out->allocations = leat_alloc_zero(plan->body_count + 1u, sizeof *out->allocations);
  out->plans = leat_alloc_zero(plan->body_count + 1u, sizeof *out->plans);
  out->count = 0;
  for (uint32_t b = 0; b < plan->body_count; ++b) {
    if (plan->bodies[b].stage_count == 0) continue;
    const leat_chip_allocation_t *allocation = &plan->bodies[b];
    assert_ok(leat_chip_lay_out(chip, allocation, (leat_chip_effort_t){1, 1}, &out->plans[out->count]));
    const leat_chip_netlist_t *netlist = &out->plans[out->count].netlist;
    assert_int_equal(leat_chip_count_units(netlist, PEF_CHIP_PCU), allocation->pcus);
    assert_int_equal(leat_chip_count_units(netlist, PEF_CHIP_PMU), allocation->pmus);
    assert_true(out->plans[out->count].interval >= allocation->interval);
    out->allocations[out->count++] = *allocation;
  }
}

static leat_pef_t *open_golden(const char *name) {
  char path[1024];
  leat_pef_t *pef = NULL;
  assert_non_null(getenv("LEAT_TEST_DATA"));
  snprintf(path, sizeof path, "%s/pef/%s/program.pef", getenv("LEAT_TEST_DATA"), name);
  assert_ok(leat_pef_open(path, &pef));
  return pef;
}

// Bodies that were laid out.
static uint32_t check_program(const char *name, const char *chip_name) {
  leat_chip_t chip;
  leat_chip_plan_t plan;
  leat_pef_t *pef = open_golden(name), *read = NULL;
  assert_true(leat_chip_built_in(chip_name, &chip));
  assert_ok(leat_chip_plan_make(&chip, pef, (uint32_t)chip.tiles, &plan));
  laid_out_t laid_out;
  lay_out(&chip, &plan, &laid_out);
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_ok(leat_chip_attach(pef, &chip, (uint32_t)chip.tiles, laid_out.allocations, laid_out.plans, laid_out.count,
                             &data, &bytes));
  assert_ok(leat_pef_open_memory(data, bytes, "laid out", &read));
  assert_int_equal(read->chip_body_count, laid_out.count);
  leat_text_t text = {0};
  put_floorplan(read, &text);
  assert_true(text.length > 1000 && !text.failed);
  leat_text_deinit(&text);
  for (uint32_t i = 0; i < laid_out.count; ++i) leat_chip_floorplan_deinit(&laid_out.plans[i]);
  leat_free(laid_out.allocations);
  leat_free(laid_out.plans);
  leat_chip_plan_deinit(&plan);
  leat_pef_close(read);
  leat_pef_close(pef);
  leat_free(data);
  return laid_out.count;
}

static void programs_are_laid_out(void **state) {
  (void)state;
  static const char *const names[] = {"2.0/language_train", "2.0/lenet_train",  "2.0/recurrent_infer",
                                      "2.0/volumes_train",  "2.0/noise_train",  "2.1/deep_train",
                                      "2.1/sums_train",     "2.1/panels_infer", "2.0/language_groups"};
  uint32_t bodies = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) bodies += check_program(names[i], "sn10");
  assert_true(bodies > 20);
}

static void both_halves_of_an_sn30_are_laid_out(void **state) {
  (void)state;
  assert_true(check_program("2.0/lenet_train", "sn30") > 1);
}

static void small_programs_fit_a_tiny_chip(void **state) {
  (void)state;
  assert_true(check_program("2.0/lenet_infer", "tiny") > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(programs_are_laid_out),
      cmocka_unit_test(both_halves_of_an_sn30_are_laid_out),
      cmocka_unit_test(small_programs_fit_a_tiny_chip),
  };
  return cmocka_run_group_tests_name("chip_layout", tests, NULL, NULL);
}
