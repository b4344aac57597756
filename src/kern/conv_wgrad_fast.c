// SPDX-License-Identifier: Apache-2.0
// Fast weight gradient of a convolution: dw[o][window, channel] += sum over positions of dy[o][position] * x there, one
// call of the micro kernel for every run of neighbouring columns and channels, one block of channels after the other
// (few enough for a copy that holds many positions, so that dw is seldom read and written). Images, planes and bands of
// rows follow each other in ascending order and continue the same fma chains, so that an element is one chain over all
// positions; or, where the shape has a chain length, one a block of so many positions, and blocks are added pairwise.
#include "kern/isa.h"
#include "kern/reg.h"

typedef struct job_s {
  const leat_kern_wgrad_plan_t *p;
  const leat_kern_conv_t *s;
  const float *x, *dy;  // first channel of the group, first output channel
  float *sum;           // [rows][window][channel]
  float *image, *slides;
  int64_t rows, row_length;
  int64_t open, blocks;  // positions in the chains at hand; blocks that are closed
} job_t;

static void zero(float *to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = 0;
}

// Columns of one input row, all channels, with its padding; in NULL: all padding.
static void copy_row(const job_t *j, const float *in, float *to) {
  const leat_kern_conv_t *s = j->s;
  const int64_t channels = s->channels, width = j->p->image_columns, low = s->window.low[2];
  int64_t first = leat_kern_clamp(low, 0, width),
          last = in ? leat_kern_clamp(s->window.in[2] + low, first, width) : first;
  zero(to, first * channels);
  zero(to + last * channels, (width - last) * channels);
  if (last == first) return;
  uint32_t *out = (uint32_t *)(to + first * channels);
  const uint32_t *from = (const uint32_t *)(in + (first - low) * s->x[4]);
  if (channels == 1)
    KERN(copy2_b4)(out, 0, from, 0, s->x[4], 1, last - first);
  else if (channels == 3)  // of a first layer
    for (int64_t i = 0; i < last - first; i++, out += 3, from += s->x[4]) {
      out[0] = from[0], out[1] = from[s->x[1]], out[2] = from[2 * s->x[1]];
    }
  else
    KERN(copy2_b4)(out, channels, from, s->x[4], s->x[1], last - first, channels);
}

// Rows of one column that lies inside: they are the lines of a matrix whose columns are channels.
static void copy_column(const job_t *j, const float *plane, int64_t band_first, float *to) {
  const leat_kern_window_t *w = &j->s->window;
  const int64_t channels = j->s->channels, rows = j->p->image_rows, *x = j->s->x;
  const int64_t at = band_first * w->stride[1] - w->low[1], first = leat_kern_clamp(-at, 0, rows);
  const int64_t last = plane ? leat_kern_clamp(w->in[1] - at, first, rows) : first;
  zero(to, first * channels);
  zero(to + last * channels, (rows - last) * channels);
  if (last == first) return;
  uint32_t *out = (uint32_t *)(to + first * channels);
  const uint32_t *from = (const uint32_t *)(plane + (at + first) * x[3]);
  if (channels == 1)
    KERN(copy2_b4)(out, 0, from, 0, x[3], 1, last - first);
  else
    KERN(copy2_b4)(out, channels, from, x[3], x[1], last - first, channels);
}

// The copy of one image for output plane t0 and the band from output row `band_first` on.
static void copy_image(const job_t *j, const float *x, int64_t t0, int64_t band_first, float *to) {
  const leat_kern_window_t *w = &j->s->window;
  const int is_column = j->p->image_columns == 1 && w->low[2] == 0 && w->in[2] > 0;
  for (int64_t k0 = 0; k0 < w->size[0]; k0++) {
    int64_t plane = leat_kern_window_at(w, 0, t0, k0);
    if (is_column) {
      copy_column(j, plane >= 0 ? x + plane * j->s->x[2] : NULL, band_first, to);
      to += j->p->image_rows * j->s->channels;
      continue;
    }
    for (int64_t r = 0; r < j->p->image_rows; r++, to += j->p->image_columns * j->s->channels) {
      int64_t row = band_first * w->stride[1] + r - w->low[1];
      int inside = plane >= 0 && row >= 0 && row < w->in[1];
      copy_row(j, inside ? x + plane * j->s->x[2] + row * j->s->x[3] : NULL, to);
    }
  }
}

// Copies `rows` pieces of `piece` floats, row_step apart, to one after the other. Moves run past the end of a piece;
// what they spoil is written next.
VEC_INLINE float *copy_pieces(float *to, const float *from, int64_t row_step, int64_t rows, int64_t piece,
                              int64_t move) {
  for (int64_t r = 0; r < rows; r++, to += piece, from += row_step) {
    for (int64_t i = 0; i < piece; i += move) __builtin_memcpy(to + i, from + i, (size_t)move * sizeof *to);
  }
  return to;
}

// slides of one image from its copy.
static void slide(const job_t *j, const float *image, float *to) {
  const leat_kern_wgrad_plan_t *p = j->p;
  const leat_kern_window_t *w = &j->s->window;
  const int64_t piece = w->size[2] * j->s->channels, row_step = p->image_columns * j->s->channels;
  for (int64_t k0 = 0; k0 < w->size[0]; k0++) {
    for (int64_t c = 0; c < w->out[2]; c++) {
      const float *from = image + k0 * p->image_rows * row_step + c * w->stride[2] * j->s->channels;
      if (piece <= 4)
        to = copy_pieces(to, from, row_step, p->image_rows, piece, 4);
      else if (piece <= 8)
        to = copy_pieces(to, from, row_step, p->image_rows, piece, 8);
      else
        to = copy_pieces(to, from, row_step, p->image_rows, piece, 16);
    }
  }
}

// Ends the chains at hand.
static void close_block(job_t *j) {
  KERN(pairs_close_f32)(j->sum, j->p->sum_floats, j->blocks++, j->rows * j->row_length);
  j->open = 0;
}

// All runs over the first `count` positions of a band.
static void run_positions(job_t *j, const float *dy, int64_t count) {
  const leat_kern_wgrad_plan_t *p = j->p;
  leat_kern_taps_t t = {
      .w = dy, .w_row = j->s->y[1], .rows = j->rows, .w_flat = 0, .out_row = j->row_length, .lanes = p->run};
  for (int64_t i = 0; i < count; i += t.taps) {
    t.offsets = p->offsets + i;
    t.w_offsets = p->dy_offsets + i;
    t.taps = j->s->chain > 0 ? leat_kern_clamp(j->s->chain - j->open, 0, count - i) : count;
    t.accumulate = j->open > 0;
    for (int64_t r = 0; r < p->runs; r++) {
      t.base = (p->slide != 0 ? j->slides : j->image) + p->run_offsets[r];
      t.out = j->sum + r * p->run;
      KERN(conv_taps)(&t);
    }
    j->open += t.taps;
    if (j->open == j->s->chain) close_block(j);
  }
}

static void run_band(job_t *j, int64_t n, int64_t images, int64_t t0, int64_t band_first) {
  const leat_kern_wgrad_plan_t *p = j->p;
  const leat_kern_conv_t *s = j->s;
  const int64_t band_rows = leat_kern_clamp(s->window.out[1] - band_first, 0, p->band);
  const float *dy = j->dy + n * s->y[0] + t0 * s->y[2] + band_first * s->y[3];
  for (int64_t i = 0; i < images; i++) {
    float *image = j->image + i * p->image_floats;
    copy_image(j, j->x + (n + i) * s->x[0], t0, band_first, image);
    if (p->slide != 0) slide(j, image, j->slides + i * p->slide_floats);
  }
  run_positions(j, dy, images * band_rows * s->window.out[2]);
}

// sum[o][k0][k1][k2][c] to dw.
static void store(const job_t *j, float *dw) {
  const leat_kern_conv_t *s = j->s;
  const int64_t *size = s->window.size, lines = size[0] * size[1];
  const float *from = j->sum;
  for (int64_t o = 0; o < j->rows; o++) {
    for (int64_t line = 0, k0 = 0, k1 = 0; line < lines; line++) {
      float *to = dw + o * s->w[0] + k0 * s->w[2] + k1 * s->w[3];
      for (int64_t k2 = 0; k2 < size[2]; k2++, to += s->w[4], from += s->channels) {
        for (int64_t c = 0; c < s->channels; c++) to[c * s->w[1]] = from[c];
      }
      if (++k1 == size[1]) k0++, k1 = 0;
    }
  }
}

// The gradient of j's rows for its block of channels.
static void run_block(job_t *j, float *dw) {
  const leat_kern_conv_t *s = j->s;
  j->open = j->blocks = 0;
  for (int64_t n = 0; n < s->images; n += j->p->group) {
    int64_t images = leat_kern_clamp(s->images - n, 0, j->p->group);
    for (int64_t t0 = 0; t0 < s->window.out[0]; t0++) {
      for (int64_t r = 0; r < s->window.out[1]; r += j->p->band) run_band(j, n, images, t0, r);
    }
  }
  if (s->chain > 0 && j->open > 0) close_block(j);
  if (s->chain > 0) KERN(pairs_end_f32)(j->sum, j->sum, j->p->sum_floats, j->blocks, j->rows * j->row_length);
  store(j, dw);
}

void KERN(conv_wgrad_fast)(const leat_kern_wgrad_plan_t *p, const leat_kern_conv_t *s, const float *x, const float *dy,
                           float *dw, float *workspace) {
  leat_kern_conv_t part = *s;
  part.channels = p->channels;
  job_t j = {.p = p,
             .s = &part,
             .sum = workspace,
             .image = workspace + p->image_at,
             .slides = workspace + p->slides_at,
             .row_length = p->runs * p->run};
  for (int64_t o = 0; o < s->outputs; o += j.rows) {
    int64_t at = s->output_first + o, group = at / s->outputs_per_group;
    j.rows = leat_kern_clamp((group + 1) * s->outputs_per_group - at, 0, s->outputs - o);
    j.dy = dy + o * s->y[1];
    for (int64_t c = 0; c < s->channels; c += p->channels) {
      j.x = x + (group * s->channels + c) * s->x[1];
      run_block(&j, dw + o * s->w[0] + c * s->w[1]);
    }
  }
}
