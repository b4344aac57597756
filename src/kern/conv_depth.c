// SPDX-License-Identifier: Apache-2.0
// Forward convolution of groups of one channel (depthwise) in place: a plane of x is filtered as it lies, nothing is
// copied. A block of a few output rows by one register of columns accumulates over its taps; a line of x that is loaded
// serves all rows of the block that it reaches. An element is one fma chain over the window, so that blocks do not show
// in the bits. Padding takes part as 0: lines beyond the picture read a line of zeros, columns beyond it are masked.
#include "kern/finish.h"
#include "kern/isa.h"

enum { ROWS = LEAT_KERN_DEPTH_ROWS };  // of a block

// A block: what it reads, the same for all taps, and where its rows go.
typedef struct block_s {
  const leat_kern_window_t *window;
  const int32_t *inside;                      // -1 for columns of x, from 0 on, 0 around them
  const float *lines[LEAT_KERN_DEPTH_LINES];  // of x: [k0][line]
  int64_t line_count;                         // for one k0
  const float *w;                             // [k0][k1][k2]
  int64_t column, rows;                       // of x, for the first lane and k2 = 0; of the block that there are
  float *y;
  int64_t y_row;
  reg_mask_t kept;
  const leat_kern_finish_t *finish;  // NULL: sums are stored as they are
  const float *bias;
} block_t;

// The lanes of tap e in a line. `step`: 1 or 2 columns from lane to lane; `edge`: some are padding.
VEC_INLINE reg_t load(const block_t *b, const float *line, int64_t e, const int step, const int edge) {
  const int64_t at = b->column + e * b->window->dilation[2], next = at + REG_LANES - 1;
  reg_t low = edge ? reg_load_lanes(line + at, reg_lanes_of(b->inside + at)) : reg_load(line + at);
  if (step == 1) return low;
  return reg_evens(low, edge ? reg_load_lanes(line + next, reg_lanes_of(b->inside + next)) : reg_load(line + next));
}

#define EACH_ROW(M) M(0) M(1) M(2) M(3)
#define BIAS(m) a##m = reg_add(a##m, bias);
#define BOUND(m) a##m = finish_bound(f, a##m);
#define STORE_ROW(m) \
  if (m < b->rows) reg_store_lanes(b->y + m * b->y_row, a##m, b->kept);
#define STORE                               \
  const leat_kern_finish_t *f = b->finish;  \
  if (f && f->bias) {                       \
    const reg_t bias = reg_splat(*b->bias); \
    EACH_ROW(BIAS)                          \
  }                                         \
  if (f && f->bounded != 0) {               \
    EACH_ROW(BOUND)                         \
  }                                         \
  EACH_ROW(STORE_ROW)

#ifdef __FMA__
// Row m meets line i as its window row i - m * step.
#define MEET(m) \
  if (i >= m * step && i < m * step + size) a##m = reg_fma(reg_splat(w[(i - m * step) * size + e]), x, a##m);

// A square window without holes, constants once inlined; rows and columns step alike.
VEC_INLINE void filter_square(const block_t *b, const int size, const int step, const int edge) {
  reg_t a0 = reg_zero(), a1 = a0, a2 = a0, a3 = a0;
  const float *w = b->w, *const *lines = b->lines;
  for (int64_t k0 = 0; k0 < b->window->size[0]; k0++, w += size * size, lines += b->line_count) {
#pragma GCC unroll 16
    for (int i = 0; i < (ROWS - 1) * step + size; i++) {
      const float *line = lines[i];
#pragma GCC unroll 8
      for (int e = 0; e < size; e++) {
        const reg_t x = load(b, line, e, step, edge);
        EACH_ROW(MEET)
      }
    }
  }
  STORE
}
#endif

#define START(m) reg_t a##m = reg_zero();
#define STEP(m) \
  if (m < rows) a##m = reg_fma(factor, load(b, lines[i + m * b->window->stride[1]], e, step, edge), a##m);

// Any window; `rows` of the block, constant once inlined.
VEC_INLINE void filter_any(const block_t *b, const int rows, const int step, const int edge) {
  const leat_kern_window_t *window = b->window;
  const float *w = b->w, *const *lines = b->lines;
  EACH_ROW(START)
  for (int64_t k0 = 0; k0 < window->size[0]; k0++, lines += b->line_count) {
    for (int64_t k1 = 0, i = 0; k1 < window->size[1]; k1++, i += window->dilation[1]) {
      for (int64_t e = 0; e < window->size[2]; e++) {
        const reg_t factor = reg_splat(*w++);
        EACH_ROW(STEP)
      }
    }
  }
  STORE
}

typedef void filter_t(const block_t *b);
#define FILTER(name, body, number, step)                                    \
  static void name##_##step(const block_t *b) { body(b, number, step, 0); } \
  static void name##_edge_##step(const block_t *b) { body(b, number, step, 1); }
#define FILTERS(name, body, number) FILTER(name, body, number, 1) FILTER(name, body, number, 2)
FILTERS(rows, filter_any, ROWS)
FILTERS(row, filter_any, 1)

// [edge]
typedef filter_t *filters_t[2];
#define CHOICE(name, step) \
  { name##_##step, name##_edge_##step }
#define CHOICES(name) \
  { CHOICE(name, 1), CHOICE(name, 2) }

// The body of a square window, or NULL. Unrolled ones are for levels that have an instruction for a multiply-add: of
// the many that take its place elsewhere they would be a file that takes a compiler minutes.
#ifdef __FMA__
FILTERS(square_3, filter_square, 3)
FILTERS(square_5, filter_square, 5)
FILTERS(square_7, filter_square, 7)
static const filters_t squares[3][2] = {CHOICES(square_3), CHOICES(square_5), CHOICES(square_7)};
static const filters_t *find_square(const leat_kern_window_t *w) {
  const int64_t size = w->size[2], step = w->stride[2] - 1;
  const int square = size == w->size[1] && step + 1 == w->stride[1] && w->dilation[1] == 1;
  return square && (size == 3 || size == 5 || size == 7) ? &squares[size / 2 - 1][step] : NULL;
}
#else
static const filters_t *find_square(const leat_kern_window_t *w) {
  (void)w;
  return NULL;
}
#endif

static const filters_t others[2][2] = {CHOICES(row), CHOICES(rows)};
static const filters_t *choose(const leat_kern_window_t *w) {
  const filters_t *square = find_square(w);
  return square ? square : &others[w->out[1] > 1][w->stride[2] - 1];
}

// The lines that ROWS output rows from (z, r) on meet.
static void find_lines(const leat_kern_conv_t *s, const float *x, const float *zeros, int64_t z, int64_t r,
                       block_t *b) {
  const leat_kern_window_t *w = &s->window;
  const int64_t first = r * w->stride[1] - w->low[1];
  const float **line = b->lines;
  for (int64_t k0 = 0; k0 < w->size[0]; k0++, line += b->line_count) {
    const int64_t plane = z * w->stride[0] + k0 * w->dilation[0] - w->low[0];
    const int64_t lines = plane >= 0 && plane < w->in[0] ? w->in[1] : 0;
    const float *at = x + plane * s->x[2] + first * s->x[3];
    for (int64_t i = 0; i < b->line_count; i++, at += s->x[3])
      line[i] = (uint64_t)(first + i) < (uint64_t)lines ? at : zeros;
  }
}

static void filter_rows(const leat_kern_conv_t *s, const filters_t *filter, block_t *b) {
  const leat_kern_window_t *w = &s->window;
  const int64_t reach = (REG_LANES - 1) * w->stride[2] + (w->size[2] - 1) * w->dilation[2];
  float *y = b->y;
  for (int64_t c = 0; c < w->out[2]; c += REG_LANES) {
    b->column = c * w->stride[2] - w->low[2];
    b->kept = reg_part(0, w->out[2], c);
    b->y = y + c;
    (*filter)[b->column < 0 || b->column + reach >= w->in[2]](b);
  }
}

static void filter_plane(const leat_kern_conv_t *s, const filters_t *filter, const float *x, const float *zeros,
                         float *y, block_t *b) {
  const leat_kern_window_t *w = &s->window;
  for (int64_t z = 0; z < w->out[0]; z++) {
    for (int64_t r = 0; r < w->out[1]; r += ROWS) {
      find_lines(s, x, zeros, z, r, b);
      b->rows = w->out[1] - r < ROWS ? w->out[1] - r : ROWS;
      b->y = y + z * s->y[2] + r * s->y[3];
      filter_rows(s, filter, b);
    }
  }
}

// --- pictures of one register a row ----------------------------------------------------------------------------------

// A plane whose rows of outputs fit a register: line by line, each of which adds to all rows that it reaches.
typedef struct narrow_s {
  const leat_kern_window_t *window;
  reg_mask_t inside[5], kept;  // lanes of x, by k2; of y
  int64_t x_row, y_row;
  const leat_kern_finish_t *finish;
} narrow_t;

#define EACH_SLOT(M) M(0) M(1) M(2) M(3) M(4)
#define SLOT_START(j) reg_t a##j = reg_zero();
#define SLOT_STEP(j) \
  if (j < size) a##j = reg_fma(reg_splat(w[(size - 1 - j) * size + e]), v, a##j);
#define SLOT_NEXT(j, from) \
  if (j < size - 1) a##j = from;

// `size`, a constant once inlined: of the window. a0 is the row that a line completes, a1 the next one.
VEC_INLINE void filter_lines(const int size, const narrow_t *n, const float *x, const float *w, const float *bias,
                             float *y) {
  const leat_kern_window_t *window = n->window;
  const float *line = x - window->low[1] * n->x_row - window->low[2];
  EACH_SLOT(SLOT_START)
  for (int64_t row = 1 - size, at = -window->low[1]; row < window->out[1]; row++, at++, line += n->x_row) {
    const int is_inside = (uint64_t)at < (uint64_t)window->in[1];
#pragma GCC unroll 8
    for (int e = 0; e < size; e++) {
      const reg_t v = is_inside ? reg_load_lanes(line + e, n->inside[e]) : reg_zero();
      EACH_SLOT(SLOT_STEP)
    }
    if (row >= 0) {
      const leat_kern_finish_t *f = n->finish;
      if (bias) a0 = reg_add(a0, reg_splat(*bias));
      if (f && f->bounded != 0) a0 = finish_bound(f, a0);
      reg_store_lanes(y + row * n->y_row, a0, n->kept);
    }
    a0 = a1;
    SLOT_NEXT(1, a2)
    SLOT_NEXT(2, a3)
    SLOT_NEXT(3, a4)
    if (size == 3) a2 = reg_zero();
    if (size == 5) a4 = reg_zero();
  }
}

static int is_narrow(const leat_kern_window_t *w) {
  const int64_t size = w->size[2];
  const int plain = w->size[1] == size && w->stride[1] * w->stride[2] * w->dilation[1] * w->dilation[2] == 1;
  const int flat = w->size[0] == 1 && w->in[0] == 1 && w->out[0] == 1 && w->low[0] == 0;
  return plain && flat && (size == 3 || size == 5) && w->out[2] <= REG_LANES;
}

static narrow_t narrow_of(const leat_kern_conv_t *s) {
  const leat_kern_window_t *w = &s->window;
  narrow_t n = {.window = w, .kept = reg_lanes(0, w->out[2]), .x_row = s->x[3], .y_row = s->y[3], .finish = s->finish};
  for (int64_t e = 0; e < w->size[2]; e++) n.inside[e] = reg_part(w->low[2] - e, w->in[2] + w->low[2] - e, 0);
  return n;
}

static void filter_narrow(const narrow_t *n, const float *x, const float *w, const float *bias, float *y) {
  if (n->window->size[2] == 3)
    filter_lines(3, n, x, w, bias, y);
  else
    filter_lines(5, n, x, w, bias, y);
}

// --- all of it -------------------------------------------------------------------------------------------------------

// A window of w lies as blocks want it.
static int w_is_packed(const leat_kern_conv_t *s) {
  const int64_t *size = s->window.size, row = size[2], plane = row * size[1];
  return (size[2] == 1 || s->w[4] == 1) && (size[1] == 1 || s->w[3] == row) && (size[0] == 1 || s->w[2] == plane);
}

static const float *pack_w(const leat_kern_conv_t *s, const float *w, float *to) {
  const int64_t *size = s->window.size;
  float *packed = to;
  for (int64_t k0 = 0; k0 < size[0]; k0++) {
    for (int64_t k1 = 0; k1 < size[1]; k1++) {
      for (int64_t k2 = 0; k2 < size[2]; k2++) *to++ = w[k0 * s->w[2] + k1 * s->w[3] + k2 * s->w[4]];
    }
  }
  return packed;
}

// Words of block_t.inside from column `first` on, as far as blocks look.
static const int32_t *mark_inside(const leat_kern_window_t *w, int64_t first, int32_t *words) {
  for (int64_t i = 0; i < leat_kern_depth_columns(w); i++) words[i] = first + i >= 0 && first + i < w->in[2] ? -1 : 0;
  return words - first;
}

void KERN(conv_depth)(const leat_kern_conv_t *s, const float *x, const float *w, float *y, float *workspace) {
  const leat_kern_window_t *window = &s->window;
  const filters_t *filter = choose(window);
  const int is_packed = w_is_packed(s);
  const int64_t reach = (ROWS - 1) * window->stride[1] + (window->size[1] - 1) * window->dilation[1];
  block_t b = {.window = window, .line_count = reach + 1, .y_row = s->y[3], .finish = s->finish};
  // Masked loads begin before the zeros: what lies there has to be memory that is in use, since they are slow where a
  // page is not.
  float *zeros = workspace + leat_kern_depth_columns(window), *weights = zeros + window->in[2];
  b.inside = mark_inside(window, -window->low[2], (int32_t *)(void *)workspace);
  for (int64_t c = 0; c < window->in[2]; c++) zeros[c] = 0;
  const int narrow = is_narrow(window);
  narrow_t n = {.window = window};
  if (narrow) n = narrow_of(s);
  for (int64_t o = 0; o < s->outputs; o++) {
    const int64_t group = (s->output_first + o) / s->outputs_per_group;
    b.bias = s->finish && s->finish->bias ? s->finish->bias + o * s->finish->bias_step : NULL;
    b.w = is_packed ? w + o * s->w[0] : pack_w(s, w + o * s->w[0], weights);
    for (int64_t i = 0; i < s->images; i++) {
      const float *from = x + i * s->x[0] + group * s->x[1];
      float *to = y + i * s->y[0] + o * s->y[1];
      if (narrow)
        filter_narrow(&n, from, b.w, b.bias, to);
      else
        filter_plane(s, filter, from, zeros, to, &b);
    }
  }
}
