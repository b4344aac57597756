// SPDX-License-Identifier: Apache-2.0
// Loops of a file: what they compute is, bit for bit, what the same calls compute one by one, on every engine and for
// any number of threads; what a file may not say of them is refused, however large the numbers.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "leat/runtime.h"
#include "loop_maker.h"
#include "pef/flow.h"
#include "pef/legal.h"
#include "pef/pef_scalar.h"

static const char path[] = "pef_loop_test.pef";

// --- runs ------------------------------------------------------------------------------------------------------------

static leat_program_t *loaded(leat_pef_writer_t *writer, const char *engine, uint32_t threads) {
  leat_load_options_t options = leat_load_options_default();
  leat_program_t *program = NULL;
  options.engine = engine;
  options.thread_count = threads;
  assert_ok(leat_pef_write(writer, path));
  leat_pef_writer_destroy(writer);
  assert_ok(leat_program_load(path, &options, &program));
  unlink(path);
  return program;
}

static leat_program_t *load_program(const loop_program_t *of, const char *engine, uint32_t threads) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  of->build(writer, of->trips);
  return loaded(writer, engine, threads);
}

static void fill_symbols(leat_program_t *program) {
  uint32_t random = 1;
  for (uint32_t s = 0; s < leat_program_symbol_count(program); ++s) {
    leat_symbol_info_t info;
    assert_ok(leat_program_symbol_info(program, s, &info));
    float *data = calloc(1, info.data_bytes);
    for (size_t i = 0; i < info.data_bytes / 4; ++i) {
      random = random * 1664525u + 1013904223u;
      data[i] = (float)(random >> 8) / 0x1p23f - 1;
    }
    assert_ok(leat_program_write(program, s, data, info.data_bytes));
    free(data);
  }
}

static void expect_equal(leat_program_t *a, leat_program_t *b, const char *what) {
  for (uint32_t s = 0; s < leat_program_symbol_count(a); ++s) {
    leat_symbol_info_t info;
    assert_ok(leat_program_symbol_info(a, s, &info));
    if (memcmp(leat_program_data(a, s), leat_program_data(b, s), info.data_bytes) != 0)
      fail_msg("%s: \"%s\" is another one", what, info.name);
  }
}

// What the calls of the file compute when they are written out.
static leat_program_t *written_out(const loop_program_t *of) {
  leat_pef_t *pef = loop_program(of, of->trips);
  leat_program_t *program = loaded(loop_unroll(pef), "native", 1);
  leat_pef_close(pef);
  fill_symbols(program);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  return program;
}

static void loops_are_their_calls_written_out(void **state) {
  (void)state;
  static const struct {
    const char *engine;
    uint32_t threads;
  } runs[] = {{"native", 1}, {"native", 2}, {"native", 3}, {"ref", 1}, {"ref", 2}, {"compare", 2}};
  for (uint32_t p = 0; p < loop_program_count; ++p) {
    leat_program_t *expected = written_out(&loop_programs[p]);
    for (uint32_t r = 0; r < sizeof runs / sizeof *runs; ++r) {
      leat_program_t *program = load_program(&loop_programs[p], runs[r].engine, runs[r].threads);
      fill_symbols(program);
      assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
      assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
      expect_equal(program, expected, loop_programs[p].name);
      leat_program_destroy(program);
    }
    leat_program_destroy(expected);
  }
}

// Calls of loops too small to share, between calls that are shared: every worker has to meet where the others do.
static void small_calls_stay_with_one_worker(void **state) {
  (void)state;
  for (uint32_t p = 0; p < loop_program_count; ++p) {
    leat_program_t *expected = written_out(&loop_programs[p]);
    for (uint32_t threads = 2; threads < 4; ++threads) {
      leat_pef_writer_t *writer = leat_pef_writer_create();
      leat_pef_t view;
      loop_programs[p].build(writer, loop_programs[p].trips);
      leat_pef_view(writer, &view);
      for (uint32_t c = 0; c < view.call_count; ++c) ((pef_call_t *)view.calls)[c].flops = 1e8;
      for (uint32_t c = view.loops[0].call_first; c < view.loops[0].call_first + view.loops[0].call_count; ++c)
        ((pef_call_t *)view.calls)[c].flops = 1;
      leat_program_t *program = loaded(writer, "native", threads);
      fill_symbols(program);
      for (uint32_t run = 0; run < 2; ++run) assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
      expect_equal(program, expected, loop_programs[p].name);
      leat_program_destroy(program);
    }
    leat_program_destroy(expected);
  }
}

static const loop_program_t *named(const char *name) {
  for (uint32_t p = 0; p < loop_program_count; ++p) {
    if (strcmp(loop_programs[p].name, name) == 0) return &loop_programs[p];
  }
  fail_msg("there is no program '%s'", name);
  return NULL;
}

// A run that is timed, and one that looks for faults, are runs.
static void profile_and_faults_see_every_trip(void **state) {
  (void)state;
  const loop_program_t *nested = named("nested");
  leat_program_t *expected = written_out(nested);
  leat_program_t *program = load_program(nested, "native", 2);
  leat_fault_t faults[2];
  char *report = NULL;
  fill_symbols(program);
  assert_ok(leat_program_set_profile(program, 1));
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  assert_ok(leat_program_report(program, &report));
  assert_non_null(strstr(report, "\"times\":150"));  // 50 times 3 trips
  assert_non_null(
      strstr(report, "\"loops\":[{\"name\":\"loop\",\"first\":0,\"sections\":3,\"trips\":50,\"batches\":false},{"));
  leat_string_free(report);
  expect_equal(program, expected, "profile");
  fill_symbols(program);
  assert_ok(leat_program_find_faults(program, LEAT_SECTIONS_FWD, faults));
  expect_equal(program, expected, "faults");
  leat_program_destroy(program);
  leat_program_destroy(expected);
}

static void types_of_a_loop_run_together(void **state) {
  (void)state;
  leat_program_t *program = load_program(named("micro-batches"), "native", 1);
  leat_fault_t faults[2];
  static const char message[] =
      "the section types fwd, bckwd only run together: the loop \"loop\" repeats them in turn, 20";
  assert_fails(leat_program_run(program, LEAT_SECTIONS_FWD), LEAT_INVALID_ARGUMENT, message);
  assert_fails(leat_program_run(program, LEAT_SECTIONS_BCKWD | LEAT_SECTIONS_OPT), LEAT_INVALID_ARGUMENT, message);
  assert_fails(leat_program_find_faults(program, LEAT_SECTIONS_FWD, faults), LEAT_INVALID_ARGUMENT, message);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_OPT));
  leat_program_destroy(program);
}

static void forward_may_run_alone(void **state) {
  (void)state;
  leat_program_t *expected = written_out(named("forward alone"));
  for (uint32_t threads = 1; threads < 4; ++threads) {
    leat_program_t *program = load_program(named("forward alone"), "native", threads);
    const char *message = "repeats them in turn, 20 times; run all of them at once, or fwd alone";
    fill_symbols(program);
    assert_ok(leat_program_run(program, LEAT_SECTIONS_FWD));
    assert_fails(leat_program_run(program, LEAT_SECTIONS_BCKWD), LEAT_INVALID_ARGUMENT, message);
    assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
    assert_ok(leat_program_run(program, LEAT_SECTIONS_FWD));
    assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
    expect_equal(program, expected, "forward alone");
    assert_int_equal(leat_program_forward_types(program), LEAT_SECTIONS_FWD | LEAT_SECTIONS_BCKWD);
    leat_program_destroy(program);
  }
  leat_program_destroy(expected);
}

static void marked_loops_run_type_by_type(void **state) {
  (void)state;
  leat_program_t *expected = written_out(named("apart"));
  for (uint32_t threads = 1; threads < 4; ++threads) {
    leat_program_t *program = load_program(named("apart"), "native", threads);
    fill_symbols(program);
    assert_ok(leat_program_run(program, LEAT_SECTIONS_FWD));
    assert_ok(leat_program_run(program, LEAT_SECTIONS_BCKWD));
    expect_equal(program, expected, "apart");
    leat_program_destroy(program);
  }
  leat_program_destroy(expected);
}

static void sections_of_a_loop_run_together(void **state) {
  (void)state;
  leat_program_t *expected = written_out(named("nested")), *program = load_program(named("nested"), "native", 1);
  static const uint32_t all[] = {0, 1, 2}, some[] = {0, 1}, twice[] = {0, 1, 2, 0, 1, 2};
  fill_symbols(program);
  assert_fails(leat_program_run_sections(program, some, 2), LEAT_INVALID_ARGUMENT, "ask for 0 to 2, in this order");
  assert_fails(leat_program_run_sections(program, all + 1, 2), LEAT_INVALID_ARGUMENT, "section 1 is one of a loop");
  assert_ok(leat_program_run_sections(program, all, 3));
  expect_equal(program, expected, "sections");
  assert_ok(leat_program_run_sections(program, twice, 6));
  expect_equal(program, expected, "sections");
  leat_program_destroy(program);
  leat_program_destroy(expected);
}

// --- what is refused -------------------------------------------------------------------------------------------------

// The tables of a running sum over three steps, to be broken.
typedef struct broken_s {
  pef_loop_t *loops;
  pef_move_t *moves;
  pef_argument_t *places;
} broken_t;

static void many_trips(broken_t *b) { b->loops[0].trips = UINT32_MAX; }
static void no_trips(broken_t *b) { b->loops[0].trips = 0; }
static void most_trips(broken_t *b) { b->loops[0].trips = PEF_MAX_TRIPS; }
static void one_trip_more(broken_t *b) { b->loops[0].trips++; }
static void no_calls(broken_t *b) { b->loops[0].call_count = 0; }
static void all_calls(broken_t *b) { b->loops[0].call_count = UINT32_MAX; }
static void far_calls(broken_t *b) { b->loops[0].call_first = UINT32_MAX; }
static void flags(broken_t *b) { b->loops[0].flags = 128; }
static void moves_with_batches(broken_t *b) { b->loops[0].flags = PEF_LOOP_APART | PEF_LOOP_BATCHES; }
static void both(broken_t *b) { b->loops[0].flags = PEF_LOOP_APART | PEF_LOOP_FWD_ALONE; }
static void name(broken_t *b) { b->loops[0].name = 1u << 30; }
static void far_step(broken_t *b) { b->moves[0].step = INT64_MAX; }
static void far_back(broken_t *b) { b->moves[0].step = INT64_MIN; }
static void wraps(broken_t *b) { b->moves[0].step = INT64_C(1) << 62; }  // 4 steps are 0
static void first(broken_t *b) { b->moves[0].first = INT64_MAX; }
static void before(broken_t *b) { b->moves[0].first = -LOOP_PART; }
static void backwards(broken_t *b) { b->moves[0].step = -LOOP_PART; }
static void further(broken_t *b) { b->moves[2].first += LOOP_PART; }
static void fraction(broken_t *b) { b->moves[0].step = 2; }
static void other_loop(broken_t *b) { b->moves[0].loop = 7; }
static void no_loop(broken_t *b) { b->moves[0].loop = PEF_NONE; }
static void other_argument(broken_t *b) { b->moves[0].argument = UINT32_MAX; }
static void argument_outside(broken_t *b) { b->moves[0].argument = 0; }
static void order(broken_t *b) { b->moves[1].argument = b->moves[0].argument; }
static void reserved(broken_t *b) { b->moves[0].reserved0 = 1; }
static void no_places(broken_t *b) { b->moves[0].place_first = 0; }

static const struct {
  void (*change)(broken_t *b);
  const char *message;
} broken[] = {
    {many_trips, "4294967295 trips"},
    {no_trips, "0 trips"},
    {most_trips, "in some trip it begins outside"},
    {one_trip_more, "its operands reach byte"},
    {no_calls, "calls 1 + 0 of"},
    {all_calls, "calls 1 + 4294967295 of"},
    {far_calls, "calls 4294967295 + 1 of"},
    {flags, "flags 0x80 do not exist"},
    {moves_with_batches, "a loop over batches has flags 0x3, and its streams step by 3"},
    {both, "all its types may run apart, and FWD alone"},
    {name, "name is string"},
    {far_step, "in some trip it begins outside"},
    {far_back, "in some trip it begins outside"},
    {wraps, "in some trip it begins outside"},
    {first, "in some trip it begins outside"},
    {before, "in some trip it begins outside"},
    {backwards, "in some trip it begins outside"},
    {further, "its operands reach byte"},
    {fraction, "it moves by a part of 4 bytes"},
    {other_loop, "loop 7 of 1"},
    {no_loop, "it has a step and no loop"},
    {other_argument, "argument 4294967295 of"},
    {argument_outside, "is of call 0, which is not in loop 0"},
    {order, "move 1 is out of order"},
    {reserved, "reserved bytes are not zero"},
    {no_places, "it has places, and a step"},
};

static void what_cannot_be_is_refused(void **state) {
  (void)state;
  const loop_program_t *sum = named("running sum");
  for (uint32_t i = 0; i < sizeof broken / sizeof *broken; ++i) {
    leat_pef_writer_t *writer = leat_pef_writer_create();
    leat_pef_t view;
    uint8_t *data = NULL;
    size_t bytes = 0;
    leat_pef_t *pef = NULL;
    sum->build(writer, 3);
    leat_pef_view(writer, &view);
    broken_t tables = {(pef_loop_t *)view.loops, (pef_move_t *)view.moves, (pef_argument_t *)view.places};
    broken[i].change(&tables);
    assert_ok(leat_pef_write_memory(writer, &data, &bytes));
    assert_fails(leat_pef_open_memory(data, bytes, "broken", &pef), LEAT_CORRUPT, broken[i].message);
    leat_free(data);
    leat_pef_writer_destroy(writer);
  }
}

// --- nesting ---------------------------------------------------------------------------------------------------------

// A file of calls that copy one part of the arena to another, with these loops.
static leat_status_t open_loops(const pef_loop_t *loops, uint32_t count, uint32_t calls) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  leat_pef_t view, *pef = NULL;
  uint8_t *data = NULL;
  size_t bytes = 0;
  named("micro-batches")->build(writer, 1);
  for (uint32_t i = 0; i < count; ++i) {
    leat_pef_begin_loop(writer, &loops[i]);
    leat_pef_end_loop(writer);
  }
  leat_pef_view(writer, &view);
  assert_true(view.call_count >= calls);
  memcpy((pef_loop_t *)view.loops + 1, loops, count * sizeof *loops);
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  leat_pef_writer_destroy(writer);
  leat_status_t status = leat_pef_open_memory(data, bytes, "nest", &pef);
  leat_free(data);
  leat_pef_close(pef);
  return status;
}

static pef_loop_t loop_of(uint32_t first, uint32_t count) {
  return (pef_loop_t){.call_first = first, .call_count = count, .trips = 2};
}

// Behind the loop around calls 1 and 2 of four.
static void loops_nest(void **state) {
  (void)state;
  enum { MANY = 1 << 20 };
  assert_ok(open_loops((const pef_loop_t[]){loop_of(1, 2), loop_of(2, 1), loop_of(3, 1)}, 3, 4));
  assert_fails(open_loops((const pef_loop_t[]){loop_of(0, 4)}, 1, 4), LEAT_CORRUPT, "begins before the loop in front");
  assert_fails(open_loops((const pef_loop_t[]){loop_of(2, 2)}, 1, 4), LEAT_CORRUPT,
               "begins within another loop and ends");
  assert_fails(open_loops((const pef_loop_t[]){loop_of(1, 3)}, 1, 4), LEAT_CORRUPT,
               "begins within another loop and ends");
  pef_loop_t *many = calloc(MANY, sizeof *many);
  for (uint32_t i = 0; i < MANY; ++i) many[i] = loop_of(1, 2);
  assert_ok(open_loops(many, PEF_MAX_LOOP_DEPTH - 1, 4));
  assert_fails(open_loops(many, MANY, 4), LEAT_CORRUPT, "it lies within 8 others");
  for (uint32_t i = 0; i < 2; ++i) many[i].trips = 1u << 30;  // with the innermost trip, 2^60
  assert_fails(open_loops(many, 2, 4), LEAT_CORRUPT, "its loops take");
  free(many);
}

// --- proofs ----------------------------------------------------------------------------------------------------------

static void plans_with_loops_are_proved(void **state) {
  (void)state;
  for (uint32_t p = 0; p < loop_program_count; ++p) {
    leat_pef_t *pef = loop_program(&loop_programs[p], loop_programs[p].trips);
    leat_status_t status = leat_legal_check(pef);
    if (status != NULL) fail_msg("%s: %s", loop_programs[p].name, leat_status_message(status));
    leat_pef_close(pef);
  }
}

// Not proved, and said so; not gone through for minutes.
static void too_many_trips_are_not_proved(void **state) {
  (void)state;
  leat_pef_t *pef = loop_program(named("running sum"), 1000000);
  assert_fails(leat_legal_check(pef), LEAT_UNSUPPORTED, "a run has 4e+06 arguments of calls, trips of loops counted");
  leat_pef_close(pef);
}

// --- what flows ------------------------------------------------------------------------------------------------------

static bool has_edge(const leat_flow_t *flow, uint32_t from, uint32_t to, bool carried) {
  uint32_t count = 0;
  for (uint32_t e = 0; e < flow->edges.count; ++e) {
    const leat_flow_edge_t *edge = &flow->edges.data[e];
    count += edge->from == from && edge->to == to && edge->carried == carried;
  }
  assert_true(count < 2);
  return count == 1;
}

static void a_flow_has_what_trips_carry(void **state) {
  (void)state;
  leat_pef_t *pef = loop_program(named("rnn"), 10);
  leat_flow_t flow;
  assert_ok(leat_flow_find(pef, &flow));
  assert_true(has_edge(&flow, 0, 1, false));  // h0, to the first trip
  assert_true(has_edge(&flow, 1, 2, false));
  assert_true(has_edge(&flow, 2, 1, true));  // from trip to trip
  assert_true(has_edge(&flow, 2, 3, false));
  assert_true(flow.totals[1].times == 10 && flow.totals[3].times == 1);
  assert_int_equal(flow.totals[2].bytes_in, 10 * 2 * LOOP_PART);  // the part of x and the product, not the whole of x
  for (uint32_t e = 1; e < flow.edges.count; ++e) assert_true(flow.edges.data[e - 1].to <= flow.edges.data[e].to);
  leat_flow_deinit(&flow);
  leat_pef_close(pef);
}

// Two calls of a trip write the same bytes one after the other: what is read is of the one before the reader.
static void a_flow_keeps_writers_of_one_place_apart(void **state) {
  (void)state;
  leat_pef_writer_t *writer = leat_pef_writer_create();
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 1),
                       z = loop_symbol(writer, "z", PEF_SYMBOL_INPUT, 1),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, 1), a = loop_arena(0, 1), b = loop_arena(1, 1);
  const uint32_t copy = loop_copy_body(writer, LOOP_ROWS);
  (void)loop_begin(writer, 3, 0);
  LOOP_CALL(writer, copy, x, a);
  LOOP_CALL(writer, copy, a, b);
  LOOP_CALL(writer, copy, z, a);
  LOOP_CALL(writer, copy, a, b);
  leat_pef_end_loop(writer);
  LOOP_CALL(writer, copy, b, y);
  loop_finish(writer, 2);
  leat_pef_t *pef = loop_open(writer);
  leat_flow_t flow;
  assert_ok(leat_flow_find(pef, &flow));
  assert_true(has_edge(&flow, 0, 1, false) && !has_edge(&flow, 2, 1, true) && !has_edge(&flow, 2, 1, false));
  assert_true(has_edge(&flow, 2, 3, false) && !has_edge(&flow, 0, 3, false));
  leat_flow_deinit(&flow);
  leat_pef_close(pef);
}

// What is read in a later trip alone is needed, too.
static void needs_go_round_a_loop(void **state) {
  (void)state;
  leat_pef_t *pef = loop_program(named("rnn"), 10);
  bool needed[8] = {0};
  needed[2] = true;  // last
  assert_ok(leat_flow_needs(pef, LEAT_SECTIONS_FWD, needed));
  assert_true(needed[0] && needed[3] && needed[4] && !needed[1]);  // x, h0, w; not y
  leat_pef_close(pef);
}

// What the end of a trip writes the begin of the next one reads.
static void needs_of_the_next_trip_are_needs(void **state) {
  (void)state;
  leat_pef_writer_t *writer = leat_pef_writer_create();
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 1),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, 1),
                       h = loop_symbol(writer, "h", PEF_SYMBOL_STATE, 1), a = loop_arena(0, 1), c = loop_arena(1, 1);
  const uint32_t cell = loop_sum_body(writer, PEF_SCALAR_TANH, false), copy = loop_copy_body(writer, LOOP_ROWS);
  LOOP_CALL(writer, copy, h, a);
  (void)loop_begin(writer, 3, 0);
  LOOP_CALL(writer, cell, a, h, c);
  LOOP_CALL(writer, copy, x, a);
  leat_pef_end_loop(writer);
  LOOP_CALL(writer, copy, c, y);
  loop_finish(writer, 2);
  leat_pef_t *pef = loop_open(writer);
  bool needed[3] = {false, true, false};
  assert_ok(leat_flow_needs(pef, LEAT_SECTIONS_FWD, needed));
  assert_true(needed[0] && needed[2]);
  leat_pef_close(pef);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(loops_are_their_calls_written_out),
      cmocka_unit_test(small_calls_stay_with_one_worker),
      cmocka_unit_test(profile_and_faults_see_every_trip),
      cmocka_unit_test(forward_may_run_alone),
      cmocka_unit_test(types_of_a_loop_run_together),
      cmocka_unit_test(marked_loops_run_type_by_type),
      cmocka_unit_test(sections_of_a_loop_run_together),
      cmocka_unit_test(what_cannot_be_is_refused),
      cmocka_unit_test(loops_nest),
      cmocka_unit_test(a_flow_has_what_trips_carry),
      cmocka_unit_test(a_flow_keeps_writers_of_one_place_apart),
      cmocka_unit_test(needs_go_round_a_loop),
      cmocka_unit_test(needs_of_the_next_trip_are_needs),
      cmocka_unit_test(plans_with_loops_are_proved),
      cmocka_unit_test(too_many_trips_are_not_proved),
  };
  return cmocka_run_group_tests_name("pef_loop", tests, NULL, NULL);
}
