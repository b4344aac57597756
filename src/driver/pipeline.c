// SPDX-License-Identifier: Apache-2.0
// Order of the passes, and what each is for. Every pass rebuilds: graph in, graph out.
#include "driver/pipeline.h"

#include "driver/fusion.h"
#include "driver/say.h"
#include "fuse/settle.h"
#include "grad/grad.h"
#include "lower/lower.h"
#include "opt/opt.h"
#include "opt/precision.h"

typedef leat_status_t (*run_t)(const leat_graph_t *from, const leat_compile_options_t *options,
                               leat_graph_t **out_graph);

typedef enum when_e { ALWAYS, TRAINING, COMPILING } when_t;

typedef struct pass_s {
  const char *name;
  run_t run;
  when_t when;
  bool optional;  // may be named in options->disable
} pass_t;

static leat_status_t lower_for_grad(const leat_graph_t *from, const leat_compile_options_t *options,
                                    leat_graph_t **out_graph) {
  (void)options;
  return leat_lower(from, true, out_graph);
}
static leat_status_t lower_rest(const leat_graph_t *from, const leat_compile_options_t *options,
                                leat_graph_t **out_graph) {
  (void)options;
  return leat_lower(from, false, out_graph);
}
static leat_status_t grad(const leat_graph_t *from, const leat_compile_options_t *options, leat_graph_t **out_graph) {
  (void)options;
  return leat_grad(from, leat_lower_vjps(), out_graph);
}

// precision.json in the folder of the reports, and a line that counts.
static leat_status_t tell_precision(const leat_compile_options_t *options, const leat_precision_report_t *report) {
  if (options->precision == NULL) return NULL;
  leat_text_t text = {0};
  leat_text_put(&text, "%s: %u operands rounded to bf16, %u results stored as bf16", options->precision, report->inputs,
                report->results);
  if (!text.failed && options->log != NULL) options->log(options->log_user, LEAT_LOG_INFO, "mac", text.data);
  leat_text_deinit(&text);
  if (options->report_dir == NULL) return NULL;
  leat_text_t path = {0};
  leat_text_put(&path, "%s/precision.json", options->report_dir);
  leat_text_put(&text, "[%s]\n", report->json.data != NULL ? report->json.data : "");
  leat_status_t status = NULL;
  if (path.failed || text.failed)
    status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for the report");
  else
    status = leat_file_write_atomic(path.data, text.data, text.length);
  leat_text_deinit(&path);
  leat_text_deinit(&text);
  return status;
}

static leat_status_t precision(const leat_graph_t *from, const leat_compile_options_t *options,
                               leat_graph_t **out_graph) {
  leat_precision_report_t report = {0};
  leat_status_t status = leat_opt_precision(from, options->precision, &report, out_graph);
  if (status == NULL) {
    status = tell_precision(options, &report);
    if (status != NULL) leat_graph_destroy(*out_graph);
  }
  leat_text_deinit(&report.json);
  return status;
}

// A pass that no option steers.
#define PLAIN(name, pass)                                                                    \
  static leat_status_t name(const leat_graph_t *from, const leat_compile_options_t *options, \
                            leat_graph_t **out_graph) {                                      \
    (void)options;                                                                           \
    return pass(from, out_graph);                                                            \
  }
PLAIN(pool_first, leat_opt_pool_first)
PLAIN(fold, leat_opt_fold)
PLAIN(cse, leat_opt_cse)
PLAIN(dce, leat_opt_dce)
PLAIN(settle, leat_settle)

static const pass_t passes[] = {
    {"group", leat_fusion_group, COMPILING, false},  // which ops are fused
    {"precision", precision, COMPILING, false},      // what is stored as bf16
    {"pool-first", pool_first, COMPILING, true},     // relus visit pooled elements only
    {"lower", lower_for_grad, TRAINING, false},      // rows that bring their own gradient stay
    {"grad", grad, TRAINING, false},                 // reverse mode, gradient norm, optimizers
    {"lower-rest", lower_rest, ALWAYS, false},       // nothing traced is left
    {"fold", fold, ALWAYS, true},
    {"cse", cse, ALWAYS, true},
    {"dce", dce, ALWAYS, true},
    {"settle", settle, COMPILING, false},  // copies where strides cannot express a view
};

uint32_t leat_pipeline_steps(void) { return sizeof passes / sizeof *passes + 3; }

static bool is_listed(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *at = list; at != NULL && (at = strstr(at, name)) != NULL; at += length) {
    if ((at == list || at[-1] == ',') && (at[length] == '\0' || at[length] == ',')) return true;
  }
  return false;
}

static leat_status_t check_disable(const char *list) {
  size_t accepted = 0;
  for (const char *at = list; at != NULL && *at != '\0'; at += accepted + (at[accepted] == ',')) {
    accepted = strcspn(at, ",");
    bool known = false;
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; ++i) {
      known |= passes[i].optional && strlen(passes[i].name) == accepted && strncmp(passes[i].name, at, accepted) == 0;
    }
    if (!known) {
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "pass '%.*s' cannot be disabled: pool-first, fold, cse and dce can",
                (int)accepted, at);
    }
  }
  return NULL;
}

bool leat_pipeline_trains(const leat_graph_t *graph, const leat_compile_options_t *options) {
  if (options->inference) return false;
  for (leat_op_id_t id = 0; id < graph->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(graph, id);
    if (op->kind == LEAT_TRACED_OPTIMIZER) return true;
    if (op->kind == LEAT_TRACED_SYM && leat_op_int(graph, op, LEAT_ATTR_REQUIRES_GRAD, 0) != 0) return true;
  }
  return false;
}

static bool applies(const pass_t *pass, bool trains, bool compiling, const leat_compile_options_t *options) {
  if (pass->when == TRAINING && !trains) return false;
  if (pass->when == COMPILING && !compiling) return false;
  return !(pass->optional && is_listed(options->disable, pass->name));
}

static leat_status_t run_pass(const pass_t *pass, const leat_compile_options_t *options, const leat_graph_t *from,
                              leat_graph_t **out_graph) {
  leat_status_t status = pass->run(from, options, out_graph);
  if (status == NULL && options->verify_each) {
    status = leat_graph_verify(*out_graph);
    if (status != NULL) leat_graph_destroy(*out_graph);
    return leat_status_annotate(status, "after pass %s", pass->name);
  }
  return status;
}

leat_status_t leat_pipeline_run(const leat_graph_t *from, const leat_compile_options_t *options, bool compiling,
                                leat_graph_t **out_graph) {
  LEAT_TRY(check_disable(options->disable));
  LEAT_TRY(leat_graph_verify(from));
  bool trains = leat_pipeline_trains(from, options);
  const leat_graph_t *graph = from;
  for (size_t i = 0; i < sizeof passes / sizeof passes[0]; ++i) {
    if (!applies(&passes[i], trains, compiling, options)) continue;
    leat_graph_t *next = NULL;
    if (compiling) leat_say_step(options, (uint32_t)i, leat_pipeline_steps(), passes[i].name);
    leat_status_t status = run_pass(&passes[i], options, graph, &next);
    if (compiling && status == NULL) {
      leat_say(options, LEAT_LOG_DEBUG, "mac", "pass %s: %u ops, then %u", passes[i].name, graph->ops.count,
               next->ops.count);
    }
    if (graph != from) leat_graph_destroy((leat_graph_t *)graph);
    if (status != NULL) return status;
    graph = next;
  }
  *out_graph = (leat_graph_t *)graph;
  return NULL;
}
