// SPDX-License-Identifier: Apache-2.0
// Order of the passes, and what each is for. Every pass rebuilds: graph in, graph out.
#include "driver/pipeline.h"

#include <stdio.h>

#include "cut/fusion.h"
#include "driver/limit.h"
#include "driver/precision.h"
#include "driver/property.h"
#include "driver/say.h"
#include "driver/weights.h"
#include "grad/grad.h"
#include "ir/rebuild.h"
#include "lower/lower.h"
#include "opt/opt.h"
#include "space/merge.h"
#include "space/settle.h"
#include "unit/unit.h"

typedef struct steering_s {
  const leat_compile_options_t *options;
  const leat_arch_t *arch;
  bool tells;  // passes tell what they did
} steering_t;
typedef leat_status_t (*run_t)(const leat_graph_t *from, const steering_t *by, leat_graph_t **out_graph);

typedef enum when_e {
  ALWAYS,
  LOWERING,
  TRAINING,
  INFERRING,
  COMPILING,
  DROPPING,
  REMAKING,
  NARROWING,
  UNROLLING,
  MAPPING,
  PROGRAM,
  UNIT
} when_t;

enum {
  TRACED = 1u << LEAT_PROPERTY_TRACED,
  FORWARD = 1u << LEAT_PROPERTY_FORWARD,
  GROUPED = 1u << LEAT_PROPERTY_GROUPED,
  LOWERED = 1u << LEAT_PROPERTY_LOWERED,
  DIFFERENTIATED = 1u << LEAT_PROPERTY_DIFFERENTIATED,
  PRIMITIVE = 1u << LEAT_PROPERTY_PRIMITIVE,
  STRAIGHT = 1u << LEAT_PROPERTY_STRAIGHT,
  NO_EMPTY = 1u << LEAT_PROPERTY_NO_EMPTY,
  SETTLED = 1u << LEAT_PROPERTY_SETTLED,
};

typedef struct pass_s {
  const char *name;
  run_t run;
  when_t when;
  bool optional;          // may be named in options->disable
  uint32_t needs, gives;  // properties of the graph before and after
  uint32_t loses;         // properties of the graph before that no later pass may count on
  const char *purpose;
} pass_t;

// A pass, and what steers it: `by` in the call.
#define PASS(name, call)                                                                                \
  static leat_status_t name(const leat_graph_t *from, const steering_t *by, leat_graph_t **out_graph) { \
    (void)by;                                                                                           \
    return call;                                                                                        \
  }
#define PLAIN(name, pass) PASS(name, pass(from, out_graph))
PASS(group, leat_fusion_group(from, by->options, out_graph))
PASS(precision, leat_precision_apply(from, by->options, out_graph))
PASS(lower_for_grad, leat_lower(from, true, out_graph))
PASS(lower_rest, leat_lower(from, false, out_graph))
PASS(grad, leat_grad(from, leat_lower_vjps(), out_graph))
PASS(narrow, leat_precision_narrow(from, by->options, out_graph))
PASS(absorb, leat_opt_absorb(from, by->arch, out_graph))
PASS(by_parts, leat_opt_parts(from, by->arch, out_graph))
PASS(recompute, leat_opt_recompute(from, by->arch, out_graph))
PASS(remake, leat_limit_remake(from, by->options, by->arch, out_graph))
// One section of a type is no chunk after chunk.
static int64_t chunked_from(const leat_compile_options_t *options) {
  return options->spatial != 0 ? 0 : (int64_t)options->chunked_products << 20;
}
PASS(columns, leat_opt_columns(from, chunked_from(by->options), out_graph))
PASS(late, leat_opt_late(from, by->arch, out_graph))
PASS(weights, leat_weights_apply(from, by->options, by->tells, out_graph))
PASS(settle, leat_settle(from, by->arch, out_graph))
PLAIN(drop_grads, leat_opt_drop_grads)
PLAIN(attention, leat_opt_attention)
PLAIN(pool_first, leat_opt_pool_first)
PLAIN(unroll, leat_opt_unroll)
PLAIN(empty, leat_opt_empty)
PLAIN(fold, leat_opt_fold)
PLAIN(cse, leat_opt_cse)
PLAIN(dce, leat_opt_dce)
PLAIN(partial, leat_opt_partial)
PLAIN(merge, leat_merge_dims)
PLAIN(trim, leat_unit_trim)

// clang-format off
static const pass_t passes[] = {
    {"group",      group,                PROGRAM,   false, TRACED,               GROUPED,        0,       "which ops are fused"},
    {"precision",  precision,            PROGRAM,   false, TRACED,               0,              0,       "what is stored as bf16"},
    {"attention",  attention,            COMPILING, true,  TRACED,               0,              0,       "attention that is written out is one op"},
    {"pool-first", pool_first,           COMPILING, true,  TRACED,               0,              0,       "relus visit pooled elements only"},
    {"lower",      lower_for_grad,       TRAINING,  false, 0,                    LOWERED,        TRACED,  "traced ops become primitives; rows that bring their own gradient stay"},
    {"grad",       grad,                 TRAINING,  false, LOWERED | FORWARD,    DIFFERENTIATED, FORWARD, "reverse mode, gradient norm, optimizers"},
    {"lower-rest", lower_rest,           LOWERING,  false, 0,                    PRIMITIVE,      TRACED,  "nothing traced is left"},
    {"unroll",     unroll,               UNROLLING, false, PRIMITIVE,            STRAIGHT,       0,       "loops are straight ops"},
    {"empty",      empty,                ALWAYS,    false, PRIMITIVE,            NO_EMPTY,       0,       "values without elements are constants"},
    {"trim",       trim,                 UNIT,      false, PRIMITIVE,            NO_EMPTY,       0,       "stores that serve no unit go"},
    {"fold",       fold,                 ALWAYS,    true,  PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "constants and identities"},
    {"narrow",     narrow,               ALWAYS,    true,  PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "products of bf16 give f32; what mp1 rounds is bf16"},
    {"cse",        cse,                  ALWAYS,    true,  PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "what is computed twice in a group is computed once"},
    {"dce",        dce,                  ALWAYS,    true,  PRIMITIVE,            PRIMITIVE,      0,       "what no output needs goes"},
    {"absorb",     absorb,               INFERRING, true,  PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "what follows a product with fixed weights goes into them"},
    {"parts",      by_parts,             MAPPING,   true,  PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "products of joined parts are products of the parts"},
    {"recompute",  recompute,            COMPILING, true,  PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "backward computes again what is dearer to keep"},
    {"remake",     remake,               REMAKING,  false, PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "backward makes again what the limit of memory leaves no room for"},
    {"late",       late,                 COMPILING, true,  PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "backward makes large values where they are read first"},
    {"columns",    columns,              COMPILING, true,  PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "backward makes wide products again, some columns at a time"},
    {"drop-grads", drop_grads,           DROPPING,  false, PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "updates take gradients where they are made"},
    {"partial",    partial,              MAPPING,   true,  PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "long sums that nothing else is cut along are sums of parts"},
    {"weights",    weights,              NARROWING, false, PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "fixed operands of products become bf16 or int8"},
    {"merge",      merge,                MAPPING,   true,  PRIMITIVE | NO_EMPTY, NO_EMPTY,       0,       "elementwise ops get the rows of the products beside them"},
    {"settle",     settle,               MAPPING,   false, PRIMITIVE | NO_EMPTY | STRAIGHT, SETTLED,        0,       "copies where strides cannot express a view"},
};
// clang-format on

enum { PASS_COUNT = sizeof passes / sizeof *passes };

uint32_t leat_pipeline_steps(void) { return PASS_COUNT + 3; }

static leat_status_t check_disable(const char *list) {
  size_t accepted = 0;
  for (const char *at = list; at != NULL && *at != '\0'; at += accepted + (at[accepted] == ',')) {
    accepted = strcspn(at, ",");
    bool known = false;
    for (size_t i = 0; i < PASS_COUNT; ++i) {
      known |= passes[i].optional && strlen(passes[i].name) == accepted && strncmp(passes[i].name, at, accepted) == 0;
    }
    if (!known) {
      LEAT_FAIL(
          LEAT_INVALID_ARGUMENT,
          "pass '%.*s' cannot be disabled: attention, pool-first, fold, narrow, cse, dce, absorb, parts, recompute, "
          "late, columns, partial and merge can",
          (int)accepted, at);
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

// Which passes each part of a compile runs, those that train only where there is something to train, those that infer
// only where there is not, and what its graph then is.
enum { FROM_TRACED = 1u << ALWAYS | 1u << LOWERING | 1u << TRAINING };
static const struct {
  uint32_t passes, gives;
} parts[] = {
    [LEAT_PIPELINE_PROGRAM] = {1u << PROGRAM, GROUPED},
    [LEAT_PIPELINE_WHOLE] = {FROM_TRACED | 1u << INFERRING | 1u << COMPILING | 1u << REMAKING | 1u << DROPPING |
                                 1u << NARROWING | 1u << UNROLLING | 1u << MAPPING,
                             PRIMITIVE | NO_EMPTY | SETTLED},
    [LEAT_PIPELINE_UNIT] = {FROM_TRACED | 1u << INFERRING | 1u << COMPILING | 1u << REMAKING | 1u << NARROWING |
                                1u << UNROLLING | 1u << MAPPING | 1u << UNIT,
                            PRIMITIVE | NO_EMPTY | SETTLED},
    [LEAT_PIPELINE_LOOPS] = {FROM_TRACED | 1u << INFERRING | 1u << COMPILING | 1u << REMAKING, PRIMITIVE | NO_EMPTY},
    [LEAT_PIPELINE_UNIT_LOOPS] = {FROM_TRACED | 1u << INFERRING | 1u << COMPILING | 1u << REMAKING | 1u << UNIT,
                                  PRIMITIVE | NO_EMPTY},
    [LEAT_PIPELINE_STRAIGHT] = {1u << ALWAYS | 1u << NARROWING | 1u << UNROLLING | 1u << MAPPING,
                                PRIMITIVE | NO_EMPTY | SETTLED},
    [LEAT_PIPELINE_PART] = {1u << ALWAYS | 1u << MAPPING, PRIMITIVE | NO_EMPTY | SETTLED},
    [LEAT_PIPELINE_EVAL] = {FROM_TRACED, PRIMITIVE | NO_EMPTY},
};

static bool applies(const pass_t *pass, bool trains, leat_pipeline_t part, const leat_compile_options_t *options) {
  if ((parts[part].passes >> pass->when & 1u) == 0 || pass->when == (trains ? INFERRING : TRAINING)) return false;
  if (pass->when == NARROWING && (options->weight_dtype == NULL || trains)) return false;
  if (pass->when == DROPPING && (options->drop_grads == 0 || !trains)) return false;
  if (pass->when == REMAKING && (options->remade_bytes == 0 || !trains)) return false;
  return !(pass->optional && leat_text_lists(options->disable, pass->name));
}

// A graph on its way through passes. Graphs in between are destroyed; `from` is the caller's.
typedef struct walk_s {
  const leat_graph_t *from, *graph;
  steering_t by;
  const pass_t *lost_by[LEAT_PROPERTY_COUNT];
} walk_t;

// --- what passes need and give ------------------------------------------------------------------------------------

static bool checks_each(const walk_t *walk) {
#ifdef LEAT_DEBUG
  (void)walk;
  return true;
#else
  return walk->by.options->verify_each != 0;
#endif
}

static bool is_in(uint32_t properties, leat_property_t property) { return (properties >> property & 1u) != 0; }

// ": run 'lower-rest' before it", into `buffer`.
static const char *advise(leat_property_t lack, char *buffer, size_t buffer_bytes) {
  buffer[0] = '\0';
  for (size_t i = 0; i < PASS_COUNT && buffer[0] == '\0'; ++i) {
    if (is_in(passes[i].gives & ~passes[i].needs, lack))
      snprintf(buffer, buffer_bytes, ": run '%s' before it", passes[i].name);
  }
  return buffer;
}

static leat_status_t check_need(const walk_t *walk, const pass_t *pass, leat_property_t need) {
  const char *text = leat_property_text(need);
  if (walk->lost_by[need] != NULL)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "pass '%s' needs %s: run it before '%s'", pass->name, text,
              walk->lost_by[need]->name);
  leat_status_t lack = leat_property_check(need, walk->graph);
  if (lack == NULL) return NULL;
  char advice[64];
  leat_status_t status = leat_status_make(LEAT_INVALID_ARGUMENT, "pass '%s' needs %s, which %s is not%s", pass->name,
                                          text, leat_status_message(lack), advise(need, advice, sizeof advice));
  leat_status_free(lack);
  return status;
}

static leat_status_t check_needs(const walk_t *walk, const pass_t *pass) {
  for (leat_property_t p = 0; p < LEAT_PROPERTY_COUNT; ++p) {
    if (is_in(pass->needs, p)) LEAT_TRY(check_need(walk, pass, p));
  }
  return NULL;
}

static leat_status_t check_gives(uint32_t gives, const leat_graph_t *graph) {
  LEAT_TRY(leat_graph_verify(graph));
  for (leat_property_t p = 0; p < LEAT_PROPERTY_COUNT; ++p) {
    if (is_in(gives, p)) LEAT_TRY(leat_status_annotate(leat_property_check(p, graph), "not %s", leat_property_text(p)));
  }
  return NULL;
}

static leat_status_t step(walk_t *walk, const pass_t *pass) {
  leat_graph_t *next = NULL;
  if (checks_each(walk)) LEAT_TRY(check_needs(walk, pass));
  LEAT_TRY(pass->run(walk->graph, &walk->by, &next));
  if (walk->graph != walk->from) leat_graph_destroy((leat_graph_t *)walk->graph);
  walk->graph = next;
  for (leat_property_t p = 0; p < LEAT_PROPERTY_COUNT; ++p) {
    if (is_in(pass->loses, p)) walk->lost_by[p] = pass;
  }
  return checks_each(walk) ? leat_status_annotate(check_gives(pass->gives, next), "after pass %s", pass->name) : NULL;
}

// --- a part of a compile ------------------------------------------------------------------------------------------

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
static bool is_told(leat_pipeline_t part) {
  return part == LEAT_PIPELINE_PROGRAM || part == LEAT_PIPELINE_WHOLE || part == LEAT_PIPELINE_LOOPS;
}

static leat_status_t told_step(walk_t *walk, const pass_t *pass) {
  if (!walk->by.tells) return step(walk, pass);
  const uint32_t before = walk->graph->ops.count;
  leat_say_step(walk->by.options, (uint32_t)(pass - passes), leat_pipeline_steps(), pass->name);
  LEAT_TRY(step(walk, pass));
  leat_say(walk->by.options, LEAT_LOG_DEBUG, "mac", "pass %s: %u ops, then %u", pass->name, before,
           walk->graph->ops.count);
  return NULL;
}

leat_status_t leat_pipeline_run(const leat_graph_t *from, const leat_compile_options_t *options,
                                const leat_arch_t *arch, leat_pipeline_t part, leat_graph_t **out_graph) {
  LEAT_TRY(check_disable(options->disable));
  LEAT_TRY(leat_graph_verify(from));
  const bool trains = leat_pipeline_trains(from, options);
  walk_t walk = {.from = from, .graph = from, .by = {options, arch, is_told(part)}};
  leat_status_t status = NULL;
  for (size_t i = 0; i < PASS_COUNT && status == NULL; ++i) {
    if (applies(&passes[i], trains, part, options)) status = told_step(&walk, &passes[i]);
  }
  if (status == NULL && checks_each(&walk))
    status = leat_status_annotate(check_gives(parts[part].gives, walk.graph), "after all passes");
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
  LEAT_TRY(check_needs(walk, pass));
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
                                      const leat_compile_options_t *options, const leat_arch_t *arch,
                                      leat_pipeline_watch_t watch, void *context, leat_graph_t **out_graph) {
  LEAT_TRY(check_disable(options->disable));
  LEAT_TRY(leat_graph_verify(from));
  walk_t walk = {.from = from, .graph = from, .by = {options, arch, false}};
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
