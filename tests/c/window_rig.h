// SPDX-License-Identifier: Apache-2.0
// Cases for tests of convolutions and poolings: their shapes, and arrays for their operands.
#ifndef LEAT_TESTS_WINDOW_RIG_H_
#define LEAT_TESTS_WINDOW_RIG_H_

#include "stage_rig.h"

// One shape: spatial extents, window, stride, padding, dilation, base dilation; unused dims are 0.
typedef struct case_s {
  int64_t spatial, images, channels, outputs, groups;
  int64_t in[3], window[3], stride[3], low[3], high[3], dilation[3], base[3];
} case_t;

// Operands of a case: x, w, y with dims and numbers of elements.
typedef struct arrays_s {
  int64_t x_dims[5], w_dims[5], y_dims[5];
  size_t x_count, w_count, y_count;
  float *x, *w, *y;
} arrays_t;

// Of the output along a spatial dim.
int64_t window_extent(const case_t *c, int64_t d);
size_t window_product(const int64_t *dims, int64_t rank);
// Blocks of exactly the bytes needed, so that a sanitizer sees every byte too many.
float *window_filled(size_t count, uint32_t seed, int coarse);
void arrays_init(const case_t *c, arrays_t *a);
void arrays_deinit(arrays_t *a);
// The parameters of a stage.
void window_params(rig_t *rig, const case_t *c);
// What the kernels are told of a case, all operands row-major.
leat_kern_conv_t window_shape(const case_t *c, const arrays_t *a);
// Bit for bit, but for what NaN holds.
void assert_same_bits(const float *a, const float *b, size_t count, size_t which, const char *what);

#endif
