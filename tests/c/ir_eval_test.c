// SPDX-License-Identifier: Apache-2.0
// Tests of the slow reference, src/ir/eval*.c: every primitive on a case small enough to be checked by hand.
#include <math.h>

#include "check.h"
#include "ir/element.h"
#include "ir/graph.h"

enum { ELEMENTS_MAX = 24 };

// A graph over the symbols a, b, c that stores y; the values are listed row-major.
typedef struct case_s {
  const char *text;
  double inputs[3][ELEMENTS_MAX];
  double expected[ELEMENTS_MAX];
} case_t;

static const leat_value_t *type_of(const leat_graph_t *g, const char *name) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (strcmp(leat_op_name(g, op), name) != 0) continue;
    return leat_graph_value(g, op->kind == LEAT_PRIM_STORE ? leat_op_input(g, op, 0) : op->result_first);
  }
  return NULL;
}

static void set(leat_eval_t *eval, const leat_graph_t *g, const char *name, const double *values) {
  const leat_value_t *type = type_of(g, name);
  double storage[ELEMENTS_MAX];
  if (type == NULL) return;
  for (int64_t i = 0; i < leat_value_elements(type); i++)
    leat_element_store((leat_dtype_t)type->dtype, storage, i, leat_element_of((leat_dtype_t)type->dtype, values[i]));
  assert_ok(leat_eval_set(eval, name, storage, leat_value_bytes(type)));
}

static void expect(leat_eval_t *eval, const leat_graph_t *g, const char *name, const double *expected) {
  const leat_value_t *type = type_of(g, name);
  leat_dtype_t dtype = (leat_dtype_t)type->dtype;
  double storage[ELEMENTS_MAX];
  assert_ok(leat_eval_get(eval, name, storage, leat_value_bytes(type)));
  for (int64_t i = 0; i < leat_value_elements(type); i++) {
    leat_element_t element = leat_element_load(dtype, storage, i);
    double value = leat_dtype_is_float(dtype) ? element.f : (double)element.i;
    bool equal = isnan(expected[i]) ? isnan(value) : value == expected[i];
    if (!equal) fail_msg("%s[%d] is %.17g, expected %.17g", name, (int)i, value, expected[i]);
  }
}

static leat_graph_t *graph_of(const char *body) {
  leat_text_t text = {0};
  leat_text_put(&text, "leat.graph 1\n%s", body);
  leat_graph_t *g;
  assert_ok(leat_graph_parse(text.data, text.length, &g));
  assert_ok(leat_graph_verify(g));
  leat_text_deinit(&text);
  return g;
}

static void check(const case_t *c) {
  leat_graph_t *g = graph_of(c->text);
  leat_eval_t *eval;
  assert_ok(leat_eval_create(g, &eval));
  set(eval, g, "a", c->inputs[0]);
  set(eval, g, "b", c->inputs[1]);
  set(eval, g, "c", c->inputs[2]);
  assert_ok(leat_eval_run(eval));
  expect(eval, g, "y", c->expected);
  leat_eval_destroy(eval);
  leat_graph_destroy(g);
}

static void check_all(const case_t *cases, size_t count) {
  for (size_t i = 0; i < count; i++) check(&cases[i]);
}

#define A(type) "%0 = prim.symbol() {kind=\"input\", name=\"a\"} : " type "\n"
#define B(type) "%1 = prim.symbol() {kind=\"input\", name=\"b\"} : " type "\n"
#define C(type) "%2 = prim.symbol() {kind=\"input\", name=\"c\"} : " type "\n"
#define Y(op) "%9 = prim." op "\nprim.store(%9) {kind=\"output\", name=\"y\"}\n"
#define COUNT(cases) (sizeof(cases) / sizeof *(cases))

static void test_map(void **state) {
  (void)state;
  static const case_t cases[] = {
      {A("f32[2,1]") B("f32[1,3]") Y("map(%0, %1) {fn=\"mul\"} : f32[2,3]"),
       {{2, 3}, {1, 10, 100}},
       {2, 20, 200, 3, 30, 300}},
      {A("i32[3]") B("i32[3]") Y("map(%0, %1) {fn=\"div\"} : i32[3]"), {{7, -7, 5}, {2, 2, 0}}, {3, -3, 0}},
      {A("i32[3]") B("i32[3]") Y("map(%0, %1) {fn=\"floordiv\"} : i32[3]"), {{7, -7, -8}, {2, 2, 2}}, {3, -4, -4}},
      {A("i64[4]") B("i64[4]") Y("map(%0, %1) {fn=\"rem\"} : i64[4]"),
       {{7, -7, 7, -7}, {3, 3, -3, -3}},
       {1, 2, -2, -1}},
      {A("f64[4]") B("f64[4]") Y("map(%0, %1) {fn=\"rem\"} : f64[4]"),
       {{7, -7, 7, -7}, {3, 3, -3, -3}},
       {1, 2, -2, -1}},
      {A("i8[2]") B("i8[2]") Y("map(%0, %1) {fn=\"add\"} : i8[2]"), {{127, -128}, {1, -1}}, {-128, 127}},
      {A("i64[4]") B("i64[4]") Y("map(%0, %1) {fn=\"pow\"} : i64[4]"), {{3, 2, -1, 2}, {4, 0, -3, -1}}, {81, 1, -1, 0}},
      {A("f32[3]") B("f32[3]") Y("map(%0, %1) {fn=\"max\"} : f32[3]"), {{1, NAN, 2}, {2, 0, NAN}}, {2, NAN, NAN}},
      {A("f32[3]") B("f32[3]") Y("map(%0, %1) {fn=\"lt\"} : bool[3]"), {{1, NAN, 2}, {2, 0, 1}}, {1, 0, 0}},
      {A("bool[2]") B("f16[2]") C("f16[2]") Y("map(%0, %1, %2) {fn=\"select\"} : f16[2]"),
       {{1, 0}, {0.5, 1}, {2, 3}},
       {0.5, 3}},
      {A("bool[2]") Y("map(%0) {fn=\"not\"} : bool[2]"), {{1, 0}}, {0, 1}},
      {A("u8[2]") Y("map(%0) {fn=\"not\"} : u8[2]"), {{1, 255}}, {254, 0}},
      {A("i32[3]") B("i32[3]") Y("map(%0, %1) {fn=\"shl\"} : i32[3]"), {{1, 1, -1}, {4, 40, 1}}, {16, 0, -2}},
      {A("f32[3]") Y("map(%0) {fn=\"round\"} : f32[3]"), {{0.5, 1.5, -2.5}}, {0, 2, -2}},
      {A("f32[3]") Y("map(%0) {fn=\"sign\"} : f32[3]"), {{-3, NAN, 2}}, {-1, 0, 1}},
      {A("f64[3]") Y("map(%0) {fn=\"sigmoid\"} : f64[3]"), {{0, INFINITY, -INFINITY}}, {0.5, 1, 0}},
  };
  check_all(cases, COUNT(cases));
}

static void test_casts_round_once_and_truncate(void **state) {
  (void)state;
  static const case_t cases[] = {
      {A("f32[4]") Y("map(%0) {fn=\"cast\"} : i32[4]"), {{1.9, -1.9, 2.5, -0.5}}, {1, -1, 2, 0}},
      {A("f32[3]") Y("map(%0) {fn=\"cast\"} : u8[3]"), {{300, -1, 7}}, {44, 255, 7}},
      {A("f32[3]") Y("map(%0) {fn=\"cast\"} : bool[3]"), {{0, 0.25, NAN}}, {0, 1, 1}},
      {A("f64[4]") Y("map(%0) {fn=\"cast\"} : bf16[4]"),
       {{1.00390625, 1.01171875, 1.003906250001, 1e39}},
       {1.0, 1.015625, 1.0078125, INFINITY}},
      {A("f64[5]") Y("map(%0) {fn=\"cast\"} : f16[5]"),
       {{65519.99, 65520, 0x1p-24, 0x1p-25, 1.00048828125}},
       {65504, INFINITY, 0x1p-24, 0, 1.0}},
      {A("bool[2]") Y("map(%0) {fn=\"cast\"} : f32[2]"), {{0, 1}}, {0, 1}},
      {A("f64[2]") Y("map(%0) {fn=\"cast\"} : i64[2]"), {{NAN, 1e30}}, {-0x1p63, -0x1p63}},
  };
  check_all(cases, COUNT(cases));
}

static void test_leaves(void **state) {
  (void)state;
  static const case_t cases[] = {
      {Y("constant() {value=2.5} : bf16[2]"), {{0}}, {2.5, 2.5}},
      {Y("iota() {dim=1} : i64[2,3]"), {{0}}, {0, 1, 2, 0, 1, 2}},
      {Y("iota() {dim=0} : f32[2,3]"), {{0}}, {0, 0, 0, 1, 1, 1}},
      // the known answer of Philox 4x32-10 for counter 0 and key 0: 6627e8d5 e169c58d bc57ac4c 9b00dbd8
      {A("i64[2]") Y("random(%0) {fn=\"uniform\", stream=0} : f64[4]"),
       {{0, 0}},
       {0x6627e8 * 0x1p-24, 0xe169c5 * 0x1p-24, 0xbc57ac * 0x1p-24, 0x9b00db * 0x1p-24}},
  };
  check_all(cases, COUNT(cases));
}

static void test_normal_numbers_follow_box_muller(void **state) {
  (void)state;
  leat_graph_t *g = graph_of(A("i64[2]") Y("random(%0) {fn=\"normal\", stream=0} : f64[4]"));
  leat_eval_t *eval;
  double y[4], u[4] = {0x6627e8 * 0x1p-24, 0xe169c5 * 0x1p-24, 0xbc57ac * 0x1p-24, 0x9b00db * 0x1p-24};
  assert_ok(leat_eval_create(g, &eval));
  assert_ok(leat_eval_run(eval));
  assert_ok(leat_eval_get(eval, "y", y, sizeof y));
  for (int i = 0; i < 4; i += 2) {
    double r = sqrt(-2 * log(u[i] + 0x1p-24)), angle = 2 * 3.141592653589793 * u[i + 1];
    assert_true(fabs(y[i] - r * cos(angle)) < 1e-15 && fabs(y[i + 1] - r * sin(angle)) < 1e-15);
  }
  leat_eval_destroy(eval);
  leat_graph_destroy(g);
}

static void test_reduce(void **state) {
  (void)state;
  static const case_t cases[] = {
      {A("f32[2,3]") Y("reduce(%0) {dims=[1], fn=\"sum\"} : f32[2,1]"), {{1, 2, 3, 4, 5, 6}}, {6, 15}},
      {A("f32[2,3]") Y("reduce(%0) {dims=[0,1], fn=\"prod\"} : f32[1,1]"), {{1, 2, 3, 4, 5, 6}}, {720}},
      {A("f32[2,3]") Y("reduce(%0) {dims=[0], fn=\"max\"} : f32[1,3]"), {{1, NAN, 3, 4, 5, 2}}, {4, NAN, 3}},
      {A("f32[2,3]") Y("reduce(%0) {dims=[1], fn=\"argmax\"} : i64[2,1]"), {{1, 3, 3, 4, NAN, NAN}}, {1, 1}},
      {A("i8[2,2]") Y("reduce(%0) {dims=[0], fn=\"argmin\"} : i64[1,2]"), {{1, -3, 1, -4}}, {0, 1}},
      {A("bool[3]") Y("reduce(%0) {dims=[0], fn=\"sum\"} : bool[1]"), {{0, 1, 1}}, {1}},
      {A("f32[0,2]") Y("reduce(%0) {dims=[0], fn=\"sum\"} : f32[1,2]"), {{0}}, {0, 0}},
      {A("i32[3]") Y("reduce(%0) {dims=[0], fn=\"min\"} : i32[1]"), {{5, -2, 9}}, {-2}},
      // 1 + 2^-30 many times: lost in f32, kept by sums in f64
      {A("f32[3]") Y("reduce(%0) {dims=[0], fn=\"sum\"} : f32[1]"), {{0x1p24, 1, 1}}, {0x1p24 + 2}},
  };
  check_all(cases, COUNT(cases));
}

static void test_scan_and_sort(void **state) {
  (void)state;
  static const case_t cases[] = {
      {A("f32[2,3]") Y("scan(%0) {dim=1, fn=\"sum\", reverse=0} : f32[2,3]"),
       {{1, 2, 3, 4, 5, 6}},
       {1, 3, 6, 4, 9, 15}},
      {A("f32[2,3]") Y("scan(%0) {dim=0, fn=\"prod\", reverse=1} : f32[2,3]"),
       {{1, 2, 3, 4, 5, 6}},
       {4, 10, 18, 4, 5, 6}},
      {A("f32[4]") Y("scan(%0) {dim=0, fn=\"max\", reverse=0} : f32[4]"), {{1, 3, 2, NAN}}, {1, 3, 3, NAN}},
      {A("f32[4]") "%9, %8 = prim.sort(%0) {dim=0, descending=0} : f32[4], i64[4]\n"
                   "prim.store(%8) {kind=\"output\", name=\"y\"}\n",
       {{NAN, 2, -1, 2}},
       {2, 1, 3, 0}},
      {A("f32[4]") "%9, %8 = prim.sort(%0) {dim=0, descending=1} : f32[4], i64[4]\n"
                   "prim.store(%8) {kind=\"output\", name=\"y\"}\n",
       {{2, NAN, -1, 2}},
       {1, 0, 3, 2}},
      {A("i32[3,2]") "%9, %8 = prim.sort(%0) {dim=0, descending=0} : i32[3,2], i64[3,2]\n"
                     "prim.store(%9) {kind=\"output\", name=\"y\"}\n",
       {{3, 1, 2, 5, 1, 0}},
       {1, 0, 2, 1, 3, 5}},
  };
  check_all(cases, COUNT(cases));
}

static void test_contract(void **state) {
  (void)state;
  static const case_t cases[] = {
      {A("f32[2,3]") B("f32[3,2]") Y("contract(%0, %1) {spec=\"mk,kn->mn\"} : f32[2,2]"),
       {{1, 2, 3, 4, 5, 6}, {1, 0, 0, 1, 1, 1}},
       {4, 5, 10, 11}},
      {A("f32[2,2]") B("f32[2,2]") Y("contract(%0, %1) {spec=\"bk,bk->b\"} : f32[2]"),
       {{1, 2, 3, 4}, {5, 6, 7, 8}},
       {17, 53}},
      {A("f32[2]") B("f32[3]") Y("contract(%0, %1) {spec=\"m,n->nm\"} : f32[3,2]"),
       {{1, 2}, {3, 4, 5}},
       {3, 6, 4, 8, 5, 10}},
      {A("i32[2]") B("i32[2]") Y("contract(%0, %1) {spec=\"k,k->\"} : i32[]"), {{3, 4}, {5, 6}}, {39}},
      {A("f32[2,0]") B("f32[0,2]") Y("contract(%0, %1) {spec=\"mk,kn->mn\"} : f32[2,2]"), {{0}}, {0, 0, 0, 0}},
  };
  check_all(cases, COUNT(cases));
}

#define WINDOW(stride, low, high, dilation) \
  "stride=[" stride "], low=[" low "], high=[" high "], dilation=[" dilation "]"

static void test_convolution(void **state) {
  (void)state;
  static const case_t cases[] = {
      // cross-correlation of 1..4 with (1, 10)
      {A("f32[1,1,4]") B("f32[1,1,2]")
           Y("conv(%0, %1) {" WINDOW("1", "0", "0", "1") ", base_dilation=[1], groups=1} : f32[1,1,3]"),
       {{1, 2, 3, 4}, {1, 10}},
       {21, 32, 43}},
      {A("f32[1,1,4]") B("f32[1,1,2]")
           Y("conv(%0, %1) {" WINDOW("2", "1", "1", "2") ", base_dilation=[1], groups=1} : f32[1,1,2]"),
       {{1, 2, 3, 4}, {1, 10}},
       {20, 42}},
      // base dilation 2 makes 1 0 2
      {A("f32[1,1,2]") B("f32[1,1,2]")
           Y("conv(%0, %1) {" WINDOW("1", "0", "0", "1") ", base_dilation=[2], groups=1} : f32[1,1,2]"),
       {{1, 2}, {1, 10}},
       {1, 20}},
      {A("f32[1,2,1,2]") B("f32[2,1,1,2]")
           Y("conv(%0, %1) {" WINDOW("1,1", "0,0", "0,0", "1,1") ", base_dilation=[1,1], groups=2} : f32[1,2,1,1]"),
       {{1, 2, 3, 4}, {1, 1, 2, 3}},
       {3, 18}},
      {A("f32[1,1,4]") B("f32[1,1,3]")
           Y("conv_wgrad(%0, %1) {" WINDOW("1", "0", "0", "1") ", window=[2], groups=1, batch=0} : f32[1,1,2]"),
       {{1, 2, 3, 4}, {1, 10, 100}},
       {321, 432}},
  };
  check_all(cases, COUNT(cases));
}

static void test_pooling(void **state) {
  (void)state;
  static const case_t cases[] = {
      {A("f32[2,4]") Y("pool(%0) {fn=\"max\", window=[2], " WINDOW("2", "0", "0", "1") "} : f32[2,2]"),
       {{1, 3, 2, 2, -1, NAN, -5, -4}},
       {3, 2, NAN, -4}},
      {A("f32[3]") Y("pool(%0) {fn=\"sum\", window=[2], " WINDOW("1", "1", "0", "1") "} : f32[3]"),
       {{1, 2, 3}},
       {1, 3, 5}},
      {A("f32[3]") Y("pool(%0) {fn=\"max\", window=[2], " WINDOW("1", "1", "0", "1") "} : f32[3]"),
       {{-1, -2, -3}},
       {-1, -1, -2}},
      {A("f32[4]") B("f32[2]") Y("pool_grad(%0, %1) {fn=\"max\", window=[2], " WINDOW("2", "0", "0", "1") "} : f32[4]"),
       {{2, 2, 1, 5}, {10, 20}},
       {10, 0, 0, 20}},
      {A("f32[3]") B("f32[2]") Y("pool_grad(%0, %1) {fn=\"sum\", window=[2], " WINDOW("1", "0", "0", "1") "} : f32[3]"),
       {{0, 0, 0}, {1, 10}},
       {1, 11, 10}},
  };
  check_all(cases, COUNT(cases));
}

static void test_moves(void **state) {
  (void)state;
  static const case_t cases[] = {
      {A("f32[2,3]") Y("reshape(%0) {shape=[3,2]} : f32[3,2]"), {{1, 2, 3, 4, 5, 6}}, {1, 2, 3, 4, 5, 6}},
      {A("f32[2,3]") Y("transpose(%0) {dims=[1,0]} : f32[3,2]"), {{1, 2, 3, 4, 5, 6}}, {1, 4, 2, 5, 3, 6}},
      {A("f32[2,4]") Y("slice(%0) {start=[1,0], stop=[2,4], step=[1,3]} : f32[1,2]"),
       {{1, 2, 3, 4, 5, 6, 7, 8}},
       {5, 8}},
      {A("f32[2,1]") B("f32[2,2]") Y("concat(%0, %1) {dim=1} : f32[2,3]"), {{1, 2}, {3, 4, 5, 6}}, {1, 3, 4, 2, 5, 6}},
      {A("f32[3]") Y("pad(%0) {low=[1], high=[-1], interior=[1], value=9.0} : f32[5]"), {{1, 2, 3}}, {9, 1, 9, 2, 9}},
      {A("f32[2,1]") Y("broadcast(%0) {shape=[2,3]} : f32[2,3]"), {{1, 2}}, {1, 1, 1, 2, 2, 2}},
      {A("f32[2,2]") Y("flip(%0) {dims=[0,1]} : f32[2,2]"), {{1, 2, 3, 4}}, {4, 3, 2, 1}},
  };
  check_all(cases, COUNT(cases));
}

static void test_gather_and_scatter(void **state) {
  (void)state;
  static const case_t cases[] = {
      {A("f32[3,2]") B("i64[4]") Y("gather(%0, %1) {dim=0, batch=0} : f32[4,2]"),
       {{1, 2, 3, 4, 5, 6}, {2, 0, -1, 3}},
       {5, 6, 1, 2, 5, 6, 0, 0}},
      {A("f32[2,3]") B("i32[2,1]") Y("gather(%0, %1) {dim=1, batch=1} : f32[2,1]"),
       {{1, 2, 3, 4, 5, 6}, {2, 0}},
       {3, 4}},
      {A("f32[2,3]") B("i32[2]") Y("gather(%0, %1) {dim=1, batch=0} : f32[2,2]"),
       {{1, 2, 3, 4, 5, 6}, {2, 0}},
       {3, 1, 6, 4}},
      {A("f32[3]") B("i64[4]") C("f32[4]") Y("scatter(%0, %1, %2) {batch=0, dim=0, fn=\"add\"} : f32[3]"),
       {{1, 1, 1}, {0, 0, -1, 7}, {1, 2, 3, 4}},
       {4, 1, 4}},
      {A("f32[3]") B("i64[3]") C("f32[3]") Y("scatter(%0, %1, %2) {batch=0, dim=0, fn=\"set\"} : f32[3]"),
       {{1, 1, 1}, {0, 2, 0}, {5, 6, 7}},
       {7, 1, 6}},
      {A("f32[2,2]") B("i64[2,1]") C("f32[2,1]") Y("scatter(%0, %1, %2) {batch=1, dim=1, fn=\"mul\"} : f32[2,2]"),
       {{1, 2, 3, 4}, {1, 0}, {10, 100}},
       {1, 20, 300, 4}},
  };
  check_all(cases, COUNT(cases));
}

static void test_search(void **state) {
  (void)state;
  static const case_t cases[] = {
      {A("f32[4]") B("f32[5]") Y("search(%0, %1) {dim=0, batch=0, fn=\"ge\"} : i64[5]"),
       {{1, 2, 2, 5}, {0, 2, 3, 9, NAN}},
       {0, 1, 3, 4, 4}},
      {A("f32[4]") B("f32[5]") Y("search(%0, %1) {dim=0, batch=0, fn=\"gt\"} : i64[5]"),
       {{1, 2, 2, NAN}, {0, 2, 1, 9, NAN}},
       {0, 4, 1, 4, 4}},
      {A("i8[2,3]") B("i8[2,2]") Y("search(%0, %1) {dim=1, batch=1, fn=\"ge\"} : i64[2,2]"),
       {{-3, 0, 4, 10, 20, 30}, {0, 5, -1, 25}},
       {1, 3, 0, 2}},
      // two lines side by side, and what is looked for in both
      {A("i64[3,2]") B("i64[2]") Y("search(%0, %1) {dim=0, batch=0, fn=\"gt\"} : i64[2,2]"),
       {{1, 5, 2, 6, 3, 7}, {2, 6}},
       {2, 0, 3, 2}},
      {A("f32[0]") B("f32[2]") Y("search(%0, %1) {dim=0, batch=0, fn=\"ge\"} : i64[2]"), {{0}, {1, 2}}, {0, 0}},
  };
  check_all(cases, COUNT(cases));
}

static void test_stores_happen_after_all_reads(void **state) {
  (void)state;
  leat_graph_t *g = graph_of(
      "%0 = prim.symbol() {kind=\"state\", name=\"a\"} : f32[]\n"
      "%1 = prim.symbol() {kind=\"state\", name=\"b\"} : f32[]\n"
      "%2 = prim.symbol() {kind=\"hyper\", name=\"lr\", value=0.5} : f64[]\n"
      "prim.store(%1) {kind=\"update\", name=\"a\"}\n"
      "prim.store(%0) {kind=\"update\", name=\"b\"}\n"
      "prim.store(%2) {kind=\"output\", name=\"rate\"}\n");
  leat_eval_t *eval;
  assert_ok(leat_eval_create(g, &eval));
  set(eval, g, "a", (double[]){1});
  set(eval, g, "b", (double[]){2});
  assert_ok(leat_eval_run(eval));
  expect(eval, g, "a", (double[]){2});
  expect(eval, g, "b", (double[]){1});
  expect(eval, g, "rate", (double[]){0.5});
  assert_ok(leat_eval_run(eval));
  expect(eval, g, "a", (double[]){1});
  float value = 0;
  assert_fails(leat_eval_set(eval, "c", &value, 4), LEAT_NOT_FOUND, "no symbol 'c'");
  assert_fails(leat_eval_set(eval, "a", &value, 2), LEAT_INVALID_ARGUMENT, "takes 4 bytes, but 2");
  leat_eval_destroy(eval);
  leat_graph_destroy(g);
}

static void test_one_op_is_evaluated_for_folding(void **state) {
  (void)state;
  leat_graph_t *g = graph_of(A("f32[2]") Y("map(%0) {fn=\"neg\"} : f32[2]"));
  const float x[2] = {1, -2};
  float y[2];
  const void *inputs[] = {x};
  void *results[] = {y};
  assert_ok(leat_eval_op(g, leat_graph_op(g, 1), inputs, results));
  assert_true(y[0] == -1 && y[1] == 2);
  assert_fails(leat_eval_op(g, leat_graph_op(g, 0), NULL, results), LEAT_UNSUPPORTED, "symbol");
  leat_graph_destroy(g);
}

// Every single allocation of making and running an eval fails once.
static void test_every_allocation_may_fail(void **state) {
  (void)state;
  leat_graph_t *g = graph_of(A("f32[1,1,4]") B(
      "f32[1,1,2]") "%2 = prim.conv(%0, %1) {stride=[1], low=[0], high=[0], "
                    "dilation=[1], base_dilation=[1], groups=1} : f32[1,1,3]\n"
                    "%3, %4 = prim.sort(%2) {dim=2, descending=1} : f32[1,1,3], i64[1,1,3]\n"
                    "%5 = prim.contract(%3, %3) {spec=\"abk,abk->ab\"} : f32[1,1]\n"
                    "prim.store(%5) {kind=\"output\", name=\"y\"}\n");
  for (uint64_t n = 1;; n++) {
    leat_eval_t *eval;
    assert_true(n < 1000);
    leat_alloc_fail_after(n);
    leat_status_t status = leat_eval_create(g, &eval);
    if (status == NULL) status = leat_eval_run(eval);
    leat_alloc_fail_after(0);
    leat_eval_destroy(eval);
    if (status == NULL) break;
    assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
  }
  leat_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_map),
      cmocka_unit_test(test_casts_round_once_and_truncate),
      cmocka_unit_test(test_leaves),
      cmocka_unit_test(test_normal_numbers_follow_box_muller),
      cmocka_unit_test(test_reduce),
      cmocka_unit_test(test_scan_and_sort),
      cmocka_unit_test(test_contract),
      cmocka_unit_test(test_convolution),
      cmocka_unit_test(test_pooling),
      cmocka_unit_test(test_moves),
      cmocka_unit_test(test_gather_and_scatter),
      cmocka_unit_test(test_search),
      cmocka_unit_test(test_stores_happen_after_all_reads),
      cmocka_unit_test(test_one_op_is_evaluated_for_folding),
      cmocka_unit_test(test_every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
