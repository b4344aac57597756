// SPDX-License-Identifier: Apache-2.0
// Tests of the rule reader: what files mean, and where errors point.
#include "rule/rule.h"

#include <stdio.h>

#include "check.h"

static leat_status_t read_text(const char *text, leat_rules_t **out_rules) {
  assert_ok(leat_rules_create(out_rules));
  return leat_rules_add(*out_rules, text, strlen(text), "f.yaml");
}

#define RULE "r:\n  priority: 1\n  pattern:\n"

// A file, and how its message begins (file:line:column) and what it says.
static const struct {
  const char *text, *place, *says;
} errors[] = {
    {"", "f.yaml:1:1", "empty"},
    {"# nothing\n", "f.yaml:1:1", "empty"},
    {"- a\n", "f.yaml:1:1", "mapping from rule names"},
    {"just text\n", "f.yaml:1:1", "not text"},
    {"r: 5\n", "f.yaml:1:4", "rule 'r' is a mapping"},
    {"r:\n  pattern:\n    a: {op_type: add}\n", "f.yaml:1:1", "no priority"},
    {"r:\n  priority: 1\n", "f.yaml:1:1", "no pattern"},
    {"r:\n  priority: high\n", "f.yaml:2:13", "priority is an integer, not high"},
    {"r:\n  priority: 1.5\n", "f.yaml:2:13", "priority is an integer"},
    {"r:\n  priority: '1'\n", "f.yaml:2:13", "priority is an integer"},
    {"r:\n  priority: 99999999999999999999\n", "f.yaml:2:13", "not between"},
    {"r:\n  prioritty: 1\n", "f.yaml:2:3", "did you mean 'priority'?"},
    {"r:\n  priority: 1\n  priority: 2\n", "f.yaml:3:3", "stands twice"},
    {"r:\n  ? [a]\n  : 1\n", "f.yaml:2:5", "a key is text"},
    {RULE "    - a\n", "f.yaml:4:5", "a pattern is a mapping"},
    {"r:\n  priority: 1\n  pattern: {}\n", "f.yaml:3:12", "empty"},
    {RULE "    a: {}\n", "f.yaml:4:5", "no op_type"},
    {RULE "    a: add\n", "f.yaml:4:8", "entry 'a' is a mapping"},
    {RULE "    a: {op_typ: add}\n", "f.yaml:4:9", "did you mean 'op_type'?"},
    {RULE "    a: {op_type: layernorm}\n", "f.yaml:4:18", "did you mean 'layer_norm'?"},
    {RULE "    a: {op_type: [add, gellu]}\n", "f.yaml:4:24", "did you mean 'gelu'?"},
    {RULE "    a: {op_type: []}\n", "f.yaml:4:18", "empty list"},
    {RULE "    a: {op_type: {b: c}}\n", "f.yaml:4:18", "not a mapping"},
    {RULE "    a: {op_type: add, child: b}\n", "f.yaml:4:30", "no entry 'b'"},
    {RULE "    norm: {op_type: add, child: nrom}\n", "f.yaml:4:33", "did you mean 'norm'?"},
    {RULE "    a: {op_type: add, child: [b]}\n", "f.yaml:4:30", "write 'children'"},
    {RULE "    a: {op_type: add, children: b}\n", "f.yaml:4:33", "children is a list"},
    {RULE "    a: {op_type: add, children: []}\n", "f.yaml:4:33", "empty list"},
    {RULE "    a: {op_type: add, child: a}\n", "f.yaml:4:30", "names itself"},
    {RULE "    a: {op_type: add, children: [b, b]}\n    b: {op_type: mul}\n", "f.yaml:4:37", "listed twice"},
    {RULE "    a: {op_type: add, child: b}\n    b: {op_type: mul, child: a}\n", "f.yaml:4:5", "no cycles"},
    {RULE "    a: {op_type: add}\n    b: {op_type: mul}\n", "f.yaml:5:5", "not connected"},
    {RULE "    a: {op_type: add}\n    a: {op_type: mul}\n", "f.yaml:5:5", "it is in line 4 already"},
    {RULE "    a: {op_type: add, required: maybe}\n", "f.yaml:4:33", "true or false, not maybe"},
    {RULE "    a: {op_type: add, included: [true]}\n", "f.yaml:4:33", "true or false, not a list"},
    {RULE "    a: {op_type: add, required: false}\n", "f.yaml:4:5", "nothing is sure to be fused"},
    {RULE "    a: {op_type: add, included: false}\n", "f.yaml:4:5", "nothing is sure to be fused"},
    {RULE "    a: {op_type: add, match_first_option: [b]}\n    b: {op_type: mul}\n", "f.yaml:4:43", "one of them"},
    {RULE "    a: {match_first_option: []}\n", "f.yaml:4:29", "empty list"},
    {RULE "    a: {match_first_option: b}\n    b: {op_type: mul}\n", "f.yaml:4:29", "list of entry names"},
    {RULE "    a: {match_first_option: [b]}\n    b: {match_first_option: [c]}\n    c: {op_type: mul}\n", "f.yaml:5:5",
     "has options itself"},
    {"r:\n  priority: 1\n  heuristic: SAVE_GEMM\n", "f.yaml:3:14", "known: SAFE_GEMM, SAFE_INFERENCE_GEMM, GEMM, MHA"},
    {"r:\n  priority: 1\n  heuristic: [GEMM]\n", "f.yaml:3:14", "named by text"},
    {"r:\n  priority: 1\n  heuristic: {tp_dim: M}\n", "f.yaml:3:14", "no name"},
    {"r:\n  heuristic: {name: SAFE_GEMM, tp_dimm: M}\n", "f.yaml:2:32", "it takes tp_dim"},
    {"r:\n  heuristic: {name: SAFE_GEMM, tp_dim: X}\n", "f.yaml:2:40", "Auto, M or K, not X"},
    {"r:\n  heuristic: {name: MHA, tp_dim: M}\n", "f.yaml:2:26", "it takes head_dim_sharding_degree"},
    {"r:\n  heuristic: {fwd_num_sections: 0, name: MHA}\n", "f.yaml:2:33", "an integer from 1 to 64, not 0"},
    {"r:\n  heuristic: {name: GEMM, tp_dim: M, tensor_parallel_dim: K}\n", "f.yaml:2:38", "given twice"},
    {"r: {a: 1\n", "f.yaml:2:1", "not valid YAML"},
    {"r:\n\tpriority: 1\n", "f.yaml:2:1", "not valid YAML"},
    {"r:\n  priority: &a 1\n", "f.yaml:2:13", "anchors"},
    {"r:\n  priority: *a\n", "f.yaml:2:13", "aliases"},
    {"r:\n  priority: !!int 1\n", "f.yaml:2:13", "tags"},
    {"a: 1\n---\nb: 1\n", "f.yaml:2:1", "one document"},
    {"---\n--- {}\n", "f.yaml:2:1", "one document"},
    {"r:\n  priority: \"a\\0b\"\n", "f.yaml:2:13", "NUL"},
    {"r:\n  p: \xff\xfe\n", "f.yaml:2:6", "UTF-8"},
    {"r:\n  p: \x01\n", "f.yaml:2:6", "UTF-8"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "f.yaml:1:17", "deeper than 16"},
};

static void test_errors_point_at_their_token(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof errors / sizeof *errors; ++i) {
    leat_rules_t *rules;
    leat_status_t status = read_text(errors[i].text, &rules);
    const char *message = leat_status_message(status);
    size_t place = strlen(errors[i].place);
    bool right = leat_status_code(status) == LEAT_INVALID_ARGUMENT && strncmp(message, errors[i].place, place) == 0 &&
                 message[place] == ':' && strstr(message, errors[i].says) != NULL;
    if (!right)
      fail_msg("file:\n%s\nsays '%s', not '%s: .. %s'", errors[i].text, message, errors[i].place, errors[i].says);
    assert_int_equal(rules->rules.count, 0);
    leat_status_free(status);
    leat_rules_destroy(rules);
  }
}

static leat_rules_t *good(const char *text) {
  leat_rules_t *rules;
  assert_ok(read_text(text, &rules));
  return rules;
}

static void test_priority_then_file_order(void **state) {
  (void)state;
  static const char *const names[] = {"high", "first", "second", "low"};
  leat_rules_t *rules = good(
      "low: {priority: -1, pattern: {a: {op_type: add}}}\n"
      "first: {priority: 3, pattern: {a: {op_type: add}}}\n"
      "high: {priority: 99, pattern: {a: {op_type: add}}}\n"
      "second: {priority: 3, pattern: {a: {op_type: add}}}\n");
  assert_int_equal(rules->rules.count, 4);
  for (uint32_t i = 0; i < 4; ++i) assert_string_equal(rules->rules.data[i].name, names[i]);
  leat_rules_destroy(rules);
}

static void test_a_rule_written_twice_is_the_last(void **state) {
  (void)state;
  leat_rules_t *rules = good(
      "sdpa: {priority: 120, pattern: {a: {op_type: sdpa}}}\n"
      "sdpa: {priority: 99, pattern: {a: {op_type: sdpa}}}\n");
  assert_int_equal(rules->rules.count, 1);
  assert_int_equal(rules->rules.data[0].priority, 99);
  assert_non_null(strstr(rules->warnings.data, "f.yaml:1:1: rule 'sdpa' is written again in line 2"));
  leat_rules_destroy(rules);
}

static void test_heuristics_have_three_spellings(void **state) {
  (void)state;
  static const char *const spellings[] = {"tp_dim: K", "tensor_parallel_dim: K", "tensor parallel_dim: K",
                                          "tensor parallel_dim: [M|K]"};
  static const int32_t values[] = {LEAT_TP_K, LEAT_TP_K, LEAT_TP_K, LEAT_TP_AUTO};
  for (size_t i = 0; i < sizeof spellings / sizeof *spellings; ++i) {
    char text[256];
    (void)snprintf(text, sizeof text,
                   "r:\n  priority: 1\n  heuristic:\n    name: SAFE_GEMM\n    %s\n"
                   "  pattern: {a: {op_type: linear}}\n",
                   spellings[i]);
    leat_rules_t *rules = good(text);
    const leat_heuristic_use_t *use = &rules->rules.data[0].heuristic;
    assert_int_equal(use->heuristic, LEAT_HEURISTIC_SAFE_GEMM);
    assert_int_equal(use->given, 1 << LEAT_PARAM_TP_DIM);
    assert_int_equal(use->value[LEAT_PARAM_TP_DIM], values[i]);
    leat_rules_destroy(rules);
  }
}

static void test_heuristics_pass_through_json(void **state) {
  (void)state;
  leat_rules_t *rules = good(
      "r: {priority: 1, heuristic: {name: MHA, spatial_split_degree: 2, fwd_num_sections: 3},"
      " pattern: {a: {op_type: softmax}}}\n");
  leat_text_t json = {0};
  leat_heuristic_use_t back;
  leat_heuristic_put_json(&rules->rules.data[0].heuristic, &json);
  assert_string_equal(json.data, "{\"fwd_num_sections\": 3, \"spatial_split_degree\": 2}");
  assert_ok(leat_heuristic_from_json("MHA", json.data, &back));
  assert_memory_equal(&back, &rules->rules.data[0].heuristic, sizeof back);
  assert_int_equal(leat_heuristic_strategy(&back).forward_sections, 3);
  leat_text_deinit(&json);
  leat_rules_destroy(rules);
}

// Alternatives with their own continuations: split feeds both neg and cat, or one getitem feeds each.
static void test_options_take_their_branches_with_them(void **state) {
  (void)state;
  leat_rules_t *rules = good(RULE
                             "    x: {op_type: mul, children: [left, right]}\n"
                             "    left: {match_first_option: [split, low]}\n"
                             "    right: {match_first_option: [split, high]}\n"
                             "    split: {op_type: split, children: [neg, cat]}\n"
                             "    low: {op_type: getitem, child: cat}\n"
                             "    high: {op_type: getitem, child: scale}\n"
                             "    scale: {op_type: mul, child: neg}\n"
                             "    neg: {op_type: neg, child: cat}\n"
                             "    cat: {op_type: cat}\n");
  const leat_rule_t *rule = &rules->rules.data[0];
  assert_int_equal(rule->pattern_count, 4);
  assert_int_equal(rule->patterns[0].count, 4);  // x, split, neg, cat
  assert_int_equal(rule->patterns[3].count, 6);  // x, low, high, scale, neg, cat
  assert_false(rule->patterns[0].present[6]);
  assert_int_equal(rule->patterns[3].child_counts[0], 2);
  leat_rules_destroy(rules);
}

static void test_every_builtin_list_reads(void **state) {
  (void)state;
  static const char *const lists[] = {"default", "nlp", "gpt2", "bloom", "gpt_neox_inference", "gpt-neox-training"};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; ++i) {
    leat_rules_t *rules;
    assert_ok(leat_rules_create(&rules));
    assert_ok(leat_rules_add_builtin(rules, lists[i]));
    assert_true(rules->rules.count > 0);
    leat_rules_destroy(rules);
  }
  leat_rules_t *rules;
  assert_ok(leat_rules_create(&rules));
  assert_fails(leat_rules_add_builtin(rules, "gpt3"), LEAT_INVALID_ARGUMENT, "gpt2");
  leat_rules_destroy(rules);
}

// Bounds: a file that is as bad as it can be within the limits is read, or refused, in no time.
static void test_large_files_are_bounded(void **state) {
  (void)state;
  leat_text_t text = {0};
  leat_rules_t *rules;
  leat_text_put(&text, RULE);
  for (uint32_t i = 0; i < 300; ++i) leat_text_put(&text, "    e%u: {op_type: add}\n", i);
  assert_fails(read_text(text.data, &rules), LEAT_INVALID_ARGUMENT, "256 are the limit");
  leat_rules_destroy(rules);
  text.length = 0;
  for (uint32_t i = 0; i < 40000; ++i) leat_text_put(&text, "k%u: 1\n", i);
  assert_fails(read_text(text.data, &rules), LEAT_INVALID_ARGUMENT, "more than 65536 values");
  leat_rules_destroy(rules);
  text.length = 0;
  for (uint32_t i = 0; i < (1 << 17); ++i) leat_text_put(&text, "# comment\n");
  assert_fails(read_text(text.data, &rules), LEAT_INVALID_ARGUMENT, "at most 1 MiB");
  leat_rules_destroy(rules);
  text.length = 0;
  leat_text_put(&text, RULE "    a: {op_type: add, children: [b0");
  for (uint32_t i = 1; i < 7; ++i) leat_text_put(&text, ", b%u", i);
  leat_text_put(&text, "]}\n    x: {op_type: mul}\n    y: {op_type: mul}\n");
  for (uint32_t i = 0; i < 7; ++i) leat_text_put(&text, "    b%u: {match_first_option: [x, y]}\n", i);
  assert_fails(read_text(text.data, &rules), LEAT_INVALID_ARGUMENT, "more than 64 combinations");
  leat_rules_destroy(rules);
  leat_text_deinit(&text);
}

static void test_out_of_memory_is_survived(void **state) {
  (void)state;
  for (uint64_t n = 1; n < 200; ++n) {
    leat_rules_t *rules = NULL;
    leat_alloc_fail_after(n);
    leat_status_t status = leat_rules_create(&rules);
    if (status == NULL) status = leat_rules_add_builtin(rules, "gpt2");
    leat_alloc_fail_after(0);
    leat_rules_destroy(rules);
    if (status == NULL) return;
    assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_errors_point_at_their_token),
      cmocka_unit_test(test_priority_then_file_order),
      cmocka_unit_test(test_a_rule_written_twice_is_the_last),
      cmocka_unit_test(test_heuristics_have_three_spellings),
      cmocka_unit_test(test_heuristics_pass_through_json),
      cmocka_unit_test(test_options_take_their_branches_with_them),
      cmocka_unit_test(test_every_builtin_list_reads),
      cmocka_unit_test(test_large_files_are_bounded),
      cmocka_unit_test(test_out_of_memory_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
