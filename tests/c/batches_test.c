// SPDX-License-Identifier: Apache-2.0
// Loops over batches: each run is a trip, what lies behind them runs with the last one, and where they lie in a file.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "leat/runtime.h"
#include "loop_maker.h"
#include "pef/legal.h"
#include "pef/pef_scalar.h"
#include "pef/walk.h"

enum { TRIPS = 3, ELEMENTS = LOOP_PART / 4, BATCH = LEAT_SECTIONS_FWD | LEAT_SECTIONS_BCKWD };
static const char path[] = "batches_test.pef";

// Symbols, in their order. FIRST, LATER, LAST: x, where calls of such batches have run.
enum { X, Y, SUM, FIRST, LATER, LAST, UPDATED };
enum { IS_FIRST = 1 << PEF_WHEN_FIRST, IS_LATER = 1 << PEF_WHEN_LATER, IS_LAST = 1 << PEF_WHEN_LAST };

static void call_when(leat_pef_writer_t *writer, uint16_t when, uint32_t body, pef_argument_t a, pef_argument_t b) {
  const pef_call_t call = {.type = PEF_BCKWD, .body = body, .argument_count = 2, .when = when, .flops = 1e6};
  leat_pef_add_call(writer, &call, (const pef_argument_t[]){a, b});
}

// forward: y = x; backward: sum = tanh(sum + y), and what calls of some batches do; behind: updated = tanh(updated +
// sum).
static leat_pef_writer_t *write_update(void) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  static const char *const names[] = {"x", "y", "sum", "first", "later", "last", "updated"};
  static const uint8_t kinds[] = {PEF_SYMBOL_INPUT, PEF_SYMBOL_OUTPUT, PEF_SYMBOL_STATE,    PEF_SYMBOL_STATE,
                                  PEF_SYMBOL_STATE, PEF_SYMBOL_STATE,  PEF_SYMBOL_PARAMETER};
  pef_argument_t at[UPDATED + 1];
  for (uint32_t i = X; i <= UPDATED; ++i) at[i] = loop_symbol(writer, names[i], kinds[i], 1);
  const pef_argument_t h = loop_arena(0, 1);
  const uint32_t copy = loop_copy_body(writer, LOOP_ROWS), add = loop_sum_body(writer, PEF_SCALAR_TANH, true);
  LOOP_CALL(writer, copy, at[X], h);
  LOOP_CALL(writer, copy, h, at[Y]);
  call_when(writer, PEF_WHEN_ALWAYS, add, h, at[SUM]);
  for (uint32_t i = FIRST; i <= LAST; ++i) call_when(writer, (uint16_t)(PEF_WHEN_FIRST + i - FIRST), copy, h, at[i]);
  loop_call(writer, PEF_OPT, add, (const pef_argument_t[]){at[SUM], at[UPDATED]}, 2);
  const pef_loop_t loop = {.call_count = 6,
                           .trips = TRIPS,
                           .flags = PEF_LOOP_APART | PEF_LOOP_BATCHES,
                           .name = leat_pef_add_string(writer, "batches")};
  leat_pef_add_loop_around(writer, &loop);
  loop_finish(writer, 1);
  return writer;
}

static leat_program_t *load(leat_pef_writer_t *writer, const char *engine, uint32_t threads, leat_program_t *beside) {
  leat_load_options_t options = leat_load_options_default();
  leat_program_t *program = NULL;
  options.engine = engine;
  options.thread_count = threads;
  options.beside = beside;
  assert_ok(leat_pef_write(writer, path));
  leat_pef_writer_destroy(writer);
  assert_ok(leat_program_load(path, &options, &program));
  unlink(path);
  return program;
}

static float first(leat_program_t *program, uint32_t symbol) {
  float values[ELEMENTS];
  assert_ok(leat_program_read(program, symbol, values, sizeof values));
  for (uint32_t i = 1; i < ELEMENTS; ++i) assert_true(values[i] == values[0]);
  return values[0];
}

static void set(leat_program_t *program, uint32_t symbol, float value) {
  float values[ELEMENTS];
  for (uint32_t i = 0; i < ELEMENTS; ++i) values[i] = value;
  assert_ok(leat_program_write(program, symbol, values, sizeof values));
}

// Which calls of some batches have run since this was asked, how many batches wait, and whether there was an update.
static void expect(leat_program_t *program, uint32_t ran, uint32_t waiting, bool updated) {
  leat_batches_t batches;
  leat_program_batches(program, &batches);
  assert_true(batches.of_run == 1 && batches.of_update == TRIPS && batches.beside == 0);
  assert_int_equal(batches.waiting, waiting);
  for (uint32_t i = FIRST; i <= LAST; ++i) {
    assert_int_equal(first(program, i) != 0, ran >> (PEF_WHEN_FIRST + i - FIRST) & 1);
    set(program, i, 0);
  }
  assert_true((first(program, UPDATED) != 0) == updated);
}

// Of batch `batch` of an update.
static uint32_t calls_of(uint32_t batch) {
  return (batch == 0 ? IS_FIRST : IS_LATER) | (batch + 1 == TRIPS ? IS_LAST : 0);
}

static void updates_run_with_the_last_batch(void **state) {
  (void)state;
  static const struct {
    const char *engine;
    uint32_t threads;
  } runs[] = {{"native", 1}, {"native", 2}, {"native", 3}, {"ref", 1}, {"compare", 2}};
  float sum = 0, updated = 0;
  for (uint32_t r = 0; r < sizeof runs / sizeof *runs; ++r) {
    leat_program_t *program = load(write_update(), runs[r].engine, runs[r].threads, NULL);
    set(program, X, 0.25f);
    for (uint32_t update = 0; update < 2; ++update) {
      set(program, UPDATED, 0);
      for (uint32_t batch = 0; batch < TRIPS; ++batch) {
        assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
        expect(program, calls_of(batch), (batch + 1) % TRIPS, batch + 1 == TRIPS);
      }
    }
    if (r == 0) sum = first(program, SUM), updated = first(program, UPDATED);
    assert_true(first(program, SUM) == sum && first(program, UPDATED) == updated);
    leat_program_destroy(program);
  }
}

static void types_run_apart_in_each_trip(void **state) {
  (void)state;
  leat_program_t *program = load(write_update(), "native", 1, NULL);
  set(program, X, 0.25f);
  for (uint32_t batch = 0; batch < TRIPS; ++batch) {
    assert_ok(leat_program_run(program, LEAT_SECTIONS_FWD));
    assert_ok(leat_program_run(program, LEAT_SECTIONS_BCKWD));
    expect(program, calls_of(batch), (batch + 1) % TRIPS, false);
    assert_ok(leat_program_run(program, LEAT_SECTIONS_OPT));
    expect(program, 0, (batch + 1) % TRIPS, batch + 1 == TRIPS);
  }
  set(program, UPDATED, 0);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_OPT));  // nothing waits any more
  expect(program, 0, 0, false);
  leat_program_destroy(program);
}

static void what_waits_may_be_forgotten(void **state) {
  (void)state;
  leat_program_t *program = load(write_update(), "native", 1, NULL);
  set(program, X, 0.25f);
  for (uint32_t batch = 0; batch < TRIPS - 1; ++batch) assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  expect(program, IS_FIRST | IS_LATER, TRIPS - 1, false);
  leat_program_restart_batches(program);
  for (uint32_t batch = 0; batch < TRIPS; ++batch) {
    assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
    expect(program, calls_of(batch), (batch + 1) % TRIPS, batch + 1 == TRIPS);
  }
  leat_program_destroy(program);
}

// Evaluation, runs aside, sections by number and the search for faults, amid the batches of an update.
static void other_runs_are_no_batches(void **state) {
  (void)state;
  leat_program_t *program = load(write_update(), "native", 1, NULL);
  leat_fault_t faults[2];
  set(program, X, 0.25f);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  expect(program, IS_FIRST, 1, false);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_FWD));
  leat_program_set_aside(program, 1);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  leat_program_set_aside(program, 0);
  assert_ok(leat_program_run_sections(program, (const uint32_t[]){0, 1, 2, 3, 4, 5}, 6));
  assert_ok(leat_program_find_faults(program, BATCH, faults));
  expect(program, 0, 1, false);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  expect(program, IS_LATER, 2, false);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  expect(program, IS_LATER | IS_LAST, 0, true);
  leat_program_destroy(program);
}

// A batch may run in the program beside, which has other rows: one count for both.
static void programs_side_by_side_count_together(void **state) {
  (void)state;
  leat_program_t *program = load(write_update(), "native", 1, NULL),
                 *other = load(write_update(), "native", 1, program);
  set(program, X, 0.25f);
  set(other, X, 0.25f);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  assert_ok(leat_program_run(other, LEAT_SECTIONS_ALL));
  expect(program, IS_FIRST | IS_LATER, 2, false);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  expect(other, IS_LATER | IS_LAST, 0, true);
  leat_program_destroy(other);
  leat_pef_writer_t *writer = write_update();
  leat_pef_t view;
  leat_load_options_t options = leat_load_options_default();
  leat_pef_view(writer, &view);
  ((pef_loop_t *)view.loops)[0].trips = TRIPS + 1;
  options.beside = program;
  assert_ok(leat_pef_write(writer, path));
  assert_fails(leat_program_load(path, &options, &other), LEAT_MISMATCH,
               "the program beside repeats 3 batches, this one 4");
  unlink(path);
  leat_pef_writer_destroy(writer);
  leat_program_destroy(program);
}

// Several in one call: what lies behind the loop runs once they are all there.
static void batches_in_one_call(void **state) {
  (void)state;
  leat_program_t *program = load(write_update(), "native", 2, NULL);
  static float x[TRIPS * ELEMENTS], y[TRIPS * ELEMENTS];
  static const uint32_t symbols[] = {X, Y};
  static const size_t steps[] = {LOOP_PART, LOOP_PART};
  for (uint32_t i = 0; i < TRIPS * ELEMENTS; ++i) x[i] = (float)(1 + i / ELEMENTS);
  assert_ok(leat_program_run_batches(program, symbols, (void *[]){x, y}, steps, 2, LEAT_SECTIONS_ALL, TRIPS));
  assert_memory_equal(x, y, sizeof x);
  expect(program, IS_FIRST | IS_LATER | IS_LAST, 0, true);
  assert_fails(leat_program_run_batches(program, symbols, (void *[]){x, y}, steps, 2, LEAT_SECTIONS_ALL, TRIPS + 1),
               LEAT_INVALID_ARGUMENT, "4 batches in a run: the file was compiled for up to 3");
  leat_program_destroy(program);
}

// Batches whose runs make different calls follow each other closely: a worker that is still on its way through one when
// the next begins takes nothing of the next for its own. Each of the calls adds, so that a tile too many shows.
static leat_pef_writer_t *write_uneven(void) {
  enum { LATER_CALLS = 12 };
  leat_pef_writer_t *writer = leat_pef_writer_create();
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 1);
  pef_argument_t sums[1 + LATER_CALLS];
  const uint32_t add = loop_sum_body(writer, PEF_SCALAR_TANH, true);
  for (uint32_t i = 0; i <= LATER_CALLS; ++i) {
    char name[16];
    (void)snprintf(name, sizeof name, "sum%u", i);
    sums[i] = loop_symbol(writer, name, PEF_SYMBOL_STATE, 1);
  }
  for (uint32_t i = 0; i < 4; ++i) call_when(writer, PEF_WHEN_ALWAYS, add, x, sums[0]);
  for (uint32_t i = 0; i < LATER_CALLS; ++i) call_when(writer, PEF_WHEN_LATER, add, sums[i], sums[i + 1]);
  const pef_loop_t loop = {.call_count = 4 + LATER_CALLS,
                           .trips = TRIPS,
                           .flags = PEF_LOOP_APART | PEF_LOOP_BATCHES,
                           .name = leat_pef_add_string(writer, "batches")};
  leat_pef_add_loop_around(writer, &loop);
  loop_finish(writer, 0);
  return writer;
}

static void a_worker_that_is_late_stays_in_its_batch(void **state) {
  (void)state;
  enum { THREADS = 4, UPDATES = 10000, SYMBOLS = 14 };
  leat_program_t *alone = load(write_uneven(), "native", 1, NULL);
  leat_program_t *together = load(write_uneven(), "native", THREADS, NULL);
  set(alone, 0, 0.01f);
  set(together, 0, 0.01f);
  for (uint32_t update = 0; update < UPDATES; ++update) {
    for (uint32_t batch = 0; batch < TRIPS; ++batch) {
      assert_ok(leat_program_run(alone, LEAT_SECTIONS_BCKWD));
    }
    for (uint32_t batch = 0; batch < TRIPS; ++batch) {
      assert_ok(leat_program_run(together, LEAT_SECTIONS_BCKWD));
    }
    for (uint32_t i = 1; i < SYMBOLS; ++i) {
      assert_true(first(together, i) == first(alone, i));
      set(alone, i, 0), set(together, i, 0);
    }
  }
  leat_program_destroy(together);
  leat_program_destroy(alone);
}

// --- where they lie --------------------------------------------------------------------------------------------------

static void is_of_version_2_1(void **state) {
  (void)state;
  leat_pef_t *pef = loop_open(write_update());
  assert_int_equal(pef->version_minor, 1);
  assert_ptr_equal(leat_pef_batches(pef), &pef->loops[0]);
  assert_ok(leat_legal_check(pef));
  leat_pef_close(pef);
  for (uint32_t p = 0; p < loop_program_count; ++p) {
    pef = loop_program(&loop_programs[p], loop_programs[p].trips);
    if (leat_pef_batches(pef) != NULL) assert_int_equal(pef->version_minor, 1);
    leat_pef_close(pef);
  }
}

typedef struct broken_s {
  pef_loop_t *loop;
  pef_call_t *calls;
} broken_t;
static void not_apart(broken_t *b) { b->loop->flags = PEF_LOOP_BATCHES; }
static void streams(broken_t *b) { b->loop->stream_step = 1; }
static void type_behind(broken_t *b) { b->loop->call_count = 3; }
static void all_types(broken_t *b) { b->loop->call_count = 7; }
static void begins_late(broken_t *b) { b->loop->call_first = 1, b->loop->call_count = 5; }
static void prepares(broken_t *b) { b->calls[0].type = PEF_PREPARE; }
static void when_behind(broken_t *b) { b->calls[6].when = PEF_WHEN_LAST; }
static void no_when(broken_t *b) { b->calls[5].when = PEF_WHEN_COUNT; }
static void no_batches(broken_t *b) { b->loop->flags = PEF_LOOP_APART; }

static const struct {
  void (*change)(broken_t *b);
  const char *message;  // NULL: it is none
} broken[] = {
    {not_apart, "a loop over batches has flags 0x2"},
    {streams, "its streams step by 1"},
    {type_behind, "section types of a loop over batches (bits 0x3) are prepare, or behind it (bits 0xa)"},
    {all_types, NULL},
    {begins_late, "call 0 in front of a loop over batches is not of type prepare"},
    {prepares, "call 1 is of type prepare, or is none, unlike the first"},
    {when_behind, "call 6 is of some batches only, and in no loop over batches"},
    {no_when, "barrier, batches or reserved bytes are wrong"},
    {no_batches, "call 3 is of some batches only, and in no loop over batches"},
};

static leat_status_t open_broken(void (*change)(broken_t *b), leat_pef_t **out_pef) {
  leat_pef_writer_t *writer = write_update();
  leat_pef_t view;
  uint8_t *data = NULL;
  size_t bytes = 0;
  leat_pef_view(writer, &view);
  broken_t tables = {(pef_loop_t *)view.loops, (pef_call_t *)view.calls};
  change(&tables);
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  leat_pef_writer_destroy(writer);
  leat_status_t status = leat_pef_open_memory(data, bytes, "broken", out_pef);
  leat_free(data);
  return status;
}

static void what_cannot_be_is_refused(void **state) {
  (void)state;
  for (uint32_t i = 0; i < sizeof broken / sizeof *broken; ++i) {
    leat_pef_t *pef = NULL;
    leat_status_t status = open_broken(broken[i].change, &pef);
    if (broken[i].message != NULL) assert_fails(status, LEAT_CORRUPT, broken[i].message);
    if (broken[i].message == NULL) assert_ok(status);
    leat_pef_close(pef);
  }
}

// A file has one, and nothing lies around it or moves with it.
static void is_the_only_one_and_outermost(void **state) {
  (void)state;
  static const struct {
    uint32_t outer, inner;
    bool moves;
    const char *message;
  } nests[] = {{0, 2, false, "a loop over batches lies within another"},
               {2, 2, false, "loop 1 is one over batches, too"},
               {2, 0, false, NULL},
               {2, 0, true, "it moves with a loop over batches"}};
  for (uint32_t i = 0; i < sizeof nests / sizeof *nests; ++i) {
    leat_pef_writer_t *writer = leat_pef_writer_create();
    const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 2),
                         y = loop_symbol(writer, "y", PEF_SYMBOL_STATE, 1);
    uint8_t *data = NULL;
    size_t bytes = 0;
    leat_pef_t *pef = NULL;
    const uint32_t outer = loop_begin(writer, 2, PEF_LOOP_APART | nests[i].outer);
    loop_begin(writer, 2, PEF_LOOP_APART | nests[i].inner);
    LOOP_CALL(writer, loop_copy_body(writer, LOOP_ROWS), x, y);
    if (nests[i].moves) loop_move(writer, 0, outer, 0, 1);
    leat_pef_end_loop(writer);
    leat_pef_end_loop(writer);
    loop_finish(writer, 0);
    assert_ok(leat_pef_write_memory(writer, &data, &bytes));
    leat_pef_writer_destroy(writer);
    leat_status_t status = leat_pef_open_memory(data, bytes, "nest", &pef);
    if (nests[i].message != NULL) assert_fails(status, LEAT_CORRUPT, nests[i].message);
    if (nests[i].message == NULL) assert_ok(status);
    leat_free(data);
    leat_pef_close(pef);
  }
}

// What a call of some batches leaves in the arena is not there in the others.
static void what_some_batches_make_is_theirs(void **state) {
  (void)state;
  static const struct {
    uint16_t writer, reader;
    bool legal;
  } pairs[] = {{PEF_WHEN_ALWAYS, PEF_WHEN_LAST, true},
               {PEF_WHEN_LATER, PEF_WHEN_LATER, true},
               {PEF_WHEN_LATER, PEF_WHEN_LAST, false},
               {PEF_WHEN_FIRST, PEF_WHEN_ALWAYS, false}};
  for (uint32_t i = 0; i < sizeof pairs / sizeof *pairs; ++i) {
    leat_pef_writer_t *writer = leat_pef_writer_create();
    const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 1),
                         s = loop_symbol(writer, "s", PEF_SYMBOL_STATE, 1), h = loop_arena(0, 1);
    const uint32_t copy = loop_copy_body(writer, LOOP_ROWS);
    loop_begin(writer, TRIPS, PEF_LOOP_APART | PEF_LOOP_BATCHES);
    call_when(writer, pairs[i].writer, copy, x, h);
    call_when(writer, pairs[i].reader, copy, h, s);
    leat_pef_end_loop(writer);
    loop_finish(writer, 1);
    leat_pef_t *pef = loop_open(writer);
    if (pairs[i].legal) assert_ok(leat_legal_check(pef));
    if (!pairs[i].legal) assert_fails(leat_legal_check(pef), LEAT_CORRUPT, "reads");
    leat_pef_close(pef);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(updates_run_with_the_last_batch),
      cmocka_unit_test(types_run_apart_in_each_trip),
      cmocka_unit_test(what_waits_may_be_forgotten),
      cmocka_unit_test(other_runs_are_no_batches),
      cmocka_unit_test(programs_side_by_side_count_together),
      cmocka_unit_test(batches_in_one_call),
      cmocka_unit_test(a_worker_that_is_late_stays_in_its_batch),
      cmocka_unit_test(is_of_version_2_1),
      cmocka_unit_test(what_cannot_be_is_refused),
      cmocka_unit_test(is_the_only_one_and_outermost),
      cmocka_unit_test(what_some_batches_make_is_theirs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
