// SPDX-License-Identifier: Apache-2.0
// Where a NaN or an infinity comes from: sections run on the calling thread, and what every stage reads and makes is
// looked at. Slow and exact: the bits are those of any other run.
#include <math.h>

#include "run/program.h"

enum { SEEN_NAN = 1, SEEN_INFINITY = 2, BUFFER = 256 };

static unsigned classify(const double *values, int64_t count) {
  unsigned seen = 0;
  for (int64_t i = 0; i < count; i++) {
    if (isnan(values[i])) seen |= SEEN_NAN;
    if (isinf(values[i])) seen |= SEEN_INFINITY;
  }
  return seen;
}

static unsigned look_at_run(const leat_kern_t *kern, const leat_native_operand_t *operand, const char *at,
                            int64_t stride, int64_t count) {
  double values[BUFFER];
  unsigned seen = 0;
  if (stride == 0 && count > 1) count = 1;
  for (int64_t i = 0; i < count; i += BUFFER) {
    int64_t n = count - i < BUFFER ? count - i : BUFFER;
    kern->load[PEF_CLASS_F64][operand->dtype](values, at + i * stride * operand->element_bytes, stride, n);
    seen |= classify(values, n);
  }
  return seen;
}

static bool is_float(uint8_t dtype) { return dtype <= PEF_F16; }

// What the operand holds in this tile: an odometer over all dims but the last.
static unsigned look_at(const leat_native_stage_t *stage, uint32_t index, const leat_native_tile_t *tile) {
  const leat_native_operand_t *operand = &stage->operands[index];
  if (operand->space == PEF_SPACE_NONE || !is_float(operand->dtype)) return 0;
  const char *base = leat_native_operand_at(operand, tile);
  uint32_t last = operand->rank > 0 ? operand->rank - 1u : 0;
  int64_t position[8] = {0}, extent[8];
  for (uint32_t d = 0; d < 8; d++) {
    extent[d] = leat_native_operand_extent(operand, d, tile);
    if (extent[d] == 0) return 0;
    if (d != last && operand->strides[d] == 0) extent[d] = 1;
  }
  unsigned seen = 0;
  for (;;) {
    int64_t offset = 0;
    for (uint32_t d = 0; d < last; d++) offset += position[d] * operand->strides[d];
    seen |=
        look_at_run(stage->kern, operand, base + offset * operand->element_bytes, operand->strides[last], extent[last]);
    uint32_t d = last;
    while (d > 0 && ++position[d - 1] == extent[d - 1]) position[--d] = 0;
    if (d == 0) return seen;
  }
}

static unsigned look_at_immediates(const leat_native_stage_t *stage) {
  unsigned seen = 0;
  for (uint32_t i = 0; i < stage->instruction_count; i++) {
    const pef_instruction_t *instruction = &stage->instructions[i];
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
  const pef_stage_t *file_stages;  // of the body
  const pef_call_t *file_call;
  leat_fault_t *faults;
} fault_walk_t;

// What it adds to counts as read. A packed matrix has no strides that lead through it; it is a copy of weights.
static unsigned look_at_inputs(const fault_walk_t *walk, const leat_native_stage_t *stage, const pef_stage_t *file,
                               const leat_native_tile_t *tile) {
  const uint64_t inputs = leat_pef_stage_inputs(walk->program->pef, file);
  unsigned seen = look_at_immediates(stage);
  for (uint32_t o = 0; o < stage->operand_count; o++) {
    if ((inputs >> o & 1) != 0 && !leat_pef_operand_is_packed(file, o)) seen |= look_at(stage, o, tile);
  }
  return seen;
}

static void note(const fault_walk_t *walk, const leat_native_stage_t *stage, unsigned kind, unsigned read,
                 unsigned made) {
  leat_fault_t *fault = &walk->faults[kind == SEEN_NAN ? LEAT_FAULT_NAN : LEAT_FAULT_INFINITY];
  unsigned bad = kind == SEEN_NAN ? SEEN_NAN : SEEN_NAN | SEEN_INFINITY;
  if (fault->origin != NULL || (made & kind) == 0 || (read & bad) != 0) return;
  *fault = (leat_fault_t){.origin = stage->origin,
                          .section = walk->program->pef->strings + walk->file_call->name,
                          .from_infinity = (read & SEEN_INFINITY) != 0};
}

static void run_stage(const fault_walk_t *walk, const leat_native_stage_t *stage, const pef_stage_t *file,
                      const leat_native_tile_t *tile) {
  uint64_t outputs = leat_pef_stage_outputs(walk->program->pef, file);
  unsigned read = look_at_inputs(walk, stage, file, tile), made = 0;
  stage->kind->run(stage, tile);
  for (uint32_t o = 0; o < stage->operand_count; o++) {
    if ((outputs >> o & 1) != 0) made |= look_at(stage, o, tile);
  }
  note(walk, stage, SEEN_NAN, read, made);
  note(walk, stage, SEEN_INFINITY, read, made);
}

static void run_call(const fault_walk_t *walk, const leat_run_call_t *call) {
  for (int64_t t = 0; t < call->body->tile_count; t++) {
    leat_native_tile_t tile = leat_run_tile_of(walk->program, call, t, 0);
    for (uint32_t s = 0; s < call->body->stage_count; s++) {
      const leat_native_stage_t *stage = &call->body->stages[s];
      if (leat_run_stage_enabled(walk->program, stage)) run_stage(walk, stage, &walk->file_stages[s], &tile);
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
  for (uint32_t c = 0; c < pef->call_count; c++) {
    const leat_run_call_t *call = &program->calls[c];
    bool prepares = call->type == PEF_PREPARE && leat_run_is_stale(program);
    if ((types >> call->type & 1) == 0 && !prepares) continue;
    fault_walk_t walk = {.program = program,
                         .file_stages = pef->stages + pef->bodies[pef->calls[c].body].stage_first,
                         .file_call = &pef->calls[c],
                         .faults = out_faults};
    run_call(&walk, call);
  }
  program->prepared = *program->changes;
  if ((types & program->section_types & (1u << PEF_OPT)) != 0) ++*program->changes;
  return NULL;
}
