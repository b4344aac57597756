// SPDX-License-Identifier: Apache-2.0
// See axis.h. The first stage with a window says what lines are; from there they are followed from place to place: how
// many elements of memory lie between a line and the next says which dim of an operand they are.
#include "map/axis.h"

#include "pef/pef_read.h"
#include "pef/pef_schema.h"

// A tile buffer or an argument.
typedef struct place_s {
  int64_t step;  // from one line to the next; 0: it is not cut
  uint64_t offset;
  bool written;
} place_t;

typedef struct finder_s {
  const leat_draft_t *draft;
  const pef_operand_t *operands;
  place_t *places;  // buffers, then arguments
  uint32_t buffers;
  int64_t spatial;             // which dim of windows it is
  double by_rows, along_axis;  // bytes that every tile reads
  leat_axis_t *axis;
} finder_t;

static place_t *place_of(const finder_t *f, const pef_operand_t *operand) {
  return &f->places[operand->space == PEF_SPACE_SCRATCH ? operand->slot : f->buffers + operand->slot];
}

static double bytes_of(const pef_operand_t *operand) {
  double bytes = (double)leat_pef_dtype_bytes(operand->dtype);
  for (uint32_t d = 0; d < operand->rank; ++d) bytes *= operand->strides[d] == 0 ? 1.0 : (double)operand->dims[d];
  return bytes;
}

// What tiles read whole when rows or lines are cut. Who reads next what is made by rows reads what others have made:
// that counts half.
static void count_bytes(finder_t *f, uint32_t index, bool cut) {
  const pef_operand_t *operand = &f->operands[index];
  if (operand->space != PEF_SPACE_ARGUMENT) return;
  if (f->draft->sources.data[index].written) {
    f->by_rows += bytes_of(operand) / 2;
    return;
  }
  if (operand->row_dim == PEF_NO_ROW_DIM) f->by_rows += bytes_of(operand);
  if (!cut) f->along_axis += bytes_of(operand);
}

// False: it cannot be cut there. What is written is found by later stages.
static bool add_cut(finder_t *f, uint32_t index, pef_cut_t cut, leat_status_t *status) {
  const pef_operand_t *operand = &f->operands[index];
  if (cut.dim == operand->row_dim) return false;
  cut.operand = index;
  cut.axis = 1;
  pef_cut_t *added = leat_array_push(&f->axis->cuts);
  if (added == NULL) {
    *status = leat_out_of_memory();
    return false;
  }
  *added = cut;
  count_bytes(f, index, true);
  if (f->draft->sources.data[index].written)
    *place_of(f, operand) = (place_t){operand->strides[cut.dim] * (int64_t)cut.mult, operand->offset, true};
  return true;
}

static bool choose_lines(finder_t *f, const pef_window_t *w, const pef_operand_t *y) {
  for (f->spatial = 0; f->spatial < w->spatial; ++f->spatial) {
    f->axis->count = y->dims[y->rank - w->spatial + f->spatial];
    if (f->axis->count > 1) return true;
  }
  return false;
}

static bool add_windowed(finder_t *f, const pef_stage_t *stage, leat_status_t *status) {
  const pef_window_t *w = &stage->params.window;
  const uint32_t first = stage->operand_first, last = first + stage->operand_count - 1;
  const pef_operand_t *x = &f->operands[first], *y = &f->operands[last];
  if (x->space != PEF_SPACE_ARGUMENT || place_of(f, x)->written) return false;  // a halo is in no tile
  if (f->axis->count == 0 && !choose_lines(f, w, y)) return false;
  const int64_t s = f->spatial;
  if (s >= w->spatial || y->dims[y->rank - w->spatial + s] != f->axis->count || w->base_dilation[s] != 1) return false;
  const int64_t after = (w->window[s] - 1) * w->dilation[s] + 1 - w->stride[s] - w->low[s];
  const pef_cut_t of_x = {.dim = (uint8_t)(x->rank - w->spatial + s),
                          .mult = (uint64_t)w->stride[s],
                          .before = (int32_t)w->low[s],
                          .after = (int32_t)after};
  const pef_cut_t of_y = {.dim = (uint8_t)(y->rank - w->spatial + s), .mult = 1};
  for (uint32_t i = first + 1; i < last; ++i) count_bytes(f, i, false);
  return add_cut(f, first, of_x, status) && add_cut(f, last, of_y, status);
}

// The dim along which an operand has lines that are so many elements apart; its rank: none.
static uint32_t dim_of_lines(const finder_t *f, const pef_operand_t *operand, int64_t step) {
  for (uint32_t d = 0; d < operand->rank; ++d) {
    const int64_t stride = operand->strides[d];
    if (stride != 0 && step % stride == 0 && step / stride > 0 && operand->dims[d] == step / stride * f->axis->count)
      return d;
  }
  return operand->rank;
}

// Of a stage whose operands have the same dims, the one that the lines are, as one of its operands tells.
static bool find_lines(const finder_t *f, const pef_stage_t *stage, pef_cut_t *out_cut) {
  for (uint32_t i = stage->operand_first; i < stage->operand_first + stage->operand_count; ++i) {
    const pef_operand_t *operand = &f->operands[i];
    if (operand->space == PEF_SPACE_NONE) continue;
    const int64_t step = place_of(f, operand)->step;
    const uint32_t dim = step == 0 ? operand->rank : dim_of_lines(f, operand, step);
    if (dim == operand->rank) continue;
    *out_cut = (pef_cut_t){.dim = (uint8_t)dim, .mult = (uint64_t)(step / operand->strides[dim])};
    return true;
  }
  return false;
}

// What an earlier stage has made is cut there as it was made.
static bool is_cut_alike(const finder_t *f, const pef_operand_t *operand, int64_t step) {
  const place_t *place = place_of(f, operand);
  return place->written ? place->step == step && place->offset == operand->offset
                        : operand->space == PEF_SPACE_ARGUMENT;
}

static bool add_elementwise(finder_t *f, const pef_stage_t *stage, leat_status_t *status) {
  pef_cut_t cut;
  if (!find_lines(f, stage, &cut)) return false;
  for (uint32_t i = stage->operand_first; i < stage->operand_first + stage->operand_count; ++i) {
    const pef_operand_t *operand = &f->operands[i];
    const bool written = f->draft->sources.data[i].written;
    if (operand->space == PEF_SPACE_NONE) continue;
    if (cut.dim >= operand->rank) return false;
    if (operand->strides[cut.dim] == 0) {
      if (written || place_of(f, operand)->written) return false;
      count_bytes(f, i, false);
      continue;
    }
    if (!written && !is_cut_alike(f, operand, operand->strides[cut.dim] * (int64_t)cut.mult)) return false;
    if (!add_cut(f, i, cut, status)) return false;
  }
  return true;
}

static bool add_stages(finder_t *f, leat_status_t *status) {
  for (uint32_t i = 0; i < f->draft->stages.count; ++i) {
    const pef_stage_t *stage = &f->draft->stages.data[i];
    const pef_stage_row_t *row = leat_pef_stage_row(stage->kind);
    const bool added = row->halo        ? add_windowed(f, stage, status)
                       : row->broadcast ? add_elementwise(f, stage, status)
                                        : false;
    if (!added) return false;
  }
  return f->axis->count != 0 && f->along_axis < f->by_rows;
}

leat_status_t leat_axis_find(const leat_draft_t *draft, const pef_operand_t *operands, uint32_t buffers,
                             uint32_t arguments, leat_axis_t *out_axis) {
  leat_status_t status = NULL;
  finder_t f = {.draft = draft, .operands = operands, .buffers = buffers, .axis = out_axis};
  *out_axis = (leat_axis_t){0};
  if (draft->stages.count == 0 || !leat_pef_stage_row(draft->stages.data[0].kind)->halo) return NULL;
  f.places = leat_alloc_zero((size_t)buffers + arguments + 1, sizeof *f.places);
  if (f.places == NULL) return leat_out_of_memory();
  if (!add_stages(&f, &status)) leat_axis_deinit(out_axis);
  leat_free(f.places);
  return status;
}

void leat_axis_deinit(leat_axis_t *axis) {
  leat_array_free(&axis->cuts);
  *axis = (leat_axis_t){0};
}
