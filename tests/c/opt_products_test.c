// SPDX-License-Identifier: Apache-2.0
// Tests of the passes on products and sums: what weights take in (absorb.c), products of parts (parts.c), partial sums
// (partial.c), products that backward makes again by columns (columns.c).
#include <math.h>
#include <stdio.h>

#include "check.h"
#include "op_bench.h"
#include "opt/opt.h"

typedef leat_status_t (*pass_t)(const leat_graph_t *from, leat_graph_t **out_graph);

static leat_status_t absorb(const leat_graph_t *from, leat_graph_t **out_graph) {
  leat_arch_t arch;
  leat_arch_init(&arch, "native", "test");
  return leat_opt_absorb(from, &arch, out_graph);
}

static leat_status_t parts(const leat_graph_t *from, leat_graph_t **out_graph) {
  leat_arch_t arch;
  leat_arch_init(&arch, "native", "test");
  return leat_opt_parts(from, &arch, out_graph);
}

static leat_status_t columns(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_opt_columns(from, 4 * 200 * 8, out_graph);
}

static leat_graph_t *parsed(const char *prelude, const char *body) {
  char text[8192];
  leat_graph_t *graph;
  assert_true(snprintf(text, sizeof text, "leat.graph 1\n%s%s", prelude, body) < (int)sizeof text);
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  assert_ok(leat_graph_verify(graph));
  return graph;
}

enum { Y_MAX = 1024 };

// The elements of output y, which is f64.
static size_t evaluated(const leat_graph_t *graph, double out_numbers[Y_MAX]) {
  const bench_op_t numbers = {"", "", 0.5, 1.5};
  leat_eval_t *eval;
  size_t count = 0;
  for (leat_op_id_t id = 0; id < graph->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(graph, id);
    if (op->kind != LEAT_PRIM_STORE || strcmp(leat_op_name(graph, op), "y") != 0) continue;
    count = (size_t)leat_value_elements(leat_graph_value(graph, leat_op_input(graph, op, 0)));
  }
  assert_in_range(count, 1, Y_MAX);
  assert_ok(leat_eval_create(graph, &eval));
  assert_ok(bench_fill(eval, graph, &numbers));
  assert_ok(leat_eval_run(eval));
  assert_ok(leat_eval_get(eval, "y", out_numbers, count * sizeof *out_numbers));
  leat_eval_destroy(eval);
  return count;
}

// How many ops of `kind` read, through any ops, an input of the program: those that every run computes.
static uint32_t count_running(const leat_graph_t *g, uint32_t kind) {
  bool *runs = leat_alloc_zero(g->values.count + 1u, sizeof *runs);
  uint32_t count = 0;
  assert_non_null(runs);
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool any = leat_op_is_symbol(g, op, LEAT_KIND_INPUT);
    for (uint32_t i = 0; i < op->input_count; i++) any |= runs[leat_op_input(g, op, i)];
    for (uint32_t i = 0; i < op->result_count; i++) runs[op->result_first + i] = any;
    count += any && op->kind == kind;
  }
  leat_free(runs);
  return count;
}

// The pass leaves what y is, but for rounding; the graph that it makes.
static leat_graph_t *passed(const char *what, pass_t pass, const char *prelude, const char *body) {
  static double before[Y_MAX], after[Y_MAX];
  leat_graph_t *from = parsed(prelude, body), *made;
  assert_ok(pass(from, &made));
  assert_ok(leat_graph_verify(made));
  const size_t count = evaluated(from, before);
  assert_int_equal(evaluated(made, after), count);
  for (size_t i = 0; i < count; i++) {
    if (!(fabs(before[i] - after[i]) <= 1e-11 * (1 + fabs(before[i]))))
      fail_msg("%s: element %zu is %.17g, was %.17g", what, i, after[i], before[i]);
  }
  leat_graph_destroy(from);
  return made;
}

// --- absorb --------------------------------------------------------------------------------------------------------

// A convolution of 3 to 4 channels, a product of 6 to 5 columns and one with two dims of columns; vectors beside them.
#define WEIGHTS                                                                                                     \
  "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f64[2,3,5,5]\n"                                                \
  "%1 = prim.symbol() {kind=\"param\", name=\"w\"} : f64[4,3,3,3]\n"                                                \
  "%2 = prim.symbol() {kind=\"buffer\", name=\"m\"} : f64[1,4,1,1]\n"                                               \
  "%3 = prim.symbol() {kind=\"param\", name=\"r\"} : f64[1,4,1,1]\n"                                                \
  "%4 = prim.symbol() {kind=\"input\", name=\"a\"} : f64[3,6]\n"                                                    \
  "%5 = prim.symbol() {kind=\"param\", name=\"v\"} : f64[6,5]\n"                                                    \
  "%6 = prim.symbol() {kind=\"param\", name=\"f\"} : f64[1,5]\n"                                                    \
  "%7 = prim.symbol() {kind=\"param\", name=\"u\"} : f64[2,6,3]\n"                                                  \
  "%8 = prim.symbol() {kind=\"param\", name=\"g\"} : f64[3,1,2]\n"                                                  \
  "%9 = prim.symbol() {kind=\"input\", name=\"i\"} : f64[1,4,1,1]\n"                                                \
  "%10 = prim.symbol() {kind=\"param\", name=\"s\"} : f64[1,4,3,1]\n"                                               \
  "%11 = prim.conv(%0, %1) {stride=[1,1], low=[0,0], high=[0,0], dilation=[1,1], base_dilation=[1,1], groups=1} : " \
  "f64[2,4,3,3]\n"
#define MAP(result, fn, x, y) "%" #result " = prim.map(%" #x ", %" #y ") {fn=\"" fn "\"} : f64[2,4,3,3]\n"
#define Y(value) "prim.store(%" #value ") {name=\"y\", kind=\"output\"}\n"

// A body behind the convolution, and how many functions every run computes then.
static const struct {
  const char *what, *body;
  uint32_t left;
} chains[] = {
    {"a norm and its weights",
     MAP(12, "sub", 11, 2) MAP(13, "mul", 12, 3) MAP(14, "mul", 13, 3) MAP(15, "add", 14, 2) Y(15), 1},
    {"a bias, then a norm",
     MAP(12, "add", 2, 11) MAP(13, "sub", 12, 3) MAP(14, "div", 13, 2) MAP(15, "add", 14, 3) Y(15), 1},
    {"factors alone", MAP(12, "mul", 3, 11) MAP(13, "div", 12, 2) Y(13), 0},
    {"what follows the chain stays",
     MAP(12, "mul", 11, 3) MAP(13, "add", 12, 2) "%14 = prim.map(%13) {fn=\"exp\"} : f64[2,4,3,3]\n" Y(14), 2},
    {"a chain of what hangs on parameters",
     "%12 = prim.constant() {value=0.5} : f64[1,1,1,1]\n%13 = prim.map(%2, %12) {fn=\"add\"} : f64[1,4,1,1]\n"
     "%14 = prim.map(%13) {fn=\"rsqrt\"} : f64[1,4,1,1]\n" MAP(15, "mul", 11, 14) MAP(16, "mul", 15, 12) Y(16),
     0},
    {"columns of a product",
     "%12 = prim.contract(%4, %5) {spec=\"mk,kn->mn\"} : f64[3,5]\n%13 = prim.map(%12, %6) {fn=\"mul\"} : f64[3,5]\n"
     "%14 = prim.map(%13, %6) {fn=\"sub\"} : f64[3,5]\n" Y(14),
     1},
    {"two dims of columns, the other way round",
     "%12 = prim.contract(%7, %4) {spec=\"akb,mk->bma\"} : f64[3,3,2]\n%13 = prim.map(%12, %8) {fn=\"mul\"} : "
     "f64[3,3,2]\n" Y(13),
     0},
    {"a term alone stays", MAP(12, "add", 11, 2) Y(12), 1},
    {"a factor from outside stays", MAP(12, "mul", 11, 9) Y(12), 1},
    {"a factor a pixel stays", MAP(12, "mul", 11, 10) Y(12), 1},
    {"a number less the product stays", MAP(12, "mul", 11, 3) MAP(13, "sub", 2, 12) Y(13), 1},
    {"a product that is read twice stays", MAP(12, "mul", 11, 3) MAP(13, "add", 12, 11) Y(13), 2},
    {"a product that is kept stays", MAP(12, "mul", 11, 3) Y(12) "prim.store(%11) {name=\"z\", kind=\"output\"}\n", 1},
    {"a factor that the run changes stays",
     MAP(12, "mul", 11, 3) "%13 = prim.map(%3, %3) {fn=\"add\"} : f64[1,4,1,1]\n" Y(
         12) "prim.store(%13) {name=\"r\", kind=\"update\"}\n",
     1},
    {"another group stays", "%12 = prim.map(%11, %3) {fn=\"mul\"} : f64[2,4,3,3] !group=1\n" Y(12), 1},
    {"weights that a row would not pay for stay",
     "%12 = prim.symbol() {kind=\"input\", name=\"p\"} : f64[1,100]\n%13 = prim.symbol() {kind=\"param\", name=\"q\"} "
     ": f64[100,5]\n"
     "%14 = prim.contract(%12, %13) {spec=\"mk,kn->mn\"} : f64[1,5]\n%15 = prim.map(%14, %6) {fn=\"mul\"} : "
     "f64[1,5]\n" Y(15),
     1},
};

static void test_weights_take_in_what_follows(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
    leat_graph_t *made = passed(chains[i].what, absorb, WEIGHTS, chains[i].body);
    const uint32_t left = count_running(made, LEAT_PRIM_MAP);
    if (left != chains[i].left) fail_msg("%s: every run computes %u functions", chains[i].what, left);
    leat_graph_destroy(made);
  }
}

// --- parts ---------------------------------------------------------------------------------------------------------

// Keys of two heads of 96 places, and of one more; a row of queries, and of weights of places.
#define KEYS                                                           \
  "%0 = prim.symbol() {kind=\"input\", name=\"k\"} : f64[1,2,96,64]\n" \
  "%1 = prim.symbol() {kind=\"input\", name=\"n\"} : f64[1,2,1,64]\n"  \
  "%2 = prim.symbol() {kind=\"input\", name=\"q\"} : f64[2,1,64]\n"    \
  "%3 = prim.symbol() {kind=\"input\", name=\"p\"} : f64[2,1,97]\n"    \
  "%4 = prim.symbol() {kind=\"input\", name=\"r\"} : f64[2,64,64]\n"   \
  "%5 = prim.concat(%0, %1) {dim=2} : f64[1,2,97,64]\n"
#define SQUEEZED "%6 = prim.reshape(%5) {shape=[2,97,64]} : f64[2,97,64]\n"
#define SCORES "%7 = prim.contract(%2, %6) {spec=\"bmk,bnk->bmn\"} : f64[2,1,97]\n"

// A body behind the join, how many products every run computes then, and elements that are joined.
static const struct {
  const char *what, *body;
  uint32_t products;
  int64_t joined;
} joins[] = {
    {"a dim that stays", SQUEEZED SCORES Y(7), 2, 2 * 97},
    {"a summed dim", SQUEEZED "%7 = prim.contract(%3, %6) {spec=\"bmn,bnk->bmk\"} : f64[2,1,64]\n" Y(7), 2, 0},
    {"the joined operand first", SQUEEZED "%7 = prim.contract(%6, %2) {spec=\"bnk,bmk->bmn\"} : f64[2,1,97]\n" Y(7), 2,
     2 * 97},
    {"a dim of both",
     "%6 = prim.transpose(%5) {dims=[2,0,3,1]} : f64[97,1,64,2]\n%7 = prim.reshape(%6) {shape=[97,64,2]} : "
     "f64[97,64,2]\n"
     "%8 = prim.symbol() {kind=\"input\", name=\"o\"} : f64[97,64]\n"
     "%9 = prim.contract(%8, %7) {spec=\"nk,nkb->nb\"} : f64[97,2]\n" Y(9),
     2, 2 * 97},
    {"many rows stay",
     SQUEEZED "%7 = prim.contract(%4, %6) {spec=\"bmk,bnk->bmn\"} : f64[2,64,97]\n%8 = prim.reduce(%7) {fn=\"sum\", "
              "dims=[1]} : f64[2,1,97]\n" Y(8),
     1, 2 * 97 * 64},
    {"what others read stays", SQUEEZED SCORES Y(7) "prim.store(%5) {name=\"z\", kind=\"output\"}\n", 1, 2 * 97 * 64},
    {"what is read through a view stays",
     "%6 = prim.slice(%5) {start=[0,0,1,0], stop=[1,2,97,64], step=[1,1,1,1]} : f64[1,2,96,64]\n"
     "%7 = prim.reshape(%6) {shape=[2,96,64]} : f64[2,96,64]\n%8 = prim.contract(%2, %7) {spec=\"bmk,bnk->bmn\"} : "
     "f64[2,1,96]\n" Y(8),
     1, 2 * 97 * 64},
    {"dims that are merged stay",
     "%6 = prim.reshape(%5) {shape=[194,64]} : f64[194,64]\n%7 = prim.slice(%2) {start=[0,0,0], stop=[1,1,64], "
     "step=[1,1,1]} : f64[1,1,64]\n"
     "%8 = prim.reshape(%7) {shape=[1,64]} : f64[1,64]\n%9 = prim.contract(%8, %6) {spec=\"mk,nk->mn\"} : "
     "f64[1,194]\n" Y(9),
     1, 2 * 97 * 64},
    {"another group stays", SQUEEZED "%7 = prim.contract(%2, %6) {spec=\"bmk,bnk->bmn\"} : f64[2,1,97] !group=1\n" Y(7),
     1, 2 * 97 * 64},
    {"small joins stay",
     "%6 = prim.symbol() {kind=\"input\", name=\"s\"} : f64[1,8]\n%7 = prim.concat(%6, %6) {dim=1} : f64[1,16]\n"
     "%8 = prim.contract(%7, %7) {spec=\"mk,nk->mn\"} : f64[1,1]\n%9 = prim.contract(%7, %6) {spec=\"mk,mn->kn\"} : "
     "f64[16,8]\n" Y(9) "prim.store(%8) {name=\"z\", kind=\"output\"}\n",
     2, 2 * 97 * 64 + 16},
};

static int64_t count_joined(const leat_graph_t *g) {
  int64_t elements = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (op->kind == LEAT_PRIM_CONCAT) elements += leat_value_elements(leat_graph_value(g, op->result_first));
  }
  return elements;
}

static void test_products_of_joined_parts_are_products_of_the_parts(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
    leat_graph_t *made = passed(joins[i].what, parts, KEYS, joins[i].body);
    const uint32_t products = count_running(made, LEAT_PRIM_CONTRACT);
    if (products != joins[i].products) fail_msg("%s: %u products", joins[i].what, products);
    if (count_joined(made) != joins[i].joined)
      fail_msg("%s: %lld elements are joined", joins[i].what, (long long)count_joined(made));
    leat_graph_destroy(made);
  }
}

// --- partial sums --------------------------------------------------------------------------------------------------

#define X(type) "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : " type "\n"
#define SUM(type, fn, dims) "%1 = prim.reduce(%0) {fn=\"" fn "\", dims=[" dims "]} : " type "\n" Y(1)

#define MADE(type, sum, dims) \
  "%1 = prim.map(%0) {fn=\"neg\"} : " type "\n%2 = prim.reduce(%1) {fn=\"sum\", dims=[" dims "]} : " sum "\n" Y(2)

// A sum, and what its parts are: the value between two sums, of which every dim but those of 1 is a dim of parts or
// one that is not summed.
static const struct {
  const char *what, *x, *body;
  uint32_t rank;  // 0: one sum, as before
  int64_t dims[LEAT_RANK_MAX];
} sums[] = {
    {"one dim", X("f64[65536]"), SUM("f64[1]", "sum", "0"), 2, {1024, 1}},
    {"as many parts as rows", X("f64[48,1000]"), SUM("f64[1,1]", "sum", "0,1"), 2, {48, 1}},
    {"few rows of many", X("f64[4,32,512]"), SUM("f64[1,1,1]", "sum", "0,1,2"), 3, {4, 32, 1}},
    {"a divisor of an odd extent", X("f64[3,14641]"), SUM("f64[1,1]", "sum", "0,1"), 3, {3, 121, 1}},
    {"the outer of summed dims", X("f64[2,3,96,96]"), SUM("f64[1,3,1,1]", "sum", "0,2,3"), 4, {2, 3, 96, 1}},
    {"an inner dim", X("f64[5,20000]"), SUM("f64[5,1]", "sum", "1"), 3, {5, 1000, 1}},
    {"products", X("f64[40000]"), SUM("f64[1]", "prod", "0"), 2, {1000, 1}},
    {"maxima", X("f64[40000]"), SUM("f64[1]", "max", "0"), 2, {1000, 1}},
    {"a prime stays", X("f64[40009]"), SUM("f64[1]", "sum", "0"), 0, {0}},
    {"few terms stay", X("f64[32767]"), SUM("f64[1]", "sum", "0"), 0, {0}},
    {"many results stay", X("f64[4096,16]"), SUM("f64[1,16]", "sum", "0"), 0, {0}},
    {"columns of what is made", X("f64[1024,1024]"), MADE("f64[1024,1024]", "f64[1,1024]", "0"), 3, {128, 1, 1024}},
    {"columns that are short", X("f64[4096,64]"), MADE("f64[4096,64]", "f64[1,64]", "0"), 3, {32, 1, 64}},
    {"columns below two dims", X("f64[8,96,768]"), MADE("f64[8,96,768]", "f64[1,1,768]", "0,1"), 3, {96, 1, 768}},
    {"columns of an input stay", X("f64[1024,1024]"), SUM("f64[1,1024]", "sum", "0"), 0, {0}},
    {"a prime of rows stays", X("f64[1031,1024]"), MADE("f64[1031,1024]", "f64[1,1024]", "0"), 0, {0}},
    {"columns in cache stay", X("f64[128,1024]"), MADE("f64[128,1024]", "f64[1,1024]", "0"), 0, {0}},
    {"rows stay", X("f64[1024,1024]"), MADE("f64[1024,1024]", "f64[1024,1]", "1"), 0, {0}},
    {"places of winners stay",
     X("f64[40000]"),
     "%1 = prim.reduce(%0) {fn=\"argmax\", dims=[0]} : i64[1]\n%2 = prim.map(%1) {fn=\"cast\"} : f64[1]\n" Y(2),
     0,
     {0}},
};

static void test_long_sums_are_sums_of_parts(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
    leat_graph_t *made = passed(sums[i].what, leat_opt_partial, sums[i].x, sums[i].body);
    uint32_t found = 0;
    for (leat_op_id_t id = 0; id < made->ops.count; id++) {
      const leat_op_t *op = leat_graph_op(made, id);
      if (op->kind != LEAT_PRIM_REDUCE || found++ > 0) continue;
      const leat_value_t *parts = leat_graph_value(made, op->result_first);
      const bool same = parts->rank == sums[i].rank && memcmp(parts->dims, sums[i].dims, sizeof parts->dims) == 0;
      if (sums[i].rank > 0 && !same) fail_msg("%s: other parts", sums[i].what);
    }
    if (found != (sums[i].rank > 0 ? 2 : 1)) fail_msg("%s: %u sums", sums[i].what, found);
    leat_graph_destroy(made);
  }
}

// The gradient of weights in groups, or of few outputs, is made in parts of the images.
static const struct {
  const char *what, *x, *dy, *attributes, *dw;
  int64_t parts;  // 1: one gradient, as before
} gradients[] = {
    {"depthwise", "f64[6,4,40,40]", "f64[6,4,40,40]", "groups=4", "f64[4,1,3,3]", 6},
    {"few outputs", "f64[4,6,40,40]", "f64[4,2,40,40]", "groups=1", "f64[2,6,3,3]", 4},
    {"parts of several images", "f64[34,4,20,20]", "f64[34,4,20,20]", "groups=2", "f64[4,2,3,3]", 2},
    {"many outputs stay", "f64[4,2,40,40]", "f64[4,16,40,40]", "groups=1", "f64[16,2,3,3]", 1},
    {"one image stays", "f64[1,4,120,120]", "f64[1,4,120,120]", "groups=4", "f64[4,1,3,3]", 1},
    {"few products stay", "f64[4,4,20,20]", "f64[4,4,20,20]", "groups=4", "f64[4,1,3,3]", 1},
    {"gradients as large as images stay", "f64[4,8,11,11]", "f64[4,8,11,11]", "groups=1", "f64[8,8,3,3]", 1},
};

static void test_gradients_of_weights_are_sums_of_parts(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof gradients / sizeof *gradients; i++) {
    char prelude[512], body[512];
    (void)snprintf(prelude, sizeof prelude,
                   "%%0 = prim.symbol() {kind=\"input\", name=\"x\"} : %s\n"
                   "%%1 = prim.symbol() {kind=\"input\", name=\"g\"} : %s\n",
                   gradients[i].x, gradients[i].dy);
    (void)snprintf(body, sizeof body,
                   "%%2 = prim.conv_wgrad(%%0, %%1) {window=[3,3], stride=[1,1], low=[1,1], high=[1,1], "
                   "dilation=[1,1], %s, batch=0} : %s\nprim.store(%%2) {name=\"y\", kind=\"output\"}\n",
                   gradients[i].attributes, gradients[i].dw);
    leat_graph_t *made = passed(gradients[i].what, leat_opt_partial, prelude, body);
    for (leat_op_id_t id = 0; id < made->ops.count; id++) {
      const leat_op_t *op = leat_graph_op(made, id);
      if (op->kind != LEAT_PRIM_CONV_WGRAD) continue;
      const leat_value_t *dw = leat_graph_value(made, op->result_first);
      const int64_t parts = dw->rank == 5 ? dw->dims[0] : 1;
      if (parts != gradients[i].parts) fail_msg("%s: %lld parts", gradients[i].what, (long long)parts);
    }
    leat_graph_destroy(made);
  }
}

// --- products by columns -------------------------------------------------------------------------------------------

// Logits of 4 rows and 200 columns, which are made again 64, 64, 64 and 8 at a time.
#define LOGITS                                                     \
  "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f64[4,3]\n"   \
  "%1 = prim.symbol() {kind=\"param\", name=\"w\"} : f64[200,3]\n" \
  "%2 = prim.symbol() {kind=\"input\", name=\"t\"} : f64[4,1]\n"   \
  "%3 = prim.symbol() {kind=\"param\", name=\"m\"} : f64[1,200]\n" \
  "%4 = prim.contract(%0, %1) {spec=\"nk,vk->nv\"} : f64[4,200]\n" \
  "%5 = prim.reduce(%4) {fn=\"max\", dims=[1]} : f64[4,1]\n"       \
  "%6 = prim.map(%4, %5) {fn=\"sub\"} : f64[4,200]\n"              \
  "%7 = prim.map(%6) {fn=\"exp\"} : f64[4,200]\n"                  \
  "%8 = prim.reduce(%7) {fn=\"sum\", dims=[1]} : f64[4,1]\n"       \
  "%9 = prim.iota() {dim=1} : f64[1,200]\n"                        \
  "%10 = prim.map(%9, %3) {fn=\"mul\"} : f64[1,200] !type=bckwd\n" \
  "%11 = prim.map(%7, %8) {fn=\"div\"} : f64[4,200] !type=bckwd\n" \
  "%12 = prim.map(%11, %10, %2) {fn=\"fma\"} : f64[4,200] !type=bckwd\n"
#define BACK " !type=bckwd\n"
#define Y_BACK(value) "prim.store(%" #value ") {name=\"y\", kind=\"output\"}" BACK

static const struct {
  const char *what, *body;
  uint32_t products;  // forward's, and of each chunk
} wide[] = {
    {"products with the weights are added",
     "%13 = prim.contract(%12, %1) {spec=\"nv,vk->nk\"} : f64[4,3]" BACK Y_BACK(13), 4 + 4 * 2},
    {"products with the rows lie side by side",
     "%13 = prim.contract(%0, %12) {spec=\"nk,nv->vk\"} : f64[200,3]" BACK Y_BACK(13), 4 + 4 * 2},
    {"sums of rows lie side by side", "%13 = prim.reduce(%12) {fn=\"sum\", dims=[0]} : f64[1,200]" BACK Y_BACK(13),
     4 + 4},
    {"sums of columns are added", "%13 = prim.reduce(%12) {fn=\"sum\", dims=[1]} : f64[4,1]" BACK Y_BACK(13), 4 + 4},
    {"two readers, the second below a view",
     "%13 = prim.contract(%12, %1) {spec=\"nv,vk->nk\"} : f64[4,3]" BACK
     "%14 = prim.transpose(%12) {dims=[1,0]} : f64[200,4]" BACK
     "%15 = prim.contract(%14, %0) {spec=\"vn,nk->vk\"} : f64[200,3]" BACK
     "%16 = prim.contract(%15, %13) {spec=\"vk,nk->vn\"} : f64[200,4]" BACK Y_BACK(16),
     4 + 4 * 3 + 1},
    {"through views and zeros",
     "%13 = prim.reshape(%12) {shape=[2,2,1,200]} : f64[2,2,1,200]" BACK
     "%14 = prim.slice(%13) {start=[0,1,0,0], stop=[2,2,1,200], step=[1,1,1,1]} : f64[2,1,1,200]" BACK
     "%15 = prim.pad(%14) {low=[0,0,0,0], high=[0,1,0,0], interior=[0,0,0,0], value=0.0} : f64[2,2,1,200]" BACK
     "%16 = prim.transpose(%15) {dims=[3,0,1,2]} : f64[200,2,2,1]" BACK
     "%17 = prim.reduce(%16) {fn=\"sum\", dims=[1,3]} : f64[200,1,2,1]" BACK Y_BACK(17),
     4 + 4},
    {"elements that forward picks",
     "%13 = prim.constant() {value=130.0} : f64[1,1]\n%14 = prim.map(%2, %13) {fn=\"mul\"} : f64[4,1]\n"
     "%15 = prim.map(%14) {fn=\"cast\"} : i64[4,1]\n%16 = prim.gather(%6, %15) {dim=1, batch=1} : f64[4,1]\n"
     "%17 = prim.reduce(%12) {fn=\"sum\", dims=[1]} : f64[4,1]" BACK
     "%18 = prim.map(%16, %17) {fn=\"add\"} : f64[4,1]" BACK Y_BACK(18),
     1 + 4},
    {"elements of the product that forward picks",
     "%13 = prim.constant() {value=130.0} : f64[1,1]\n%14 = prim.map(%2, %13) {fn=\"mul\"} : f64[4,1]\n"
     "%15 = prim.map(%14) {fn=\"cast\"} : i64[4,1]\n%16 = prim.gather(%4, %15) {dim=1, batch=1} : f64[4,1]\n"
     "%17 = prim.reduce(%12) {fn=\"sum\", dims=[1]} : f64[4,1]" BACK
     "%18 = prim.map(%16, %17) {fn=\"add\"} : f64[4,1]" BACK Y_BACK(18),
     4 + 4},
    {"a maximum of columns keeps it", "%13 = prim.reduce(%12) {fn=\"max\", dims=[1]} : f64[4,1]" BACK Y_BACK(13), 1},
    {"who keeps it keeps it", Y_BACK(12), 1},
    {"what forward alone reads stays", "prim.store(%7) {name=\"y\", kind=\"output\"}\n", 1},
    {"part of the columns keeps it",
     "%13 = prim.slice(%12) {start=[0,0], stop=[4,199], step=[1,1]} : f64[4,199]" BACK
     "%14 = prim.reduce(%13) {fn=\"sum\", dims=[1]} : f64[4,1]" BACK Y_BACK(14),
     1},
};

static void test_wide_products_are_made_again_by_columns(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
    leat_graph_t *made = passed(wide[i].what, columns, LOGITS, wide[i].body);
    const uint32_t products = count_running(made, LEAT_PRIM_CONTRACT);
    if (products != wide[i].products) fail_msg("%s: %u products", wide[i].what, products);
    leat_graph_destroy(made);
  }
}

// Every allocation of each pass fails once: a clean status each time.
static void test_out_of_memory(void **state) {
  (void)state;
  static const pass_t passes[] = {absorb, parts, leat_opt_partial, columns};
  leat_graph_t *from[] = {parsed(WEIGHTS, chains[0].body), parsed(KEYS, joins[0].body), parsed(sums[0].x, sums[0].body),
                          parsed(LOGITS, wide[0].body)};
  for (uint32_t i = 0; i < 4; i++) {
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
      leat_graph_t *made = NULL;
      leat_alloc_fail_after(n);
      leat_status_t status = passes[i](from[i], &made);
      leat_alloc_fail_after(0);
      done = status == NULL;
      if (done)
        leat_graph_destroy(made);
      else
        assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
      leat_status_free(status);
    }
    leat_graph_destroy(from[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_weights_take_in_what_follows),
      cmocka_unit_test(test_products_of_joined_parts_are_products_of_the_parts),
      cmocka_unit_test(test_long_sums_are_sums_of_parts),
      cmocka_unit_test(test_gradients_of_weights_are_sums_of_parts),
      cmocka_unit_test(test_wide_products_are_made_again_by_columns),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
