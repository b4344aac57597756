// SPDX-License-Identifier: Apache-2.0
// Convolution and pooling over 1 to 3 spatial dims; inputs without a batch dim get one while they are computed.
#include "lower/row.h"

static int64_t item(const int64_t *list, uint32_t count, uint32_t i, int64_t otherwise) {
  if (count == 0) return otherwise;
  return list[i < count ? i : count - 1];
}

// Reads stride, padding, dilation for `rank` spatial dims; one number stands for all.
static leat_window_t read_window(const leat_graph_t *g, const leat_op_t *op, uint32_t rank) {
  leat_window_t w = {.rank = rank, .groups = leat_op_int(g, op, LEAT_ATTR_GROUPS, 1)};
  uint32_t strides, paddings, dilations, windows;
  const int64_t *stride = leat_op_list(g, op, LEAT_ATTR_STRIDE, &strides);
  const int64_t *padding = leat_op_list(g, op, LEAT_ATTR_PADDING, &paddings);
  const int64_t *dilation = leat_op_list(g, op, LEAT_ATTR_DILATION, &dilations);
  const int64_t *window = leat_op_list(g, op, LEAT_ATTR_WINDOW, &windows);
  for (uint32_t i = 0; i < rank; i++) {
    w.window[i] = item(window, windows, i, 1);
    w.stride[i] = item(stride, strides, i, windows != 0 ? w.window[i] : 1);
    w.low[i] = w.high[i] = item(padding, paddings, i, 0);
    w.dilation[i] = item(dilation, dilations, i, 1);
    w.base_dilation[i] = 1;
  }
  return w;
}

// w[C, O/g, k..] of a transposed convolution as [O, C/g, k..] with the taps reversed.
static leat_value_id_t transpose_weight(leat_builder_t *b, leat_value_id_t w, int64_t groups) {
  uint32_t rank = leat_b_value(b, w)->rank;
  uint32_t spatial = ((1u << rank) - 1u) & ~3u;
  return leat_b_flip(b, leat_b_swap_channels(b, w, groups), spatial);
}

// One element of each channel: what it makes of a channel of the result is a part of the window.
static bool is_spread_of_one(const leat_value_t *x, const leat_value_t *weight, const leat_window_t *w,
                             const int64_t extra[3]) {
  const leat_dtype_t dtype = (leat_dtype_t)x->dtype;
  if (w->groups != 1 || !leat_dtype_is_float(dtype) || leat_dtype_bytes(dtype) < 4) return false;
  if (x->rank != weight->rank || x->dims[1] != weight->dims[0] || leat_value_elements(weight) == 0) return false;
  for (uint32_t i = 0; i < w->rank; i++) {
    const int64_t size = weight->dims[2 + i], first = w->low[i], end = size - w->high[i] + extra[i];
    if (x->dims[2 + i] != 1 || w->dilation[i] != 1 || first < 0 || end > size || first >= end) return false;
  }
  return true;
}

// That is a product: x[n, c] w[c, o and window].
static leat_value_id_t spread_of_one(leat_lower_t *c, leat_value_id_t x, const leat_window_t *w,
                                     const int64_t extra[3]) {
  leat_builder_t *b = c->b;
  leat_value_t y = *leat_b_value(b, c->in[1]);
  const int64_t images = leat_b_value(b, x)->dims[0], channels = y.dims[0];
  x = leat_b_reshape(b, x, 2, (const int64_t[]){images, channels});
  y.dims[0] = images;
  const int64_t row = leat_value_elements(leat_b_value(b, c->in[1])) / channels;
  leat_value_id_t spread = leat_b_reshape(b, c->in[1], 2, (const int64_t[]){channels, row});
  spread = leat_b_reshape(b, leat_b_product(b, "mk,kn->mn", x, spread), y.rank, y.dims);
  for (uint32_t i = 0; i < w->rank; i++)
    spread = leat_b_slice_dim(b, spread, 2 + i, w->low[i], y.dims[2 + i] - w->high[i] + extra[i], 1);
  return spread;
}

static leat_value_id_t transposed_conv(leat_lower_t *c, leat_value_id_t x, leat_window_t w) {
  leat_value_t weight = *leat_b_value(c->b, c->in[1]);
  uint32_t count;
  const int64_t *list = leat_lower_list(c, LEAT_ATTR_OUTPUT_PADDING, &count);
  int64_t extra[3];
  for (uint32_t i = 0; i < w.rank; i++) extra[i] = item(list, count, i, 0);
  if (is_spread_of_one(leat_b_value(c->b, x), &weight, &w, extra)) return spread_of_one(c, x, &w, extra);
  for (uint32_t i = 0; i < w.rank; i++) {
    int64_t reach = w.dilation[i] * (weight.dims[2 + i] - 1);
    w.base_dilation[i] = w.stride[i];
    w.stride[i] = 1;
    w.high[i] = reach - w.high[i] + extra[i];
    w.low[i] = reach - w.low[i];
  }
  return leat_b_conv(c->b, x, transpose_weight(c->b, c->in[1], w.groups), &w);
}

LOWER(CONV) {
  leat_builder_t *b = c->b;
  leat_value_t weight = *leat_b_value(b, c->in[1]);
  if (weight.rank < 3 || weight.rank > 5)
    return leat_b_fail(b, LEAT_UNSUPPORTED, "convolution over 1 to 3 spatial dims only");
  if (leat_lower_int(c, LEAT_ATTR_GROUPS, 1) < 1)
    return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "groups must be positive");
  bool batched = leat_b_value(b, c->in[0])->rank == weight.rank;
  leat_value_id_t x = batched ? c->in[0] : leat_b_unsqueeze(b, c->in[0], 1u);
  leat_window_t w = read_window(c->from, c->op, weight.rank - 2u);
  leat_value_id_t y =
      leat_lower_int(c, LEAT_ATTR_TRANSPOSED, 0) ? transposed_conv(c, x, w) : leat_b_conv(b, x, c->in[1], &w);
  leat_value_id_t bias = leat_lower_in(c, 2);
  if (bias != LEAT_NONE) y = leat_b_add(b, y, leat_row_channel(b, bias, y));
  return batched ? y : leat_b_squeeze(b, y, 1u);
}

// Padding on the high side grows until the declared number of windows fits (ceil mode): by less than a stride.
leat_window_t leat_row_pool_window(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *x,
                                   const leat_value_t *y) {
  uint32_t rank = 0;
  leat_op_list(g, op, LEAT_ATTR_WINDOW, &rank);
  leat_window_t w = read_window(g, op, rank <= 3 ? rank : 3);
  for (uint32_t i = 0; i < w.rank && w.rank <= x->rank && w.rank <= y->rank; i++) {
    int64_t extent = x->dims[x->rank - w.rank + i], count = y->dims[y->rank - w.rank + i];
    int64_t needed = (count - 1) * w.stride[i] + w.dilation[i] * (w.window[i] - 1) + 1 - extent - w.low[i];
    if (needed > w.high[i] && needed - w.high[i] < w.stride[i]) w.high[i] = needed;
  }
  return w;
}

static leat_window_t pool_window(const leat_lower_t *c) {
  leat_value_t x = *leat_b_value(c->b, c->in[0]);
  return leat_row_pool_window(c->from, c->op, &x, leat_lower_declared(c, 0));
}

LOWER(MAX_POOL) {
  leat_window_t w = pool_window(c);
  return leat_b_pool(c->b, LEAT_FOLD_MAX, c->in[0], &w);
}

LOWER(AVG_POOL) {
  leat_window_t w = pool_window(c);
  leat_value_t x = *leat_b_value(c->b, c->in[0]);
  return leat_b_mul(c->b, leat_b_pool(c->b, LEAT_FOLD_SUM, c->in[0], &w),
                    leat_row_pool_scale(c->b, c->from, c->op, &x, &w));
}

// Whether the operand has the dims that are averaged, and the declared result as many.
static bool has_pooled_dims(const leat_lower_t *c) {
  const leat_value_t *x = leat_b_value(c->b, c->in[0]);
  uint32_t rank = 0;
  leat_lower_list(c, LEAT_ATTR_SHAPE, &rank);
  return rank <= x->rank && x->rank == leat_lower_declared(c, 0)->rank;
}

static leat_value_id_t refuse_dims(const leat_lower_t *c) {
  return leat_b_fail(c->b, LEAT_INVALID_ARGUMENT, "adaptive pooling of %u dims into %u over more dims than that",
                     leat_b_value(c->b, c->in[0])->rank, leat_lower_declared(c, 0)->rank);
}

// Whole windows that tile the operand: the operand is an exact multiple of the result.
static bool tiles_evenly(const leat_lower_t *c, leat_window_t *out_window) {
  leat_value_t x = *leat_b_value(c->b, c->in[0]);
  const leat_value_t *y = leat_lower_declared(c, 0);
  uint32_t rank = 0;
  leat_lower_list(c, LEAT_ATTR_SHAPE, &rank);
  *out_window = (leat_window_t){.rank = rank <= 3 ? rank : 3, .groups = 1};
  for (uint32_t i = 0; i < out_window->rank; i++) {
    int64_t in = x.dims[x.rank - out_window->rank + i], out = y->dims[y->rank - out_window->rank + i];
    if (out == 0 || in % out != 0) return false;
    out_window->window[i] = out_window->stride[i] = in / out;
    out_window->dilation[i] = out_window->base_dilation[i] = 1;
  }
  return true;
}

// The dims of the windows, where one window is all of them: 0 where there are more.
static uint32_t whole_dims(const leat_lower_t *c, const leat_window_t *w) {
  const leat_value_t *y = leat_lower_declared(c, 0);
  uint32_t dims = 0;
  for (uint32_t dim = y->rank - w->rank; dim < y->rank; dim++) {
    if (y->dims[dim] != 1) return 0;
    dims |= 1u << dim;
  }
  return dims;
}

// Result i of an axis is of its elements from floor(i*in/out) up to ceil((i+1)*in/out).
static int64_t window_low(int64_t i, int64_t in, int64_t out) { return i * in / out; }
static int64_t window_high(int64_t i, int64_t in, int64_t out) { return ((i + 1) * in + out - 1) / out; }

// Each window a slice that is reduced.
static leat_value_id_t reduce_slices(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, uint32_t dim, int64_t out) {
  int64_t in = leat_b_value(b, x)->dims[dim];
  leat_value_id_t *parts = leat_alloc((size_t)out * sizeof *parts);
  if (parts == NULL) return leat_b_fail(b, LEAT_OUT_OF_MEMORY, "out of memory");
  for (int64_t i = 0; i < out; i++) {
    const int64_t low = window_low(i, in, out), high = window_high(i, in, out);
    parts[i] = leat_b_reduce(b, fn, leat_b_slice_dim(b, x, dim, low, high, 1), 1u << dim, true);
    if (fn == LEAT_FOLD_SUM) parts[i] = leat_b_fn2s(b, DIV, parts[i], (double)(high - low));
  }
  const leat_value_id_t joined = leat_b_concat(b, parts, (uint32_t)out, dim);
  leat_free(parts);
  return joined;
}

// Few windows of many elements are read where they lie; many are gathered, which copies them.
enum { FEW_WINDOWS = 8, LONG_WINDOW = 8 };

// The mean of as many elements as the largest window has, those beyond its own end left out.
static leat_value_id_t average_axis(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t out) {
  leat_value_t v = *leat_b_value(b, x);
  const int64_t in = v.dims[dim], most = (in + out - 1) / out + (in % out != 0);
  if (out <= FEW_WINDOWS && in >= LONG_WINDOW * out) return reduce_slices(b, LEAT_FOLD_SUM, x, dim, out);
  leat_value_id_t i = leat_b_iota(b, LEAT_I64, 2, (const int64_t[]){out, 1}, 0);
  leat_value_id_t low = leat_b_fn2s(b, FLOORDIV, leat_b_muls(b, i, (double)in), (double)out);
  leat_value_id_t next = leat_b_muls(b, leat_b_adds(b, i, 1.0), (double)in);
  leat_value_id_t high = leat_b_fn2s(b, FLOORDIV, leat_b_adds(b, next, (double)(out - 1)), (double)out);
  leat_value_id_t at = leat_b_add(b, low, leat_b_iota(b, LEAT_I64, 2, (const int64_t[]){1, most}, 1));
  leat_value_id_t last = leat_b_fn2s(b, MIN, at, (double)(in - 1));
  int64_t before = 1, after = 1;
  for (uint32_t d = 0; d < v.rank; d++) *(d < dim ? &before : &after) *= d == dim ? 1 : v.dims[d];
  leat_value_id_t flat = leat_b_reshape(b, x, 3, (const int64_t[]){before, in, after});
  leat_value_id_t all = leat_b_gather(b, flat, leat_b_reshape(b, last, 1, (const int64_t[]){out * most}), 1, 0);
  all = leat_b_reshape(b, all, 4, (const int64_t[]){before, out, most, after});
  leat_value_id_t inside = leat_b_reshape(b, leat_b_fn2(b, LT, at, high), 3, (const int64_t[]){out, most, 1});
  leat_value_id_t sum = leat_b_reduce(b, LEAT_FOLD_SUM, leat_b_select_or(b, inside, all, 0.0), 1u << 2, false);
  leat_value_id_t size = leat_b_reshape(b, leat_b_sub(b, high, low), 2, (const int64_t[]){out, 1});
  size = leat_b_cast(b, size, (leat_dtype_t)v.dtype);
  v.dims[dim] = out;
  return leat_b_reshape(b, leat_b_div(b, sum, size), v.rank, v.dims);
}

LOWER(ADAPTIVE_AVG_POOL) {
  leat_builder_t *b = c->b;
  leat_value_id_t x = c->in[0];
  leat_window_t w;
  if (!has_pooled_dims(c)) return refuse_dims(c);
  if (tiles_evenly(c, &w)) {
    uint32_t dims = whole_dims(c, &w);
    if (dims != 0) return leat_b_mean(b, x, dims);
    double size = 1.0;
    for (uint32_t i = 0; i < w.rank; i++) size *= (double)w.window[i];
    return leat_b_fn2s(b, DIV, leat_b_pool(b, LEAT_FOLD_SUM, x, &w), size);
  }
  const leat_value_t v = *leat_b_value(b, x);
  const leat_value_t *y = leat_lower_declared(c, 0);
  x = leat_b_widen(b, x);
  for (uint32_t i = 0; i < w.rank; i++) {
    uint32_t dim = v.rank - w.rank + i;
    if (y->dims[dim] == v.dims[dim]) continue;
    x = y->dims[dim] == 0 ? leat_b_slice_dim(b, x, dim, 0, 0, 1) : average_axis(b, x, dim, y->dims[dim]);
  }
  return leat_b_cast(b, x, (leat_dtype_t)v.dtype);
}

LOWER(ADAPTIVE_MAX_POOL) {
  leat_value_id_t x = c->in[0];
  leat_window_t w;
  if (!has_pooled_dims(c)) return refuse_dims(c);
  if (tiles_evenly(c, &w)) return leat_b_pool(c->b, LEAT_FOLD_MAX, x, &w);
  const leat_value_t *y = leat_lower_declared(c, 0);
  for (uint32_t dim = y->rank - w.rank; dim < y->rank; dim++)
    x = reduce_slices(c->b, LEAT_FOLD_MAX, x, dim, y->dims[dim]);
  return x;
}
