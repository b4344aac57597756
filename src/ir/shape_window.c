// SPDX-License-Identifier: Apache-2.0
// Shape rules of convolution and pooling.
#include <inttypes.h>

#include "ir/shape.h"

enum { SPATIAL_MAX = 3 };

// The window as a rule sees it. Lists that an op does not have are NULL and stand for ones (dilations) or zeros.
typedef struct window_s {
  const int64_t *window, *stride, *low, *high, *dilation, *base_dilation;
} window_t;

static leat_status_t read_window(const leat_shape_call_t *call, uint32_t rank, window_t *out_window) {
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_STRIDE, rank, &out_window->stride));
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_LOW, rank, &out_window->low));
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_HIGH, rank, &out_window->high));
  LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_DILATION, rank, &out_window->dilation));
  if (leat_op_takes_attr(call->kind, LEAT_ATTR_BASE_DILATION))
    LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_BASE_DILATION, rank, &out_window->base_dilation));
  if (leat_op_takes_attr(call->kind, LEAT_ATTR_WINDOW))
    LEAT_TRY(leat_shape_list_of(call, LEAT_ATTR_WINDOW, rank, &out_window->window));
  return NULL;
}

// The extent of a spatial dim after windows of extent `taps` slid over it.
static leat_status_t slid_extent(const window_t *w, uint32_t d, int64_t extent, int64_t taps, int64_t *out_extent) {
  int64_t base = w->base_dilation != NULL ? w->base_dilation[d] : 1, limit = INT64_C(1) << 40;
  bool sane = w->stride[d] >= 1 && w->dilation[d] >= 1 && base >= 1 && taps >= 1 && extent <= limit && taps <= limit &&
              base <= limit && w->stride[d] <= limit && w->dilation[d] <= limit && w->low[d] >= -limit &&
              w->low[d] <= limit && w->high[d] >= -limit && w->high[d] <= limit;
  int64_t spread, reach;
  if (!sane || __builtin_mul_overflow(extent == 0 ? 0 : extent - 1, base, &spread) ||
      __builtin_mul_overflow(taps - 1, w->dilation[d], &reach))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "window, stride and dilations of spatial dim %" PRIu32
              " must be at least 1 and all of its numbers sensible",
              d);
  int64_t padded = (extent == 0 ? 0 : spread + 1) + w->low[d] + w->high[d], room = padded - (reach + 1);
  *out_extent = room < 0 ? 0 : room / w->stride[d] + 1;
  return NULL;
}

// Behind `batch` dims.
static leat_status_t spatial_rank(const leat_value_t *x, int64_t batch, uint32_t *out_rank) {
  if (batch < 0 || batch > x->rank - 3 || batch < x->rank - 2 - SPATIAL_MAX)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "the tensor has rank %u; it must be [N, C, 1 to 3 spatial dims], behind %" PRId64 " of batches", x->rank,
              batch);
  *out_rank = x->rank - 2u - (uint32_t)batch;
  return NULL;
}

static leat_status_t check_groups(const leat_shape_call_t *call, int64_t channels, int64_t out_channels) {
  int64_t groups = leat_shape_int(call, LEAT_ATTR_GROUPS);
  if (groups >= 1 && channels % groups == 0 && out_channels % groups == 0) return NULL;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%" PRId64 " groups do not divide %" PRId64 " and %" PRId64 " channels", groups,
            channels, out_channels);
}

leat_status_t leat_shape_CONV(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0), *w = leat_shape_operand(call, 1);
  window_t window = {0};
  uint32_t rank = 0;
  LEAT_TRY(spatial_rank(x, 0, &rank));
  LEAT_TRY(read_window(call, rank, &window));
  LEAT_TRY(leat_shape_same_dtypes(call, 0));
  if (w->rank != x->rank) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "tensor and weight have ranks %u and %u", x->rank, w->rank);
  LEAT_TRY(check_groups(call, x->dims[1], w->dims[0]));
  if (w->dims[1] != x->dims[1] / leat_shape_int(call, LEAT_ATTR_GROUPS))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the weight has %" PRId64 " channels a group, the tensor %" PRId64, w->dims[1],
              x->dims[1] / leat_shape_int(call, LEAT_ATTR_GROUPS));
  leat_value_t *y = &call->results[0];
  *y = *x;
  y->dims[1] = w->dims[0];
  for (uint32_t d = 0; d < rank; d++)
    LEAT_TRY(slid_extent(&window, d, x->dims[2 + d], w->dims[2 + d], &y->dims[2 + d]));
  return NULL;
}

leat_status_t leat_shape_CONV_WGRAD(const leat_shape_call_t *call) {
  const leat_value_t *x = leat_shape_operand(call, 0), *dy = leat_shape_operand(call, 1);
  window_t window = {0};
  uint32_t rank = 0;
  const int64_t batch = leat_shape_int(call, LEAT_ATTR_BATCH);
  LEAT_TRY(spatial_rank(x, batch, &rank));
  LEAT_TRY(read_window(call, rank, &window));
  LEAT_TRY(leat_shape_same_dtypes(call, 0));
  const uint32_t channels = (uint32_t)batch + 1, spatial = channels + 1;  // dims
  leat_value_t expected = *x;
  expected.dims[channels] = dy->rank == x->rank ? dy->dims[channels] : 0;
  for (uint32_t d = 0; d < rank; d++)
    LEAT_TRY(slid_extent(&window, d, x->dims[spatial + d], window.window[d], &expected.dims[spatial + d]));
  LEAT_TRY(leat_shape_expect(call, 1, &expected, "the convolution's result"));
  LEAT_TRY(check_groups(call, x->dims[channels], dy->dims[channels]));
  leat_value_t *dw = &call->results[0];
  *dw = *x;
  dw->dims[batch] = dy->dims[channels];
  dw->dims[channels] = x->dims[channels] / leat_shape_int(call, LEAT_ATTR_GROUPS);
  for (uint32_t d = 0; d < rank; d++) dw->dims[spatial + d] = window.window[d];
  return NULL;
}

static leat_status_t pooled(const leat_shape_call_t *call, leat_value_t *out) {
  const leat_value_t *x = leat_shape_operand(call, 0);
  window_t window = {0};
  uint32_t rank = 0;
  (void)leat_shape_list(call, LEAT_ATTR_WINDOW, &rank);
  if (rank < 1 || rank > SPATIAL_MAX || rank > x->rank)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "a window of rank %" PRIu32 " over a tensor of rank %u", rank, x->rank);
  LEAT_TRY(read_window(call, rank, &window));
  *out = *x;
  for (uint32_t d = 0; d < rank; d++) {
    uint32_t at = x->rank - rank + d;
    LEAT_TRY(slid_extent(&window, d, x->dims[at], window.window[d], &out->dims[at]));
  }
  return NULL;
}

leat_status_t leat_shape_POOL(const leat_shape_call_t *call) { return pooled(call, &call->results[0]); }

leat_status_t leat_shape_POOL_GRAD(const leat_shape_call_t *call) {
  leat_value_t expected;
  LEAT_TRY(pooled(call, &expected));
  LEAT_TRY(leat_shape_same_dtypes(call, 0));
  LEAT_TRY(leat_shape_expect(call, 1, &expected, "the pooling's result"));
  call->results[0] = *leat_shape_operand(call, 0);
  return NULL;
}
