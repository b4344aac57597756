// SPDX-License-Identifier: Apache-2.0
// How much a run does. A file of a few hundred bytes must not keep an engine busy for years: the steps of a stage are
// held against the elements that its operands have (a dim of stride 0 has one), which memory bounds. In f64, where the
// products of a few extents cannot overflow.
#include <math.h>

#include "pef/pef_check.h"

static double elements_of(const pef_operand_t *operand, uint32_t first_dim) {
  double elements = 1;
  for (uint32_t d = first_dim; d < operand->rank; ++d) elements *= (double)operand->dims[d];
  return elements;
}

static double size_of(const pef_operand_t *operand) {
  double elements = operand->space == PEF_SPACE_NONE ? 0 : 1;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    if (operand->strides[d] != 0 || operand->dims[d] == 0) elements *= (double)operand->dims[d];
  }
  return elements;
}

static double window_of(const pef_stage_t *stage) {
  double positions = 1;
  for (int64_t i = 0; i < stage->params.words[0]; ++i) positions *= (double)stage->params.words[2 + i];
  return positions;
}

// Every tile of a table that is cut along the looked-up dim goes through all updates.
static double tiles_of_scatter(const pef_stage_site_t *site) {
  if (site->operands[2].row_dim != site->stage->params.words[0]) return 1;
  return ceil((double)site->body->row_count / (double)site->body->tile_rows_max);
}

static double steps_of(const pef_stage_site_t *site) {
  const pef_operand_t *operands = site->operands;
  switch (site->stage->kind) {
    case PEF_STAGE_CONV:  // every element of y over the channels and the window
      return elements_of(&operands[2], 0) * elements_of(&operands[1], 1);
    case PEF_STAGE_CONV_WGRAD:
      return elements_of(&operands[1], 0) * elements_of(&operands[2], 1);
    case PEF_STAGE_POOL:
    case PEF_STAGE_POOL_GRAD:
      return elements_of(&operands[1], 0) * window_of(site->stage);
    case PEF_STAGE_SCATTER:
      return elements_of(&operands[1], 0) * tiles_of_scatter(site);
    default:
      break;
  }
  double most = 0;
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) most = fmax(most, elements_of(&operands[i], 0));
  return most;
}

// A product of matrices takes the root of the product of its three sizes; a window goes over all of an image at most.
double leat_pef_surplus_work(const pef_stage_site_t *site) {
  if (site->idle) return 0;
  double size = 0;
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) size += size_of(&site->operands[i]);
  const bool windows = site->stage->kind >= PEF_STAGE_CONV && site->stage->kind <= PEF_STAGE_POOL_GRAD;
  return fmax(0, steps_of(site) - (windows ? 8 * size * size : 4 * size * sqrt(size)));
}
