// SPDX-License-Identifier: Apache-2.0
// Where a NaN or an infinity comes from: sections run on the calling thread, and what every stage reads and makes is
// looked at. Slow and exact: the bits are those of any other run.
#include <math.h>

#include "pef/flow.h"
#include "run/schedule.h"

enum { SEEN_NAN = 1, SEEN_INFINITY = 2, BUFFER = 256 };

static unsigned classify(const double *values, int64_t count) {
  unsigned seen = 0;
  for (int64_t i = 0; i < count; i++) {
    if (isnan(values[i])) seen |= SEEN_NAN;
    if (isinf(values[i])) seen |= SEEN_INFINITY;
  }
  return seen;
}

static unsigned look_at_run(const leat_program_t *program, uint8_t dtype, const char *at, int64_t stride,
                            int64_t count) {
  const int64_t bytes = (int64_t)leat_pef_dtype_bytes(dtype);
  double values[BUFFER];
  unsigned seen = 0;
  if (stride == 0 && count > 1) count = 1;
  for (int64_t i = 0; i < count; i += BUFFER) {
    int64_t n = count - i < BUFFER ? count - i : BUFFER;
    program->engine->load(program->engine_state, PEF_CLASS_F64, dtype, values, at + i * stride * bytes, stride, n);
    seen |= classify(values, n);
  }
  return seen;
}

static bool is_float(uint8_t dtype) { return dtype <= PEF_F16; }

// What the operand holds in this tile, of each dim the first `places` (NULL: all): an odometer over all dims but the
// last.
static unsigned look_at(const leat_program_t *program, const pef_operand_t *operand, const leat_run_tile_t *tile,
                        const int64_t *places) {
  if (operand->space == PEF_SPACE_NONE || !is_float(operand->dtype)) return 0;
  const char *base = leat_run_operand_at(program->pef, operand, tile);
  const int64_t bytes = (int64_t)leat_pef_dtype_bytes(operand->dtype);
  const uint32_t last = operand->rank > 0 ? operand->rank - 1u : 0;
  int64_t position[PEF_MAX_RANK] = {0}, extent[PEF_MAX_RANK] = {1};
  for (uint32_t d = 0; d < operand->rank; d++) {
    int64_t first = 0;
    extent[d] = leat_run_operand_extent(program->pef, operand, d, tile, &first);
    if (places != NULL && places[d] < extent[d]) extent[d] = places[d];
    if (extent[d] == 0) return 0;
    if (d != last && operand->strides[d] == 0) extent[d] = 1;
  }
  unsigned seen = 0;
  for (;;) {
    int64_t offset = 0;
    for (uint32_t d = 0; d < last; d++) offset += position[d] * operand->strides[d];
    seen |= look_at_run(program, operand->dtype, base + offset * bytes, operand->strides[last], extent[last]);
    uint32_t d = last;
    while (d > 0 && ++position[d - 1] == extent[d - 1]) position[--d] = 0;
    if (d == 0) return seen;
  }
}

static unsigned look_at_immediates(const leat_pef_t *pef, const pef_stage_t *stage) {
  unsigned seen = 0;
  for (uint32_t i = 0; i < stage->instruction_count; i++) {
    const pef_instruction_t *instruction = &pef->instructions[stage->instruction_first + i];
    if (instruction->op != PEF_OP_IMMEDIATE || instruction->class_ == PEF_CLASS_I64) continue;
    union {
      uint64_t u;
      double d;
    } value = {.u = instruction->imm};
    seen |= classify(&value.d, 1);
  }
  return seen;
}

typedef struct fault_walk_s {
  const leat_program_t *program;
  const pef_call_t *file_call;
  leat_fault_t *faults;
} fault_walk_t;

// What it adds to counts as read. A packed matrix has no strides that lead through it; it is a copy of weights.
static unsigned look_at_inputs(const leat_program_t *program, const pef_stage_t *stage, const leat_run_tile_t *tile) {
  unsigned seen = look_at_immediates(program->pef, stage);
  for (uint32_t o = 0; o < stage->operand_count; o++) {
    if (!leat_pef_reads(program->pef, stage, o) || leat_pef_operand_is_packed(stage, o)) continue;
    seen |= look_at(program, &program->pef->operands[stage->operand_first + o], tile, NULL);
  }
  return seen;
}

// What nobody reads need not be there.
static unsigned look_at_outputs(const fault_walk_t *walk, const pef_stage_t *stage, const leat_run_tile_t *tile) {
  const leat_pef_t *pef = walk->program->pef;
  unsigned seen = 0;
  for (uint32_t o = 0; o < stage->operand_count; o++) {
    const pef_operand_t *operand = &pef->operands[stage->operand_first + o];
    int64_t places[PEF_MAX_RANK];
    if (!leat_pef_writes(pef, stage, o)) continue;
    for (uint32_t d = 0; d < operand->rank; d++)
      places[d] = leat_flow_places(pef, &pef->bodies[walk->file_call->body], stage, o, d);
    seen |= look_at(walk->program, operand, tile, places);
  }
  return seen;
}

static void note(const fault_walk_t *walk, const pef_stage_t *stage, unsigned kind, unsigned read, unsigned made) {
  leat_fault_t *fault = &walk->faults[kind == SEEN_NAN ? LEAT_FAULT_NAN : LEAT_FAULT_INFINITY];
  unsigned bad = kind == SEEN_NAN ? SEEN_NAN : SEEN_NAN | SEEN_INFINITY;
  if (fault->origin != NULL || (made & kind) == 0 || (read & bad) != 0) return;
  const char *strings = walk->program->pef->strings;
  *fault = (leat_fault_t){.origin = strings + stage->origin,
                          .section = strings + walk->file_call->name,
                          .from_infinity = (read & SEEN_INFINITY) != 0};
}

static void run_stage(const fault_walk_t *walk, const leat_run_stage_t *stage, const leat_run_tile_t *tile) {
  const pef_stage_t *file = stage->file;
  const unsigned read = look_at_inputs(walk->program, file, tile);
  stage->run(stage->plan, tile);
  const unsigned made = look_at_outputs(walk, file, tile);
  note(walk, file, SEEN_NAN, read, made);
  note(walk, file, SEEN_INFINITY, read, made);
}

static void run_turn(const fault_walk_t *walk, const leat_run_turn_t *turn) {
  const leat_run_body_t *body = turn->call->body;
  for (int64_t t = 0; t < body->tile_count; t++) {
    leat_run_tile_t tile = leat_run_tile_of(walk->program, turn, t, 0);
    for (uint32_t s = 0; s < body->stage_count; s++) {
      const leat_run_stage_t *stage = &body->stages[s];
      if (leat_run_stage_enabled(walk->program, stage)) run_stage(walk, stage, &tile);
    }
  }
}

LEAT_EXPORT leat_status_t leat_program_find_faults(leat_program_t *program, uint32_t types,
                                                   leat_fault_t out_faults[2]) {
  out_faults[LEAT_FAULT_NAN] = out_faults[LEAT_FAULT_INFINITY] = (leat_fault_t){0};
  const leat_pef_t *pef = program->pef;
  types &= LEAT_SECTIONS_ALL;
  if ((types & program->section_types) == 0) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the file has none of the section types asked for (bits 0x%x, it has 0x%x)", types,
              program->section_types & LEAT_SECTIONS_ALL);
  }
  LEAT_TRY(leat_run_types_check(program, types));
  if (leat_run_is_stale(program)) leat_run_symbols_follow(program);
  const uint32_t all = types | (leat_run_is_stale(program) ? 1u << PEF_PREPARE : 0);
  for (leat_walk_t at = leat_walk_start(pef, PEF_MAX_TRIPS); leat_walk_next(&at);) {
    fault_walk_t walk = {.program = program, .file_call = &pef->calls[at.call], .faults = out_faults};
    if (!leat_run_asks(all, program->whens, &program->calls[at.call])) {
      (void)leat_run_pass_by(program, &at, all);
      continue;
    }
    const leat_run_turn_t turn = leat_run_turn(program, &at, 0);
    run_turn(&walk, &turn);
  }
  program->prepared = *program->changes;
  if ((types & program->section_types & (1u << PEF_OPT)) != 0) ++*program->changes;
  return leat_run_verdict(program);
}
