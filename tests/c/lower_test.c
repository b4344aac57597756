// SPDX-License-Identifier: Apache-2.0
// Tests of src/lower: statements, symbols, checks of declared results, messages, random state. What the rows compute is
// tested against PyTorch by tests/ops, their gradients by grad_test.c.
#include "lower/lower.h"

#include <stdio.h>

#include "check.h"
#include "op_bench.h"

static leat_status_t lower(const char *text, bool keep_own_gradient, leat_graph_t **out_graph) {
  leat_graph_t *graph;
  LEAT_TRY(leat_graph_parse(text, strlen(text), &graph));
  leat_status_t status = leat_lower(graph, keep_own_gradient, out_graph);
  leat_graph_destroy(graph);
  return status == NULL ? leat_graph_verify(*out_graph) : status;
}

static uint32_t count_ops(const leat_graph_t *g, uint32_t kind) {
  uint32_t count = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) count += leat_graph_op(g, id)->kind == kind;
  return count;
}

static const leat_op_t *find_op(const leat_graph_t *g, uint32_t kind, const char *name) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (op->kind == kind && strcmp(leat_op_name(g, op), name) == 0) return op;
  }
  return NULL;
}

#define X "leat.graph 1\n%0 = symbol() {kind=\"param\", name=\"x\", requires_grad=1} : f32[2,3]\n"

static void test_statements(void **state) {
  (void)state;
  leat_graph_t *g;
  assert_ok(lower(X "%1 = neg(%0) : f32[2,3]\nupdate(%0, %1)\noutput(%1) {name=\"y\", seed=\"zero\"}\n"
                    "optimizer(%0) {kind=\"sgd\", lr=0.1}\n",
                  false, &g));
  assert_int_equal(g->ops.count, 4);
  assert_true(leat_op_is_store(g, find_op(g, LEAT_PRIM_STORE, "x"), LEAT_STORE_UPDATE));
  assert_true(leat_op_is_store(g, find_op(g, LEAT_PRIM_STORE, "y"), LEAT_STORE_OUTPUT));
  const leat_op_t *symbol = find_op(g, LEAT_PRIM_SYMBOL, "x");
  assert_true(leat_op_is_symbol(g, symbol, LEAT_KIND_PARAM));
  assert_int_equal(leat_op_int(g, symbol, LEAT_ATTR_REQUIRES_GRAD, 0), 1);
  leat_graph_destroy(g);
}

static void test_own_gradients_stay(void **state) {
  (void)state;
  static const char text[] =
      X "%1 = softmax(%0) {dim=1} : f32[2,3]\n%2 = neg(%1) : f32[2,3]\noutput(%2) {name=\"y\", seed=\"one\"}\n";
  leat_graph_t *g;
  assert_ok(lower(text, true, &g));
  assert_int_equal(count_ops(g, LEAT_TRACED_SOFTMAX), 1);
  assert_int_equal(count_ops(g, LEAT_TRACED_OUTPUT), 1);
  assert_int_equal(count_ops(g, LEAT_TRACED_NEG), 0);
  leat_graph_destroy(g);
  assert_ok(lower(text, false, &g));
  assert_int_equal(count_ops(g, LEAT_TRACED_SOFTMAX) + count_ops(g, LEAT_TRACED_OUTPUT), 0);
  leat_graph_destroy(g);
}

// A vjp exists exactly where traced.def says so.
static void test_gradient_table(void **state) {
  (void)state;
  const leat_vjp_table_t *table = leat_lower_vjps();
  for (uint32_t kind = LEAT_TRACED_FIRST; kind < LEAT_OP_KIND_COUNT; kind++)
    assert_int_equal(table->rule[kind - LEAT_TRACED_FIRST] != NULL, leat_op_info(kind)->own_gradient);
}

// A linear layer is one product over flattened rows that reads the weight as torch stores it.
static void test_linear(void **state) {
  (void)state;
  leat_graph_t *g;
  assert_ok(lower(
      X
      "%1 = symbol() {kind=\"param\", name=\"w\"} : f32[5,3]\n%2 = symbol() {kind=\"param\", name=\"b\"} : f32[5]\n"
      "%3 = reshape(%0) {shape=[1,2,3]} : f32[1,2,3]\n%4 = linear(%3, %1, %2) : f32[1,2,5]\noutput(%4) {name=\"y\"}\n",
      false, &g));
  assert_int_equal(count_ops(g, LEAT_PRIM_CONTRACT), 1);
  assert_int_equal(count_ops(g, LEAT_PRIM_TRANSPOSE) + count_ops(g, LEAT_PRIM_BROADCAST), 0);
  leat_graph_destroy(g);
}

static void test_declared_result_is_checked(void **state) {
  (void)state;
  leat_graph_t *g;
  leat_status_t status = lower(X "%1 = sum(%0) {dims=[1]} : f32[3] @ \"net.head\" \"net.py:7\"\n", false, &g);
  assert_int_equal(leat_status_code(status), LEAT_MISMATCH);
  static const char *const parts[] = {"sum", "net.head", "net.py:7", "f32[3]", "f32[2]"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (strstr(leat_status_message(status), parts[i]) == NULL)
      fail_msg("'%s' not in: %s", parts[i], leat_status_message(status));
  leat_status_free(status);
}

static void test_unsupported(void **state) {
  (void)state;
  leat_graph_t *g;
  assert_fails(lower(X "%1 = symbol() {kind=\"input\", name=\"m\"} : bool[2]\n"
                       "%2 = index(%0, %1) : f32[1,3] @ \"net\" \"net.py:9\"\n",
                     false, &g),
               LEAT_UNSUPPORTED, "net.py:9");
  assert_fails(lower(X "%1 = pad(%0) {low=[0,1], high=[0,1], mode=\"fancy\"} : f32[2,5]\n", false, &g),
               LEAT_INVALID_ARGUMENT, "mode 'fancy' is none of constant|reflect|replicate|circular");
  assert_fails(lower(X "%1 = pad(%0) {low=[0,3], high=[0,0], mode=\"reflect\"} : f32[2,6]\n", false, &g),
               LEAT_INVALID_ARGUMENT, "reflection");
  static const char *const adaptive[] = {"adaptive_avg_pool", "adaptive_max_pool"};
  for (size_t i = 0; i < sizeof adaptive / sizeof *adaptive; i++) {
    char text[256];
    snprintf(text, sizeof text, "%s%%1 = %s(%%0) {shape=[1,1,1]} : f32[1,1,1]\n", X, adaptive[i]);
    assert_fails(lower(text, false, &g), LEAT_INVALID_ARGUMENT, "adaptive pooling of 2 dims into 3");
  }
  // What is declared may need padding up to a window's last step (ceil mode), but no more.
  assert_fails(lower(X "%1 = max_pool(%0) {window=[9], stride=[2], padding=[0], dilation=[1]} : f32[2,1]\n", false, &g),
               LEAT_MISMATCH, "lowers to f32[2,0]");
  assert_fails(lower(X "%1 = einsum(%0) {spec=\"ab\"} : f32[2,3]\n", false, &g), LEAT_INVALID_ARGUMENT,
               "spec 'ab' is not of the form");
  assert_fails(lower(X "%1 = einsum(%0) {spec=\"abc->a\"} : f32[2]\n", false, &g), LEAT_INVALID_ARGUMENT,
               "spec 'abc->a' does not fit the rank of operand 0");
  assert_fails(lower(X "%1 = einsum(%0) {spec=\"abcdefghi->a\"} : f32[2]\n", false, &g), LEAT_UNSUPPORTED,
               "more than 8 letters");
  assert_fails(lower(X "%1 = symbol() {kind=\"seed\", name=\"s\"} : f32[2]\n", false, &g), LEAT_INVALID_ARGUMENT,
               "'s' is none of input, param, buffer and state");
  assert_fails(lower(X "%1 = symbol() {kind=\"input\", name=\"i\"} : f32[2,3]\nupdate(%1, %0)\n", false, &g),
               LEAT_INVALID_ARGUMENT, "input 'i' is not written: a run only reads it");
  assert_fails(lower(X "%1 = dropout(%0) {p=0.5, training=1} : f32[2,3]\noutput(%1) {name=\"p\"}\n", true, &g),
               LEAT_INVALID_ARGUMENT, "the name 'p' belongs to a hyperparameter");
}

// In eval mode dropout is nothing; in training the rate is the hyperparameter p and the random state steps once a run.
static void test_dropout(void **state) {
  (void)state;
  leat_graph_t *g;
  assert_ok(
      lower(X "%1 = dropout(%0) {p=0.25, training=0, stream=0} : f32[2,3]\noutput(%1) {name=\"y\"}\n", false, &g));
  assert_int_equal(g->ops.count, 2);
  leat_graph_destroy(g);
  assert_ok(lower(X "%1 = dropout(%0) {p=0.25, training=1, stream=0} : f32[2,3]\n"
                    "%2 = dropout(%1) {p=0.25, training=1, stream=1} : f32[2,3]\noutput(%2) {name=\"y\"}\n",
                  false, &g));
  assert_int_equal(count_ops(g, LEAT_PRIM_RANDOM), 2);
  const leat_op_t *p = find_op(g, LEAT_PRIM_SYMBOL, "p");
  assert_true(leat_op_is_symbol(g, p, LEAT_KIND_HYPER));
  assert_true(leat_op_float(g, p, LEAT_ATTR_VALUE, 0.0) == 0.25);
  assert_non_null(find_op(g, LEAT_PRIM_STORE, "random__state"));
  leat_graph_destroy(g);
}

static void run_dropout(leat_eval_t *eval, double p, const int64_t random_state[2], float out_y[64]) {
  assert_ok(leat_eval_set(eval, "random__state", random_state, 2 * sizeof *random_state));
  if (p >= 0.0) assert_ok(leat_eval_set(eval, "p", &p, sizeof p));
  assert_ok(leat_eval_run(eval));
  assert_ok(leat_eval_get(eval, "y", out_y, 64 * sizeof *out_y));
}

static uint32_t count_zeros(const float y[64]) {
  uint32_t zeros = 0;
  for (int i = 0; i < 64; i++) zeros += y[i] == 0.0f;
  return zeros;
}

// Kept elements are scaled by 1/(1-p); the mask depends on the state; a rate of 0 and of 1 keep all and nothing.
static void test_dropout_values(void **state) {
  (void)state;
  leat_graph_t *g;
  leat_eval_t *eval;
  assert_ok(lower(
      "leat.graph 1\n%0 = full() {value=3.0} : f32[64]\n%1 = dropout(%0) {p=0.25, training=1, stream=4} : f32[64]\n"
      "output(%1) {name=\"y\"}\n",
      false, &g));
  assert_ok(leat_eval_create(g, &eval));
  float y[64], again[64], next[64];
  int64_t random_state[2] = {42, 0}, stepped[2];
  run_dropout(eval, -1.0, random_state, y);
  assert_ok(leat_eval_get(eval, "random__state", stepped, sizeof stepped));
  assert_true(stepped[0] == 42 && stepped[1] == 1);
  for (int i = 0; i < 64; i++) assert_true(y[i] == 0.0f || (y[i] > 3.9999f && y[i] < 4.0001f));
  assert_in_range(count_zeros(y), 6, 28);
  run_dropout(eval, -1.0, random_state, again);
  assert_memory_equal(y, again, sizeof y);
  run_dropout(eval, -1.0, stepped, next);
  assert_memory_not_equal(y, next, sizeof y);
  run_dropout(eval, 0.0, random_state, y);
  assert_int_equal(count_zeros(y), 0);
  run_dropout(eval, 1.0, random_state, y);
  assert_int_equal(count_zeros(y), 64);
  leat_eval_destroy(eval);
  leat_graph_destroy(g);
}

// Dropouts of different rates keep their own until the host sets p: the default says so by being NaN.
static void test_dropouts_of_different_rates(void **state) {
  (void)state;
  leat_graph_t *g;
  assert_ok(lower(X "%1 = dropout(%0) {p=0.25, training=1, stream=0} : f32[2,3]\n"
                    "%2 = dropout(%1) {p=0.5, training=1, stream=1} : f32[2,3]\noutput(%2) {name=\"y\"}\n",
                  false, &g));
  double shared = leat_op_float(g, find_op(g, LEAT_PRIM_SYMBOL, "p"), LEAT_ATTR_VALUE, 0.0);
  assert_true(shared != shared);
  leat_graph_destroy(g);
}

// batch_norm: the running variance is that of the sample (n-1), momentum weighs the new value.
static void test_batch_norm_statistics(void **state) {
  (void)state;
  leat_graph_t *g;
  leat_eval_t *eval;
  assert_ok(lower(
      "leat.graph 1\n%0 = symbol() {kind=\"input\", name=\"x\"} : f64[4,1]\n"
      "%1 = symbol() {kind=\"buffer\", name=\"mean\"} : f64[1]\n%2 = symbol() {kind=\"buffer\", name=\"var\"} : "
      "f64[1]\n"
      "%3, %4, %5 = batch_norm(%0, none, none, %1, %2) {eps=0.0, momentum=0.1, training=1} : f64[4,1], f64[1], f64[1]\n"
      "update(%1, %4)\nupdate(%2, %5)\n",
      false, &g));
  assert_ok(leat_eval_create(g, &eval));
  const double x[4] = {1, 2, 3, 6}, mean[1] = {10}, var[1] = {20};
  double found;
  assert_ok(leat_eval_set(eval, "x", x, sizeof x));
  assert_ok(leat_eval_set(eval, "mean", mean, sizeof mean));
  assert_ok(leat_eval_set(eval, "var", var, sizeof var));
  assert_ok(leat_eval_run(eval));
  assert_ok(leat_eval_get(eval, "mean", &found, sizeof found));
  assert_true(found > 9.2999999 && found < 9.3000001);
  assert_ok(leat_eval_get(eval, "var", &found, sizeof found));
  assert_true(found > 18.466666 && found < 18.466667);  // 0.9 * 20 + 0.1 * 14/3
  leat_eval_destroy(eval);
  leat_graph_destroy(g);
}

// Every allocation fails once: a clean status each time, nothing leaks.
#define OPERANDS(x, w)                                                \
  "leat.graph 1\n%0 = symbol() {kind=\"input\", name=\"x\"} : f32[" x \
  "]\n"                                                               \
  "%1 = symbol() {kind=\"input\", name=\"w\"} : f32[" w "]\n"
#define UP(x, w, padding, extra, y)                                                                              \
  OPERANDS(x, w)                                                                                                 \
  "%2 = conv(%0, %1) {stride=[2,2], padding=[" padding "], dilation=[1,1], transposed=1, output_padding=[" extra \
  "], groups=1} : f32[" y "]\noutput(%2) {name=\"y\", seed=\"zero\"}\n"

// A transposed convolution of one element a channel is a product, as long as the window holds the result.
static void test_spread_of_one_element(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint32_t products;
  } graphs[] = {{UP("3,4,1,1", "4,2,3,5", "0,0", "0,0", "3,2,3,5"), 1},
                {UP("3,4,1,1", "4,2,3,5", "1,2", "0,1", "3,2,1,2"), 1},
                {UP("3,4,1,1", "4,2,3,5", "0,2", "0,0", "3,2,3,1"), 1},
                {UP("3,4,1,1", "4,2,3,5", "0,0", "1,0", "3,2,4,5"), 0},
                {UP("3,4,1,2", "4,2,3,5", "0,0", "0,0", "3,2,3,7"), 0}};
  for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
    leat_graph_t *g;
    assert_ok(lower(graphs[i].text, false, &g));
    assert_int_equal(count_ops(g, LEAT_PRIM_CONTRACT), graphs[i].products);
    assert_int_equal(count_ops(g, LEAT_PRIM_CONV), 1 - graphs[i].products);
    leat_graph_destroy(g);
  }
}

#define HEADS(q, k, more, causal)                                                      \
  OPERANDS(q, k)                                                                       \
  "%2 = symbol() {kind=\"input\", name=\"m\"} : f32[40,40]\n"                          \
  "%3 = scaled_dot_product_attention(%0, %1, %1" more ") {causal=" causal "} : f32[" q \
  "]\noutput(%3) "                                                                     \
  "{name=\"y\", seed=\"zero\"}\n"

// Queries of heads that share keys are rows of one head, where they are many and all of them meet all keys alike.
static void test_heads_that_share_keys(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint32_t rank;
  } graphs[] = {{HEADS("2,8,40,4", "2,2,40,4", "", "0"), 4},
                {HEADS("2,8,2,4", "2,2,40,4", "", "0"), 5},
                {HEADS("2,8,40,4", "2,2,40,4", "", "1"), 5},
                {HEADS("2,8,40,4", "2,2,40,4", ", %2", "0"), 5}};
  for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
    leat_graph_t *g;
    uint32_t rank = 0;
    assert_ok(lower(graphs[i].text, false, &g));
    for (leat_value_id_t v = 0; v < g->values.count; v++)
      rank = leat_graph_value(g, v)->rank > rank ? leat_graph_value(g, v)->rank : rank;
    assert_int_equal(rank, graphs[i].rank);
    leat_graph_destroy(g);
  }
}

// Heads of few numbers go in blocks from fewer tokens on; keys that are few beside them do not.
static void test_short_attention(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint32_t blocks;
  } graphs[] = {{HEADS("2,3,36,32", "2,3,36,32", "", "0"), 1},
                {HEADS("2,3,36,64", "2,3,36,64", "", "0"), 0},
                {HEADS("2,3,31,16", "2,3,40,16", "", "0"), 0},
                {HEADS("2,3,600,128", "2,3,64,128", "", "0"), 0},
                {HEADS("2,3,600,128", "2,3,65,128", "", "0"), 1}};
  for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
    leat_graph_t *g;
    assert_ok(lower(graphs[i].text, false, &g));
    assert_int_equal(count_ops(g, LEAT_PRIM_ATTENTION), graphs[i].blocks);
    leat_graph_destroy(g);
  }
}

static void test_out_of_memory(void **state) {
  (void)state;
  static const char text[] = X
      "%1 = layer_norm(%0) {dims=[1], eps=0.001} : f32[2,3]\n%2 = einsum(%1, %0) {spec=\"ab,cb->ac\"} : f32[2,2]\n"
      "output(%2) {name=\"y\", seed=\"one\"}\n";
  leat_graph_t *from, *g;
  assert_ok(leat_graph_parse(text, strlen(text), &from));
  for (uint64_t n = 1; n < 10000; n++) {
    leat_alloc_fail_after(n);
    leat_status_t status = leat_lower(from, false, &g);
    leat_alloc_fail_after(0);
    if (status == NULL) {
      leat_graph_destroy(g);
      assert_true(n > 3);
      break;
    }
    assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
  }
  leat_graph_destroy(from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_statements),
      cmocka_unit_test(test_own_gradients_stay),
      cmocka_unit_test(test_gradient_table),
      cmocka_unit_test(test_linear),
      cmocka_unit_test(test_declared_result_is_checked),
      cmocka_unit_test(test_unsupported),
      cmocka_unit_test(test_dropout),
      cmocka_unit_test(test_dropout_values),
      cmocka_unit_test(test_dropouts_of_different_rates),
      cmocka_unit_test(test_batch_norm_statistics),
      cmocka_unit_test(test_spread_of_one_element),
      cmocka_unit_test(test_heads_that_share_keys),
      cmocka_unit_test(test_short_attention),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
