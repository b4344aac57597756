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

// What becomes of a sum of a convolution where it is stored, in this order: plus a number of its output, plus the
// element of `side` at its place, no less than `low`, no more than `high`; a NaN stays one. `bias` and `side` begin
// with the first output, as w does.
typedef struct leat_kern_finish_s {
  const float *bias;  // NULL: none
  int64_t bias_step;  // from output to output
  const float *side;  // NULL: none
  int64_t side_step[5];
  int32_t bounded;
  float low, high;
} leat_kern_finish_t;

// x[images, groups * channels, in..], w[outputs, channels, size..], y[images, outputs, out..]; strides in elements.
// A tile may hold a range of the outputs: `outputs` of them from `output_first` on, to which w and y point already.
typedef struct leat_kern_conv_s {
  leat_kern_window_t window;
  int64_t images, channels;  // channels: of one group
  int64_t outputs, output_first, outputs_per_group;
  int64_t chain;  // terms of a block, whose sums are added pairwise: of a gradient positions; 0: one block
  int64_t x[5], w[5], y[5];
  const leat_kern_finish_t *finish;  // NULL: sums are stored as they are
} leat_kern_conv_t;

static inline int64_t leat_kern_clamp(int64_t v, int64_t low, int64_t high) {
  return v < low ? low : v > high ? high : v;
}
// The next of `left` units when they are cut into the fewest pieces of at most `most`, as even as can be.
static inline int64_t leat_kern_next_piece(int64_t left, int64_t most) {
  if (left <= most) return left;
  const int64_t pieces = (left + most - 1) / most;
  return (left + pieces - 1) / pieces;
}

// Lines of x that a block of conv_depth meets, over all k0, at most.
enum { LEAT_KERN_DEPTH_LINES = 128, LEAT_KERN_DEPTH_ROWS = 4 };
// Columns that its blocks look at, of up to 16 lanes: the last one reads two registers.
static inline int64_t leat_kern_depth_columns(const leat_kern_window_t *w) {
  return (w->out[2] + 15) * w->stride[2] + (w->size[2] - 1) * w->dilation[2] + 32;
}

// out[m][n] (+)= sum over taps k, ascending, of w[m][w_offsets[k]] * base[offsets[k] + n]: the one loop nest that fast
// convolutions run on. Forward: n are output positions, k channels and window positions. Weight gradient: n are
// channels and window positions, k output positions.
typedef struct leat_kern_taps_s {
  const float *base;
  const int32_t *offsets;
  int64_t taps;
  const float *w;
  const int32_t *w_offsets;
  int64_t w_row, rows;    // w[m][i] = w[m * w_row + i], m < rows
  int32_t w_flat;         // 1: w_offsets[k] is k
  int32_t far;            // 1: base lies as it was made, so that lanes are asked for before they are needed
  int64_t run, run_step;  // > 0: every `run` lanes, whole registers, base[.. + n] jumps: they are run_step apart
  float *out;
  int64_t out_row, lanes;            // out[m][n] = out[m * out_row + n], n < lanes
  int32_t accumulate;                // 1: adds to out
  const leat_kern_finish_t *finish;  // of the sums; NULL: they are stored as they are
  const float *bias, *side;          // of row 0 and lane 0
} leat_kern_taps_t;

// out[n][m] (+)= sum over taps k, ascending, of w[k][m] * base[offsets[k] + places[n]], turned: outputs m are the
// lanes.
// Lanes of a panel of weights, and of a row of out; positions that are stored at a time; taps whose weights stay in L1
// beside these, and the step, in floats, from which they have to.
enum {
  LEAT_KERN_TURNED_LANES = 64,
  LEAT_KERN_TURNED_PIECE = 48,
  LEAT_KERN_TURNED_TAPS = 64,
  LEAT_KERN_TURNED_STEP = 512
};
typedef struct leat_kern_turned_s {
  const float *base;
  const int32_t *offsets;
  int64_t taps;
  const float *w;  // w[k][m] = w[k * w_step + m]
  int64_t w_step;
  int64_t ahead;  // floats from w to the weights that come next, which are asked for
  int64_t lanes;  // m < lanes <= LEAT_KERN_TURNED_LANES
  const int32_t *places;
  int64_t count;       // n < count
  float *out;          // out[n][m] = out[n * LEAT_KERN_TURNED_LANES + m]
  int32_t accumulate;  // 1: adds to out
} leat_kern_turned_t;

// Lines of x that a row of conv_depth_spread meets, and positions of a line's window, at most.
enum { LEAT_KERN_SPREAD_LINES = 64, LEAT_KERN_SPREAD_COLUMNS = 16 };

// How a fast convolution reads x along one dim: output r of a phase takes input r * stride + shift[i] for window
// position k[i], i < taps. Outputs r with low[i] <= r < high[i] read inside the input.
typedef struct leat_kern_conv_reads_s {
  int64_t taps, stride, in;
  int64_t first, step, count;  // the phase's outputs: first, first + step, ...
  const int32_t *k, *shift, *low, *high;
} leat_kern_conv_reads_t;

// Columns of the copy that lie side by side: column i is column first + i * stride of x, inside it for low <= i < high.
typedef struct leat_kern_conv_run_s {
  int64_t at;  // floats behind the first element of the plane
  int64_t first, low, high, width;
} leat_kern_conv_run_t;

// One phase of a convolution with base dilation: the outputs that see the same window positions; without base dilation
// there is one. The input is copied, zero-padded, to image[channel][k0] of planes in which the outputs of a band of
// rows find, for every window position, what they read side by side: k1 only selects the first row. A plane has a run
// of columns for every k2, of all its rows; or, where rows of outputs are whole registers and jump from run to run of
// lanes, rows that all k2 share, with a run for every residue of columns modulo the stride.
typedef struct leat_kern_conv_phase_s {
  leat_kern_conv_reads_t dim[3];
  int64_t image_rows;           // rows of the copy for one band
  const int32_t *image_row_in;  // input row of each, for the band that starts at output row 0
  const leat_kern_conv_run_t *runs;
  int64_t run_count, pitch, plane;  // pitch: from row to row; plane: floats of one
  int32_t shared;                   // 1: all k2 share rows
  int64_t band;                     // output rows of a band
  int64_t channel_block;            // channels that are copied and summed at a time
  const int32_t *offsets;           // of the taps of a channel block, in the copy or (direct) in x
  const int32_t *w_offsets;         // of the same in w
  int32_t direct;                   // 1: x needs no copy
  int32_t store;                    // 1: rows of y are not where the micro kernel writes: through workspace
  int64_t sum_floats;  // sums in blocks: of the outputs of a band, from one of leat_kern_pairs_t to the next
  int64_t out_floats;  // through workspace: of all that a band needs there
  // Not NULL: outputs are the lanes (leat_kern_turned_t). A band is then of `group` images, whose copies lie
  // image_floats apart; places are those of its outputs, in the copy or in x.
  const int32_t *places;
  int64_t group, image_floats;
} leat_kern_conv_phase_t;

// Phases that follow each other and whose outputs take turns along dim `line` of y go through the workspace together:
// `beside` of them, of the same band and the same number of outputs, of which the last may lie beyond y.
typedef struct leat_kern_conv_plan_s {
  const leat_kern_conv_phase_t *phases;
  int64_t phase_count, beside;
  int32_t line;
  int32_t w_flat;            // 1: the taps of an output lie side by side in w
  int64_t w_step;            // > 0: outputs lie side by side in w, this far from tap to tap
  int64_t panel;             // > 0: of so many outputs the weights of a channel block are copied to [c][o][window]
  int64_t packed;            // > 0: weights are copied to [o][window][c], c so far from each other's row
  int64_t w_first;           // of a copied window: where its first element lies, seen from that of position 0
  int64_t w[5];              // strides of the weights that the micro kernel reads: of the copy, or of w
  int64_t sum_channels;      // of a block of a sum, whose sums are added pairwise; 0: one block
  int64_t panel_at, out_at;  // floats into the workspace; the copied input is at 0; of what is packed, at panel_at
} leat_kern_conv_plan_t;

// Fast weight gradient. The input of a band of output rows (of `group` images when a band is a whole image) is copied,
// zero-padded, to image[image][k0][row][column][channel]: a window row is then one run of elements, and the offset of a
// position the same for all runs. Where runs are short (`slide`), the copy is copied once more, to
// slides[image][k0][output column][row][k2][channel]: a whole window plane is one run there.
// All of this goes for `channels` channels of a group at a time.
typedef struct leat_kern_wgrad_plan_s {
  int64_t channels;  // divides those of a group
  int64_t band, group;
  int64_t image_rows, image_columns;    // of the copy for one band
  int64_t image_floats, slide_floats;   // of one image
  int64_t runs, run;                    // runs per window; elements of one
  const int32_t *run_offsets;           // of the runs, in image or slides
  const int32_t *offsets, *dy_offsets;  // of the positions, in image or slides, and in dy
  int32_t slide;
  int64_t sum_floats;           // of dw[o][k0][k1][k2][c] of these channels, which is at 0 of the workspace;
                                // further sums follow it where positions go in blocks: leat_kern_pairs_t
  int64_t image_at, slides_at;  // floats into the workspace
} leat_kern_wgrad_plan_t;

// Weight gradient of groups of one channel and one output. x of a band of output rows is turned, zero-padded, to
// image[k0][row][column][lane].
typedef struct leat_kern_wgrad_depth_s {
  int64_t band;
  int64_t image_rows, image_columns;  // of the copy for one band
  int64_t sum_floats;                 // of dw of 16 lanes, at 0 of the workspace; further sums follow as above
  int64_t image_at, dy_at;            // floats into the workspace
} leat_kern_wgrad_depth_t;

// One plane of a pooling: strides of the spatial dims.
enum {
  LEAT_KERN_POOL_ROWS = 64,  // rows of a window that the fast bodies take
  LEAT_KERN_POOL_BYTES = 64,
};
typedef struct leat_kern_pool_s {
  leat_kern_window_t window;
  int64_t x[3], y[3], dx[3];     // POOL: x, y; POOL_GRAD: x, y = dy, dx
  const float *x_begin, *x_end;  // fast bodies: what may be read around x, as long as it does not matter
  int64_t lanes;                 // bodies over lanes: planes side by side, whole vectors of LEAT_KERN_POOL_BYTES
} leat_kern_pool_t;

#endif
