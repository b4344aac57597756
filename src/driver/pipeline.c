// SPDX-License-Identifier: Apache-2.0
// Order of the passes, and what each is for. Every pass rebuilds: graph in, graph out.
#include "driver/pipeline.h"

#include <stdio.h>

#include "driver/fusion.h"
#include "driver/say.h"
#include "grad/grad.h"
#include "ir/rebuild.h"
#include "lower/lower.h"
#include "opt/opt.h"
#include "opt/precision.h"
#include "space/merge.h"
#include "space/settle.h"
#include "unit/unit.h"

typedef leat_status_t (*run_t)(const leat_graph_t *from, const leat_compile_options_t *options,
                               leat_graph_t **out_graph);

typedef enum when_e { ALWAYS, TRAINING, COMPILING, PROGRAM, UNIT } when_t;

typedef struct pass_s {
  const char *name;
  run_t run;
  when_t when;
  bool optional;  // may be named in options->disable
  const char *purpose;
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
    status = leat_file_write_report(path.data, text.data, text.length);
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
PLAIN(empty, leat_opt_empty)
PLAIN(fold, leat_opt_fold)
PLAIN(cse, leat_opt_cse)
PLAIN(dce, leat_opt_dce)
PLAIN(recompute, leat_opt_recompute)
PLAIN(merge, leat_merge_dims)
PLAIN(settle, leat_settle)
PLAIN(trim, leat_unit_trim)

static const pass_t passes[] = {
    {"group", leat_fusion_group, PROGRAM, false, "which ops are fused"},
    {"precision", precision, PROGRAM, false, "what is stored as bf16"},
    {"pool-first", pool_first, COMPILING, true, "relus visit pooled elements only"},
    {"lower", lower_for_grad, TRAINING, false, "traced ops become primitives; rows that bring their own gradient stay"},
    {"grad", grad, TRAINING, false, "reverse mode, gradient norm, optimizers"},
    {"lower-rest", lower_rest, ALWAYS, false, "nothing traced is left"},
    {"empty", empty, ALWAYS, false, "values without elements are constants"},
    {"trim", trim, UNIT, false, "stores that serve no unit go"},
    {"fold", fold, ALWAYS, true, "constants and identities"},
    {"cse", cse, ALWAYS, true, "what is computed twice in a group is computed once"},
    {"dce", dce, ALWAYS, true, "what no output needs goes"},
    {"recompute", recompute, COMPILING, true, "backward computes again what is dearer to keep"},
    {"merge", merge, COMPILING, true, "elementwise ops get the rows of the products beside them"},
    {"settle", settle, COMPILING, false, "copies where strides cannot express a view"},
};

enum { PASS_COUNT = sizeof passes / sizeof *passes };

uint32_t leat_pipeline_steps(void) { return PASS_COUNT + 3; }

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
    for (size_t i = 0; i < PASS_COUNT; ++i) {
      known |= passes[i].optional && strlen(passes[i].name) == accepted && strncmp(passes[i].name, at, accepted) == 0;
    }
    if (!known) {
      LEAT_FAIL(LEAT_INVALID_ARGUMENT,
                "pass '%.*s' cannot be disabled: pool-first, fold, cse, dce, recompute and merge can", (int)accepted,
                at);
    }
  }
  return NULL;
}

bool leat_pipeline_trains(const leat_graph_t *graph, const leat_compile_options_t *options) {
  if (options->inference) return false;
  for (leat_op_id_t id = 0; id < graph->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(graph, id);
    if (leat_op_role(op->kind) == LEAT_ROLE_OPTIMIZER || leat_op_requires_grad(graph, op)) return true;
  }
  return false;
}

// Which passes each part of a compile runs; those that train only where there is something to train.
static const uint32_t passes_of[] = {
    [LEAT_PIPELINE_PROGRAM] = 1u << PROGRAM,
    [LEAT_PIPELINE_WHOLE] = 1u << ALWAYS | 1u << TRAINING | 1u << COMPILING,
    [LEAT_PIPELINE_UNIT] = 1u << ALWAYS | 1u << TRAINING | 1u << COMPILING | 1u << UNIT,
    [LEAT_PIPELINE_EVAL] = 1u << ALWAYS | 1u << TRAINING,
};

static bool applies(const pass_t *pass, bool trains, leat_pipeline_t part, const leat_compile_options_t *options) {
  if ((passes_of[part] >> pass->when & 1u) == 0 || (pass->when == TRAINING && !trains)) return false;
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

// A graph on its way through passes. Graphs in between are destroyed; `from` is the caller's.
typedef struct walk_s {
  const leat_graph_t *from, *graph;
  const leat_compile_options_t *options;
} walk_t;

static leat_status_t step(walk_t *walk, const pass_t *pass) {
  leat_graph_t *next = NULL;
  LEAT_TRY(run_pass(pass, walk->options, walk->graph, &next));
  if (walk->graph != walk->from) leat_graph_destroy((leat_graph_t *)walk->graph);
  walk->graph = next;
  return NULL;
}

static leat_status_t end_walk(walk_t *walk, leat_status_t status, leat_graph_t **out_graph) {
  if (status == NULL && walk->graph == walk->from)
    status = leat_rebuild(walk->from, leat_rebuild_copy, NULL, out_graph);
  if (walk->graph == walk->from) return status;
  if (status == NULL)
    *out_graph = (leat_graph_t *)walk->graph;
  else
    leat_graph_destroy((leat_graph_t *)walk->graph);
  return status;
}

// Progress and messages are about the program; what goes on within a unit is not told.
static leat_status_t told_step(walk_t *walk, const pass_t *pass, leat_pipeline_t part) {
  if (part == LEAT_PIPELINE_EVAL || part == LEAT_PIPELINE_UNIT) return step(walk, pass);
  const uint32_t before = walk->graph->ops.count;
  leat_say_step(walk->options, (uint32_t)(pass - passes), leat_pipeline_steps(), pass->name);
  LEAT_TRY(step(walk, pass));
  leat_say(walk->options, LEAT_LOG_DEBUG, "mac", "pass %s: %u ops, then %u", pass->name, before,
           walk->graph->ops.count);
  return NULL;
}

leat_status_t leat_pipeline_run(const leat_graph_t *from, const leat_compile_options_t *options, leat_pipeline_t part,
                                leat_graph_t **out_graph) {
  LEAT_TRY(check_disable(options->disable));
  LEAT_TRY(leat_graph_verify(from));
  const bool trains = leat_pipeline_trains(from, options);
  walk_t walk = {from, from, options};
  leat_status_t status = NULL;
  for (size_t i = 0; i < PASS_COUNT && status == NULL; ++i) {
    if (applies(&passes[i], trains, part, options)) status = told_step(&walk, &passes[i], part);
  }
  return end_walk(&walk, status, out_graph);
}

// --- passes by name --------------------------------------------------------------------------------------------

static leat_status_t find_pass(const char *name, size_t length, const pass_t **out_pass) {
  for (size_t i = 0; i < PASS_COUNT; ++i) {
    *out_pass = &passes[i];
    if (strlen(passes[i].name) == length && memcmp(passes[i].name, name, length) == 0) return NULL;
  }
  char known[256] = "";
  for (size_t i = 0, at = 0; i < PASS_COUNT && at < sizeof known; ++i)
    at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i > 0 ? ", " : "", passes[i].name);
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "no pass '%.*s'; there are %s", (int)length, name, known);
}

static leat_status_t watched_step(walk_t *walk, const pass_t *pass, leat_pipeline_watch_t watch, void *context) {
  LEAT_TRY(step(walk, pass));
  return watch == NULL ? NULL : watch(context, pass->name, walk->graph);
}

static leat_status_t run_listed(walk_t *walk, const char *names, leat_pipeline_watch_t watch, void *context) {
  while (*names != '\0') {
    const size_t length = strcspn(names, ",");
    const pass_t *pass;
    LEAT_TRY(find_pass(names, length, &pass));
    LEAT_TRY(watched_step(walk, pass, watch, context));
    names += length + (names[length] == ',');
  }
  return NULL;
}

leat_status_t leat_pipeline_run_named(const leat_graph_t *from, const char *names,
                                      const leat_compile_options_t *options, leat_pipeline_watch_t watch, void *context,
                                      leat_graph_t **out_graph) {
  LEAT_TRY(check_disable(options->disable));
  LEAT_TRY(leat_graph_verify(from));
  walk_t walk = {from, from, options};
  if (names != NULL) return end_walk(&walk, run_listed(&walk, names, watch, context), out_graph);
  const bool trains = leat_pipeline_trains(from, options);
  leat_status_t status = NULL;
  for (size_t i = 0; i < PASS_COUNT && status == NULL; ++i) {
    bool whole = applies(&passes[i], trains, LEAT_PIPELINE_WHOLE, options) || passes[i].when == PROGRAM;
    if (whole) status = watched_step(&walk, &passes[i], watch, context);
  }
  return end_walk(&walk, status, out_graph);
}

const char *leat_pipeline_pass(size_t index, const char **out_purpose) {
  if (index >= PASS_COUNT) return NULL;
  *out_purpose = passes[index].purpose;
  return passes[index].name;
}
