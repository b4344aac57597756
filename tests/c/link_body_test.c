// SPDX-License-Identifier: Apache-2.0
// A unit as the body of a loop, and loops of units: what is linked is legal and computes, bit for bit, what its calls
// compute one by one; what a body prepares is made once, before the loop.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "leat/runtime.h"
#include "link/link.h"
#include "loop_maker.h"
#include "pef/flight.h"
#include "pef/legal.h"
#include "pef/pef_scalar.h"

enum { TRIPS = 6, PART = LOOP_PART, SQUARE = LOOP_COLUMNS / LOOP_ROWS };

static const char path[] = "link_body_test.pef";

// --- bodies ----------------------------------------------------------------------------------------------------------

enum { X, H, W, NEXT };  // symbols of a cell

// NEXT = tanh(X + H k), k being 2 W, which is prepared. The product is a temporary; both lie in the arena of the unit.
static leat_pef_t *cell(void) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 1),
                       h = loop_symbol(writer, "h", PEF_SYMBOL_INPUT, 1),
                       w = loop_symbol(writer, "w", PEF_SYMBOL_PARAMETER, SQUARE),
                       next = loop_symbol(writer, "next", PEF_SYMBOL_INTERNAL, 1);
  pef_argument_t kept = loop_arena(0, SQUARE), product = loop_arena(SQUARE, 1);
  const uint32_t twice = loop_sum_body(writer, PEF_SCALAR_NEG, false);
  for (uint32_t i = 0; i < SQUARE; ++i) {  // part by part
    loop_call(writer, PEF_PREPARE, twice, (const pef_argument_t[]){w, w, kept}, 3);
    for (uint32_t a = 0; a < 3 && i != 0; ++a) loop_move(writer, a, PEF_NONE, i, 0);
  }
  LOOP_CALL(writer, loop_product_body(writer, false), h, kept, product);
  LOOP_CALL(writer, loop_sum_body(writer, PEF_SCALAR_TANH, false), product, x, next);
  leat_pef_set_info(writer, &(pef_info_t){.arena_bytes = (SQUARE + 1) * PART});
  assert_ok(leat_flight_plan(writer));
  return loop_open(writer);
}

// --- programs --------------------------------------------------------------------------------------------------------

static leat_link_place_t fixed(pef_argument_t whole) { return (leat_link_place_t){.whole = whole}; }
static leat_link_place_t stack(pef_argument_t whole, int64_t first, int64_t step) {
  return (leat_link_place_t){.whole = whole, .first = first * PART, .step = step * PART};
}

// A loop of cells around which is what the emitter adds. `table`: a weight a trip. `backwards`: from the last x on.
static leat_pef_t *linked(bool table, bool backwards) {
  static const char *const names[TRIPS] = {"w0", "w1", "w2", "w3", "w4", "w5"};
  leat_pef_writer_t *writer = leat_pef_writer_create();
  leat_pef_t *unit = cell();
  pef_argument_t weights[TRIPS];
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, TRIPS),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, TRIPS + 1),
                       h0 = loop_symbol(writer, "h0", PEF_SYMBOL_STATE, 1), h = loop_arena(0, TRIPS + 1);
  for (uint32_t i = 0; i < (table ? TRIPS : 1); ++i)
    weights[i] = loop_symbol(writer, names[i], PEF_SYMBOL_PARAMETER, SQUARE);
  leat_link_place_t places[] = {[X] = stack(x, backwards ? TRIPS - 1 : 0, backwards ? -1 : 1),
                                [H] = stack(h, 0, 1),
                                [W] = fixed(weights[0]),
                                [NEXT] = stack(h, 1, 1)};
  if (table) places[W].places = weights;
  leat_link_body_t body = {.pef = unit, .places = places, .trips = TRIPS, .stream_step = 1, .name = "cells"};
  uint64_t kept, temporary;
  assert_ok(leat_link_body_memory(&body, &kept, &temporary));
  assert_int_equal(kept, (table ? TRIPS : 1) * SQUARE * PART);
  assert_int_equal(temporary, PART);
  body.kept_offset = (TRIPS + 1) * PART;
  body.temporary_offset = body.kept_offset + kept;
  pef_info_t info = {.arena_bytes = body.temporary_offset + temporary};
  LOOP_CALL(writer, loop_copy_body(writer, LOOP_ROWS), h0, h);
  assert_ok(leat_link_body(&body, writer, &info));
  LOOP_CALL(writer, loop_copy_body(writer, (int64_t)(TRIPS + 1) * LOOP_ROWS), h, y);
  assert_true(info.run_flops > TRIPS * 1e6);
  leat_pef_set_info(writer, &info);
  assert_ok(leat_flight_plan(writer));
  leat_pef_close(unit);
  return loop_open(writer);
}

static leat_program_t *ran(const leat_pef_t *pef, const char *engine, uint32_t threads) {
  leat_load_options_t options = leat_load_options_default();
  leat_program_t *program = NULL;
  uint8_t *data = NULL;
  size_t bytes = 0;
  uint32_t random = 7;
  options.engine = engine;
  options.thread_count = threads;
  assert_ok(leat_pef_encode(pef, &data, &bytes));
  assert_ok(leat_file_write_atomic(path, data, bytes));
  leat_free(data);
  assert_ok(leat_program_load(path, &options, &program));
  unlink(path);
  for (uint32_t s = 0; s < leat_program_symbol_count(program); ++s) {
    float *values = leat_program_data(program, s);
    for (size_t i = 0; i < pef->symbols[s].bytes / 4; ++i) {
      random = random * 1664525u + 1013904223u;
      values[i] = (float)(random >> 8) / 0x1p23f - 1;
    }
  }
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  return program;
}

// Takes the file.
static void check_file(leat_pef_t *pef) {
  leat_pef_t *straight = loop_open(loop_unroll(pef));
  leat_program_t *expected = ran(straight, "native", 1);
  assert_ok(leat_legal_check(pef));
  for (uint32_t threads = 1; threads < 4; ++threads) {
    leat_program_t *program = ran(pef, threads == 3 ? "ref" : "native", threads);
    for (uint32_t s = 0; s < pef->symbol_count; ++s) {
      if (memcmp(leat_program_data(program, s), leat_program_data(expected, s), pef->symbols[s].bytes) != 0)
        fail_msg("\"%s\" is another one", pef->strings + pef->symbols[s].name);
    }
    leat_program_destroy(program);
  }
  leat_program_destroy(expected);
  leat_pef_close(straight);
  leat_pef_close(pef);
}

static void what_a_body_prepares_is_made_before_the_loop(void **state) {
  (void)state;
  leat_pef_t *pef = linked(false, false);
  assert_int_equal(pef->loop_count, 1);
  assert_int_equal(pef->calls[1].type, PEF_PREPARE);
  assert_int_equal(pef->loops[0].call_first, 1 + SQUARE);
  assert_int_equal(pef->loops[0].call_count, 2);
  assert_int_equal(pef->loops[0].trips, TRIPS);
  check_file(pef);
}

static void a_body_may_go_backwards(void **state) {
  (void)state;
  check_file(linked(false, true));
}

// Each trip has prepared its own.
static void what_hangs_on_a_trip_is_prepared_in_a_loop(void **state) {
  (void)state;
  leat_pef_t *pef = linked(true, false);
  assert_int_equal(pef->loop_count, 2);
  assert_int_equal(pef->loops[0].call_count, SQUARE);
  assert_int_equal(pef->place_count, 0 + SQUARE * 2 * TRIPS);
  check_file(pef);
}

// --- loops within loops ----------------------------------------------------------------------------------------------

// A unit that is a loop itself: sum = sum of three parts of x.
static leat_pef_t *summing(void) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 3),
                       zero = loop_symbol(writer, "zero", PEF_SYMBOL_STATE, 1),
                       sum = loop_symbol(writer, "sum", PEF_SYMBOL_INTERNAL, 1);
  LOOP_CALL(writer, loop_copy_body(writer, LOOP_ROWS), zero, sum);
  const uint32_t loop = loop_begin(writer, 3, 0);
  LOOP_CALL(writer, loop_sum_body(writer, PEF_SCALAR_NEG, true), x, sum);
  loop_move(writer, 0, loop, 0, 1);
  leat_pef_end_loop(writer);
  leat_pef_set_info(writer, &(pef_info_t){0});
  assert_ok(leat_flight_plan(writer));
  return loop_open(writer);
}

static void a_body_may_have_loops(void **state) {
  (void)state;
  leat_pef_writer_t *writer = leat_pef_writer_create();
  leat_pef_t *unit = summing();
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 3 * TRIPS),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, TRIPS),
                       zero = loop_symbol(writer, "zero", PEF_SYMBOL_STATE, 1), sums = loop_arena(0, TRIPS);
  const leat_link_place_t places[] = {stack(x, 0, 3), fixed(zero), stack(sums, 0, 1)};
  const leat_link_body_t body = {.pef = unit, .places = places, .trips = TRIPS, .name = "rows"};
  pef_info_t info = {.arena_bytes = TRIPS * PART};
  assert_ok(leat_link_body(&body, writer, &info));
  LOOP_CALL(writer, loop_copy_body(writer, (int64_t)TRIPS * LOOP_ROWS), sums, y);
  leat_pef_set_info(writer, &info);
  assert_ok(leat_flight_plan(writer));
  leat_pef_close(unit);
  leat_pef_t *pef = loop_open(writer);
  assert_int_equal(pef->loop_count, 2);
  check_file(pef);
}

// A body of two loops, one within the other: 2 trips of a copy, 3 sums, a copy.
static void a_body_may_have_loops_within_loops(void **state) {
  (void)state;
  leat_pef_writer_t *writer = leat_pef_writer_create();
  const loop_program_t *nested = loop_programs;
  while (strcmp(nested->name, "nested") != 0) ++nested;
  leat_pef_t *unit = loop_program(nested, 2);
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 6 * TRIPS),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, 2 * TRIPS),
                       zero = loop_symbol(writer, "zero", PEF_SYMBOL_STATE, 1);
  const leat_link_place_t places[] = {stack(x, 0, 6), stack(y, 0, 2), fixed(zero)};
  leat_link_body_t body = {.pef = unit, .places = places, .trips = TRIPS, .name = "tables"};
  uint64_t kept, temporary;
  assert_ok(leat_link_body_memory(&body, &kept, &temporary));
  pef_info_t info = {.arena_bytes = kept + temporary};
  body.temporary_offset = kept;
  assert_ok(leat_link_body(&body, writer, &info));
  assert_true(info.run_flops == TRIPS * 2 * (1 + 3 + 1) * 1e6);
  leat_pef_set_info(writer, &info);
  assert_ok(leat_flight_plan(writer));
  leat_pef_close(unit);
  leat_pef_t *pef = loop_open(writer);
  assert_int_equal(pef->loop_count, 3);
  check_file(pef);
}

static const char *call_name(void *user, uint32_t unit, const char *name, char *buffer, size_t buffer_bytes) {
  (void)user;
  snprintf(buffer, buffer_bytes, "%s %u", name, unit);
  return buffer;
}

// Units that have loops, twice the same one: their memory between them lives through the loops.
static void units_keep_their_loops(void **state) {
  (void)state;
  leat_pef_writer_t *writer = leat_pef_writer_create();
  leat_pef_t *unit = summing(), *last = cell();
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 3),
                       z = loop_symbol(writer, "z", PEF_SYMBOL_INPUT, 3);
  (void)loop_symbol(writer, "zero", PEF_SYMBOL_STATE, 1);
  (void)loop_symbol(writer, "w", PEF_SYMBOL_PARAMETER, SQUARE);
  (void)loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, 1);
  leat_pef_t view;
  leat_pef_view(writer, &view);
  const leat_link_target_t first[] = {
      {LEAT_LINK_SYMBOL, x.symbol, 0}, {LEAT_LINK_SYMBOL, 2, 0}, {LEAT_LINK_VALUE, 0, 0}};
  const leat_link_target_t second[] = {
      {LEAT_LINK_SYMBOL, z.symbol, 0}, {LEAT_LINK_SYMBOL, 2, 0}, {LEAT_LINK_VALUE, 1, 0}};
  const leat_link_target_t third[] = {
      {LEAT_LINK_VALUE, 0, 0}, {LEAT_LINK_VALUE, 1, 0}, {LEAT_LINK_SYMBOL, 3, 0}, {LEAT_LINK_SYMBOL, 4, 0}};
  const leat_link_unit_t units[] = {{.pef = unit, .like = 0, .targets = first},
                                    {.pef = unit, .like = 0, .targets = second},
                                    {.pef = last, .like = 2, .targets = third}};
  const leat_link_program_t program = {.units = units,
                                       .unit_count = 3,
                                       .symbols = view.symbols,
                                       .symbol_count = view.symbol_count,
                                       .value_bytes = (const uint64_t[]){PART, PART},
                                       .value_count = 2,
                                       .call_name = call_name};
  pef_info_t info = {0};
  assert_ok(leat_link(&program, writer, &info));
  leat_pef_set_info(writer, &info);
  leat_pef_close(unit);
  leat_pef_close(last);
  leat_pef_t *pef = loop_open(writer);
  assert_int_equal(pef->loop_count, 2);
  assert_string_equal(pef->strings + pef->calls[pef->loops[1].call_first].name, "section 1");
  check_file(pef);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_a_body_prepares_is_made_before_the_loop), cmocka_unit_test(a_body_may_go_backwards),
      cmocka_unit_test(what_hangs_on_a_trip_is_prepared_in_a_loop),   cmocka_unit_test(a_body_may_have_loops),
      cmocka_unit_test(a_body_may_have_loops_within_loops),           cmocka_unit_test(units_keep_their_loops),
  };
  return cmocka_run_group_tests_name("link_body", tests, NULL, NULL);
}
