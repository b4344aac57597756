// SPDX-License-Identifier: Apache-2.0
// The table of the fast engine: operands resolved once a program, stages prepared by their kinds.
#include "native/engine.h"

#include "native/behind.h"
#include "native/boxes.h"
#include "native/code.h"
#include "native/cpu.h"
#include "native/jit.h"
#include "native/stage.h"

typedef struct native_s {
  const leat_pef_t *pef;
  leat_arena_t *arena;
  enum leat_isa isa;
  const leat_kern_t *kern;
  leat_native_jit_t *jit;           // NULL: not available
  leat_native_code_t *code;         // likewise
  leat_native_operand_t *operands;  // as many as the file has, as are stages
  leat_native_stage_t *stages;
} native_t;

// `layout`: of the buffers of the operand's body.
static void resolve_operand(const pef_operand_t *file, const pef_layout_t *layout, leat_native_operand_t *out) {
  const uint64_t start = file->space == PEF_SPACE_SCRATCH ? layout[file->slot].offset : 0;
  *out = (leat_native_operand_t){.space = file->space,
                                 .dtype = file->dtype,
                                 .rank = file->rank,
                                 .row_dim = file->row_dim,
                                 .slot = file->slot,
                                 .offset = (int64_t)(start + file->offset)};
  out->element_bytes = (uint8_t)leat_pef_dtype_bytes(file->dtype);
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) {
    out->dims[d] = d < file->rank ? file->dims[d] : 1;
    out->strides[d] = d < file->rank ? file->strides[d] : 0;
  }
  if (file->row_dim == PEF_NO_ROW_DIM) return;
  out->row_mult = (int64_t)file->row_mult;
  if (file->space == PEF_SPACE_ARGUMENT) {
    out->row_bytes = out->row_mult * out->strides[file->row_dim] * out->element_bytes;
  }
}

static void *table(leat_arena_t *arena, size_t count, size_t bytes) {
  size_t total;
  return leat_size_mul(count + 1, bytes, &total) ? leat_arena_alloc(arena, total) : NULL;
}

static leat_status_t fill(native_t *native, const char *isa) {
  const leat_pef_t *pef = native->pef;
  LEAT_TRY(leat_native_cpu_isa(isa, &native->isa));
  native->kern = leat_native_cpu_kernels(native->isa);
  native->operands = table(native->arena, pef->operand_count, sizeof *native->operands);
  native->stages = table(native->arena, pef->stage_count, sizeof *native->stages);
  if (native->operands == NULL || native->stages == NULL) {
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %u stages", pef->stage_count);
  }
  LEAT_TRY(leat_native_code_create(native->isa, &native->code));
  return leat_native_jit_create(native->kern, native->isa, &native->jit);
}

static leat_status_t create(const leat_pef_t *pef, leat_arena_t *arena, const char *isa, void **out_state) {
  native_t *native = leat_arena_alloc(arena, sizeof *native);
  if (native == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for an engine");
  native->pef = pef;
  native->arena = arena;
  *out_state = native;
  return fill(native, isa);
}

static void destroy(void *state) {
  native_t *native = state;
  leat_native_jit_destroy(native->jit);
  leat_native_code_destroy(native->code);
}

static leat_status_t lay_out(void *state, const pef_body_t *body, uint64_t *out_buffers, uint64_t *out_bytes) {
  const leat_pef_t *pef = ((const native_t *)state)->pef;
  if (body->buffer_count != 0 && pef->layout_count == 0) {
    const char *arch = pef->strings + pef->info->arch;
    LEAT_FAIL(LEAT_UNSUPPORTED,
              "the file was compiled for %s and does not say where tile buffers lie for native: compile for native, or "
              "run it on the engine ref",
              *arch != '\0' ? arch : "another target");
  }
  for (uint32_t i = 0; i < body->buffer_count; i++) out_buffers[i] = pef->layout[body->buffer_first + i].offset;
  *out_bytes = leat_pef_scratch_bytes(pef, body);
  return NULL;
}

// The stage as its kind gets it, with operands resolved.
static leat_native_stage_t stage_of(const native_t *native, const pef_body_t *body, const pef_stage_t *file) {
  const leat_pef_t *pef = native->pef;
  const pef_layout_t *layout = body->buffer_count == 0 ? NULL : pef->layout + body->buffer_first;
  for (uint32_t o = file->operand_first; o < file->operand_first + file->operand_count; o++)
    resolve_operand(&pef->operands[o], layout, &native->operands[o]);
  return (leat_native_stage_t){.kind = leat_native_stage_kind(file->kind),
                               .kern = native->kern,
                               .fn = file->fn,
                               .operands = native->operands + file->operand_first,
                               .operand_count = file->operand_count,
                               .params = &file->params,
                               .instructions = pef->instructions + file->instruction_first,
                               .instruction_count = file->instruction_count,
                               .origin = pef->strings + file->origin};
}

// Sums that a MAP may make (behind.h), resolved into `behind`.
static uint32_t find_sums(const native_t *native, const pef_body_t *body, const pef_stage_t *map,
                          leat_native_stage_t behind[LEAT_NATIVE_SUMS_MAX], leat_native_sum_t *out) {
  leat_native_behind_sum_t found[LEAT_NATIVE_SUMS_MAX];
  const uint32_t count = leat_native_behind_sums(native->pef, body, map, found);
  for (uint32_t i = 0; i < count; i++) {
    behind[i] = stage_of(native, body, found[i].reduce);
    out[i] = (leat_native_sum_t){&behind[i], found[i].wanted};
  }
  return count;
}

// Where a convolution may end with what the stage behind it does, it is there when it is prepared. One that makes sums
// does that by itself.
static leat_status_t find_next(const native_t *native, const pef_body_t *body, const leat_run_space_t *space,
                               leat_native_stage_t *stage) {
  const pef_stage_t *file = native->pef->stages + (stage - native->stages);
  const pef_stage_t *next = file->kind == PEF_STAGE_CONV ? leat_native_behind_reader(native->pef, body, file) : NULL;
  leat_native_stage_t behind[LEAT_NATIVE_SUMS_MAX];
  leat_native_sum_t sums[LEAT_NATIVE_SUMS_MAX];
  if (next == NULL || (space->boxes <= 1 && find_sums(native, body, next, behind, sums) != 0)) return NULL;
  leat_native_stage_t *resolved = leat_arena_alloc(native->arena, sizeof *resolved);
  if (resolved == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for a stage");
  *resolved = stage_of(native, body, next);
  stage->next = resolved;
  return NULL;
}

static leat_status_t prepare(void *state, leat_run_stage_t *out, const pef_body_t *body,
                             const leat_run_space_t *space) {
  native_t *native = state;
  const leat_pef_t *pef = native->pef;
  const pef_stage_t *file = out->file;
  leat_native_stage_t *stage = &native->stages[file - pef->stages];
  *stage = stage_of(native, body, file);
  leat_native_prepare_t context = {.arena = native->arena,
                                   .kern = native->kern,
                                   .jit = native->jit,
                                   .code = native->code,
                                   .row_count = space->row_count,
                                   .tile_rows_max = space->tile_rows,
                                   .pef = pef,
                                   .body = body,
                                   .file = file};
  LEAT_TRY(find_next(native, body, space, stage));
  if (space->boxes > 1) return leat_native_boxes_prepare(pef, stage, space, &context, out);
  leat_native_sum_t sums[LEAT_NATIVE_SUMS_MAX];
  leat_native_stage_t behind[LEAT_NATIVE_SUMS_MAX];
  context.sum_count = find_sums(native, body, file, behind, sums);
  context.sums = sums;
  LEAT_TRY(stage->kind->prepare(stage, &context));
  out->run = stage->kind->run;
  out->plan = stage;
  out->workspace_bytes = stage->workspace_bytes;
  out->joined = stage->joined;
  out->joined_count = stage->joined_count;
  if (stage->joined != NULL && stage->joined->workspace_bytes > out->workspace_bytes)
    out->workspace_bytes = stage->joined->workspace_bytes;
  return NULL;
}

static void load(const void *state, uint32_t class_, uint32_t dtype, void *out, const void *in, int64_t stride,
                 int64_t n) {
  ((const native_t *)state)->kern->load[class_][dtype](out, in, stride, n);
}

static void store(const void *state, uint32_t class_, uint32_t dtype, void *out, int64_t stride, const void *in,
                  int64_t n) {
  ((const native_t *)state)->kern->store[class_][dtype](out, stride, in, n);
}

static leat_arch_level_t level(const void *state) { return (leat_arch_level_t)((const native_t *)state)->isa; }

static void report(const void *state, leat_text_t *out) {
  const native_t *native = state;
  leat_text_put(out, ",\"isa\":\"%s\"", leat_native_cpu_isa_name(native->isa));
  if (native->jit == NULL) return;
  const leat_native_jit_counts_t counts = leat_native_jit_counts(native->jit);
  leat_text_put(out, ",\"kernels\":{\"generated\":%u,\"unavailable\":%u,\"unequal\":%u}",
                counts.requested - counts.unavailable - counts.unequal, counts.unavailable, counts.unequal);
}

const leat_run_engine_t leat_native_engine = {.name = "native",
                                              .create = create,
                                              .destroy = destroy,
                                              .lay_out = lay_out,
                                              .prepare = prepare,
                                              .load = load,
                                              .store = store,
                                              .level = level,
                                              .report = report};
