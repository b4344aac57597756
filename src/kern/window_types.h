// SPDX-License-Identifier: Apache-2.0
// Geometry of windowed ops (convolution, pooling), always with three spatial dims: leading ones have extent 1.
#ifndef LEAT_KERN_WINDOW_TYPES_H_
#define LEAT_KERN_WINDOW_TYPES_H_

#include <stdint.h>

// Output position t and window position k read input position p = t * stride + k * dilation - low, counted in an input
// that is spread out by base (base - 1 holes between two elements): it exists when base divides p and p / base < in.
typedef struct leat_kern_window_s {
  int64_t in[3], out[3], size[3];
  int64_t stride[3], low[3], dilation[3], base[3];
} leat_kern_window_t;

// Input index of (t, k) along dim d; LEAT_KERN_PADDING beyond the borders, LEAT_KERN_HOLE between elements.
enum { LEAT_KERN_PADDING = -1, LEAT_KERN_HOLE = -2 };
static inline int64_t leat_kern_window_at(const leat_kern_window_t *w, int d, int64_t t, int64_t k) {
  int64_t p = t * w->stride[d] + k * w->dilation[d] - w->low[d];
  if (w->base[d] != 1) {
    if (p % w->base[d] != 0) return LEAT_KERN_HOLE;
    p /= w->base[d];
  }
  return p >= 0 && p < w->in[d] ? p : LEAT_KERN_PADDING;
}

// x[images, groups * channels, in..], w[outputs, channels, size..], y[images, outputs, out..]; strides in elements.
// A tile may hold a range of the outputs: `outputs` of them from `output_first` on, to which w and y point already.
typedef struct leat_kern_conv_s {
  leat_kern_window_t window;
  int64_t images, channels;                 // channels: of one group
  int64_t outputs, output_first, outputs_per_group;
  int64_t x[5], w[5], y[5];
} leat_kern_conv_t;

// out[m][n] (+)= sum over taps k, ascending, of w[m][k] * base[offsets[k] + n]: the one loop nest that fast convolutions
// run on. Forward: n are output positions, k channels and window positions. Weight gradient: n are channels and window
// positions, k output positions.
typedef struct leat_kern_taps_s {
  const float *base;
  const int32_t *offsets;
  int64_t taps;
  const float *w;
  int64_t w_row, rows;                      // w[m][k] = w[m * w_row + k], m < rows
  float *out;
  int64_t out_row, lanes;                   // out[m][n] = out[m * out_row + n], n < lanes
  int32_t accumulate;                       // 1: adds to out
} leat_kern_taps_t;

// One plane of a pooling: strides of the spatial dims.
typedef struct leat_kern_pool_s {
  leat_kern_window_t window;
  int64_t x[3], y[3], dx[3];                // POOL: x, y; POOL_GRAD: x, y = dy, dx
} leat_kern_pool_t;

#endif
