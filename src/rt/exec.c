// SPDX-License-Identifier: Apache-2.0
// A run: a walk over calls, tiles and stages. Allocates nothing, looks nothing up.
#include "rt/program.h"

static bool stage_enabled(const leat_program_t *program, const leat_rt_stage_t *stage) {
  return stage->output_bit >= 64 || (program->enabled_outputs >> stage->output_bit & 1) != 0;
}

static void run_tile(const leat_program_t *program, const leat_rt_call_t *call, int64_t index, uint32_t worker) {
  const leat_rt_body_t *body = call->body;
  int64_t r0 = index * body->tile_rows, left = body->row_count - r0;
  char *memory = program->worker_block + worker * program->worker_bytes;
  leat_rt_tile_t tile = {.r0 = r0, .rows = left < body->tile_rows ? left : body->tile_rows,
                         .arguments = call->arguments, .scratch = memory, .workspace = memory + program->scratch_bytes};
  for (uint32_t s = 0; s < body->stage_count; s++) {
    const leat_rt_stage_t *stage = &body->stages[s];
    if (stage_enabled(program, stage)) stage->kind->run(stage, &tile);
  }
}

static void run_call(const leat_program_t *program, const leat_rt_call_t *call) {
  for (int64_t t = 0; t < call->body->tile_count; t++) run_tile(program, call, t, 0);
}

static void run_calls(leat_program_t *program, uint32_t types) {
  for (uint32_t c = 0; c < program->pef->call_count; c++) {
    const leat_rt_call_t *call = &program->calls[c];
    if ((types >> call->type & 1) != 0) run_call(program, call);
  }
}

void leat_rt_exec_run(leat_program_t *program, uint32_t types) {
  if (program->stale && program->has_prepare && (types & ~(1u << PEF_OPT)) != 0) {
    run_calls(program, 1u << PEF_PREPARE);
    program->stale = false;
  }
  run_calls(program, types);
  if ((types & program->section_types & (1u << PEF_OPT)) != 0) program->stale = true;
}
