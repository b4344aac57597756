// SPDX-License-Identifier: Apache-2.0
// The steps of a mapping one by one: what decide gives before anything has a place, and the places it then gets.
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "map/place.h"
#include "pef/pef_align.h"
#include "space/settle.h"

typedef struct mapping_s {
  leat_graph_t *graph, *settled;
  leat_plan_t plan;
  leat_arch_t arch;
  leat_map_options_t options;
  leat_decided_t decided;
  leat_placed_t placed;
} mapping_t;

static void map(const char *text, bool inference, mapping_t *m) {
  memset(m, 0, sizeof *m);
  assert_ok(leat_graph_parse(text, strlen(text), &m->graph));
  assert_ok(leat_arch_native("native:32768,1048576,16777216", &m->arch));
  assert_ok(leat_settle(m->graph, &m->arch, &m->settled));
  assert_ok(leat_cut(m->settled, &(leat_cut_options_t){.arch = &m->arch}, &m->plan));
  m->options = (leat_map_options_t){.arch = &m->arch, .optim_level = 3, .inference = inference};
  assert_ok(leat_map_decide(m->settled, &m->plan, &m->options, &m->decided));
  assert_ok(leat_map_place(&m->decided, &m->placed));
}

static void unmap(mapping_t *m) {
  leat_placed_deinit(&m->placed);
  leat_decided_deinit(&m->decided);
  leat_plan_deinit(&m->plan);
  leat_graph_destroy(m->settled);
  leat_graph_destroy(m->graph);
}

static const leat_keep_t *keep_of_store(const mapping_t *m, const char *name) {
  for (leat_op_id_t id = 0; id < m->settled->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(m->settled, id);
    if (!leat_op_is_statement(op->kind)) continue;
    if (strcmp(leat_op_name(m->settled, op), name) == 0)
      return &m->decided.keeps.of[leat_access_base(m->settled, leat_op_input(m->settled, op, 0))];
  }
  return NULL;
}

// --- cut ------------------------------------------------------------------------------------------------------------

// Partial sums of columns join what they are made of: rows become as high as a part.
static const char parts_text[] =
    "leat.graph 1\n"
    "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[1024,1024]\n"
    "%1 = prim.map(%0) {fn=\"neg\"} : f32[1024,1024]\n"
    "%2 = prim.reshape(%1) {shape=[128,8,1024]} : f32[128,8,1024]\n"
    "%3 = prim.reduce(%2) {fn=\"sum\", dims=[1]} : f32[128,1,1024]\n"
    "prim.store(%1) {kind=\"output\", name=\"y\"}\n"
    "prim.store(%3) {kind=\"output\", name=\"sums\"}\n";

// A sum of columns has columns as rows; what is elementwise and larger than a tile goes along its lines all the same.
static const char columns_text[] =
    "leat.graph 1\n"
    "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[1024,1088]\n"
    "%1 = prim.reduce(%0) {fn=\"sum\", dims=[0]} : f32[1,1088]\n"
    "%2 = prim.map(%0, %1) {fn=\"sub\"} : f32[1024,1088]\n"
    "prim.store(%2) {kind=\"output\", name=\"y\"}\n";

// `x - m`, which one section could make beside the products and store, is made in the next one, where it is read; not
// so where it is stored in any case, or where it would be read of a buffer that is another by then.
static const char again_text[] =
    "leat.graph 1\n"
    "%%0 = prim.symbol() {kind=\"%s\", name=\"x\"} : f32[1024,1088]\n"
    "%%1 = prim.reduce(%%0) {fn=\"sum\", dims=[0]} : f32[1,1088]\n"
    "%%2 = prim.map(%%0, %%1) {fn=\"sub\"} : f32[1024,1088]\n"
    "%%3 = prim.map(%%0, %%0) {fn=\"mul\"} : f32[1024,1088]\n"
    "%%4 = prim.reduce(%%3) {fn=\"sum\", dims=[0]} : f32[1,1088]\n"
    "%%5 = prim.map(%%2, %%4) {fn=\"mul\"} : f32[1024,1088]\n"
    "%s"
    "prim.store(%%5) {kind=\"output\", name=\"y\"}\n";

static void an_op_waits_for_the_section_that_reads_it(void **state) {
  (void)state;
  static const struct {
    const char *kind, *more;
    bool waits;
  } programs[] = {{"input", "", true},
                  {"input", "prim.store(%2) {kind=\"output\", name=\"z\"}\n", false},
                  {"buffer", "prim.store(%5) {kind=\"update\", name=\"x\"}\n", false}};
  for (uint32_t i = 0; i < sizeof programs / sizeof *programs; ++i) {
    char text[1024];
    snprintf(text, sizeof text, again_text, programs[i].kind, programs[i].more);
    mapping_t m;
    map(text, true, &m);
    const leat_op_id_t product =
        leat_graph_value(
            m.settled, leat_access_base(
                           m.settled, leat_op_input(m.settled, leat_graph_op(m.settled, m.settled->ops.count - 1), 0)))
            ->op;
    const leat_value_id_t difference =
        leat_access_base(m.settled, leat_op_input(m.settled, leat_graph_op(m.settled, product), 0));
    const leat_op_id_t made = leat_graph_value(m.settled, difference)->op;
    assert_int_equal(m.plan.section_of[made] == m.plan.section_of[product], programs[i].waits);
    assert_int_equal(m.decided.keeps.of[difference].kind == LEAT_KEEP_STRIP, programs[i].waits);
    unmap(&m);
  }
}

static void rows_suit_columns(void **state) {
  (void)state;
  mapping_t m;
  map(parts_text, false, &m);
  assert_int_equal(m.plan.sections.count, 1);
  assert_int_equal(m.plan.sections.data[0].rows, 128);
  unmap(&m);
  map(columns_text, false, &m);
  assert_int_equal(m.plan.sections.count, 2);
  assert_int_equal(m.plan.sections.data[0].rows, 1088);
  assert_int_equal(m.plan.sections.data[1].rows, 1024);
  unmap(&m);
}

// --- decide ---------------------------------------------------------------------------------------------------------

// y = exp(-(x w)) in one chain, stored twice.
static const char chain_text[] =
    "leat.graph 1\n"
    "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[64,96]\n"
    "%1 = prim.symbol() {kind=\"param\", name=\"w\"} : f32[96,32]\n"
    "%2 = prim.contract(%0, %1) {spec=\"mk,kn->mn\"} : f32[64,32]\n"
    "%3 = prim.map(%2) {fn=\"neg\"} : f32[64,32]\n"
    "%4 = prim.map(%3) {fn=\"exp\"} : f32[64,32]\n"
    "prim.store(%4) {kind=\"output\", name=\"y\"}\n"
    "prim.store(%4) {kind=\"output\", name=\"again\"}\n";

static void values_stay_in_strips_and_stores_are_direct_where_they_may(void **state) {
  (void)state;
  mapping_t m;
  map(chain_text, true, &m);
  assert_int_equal(m.decided.order_count, 1);
  const leat_stage_list_t *stages = &m.decided.stages.of[0];
  assert_int_equal(stages->count, 3);  // the product, both maps, the copy for the second store
  assert_int_equal(stages->data[1].ops.count, 2);
  assert_int_not_equal(stages->data[2].copy_store, LEAT_NONE);
  uint32_t kinds[LEAT_KEEP_MEMORY + 1] = {0};
  for (leat_value_id_t v = 0; v < m.settled->values.count; ++v) kinds[m.decided.keeps.of[v].kind]++;
  assert_int_equal(kinds[LEAT_KEEP_STRIP], 1);   // neg
  assert_int_equal(kinds[LEAT_KEEP_MEMORY], 1);  // the product, in scratch
  assert_int_equal(keep_of_store(&m, "y")->kind, LEAT_KEEP_SYMBOL);
  assert_int_equal(m.decided.drafts[0].stages.data[2].output, 1);
  assert_int_equal(m.placed.arena_bytes, 0);
  assert_int_equal(m.placed.tilings[0].scratch_bytes, 64 * 32 * 4);
  unmap(&m);
}

// v_0 = -x, v_i = |v_i-1| or -v_i-1, y = v_0 + v_1 + ...: every value lives until all are there.
static char *long_text(uint32_t values, bool added) {
  leat_text_t text = {0};
  leat_text_put(&text, "leat.graph 1\n%%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[64,32]\n");
  for (uint32_t i = 1; i <= values; ++i) {
    leat_text_put(&text, "%%%u = prim.map(%%%u) {fn=\"%s\"} : f32[64,32]\n", i, i - 1, i % 2 != 0 ? "neg" : "abs");
  }
  uint32_t last = values;
  for (uint32_t i = 1; added && i < values; ++i) {
    leat_text_put(&text, "%%%u = prim.map(%%%u, %%%u) {fn=\"add\"} : f32[64,32]\n", last + 1, last, i);
    ++last;
  }
  leat_text_put(&text, "prim.store(%%%u) {kind=\"output\", name=\"y\"}\n", last);
  return text.data;
}

static void a_stage_holds_as_many_ops_and_live_values_as_there_are(void **state) {
  (void)state;
  static const struct {
    uint32_t values;
    bool added;
  } programs[] = {{5000, false}, {1000, true}};
  for (uint32_t i = 0; i < sizeof programs / sizeof *programs; ++i) {
    char *text = long_text(programs[i].values, programs[i].added);
    mapping_t m;
    map(text, true, &m);
    const uint32_t ops = programs[i].values + (programs[i].added ? programs[i].values - 1 : 0);
    assert_int_equal(m.decided.order_count, 1);
    assert_int_equal(m.decided.stages.of[0].count, 1);
    assert_int_equal(m.decided.drafts[0].instructions.count, ops + 2);  // a load and a store
    unmap(&m);
    leat_free(text);
  }
}

// y = sum(a) * s + sum(b): the product could be computed before the second sum, and is where s is written then.
static const char waiting_text[] =
    "leat.graph 1\n"
    "%%0 = prim.symbol() {kind=\"input\", name=\"a\"} : f32[64,32]\n"
    "%%1 = prim.symbol() {kind=\"input\", name=\"b\"} : f32[64,48]\n"
    "%%2 = prim.symbol() {kind=\"%s\", name=\"s\"} : f32[64,1]\n"
    "%%3 = prim.reduce(%%0) {fn=\"sum\", dims=[1]} : f32[64,1]\n"
    "%%4 = prim.map(%%3, %%2) {fn=\"mul\"} : f32[64,1]\n"
    "%%5 = prim.reduce(%%1) {fn=\"sum\", dims=[1]} : f32[64,1]\n"
    "%%6 = prim.map(%%5, %%4) {fn=\"add\"} : f32[64,1]\n"
    "%s"
    "prim.store(%%6) {kind=\"output\", name=\"y\"}\n";

static void a_map_waits_for_its_only_reader(void **state) {
  (void)state;
  static const struct {
    const char *kind, *more;
    uint32_t stages;
  } programs[] = {
      {"input", "", 3},                                                 // sum, sum, mul and add
      {"buffer", "prim.store(%5) {kind=\"update\", name=\"s\"}\n", 4},  // s is written before the reader
      {"input", "prim.store(%4) {kind=\"output\", name=\"z\"}\n", 3},   // stored as well
  };
  for (uint32_t i = 0; i < sizeof programs / sizeof *programs; ++i) {
    char text[1024];
    snprintf(text, sizeof text, waiting_text, programs[i].kind, programs[i].more);
    mapping_t m;
    map(text, true, &m);
    assert_int_equal(m.decided.order_count, 1);
    assert_int_equal(m.decided.stages.of[0].count, programs[i].stages);
    unmap(&m);
  }
}

// `x + m` could be computed where `x - m` is, and is computed where it is read; the last sum stands behind the first.
static const char late_text[] =
    "leat.graph 1\n"
    "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[64,1000]\n"
    "%1 = prim.reduce(%0) {fn=\"sum\", dims=[1]} : f32[64,1]\n"
    "%2 = prim.map(%0, %1) {fn=\"sub\"} : f32[64,1000]\n"
    "%3 = prim.map(%2, %2) {fn=\"mul\"} : f32[64,1000]\n"
    "%4 = prim.reduce(%3) {fn=\"sum\", dims=[1]} : f32[64,1]\n"
    "%5 = prim.map(%0, %1) {fn=\"add\"} : f32[64,1000]\n"
    "%6 = prim.map(%5, %4) {fn=\"mul\"} : f32[64,1000]\n"
    "%7 = prim.reduce(%2) {fn=\"sum\", dims=[1]} : f32[64,1]\n"
    "prim.store(%6) {kind=\"output\", name=\"y\"}\n"
    "prim.store(%7) {kind=\"output\", name=\"s\"}\n";

static void an_op_waits_for_its_only_reader_and_a_sum_does_not_wait(void **state) {
  (void)state;
  mapping_t m;
  map(late_text, true, &m);
  assert_int_equal(m.decided.order_count, 1);
  const leat_stage_list_t *stages = &m.decided.stages.of[0];
  static const uint32_t ops[] = {1, 2, 1, 1, 2};  // sum; sub, mul; sum; sum; add, mul
  assert_int_equal(stages->count, sizeof ops / sizeof *ops);
  for (uint32_t i = 0; i < stages->count; ++i) {
    assert_int_equal(stages->data[i].ops.count, ops[i]);
    for (uint32_t k = 0; k < ops[i]; ++k) assert_int_equal(m.decided.stages.at[stages->data[i].ops.data[k]], i);
  }
  const leat_value_id_t added = leat_graph_op(m.settled, stages->data[4].ops.data[0])->result_first;
  assert_int_equal(m.decided.keeps.of[added].kind, LEAT_KEEP_STRIP);
  unmap(&m);
}

static const char packed_text[] =
    "leat.graph 1\n"
    "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[1,768]\n"
    "%1 = prim.symbol() {kind=\"param\", name=\"w\"} : f32[768,3000]\n"
    "%2 = prim.contract(%0, %1) {spec=\"mk,kn->mn\"} : f32[1,3000]\n"
    "%3 = prim.contract(%2, %1) {spec=\"mn,kn->mk\"} : f32[1,768]\n"
    "%4 = prim.contract(%3, %1) {spec=\"mk,kn->mn\"} : f32[1,3000]\n"
    "prim.store(%4) {kind=\"output\", name=\"y\"}\n";

static void packs_are_decided_before_memory_and_shared_by_products(void **state) {
  (void)state;
  mapping_t m;
  map(packed_text, true, &m);
  const leat_packs_t *packs = &m.decided.packs;
  assert_int_equal(packs->all.count, 2);  // w, and w the other way round; the third product reads the first
  assert_int_equal(packs->all.data[0].block, 64);
  assert_int_equal(packs->all.data[0].bytes, 768 * 3000 * 4);
  assert_int_equal(packs->calls.count, 3);  // 46 panels of 64 columns and one of 56; 12 panels
  assert_int_equal(packs->calls.data[0].draft.rows, 46);
  assert_int_equal(packs->calls.data[1].draft.rows, 1);
  assert_int_equal(packs->calls.data[2].draft.rows, 12);
  for (uint32_t i = 0; i < packs->calls.count; ++i) assert_int_equal(packs->calls.data[i].stage, 0);
  const uint64_t top = packs->all.data[0].bytes + packs->all.data[1].bytes;  // packs live for ever: at the bottom
  assert_int_equal(m.placed.packs[0], 0);
  assert_int_equal(m.placed.packs[1], packs->all.data[0].bytes);
  uint32_t values = 0;
  for (leat_value_id_t v = 0; v < m.settled->values.count; ++v) {
    if (m.decided.keeps.of[v].kind != LEAT_KEEP_MEMORY || m.placed.homes[v].scratch) continue;
    assert_true(m.placed.homes[v].offset >= top);
    ++values;
  }
  assert_true(values > 0 && m.placed.arena_bytes > top);
  unmap(&m);
}

static void a_training_step_of_few_rows_packs_nothing(void **state) {
  (void)state;
  mapping_t m;
  map(packed_text, false, &m);
  assert_int_equal(m.decided.packs.all.count, 0);
  assert_int_equal(m.decided.packs.calls.count, 0);
  unmap(&m);
}

// --- products -------------------------------------------------------------------------------------------------------

static leat_product_t product_of(const char *x, const char *y, const char *spec, const char *result) {
  char text[512];
  snprintf(text, sizeof text,
           "leat.graph 1\n"
           "%%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[%s]\n"
           "%%1 = prim.symbol() {kind=\"input\", name=\"y\"} : f32[%s]\n"
           "%%2 = prim.contract(%%0, %%1) {spec=\"%s\"} : f32[%s]\n",
           x, y, spec, result);
  leat_graph_t *graph = NULL;
  leat_product_t product;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  assert_ok(leat_product_read(graph, leat_graph_op(graph, 2), 0, &product));
  leat_graph_destroy(graph);
  return product;
}

static void products_are_read_as_plainly_as_they_are(void **state) {
  (void)state;
  // The rows and the dim beside them are one dim of the product, k is one, what has one element is none.
  leat_product_t p = product_of("8,4,1,5,6", "5,6,7", "abcde,def->abcf", "8,4,1,7");
  assert_int_equal(p.count, 3);
  assert_false(p.swapped);
  assert_int_equal(leat_product_only_axis(&p, PEF_ROLE_M)->extent, 32);
  assert_true(leat_product_only_axis(&p, PEF_ROLE_M)->row);
  assert_int_equal(leat_product_only_axis(&p, PEF_ROLE_N)->strides[2], 1);
  assert_int_equal(leat_product_only_axis(&p, PEF_ROLE_K)->extent, 30);
  // The innermost dim of the result belongs to the first operand, which becomes B.
  p = product_of("5,7", "8,5", "kn,mk->mn", "8,7");
  assert_true(p.swapped);
  assert_int_equal(leat_product_only_axis(&p, PEF_ROLE_N)->extent, 7);
  // A batch keeps m apart; rows begin an axis.
  p = product_of("3,8,5", "3,5,7", "bmk,bkn->bmn", "3,8,7");
  assert_int_equal(p.count, 4);
  assert_true(leat_product_has_role(&p, PEF_ROLE_BATCH));
  assert_int_equal(leat_product_only_axis(&p, PEF_ROLE_M)->extent, 8);
}

// --- place ----------------------------------------------------------------------------------------------------------

// x convolved, then relu; a picture or several ones of 128x128.
#define CONVOLVED(images)                                                                                          \
  "leat.graph 1\n"                                                                                                 \
  "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[" images                                                  \
  ",3,128,128]\n"                                                                                                  \
  "%1 = prim.symbol() {kind=\"param\", name=\"w\"} : f32[32,3,3,3]\n"                                              \
  "%2 = prim.conv(%0, %1) {stride=[1,1], low=[1,1], high=[1,1], dilation=[1,1], base_dilation=[1,1], groups=1} : " \
  "f32[" images                                                                                                    \
  ",32,128,128]\n"                                                                                                 \
  "%3 = prim.map(%2, %2) {fn=\"max\"} : f32[" images                                                               \
  ",32,128,128]\n"                                                                                                 \
  "prim.store(%3) {kind=\"output\", name=\"y\"}\n"

// A tile of output channels copies the picture: where sums end in registers one tile has all of them, as has one of
// pictures all of these.
static void tiles_are_whole_where_sums_end_in_registers(void **state) {
  (void)state;
  mapping_t m;
  map(CONVOLVED("1"), true, &m);
  assert_int_equal(m.plan.sections.data[0].rows, 32);
  assert_int_equal(m.placed.tilings[0].rows_max, 32);
  unmap(&m);
  map(CONVOLVED("8"), true, &m);
  assert_int_equal(m.plan.sections.data[0].rows, 8);
  assert_int_equal(m.placed.tilings[0].rows_max, 8);
  unmap(&m);
}

// Two weights with factors, which inference prepares; rows and columns.
static const char prepared_text[] =
    "leat.graph 1\n"
    "%%0 = prim.symbol() {kind=\"param\", name=\"w\"} : f32[%1$d,%2$d]\n"
    "%%1 = prim.symbol() {kind=\"param\", name=\"v\"} : f32[%1$d,%2$d]\n"
    "%%2 = prim.symbol() {kind=\"param\", name=\"s\"} : f32[%1$d,1]\n"
    "%%3 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[%2$d,8]\n"
    "%%4 = prim.map(%%0, %%2) {fn=\"mul\"} : f32[%1$d,%2$d]\n"
    "%%5 = prim.map(%%1, %%2) {fn=\"mul\"} : f32[%1$d,%2$d]\n"
    "%%6 = prim.contract(%%4, %%3) {spec=\"mk,kn->mn\"} : f32[%1$d,8]\n"
    "%%7 = prim.contract(%%5, %%3) {spec=\"mk,kn->mn\"} : f32[%1$d,8]\n"
    "%%8 = prim.map(%%6, %%7) {fn=\"add\"} : f32[%1$d,8]\n"
    "prim.store(%%8) {kind=\"output\", name=\"y\"}\n";

static uint32_t count_prepared(int rows, int columns) {
  char text[2048];
  mapping_t m;
  uint32_t count = 0;
  assert_true(snprintf(text, sizeof text, prepared_text, rows, columns) < (int)sizeof text);
  map(text, true, &m);
  for (uint32_t s = 0; s < m.plan.sections.count; ++s) count += m.plan.sections.data[s].type == LEAT_TYPE_PREPARE;
  unmap(&m);
  return count;
}

static void what_is_prepared_for_products_apart_is_prepared_apart_where_it_is_worth_it(void **state) {
  (void)state;
  assert_int_equal(count_prepared(256, 1024), 2);
  assert_int_equal(count_prepared(4, 8), 1);
}

static void an_iota_behind_dims_of_one_is_an_iota(void **state) {
  (void)state;
  static const char text[] =
      "leat.graph 1\n"
      "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[1,3,1]\n"
      "%1 = prim.iota() {dim=0} : f32[3]\n"
      "%2 = prim.reshape(%1) {shape=[1,3,1]} : f32[1,3,1]\n"
      "%3 = prim.map(%0, %2) {fn=\"add\"} : f32[1,3,1]\n"
      "prim.store(%3) {kind=\"output\", name=\"y\"}\n";
  mapping_t m;
  map(text, true, &m);
  for (leat_op_id_t id = 0; id < m.settled->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(m.settled, id);
    assert_int_not_equal(op->kind, LEAT_PRIM_RESHAPE);
    if (op->kind != LEAT_PRIM_MAP) continue;
    assert_int_equal(leat_graph_op(m.settled, leat_graph_value(m.settled, leat_op_input(m.settled, op, 1))->op)->kind,
                     LEAT_PRIM_IOTA);
  }
  unmap(&m);
}

// A symbol that a later section still reads is written in a section of its own, of as many rows as it has.
static void an_update_that_waits_has_the_rows_of_its_symbol(void **state) {
  (void)state;
  static const char text[] =
      "leat.graph 1\n"
      "%0 = prim.symbol() {kind=\"param\", name=\"w\"} : f32[2,200000]\n"
      "%1 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[2,200000]\n"
      "%2 = prim.map(%0, %1) {fn=\"add\"} : f32[2,200000]\n"
      "%3 = prim.reduce(%2) {fn=\"sum\", dims=[0,1]} : f32[1,1]\n"
      "%4 = prim.broadcast(%3) {shape=[2,200000]} : f32[2,200000]\n"
      "%5 = prim.map(%0, %4) {fn=\"mul\"} : f32[2,200000]\n"
      "prim.store(%2) {kind=\"update\", name=\"w\"}\n"
      "prim.store(%5) {kind=\"output\", name=\"y\"}\n";
  mapping_t m;
  map(text, true, &m);
  const leat_section_t *last = &m.plan.sections.data[m.plan.sections.count - 1];
  assert_int_equal(last->ops.count, 0);
  assert_int_equal(last->stores.count, 1);
  assert_int_equal(last->rows, 2);
  unmap(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows_suit_columns),
      cmocka_unit_test(an_op_waits_for_the_section_that_reads_it),
      cmocka_unit_test(values_stay_in_strips_and_stores_are_direct_where_they_may),
      cmocka_unit_test(a_stage_holds_as_many_ops_and_live_values_as_there_are),
      cmocka_unit_test(a_map_waits_for_its_only_reader),
      cmocka_unit_test(an_op_waits_for_its_only_reader_and_a_sum_does_not_wait),
      cmocka_unit_test(packs_are_decided_before_memory_and_shared_by_products),
      cmocka_unit_test(a_training_step_of_few_rows_packs_nothing),
      cmocka_unit_test(products_are_read_as_plainly_as_they_are),
      cmocka_unit_test(tiles_are_whole_where_sums_end_in_registers),
      cmocka_unit_test(what_is_prepared_for_products_apart_is_prepared_apart_where_it_is_worth_it),
      cmocka_unit_test(an_iota_behind_dims_of_one_is_an_iota),
      cmocka_unit_test(an_update_that_waits_has_the_rows_of_its_symbol),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
