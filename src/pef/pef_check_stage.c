// SPDX-License-Identifier: Apache-2.0
// The rules of each stage kind but MAP, one function a kind in a table. They follow pef_format.h; what it leaves open
// about rows is settled here: rows never run along a dim that a stage adds up, scans, sorts, windows or looks up.
#include "pef/pef_check.h"

#define PARAM_LIMIT (INT64_C(1) << 31)  // of window numbers: products of two fit int64

typedef leat_status_t (*pef_rule_fn)(const pef_stage_site_t *site);

// --- shared ----------------------------------------------------------------------------------------------------

static leat_status_t check_rank(const pef_stage_site_t *site, uint32_t index, int64_t rank) {
  if (site->operands[index].rank == rank) return NULL;
  return leat_pef_corrupt("operand %u has rank %u, should have %lld", index, site->operands[index].rank,
                          (long long)rank);
}

static leat_status_t check_extent(const pef_stage_site_t *site, uint32_t p, uint32_t i, uint32_t q, uint32_t j) {
  if (leat_pef_same_extent(site, p, i, q, j)) return NULL;
  return leat_pef_corrupt("dim %u of operand %u (%lld) and dim %u of operand %u (%lld) differ in extent or rows", i, p,
                          (long long)site->operands[p].dims[i], j, q, (long long)site->operands[q].dims[j]);
}

static leat_status_t check_extents(const pef_stage_site_t *site, uint32_t p, uint32_t first_i, uint32_t q,
                                   uint32_t first_j, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) LEAT_TRY(check_extent(site, p, first_i + i, q, first_j + i));
  return NULL;
}

// Operand `p` has rank and extents of `q`.
static leat_status_t check_alike(const pef_stage_site_t *site, uint32_t p, uint32_t q) {
  LEAT_TRY(check_rank(site, p, site->operands[q].rank));
  return check_extents(site, p, 0, q, 0, site->operands[q].rank);
}

static leat_status_t check_class(const pef_stage_site_t *site, uint32_t p, uint32_t q) {
  const uint32_t a = site->operands[p].dtype, b = site->operands[q].dtype;
  if (leat_pef_dtype_class(a) == leat_pef_dtype_class(b)) return NULL;
  return leat_pef_corrupt("operands %u (%s) and %u (%s) are computed in different classes", p, leat_pef_dtype_name(a),
                          q, leat_pef_dtype_name(b));
}

static leat_status_t check_integers(const pef_stage_site_t *site, uint32_t index) {
  const uint32_t dtype = site->operands[index].dtype;
  if (dtype == PEF_I64 || dtype == PEF_I32) return NULL;
  return leat_pef_corrupt("operand %u holds indices as %s, should be i64 or i32", index, leat_pef_dtype_name(dtype));
}

static leat_status_t check_param(const pef_stage_site_t *site, uint32_t index, int64_t low, int64_t high) {
  const int64_t value = site->stage->params.words[index];
  if (value >= low && value <= high) return NULL;
  return leat_pef_corrupt("parameter %u is %lld, should be %lld to %lld", index, (long long)value, (long long)low,
                          (long long)high);
}

static leat_status_t check_fn(const pef_stage_site_t *site, uint32_t allowed) {
  if ((allowed >> site->stage->fn & 1) != 0) return NULL;
  return leat_pef_corrupt("function %u does not fit %s", site->stage->fn, leat_pef_stage_name(site->stage->kind));
}

// Rows of operand `index` may only run along the dims of `allowed`. One-row bodies are one tile: anything goes.
static leat_status_t check_row_dims(const pef_stage_site_t *site, uint32_t index, uint32_t allowed) {
  const pef_operand_t *operand = &site->operands[index];
  if (operand->row_dim == PEF_NO_ROW_DIM || site->body->row_count == 1) return NULL;
  if ((allowed >> operand->row_dim & 1) != 0) return NULL;
  return leat_pef_corrupt("rows of operand %u run along dim %u, which %s cannot cut", index, operand->row_dim,
                          leat_pef_stage_name(site->stage->kind));
}

static uint32_t dims_mask(uint32_t first, uint32_t count) { return ((1u << count) - 1) << first; }

#define FN(name) (1u << PEF_FN_##name)

// --- reduce, scan, sort ------------------------------------------------------------------------------------------

static leat_status_t rule_reduce(const pef_stage_site_t *site) {
  const pef_operand_t *in = &site->operands[0], *out = &site->operands[1];
  LEAT_TRY(check_fn(site, FN(SUM) | FN(PROD) | FN(MAX) | FN(MIN) | FN(ARGMAX) | FN(ARGMIN)));
  LEAT_TRY(check_alike(site, 0, 1));
  const bool is_arg = site->stage->fn == PEF_FN_ARGMAX || site->stage->fn == PEF_FN_ARGMIN;
  LEAT_TRY(check_param(site, 0, is_arg ? 1 : 0, (INT64_C(1) << in->rank) - 1));
  const uint32_t reduced = (uint32_t)site->stage->params.words[0];
  for (uint32_t i = 0; i < out->rank; ++i) {
    if ((reduced >> i & 1) != 0 && out->strides[i] != 0) {
      return leat_pef_corrupt("the result has stride %lld on reduced dim %u, should have 0", (long long)out->strides[i],
                              i);
    }
  }
  LEAT_TRY(check_row_dims(site, 0, ~reduced));
  LEAT_TRY(check_row_dims(site, 1, ~reduced));
  if (!is_arg) return check_class(site, 0, 1);
  if ((reduced & (reduced - 1)) != 0) return leat_pef_corrupt("argmax and argmin reduce one dim, not mask %u", reduced);
  if (out->dtype != PEF_I64) return leat_pef_corrupt("argmax and argmin write i64");
  return NULL;
}

static leat_status_t rule_scan(const pef_stage_site_t *site) {
  LEAT_TRY(check_fn(site, FN(SUM) | FN(PROD) | FN(MAX) | FN(MIN)));
  LEAT_TRY(check_alike(site, 0, 1));
  LEAT_TRY(check_param(site, 0, 0, (int64_t)site->operands[0].rank - 1));
  LEAT_TRY(check_param(site, 1, 0, 1));
  const uint32_t cuttable = ~(1u << site->stage->params.words[0]);
  LEAT_TRY(check_row_dims(site, 0, cuttable));
  LEAT_TRY(check_row_dims(site, 1, cuttable));
  return check_class(site, 0, 1);
}

static leat_status_t rule_sort(const pef_stage_site_t *site) {
  const pef_operand_t *values = &site->operands[1], *indices = &site->operands[2];
  LEAT_TRY(check_param(site, 0, 0, (int64_t)site->operands[0].rank - 1));
  LEAT_TRY(check_param(site, 1, 0, 1));
  if (values->space == PEF_SPACE_NONE && indices->space == PEF_SPACE_NONE) {
    return leat_pef_corrupt("it has neither values nor indices to write");
  }
  const uint32_t cuttable = ~(1u << site->stage->params.words[0]);
  LEAT_TRY(check_row_dims(site, 0, cuttable));
  for (uint32_t i = 1; i < 3; ++i) {
    if (site->operands[i].space != PEF_SPACE_NONE) LEAT_TRY(check_alike(site, 0, i));
  }
  if (values->space != PEF_SPACE_NONE && values->dtype != site->operands[0].dtype) {
    return leat_pef_corrupt("operands 0 and 1 differ in dtype");
  }
  if (indices->space != PEF_SPACE_NONE && indices->dtype != PEF_I64) return leat_pef_corrupt("indices are not i64");
  return NULL;
}

// --- contract ----------------------------------------------------------------------------------------------------

// Operand that lacks dims of a role; batch dims are in all three.
static const int32_t lacks_role[] = {[PEF_ROLE_BATCH] = -1, [PEF_ROLE_M] = 1, [PEF_ROLE_N] = 0, [PEF_ROLE_K] = 2};

static leat_status_t check_contract_dim(const pef_stage_site_t *site, uint32_t dim) {
  LEAT_TRY(check_param(site, dim, PEF_ROLE_BATCH, PEF_ROLE_K));
  const int64_t role = site->stage->params.words[dim];
  for (uint32_t i = 0; i < 2; ++i) LEAT_TRY(check_extent(site, i, dim, 2, dim));
  const int32_t lacking = lacks_role[role];
  if (lacking >= 0 && site->operands[lacking].strides[dim] != 0) {
    return leat_pef_corrupt("operand %d has stride %lld on dim %u, which it lacks", lacking,
                            (long long)site->operands[lacking].strides[dim], dim);
  }
  for (uint32_t i = 0; i < 3 && role == PEF_ROLE_K; ++i) LEAT_TRY(check_row_dims(site, i, ~(1u << dim)));
  return NULL;
}

static leat_status_t check_packed(const pef_stage_site_t *site) {
  LEAT_TRY(check_param(site, 8, 0, PARAM_LIMIT));
  LEAT_TRY(check_param(site, 9, 0, INT64_MAX / 8));
  if (site->stage->params.words[8] == 0) return NULL;
  uint32_t n_dims = 0;
  for (uint32_t i = 0; i < site->operands[1].rank; ++i) {
    if (site->stage->params.words[i] != PEF_ROLE_N) continue;
    ++n_dims;
    if (site->operands[1].strides[i] != 1) return leat_pef_corrupt("packed B needs stride 1 on its n dim");
  }
  if (n_dims != 1) return leat_pef_corrupt("packed B needs one n dim, it has %u", n_dims);
  const pef_operand_t *b = &site->operands[1];
  const bool cut = b->space == PEF_SPACE_SCRATCH && b->row_dim != PEF_NO_ROW_DIM && site->body->row_count > 1;
  if (cut && site->stage->params.words[b->row_dim] == PEF_ROLE_N) {
    return leat_pef_corrupt("packed B is cut along n, but scratch holds the columns of one tile only");
  }
  return NULL;
}

static leat_status_t rule_contract(const pef_stage_site_t *site) {
  LEAT_TRY(check_rank(site, 0, site->operands[2].rank));
  LEAT_TRY(check_rank(site, 1, site->operands[2].rank));
  for (uint32_t i = 0; i < site->operands[2].rank; ++i) LEAT_TRY(check_contract_dim(site, i));
  LEAT_TRY(check_packed(site));
  LEAT_TRY(check_param(site, 10, 0, 1));
  LEAT_TRY(check_class(site, 0, 2));
  return check_class(site, 1, 2);
}

// --- windows -----------------------------------------------------------------------------------------------------

// Positions of the window along spatial dim `i` when the operand has `extent` elements there; -1 when out of range.
static int64_t window_positions(const int64_t *params, uint32_t i, int64_t extent) {
  const int64_t window = params[2 + i], stride = params[5 + i], low = params[8 + i], high = params[11 + i];
  const int64_t dilation = params[14 + i], base_dilation = params[17 + i];
  if (extent > PARAM_LIMIT) return -1;
  const int64_t base = extent == 0 ? 0 : (extent - 1) * base_dilation + 1;
  const int64_t room = base + low + high - ((window - 1) * dilation + 1);
  return room < 0 ? 0 : room / stride + 1;
}

static leat_status_t check_window_params(const pef_stage_site_t *site, int64_t base_dilation_max) {
  LEAT_TRY(check_param(site, 0, 1, 3));
  for (uint32_t i = 0; i < (uint32_t)site->stage->params.words[0]; ++i) {
    LEAT_TRY(check_param(site, 2 + i, 1, PARAM_LIMIT - 1));
    LEAT_TRY(check_param(site, 5 + i, 1, PARAM_LIMIT - 1));
    LEAT_TRY(check_param(site, 8 + i, -PARAM_LIMIT, PARAM_LIMIT));
    LEAT_TRY(check_param(site, 11 + i, -PARAM_LIMIT, PARAM_LIMIT));
    LEAT_TRY(check_param(site, 14 + i, 1, PARAM_LIMIT - 1));
    LEAT_TRY(check_param(site, 17 + i, 1, base_dilation_max));
  }
  return NULL;
}

// The last params[0] dims of `y` are the window positions over those of `x`.
static leat_status_t check_positions(const pef_stage_site_t *site, uint32_t x, uint32_t y) {
  const uint32_t spatial = (uint32_t)site->stage->params.words[0], first = site->operands[x].rank - spatial;
  for (uint32_t i = 0; i < spatial; ++i) {
    const int64_t positions = window_positions(site->stage->params.words, i, site->operands[x].dims[first + i]);
    const int64_t extent = site->operands[y].dims[first + i];
    if (positions != extent) {
      return leat_pef_corrupt("spatial dim %u of operand %u is %lld, the window has %lld positions", i, y,
                              (long long)extent, (long long)positions);
    }
  }
  return NULL;
}

// x[N,C,s..], w[O,C/g,k..], y[N,O,t..], given by operand index.
static leat_status_t check_conv_shapes(const pef_stage_site_t *site, uint32_t x, uint32_t w, uint32_t y) {
  const int64_t *params = site->stage->params.words, spatial = params[0], groups = params[1];
  for (uint32_t i = 0; i < 3; ++i) LEAT_TRY(check_rank(site, i, spatial + 2));
  LEAT_TRY(check_param(site, 1, 1, PARAM_LIMIT));
  const int64_t channels = site->operands[x].dims[1], features = site->operands[y].dims[1];
  if (channels % groups != 0 || features % groups != 0) {
    return leat_pef_corrupt("%lld channels and %lld features in %lld groups", (long long)channels, (long long)features,
                            (long long)groups);
  }
  if (site->operands[w].dims[1] != channels / groups) {
    return leat_pef_corrupt("dim 1 of operand %u is %lld, should be %lld", w, (long long)site->operands[w].dims[1],
                            (long long)(channels / groups));
  }
  LEAT_TRY(check_extent(site, x, 0, y, 0));
  LEAT_TRY(check_extent(site, w, 0, y, 1));
  for (uint32_t i = 0; i < (uint32_t)spatial; ++i) {
    if (site->operands[w].dims[2 + i] != params[2 + i]) {
      return leat_pef_corrupt("dim %u of operand %u is %lld, the window is %lld", 2 + i, w,
                              (long long)site->operands[w].dims[2 + i], (long long)params[2 + i]);
    }
  }
  LEAT_TRY(check_positions(site, x, y));
  LEAT_TRY(check_class(site, 0, 2));
  return check_class(site, 1, 2);
}

// Rows: images, or output features.
static leat_status_t rule_conv(const pef_stage_site_t *site) {
  LEAT_TRY(check_window_params(site, PARAM_LIMIT - 1));
  LEAT_TRY(check_conv_shapes(site, 0, 1, 2));
  LEAT_TRY(check_row_dims(site, 0, dims_mask(0, 1)));
  LEAT_TRY(check_row_dims(site, 1, dims_mask(0, 1)));
  return check_row_dims(site, 2, dims_mask(0, 2));
}

// Rows: features or channels of dw when there is one group; images are summed.
static leat_status_t rule_conv_wgrad(const pef_stage_site_t *site) {
  LEAT_TRY(check_window_params(site, 1));
  LEAT_TRY(check_conv_shapes(site, 0, 2, 1));
  const bool one_group = site->stage->params.words[1] == 1;
  if (one_group) LEAT_TRY(check_extent(site, 0, 1, 2, 1));
  LEAT_TRY(check_row_dims(site, 0, one_group ? dims_mask(1, 1) : 0));
  LEAT_TRY(check_row_dims(site, 1, one_group ? dims_mask(1, 1) : 0));
  return check_row_dims(site, 2, one_group ? dims_mask(0, 2) : 0);
}

// Operand `y` is the pooled shape of operand `x`. Rows: any dim in front of the windowed ones.
static leat_status_t check_pool_shapes(const pef_stage_site_t *site, uint32_t x, uint32_t y) {
  LEAT_TRY(check_fn(site, FN(MAX) | FN(SUM)));
  LEAT_TRY(check_window_params(site, 1));
  LEAT_TRY(check_param(site, 1, 0, 1));
  LEAT_TRY(check_param(site, 0, 1, site->operands[x].rank));
  LEAT_TRY(check_rank(site, y, site->operands[x].rank));
  const uint32_t leading = site->operands[x].rank - (uint32_t)site->stage->params.words[0];
  LEAT_TRY(check_extents(site, x, 0, y, 0, leading));
  LEAT_TRY(check_positions(site, x, y));
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) {
    LEAT_TRY(check_row_dims(site, i, dims_mask(0, leading)));
    LEAT_TRY(check_class(site, 0, i));
  }
  return NULL;
}

static leat_status_t rule_pool(const pef_stage_site_t *site) { return check_pool_shapes(site, 0, 1); }

static leat_status_t rule_pool_grad(const pef_stage_site_t *site) {
  LEAT_TRY(check_pool_shapes(site, 0, 1));
  LEAT_TRY(check_alike(site, 0, 2));
  const uint32_t leading = site->operands[0].rank - (uint32_t)site->stage->params.words[0];
  return check_extents(site, 1, 0, 2, 0, leading);
}

// --- gather, scatter, random -------------------------------------------------------------------------------------

// table: B++P++[D]++S, index: B++I, picked: B++P++I++S, given by operand index. Rows of the table: its caller checks.
static leat_status_t check_lookup(const pef_stage_site_t *site, uint32_t table, uint32_t index, uint32_t picked) {
  const uint32_t table_rank = site->operands[table].rank, index_rank = site->operands[index].rank;
  LEAT_TRY(check_param(site, 0, 0, (int64_t)table_rank - 1));
  const uint32_t dim = (uint32_t)site->stage->params.words[0];
  LEAT_TRY(check_param(site, 1, 0, dim < index_rank ? dim : index_rank));
  const uint32_t batch = (uint32_t)site->stage->params.words[1], looked_up = index_rank - batch;
  LEAT_TRY(check_rank(site, picked, (int64_t)table_rank - 1 + looked_up));
  LEAT_TRY(check_extents(site, table, 0, picked, 0, dim));
  LEAT_TRY(check_extents(site, index, 0, picked, 0, batch));
  LEAT_TRY(check_extents(site, index, batch, picked, dim, looked_up));
  LEAT_TRY(check_extents(site, table, dim + 1, picked, dim + looked_up, table_rank - dim - 1));
  LEAT_TRY(check_integers(site, index));
  return check_class(site, table, picked);
}

static leat_status_t rule_gather(const pef_stage_site_t *site) {
  LEAT_TRY(check_lookup(site, 0, 1, 2));
  return check_row_dims(site, 0, ~(1u << site->stage->params.words[0]));
}

// Rows may not run along the looked-up dims I: all tiles would write the same rows of the table. They may run along D,
// where a tile looks at all indices.
static leat_status_t rule_scatter(const pef_stage_site_t *site) {
  LEAT_TRY(check_fn(site, FN(SET) | FN(SUM) | FN(MAX) | FN(MIN) | FN(PROD)));
  LEAT_TRY(check_lookup(site, 2, 0, 1));
  const uint32_t dim = (uint32_t)site->stage->params.words[0], batch = (uint32_t)site->stage->params.words[1];
  LEAT_TRY(check_row_dims(site, 0, dims_mask(0, batch)));
  return check_row_dims(site, 1, ~dims_mask(dim, site->operands[0].rank - batch));
}

static leat_status_t rule_random(const pef_stage_site_t *site) {
  const pef_operand_t *state = &site->operands[0], *out = &site->operands[1];
  LEAT_TRY(check_fn(site, FN(UNIFORM) | FN(NORMAL)));
  LEAT_TRY(check_param(site, 0, 0, UINT32_MAX));
  LEAT_TRY(check_rank(site, 0, 1));
  LEAT_TRY(check_row_dims(site, 0, 0));
  if (state->dtype != PEF_I64 || state->dims[0] != 2) return leat_pef_corrupt("the state is not i64[2]");
  if (out->dtype != PEF_F32 && out->dtype != PEF_F64) return leat_pef_corrupt("the result is neither f32 nor f64");
  return NULL;
}

// --- extents of 0 ------------------------------------------------------------------------------------------------

// What an element of the result is made of has elements, where the kind has no value for none.
leat_status_t leat_pef_check_extents(const pef_stage_site_t *site) {
  const uint32_t kind = site->stage->kind, fn = site->stage->fn;
  const bool ordered = kind == PEF_STAGE_REDUCE && (fn == PEF_FN_ARGMAX || fn == PEF_FN_ARGMIN);
  const bool windows = kind >= PEF_STAGE_CONV && kind <= PEF_STAGE_POOL_GRAD;
  for (uint32_t i = 0; i < site->stage->operand_count && (ordered || windows) && !site->idle; ++i) {
    for (uint32_t d = 0; d < site->operands[i].rank; ++d) {
      if (site->operands[i].dims[d] > 0) continue;
      return leat_pef_corrupt("dim %u of operand %u is empty: %s has no result for that", d, i,
                              leat_pef_stage_name(kind));
    }
  }
  return NULL;
}

// --- the table ---------------------------------------------------------------------------------------------------

static const pef_rule_fn rules[PEF_STAGE_COUNT] = {
    [PEF_STAGE_REDUCE] = rule_reduce,         [PEF_STAGE_SCAN] = rule_scan,
    [PEF_STAGE_CONTRACT] = rule_contract,     [PEF_STAGE_CONV] = rule_conv,
    [PEF_STAGE_CONV_WGRAD] = rule_conv_wgrad, [PEF_STAGE_POOL] = rule_pool,
    [PEF_STAGE_POOL_GRAD] = rule_pool_grad,   [PEF_STAGE_GATHER] = rule_gather,
    [PEF_STAGE_SCATTER] = rule_scatter,       [PEF_STAGE_SORT] = rule_sort,
    [PEF_STAGE_RANDOM] = rule_random,
};

// The chain of a long sum: only where floats are summed.
static leat_status_t check_chain(const pef_stage_site_t *site) {
  const uint32_t kind = site->stage->kind;
  bool sums = kind == PEF_STAGE_CONTRACT || kind == PEF_STAGE_CONV_WGRAD;
  sums |= kind == PEF_STAGE_REDUCE && site->stage->fn == PEF_FN_SUM;
  sums &= leat_pef_dtype_class(site->operands[0].dtype) != PEF_CLASS_I64;
  if (kind == PEF_STAGE_SCAN && site->operands[0].dtype == PEF_F32 && site->stage->fn <= PEF_FN_PROD)
    return check_param(site, 23, 0, 1);
  return check_param(site, 23, 0, sums ? PEF_CHAIN_MAX : 0);
}

leat_status_t leat_pef_check_stage(const pef_stage_site_t *site) {
  LEAT_TRY(rules[site->stage->kind](site));
  return check_chain(site);
}
