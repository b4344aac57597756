// SPDX-License-Identifier: Apache-2.0
// What does not follow from the block of a stage kind: the functions that stage.def names. They may rely on all that
// does. MAP's is in pef_check_map.c.
#include "pef/pef_check.h"

leat_status_t leat_pef_check_extent(const pef_stage_site_t *site, uint32_t p, uint32_t i, uint32_t q, uint32_t j) {
  if (leat_pef_same_extent(site, p, i, q, j)) return NULL;
  return leat_pef_corrupt("dim %u of %s (%lld) and dim %u of %s (%lld) differ in extent or rows", i,
                          leat_pef_label(site, p).text, (long long)site->operands[p].dims[i], j,
                          leat_pef_label(site, q).text, (long long)site->operands[q].dims[j]);
}

leat_status_t leat_pef_check_class(const pef_stage_site_t *site, uint32_t p, uint32_t q) {
  const uint32_t a = site->operands[p].dtype, b = site->operands[q].dtype;
  if (leat_pef_dtype_class(a) == leat_pef_dtype_class(b)) return NULL;
  return leat_pef_corrupt("%s (%s) and %s (%s) are computed in different classes", leat_pef_label(site, p).text,
                          leat_pef_dtype_name(a), leat_pef_label(site, q).text, leat_pef_dtype_name(b));
}

// --- reduce ------------------------------------------------------------------------------------------------------

leat_status_t leat_pef_rule_reduce(const pef_stage_site_t *site) {
  const pef_operand_t *out = &site->operands[PEF_REDUCE_out];
  const int64_t reduced = site->stage->params.reduce.dims;
  for (uint32_t i = 0; i < out->rank; ++i) {
    if ((reduced >> i & 1) == 0 || out->strides[i] == 0) continue;
    return leat_pef_corrupt("operand 'out' has stride %lld on reduced dim %u, should have 0",
                            (long long)out->strides[i], i);
  }
  if (site->stage->fn != PEF_FN_ARGMAX && site->stage->fn != PEF_FN_ARGMIN) {
    return leat_pef_check_class(site, PEF_REDUCE_in, PEF_REDUCE_out);
  }
  if (__builtin_popcountll((uint64_t)reduced) != 1) {
    return leat_pef_corrupt("parameter 'dims' is %lld: argmax and argmin reduce one dim", (long long)reduced);
  }
  if (out->dtype != PEF_I64) return leat_pef_corrupt("operand 'out' is not i64, which argmax and argmin write");
  return NULL;
}

// --- contract ----------------------------------------------------------------------------------------------------

// A and B come first in both kinds, C last. Batch dims are in all of them.
static bool lacks_role(const pef_stage_site_t *site, uint32_t index, int64_t role) {
  if (index == PEF_CONTRACT_a) return role == PEF_ROLE_N;
  return role == (index + 1u == site->stage->operand_count ? PEF_ROLE_K : PEF_ROLE_M);
}

static leat_status_t check_packed(const pef_stage_site_t *site) {
  const pef_product_t *params = &site->stage->params.product;
  const pef_operand_t *b = &site->operands[PEF_CONTRACT_b];
  uint32_t n_dims = 0;
  for (uint32_t i = 0; i < b->rank; ++i) {
    if (params->roles[i] != PEF_ROLE_N) continue;
    ++n_dims;
    if (b->strides[i] != 1) return leat_pef_corrupt("operand 'b' is packed: it needs stride 1 on its n dim");
  }
  if (n_dims != 1) return leat_pef_corrupt("operand 'b' is packed: it needs one n dim, it has %u", n_dims);
  const bool cut = b->space == PEF_SPACE_SCRATCH && b->row_dim != PEF_NO_ROW_DIM && site->body->row_count > 1;
  if (cut && params->roles[b->row_dim] == PEF_ROLE_N) {
    return leat_pef_corrupt("operand 'b' is packed and cut along n, but scratch holds the columns of one tile only");
  }
  return NULL;
}

// Blocks of a long sum and panels hold whole pairs.
static leat_status_t check_pairs(const pef_stage_site_t *site) {
  const pef_product_t *params = &site->stage->params.product;
  const pef_operand_t *b = &site->operands[PEF_CONTRACT_b];
  if (b->dtype != PEF_BF16) {
    return leat_pef_corrupt("operand 'b' is %s: parameter 'pairs' is for bf16 with bf16",
                            leat_pef_dtype_name(b->dtype));
  }
  if (params->chain % 2 != 0) {
    return leat_pef_corrupt("parameter 'chain' is %lld: blocks of pairs are even", (long long)params->chain);
  }
  if (params->n_block == 0) return NULL;
  if (params->n_block_step % 2 != 0) {
    return leat_pef_corrupt("parameter 'n_block_step' is %lld: blocks of pairs are even",
                            (long long)params->n_block_step);
  }
  int64_t k = 1;
  for (uint32_t i = 0; i < b->rank; ++i) k *= params->roles[i] == PEF_ROLE_K ? b->dims[i] : 1;
  return k % 2 == 0 ? NULL
                    : leat_pef_corrupt("operand 'b' is packed in pairs, but has %lld elements of k", (long long)k);
}

leat_status_t leat_pef_rule_contract(const pef_stage_site_t *site) {
  const pef_product_t *params = &site->stage->params.product;
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) {
    for (uint32_t d = 0; d < site->operands[i].rank; ++d) {
      if (!lacks_role(site, i, params->roles[d]) || site->operands[i].strides[d] == 0) continue;
      return leat_pef_corrupt("%s has stride %lld on dim %u, which it lacks", leat_pef_label(site, i).text,
                              (long long)site->operands[i].strides[d], d);
    }
  }
  if (params->pairs != 0) LEAT_TRY(check_pairs(site));
  return params->n_block != 0 ? check_packed(site) : NULL;
}

// --- windows -----------------------------------------------------------------------------------------------------

// Positions of the window along spatial dim `i` when the operand has `extent` elements there.
static int64_t window_positions(const pef_window_t *w, uint32_t i, int64_t extent) {
  const int64_t base = extent == 0 ? 0 : (extent - 1) * w->base_dilation[i] + 1;
  const int64_t room = base + w->low[i] + w->high[i] - ((w->window[i] - 1) * w->dilation[i] + 1);
  return room < 0 ? 0 : room / w->stride[i] + 1;
}

// The trailing dims of `y` are the window positions over those of `x`.
static leat_status_t check_positions(const pef_stage_site_t *site, uint32_t x, uint32_t y) {
  const pef_window_t *w = &site->stage->params.window;
  for (uint32_t i = 0; i < (uint32_t)w->spatial; ++i) {
    const uint32_t dim = site->operands[x].rank - (uint32_t)w->spatial + i;
    const int64_t in = site->operands[x].dims[dim], out = site->operands[y].dims[dim];
    if (in > INT32_MAX) return leat_pef_corrupt("dim %u of %s is too large", dim, leat_pef_label(site, x).text);
    if (window_positions(w, i, in) != out || out > INT32_MAX) {
      return leat_pef_corrupt("dim %u of %s is %lld, the window has %lld positions", dim, leat_pef_label(site, y).text,
                              (long long)out, (long long)window_positions(w, i, in));
    }
  }
  return NULL;
}

// Behind `batch` dims that all operands share.
static leat_status_t check_conv(const pef_stage_site_t *site, uint32_t w, uint32_t y, uint32_t batch) {
  const pef_window_t *window = &site->stage->params.window;
  const int64_t groups = window->groups, channels = site->operands[0].dims[batch + 1],
                features = site->operands[y].dims[batch + 1];
  if (channels % groups != 0 || features % groups != 0) {
    return leat_pef_corrupt("parameter 'groups' is %lld: it has to divide %lld channels and %lld features",
                            (long long)groups, (long long)channels, (long long)features);
  }
  const int64_t *weights = &site->operands[w].dims[batch];
  if (weights[1] != channels / groups) {
    return leat_pef_corrupt("dim %u of %s is %lld, should be %lld", batch + 1, leat_pef_label(site, w).text,
                            (long long)weights[1], (long long)(channels / groups));
  }
  for (uint32_t i = 0; i < (uint32_t)window->spatial; ++i) {
    if (weights[2 + i] == window->window[i]) continue;
    return leat_pef_corrupt("dim %u of %s is %lld, the window is %lld", batch + 2 + i, leat_pef_label(site, w).text,
                            (long long)weights[2 + i], (long long)window->window[i]);
  }
  return check_positions(site, 0, y);
}

leat_status_t leat_pef_rule_conv(const pef_stage_site_t *site) { return check_conv(site, PEF_CONV_w, PEF_CONV_y, 0); }
leat_status_t leat_pef_rule_conv_wgrad(const pef_stage_site_t *site) {
  const uint32_t batch = (uint32_t)site->stage->params.conv_wgrad.batch;
  return check_conv(site, PEF_CONV_WGRAD_dw, PEF_CONV_WGRAD_dy, batch);
}
leat_status_t leat_pef_rule_pool(const pef_stage_site_t *site) { return check_positions(site, PEF_POOL_x, PEF_POOL_y); }

// --- attention ---------------------------------------------------------------------------------------------------

// What is drawn needs a seed, and numbers that name the elements of the table of scores.
static leat_status_t check_draws(const pef_stage_site_t *site, uint32_t state, uint32_t drop) {
  const bool has_state = site->operands[state].space != PEF_SPACE_NONE;
  if (has_state != (site->operands[drop].space != PEF_SPACE_NONE)) {
    return leat_pef_corrupt("operands 'state' and 'drop' are both there or both absent");
  }
  const pef_operand_t *q = &site->operands[PEF_ATTENTION_q], *k = &site->operands[PEF_ATTENTION_k];
  int64_t elements = k->dims[k->rank - 2];
  for (uint32_t d = 0; has_state && d + 1 < q->rank; ++d) {
    if (__builtin_mul_overflow(elements, q->dims[d], &elements)) {
      return leat_pef_corrupt("the scores have more than 2^63 elements");
    }
  }
  return NULL;
}

leat_status_t leat_pef_rule_attention(const pef_stage_site_t *site) {
  return check_draws(site, PEF_ATTENTION_state, PEF_ATTENTION_drop);
}
leat_status_t leat_pef_rule_attention_grad(const pef_stage_site_t *site) {
  return check_draws(site, PEF_ATTENTION_GRAD_state, PEF_ATTENTION_GRAD_drop);
}
