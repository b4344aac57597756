// SPDX-License-Identifier: Apache-2.0
// Bounds of indices and divisors: where one comes from, what its op demands of it, and what needs no look at run time.
#include "opt/bounds.h"

#include <stdio.h>

#include "check.h"

static leat_graph_t *parsed(const char *text) {
  leat_graph_t *graph;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  assert_ok(leat_graph_verify(graph));
  return graph;
}

// "symbol low..high|ignored @offset [dim:stride,..]", one a line.
static void put_bound(leat_text_t *out, const leat_graph_t *g, const leat_bound_t *b) {
  leat_text_put(out, "%s %lld..%lld", leat_graph_symbol(g, b->symbol)->name, (long long)b->low, (long long)b->high);
  if (b->has_ignored) leat_text_put(out, "|%lld", (long long)b->ignored);
  leat_text_put(out, " @%lld [", (long long)b->offset);
  for (uint32_t d = 0; d < b->rank; d++)
    leat_text_put(out, "%s%lld:%lld", d ? "," : "", (long long)b->dims[d], (long long)b->strides[d]);
  leat_text_put(out, "]\n");
}

// x: f32[5,3]; i: i64[4,2]; n: i8[2]
#define INPUTS                                              \
  "leat.graph 1\n"                                          \
  "%0 = symbol() {kind=\"input\", name=\"x\"} : f32[5,3]\n" \
  "%1 = symbol() {kind=\"input\", name=\"i\"} : i64[4,2]\n" \
  "%2 = symbol() {kind=\"buffer\", name=\"n\"} : i8[2]\n"

static const struct {
  const char *body, *bounds;
} cases[] = {
    // what ops demand
    {"%3 = embedding(%0, %1) {index=-1} : f32[4,2,3]\n", "i 0..4 @0 [4:2,2:1]\n"},
    {"%3 = gather(%0, %1) {dim=1} : f32[4,2]\n", "i 0..2 @0 [4:2,2:1]\n"},
    {"%3 = index(%0, %1) : f32[4,2,3]\n", "i -5..4 @0 [4:2,2:1]\n"},
    {"%3 = index(%0, none, %1) : f32[5,4,2]\n", "i -3..2 @0 [4:2,2:1]\n"},
    {"%3 = index_put(%0, %0, %2) {fn=\"set\", wraps=0} : f32[5,3]\n", "n 0..4 @0 [2:1]\n"},
    {"%3 = one_hot(%1) {k=7} : i64[4,2,7]\n", "i 0..6 @0 [4:2,2:1]\n"},
    {"%3 = reshape(%1) {shape=[8]} : i64[8]\n%4 = narrow(%3) {start=[1], stop=[6], step=[1]} : i64[5]\n"
     "%5 = cross_entropy(%0, %4, none) {ignore_index=9} : f32[]\n",
     "i 0..2|9 @1 [5:1]\n"},
    // parts of a symbol
    {"%3 = getitem(%1) {start=[1, 1], stop=[4, 2], step=[2, 1], shape=[2]} : i64[2]\n"
     "%4 = embedding(%0, %3) {index=-1} : f32[2,3]\n",
     "i 0..4 @3 [2:4]\n"},
    {"%3 = permute(%1) {dims=[1, 0]} : i64[2,4]\n%4 = select(%3) {dim=0, index=1} : i64[4]\n"
     "%5 = unsqueeze(%4) {shape=[4, 1]} : i64[4,1]\n%6 = expand(%5) {shape=[4, 3]} : i64[4,3]\n"
     "%7 = gather(%0, %6) {dim=0} : f32[4,3]\n",
     "i 0..4 @1 [4:2]\n"},
    {"%3 = to(%2) {dtype=i64} : i64[2]\n%4 = embedding(%0, %3) {index=-1} : f32[2,3]\n", "n 0..4 @0 [2:1]\n"},
    // a cut of what no longer has the symbol's shape is stored and looked at there
    {"%3 = permute(%1) {dims=[1, 0]} : i64[2,4]\n%4 = reshape(%3) {shape=[8]} : i64[8]\n"
     "%5 = narrow(%4) {start=[0], stop=[3], step=[1]} : i64[3]\n%6 = embedding(%0, %5) {index=-1} : f32[3,3]\n",
     "index_0__checked 0..4 @0 [3:1]\n"},
    // computed ones: one store for all that read it
    {"%3 = full() {value=1.0} : i64[]\n%4 = add(%1, %3) : i64[4,2]\n%5 = embedding(%0, %4) {index=-1} : f32[4,2,3]\n"
     "%6 = gather(%0, %4) {dim=1} : f32[4,2]\n",
     "index_0__checked 0..4 @0 [4:2,2:1]\nindex_0__checked 0..2 @0 [4:2,2:1]\n"},
    {"%3 = clamp(%1) {min=0.0, max=5.0} : i64[4,2]\n%4 = embedding(%0, %3) {index=-1} : f32[4,2,3]\n",
     "index_0__checked 0..4 @0 [4:2,2:1]\n"},
    // divisors of integers, not of floats
    {"%3 = div(%1, %1) {rounding=\"floor\"} : i64[4,2]\n%4 = div(%0, %0) : f32[5,3]\n", "i 1..-1 @0 [4:2,2:1]\n"},
    {"%3 = to(%2) {dtype=i64} : i64[2]\n%4 = remainder(%1, %3) : i64[4,2]\n", "n 1..-1 @0 [2:1]\n"},
    {"%3 = abs(%1) : i64[4,2]\n%4 = fmod(%1, %3) : i64[4,2]\n", "index_0__checked 1..-1 @0 [4:2,2:1]\n"},
    {"%3 = clamp(%1) {max=-1.0} : i64[4,2]\n%4 = fmod(%1, %3) : i64[4,2]\n", ""},
    {"%3 = narrow(%2) {start=[0], stop=[0], step=[1]} : i8[0]\n%4 = select(%2) {dim=0, index=0} : i8[]\n"
     "%5 = remainder(%3, %4) : i8[0]\n",
     ""},
    // proved
    {"%3 = clamp(%1) {min=0.0, max=4.0} : i64[4,2]\n%4 = embedding(%0, %3) {index=-1} : f32[4,2,3]\n", ""},
    {"%3 = argmax(%0) {dims=[0], keepdim=0} : i64[3]\n%4 = embedding(%0, %3) {index=-1} : f32[3,3]\n", ""},
    {"%3, %4 = topk(%0) {k=2, dim=0, descending=1} : f32[2,3], i64[2,3]\n%5 = gather(%0, %4) {dim=0} : f32[2,3]\n", ""},
    {"%3 = arange() {value=4.0, scale=-1.0} : i64[5]\n%4 = embedding(%0, %3) {index=-1} : f32[5,3]\n", ""},
    {"%3 = full() {value=5.0} : i64[]\n%4 = remainder(%1, %3) : i64[4,2]\n"
     "%5 = embedding(%0, %4) {index=-1} : f32[4,2,3]\n",
     ""},
    {"%3 = full() {value=0.0} : i64[]\n%4 = full() {value=5.0} : i64[]\n%5 = ge(%1, %3) : bool[4,2]\n"
     "%6 = lt(%1, %4) : bool[4,2]\n%7 = logical_and(%5, %6) : bool[4,2]\n%8 = where(%7, %1, %3) : i64[4,2]\n"
     "%9 = embedding(%0, %8) {index=-1} : f32[4,2,3]\n",
     ""},
    {"%3 = full() {value=0.0} : i64[]\n%4 = lt(%1, %3) : bool[4,2]\n%5 = where(%4, %3, %1) : i64[4,2]\n"
     "%6 = embedding(%0, %5) {index=-1} : f32[4,2,3]\n",
     "index_0__checked 0..4 @0 [4:2,2:1]\n"},
};

static void indices_are_bound_where_they_come_from(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[2048];
    (void)snprintf(text, sizeof text, "%s%s", INPUTS, cases[i].body);
    leat_graph_t *graph = parsed(text);
    leat_bounds_t bounds = {0};
    leat_text_t found = {0};
    assert_ok(leat_opt_bounds(graph, &bounds));
    assert_ok(leat_graph_verify(graph));
    for (uint32_t b = 0; b < bounds.count; b++) put_bound(&found, graph, &bounds.data[b]);
    if (strcmp(found.data != NULL ? found.data : "", cases[i].bounds) != 0)
      fail_msg("%s\ngives\n%s\nnot\n%s", cases[i].body, found.data != NULL ? found.data : "", cases[i].bounds);
    leat_text_deinit(&found);
    leat_array_free(&bounds);
    leat_graph_destroy(graph);
  }
}

// Refused at compile time, with the value; NULL: legal.
static const struct {
  const char *body, *message;
} constants[] = {
    {"%3 = full() {value=5.0} : i64[2]\n%4 = embedding(%0, %3) {index=-1} : f32[2,3]\n", "the constant 5, and 0 to 4"},
    {"%3 = arange() {value=3.0, scale=-1.0} : i64[5]\n%4 = embedding(%0, %3) {index=-1} : f32[5,3]\n",
     "op 'embedding': its index holds the constant -1"},
    {"%3 = arange() {value=3.0, scale=-1.0} : i64[5]\n%4 = narrow(%3) {start=[0], stop=[4], step=[1]} : i64[4]\n"
     "%5 = embedding(%0, %4) {index=-1} : f32[4,3]\n",
     NULL},
    {"%3 = arange() {value=3.0, scale=-1.0} : i64[5]\n%4 = index(%0, %3) : f32[5,3]\n", NULL},
    {"%3 = full() {value=0.0} : i64[]\n%4 = remainder(%1, %3) : i64[4,2]\n",
     "op 'remainder': integers are divided by the constant 0"},
    {"%3 = arange() {value=-2.0, scale=2.0} : i64[2]\n%4 = fmod(%1, %3) : i64[4,2]\n", "divided by the constant 0"},
    {"%3 = arange() {value=-2.0, scale=3.0} : i64[2]\n%4 = fmod(%1, %3) : i64[4,2]\n", NULL},
    {"%3 = full() {value=-7.0} : i64[5]\n%4 = cross_entropy(%0, %3, none) {ignore_index=-7} : f32[]\n", NULL},
};

static void constants_are_looked_at_by_the_compiler(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
    char text[2048];
    (void)snprintf(text, sizeof text, "%s%s", INPUTS, constants[i].body);
    leat_graph_t *graph = parsed(text);
    leat_bounds_t bounds = {0};
    leat_status_t status = leat_opt_bounds(graph, &bounds);
    assert_int_equal(leat_status_code(status), constants[i].message == NULL ? LEAT_OK : LEAT_OUT_OF_RANGE);
    if (status != NULL && strstr(leat_status_message(status), constants[i].message) == NULL)
      fail_msg("\"%s\" lacks \"%s\"", leat_status_message(status), constants[i].message);
    assert_int_equal(bounds.count, 0);
    leat_status_free(status);
    leat_array_free(&bounds);
    leat_graph_destroy(graph);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(indices_are_bound_where_they_come_from),
                                     cmocka_unit_test(constants_are_looked_at_by_the_compiler)};
  return cmocka_run_group_tests_name("bounds", tests, NULL, NULL);
}
