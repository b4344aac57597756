// SPDX-License-Identifier: Apache-2.0
// Tests of graphs, the builder, rebuilding, cost and the verifier: src/ir/graph.c, build*.c, rebuild.c, cost.c,
// verify.c.
#include "check.h"
#include "ir/rebuild.h"

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static leat_graph_t *new_graph(leat_builder_t *b) {
  leat_graph_t *g;
  assert_ok(leat_graph_create(&g));
  leat_builder_init(b, g);
  return g;
}

static void expect_type(const leat_builder_t *b, leat_value_id_t v, const char *expected) {
  char text[160];
  assert_ok(b->status);
  assert_string_equal(leat_value_text(leat_b_value(b, v), text, sizeof text), expected);
}

static leat_graph_t *parsed(const char *text) {
  leat_graph_t *g;
  assert_ok(leat_graph_parse(text, strlen(text), &g));
  return g;
}

// --- builder ------------------------------------------------------------------------------------------------------

static void test_builder_broadcasts_as_torch(void **state) {
  (void)state;
  leat_builder_t b;
  leat_graph_t *g = new_graph(&b);
  leat_value_id_t x = leat_b_symbol(&b, leat_b_named(&b, "x"), LEAT_KIND_INPUT, LEAT_F32, 3, DIMS(2, 1, 4));
  leat_value_id_t y = leat_b_symbol(&b, leat_b_named(&b, "y"), LEAT_KIND_INPUT, LEAT_F32, 2, DIMS(3, 1));
  expect_type(&b, leat_b_add(&b, x, y), "f32[2,3,4]");
  expect_type(&b, leat_b_muls(&b, x, 2.0), "f32[2,1,4]");
  expect_type(&b, leat_b_map2(&b, LEAT_SCALAR_LT, x, y), "bool[2,3,4]");
  expect_type(&b, leat_b_broadcast_to(&b, y, 3, DIMS(5, 3, 4)), "f32[5,3,4]");
  expect_type(&b, leat_b_sum_to(&b, leat_b_add(&b, x, y), 2, DIMS(3, 1)), "f32[3,1]");
  expect_type(&b, leat_b_reduce(&b, LEAT_FOLD_SUM, x, 5, false), "f32[1]");
  expect_type(&b, leat_b_cast(&b, x, LEAT_BF16), "bf16[2,1,4]");
  assert_ok(leat_graph_verify(g));
  leat_graph_destroy(g);
}

static void test_builder_does_nothing_where_nothing_is_to_do(void **state) {
  (void)state;
  leat_builder_t b;
  leat_graph_t *g = new_graph(&b);
  leat_value_id_t x = leat_b_symbol(&b, leat_b_named(&b, "x"), LEAT_KIND_INPUT, LEAT_F32, 2, DIMS(2, 3));
  assert_int_equal(leat_b_reshape(&b, x, 2, DIMS(2, 3)), x);
  assert_int_equal(leat_b_transpose(&b, x, DIMS(0, 1)), x);
  assert_int_equal(leat_b_slice_dim(&b, x, 1, 0, 3, 1), x);
  assert_int_equal(leat_b_pad(&b, x, DIMS(0, 0), DIMS(0, 0), NULL, 1), x);
  assert_int_equal(leat_b_broadcast_to(&b, x, 2, DIMS(2, 3)), x);
  assert_int_equal(leat_b_sum_to(&b, x, 2, DIMS(2, 3)), x);
  assert_int_equal(leat_b_flip(&b, x, 0), x);
  assert_int_equal(leat_b_cast(&b, x, LEAT_F32), x);
  assert_int_equal(leat_b_concat(&b, &x, 1, 0), x);
  assert_int_equal(g->ops.count, 1);
  leat_graph_destroy(g);
}

static void test_builder_keeps_its_first_error(void **state) {
  (void)state;
  leat_builder_t b;
  leat_graph_t *g = new_graph(&b);
  leat_value_id_t x = leat_b_symbol(&b, leat_b_named(&b, "x"), LEAT_KIND_INPUT, LEAT_F32, 2, DIMS(2, 3));
  leat_value_id_t bad = leat_b_product(&b, "mk,kn->mn", x, x);
  assert_int_equal(bad, LEAT_NONE);
  assert_int_equal(leat_b_add(&b, bad, x), LEAT_NONE);
  assert_int_equal(leat_b_fail(&b, LEAT_UNSUPPORTED, "second"), LEAT_NONE);
  assert_int_equal(leat_b_value(&b, bad)->rank, 0);
  assert_fails(leat_builder_take_status(&b), LEAT_INVALID_ARGUMENT, "prim.contract: 'k' of spec 'mk,kn->mn' is 3");
  assert_int_equal(leat_b_reshape(&b, LEAT_NONE, 0, NULL), LEAT_NONE);
  assert_fails(leat_builder_take_status(&b), LEAT_INTERNAL, "missing");
  leat_graph_destroy(g);
}

static void test_numbers_are_rounded_once(void **state) {
  (void)state;
  leat_builder_t b;
  leat_graph_t *g = new_graph(&b);
  leat_value_id_t x = leat_b_scalar(&b, LEAT_F32, 0.1);
  const leat_op_t *op = leat_graph_op(g, leat_graph_value(g, x)->op);
  assert_true(leat_op_float(g, op, LEAT_ATTR_VALUE, 0) == (double)0.1f);
  assert_true(leat_dtype_round(LEAT_BF16, 1.00390625) == 1.0);
  assert_true(leat_dtype_round(LEAT_F16, 65519.9) == 65504.0);
  assert_true(leat_dtype_round(LEAT_I8, 300.7) == 44.0);
  assert_true(leat_dtype_round(LEAT_BOOL, 0.5) == 1.0);
  leat_graph_destroy(g);
}

// Attributes and types of an append may lie in the arrays that it makes grow.
static void test_append_reads_its_own_graph(void **state) {
  (void)state;
  leat_builder_t b;
  leat_graph_t *g = new_graph(&b);
  leat_value_id_t x = leat_b_symbol(&b, leat_b_named(&b, "x"), LEAT_KIND_INPUT, LEAT_F32, 2, DIMS(2, 3));
  (void)leat_b_reduce(&b, LEAT_FOLD_SUM, x, 2, true);
  for (int i = 0; i < 1000; i++) {
    const leat_op_t *op = leat_graph_op(g, 1);
    const leat_op_desc_t desc = {.kind = op->kind,
                                 .inputs = g->inputs.data + op->input_first,
                                 .input_count = op->input_count,
                                 .attrs = g->attrs.data + op->attr_first,
                                 .attr_count = op->attr_count,
                                 .results = g->values.data + op->result_first,
                                 .result_count = op->result_count};
    assert_ok(leat_graph_append(g, &desc, NULL));
  }
  assert_true(leat_attrs_equal(g, leat_graph_op(g, 1), g, leat_graph_op(g, 1001)));
  assert_ok(leat_graph_verify(g));
  leat_graph_destroy(g);
}

static void test_constants_own_their_bytes(void **state) {
  (void)state;
  leat_builder_t b;
  leat_graph_t *g = new_graph(&b);
  float data[2] = {1, 2};
  leat_value_id_t c = leat_b_constant(&b, LEAT_F32, 1, DIMS(2), data);
  data[0] = 7;
  assert_true(((const float *)g->blobs.data[0].data)[0] == 1);
  expect_type(&b, c, "f32[2]");
  assert_ok(leat_graph_verify(g));
  leat_graph_destroy(g);
}

// --- rebuild ------------------------------------------------------------------------------------------------------

static leat_status_t replace_neg_by_abs(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  if (leat_op_scalar(r->from, op) != LEAT_SCALAR_NEG) return leat_rebuild_copy(r, id);
  r->map[op->result_first] = leat_b_map1(&r->b, LEAT_SCALAR_ABS, leat_rebuild_input(r, op, 0));
  return NULL;
}

static leat_status_t drop_neg(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  bool neg = leat_op_scalar(r->from, op) == LEAT_SCALAR_NEG;
  return neg ? NULL : leat_rebuild_copy(r, id);
}

static const char negated[] =
    "leat.graph 1\n"
    "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[2]\n"
    "%1 = prim.map(%0) {fn=\"neg\"} : f32[2] !detached !group=4 !type=bckwd @ \"m.neg\" \"f.py:1\"\n"
    "%2 = prim.map(%1) {fn=\"exp\"} : f32[2] @ \"m.exp\" \"f.py:2\"\n"
    "prim.store(%2) {name=\"y\", kind=\"output\"}\n";

static void test_rebuild_maps_and_keeps_provenance(void **state) {
  (void)state;
  leat_graph_t *g = parsed(negated), *out;
  char *text;
  assert_ok(leat_rebuild(g, replace_neg_by_abs, NULL, &out));
  assert_ok(leat_graph_verify(out));
  assert_ok(leat_graph_print(out, &text));
  assert_non_null(strstr(text, "%1 = prim.map(%0) {fn=\"abs\"} : f32[2] !detached !group=4 !type=bckwd @ \"m.neg\""));
  assert_non_null(strstr(text, "%2 = prim.map(%1) {fn=\"exp\"} : f32[2] @ \"m.exp\" \"f.py:2\"\n"));
  leat_string_free(text);
  leat_graph_destroy(out);
  assert_fails(leat_rebuild(g, drop_neg, NULL, &out), LEAT_INTERNAL,
               "op 'prim.map' (module m.exp, f.py:2): operand 0 was dropped");
  assert_null(out);
  leat_graph_destroy(g);
}

// --- verify -------------------------------------------------------------------------------------------------------

static void test_verify_finds_what_is_wrong(void **state) {
  (void)state;
#define X "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[2,3]\n"
  static const struct {
    const char *body, *message;
  } cases[] = {
      {X "%1 = prim.map(%0) {fn=\"neg\"} : f32[3,2] @ \"m\" \"f.py:3\"\n",
       "op 'prim.map' (module m, f.py:3): result 0 is declared f32[3,2] but the rule gives f32[2,3]"},
      {X "%1 = prim.map(none) {fn=\"neg\"} : f32[2,3]\n", "no absent operands"},
      {X "%1 = prim.map(%0) : f32[2,3]\n", "attribute 'fn' is missing"},
      {X "%1 = prim.map(%0) {fn=\"add\"} : f32[2,3]\n", "'add' takes 2 operands, got 1"},
      {X "%1 = prim.map(%0) {fn=\"xor\"} : f32[2,3]\n", "takes 2 operands"},
      {X "%1 = prim.map(%0) {fn=\"not\"} : f32[2,3]\n", "'not' is not defined for f32"},
      {X "%1 = symbol() {kind=\"input\", name=\"x\"} : f32[]\n", "two symbols are named 'x'"},
      {X "prim.store(%0) {kind=\"output\", name=\"x\"}\n", "'x' is a symbol: only an update"},
      {X "output(%0) {name=\"x\", seed=\"zero\"}\n", "an output is named 'x' as a symbol is"},
      {X "prim.store(%0) {kind=\"update\", name=\"z\"}\n", "'z', which is no symbol"},
      {X "prim.store(%0) {kind=\"output\", name=\"z\"}\nprim.store(%0) {kind=\"grad\", name=\"z\"}\n",
       "two stores are named 'z'"},
      {X "%1 = prim.constant() {value=0} : f32[]\nprim.store(%1) {kind=\"update\", name=\"x\"}\n",
       "symbol 'x' is f32[2,3] but its update is f32[]"},
      {"%0 = constant() {index=0} : f32[2]\n", "the bytes of constant 0 were not set"},
      {"%0 = constant() : f32[2]\n", "'index' is missing"},
      {"%0 = prim.constant() : f32[2]\n", "either 'value' or 'index'"},
      {"%0 = symbol() {kind=\"input\"} : f32[]\n", "has no name"},
      {"%0 = rand() {stream=-3} : f32[2]\n", "attribute 'stream' is -3, should be 0 to 4294967295"},
      {"%0 = rand() {stream=4294967296} : f32[2]\n", "attribute 'stream' is 4294967296, should be 0 to 4294967295"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    leat_text_t text = {0};
    leat_text_put(&text, "leat.graph 1\n%s", cases[i].body);
    leat_graph_t *g = parsed(text.data);
    assert_fails(leat_graph_verify(g), LEAT_INVALID_ARGUMENT, cases[i].message);
    leat_graph_destroy(g);
    leat_text_deinit(&text);
  }
}

static void test_verify_lets_traced_ops_declare_their_shapes(void **state) {
  (void)state;
  leat_graph_t *g = parsed(
      "leat.graph 1\n"
      "%0 = symbol() {kind=\"input\", name=\"x\", requires_grad=0} : f32[2,3]\n"
      "%1 = matmul(%0, %0) : bf16[7]\n"
      "output(%1) {name=\"y\", seed=\"zero\"}\n");
  assert_ok(leat_graph_verify(g));
  leat_graph_destroy(g);
}

static void test_verify_stops_words_that_the_op_does_not_take(void **state) {
  (void)state;
  leat_graph_t *g = parsed(
      "leat.graph 1\n%0 = prim.constant() {value=0} : f32[4]\n"
      "%1 = prim.scan(%0) {fn=\"sum\", dim=0, reverse=0} : f32[4]\n");
  leat_attr_t *fn = (leat_attr_t *)leat_op_attr(g, leat_graph_op(g, 1), LEAT_ATTR_FN);
  assert_int_equal(fn->v.i, LEAT_FOLD_SUM);
  static const int64_t wrong[] = {LEAT_FOLD_ARGMAX, LEAT_FOLD_SET, -1, 1000};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    fn->v.i = wrong[i];
    assert_fails(leat_graph_verify(g), LEAT_INVALID_ARGUMENT, "fn is none of sum|prod|max|min");
  }
  leat_graph_destroy(g);
}

static void test_verify_stops_broken_ids(void **state) {
  (void)state;
  leat_graph_t *g = parsed(negated);
  g->inputs.data[0] = 2;  // the map reads a later value
  assert_fails(leat_graph_verify(g), LEAT_INVALID_ARGUMENT, "not defined by an earlier op");
  g->inputs.data[0] = 0;
  g->ops.data[2].attr_first = 1000;
  assert_fails(leat_graph_verify(g), LEAT_INTERNAL, "points outside");
  leat_graph_destroy(g);
}

// --- out of memory ------------------------------------------------------------------------------------------------

static const char sample[] =
    "leat.graph 1\n"
    "%0 = symbol() {kind=\"input\", name=\"x\", requires_grad=0} : f32[4,3] @ \"m\" \"f.py:1\"\n"
    "%1 = prim.reduce(%0) {dims=[1], fn=\"sum\"} : f32[4,1]\n"
    "output(%1) {name=\"y\", seed=\"zero\"}\n";

static leat_status_t parse_verify_print(void) {
  leat_graph_t *g;
  char *text = NULL;
  LEAT_TRY(leat_graph_parse(sample, strlen(sample), &g));
  leat_status_t status = leat_graph_verify(g);
  if (status == NULL) status = leat_graph_print(g, &text);
  leat_string_free(text);
  leat_graph_destroy(g);
  return status;
}

// Every single allocation fails once; nothing leaks (the sanitizer looks) and every failure is reported.
static void test_every_allocation_may_fail(void **state) {
  (void)state;
  for (uint64_t n = 1;; n++) {
    assert_true(n < 1000);
    leat_alloc_fail_after(n);
    leat_status_t status = parse_verify_print();
    leat_alloc_fail_after(0);
    if (status == NULL) break;
    assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
  }
}

static void test_rebuild_may_run_out_of_memory(void **state) {
  (void)state;
  leat_graph_t *g = parsed(negated);
  for (uint64_t n = 1;; n++) {
    leat_graph_t *out;
    assert_true(n < 1000);
    leat_alloc_fail_after(n);
    leat_status_t status = leat_rebuild(g, replace_neg_by_abs, NULL, &out);
    leat_alloc_fail_after(0);
    leat_graph_destroy(out);
    if (status == NULL) break;
    assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
  }
  leat_graph_destroy(g);
}

// --- cost ---------------------------------------------------------------------------------------------------------

static void test_cost_counts_operations_and_bytes(void **state) {
  (void)state;
  leat_builder_t b;
  leat_graph_t *g = new_graph(&b);
  leat_value_id_t x = leat_b_symbol(&b, leat_b_named(&b, "x"), LEAT_KIND_INPUT, LEAT_F32, 2, DIMS(8, 16));
  leat_value_id_t w = leat_b_symbol(&b, leat_b_named(&b, "w"), LEAT_KIND_PARAM, LEAT_F32, 2, DIMS(4, 16));
  leat_value_id_t y = leat_b_product(&b, "mk,nk->mn", x, w);
  leat_cost_t cost = leat_op_cost(g, leat_graph_op(g, leat_graph_value(g, y)->op));
  assert_true(cost.flops == 2.0 * 8 * 16 * 4 && cost.bytes == 4.0 * (8 * 16 + 4 * 16 + 8 * 4));
  leat_value_id_t image = leat_b_symbol(&b, leat_b_named(&b, "i"), LEAT_KIND_INPUT, LEAT_F32, 4, DIMS(2, 4, 6, 6));
  leat_value_id_t taps = leat_b_symbol(&b, leat_b_named(&b, "k"), LEAT_KIND_PARAM, LEAT_F32, 4, DIMS(8, 2, 3, 3));
  const leat_window_t window = {
      .rank = 2, .window = {3, 3}, .stride = {1, 1}, .dilation = {1, 1}, .base_dilation = {1, 1}, .groups = 2};
  y = leat_b_conv(&b, image, taps, &window);
  expect_type(&b, y, "f32[2,8,4,4]");
  cost = leat_op_cost(g, leat_graph_op(g, leat_graph_value(g, y)->op));
  assert_true(cost.flops == 2.0 * (2 * 8 * 4 * 4) * 2 * 9);
  leat_value_id_t dw = leat_b_conv_wgrad(&b, image, y, &window, 0);
  expect_type(&b, dw, "f32[8,2,3,3]");
  assert_true(leat_op_cost(g, leat_graph_op(g, leat_graph_value(g, dw)->op)).flops == cost.flops);
  leat_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_builder_broadcasts_as_torch),
      cmocka_unit_test(test_builder_does_nothing_where_nothing_is_to_do),
      cmocka_unit_test(test_builder_keeps_its_first_error),
      cmocka_unit_test(test_numbers_are_rounded_once),
      cmocka_unit_test(test_append_reads_its_own_graph),
      cmocka_unit_test(test_constants_own_their_bytes),
      cmocka_unit_test(test_rebuild_maps_and_keeps_provenance),
      cmocka_unit_test(test_verify_finds_what_is_wrong),
      cmocka_unit_test(test_verify_lets_traced_ops_declare_their_shapes),
      cmocka_unit_test(test_verify_stops_words_that_the_op_does_not_take),
      cmocka_unit_test(test_verify_stops_broken_ids),
      cmocka_unit_test(test_every_allocation_may_fail),
      cmocka_unit_test(test_rebuild_may_run_out_of_memory),
      cmocka_unit_test(test_cost_counts_operations_and_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
