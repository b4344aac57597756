// SPDX-License-Identifier: Apache-2.0
// The engine `compare` with an engine in the place of ref that is wrong in one element: a run says which, and keeps
// what native gives. And with one in the place of native that does two stages as one, and is wrong then.
#include "check.h"
#include "native/engine.h"
extern const leat_run_engine_t joining_engine;

#define leat_ref_engine other_engine
#define leat_native_engine joining_engine
#include "driver/compare.c"
#undef leat_ref_engine
#undef leat_native_engine

#include <math.h>
#include <unistd.h>

#include "native/engine.h"
#include "pef_demo.h"
#include "run/program.h"

// --- an engine that is native, and may do the two stages of the demo as one ------------------------------------------

static bool joins;
static const float *wrong_as_one;  // of the same element as below; NULL: it is right

static leat_run_stage_t joined_stages[2];  // of native
static const char as_one;                  // the plan of both

static void run_joining(const void *plan, const leat_run_tile_t *tile) {
  if (plan != &as_one) {
    const leat_run_stage_t *stage = plan;
    stage->run(stage->plan, tile);
    return;
  }
  for (int i = 0; i < 2; i++) joined_stages[i].run(joined_stages[i].plan, tile);
  memset(tile->scratch + tile->buffers[0], 0xff, sizeof(float));  // what nobody behind them reads
  if (wrong_as_one != NULL && tile->r0 <= 2 && 2 < tile->r0 + tile->rows)
    memcpy(tile->arguments[PEF_DEMO_Y] + (2 * 5 + 3) * sizeof(float), wrong_as_one, sizeof(float));
}

static leat_status_t prepare_joining(void *state, leat_run_stage_t *stage, const pef_body_t *body,
                                     const leat_run_space_t *space) {
  LEAT_TRY(leat_native_engine.prepare(state, stage, body, space));
  leat_run_stage_t *kept = &joined_stages[stage->file->kind == PEF_STAGE_MAP];
  *kept = *stage;
  stage->run = run_joining;
  stage->plan = kept;
  if (!joins || stage->file->kind == PEF_STAGE_MAP) return NULL;
  stage->joined = &as_one;
  stage->joined_count = 2;
  return NULL;
}

// --- an engine that is native, but for the value of one element of y ------------------------------------------------

static const float *wrong_value;  // NULL: it is right

static void run_wrong(const void *plan, const leat_run_tile_t *tile) {
  const leat_run_stage_t *right = plan;
  right->run(right->plan, tile);
  const bool is_there = right->file->kind == PEF_STAGE_MAP && tile->r0 <= 2 && 2 < tile->r0 + tile->rows;
  if (wrong_value == NULL || !is_there) return;
  memcpy(tile->arguments[PEF_DEMO_Y] + (2 * 5 + 3) * sizeof(float), wrong_value, sizeof(float));
}

static leat_status_t prepare_wrong(void *state, leat_run_stage_t *stage, const pef_body_t *body,
                                   const leat_run_space_t *space) {
  static leat_run_stage_t right[2];  // of the demo, one a kind
  LEAT_TRY(leat_native_engine.prepare(state, stage, body, space));
  leat_run_stage_t *kept = &right[stage->file->kind == PEF_STAGE_MAP];
  *kept = *stage;
  stage->run = run_wrong;
  stage->plan = kept;
  return NULL;
}

static leat_status_t create_native(const leat_pef_t *pef, leat_arena_t *arena, const char *isa, void **out_state) {
  return leat_native_engine.create(pef, arena, isa, out_state);
}
static void destroy_native(void *state) { leat_native_engine.destroy(state); }
static leat_status_t lay_out_native(void *state, const pef_body_t *body, uint64_t *out_buffers, uint64_t *out_bytes) {
  return leat_native_engine.lay_out(state, body, out_buffers, out_bytes);
}

static void load_native(const void *state, uint32_t class_, uint32_t dtype, void *out, const void *in, int64_t stride,
                        int64_t n) {
  leat_native_engine.load(state, class_, dtype, out, in, stride, n);
}

static leat_arch_level_t level_native(const void *state) { return leat_native_engine.level(state); }

const leat_run_engine_t other_engine = {.name = "other",
                                        .create = create_native,
                                        .destroy = destroy_native,
                                        .lay_out = lay_out_native,
                                        .prepare = prepare_wrong};
const leat_run_engine_t joining_engine = {.name = "joining",
                                          .create = create_native,
                                          .destroy = destroy_native,
                                          .lay_out = lay_out_native,
                                          .prepare = prepare_joining,
                                          .load = load_native,
                                          .level = level_native};

// --- runs ------------------------------------------------------------------------------------------------------------

// relu(x W) is k + 1 at [k, n]. Returns what the run says.
static leat_status_t run_demo(uint32_t threads, float out_y[20]) {
  static const char path[] = "compare_test.pef";
  static const leat_run_engine_t *const list[] = {&leat_compare_engine, NULL};
  const pef_demo_t demo = {.rows = 4, .in = 1, .out = 5, .tile_rows_max = 3};
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, &demo);
  assert_ok(leat_pef_write(writer, path));
  leat_pef_writer_destroy(writer);
  leat_load_options_t options = leat_load_options_default();
  options.thread_count = threads;
  leat_program_t *program = NULL;
  assert_ok(leat_run_load(path, &options, list, &program));
  unlink(path);
  float x[4] = {1, 2, 3, 4}, w[5] = {1, 1, 1, 1, 1};
  assert_ok(leat_program_write(program, PEF_DEMO_X, x, sizeof x));
  assert_ok(leat_program_write(program, PEF_DEMO_W, w, sizeof w));
  leat_status_t status = leat_program_run(program, LEAT_SECTIONS_FWD);
  assert_ok(leat_program_read(program, PEF_DEMO_Y, out_y, 20 * sizeof *out_y));
  leat_program_destroy(program);
  return status;
}

static void engines_that_agree_run(void **state) {
  (void)state;
  float y[20];
  wrong_value = NULL;
  for (uint32_t threads = 1; threads <= 2; threads++) {
    assert_ok(run_demo(threads, y));
    for (int i = 0; i < 20; i++) assert_true(y[i] == (float)(i / 5 + 1));
  }
}

static void the_last_bit_of_one_element_is_found_and_named(void **state) {
  (void)state;
  float y[20], wrong = nextafterf(3.0f, 4.0f);
  wrong_value = &wrong;
  assert_fails(run_demo(1, y), LEAT_INTERNAL,
               "stage 1 (map, demo relu): element [2, 3] of operand 2 (f32) in its tile is 0x40400000 on native, "
               "0x40400001 on ref");
  for (int i = 0; i < 20; i++) assert_true(y[i] == (float)(i / 5 + 1));
}

static void a_tile_counts_its_own_rows(void **state) {
  (void)state;
  float y[20], wrong = -3.0f;
  wrong_value = &wrong;
  assert_fails(run_demo(2, y), LEAT_INTERNAL, "element [0, 3] of operand 2 (f32) in its tile is 0x40400000");
}

static void a_nan_is_not_a_number(void **state) {
  (void)state;
  float y[20], wrong = NAN;
  wrong_value = &wrong;
  assert_fails(run_demo(1, y), LEAT_INTERNAL, "0x7fc00000 on ref");
}

static void stages_as_one_are_held_against_them_one_by_one(void **state) {
  (void)state;
  float y[20], wrong = nextafterf(3.0f, 4.0f);
  joins = true;
  wrong_value = NULL;
  for (uint32_t threads = 1; threads <= 2; threads++) {
    wrong_as_one = NULL;
    assert_ok(run_demo(threads, y));
    wrong_as_one = &wrong;
    assert_fails(run_demo(threads, y), LEAT_INTERNAL, "is 0x40400001 on native, 0x40400000 on native stage by stage");
    for (int i = 0; i < 20; i++) assert_true(y[i] == (float)(i / 5 + 1));
  }
  joins = false;
}

static void the_two_engines_are_held_against_each_other_where_stages_are_one(void **state) {
  (void)state;
  float y[20], wrong = nextafterf(3.0f, 4.0f);
  joins = true;
  wrong_as_one = NULL;
  wrong_value = &wrong;
  assert_fails(run_demo(1, y), LEAT_INTERNAL, "0x40400001 on ref");
  joins = false;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(engines_that_agree_run),
      cmocka_unit_test(the_last_bit_of_one_element_is_found_and_named),
      cmocka_unit_test(a_tile_counts_its_own_rows),
      cmocka_unit_test(a_nan_is_not_a_number),
      cmocka_unit_test(stages_as_one_are_held_against_them_one_by_one),
      cmocka_unit_test(the_two_engines_are_held_against_each_other_where_stages_are_one)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
