// SPDX-License-Identifier: Apache-2.0
// Groups of traced ops: levels, annotations, rules, and what happens where a group cannot run as a whole.
#include "cut/group.h"

#include <stdio.h>

#include "check.h"
#include "cut/pieces.h"

// Two annotated groups: 7 = {linear, relu, relu of later}, 9 = {gelu}. What 7 gives to 9 comes back into 7.
static const char text[] =
    "leat.graph 1\n"
    "group 7 \"body\" \"GEMM\" \"{\\\"tp_dim\\\": \\\"M\\\"}\"\n"
    "%0 = symbol() {name=\"x\", kind=\"input\"} : f32[4,8]\n"
    "%1 = symbol() {name=\"w\", kind=\"param\"} : f32[8,8]\n"
    "%2 = linear(%0, %1, none) : f32[4,8] !group=7 @ \"net.fc\" \"net.py:3\"\n"
    "%3 = relu(%2) : f32[4,8] !group=7 @ \"net\" \"net.py:4\"\n"
    "%4 = gelu(%3) {approximate=\"none\"} : f32[4,8] !group=9 @ \"net\" \"net.py:5\"\n"
    "%5 = relu(%4) : f32[4,8] !group=7 @ \"net\" \"net.py:6\"\n"
    "output(%5) {name=\"y\", seed=\"zero\"}\n";

typedef struct seen_s {
  uint32_t count;
  char last[512];
} seen_t;

static void remember(void *user, uint32_t level, const char *layer, const char *line) {
  (void)level, (void)layer;
  seen_t *seen = user;
  seen->count++;
  snprintf(seen->last, sizeof seen->last, "%s", line);
}

static leat_graph_t *grouped(leat_group_options_t options) {
  leat_graph_t *graph = NULL, *out = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  assert_ok(leat_group(graph, &options, &out));
  leat_graph_destroy(graph);
  assert_ok(leat_graph_verify(out));
  return out;
}

static uint32_t group_of(const leat_graph_t *g, leat_value_id_t v) {
  return leat_graph_op(g, leat_graph_value(g, v)->op)->group;
}

static void o0_gives_each_op_its_own(void **state) {
  (void)state;
  leat_graph_t *g = grouped((leat_group_options_t){.optim_level = 0});
  for (leat_value_id_t v = 2; v < 6; ++v) assert_int_equal(group_of(g, v), v - 1);
  assert_int_equal(group_of(g, 0), 0);
  uint32_t kept = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (op->kind == LEAT_PRIM_STORE) assert_true(leat_op_is_store(g, op, LEAT_STORE_INTERNAL));
    kept += op->kind == LEAT_PRIM_STORE;
  }
  assert_int_equal(kept, 3);  // %5 is an output already
  leat_graph_destroy(g);
}

static void o1_splits_what_comes_back(void **state) {
  (void)state;
  seen_t seen = {0};
  leat_graph_t *g = grouped((leat_group_options_t){.optim_level = 1, .log = remember, .log_user = &seen});
  assert_int_equal(group_of(g, 2), 1);
  assert_int_equal(group_of(g, 3), 1);
  assert_int_equal(group_of(g, 4), 2);
  assert_int_equal(group_of(g, 5), 3);
  assert_string_equal(leat_graph_group(g, 1)->name, "body");
  assert_string_equal(leat_graph_group(g, 3)->heuristic, "GEMM");
  assert_string_equal(leat_graph_group(g, 3)->parameters, "{\"tp_dim\": \"M\"}");
  assert_int_equal(seen.count, 1);
  assert_non_null(strstr(seen.last, "group 'body' is split before op 'relu' (module net, net.py:6)"));
  leat_graph_destroy(g);
}

static void o3_keeps_annotations_only_on_request(void **state) {
  (void)state;
  leat_graph_t *g = grouped((leat_group_options_t){.optim_level = 3});
  for (leat_value_id_t v = 2; v < 6; ++v) assert_int_equal(group_of(g, v), 0);
  assert_int_equal(g->groups.count, 0);
  leat_graph_destroy(g);
  g = grouped((leat_group_options_t){.optim_level = 3, .keep_annotated = true});
  assert_int_equal(group_of(g, 2), 1);
  leat_graph_destroy(g);
}

static leat_status_t match_gelu(void *user, const leat_graph_t *g, const bool *taken,
                                leat_group_matches_t *out_matches) {
  (void)user;
  (void)taken;
  leat_group_match_t *match = leat_array_push(out_matches);
  assert_non_null(match);
  *match = (leat_group_match_t){.name = "tail", .heuristic = "SAFE_GEMM"};
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (op->group != 9) continue;
    leat_op_id_t *slot = leat_array_push(&match->ops);
    assert_non_null(slot);
    *slot = id;
  }
  return NULL;
}

static void rules_may_not_take_what_is_taken(void **state) {
  (void)state;
  leat_graph_t *graph = NULL, *out = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  leat_group_options_t options = {.optim_level = 1, .matcher = match_gelu};
  assert_fails(leat_group(graph, &options, &out), LEAT_INTERNAL, "is not free");
  leat_graph_destroy(graph);
}

// Printing keeps the lines of groups.
static void group_lines_are_printed(void **state) {
  (void)state;
  leat_graph_t *graph = NULL, *again = NULL;
  char *first = NULL, *second = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  assert_ok(leat_graph_print(graph, &first));
  assert_non_null(strstr(first, "group 7 \"body\" \"GEMM\" \"{\\\"tp_dim\\\": \\\"M\\\"}\"\n"));
  assert_ok(leat_graph_parse(first, strlen(first), &again));
  assert_ok(leat_graph_print(again, &second));
  assert_string_equal(first, second);
  leat_string_free(first);
  leat_string_free(second);
  leat_graph_destroy(graph);
  leat_graph_destroy(again);
}

// Random items: the order is one in which every piece follows what it reads.
static void pieces_keep_an_order(void **state) {
  (void)state;
  enum { ITEMS = 2000, LABELS = 40 };
  static uint32_t piece_of[ITEMS], reads[ITEMS][2], order[ITEMS], place[ITEMS];
  leat_pieces_t pieces = {0};
  uint64_t seed = 1;
  for (uint32_t i = 0; i < ITEMS; ++i) {
    uint32_t inputs[2], count = 0;
    for (uint32_t k = 0; k < 2 && i > 0; ++k) {
      seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
      reads[i][k] = i - 1 - (uint32_t)(seed >> 33) % (i < 30 ? i : 30);
      inputs[count++] = piece_of[reads[i][k]];
    }
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    assert_ok(leat_pieces_add(&pieces, (uint32_t)(seed >> 33) % LABELS, inputs, count, &piece_of[i]));
  }
  leat_pieces_order(&pieces, order);
  for (uint32_t i = 0; i < pieces.all.count; ++i) place[order[i]] = i;
  for (uint32_t i = 1; i < ITEMS; ++i) {
    for (uint32_t k = 0; k < 2; ++k) assert_true(place[piece_of[reads[i][k]]] <= place[piece_of[i]]);
  }
  assert_true(pieces.all.count > LABELS && pieces.all.count < ITEMS);
  leat_pieces_deinit(&pieces);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(o0_gives_each_op_its_own),
      cmocka_unit_test(o1_splits_what_comes_back),
      cmocka_unit_test(o3_keeps_annotations_only_on_request),
      cmocka_unit_test(rules_may_not_take_what_is_taken),
      cmocka_unit_test(group_lines_are_printed),
      cmocka_unit_test(pieces_keep_an_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
