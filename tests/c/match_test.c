// SPDX-License-Identifier: Apache-2.0
// Tests of the matcher: each point of the meaning of a rule, on graphs small enough to see.
#include "rule/match.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"

// "a = add(x, y); b = mul(a, a)" as a traced graph: results and operands by name, unknown names are inputs.
// "sum<getitem>" is row sum of a call of getitem.
static leat_graph_t *graph_of(const char *program) {
  leat_text_t text = {0};
  char names[256][16];
  uint32_t count = 0;
  leat_text_put(&text, "leat.graph 1\n");
  char *copy = strdup(program), *save = NULL;
  for (char *line = strtok_r(copy, ";", &save); line != NULL; line = strtok_r(NULL, ";", &save)) {
    char result[16], op[48], operands[160], call[32] = "", list[256] = "", group[24] = "", *inner = NULL;
    assert_true(sscanf(line, " %15[^ =] = %47[^(](%159[^)])%23s", result, op, operands, group) >= 3);
    char *angle = strchr(op, '<');
    if (angle != NULL)
      *angle = '\0', (void)snprintf(call, sizeof call, " \"%.*s\"", (int)strcspn(angle + 1, ">"), angle + 1);
    for (char *name = strtok_r(operands, ", ", &inner); name != NULL; name = strtok_r(NULL, ", ", &inner)) {
      uint32_t i = 0;
      while (i < count && strcmp(names[i], name) != 0) ++i;
      if (i == count) {
        (void)snprintf(names[count++], sizeof names[0], "%s", name);
        leat_text_put(&text, "%%%u = symbol() {kind=\"input\", name=\"%s\"} : f32[4]\n", i, name);
      }
      (void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s%%%u", list[0] == '\0' ? "" : ", ", i);
    }
    leat_text_put(&text, "%%%u = %s(%s) : f32[4] %s @ \"m.%s\" \"m.py:%u\"%s\n", count, op, list, group, result, count,
                  call);
    (void)snprintf(names[count++], sizeof names[0], "%s", result);
  }
  free(copy);
  leat_graph_t *g;
  leat_status_t status = leat_graph_parse(text.data, text.length, &g);
  if (status != NULL) fail_msg("%s\n%s", text.data, leat_status_message(status));
  leat_text_deinit(&text);
  return g;
}

typedef struct bench_s {
  leat_graph_t *graph;
  leat_rules_t *rules;
  leat_fusion_t *fusion;
} bench_t;

static bench_t match(const char *rules, const char *program) {
  bench_t b = {.graph = graph_of(program)};
  assert_ok(leat_rules_create(&b.rules));
  assert_ok(leat_rules_add(b.rules, rules, strlen(rules), "f.yaml"));
  assert_ok(leat_fusion_create(b.graph, b.rules, &b.fusion));
  return b;
}

static void release(bench_t *b) {
  leat_fusion_destroy(b->fusion);
  leat_rules_destroy(b->rules);
  leat_graph_destroy(b->graph);
}

// "rule: a b c; rule: d": the groups, by the names of the results of their ops.
static void groups_of(const bench_t *b, char *out, size_t bytes) {
  out[0] = '\0';
  for (uint32_t i = 0; i < b->fusion->occurrences.count; ++i) {
    const leat_occurrence_t *o = &b->fusion->occurrences.data[i];
    (void)snprintf(out + strlen(out), bytes - strlen(out), "%s%s:", i == 0 ? "" : "; ", o->rule->name);
    for (uint32_t k = 0; k < o->taken_count; ++k) {
      const leat_op_t *op = leat_nodes_op(&b->fusion->nodes, o->taken[k]);
      (void)snprintf(out + strlen(out), bytes - strlen(out), " %s", b->graph->origins.data[op->origin].module + 2);
    }
  }
}

static void assert_groups(const char *what, const char *rules, const char *program, const char *expected) {
  char groups[1024];
  bench_t b = match(rules, program);
  groups_of(&b, groups, sizeof groups);
  if (strcmp(groups, expected) != 0) {
    leat_text_t text = {0};
    leat_fusion_put_text(b.fusion, &text);
    fail_msg("%s: groups are '%s', not '%s'\n%s", what, groups, expected, text.data);
  }
  release(&b);
}

#define NORM_THEN_GEMM                                               \
  "norm_then_gemm:\n"                                                \
  "  priority: 2\n"                                                  \
  "  heuristic: {name: SAFE_GEMM, tp_dim: M}\n"                      \
  "  pattern:\n"                                                     \
  "    cast: {op_type: [to, type_], child: norm, required: false}\n" \
  "    norm: {op_type: layer_norm, child: fc}\n"                     \
  "    fc: {op_type: linear, child: act}\n"                          \
  "    act: {op_type: [relu, gelu], required: false}\n"              \
  "lone_gemm:\n"                                                     \
  "  priority: 0\n"                                                  \
  "  heuristic: SAFE_GEMM\n"                                         \
  "  pattern:\n"                                                     \
  "    fc: {op_type: linear}\n"

static const struct {
  const char *what, *rules, *program, *groups;
} cases[] = {
    {"the example of the language", NORM_THEN_GEMM,
     "n = layer_norm(x, g, h); f = linear(n, w); a = gelu(f); l = linear(a, v); s = add(l, x)",
     "norm_then_gemm: n f a; lone_gemm: l"},
    {"optional root and leaf", NORM_THEN_GEMM, "c = to<to>(x); n = layer_norm(c, g); f = linear(n, w); t = tanh(f)",
     "norm_then_gemm: c n f"},
    {"several leaves; consumers outside",
     "qkv: {priority: 1, pattern: {n: {op_type: mul, children: [q, k, v]}, q: {op_type: linear}, k: {op_type: linear},"
     " v: {op_type: linear}}}",
     "n = mul(x, g); a = linear(n, w0); b = linear(n, w1); c = linear(n, w2); d = tanh(n); e = add(a, d)",
     "qkv: n a b c"},
    {"two linears are not three",
     "qkv: {priority: 1, pattern: {n: {op_type: mul, children: [q, k, v]}, q: {op_type: linear}, k: {op_type: linear},"
     " v: {op_type: linear}}}",
     "n = mul(x, g); a = linear(n, w0); b = linear(n, w1); e = add(a, b)", ""},
    {"several roots; the sink stands first in the file",
     "r: {priority: 1, pattern: {s: {op_type: add}, a: {op_type: relu, child: s}, b: {op_type: tanh, child: s}}}",
     "a = relu(x); b = tanh(y); s = add(b, a)", "r: a b s"},
    {"edges say nothing of operand positions",
     "r: {priority: 1, pattern: {a: {op_type: relu, child: m}, m: {op_type: matmul}}}",
     "a = relu(x); m = matmul(y, a); n = matmul(a, y)", "r: a m"},
    {"a list of ops", "r: {priority: 1, pattern: {a: {op_type: [silu, gelu], child: m}, m: {op_type: mul}}}",
     "a = silu(x); m = mul(a, y); b = gelu(m); n = mul(b, y)", "r: a m; r: b n"},
    {"a chain of optional ops",
     "r: {priority: 1, pattern: {a: {op_type: add, child: b}, b: {op_type: squeeze, child: c, required: false},"
     " c: {op_type: getitem, child: d, required: false}, d: {op_type: mul}}}",
     "a = add(x, y); d = mul(a, x); e = add(d, y); f = squeeze(e); g = mul(f, x); h = add(g, y); i = squeeze(h);"
     "j = getitem(i); k = mul(j, x)",
     "r: a d; r: e f g; r: h i j k"},
    {"an absent op joins all above with all below",
     "r: {priority: 1, pattern: {a: {op_type: relu, child: o}, b: {op_type: tanh, child: o},"
     " o: {op_type: to, required: false, children: [c, d]}, c: {op_type: add}, d: {op_type: mul}}}",
     "a = relu(x); b = tanh(x); c = add(a, b); d = mul(a, b); e = mul(a, x)", "r: a b c d"},
    {"an absent op joins all above with all below: one edge is missing",
     "r: {priority: 1, pattern: {a: {op_type: relu, child: o}, b: {op_type: tanh, child: o},"
     " o: {op_type: to, required: false, children: [c, d]}, c: {op_type: add}, d: {op_type: mul}}}",
     "a = relu(x); b = tanh(x); c = add(a, b); d = mul(a, x)", ""},
    {"the match with most optional ops",
     "r: {priority: 1, pattern: {a: {op_type: relu, child: m}, m: {op_type: mul, child: o},"
     " o: {op_type: tanh, required: false}}}",
     "a = relu(x); m = mul(a, x); n = mul(a, y); o = tanh(n)", "r: a n o"},
    {"priority",
     "low: {priority: 1, pattern: {a: {op_type: linear}}}\n"
     "high: {priority: 2, pattern: {a: {op_type: linear, child: b}, b: {op_type: relu}}}",
     "a = linear(x, w); b = relu(a); c = linear(b, w)", "high: a b; low: c"},
    {"equal priority: file order",
     "one: {priority: 1, pattern: {a: {op_type: linear}}}\n"
     "two: {priority: 1, pattern: {a: {op_type: linear, child: b}, b: {op_type: relu}}}",
     "a = linear(x, w); b = relu(a)", "one: a"},
    {"context stays free, and may be taken",
     "q: {priority: 5, pattern: {a: {op_type: linear}}}\n"
     "rot: {priority: 1, pattern: {l: {op_type: linear, included: false, child: v}, v: {op_type: view, child: m},"
     " m: {op_type: mul}}}\n"
     "late: {priority: 0, pattern: {t: {op_type: tanh}}}",
     "l = linear(x, w); v = view(l); m = mul(v, c); t = tanh(m)", "q: l; rot: v m; late: t"},
    {"different entries are different ops",
     "r: {priority: 1, pattern: {a: {op_type: relu, children: [m, n]}, m: {op_type: mul}, n: {op_type: mul}}}",
     "a = relu(x); m = mul(a, a)", ""},
    {"a group is convex: refused", "r: {priority: 1, pattern: {a: {op_type: relu, child: s}, s: {op_type: add}}}",
     "a = relu(x); t = tanh(a); s = add(a, t)", ""},
    {"a group is convex: another assignment will do",
     "r: {priority: 1, pattern: {a: {op_type: relu, child: s}, s: {op_type: add}}}",
     "a = relu(x); t = tanh(a); s = add(a, t); u = add(a, y)", "r: a u"},
    {"groups as wholes keep an order: each of the two alone would do",
     "one: {priority: 2, pattern: {x: {op_type: relu, included: false, children: [p, q]}, p: {op_type: exp},"
     " q: {op_type: add}}}\n"
     "two: {priority: 1, pattern: {x: {op_type: tanh, included: false, children: [p, q]}, p: {op_type: erf},"
     " q: {op_type: mul}}}",
     "x = relu(i); a = exp(x); y = tanh(i); b = erf(y); c = add(x, b); d = mul(y, a)", "one: a c"},
    {"first option",
     "r: {priority: 1, pattern: {x: {op_type: mul, children: [lo, hi]}, lo: {match_first_option: [s, g]},"
     " hi: {match_first_option: [s, h]}, s: {op_type: split, children: [n, c]}, g: {op_type: getitem, child: c},"
     " h: {op_type: getitem, child: n}, n: {op_type: neg, child: c}, c: {op_type: cat}}}",
     "x = mul(a, b); g = getitem(x); h = getitem(x); n = neg(h); c = cat(n, g)", "r: x g h n c"},
    {"copies do not come between", "r: {priority: 1, pattern: {t: {op_type: transpose, child: v}, v: {op_type: view}}}",
     "t = transpose(x); c = contiguous(t); v = view(c)", "r: t c v"},
    {"casts that nobody wrote do not come between",
     "r: {priority: 1, pattern: {t: {op_type: tanh, child: m}, m: {op_type: mul}}}",
     "t = tanh(x); c = to<mul>(t); m = mul(c, y); u = tanh(x); d = to<to>(u); n = mul(d, y)", "r: t c m"},
    {"names of functions that share a row", "r: {priority: 1, pattern: {c: {op_type: conv2d}}}",
     "a = conv<conv1d>(x, w); b = conv<conv2d>(y, w)", "r: b"},
    {"ops of the program's own groups are taken", "r: {priority: 1, pattern: {c: {op_type: relu}}}",
     "a = relu(x)!group=7; b = relu(y)", "r: b"},
};

static void test_meaning(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    assert_groups(cases[i].what, cases[i].rules, cases[i].program, cases[i].groups);
  }
}

static const char *const miss_cases[][3] = {
    {"r: {priority: 1, pattern: {a: {op_type: relu, child: m}, m: {op_type: mul, child: t}, t: {op_type: tanh}}}",
     "a = relu(x); m = mul(a, x); t = exp(m)",
     "entry 't' (tanh): mul (m.m, m.py:2) is read by exp (m.t, m.py:3), which is another op"},
    {"r: {priority: 1, pattern: {a: {op_type: relu, child: m}, m: {op_type: mul}}}", "a = relu(x)",
     "entry 'm' (mul): relu (m.a, m.py:1) is read by no op"},
    {"r: {priority: 1, pattern: {a: {op_type: relu, child: m}, m: {op_type: mul}}}\n"
     "h: {priority: 3, pattern: {m: {op_type: mul}}}",
     "a = relu(x); m = mul(a, x)", "which is taken by rule 'h'"},
    {"r: {priority: 1, pattern: {a: {op_type: relu, child: m}, m: {op_type: mul}}}",
     "a = relu(x); m = mul(a, x)!group=7", "which is taken by group 7 of the program"},
    {"r: {priority: 1, pattern: {a: {op_type: relu, child: s}, s: {op_type: add}}}",
     "a = relu(x); t = tanh(a); s = add(a, t)",
     "not convex: a path leaves it and comes back through tanh (m.t, m.py:2)"},
    {"r: {priority: 1, pattern: {a: {op_type: relu, children: [m, n]}, m: {op_type: mul, child: n}, n: {op_type: "
     "sub}}}",
     "a = relu(x); m = mul(a, y); n = sub(a, y); t = sub(m, m)",
     "relu (m.a, m.py:1) is read by sub (m.n, m.py:4), which is not connected with entry 'm' as the pattern says"},
    {"r: {priority: 1, pattern: {a: {op_type: erf}}}", "a = relu(x)", "no op of one of its entries"},
};

static void test_misses_are_explained(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof miss_cases / sizeof *miss_cases; ++i) {
    bench_t b = match(miss_cases[i][0], miss_cases[i][1]);
    leat_text_t text = {0}, json = {0};
    leat_fusion_put_text(b.fusion, &text);
    leat_fusion_put_json(b.fusion, &json);
    if (strstr(text.data, miss_cases[i][2]) == NULL) fail_msg("expected '%s' in\n%s", miss_cases[i][2], text.data);
    leat_text_deinit(&text);
    leat_text_deinit(&json);
    release(&b);
  }
}

static void test_what_matches_by_another_option_is_no_miss(void **state) {
  (void)state;
  bench_t b = match(
      "r: {priority: 1, pattern: {a: {op_type: relu, child: c}, c: {match_first_option: [m, t]}, m: {op_type: mul}, t: "
      "{op_type: tanh}}}",
      "a = relu(x); t = tanh(a); b = relu(t); u = tanh(b)");
  leat_text_t text = {0};
  leat_fusion_put_text(b.fusion, &text);
  assert_non_null(strstr(text.data, "2 matches"));
  assert_null(strstr(text.data, "miss"));
  leat_text_deinit(&text);
  release(&b);
}

static void test_a_pattern_has_many_entries(void **state) {
  (void)state;
  enum { ENTRIES = LEAT_RULE_ENTRIES_MAX - 1 };
  leat_text_t rules = {0}, program = {0};
  leat_text_put(&rules, "r:\n  priority: 1\n  pattern:\n");
  for (uint32_t i = 0; i < ENTRIES; ++i) {
    const bool last = i + 1 == ENTRIES;
    leat_text_put(&rules, last ? "    e%u: {op_type: exp}\n" : "    e%u: {op_type: exp, child: e%u}\n", i, i + 1);
    leat_text_put(&program, i == 0 ? "e0 = exp(x)" : "; e%u = exp(e%u)", i, i - 1);
  }
  bench_t b = match(rules.data, program.data);
  assert_int_equal(b.fusion->occurrences.count, 1);
  for (uint32_t i = 0; i < ENTRIES; ++i) assert_int_equal(b.fusion->occurrences.data[0].taken[i], i);
  release(&b);
  leat_text_deinit(&rules);
  leat_text_deinit(&program);
}

// A ring of odd length in a graph that has rings of even length alone: there is no match, and more ways to find that
// out than anyone could go. The search ends and says so.
static void test_the_search_is_bounded(void **state) {
  (void)state;
  enum { RING = 13, HALF = 8 };
  leat_text_t rules = {0}, program = {0};
  leat_text_put(&rules, "r:\n  priority: 1\n  pattern:\n");
  for (uint32_t i = 0; i < RING; ++i)
    leat_text_put(&rules, "    e%u: {op_type: exp, children: [a%u, a%u]}\n    a%u: {op_type: add}\n", i, i,
                  (i + 1) % RING, i);
  for (uint32_t i = 0; i < 2 * HALF; ++i) leat_text_put(&program, "%se%u = exp(x)", i == 0 ? "" : "; ", i);
  for (uint32_t i = 0; i < HALF * HALF; ++i)
    leat_text_put(&program, "; a%u = add(e%u, e%u)", i, i / HALF, HALF + i % HALF);
  bench_t b = match(rules.data, program.data);
  assert_int_equal(b.fusion->occurrences.count, 0);
  assert_true(b.fusion->results[0].gave_up);
  release(&b);
  leat_text_deinit(&rules);
  leat_text_deinit(&program);
}

// Ops of one call, which all have its place in the program, are a node where the call is seen as one op.
static void test_pieces_of_a_call_are_a_node(void **state) {
  (void)state;
#define SELECT(result, from, index, call) \
  "%" #result " = select(%" #from ") {dim=0, index=" #index "} : f32[4] @ \"m\" \"m.py:1\" \"" call "\"\n"
#define SPLIT(result, from, first, end)                                  \
  "%" #result " = split(%" #from ") {start=[" #first ", 0], stop=[" #end \
  ", 4], step=[1, 1]} : f32[1,4] @ \"m\" \"m.py:1\"\n"
#define MAP(result, op, call) "%" #result " = " op "(%0, %1) : f32[2,4] @ \"m\" \"m.py:1\" \"" call "\"\n"
  static const struct {
    const char *ops;
    uint32_t nodes;
  } calls[] = {
      {SELECT(2, 0, 0, "unbind") SELECT(3, 0, 1, "unbind"), 1},
      {SELECT(2, 0, 0, "unbind") SELECT(3, 1, 1, "unbind"), 2},  // of two tensors
      {SELECT(2, 0, 0, "select") SELECT(3, 0, 1, "select"), 2},
      {SELECT(2, 0, 0, "unbind") SELECT(3, 0, 1, "select"), 2},
      {SPLIT(2, 0, 0, 1) SPLIT(3, 0, 1, 2), 1},
      {SPLIT(2, 0, 0, 1) SPLIT(3, 1, 1, 2), 2},
      {MAP(2, "mul", "zipmapreduce") MAP(3, "add", "zipmapreduce") MAP(4, "sub", "zipmapreduce"), 1},
      {MAP(2, "mul", "mul") MAP(3, "add", "add"), 2},
      {SELECT(2, 0, 0, "unbind") SPLIT(3, 0, 0, 1), 2},
  };
  for (size_t i = 0; i < sizeof calls / sizeof *calls; ++i) {
    leat_text_t text = {0};
    leat_text_put(&text,
                  "leat.graph 1\n%%0 = symbol() {kind=\"input\", name=\"x\"} : f32[2,4]\n"
                  "%%1 = symbol() {kind=\"input\", name=\"y\"} : f32[2,4]\n%s",
                  calls[i].ops);
    leat_graph_t *g;
    assert_ok(leat_graph_parse(text.data, text.length, &g));
    leat_nodes_t nodes;
    assert_ok(leat_nodes_create(g, &nodes));
    if (nodes.count != calls[i].nodes)
      fail_msg("%u nodes and not %u of\n%s", nodes.count, calls[i].nodes, calls[i].ops);
    leat_nodes_deinit(&nodes);
    leat_graph_destroy(g);
    leat_text_deinit(&text);
  }
}

static void test_out_of_memory_is_survived(void **state) {
  (void)state;
  leat_graph_t *g =
      graph_of("n = layer_norm(x, g); f = linear(n, w); a = gelu(f); l = linear(a, v)!group=4; s = add(l, x)");
  leat_rules_t *rules;
  assert_ok(leat_rules_create(&rules));
  assert_ok(leat_rules_add(rules, NORM_THEN_GEMM, strlen(NORM_THEN_GEMM), "f.yaml"));
  bool done = false;
  for (uint64_t n = 1; !done; ++n) {
    leat_fusion_t *fusion = NULL;
    leat_alloc_fail_after(n);
    leat_status_t status = leat_fusion_create(g, rules, &fusion);
    leat_alloc_fail_after(0);
    done = status == NULL;
    if (!done) assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
    leat_fusion_destroy(fusion);
  }
  leat_rules_destroy(rules);
  leat_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_meaning),
      cmocka_unit_test(test_misses_are_explained),
      cmocka_unit_test(test_what_matches_by_another_option_is_no_miss),
      cmocka_unit_test(test_a_pattern_has_many_entries),
      cmocka_unit_test(test_the_search_is_bounded),
      cmocka_unit_test(test_pieces_of_a_call_are_a_node),
      cmocka_unit_test(test_out_of_memory_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
