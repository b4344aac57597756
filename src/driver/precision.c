// SPDX-License-Identifier: Apache-2.0
#include "driver/precision.h"

#include "driver/say.h"
#include "ir/rebuild.h"
#include "opt/opt.h"
#include "opt/precision.h"

// precision.json in the folder of the reports, and a line that counts.
static leat_status_t tell_precision(const leat_compile_options_t *options, const leat_precision_report_t *report) {
  if (options->precision == NULL) return NULL;
  leat_text_t text = {0};
  leat_text_put(&text, "%s: %u operands rounded to bf16, %u results stored as bf16", options->precision, report->inputs,
                report->results);
  if (!text.failed && options->log != NULL) options->log(options->log_user, LEAT_LOG_INFO, "mac", text.data);
  leat_text_deinit(&text);
  if (options->report_dir == NULL) return NULL;
  leat_text_put(&text, "[%s]\n", report->json.data != NULL ? report->json.data : "");
  leat_status_t status = leat_file_write_text(options->report_dir, "precision.json", &text);
  leat_text_deinit(&text);
  return status;
}

leat_status_t leat_precision_narrow(const leat_graph_t *from, const leat_compile_options_t *options,
                                    leat_graph_t **out_graph) {
  leat_precision_t preset;
  LEAT_TRY(leat_precision_parse(options->precision, &preset));
  return leat_opt_narrow(from, preset == LEAT_PRECISION_MP1, out_graph);
}

static leat_status_t visit_updates(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_attr_t dithered = leat_attr_i(LEAT_ATTR_DITHERED, 1);
  const bool is_update = leat_op_role(leat_graph_op(r->from, id)->kind) == LEAT_ROLE_OPTIMIZER;
  return is_update ? leat_rebuild_copy_with(r, id, &dithered) : leat_rebuild_copy(r, id);
}

static leat_status_t dither_updates(leat_graph_t **graph) {
  leat_graph_t *plain = *graph;
  leat_status_t status = leat_rebuild(plain, visit_updates, NULL, graph);
  leat_graph_destroy(plain);
  return status;
}

leat_status_t leat_precision_apply(const leat_graph_t *from, const leat_compile_options_t *options,
                                   leat_graph_t **out_graph) {
  leat_precision_report_t report = {0};
  leat_precision_t preset;
  LEAT_TRY(leat_precision_parse(options->precision, &preset));
  leat_status_t status = leat_opt_precision(from, preset, &report, out_graph);
  if (status == NULL) {
    status = tell_precision(options, &report);
    if (status != NULL) leat_graph_destroy(*out_graph);
  }
  leat_text_deinit(&report.json);
  return status == NULL && options->dither_weights != 0 ? dither_updates(out_graph) : status;
}
