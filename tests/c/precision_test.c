// SPDX-License-Identifier: Apache-2.0
// Mixed precision: what each preset rounds, that the graph stays whole, and that the report says all of it.
#include "opt/precision.h"

#include <stdlib.h>

#include "check.h"
#include "grad/grad.h"
#include "lower/lower.h"
#include "opt/opt.h"

// A training graph: product, an elementwise op, a constant table, a user's conversion, a loss, an optimizer.
static const char text[] =
    "leat.graph 1\n"
    "%0 = symbol() {kind=\"input\", name=\"x\", requires_grad=0} : f32[4,6]\n"
    "%1 = symbol() {kind=\"param\", name=\"w\", requires_grad=1} : f32[3,6]\n"
    "%2 = symbol() {kind=\"param\", name=\"b\", requires_grad=1} : f32[3]\n"
    "%3 = symbol() {kind=\"input\", name=\"t\", requires_grad=0} : i64[4]\n"
    "%4 = linear(%0, %1, %2) : f32[4,3] @ \"net.fc\" \"net.py:3\"\n"
    "%5 = arange() {value=0.0, scale=1.0} : f32[3]\n"
    "%6 = square(%5) : f32[3]\n"
    "%7 = add(%4, %6) : f32[4,3] @ \"net\" \"net.py:5\"\n"
    "%8 = to(%7) {dtype=f32} : f32[4,3] @ \"net\" \"net.py:6\"\n"
    "%9 = cross_entropy(%8, %3, none) {ignore_index=-100, label_smoothing=0.0, reduction=\"mean\"} : f32[] @ \"net\" "
    "\"net.py:7\"\n"
    "output(%9) {name=\"loss\", seed=\"one\"}\n"
    "output(%4) {name=\"logits\", seed=\"zero\"}\n"
    "optimizer(%1, %2) {kind=\"sgd\", lr=0.5, momentum=0.0, weight_decay=0.0, hyper=\"lr\"}\n";

// The graph after the preset, as text; every later pass of the compiler must take it.
static char *rewritten(const char *preset, leat_precision_report_t *report) {
  leat_graph_t *graph, *made, *half, *differentiated, *primitive;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  leat_precision_t parsed;
  assert_ok(leat_precision_parse(preset, &parsed));
  assert_ok(leat_opt_precision(graph, parsed, report, &made));
  assert_ok(leat_graph_verify(made));
  assert_ok(leat_lower(made, true, &half));
  assert_ok(leat_grad(half, leat_lower_vjps(), &differentiated));
  assert_ok(leat_lower(differentiated, false, &primitive));
  assert_ok(leat_graph_verify(primitive));
  char *printed;
  assert_ok(leat_graph_print(made, &printed));
  leat_graph_destroy(primitive);
  leat_graph_destroy(differentiated);
  leat_graph_destroy(half);
  leat_graph_destroy(made);
  leat_graph_destroy(graph);
  return printed;
}

static uint32_t count(const char *in, const char *part) {
  uint32_t found = 0;
  for (const char *at = in; (at = strstr(at, part)) != NULL; at += strlen(part)) ++found;
  return found;
}

static void nothing_changes_without_a_preset(void **state) {
  (void)state;
  const char *const presets[] = {NULL, "mp0"};
  for (size_t i = 0; i < 2; ++i) {
    leat_precision_report_t report = {0};
    char *printed = rewritten(presets[i], &report);
    assert_int_equal(count(printed, "bf16"), 0);
    assert_int_equal(report.inputs + report.results, 0);
    leat_string_free(printed);
    leat_text_deinit(&report.json);
  }
}

static void mp1_rounds_operands_of_products(void **state) {
  (void)state;
  leat_precision_report_t report = {0};
  char *printed = rewritten("mp1", &report);
  assert_int_equal(report.inputs, 2);  // x and w, not the bias
  assert_int_equal(report.results, 0);
  assert_int_equal(count(printed, ": bf16"), 2);
  assert_non_null(strstr(printed, "linear(%5, %7, %2) : f32[4,3]"));
  assert_int_equal(count(report.json.data, "\"source\": \"net.py:3\""), 2);
  leat_string_free(printed);
  leat_text_deinit(&report.json);
}

static void mp4_leaves_only_symbols_and_constants_in_f32(void **state) {
  (void)state;
  leat_precision_report_t report = {0};
  char *printed = rewritten("mp4", &report);
  assert_int_equal(report.results, 4);  // linear, add, to, cross_entropy
  assert_int_equal(count(printed, "kind=\"param\", requires_grad=1} : f32["), 2);
  assert_int_equal(count(printed, "square("), 1);
  assert_non_null(strstr(printed, ") : f32[3]\n"));  // the table of constants
  assert_int_equal(count(printed, "linear("), 1);
  assert_int_equal(strncmp(strchr(strstr(printed, "linear("), ':'), ": bf16[4,3]", 11), 0);
  assert_non_null(strstr(printed, "optimizer(%1, %2)"));
  assert_non_null(strstr(printed, "{dtype=f32} : f32[]"));  // the loss leaves in its own dtype
  leat_string_free(printed);
  leat_text_deinit(&report.json);
}

// Ops that the program keeps out: they read f32, and their results are read as f32 or converted.
static void exact_ops_keep_their_dtypes(void **state) {
  (void)state;
  static const char exact[] =
      "leat.graph 1\n"
      "%0 = symbol() {kind=\"input\", name=\"x\"} : f32[4,4]\n"
      "%1 = exp(%0) : f32[4,4]\n"
      "%2 = matmul(%1, %1) : f32[4,4] !exact\n"
      "%3 = exp(%2) : f32[4,4]\n"
      "output(%3) {name=\"y\", seed=\"zero\"}\n";
  static const struct {
    leat_precision_t preset;
    const char *has;
    uint32_t rounded;
  } cases[] = {{LEAT_PRECISION_MP1, "matmul(%1, %1) : f32[4,4] !exact", 0},
               {LEAT_PRECISION_MP4, ": f32[4,4] !exact", 0}};
  for (size_t i = 0; i < 2; ++i) {
    leat_graph_t *graph, *made;
    leat_precision_report_t report = {0};
    char *printed;
    assert_ok(leat_graph_parse(exact, strlen(exact), &graph));
    assert_ok(leat_opt_precision(graph, cases[i].preset, &report, &made));
    assert_ok(leat_graph_verify(made));
    assert_ok(leat_graph_print(made, &printed));
    assert_non_null(strstr(printed, cases[i].has));
    assert_int_equal(report.inputs, cases[i].rounded);
    assert_int_equal(report.results, i == 0 ? 0 : 2);  // mp4: both exp
    leat_string_free(printed);
    leat_text_deinit(&report.json);
    leat_graph_destroy(made);
    leat_graph_destroy(graph);
  }
}

static void an_unknown_preset_names_the_known(void **state) {
  (void)state;
  leat_precision_t preset;
  assert_fails(leat_precision_parse("mp3", &preset), LEAT_INVALID_ARGUMENT, "mp0, mp1 and mp4");
}

// Rounded factors are multiplied as they are, through views, too; the factor that is not is rounded; products of what
// nobody rounded stay.
static void products_of_rounded_values_are_narrow(void **state) {
  (void)state;
  static const char rounded[] =
      "leat.graph 1\n"
      "%0 = prim.symbol() {name=\"x\", kind=\"input\"} : f32[4,6]\n"
      "%1 = prim.map(%0) {fn=\"cast\"} : bf16[4,6]\n"
      "%2 = prim.map(%1) {fn=\"cast\"} : f32[4,6]\n"
      "%3 = prim.transpose(%2) {dims=[1,0]} : f32[6,4]\n"
      "%4 = prim.symbol() {name=\"y\", kind=\"input\"} : f32[6,5]\n"
      "%5 = prim.contract(%3, %4) {spec=\"km,kn->mn\"} : f32[4,5]\n"
      "%6 = prim.contract(%4, %4) {spec=\"km,kn->mn\"} : f32[5,5]\n"
      "prim.store(%5) {name=\"a\", kind=\"output\"}\n"
      "prim.store(%6) {name=\"b\", kind=\"output\"}\n";
  leat_graph_t *graph, *made;
  char *printed;
  assert_ok(leat_graph_parse(rounded, strlen(rounded), &graph));
  assert_ok(leat_opt_narrow(graph, true, &made));
  assert_ok(leat_graph_verify(made));
  assert_ok(leat_graph_print(made, &printed));
  assert_non_null(strstr(printed, "prim.transpose(%1) {dims=[1,0]} : bf16[6,4]"));
  assert_int_equal(count(printed, "spec=\"km,kn->mn\", dtype=f32} : f32[4,5]"), 1);
  assert_int_equal(count(printed, ": bf16[6,5]"), 1);
  assert_int_equal(count(printed, "{spec=\"km,kn->mn\"} : f32[5,5]"), 1);
  leat_string_free(printed);
  leat_graph_destroy(made);
  leat_graph_destroy(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_changes_without_a_preset),
      cmocka_unit_test(mp1_rounds_operands_of_products),
      cmocka_unit_test(mp4_leaves_only_symbols_and_constants_in_f32),
      cmocka_unit_test(exact_ops_keep_their_dtypes),
      cmocka_unit_test(products_of_rounded_values_are_narrow),
      cmocka_unit_test(an_unknown_preset_names_the_known),
  };
  return cmocka_run_group_tests_name("precision", tests, NULL, NULL);
}
