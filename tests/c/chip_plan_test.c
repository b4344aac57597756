// SPDX-License-Identifier: Apache-2.0
// Allocation and time on a chip: the sections of GPT3-175B that DFModel's log has, measured ReLUs, and what an
// allocation has to be whatever the file.
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "chip/plan.h"
#include "chip_maker.h"

static leat_chip_t read_chip(const char *file) {
  leat_chip_t chip;
  char path[1024];
  (void)snprintf(path, sizeof path, "%s/../arch/%s", getenv("LEAT_TEST_DATA"), file);
  assert_ok(leat_chip_find(path, &chip));
  return chip;
}

static int needs_data(void **state) {
  (void)state;
  return getenv("LEAT_TEST_DATA") == NULL;
}

// --- DFModel ---------------------------------------------------------------------------------------------------------
// A layer of GPT3-175B forward, a shard of 8 chips (TP 8), 42 sequences of 2048 tokens, by 32 tokens.

enum { HIDDEN = 12288, SHARD = HIDDEN / 8, HEADS = 12, WIDTH = 128, TOKENS = 2048, SEQUENCES = 42 };
#define ALL_REDUCE 50331648.0  // bytes a sequence, of sections 2 and 4

#define CLOSE(value, expected) (fabs((value) / (expected)-1) < 0.01)

static leat_chip_allocation_t allocate(const leat_chip_t *chip, const leat_pef_t *pef, uint32_t tiles) {
  leat_chip_allocation_t allocation;
  assert_ok(leat_chip_allocate(chip, pef, 0, tiles, &allocation));
  return allocation;
}

// Holds milliseconds a sequence against those of the log.
static void check_section(leat_pef_t *pef, double all_reduce, double bytes, double compute_ms, double total_ms) {
  const leat_chip_t chip = read_chip("dfmodel.yaml");
  leat_chip_allocation_t a = allocate(&chip, pef, 4);
  const leat_chip_given_t given = {.p2p_bytes = all_reduce * SEQUENCES, .ring = all_reduce > 0 ? 8 : 1};
  leat_chip_time_t time;
  leat_chip_time_of(&chip, &a, &given, &time);
  assert_int_equal(a.tile_rows, 32);
  assert_int_equal(a.tile_count, 64 * SEQUENCES);
  assert_true(time.compute * 64e3 <= compute_ms * 1.0000001);
  if (!CLOSE(a.memory_bytes * 64, bytes)) fail_msg("%.1f MB a sequence", a.memory_bytes * 64 / 1e6);
  print_message("%.4f ms a sequence, DFModel's log has %.4f\n", time.total * 1e3 / SEQUENCES, total_ms);
  assert_true(CLOSE(time.total * 1e3 / SEQUENCES, total_ms));
  leat_chip_allocation_deinit(&a);
  leat_pef_close(pef);
}

// Add, layer norm, and the products of queries, keys and values.
static void the_first_section(void **state) {
  (void)state;
  chip_maker_t m;
  chip_maker_begin(&m, TOKENS * SEQUENCES);
  const chip_value_t x = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, true, CHIP_DIMS(HIDDEN));
  const chip_value_t bias = chip_maker_symbol(&m, PEF_SYMBOL_PARAMETER, false, CHIP_DIMS(HIDDEN));
  const chip_value_t added = chip_maker_buffer(&m, CHIP_DIMS(HIDDEN)), mean = chip_maker_buffer(&m, 0, NULL);
  const chip_value_t centred = chip_maker_buffer(&m, CHIP_DIMS(HIDDEN)), scale = chip_maker_buffer(&m, 0, NULL);
  const chip_value_t norm = chip_maker_buffer(&m, CHIP_DIMS(HIDDEN));
  chip_maker_map(&m, x, &bias, 1, added);
  chip_maker_sum(&m, added, mean);
  chip_maker_map(&m, added, &mean, 1, centred);
  chip_maker_sum(&m, centred, scale);
  chip_maker_map(&m, centred, &scale, 3, norm);
  for (int i = 0; i < 3; ++i) {
    const chip_value_t w = chip_maker_symbol(&m, PEF_SYMBOL_PARAMETER, false, CHIP_DIMS(SHARD, HIDDEN));
    chip_maker_product(&m, 0, norm, w, chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, CHIP_DIMS(SHARD)));
  }
  check_section(chip_maker_end(&m), 0, 69.2e6, 1.2583, 1.2853);
}

// Scores, softmax, values, projection, and what is added around it. Keys and values are loaded once here, not once a
// sequence: 12.6 MB of the 169.9 a sequence.
static void the_second_section(void **state) {
  (void)state;
  chip_maker_t m;
  chip_maker_begin(&m, TOKENS * SEQUENCES);
  const chip_value_t q = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, true, CHIP_DIMS(HEADS, WIDTH));
  const chip_value_t k = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, false, CHIP_DIMS(HEADS, TOKENS, WIDTH));
  const chip_value_t v = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, false, CHIP_DIMS(HEADS, WIDTH, TOKENS));
  const chip_value_t w = chip_maker_symbol(&m, PEF_SYMBOL_PARAMETER, false, CHIP_DIMS(HIDDEN, SHARD));
  const chip_value_t residual = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, true, CHIP_DIMS(HIDDEN));
  const chip_value_t scores = chip_maker_buffer(&m, CHIP_DIMS(HEADS, TOKENS)),
                     sum = chip_maker_buffer(&m, CHIP_DIMS(HEADS));
  const chip_value_t weights = chip_maker_buffer(&m, CHIP_DIMS(HEADS, TOKENS));
  const chip_value_t met = chip_maker_buffer(&m, CHIP_DIMS(HEADS, WIDTH)),
                     flat = chip_maker_buffer(&m, CHIP_DIMS(SHARD));
  const chip_value_t projected = chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, CHIP_DIMS(HIDDEN));
  chip_maker_product(&m, HEADS, q, k, scores);
  chip_maker_sum(&m, scores, sum);
  chip_maker_map(&m, scores, &sum, 2, weights);
  chip_maker_product(&m, HEADS, weights, v, met);
  chip_value_t met_flat = met;  // the same bytes as lines
  met_flat.rank = 2;
  met_flat.dims[1] = SHARD;
  chip_maker_map(&m, met_flat, NULL, 1, flat);
  chip_maker_product(&m, 0, flat, w, projected);
  chip_maker_map(&m, projected, &residual, 1, chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, CHIP_DIMS(HIDDEN)));
  check_section(chip_maker_end(&m), ALL_REDUCE, 169.9e6 - 12.6e6, 1.7616, 1.7706);
}

static leat_pef_t *feed_forward(int64_t in, int64_t out, bool has_tail) {
  chip_maker_t m;
  chip_maker_begin(&m, TOKENS * SEQUENCES);
  const chip_value_t x = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, true, CHIP_DIMS(in));
  const chip_value_t w = chip_maker_symbol(&m, PEF_SYMBOL_PARAMETER, false, CHIP_DIMS(out, in));
  const chip_value_t y = chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, CHIP_DIMS(out));
  const chip_value_t product = has_tail ? chip_maker_buffer(&m, CHIP_DIMS(out)) : y;
  chip_maker_product(&m, 0, x, w, product);
  if (has_tail) chip_maker_map(&m, product, NULL, 8, y);
  return chip_maker_end(&m);
}

static void the_third_section(void **state) {
  (void)state;
  check_section(feed_forward(HIDDEN, HIDDEN / 2, true), 0, 75.5e6, 1.2583, 1.2942);
}

static void the_fourth_section(void **state) {
  (void)state;
  check_section(feed_forward(HIDDEN / 2, HIDDEN, false), ALL_REDUCE, 75.5e6, 1.2583, 1.7976);
}

static void a_shard_of_ffn0_exactly(void **state) {
  (void)state;
  const leat_chip_t chip = read_chip("dfmodel.yaml");
  for (int has_tail = 0; has_tail < 2; ++has_tail) {
    leat_pef_t *pef = feed_forward(HIDDEN, HIDDEN / 2, has_tail != 0);
    leat_chip_allocation_t a = allocate(&chip, pef, 4);
    assert_int_equal(a.stage_count, 1);  // the tail rides
    assert_true(a.compute == 24576 && a.interval == 24576);
    assert_true(fabs(64 * a.interval / chip.clock - 1.258291e-3) < 0.5e-9);
    assert_true(a.pcus <= 640);
    leat_chip_allocation_deinit(&a);
    leat_pef_close(pef);
  }
}

// --- measured --------------------------------------------------------------------------------------------------------

static leat_pef_t *relu_of(int64_t elements) {
  chip_maker_t m;
  chip_maker_begin(&m, elements);
  const chip_value_t x = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, true, 0, NULL);
  chip_maker_map(&m, x, NULL, 1, chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, 0, NULL));
  return chip_maker_end(&m);
}

static int by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// ReLU in bf16 on an SN10, whose compiler places a small operator on one tile: the median error is within a tenth.
// Above 2^28 elements it takes more tiles; those are told.
static void measured_relus(void **state) {
  (void)state;
  char path[1024], line[128];
  (void)snprintf(path, sizeof path, "%s/chip/relu_bf16_sn10.csv", getenv("LEAT_TEST_DATA"));
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  assert_non_null(fgets(line, sizeof line, file));
  leat_chip_t sn10;
  assert_true(leat_chip_built_in("sn10", &sn10));
  double errors[256], above = 0;
  uint32_t count = 0;
  for (long long elements; fgets(line, sizeof line, file) != NULL;) {
    double rate;
    assert_int_equal(sscanf(line, "%lld,%lf", &elements, &rate), 2);
    const bool is_small = elements < (INT64_C(1) << 28) - 3;  // one of 2^28 was read off as three fewer
    leat_pef_t *pef = relu_of(elements);
    leat_chip_allocation_t a = allocate(&sn10, pef, is_small ? 1 : 4);
    leat_chip_time_t time;
    leat_chip_time_of(&sn10, &a, &(leat_chip_given_t){.is_loaded = true}, &time);
    const double error = fabs(time.total / ((double)elements / (rate * 1e9)) - 1);
    if (is_small)
      errors[count++] = error;
    else
      above = fmax(above, error);
    leat_chip_allocation_deinit(&a);
    leat_pef_close(pef);
  }
  (void)fclose(file);
  assert_true(count > 80);
  qsort(errors, count, sizeof *errors, by_size);
  print_message("ReLU on one tile: median error %.1f %%, greatest %.1f %% of %u sizes; above 2^28 up to %.1f %%\n",
                100 * errors[count / 2], 100 * errors[count - 1], count, 100 * above);
  assert_true(errors[count / 2] <= 0.10);
}

// --- allocations -----------------------------------------------------------------------------------------------------

static const leat_chip_edge_t *edge_between(const leat_chip_allocation_t *a, uint32_t from, uint32_t to) {
  for (uint32_t i = 0; i < a->edge_count; ++i)
    if (a->edges[i].from == from && a->edges[i].to == to) return &a->edges[i];
  return NULL;
}

// x, a = x + x, b = a + a, c = x b: x waits two levels, and memory gives it once.
static void what_waits_has_more_copies(void **state) {
  (void)state;
  leat_chip_t sn10;
  assert_true(leat_chip_built_in("sn10", &sn10));
  chip_maker_t m;
  chip_maker_begin(&m, 1024 * 32);
  const chip_value_t x = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, true, CHIP_DIMS(1024));
  const chip_value_t a = chip_maker_buffer(&m, CHIP_DIMS(1024)), b = chip_maker_buffer(&m, CHIP_DIMS(1024));
  const chip_value_t y = chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, CHIP_DIMS(1024));
  chip_maker_map(&m, x, NULL, 1, a);
  chip_maker_map(&m, a, NULL, 1, b);
  chip_maker_map(&m, x, &b, 1, y);
  leat_pef_t *pef = chip_maker_end(&m);
  leat_chip_allocation_t p = allocate(&sn10, pef, 4);
  assert_int_equal(p.stage_count, 3);
  assert_int_equal(p.levels, 3);
  assert_int_equal(p.edge_count, 5);
  assert_int_equal(edge_between(&p, 0, 1)->depth, 2);
  assert_int_equal(edge_between(&p, 1, 2)->depth, 2);
  assert_int_equal(edge_between(&p, LEAT_CHIP_MEMORY, 0)->depth, 0);
  assert_int_equal(edge_between(&p, LEAT_CHIP_MEMORY, 2)->depth, 4);
  assert_int_equal(edge_between(&p, 2, LEAT_CHIP_MEMORY)->depth, 0);
  assert_true(p.memory_bytes == 2 * 32 * 1024 * 2);  // x in, y out
  assert_int_equal(p.resident_bytes, 0);
  assert_int_equal(p.tile_count, 1024);
  leat_chip_allocation_deinit(&p);
  leat_pef_close(pef);
}

static uint32_t stages_of_tail(int64_t k, uint32_t operations, bool keeps_product) {
  leat_chip_t sn10;
  assert_true(leat_chip_built_in("sn10", &sn10));
  chip_maker_t m;
  chip_maker_begin(&m, 4096);
  const chip_value_t x = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, true, CHIP_DIMS(k));
  const chip_value_t w = chip_maker_symbol(&m, PEF_SYMBOL_PARAMETER, false, CHIP_DIMS(64, k));
  const chip_value_t product = keeps_product ? chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, CHIP_DIMS(64))
                                             : chip_maker_buffer(&m, CHIP_DIMS(64));
  chip_maker_product(&m, 0, x, w, product);
  chip_maker_map(&m, product, NULL, operations, chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, CHIP_DIMS(64)));
  leat_pef_t *pef = chip_maker_end(&m);
  leat_chip_allocation_t a = allocate(&sn10, pef, 4);
  const uint32_t stages = a.stage_count;
  assert_true((a.node_of[0] == a.node_of[1]) == (stages == 1));
  leat_chip_allocation_deinit(&a);
  leat_pef_close(pef);
  return stages;
}

// A tail rides in the units of its product where nobody else reads that, and the tail keeps up: a block of k cycles
// gives 6 vectors, 7 passes for 40 operations each.
static void tails_ride_where_they_keep_up(void **state) {
  (void)state;
  assert_int_equal(stages_of_tail(64, 40, false), 1);
  assert_int_equal(stages_of_tail(41, 40, false), 2);
  assert_int_equal(stages_of_tail(64, 40, true), 2);
}

// A loop of one section loads its program once.
static void programs_stay_in_loops(void **state) {
  (void)state;
  char path[1024];
  (void)snprintf(path, sizeof path, "%s/pef/2.1/loops_train/program.pef", getenv("LEAT_TEST_DATA"));
  leat_pef_t *pef = NULL;
  leat_chip_t sn10;
  leat_chip_plan_t plan;
  assert_ok(leat_pef_open(path, &pef));
  assert_true(leat_chip_built_in("sn10", &sn10));
  assert_ok(leat_chip_plan_make(&sn10, pef, 0, &plan));
  uint32_t loops = 0;
  for (uint32_t i = 0; i < plan.sections.count; ++i) {
    const leat_chip_section_t *section = &plan.sections.data[i];
    assert_true(section->loads == 1);
    assert_true(fabs(section->seconds - section->times * section->time.total - sn10.program_load) < 1e-12);
    loops += section->times == 24;
  }
  assert_true(loops > 3);
  leat_chip_plan_deinit(&plan);
  leat_pef_close(pef);
}

// Of two tiles as high as the record wants, most of the time would be that until all stages work: tiles get thinner.
static void short_sections_get_thin_tiles(void **state) {
  (void)state;
  leat_chip_t sn10;
  assert_true(leat_chip_built_in("sn10", &sn10));
  chip_maker_t m;
  chip_maker_begin(&m, 64);
  chip_value_t value = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, true, CHIP_DIMS(1 << 20));
  for (int i = 0; i < 5; ++i) {
    const chip_value_t next = chip_maker_buffer(&m, CHIP_DIMS(1 << 20));
    chip_maker_map(&m, value, NULL, 1, next);
    value = next;
  }
  chip_maker_map(&m, value, NULL, 1, chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, CHIP_DIMS(1 << 20)));
  leat_pef_t *pef = chip_maker_end(&m);
  leat_chip_allocation_t thin = allocate(&sn10, pef, 4);
  leat_chip_time_t time;
  leat_chip_time_of(&sn10, &thin, &(leat_chip_given_t){0}, &time);
  assert_int_equal(thin.tile_rows, 1);
  assert_true(time.fill < 0.1 * time.stream);
  leat_chip_allocation_deinit(&thin);
  leat_pef_close(pef);
}

// Every request for memory may be refused: nothing is lost then.
static void without_memory_nothing_is_planned(void **state) {
  (void)state;
  leat_chip_t tiny;
  assert_true(leat_chip_built_in("tiny", &tiny));
  leat_pef_t *pef = feed_forward(1024, 2048, true);
  uint64_t refused = 0;
  for (bool planned = false; !planned; ++refused) {
    leat_chip_plan_t plan;
    leat_alloc_fail_after(refused + 1);
    leat_status_t status = leat_chip_plan_make(&tiny, pef, 0, &plan);
    leat_alloc_fail_after(0);
    planned = status == NULL;
    if (planned) leat_chip_plan_deinit(&plan);
    assert_true(planned || leat_status_code(status) == LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
  }
  assert_true(refused > 10);
  leat_pef_close(pef);
}

// Weights stay where they fit; where they do not, they come with every tile, and the section is bound by memory.
static void weights_that_do_not_fit_stream(void **state) {
  (void)state;
  leat_chip_t tiny;
  assert_true(leat_chip_built_in("tiny", &tiny));
  leat_chip_allocation_t small, large;
  leat_pef_t *fits = feed_forward(256, 512, false), *overflows = feed_forward(1024, 2048, false);
  small = allocate(&tiny, fits, 1);
  large = allocate(&tiny, overflows, 1);
  assert_int_equal(small.resident_bytes, 256 * 512 * 2);
  assert_int_equal(large.resident_bytes, 0);
  assert_true(large.memory_bytes >= 1024 * 2048 * 2);
  leat_chip_time_t time;
  leat_chip_time_of(&tiny, &large, &(leat_chip_given_t){0}, &time);
  assert_true(time.weights == 0 && time.total >= time.stream);
  leat_chip_allocation_deinit(&small);
  leat_chip_allocation_deinit(&large);
  leat_pef_close(fits);
  leat_pef_close(overflows);
}

static void what_does_not_fit_is_told(void **state) {
  (void)state;
  leat_chip_t tiny;
  assert_true(leat_chip_built_in("tiny", &tiny));
  chip_maker_t m;
  leat_chip_allocation_t a;
  chip_maker_begin(&m, 64);
  chip_value_t value = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, true, CHIP_DIMS(2048 * 1024));
  const chip_value_t held = chip_maker_buffer(&m, CHIP_DIMS(2048 * 1024));
  chip_maker_map(&m, value, NULL, 1, held);
  chip_maker_map(&m, held, NULL, 1, chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, CHIP_DIMS(2048 * 1024)));
  leat_pef_t *pef = chip_maker_end(&m);
  // Two copies of 4 MiB in PMUs of 64 KiB, and 28 of 32 of these to take.
  assert_fails(
      leat_chip_allocate(&tiny, pef, 0, 1, &a), LEAT_UNSUPPORTED,
      "section 0 (test section) needs 128 PMUs for one row, 100 more than the 28 that 1 of the 1 tiles of tiny");
  leat_pef_close(pef);
  tiny.pcus = 2;
  chip_maker_begin(&m, 64);
  value = chip_maker_symbol(&m, PEF_SYMBOL_INPUT, true, CHIP_DIMS(64));
  for (int i = 0; i < 3; ++i) {
    const chip_value_t next = chip_maker_buffer(&m, CHIP_DIMS(64));
    chip_maker_map(&m, value, NULL, 1, next);
    value = next;
  }
  chip_maker_map(&m, value, NULL, 1, chip_maker_symbol(&m, PEF_SYMBOL_OUTPUT, true, CHIP_DIMS(64)));
  pef = chip_maker_end(&m);
  assert_fails(
      leat_chip_allocate(&tiny, pef, 0, 1, &a), LEAT_UNSUPPORTED,
      "section 0 (test section) has 4 stages and needs a PCU for each, 3 more than the 1 that 1 of the 1 tiles");
  leat_pef_close(pef);
}

// Tiles beyond those of one pipeline share the rows, and the memory.
static void halves_share_the_rows(void **state) {
  (void)state;
  leat_chip_t sn30;
  assert_true(leat_chip_built_in("sn30", &sn30));
  leat_pef_t *pef = feed_forward(1600, 1600, false);
  leat_chip_allocation_t half = allocate(&sn30, pef, 4), whole = allocate(&sn30, pef, 8);
  assert_int_equal(half.parts, 1);
  assert_int_equal(whole.parts, 2);
  assert_int_equal(2 * whole.tile_count, half.tile_count);
  assert_true(leat_chip_memory_cycles(&sn30, &whole) > leat_chip_memory_cycles(&sn30, &half));
  uint32_t tiles;
  assert_ok(leat_chip_check_tiles(&sn30, 0, &tiles));
  assert_int_equal(tiles, 8);
  assert_fails(leat_chip_check_tiles(&sn30, 6, &tiles), LEAT_INVALID_ARGUMENT, "6 tiles of sn30: above 4 it takes");
  assert_fails(leat_chip_check_tiles(&sn30, 16, &tiles), LEAT_INVALID_ARGUMENT, "16 tiles are more than the 8 of sn30");
  leat_chip_allocation_deinit(&half);
  leat_chip_allocation_deinit(&whole);
  leat_pef_close(pef);
}

static void a_chip_of_ones_own(void **state) {
  (void)state;
  leat_chip_t sn10;
  const leat_chip_t half = read_chip("half.yaml");
  assert_true(leat_chip_built_in("sn10", &sn10));
  leat_pef_t *pef = feed_forward(HIDDEN, HIDDEN / 2, false);
  leat_chip_allocation_t a = allocate(&sn10, pef, 4), b = allocate(&half, pef, 4);
  assert_true(b.compute >= 1.9 * a.compute && b.compute <= 2.5 * a.compute);
  assert_true(b.pmus < a.pmus);
  leat_chip_allocation_deinit(&a);
  leat_chip_allocation_deinit(&b);
  leat_pef_close(pef);
}

// --- every file ------------------------------------------------------------------------------------------------------

static void check_edges(const leat_chip_t *chip, const leat_chip_allocation_t *a) {
  uint32_t pmus = 0;
  for (uint32_t i = 0; i < a->edge_count; ++i) {
    const leat_chip_edge_t *edge = &a->edges[i];
    pmus += edge->pmus;
    assert_true(edge->from != LEAT_CHIP_MEMORY || edge->to != LEAT_CHIP_MEMORY);
    assert_true(edge->from == LEAT_CHIP_MEMORY || edge->to == LEAT_CHIP_MEMORY || edge->from < edge->to);
    assert_true(edge->from == LEAT_CHIP_MEMORY || edge->from < a->stage_count);
    assert_true(edge->to == LEAT_CHIP_MEMORY || edge->to < a->stage_count);
    assert_true((edge->depth == 0) == (edge->pmus == 0) && edge->vectors >= 1);
    assert_true(edge->depth * edge->bytes <= edge->pmus * chip->pmu_bytes);
    assert_true(edge->depth != 1 || edge->from == LEAT_CHIP_MEMORY);
    assert_true(edge->vectors <= (double)(edge->pmus * chip->pmu_writes) * a->interval || edge->depth < 2);
  }
  assert_int_equal(pmus, a->pmus);
}

static void check_allocation(const leat_chip_t *chip, const leat_pef_t *pef, const leat_chip_allocation_t *a) {
  const uint64_t tiles = a->tiles_used / a->parts;
  uint32_t pcus = 0;
  for (uint32_t i = 0; i < a->stage_count; ++i) {
    const leat_chip_stage_t *stage = &a->stages[i];
    pcus += stage->pcus;
    assert_true(stage->pcus >= 1 && stage->pcus == stage->along_m * stage->along_n);
    assert_true(stage->cycles <= a->compute && a->compute <= a->interval);
  }
  assert_int_equal(pcus, a->pcus);
  assert_true((double)a->pcus <= chip->pcu_share * (double)(chip->pcus * tiles));
  assert_true((double)a->pmus <= chip->sram_share * (double)(chip->pmus * tiles));
  assert_true(a->tile_rows >= 1);
  assert_true(a->tile_rows * a->tile_count * a->parts >= (int64_t)pef->bodies[a->body].row_count);
  check_edges(chip, a);
}

static uint32_t check_file(const char *path) {
  static const char *const chips[] = {"sn10", "sn30", "tiny"};
  leat_pef_t *pef = NULL;
  uint32_t planned = 0;
  assert_ok(leat_pef_open(path, &pef));
  for (size_t c = 0; c < 3; ++c) {
    leat_chip_t chip;
    leat_chip_plan_t plan;
    assert_true(leat_chip_built_in(chips[c], &chip));
    leat_status_t status = leat_chip_plan_make(&chip, pef, 0, &plan);
    if (status != NULL && (strcmp(chips[c], "tiny") != 0 || leat_status_code(status) != LEAT_UNSUPPORTED))
      fail_msg("%s", leat_status_message(status));
    leat_status_free(status);
    if (status != NULL) continue;
    for (uint32_t b = 0; b < plan.body_count; ++b)
      if (plan.bodies[b].tiles_used > 0) check_allocation(&chip, pef, &plan.bodies[b]);
    assert_true(plan.run_seconds > 0 && plan.sections.count == pef->call_count);
    leat_chip_plan_deinit(&plan);
    ++planned;
  }
  leat_pef_close(pef);
  return planned;
}

// All golden programs are planned for the chips of the vendor, many for the tiny one.
static void allocations_keep_the_rules(void **state) {
  (void)state;
  static const char *const versions[] = {"1.0", "2.0", "2.1"};
  uint32_t planned = 0, files = 0;
  for (size_t v = 0; v < 3; ++v) {
    char folder[512], path[1024];
    (void)snprintf(folder, sizeof folder, "%s/pef/%s", getenv("LEAT_TEST_DATA"), versions[v]);
    struct dirent **entries;
    const int count = scandir(folder, &entries, NULL, alphasort);
    assert_true(count > 2);
    for (int i = 0; i < count; ++i) {
      (void)snprintf(path, sizeof path, "%s/%s/program.pef", folder, entries[i]->d_name);
      free(entries[i]);
      FILE *file = fopen(path, "r");
      if (file == NULL) continue;
      (void)fclose(file);
      planned += check_file(path);
      ++files;
    }
    free(entries);
  }
  assert_true(files > 30 && planned > 2 * files);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_shard_of_ffn0_exactly),
      cmocka_unit_test(the_first_section),
      cmocka_unit_test(the_second_section),
      cmocka_unit_test(the_third_section),
      cmocka_unit_test(the_fourth_section),
      cmocka_unit_test(measured_relus),
      cmocka_unit_test(what_waits_has_more_copies),
      cmocka_unit_test(tails_ride_where_they_keep_up),
      cmocka_unit_test(programs_stay_in_loops),
      cmocka_unit_test(short_sections_get_thin_tiles),
      cmocka_unit_test(without_memory_nothing_is_planned),
      cmocka_unit_test(weights_that_do_not_fit_stream),
      cmocka_unit_test(what_does_not_fit_is_told),
      cmocka_unit_test(halves_share_the_rows),
      cmocka_unit_test(a_chip_of_ones_own),
      cmocka_unit_test(allocations_keep_the_rules),
  };
  return cmocka_run_group_tests(tests, needs_data, NULL);
}
