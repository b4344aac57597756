// SPDX-License-Identifier: Apache-2.0
// Tests of the graph text: src/ir/lex.c, parse.c, print.c, suggest.c.
#include "check.h"
#include "ir/graph.h"

static leat_status_t parse(const char *text, leat_graph_t **out_graph) {
  return leat_graph_parse(text, strlen(text), out_graph);
}

// The example of docs/graph-text.md.
static const char logreg[] =
    "leat.graph 1\n"
    "%0 = symbol() {name=\"image\", kind=\"input\", requires_grad=0} : f32[32,784]\n"
    "%1 = symbol() {name=\"logreg__lin_layer__weight\", kind=\"param\", requires_grad=1} : f32[10,784]\n"
    "%2 = symbol() {name=\"logreg__lin_layer__bias\", kind=\"param\", requires_grad=1} : f32[10]\n"
    "%3 = symbol() {name=\"label\", kind=\"input\", requires_grad=0} : i64[32]\n"
    "%4 = linear(%0, %1, %2) : f32[32,10] @ \"logreg.lin_layer\" \"logreg.py:33\"\n"
    "%5 = cross_entropy(%4, %3, none) {reduction=\"mean\", label_smoothing=0.0, ignore_index=-100} : f32[] @ "
    "\"logreg.criterion\" \"logreg.py:36\"\n"
    "output(%5) {name=\"logreg__criterion__cross_entropy__outputs__0\", seed=\"one\"}\n"
    "output(%4) {name=\"logreg__lin_layer__linear__outputs__0\", seed=\"zero\"}\n"
    "optimizer(%1, %2) {momentum=0.9, kind=\"sgd\", lr=0.01, weight_decay=0.0, hyper=\"lr,momentum,weight_decay\"}\n";

static void test_example_parses(void **state) {
  (void)state;
  leat_graph_t *g;
  assert_ok(parse(logreg, &g));
  assert_int_equal(g->ops.count, 9);
  const leat_op_t *linear = leat_graph_op(g, 4), *loss = leat_graph_op(g, 5), *sgd = leat_graph_op(g, 8);
  char text[256];
  assert_int_equal(linear->kind, LEAT_TRACED_LINEAR);
  assert_string_equal(leat_op_text(g, linear, text, sizeof text),
                      "op 'linear' (module logreg.lin_layer, logreg.py:33)");
  assert_int_equal(leat_op_input(g, loss, 2), LEAT_NONE);
  assert_int_equal(leat_op_int(g, loss, LEAT_ATTR_IGNORE_INDEX, 0), -100);
  assert_int_equal(leat_op_word(g, loss, LEAT_ATTR_REDUCTION, LEAT_REDUCTION_NONE), LEAT_REDUCTION_MEAN);
  assert_true(leat_op_float(g, sgd, LEAT_ATTR_LR, 0) == 0.01);
  assert_true(leat_op_float(g, sgd, LEAT_ATTR_EPS, 7) == 7);
  assert_string_equal(leat_value_text(leat_graph_value(g, 0), text, sizeof text), "f32[32,784]");
  leat_graph_destroy(g);
}

// print(parse(print(parse(text)))) == print(parse(text)); the first print is returned through `out_first`.
static void check_fixed_point(const char *text, char **out_first) {
  leat_graph_t *g;
  char *again;
  assert_ok(parse(text, &g));
  assert_ok(leat_graph_print(g, out_first));
  leat_graph_destroy(g);
  assert_ok(parse(*out_first, &g));
  assert_ok(leat_graph_print(g, &again));
  leat_graph_destroy(g);
  assert_string_equal(*out_first, again);
  leat_string_free(again);
}

static void test_example_is_canonical(void **state) {
  (void)state;
  char *first;
  check_fixed_point(logreg, &first);
  assert_string_equal(first, logreg);
  leat_string_free(first);
}

static void test_everything_of_the_grammar_is_read(void **state) {
  (void)state;
  static const char text[] =
      "# a comment\n\nleat.graph 1 # and another\r\n"
      "%70 = constant() {index=0}:f32[ 3 , 2 ]\n"
      "%9 = prim.constant() {value=-inf} : bf16[]!detached !group=12 !type=opt @\"m\\u00e9\\n\\\"\" \"\"\n"
      "%3,%4=max(%70){dim=1,keepdim=0}:f32[3],i64[3]\n"
      "%5 = prim.constant() {value=0x1.8p-1} : f64[2]\n"
      "%6 = prim.constant() {value=nan} : f64[]\n"
      "%1 = prim.reduce(%5) {fn=\"sum\", dims=[]} : f64[2]\n"
      "%2 = to(%5) {dtype=bf16} : bf16[2]";
  char *first;
  check_fixed_point(text, &first);
  assert_string_equal(first,
                      "leat.graph 1\n"
                      "%0 = constant() {index=0} : f32[3,2]\n"
                      "%1 = prim.constant() {value=-inf} : bf16[] !detached !group=12 !type=opt @ \"mé\\n\\\"\" \"\"\n"
                      "%2, %3 = max(%0) {dim=1, keepdim=0} : f32[3], i64[3]\n"
                      "%4 = prim.constant() {value=0.75} : f64[2]\n"
                      "%5 = prim.constant() {value=nan} : f64[]\n"
                      "%6 = prim.reduce(%4) {dims=[], fn=\"sum\"} : f64[2]\n"
                      "%7 = to(%4) {dtype=bf16} : bf16[2]\n");
  leat_string_free(first);
}

static void test_errors_name_the_place(void **state) {
  (void)state;
#define X "leat.graph 1\n%0 = full() {value=1} : f32[]\n"
  static const struct {
    const char *text;
    int code;
    const char *message;
  } cases[] = {
      {"", LEAT_INVALID_ARGUMENT, "line 1, column 1: a graph starts with"},
      {"leat.graph 2\n", LEAT_UNSUPPORTED, "line 1, column 12: version 2"},
      {"leat.graph 1 1\n", LEAT_INVALID_ARGUMENT, "line 1, column 14: expected the end of the line"},
      {"leat.graph 1\n%0 = liner() : f32[]", LEAT_INVALID_ARGUMENT,
       "line 2, column 6: there is no op 'liner'; did you mean 'linear'?"},
      {"leat.graph 1\n%0 = prim.reduse() : f32[]", LEAT_INVALID_ARGUMENT, "did you mean 'prim.reduce'?"},
      {"leat.graph 1\n%0 = constant() {indx=0} : f32[]", LEAT_INVALID_ARGUMENT,
       "line 2, column 18: 'constant' has no attribute 'indx'; did you mean 'index'?"},
      {"leat.graph 1\n%0 = constant() {lr=0.1} : f32[]", LEAT_INVALID_ARGUMENT, "it takes index"},
      {"leat.graph 1\n%0 = full() {value=1, value=2} : f32[]", LEAT_INVALID_ARGUMENT, "given twice"},
      {"leat.graph 1\n%0 = constant() {index=1.5} : f32[]", LEAT_INVALID_ARGUMENT, "column 24: expected an integer"},
      {"leat.graph 1\n%0 = prim.symbol() {kind=\"inptu\", name=\"x\"} : f32[]\n", LEAT_INVALID_ARGUMENT,
       "line 2, column 26: kind 'inptu' is none of input|param|buffer|hyper|state|seed"},
      {X "%1 = prim.map(%0) {fn=\"nag\"} : f32[]\n", LEAT_INVALID_ARGUMENT, "no scalar function 'nag'"},
      {X "%1 = prim.reduce(%0) {fn=\"mean\", dims=[]} : f32[]\n", LEAT_INVALID_ARGUMENT,
       "fn 'mean' is none of sum|prod|max|min|argmax|argmin"},
      {X "%1 = prim.scan(%0) {fn=\"argmax\", dim=0, reverse=0} : f32[]\n", LEAT_INVALID_ARGUMENT,
       "fn 'argmax' is none of sum|prod|max|min"},
      {X "%1 = prim.random(%0) {fn=\"gamma\", stream=3} : f32[]\n", LEAT_INVALID_ARGUMENT, "none of uniform|normal"},
      {X "%1 = index_put(%0, %0, %0) {fn=\"mul\"} : f32[]\n", LEAT_INVALID_ARGUMENT, "fn 'mul' is none of set|add"},
      {X "%1 = amax(%0) {mode=\"o\\nd\"} : f32[]\n", LEAT_INVALID_ARGUMENT, "mode 'o?d' is none of \"\"|even"},
      {X "%1 = amax(%0) {mode=\"odd\"} : f32[]\n", LEAT_INVALID_ARGUMENT, "mode 'odd' is none of \"\"|even"},
      {X "optimizer(%0) {kind=\"sgd\", hyper=\"lr,mementum\"}\n", LEAT_INVALID_ARGUMENT,
       "column 34: 'optimizer' has no attribute 'mementum'"},
      {X "optimizer(%0) {kind=\"sgd\", hyper=\"lr,,momentum\"}\n", LEAT_INVALID_ARGUMENT, "has no attribute ''"},
      {X "optimizer(%0) {kind=\"sgd\", hyper=\"lr,lr\"}\n", LEAT_INVALID_ARGUMENT, "'lr' is listed twice"},
      {X "optimizer(%0) {kind=\"sgd\", hyper=\"lr,\"}\n", LEAT_INVALID_ARGUMENT, "has no attribute ''"},
      {X "%1 = gelu(%0) {approximate=1} : f32[]\n", LEAT_INVALID_ARGUMENT, "expected a string"},
      {"leat.graph 1\n%0 = constant() {index=99999999999999999999} : f32[]", LEAT_INVALID_ARGUMENT, "does not fit"},
      {"leat.graph 1\n%0 = neg(%1) : f32[]", LEAT_INVALID_ARGUMENT, "column 10: %1 is not defined above"},
      {"leat.graph 1\n%0 = neg() : f32[]", LEAT_INVALID_ARGUMENT, "column 10: 'neg' takes 1 to 1 operands, got 0"},
      {"leat.graph 1\n%0 = full() {value=1}\n", LEAT_INVALID_ARGUMENT, "column 22: expected ':'"},
      {"leat.graph 1\n%0 = full() : f33[]\n", LEAT_INVALID_ARGUMENT, "column 15: expected a dtype"},
      {"leat.graph 1\n%0 = full() : f32[-1]\n", LEAT_INVALID_ARGUMENT, "negative extent"},
      {"leat.graph 1\n%0 = full() : f32[4611686018427387904,4]\n", LEAT_INVALID_ARGUMENT, "too many elements"},
      {"leat.graph 1\n%0 = full() : f32[1,1,1,1,1,1,1,1,1]\n", LEAT_UNSUPPORTED, "rank 9"},
      {"leat.graph 1\n%0, %1 = full() : f32[]\n", LEAT_INVALID_ARGUMENT, "has 1 results, but 2 are named"},
      {"leat.graph 1\n%0 = full() : f32[]\n%0 = full() : f32[]", LEAT_INVALID_ARGUMENT,
       "line 3, column 1: %0 is defined already"},
      {"leat.graph 1\n%0 = full() : f32[] !attached", LEAT_INVALID_ARGUMENT, "expected a flag"},
      {"leat.graph 1\n%0 = full() : f32[] !type=up", LEAT_INVALID_ARGUMENT, "expected a section type"},
      {"leat.graph 1\n%0 = full() : f32[] @ \"a", LEAT_INVALID_ARGUMENT, "column 23: the string does not end"},
      {"leat.graph 1\n%0 = full() : f32[] @ \"\\q\" \"\"", LEAT_INVALID_ARGUMENT, "column 24: this is no escape"},
      {"leat.graph 1\n%0 = full() : f32[] @ \"a\xff\" \"\"", LEAT_INVALID_ARGUMENT,
       "column 23: this string is not UTF-8"},
      {"leat.graph 1\n%0 = full() : f32[] @ \"\\ud800\" \"\"", LEAT_INVALID_ARGUMENT, "no escape"},
      {"leat.graph 1\n$", LEAT_INVALID_ARGUMENT, "line 2, column 1: this character"},
      {"leat.graph 1\n%x = full() : f32[]", LEAT_INVALID_ARGUMENT, "%<number>"},
      {"leat.graph 1\n%0 = full() {value=1.2.3} : f32[]", LEAT_INVALID_ARGUMENT, "not a number"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    leat_graph_t *g;
    assert_fails(parse(cases[i].text, &g), cases[i].code, cases[i].message);
    assert_null(g);
  }
  leat_graph_t *g;
  assert_fails(leat_graph_parse("leat.graph 1\n\0x", 15, &g), LEAT_INVALID_ARGUMENT, "line 2, column 1");
}

// Every prefix of a good text either parses or fails cleanly.
static void test_truncated_text_never_breaks(void **state) {
  (void)state;
  for (size_t length = 0; length <= strlen(logreg); length++) {
    leat_graph_t *g;
    leat_status_free(leat_graph_parse(logreg, length, &g));
    leat_graph_destroy(g);
  }
}

static void test_large_graphs_parse(void **state) {
  (void)state;
  enum { OPS = 5000 };
  leat_text_t text = {0};
  leat_text_put(&text, "leat.graph 1\n%%1000000 = symbol() {kind=\"input\", name=\"x\"} : f32[4]\n");
  for (int i = 1; i < OPS; i++)
    leat_text_put(&text, "%%%d = add(%%%d, %%1000000) {alpha=0.5} : f32[4] @ \"m.%d\" \"f.py:%d\"\n", 1000000 - i * 7,
                  i == 1 ? 1000000 : 1000007 - i * 7, i / 10, i);
  leat_graph_t *g;
  assert_ok(leat_graph_parse(text.data, text.length, &g));
  assert_int_equal(g->ops.count, OPS);
  leat_graph_destroy(g);
  leat_text_deinit(&text);
}

static void test_blobs_are_checked(void **state) {
  (void)state;
  leat_graph_t *g;
  assert_ok(parse("leat.graph 1\n%0 = constant() {index=2} : f32[3]\n", &g));
  const float data[3] = {1, 2, 3};
  assert_fails(leat_graph_set_blob(g, 0, data, sizeof data), LEAT_INVALID_ARGUMENT, "no constant with index 0");
  assert_fails(leat_graph_set_blob(g, 2, data, 4), LEAT_INVALID_ARGUMENT, "f32[3], which takes 12 bytes, but 4");
  assert_ok(leat_graph_set_blob(g, 2, data, sizeof data));
  assert_memory_equal(g->blobs.data[2].data, data, sizeof data);
  leat_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_example_parses),
      cmocka_unit_test(test_example_is_canonical),
      cmocka_unit_test(test_everything_of_the_grammar_is_read),
      cmocka_unit_test(test_errors_name_the_place),
      cmocka_unit_test(test_truncated_text_never_breaks),
      cmocka_unit_test(test_large_graphs_parse),
      cmocka_unit_test(test_blobs_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
