// SPDX-License-Identifier: Apache-2.0
// What a fingerprint is made of, and that version 1 stays what it was: golden files and their programs run together in
// tests/python/test_golden.py.
#include "ir/fingerprint.h"

#include "check.h"

// A small training program: names of the input and a hyperparameter, seed, dropout and optimizer, filled in.
#define PROGRAM(input, p, width, seed, lr, momentum, line)                      \
  "leat.graph 1\n"                                                              \
  "%0 = symbol() {name=\"" input                                                \
  "\", kind=\"input\"} : f32[4,6]\n"                                            \
  "%1 = symbol() {name=\"w\", kind=\"param\", requires_grad=1} : f32[" width    \
  ",6]\n"                                                                       \
  "%2 = linear(%0, %1, none) : f32[4," width "] @ \"net.first\" \"net.py:" line \
  "\"\n"                                                                        \
  "%3 = dropout(%2) {p=" p ", training=1, stream=0} : f32[4," width             \
  "]\n"                                                                         \
  "%4 = mean(%3) {dims=[0,1], keepdim=0} : f32[]\n"                             \
  "output(%4) {name=\"loss\", seed=\"" seed                                     \
  "\"}\n"                                                                       \
  "optimizer(%1) {kind=\"sgd\", lr=" lr ", momentum=" momentum                  \
  ", dampening=0.0, weight_decay=0.0, nesterov=0, "                             \
  "maximize=0, prefix=\"\", hyper=\"lr\"}\n"

static void fingerprint(const char *text, uint64_t out[3]) {
  leat_graph_t *graph = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  assert_ok(leat_fingerprint(graph, 1, out));
  leat_graph_destroy(graph);
}

static void each_change_shows_in_its_part(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool differs[3];
  } others[] = {
      {PROGRAM("x", "0.5", "6", "one", "0.1", "0.9", "3"), {false, false, false}},
      {PROGRAM("x", "0.5", "6", "one", "0.1", "0.9", "4"), {false, false, false}},  // moved in its file
      {PROGRAM("x", "0.1", "6", "one", "0.1", "0.9", "3"), {false, false, false}},  // another dropout
      {PROGRAM("x", "0.5", "6", "one", "0.2", "0.9", "3"), {false, false, false}},  // a value that a run gives
      {PROGRAM("y", "0.5", "6", "one", "0.1", "0.9", "3"), {true, false, false}},
      {PROGRAM("x", "0.5", "5", "one", "0.1", "0.9", "3"), {true, false, false}},
      {PROGRAM("x", "0.5", "6", "zero", "0.1", "0.9", "3"), {false, true, false}},
      {PROGRAM("x", "0.5", "6", "one", "0.1", "0.8", "3"), {false, false, true}},
  };
  uint64_t first[3], other[3];
  fingerprint(others[0].text, first);
  for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
    fingerprint(others[i].text, other);
    for (int part = 0; part < 3; ++part)
      if ((first[part] != other[part]) != others[i].differs[part]) fail_msg("program %zu, part %d", i, part);
  }
}

static void version_1_stays_what_it_was(void **state) {
  (void)state;
  static const uint64_t expected[3] = {UINT64_C(0xa2df4640dc8c6e02), UINT64_C(0x0edba72f7a3f8f1e),
                                       UINT64_C(0x317c99d09886c07e)};
  uint64_t found[3];
  fingerprint(PROGRAM("x", "0.5", "6", "one", "0.1", "0.9", "3"), found);
  assert_memory_equal(found, expected, sizeof found);
}

// Version 1 hashes the numbers of these.
static void keys_of_attributes_keep_their_numbers(void **state) {
  (void)state;
  static const char *const keys[] = {"dim",
                                     "dims",
                                     "keepdim",
                                     "shape",
                                     "start",
                                     "stop",
                                     "step",
                                     "low",
                                     "high",
                                     "interior",
                                     "window",
                                     "stride",
                                     "padding",
                                     "dilation",
                                     "base_dilation",
                                     "output_padding",
                                     "groups",
                                     "transposed",
                                     "ceil_mode",
                                     "count_include_pad",
                                     "divisor",
                                     "spec",
                                     "fn",
                                     "mode",
                                     "reduction",
                                     "approximate",
                                     "rounding",
                                     "dtype",
                                     "value",
                                     "alpha",
                                     "beta",
                                     "min",
                                     "max",
                                     "eps",
                                     "scale",
                                     "slope",
                                     "threshold",
                                     "label_smoothing",
                                     "momentum",
                                     "p",
                                     "correction",
                                     "ignore_index",
                                     "causal",
                                     "training",
                                     "descending",
                                     "k",
                                     "reverse",
                                     "batch",
                                     "diagonal",
                                     "num_groups",
                                     "align_corners",
                                     "index",
                                     "stream",
                                     "name",
                                     "kind",
                                     "seed",
                                     "requires_grad",
                                     "detached",
                                     "lr",
                                     "weight_decay",
                                     "dampening",
                                     "nesterov",
                                     "maximize",
                                     "beta1",
                                     "beta2",
                                     "amsgrad",
                                     "max_grad_norm",
                                     "fp32_params",
                                     "prefix",
                                     "hyper",
                                     "clip",
                                     "lower",
                                     "wraps"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; ++i)
    assert_string_equal(leat_attr_name((leat_attr_key_t)i), keys[i]);
}

static void versions_that_nobody_knows_are_refused(void **state) {
  (void)state;
  leat_graph_t *graph = NULL;
  uint64_t found[3];
  assert_ok(leat_graph_create(&graph));
  assert_fails(leat_fingerprint(graph, 0, found), LEAT_UNSUPPORTED, "fingerprints of version 0");
  assert_fails(leat_fingerprint(graph, 3, found), LEAT_UNSUPPORTED, "fingerprints of version 3");
  leat_graph_destroy(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_change_shows_in_its_part),
      cmocka_unit_test(version_1_stays_what_it_was),
      cmocka_unit_test(keys_of_attributes_keep_their_numbers),
      cmocka_unit_test(versions_that_nobody_knows_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
