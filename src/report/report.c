// SPDX-License-Identifier: Apache-2.0
// See report.h: which report goes into which file.
#include "report/report.h"

#include <stdio.h>

static const struct {
  const char *name;
  leat_status_t (*make)(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out);
} reports[] = {
    {"graph.dot", leat_report_dot},           {"graph.svg", leat_report_svg},
    {"sections.csv", leat_report_sections},   {"memory.json", leat_report_memory},
    {"floorplan.svg", leat_report_floorplan},
};

static leat_status_t write_one(const leat_flow_t *flow, const leat_arch_t *arch, size_t report, const char *folder) {
  leat_text_t text = {0};
  leat_status_t status = reports[report].make(flow, arch, &text);
  const bool is_empty = !text.failed && text.length == 0;
  if (status == NULL && !is_empty) status = leat_file_write_text(folder, reports[report].name, &text);
  leat_text_deinit(&text);
  return status;
}

leat_status_t leat_report_write(const leat_pef_t *pef, const leat_arch_t *arch, const char *folder) {
  leat_flow_t flow;
  LEAT_TRY(leat_flow_find(pef, &flow));
  leat_status_t status = NULL;
  for (size_t i = 0; i < sizeof reports / sizeof *reports && status == NULL; ++i)
    status = write_one(&flow, arch, i, folder);
  leat_flow_deinit(&flow);
  return status;
}

static bool ends_with(const char *text, const char *end) {
  const size_t length = strlen(text), end_length = strlen(end);
  return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

leat_status_t leat_report_write_graph(const leat_pef_t *pef, const leat_arch_t *arch, const char *path) {
  const bool is_svg = ends_with(path, ".svg");
  if (!is_svg && !ends_with(path, ".dot")) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s: a picture of the graph is a .svg or a .dot file", path);
  }
  leat_flow_t flow;
  LEAT_TRY(leat_flow_find(pef, &flow));
  leat_text_t text = {0};
  leat_status_t status = (is_svg ? leat_report_svg : leat_report_dot)(&flow, arch, &text);
  if (status == NULL && text.failed) status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for %s", path);
  if (status == NULL) status = leat_file_write_report(path, text.data, text.length);
  leat_text_deinit(&text);
  leat_flow_deinit(&flow);
  return status;
}
