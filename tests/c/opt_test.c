// SPDX-License-Identifier: Apache-2.0
// Tests of src/opt: each rule fires on its example and leaves the result bits alone; passes on and off give the same.
#include "opt/opt.h"

#include <stdio.h>

#include "check.h"
#include "op_bench.h"

static leat_graph_t *parsed(const char *text) {
  leat_graph_t *graph;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  assert_ok(leat_graph_verify(graph));
  return graph;
}

// Runs a pass and verifies; `graph` is destroyed.
static leat_graph_t *run(leat_status_t (*pass)(const leat_graph_t *, leat_graph_t **), leat_graph_t *graph) {
  leat_graph_t *made;
  assert_ok(pass(graph, &made));
  leat_graph_destroy(graph);
  assert_ok(leat_graph_verify(made));
  return made;
}

static leat_graph_t *optimized(const char *text) {
  leat_graph_t *graph = parsed(text);
  for (uint32_t i = 0; i < LEAT_OPT_PASS_COUNT; i++) graph = run(leat_opt_passes[i].run, graph);
  return graph;
}

enum { Y_BYTES_MAX = 4096 };

// The bytes of output y.
static size_t evaluated(const leat_graph_t *graph, uint8_t out_bytes[Y_BYTES_MAX]) {
  const bench_op_t numbers = {"", "", 0, 0};
  leat_eval_t *eval;
  size_t bytes = 0;
  for (leat_op_id_t id = 0; id < graph->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(graph, id);
    if (op->kind == LEAT_PRIM_STORE) bytes = leat_value_bytes(leat_graph_value(graph, leat_op_input(graph, op, 0)));
  }
  assert_in_range(bytes, 1, Y_BYTES_MAX);
  assert_ok(leat_eval_create(graph, &eval));
  assert_ok(bench_fill(eval, graph, &numbers));
  assert_ok(leat_eval_run(eval));
  assert_ok(leat_eval_get(eval, "y", out_bytes, bytes));
  leat_eval_destroy(eval);
  return bytes;
}

// x, z: f64[2,3]; r: f64[1,3]; c: bool[2,3]; i: i64[2,3]; h: bf16[2,3]
#define INPUTS                                                    \
  "leat.graph 1\n"                                                \
  "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f64[2,3]\n"  \
  "%1 = prim.symbol() {kind=\"input\", name=\"z\"} : f64[2,3]\n"  \
  "%2 = prim.symbol() {kind=\"input\", name=\"r\"} : f64[1,3]\n"  \
  "%3 = prim.symbol() {kind=\"input\", name=\"c\"} : bool[2,3]\n" \
  "%4 = prim.symbol() {kind=\"input\", name=\"i\"} : i64[2,3]\n"  \
  "%5 = prim.symbol() {kind=\"input\", name=\"h\"} : bf16[2,3]\n"
#define Y(value) "prim.store(%" #value ") {name=\"y\", kind=\"output\"}\n"
enum { FRAME_OPS = 7 };  // the inputs and the store

// A body of ops, and how many of them are left.
static const struct {
  const char *what, *body;
  uint32_t left;
} rules[] = {
    {"copy", "%6 = prim.map(%0) {fn=\"copy\"} : f64[2,3]\n" Y(6), 0},
    {"stop", "%6 = prim.map(%0) {fn=\"stop\"} : f64[2,3]\n" Y(6), 0},
    {"cast to own dtype", "%6 = prim.map(%0) {fn=\"cast\"} : f64[2,3]\n" Y(6), 0},
    {"casts that lose nothing",
     "%6 = prim.map(%5) {fn=\"cast\"} : f32[2,3]\n%7 = prim.map(%6) {fn=\"cast\"} : bf16[2,3]\n" Y(7), 0},
    {"a cast that rounds stays",
     "%6 = prim.map(%0) {fn=\"cast\"} : f32[2,3]\n%7 = prim.map(%6) {fn=\"cast\"} : f64[2,3]\n" Y(7), 2},
    {"x*1", "%6 = prim.constant() {value=1.0} : f64[2,1]\n%7 = prim.map(%6, %0) {fn=\"mul\"} : f64[2,3]\n" Y(7), 0},
    {"x/1", "%6 = prim.constant() {value=1.0} : f64[1,1]\n%7 = prim.map(%0, %6) {fn=\"div\"} : f64[2,3]\n" Y(7), 0},
    {"x + -0", "%6 = prim.constant() {value=-0.0} : f64[1,1]\n%7 = prim.map(%0, %6) {fn=\"add\"} : f64[2,3]\n" Y(7), 0},
    {"x + 0 stays: -0 + 0 is 0",
     "%6 = prim.constant() {value=0.0} : f64[1,1]\n%7 = prim.map(%0, %6) {fn=\"add\"} : f64[2,3]\n" Y(7), 2},
    {"x - 0", "%6 = prim.constant() {value=0.0} : f64[1,1]\n%7 = prim.map(%0, %6) {fn=\"sub\"} : f64[2,3]\n" Y(7), 0},
    {"i + 0", "%6 = prim.constant() {value=0.0} : i64[1,1]\n%7 = prim.map(%6, %4) {fn=\"add\"} : i64[2,3]\n" Y(7), 0},
    {"1*r broadcast stays",
     "%6 = prim.constant() {value=1.0} : f64[2,3]\n%7 = prim.map(%6, %2) {fn=\"mul\"} : f64[2,3]\n" Y(7), 2},
    {"neg neg", "%6 = prim.map(%0) {fn=\"neg\"} : f64[2,3]\n%7 = prim.map(%6) {fn=\"neg\"} : f64[2,3]\n" Y(7), 0},
    {"select of one", "%6 = prim.map(%3, %0, %0) {fn=\"select\"} : f64[2,3]\n" Y(6), 0},
    {"select by constant",
     "%6 = prim.constant() {value=0.0} : bool[2,3]\n%7 = prim.map(%6, %0, %1) {fn=\"select\"} : f64[2,3]\n" Y(7), 0},
    {"map of broadcast",
     "%6 = prim.broadcast(%2) {shape=[2,3]} : f64[2,3]\n%7 = prim.map(%0, %6) {fn=\"add\"} : f64[2,3]\n" Y(7), 1},
    {"map of broadcasts alone stays",
     "%6 = prim.broadcast(%2) {shape=[2,3]} : f64[2,3]\n%7 = prim.map(%6) {fn=\"exp\"} : f64[2,3]\n" Y(7), 2},
    {"identity transpose", "%6 = prim.transpose(%0) {dims=[0,1]} : f64[2,3]\n" Y(6), 0},
    {"transpose of transpose",
     "%6 = prim.transpose(%0) {dims=[1,0]} : f64[3,2]\n%7 = prim.transpose(%6) {dims=[1,0]} : f64[2,3]\n" Y(7), 0},
    {"transpose of one row",
     "%6 = prim.transpose(%2) {dims=[1,0]} : f64[3,1]\n%7 = prim.reshape(%6) {shape=[1,3]} : f64[1,3]\n" Y(7), 0},
    {"reshape of reshape",
     "%6 = prim.reshape(%0) {shape=[6]} : f64[6]\n%7 = prim.reshape(%6) {shape=[3,2]} : f64[3,2]\n" Y(7), 1},
    {"reshape there and back",
     "%6 = prim.reshape(%0) {shape=[6]} : f64[6]\n%7 = prim.reshape(%6) {shape=[2,3]} : f64[2,3]\n" Y(7), 0},
    {"full slice", "%6 = prim.slice(%0) {start=[0,0], stop=[2,3], step=[1,1]} : f64[2,3]\n" Y(6), 0},
    {"empty pad", "%6 = prim.pad(%0) {low=[0,0], high=[0,0], interior=[0,0], value=0.0} : f64[2,3]\n" Y(6), 0},
    {"pad that shifts stays", "%6 = prim.pad(%0) {low=[1,0], high=[-1,0], interior=[0,0], value=0.0} : f64[2,3]\n" Y(6),
     1},
    {"concat of one", "%6 = prim.concat(%0) {dim=0} : f64[2,3]\n" Y(6), 0},
    {"flip of one row", "%6 = prim.flip(%2) {dims=[0]} : f64[1,3]\n" Y(6), 0},
    {"broadcast of broadcast",
     "%6 = prim.reshape(%2) {shape=[1,3,1]} : f64[1,3,1]\n%7 = prim.broadcast(%6) {shape=[2,3,1]} : f64[2,3,1]\n"
     "%8 = prim.broadcast(%7) {shape=[2,3,4]} : f64[2,3,4]\n" Y(8),
     2},
    {"max of one element", "%6 = prim.reduce(%2) {fn=\"max\", dims=[0]} : f64[1,3]\n" Y(6), 0},
    {"splats",
     "%6 = prim.constant() {value=3.0} : f64[]\n%7 = prim.map(%6) {fn=\"sqrt\"} : f64[]\n"
     "%8 = prim.reshape(%7) {shape=[1,1]} : f64[1,1]\n%9 = prim.broadcast(%8) {shape=[2,3]} : f64[2,3]\n" Y(9),
     1},
    {"constants",
     "%6 = prim.iota() {dim=1} : i64[2,3]\n%7 = prim.map(%6, %6) {fn=\"mul\"} : i64[2,3]\n"
     "%8 = prim.reduce(%7) {fn=\"sum\", dims=[1]} : i64[2,1]\n" Y(8),
     1},
    {"twins",
     "%6 = prim.map(%0, %1) {fn=\"mul\"} : f64[2,3]\n%7 = prim.map(%0, %1) {fn=\"mul\"} : f64[2,3]\n"
     "%8 = prim.map(%6, %7) {fn=\"add\"} : f64[2,3]\n" Y(8),
     2},
    {"twins with other attributes",
     "%6 = prim.reduce(%0) {fn=\"sum\", dims=[0]} : f64[1,3]\n%7 = prim.reduce(%0) {fn=\"max\", dims=[0]} : f64[1,3]\n"
     "%8 = prim.map(%6, %7) {fn=\"add\"} : f64[1,3]\n" Y(8),
     3},
    {"twins in other groups",
     "%6 = prim.map(%0, %1) {fn=\"mul\"} : f64[2,3] !group=1\n%7 = prim.map(%0, %1) {fn=\"mul\"} : f64[2,3] !group=2\n"
     "%8 = prim.map(%6, %7) {fn=\"add\"} : f64[2,3]\n" Y(8),
     3},
    // Backward computes the exponentials again, but not their sum.
    {"twins across section types",
     "%6 = prim.map(%0) {fn=\"exp\"} : f64[2,3]\n%7 = prim.reduce(%6) {fn=\"sum\", dims=[1]} : f64[2,1]\n"
     "%8 = prim.map(%6, %7) {fn=\"div\"} : f64[2,3]\n%9 = prim.map(%0) {fn=\"exp\"} : f64[2,3] !type=bckwd\n"
     "%10 = prim.reduce(%9) {fn=\"sum\", dims=[1]} : f64[2,1] !type=bckwd\n%11 = prim.map(%8, %10) {fn=\"add\"} : "
     "f64[2,3] !type=bckwd\n"
     "%12 = prim.map(%9, %11) {fn=\"mul\"} : f64[2,3] !type=bckwd\n" Y(12),
     6},
    {"dead code", "%6 = prim.map(%0) {fn=\"exp\"} : f64[2,3]\n%7 = prim.map(%6) {fn=\"neg\"} : f64[2,3]\n" Y(0), 0},
};

static void test_rules(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    char text[2048];
    size_t head = strlen(INPUTS), tail = strlen(rules[i].body) + 1;
    assert_true(head + tail <= sizeof text);
    memcpy(text, INPUTS, head);
    memcpy(text + head, rules[i].body, tail);
    leat_graph_t *plain = parsed(text), *made = optimized(text);
    if (made->ops.count != FRAME_OPS + rules[i].left)
      fail_msg("%s: %u ops left", rules[i].what, made->ops.count - FRAME_OPS);
    uint8_t before[Y_BYTES_MAX], after[Y_BYTES_MAX];
    size_t bytes = evaluated(plain, before);
    assert_int_equal(evaluated(made, after), bytes);
    if (memcmp(before, after, bytes) != 0) fail_msg("%s: the result has other bits", rules[i].what);
    leat_graph_destroy(plain);
    leat_graph_destroy(made);
  }
}

// A small network with loss, gradients and optimizer.
static const char network[] =
    "leat.graph 1\n"
    "%0 = symbol() {kind=\"input\", name=\"x\"} : f64[4,6]\n"
    "%1 = symbol() {kind=\"param\", name=\"w\", requires_grad=1} : f64[5,6]\n"
    "%2 = symbol() {kind=\"param\", name=\"b\", requires_grad=1} : f64[5]\n"
    "%3 = symbol() {kind=\"input\", name=\"t\"} : i64[4]\n"
    "%4 = linear(%0, %1, %2) : f64[4,5]\n"
    "%5 = layer_norm(%4, none, none) {dims=[1], eps=0.001} : f64[4,5]\n"
    "%6 = gelu(%5) : f64[4,5]\n"
    "%7 = cross_entropy(%6, %3) {reduction=\"mean\"} : f64[]\n"
    "output(%7) {name=\"loss\", seed=\"one\"}\n"
    "optimizer(%1, %2) {kind=\"adamw\", lr=0.1, beta1=0.9, beta2=0.99, hyper=\"lr\"}\n";

static uint32_t count_backward(const leat_graph_t *g, uint32_t kind) {
  uint32_t count = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    count += op->kind == kind && op->type == LEAT_TYPE_BCKWD;
  }
  return count;
}

static void check_same_symbols(leat_eval_t *plain, leat_eval_t *made) {
  static const char *const names[] = {"loss", "w__grad", "b__grad", "w", "b", "w__exp_avg_sq", "optimizer_0__step"};
  static const size_t counts[] = {1, 30, 5, 30, 5, 30, 1};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    double before[30], after[30];
    assert_ok(leat_eval_get(plain, names[i], before, counts[i] * sizeof(double)));
    assert_ok(leat_eval_get(made, names[i], after, counts[i] * sizeof(double)));
    assert_memory_equal(before, after, counts[i] * sizeof(double));
  }
}

// Every subset of the passes gives the same bits; all of them take the statistics of layer norm and softmax from
// forward.
static void test_network(void **state) {
  (void)state;
  const bench_op_t numbers = {"", "", 0, 0};
  leat_graph_t *plain;
  leat_eval_t *expected;
  assert_ok(bench_lower(network, &plain));
  assert_ok(leat_eval_create(plain, &expected));
  assert_ok(bench_fill(expected, plain, &numbers));
  assert_ok(leat_eval_run(expected));
  for (uint32_t subset = 1; subset < 1u << LEAT_OPT_PASS_COUNT; subset++) {
    leat_graph_t *made;
    leat_eval_t *eval;
    assert_ok(bench_lower(network, &made));
    for (uint32_t i = 0; i < LEAT_OPT_PASS_COUNT; i++)
      if (subset >> i & 1u) made = run(leat_opt_passes[i].run, made);
    assert_ok(leat_eval_create(made, &eval));
    assert_ok(bench_fill(eval, made, &numbers));
    assert_ok(leat_eval_run(eval));
    check_same_symbols(expected, eval);
    if (subset + 1u == 1u << LEAT_OPT_PASS_COUNT) {
      assert_true(made->ops.count < plain->ops.count * 4 / 5);
      assert_in_range(count_backward(made, LEAT_PRIM_REDUCE), 1, 3);  // of layer norm's two means, bias
      assert_int_equal(count_backward(made, LEAT_PRIM_CONTRACT), 1);
    }
    leat_eval_destroy(eval);
    leat_graph_destroy(made);
  }
  leat_eval_destroy(expected);
  leat_graph_destroy(plain);
}

// A second run of all passes finds nothing left to do.
static void test_fixed_point(void **state) {
  (void)state;
  leat_graph_t *graph;
  assert_ok(bench_lower(network, &graph));
  char *first, *second;
  for (uint32_t round = 0; round < 2; round++)
    for (uint32_t i = 0; i < LEAT_OPT_PASS_COUNT; i++) graph = run(leat_opt_passes[i].run, graph);
  assert_ok(leat_graph_print(graph, &first));
  for (uint32_t i = 0; i < LEAT_OPT_PASS_COUNT; i++) graph = run(leat_opt_passes[i].run, graph);
  assert_ok(leat_graph_print(graph, &second));
  assert_string_equal(first, second);
  leat_string_free(first);
  leat_string_free(second);
  leat_graph_destroy(graph);
}

// relu(x) has one reader, the pooling; relu(z) has two, so it must stay where it is.
static const char pooled_network[] =
    "leat.graph 1\n"
    "%0 = symbol() {kind=\"input\", name=\"x\", requires_grad=1} : f64[1,2,4,4]\n"
    "%1 = symbol() {kind=\"input\", name=\"z\", requires_grad=1} : f64[1,2,4,4]\n"
    "%2 = relu(%0) : f64[1,2,4,4]\n"
    "%3 = max_pool(%2) {window=[2,2], stride=[2,2], padding=[0,0], dilation=[1,1], ceil_mode=0} : f64[1,2,2,2]\n"
    "%4 = relu(%1) : f64[1,2,4,4]\n"
    "%5 = max_pool(%4) {window=[2,2], stride=[2,2], padding=[0,0], dilation=[1,1], ceil_mode=0} : f64[1,2,2,2]\n"
    "%6 = mul(%3, %5) : f64[1,2,2,2]\n"
    "%7 = sum(%4) {dims=[]} : f64[]\n"
    "%8 = add(%6, %7) : f64[1,2,2,2]\n"
    "output(%8) {name=\"y\", seed=\"symbol\"}\n";

static uint32_t pools_of_relu(const leat_graph_t *graph) {
  uint32_t count = 0;
  for (leat_op_id_t id = 0; id < graph->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(graph, id);
    if (op->kind != LEAT_TRACED_MAX_POOL) continue;
    leat_value_id_t x = leat_op_input(graph, op, 0);
    count += leat_graph_op(graph, leat_graph_value(graph, x)->op)->kind == LEAT_TRACED_RELU;
  }
  return count;
}

// The result and the gradients keep their bits when pooling goes first.
static void test_pool_first(void **state) {
  (void)state;
  const bench_op_t numbers = {"", "", -1, 1};
  char *text;
  leat_graph_t *graph = parsed(pooled_network), *plain, *pooled;
  leat_eval_t *expected, *actual;
  assert_int_equal(pools_of_relu(graph), 2);
  graph = run(leat_opt_pool_first, graph);
  assert_int_equal(pools_of_relu(graph), 1);
  assert_ok(leat_graph_print(graph, &text));
  assert_ok(bench_lower(pooled_network, &plain));
  assert_ok(bench_lower(text, &pooled));
  assert_ok(leat_eval_create(plain, &expected));
  assert_ok(leat_eval_create(pooled, &actual));
  assert_ok(bench_fill(expected, plain, &numbers));
  assert_ok(bench_fill(actual, pooled, &numbers));
  assert_ok(leat_eval_run(expected));
  assert_ok(leat_eval_run(actual));
  static const char *const stored[] = {"y", "x__grad", "z__grad"};
  for (size_t i = 0; i < sizeof stored / sizeof stored[0]; i++) {
    double a[32], b[32];
    size_t bytes = i == 0 ? 8 * sizeof a[0] : sizeof a;
    assert_ok(leat_eval_get(expected, stored[i], a, bytes));
    assert_ok(leat_eval_get(actual, stored[i], b, bytes));
    assert_memory_equal(a, b, bytes);
  }
  leat_eval_destroy(expected);
  leat_eval_destroy(actual);
  leat_graph_destroy(plain);
  leat_graph_destroy(pooled);
  leat_graph_destroy(graph);
  leat_string_free(text);
}

// gelu of x + w, and what its gradient reads: three children of the sum. %s: dims.
static const char recomputed_body[] =
    "leat.graph 1\n"
    "%%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[%s]\n"
    "%%1 = prim.symbol() {kind=\"input\", name=\"w\"} : f32[%s]\n"
    "%%2 = prim.constant() {value=0.75} : f32[1,1]\n"
    "%%3 = prim.map(%%0, %%1) {fn=\"add\"} : f32[%s]\n"
    "%%4 = prim.map(%%3, %%2) {fn=\"mul\"} : f32[%s]\n"
    "%%5 = prim.map(%%4) {fn=\"erf\"} : f32[%s]\n"
    "%%6 = prim.map(%%5, %%2) {fn=\"add\"} : f32[%s]\n"
    "%%7 = prim.map(%%3, %%6) {fn=\"mul\"} : f32[%s]\n"
    "prim.store(%%7) {name=\"y\", kind=\"output\"}\n"
    "%%8 = prim.map(%%4, %%4) {fn=\"mul\"} : f32[%s] !type=bckwd\n"
    "%%9 = prim.map(%%8, %%6) {fn=\"add\"} : f32[%s] !type=bckwd\n"
    "%%10 = prim.map(%%9, %%7) {fn=\"mul\"} : f32[%s] !type=bckwd\n"
    "prim.store(%%10) {name=\"z\", kind=\"output\"} !type=bckwd\n";

static leat_graph_t *recomputed_graph(const char *dims) {
  char text[2048];
  const char *d = dims;
  snprintf(text, sizeof text, recomputed_body, d, d, d, d, d, d, d, d, d, d);
  return parsed(text);
}

// Values of forward maps that backward reads.
static uint32_t crossings(const leat_graph_t *g) {
  bool crosses[64] = {0};
  uint32_t count = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    for (uint32_t i = 0; op->type == LEAT_TYPE_BCKWD && i < op->input_count; i++) {
      leat_value_id_t x = leat_op_input(g, op, i);
      const leat_op_t *from = leat_graph_op(g, leat_graph_value(g, x)->op);
      if (from->kind != LEAT_PRIM_MAP || from->type != LEAT_TYPE_FWD || crosses[x]) continue;
      crosses[x] = true;
      count++;
    }
  }
  return count;
}

static leat_status_t recompute(const leat_graph_t *from, leat_graph_t **out_graph) {
  leat_arch_t arch;
  leat_arch_init(&arch, "native", "test");
  return leat_opt_recompute(from, &arch, out_graph);
}

// Large children are computed from the sum in backward, but for the output, which is kept anyway; small ones stay.
static void test_recompute(void **state) {
  (void)state;
  const bench_op_t numbers = {"", "", -3, 3};
  leat_graph_t *small = run(recompute, recomputed_graph("4,4"));
  assert_int_equal(crossings(small), 3);
  leat_graph_destroy(small);
  leat_graph_t *plain = recomputed_graph("512,1024"), *made = run(recompute, recomputed_graph("512,1024"));
  assert_int_equal(crossings(plain), 3);
  assert_int_equal(crossings(made), 2);
  leat_eval_t *expected, *actual;
  assert_ok(leat_eval_create(plain, &expected));
  assert_ok(leat_eval_create(made, &actual));
  assert_ok(bench_fill(expected, plain, &numbers));
  assert_ok(bench_fill(actual, made, &numbers));
  assert_ok(leat_eval_run(expected));
  assert_ok(leat_eval_run(actual));
  enum { BYTES = 512 * 1024 * 4 };
  float *a = leat_alloc(BYTES), *b = leat_alloc(BYTES);
  assert_non_null(a);
  assert_non_null(b);
  assert_ok(leat_eval_get(expected, "z", a, BYTES));
  assert_ok(leat_eval_get(actual, "z", b, BYTES));
  assert_memory_equal(a, b, BYTES);
  leat_free(a);
  leat_free(b);
  leat_eval_destroy(expected);
  leat_eval_destroy(actual);
  leat_graph_destroy(plain);
  leat_graph_destroy(made);
}

// Every allocation of every pass fails once: a clean status each time.
static void test_out_of_memory(void **state) {
  (void)state;
  leat_graph_t *from;
  assert_ok(bench_lower(network, &from));
  for (uint32_t i = 0; i < LEAT_OPT_PASS_COUNT; i++) {
    bool done = false;
    for (uint64_t n = 1; !done && n < 100000; n++) {
      leat_graph_t *made = NULL;
      leat_alloc_fail_after(n);
      leat_status_t status = leat_opt_passes[i].run(from, &made);
      leat_alloc_fail_after(0);
      done = status == NULL;
      if (done)
        leat_graph_destroy(made);
      else
        assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
      leat_status_free(status);
    }
    assert_true(done);
  }
  leat_graph_destroy(from);
}

// --- values without elements ----------------------------------------------------------------------------------------

// n: f64[2,0], from x; n's elements reach y without changing it, or make it what no elements make.
#define NONE "%6 = prim.slice(%0) {start=[0,1], stop=[2,1], step=[1,1]} : f64[2,0]\n"
static const char *const empties[] = {
    NONE "%7 = prim.reduce(%6) {dims=[1], fn=\"sum\"} : f64[2,1]\n" Y(7),
    NONE "%7 = prim.reduce(%6) {dims=[1], fn=\"prod\"} : f64[2,1]\n" Y(7),
    NONE "%7 = prim.reduce(%6) {dims=[1], fn=\"max\"} : f64[2,1]\n" Y(7),
    NONE "%7 = prim.reduce(%6) {dims=[1], fn=\"min\"} : f64[2,1]\n" Y(7),
    "%6 = prim.slice(%3) {start=[0,0], stop=[2,0], step=[1,1]} : bool[2,0]\n"
    "%7 = prim.reduce(%6) {dims=[1], fn=\"max\"} : bool[2,1]\n" Y(7),
    "%6 = prim.slice(%3) {start=[0,0], stop=[2,0], step=[1,1]} : bool[2,0]\n"
    "%7 = prim.reduce(%6) {dims=[1], fn=\"min\"} : bool[2,1]\n" Y(7),
    NONE "%7 = prim.contract(%6, %6) {spec=\"ak,bk->ab\"} : f64[2,2]\n" Y(7),
    NONE "%7 = prim.concat(%0, %6, %1) {dim=1} : f64[2,6]\n" Y(7),
    NONE "%7 = prim.concat(%6, %0) {dim=1} : f64[2,3]\n" Y(7),
    NONE "%7 = prim.pad(%6) {low=[0,1], high=[0,1], interior=[0,0], value=2.5} : f64[2,2]\n" Y(7),
    NONE
    "%7 = prim.reshape(%6) {shape=[1,2,0]} : f64[1,2,0]\n"
    "%8 = prim.pool(%7) {fn=\"max\", window=[2], stride=[1], low=[1], high=[1], dilation=[1]} : f64[1,2,1]\n" Y(8),
    NONE
    "%7 = prim.reshape(%6) {shape=[1,2,0]} : f64[1,2,0]\n"
    "%8 = prim.pool(%7) {fn=\"sum\", window=[2], stride=[1], low=[1], high=[1], dilation=[1]} : f64[1,2,1]\n" Y(8),
    NONE
    "%7 = prim.slice(%4) {start=[0,0], stop=[2,0], step=[1,1]} : i64[2,0]\n"
    "%8 = prim.scatter(%0, %7, %6) {dim=1, batch=1, fn=\"add\"} : f64[2,3]\n" Y(8),
    NONE "%7 = prim.gather(%6, %4) {dim=1, batch=1} : f64[2,3]\n" Y(7),
    NONE
    "%7, %8 = prim.sort(%6) {dim=1, descending=0} : f64[2,0], i64[2,0]\n"
    "%9 = prim.reduce(%8) {dims=[1], fn=\"sum\"} : i64[2,1]\n" Y(9),
    NONE
    "%7 = prim.reshape(%6) {shape=[0,7]} : f64[0,7]\n%8 = prim.reduce(%7) {dims=[0], fn=\"sum\"} : f64[1,7]\n" Y(8),
};

static void test_values_without_elements_become_constants(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof empties / sizeof *empties; i++) {
    char text[4096];
    uint8_t before[Y_BYTES_MAX], after[Y_BYTES_MAX];
    snprintf(text, sizeof text, "%s%s", INPUTS, empties[i]);
    leat_graph_t *graph = parsed(text);
    const size_t bytes = evaluated(graph, before);
    graph = run(leat_opt_empty, graph);
    assert_int_equal(evaluated(graph, after), bytes);
    if (memcmp(before, after, bytes) != 0) fail_msg("%zu: the pass changes y", i);
    for (leat_op_id_t id = 0; id < graph->ops.count; id++) {
      const leat_op_t *op = leat_graph_op(graph, id);
      for (uint32_t k = 0; k < op->input_count && op->kind != LEAT_PRIM_STORE; k++) {
        assert_true(leat_value_elements(leat_graph_value(graph, leat_op_input(graph, op, k))) > 0);
      }
    }
    leat_graph_destroy(graph);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values_without_elements_become_constants),
      cmocka_unit_test(test_rules),
      cmocka_unit_test(test_network),
      cmocka_unit_test(test_fixed_point),
      cmocka_unit_test(test_pool_first),
      cmocka_unit_test(test_recompute),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
