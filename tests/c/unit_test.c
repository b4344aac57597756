// SPDX-License-Identifier: Apache-2.0
// Units of a grouped program: what each reads, gives away and adds to, and which of their graphs are equal.
#include "unit/unit.h"

#include "check.h"
#include "cut/group.h"
#include "unit/equal.h"
#include "unit/place.h"

#define HEAD                                                                 \
  "leat.graph 1\n"                                                           \
  "%0 = symbol() {name=\"x\", kind=\"input\"} : f32[4,6]\n"                  \
  "%1 = symbol() {name=\"w\", kind=\"param\", requires_grad=1} : f32[6,6]\n" \
  "%2 = symbol() {name=\"v\", kind=\"param\", requires_grad=1} : f32[6,6]\n" \
  "%3 = linear(%0, %1, none) : f32[4,6] !group=1 @ \"net.first\" \"net.py:3\"\n"
#define TAIL                                                         \
  "%7 = sum(%6) {dims=[]} : f32[] !group=4 @ \"net\" \"net.py:6\"\n" \
  "output(%7) {name=\"loss\", seed=\"one\"}\n"
#define SGD(parameters)                                                                  \
  "optimizer(" parameters                                                                \
  ") {kind=\"sgd\", lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=0, " \
  "maximize=0"

// Four groups in a row; the second and the third are equal but for the symbol they read.
static const char chain_text[] = HEAD
    "%4 = linear(%3, %1, none) : f32[4,6] !group=2 @ \"net.second\" \"net.py:4\"\n"
    "%5 = linear(%4, %2, none) : f32[4,6] !group=3 @ \"net.third\" \"net.py:5\"\n"
    "%6 = relu(%5) : f32[4,6] !group=4 @ \"net\" \"net.py:6\"\n" TAIL SGD("%1, %2") "}\n";

// %3 is read by the groups 2, 3 and 4.
static const char readers_text[] = HEAD
    "%4 = sigmoid(%3) : f32[4,6] !group=2 @ \"net\" \"net.py:4\"\n"
    "%5 = tanh(%3) : f32[4,6] !group=3 @ \"net\" \"net.py:5\"\n"
    "%6 = addcmul(%4, %5, %3) : f32[4,6] !group=4 @ \"net\" \"net.py:6\"\n" TAIL SGD("%1, %2") "}\n";

typedef struct fixture_s {
  leat_graph_t *graph;  // grouped
  leat_units_t units;
  leat_value_id_t *map;
} fixture_t;

static fixture_t make(const char *text, bool trains) {
  fixture_t f = {0};
  leat_graph_t *parsed = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &parsed));
  assert_ok(leat_group(parsed, &(leat_group_options_t){.optim_level = 1}, &f.graph));
  leat_graph_destroy(parsed);
  assert_ok(leat_units_make(f.graph, trains, &f.units));
  f.map = leat_alloc((f.graph->values.count + 1u) * sizeof *f.map);
  assert_non_null(f.map);
  memset(f.map, 0xff, (f.graph->values.count + 1u) * sizeof *f.map);
  return f;
}

static void drop(fixture_t *f) {
  leat_units_deinit(&f->units);
  leat_graph_destroy(f->graph);
  leat_free(f->map);
}

static const leat_unit_t *unit(const fixture_t *f, uint32_t index) {
  assert_true(index < f->units.all.count);
  return &f->units.all.data[index];
}

// The unit's graph; `map` is as before.
static leat_graph_t *graph_of(fixture_t *f, uint32_t index) {
  leat_graph_t *graph = NULL;
  assert_ok(leat_unit_graph(&f->units, index, -1.0, f->map, &graph));
  for (uint32_t v = 0; v < f->graph->values.count; ++v) assert_int_equal(f->map[v], LEAT_NONE);
  assert_ok(leat_graph_verify(graph));
  return graph;
}

static bool equal(fixture_t *f, uint32_t a, uint32_t b) {
  leat_graph_t *x = graph_of(f, a), *y = graph_of(f, b);
  const bool equal = leat_graphs_equal(x, y);
  if (equal) assert_true(leat_unit_graph_hash(x) == leat_unit_graph_hash(y));
  leat_graph_destroy(x);
  leat_graph_destroy(y);
  return equal;
}

static void a_chain_hands_on_values_and_cotangents(void **state) {
  (void)state;
  fixture_t f = make(chain_text, true);
  assert_int_equal(f.units.all.count, 4);
  for (uint32_t i = 1; i < 4; ++i) {
    assert_int_equal(unit(&f, i)->role, LEAT_UNIT_GROUP);
    assert_int_equal(unit(&f, i)->ins.count, 1);
    assert_int_equal(unit(&f, i)->ins.data[0].value, 2 + i);
    assert_true(unit(&f, i)->ins.data[0].gives);
    assert_int_equal(unit(&f, i)->ins.data[0].before.unit, LEAT_NONE);
    assert_int_equal(unit(&f, i - 1)->outs.count, 1);
    assert_int_equal(unit(&f, i - 1)->outs.data[0].value, 2 + i);
    assert_int_equal(unit(&f, i - 1)->outs.data[0].seed.unit, i);
  }
  assert_int_equal(unit(&f, 0)->ins.count, 0);
  assert_int_equal(unit(&f, 0)->symbols.count, 2);
  assert_false(unit(&f, 0)->symbols.data[0].gives);  // an input wants no gradient
  assert_int_equal(unit(&f, 3)->statements.count, 1);
  drop(&f);
}

// The last reader in the order of forward starts, the first one has the whole and with it the update.
static void tied_weights_are_passed_on(void **state) {
  (void)state;
  fixture_t f = make(chain_text, true);
  const leat_unit_port_t *first = &unit(&f, 0)->symbols.data[1], *second = &unit(&f, 1)->symbols.data[0],
                         *other = &unit(&f, 2)->symbols.data[0];
  assert_int_equal(first->value, 1);
  assert_int_equal(second->value, 1);
  assert_true(second->partial && !first->partial && !other->partial);
  assert_int_equal(second->before.unit, LEAT_NONE);
  assert_int_equal(first->before.unit, 1);
  assert_true(first->before.symbol);
  assert_int_equal(unit(&f, 0)->optimizers.count, 1);
  assert_int_equal(unit(&f, 1)->optimizers.count, 0);
  assert_int_equal(unit(&f, 2)->optimizers.count, 1);
  drop(&f);
}

static void readers_add_to_what_later_ones_gave(void **state) {
  (void)state;
  fixture_t f = make(readers_text, true);
  assert_int_equal(f.units.all.count, 4);
  for (uint32_t i = 1; i < 4; ++i) {
    const leat_unit_t *reader = unit(&f, i);
    const leat_unit_port_t *port = NULL;
    for (uint32_t k = 0; k < reader->ins.count; ++k) {
      if (reader->ins.data[k].value == 3) port = &reader->ins.data[k];
    }
    assert_non_null(port);
    assert_int_equal(port->before.unit, i == 3 ? LEAT_NONE : i + 1);
    assert_false(port->before.symbol);
  }
  assert_int_equal(unit(&f, 0)->outs.count, 1);
  assert_int_equal(unit(&f, 0)->outs.data[0].seed.unit, 1);
  drop(&f);
}

static void equal_groups_have_equal_graphs(void **state) {
  (void)state;
  fixture_t f = make(chain_text, false);
  assert_true(equal(&f, 1, 2));
  assert_false(equal(&f, 0, 1));  // it reads a symbol where the other reads a value
  assert_false(equal(&f, 2, 3));
  drop(&f);
  f = make(chain_text, true);
  assert_false(equal(&f, 1, 2));  // the second leaves its update to the first
  drop(&f);
}

// The graph of a unit: a function, its attributes, a cast, a constant that nobody reads; the last is a source line.
#define GRAPH(dims, fn, attrs, dtype, heuristic, line)                       \
  "leat.graph 1\n"                                                           \
  "group 1 \"block\" \"" heuristic                                           \
  "\"\n"                                                                     \
  "%0 = symbol() {name=\"@in0\", kind=\"input\"} : f32" dims                 \
  "\n"                                                                       \
  "%1 = constant() {index=0} : f32[2]\n"                                     \
  "%2 = " fn "(%0)" attrs " : f32" dims " !group=1 @ \"net\" \"net.py:" line \
  "\"\n"                                                                     \
  "%3 = to(%2) : " dtype dims                                                \
  "\n"                                                                       \
  "output(%3) {name=\"@out0\", seed=\"zero\"}\n"

static leat_graph_t *with_constant(const char *text, float value) {
  leat_graph_t *graph = NULL;
  const float bytes[2] = {1, value};
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  assert_ok(leat_graph_set_blob(graph, 0, bytes, sizeof bytes));
  return graph;
}

static void all_but_origins_makes_graphs_differ(void **state) {
  (void)state;
  static const struct {
    const char *text;
    float constant;
    bool equal;
  } others[] = {
      {GRAPH("[4,6]", "gelu", " {approximate=\"none\"}", "f64", "GEMM", "3"), 2, true},
      {GRAPH("[4,6]", "gelu", " {approximate=\"none\"}", "f64", "GEMM", "9"), 2, true},
      {GRAPH("[6,4]", "gelu", " {approximate=\"none\"}", "f64", "GEMM", "3"), 2, false},
      {GRAPH("[4,6]", "relu", "", "f64", "GEMM", "3"), 2, false},
      {GRAPH("[4,6]", "gelu", " {approximate=\"tanh\"}", "f64", "GEMM", "3"), 2, false},
      {GRAPH("[4,6]", "gelu", " {approximate=\"none\"}", "bf16", "GEMM", "3"), 2, false},
      {GRAPH("[4,6]", "gelu", " {approximate=\"none\"}", "f64", "SAFE_GEMM", "3"), 2, false},
      {GRAPH("[4,6]", "gelu", " {approximate=\"none\"}", "f64", "GEMM", "3"), 3, false},
  };
  leat_graph_t *graph = with_constant(others[0].text, 2);
  for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
    leat_graph_t *other = with_constant(others[i].text, others[i].constant);
    if (leat_graphs_equal(graph, other) != others[i].equal) fail_msg("graph %zu", i);
    if (others[i].equal) assert_true(leat_unit_graph_hash(graph) == leat_unit_graph_hash(other));
    leat_graph_destroy(other);
  }
  leat_graph_destroy(graph);
}

static void a_graph_names_its_ends(void **state) {
  (void)state;
  fixture_t f = make(chain_text, true);
  leat_graph_t *graph = graph_of(&f, 2);
  char *text = NULL;
  assert_ok(leat_graph_print(graph, &text));
  static const char *const names[] = {"\"@in0\"", "\"@sym0\"", "\"@out0\"", "\"@seed0\"", "optimizer(", "linear("};
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
    if (strstr(text, names[i]) == NULL) fail_msg("no %s in:\n%s", names[i], text);
  }
  assert_null(strstr(text, "\"v\""));
  leat_string_free(text);
  leat_graph_destroy(graph);
  drop(&f);
}

// Where what belongs to `role` of symbol or number `of` of the unit's graph lies.
static leat_unit_place_t place_of(leat_unit_places_t *places, uint32_t unit_index, leat_graph_t *graph,
                                  leat_symbol_role_t role, uint32_t of) {
  leat_symbol_id_t id;
  leat_unit_place_t place;
  assert_ok(leat_graph_role_symbol(graph, role, of, &id));
  assert_ok(leat_unit_place(places, unit_index, graph, id, &place));
  return place;
}

static leat_symbol_id_t end_of(leat_graph_t *graph, leat_symbol_role_t role, uint32_t number) {
  leat_symbol_id_t id;
  assert_ok(leat_graph_role_symbol(graph, role, number, &id));
  return id;
}

static const char *name_at(const leat_unit_places_t *places, leat_unit_place_t place) {
  assert_true(place.symbol && place.index < places->symbols.count);
  return leat_graph_symbol(places->table, places->symbols.data[place.index])->name;
}

static void ends_lie_in_symbols_or_between_units(void **state) {
  (void)state;
  fixture_t f = make(chain_text, true);
  leat_unit_places_t places;
  assert_ok(leat_unit_places_init(&places, &f.units));
  assert_int_equal(places.symbols.count, 4);  // x, w, v, loss
  leat_graph_t *third = graph_of(&f, 2);
  leat_unit_place_t in = place_of(&places, 2, third, LEAT_MADE_UNIT_IN, 0);
  assert_true(!in.symbol && in.index == 4);  // %4
  leat_unit_place_t out = place_of(&places, 2, third, LEAT_MADE_UNIT_OUT, 0);
  assert_true(!out.symbol && out.index == 5);
  leat_unit_place_t symbol = place_of(&places, 2, third, LEAT_MADE_UNIT_SYMBOL, 0);
  assert_string_equal(name_at(&places, symbol), "v");
  leat_unit_place_t grad = place_of(&places, 2, third, LEAT_MADE_GRAD, end_of(third, LEAT_MADE_UNIT_SYMBOL, 0));
  assert_string_equal(name_at(&places, grad), "v__grad");
  assert_int_equal(grad.index, 4);  // the program's last
  assert_int_equal(leat_unit_place_owner(&places, grad.index), symbol.index);
  assert_int_equal(leat_unit_place_owner(&places, symbol.index), LEAT_NONE);
  assert_string_equal(name_at(&places, place_of(&places, 2, third, LEAT_MADE_STEP, 0)), "optimizer_0__step");
  leat_graph_destroy(third);
  leat_unit_places_deinit(&places);
  drop(&f);
}

// What one unit gives lies where the other finds it: the cotangent of a result, the part of a tied weight's gradient.
static void cotangents_lie_where_the_next_unit_reads_them(void **state) {
  (void)state;
  fixture_t f = make(chain_text, true);
  leat_unit_places_t places;
  assert_ok(leat_unit_places_init(&places, &f.units));
  leat_graph_t *first = graph_of(&f, 0), *second = graph_of(&f, 1), *third = graph_of(&f, 2);
  leat_unit_place_t given = place_of(&places, 2, third, LEAT_MADE_GRAD, end_of(third, LEAT_MADE_UNIT_IN, 0));
  leat_unit_place_t found = place_of(&places, 1, second, LEAT_MADE_SEED, end_of(second, LEAT_MADE_UNIT_SEED, 0));
  assert_true(!given.symbol && !found.symbol && given.index == found.index);
  given = place_of(&places, 1, second, LEAT_MADE_GRAD, end_of(second, LEAT_MADE_UNIT_SYMBOL, 0));
  found = place_of(&places, 0, first, LEAT_MADE_SEED, end_of(first, LEAT_MADE_UNIT_SEED_SYMBOL, 1));
  assert_true(!given.symbol && !found.symbol && given.index == found.index);
  leat_unit_place_t whole = place_of(&places, 0, first, LEAT_MADE_GRAD, end_of(first, LEAT_MADE_UNIT_SYMBOL, 1));
  assert_string_equal(name_at(&places, whole), "w__grad");
  leat_graph_destroy(first);
  leat_graph_destroy(second);
  leat_graph_destroy(third);
  leat_unit_places_deinit(&places);
  drop(&f);
}

// Streams count from the smallest of the unit: what is drawn twice stays one, what is drawn apart stays apart.
static void streams_count_from_zero(void **state) {
  (void)state;
  static const char text[] = HEAD
      "%4 = dropout(%3) {p=0.5, training=1, stream=2} : f32[4,6] !group=2 @ \"net\" \"net.py:4\"\n"
      "%5 = dropout(%4) {p=0.5, training=1, stream=1} : f32[4,6] !group=2 @ \"net\" \"net.py:4\"\n"
      "%6 = dropout(%5) {p=0.5, training=1, stream=8} : f32[4,6] !group=3 @ \"net\" \"net.py:5\"\n"
      "%7 = dropout(%6) {p=0.5, training=1, stream=7} : f32[4,6] !group=3 @ \"net\" \"net.py:5\"\n"
      "%8 = dropout(%7) {p=0.5, training=1, stream=9} : f32[4,6] !group=4 @ \"net\" \"net.py:6\"\n"
      "%9 = dropout(%8) {p=0.5, training=1, stream=9} : f32[4,6] !group=4 @ \"net\" \"net.py:6\"\n"
      "output(%9) {name=\"y\", seed=\"zero\"}\n";
  fixture_t f = make(text, false);
  assert_int_equal(unit(&f, 0)->stream, 0);
  assert_int_equal(unit(&f, 1)->stream, 1);
  assert_int_equal(unit(&f, 2)->stream, 7);
  assert_int_equal(unit(&f, 3)->stream, 9);
  assert_true(equal(&f, 1, 2));
  assert_false(equal(&f, 2, 3));
  drop(&f);
}

// Without training nothing is given back and nothing is updated.
static void inference_gives_nothing_back(void **state) {
  (void)state;
  fixture_t f = make(readers_text, false);
  for (uint32_t i = 0; i < f.units.all.count; ++i) {
    for (uint32_t k = 0; k < unit(&f, i)->ins.count; ++k) assert_false(unit(&f, i)->ins.data[k].gives);
    for (uint32_t k = 0; k < unit(&f, i)->symbols.count; ++k) assert_false(unit(&f, i)->symbols.data[k].gives);
    assert_int_equal(unit(&f, i)->optimizers.count, 0);
  }
  drop(&f);
}

// Nor is what autograd does not follow: the unit before has no seed, what hangs on it alone no gradient and no update.
static void what_is_detached_gives_nothing_back(void **state) {
  (void)state;
  static const char text[] = HEAD
      "%4 = detach(%3) : f32[4,6] !group=2 @ \"net\" \"net.py:4\"\n"
      "%5 = linear(%0, %2, none) : f32[4,6] !group=3 @ \"net\" \"net.py:5\"\n"
      "%6 = sub(%5, %4) : f32[4,6] !group=4 @ \"net\" \"net.py:6\"\n" TAIL SGD("%1, %2") "}\n";
  fixture_t f = make(text, true);
  assert_int_equal(f.units.all.count, 4);
  assert_int_equal(unit(&f, 0)->outs.data[0].seed.unit, LEAT_NONE);
  assert_false(unit(&f, 1)->ins.data[0].gives);
  for (uint32_t k = 0; k < unit(&f, 0)->symbols.count; ++k) assert_false(unit(&f, 0)->symbols.data[k].gives);
  assert_int_equal(unit(&f, 0)->optimizers.count, 0);
  assert_int_equal(unit(&f, 2)->optimizers.count, 1);
  drop(&f);
}

// An output that is a symbol, a buffer that is updated, a norm: units without a group. A dead op is in none.
static void what_belongs_to_no_group(void **state) {
  (void)state;
  static const char text[] = HEAD
      "%4 = symbol() {name=\"count\", kind=\"buffer\"} : f32[4,6]\n"
      "%5 = tanh(%3) : f32[4,6] !group=2 @ \"net\" \"net.py:4\"\n"
      "%6 = add(%4, %3) : f32[4,6] !group=3 @ \"net\" \"net.py:5\"\n" TAIL
      "output(%0) {name=\"same\", seed=\"zero\"}\n"
      "update(%4, %6)\n" SGD("%1") ", max_grad_norm=1.0}\n";
  fixture_t f = make(text, true);
  static const uint8_t roles[] = {LEAT_UNIT_GROUP, LEAT_UNIT_GROUP, LEAT_UNIT_GROUP,
                                  LEAT_UNIT_REST,  LEAT_UNIT_LATE,  LEAT_UNIT_NORM};
  assert_int_equal(f.units.all.count, sizeof roles);
  for (uint32_t i = 0; i < sizeof roles; ++i) assert_int_equal(unit(&f, i)->role, roles[i]);
  assert_int_equal(f.units.unit_of[5], LEAT_NONE);
  assert_int_equal(unit(&f, 5)->symbols.count, 1);
  assert_int_equal(unit(&f, 5)->symbols.data[0].value, 1);
  for (uint32_t i = 0; i < f.units.all.count; ++i) leat_graph_destroy(graph_of(&f, i));
  drop(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_chain_hands_on_values_and_cotangents),
      cmocka_unit_test(tied_weights_are_passed_on),
      cmocka_unit_test(readers_add_to_what_later_ones_gave),
      cmocka_unit_test(equal_groups_have_equal_graphs),
      cmocka_unit_test(all_but_origins_makes_graphs_differ),
      cmocka_unit_test(a_graph_names_its_ends),
      cmocka_unit_test(ends_lie_in_symbols_or_between_units),
      cmocka_unit_test(cotangents_lie_where_the_next_unit_reads_them),
      cmocka_unit_test(streams_count_from_zero),
      cmocka_unit_test(inference_gives_nothing_back),
      cmocka_unit_test(what_is_detached_gives_nothing_back),
      cmocka_unit_test(what_belongs_to_no_group),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
