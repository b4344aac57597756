// SPDX-License-Identifier: Apache-2.0
// Bodies of up to three dims, made by hand. `tile1` and `tile2`: the greatest tile along axis 1 and 2.
#ifndef LEAT_TESTS_SPACE_MAKER_H_
#define LEAT_TESTS_SPACE_MAKER_H_

#include "pef/pef_write.h"

enum { SPACE_X, SPACE_W, SPACE_Y, SPACE_SYMBOLS, SPACE_ELEMENTS = 4096, SPACE_OPERANDS = 6, SPACE_CUTS = 10 };

// A body over the symbols x, w and y, which are arguments 0, 1 and 2.
typedef struct space_plan_s {
  pef_body_t body;
  pef_stage_t stages[2];
  pef_operand_t operands[SPACE_OPERANDS];
  pef_instruction_t code[8];
  pef_buffer_t buffer;  // if the body has one
  pef_layout_t layout;
  int64_t dims[3];
  pef_axis_t axes[2];
  pef_cut_t cuts[SPACE_CUTS];
  uint32_t axis_count, cut_count;
} space_plan_t;

typedef struct space_window_s {
  int64_t in, size, stride, low, high, dilation;
} space_window_t;

// y[2, 4, t, u] = conv(x[2, 3, h, w], w[4, 3, ..]). Images are rows; axes: 0 none, 1 bands and columns, 2 output
// channels and bands.
space_plan_t space_convolution(const space_window_t *h, const space_window_t *w, uint32_t axes, int64_t tile1,
                               int64_t tile2);
// y[5, t, u] of x[5, h, w]; axes along the columns and the first dim.
space_plan_t space_pool(const space_window_t *h, const space_window_t *w, uint8_t fn, bool cut, int64_t tile1,
                        int64_t tile2);
// A MAP into a tile buffer, and a sum or a copy of that. Axes along dims 1 and 2 (not where it is summed).
space_plan_t space_chain(bool sums, uint32_t axes, int64_t tile1, int64_t tile2);
// y[m, n] = x[m, k] w[k, n]; axes along n, in pairs of columns, and m.
space_plan_t space_product(bool cut, int64_t tile1, int64_t tile2);

// A program of one call of the body.
leat_pef_writer_t *space_write(const space_plan_t *plan);

#endif
