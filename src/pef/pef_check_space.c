// SPDX-License-Identifier: Apache-2.0
// Axes of bodies and cuts of operands: the records, then what a stage demands of its cuts.
#include "pef/pef_check.h"

#define COUNT_LIMIT (UINT64_C(1) << 40)

// --- axes ------------------------------------------------------------------------------------------------------------

static leat_status_t check_axis(const leat_pef_t *pef, uint32_t index) {
  const pef_axis_t *axis = &pef->axes[index], *last = index > 0 ? axis - 1 : NULL;
  const bool second = last != NULL && last->body == axis->body;
  if (axis->body >= pef->body_count || axis->number != 1u + second || (last != NULL && last->body > axis->body)) {
    return leat_pef_corrupt("it is number %u of body %u, which is out of order", axis->number, axis->body);
  }
  if (axis->count == 0 || axis->count > COUNT_LIMIT || axis->tile_max == 0 || axis->tile_max > COUNT_LIMIT ||
      axis->quantum == 0 || axis->reserved0 != 0) {
    return leat_pef_corrupt("count, tile and quantum (%llu, %llu, %u) must be at least 1",
                            (unsigned long long)axis->count, (unsigned long long)axis->tile_max, axis->quantum);
  }
  return NULL;
}

static uint64_t times(uint64_t a, uint64_t b) {
  uint64_t product;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

// What an engine may keep of a stage for each tile, in units of what it keeps of an operand: of a convolution a number
// for each of its products, too.
static uint64_t weight_of(const leat_pef_t *pef, const pef_stage_t *stage) {
  const uint64_t weight = (uint64_t)stage->operand_count + stage->instruction_count;
  if (stage->kind != PEF_STAGE_CONV || stage->operand_count <= PEF_CONV_w) return weight;
  const pef_operand_t *w = &pef->operands[stage->operand_first + PEF_CONV_w];
  uint64_t products = 1;
  for (uint32_t d = 1; d < PEF_MAX_RANK && d < w->rank; ++d) products = times(products, (uint64_t)w->dims[d]);
  return weight + products / PEF_BOX_PRODUCTS;
}

// A file of a few bytes must not make an engine plan for millions of tiles.
static leat_status_t check_boxes(const leat_pef_t *pef) {
  uint64_t all = 0;
  for (uint32_t i = 0; i < pef->axis_count;) {
    const pef_body_t *body = &pef->bodies[pef->axes[i].body];
    uint64_t boxes = 1, weight = 1;
    for (const uint32_t of = pef->axes[i].body; i < pef->axis_count && pef->axes[i].body == of; ++i)
      boxes = times(boxes, (pef->axes[i].count - 1) / pef->axes[i].tile_max + 1);
    if (boxes == 1) continue;
    for (uint32_t s = 0; s < body->stage_count; ++s) weight += weight_of(pef, &pef->stages[body->stage_first + s]);
    boxes = times(boxes, weight);
    if (boxes > PEF_MAX_BOXES || (all += boxes) > PEF_MAX_BOXES)
      return leat_pef_corrupt("its bodies have too many tiles along axes for what is in them (%u at most)",
                              PEF_MAX_BOXES);
  }
  return NULL;
}

static leat_status_t check_cut_record(const leat_pef_t *pef, uint32_t index) {
  const pef_cut_t *cut = &pef->cuts[index], *last = index > 0 ? cut - 1 : NULL;
  const bool again = last != NULL && last->operand == cut->operand;
  if (cut->operand >= pef->operand_count || (last != NULL && last->operand > cut->operand) ||
      (again && last->axis >= cut->axis)) {
    return leat_pef_corrupt("it is of operand %u along axis %u, which is out of order", cut->operand, cut->axis);
  }
  const pef_operand_t *operand = &pef->operands[cut->operand];
  if (operand->space == PEF_SPACE_NONE || cut->dim >= operand->rank || cut->dim == operand->row_dim ||
      (again && last->dim == cut->dim) || cut->mult == 0 || cut->reserved0 != 0) {
    return leat_pef_corrupt("dim %u of operand %u cannot be cut along axis %u in steps of %llu", cut->dim, cut->operand,
                            cut->axis, (unsigned long long)cut->mult);
  }
  return NULL;
}

leat_status_t leat_pef_check_spaces(const leat_pef_t *pef) {
  for (uint32_t i = 0; i < pef->axis_count; ++i) LEAT_TRY(leat_status_annotate(check_axis(pef, i), "axis %u", i));
  LEAT_TRY(check_boxes(pef));
  for (uint32_t i = 0; i < pef->cut_count; ++i) LEAT_TRY(leat_status_annotate(check_cut_record(pef, i), "cut %u", i));
  return NULL;
}

// --- cuts of a stage -------------------------------------------------------------------------------------------------

static leat_status_t check_extent_of_cut(const pef_stage_site_t *site, uint32_t index, const pef_cut_t *cut,
                                         const pef_axis_t *axis) {
  const pef_operand_t *operand = &site->operands[index];
  uint64_t extent = 0;
  if (cut->before == 0 && cut->after == 0 && !__builtin_mul_overflow(cut->mult, axis->count, &extent) &&
      extent == (uint64_t)operand->dims[cut->dim]) {
    return NULL;
  }
  return leat_pef_corrupt("dim %u of %s is %lld, not %llu times %llu without halo", cut->dim,
                          leat_pef_label(site, index).text, (long long)operand->dims[cut->dim],
                          (unsigned long long)axis->count, (unsigned long long)cut->mult);
}

// The windowed dim `s` of the input is cut as the positions of the window are.
static leat_status_t check_halo(const pef_stage_site_t *site, const pef_cut_t *cut) {
  const pef_window_t *w = &site->stage->params.window;
  const pef_operand_t *x = &site->operands[0], *y = &site->operands[leat_pef_site_output(site)];
  const uint32_t s = cut->dim + (uint32_t)w->spatial - x->rank;
  const pef_cut_t *positions = leat_pef_cut_of_dim(site->pef, y, y->rank - (uint32_t)w->spatial + s);
  const int64_t reach = (w->window[s] - 1) * w->dilation[s] + 1;
  if (positions == NULL || positions->axis != cut->axis || positions->mult != 1) {
    return leat_pef_corrupt("dim %u of %s is cut along axis %u, but the positions of the window are not", cut->dim,
                            leat_pef_label(site, 0).text, cut->axis);
  }
  if (cut->mult == (uint64_t)w->stride[s] && cut->before == w->low[s] &&
      cut->after == reach - w->stride[s] - w->low[s] && w->base_dilation[s] == 1 && x->space == PEF_SPACE_ARGUMENT) {
    return NULL;
  }
  return leat_pef_corrupt("dim %u of %s has a halo of %d and %d in steps of %llu, its window another", cut->dim,
                          leat_pef_label(site, 0).text, cut->before, cut->after, (unsigned long long)cut->mult);
}

static bool is_windowed(const pef_stage_site_t *site, uint32_t index, uint32_t dim) {
  return site->row->halo && index == 0 && dim + (uint32_t)site->stage->params.window.spatial >= site->operands[0].rank;
}

// Of an output: its window's positions are cut only if the input is.
static leat_status_t check_positions(const pef_stage_site_t *site, const pef_cut_t *cut) {
  const pef_window_t *w = &site->stage->params.window;
  const pef_operand_t *x = &site->operands[0], *y = &site->operands[leat_pef_site_output(site)];
  if (!site->row->halo || cut->dim + (uint32_t)w->spatial < y->rank) return NULL;
  const pef_cut_t *input = leat_pef_cut_of_dim(site->pef, x, cut->dim + x->rank - y->rank);
  if (input != NULL && input->axis == cut->axis) return NULL;
  return leat_pef_corrupt("the positions of its window are cut along axis %u, but %s is not", cut->axis,
                          leat_pef_label(site, 0).text);
}

static leat_status_t check_cut(const pef_stage_site_t *site, uint32_t index, const pef_cut_t *cut,
                               const pef_axis_t *axes, uint32_t axis_count) {
  if (cut->axis == 0 || cut->axis > axis_count) return leat_pef_corrupt("its body has no axis %u", cut->axis);
  if (is_windowed(site, index, cut->dim)) return check_halo(site, cut);
  if (leat_pef_site_writes(site, index)) LEAT_TRY(check_positions(site, cut));
  return check_extent_of_cut(site, index, cut, &axes[cut->axis - 1]);
}

static leat_status_t check_output(const pef_stage_site_t *site, uint32_t index, const pef_axis_t *axes,
                                  uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (axes[i].count == 1 || leat_pef_cut_along(site->pef, &site->operands[index], axes[i].number) != NULL) continue;
    return leat_pef_corrupt("%s is written, but every tile along axis %u would write the same place",
                            leat_pef_label(site, index).text, axes[i].number);
  }
  return NULL;
}

// What axes demand of a kind beside the letters of its dims.
static leat_status_t check_kind(const pef_stage_site_t *site, uint32_t index, const pef_cut_t *cut) {
  const pef_params_t *params = &site->stage->params;
  const bool features = index == PEF_CONV_w || (index == PEF_CONV_y && cut->dim == 1);
  if (site->stage->kind == PEF_STAGE_CONV && params->conv.groups > 1 && features) {
    return leat_pef_corrupt("the output channels of %lld groups cannot be cut", (long long)params->conv.groups);
  }
  if (leat_pef_operand_is_packed(site->stage, index) && params->product.roles[cut->dim] >= PEF_ROLE_N) {
    return leat_pef_corrupt("%s is packed along dim %u, which cannot be cut", leat_pef_label(site, index).text,
                            cut->dim);
  }
  return NULL;
}

leat_status_t leat_pef_check_cuts(const pef_stage_site_t *site) {
  const pef_axis_t *axes;
  const uint32_t axis_count = leat_pef_axes(site->pef, site->body, &axes);
  if (axis_count == 0 && site->pef->cut_count == 0) return NULL;
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) {
    const pef_cut_t *cuts;
    const uint32_t count = leat_pef_cuts(site->pef, &site->operands[i], &cuts);
    for (uint32_t k = 0; k < count; ++k) {
      LEAT_TRY(check_cut(site, i, &cuts[k], axes, axis_count));
      LEAT_TRY(check_kind(site, i, &cuts[k]));
    }
    const bool there = site->operands[i].space != PEF_SPACE_NONE;
    if (there && leat_pef_site_writes(site, i)) LEAT_TRY(check_output(site, i, axes, axis_count));
  }
  return NULL;
}

bool leat_pef_same_cut(const pef_stage_site_t *site, uint32_t p, uint32_t i, uint32_t q, uint32_t j) {
  if (site->pef->cut_count == 0) return true;
  const pef_operand_t *a = &site->operands[p], *b = &site->operands[q];
  const pef_cut_t *x = leat_pef_cut_of_dim(site->pef, a, i), *y = leat_pef_cut_of_dim(site->pef, b, j);
  if (x != NULL && y != NULL) return x->axis == y->axis && x->mult == y->mult;
  if (x == NULL && y == NULL) return true;
  return site->row->broadcast && (x == NULL ? a->strides[i] : b->strides[j]) == 0;
}
