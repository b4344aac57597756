// SPDX-License-Identifier: Apache-2.0
// Linked programs: equal groups are one body and several calls, each with its own arguments; what a linked program
// computes is what the program compiled as a whole computes, and bit for bit what it computes without sharing.
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "check.h"
#include "leat/runtime.h"
#include "pef/pef_read.h"
#include "samples.h"

static const char path[] = "link_test.pef";

// Two groups: tanh(x w0) and f(h w1). Filled in: width of the second, twice; f; width.
static const char pair_text[] =
    "leat.graph 1\n"
    "group 1 \"block\"\n"
    "group 2 \"block\"\n"
    "%%0 = symbol() {name=\"x\", kind=\"input\"} : f32[4,6]\n"
    "%%1 = symbol() {name=\"w0\", kind=\"param\", requires_grad=1} : f32[6,6]\n"
    "%%2 = symbol() {name=\"w1\", kind=\"param\", requires_grad=1} : f32[%d,6]\n"
    "%%3 = linear(%%0, %%1, none) : f32[4,6] !group=1 @ \"net.first\" \"net.py:3\"\n"
    "%%4 = tanh(%%3) : f32[4,6] !group=1 @ \"net.first\" \"net.py:3\"\n"
    "%%5 = linear(%%4, %%2, none) : f32[4,%d] !group=2 @ \"net.second\" \"net.py:4\"\n"
    "%%6 = %s(%%5) : f32[4,%d] !group=2 @ \"net.second\" \"net.py:4\"\n"
    "output(%%6) {name=\"y\", seed=\"zero\"}\n";

// One weight behind two equal groups, and a loss.
static const char tied_text[] =
    "leat.graph 1\n"
    "%0 = symbol() {name=\"x\", kind=\"input\"} : f32[4,6]\n"
    "%1 = symbol() {name=\"w\", kind=\"param\", requires_grad=1} : f32[6,6]\n"
    "%2 = linear(%0, %1, none) : f32[4,6] !group=1 @ \"net\" \"net.py:3\"\n"
    "%3 = tanh(%2) : f32[4,6] !group=1 @ \"net\" \"net.py:3\"\n"
    "%4 = linear(%3, %1, none) : f32[4,6] !group=2 @ \"net\" \"net.py:4\"\n"
    "%5 = tanh(%4) : f32[4,6] !group=2 @ \"net\" \"net.py:4\"\n"
    "%6 = linear(%5, %1, none) : f32[4,6] !group=3 @ \"net\" \"net.py:5\"\n"
    "%7 = tanh(%6) : f32[4,6] !group=3 @ \"net\" \"net.py:5\"\n"
    "%8 = sum(%7) {dims=[]} : f32[] !group=4 @ \"net\" \"net.py:6\"\n"
    "output(%8) {name=\"loss\", seed=\"one\"}\n"
    "optimizer(%1) {kind=\"sgd\", lr=0.05, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=0, maximize=0}\n";

// %3 is read by three groups and is an output besides; all of them reach the loss.
static const char readers_text[] =
    "leat.graph 1\n"
    "%0 = symbol() {name=\"x\", kind=\"input\"} : f32[4,6]\n"
    "%1 = symbol() {name=\"w\", kind=\"param\", requires_grad=1} : f32[6,6]\n"
    "%2 = linear(%0, %1, none) : f32[4,6] !group=1 @ \"net\" \"net.py:3\"\n"
    "%3 = tanh(%2) : f32[4,6] !group=1 @ \"net\" \"net.py:3\"\n"
    "%4 = sigmoid(%3) : f32[4,6] !group=2 @ \"net\" \"net.py:4\"\n"
    "%5 = gelu(%3) {approximate=\"none\"} : f32[4,6] !group=3 @ \"net\" \"net.py:5\"\n"
    "%6 = mul(%4, %5) : f32[4,6] !group=4 @ \"net\" \"net.py:6\"\n"
    "%7 = add(%6, %3) : f32[4,6] !group=4 @ \"net\" \"net.py:6\"\n"
    "%8 = sum(%7) {dims=[]} : f32[] !group=5 @ \"net\" \"net.py:7\"\n"
    "output(%8) {name=\"loss\", seed=\"one\"}\n"
    "output(%3) {name=\"middle\", seed=\"symbol\"}\n"
    "optimizer(%1) {kind=\"sgd\", lr=0.05, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=0, maximize=0}\n";

static leat_graph_t *parsed(const char *text) {
  leat_graph_t *graph = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  return graph;
}

static leat_graph_t *pair(int width, const char *second) {
  char text[2048];
  assert_true(snprintf(text, sizeof text, pair_text, width, width, second, width) < (int)sizeof text);
  return parsed(text);
}

static void compile(const leat_graph_t *graph, uint32_t level, bool share) {
  leat_compile_options_t options = leat_compile_options_default();
  options.optim_level = level;
  options.separate_bodies = !share;
  assert_ok(leat_compile(graph, &options, path));
}

static leat_pef_t *compiled(leat_graph_t *graph, uint32_t level, bool share) {
  leat_pef_t *pef = NULL;
  compile(graph, level, share);
  assert_ok(leat_pef_open(path, &pef));
  leat_graph_destroy(graph);
  unlink(path);
  return pef;
}

// --- what the file holds ---------------------------------------------------------------------------------------------

// The argument of `call` that is the symbol `name`, and its index among the arguments.
static const pef_argument_t *argument_of(const leat_pef_t *pef, uint32_t call, const char *name, uint32_t *out_index) {
  for (uint32_t i = 0; i < pef->calls[call].argument_count; ++i) {
    const pef_argument_t *a = &pef->arguments[pef->calls[call].argument_first + i];
    *out_index = i;
    if (a->kind == PEF_PLACE_SYMBOL && strcmp(pef->strings + pef->symbols[a->symbol].name, name) == 0) return a;
  }
  return NULL;
}

static const pef_argument_t *arena_argument(const leat_pef_t *pef, uint32_t call, uint32_t *out_index) {
  for (uint32_t i = 0; i < pef->calls[call].argument_count; ++i) {
    const pef_argument_t *a = &pef->arguments[pef->calls[call].argument_first + i];
    *out_index = i;
    if (a->kind == PEF_PLACE_ARENA) return a;
  }
  return NULL;
}

static uint32_t count_bodies(const leat_pef_t *pef) {
  uint32_t used = 0;
  for (uint32_t b = 0; b < pef->body_count; ++b) {
    bool is_used = false;
    for (uint32_t c = 0; c < pef->call_count; ++c) is_used = is_used || pef->calls[c].body == b;
    used += is_used;
  }
  assert_int_equal(used, pef->body_count);
  return used;
}

// Three equal products, each between two values that other groups compute or read.
static leat_graph_t *chain(void) {
  static const char text[] =
      "leat.graph 1\n"
      "%0 = symbol() {name=\"x\", kind=\"input\"} : f32[4,6]\n"
      "%1 = symbol() {name=\"w0\", kind=\"param\"} : f32[6,6]\n"
      "%2 = symbol() {name=\"w1\", kind=\"param\"} : f32[6,6]\n"
      "%3 = symbol() {name=\"w2\", kind=\"param\"} : f32[6,6]\n"
      "%4 = tanh(%0) : f32[4,6] !group=1 @ \"net\" \"net.py:3\"\n"
      "%5 = linear(%4, %1, none) : f32[4,6] !group=2 @ \"net.first\" \"net.py:3\"\n"
      "%6 = linear(%5, %2, none) : f32[4,6] !group=3 @ \"net.second\" \"net.py:3\"\n"
      "%7 = linear(%6, %3, none) : f32[4,6] !group=4 @ \"net.third\" \"net.py:3\"\n"
      "%8 = sigmoid(%7) : f32[4,6] !group=5 @ \"net\" \"net.py:3\"\n"
      "output(%8) {name=\"y\", seed=\"zero\"}\n";
  return parsed(text);
}

static uint32_t forward_call(const leat_pef_t *pef, const char *name) {
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    if (pef->calls[c].type == PEF_FWD && strcmp(pef->strings + pef->calls[c].name, name) == 0) return c;
  }
  fail_msg("no forward call is named '%s'", name);
  return 0;
}

static void equal_units_are_one_body(void **state) {
  (void)state;
  static const char *const modules[] = {"net.first", "net.second", "net.third"};
  leat_pef_t *pef = compiled(chain(), 1, true);
  uint32_t calls[3];
  for (uint32_t i = 0; i < 3; ++i) calls[i] = forward_call(pef, modules[i]);
  for (uint32_t i = 1; i < 3; ++i) {
    assert_true(calls[i] > calls[i - 1]);
    assert_int_equal(pef->calls[calls[i]].body, pef->calls[calls[0]].body);
    assert_int_equal(pef->calls[calls[i]].barrier, 1);  // it reads what the call before it writes
  }
  count_bodies(pef);
  leat_pef_close(pef);
}

// The middle call reads where the first wrote and writes where the last reads.
static void calls_have_arguments_of_their_own(void **state) {
  (void)state;
  leat_pef_t *pef = compiled(chain(), 1, true);
  const uint32_t first = forward_call(pef, "net.first"), second = forward_call(pef, "net.second"),
                 third = forward_call(pef, "net.third"), count = pef->calls[first].argument_count;
  const pef_argument_t *arguments = pef->arguments;
  const pef_argument_t *a = &arguments[pef->calls[first].argument_first],
                       *b = &arguments[pef->calls[second].argument_first],
                       *c = &arguments[pef->calls[third].argument_first];
  uint32_t moved = 0;
  assert_int_equal(count, pef->calls[second].argument_count);
  for (uint32_t i = 0; i < count; ++i) {
    assert_int_equal(a[i].kind, b[i].kind);
    assert_int_equal(a[i].bytes, b[i].bytes);
    if (a[i].kind != PEF_PLACE_ARENA) continue;
    for (uint32_t k = 0; k < count; ++k) {  // the place that one writes at i, the next reads at k
      if (k == i || a[k].kind != PEF_PLACE_ARENA || a[i].offset != b[k].offset) continue;
      assert_true(a[i].offset != a[k].offset);
      assert_true(b[i].offset == c[k].offset);
      ++moved;
    }
  }
  assert_true(moved > 0);
  leat_pef_close(pef);
}

static void other_shapes_and_functions_share_nothing(void **state) {
  (void)state;
  leat_pef_t *shape = compiled(pair(8, "tanh"), 1, true), *function = compiled(pair(6, "sigmoid"), 1, true);
  assert_true(shape->call_count >= 2 && function->call_count >= 2);
  assert_int_equal(count_bodies(shape), shape->call_count);
  assert_int_equal(count_bodies(function), function->call_count);
  leat_pef_close(shape);
  leat_pef_close(function);
}

static void without_sharing_each_call_has_a_body(void **state) {
  (void)state;
  leat_pef_t *pef = compiled(chain(), 1, false), *shared = compiled(chain(), 1, true);
  assert_int_equal(pef->call_count, shared->call_count);
  assert_int_equal(count_bodies(pef), pef->call_count);
  assert_true(count_bodies(shared) < shared->call_count);
  leat_pef_close(pef);
  leat_pef_close(shared);
}

// Equal blocks that draw random numbers are one body; each call says where its streams begin.
static void draws_are_those_of_the_call(void **state) {
  (void)state;
  leat_graph_t *graph = NULL;
  assert_ok(sample_graph("blocks", &graph));
  leat_pef_t *pef = compiled(graph, 1, true);
  const pef_call_t *first = &pef->calls[forward_call(pef, "blocks.blocks.1 .. blocks")],
                   *second = &pef->calls[forward_call(pef, "blocks.blocks.2 .. blocks")];
  assert_int_equal(first->body, second->body);
  assert_int_equal(first->stream, 1);
  assert_int_equal(second->stream, 2);
  uint32_t draws = 0;
  for (uint32_t s = 0; s < pef->bodies[first->body].stage_count; ++s) {
    const pef_stage_t *stage = &pef->stages[pef->bodies[first->body].stage_first + s];
    if (stage->kind == PEF_STAGE_RANDOM) assert_int_equal(stage->params.random.stream, 0);
    draws += stage->kind == PEF_STAGE_RANDOM;
  }
  assert_int_equal(draws, 1);
  leat_pef_close(pef);
}

// Each group's own symbols: the weight of one block is no argument of the other's call.
static void symbols_are_those_of_the_group(void **state) {
  (void)state;
  uint32_t index;
  leat_pef_t *pef = compiled(pair(6, "tanh"), 0, true);
  const uint32_t first = forward_call(pef, "net.first"), second = forward_call(pef, "net.second");
  assert_non_null(argument_of(pef, first, "x", &index));
  assert_null(argument_of(pef, second, "x", &index));
  assert_null(argument_of(pef, second, "w0", &index));
  assert_null(argument_of(pef, first, "w1", &index));
  assert_null(arena_argument(pef, first, &index));  // o0 keeps every result as a symbol
  assert_non_null(argument_of(pef, first, "net__first__linear__outputs__0", &index));
  leat_pef_close(pef);
}

// --- what it computes ------------------------------------------------------------------------------------------------

static void set_symbols(leat_program_t *program) {
  for (uint32_t i = 0; i < leat_program_symbol_count(program); ++i) {
    leat_symbol_info_t info;
    assert_ok(leat_program_symbol_info(program, i, &info));
    const bool is_set =
        info.kind == LEAT_SYMBOL_INPUT || info.kind == LEAT_SYMBOL_PARAMETER || info.kind == LEAT_SYMBOL_SEED;
    float *values = leat_program_data(program, i);
    if (!is_set || info.dtype != LEAT_DTYPE_F32) continue;
    for (size_t k = 0; k < info.data_bytes / sizeof *values; ++k)
      values[k] = 0.125f * (float)((k * 7 + strlen(info.name)) % 11) - 0.5f;
  }
}

// Three steps; forward and what follows it run apart, as the SDK may ask for.
static leat_program_t *trained(leat_graph_t *graph, uint32_t level, bool share) {
  leat_load_options_t options = leat_load_options_default();
  leat_program_t *program = NULL;
  options.thread_count = 2;
  compile(graph, level, share);
  assert_ok(leat_program_load(path, &options, &program));
  unlink(path);
  set_symbols(program);
  for (uint32_t step = 0; step < 3; ++step) {
    assert_ok(leat_program_run(program, LEAT_SECTIONS_FWD));
    assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL & ~(uint32_t)LEAT_SECTIONS_FWD));
  }
  return program;
}

static void expect_close(const leat_symbol_info_t *info, const float *own, const float *other) {
  for (size_t i = 0; i < info->data_bytes / sizeof *own; ++i) {
    if (fabsf(own[i] - other[i]) > 1e-5f + 1e-4f * fabsf(other[i]))
      fail_msg("%s[%zu]: %.9g instead of %.9g", info->name, i, (double)own[i], (double)other[i]);
  }
}

// Every symbol of `program` that `other` has too; returns how many.
static uint32_t compare(leat_program_t *program, leat_program_t *other, bool bits) {
  uint32_t compared = 0;
  for (uint32_t i = 0; i < leat_program_symbol_count(program); ++i) {
    leat_symbol_info_t info;
    uint32_t found;
    assert_ok(leat_program_symbol_info(program, i, &info));
    leat_status_t status = leat_program_find_symbol(other, info.name, &found);
    const bool is_there = status == NULL;
    leat_status_free(status);
    if (!is_there) continue;
    const void *own = leat_program_data(program, i), *as = leat_program_data(other, found);
    if (bits && memcmp(own, as, info.data_bytes) != 0) fail_msg("%s differs", info.name);
    if (!bits && info.dtype == LEAT_DTYPE_F32) expect_close(&info, own, as);
    ++compared;
  }
  return compared;
}

static void expect_the_same(leat_graph_t *graph) {
  leat_program_t *whole = trained(graph, 3, true);
  for (uint32_t level = 0; level < 2; ++level) {
    leat_program_t *shared = trained(graph, level, true), *apart = trained(graph, level, false);
    assert_int_equal(compare(shared, apart, true), leat_program_symbol_count(apart));
    assert_true(compare(whole, shared, false) >= 3);
    leat_program_destroy(shared);
    leat_program_destroy(apart);
  }
  leat_program_destroy(whole);
  leat_graph_destroy(graph);
}

static void tied_weights_add_up_their_gradients(void **state) {
  (void)state;
  expect_the_same(parsed(tied_text));
}

static void cotangents_of_several_readers_add_up(void **state) {
  (void)state;
  expect_the_same(parsed(readers_text));
}

// Equal blocks with dropout, a tied weight, a norm that spans all groups.
static void blocks_train_as_the_whole_does(void **state) {
  (void)state;
  leat_graph_t *graph = NULL;
  assert_ok(sample_graph("blocks", &graph));
  expect_the_same(graph);
}

// Sections of one type may run again: what they read of the others is still there.
static void backward_may_run_twice(void **state) {
  (void)state;
  leat_graph_t *graph = NULL;
  assert_ok(sample_graph("blocks", &graph));
  leat_program_t *once = trained(graph, 1, true), *twice = trained(graph, 1, true);
  for (uint32_t step = 0; step < 2; ++step) {
    for (uint32_t i = 0; i < 2; ++i) assert_ok(leat_program_run(i == 0 ? once : twice, LEAT_SECTIONS_FWD));
    for (uint32_t i = 0; i < 3; ++i) assert_ok(leat_program_run(i == 0 ? once : twice, LEAT_SECTIONS_BCKWD));
    for (uint32_t i = 0; i < 2; ++i)
      assert_ok(leat_program_run(i == 0 ? once : twice, LEAT_SECTIONS_GRADNORM | LEAT_SECTIONS_OPT));
  }
  assert_int_equal(compare(once, twice, true), leat_program_symbol_count(once));
  leat_program_destroy(once);
  leat_program_destroy(twice);
  leat_graph_destroy(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_units_are_one_body),
      cmocka_unit_test(calls_have_arguments_of_their_own),
      cmocka_unit_test(other_shapes_and_functions_share_nothing),
      cmocka_unit_test(without_sharing_each_call_has_a_body),
      cmocka_unit_test(draws_are_those_of_the_call),
      cmocka_unit_test(symbols_are_those_of_the_group),
      cmocka_unit_test(tied_weights_add_up_their_gradients),
      cmocka_unit_test(cotangents_of_several_readers_add_up),
      cmocka_unit_test(blocks_train_as_the_whole_does),
      cmocka_unit_test(backward_may_run_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
