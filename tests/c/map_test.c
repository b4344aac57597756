// SPDX-License-Identifier: Apache-2.0
// Settle, cut and map on small primitive graphs: what sections come out, and that the PEF validates.
#include "map/map.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "cut/group.h"
#include "pef/pef_read.h"
#include "space/settle.h"

// The classifier of the documentation, forward only, written in primitives.
static const char forward_text[] =
    "leat.graph 1\n"
    "%0 = prim.symbol() {kind=\"input\", name=\"image\"} : f32[64,784]\n"
    "%1 = prim.symbol() {kind=\"param\", name=\"weight\"} : f32[100,784]\n"
    "%2 = prim.symbol() {kind=\"param\", name=\"bias\"} : f32[100]\n"
    "%3 = prim.contract(%0, %1) {spec=\"mk,nk->mn\"} : f32[64,100]\n"
    "%4 = prim.reshape(%2) {shape=[1,100]} : f32[1,100]\n"
    "%5 = prim.map(%3, %4) {fn=\"add\"} : f32[64,100]\n"
    "%6 = prim.reduce(%5) {dims=[1], fn=\"max\"} : f32[64,1]\n"
    "%7 = prim.map(%5, %6) {fn=\"sub\"} : f32[64,100]\n"
    "%8 = prim.map(%7) {fn=\"exp\"} : f32[64,100]\n"
    "%9 = prim.reduce(%8) {dims=[1], fn=\"sum\"} : f32[64,1]\n"
    "%10 = prim.map(%8, %9) {fn=\"div\"} : f32[64,100]\n"
    "prim.store(%10) {kind=\"output\", name=\"probability\"}\n"
    "%11 = prim.reduce(%10) {dims=[0], fn=\"sum\"} : f32[1,100]\n"
    "%12 = prim.reshape(%11) {shape=[100]} : f32[100]\n"
    "prim.store(%12) {kind=\"output\", name=\"mass\"}\n";

static leat_pef_t *compile(const char *text, uint32_t optim_level, uint8_t **out_bytes) {
  leat_graph_t *graph = NULL, *grouped = NULL, *settled = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  assert_ok(leat_group(graph, &(leat_group_options_t){.optim_level = optim_level}, &grouped));
  leat_arch_t arch;
  assert_ok(leat_arch_native("native:32768,1048576,16777216", &arch));
  assert_ok(leat_settle(grouped, &arch, &settled));
  leat_cut_options_t cut = {.arch = &arch};
  leat_plan_t plan;
  assert_ok(leat_cut(settled, &cut, &plan));
  leat_map_options_t options = {.arch = &arch, .optim_level = optim_level, .inference = true};
  leat_pef_writer_t *writer = leat_pef_writer_create();
  assert_ok(leat_map_native(settled, &plan, &options, writer));
  size_t bytes = 0;
  assert_ok(leat_pef_write_memory(writer, out_bytes, &bytes));
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_open_memory(*out_bytes, bytes, "test", &pef));
  leat_pef_writer_destroy(writer);
  leat_plan_deinit(&plan);
  leat_graph_destroy(settled);
  leat_graph_destroy(grouped);
  leat_graph_destroy(graph);
  return pef;
}

static uint32_t count_calls(const leat_pef_t *pef, uint32_t type) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < pef->call_count; ++i) count += pef->calls[i].type == type;
  return count;
}

// The product, softmax and their maps share a section; the sum over the batch cannot.
static void chain_shares_a_section(void **state) {
  (void)state;
  uint8_t *bytes = NULL;
  leat_pef_t *pef = compile(forward_text, 3, &bytes);
  assert_int_equal(count_calls(pef, PEF_FWD), 2);
  assert_true(count_calls(pef, PEF_PREPARE) >= 1);  // the weight is packed once
  leat_pef_close(pef);
  leat_free(bytes);
}

static void o0_cuts_at_every_op(void **state) {
  (void)state;
  uint8_t *bytes = NULL;
  leat_pef_t *pef = compile(forward_text, 0, &bytes);
  assert_int_equal(count_calls(pef, PEF_FWD), 9);  // eight ops, and the copy of a view that o0 keeps
  leat_pef_close(pef);
  leat_free(bytes);
}

// p <- p - g with a later reader of the old p: the store must wait for it.
static const char late_reader_text[] =
    "leat.graph 1\n"
    "%0 = prim.symbol() {kind=\"param\", name=\"p\"} : f32[64,64]\n"
    "%1 = prim.symbol() {kind=\"input\", name=\"g\"} : f32[64,64]\n"
    "%2 = prim.map(%0, %1) {fn=\"sub\"} : f32[64,64] !type=opt\n"
    "prim.store(%2) {kind=\"update\", name=\"p\"} !type=opt\n"
    "%3 = prim.contract(%2, %0) {spec=\"mk,kn->mn\"} : f32[64,64] !type=opt\n"
    "prim.store(%3) {kind=\"output\", name=\"y\"} !type=opt\n";

static void store_waits_for_late_reader(void **state) {
  (void)state;
  uint8_t *bytes = NULL;
  leat_pef_t *pef = compile(late_reader_text, 3, &bytes);
  const pef_call_t *last = &pef->calls[pef->call_count - 1];
  assert_int_equal(last->barrier, 1);
  assert_int_equal(last->argument_count, 2);
  leat_pef_close(pef);
  leat_free(bytes);
}

// A gradient normalised over the batch, then the gradient of a weight: both go along the features, but every tile of
// the product reads all of x. "%s" are the extents: of the picture, or the batch.
static const char conv_gradient_text[] =
    "leat.graph 1\n"
    "%%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[4,512,%s]\n"
    "%%1 = prim.symbol() {kind=\"input\", name=\"dy\"} : f32[4,64,%s]\n"
    "%%2 = prim.reduce(%%1) {dims=[0,2,3], fn=\"sum\"} : f32[1,64,1,1]\n"
    "%%3 = prim.map(%%1, %%2) {fn=\"sub\"} : f32[4,64,%s]\n"
    "%%4 = prim.map(%%3, %%3) {fn=\"mul\"} : f32[4,64,%s]\n"
    "%%5 = prim.reduce(%%4) {dims=[0,2,3], fn=\"sum\"} : f32[1,64,1,1]\n"
    "%%6 = prim.map(%%3, %%5) {fn=\"mul\"} : f32[4,64,%s]\n"
    "%%7 = prim.conv_wgrad(%%0, %%6) {window=[1,1], stride=[1,1], low=[0,0], high=[0,0], dilation=[1,1], groups=1, "
    "batch=0} : "
    "f32[64,512,1,1]\n"
    "prim.store(%%7) {kind=\"output\", name=\"dw\"}\n";
static const char linear_gradient_text[] =
    "leat.graph 1\n"
    "%%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[%s,512]\n"
    "%%1 = prim.symbol() {kind=\"input\", name=\"dy\"} : f32[%s,64]\n"
    "%%2 = prim.reduce(%%1) {dims=[0], fn=\"sum\"} : f32[1,64]\n"
    "%%3 = prim.map(%%1, %%2) {fn=\"sub\"} : f32[%s,64]\n"
    "%%4 = prim.map(%%3, %%3) {fn=\"mul\"} : f32[%s,64]\n"
    "%%5 = prim.reduce(%%4) {dims=[0], fn=\"sum\"} : f32[1,64]\n"
    "%%6 = prim.map(%%3, %%5) {fn=\"mul\"} : f32[%s,64]\n"
    "%%7 = prim.contract(%%6, %%0) {spec=\"bn,bk->nk\"} : f32[64,512]\n"
    "prim.store(%%7) {kind=\"output\", name=\"dw\"}\n";

// Whether the gradient of the weight has a section, and so tiles, of its own.
static bool is_apart(const char *format, const char *e) {
  char text[2048];
  uint8_t *bytes = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  snprintf(text, sizeof text, format, e, e, e, e, e);
#pragma GCC diagnostic pop
  leat_pef_t *pef = compile(text, 3, &bytes);
  const pef_body_t *last = &pef->bodies[pef->calls[pef->call_count - 1].body];
  const bool apart = last->stage_count == 1;
  leat_pef_close(pef);
  leat_free(bytes);
  return apart;
}

static void weight_gradients_stay_out_of_sections_that_read_their_activation_for_every_tile(void **state) {
  (void)state;
  assert_false(is_apart(conv_gradient_text, "4,4"));
  assert_true(is_apart(conv_gradient_text, "64,64"));
  assert_false(is_apart(linear_gradient_text, "64"));
  assert_true(is_apart(linear_gradient_text, "16384"));
}

// "%s": how deep the product is, so how much of its weights every tile streams.
static const char wide_product_text[] =
    "leat.graph 1\n"
    "%%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[512,%s]\n"
    "%%1 = prim.symbol() {kind=\"param\", name=\"w\"} : f32[%s,4096]\n"
    "%%2 = prim.contract(%%0, %%1) {spec=\"mk,kn->mn\"} : f32[512,4096]\n"
    "%%3 = prim.reduce(%%2) {dims=[1], fn=\"max\"} : f32[512,1]\n"
    "%%4 = prim.map(%%2, %%3) {fn=\"sub\"} : f32[512,4096]\n"
    "prim.store(%%4) {kind=\"output\", name=\"y\"}\n";

static uint64_t tile_rows_of_a_product(const char *depth) {
  char text[1024];
  uint8_t *bytes = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  snprintf(text, sizeof text, wide_product_text, depth, depth);
#pragma GCC diagnostic pop
  leat_pef_t *pef = compile(text, 3, &bytes);
  const pef_body_t *last = &pef->bodies[pef->calls[pef->call_count - 1].body];
  assert_true(last->stage_count > 1);
  const uint64_t rows = last->tile_rows_max;
  leat_pef_close(pef);
  leat_free(bytes);
  return rows;
}

static void tiles_that_stream_large_weights_are_higher_than_the_cache_would_have_them(void **state) {
  (void)state;
  assert_int_equal(tile_rows_of_a_product("32"), 32);
  assert_int_equal(tile_rows_of_a_product("1024"), 128);
}

static const char one_row_text[] =
    "leat.graph 1\n"
    "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[1,768]\n"
    "%1 = prim.symbol() {kind=\"param\", name=\"w\"} : f32[768,3000]\n"
    "%2 = prim.contract(%0, %1) {spec=\"mk,kn->mn\"} : f32[1,3000]\n"
    "prim.store(%2) {kind=\"output\", name=\"y\"}\n";

static void one_row_reads_panels_and_tiles_are_whole_ones(void **state) {
  (void)state;
  uint8_t *bytes = NULL;
  leat_pef_t *pef = compile(one_row_text, 3, &bytes);
  const pef_body_t *last = &pef->bodies[pef->calls[pef->call_count - 1].body];
  const pef_stage_t *product = &pef->stages[last->stage_first];
  assert_int_equal(product->kind, PEF_STAGE_CONTRACT);
  assert_int_equal(last->row_count, 3000);
  assert_int_equal(product->params.contract.n_block, 64);
  assert_int_equal(last->tile_quantum, 64);
  leat_pef_close(pef);
  leat_free(bytes);
}

static const char *owner_of(const leat_pef_t *pef, const char *name) {
  for (uint32_t i = 0; i < pef->symbol_count; ++i) {
    const pef_symbol_t *symbol = &pef->symbols[i];
    if (strcmp(pef->strings + symbol->name, name) != 0) continue;
    return symbol->of == PEF_NONE ? "nobody" : pef->strings + pef->symbols[symbol->of].name;
  }
  return "no symbol";
}

// Gradient, state and seed are of their owner: of the tensor that they were made for, not of one whose name begins
// theirs.
static void made_symbols_have_owners(void **state) {
  (void)state;
  static const char text[] =
      "leat.graph 1\n"
      "%0 = prim.symbol() {kind=\"input\", name=\"random\"} : f32[4]\n"
      "%1 = prim.symbol() {kind=\"param\", name=\"a\"} : f32[4]\n"
      "%2 = prim.symbol() {kind=\"param\", name=\"a__b\"} : f32[4]\n"
      "%3 = prim.symbol() {kind=\"state\", name=\"a__b__momentum\"} : f32[4]\n"
      "%4 = prim.symbol() {kind=\"state\", name=\"random__state\"} : i64[2]\n"
      "%5 = prim.symbol() {kind=\"state\", name=\"optimizer_0__step\"} : f64[]\n"
      "%6 = prim.symbol() {kind=\"seed\", name=\"y__seed\"} : f32[4]\n"
      "%7 = prim.random(%4) {fn=\"uniform\", stream=0} : f32[4]\n"
      "%8 = prim.map(%0, %7) {fn=\"add\"} : f32[4]\n"
      "%9 = prim.map(%8, %1) {fn=\"mul\"} : f32[4]\n"
      "%10 = prim.map(%9, %6) {fn=\"mul\"} : f32[4]\n"
      "%11 = prim.map(%2, %3) {fn=\"sub\"} : f32[4]\n"
      "%12 = prim.map(%5) {fn=\"neg\"} : f64[]\n"
      "prim.store(%9) {kind=\"output\", name=\"y\"}\n"
      "prim.store(%10) {kind=\"grad\", name=\"a__grad\"}\n"
      "prim.store(%11) {kind=\"grad\", name=\"a__b__grad\"}\n"
      "prim.store(%12) {kind=\"update\", name=\"optimizer_0__step\"}\n";
  uint8_t *bytes = NULL;
  leat_pef_t *pef = compile(text, 3, &bytes);
  assert_string_equal(owner_of(pef, "a__grad"), "a");
  assert_string_equal(owner_of(pef, "a__b__grad"), "a__b");
  assert_string_equal(owner_of(pef, "a__b__momentum"), "a__b");
  assert_string_equal(owner_of(pef, "y__seed"), "y");
  assert_string_equal(owner_of(pef, "random__state"), "nobody");
  assert_string_equal(owner_of(pef, "optimizer_0__step"), "nobody");
  assert_string_equal(owner_of(pef, "a__b"), "nobody");
  leat_pef_close(pef);
  leat_free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(chain_shares_a_section),
      cmocka_unit_test(made_symbols_have_owners),
      cmocka_unit_test(o0_cuts_at_every_op),
      cmocka_unit_test(store_waits_for_late_reader),
      cmocka_unit_test(one_row_reads_panels_and_tiles_are_whole_ones),
      cmocka_unit_test(tiles_that_stream_large_weights_are_higher_than_the_cache_would_have_them),
      cmocka_unit_test(weight_gradients_stay_out_of_sections_that_read_their_activation_for_every_tile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
