// SPDX-License-Identifier: Apache-2.0
// Tests of src/grad and of the own gradients in src/lower: each rule against finite differences in f64, element by
// element; seeds, reach, and the optimizer updates against their formulas.
#include "grad/grad.h"

#include <math.h>
#include <stdio.h>

#include "check.h"
#include "lower/lower.h"
#include "op_bench.h"

static const bench_op_t rules[] = {
    // primitives
    {"f64[2,3]", "prim.reshape(%0) {shape=[3,2]} : f64[3,2]", 0, 0},
    {"f64[2,3,4]", "prim.transpose(%0) {dims=[2,0,1]} : f64[4,2,3]", 0, 0},
    {"f64[5,4]", "prim.slice(%0) {start=[1,0], stop=[5,4], step=[3,2]} : f64[2,2]", 0, 0},
    {"f64[2,3] f64[2,1]", "prim.concat(%0, %1, %0) {dim=1} : f64[2,7]", 0, 0},
    {"f64[3,4]", "prim.pad(%0) {low=[1,-1], high=[-1,2], interior=[0,1], value=0.5} : f64[3,8]", 0, 0},
    {"f64[1,3]", "prim.broadcast(%0) {shape=[4,3]} : f64[4,3]", 0, 0},
    {"f64[2,3]", "prim.flip(%0) {dims=[0,1]} : f64[2,3]", 0, 0},
    {"f64[2,4,3] i64[2,5]", "prim.gather(%0, %1) {dim=1, batch=1} : f64[2,5,3]", 0, 0},
    {"f64[4,3] i64[2] f64[2,3]", "prim.scatter(%0, %1, %2) {dim=0, batch=0, fn=\"set\"} : f64[4,3]", 0, 0},
    {"f64[4,3] i64[5] f64[5,3]", "prim.scatter(%0, %1, %2) {dim=0, batch=0, fn=\"add\"} : f64[4,3]", 0, 0},
    {"f64[4,3] i64[5] f64[5,3]", "prim.scatter(%0, %1, %2) {dim=0, batch=0, fn=\"mul\"} : f64[4,3]", 0, 0},
    {"f64[4,3] i64[5] f64[5,3]", "prim.scatter(%0, %1, %2) {dim=0, batch=0, fn=\"max\"} : f64[4,3]", 0, 0},
    {"f64[2,5,2]", "prim.sort(%0) {dim=1, descending=1} : f64[2,5,2], i64[2,5,2]", 0, 0},
    {"f64[3,4]", "prim.reduce(%0) {fn=\"sum\", dims=[1]} : f64[3,1]", 0, 0},
    {"f64[3,4]", "prim.reduce(%0) {fn=\"prod\", dims=[0]} : f64[1,4]", 0, 0},
    {"f64[3,4]", "prim.reduce(%0) {fn=\"max\", dims=[0,1]} : f64[1,1]", 0, 0},
    {"f64[3,4]", "prim.reduce(%0) {fn=\"min\", dims=[0]} : f64[1,4]", 0, 0},
    {"f64[3,4]", "prim.scan(%0) {fn=\"sum\", dim=1, reverse=1} : f64[3,4]", 0, 0},
    {"f64[3,4]", "prim.scan(%0) {fn=\"prod\", dim=0, reverse=0} : f64[3,4]", 0, 0},
    {"f64[3,5]", "prim.scan(%0) {fn=\"max\", dim=1, reverse=0} : f64[3,5]", 0, 0},
    {"f64[3,5]", "prim.scan(%0) {fn=\"min\", dim=1, reverse=1} : f64[3,5]", 0, 0},
    {"f64[2,3] f64[4,3]", "prim.contract(%0, %1) {spec=\"mk,nk->mn\"} : f64[2,4]", 0, 0},
    {"f64[2,5,3] f64[3,4]", "prim.contract(%0, %1) {spec=\"bmk,kn->nbm\"} : f64[4,2,5]", 0, 0},
    {"f64[1,2,5] f64[3,2,3]",
     "prim.conv(%0, %1) {stride=[2], low=[1], high=[2], dilation=[1], base_dilation=[1], groups=1} : f64[1,3,3]", 0, 0},
    {"f64[1,4,5,4] f64[2,2,2,2]",
     "prim.conv(%0, %1) {stride=[1,2], low=[2,0], high=[1,1], dilation=[2,1], base_dilation=[1,1], groups=2} : "
     "f64[1,2,6,2]",
     0, 0},
    {"f64[1,2,4] f64[3,2,3]",
     "prim.conv(%0, %1) {stride=[1], low=[1], high=[2], dilation=[1], base_dilation=[2], groups=1} : f64[1,3,8]", 0, 0},
    {"f64[1,2,6]", "prim.pool(%0) {fn=\"max\", window=[3], stride=[2], low=[1], high=[1], dilation=[1]} : f64[1,2,3]",
     0, 0},
    {"f64[1,5,6]",
     "prim.pool(%0) {fn=\"sum\", window=[2,3], stride=[1,2], low=[0,1], high=[0,0], dilation=[2,1]} : f64[1,3,3]", 0,
     0},
    {"f64[2,3] f64[1,3] f64[2,1]", "prim.map(%0, %1, %2) {fn=\"fma\"} : f64[2,3]", 0, 0},
    {"bool[2,3] f64[1,3] f64[2,1]", "prim.map(%0, %1, %2) {fn=\"select\"} : f64[2,3]", 0, 0},
    {"f64[3,4]", "dropout(%0) {p=0.4, training=1, stream=3} : f64[3,4]", 0, 0},
    {"f64[3,4] i64[3,1]", "gather(%0, %1) {dim=1} : f64[3,1]", 0, 0},
    // own gradients
    {"f64[2,3]", "tanh(%0) : f64[2,3]", 0, 0},
    {"f64[2,3]", "sigmoid(%0) : f64[2,3]", 0, 0},
    {"f64[2,3]", "relu(%0) : f64[2,3]", 0, 0},
    {"f64[2,3] f64[3]", "pow(%0, %1) : f64[2,3]", 0.5, 2},
    {"f64[2,3] f64[3]", "maximum(%0, %1) : f64[2,3]", 0, 0},
    {"f64[2,3] f64[2,1]", "minimum(%0, %1) : f64[2,3]", 0, 0},
    {"bool[2,3] f64[3] f64[2,1]", "where(%0, %1, %2) : f64[2,3]", 0, 0},
    {"f64[2,3]", "clamp(%0) {min=-0.9, max=1.0} : f64[2,3]", 0, 0},
    {"f64[2,3] f64[3] f64[2,1]", "clamp(%0, %1, %2) : f64[2,3]", 0, 0},
    {"f64[2,3] bool[2,3] f64[]", "masked_fill(%0, %1, %2) : f64[2,3]", 0, 0},
    {"f64[2,3]", "prod(%0) {dims=[1]} : f64[2]", 0, 0},
    {"f64[2,3]", "amax(%0) {dims=[0], keepdim=1} : f64[1,3]", 0, 0},
    {"f64[2,3]", "amin(%0) : f64[]", 0, 0},
    {"f64[2,3]", "max(%0) {dim=1} : f64[2], i64[2]", 0, 0},
    {"f64[2,3]", "min(%0) {dim=0, keepdim=1} : f64[1,3], i64[1,3]", 0, 0},
    {"f64[2,5]", "std(%0) {dims=[1], correction=1.0} : f64[2]", 0, 0},
    {"f64[2,5]", "var(%0) {dims=[1], correction=0.0, keepdim=1} : f64[2,1]", 0, 0},
    {"f64[2,5]", "norm(%0) {dims=[1], p=2.0} : f64[2]", 0, 0},
    {"f64[2,5]", "norm(%0) {dims=[1], p=3.5} : f64[2]", 0, 0},
    {"f64[2,5]", "norm(%0) {dims=[1], p=1.0} : f64[2]", 0, 0},
    {"f64[2,5]", "norm(%0) {dims=[1], p=inf} : f64[2]", 0, 0},
    {"f64[2,5]", "logsumexp(%0) {dims=[1]} : f64[2]", 0, 0},
    {"f64[2,5]", "cumprod(%0) {dim=1} : f64[2,5]", 0, 0},
    {"f64[2,5]", "softmax(%0) {dim=1} : f64[2,5]", 0, 0},
    {"f64[2,5]", "log_softmax(%0) {dim=0} : f64[2,5]", 0, 0},
    {"f64[2,3,4] f64[3,4] f64[3,4]", "layer_norm(%0, %1, %2) {dims=[1,2], eps=0.001} : f64[2,3,4]", 0, 0},
    {"f64[2,5] f64[5]", "rms_norm(%0, %1) {dims=[1], eps=0.001} : f64[2,5]", 0, 0},
    {"f64[3,2,4] f64[2] f64[2]",
     "batch_norm(%0, %1, %2, none, none) {eps=0.001, momentum=0.1, training=1} : f64[3,2,4], f64[2], f64[2]", 0, 0},
    {"f64[3,2] f64[2] f64[2] !f64[2] !f64[2]",
     "batch_norm(%0, %1, %2, %3, %4) {eps=0.001, momentum=0.1, training=0} : f64[3,2], f64[2], f64[2]", 0.5, 2},
    {"f64[2,4,3] f64[4] f64[4]", "group_norm(%0, %1, %2) {num_groups=2, eps=0.001} : f64[2,4,3]", 0, 0},
    {"f64[2,2,5] f64[2] f64[2]", "instance_norm(%0, %1, %2) {eps=0.001} : f64[2,2,5]", 0, 0},
    {"f64[4,3] i64[4] f64[3]", "cross_entropy(%0, %1, none) {reduction=\"mean\"} : f64[]", 0, 0},
    {"f64[4,3] i64[4]", "cross_entropy(%0, %1) {reduction=\"mean\", ignore_index=1} : f64[]", 0, 0},
    {"f64[2,3,2] i64[2,2]", "cross_entropy(%0, %1) {reduction=\"none\", label_smoothing=0.2} : f64[2,2]", 0, 0},
    {"f64[2,3,2] f64[2,3,2]", "cross_entropy(%0, %1) {reduction=\"sum\", label_smoothing=0.1} : f64[]", 0.1, 0.9},
    {"f64[4,3] i64[4]", "nll_loss(%0, %1) {reduction=\"mean\"} : f64[]", 0, 0},
    {"f64[2,3] f64[2,3]", "smooth_l1_loss(%0, %1) {reduction=\"mean\", beta=0.7} : f64[]", 0, 0},
    {"f64[2,3] f64[2,3]", "huber_loss(%0, %1) {reduction=\"sum\", beta=0.7} : f64[]", 0, 0},
    {"f64[2,3] f64[2,3] f64[2,3]", "binary_cross_entropy(%0, %1, none) {reduction=\"mean\"} : f64[]", 0.1, 0.9},
    {"f64[2,3] f64[2,3]", "binary_cross_entropy_with_logits(%0, %1, none, none) {reduction=\"none\"} : f64[2,3]", 0.1,
     0.9},
    {"f64[2,3,4] f64[2,5,4] f64[2,5,3]", "scaled_dot_product_attention(%0, %1, %2) {causal=1} : f64[2,3,3]", 0, 0},
    {"f64[2,3,4] f64[2,5,4] f64[2,5,3]", "scaled_dot_product_attention(%0, %1, %2) {p=0.4, stream=2} : f64[2,3,3]", 0,
     0},
    {"f64[1,4,3,2] f64[1,2,5,2] f64[1,2,5,2] f64[3,5]",
     "scaled_dot_product_attention(%0, %1, %2, %3) {scale=0.7, causal=0} : f64[1,4,3,2]", 0, 0},
    {"f64[1,2,6,6]",
     "max_pool(%0) {window=[3,2], stride=[2,2], padding=[1,0], dilation=[1,1], ceil_mode=1} : f64[1,2,4,3]", 0, 0},
    {"f64[1,2,5]", "avg_pool(%0) {window=[3], stride=[2], padding=[1], ceil_mode=0, count_include_pad=0} : f64[1,2,3]",
     0, 0},
    {"f64[2,5]", "topk(%0) {k=2, dim=1, descending=1} : f64[2,2], i64[2,2]", 0, 0},
    {"f64[5]", "sort(%0) {dim=0, descending=0} : f64[5], i64[5]", 0, 0},
};

// The scalar functions of map that have a derivative, with the range of their operands.
static const struct {
  const char *fn;
  uint32_t arity;
  double low, high;
} scalars[] = {
    {"copy", 1, 0, 0},      {"neg", 1, 0, 0},       {"abs", 1, 0, 0},    {"exp", 1, 0, 0},     {"expm1", 1, 0, 0},
    {"log", 1, 0.5, 2},     {"log1p", 1, -0.5, 2},  {"log2", 1, 0.5, 2}, {"log10", 1, 0.5, 2}, {"sqrt", 1, 0.5, 2},
    {"rsqrt", 1, 0.5, 2},   {"recip", 1, 0, 0},     {"sin", 1, 0, 0},    {"cos", 1, 0, 0},     {"tan", 1, -1, 1},
    {"asin", 1, -0.8, 0.8}, {"acos", 1, -0.8, 0.8}, {"atan", 1, 0, 0},   {"sinh", 1, 0, 0},    {"cosh", 1, 0, 0},
    {"tanh", 1, 0, 0},      {"sigmoid", 1, 0, 0},   {"erf", 1, 0, 0},    {"add", 2, 0, 0},     {"sub", 2, 0, 0},
    {"mul", 2, 0, 0},       {"div", 2, 0, 0},       {"fmod", 2, 0, 0},   {"rem", 2, 0, 0},     {"pow", 2, 0.5, 2},
    {"max", 2, 0, 0},       {"min", 2, 0, 0},       {"atan2", 2, 0, 0},  {"sign", 1, 0, 0},    {"floor", 1, 0.6, 0.9},
    {"erfc", 1, 0, 0},      {"exp2", 1, 0, 0},      {"asinh", 1, 0, 0},  {"acosh", 1, 1.2, 3}, {"atanh", 1, -0.8, 0.8},
};

// One graph under test, with the values of its symbols.
typedef struct subject_s {
  const bench_op_t *op;
  leat_graph_t *graph;
  leat_eval_t *eval;
  double *y, *seed;
  size_t y_count;
} subject_t;

static double *doubles(size_t count) {
  double *numbers = leat_alloc_zero(count + 1u, sizeof *numbers);
  assert_non_null(numbers);
  return numbers;
}

static subject_t subject_create(const bench_op_t *op) {
  subject_t s = {.op = op};
  leat_text_t text;
  bench_write(op, &text);
  leat_status_t status = bench_lower(text.data, &s.graph);
  if (status != NULL) fail_msg("%s\n%s", leat_status_message(status), text.data);
  leat_text_deinit(&text);
  assert_ok(leat_eval_create(s.graph, &s.eval));
  assert_ok(bench_fill(s.eval, s.graph, op));
  s.y_count = (size_t)leat_value_elements(bench_symbol(s.graph, "y__seed"));
  s.y = doubles(s.y_count);
  s.seed = doubles(s.y_count);
  bench_numbers("y__seed", op, s.seed, s.y_count);
  return s;
}

static void subject_destroy(subject_t *s) {
  leat_free(s->y);
  leat_free(s->seed);
  leat_eval_destroy(s->eval);
  leat_graph_destroy(s->graph);
}

// sum(seed * y) for the symbols as they are set; every call draws the same random numbers.
static double loss(subject_t *s) {
  const int64_t random_state[2] = {7, 0};
  double sum = 0.0;
  if (bench_symbol(s->graph, "random__state") != NULL)
    assert_ok(leat_eval_set(s->eval, "random__state", random_state, sizeof random_state));
  assert_ok(leat_eval_run(s->eval));
  assert_ok(leat_eval_get(s->eval, "y", s->y, s->y_count * sizeof *s->y));
  for (size_t i = 0; i < s->y_count; i++) sum += s->seed[i] * s->y[i];
  return sum;
}

static void check_input(subject_t *s, const char *name, size_t count) {
  const double h = 1e-6;
  double *x = doubles(count), *gradient = doubles(count);
  char gradient_name[32];
  snprintf(gradient_name, sizeof gradient_name, "%s__grad", name);
  bench_numbers(name, s->op, x, count);
  loss(s);
  assert_ok(leat_eval_get(s->eval, gradient_name, gradient, count * sizeof *gradient));
  for (size_t i = 0; i < count; i++) {
    double at = x[i], above, below;
    x[i] = at + h;
    assert_ok(leat_eval_set(s->eval, name, x, count * sizeof *x));
    above = loss(s);
    x[i] = at - h;
    assert_ok(leat_eval_set(s->eval, name, x, count * sizeof *x));
    below = loss(s);
    x[i] = at;
    assert_ok(leat_eval_set(s->eval, name, x, count * sizeof *x));
    double measured = (above - below) / (2.0 * h);
    if (!(fabs(measured - gradient[i]) <= 2e-7 * fmax(1.0, fabs(measured))))
      fail_msg("%s: %s[%zu]: %.9g measured, %.9g claimed", s->op->op, name, i, measured, gradient[i]);
  }
  leat_free(x);
  leat_free(gradient);
}

static void check_rule(const bench_op_t *op) {
  subject_t s = subject_create(op);
  for (uint32_t i = 0; i < BENCH_INPUTS_MAX; i++) {
    char name[8];
    snprintf(name, sizeof name, "x%u", i);
    const leat_value_t *x = bench_symbol(s.graph, name);
    if (x != NULL && x->dtype == LEAT_F64 && bench_reaches(s.graph, name))
      check_input(&s, name, (size_t)leat_value_elements(x));
  }
  subject_destroy(&s);
}

static void test_rules(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) check_rule(&rules[i]);
}

static void test_scalar_derivatives(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
    char text[96];
    snprintf(text, sizeof text, "prim.map(%%0%s) {fn=\"%s\"} : f64[2,3]", scalars[i].arity == 2 ? ", %1" : "",
             scalars[i].fn);
    bench_op_t op = {scalars[i].arity == 2 ? "f64[2,3] f64[1,3]" : "f64[2,3]", text, scalars[i].low, scalars[i].high};
    check_rule(&op);
  }
}

// Products with zeros among their factors, where y/x has no value.
static void test_products_with_zeros(void **state) {
  (void)state;
  static const double cases[3][4] = {{2, 0, 3, 4}, {0, 2, 0, 3}, {5, 4, 3, 0}};
  static const char *const rows[] = {"prod(%0) {dims=[0]} : f64[]", "cumprod(%0) {dim=0} : f64[4]"};
  for (size_t r = 0; r < 2; r++) {
    bench_op_t op = {"f64[4]", rows[r], 0, 0};
    subject_t s = subject_create(&op);
    for (size_t k = 0; k < 3; k++) {
      double x[4], gradient[4];
      memcpy(x, cases[k], sizeof x);
      assert_ok(leat_eval_set(s.eval, "x0", x, sizeof x));
      loss(&s);
      assert_ok(leat_eval_get(s.eval, "x0__grad", gradient, sizeof gradient));
      for (size_t i = 0; i < 4; i++) {  // multilinear: one difference is exact
        x[i] += 1.0;
        assert_ok(leat_eval_set(s.eval, "x0", x, sizeof x));
        double above = loss(&s);
        x[i] -= 1.0;
        assert_ok(leat_eval_set(s.eval, "x0", x, sizeof x));
        double measured = above - loss(&s);
        assert_true(fabs(measured - gradient[i]) < 1e-9 * fmax(1.0, fabs(measured)));
      }
    }
    subject_destroy(&s);
  }
}

static leat_graph_t *lowered(const char *text) {
  leat_graph_t *graph;
  assert_ok(bench_lower(text, &graph));
  return graph;
}

static uint32_t count_stores(const leat_graph_t *g, leat_store_kind_t kind) {
  uint32_t count = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    count += leat_op_is_store(g, leat_graph_op(g, id), kind);
  }
  return count;
}

#define X_AND_W                                                            \
  "leat.graph 1\n"                                                         \
  "%0 = symbol() {kind=\"input\", name=\"x\", requires_grad=0} : f64[3]\n" \
  "%1 = symbol() {kind=\"param\", name=\"w\", requires_grad=1} : f64[3]\n"

static void test_zero_seed_adds_nothing(void **state) {
  (void)state;
  leat_graph_t *g = lowered(X_AND_W
                            "%2 = mul(%0, %1) : f64[3]\noutput(%2) {name=\"y\", seed=\"zero\"}\n"
                            "optimizer(%1) {kind=\"sgd\", lr=0.1}\n");
  assert_int_equal(g->ops.count, 4);  // two symbols, map, store
  leat_graph_destroy(g);
}

// A symbol that is reached only through a flat function has a gradient of zeros; one behind detach has none.
static void test_reach(void **state) {
  (void)state;
  leat_graph_t *g =
      lowered(X_AND_W "%2 = floor(%1) : f64[3]\n%3 = mul(%0, %2) : f64[3]\noutput(%3) {name=\"y\", seed=\"one\"}\n");
  assert_int_equal(count_stores(g, LEAT_STORE_GRAD), 1);
  leat_graph_destroy(g);
  g = lowered(X_AND_W "%2 = mul(%0, %1) : f64[3] !detached\noutput(%2) {name=\"y\", seed=\"one\"}\n");
  assert_int_equal(count_stores(g, LEAT_STORE_GRAD), 0);
  leat_graph_destroy(g);
}

// Backward ops belong to the group of their forward op.
static void test_groups(void **state) {
  (void)state;
  leat_graph_t *g = lowered(X_AND_W
                            "%2 = mul(%0, %1) : f64[3] !group=7\n%3 = sin(%2) : f64[3] !group=9\n"
                            "output(%3) {name=\"y\", seed=\"one\"}\n");
  bool seen[2] = {false, false};
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (op->type == LEAT_TYPE_BCKWD && op->kind == LEAT_PRIM_MAP)
      seen[op->group == 9] = op->group == 7 || op->group == 9;
  }
  assert_true(seen[0] && seen[1]);
  leat_graph_destroy(g);
}

// Three steps of y = sum(w * x), whose gradient is x, against `expected` after the last.
static void check_steps(const char *optimizer, const char *const *states, double expected) {
  char text[1024];
  snprintf(text, sizeof text, "%s%s\n",
           X_AND_W
           "%2 = mul(%0, %1) : f64[3]\n%3 = sum(%2) : f64[]\noutput(%3) {name=\"y\", seed=\"one\"}\noptimizer(%1) ",
           optimizer);
  leat_graph_t *g = lowered(text);
  leat_eval_t *eval;
  double x[3] = {2, 2, 2}, w[3] = {1, 1, 1};
  assert_ok(leat_eval_create(g, &eval));
  assert_ok(leat_eval_set(eval, "x", x, sizeof x));
  assert_ok(leat_eval_set(eval, "w", w, sizeof w));
  for (int step = 0; step < 3; step++) {
    double carried[3];
    assert_ok(leat_eval_run(eval));
    assert_ok(leat_eval_get(eval, "w", w, sizeof w));
    for (const char *const *name = states; *name != NULL; name++) {
      size_t bytes = strstr(*name, "__step") != NULL ? sizeof(double) : sizeof carried;
      assert_ok(leat_eval_get(eval, *name, carried, bytes));
      assert_ok(leat_eval_set(eval, *name, carried, bytes));
    }
    assert_ok(leat_eval_set(eval, "w", w, sizeof w));
  }
  for (int i = 0; i < 3; i++) assert_true(fabs(w[i] - expected) < 1e-12);
  leat_eval_destroy(eval);
  leat_graph_destroy(g);
}

static void test_sgd(void **state) {
  (void)state;
  static const char *const momentum[] = {"w__momentum", NULL}, *const dampened[] = {"w__momentum", "optimizer_0__step",
                                                                                    NULL};
  check_steps("{kind=\"sgd\", lr=0.1}", momentum, 1.0 - 0.1 * 2 * 3);
  check_steps("{kind=\"sgd\", lr=0.1, momentum=0.5, hyper=\"lr,momentum\"}", momentum, 1.0 - 0.1 * (2 + 3 + 3.5));
  check_steps("{kind=\"sgd\", lr=0.1, momentum=0.5, nesterov=1}", momentum, 1.0 - 0.1 * (3 + 3.5 + 3.75));
  check_steps("{kind=\"sgd\", lr=0.1, momentum=0.5, dampening=0.5}", dampened, 1.0 - 0.1 * (2 + 2 + 2));
  check_steps("{kind=\"sgd\", lr=0.1, maximize=1}", momentum, 1.0 + 0.1 * 2 * 3);
  // The norm of the gradient is sqrt(12); clipped to 1.
  check_steps("{kind=\"sgd\", lr=0.1, max_grad_norm=1.0}", momentum, 1.0 - 0.1 * 3 * 2 / (sqrt(12.0) + 1e-6));
}

// With a constant gradient the bias-corrected moments are the gradient and its square, so each step is lr * sign.
static void test_adamw(void **state) {
  (void)state;
  static const char *const states[] = {"w__exp_avg", "w__exp_avg_sq", "optimizer_0__step", NULL};
  check_steps("{kind=\"adamw\", lr=0.1, beta1=0.9, beta2=0.99, eps=0.0}", states, 1.0 - 0.3);
  double w = 1.0;
  for (int step = 0; step < 3; step++) w = w * (1 - 0.1 * 0.5) - 0.1;
  check_steps("{kind=\"adamw\", lr=0.1, beta1=0.9, beta2=0.99, eps=0.0, weight_decay=0.5, hyper=\"lr,weight_decay\"}",
              states, w);
}

// Steps too small for bf16 add up in the f32 master copy.
static void test_master_copy(void **state) {
  (void)state;
  leat_graph_t *g = lowered(
      "leat.graph 1\n%0 = symbol() {kind=\"param\", name=\"w\", requires_grad=1} : bf16[1]\n"
      "%1 = sum(%0) : bf16[]\noutput(%1) {name=\"y\", seed=\"one\"}\n"
      "optimizer(%0) {kind=\"sgd\", lr=0.0002, fp32_params=1}\n");
  leat_eval_t *eval;
  uint16_t w = 0x3f80;  // 1
  float master = 0.0f;
  assert_ok(leat_eval_create(g, &eval));
  assert_ok(leat_eval_set(eval, "w", &w, sizeof w));
  for (int step = 0; step < 40; step++) assert_ok(leat_eval_run(eval));
  assert_ok(leat_eval_get(eval, "w__master", &master, sizeof master));
  assert_ok(leat_eval_get(eval, "w", &w, sizeof w));
  assert_true(master > 0.99199f && master < 0.99201f);
  assert_int_equal(w, 0x3f7e);  // 0.9921875
  leat_eval_destroy(eval);
  leat_graph_destroy(g);
}

// Two optimizers with one name `lr`: each starts from its own default, a value that the host sets holds for both; a
// prefix gives an optimizer a name of its own.
static void test_shared_hyperparameters(void **state) {
  (void)state;
  static const char text[] =
      "leat.graph 1\n%0 = symbol() {kind=\"param\", name=\"u\", requires_grad=1} : f64[]\n"
      "%1 = symbol() {kind=\"param\", name=\"v\", requires_grad=1} : f64[]\n"
      "%2 = symbol() {kind=\"param\", name=\"w\", requires_grad=1} : f64[]\n"
      "%3 = add(%0, %1) : f64[]\n%4 = add(%3, %2) : f64[]\noutput(%4) {name=\"y\", seed=\"one\"}\n"
      "optimizer(%0) {kind=\"sgd\", lr=0.5, hyper=\"lr\"}\noptimizer(%1) {kind=\"sgd\", lr=0.25, hyper=\"lr\"}\n"
      "optimizer(%2) {kind=\"sgd\", lr=0.125, hyper=\"lr\", prefix=\"head_\"}\n";
  static const double expected[2][3] = {{-0.5, -0.25, -0.125}, {-2.0, -2.0, -0.125}};
  static const char *const names[] = {"u", "v", "w"};
  for (int set = 0; set < 2; set++) {
    leat_graph_t *g = lowered(text);
    leat_eval_t *eval;
    double lr = 2.0, found;
    assert_ok(leat_eval_create(g, &eval));
    if (set) assert_ok(leat_eval_set(eval, "lr", &lr, sizeof lr));
    assert_ok(leat_eval_run(eval));
    for (int i = 0; i < 3; i++) {
      assert_ok(leat_eval_get(eval, names[i], &found, sizeof found));
      assert_true(found == expected[set][i]);
    }
    leat_eval_destroy(eval);
    leat_graph_destroy(g);
  }
}

static const leat_symbol_t *symbol_named(const leat_graph_t *g, const char *name) {
  const leat_symbol_id_t id = leat_graph_find_symbol(g, name);
  if (id == LEAT_NONE) fail_msg("there is no symbol '%s'", name);
  return leat_graph_symbol(g, id);
}

// What the compiler makes for a parameter or an output knows whose it is and what for, in the graph that it made and in
// one that is read back from text.
static void check_made_symbols(const leat_graph_t *g) {
  static const struct {
    const char *name, *owner;
    leat_symbol_role_t role;
    leat_symbol_kind_t kind;
  } made[] = {{"w__grad", "w", LEAT_MADE_GRAD, LEAT_KIND_GRAD},
              {"w__exp_avg", "w", LEAT_MADE_EXP_AVG, LEAT_KIND_STATE},
              {"w__exp_avg_sq", "w", LEAT_MADE_EXP_AVG_SQ, LEAT_KIND_STATE},
              {"w__max_exp_avg_sq", "w", LEAT_MADE_MAX_EXP_AVG_SQ, LEAT_KIND_STATE},
              {"y__seed", "y", LEAT_MADE_SEED, LEAT_KIND_SEED},
              {"optimizer_0__step", NULL, LEAT_MADE_STEP, LEAT_KIND_STATE},
              {"random__state", NULL, LEAT_MADE_RANDOM, LEAT_KIND_STATE},
              {"p", NULL, LEAT_MADE_DROPOUT, LEAT_KIND_HYPER},
              {"w", NULL, LEAT_MADE_NONE, LEAT_KIND_PARAM},
              {"y", NULL, LEAT_MADE_NONE, LEAT_KIND_OUTPUT},
              {"lr", NULL, LEAT_MADE_NONE, LEAT_KIND_HYPER}};
  for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
    const leat_symbol_t *symbol = symbol_named(g, made[i].name);
    assert_int_equal(symbol->role, made[i].role);
    assert_int_equal(symbol->kind, made[i].kind);
    if (made[i].owner == NULL)
      assert_int_equal(symbol->owner, LEAT_NONE);
    else
      assert_string_equal(leat_graph_symbol(g, symbol->owner)->name, made[i].owner);
  }
  leat_symbol_id_t found, w = leat_graph_find_symbol(g, "w");
  assert_ok(leat_graph_role_symbol((leat_graph_t *)g, LEAT_MADE_EXP_AVG_SQ, w, &found));
  assert_int_equal(found, leat_graph_find_symbol(g, "w__exp_avg_sq"));
}

static void test_made_symbols_know_owner_and_role(void **state) {
  (void)state;
  leat_graph_t *g = lowered(X_AND_W
                            "%2 = dropout(%0) {p=0.5, training=1, stream=0} : f64[3]\n%3 = mul(%2, %1) : f64[3]\n"
                            "output(%3) {name=\"y\", seed=\"symbol\"}\n"
                            "optimizer(%1) {kind=\"adamw\", lr=0.1, hyper=\"lr\", amsgrad=1}\n");
  check_made_symbols(g);
  char *text, *again;
  leat_graph_t *read;
  assert_ok(leat_graph_print(g, &text));
  assert_ok(leat_graph_parse(text, strlen(text), &read));
  check_made_symbols(read);
  assert_ok(leat_graph_print(read, &again));
  assert_string_equal(text, again);
  leat_string_free(text);
  leat_string_free(again);
  leat_graph_destroy(read);
  leat_graph_destroy(g);
}

// Every allocation of reverse mode fails once: a clean status each time, nothing leaks.
static void test_out_of_memory(void **state) {
  (void)state;
  static const char text[] = X_AND_W
      "%2 = mul(%0, %1) : f64[3]\n%3 = softmax(%2) {dim=0} : f64[3]\n%4 = sum(%3) : f64[]\n"
      "output(%4) {name=\"y\", seed=\"symbol\"}\noptimizer(%1) {kind=\"adamw\", lr=0.1, hyper=\"lr\", "
      "max_grad_norm=1.0}\n";
  leat_graph_t *traced, *from, *made = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &traced));
  assert_ok(leat_lower(traced, true, &from));
  bool done = false;
  for (uint64_t n = 1; !done && n < 100000; n++) {
    leat_alloc_fail_after(n);
    leat_status_t status = leat_grad(from, leat_lower_vjps(), &made);
    leat_alloc_fail_after(0);
    done = status == NULL;
    if (!done) assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
  }
  assert_true(done);
  leat_graph_destroy(made);
  leat_graph_destroy(from);
  leat_graph_destroy(traced);
}

static void test_bad_input(void **state) {
  (void)state;
  leat_graph_t *g;
  assert_fails(bench_lower(X_AND_W "%2 = mul(%0, %1) : f64[3]\noutput(%2) {name=\"y\", seed=\"two\"}\n", &g),
               LEAT_INVALID_ARGUMENT, "seed 'two' is none of zero|one|symbol");
  assert_fails(bench_lower(X_AND_W "%2 = mul(%0, %1) : f64[3]\noutput(%2) {name=\"y\", seed=\"one\"}\n"
                                   "optimizer(%1) {kind=\"lion\"}\n",
                           &g),
               LEAT_INVALID_ARGUMENT, "kind 'lion' is none of sgd|adamw");
  assert_fails(bench_lower(X_AND_W "%2 = mul(%0, %1) : f64[3]\noutput(%2) {name=\"y\", seed=\"one\"}\n"
                                   "optimizer(%1) {lr=0.1}\n",
                           &g),
               LEAT_INVALID_ARGUMENT, "use sgd or adamw");
  assert_fails(bench_lower(X_AND_W "%2 = mul(%0, %1) : f64[3]\noutput(%2) {name=\"y\", seed=\"one\"}\n"
                                   "optimizer(%0) {kind=\"sgd\", lr=0.1}\n",
                           &g),
               LEAT_INVALID_ARGUMENT, "operand 0 of an optimizer is not a parameter");
  assert_fails(bench_lower(X_AND_W "%2 = mul(%0, %1) : f64[3]\noutput(%2) {name=\"lr\", seed=\"one\"}\n"
                                   "optimizer(%1) {kind=\"sgd\", lr=0.1, hyper=\"lr\"}\n",
                           &g),
               LEAT_INVALID_ARGUMENT, "the name 'lr' belongs to a hyperparameter");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rules),
      cmocka_unit_test(test_scalar_derivatives),
      cmocka_unit_test(test_products_with_zeros),
      cmocka_unit_test(test_zero_seed_adds_nothing),
      cmocka_unit_test(test_reach),
      cmocka_unit_test(test_groups),
      cmocka_unit_test(test_sgd),
      cmocka_unit_test(test_adamw),
      cmocka_unit_test(test_master_copy),
      cmocka_unit_test(test_shared_hyperparameters),
      cmocka_unit_test(test_made_symbols_know_owner_and_role),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_bad_input),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
