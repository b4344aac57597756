// SPDX-License-Identifier: Apache-2.0
// What a body iterates over beside its rows: its axes, and the dims of operands that run along them.
#include "pef/pef_read.h"

uint32_t leat_pef_axes(const leat_pef_t *pef, const pef_body_t *body, const pef_axis_t **out_axes) {
  const uint32_t wanted = (uint32_t)(body - pef->bodies);
  uint32_t low = 0, high = pef->axis_count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (pef->axes[middle].body < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  uint32_t count = 0;
  while (low + count < pef->axis_count && pef->axes[low + count].body == wanted) ++count;
  *out_axes = pef->axes + low;
  return count;
}

// The first cut of an operand from `operand` on.
static uint32_t first_cut(const leat_pef_t *pef, uint32_t operand) {
  uint32_t low = 0, high = pef->cut_count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (pef->cuts[middle].operand < operand) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

uint32_t leat_pef_cuts(const leat_pef_t *pef, const pef_operand_t *operand, const pef_cut_t **out_cuts) {
  const uint32_t wanted = (uint32_t)(operand - pef->operands), first = first_cut(pef, wanted);
  uint32_t count = 0;
  while (first + count < pef->cut_count && pef->cuts[first + count].operand == wanted) ++count;
  *out_cuts = pef->cuts + first;
  return count;
}

uint32_t leat_pef_body_cuts(const leat_pef_t *pef, const pef_body_t *body, const pef_cut_t **out_cuts) {
  const pef_stage_t *stages = &pef->stages[body->stage_first], *last = stages + body->stage_count - 1;
  const uint32_t first = first_cut(pef, stages->operand_first);
  *out_cuts = pef->cuts + first;
  return first_cut(pef, last->operand_first + last->operand_count) - first;
}

const pef_cut_t *leat_pef_cut_of_dim(const leat_pef_t *pef, const pef_operand_t *operand, uint32_t dim) {
  const pef_cut_t *cuts;
  const uint32_t count = leat_pef_cuts(pef, operand, &cuts);
  for (uint32_t i = 0; i < count; ++i) {
    if (cuts[i].dim == dim) return &cuts[i];
  }
  return NULL;
}

const pef_cut_t *leat_pef_cut_along(const leat_pef_t *pef, const pef_operand_t *operand, uint32_t axis) {
  const pef_cut_t *cuts;
  const uint32_t count = leat_pef_cuts(pef, operand, &cuts);
  for (uint32_t i = 0; i < count; ++i) {
    if (cuts[i].axis == axis) return &cuts[i];
  }
  return NULL;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

void leat_pef_cut_range(const pef_operand_t *operand, const pef_cut_t *cut, int64_t first, int64_t end,
                        int64_t *out_low, int64_t *out_high) {
  const int64_t extent = operand->dims[cut->dim], mult = (int64_t)cut->mult;
  *out_low = first * mult;
  *out_high = end * mult;
  if (extent == 0) return;
  *out_low = clamp(first * mult - cut->before, 0, extent - 1);
  *out_high = clamp(end * mult + cut->after, *out_low + 1, extent);
}

void leat_pef_cut_extents(const leat_pef_t *pef, const pef_body_t *body, const pef_operand_t *operand,
                          int64_t extents[PEF_MAX_RANK]) {
  const pef_axis_t *axes;
  const pef_cut_t *cuts;
  const uint32_t axis_count = leat_pef_axes(pef, body, &axes), count = leat_pef_cuts(pef, operand, &cuts);
  for (uint32_t i = 0; i < count; ++i) {
    if (cuts[i].axis == 0 || cuts[i].axis > axis_count) continue;
    const pef_axis_t *axis = &axes[cuts[i].axis - 1];
    const uint64_t most = axis->tile_max < axis->count ? axis->tile_max : axis->count;
    extents[cuts[i].dim] = (int64_t)(most * cuts[i].mult);
  }
}
