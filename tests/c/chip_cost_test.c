// SPDX-License-Identifier: Apache-2.0
// What stages cost on a chip: the formulas against cycles that a script has counted, the fewest PCUs against all that
// there are, and a cost for each kind of stage.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "chip/cost.h"
#include "pef_zoo.h"

static void formulas_are_those_of_dfmodel(void **state) {
  (void)state;
  const char *data = getenv("LEAT_TEST_DATA");
  if (data == NULL) skip();
  char path[1024], line[256], kind[16];
  (void)snprintf(path, sizeof path, "%s/chip/shapes.csv", data);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  assert_non_null(fgets(line, sizeof line, file));
  int count = 0;
  for (; fgets(line, sizeof line, file) != NULL; ++count) {
    long long v[8];
    assert_int_equal(sscanf(line, "%15[^,],%lld,%lld,%lld,%lld,%lld,%lld,%lld,%lld", kind, &v[0], &v[1], &v[2], &v[3],
                            &v[4], &v[5], &v[6], &v[7]),
                     9);
    const leat_chip_work_t work = {.lanes = v[0], .stages = v[1], .batch = 1, .m = v[2], .k = v[3], .n = v[4]};
    const double cycles = strcmp(kind, "product") == 0
                              ? leat_chip_product_cycles(&work, (leat_chip_shares_t){1, v[5], v[6]})
                              : leat_chip_simd_cycles(v[2], v[4], v[3], v[0], v[1], v[5]);
    if (cycles != (double)v[7]) fail_msg("%.0f cycles for %s", cycles, line);
  }
  assert_int_equal(count, 200);
  (void)fclose(file);
}

// A shard of the first product of GPT3-175B's feed-forward, as DFModel's log has it.
static void a_shard_of_ffn0(void **state) {
  (void)state;
  const leat_chip_work_t work = {
      .way = LEAT_CHIP_SYSTOLIC, .lanes = 32, .stages = 6, .batch = 1, .m = 6144, .n = 32, .k = 12288};
  leat_chip_shares_t shares;
  const int64_t pcus = leat_chip_product_shares(&work, 24576, &shares);
  assert_true(pcus > 0 && pcus <= 640);
  assert_true(leat_chip_product_cycles(&work, shares) == 24576);
  assert_true(leat_chip_product_shares(&work, 24575, &shares) > 640);  // the next step is half of it
  assert_true(leat_chip_work_cycles(&work, 640) == 24576);
  assert_true(64 * 24576 / 1.25e9 == 1.2582912e-3);
}

static uint32_t draw(uint32_t *seed, uint32_t below) {
  *seed = *seed * 1664525u + 1013904223u;
  return (*seed >> 8) % below;
}

static int64_t fewest_of_all(const leat_chip_work_t *work, double interval) {
  int64_t best = 0;
  for (int64_t batch = 1; batch <= work->batch; ++batch)
    for (int64_t m = 1; m <= work->m; ++m)
      for (int64_t n = 1; n <= work->n; ++n)
        if (leat_chip_product_cycles(work, (leat_chip_shares_t){batch, m, n}) <= interval)
          best = best == 0 || batch * m * n < best ? batch * m * n : best;
  return best;
}

static void products_get_the_fewest_pcus(void **state) {
  (void)state;
  uint32_t seed = 3;
  int none = 0;
  for (int i = 0; i < 300; ++i) {
    const leat_chip_work_t work = {.way = LEAT_CHIP_SYSTOLIC,
                                   .lanes = 1 + draw(&seed, 4),
                                   .stages = 1 + draw(&seed, 3),
                                   .batch = 1 + draw(&seed, 6),
                                   .m = 1 + draw(&seed, 30),
                                   .n = 1 + draw(&seed, 20),
                                   .k = 1 + draw(&seed, 50)};
    const double interval = 1 + draw(&seed, 2000);
    leat_chip_shares_t shares;
    const int64_t pcus = leat_chip_product_shares(&work, interval, &shares);
    assert_int_equal(pcus, fewest_of_all(&work, interval));
    none += pcus == 0;
    if (pcus == 0) continue;
    assert_int_equal(pcus, shares.batch * shares.m * shares.n);
    assert_true(leat_chip_product_cycles(&work, shares) <= interval);
  }
  assert_true(none > 0 && none < 100);
}

// What other kinds of work take, by hand.
static void work_of_other_kinds(void **state) {
  (void)state;
  leat_chip_work_t work = {.way = LEAT_CHIP_TREE, .lanes = 16, .stages = 6, .lines = 32, .length = 1600, .latency = 4};
  assert_true(leat_chip_work_cycles(&work, 1) == 32 * (100 + 4));
  assert_true(leat_chip_work_cycles(&work, 32) == 104);
  work.latency = 0;  // lines lie side by side in lanes
  assert_true(leat_chip_work_cycles(&work, 1) == 3200);
  work = (leat_chip_work_t){.way = LEAT_CHIP_SIMD, .lanes = 32, .stages = 6, .lines = 1, .length = 1000, .passes = 3};
  assert_true(leat_chip_work_cycles(&work, 1) == 32 * 3 && leat_chip_work_cycles(&work, 4) == 8 * 3);
  work = (leat_chip_work_t){.way = LEAT_CHIP_SCAN, .lanes = 16, .stages = 6, .lines = 32, .length = 100};
  assert_true(leat_chip_work_cycles(&work, 1) == 200 && leat_chip_work_cycles(&work, 2) == 100);
  work.lines = 1;  // in turn: 7 vectors, 4 steps each
  assert_true(leat_chip_work_cycles(&work, 1) == 28);
  work = (leat_chip_work_t){.way = LEAT_CHIP_SORT, .lanes = 16, .stages = 6, .lines = 2, .length = 1024};
  assert_true(leat_chip_work_cycles(&work, 1) == 128 * 10);  // 55 exchanges, 6 at a time
  work = (leat_chip_work_t){.way = LEAT_CHIP_LOOKUP, .lanes = 16, .stages = 6, .lines = 7, .length = 20, .passes = 2};
  assert_true(leat_chip_work_cycles(&work, 1) == 7 * 2 * 2);
}

static leat_pef_t *open_zoo(uint32_t kind) {
  const pef_zoo_t zoo = pef_zoo_stage(kind);
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_zoo_build(writer, &zoo, 1);
  uint8_t *data = NULL;
  size_t bytes = 0;
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  assert_ok(leat_pef_open_memory(data, bytes, "zoo", &pef));
  leat_free(data);
  leat_pef_writer_destroy(writer);
  return pef;
}

static void every_kind_has_a_cost(void **state) {
  (void)state;
  leat_chip_t chip;
  assert_true(leat_chip_built_in("sn10", &chip));
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    leat_pef_t *pef = open_zoo(kind);
    const int64_t rows = (int64_t)pef->bodies[0].row_count;
    leat_chip_cost_t all, one;
    leat_chip_cost_of(&chip, pef, &pef->bodies[0], &pef->stages[0], &(leat_chip_tile_t){.rows = rows}, &all);
    leat_chip_cost_of(&chip, pef, &pef->bodies[0], &pef->stages[0], &(leat_chip_tile_t){.rows = 1}, &one);
    const double cycles = leat_chip_cost_cycles(&all, 1);
    if (!(cycles >= 1 && isfinite(cycles))) fail_msg("%s takes %g cycles", leat_pef_stage_name(kind), cycles);
    assert_true(leat_chip_cost_cycles(&all, 1000) <= cycles);
    assert_true(rows > 1 && leat_chip_cost_cycles(&one, 1) <= cycles);
    assert_int_equal(all.works[0].way, leat_chip_cost_row(kind)->way);
    assert_true(leat_chip_cost_row(kind)->source[0] != '\0');
    leat_pef_close(pef);
  }
}

// The one of the zoo: 6 rows, 2 batches, 10 columns, k of 3.
static void a_product_of_a_file(void **state) {
  (void)state;
  leat_chip_t chip;
  assert_true(leat_chip_built_in("sn10", &chip));
  leat_pef_t *pef = open_zoo(PEF_STAGE_CONTRACT);
  leat_chip_cost_t cost;
  leat_chip_cost_of(&chip, pef, &pef->bodies[0], &pef->stages[0], &(leat_chip_tile_t){.rows = 6}, &cost);
  assert_int_equal(cost.work_count, 1);
  assert_int_equal(cost.works[0].batch, 2);
  assert_int_equal(cost.works[0].k, 3);
  assert_int_equal(cost.works[0].m * cost.works[0].n, 60);
  assert_int_equal(cost.works[0].lanes, 16);  // f32
  assert_true(leat_chip_cost_cycles(&cost, 1) == 2 * 3);
  assert_true(leat_chip_tile_elements(pef, &pef->bodies[0], &pef->stages[0], PEF_CONTRACT_b,
                                      &(leat_chip_tile_t){.rows = 6}) == 2 * 10 * 3);
  leat_pef_close(pef);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(formulas_are_those_of_dfmodel), cmocka_unit_test(a_shard_of_ffn0),
      cmocka_unit_test(products_get_the_fewest_pcus),  cmocka_unit_test(work_of_other_kinds),
      cmocka_unit_test(every_kind_has_a_cost),         cmocka_unit_test(a_product_of_a_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
