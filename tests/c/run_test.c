// SPDX-License-Identifier: Apache-2.0
// Every engine on hand-made programs: y = relu(x W + b) against a loop, at the ISA level of the process, for any number
// of threads and any tile; symbols, binding, errors.
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "leat/runtime.h"
#include "level.h"
#include "pef_demo.h"

static const char *const engines[] = {"native", "ref", "compare"};
static const char *engine;  // on which the tests run

static void ok(leat_status_t status) {
  if (status == NULL) return;
  fail_msg("%s", leat_status_message(status));
}

static float noise(uint32_t i) {
  i = i * 2654435761u ^ i >> 13;
  return (float)((int32_t)(i * 2246822519u) >> 8) / 8388608.0f;
}

static leat_load_options_t load_options(uint32_t threads) {
  leat_load_options_t options = leat_load_options_default();
  options.isa = level_name();
  options.engine = engine;
  options.thread_count = threads;
  return options;
}

// Loads what was written, and destroys the writer.
static leat_program_t *load_writer(leat_pef_writer_t *writer, uint32_t threads) {
  char path[] = "/tmp/leat_run_test_XXXXXX";
  int file = mkstemp(path);
  assert_true(file >= 0);
  close(file);
  ok(leat_pef_write(writer, path));
  leat_pef_writer_destroy(writer);
  const leat_load_options_t options = load_options(threads);
  leat_program_t *program;
  ok(leat_program_load(path, &options, &program));
  unlink(path);
  return program;
}

static leat_program_t *load_demo(const pef_demo_t *demo, uint32_t threads) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, demo);
  return load_writer(writer, threads);
}

typedef struct tensors_s {
  float *x, *w, *b, *y;
} tensors_t;

static tensors_t make_tensors(const pef_demo_t *demo) {
  tensors_t t;
  t.x = malloc(sizeof(float) * (size_t)(demo->rows * demo->in));
  t.w = malloc(sizeof(float) * (size_t)(demo->in * demo->out));
  t.b = malloc(sizeof(float) * (size_t)demo->out);
  t.y = malloc(sizeof(float) * (size_t)(demo->rows * demo->out));
  for (int64_t i = 0; i < demo->rows * demo->in; i++) t.x[i] = noise((uint32_t)i + 1);
  for (int64_t i = 0; i < demo->in * demo->out; i++) t.w[i] = noise((uint32_t)i + 777);
  for (int64_t i = 0; i < demo->out; i++) t.b[i] = noise((uint32_t)i + 99);
  return t;
}
static void free_tensors(tensors_t *t) { free(t->x), free(t->w), free(t->b), free(t->y); }

static void run_demo(const pef_demo_t *demo, uint32_t threads, tensors_t *t) {
  leat_program_t *program = load_demo(demo, threads);
  size_t w_bytes = sizeof(float) * (size_t)(demo->in * demo->out), b_bytes = sizeof(float) * (size_t)demo->out;
  ok(leat_program_write(program, PEF_DEMO_W, t->w, w_bytes));
  ok(leat_program_write(program, PEF_DEMO_B, t->b, b_bytes));
  ok(leat_program_bind(program, PEF_DEMO_X, t->x, sizeof(float) * (size_t)(demo->rows * demo->in)));
  ok(leat_program_bind(program, PEF_DEMO_Y, t->y, sizeof(float) * (size_t)(demo->rows * demo->out)));
  ok(leat_program_run(program, LEAT_SECTIONS_FWD));
  leat_program_destroy(program);
}

// The contract of the format: k ascending, one fused accumulator.
static float expected(const pef_demo_t *demo, const tensors_t *t, int64_t i, int64_t j) {
  float sum = 0;
  for (int64_t k = 0; k < demo->in; k++) sum = fmaf(t->x[i * demo->in + k], t->w[k * demo->out + j], sum);
  sum += t->b[j];
  return sum > 0 ? sum : 0;
}

static void check_demo(pef_demo_t demo) {
  tensors_t t = make_tensors(&demo);
  for (uint32_t threads = 1; threads <= 4; threads *= 2) {
    memset(t.y, 0xff, sizeof(float) * (size_t)(demo.rows * demo.out));
    run_demo(&demo, threads, &t);
    for (int64_t r = 0; r < demo.rows; r++) {
      for (int64_t c = 0; c < demo.out; c++) {
        float want = expected(&demo, &t, r, c), got = t.y[r * demo.out + c];
        if (memcmp(&want, &got, 4) != 0) {
          fail_msg("%s, %u threads, %ld x %ld x %ld, block %ld: [%ld,%ld] is %.9g, should be %.9g", engine, threads,
                   demo.rows, demo.out, demo.in, demo.n_block, r, c, got, want);
        }
      }
    }
  }
  free_tensors(&t);
}

static void test_demo_bits(void **state) {
  (void)state;
  check_demo((pef_demo_t){.rows = 1, .in = 1, .out = 1, .tile_rows_max = 1});
  check_demo((pef_demo_t){.rows = 7, .in = 13, .out = 10, .tile_rows_max = 3});
  check_demo((pef_demo_t){.rows = 100, .in = 300, .out = 70, .tile_rows_max = 64});
  check_demo((pef_demo_t){.rows = 100, .in = 300, .out = 150, .tile_rows_max = 100, .n_block = 64});
  check_demo((pef_demo_t){.rows = 256, .in = 128, .out = 128, .tile_rows_max = 64});  // worth several threads
  check_demo((pef_demo_t){.rows = 33, .in = 40, .out = 90, .tile_rows_max = 16, .n_block = 48});
}

// Rows and what a tile may have, threads, tiles that are made of them.
static const struct {
  int64_t rows, tile_rows_max;
  uint32_t threads;
  const char *tiles;
} divided[] = {
    {112, 16, 1, "\"tiles\":7,"},   // as high as they may be
    {112, 16, 2, "\"tiles\":8,"},   // 56 rows a thread, not 64
    {112, 56, 2, "\"tiles\":2,"},   // even as they are
    {112, 112, 3, "\"tiles\":3,"},  // one each
    {97, 16, 2, "\"tiles\":8,"},    // 52 rows and 45
    {2, 1, 3, "\"tiles\":2,"},      // a thread has none
};

static void no_thread_has_more_rows_than_it_must(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof divided / sizeof *divided; i++) {
    const pef_demo_t demo = {.rows = divided[i].rows, .in = 4, .out = 8, .tile_rows_max = divided[i].tile_rows_max};
    leat_program_t *program = load_demo(&demo, divided[i].threads);
    char *report;
    ok(leat_program_report(program, &report));
    if (strstr(report, divided[i].tiles) == NULL) fail_msg("case %zu: %s", i, report);
    leat_string_free(report);
    leat_program_destroy(program);
  }
  check_demo((pef_demo_t){.rows = 97, .in = 4, .out = 8, .tile_rows_max = 16});
}

static void test_prepare_follows_write(void **state) {
  (void)state;
  pef_demo_t demo = {.rows = 4, .in = 8, .out = 20, .tile_rows_max = 4, .n_block = 16};
  tensors_t t = make_tensors(&demo);
  leat_program_t *program = load_demo(&demo, 1);
  ok(leat_program_write(program, PEF_DEMO_X, t.x, 4 * 8 * 4));
  ok(leat_program_run(program, LEAT_SECTIONS_FWD));  // zero weights
  ok(leat_program_read(program, PEF_DEMO_Y, t.y, 4 * 20 * 4));
  for (int i = 0; i < 80; i++) assert_true(t.y[i] == 0);
  ok(leat_program_write(program, PEF_DEMO_W, t.w, 8 * 20 * 4));
  ok(leat_program_write(program, PEF_DEMO_B, t.b, 20 * 4));
  ok(leat_program_run(program, LEAT_SECTIONS_FWD));
  ok(leat_program_read(program, PEF_DEMO_Y, t.y, 4 * 20 * 4));
  assert_true(t.y[25] == expected(&demo, &t, 1, 5));
  leat_program_destroy(program);
  free_tensors(&t);
}

static void expect_error(leat_status_t status, int code, const char *part) {
  assert_non_null(status);
  assert_int_equal(leat_status_code(status), code);
  if (strstr(leat_status_message(status), part) == NULL)
    fail_msg("\"%s\" lacks \"%s\"", leat_status_message(status), part);
  leat_status_free(status);
}

// Two numbers of rows on the same weights; what is packed of them is packed anew by both when they change.
static void test_beside_shares_weights(void **state) {
  (void)state;
  pef_demo_t demo = {.rows = 4, .in = 8, .out = 20, .tile_rows_max = 4, .n_block = 16}, fewer = demo, other = demo;
  fewer.rows = 3;
  other.out = 16;
  tensors_t t = make_tensors(&demo);
  leat_program_t *whole = load_demo(&demo, 1), *program = NULL;
  for (uint32_t round = 0; round < 2; round++) {
    leat_load_options_t options = load_options(1);
    options.beside = whole;
    const char *path = "run_test_beside.pef";
    leat_pef_writer_t *writer = leat_pef_writer_create();
    pef_demo_build(writer, round == 0 ? &fewer : &other);
    ok(leat_pef_write(writer, path));
    leat_pef_writer_destroy(writer);
    leat_status_t status = leat_program_load(path, &options, round == 0 ? &program : &(leat_program_t *){NULL});
    remove(path);
    if (round == 0)
      ok(status);
    else
      expect_error(status, LEAT_MISMATCH, "no \"w\" of the same kind, dtype and shape");
  }
  for (uint32_t change = 0; change < 3; change++) {
    t.w[7] += 1;
    leat_program_t *writer = change == 1 ? program : whole;
    ok(leat_program_write(writer, PEF_DEMO_W, t.w, 8 * 20 * 4));
    ok(leat_program_write(writer, PEF_DEMO_B, t.b, 20 * 4));
    for (uint32_t side = 0; side < 2; side++) {
      leat_program_t *runs = side == 0 ? program : whole;
      const size_t rows = side == 0 ? 3 : 4;
      ok(leat_program_write(runs, PEF_DEMO_X, t.x, rows * 8 * 4));
      ok(leat_program_run(runs, LEAT_SECTIONS_FWD));
      ok(leat_program_read(runs, PEF_DEMO_Y, t.y, rows * 20 * 4));
      for (int64_t r = 0; r < (int64_t)rows; r++)
        for (int64_t c = 0; c < 20; c++) assert_true(t.y[r * 20 + c] == expected(&demo, &t, r, c));
    }
  }
  leat_program_destroy(program);
  leat_program_destroy(whole);
  free_tensors(&t);
}

static void test_errors(void **state) {
  (void)state;
  pef_demo_t demo = {.rows = 4, .in = 8, .out = 20, .tile_rows_max = 4};
  leat_program_t *program = load_demo(&demo, 1);
  uint32_t symbol;
  float data[200] = {0};
  expect_error(leat_program_find_symbol(program, "yy", &symbol), LEAT_NOT_FOUND, "\"y\"");
  ok(leat_program_find_symbol(program, "w", &symbol));
  assert_int_equal(symbol, PEF_DEMO_W);
  expect_error(leat_program_write(program, PEF_DEMO_W, data, 12), LEAT_INVALID_ARGUMENT, "640");
  expect_error(leat_program_bind(program, PEF_DEMO_W, data, 640), LEAT_INVALID_ARGUMENT, "leat_program_write");
  expect_error(leat_program_bind(program, 9, data, 640), LEAT_INVALID_ARGUMENT, "no symbol 9");
  expect_error(leat_program_run(program, LEAT_SECTIONS_OPT), LEAT_INVALID_ARGUMENT, "none of the section types");
  expect_error(leat_program_set_hyperparameter(program, PEF_DEMO_W, 1), LEAT_INVALID_ARGUMENT, "hyperparameter");
  leat_program_t *other;
  expect_error(leat_program_load("/nonexistent.pef", NULL, &other), LEAT_NOT_FOUND, "nonexistent");
  leat_load_options_t options = leat_load_options_default();
  options.engine = "steam";
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, &demo);
  ok(leat_pef_write(writer, "run_test_errors.pef"));
  leat_pef_writer_destroy(writer);
  expect_error(leat_program_load("run_test_errors.pef", &options, &other), LEAT_INVALID_ARGUMENT,
               "there is no engine \"steam\"; there are native, ref, compare");
  remove("run_test_errors.pef");
  leat_program_destroy(program);
}

// Section by section (PREPARE, then FWD) is a run; FWD alone prepares what is stale.
static void test_single_sections(void **state) {
  (void)state;
  pef_demo_t demo = {.rows = 33, .in = 40, .out = 90, .tile_rows_max = 16, .n_block = 48};
  tensors_t t = make_tensors(&demo);
  run_demo(&demo, 1, &t);
  for (uint32_t first = 0; first < 2; first++) {
    leat_program_t *program = load_demo(&demo, 2);
    assert_int_equal(leat_program_section_count(program), 2);
    float *y = malloc(sizeof(float) * 33 * 90);
    ok(leat_program_write(program, PEF_DEMO_W, t.w, 40 * 90 * 4));
    ok(leat_program_write(program, PEF_DEMO_B, t.b, 90 * 4));
    ok(leat_program_write(program, PEF_DEMO_X, t.x, 33 * 40 * 4));
    for (uint32_t section = first; section < 2; section++) ok(leat_program_run_sections(program, &section, 1));
    ok(leat_program_read(program, PEF_DEMO_Y, y, 33 * 90 * 4));
    assert_memory_equal(y, t.y, 33 * 90 * 4);
    expect_error(leat_program_run_sections(program, &(uint32_t){2}, 1), LEAT_INVALID_ARGUMENT, "the program has 2");
    leat_program_destroy(program);
    free(y);
  }
  free_tensors(&t);
}

static void check_faults(leat_program_t *program, const char *nan, const char *infinity) {
  leat_fault_t faults[2];
  ok(leat_program_find_faults(program, LEAT_SECTIONS_FWD, faults));
  const char *const wanted[2] = {nan, infinity};
  for (int i = 0; i < 2; i++) {
    if (wanted[i] == NULL) {
      assert_null(faults[i].origin);
    } else {
      assert_non_null(faults[i].origin);
      assert_string_equal(faults[i].origin, wanted[i]);
    }
  }
}

static void test_faults(void **state) {
  (void)state;
  for (int64_t block = 0; block <= 16; block += 16) {
    pef_demo_t demo = {.rows = 4, .in = 8, .out = 20, .tile_rows_max = 2, .n_block = block};
    tensors_t t = make_tensors(&demo);
    leat_program_t *program = load_demo(&demo, 2);
    ok(leat_program_write(program, PEF_DEMO_W, t.w, 8 * 20 * 4));
    ok(leat_program_write(program, PEF_DEMO_B, t.b, 20 * 4));
    ok(leat_program_bind(program, PEF_DEMO_X, t.x, 4 * 8 * 4));
    ok(leat_program_bind(program, PEF_DEMO_Y, t.y, 4 * 20 * 4));
    check_faults(program, NULL, NULL);
    assert_true(t.y[25] == expected(&demo, &t, 1, 5));
    for (int k = 0; k < 8; k++) t.x[3 * 8 + k] = 3e38f;  // the last row overflows
    for (int k = 0; k < 8; k++) t.w[k * 20] = 2.0f;
    ok(leat_program_write(program, PEF_DEMO_W, t.w, 8 * 20 * 4));
    check_faults(program, NULL, "demo linear");
    t.b[0] = -INFINITY;  // inf - inf
    ok(leat_program_write(program, PEF_DEMO_B, t.b, 20 * 4));
    check_faults(program, "demo relu", "demo linear");
    t.x[0] = NAN;  // given, so nobody made it
    for (int k = 0; k < 8; k++) t.x[3 * 8 + k] = 1.0f;
    check_faults(program, NULL, NULL);
    expect_error(leat_program_find_faults(program, LEAT_SECTIONS_OPT, (leat_fault_t[2]){{0}}), LEAT_INVALID_ARGUMENT,
                 "none of the section types");
    leat_program_destroy(program);
    free_tensors(&t);
  }
}

// A loop over batches around all calls of the demo.
static leat_program_t *load_batches(const pef_demo_t *demo, uint32_t trips) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, demo);
  const pef_loop_t loop = {
      .call_count = leat_pef_call_count(writer), .trips = trips, .flags = PEF_LOOP_APART | PEF_LOOP_BATCHES};
  leat_pef_add_loop_around(writer, &loop);
  return load_writer(writer, 1);
}

// Batches one behind the other are those one by one; memory that is shared stays where it is.
static void test_batches_of_a_run(void **state) {
  (void)state;
  pef_demo_t demo = {.rows = 12, .in = 8, .out = 20, .tile_rows_max = 4};
  tensors_t t = make_tensors(&demo);
  run_demo(&demo, 1, &t);
  demo.rows = 3;
  leat_program_t *program = load_batches(&demo, 4);
  ok(leat_program_write(program, PEF_DEMO_W, t.w, 8 * 20 * 4));
  ok(leat_program_write(program, PEF_DEMO_B, t.b, 20 * 4));
  float y[12 * 20], last[3 * 20];
  const uint32_t symbols[2] = {PEF_DEMO_X, PEF_DEMO_Y};
  ok(leat_program_run_batches(program, symbols, (void *[2]){t.x, y}, (size_t[2]){3 * 8 * 4, 3 * 20 * 4}, 2,
                              LEAT_SECTIONS_FWD, 4));
  assert_memory_equal(y, t.y, sizeof y);
  ok(leat_program_run_batches(program, symbols, (void *[2]){t.x, last}, (size_t[2]){3 * 8 * 4, 0}, 2, LEAT_SECTIONS_FWD,
                              4));
  assert_memory_equal(last, t.y + 9 * 20, sizeof last);
  expect_error(leat_program_run_batches(program, symbols, (void *[2]){t.x, y}, (size_t[2]){0}, 2, LEAT_SECTIONS_OPT, 2),
               LEAT_INVALID_ARGUMENT, "none of the section types");
  expect_error(leat_program_run_batches(program, symbols, (void *[2]){t.x, y}, (size_t[2]){0}, 2, LEAT_SECTIONS_FWD, 5),
               LEAT_INVALID_ARGUMENT, "5 batches in a run: the file was compiled for up to 4");
  leat_program_destroy(program);
  free_tensors(&t);
}

// --- gradients that are added up beside a file before 2.1

enum { STEPS = 3, GRAD_IN = 300, GRAD_OUT = 400, GRAD_COUNT = GRAD_IN * GRAD_OUT };  // worth several threads
enum { W_GRAD = PEF_DEMO_Y + 1, B_GRAD, X_GRAD };

// The demo with gradients: of w in f32, of b in f64, and of the input x.
static leat_program_t *load_gradients(uint32_t threads) {
  static const struct {
    const char *name;
    uint32_t of, dtype;
    int64_t count;
  } gradients[] = {{"w__grad", PEF_DEMO_W, PEF_F32, GRAD_COUNT},
                   {"b__grad", PEF_DEMO_B, PEF_F64, GRAD_OUT},
                   {"x__grad", PEF_DEMO_X, PEF_F32, GRAD_IN}};
  const pef_demo_t demo = {.rows = 1, .in = GRAD_IN, .out = GRAD_OUT, .tile_rows_max = 1};
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, &demo);
  for (uint32_t i = 0; i < 3; i++) {
    const uint64_t bytes = gradients[i].dtype == PEF_F64 ? 8 : 4;
    leat_pef_add_symbol(writer, &(pef_symbol_t){.name = leat_pef_add_string(writer, gradients[i].name),
                                                .kind = PEF_SYMBOL_GRADIENT,
                                                .dtype = (uint8_t)gradients[i].dtype,
                                                .of = gradients[i].of,
                                                .rank = 1,
                                                .dims = {gradients[i].count},
                                                .bytes = (uint64_t)gradients[i].count * bytes});
  }
  leat_pef_set_metadata(writer, "{\"leat\":{\"grad_accumulation_steps\":3}}");
  return load_writer(writer, threads);
}

static void check_accumulation(uint32_t threads) {
  const uint32_t batch = LEAT_SECTIONS_FWD | LEAT_SECTIONS_BCKWD;
  leat_batches_t batches;
  static float w[GRAD_COUNT], sum[GRAD_COUNT], mean[GRAD_COUNT];
  double b[GRAD_OUT], b_sum[GRAD_OUT];
  float x[GRAD_IN] = {0};
  leat_program_t *program = load_gradients(threads);
  for (uint32_t turn = 0; turn < 2; turn++) {  // the second starts from nothing
    for (uint32_t step = 0; step < STEPS; step++) {
      for (uint32_t i = 0; i < GRAD_COUNT; i++) w[i] = noise(i + 7 * step + turn);
      for (uint32_t i = 0; i < GRAD_COUNT; i++) sum[i] = step == 0 ? w[i] : sum[i] + w[i];
      for (uint32_t i = 0; i < GRAD_OUT; i++) b[i] = (double)noise(i + step) * 1e40;
      for (uint32_t i = 0; i < GRAD_OUT; i++) b_sum[i] = step == 0 ? b[i] : b_sum[i] + b[i];
      x[0] = (float)(step + 1);
      ok(leat_program_write(program, W_GRAD, w, sizeof w));
      ok(leat_program_write(program, B_GRAD, b, sizeof b));
      ok(leat_program_write(program, X_GRAD, x, sizeof x));
      leat_program_set_aside(program, 1);
      ok(leat_program_run(program, batch));  // is none
      leat_program_set_aside(program, 0);
      leat_program_batches(program, &batches);
      assert_int_equal(batches.waiting, step);
      ok(leat_program_run(program, batch));
      ok(leat_program_read(program, W_GRAD, mean, sizeof mean));
      if (step + 1 < STEPS) assert_memory_equal(mean, w, sizeof w);
    }
    for (uint32_t i = 0; i < GRAD_COUNT; i++) assert_true(mean[i] == sum[i] / STEPS);
    ok(leat_program_read(program, B_GRAD, b, sizeof b));
    for (uint32_t i = 0; i < GRAD_OUT; i++) assert_true(b[i] == b_sum[i] / STEPS);
    ok(leat_program_read(program, X_GRAD, x, sizeof x));
    assert_true(x[0] == STEPS);  // the gradient of an input belongs to its batch
  }
  leat_program_batches(program, &batches);
  assert_true(batches.of_run == 1 && batches.of_update == STEPS && batches.waiting == 0 && batches.beside == 1);
  leat_program_destroy(program);
}

static void test_accumulation(void **state) {
  (void)state;
  check_accumulation(1);
  check_accumulation(3);
}

// --- two calling threads ------------------------------------------------------------------------------------------

// The thread rule of runtime.h: a program belongs to one caller at a time, two programs know nothing of each other.
typedef struct caller_s {
  const pef_demo_t *demo;
  const tensors_t *in;
  const char *path;
  float *y;
  leat_program_t *shared;  // with a lock around it
  pthread_mutex_t *lock;
} caller_t;

static void run_on(leat_program_t *program, const caller_t *c) {
  const size_t y_bytes = sizeof(float) * (size_t)(c->demo->rows * c->demo->out);
  ok(leat_program_write(program, PEF_DEMO_W, c->in->w, sizeof(float) * (size_t)(c->demo->in * c->demo->out)));
  ok(leat_program_write(program, PEF_DEMO_B, c->in->b, sizeof(float) * (size_t)c->demo->out));
  ok(leat_program_bind(program, PEF_DEMO_X, c->in->x, sizeof(float) * (size_t)(c->demo->rows * c->demo->in)));
  ok(leat_program_bind(program, PEF_DEMO_Y, c->y, y_bytes));
  ok(leat_program_run(program, LEAT_SECTIONS_FWD));
}

static void *call_often(void *argument) {
  const caller_t *c = argument;
  for (uint32_t round = 0; round < 6; round++) {
    const leat_load_options_t options = load_options(1 + round % 3);
    leat_program_t *own = NULL;
    ok(leat_program_load(c->path, &options, &own));  // the check of the file, too, by both at a time
    for (uint32_t run = 0; run < 5; run++) run_on(own, c);
    leat_program_destroy(own);
    pthread_mutex_lock(c->lock);
    run_on(c->shared, c);
    pthread_mutex_unlock(c->lock);
  }
  return NULL;
}

static void two_threads_with_programs_of_their_own_and_a_locked_one(void **state) {
  (void)state;
  const pef_demo_t demo = {.rows = 96, .in = 64, .out = 64, .tile_rows_max = 16};
  tensors_t in = make_tensors(&demo);
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, &demo);
  ok(leat_pef_write(writer, "run_test.pef"));
  leat_pef_writer_destroy(writer);
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  leat_program_t *shared = NULL;
  const leat_load_options_t options = load_options(0);
  ok(leat_program_load("run_test.pef", &options, &shared));
  pthread_t threads[2];
  caller_t callers[2];
  for (int i = 0; i < 2; i++) {
    float *y = malloc(sizeof(float) * (size_t)(demo.rows * demo.out));
    callers[i] = (caller_t){&demo, &in, "run_test.pef", y, shared, &lock};
    assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
  }
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_memory_equal(callers[0].y, callers[1].y, sizeof(float) * (size_t)(demo.rows * demo.out));
  assert_true(callers[0].y[5] == expected(&demo, &in, 0, 5));
  for (int i = 0; i < 2; i++) free(callers[i].y);
  leat_program_destroy(shared);
  free_tensors(&in);
  unlink("run_test.pef");
}

int main(void) {
  if (!level_begin()) return LEVEL_MISSING;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(two_threads_with_programs_of_their_own_and_a_locked_one),
      cmocka_unit_test(test_demo_bits),
      cmocka_unit_test(no_thread_has_more_rows_than_it_must),
      cmocka_unit_test(test_prepare_follows_write),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_beside_shares_weights),
      cmocka_unit_test(test_single_sections),
      cmocka_unit_test(test_faults),
      cmocka_unit_test(test_batches_of_a_run),
      cmocka_unit_test(test_accumulation),
  };
  int failed = 0;
  for (size_t e = 0; e < sizeof engines / sizeof *engines; e++) {
    engine = engines[e];
    failed += cmocka_run_group_tests_name(engine, tests, NULL, NULL);
  }
  return failed;
}
