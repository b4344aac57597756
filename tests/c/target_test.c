// SPDX-License-Identifier: Apache-2.0
// A target of its own: a machine of three units with slow memory and tiny scratch is a record and a row of functions.
// Nothing else of the compiler knows it, and its files run on the engines there are.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "driver/targets.h"
#include "leat/runtime.h"
#include "pef/legal.h"

// --- the toy ------------------------------------------------------------------------------------------------------

static leat_status_t toy_parse(const char *text, leat_arch_t *out_arch) {
  if (strcmp(text, "toy") != 0) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "arch '%s': the toy has one form, toy", text);
  leat_arch_init(out_arch, "toy", "a toy of three units");
  out_arch->built_in = false;
  out_arch->units = 3;
  out_arch->cores = 1;
  out_arch->read_bytes = out_arch->triad_bytes = out_arch->read_bytes_all = out_arch->triad_bytes_all = 50e6;
  out_arch->l1_bytes = 1024;
  out_arch->l2_bytes = 8192;
  out_arch->l3_bytes = out_arch->scratch_bytes = 8192;
  return NULL;
}

static uint32_t toy_mapped;

static leat_status_t toy_map(const leat_graph_t *g, const leat_plan_t *plan, const leat_map_options_t *options,
                             leat_pef_writer_t *writer) {
  ++toy_mapped;
  return leat_map_native(g, plan, options, writer);
}

static const leat_map_target_t toy = {.name = "toy",
                                      .forms = "toy",
                                      .parse = toy_parse,
                                      .check = leat_target_check_units,
                                      .map = toy_map,
                                      .describe = leat_target_describe_rates};
static const leat_map_target_t *const targets[] = {&leat_target_native, &toy, NULL};

// --- programs -----------------------------------------------------------------------------------------------------

static const char text[] =
    "leat.graph 1\n"
    "%0 = symbol() {kind=\"input\", name=\"x\", requires_grad=0} : f32[48,32]\n"
    "%1 = symbol() {kind=\"param\", name=\"net__a__weight\", requires_grad=1} : f32[24,32]\n"
    "%2 = symbol() {kind=\"param\", name=\"net__a__bias\", requires_grad=1} : f32[24]\n"
    "%3 = symbol() {kind=\"param\", name=\"net__b__weight\", requires_grad=1} : f32[10,24]\n"
    "%4 = symbol() {kind=\"input\", name=\"label\", requires_grad=0} : i64[48]\n"
    "%5 = linear(%0, %1, %2) : f32[48,24] @ \"net.a\" \"net.py:3\"\n"
    "%6 = tanh(%5) : f32[48,24] @ \"net\" \"net.py:4\"\n"
    "%7 = softmax(%6) {dim=1} : f32[48,24] @ \"net\" \"net.py:4\"\n"
    "%8 = linear(%7, %3, none) : f32[48,10] @ \"net.b\" \"net.py:5\"\n"
    "%9 = cross_entropy(%8, %4, none) {ignore_index=-100, label_smoothing=0.0, reduction=\"mean\"} : f32[] @ \"net\" "
    "\"net.py:6\"\n"
    "output(%9) {name=\"loss\", seed=\"one\"}\n"
    "output(%8) {name=\"logits\", seed=\"zero\"}\n"
    "optimizer(%1, %2, %3) {kind=\"sgd\", lr=0.5, momentum=0.0, weight_decay=0.0, hyper=\"lr\"}\n";

static leat_status_t compile(const char *arch, char *path) {
  leat_graph_t *graph = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  leat_compile_options_t options = leat_compile_options_default();
  options.arch = arch;
  options.verify_each = 1;
  strcpy(path, "/tmp/leat-target-XXXXXX");
  close(mkstemp(path));
  leat_status_t status = leat_compile_for(targets, graph, &options, path);
  leat_graph_destroy(graph);
  return status;
}

// Fills every symbol with small numbers of its own, runs all sections, and gives what `name` then holds.
static void run(const char *path, const char *engine, const char *name, float *out, size_t count) {
  leat_load_options_t load = leat_load_options_default();
  load.engine = engine;
  leat_program_t *program = NULL;
  assert_ok(leat_program_load(path, &load, &program));
  for (uint32_t s = 0; s < leat_program_symbol_count(program); ++s) {
    leat_symbol_info_t info;
    assert_ok(leat_program_symbol_info(program, s, &info));
    if (info.kind != LEAT_SYMBOL_INPUT && info.kind != LEAT_SYMBOL_PARAMETER) continue;
    char *data = leat_alloc_zero(1, info.data_bytes);
    const size_t size = info.dtype == LEAT_DTYPE_F32 ? 4 : 8;
    for (size_t i = 0; i < info.data_bytes / size; ++i) {
      const float number = (float)((i * 7 + strlen(info.name)) % 13) / 8.0f - 0.75f;
      const int64_t label = (int64_t)(i % 10);
      memcpy(data + i * size, size == 4 ? (const void *)&number : (const void *)&label, size);
    }
    assert_ok(leat_program_write(program, s, data, info.data_bytes));
    leat_free(data);
  }
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  uint32_t symbol;
  assert_ok(leat_program_find_symbol(program, name, &symbol));
  assert_ok(leat_program_read(program, symbol, out, count * sizeof *out));
  leat_program_destroy(program);
}

// --- tests --------------------------------------------------------------------------------------------------------

static void a_toy_compiles_as_its_record_says(void **state) {
  (void)state;
  char small[64], plain[64];
  toy_mapped = 0;
  assert_ok(compile("toy", small));
  assert_true(toy_mapped > 0);
  const uint32_t mapped = toy_mapped;
  assert_ok(compile("native", plain));
  assert_int_equal(toy_mapped, mapped);
  leat_pef_t *toy_pef = NULL, *native_pef = NULL;
  assert_ok(leat_pef_open(small, &toy_pef));
  assert_ok(leat_pef_open(plain, &native_pef));
  assert_true(toy_pef->call_count > native_pef->call_count);
  leat_arch_t told;
  leat_arch_of_pef(toy_pef->strings + toy_pef->info->arch, &told);
  assert_string_equal(told.target, "toy");
  assert_int_equal(told.units, 3);
  assert_true(leat_pef_most_scratch_bytes(toy_pef) <= 8192);
  bool full = false;
  for (uint32_t c = 0; c < toy_pef->call_count; ++c)
    full |= strstr(toy_pef->strings + toy_pef->calls[c].why, "every unit of the target has an op") != NULL;
  assert_true(full);
  assert_ok(leat_legal_check(toy_pef));
  leat_pef_close(toy_pef);
  leat_pef_close(native_pef);
  unlink(small);
  unlink(plain);
}

// Cut elsewhere, summed alike.
static void a_file_for_a_toy_runs_on_the_engines(void **state) {
  (void)state;
  char small[64], plain[64];
  enum { WEIGHTS = 24 * 32 };
  float expected[WEIGHTS], found[WEIGHTS];
  assert_ok(compile("toy", small));
  assert_ok(compile("native", plain));
  static const char *const engines[] = {"native", "ref", "compare"};
  run(plain, "native", "net__a__weight", expected, WEIGHTS);
  for (size_t e = 0; e < sizeof engines / sizeof *engines; ++e) {
    run(small, engines[e], "net__a__weight", found, WEIGHTS);
    assert_memory_equal(expected, found, sizeof expected);
  }
  unlink(small);
  unlink(plain);
}

static void arch_finds_its_target(void **state) {
  (void)state;
  const leat_map_target_t *target = NULL;
  leat_arch_t arch;
  assert_ok(leat_target_find(targets, NULL, &target, &arch));
  assert_ptr_equal(target, &leat_target_native);
  assert_ok(leat_target_find(targets, "toy", &target, &arch));
  assert_ptr_equal(target, &toy);
  assert_ok(leat_target_find(targets, "sn30", &target, &arch));
  assert_ptr_equal(target, &leat_target_native);
  assert_ok(leat_target_find(targets, "target: toy\nname: from a text\nunits: 5\n", &target, &arch));
  assert_ptr_equal(target, &toy);
  assert_int_equal(arch.units, 5);
  char path[] = "/tmp/leat-record-XXXXXX";
  const int file = mkstemp(path);
  const char record[] = "target: toy\nlevel: portable\n";
  assert_int_equal(write(file, record, sizeof record - 1), (ssize_t)(sizeof record - 1));
  close(file);
  assert_ok(leat_target_find(targets, path, &target, &arch));
  assert_ptr_equal(target, &toy);
  assert_int_equal(arch.level, LEAT_ARCH_PORTABLE);
  assert_fails(leat_target_find(leat_targets, path, &target, &arch), LEAT_INVALID_ARGUMENT, "of the target 'toy'");
  unlink(path);
  assert_fails(leat_target_find(targets, "toy:1", &target, &arch), LEAT_INVALID_ARGUMENT, "the toy has one form");
  assert_fails(leat_target_find(targets, "SN20", &target, &arch), LEAT_INVALID_ARGUMENT,
               "use native, toy, sn10, sn20 or sn30");
  assert_fails(leat_target_find(targets, "./none", &target, &arch), LEAT_NOT_FOUND, "./none");
}

static void sections_by_hand_are_checked_for_units(void **state) {
  (void)state;
  leat_arch_t arch;
  assert_ok(toy_parse("toy", &arch));
  leat_graph_t *graph = NULL;
  const char program[] =
      "leat.graph 1\n"
      "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[8]\n"
      "%1 = prim.map(%0) {fn=\"neg\"} : f32[8]\n";
  assert_ok(leat_graph_parse(program, strlen(program), &graph));
  leat_op_id_t ops[4] = {1, 1, 1, 1};
  leat_section_t section = {.ops = {.data = ops, .count = 4}};
  leat_plan_t plan = {.sections = {.data = &section, .count = 1}};
  assert_fails(toy.check(graph, &plan, &arch), LEAT_UNSUPPORTED, "holds 4 ops, a toy of three units has 3 units");
  section.ops.count = 3;
  assert_ok(toy.check(graph, &plan, &arch));
  leat_graph_destroy(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_toy_compiles_as_its_record_says),
      cmocka_unit_test(a_file_for_a_toy_runs_on_the_engines),
      cmocka_unit_test(arch_finds_its_target),
      cmocka_unit_test(sections_by_hand_are_checked_for_units),
  };
  return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
