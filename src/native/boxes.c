// SPDX-License-Identifier: Apache-2.0
// See boxes.h.
#include "native/boxes.h"

typedef struct box_s {
  int64_t first[PEF_MAX_AXES], end[PEF_MAX_AXES];
} box_t;

static void run(const void *plan, const leat_run_tile_t *tile) {
  const leat_native_stage_t *stage = (const leat_native_stage_t *)plan + tile->box;
  stage->kind->run(stage, tile);
}

static void cut_operand(const leat_pef_t *pef, const pef_operand_t *file, const box_t *box,
                        leat_native_operand_t *operand) {
  const pef_cut_t *cuts;
  const uint32_t count = leat_pef_cuts(pef, file, &cuts);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t axis = cuts[i].axis - 1u, d = cuts[i].dim;
    int64_t end = 0;
    leat_pef_cut_range(file, &cuts[i], box->first[axis], box->end[axis], &operand->first[d], &end);
    operand->dims[d] = end - operand->first[d];
    if (operand->space == PEF_SPACE_ARGUMENT)
      operand->offset += operand->first[d] * operand->strides[d] * operand->element_bytes;
  }
}

// The padding before the part of the input that a box has, so that its windows begin where they do in the whole.
static void cut_window(const leat_native_stage_t *stage, pef_window_t *window) {
  const leat_native_operand_t *x = &stage->operands[0], *y = &stage->operands[stage->operand_count - 1];
  for (int64_t s = 0; s < window->spatial; s++) {
    const int64_t at = y->first[y->rank - window->spatial + s] * window->stride[s] - window->low[s];
    window->low[s] = x->first[x->rank - window->spatial + s] - at;
  }
}

// What is broadcast need not be cut: it has the extents of what is written all the same.
static void spread_extents(leat_native_operand_t *operands, uint32_t count, uint32_t written) {
  for (uint32_t o = 0; o < count; o++) {
    for (uint32_t d = 0; d < operands[o].rank; d++) {
      if (operands[o].strides[d] == 0 && d != operands[o].row_dim) operands[o].dims[d] = operands[written].dims[d];
    }
  }
}

// The operands of a stage as they are in a box.
static leat_status_t cut_stage(const leat_pef_t *pef, const pef_stage_t *file, const box_t *box,
                               const leat_native_prepare_t *context, leat_native_stage_t *stage) {
  const uint32_t written = leat_pef_output(pef, file);
  leat_native_operand_t *operands = leat_arena_alloc(context->arena, (stage->operand_count + 1u) * sizeof *operands);
  if (operands == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the tiles of a stage");
  memcpy(operands, stage->operands, stage->operand_count * sizeof *operands);
  for (uint32_t o = 0; o < stage->operand_count; o++)
    cut_operand(pef, &pef->operands[file->operand_first + o], box, &operands[o]);
  if (leat_pef_stage_row(file->kind)->broadcast) spread_extents(operands, stage->operand_count, written);
  stage->operands = operands;
  if (leat_pef_stage_row(file->kind)->halo) {
    pef_params_t *params = leat_arena_alloc(context->arena, sizeof *params);
    if (params == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the tiles of a stage");
    *params = *stage->params;
    cut_window(stage, &params->window);
    stage->params = params;
  }
  return NULL;
}

static leat_status_t prepare_box(const leat_pef_t *pef, const pef_stage_t *file, const box_t *box,
                                 const leat_native_prepare_t *context, leat_native_stage_t *stage) {
  LEAT_TRY(cut_stage(pef, file, box, context, stage));
  if (stage->next != NULL) {
    leat_native_stage_t *next = leat_arena_alloc(context->arena, sizeof *next);
    if (next == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the tiles of a stage");
    *next = *stage->next;
    LEAT_TRY(cut_stage(pef, file + 1, box, context, next));
    stage->next = next;
  }
  return stage->kind->prepare(stage, context);
}

// As one table, where every box has one.
static leat_status_t gather_joined(const leat_native_stage_t *stages, uint32_t boxes,
                                   const leat_native_prepare_t *context, leat_run_stage_t *out) {
  for (uint32_t b = 0; b < boxes; b++) {
    if (stages[b].joined == NULL) return NULL;
  }
  leat_native_stage_t *joined = leat_arena_alloc(context->arena, boxes * sizeof *joined);
  if (joined == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the tiles of a stage");
  for (uint32_t b = 0; b < boxes; b++) {
    joined[b] = *stages[b].joined;
    if (joined[b].workspace_bytes > out->workspace_bytes) out->workspace_bytes = joined[b].workspace_bytes;
  }
  out->joined = joined;
  out->joined_count = stages[0].joined_count;
  return NULL;
}

leat_status_t leat_native_boxes_prepare(const leat_pef_t *pef, const leat_native_stage_t *stage,
                                        const leat_run_space_t *space, const leat_native_prepare_t *context,
                                        leat_run_stage_t *out) {
  leat_native_stage_t *stages = leat_arena_alloc(context->arena, space->boxes * sizeof *stages);
  if (stages == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the tiles of a stage");
  for (uint32_t b = 0; b < space->boxes; b++) {
    box_t box;
    leat_run_box(space, b, box.first, box.end);
    stages[b] = *stage;
    LEAT_TRY(prepare_box(pef, out->file, &box, context, &stages[b]));
    if (stages[b].workspace_bytes > out->workspace_bytes) out->workspace_bytes = stages[b].workspace_bytes;
  }
  out->run = run;
  out->plan = stages;
  return gather_joined(stages, space->boxes, context, out);
}
