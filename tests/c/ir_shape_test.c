// SPDX-License-Identifier: Apache-2.0
// Tests of the shape rules, src/ir/shape*.c: for every primitive what it infers and what it refuses.
#include "check.h"
#include "ir/graph.h"

// One op over the symbols %0, %1, %2 of types a, b, c (NULL: not there). The text declares `result`; the verifier
// agrees, or its message contains `message`.
typedef struct case_s {
  const char *a, *b, *c;
  const char *op, *result;
  const char *message;
} case_t;

static void put_symbol(leat_text_t *text, int number, const char *type) {
  if (type != NULL)
    leat_text_put(text, "%%%d = prim.symbol() {kind=\"input\", name=\"s%d\"} : %s\n", number, number, type);
}

static void check(const case_t *c) {
  leat_text_t text = {0};
  leat_text_put(&text, "leat.graph 1\n");
  put_symbol(&text, 0, c->a);
  put_symbol(&text, 1, c->b);
  put_symbol(&text, 2, c->c);
  bool two = strncmp(c->op, "sort", 4) == 0;
  leat_text_put(&text, "%s = prim.%s : %s\n", two ? "%8, %9" : "%9", c->op, c->result);
  leat_graph_t *g;
  assert_ok(leat_graph_parse(text.data, text.length, &g));
  leat_status_t status = leat_graph_verify(g);
  bool good = c->message == NULL ? status == NULL : strstr(leat_status_message(status), c->message) != NULL;
  if (!good) fail_msg("%s: expected '%s', got '%s'", text.data, c->message, leat_status_message(status));
  leat_status_free(status);
  leat_graph_destroy(g);
  leat_text_deinit(&text);
}

#define CHECK_ALL(cases) \
  for (size_t i = 0; i < sizeof(cases) / sizeof *(cases); i++) check(&(cases)[i])

static void test_leaves(void **state) {
  (void)state;
  static const case_t cases[] = {
      {NULL, NULL, NULL, "constant() {value=1.0}", "bf16[2,2]", NULL},
      {NULL, NULL, NULL, "constant() {index=-1}", "f32[]", "not that of a blob"},
      {NULL, NULL, NULL, "iota() {dim=1}", "i32[2,3]", NULL},
      {NULL, NULL, NULL, "iota() {dim=2}", "i32[2,3]", "dim 2 is not in a tensor of rank 2"},
      {NULL, NULL, NULL, "iota() {dim=0}", "bool[2]", "cannot hold an index"},
      {"i64[2]", NULL, NULL, "random(%0) {fn=\"normal\", stream=3}", "f32[5]", NULL},
      {"i32[2]", NULL, NULL, "random(%0) {fn=\"normal\", stream=3}", "f32[5]", "i64[2]"},
      {"i64[2]", NULL, NULL, "random(%0) {fn=\"normal\", stream=3}", "bf16[5]", "f32 or f64"},
  };
  CHECK_ALL(cases);
}

static void test_map(void **state) {
  (void)state;
  static const case_t cases[] = {
      {"f32[2,1]", "f32[1,3]", NULL, "map(%0, %1) {fn=\"add\"}", "f32[2,3]", NULL},
      {"f32[2,1]", "f32[3]", NULL, "map(%0, %1) {fn=\"add\"}", "f32[2,3]", "does not broadcast"},
      {"f32[2]", "f32[3]", NULL, "map(%0, %1) {fn=\"add\"}", "f32[3]", "operand 1 is f32[3]"},
      {"f32[1]", "f32[0]", NULL, "map(%0, %1) {fn=\"add\"}", "f32[0]", NULL},
      {"f32[2]", "f64[2]", NULL, "map(%0, %1) {fn=\"add\"}", "f64[2]", "never promote"},
      {"i8[2]", "i8[2]", NULL, "map(%0, %1) {fn=\"le\"}", "bool[2]", NULL},
      {"bool[2]", "i8[2]", "i8[2]", "map(%0, %1, %2) {fn=\"select\"}", "i8[2]", NULL},
      {"i8[2]", "i8[2]", "i8[2]", "map(%0, %1, %2) {fn=\"select\"}", "i8[2]", "must be bool"},
      {"i8[2]", NULL, NULL, "map(%0) {fn=\"exp\"}", "i8[2]", "'exp' is not defined for i8"},
      {"i8[2]", NULL, NULL, "map(%0) {fn=\"cast\"}", "f16[2]", NULL},
      {"f32[]", NULL, NULL, "map(%0) {fn=\"neg\"}", "f32[]", NULL},
  };
  CHECK_ALL(cases);
}

static void test_across_elements(void **state) {
  (void)state;
  static const case_t cases[] = {
      {"f32[2,3]", NULL, NULL, "reduce(%0) {dims=[0,1], fn=\"max\"}", "f32[1,1]", NULL},
      {"f32[2,3]", NULL, NULL, "reduce(%0) {dims=[1,0], fn=\"max\"}", "f32[1,1]", "must ascend"},
      {"f32[2,3]", NULL, NULL, "reduce(%0) {dims=[2], fn=\"max\"}", "f32[2,1]", "below the rank 2"},
      {"f32[2,3]", NULL, NULL, "reduce(%0) {dims=[1], fn=\"argmax\"}", "i64[2,1]", NULL},
      {"f32[2,3]", NULL, NULL, "reduce(%0) {dims=[0,1], fn=\"argmax\"}", "i64[1,1]", "exactly one dim"},
      {"f32[0]", NULL, NULL, "reduce(%0) {dims=[0], fn=\"max\"}", "f32[1]", NULL},
      {"f32[0]", NULL, NULL, "reduce(%0) {dims=[0], fn=\"argmax\"}", "i64[1]", "which is empty"},
      {"f32[2]", NULL, NULL, "scan(%0) {dim=0, fn=\"sum\", reverse=0}", "f32[2]", NULL},
      {"f32[2]", NULL, NULL, "scan(%0) {dim=0, fn=\"sum\"}", "f32[2]", "'reverse' is missing"},
      {"f32[2]", NULL, NULL, "sort(%0) {dim=0, descending=1}", "f32[2], i64[2]", NULL},
      {"f32[2]", NULL, NULL, "sort(%0) {dim=0, descending=1}", "f32[2], i32[2]", "result 1 is declared i32[2]"},
      {"f32[4,2,3]", "f32[4,3,5]", NULL, "contract(%0, %1) {spec=\"bmk,bkn->nbm\"}", "f32[5,4,2]", NULL},
      {"f32[2,3]", "f32[4,5]", NULL, "contract(%0, %1) {spec=\"mk,kn->mn\"}", "f32[2,5]", "'k' of spec"},
      {"f32[2,3]", "f32[3]", NULL, "contract(%0, %1) {spec=\"mk,k->\"}", "f32[]", "'m' must be in two"},
      {"f32[2,2]", "f32[2]", NULL, "contract(%0, %1) {spec=\"kk,k->k\"}", "f32[2]", "distinct letters"},
      {"f32[2]", "f32[2]", NULL, "contract(%0, %1) {spec=\"k->\"}", "f32[]", "not of the form"},
      {"f32[2]", "f32[2,2]", NULL, "contract(%0, %1) {spec=\"k,k->\"}", "f32[]", "operand 1 has rank 2"},
  };
  CHECK_ALL(cases);
}

#define CONV1(stride, low, high, dilation, base, groups)                                                \
  "{stride=[" stride "], low=[" low "], high=[" high "], dilation=[" dilation "], base_dilation=[" base \
  "], "                                                                                                 \
  "groups=" groups "}"
#define POOL1(window, stride, low, high) \
  "{fn=\"max\", window=[" window "], stride=[" stride "], low=[" low "], high=[" high "], dilation=[1]}"

static void test_windows(void **state) {
  (void)state;
  static const case_t cases[] = {
      {"f32[8,3,32,32]", "f32[16,3,5,5]", NULL, "conv(%0, %1) " CONV1("2,1", "2,0", "2,0", "1,1", "1,1", "1"),
       "f32[8,16,16,28]", NULL},
      {"f32[1,1,4]", "f32[1,1,3]", NULL, "conv(%0, %1) " CONV1("1", "0", "0", "2", "3", "1"), "f32[1,1,6]", NULL},
      {"f32[1,1,2]", "f32[1,1,3]", NULL, "conv(%0, %1) " CONV1("1", "0", "0", "1", "1", "1"), "f32[1,1,0]", NULL},
      {"f32[1,4,4]", "f32[6,2,3]", NULL, "conv(%0, %1) " CONV1("1", "-1", "1", "1", "1", "2"), "f32[1,6,2]", NULL},
      {"f32[1,4,4]", "f32[6,4,3]", NULL, "conv(%0, %1) " CONV1("1", "0", "0", "1", "1", "2"), "f32[1,6,2]",
       "4 channels a group, the tensor 2"},
      {"f32[1,4,4]", "f32[5,2,3]", NULL, "conv(%0, %1) " CONV1("1", "0", "0", "1", "1", "2"), "f32[1,5,2]",
       "2 groups do not divide"},
      {"f32[1,4,4]", "f32[4,4,3]", NULL, "conv(%0, %1) " CONV1("0", "0", "0", "1", "1", "1"), "f32[1,4,2]",
       "at least 1"},
      {"f32[1,4,4]", "f32[4,4,3]", NULL, "conv(%0, %1) " CONV1("1,1", "0", "0", "1", "1", "1"), "f32[1,4,2]",
       "'stride' has 2 entries, expected 1"},
      {"f32[4,4]", "f32[4,4]", NULL, "conv(%0, %1) " CONV1("1", "0", "0", "1", "1", "1"), "f32[4,4]", "rank 2"},
      {"f32[2,3,8]", "f32[2,6,6]", NULL,
       "conv_wgrad(%0, %1) {window=[3], stride=[1], low=[0], high=[0], dilation=[1], groups=3, batch=0}", "f32[6,1,3]",
       NULL},
      {"f32[2,3,8]", "f32[2,6,5]", NULL,
       "conv_wgrad(%0, %1) {window=[3], stride=[1], low=[0], high=[0], dilation=[1], groups=3, batch=0}", "f32[6,1,3]",
       "the convolution's result"},
      {"f32[2,3,8]", "f32[2,6,6]", NULL,
       "conv_wgrad(%0, %1) {window=[3], stride=[1], low=[0], high=[0], dilation=[1], groups=3, "
       "batch=9223372036854775807}",
       "f32[6,1,3]", "behind 9223372036854775807 of batches"},
      {"f32[2,8]", NULL, NULL, "pool(%0) " POOL1("2", "2", "0", "0"), "f32[2,4]", NULL},
      {"f32[2,9]", NULL, NULL, "pool(%0) " POOL1("3", "2", "1", "1"), "f32[2,5]", NULL},
      {"f32[8]", NULL, NULL, "pool(%0) " POOL1("2,2", "2,2", "0,0", "0,0"), "f32[4]", "window of rank 2"},
      {"f32[2,8]", "f32[2,4]", NULL, "pool_grad(%0, %1) " POOL1("2", "2", "0", "0"), "f32[2,8]", NULL},
      {"f32[2,8]", "f32[2,5]", NULL, "pool_grad(%0, %1) " POOL1("2", "2", "0", "0"), "f32[2,8]", "pooling's result"},
  };
  CHECK_ALL(cases);
}

static void test_moves(void **state) {
  (void)state;
  static const case_t cases[] = {
      {"f32[2,3]", NULL, NULL, "reshape(%0) {shape=[6]}", "f32[6]", NULL},
      {"f32[2,3]", NULL, NULL, "reshape(%0) {shape=[5]}", "f32[5]", "different numbers of elements"},
      {"f32[2,3]", NULL, NULL, "reshape(%0) {shape=[-6]}", "f32[6]", "not a shape"},
      {"f32[2,3,4]", NULL, NULL, "transpose(%0) {dims=[2,0,1]}", "f32[4,2,3]", NULL},
      {"f32[2,3]", NULL, NULL, "transpose(%0) {dims=[1,1]}", "f32[3,3]", "not a permutation"},
      {"f32[5]", NULL, NULL, "slice(%0) {start=[1], stop=[5], step=[2]}", "f32[2]", NULL},
      {"f32[5]", NULL, NULL, "slice(%0) {start=[3], stop=[3], step=[1]}", "f32[0]", NULL},
      {"f32[5]", NULL, NULL, "slice(%0) {start=[0], stop=[6], step=[1]}", "f32[6]", "slice 0:6:1 of dim 0"},
      {"f32[5]", NULL, NULL, "slice(%0) {start=[0], stop=[5], step=[0]}", "f32[5]", "slice 0:5:0"},
      {"f32[2,3]", "f32[2,4]", NULL, "concat(%0, %1) {dim=1}", "f32[2,7]", NULL},
      {"f32[2,3]", "f32[3,3]", NULL, "concat(%0, %1) {dim=1}", "f32[2,6]", "joined"},
      {"f32[3]", NULL, NULL, "pad(%0) {low=[1], high=[-2], interior=[2], value=0}", "f32[6]", NULL},
      {"f32[3]", NULL, NULL, "pad(%0) {low=[-4], high=[0], interior=[0], value=0}", "f32[0]", "no legal extent"},
      {"f32[3]", NULL, NULL, "pad(%0) {low=[9223372036854775807], high=[1], interior=[0], value=0}", "f32[0]",
       "no legal extent"},
      {"f32[1,3]", NULL, NULL, "broadcast(%0) {shape=[4,3]}", "f32[4,3]", NULL},
      {"f32[3]", NULL, NULL, "broadcast(%0) {shape=[4,3]}", "f32[4,3]", "ranks must be equal"},
      {"f32[2,3]", NULL, NULL, "flip(%0) {dims=[1]}", "f32[2,3]", NULL},
      {"f32[7,5,3]", "i64[7,2,4]", NULL, "gather(%0, %1) {dim=1, batch=1}", "f32[7,2,4,3]", NULL},
      {"f32[7,5,3]", "i64[6,2]", NULL, "gather(%0, %1) {dim=1, batch=1}", "f32[7,2,3]", "batch dim 0"},
      {"f32[7,5,3]", "f32[2]", NULL, "gather(%0, %1) {dim=1, batch=0}", "f32[7,2,3]", "must be i32 or i64"},
      {"f32[7,5,3]", "f32[7,2]", NULL, "search(%0, %1) {dim=1, batch=1, fn=\"ge\"}", "i64[7,2,3]", NULL},
      {"f32[7,5,3]", "f32[6,2]", NULL, "search(%0, %1) {dim=1, batch=1, fn=\"ge\"}", "i64[7,2,3]", "batch dim 0"},
      {"f32[5]", "i64[2]", NULL, "search(%0, %1) {dim=0, batch=0, fn=\"gt\"}", "i64[2]", "of one dtype"},
      {"bool[5]", "bool[2]", NULL, "search(%0, %1) {dim=0, batch=0, fn=\"gt\"}", "i64[2]", "not bool"},
      {"f32[7,5,3]", "i64[2]", NULL, "gather(%0, %1) {dim=1, batch=2}", "f32[7,2,3]", "batch 2 exceeds"},
      {"f32[5,3]", "i64[2]", "f32[2,3]", "scatter(%0, %1, %2) {dim=0, batch=0, fn=\"add\"}", "f32[5,3]", NULL},
      {"f32[5,3]", "i64[2]", "f32[3,3]", "scatter(%0, %1, %2) {dim=0, batch=0, fn=\"add\"}", "f32[5,3]", "gather"},
      {"f32[5,3]", "i64[2]", "f64[2,3]", "scatter(%0, %1, %2) {dim=0, batch=0, fn=\"add\"}", "f32[5,3]", "dtype"},
  };
  CHECK_ALL(cases);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_leaves), cmocka_unit_test(test_map),
                                     cmocka_unit_test(test_across_elements), cmocka_unit_test(test_windows),
                                     cmocka_unit_test(test_moves)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
