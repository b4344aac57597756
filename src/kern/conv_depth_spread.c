// SPDX-License-Identifier: Apache-2.0
// Convolution of groups of one channel and one output over an x that is spread out twofold along its rows: the gradient
// of the input of a strided depthwise convolution. A window position meets every second column, its even ones always
// those of one kind and its odd ones those of the other: both kinds sum in a register of their own, from x as it lies,
// and are interleaved. An element is one fma chain over the window, holes left out.
#include "kern/isa.h"
#include "kern/reg.h"

// What one output row reads: the lines of x that its window rows meet, and their weights.
typedef struct row_s {
  const float *lines[LEAT_KERN_SPREAD_LINES], *w[LEAT_KERN_SPREAD_LINES];
  int64_t count;
  int64_t shift[2], swap;  // of even and odd window positions; 1: odd ones meet even columns
} row_t;

// Even and odd window positions over columns `at` of x. `edge`: some of them are padding.
VEC_INLINE void add_lines(const row_t *row, const leat_kern_window_t *w, const int64_t size, int64_t at, const int edge,
                          reg_t out[2]) {
  reg_t even = reg_zero(), odd = reg_zero();
  reg_mask_t inside[LEAT_KERN_SPREAD_COLUMNS];
  for (int64_t e = 0; edge && e < size; e++) inside[e] = reg_part(0, w->in[2], at + row->shift[e % 2] + e / 2);
  for (int64_t l = 0; l < row->count; l++) {
    const float *line = row->lines[l] + at, *factors = row->w[l];
#pragma GCC unroll 8
    for (int64_t e = 0; e < size; e++) {
      const float *from = line + row->shift[e % 2] + e / 2;
      const reg_t x = edge ? reg_load_lanes(from, inside[e]) : reg_load(from);
      if (e % 2 == 0)
        even = reg_fma(reg_splat(factors[e]), x, even);
      else
        odd = reg_fma(reg_splat(factors[e]), x, odd);
    }
  }
  out[0] = row->swap != 0 ? odd : even;
  out[1] = row->swap != 0 ? even : odd;
}

VEC_INLINE void filter_row(const row_t *row, const leat_kern_window_t *w, const int64_t size, float *y) {
  const int64_t low = row->shift[0] < row->shift[1] ? row->shift[0] : row->shift[1];
  const int64_t high = (row->shift[0] > row->shift[1] ? row->shift[0] : row->shift[1]) + size / 2 + REG_LANES;
  for (int64_t at = 0; 2 * at < w->out[2]; at += REG_LANES) {
    reg_t kinds[2], second;
    if (at + low >= 0 && at + high <= w->in[2])
      add_lines(row, w, size, at, 0, kinds);
    else
      add_lines(row, w, size, at, 1, kinds);
    const reg_t first = reg_interleave(kinds[0], kinds[1], &second);
    float *to = y + 2 * at;
    const int64_t left = w->out[2] - 2 * at;
    if (left >= 2 * REG_LANES) {
      reg_store(to, first);
      reg_store(to + REG_LANES, second);
    } else {
      reg_store_lanes(to, first, reg_part(0, left, 0));
      reg_store_lanes(to + REG_LANES, second, reg_part(0, left, REG_LANES));
    }
  }
}

static void find_lines(const leat_kern_conv_t *s, const float *x, const float *w, const float *zeros, int64_t z,
                       int64_t r, row_t *row) {
  const leat_kern_window_t *window = &s->window;
  row->count = 0;
  for (int64_t k0 = 0; k0 < window->size[0]; k0++) {
    const int64_t plane = leat_kern_window_at(window, 0, z, k0);
    for (int64_t k1 = 0; k1 < window->size[1]; k1++, w += window->size[2]) {
      const int64_t line = leat_kern_window_at(window, 1, r, k1);
      if (plane == LEAT_KERN_HOLE || line == LEAT_KERN_HOLE) continue;
      row->lines[row->count] = plane < 0 || line < 0 ? zeros : x + plane * s->x[2] + line * s->x[3];
      row->w[row->count++] = w;
    }
  }
}

static void filter_plane(const leat_kern_conv_t *s, const float *x, const float *w, const float *zeros, float *y) {
  const leat_kern_window_t *window = &s->window;
  const int64_t low = window->low[2], odd = low & 1;
  row_t row = {.shift = {(odd - low) / 2, (2 - odd - low) / 2}, .swap = odd};
  for (int64_t z = 0; z < window->out[0]; z++) {
    for (int64_t r = 0; r < window->out[1]; r++) {
      float *to = y + z * s->y[2] + r * s->y[3];
      find_lines(s, x, w, zeros, z, r, &row);
      switch (window->size[2]) {
        case 3:
          filter_row(&row, window, 3, to);
          break;
        case 5:
          filter_row(&row, window, 5, to);
          break;
        default:
          filter_row(&row, window, window->size[2], to);
      }
    }
  }
}

void KERN(conv_depth_spread)(const leat_kern_conv_t *s, const float *x, const float *w, float *y, float *workspace) {
  const int64_t *size = s->window.size;
  float *zeros = workspace + size[0] * size[1] * size[2];
  for (int64_t i = 0; i < s->window.in[2]; i++) zeros[i] = 0;
  for (int64_t o = 0; o < s->outputs; o++) {
    float *packed = workspace;
    for (int64_t k0 = 0; k0 < size[0]; k0++) {
      for (int64_t k1 = 0; k1 < size[1]; k1++) {
        const float *from = w + o * s->w[0] + k0 * s->w[2] + k1 * s->w[3];
        for (int64_t k2 = 0; k2 < size[2]; k2++) *packed++ = from[k2 * s->w[4]];
      }
    }
    for (int64_t n = 0; n < s->images; n++) {
      filter_plane(s, x + n * s->x[0] + (s->output_first + o) * s->x[1], workspace, zeros,
                   y + n * s->y[0] + o * s->y[1]);
    }
  }
}
