// SPDX-License-Identifier: Apache-2.0
// Pooling of planes whose rows are contiguous, one register of outputs of a row (a strip) at a time; the bits of
// pool.c. For the gradient of a maximum the winners of a strip's windows are found together and then take their
// gradients one by one, in window order.
#include "kern/isa.h"
#include "kern/reg.h"

// The rows of x that the windows of one output row read, in window order, and where the same rows of dx begin.
typedef struct rows_s {
  const float *row[LEAT_KERN_POOL_ROWS];
  int64_t dx[LEAT_KERN_POOL_ROWS];
  int64_t count, before, behind;  // floats that may be read before every row's begin, and from there on
} rows_t;
static void find_rows(const leat_kern_pool_t *s, const float *x, int64_t t0, int64_t t1, rows_t *out) {
  const leat_kern_window_t *w = &s->window;
  const int64_t at0 = t0 * w->stride[0] - w->low[0], at1 = t1 * w->stride[1] - w->low[1];
  const int64_t x0 = s->x[0], x1 = s->x[1], dx0 = s->dx[0], dx1 = s->dx[1], step = w->dilation[1];
  const int64_t b_from = at1 < 0 ? (step - 1 - at1) / step : 0;
  int64_t least = INT64_MAX, most = INT64_MIN, count = 0;
  for (int64_t a = 0; a < w->size[0]; a++) {
    const int64_t i0 = at0 + a * w->dilation[0];
    if (i0 < 0 || i0 >= w->in[0]) continue;
    for (int64_t b = b_from, i1 = at1 + b * step; b < w->size[1] && i1 < w->in[1]; b++, i1 += step, count++) {
      const int64_t at = i0 * x0 + i1 * x1;
      least = at < least ? at : least;
      most = at > most ? at : most;
      out->row[count] = x + at;
      out->dx[count] = i0 * dx0 + i1 * dx1;
    }
  }
  out->count = count;
  out->before = out->behind = INT64_MAX;
  if (count == 0) return;
  out->before = x + least - s->x_begin;
  out->behind = s->x_end - (x + most);
}

// How a strip is read: whole registers, at steps of 1 or 2, or clipped to its row.
enum { CLIPPED, CLIPPED_BY_1, CLIPPED_BY_2, OPEN_BY_1, OPEN_BY_2 };

// A strip: outputs first .. first + REG_LANES - 1 of a row, of which `outputs` exist. Window position k of output i
// reads row[at + k * dilation + i * step].
typedef struct strip_s {
  int64_t first, outputs, at;
  int inside;  // every window lies in the row
  int how;     // open ones are inside, and whole registers may be read there
} strip_t;
static strip_t strip_of(const leat_kern_window_t *w, const rows_t *rows, int64_t first) {
  const int64_t outputs = w->out[2] - first < REG_LANES ? w->out[2] - first : REG_LANES;
  strip_t s = {.first = first, .outputs = outputs, .at = first * w->stride[2] - w->low[2]};
  const int64_t last = s.at + (w->size[2] - 1) * w->dilation[2];
  s.inside = s.at >= 0 && last + (outputs - 1) * w->stride[2] < w->in[2];
  const int open = s.inside && rows->before >= -s.at && last + (REG_LANES - 1) * w->stride[2] < rows->behind;
  s.how = w->stride[2] > 2 ? CLIPPED : (open ? OPEN_BY_1 : CLIPPED_BY_1) + (int)(w->stride[2] - 1);
  return s;
}

// The inputs p[i * step] of all lanes, for a step of 1 or 2.
VEC_INLINE reg_t load(const float *p, int64_t step) {
  return step == 1 ? reg_load(p) : reg_evens(reg_load(p), reg_load(p + REG_LANES - 1));
}
// How many steps of `step`, a constant where it is 1 or 2, fit into `distance` elements, rounded up: divisions would
// take longer than all the rest.
VEC_INLINE int64_t steps_to(int64_t distance, int64_t step, const int how) {
  if (distance <= 0) return 0;
  return how == CLIPPED_BY_1 ? distance : how == CLIPPED_BY_2 ? (distance + 1) >> 1 : (distance + step - 1) / step;
}
// The inputs of window position k, and `fill` where they lie outside the row. Reads nothing else.
VEC_INLINE reg_t load_clipped(const leat_kern_window_t *w, strip_t s, const float *row, int64_t k, float fill,
                              const int how) {
  const int64_t step = w->stride[2], at = s.at + k * w->dilation[2];
  int64_t from = steps_to(-at, step, how), to = steps_to(w->in[2] - at, step, how);
  to = to < s.outputs ? to : s.outputs;
  const reg_mask_t lanes = reg_part(from, to, 0);
  reg_t v;
  if (how == CLIPPED_BY_1) {
    v = reg_load_lanes(row + at, lanes);
  } else if (how == CLIPPED_BY_2) {
    const reg_t low = reg_load_lanes(row + at, reg_part(2 * from, 2 * to - 1, 0));
    const float *next = row + at + REG_LANES - 1;
    v = reg_evens(low, reg_load_lanes(next, reg_part(2 * from, 2 * to - 1, REG_LANES - 1)));
  } else {
    float each[REG_LANES];
    for (int64_t i = 0; i < REG_LANES; i++) each[i] = i >= from && i < to ? row[at + i * step] : fill;
    v = reg_load(each);
  }
  return reg_pick(lanes, v, reg_splat(fill));
}
// Position k of row r; how is a constant.
VEC_INLINE reg_t inputs(const leat_kern_window_t *w, strip_t s, const rows_t *rows, int64_t r, int64_t k, float fill,
                        const int how) {
  if (how < OPEN_BY_1) return load_clipped(w, s, rows->row[r], k, fill, how);
  return load(rows->row[r] + s.at + k * w->dilation[2], how == OPEN_BY_1 ? 1 : 2);
}

// The value of of(w, strip, rows, how) with a constant for how.
#define AS_READ(of, w, strip, rows)                                 \
  ((strip).how == OPEN_BY_1      ? of(w, strip, rows, OPEN_BY_1)    \
   : (strip).how == OPEN_BY_2    ? of(w, strip, rows, OPEN_BY_2)    \
   : (strip).how == CLIPPED_BY_1 ? of(w, strip, rows, CLIPPED_BY_1) \
   : (strip).how == CLIPPED_BY_2 ? of(w, strip, rows, CLIPPED_BY_2) \
                                 : of(w, strip, rows, CLIPPED))

// Folds over a window, first position first: the value that a fold starts from, and a step of it.
#define MAX_START (-__builtin_inff())
#define MAX_STEP(acc, v) reg_winner(v, acc)
#define SUM_START 0.0f
#define SUM_STEP(acc, v) ((acc) + (v))

#define DEFINE_POOL(fn, START, STEP)                                                                    \
  VEC_INLINE reg_t fn##_of(const leat_kern_window_t *w, strip_t s, const rows_t *rows, const int how) { \
    reg_t acc = reg_splat(START);                                                                       \
    for (int64_t r = 0; r < rows->count; r++) {                                                         \
      for (int64_t k = 0; k < w->size[2]; k++) {                                                        \
        reg_t v = inputs(w, s, rows, r, k, START, how);                                                 \
        acc = STEP(acc, v);                                                                             \
      }                                                                                                 \
    }                                                                                                   \
    return acc;                                                                                         \
  }                                                                                                     \
  void KERN(pool_##fn##_fast)(const leat_kern_pool_t *s, const float *x, float *y) {                    \
    const leat_kern_window_t *w = &s->window;                                                           \
    rows_t rows;                                                                                        \
    for (int64_t t = 0; t < w->out[0] * w->out[1]; t++) {                                               \
      const int64_t t0 = t / w->out[1], t1 = t - t0 * w->out[1];                                        \
      float *to = y + t0 * s->y[0] + t1 * s->y[1];                                                      \
      find_rows(s, x, t0, t1, &rows);                                                                   \
      for (int64_t first = 0; first < w->out[2]; first += REG_LANES) {                                  \
        const strip_t strip = strip_of(w, &rows, first);                                                \
        const reg_t acc = AS_READ(fn##_of, w, strip, &rows);                                            \
        reg_store_lanes(to + first, acc, reg_lanes(0, strip.outputs));                                  \
      }                                                                                                 \
    }                                                                                                   \
  }

DEFINE_POOL(max, MAX_START, MAX_STEP)
DEFINE_POOL(sum, SUM_START, SUM_STEP)

// --- gradient of the maximum ---------------------------------------------------------------------------------------

// The winners' places in their windows, row after row; NONE: nothing is greater than -inf, so the first place that lies
// in the row wins.
#define NONE (-1.0f)
VEC_INLINE reg_t winners_of(const leat_kern_window_t *w, strip_t s, const rows_t *rows, const int how) {
  reg_t best = reg_splat(MAX_START), winner = reg_splat(NONE);
  float place = 0;
  for (int64_t r = 0; r < rows->count; r++) {
    for (int64_t k = 0; k < w->size[2]; k++, place += 1) {
      reg_t v = inputs(w, s, rows, r, k, MAX_START, how);
      reg_mask_t take = reg_beats(v, best);
      best = reg_pick(take, v, best);
      winner = reg_pick(take, reg_splat(place), winner);
    }
  }
  return winner;
}

static void clear(const leat_kern_pool_t *s, float *dx) {
  const int64_t *in = s->window.in;
  const int flat = s->dx[1] == in[2];  // rows without gaps: a plane is one run
  const int64_t rows = flat ? 1 : in[1], run = flat ? in[1] * in[2] : in[2];
  for (int64_t a = 0; a < in[0]; a++) {
    for (int64_t b = 0; b < rows; b++) {
      float *row = dx + a * s->dx[0] + b * s->dx[1];
      for (int64_t c = 0; c < run; c++) row[c] = 0;
    }
  }
}

static void add_each(const leat_kern_window_t *w, strip_t s, const rows_t *rows, reg_t winner, const float *dy,
                     float *dx) {
  const int64_t size = w->size[2];
  float places[REG_LANES];
  reg_store(places, winner);
  for (int64_t i = 0; i < s.outputs; i++) {
    const int64_t place = places[i] < 0 ? 0 : (int64_t)places[i], r = place / size, at = s.at + i * w->stride[2];
    int64_t k = place - r * size;
    if (places[i] < 0) {
      while (k < size && at + k * w->dilation[2] < 0) k++;
      if (rows->count == 0 || k == size || at + k * w->dilation[2] >= w->in[2]) continue;  // all padding
    }
    dx[rows->dx[r] + at + k * w->dilation[2]] += dy[i];
  }
}

void KERN(pool_grad_max_fast)(const leat_kern_pool_t *s, const float *x, const float *dy, float *dx) {
  const leat_kern_window_t *w = &s->window;
  rows_t rows;
  clear(s, dx);
  for (int64_t t = 0; t < w->out[0] * w->out[1]; t++) {
    const int64_t t0 = t / w->out[1], t1 = t - t0 * w->out[1];
    const float *from = dy + t0 * s->y[0] + t1 * s->y[1];
    find_rows(s, x, t0, t1, &rows);
    for (int64_t first = 0; first < w->out[2]; first += REG_LANES) {
      const strip_t strip = strip_of(w, &rows, first);
      const reg_t winner = AS_READ(winners_of, w, strip, &rows);
      add_each(w, strip, &rows, winner, from + first, dx);
    }
  }
}
