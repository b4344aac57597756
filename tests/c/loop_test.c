// SPDX-License-Identifier: Apache-2.0
// Tests of loops: their text, what the verifier says of them, their values, and their gradients, which have to be those
// of the same loop written out.
#include "ir/loop.h"

#include <math.h>
#include <stdio.h>

#include "check.h"
#include "grad/grad.h"
#include "lower/lower.h"
#include "opt/opt.h"

#define HEAD "leat.graph 1\n"
#define IN(number, name, type) "%" #number " = prim.symbol() {name=\"" name "\", kind=\"input\"} : " type "\n"
#define WANTED(number, name, type) \
  "%" #number " = symbol() {name=\"" name "\", kind=\"input\", requires_grad=1} : " type "\n"
#define OUT(value, name) "prim.store(%" #value ") {name=\"" name "\", kind=\"output\"}\n"
#define MAP(result, fn, operands, type) "%" #result " = prim.map(" operands ") {fn=\"" fn "\"} : " type "\n"
#define SEEDED(value, name) "output(%" #value ") {name=\"" name "\", seed=\"symbol\"}\n"

// h' = tanh(h w + x): a product, whose sum over trips is one product, and steps that are stacked.
#define CELL                                                                                           \
  "body 0\n" IN(0, "@carried0", "f64[2,3]") IN(1, "@scanned0", "f64[2,3]")                             \
      IN(2, "@fixed0", "f64[3,3]") "%3 = prim.contract(%0, %2) {spec=\"mk,kn->mn\"} : f64[2,3]\n" MAP( \
          4, "add", "%3, %1", "f64[2,3]") MAP(5, "tanh", "%4", "f64[2,3]") OUT(5, "@next0")            \
          OUT(5, "@stacked0") "end\n"
#define CELL_OPERANDS WANTED(0, "h", "f64[2,3]") WANTED(1, "x", "f64[4,2,3]") WANTED(2, "w", "f64[3,3]")
#define CELL_LOOP(reverse)                                                                  \
  "%3, %4 = prim.loop(%0, %1, %2) {body=0, trips=4, carried=1, scanned=1, reverse=" reverse \
  ", stream=0"                                                                              \
  "} : f64[2,3], "                                                                          \
  "f64[4,2,3]\n"

static const char *const programs[] = {
    HEAD CELL CELL_OPERANDS CELL_LOOP("0") SEEDED(3, "last") SEEDED(4, "all"),
    HEAD CELL CELL_OPERANDS CELL_LOOP("1") SEEDED(3, "last") SEEDED(4, "all"),
    HEAD CELL CELL_OPERANDS CELL_LOOP("1") SEEDED(4, "all"),
    HEAD CELL CELL_OPERANDS CELL_LOOP("0") SEEDED(3, "last"),
    // what the gradient of something fixed is that no product makes: it is carried; a bias, a moved weight, a part of one
    HEAD "body 0\n" IN(0, "@carried0", "f64[2,3]") IN(1, "@fixed0", "f64[2,3]") IN(2, "@fixed1", "f64[3]")
        IN(3, "@fixed2", "f64[3,6]") MAP(4, "mul", "%0, %1", "f64[2,3]")
            "%5 = prim.reshape(%2) {shape=[1,3]} : f64[1,3]\n" MAP(6, "add", "%4, %5", "f64[2,3]")
                "%7 = prim.slice(%3) {start=[0,1], stop=[3,6], step=[1,2]} : f64[3,3]\n"
                "%8 = prim.transpose(%7) {dims=[1,0]} : f64[3,3]\n"
                "%9 = prim.contract(%6, %8) {spec=\"mk,kn->mn\"} : f64[2,3]\n" MAP(10, "sin", "%9", "f64[2,3]")
                    OUT(10, "@next0") "end\n" WANTED(0, "h", "f64[2,3]") WANTED(1, "scale", "f64[2,3]")
                        WANTED(2, "bias", "f64[3]") WANTED(3, "w", "f64[3,6]")
        "%4 = prim.loop(%0, %1, %2, %3) {body=0, trips=5, carried=1, scanned=0, reverse=0, stream=0} : f64[2,3]\n"
        SEEDED(4, "last"),
    // two carried values, one of which needs a gradient only from the second trip on, an integer that counts, and a
    // stack of a carried value
    HEAD "body 0\n" IN(0, "@carried0", "f64[3]") IN(1, "@carried1", "i64[]") IN(2, "@carried2", "f64[3]")
        IN(3, "@scanned0", "f64[3]") "%4 = prim.constant() {value=1} : i64[]\n" MAP(5, "add", "%1, %4", "i64[]")
            MAP(6, "mul", "%0, %2", "f64[3]") MAP(7, "add", "%6, %3", "f64[3]") MAP(8, "log1p", "%0", "f64[3]")
                OUT(7, "@next0") OUT(5, "@next1") OUT(8, "@next2") OUT(0, "@stacked0") OUT(1, "@stacked1") "end\n"
        "%0 = prim.constant() {value=0.5} : f64[3]\n%1 = prim.constant() {value=3} : i64[]\n" WANTED(2, "x", "f64[4,3]")
        "%3, %4, %5, %6, %7 = prim.loop(%0, %1, %0, %2) {body=0, trips=4, carried=3, scanned=1, reverse=0, stream=0} : "
        "f64[3], i64[], f64[3], f64[4,3], i64[4]\n" SEEDED(3, "a") SEEDED(5, "b") SEEDED(6, "c")
        "output(%7) {name=\"count\", seed=\"zero\"}\n",
    // two uses of one weight in a trip, and one step that two others read
    HEAD "body 0\n" IN(0, "@carried0", "f64[2,2]") IN(1, "@fixed0", "f64[2,2]")
        "%2 = prim.contract(%0, %1) {spec=\"mk,kn->mn\"} : f64[2,2]\n"
        MAP(3, "sigmoid", "%2", "f64[2,2]") "%4 = prim.contract(%3, %1) {spec=\"mk,nk->mn\"} : f64[2,2]\n"
        MAP(5, "add", "%4, %3", "f64[2,2]") OUT(5, "@next0") OUT(3, "@stacked0") "end\n"
        WANTED(0, "h", "f64[2,2]") WANTED(1, "w", "f64[2,2]")
        "%2, %3 = prim.loop(%0, %1) {body=0, trips=3, carried=1, scanned=0, reverse=1, stream=0} : f64[2,2], f64[3,2,2]\n"
        SEEDED(2, "last") SEEDED(3, "all"),
    // a loop whose stack another one reads, with one trip
    HEAD CELL CELL_OPERANDS CELL_LOOP("0")
        "%5, %6 = prim.loop(%3, %4, %2) {body=0, trips=4, carried=1, scanned=1, reverse=1, stream=0} : f64[2,3], f64[4,2,3]\n"
        SEEDED(5, "last") SEEDED(6, "all"),
};

static leat_graph_t *parsed(const char *text) {
  leat_graph_t *g;
  assert_ok(leat_graph_parse(text, strlen(text), &g));
  assert_ok(leat_graph_verify(g));
  return g;
}

// --- text -----------------------------------------------------------------------------------------------------------

static void test_print_and_parse_are_inverse(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
    leat_graph_t *g = parsed(programs[i]);
    char *first, *second;
    assert_ok(leat_graph_print(g, &first));
    leat_graph_t *again = parsed(first);
    assert_ok(leat_graph_print(again, &second));
    assert_string_equal(first, second);
    assert_true(leat_graphs_equal(g, again));
    leat_graph_destroy(g);
    leat_graph_destroy(again);
    leat_string_free(first);
    leat_string_free(second);
  }
}

static void test_bodies_are_part_of_what_is_compared(void **state) {
  (void)state;
#define ONE(fn)                                                                                      \
  HEAD "body 0\n" IN(0, "@carried0", "f32[]") MAP(1, fn, "%0", "f32[]") OUT(1, "@next0") "end\n" IN( \
      0, "x", "f32[]") "%1 = prim.loop(%0) {body=0, trips=2, carried=1, scanned=0, reverse=0, stream=0} : f32[]\n"
  leat_graph_t *a = parsed(ONE("neg")), *b = parsed(ONE("neg")), *c = parsed(ONE("sin"));
  assert_true(leat_graphs_equal(a, b));
  assert_false(leat_graphs_equal(a, c));
  leat_graph_destroy(a);
  leat_graph_destroy(b);
  leat_graph_destroy(c);
}

static void test_mistakes_are_named(void **state) {
  (void)state;
#define BODY "body 0\n" IN(0, "@carried0", "f32[2]") OUT(0, "@next0")
#define LOOP(more) \
  IN(0, "x", "f32[2]") "%1 = prim.loop(%0) {" more ", carried=1, scanned=0, reverse=0, stream=0} : f32[2]\n"
  static const struct {
    const char *text, *told;
  } cases[] = {
      {HEAD "body 1\n", "bodies are numbered upwards from 0"},
      {HEAD BODY, "expected 'end'"},
      {HEAD BODY "end\nend\n", "no op 'end'"},
      {HEAD BODY "group 1 \"a\"\nend\n", "no op 'group'"},
      {HEAD "body 0\nbody 0\nbody 0\nbody 0\nbody 0\nbody 0\nbody 0\nbody 0\nbody 0\n", "bodies lie within at most 7"},
      {HEAD LOOP("body=0, trips=1"), "the graph has no body 0"},
      {HEAD BODY "end\n" LOOP("body=0, trips=0"), "trips must be"},
      {HEAD BODY "end\n" LOOP("body=0"), "attribute 'trips' is missing"},
      {HEAD BODY IN(1, "x", "f32[]") "end\n" LOOP("body=0, trips=1"), "'x' is no end of a body"},
      {HEAD BODY "%1 = neg(%0) : f32[2]\nend\n" LOOP("body=0, trips=1"), "is no primitive"},
      {HEAD "body 0\n" IN(0, "@carried0", "f32[2]") "end\n" LOOP("body=0, trips=1"), "the body has no end '@next0'"},
      {HEAD BODY "end\n" IN(
           0, "x",
           "f32[3]") "%1 = prim.loop(%0) {body=0, trips=1, carried=1, scanned=0, reverse=0, stream=0} : f32[3]\n",
       "operand 0 is f32[3], but its end in the body is f32[2]"},
      {HEAD BODY "end\n" IN(
           0, "x",
           "f32[2]") "%1 = prim.loop(%0) {body=0, trips=1, carried=2, scanned=0, reverse=0, stream=0} : f32[2]\n",
       "expected 2"},
      {HEAD BODY OUT(0, "@stacked1") "end\n" IN(0, "x",
                                                "f32[2]") "%1, %2 = prim.loop(%0) {body=0, trips=3, carried=1, "
                                                          "scanned=0, reverse=0, stream=0} : f32[2], f32[3,2]\n",
       "no end '@stacked0'"},
      {HEAD "body 0\n" IN(0, "@scanned0", "f32[2]") OUT(0, "@stacked0") "end\n" IN(
           0, "x",
           "f32[2,2]") "%1 = prim.loop(%0) {body=0, trips=3, carried=0, scanned=1, reverse=0, stream=0} : f32[3,2]\n",
       "stack 0 is f32[2,2], but its end in the body is f32[3,2]"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    leat_graph_t *g;
    leat_status_t status = leat_graph_parse(cases[i].text, strlen(cases[i].text), &g);
    if (status == NULL) status = leat_graph_verify(g);
    assert_fails(status, LEAT_INVALID_ARGUMENT, cases[i].told);
    leat_graph_destroy(g);
  }
}

static void test_a_body_draws_no_random_numbers(void **state) {
  (void)state;
  leat_graph_t *g;
  const char *text =
      HEAD "body 0\n" IN(0, "@carried0", "i64[2]") "%1 = prim.random(%0) {fn=\"uniform\", stream=0} : f32[2]\n" OUT(
          0, "@next0") OUT(1, "@stacked0") "end\n";
  assert_ok(leat_graph_parse(text, strlen(text), &g));
  assert_fails(leat_graph_verify(g), LEAT_UNSUPPORTED, "body 0: op 'prim.random': a body draws no random numbers");
  leat_graph_destroy(g);
}

// --- values and gradients -------------------------------------------------------------------------------------------

typedef leat_status_t (*pass_t)(const leat_graph_t *from, leat_graph_t **out_graph);

static leat_status_t lower_first(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_lower(from, true, out_graph);
}
static leat_status_t lower_rest(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_lower(from, false, out_graph);
}
static leat_status_t grad(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_grad(from, leat_lower_vjps(), out_graph);
}

static leat_graph_t *passed(const char *text, const pass_t *passes, size_t count) {
  leat_graph_t *g = parsed(text);
  for (size_t i = 0; i < count; i++) {
    leat_graph_t *next;
    assert_ok(passes[i](g, &next));
    assert_ok(leat_graph_verify(next));
    leat_graph_destroy(g);
    g = next;
  }
  return g;
}

static uint32_t count_loops(const leat_graph_t *g) {
  uint32_t count = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; id++)
    count += leat_op_role(leat_graph_op(g, id)->kind) == LEAT_ROLE_LOOP;
  return count;
}

// Numbers of a symbol that hang on its name only.
static void fill(leat_eval_t *eval, const leat_symbol_t *symbol) {
  enum { MOST = 64 };
  double numbers[MOST];
  const size_t count = (size_t)leat_value_elements(&symbol->type);
  assert_true(count <= MOST);
  for (size_t i = 0; i < count; i++) numbers[i] = 0.3 + 0.6 * sin(1.7 * (double)i + (double)symbol->name[0]);
  if (symbol->type.dtype == LEAT_F64) assert_ok(leat_eval_set(eval, symbol->name, numbers, count * sizeof *numbers));
}

static leat_eval_t *evaluated(const leat_graph_t *g) {
  leat_eval_t *eval;
  assert_ok(leat_eval_create(g, &eval));
  for (leat_symbol_id_t id = 0; id < g->symbols.count; id++)
    if (leat_graph_symbol(g, id)->op != LEAT_NONE) fill(eval, leat_graph_symbol(g, id));
  assert_ok(leat_eval_run(eval));
  return eval;
}

static void compare(const leat_graph_t *a, const leat_graph_t *b, size_t program) {
  leat_eval_t *x = evaluated(a), *y = evaluated(b);
  uint32_t compared = 0;
  for (leat_symbol_id_t id = 0; id < a->symbols.count; id++) {
    const leat_symbol_t *symbol = leat_graph_symbol(a, id);
    const size_t bytes = leat_value_bytes(&symbol->type), count = bytes / sizeof(double);
    double left[64], right[64];
    if (!symbol->said || symbol->type.dtype != LEAT_F64) continue;
    assert_ok(leat_eval_get(x, symbol->name, left, bytes));
    assert_ok(leat_eval_get(y, symbol->name, right, bytes));
    for (size_t i = 0; i < count; i++)
      if (!(fabs(left[i] - right[i]) <= 1e-12 * (1 + fabs(right[i]))))
        fail_msg("program %zu, %s[%zu]: %.17g, unrolled %.17g", program, symbol->name, i, left[i], right[i]);
    compared++;
  }
  assert_true(compared > 2);
  leat_eval_destroy(x);
  leat_eval_destroy(y);
}

static void test_values_and_gradients_are_those_of_the_loop_written_out(void **state) {
  (void)state;
  const pass_t loops[] = {lower_first, grad, lower_rest}, late[] = {lower_first, grad, lower_rest, leat_opt_unroll};
  const pass_t straight[] = {leat_opt_unroll, lower_first, grad, lower_rest};
  for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
    leat_graph_t *loop = passed(programs[i], loops, 3), *unrolled = passed(programs[i], straight, 4);
    leat_graph_t *unrolled_late = passed(programs[i], late, 4);
    assert_true(count_loops(loop) >= 2 && count_loops(unrolled) == 0 && count_loops(unrolled_late) == 0);
    compare(loop, unrolled, i);
    compare(unrolled_late, unrolled, i);
    leat_graph_destroy(loop);
    leat_graph_destroy(unrolled);
    leat_graph_destroy(unrolled_late);
  }
}

static uint32_t count_kind(const leat_graph_t *g, leat_op_kind_t kind) {
  uint32_t count = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) count += leat_graph_op(g, id)->kind == kind;
  return count;
}

// The gradient of a weight is one product over all trips, outside of both loops.
static void test_the_gradient_of_a_weight_is_one_product(void **state) {
  (void)state;
  const pass_t passes[] = {lower_first, grad, lower_rest, leat_opt_dce};
  leat_graph_t *g = passed(programs[0], passes, 4);
  assert_int_equal(count_kind(g, LEAT_PRIM_CONTRACT), 1);
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    if (leat_graph_op(g, id)->kind != LEAT_PRIM_LOOP || leat_graph_op(g, id)->type != LEAT_TYPE_BCKWD) continue;
    const leat_loop_t loop = leat_loop_of(g, leat_graph_op(g, id));
    assert_int_equal(count_kind(loop.body, LEAT_PRIM_CONTRACT), 1);  // the state's
    assert_int_equal(loop.carried, 1);
    assert_true(loop.reverse);
  }
  leat_graph_destroy(g);
}

static void test_loops_within_bodies(void **state) {
  (void)state;
  const char *text =
      HEAD "body 0\nbody 0\n" IN(0, "@carried0", "f64[]") MAP(1, "add", "%0, %0", "f64[]") OUT(1, "@next0") "end\n" IN(
          0, "@carried0",
          "f64[]") "%1 = prim.loop(%0) {body=0, trips=3, carried=1, scanned=0, reverse=0, stream=0} : f64[]\n" OUT(1, "@next0")
          OUT(1, "@stacked0") "end\n" IN(
              0, "x",
              "f64[]") "%1, %2 = prim.loop(%0) {body=0, trips=2, carried=1, scanned=0, reverse=0, stream=0} : f64[], "
                       "f64[2]\n" OUT(1, "y") OUT(2, "z");
  const pass_t unroll[] = {leat_opt_unroll};
  leat_graph_t *loop = passed(text, NULL, 0), *straight = passed(text, unroll, 1);
  compare(loop, straight, 0);
  assert_int_equal(count_loops(straight), 0);
  leat_graph_destroy(loop);
  leat_graph_destroy(straight);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_print_and_parse_are_inverse),
      cmocka_unit_test(test_bodies_are_part_of_what_is_compared),
      cmocka_unit_test(test_mistakes_are_named),
      cmocka_unit_test(test_a_body_draws_no_random_numbers),
      cmocka_unit_test(test_values_and_gradients_are_those_of_the_loop_written_out),
      cmocka_unit_test(test_the_gradient_of_a_weight_is_one_product),
      cmocka_unit_test(test_loops_within_bodies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
