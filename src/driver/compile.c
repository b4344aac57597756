// SPDX-License-Identifier: Apache-2.0
// The public API of the compiler: compile, evaluate, fingerprint.
#include "leat/compile.h"

#include "cut/cut.h"
#include "cut/decision.h"
#include "driver/batches.h"
#include "driver/limit.h"
#include "driver/looped.h"
#include "driver/option.h"
#include "driver/pipeline.h"
#include "driver/say.h"
#include "driver/separate.h"
#include "driver/targets.h"
#include "driver/trips.h"
#include "driver/weights.h"
#include "ir/fingerprint.h"
#include "map/map.h"
#include "opt/batch_dims.h"
#include "opt/bounds.h"
#include "opt/microbatch.h"
#include "pef/legal.h"
#include "report/report.h"
#include "unit/unit.h"

static bool proves_plans(const leat_compile_options_t *options) {
#ifdef LEAT_DEBUG
  (void)options;
  return true;
#else
  return options->verify_each != 0;
#endif
}

// A mistake of the compiler is told while the program is at hand.
static leat_status_t own_mistake(leat_status_t status, const char *what) {
  if (status == NULL || leat_status_code(status) == LEAT_OUT_OF_MEMORY) return status;
  leat_status_t told = leat_status_make(LEAT_INTERNAL,
                                        "the compiler made a file that %s (%s): "
                                        "nothing was written; please report it with the program",
                                        what, leat_status_message(status));
  leat_status_free(status);
  return told;
}

// A run of too many trips to go through is told to be unproved.
static leat_status_t prove(const leat_pef_t *pef, const leat_compile_options_t *options) {
  leat_status_t status = proves_plans(options) ? leat_legal_check(pef) : NULL;
  if (leat_status_code(status) != LEAT_UNSUPPORTED) return own_mistake(status, "it cannot prove legal");
  leat_say(options, LEAT_LOG_WARNING, "mac", "the plan of memory and barriers is not proved: %s",
           leat_status_message(status));
  leat_status_free(status);
  return NULL;
}

// What a loader would refuse is not written, nor, where that is checked, what has no legal plan.
static leat_status_t check_made(const uint8_t *data, size_t bytes, const leat_compile_options_t *options,
                                leat_pef_t **out_pef) {
  LEAT_TRY(own_mistake(leat_pef_open_memory(data, bytes, "the compiled program", out_pef), "its own loader refuses"));
  leat_status_t status = prove(*out_pef, options);
  if (status != NULL) leat_pef_close(*out_pef);
  return status;
}

// Reports come first: once the PEF is there, everything about the compile has succeeded.
static leat_status_t write_checked(const uint8_t *data, size_t bytes, const char *path,
                                   const leat_compile_options_t *options, const leat_arch_t *arch,
                                   leat_limit_t *limit) {
  leat_pef_t *pef = NULL;
  LEAT_TRY(check_made(data, bytes, options, &pef));
  leat_status_t status = leat_limit_check(pef, options, limit);
  if (status == NULL && options->report_dir != NULL)
    status = leat_status_annotate(leat_report_write(pef, arch, options->report_dir), "reports");
  leat_pef_close(pef);
  return status != NULL ? status : leat_file_write_atomic(path, data, bytes);
}

// A section is a partition of the one chip that this machine is; the last one stands for all.
static void say_sections(const leat_compile_options_t *options, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const bool last = i + 1 == count;
    leat_say(options, last ? LEAT_LOG_INFO : LEAT_LOG_DEBUG, "mac", "Compilation succeeded for partition_0_%u", i);
  }
}

// decisions.json in the folder of the reports.
static leat_status_t write_decisions(const leat_graph_t *settled, const leat_plan_t *plan,
                                     const leat_compile_options_t *options) {
  leat_text_t text = {0};
  leat_status_t status = leat_decision_put(settled, plan, &text);
  if (status == NULL) status = leat_file_write_text(options->report_dir, "decisions.json", &text);
  leat_text_deinit(&text);
  return leat_status_annotate(status, "mapping decisions");
}

// Decisions are about one graph that is cut as a whole, and need a folder to be written to.
static leat_status_t check_decisions(const leat_graph_t *program, const leat_compile_options_t *options) {
  if (options->decisions == NULL && options->write_decisions == 0) return NULL;
  if (program->groups.count != 0) {
    LEAT_FAIL(
        LEAT_UNSUPPORTED,
        "mapping decisions say where the whole graph is cut, groups are compiled apart: compile with -o3, without "
        "--enable-hypersection or --compiler-mode nlp");
  }
  if (options->write_decisions != 0 && options->report_dir == NULL)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "mapping decisions go to the folder of the reports, and there is none");
  return NULL;
}

static leat_status_t compile_whole(const leat_graph_t *graph, const leat_compile_options_t *options,
                                   const leat_map_options_t *map_options, leat_pef_writer_t *writer) {
  const uint32_t steps = leat_pipeline_steps();
  leat_graph_t *settled = NULL;
  LEAT_TRY(leat_pipeline_run(graph, options, map_options->arch, LEAT_PIPELINE_WHOLE, &settled));
  leat_cut_options_t cut = {.arch = map_options->arch,
                            .shares = options->scaling,
                            .greedy = options->greedy_cutter != 0 || options->spatial != 0,
                            .spatial = options->spatial != 0,
                            .decisions = options->decisions,
                            .decisions_name = options->decisions_name};
  leat_plan_t plan;
  leat_say_step(options, steps - 3, steps, "cut");
  leat_status_t status = leat_cut(settled, &cut, &plan);
  if (status == NULL) {
    leat_say_step(options, steps - 2, steps, "map");
    leat_map_options_t whole = *map_options;
    whole.whole = true;
    status = leat_target_map(settled, &plan, &whole, writer);
    if (status == NULL && options->write_decisions != 0) status = write_decisions(settled, &plan, options);
    leat_plan_deinit(&plan);
  }
  leat_graph_destroy(settled);
  return status;
}

// With loops that are mapped as such; *out_done: whether the program is one for that.
static leat_status_t compile_loops(const leat_graph_t *program, const leat_compile_options_t *options,
                                   const leat_map_options_t *map_options, leat_pef_writer_t *writer, bool *out_done) {
  leat_graph_t *primitive = NULL;
  LEAT_TRY(leat_looped_lower(program, options, map_options, LEAT_PIPELINE_LOOPS, &primitive));
  *out_done = primitive != NULL;
  leat_status_t status = *out_done ? leat_compile_looped(primitive, options, map_options, writer) : NULL;
  leat_graph_destroy(primitive);
  return status;
}

static leat_status_t write_file(leat_pef_writer_t *writer, const leat_compile_options_t *options,
                                const leat_arch_t *arch, const char *path, leat_limit_t *limit) {
  say_sections(options, leat_pef_call_count(writer));
  leat_say_step(options, leat_pipeline_steps() - 1, leat_pipeline_steps(), "write");
  leat_pef_set_metadata(writer, options->metadata);
  uint8_t *data = NULL;
  size_t bytes = 0;
  LEAT_TRY(leat_pef_write_memory(writer, &data, &bytes));
  leat_status_t status = write_checked(data, bytes, path, options, arch, limit);
  leat_free(data);
  return status;
}

// A program on its way into the file.
typedef struct program_s {
  const leat_graph_t *graph;   // traced; NULL where it is `looped`
  const leat_graph_t *looped;  // primitives with loops, for leat_compile_looped; NULL: `graph` tells
  const leat_graph_t *bounded;
  const leat_bounds_t *bounds;  // of symbols of `bounded`
} program_t;

// A gradient is used where it is made only in a program that is compiled as one stretch, and once an update.
static leat_status_t check_drop_grads(const program_t *program, const leat_compile_options_t *options,
                                      const leat_map_options_t *map_options) {
  if (options->drop_grads == 0) return NULL;
  if (map_options->inference)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "--drop-grads: the program makes no gradients; compile it for training");
  const bool grouped = program->graph != NULL && leat_units_suit(program->graph);
  const char *why = options->update_batches > 1 ? "--grad-accumulation-steps adds them up"
                    : options->part != NULL     ? "--microbatch-size adds them up"
                    : grouped ? "groups (-o0, -o1, --enable-hypersection, --compiler-mode nlp) hand them on"
                              : NULL;
  if (why != NULL) LEAT_FAIL(LEAT_UNSUPPORTED, "--drop-grads: %s; compile without the one or the other", why);
  return NULL;
}

static leat_status_t compile_traced(const leat_graph_t *graph, const leat_compile_options_t *options,
                                    const leat_map_options_t *map_options, leat_pef_writer_t *writer) {
  if (leat_units_suit(graph)) return leat_compile_separately(graph, options, map_options, writer);
  bool done = false;
  LEAT_TRY(compile_loops(graph, options, map_options, writer, &done));
  return done ? NULL : compile_whole(graph, options, map_options, writer);
}

static leat_status_t compile_once(const program_t *program, const leat_compile_options_t *options,
                                  const leat_map_options_t *map_options, leat_pef_writer_t **out_writer) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  if (writer == NULL) return leat_out_of_memory();
  leat_pef_share_bodies(writer, options->separate_bodies == 0);
  leat_status_t status = check_drop_grads(program, options, map_options);
  if (status == NULL)
    status = program->looped != NULL ? leat_compile_looped(program->looped, options, map_options, writer)
                                     : compile_traced(program->graph, options, map_options, writer);
  *out_writer = writer;
  if (status != NULL) leat_pef_writer_destroy(writer);
  return status;
}

static void say_factors(const leat_compile_options_t *options, const char *what) {
  const double *f = options->scaling;
  leat_say(options, LEAT_LOG_WARNING, "mac", "%s --resources-scaling-factors %g %g %g %g", what, f[LEAT_TYPE_FWD],
           f[LEAT_TYPE_BCKWD], f[LEAT_TYPE_GRADNORM], f[LEAT_TYPE_OPT]);
}

// A section that is short of scratch: its type gets half the share, so that the cutter cuts earlier. Decisions leave
// the cutter no choice, and prepare sections have no share.
static bool may_retry(const leat_compile_options_t *options, const leat_map_shortage_t *shortage) {
  return shortage->found && options->retry != 0 && options->decisions == NULL && shortage->type <= LEAT_TYPE_OPT;
}

enum { RETRIES_MAX = 6 };

static leat_status_t compile_retrying(const program_t *program, const leat_compile_options_t *options,
                                      leat_map_options_t *map_options, leat_pef_writer_t **out_writer) {
  leat_compile_options_t lowered = *options;
  leat_map_shortage_t shortage = {0};
  map_options->shortage = &shortage;
  leat_status_t status = compile_once(program, &lowered, map_options, out_writer);
  uint32_t retries = 0;
  for (; status != NULL && retries < RETRIES_MAX && may_retry(options, &shortage); ++retries) {
    leat_say(options, LEAT_LOG_WARNING, "mac", "%s", leat_status_message(status));
    leat_status_free(status);
    lowered.scaling[shortage.type] /= 2;
    shortage.found = false;
    say_factors(&lowered, "that section does not fit: compiling again with");
    status = compile_once(program, &lowered, map_options, out_writer);
  }
  map_options->shortage = NULL;
  if (status == NULL && retries != 0) say_factors(&lowered, "every section fits with");
  return status;
}

static leat_status_t put_bound(const leat_graph_t *program, const leat_bound_t *bound, leat_pef_writer_t *writer) {
  const leat_op_t *op = leat_graph_op(program, bound->op);
  const leat_origin_t *origin = &program->origins.data[op->origin];
  const char *name = origin->traced != NULL && *origin->traced ? origin->traced : leat_op_info(op->kind)->name;
  leat_text_t text = {0};
  leat_text_put(&text, "%s", name);
  if (origin->module != NULL && *origin->module) leat_text_put(&text, " at %s", origin->module);
  if (origin->source != NULL && *origin->source) leat_text_put(&text, " (%s)", origin->source);
  const char *symbol = leat_graph_symbol(program, bound->symbol)->name;
  pef_bound_t record = {.symbol = leat_pef_find_symbol(writer, symbol),
                        .origin = leat_pef_add_string(writer, text.data),
                        .low = bound->low,
                        .high = bound->high,
                        .ignored = bound->ignored,
                        .rank = bound->rank,
                        .has_ignored = bound->has_ignored,
                        .offset = (uint64_t)bound->offset};
  memcpy(record.dims, bound->dims, bound->rank * sizeof *bound->dims);
  memcpy(record.strides, bound->strides, bound->rank * sizeof *bound->strides);
  const bool failed = text.failed;
  leat_text_deinit(&text);
  if (failed) return leat_out_of_memory();
  if (record.symbol == PEF_NONE) LEAT_FAIL(LEAT_INTERNAL, "the index of %s has no symbol '%s'", name, symbol);
  leat_pef_add_bound(writer, &record);
  return NULL;
}

static leat_status_t put_bounds(const leat_graph_t *program, const leat_bounds_t *bounds, leat_pef_writer_t *writer) {
  for (uint32_t i = 0; i < bounds->count; ++i) LEAT_TRY(put_bound(program, &bounds->data[i], writer));
  return NULL;
}

static leat_status_t compile_program(const program_t *program, const leat_compile_options_t *options,
                                     leat_map_options_t *map_options, const char *path, leat_limit_t *limit) {
  leat_pef_writer_t *writer = NULL;
  LEAT_TRY(compile_retrying(program, options, map_options, &writer));
  leat_status_t status = leat_batches_add_loop(options, map_options, &writer);
  if (status == NULL) status = put_bounds(program->bounded, program->bounds, writer);
  if (status == NULL) status = write_file(writer, options, map_options->arch, path, limit);
  leat_pef_writer_destroy(writer);
  return status;
}

static leat_status_t check_mapping(const leat_graph_t *program, const leat_compile_options_t *options) {
  LEAT_TRY(check_decisions(program, options));
  if (options->spatial == 0 || program->groups.count == 0) return NULL;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT,
            "--mapping spatial is one section, groups are one each: compile with -o3, without --enable-hypersection "
            "or --compiler-mode nlp");
}

static leat_status_t compile_straight(const leat_graph_t *graph, const leat_compile_options_t *options,
                                      leat_map_options_t *map_options, const char *path, leat_limit_t *limit) {
  leat_graph_t *program = NULL;
  LEAT_TRY(leat_pipeline_run(graph, options, map_options->arch, LEAT_PIPELINE_PROGRAM, &program));
  leat_bounds_t bounds = {0};
  const program_t whole = {.graph = program, .bounded = program, .bounds = &bounds};
  leat_status_t status = leat_opt_bounds(program, &bounds);
  if (status == NULL) status = check_mapping(program, options);
  if (status == NULL) status = compile_program(&whole, options, map_options, path, limit);
  leat_array_free(&bounds);
  leat_graph_destroy(program);
  return status;
}

// `unrolled`: the program with each part written out, for where the loop does not suit.
static leat_status_t compile_parts(const leat_graph_t *whole, const leat_graph_t *unrolled,
                                   const leat_compile_options_t *options, leat_map_options_t *map_options,
                                   const char *path, leat_limit_t *limit) {
  leat_trips_t trips;
  leat_status_t status = leat_trips_make(whole, options, map_options->arch, &trips);
  const bool rolls = leat_status_code(status) != LEAT_UNSUPPORTED;
  if (!rolls) {
    leat_say(options, LEAT_LOG_WARNING, "mac", "micro-batches are written out one by one, not as a loop: %s",
             leat_status_message(status));
    leat_status_free(status);
    status = compile_straight(unrolled, options, map_options, path, limit);
  }
  const program_t program = {.looped = trips.primitive, .bounded = trips.bounded, .bounds = &trips.bounds};
  if (rolls && status == NULL) status = compile_program(&program, options, map_options, path, limit);
  leat_trips_deinit(&trips);
  return status;
}

static leat_status_t compile_mapped(const leat_graph_t *whole, const leat_graph_t *graph,
                                    const leat_compile_options_t *options, leat_map_options_t *map_options,
                                    const char *path) {
  LEAT_TRY(leat_fingerprint(graph, LEAT_FINGERPRINT_VERSION, map_options->fingerprint));
  leat_compile_options_t tried = *options;
  leat_limit_t limit = {0};
  leat_status_t status = NULL;
  do {
    status = whole != graph ? compile_parts(whole, graph, &tried, map_options, path, &limit)
                            : compile_straight(graph, &tried, map_options, path, &limit);
  } while (leat_limit_again(&limit, &tried, &status));
  leat_say_step(options, leat_pipeline_steps(), leat_pipeline_steps(), status == NULL ? "done" : "failed");
  return status;
}

leat_status_t leat_compile_for(const leat_map_target_t *const *targets, const leat_graph_t *graph,
                               const leat_compile_options_t *options, const char *path) {
  const leat_map_target_t *target = NULL;
  leat_arch_t arch;
  LEAT_TRY(leat_options_check(options));
  LEAT_TRY(leat_trips_check(graph));
  if (options->part != NULL) LEAT_TRY(leat_trips_check(options->part));
  LEAT_TRY(leat_target_find(targets, options->arch, &target, &arch));
  const bool trains = leat_pipeline_trains(graph, options);
  LEAT_TRY(leat_weights_check_training(options, trains));
  leat_option_say_unused(options);
  if (options->arch != NULL && leat_target_is_chip(options->arch)) {
    leat_say(options, LEAT_LOG_WARNING, "samba",
             "--arch %s: this target is not available yet, so the PEF is for native, the CPU of this machine",
             options->arch);
  }
  leat_text_t text = {0};
  leat_arch_put(&arch, false, &text);
  leat_map_options_t map_options = {.target = target,
                                    .arch = &arch,
                                    .arch_text = text.data,
                                    .optim_level = options->optim_level,
                                    .inference = !trains,
                                    .repeats = options->update_batches > 1,
                                    .fingerprint_version = LEAT_FINGERPRINT_VERSION};
  leat_graph_t *parts = NULL;
  leat_status_t status = text.failed ? leat_out_of_memory() : NULL;
  if (status == NULL && options->part != NULL) status = leat_graph_microbatch(graph, options->part, &parts);
  if (status == NULL) status = compile_mapped(graph, parts == NULL ? graph : parts, options, &map_options, path);
  leat_graph_destroy(parts);
  leat_text_deinit(&text);
  return status;
}

LEAT_EXPORT leat_status_t leat_compile(const leat_graph_t *graph, const leat_compile_options_t *options,
                                       const char *path) {
  return leat_compile_for(leat_targets, graph, options, path);
}

static leat_status_t evaluate(leat_eval_t *eval, const leat_tensor_t *inputs, size_t input_count,
                              leat_tensor_t *outputs, size_t output_count) {
  for (size_t i = 0; i < input_count; ++i) {
    LEAT_TRY(leat_eval_set(eval, inputs[i].name, inputs[i].data, inputs[i].data_bytes));
  }
  LEAT_TRY(leat_eval_run(eval));
  for (size_t i = 0; i < output_count; ++i) {
    LEAT_TRY(leat_eval_get(eval, outputs[i].name, outputs[i].data, outputs[i].data_bytes));
  }
  return NULL;
}

LEAT_EXPORT leat_status_t leat_graph_eval(const leat_graph_t *graph, const leat_tensor_t *inputs, size_t input_count,
                                          leat_tensor_t *outputs, size_t output_count) {
  leat_compile_options_t options = leat_compile_options_default();
  leat_graph_t *primitive = NULL;
  LEAT_TRY(leat_pipeline_run(graph, &options, NULL, LEAT_PIPELINE_EVAL, &primitive));
  leat_eval_t *eval = NULL;
  leat_status_t status = leat_eval_create(primitive, &eval);
  if (status == NULL) {
    status = evaluate(eval, inputs, input_count, outputs, output_count);
    leat_eval_destroy(eval);
  }
  leat_graph_destroy(primitive);
  return status;
}

LEAT_EXPORT leat_status_t leat_graph_microbatch(const leat_graph_t *whole, const leat_graph_t *part,
                                                leat_graph_t **out_graph) {
  LEAT_TRY(leat_graph_verify(whole));
  LEAT_TRY(leat_graph_verify(part));
  return leat_opt_microbatch(whole, part, out_graph);
}

_Static_assert(LEAT_NONE == (uint32_t)LEAT_NO_DIM, "no dim: the same bits here and in the public header");

LEAT_EXPORT leat_status_t leat_graph_batch_dims(const leat_graph_t *graph, const leat_graph_t *other, int32_t *out_dims,
                                                uint32_t output_count) {
  return leat_opt_batch_dims(graph, other, (uint32_t *)out_dims, output_count);
}

LEAT_EXPORT leat_status_t leat_graph_fingerprint(const leat_graph_t *graph, uint32_t version,
                                                 uint64_t out_fingerprint[3]) {
  return leat_fingerprint(graph, version, out_fingerprint);
}
