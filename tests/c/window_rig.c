// SPDX-License-Identifier: Apache-2.0
#include "window_rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

int64_t window_extent(const case_t *c, int64_t d) {
  int64_t padded = (c->in[d] - 1) * c->base[d] + 1 + c->low[d] + c->high[d];
  return (padded - (c->window[d] - 1) * c->dilation[d] - 1) / c->stride[d] + 1;
}

size_t window_product(const int64_t *dims, int64_t rank) {
  size_t n = 1;
  for (int64_t i = 0; i < rank; i++) n *= (size_t)dims[i];
  return n;
}
float *window_filled(size_t count, uint32_t seed, int coarse) {
  float *p = malloc(count * sizeof *p);
  assert_non_null(p);
  rig_fill_f32(p, count, seed, coarse);
  return p;
}
void arrays_init(const case_t *c, arrays_t *a) {
  const int64_t leading[3][2] = {
      {c->images, c->channels}, {c->outputs, c->channels / c->groups}, {c->images, c->outputs}};
  int64_t *const dims[3] = {a->x_dims, a->w_dims, a->y_dims};
  for (int i = 0; i < 3; i++) {
    dims[i][0] = leading[i][0], dims[i][1] = leading[i][1];
    for (int64_t d = 0; d < c->spatial; d++)
      dims[i][2 + d] = i == 0 ? c->in[d] : i == 1 ? c->window[d] : window_extent(c, d);
  }
  a->x_count = window_product(a->x_dims, 2 + c->spatial);
  a->w_count = window_product(a->w_dims, 2 + c->spatial);
  a->y_count = window_product(a->y_dims, 2 + c->spatial);
  a->x = window_filled(a->x_count, 1, 0);
  a->w = window_filled(a->w_count, 2, 0);
  a->y = window_filled(a->y_count, 3, 0);
}
void arrays_deinit(arrays_t *a) { free(a->x), free(a->w), free(a->y); }

void window_params(rig_t *rig, const case_t *c) {
  pef_window_t *w = &rig->params.window;
  w->spatial = c->spatial;
  w->groups = c->groups;
  for (int64_t d = 0; d < c->spatial; d++) {
    w->window[d] = c->window[d], w->stride[d] = c->stride[d], w->dilation[d] = c->dilation[d];
    w->low[d] = c->low[d], w->high[d] = c->high[d], w->base_dilation[d] = c->base[d];
  }
}

leat_kern_conv_t window_shape(const case_t *c, const arrays_t *a) {
  leat_kern_conv_t s = {.images = c->images,
                        .channels = c->channels / c->groups,
                        .outputs = c->outputs,
                        .outputs_per_group = c->outputs / c->groups};
  const int64_t *dims[3] = {a->x_dims, a->w_dims, a->y_dims};
  int64_t *strides[3] = {s.x, s.w, s.y};
  const int64_t skip = 3 - c->spatial;
  for (int d = 0; d < 3; d++) {
    int64_t i = d - skip;
    s.window.in[d] = i < 0 ? 1 : c->in[i], s.window.out[d] = i < 0 ? 1 : window_extent(c, i);
    s.window.size[d] = i < 0 ? 1 : c->window[i], s.window.stride[d] = i < 0 ? 1 : c->stride[i];
    s.window.low[d] = i < 0 ? 0 : c->low[i], s.window.dilation[d] = i < 0 ? 1 : c->dilation[i];
    s.window.base[d] = i < 0 ? 1 : c->base[i];
  }
  for (int i = 0; i < 3; i++) {
    int64_t stride = 1;
    for (int64_t d = 1 + c->spatial; d >= 0; d--) {
      strides[i][d < 2 ? d : d + skip] = stride;
      stride *= dims[i][d];
    }
  }
  return s;
}

void assert_same_bits(const float *a, const float *b, size_t count, size_t which, const char *what) {
  for (size_t i = 0; i < count; i++) {
    if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) {
      fail_msg("case %zu, %s: element %zu is %a, expected %a", which, what, i, (double)a[i], (double)b[i]);
    }
  }
}
