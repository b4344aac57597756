// SPDX-License-Identifier: Apache-2.0
// See report.h: which report goes into which file.
#include "report/report.h"

#include <stdio.h>

static leat_status_t dot(const leat_flow_t *flow, leat_text_t *out) {
  leat_report_dot(flow, out);
  return NULL;
}
static leat_status_t sections(const leat_flow_t *flow, leat_text_t *out) {
  leat_report_sections(flow, out);
  return NULL;
}
static leat_status_t memory(const leat_flow_t *flow, leat_text_t *out) {
  leat_report_memory(flow, out);
  return NULL;
}

typedef leat_status_t (*make_t)(const leat_flow_t *flow, leat_text_t *out);
static const struct {
  const char *name;
  make_t make;
} reports[] = {
    {"graph.dot", dot},
    {"graph.svg", leat_report_svg},
    {"sections.csv", sections},
    {"memory.json", memory},
};

static leat_status_t write_one(const leat_flow_t *flow, make_t make, const char *path) {
  leat_text_t text = {0};
  leat_status_t status = make(flow, &text);
  if (status == NULL && text.failed) status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for %s", path);
  if (status == NULL) status = leat_file_write_report(path, text.data, text.length);
  leat_text_deinit(&text);
  return status;
}

static leat_status_t write_in_folder(const leat_flow_t *flow, size_t report, const char *folder) {
  leat_text_t path = {0};
  leat_text_put(&path, "%s/%s", folder, reports[report].name);
  leat_status_t status = NULL;
  if (path.failed)
    status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for the reports");
  else
    status = write_one(flow, reports[report].make, path.data);
  leat_text_deinit(&path);
  return status;
}

leat_status_t leat_report_write(const leat_pef_t *pef, const char *folder) {
  leat_flow_t flow;
  LEAT_TRY(leat_flow_find(pef, &flow));
  leat_status_t status = NULL;
  for (size_t i = 0; i < sizeof reports / sizeof *reports && status == NULL; ++i)
    status = write_in_folder(&flow, i, folder);
  leat_flow_deinit(&flow);
  return status;
}

static bool ends_with(const char *text, const char *end) {
  const size_t length = strlen(text), end_length = strlen(end);
  return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

leat_status_t leat_report_write_graph(const leat_pef_t *pef, const char *path) {
  const bool is_svg = ends_with(path, ".svg");
  if (!is_svg && !ends_with(path, ".dot")) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s: a picture of the graph is a .svg or a .dot file", path);
  }
  leat_flow_t flow;
  LEAT_TRY(leat_flow_find(pef, &flow));
  leat_status_t status = write_one(&flow, is_svg ? leat_report_svg : dot, path);
  leat_flow_deinit(&flow);
  return status;
}
