// SPDX-License-Identifier: Apache-2.0
// Reports: what flows between sections, the layers of the picture, and that tables and pictures say what is in the PEF.
#include "report/report.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "loop_maker.h"
#include "map/map.h"
#include "report/layout.h"
#include "space/settle.h"

// Two sections: the second sums over the rows of the first. Names hold what CSV, DOT and XML must escape.
static const char graph_text[] =
    "leat.graph 1\n"
    "%0 = prim.symbol() {kind=\"input\", name=\"image\"} : f32[64,784]\n"
    "%1 = prim.symbol() {kind=\"param\", name=\"weight\"} : f32[100,784]\n"
    "%2 = prim.contract(%0, %1) {spec=\"mk,nk->mn\"} : f32[64,100] @ "
    "\"net."
    "fc\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
    "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\" \"net.py:3\"\n"
    "prim.store(%2) {kind=\"output\", name=\"logits \\\"<a&b>\\\"\"}\n"
    "%3 = prim.reduce(%2) {dims=[0], fn=\"sum\"} : f32[1,100] @ \"net.mass\" \"net.py:4\"\n"
    "%4 = prim.reshape(%3) {shape=[100]} : f32[100]\n"
    "prim.store(%4) {kind=\"output\", name=\"mass\"}\n";

static leat_pef_t *pef;
static leat_arch_t machine;

static int compile(void **state) {
  (void)state;
  leat_graph_t *graph = NULL, *settled = NULL;
  assert_ok(leat_graph_parse(graph_text, strlen(graph_text), &graph));
  assert_ok(leat_arch_native("native:32768,1048576,16777216", &machine));
  assert_ok(leat_settle(graph, &machine, &settled));
  leat_cut_options_t cut = {.arch = &machine};
  leat_plan_t plan;
  assert_ok(leat_cut(settled, &cut, &plan));
  leat_map_options_t options = {.arch = &machine, .inference = true};
  leat_pef_writer_t *writer = leat_pef_writer_create();
  assert_ok(leat_map_native(settled, &plan, &options, writer));
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  assert_ok(leat_pef_open_memory(data, bytes, "test", &pef));
  leat_free(data);
  leat_pef_writer_destroy(writer);
  leat_plan_deinit(&plan);
  leat_graph_destroy(settled);
  leat_graph_destroy(graph);
  return 0;
}

static int close_pef(void **state) {
  (void)state;
  leat_pef_close(pef);
  return 0;
}

static uint32_t symbol_node(const char *name) {
  for (uint32_t s = 0; s < pef->symbol_count; ++s)
    if (strcmp(pef->strings + pef->symbols[s].name, name) == 0) return pef->call_count + s;
  fail_msg("no symbol %s", name);
  return 0;
}

static uint64_t bytes_between(const leat_flow_t *flow, uint32_t from, uint32_t to) {
  uint64_t bytes = 0;
  for (uint32_t e = 0; e < flow->edges.count; ++e)
    if (flow->edges.data[e].from == from && flow->edges.data[e].to == to) bytes += flow->edges.data[e].bytes;
  return bytes;
}

// The call that reads `image`, and the one that writes `mass`.
static void find_calls(const leat_flow_t *flow, uint32_t *out_product, uint32_t *out_sum) {
  *out_product = *out_sum = PEF_NONE;
  for (uint32_t e = 0; e < flow->edges.count; ++e) {
    if (flow->edges.data[e].from == symbol_node("image")) *out_product = flow->edges.data[e].to;
    if (flow->edges.data[e].to == symbol_node("mass")) *out_sum = flow->edges.data[e].from;
  }
  assert_true(*out_product < pef->call_count && *out_sum < pef->call_count);
}

static void flow_follows_the_bytes(void **state) {
  (void)state;
  leat_flow_t flow;
  assert_ok(leat_flow_find(pef, &flow));
  uint32_t product, sum;
  find_calls(&flow, &product, &sum);
  assert_int_equal(bytes_between(&flow, symbol_node("image"), product), 64 * 784 * 4);
  assert_int_equal(bytes_between(&flow, product, sum), 64 * 100 * 4);
  assert_int_equal(bytes_between(&flow, product, symbol_node("logits \"<a&b>\"")), 64 * 100 * 4);
  assert_int_equal(bytes_between(&flow, sum, product), 0);
  assert_int_equal(flow.totals[sum].bytes_in, 64 * 100 * 4);
  assert_int_equal(flow.totals[sum].bytes_out, 100 * 4);
  assert_int_equal(flow.totals[sum].parameter_bytes, 0);
  leat_flow_deinit(&flow);
}

static void layers_go_down(void **state) {
  (void)state;
  leat_flow_t flow;
  leat_layout_t layout;
  assert_ok(leat_flow_find(pef, &flow));
  assert_ok(leat_layout_make(&flow, &layout));
  for (uint32_t e = 0; e < flow.edges.count; ++e) {
    const leat_flow_edge_t *edge = &flow.edges.data[e];
    if (leat_layout_draws(&layout, edge)) assert_true(layout.nodes[edge->from].layer < layout.nodes[edge->to].layer);
  }
  assert_int_equal(layout.nodes[symbol_node("weight")].layer, LEAT_LAYOUT_UNUSED);
  for (uint32_t a = 0; a < pef->call_count; ++a) {
    for (uint32_t b = a + 1; b < pef->call_count; ++b)
      assert_true(layout.nodes[a].layer != layout.nodes[b].layer || layout.nodes[a].place != layout.nodes[b].place);
  }
  leat_layout_deinit(&layout);
  leat_flow_deinit(&flow);
}

static char *read_file(const char *folder, const char *name) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  leat_mapping_t mapping;
  assert_ok(leat_file_map(path, &mapping));
  char *text = malloc(mapping.data_bytes + 1);
  memcpy(text, mapping.data, mapping.data_bytes);
  text[mapping.data_bytes] = '\0';
  leat_file_unmap(&mapping);
  unlink(path);
  return text;
}

static uint32_t count(const char *text, const char *part) {
  uint32_t found = 0;
  for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part)) ++found;
  return found;
}

static bool is_utf8(const char *text) {
  while (*text) {
    const uint32_t length = leat_utf8_length(text);
    if (length == 0) return false;
    text += length;
  }
  return true;
}

static void check_pictures(const char *folder) {
  char *svg = read_file(folder, "graph.svg"), *dot = read_file(folder, "graph.dot");
  assert_int_equal(count(svg, "<g>") + count(svg, "<g "), count(svg, "</g>"));
  assert_int_equal(count(svg, "<text"), count(svg, "</text>"));
  assert_non_null(strstr(svg, "logits &#34;&#60;a&#38;b&#62;&#34;"));
  assert_non_null(strstr(svg, "net.fc"));
  assert_true(is_utf8(svg) && is_utf8(dot));  // lines are cut between characters
  assert_null(strstr(svg, "<a&b>"));
  assert_non_null(strstr(dot, "logits \\\"<a&b>\\\""));
  assert_non_null(strstr(dot, "f32[64,784] 196.00 KiB"));
  assert_int_equal(count(svg, "</path>"), count(dot, " -> "));
  assert_int_equal(count(dot, "shape=box"), pef->call_count);
  free(svg);
  free(dot);
}

static void check_tables(const char *folder) {
  char *csv = read_file(folder, "sections.csv"), *json = read_file(folder, "memory.json");
  assert_int_equal(count(csv, "\r\n"), pef->call_count + 1);
  assert_int_equal(strncmp(csv, "section,type,name,why,", 22), 0);
  cJSON *memory = cJSON_Parse(json);
  assert_non_null(memory);
  assert_int_equal(cJSON_GetObjectItem(memory, "peak_bytes")->valuedouble, (double)pef->info->peak_bytes);
  assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(memory, "symbols")), pef->symbol_count);
  const cJSON *kinds = cJSON_GetObjectItem(memory, "by_kind");
  assert_int_equal(cJSON_GetObjectItem(kinds, "parameter")->valuedouble, 100 * 784 * 4);
  cJSON_Delete(memory);
  free(csv);
  free(json);
}

static void files_say_what_the_pef_holds(void **state) {
  (void)state;
  char folder[] = "/tmp/leat-report-XXXXXX";
  assert_non_null(mkdtemp(folder));
  assert_ok(leat_report_write(pef, &machine, folder));
  check_pictures(folder);
  check_tables(folder);
  rmdir(folder);
}

static void a_picture_of_its_own_is_that_of_the_reports(void **state) {
  (void)state;
  char folder[] = "/tmp/leat-report-XXXXXX";
  assert_non_null(mkdtemp(folder));
  assert_ok(leat_report_write(pef, &machine, folder));
  for (int i = 0; i < 2; ++i) {
    const char *name = i == 0 ? "graph.svg" : "graph.dot";
    char path[64];
    char *report = read_file(folder, name);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(leat_report_write_graph(pef, &machine, path));
    char *own = read_file(folder, name);
    assert_string_equal(own, report);
    free(own);
    free(report);
  }
  check_tables(folder);
  rmdir(folder);
}

static void refusals_name_the_file(void **state) {
  (void)state;
  assert_fails(leat_report_write_graph(pef, &machine, "graph.png"), LEAT_INVALID_ARGUMENT, "graph.png");
  assert_fails(leat_report_write(pef, &machine, "/nonexistent"), LEAT_NOT_FOUND, "/nonexistent/graph.dot");
}

// A section of a loop is told once, with the cost of all its trips; what a trip carries to the next goes up the page.
static void a_loop_is_a_loop(void **state) {
  (void)state;
  leat_flow_t flow;
  leat_text_t csv = {0}, dot = {0}, svg = {0};
  leat_layout_t layout;
  leat_pef_t *loops = NULL;
  for (uint32_t p = 0; p < loop_program_count && loops == NULL; ++p) {
    if (strcmp(loop_programs[p].name, "rnn") == 0) loops = loop_program(&loop_programs[p], 10);
  }
  assert_non_null(loops);
  assert_ok(leat_flow_find(loops, &flow));
  assert_ok(leat_report_sections(&flow, &machine, &csv));
  assert_non_null(strstr(csv.data, ",10000000,"));  // 10 trips of a million
  assert_non_null(strstr(csv.data, ",10,\"loop (10 trips)\"\r\n"));
  assert_ok(leat_report_dot(&flow, &machine, &dot));
  assert_non_null(strstr(dot.data, "subgraph cluster_0 {\n  label=\"loop, 10 trips\";\n  s1 "));
  assert_non_null(strstr(dot.data, "s2 -> s1 [label=\"f32[4,16] 256 B\", style=dashed"));
  assert_ok(leat_report_svg(&flow, &machine, &svg));
  assert_non_null(strstr(svg.data, "stroke-dasharray"));
  assert_non_null(strstr(svg.data, "10 times 4 rows, 10.00 Mflop"));
  assert_ok(leat_layout_make(&flow, &layout));
  assert_true(layout.nodes[0].layer < layout.nodes[1].layer && layout.nodes[1].layer < layout.nodes[2].layer);
  leat_layout_deinit(&layout);
  leat_text_deinit(&csv);
  leat_text_deinit(&dot);
  leat_text_deinit(&svg);
  leat_flow_deinit(&flow);
  leat_pef_close(loops);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flow_follows_the_bytes),       cmocka_unit_test(layers_go_down),
      cmocka_unit_test(files_say_what_the_pef_holds), cmocka_unit_test(a_picture_of_its_own_is_that_of_the_reports),
      cmocka_unit_test(refusals_name_the_file),       cmocka_unit_test(a_loop_is_a_loop),
  };
  return cmocka_run_group_tests_name("report", tests, compile, close_pef);
}
