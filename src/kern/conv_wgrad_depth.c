// SPDX-License-Identifier: Apache-2.0
// Weight gradient of a convolution whose groups have one channel and one output (depthwise): channels are the lanes. A
// band of rows of x (with its padding) and of dy is turned to [row][column][lane]; a piece of the window then sums in
// registers over all positions of the band. An element is one fma chain over ascending positions, or one a block.
#include "kern/isa.h"
#include "kern/reg.h"

enum { PIECE_ROWS = 5, PIECE_COLUMNS = 7, ACCUMULATORS_MAX = REG_COUNT >= 32 ? 28 : 14 };

typedef struct job_s {
  const leat_kern_wgrad_depth_t *p;
  const leat_kern_conv_t *s;
  const float *x, *dy;  // first of the lanes
  int64_t lanes;
  float *sum, *image, *turned_dy;  // sum[k0][k1][k2][lane]
  int64_t open, blocks;            // positions in the chains at hand; blocks that are closed
} job_t;

// Output rows of a band: their first dy, and what position 0 of the window reads there.
typedef struct part_s {
  const float *dy, *x;
  int64_t rows, columns;
  int64_t dy_row, x_row, x_column;
  int accumulate;
} part_t;

// --- a piece of the window over a part of the positions --------------------------------------------------------------

#define EACH_ROW(M) M(0) M(1) M(2) M(3) M(4)
#define EACH_COLUMN(M, m) M(m, 0) M(m, 1) M(m, 2) M(m, 3) M(m, 4) M(m, 5) M(m, 6)
#define START_ONE(m, v) \
  reg_t a##m##v =       \
      m < rows && v < columns && t->accumulate != 0 ? reg_load(sum + m * sum_row + v * REG_LANES) : reg_zero();
#define START(m) EACH_COLUMN(START_ONE, m)
#define STEP_ONE(m, v) \
  if (m < rows && v < columns) a##m##v = reg_fma(factor, reg_load(at + m * line + v * REG_LANES), a##m##v);
#define STEP(m) EACH_COLUMN(STEP_ONE, m)
#define FINISH_ONE(m, v) \
  if (m < rows && v < columns) reg_store(sum + m * sum_row + v * REG_LANES, a##m##v);
#define FINISH(m) EACH_COLUMN(FINISH_ONE, m)

// rows and columns of the piece are constants wherever this is inlined; `line`: from one of its rows to the next.
VEC_INLINE void add_piece(const int rows, const int columns, const part_t *t, const float *x, int64_t line, float *sum,
                          int64_t sum_row) {
  if (rows * columns > ACCUMULATORS_MAX) return;  // a shape that this level never asks for
  EACH_ROW(START)
  for (int64_t r = 0; r < t->rows; r++) {
    const float *dy = t->dy + r * t->dy_row, *at = x + r * t->x_row;
    for (int64_t c = 0; c < t->columns; c++, at += t->x_column) {
      const reg_t factor = reg_load(dy + c * REG_LANES);
      EACH_ROW(STEP)
    }
  }
  EACH_ROW(FINISH)
}

typedef void piece_t(const part_t *t, const float *x, int64_t line, float *sum, int64_t sum_row);
#define PIECE(rows, columns)                                                                                         \
  static void piece_##rows##_##columns(const part_t *t, const float *x, int64_t line, float *sum, int64_t sum_row) { \
    add_piece(rows, columns, t, x, line, sum, sum_row);                                                              \
  }
#define EACH_PIECE_COLUMNS(M, rows) M(rows, 1) M(rows, 2) M(rows, 3) M(rows, 4) M(rows, 5) M(rows, 6) M(rows, 7)
#define EACH_PIECE(M)      \
  EACH_PIECE_COLUMNS(M, 1) \
  EACH_PIECE_COLUMNS(M, 2) EACH_PIECE_COLUMNS(M, 3) EACH_PIECE_COLUMNS(M, 4) EACH_PIECE_COLUMNS(M, 5)
EACH_PIECE(PIECE)

#define ENTRY(rows, columns) piece_##rows##_##columns,
static piece_t *const pieces[PIECE_ROWS * PIECE_COLUMNS] = {EACH_PIECE(ENTRY)};

// All of the window.
static void add_part(const job_t *j, const part_t *t) {
  const leat_kern_window_t *w = &j->s->window;
  const int64_t line = j->p->image_columns * REG_LANES, sum_row = w->size[2] * REG_LANES;
  int64_t rows, columns;
  for (int64_t k0 = 0; k0 < w->size[0]; k0++) {
    for (int64_t k2 = 0; k2 < w->size[2]; k2 += columns) {
      columns = w->dilation[2] == 1 ? leat_kern_next_piece(w->size[2] - k2, PIECE_COLUMNS) : 1;
      const int64_t most = leat_kern_clamp(ACCUMULATORS_MAX / columns, 1, PIECE_ROWS);
      for (int64_t k1 = 0; k1 < w->size[1]; k1 += rows) {
        rows = leat_kern_next_piece(w->size[1] - k1, most);
        const float *x = t->x + (k0 * j->p->image_rows + k1 * w->dilation[1]) * line + k2 * w->dilation[2] * REG_LANES;
        float *sum = j->sum + (k0 * w->size[1] + k1) * sum_row + k2 * REG_LANES;
        pieces[(rows - 1) * PIECE_COLUMNS + columns - 1](t, x, w->dilation[1] * line, sum, sum_row);
      }
    }
  }
}

// Positions [at, at + count) of a band, no more than the chains at hand take: whole rows, or a part of one.
static int64_t add_some(job_t *j, int64_t at, int64_t count) {
  const leat_kern_window_t *w = &j->s->window;
  const int64_t width = w->out[2], row = at / width, column = at % width;
  if (j->s->chain > 0) count = leat_kern_clamp(count, 1, j->s->chain - j->open);
  part_t t = {.dy = j->turned_dy + at * REG_LANES,
              .dy_row = width * REG_LANES,
              .x_row = w->stride[1] * j->p->image_columns * REG_LANES,
              .x_column = w->stride[2] * REG_LANES,
              .accumulate = j->open > 0};
  t.x = j->image + row * t.x_row + column * t.x_column;
  t.rows = column == 0 && count >= width ? count / width : 1;
  t.columns = t.rows > 1 || (column == 0 && count >= width) ? width : leat_kern_clamp(width - column, 1, count);
  add_part(j, &t);
  return t.rows * t.columns;
}

// --- turning -------------------------------------------------------------------------------------------------------

static void zero(float *to, int64_t columns) {
  for (int64_t i = 0; i < columns; i++) reg_store(to + i * REG_LANES, reg_zero());
}

// REG_LANES elements of as many rows; `whole`: else the lanes of `m`, of the rows before `lanes`.
VEC_INLINE void turn_block(const float *from, int64_t lane_step, const int whole, reg_mask_t m, int64_t lanes,
                           reg_t r[REG_LANES]) {
#pragma GCC unroll 16
  for (int l = 0; l < REG_LANES; l++) {
    if (whole)
      r[l] = reg_load(from + l * lane_step);
    else
      r[l] = l < lanes ? reg_load_lanes(from + l * lane_step, m) : reg_zero();
  }
  reg_transpose(r);
}

// `count` elements, `step` apart, of the lanes' rows, to [element][lane].
static void turn(const job_t *j, const float *from, int64_t lane_step, int64_t step, int64_t count, float *to) {
  int64_t c = 0;
  reg_t r[REG_LANES];
  if (step != 1) {
    for (; c < count; c++) {
      for (int64_t l = 0; l < REG_LANES; l++) to[c * REG_LANES + l] = l < j->lanes ? from[l * lane_step + c * step] : 0;
    }
    return;
  }
  if (j->lanes == REG_LANES) {
    for (; c + REG_LANES <= count; c += REG_LANES) {
      turn_block(from + c, lane_step, 1, reg_lanes(0, 0), REG_LANES, r);
#pragma GCC unroll 16
      for (int i = 0; i < REG_LANES; i++) reg_store(to + (c + i) * REG_LANES, r[i]);
    }
  }
  for (; c < count; c += REG_LANES) {
    const int64_t n = leat_kern_clamp(count - c, 0, REG_LANES);
    turn_block(from + c, lane_step, 0, reg_lanes(0, n), j->lanes, r);
    for (int64_t i = 0; i < n; i++) reg_store(to + (c + i) * REG_LANES, r[i]);
  }
}

// x for output plane t0 and the band from output row `first` on, with its padding.
static void turn_x(const job_t *j, const float *x, int64_t t0, int64_t first) {
  const leat_kern_window_t *w = &j->s->window;
  const int64_t width = j->p->image_columns, low = leat_kern_clamp(w->low[2], 0, width);
  const int64_t high = leat_kern_clamp(w->in[2] + w->low[2], low, width), *strides = j->s->x;
  float *to = j->image;
  for (int64_t k0 = 0; k0 < w->size[0]; k0++) {
    const int64_t plane = leat_kern_window_at(w, 0, t0, k0);
    for (int64_t r = 0; r < j->p->image_rows; r++, to += width * REG_LANES) {
      const int64_t row = first * w->stride[1] + r - w->low[1];
      if (plane < 0 || row < 0 || row >= w->in[1] || low == high) {
        zero(to, width);
        continue;
      }
      const float *from = x + plane * strides[2] + row * strides[3] + (low - w->low[2]) * strides[4];
      zero(to, low);
      turn(j, from, strides[1], strides[4], high - low, to + low * REG_LANES);
      zero(to + high * REG_LANES, width - high);
    }
  }
}

static void turn_dy(const job_t *j, const float *dy, int64_t rows) {
  const int64_t width = j->s->window.out[2], *strides = j->s->y;
  const int flat = strides[4] == 1 && strides[3] == width;
  for (int64_t r = 0; r < (flat ? 1 : rows); r++) {
    turn(j, dy + r * strides[3], strides[1], strides[4], flat ? rows * width : width,
         j->turned_dy + r * width * REG_LANES);
  }
}

// --- the gradient of some lanes --------------------------------------------------------------------------------------

static void run_band(job_t *j, int64_t n, int64_t t0, int64_t first) {
  const leat_kern_conv_t *s = j->s;
  const int64_t rows = leat_kern_clamp(s->window.out[1] - first, 0, j->p->band), count = rows * s->window.out[2];
  const int64_t sums = s->window.size[0] * s->window.size[1] * s->window.size[2] * REG_LANES;
  turn_x(j, j->x + n * s->x[0], t0, first);
  turn_dy(j, j->dy + n * s->y[0] + t0 * s->y[2] + first * s->y[3], rows);
  for (int64_t at = 0, done; at < count; at += done) {
    done = add_some(j, at, count - at);
    j->open += done;
    if (j->open != s->chain) continue;
    KERN(pairs_close_f32)(j->sum, j->p->sum_floats, j->blocks++, sums);
    j->open = 0;
  }
}

static void store(const job_t *j, float *dw) {
  const leat_kern_conv_t *s = j->s;
  const int64_t *size = s->window.size;
  const float *from = j->sum;
  for (int64_t k0 = 0; k0 < size[0]; k0++) {
    for (int64_t k1 = 0; k1 < size[1]; k1++) {
      for (int64_t k2 = 0; k2 < size[2]; k2++, from += REG_LANES) {
        float *to = dw + k0 * s->w[2] + k1 * s->w[3] + k2 * s->w[4];
        for (int64_t l = 0; l < j->lanes; l++) to[l * s->w[0]] = from[l];
      }
    }
  }
}

void KERN(conv_wgrad_depth)(const leat_kern_wgrad_depth_t *p, const leat_kern_conv_t *s, const float *x,
                            const float *dy, float *dw, float *workspace) {
  const leat_kern_window_t *w = &s->window;
  const int64_t sums = w->size[0] * w->size[1] * w->size[2] * REG_LANES;
  for (int64_t o = 0; o < s->outputs; o += REG_LANES) {
    job_t j = {.p = p,
               .s = s,
               .x = x + (s->output_first + o) * s->x[1],
               .dy = dy + o * s->y[1],
               .lanes = leat_kern_clamp(s->outputs - o, 0, REG_LANES),
               .sum = workspace,
               .image = workspace + p->image_at,
               .turned_dy = workspace + p->dy_at};
    for (int64_t n = 0; n < s->images; n++) {
      for (int64_t t0 = 0; t0 < w->out[0]; t0++) {
        for (int64_t r = 0; r < w->out[1]; r += p->band) run_band(&j, n, t0, r);
      }
    }
    if (s->chain > 0 && j.open > 0) KERN(pairs_close_f32)(j.sum, p->sum_floats, j.blocks++, sums);
    if (s->chain > 0) KERN(pairs_end_f32)(j.sum, j.sum, p->sum_floats, j.blocks, sums);
    store(&j, dw + o * s->w[0]);
  }
}
