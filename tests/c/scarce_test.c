// SPDX-License-Identifier: Apache-2.0
// Running out: every request for memory, a mapping or a thread that parsing, compiling, reading, loading and running
// make fails once: for all n up to some hundreds of a step, evenly spread where it makes more (compiling), others in
// each kind of build; for all with SCARCE_ALL=1 (make exhaust). Either an error comes back, nothing is left behind and
// no file is written; or the library does without, as documented (fewer threads, no generated kernels), and the result
// has the same bits.
#include "scarce.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "io/idx.h"
#include "io/npy.h"
#include "io/weights.h"
#include "leat/runtime.h"
#include "link/link.h"
#include "loop_maker.h"
#include "pef/flight.h"
#include "pef/legal.h"
#include "pef_demo.h"
#include "report/report.h"
#include "samples.h"

static const char pef_path[] = "scarce_test.pef";

// What a step yields, to be compared with what it yields when nothing fails.
typedef struct bytes_s {
  uint8_t *data;
  size_t count;
} bytes_t;

// Runs under `n`: the n-th request fails. Puts what it made into `out`, which starts empty.
typedef leat_status_t (*step_t)(const void *argument, bytes_t *out);

static leat_status_t append(bytes_t *bytes, const void *data, size_t count) {
  uint8_t *longer = leat_alloc(bytes->count + count + 1);
  if (longer == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  if (bytes->count != 0) memcpy(longer, bytes->data, bytes->count);
  if (count != 0) memcpy(longer + bytes->count, data, count);
  leat_free(bytes->data);
  *bytes = (bytes_t){longer, bytes->count + count};
  return NULL;
}

static bool is_expected(leat_status_t status) {
  const int code = leat_status_code(status);
  // Whoever asks cJSON cannot tell why it read nothing: not the reader, nor the compiler that reads what it made.
  const bool unread = code == LEAT_CORRUPT || code == LEAT_INTERNAL;
  return code == LEAT_OUT_OF_MEMORY || code == LEAT_IO || (unread && scarce_refused_json());
}

static void check_failure(leat_status_t status, const char *name, uint64_t n) {
  const int code = leat_status_code(status);
  if (!is_expected(status)) {
    fail_msg("%s, request %llu: code %d, '%s'", name, (unsigned long long)n, code, leat_status_message(status));
  }
  if (strlen(leat_status_message(status)) < 10) fail_msg("%s, request %llu: no message", name, (unsigned long long)n);
}

enum { REQUESTS_MAX = 600 };  // that fail, of a step
#if defined(__SANITIZE_ADDRESS__)
enum { SHIFT = 2 };
#elif defined(__clang__)
enum { SHIFT = 1 };
#else
enum { SHIFT = 0 };
#endif

// The n-th request fails, if there are so many. Returns whether the step failed.
static bool fail_at(uint64_t n, const char *name, step_t step, const void *argument, const bytes_t *expected) {
  bytes_t made = {0};
  const int64_t live = scarce_live();
  scarce_fail_after(n);
  leat_status_t status = step(argument, &made);
  scarce_end();
  const bool failed = status != NULL;
  if (failed) {
    check_failure(status, name, n);
  } else if (made.count != expected->count || memcmp(made.data, expected->data, made.count) != 0) {
    fail_msg("%s, request %llu: another result, without an error", name, (unsigned long long)n);
  }
  leat_status_free(status);
  leat_free(made.data);
  if (scarce_live() != live) {
    fail_msg("%s, request %llu: %lld blocks are left", name, (unsigned long long)n, (long long)(scarce_live() - live));
  }
  return failed;
}

static void exhaust(const char *name, step_t step, const void *argument) {
  bytes_t expected = {0};
  scarce_fail_after(0);
  assert_ok(step(argument, &expected));
  assert_int_not_equal(expected.count, 0);
  const uint64_t requests = scarce_requests();
  const uint64_t every = getenv("SCARCE_ALL") != NULL ? 1 : (requests + REQUESTS_MAX - 1) / REQUESTS_MAX;
  uint64_t tried = 0, failures = 0;
  for (uint64_t n = 1 + SHIFT % every; n <= requests; n += every, ++tried)
    failures += fail_at(n, name, step, argument, &expected);
  print_message("%s: %llu of %llu requests, %llu of them needed\n", name, (unsigned long long)tried,
                (unsigned long long)requests, (unsigned long long)failures);
  assert_true(failures > 0);
  leat_free(expected.data);
}

// --- compile -----------------------------------------------------------------------------------------------------

typedef struct compile_s {
  const char *name;
  uint32_t optim_level;
} compile_t;

static leat_status_t compile(const void *argument, bytes_t *out) {
  const compile_t *what = argument;
  leat_mapping_t file;
  unlink(pef_path);
  leat_status_t status = sample_compile(what->name, what->optim_level, pef_path);
  if (status != NULL) assert_int_not_equal(access(pef_path, F_OK), 0);
  if (status != NULL) return status;
  LEAT_TRY(leat_file_map(pef_path, &file));
  status = append(out, file.data, file.data_bytes);
  leat_file_unmap(&file);
  return status;
}

static void compiling(void **state) {
  (void)state;
  static const compile_t samples[] = {{"losses", 0},  {"losses", 3},   {"convolutions", 3}, {"attention", 3},
                                      {"indices", 3}, {"numbers", 3},  {"dropout", 3},      {"volumes", 3},
                                      {"blocks", 1},  {"recurrent", 3}};
  for (size_t i = 0; i < sizeof samples / sizeof *samples; ++i) exhaust(samples[i].name, compile, &samples[i]);
  unlink(pef_path);
}

static leat_status_t print(const void *argument, bytes_t *out) {
  leat_graph_t *graph = NULL;
  char *text = NULL;
  uint64_t fingerprint[3];
  LEAT_TRY(sample_graph(argument, &graph));
  leat_status_t status = leat_graph_print(graph, &text);
  if (status == NULL) status = leat_graph_fingerprint(graph, 1, fingerprint);
  if (status == NULL) status = append(out, fingerprint, sizeof fingerprint);
  if (status == NULL) status = append(out, text, strlen(text));
  leat_string_free(text);
  leat_graph_destroy(graph);
  return status;
}

static void printing(void **state) {
  (void)state;
  exhaust("print attention", print, "attention");
}

static leat_status_t evaluate(const void *argument, bytes_t *out) {
  leat_graph_t *graph = NULL;
  float losses[2] = {0};
  leat_tensor_t outputs[] = {{"losses__mse_loss__outputs__0", &losses[0], 4},
                             {"losses__smooth_l1_loss__outputs__0", &losses[1], 4}};
  LEAT_TRY(sample_graph(argument, &graph));
  leat_status_t status = leat_graph_eval(graph, NULL, 0, outputs, 2);
  if (status == NULL) status = append(out, losses, sizeof losses);
  leat_graph_destroy(graph);
  return status;
}

static void evaluating(void **state) {
  (void)state;
  exhaust("eval losses", evaluate, "losses");
}

// --- load and run ------------------------------------------------------------------------------------------------

static leat_status_t read_symbols(leat_program_t *program, bytes_t *out) {
  for (uint32_t i = 0; i < leat_program_symbol_count(program); ++i) {
    leat_symbol_info_t info;
    LEAT_TRY(leat_program_symbol_info(program, i, &info));
    LEAT_TRY(append(out, leat_program_data(program, i), info.data_bytes));
  }
  char *report = NULL;
  LEAT_TRY(leat_program_report(program, &report));
  leat_status_t status = append(out, report, 1);
  leat_string_free(report);
  return status;
}

static void set_symbols(leat_program_t *program) {
  for (uint32_t i = 0; i < leat_program_symbol_count(program); ++i) {
    leat_symbol_info_t info;
    leat_status_free(leat_program_symbol_info(program, i, &info));
    if (info.kind != LEAT_SYMBOL_INPUT && info.kind != LEAT_SYMBOL_PARAMETER) continue;
    float *values = leat_program_data(program, i);
    for (size_t k = 0; info.dtype == LEAT_DTYPE_F32 && k < info.data_bytes / sizeof *values; ++k) {
      values[k] = 0.125f * (float)(k % 17) - 1;
    }
  }
}

static leat_status_t load_and_run(const void *argument, bytes_t *out) {
  const uint32_t *threads = argument;
  leat_load_options_t options = leat_load_options_default();
  options.thread_count = *threads;
  leat_program_t *program = NULL;
  LEAT_TRY(leat_program_load(pef_path, &options, &program));
  set_symbols(program);
  leat_status_t status = leat_program_run(program, LEAT_SECTIONS_ALL);
  if (status == NULL) status = leat_program_run(program, LEAT_SECTIONS_ALL);
  if (status == NULL) status = read_symbols(program, out);
  leat_program_destroy(program);
  return status;
}

static void write_demo(void) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, &(pef_demo_t){.rows = 256, .in = 128, .out = 128, .tile_rows_max = 64, .n_block = 64});
  assert_ok(leat_pef_write(writer, pef_path));
  leat_pef_writer_destroy(writer);
}

static void loading_and_running(void **state) {
  (void)state;
  static const uint32_t one = 1;
  for (uint32_t i = 0; sample_names[i] != NULL; ++i) {
    assert_ok(sample_compile(sample_names[i], 3, pef_path));
    exhaust(sample_names[i], load_and_run, &one);
  }
  assert_ok(sample_compile("blocks", 1, pef_path));
  exhaust("blocks, linked", load_and_run, &one);
  unlink(pef_path);
}

static void running_on_threads(void **state) {
  (void)state;
  static const uint32_t four = 4;
  write_demo();  // enough work for all of them
  exhaust("four threads", load_and_run, &four);
  unlink(pef_path);
}

// What generates kernels keeps them for the process: each n gets a process of its own.
static int run_alone(uint64_t n, const bytes_t *expected, uint64_t *out_requests) {
  int pipe_ends[2];
  assert_int_equal(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    static const uint32_t one = 1;
    bytes_t made = {0};
    scarce_fail_after(n);
    leat_status_t status = load_and_run(&one, &made);
    const uint64_t requests = scarce_requests();
    const bool equal =
        status == NULL && made.count == expected->count && memcmp(made.data, expected->data, made.count) == 0;
    const bool good = status == NULL ? equal : is_expected(status);
    _exit(write(pipe_ends[1], &requests, sizeof requests) == sizeof requests && good ? 0 : 1);
  }
  assert_true(child > 0);
  close(pipe_ends[1]);
  assert_int_equal(read(pipe_ends[0], out_requests, sizeof *out_requests) == sizeof *out_requests, 1);
  close(pipe_ends[0]);
  int result = 0;
  assert_int_equal(waitpid(child, &result, 0), child);
  return result;
}

// Runs first, in a process in which no kernel has been generated.
static void generating_kernels(void **state) {
  (void)state;
  bytes_t expected = {0};
  leat_load_options_t options = leat_load_options_default();
  options.isa = "portable";
  options.thread_count = 1;
  leat_program_t *program = NULL;
  write_demo();
  assert_ok(leat_program_load(pef_path, &options, &program));
  set_symbols(program);
  for (uint32_t run = 0; run < 2; ++run) assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  assert_ok(read_symbols(program, &expected));
  leat_program_destroy(program);
  uint64_t all = 0, requests = 0;
  assert_int_equal(run_alone(0, &expected, &all), 0);
  for (uint64_t n = 1; n <= all; ++n) {
    const int result = run_alone(n, &expected, &requests);
    if (result != 0) fail_msg("request %llu: status %d", (unsigned long long)n, result);
  }
  scarce_deny_executable(true);
  assert_int_equal(run_alone(0, &expected, &requests), 0);
  scarce_deny_executable(false);
  print_message("generated kernels: %llu requests\n", (unsigned long long)all);
  leat_free(expected.data);
}

// --- loops -------------------------------------------------------------------------------------------------------

static leat_status_t prove_and_report(const void *argument, bytes_t *out) {
  leat_pef_t *pef = NULL;
  leat_flow_t flow;
  leat_text_t text = {0};
  leat_arch_t machine;
  bool needed[16] = {true};
  (void)argument;
  LEAT_TRY(leat_pef_open(pef_path, &pef));
  leat_status_t status = leat_legal_check(pef);
  if (status == NULL) status = leat_flow_needs(pef, LEAT_SECTIONS_ALL, needed);
  if (status == NULL) status = leat_arch_native("native", &machine);
  if (status == NULL) status = leat_flow_find(pef, &flow);
  if (status == NULL) {
    status = leat_report_sections(&flow, &machine, &text);
    if (status == NULL) status = leat_report_svg(&flow, &machine, &text);
    leat_flow_deinit(&flow);
  }
  if (status == NULL && text.failed) status = leat_out_of_memory();
  if (status == NULL) status = append(out, text.data, text.length);
  leat_text_deinit(&text);
  leat_pef_close(pef);
  return status;
}

// A unit that has loops, as the body of another loop whose trips all have the same places.
static leat_status_t link_body(const void *argument, bytes_t *out) {
  const leat_pef_t *unit = argument;
  leat_link_place_t places[16] = {0};
  pef_info_t info = {0};
  uint8_t *data = NULL;
  leat_pef_writer_t *writer = leat_pef_writer_create();
  if (writer == NULL) return leat_out_of_memory();
  for (uint32_t s = 0; s < unit->symbol_count; ++s) {
    pef_symbol_t symbol = unit->symbols[s];
    symbol.name = leat_pef_add_string(writer, unit->strings + symbol.name);
    places[s].whole = (pef_argument_t){PEF_PLACE_SYMBOL, leat_pef_add_symbol(writer, &symbol), 0, symbol.bytes};
  }
  leat_link_body_t body = {.pef = unit, .places = places, .trips = 3, .name = "again"};
  size_t bytes = 0;
  leat_status_t status = leat_link_body_memory(&body, &body.temporary_offset, &info.arena_bytes);
  info.arena_bytes += body.temporary_offset;
  if (status == NULL) status = leat_link_body(&body, writer, &info);
  leat_pef_set_info(writer, &info);
  if (status == NULL) status = leat_flight_plan(writer);
  if (status == NULL) status = leat_pef_write_memory(writer, &data, &bytes);
  if (status == NULL) status = append(out, data, bytes);
  leat_free(data);
  leat_pef_writer_destroy(writer);
  return status;
}

static void loops(void **state) {
  (void)state;
  static const uint32_t two = 2;
  for (uint32_t p = 0; p < loop_program_count; ++p) {
    leat_pef_writer_t *writer = leat_pef_writer_create();
    loop_programs[p].build(writer, 3);
    assert_ok(leat_pef_write(writer, pef_path));
    leat_pef_t *unit = loop_open(writer);
    exhaust(loop_programs[p].name, load_and_run, &two);
    exhaust("its proofs and reports", prove_and_report, NULL);
    exhaust("as a body", link_body, unit);
    leat_pef_close(unit);
  }
  unlink(pef_path);
}

// --- read --------------------------------------------------------------------------------------------------------

typedef struct read_s {
  const char *name;
  leat_status_t (*read)(const char *path, leat_tensors_t **out_tensors);
} read_t;

static leat_status_t read_tensors(const void *argument, bytes_t *out) {
  const read_t *what = argument;
  leat_tensors_t *tensors = NULL;
  LEAT_TRY(what->read(sample_data_path(what->name), &tensors));
  leat_status_t status = NULL;
  for (uint32_t i = 0; i < tensors->items.count && status == NULL; ++i) {
    const leat_io_tensor_t *tensor = &tensors->items.data[i];
    status = append(out, tensor->name, strlen(tensor->name) + 1);
    if (status == NULL) status = append(out, tensor->data, tensor->data_bytes);
  }
  leat_tensors_destroy(tensors);
  return status;
}

static void reading(void **state) {
  (void)state;
  static const read_t files[] = {{"nested.pt", leat_weights_read},         {"deflated.pt", leat_weights_read},
                                 {"module.pt", leat_weights_read},         {"legacy.pt", leat_weights_read},
                                 {"small.safetensors", leat_weights_read}, {"plain.npy", leat_npy_read},
                                 {"fortran.npy", leat_npy_read},           {"bytes.idx", leat_idx_read},
                                 {"floats.idx.gz", leat_idx_read}};
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) exhaust(files[i].name, read_tensors, &files[i]);
}

// usage: scarce_test [TESTS]    only these, by a pattern of their names
int main(int count, char **arguments) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(generating_kernels),
      cmocka_unit_test(reading),
      cmocka_unit_test(printing),
      cmocka_unit_test(evaluating),
      cmocka_unit_test(compiling),
      cmocka_unit_test(loading_and_running),
      cmocka_unit_test(loops),
      cmocka_unit_test(running_on_threads),
  };
  if (count > 1) cmocka_set_test_filter(arguments[1]);
  scarce_init();
  return cmocka_run_group_tests_name("scarce", tests, NULL, NULL);
}
