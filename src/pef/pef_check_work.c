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

// Every element of y over the channels and the window.
double leat_pef_steps_conv(const pef_stage_site_t *site) {
  return elements_of(&site->operands[PEF_CONV_y], 0) * elements_of(&site->operands[PEF_CONV_w], 1);
}
double leat_pef_steps_conv_wgrad(const pef_stage_site_t *site) {
  const uint32_t batch = (uint32_t)site->stage->params.conv_wgrad.batch;
  return elements_of(&site->operands[PEF_CONV_WGRAD_dy], 0) *
         elements_of(&site->operands[PEF_CONV_WGRAD_dw], batch + 1);
}

double leat_pef_steps_pool(const pef_stage_site_t *site) {
  const pef_window_t *w = &site->stage->params.window;
  double positions = 1;
  for (int64_t i = 0; i < w->spatial; ++i) positions *= (double)w->window[i];
  return elements_of(&site->operands[PEF_POOL_y], 0) * positions;
}

// Every tile of a table that is cut along the looked-up dim goes through all updates.
double leat_pef_steps_scatter(const pef_stage_site_t *site) {
  const double updates = elements_of(&site->operands[PEF_SCATTER_updates], 0);
  if (site->operands[PEF_SCATTER_out].row_dim != site->stage->params.scatter.dim) return updates;
  return updates * ceil((double)site->body->row_count / (double)site->body->tile_rows_max);
}

static double steps_of(const pef_stage_site_t *site) {
  if (site->row->steps != NULL) return site->row->steps(site);
  double most = 0;
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) most = fmax(most, elements_of(&site->operands[i], 0));
  return most;
}

double leat_pef_work(const pef_stage_site_t *site) { return site->idle ? 0 : steps_of(site); }

// A product of matrices takes the root of the product of its three sizes; a window goes over all of an image at most.
double leat_pef_surplus_work(const pef_stage_site_t *site) {
  if (site->idle) return 0;
  double size = 0;
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) size += size_of(&site->operands[i]);
  return fmax(0, steps_of(site) - (site->row->windows ? 8 * size * size : 4 * size * sqrt(size)));
}
