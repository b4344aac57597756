// SPDX-License-Identifier: Apache-2.0
// Gradients of contractions, convolutions and pooling.
#include "grad/rules.h"

// Does the first letter of the result that only one operand has belong to the second?
static bool starts_with_second(const leat_spec_t *spec) {
  for (uint32_t i = 0; i < spec->rank[2]; i++) {
    bool in_x = leat_spec_find(spec, 0, spec->letters[2][i]) >= 0;
    bool in_y = leat_spec_find(spec, 1, spec->letters[2][i]) >= 0;
    if (in_x != in_y) return in_y;
  }
  return false;
}

// Contract with the operand first that holds the result's outermost dim, so that every product reads as rows times
// columns.
static leat_value_id_t contract(leat_builder_t *b, leat_spec_t spec, leat_value_id_t x, leat_value_id_t y) {
  if (!starts_with_second(&spec)) return leat_b_contract(b, &spec, x, y);
  spec = leat_spec_pick(&spec, 1, 0, 2);
  return leat_b_contract(b, &spec, y, x);
}

// "x,y->z": dx is "z,y->x", dy is "x,z->y"; a letter in two of the three stays in two of the three.
PRIM_VJP(CONTRACT) {
  const leat_spec_t spec = *leat_op_spec(v->b->graph, &v->op);
  if (v->wants[0]) v->dx[0] = contract(v->b, leat_spec_pick(&spec, 2, 1, 0), v->dy[0], v->x[1]);
  if (v->wants[1]) v->dx[1] = contract(v->b, leat_spec_pick(&spec, 0, 2, 1), v->x[0], v->dy[0]);
}

static leat_window_t read_window(const leat_vjp_t *v) {
  leat_window_t w = {.groups = leat_vjp_int(v, LEAT_ATTR_GROUPS, 1)};
  struct {
    leat_attr_key_t key;
    int64_t *to;
  } const lists[] = {{LEAT_ATTR_WINDOW, w.window},     {LEAT_ATTR_STRIDE, w.stride},
                     {LEAT_ATTR_LOW, w.low},           {LEAT_ATTR_HIGH, w.high},
                     {LEAT_ATTR_DILATION, w.dilation}, {LEAT_ATTR_BASE_DILATION, w.base_dilation}};
  for (uint32_t d = 0; d < 3; d++) w.window[d] = w.stride[d] = w.dilation[d] = w.base_dilation[d] = 1;
  for (uint32_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    uint32_t count;
    const int64_t *list = leat_vjp_list(v, lists[i].key, &count);
    for (uint32_t d = 0; d < count && d < 3; d++) lists[i].to[d] = list[d];
    if (count > w.rank) w.rank = count < 3 ? count : 3;
  }
  return w;
}

// dx is the convolution of dy, spread out by the stride, with the taps reversed and channels swapped; it yields every
// base_dilation-th position. Its padding follows from that it must have x's extent.
static leat_value_id_t conv_dx(leat_vjp_t *v, const leat_window_t *w) {
  leat_builder_t *b = v->b;
  leat_value_t x = *leat_b_value(b, v->x[0]), k = *leat_b_value(b, v->x[1]), y = *leat_b_value(b, v->y[0]);
  leat_window_t back = *w;
  for (uint32_t i = 0; i < w->rank; i++) {
    int64_t reach = w->dilation[i] * (k.dims[2 + i] - 1);
    back.stride[i] = w->base_dilation[i];
    back.base_dilation[i] = w->stride[i];
    back.low[i] = reach - w->low[i];
    int64_t spread = (y.dims[2 + i] - 1) * w->stride[i] + 1;
    back.high[i] = (x.dims[2 + i] - 1) * w->base_dilation[i] + reach + 1 - spread - back.low[i];
  }
  uint32_t spatial = ((1u << k.rank) - 1u) & ~3u;
  return leat_b_conv(b, v->dy[0], leat_b_flip(b, leat_b_swap_channels(b, v->x[1], w->groups), spatial), &back);
}

// Of a transposed convolution (stride 1, x spread out): the same weights turn dy into dx as a plain convolution whose
// stride is the spread, so that x is the cotangent of its result. No hole of x takes part.
static leat_value_id_t conv_dw_transposed(leat_vjp_t *v, const leat_window_t *w) {
  leat_builder_t *b = v->b;
  leat_value_t x = *leat_b_value(b, v->x[0]), k = *leat_b_value(b, v->x[1]), y = *leat_b_value(b, v->y[0]);
  leat_window_t back = *w;
  for (uint32_t i = 0; i < w->rank; i++) {
    const int64_t reach = w->dilation[i] * (k.dims[2 + i] - 1);
    back.window[i] = k.dims[2 + i];
    back.stride[i] = w->base_dilation[i];
    back.base_dilation[i] = 1;
    back.low[i] = reach - w->low[i];
    back.high[i] = (x.dims[2 + i] - 1) * w->base_dilation[i] + reach + 1 - y.dims[2 + i] - back.low[i];
  }
  leat_value_id_t dw = leat_b_swap_channels(b, leat_b_conv_wgrad(b, v->dy[0], v->x[0], &back, 0), w->groups);
  return leat_b_flip(b, dw, ((1u << k.rank) - 1u) & ~3u);
}

static bool is_transposed(const leat_window_t *w) {
  bool spread = false, strided = false;
  for (uint32_t i = 0; i < w->rank; i++) {
    spread = spread || w->base_dilation[i] > 1;
    strided = strided || w->stride[i] > 1;
  }
  return spread && !strided;
}

// conv_wgrad reads x without base dilation: where there is one, x is spread out first.
static leat_value_id_t conv_dw(leat_vjp_t *v, leat_window_t w) {
  leat_builder_t *b = v->b;
  if (is_transposed(&w)) return conv_dw_transposed(v, &w);
  leat_value_t x = *leat_b_value(b, v->x[0]), k = *leat_b_value(b, v->x[1]);
  int64_t none[LEAT_RANK_MAX] = {0}, interior[LEAT_RANK_MAX] = {0};
  bool spread = false;
  for (uint32_t i = 0; i < w.rank; i++) {
    w.window[i] = k.dims[2 + i];
    interior[2 + i] = x.dims[2 + i] > 1 ? w.base_dilation[i] - 1 : 0;
    spread = spread || interior[2 + i] != 0;
    w.base_dilation[i] = 1;
  }
  leat_value_id_t operand = spread ? leat_b_pad(b, v->x[0], none, none, interior, 0.0) : v->x[0];
  return leat_b_conv_wgrad(b, operand, v->dy[0], &w, 0);
}

PRIM_VJP(CONV) {
  leat_window_t w = read_window(v);
  if (v->wants[0]) v->dx[0] = conv_dx(v, &w);
  if (v->wants[1]) v->dx[1] = conv_dw(v, w);
}

PRIM_VJP(POOL) {
  leat_window_t w = read_window(v);
  v->dx[0] = leat_b_pool_grad(v->b, leat_vjp_word(v, LEAT_ATTR_FN, LEAT_FOLD_MAX), v->x[0], v->dy[0], &w);
}

// Only reverse mode itself writes these, and it runs once.
static void second_derivative(leat_vjp_t *v) {
  leat_b_fail(v->b, LEAT_UNSUPPORTED, "derivatives of derivatives are not available");
}
PRIM_VJP(CONV_WGRAD) { second_derivative(v); }
PRIM_VJP(POOL_GRAD) { second_derivative(v); }
// Attention has its gradient where it is lowered.
PRIM_VJP(ATTENTION) { second_derivative(v); }
PRIM_VJP(ATTENTION_GRAD) { second_derivative(v); }
