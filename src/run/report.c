// SPDX-License-Identifier: Apache-2.0
// The report: sections with cost and measured time, symbols, memory; JSON.
#include "pef/flow.h"
#include "run/program.h"

static const char *const type_names[PEF_TYPE_COUNT] = {"fwd",    "bckwd",  "gradnorm", "opt",
                                                       "reduce", "gather", "prepare"};
const char *leat_run_type_name(uint32_t type) { return type_names[type]; }

static const char *const kind_names[PEF_SYMBOL_KIND_COUNT] = {
    "input", "output", "parameter", "buffer", "gradient", "state", "hyperparameter", "seed", "internal"};

static void put_field(leat_text_t *text, const char *name, double value) {
  leat_text_put(text, ",\"%s\":", name);
  leat_text_put_double(text, value);
}

// The time of each stage, of all threads together.
static void put_stages(const leat_program_t *program, uint32_t index, leat_text_t *text) {
  const leat_run_body_t *body = program->calls[index].body;
  leat_text_put(text, ",\"stage_times\":[");
  for (uint32_t s = 0; s < body->stage_count; s++) {
    double seconds = 0;
    for (uint32_t t = 0; t < program->thread_count; t++)
      seconds += program->profile[index].stage_seconds[t * body->stage_count + s];
    leat_text_put(text, "%s{\"kind\":\"%s\",\"origin\":", s > 0 ? "," : "",
                  leat_pef_stage_name(body->stages[s].file->kind));
    leat_text_put_json_string(text, program->pef->strings + body->stages[s].file->origin);
    put_field(text, "thread_seconds", seconds);
    leat_text_put(text, "}");
  }
  leat_text_put(text, "]");
}

// The time of the thread that was the busiest.
static double busiest_seconds(const leat_program_t *program, uint32_t index) {
  const uint32_t count = program->calls[index].body->stage_count;
  double most = 0;
  for (uint32_t t = 0; t < program->thread_count; t++) {
    double seconds = 0;
    for (uint32_t s = 0; s < count; s++) seconds += program->profile[index].stage_seconds[t * count + s];
    if (seconds > most) most = seconds;
  }
  return most;
}

// What the threads of the program need at least on the machine that the file was compiled for.
static void put_roofline(const leat_program_t *program, const leat_flow_t *flow, uint32_t index, leat_text_t *text) {
  const pef_call_t *call = &flow->pef->calls[index];
  const leat_flow_totals_t *totals = &flow->totals[index];
  const bool is_f64 = leat_pef_body_is_f64(flow->pef, &flow->pef->bodies[call->body]);
  const leat_arch_roofline_t of = {program->level, is_f64 ? LEAT_ARCH_F64 : LEAT_ARCH_F32, program->thread_count};
  const double moved = (double)(totals->bytes_in + totals->bytes_out);
  bool memory_bound;
  const double seconds = leat_arch_roofline(&program->arch, of, totals->flops, moved, &memory_bound);
  put_field(text, "moved_bytes", moved);
  put_field(text, "roofline_seconds", seconds);
  leat_text_put(text, ",\"bound\":\"%s\",\"dtype\":\"%s\"", memory_bound ? "memory" : "compute",
                is_f64 ? "f64" : "f32");
}

static void put_machine(const leat_program_t *program, leat_text_t *text) {
  const leat_arch_t *arch = &program->arch;
  leat_text_put(text, ",\"machine\":{\"name\":");
  leat_text_put_json_string(text, arch->name);
  leat_text_put(text, ",\"built_in\":%s,\"level\":\"%s\"", arch->built_in ? "true" : "false",
                leat_arch_level_name(program->level));
  put_field(text, "f32", leat_arch_peak(arch, LEAT_ARCH_F32, program->level));
  put_field(text, "f64", leat_arch_peak(arch, LEAT_ARCH_F64, program->level));
  put_field(text, "read_bytes", leat_arch_read_rate(arch, program->thread_count));
  leat_text_put(text, "}");
}

// `flow` is found where something was timed; `times`: how often a run makes the call. Costs are of all times together.
static void put_section(const leat_program_t *program, const leat_flow_t *flow, uint32_t index, double times,
                        leat_text_t *text) {
  const pef_call_t *call = &program->pef->calls[index];
  const leat_run_body_t *body = program->calls[index].body;
  leat_text_put(text, "%s{\"name\":", index > 0 ? "," : "");
  leat_text_put_json_string(text, program->pef->strings + call->name);
  leat_text_put(text, ",\"type\":\"%s\",\"body\":%u,\"stages\":%u,\"rows\":%lld,\"tiles\":%lld", type_names[call->type],
                call->body, body->stage_count, (long long)body->space.row_count, (long long)body->tile_count);
  put_field(text, "times", times);
  put_field(text, "flops", call->flops * times);
  put_field(text, "bytes", call->bytes * times);
  leat_text_put(text, ",\"why\":");
  leat_text_put_json_string(text, program->pef->strings + call->why);
  if (program->profile != NULL) {
    leat_text_put(text, ",\"runs\":%llu", (unsigned long long)program->profile[index].runs);
    put_field(text, "seconds", program->profile[index].seconds);
    put_field(text, "busiest_thread_seconds", busiest_seconds(program, index));
    put_roofline(program, flow, index, text);
    put_stages(program, index, text);
  }
  leat_text_put(text, "}");
}

static void put_loop(const leat_program_t *program, uint32_t index, leat_text_t *text) {
  const pef_loop_t *loop = &program->pef->loops[index];
  leat_text_put(text, "%s{\"name\":", index > 0 ? "," : "");
  leat_text_put_json_string(text, program->pef->strings + loop->name);
  leat_text_put(text, ",\"first\":%u,\"sections\":%u,\"trips\":%u,\"batches\":%s}", loop->call_first, loop->call_count,
                loop->trips, (loop->flags & PEF_LOOP_BATCHES) != 0 ? "true" : "false");
}

static void put_symbol(const leat_program_t *program, uint32_t index, leat_text_t *text) {
  const pef_symbol_t *symbol = &program->pef->symbols[index];
  leat_text_put(text, "%s{\"name\":", index > 0 ? "," : "");
  leat_text_put_json_string(text, program->pef->strings + symbol->name);
  leat_text_put(text, ",\"kind\":\"%s\",\"dtype\":\"%s\",\"shape\":[", kind_names[symbol->kind],
                leat_pef_dtype_name(symbol->dtype));
  for (uint32_t d = 0; d < symbol->rank; d++)
    leat_text_put(text, "%s%lld", d > 0 ? "," : "", (long long)symbol->dims[d]);
  leat_text_put(text, "],\"bytes\":%llu}", (unsigned long long)symbol->bytes);
}

LEAT_EXPORT leat_status_t leat_program_report(const leat_program_t *program, char **out_json) {
  const leat_pef_t *pef = program->pef;
  leat_flow_t flow = {0};
  if (program->profile != NULL) LEAT_TRY(leat_flow_find(pef, &flow));
  leat_text_t text = {0};
  leat_text_put(&text, "{\"engine\":\"%s\",\"threads\":%u", program->engine->name, program->thread_count);
  program->engine->report(program->engine_state, &text);
  leat_text_put(&text,
                ",\"memory\":{\"arena_bytes\":%llu,\"block_bytes\":%zu,\"tile_bytes\":%zu,\"constant_bytes\":%llu}",
                (unsigned long long)pef->info->arena_bytes, program->block_bytes, program->worker_block_bytes,
                (unsigned long long)pef->constant_bytes);
  put_field(&text, "run_flops", pef->info->run_flops);
  put_field(&text, "run_bytes", pef->info->run_bytes);
  put_machine(program, &text);
  leat_text_put(&text, ",\"sections\":[");
  for (leat_walk_t walk = leat_walk_start(pef, 1); leat_walk_next(&walk);)
    put_section(program, &flow, walk.call, leat_walk_times(&walk), &text);
  leat_text_put(&text, "],\"loops\":[");
  for (uint32_t l = 0; l < pef->loop_count; l++) put_loop(program, l, &text);
  leat_text_put(&text, "],\"symbols\":[");
  for (uint32_t s = 0; s < pef->symbol_count; s++) put_symbol(program, s, &text);
  leat_text_put(&text, "]}");
  if (program->profile != NULL) leat_flow_deinit(&flow);
  if (text.failed) {
    leat_text_deinit(&text);
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the report");
  }
  *out_json = text.data;
  return NULL;
}
