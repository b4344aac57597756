// SPDX-License-Identifier: Apache-2.0
// How much a run does. A file of a few hundred bytes must not keep an engine busy for years: the steps of a stage are
// held against the elements that its operands have (a dim of stride 0 has one), which memory bounds. In f64, where the
// products of a few extents cannot overflow. And what a stage costs at least, for reports: pef_cost.h.
#include <math.h>

#include "pef/pef_check.h"
#include "pef/pef_cost.h"
#include "pef/pef_scalar.h"

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

// Every score of the table, over what is multiplied for it: a head once of q and k, once of the weights and v.
static double steps_of_scores(const pef_stage_site_t *site, double heads, double values) {
  const pef_operand_t *q = &site->operands[PEF_ATTENTION_q], *v = &site->operands[PEF_ATTENTION_v];
  const double each = heads * (double)q->dims[q->rank - 1] + values * (double)v->dims[v->rank - 1];
  return elements_of(q, 0) / fmax(1, (double)q->dims[q->rank - 1]) * (double)v->dims[v->rank - 2] * each;
}
double leat_pef_steps_attention(const pef_stage_site_t *site) { return steps_of_scores(site, 1, 1); }
double leat_pef_steps_attention_grad(const pef_stage_site_t *site) { return steps_of_scores(site, 3, 2); }

static double steps_of(const pef_stage_site_t *site) {
  if (site->row->steps != NULL) return site->row->steps(site);
  double most = 0;
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) most = fmax(most, elements_of(&site->operands[i], 0));
  return most;
}

double leat_pef_work(const pef_stage_site_t *site) { return site->idle ? 0 : steps_of(site); }

// A product of matrices takes the root of the product of its three sizes; a window goes over all of an image at most,
// and queries over all keys.
double leat_pef_surplus_work(const pef_stage_site_t *site) {
  if (site->idle) return 0;
  double size = 0;
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) size += size_of(&site->operands[i]);
  return fmax(0, steps_of(site) - (site->row->windows || site->row->squares ? 8 * size * size : 4 * size * sqrt(size)));
}

// --- reports ---------------------------------------------------------------------------------------------------------

static double program_flops(const pef_stage_site_t *site) {
  double flops = 0;
  for (uint32_t i = 0; i < site->stage->instruction_count; ++i)
    flops += leat_pef_scalar_flops(site->instructions[i].op);
  return flops;
}

// Taps that meet a hole of a spread operand cost nothing.
static double met_share(const pef_stage_site_t *site) {
  double share = 1;
  if (!site->row->windows) return share;
  const pef_window_t *w = &site->stage->params.window;
  for (int64_t i = 0; i < w->spatial; ++i) share /= (double)w->base_dilation[i];
  return share;
}

double leat_pef_stage_flops(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage) {
  const pef_stage_site_t site = {.pef = pef,
                                 .stage = stage,
                                 .row = leat_pef_stage_row(stage->kind),
                                 .operands = &pef->operands[stage->operand_first],
                                 .instructions = &pef->instructions[stage->instruction_first],
                                 .body = body};
  if (leat_pef_stage_is_idle(pef, stage)) return 0;
  const double each = stage->kind == PEF_STAGE_MAP ? program_flops(&site) : site.row->flops;
  return each == 0 ? 0 : each * steps_of(&site) * met_share(&site);
}

// Packed weights have a stride that says nothing along the dims that are summed.
static double touched_elements(const pef_stage_t *stage, const pef_operand_t *operand, bool packed) {
  if (!packed) return size_of(operand);
  double elements = 1;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    if (operand->strides[d] != 0 || leat_pef_stage_sums(stage, d)) elements *= (double)operand->dims[d];
  }
  return elements;
}

// Where indices say what is touched, a table counts as often as elements are looked up or changed in it.
static double touched_most(const pef_stage_t *stage, const pef_operand_t *operands, uint32_t index) {
  if (stage->kind == PEF_STAGE_GATHER && index == PEF_GATHER_x) return size_of(&operands[PEF_GATHER_out]);
  if (stage->kind == PEF_STAGE_SCATTER && index == PEF_SCATTER_out) return size_of(&operands[PEF_SCATTER_updates]);
  return INFINITY;
}

double leat_pef_operand_bytes(const leat_pef_t *pef, const pef_stage_t *stage, uint32_t index) {
  const pef_operand_t *operands = &pef->operands[stage->operand_first];
  if (operands[index].space == PEF_SPACE_NONE || leat_pef_stage_is_idle(pef, stage)) return 0;
  const double elements = touched_elements(stage, &operands[index], leat_pef_operand_is_packed(stage, index));
  return fmin(elements, touched_most(stage, operands, index)) * (double)leat_pef_dtype_bytes(operands[index].dtype);
}
