// SPDX-License-Identifier: Apache-2.0
// Pooling of planes whose rows are contiguous, 16 outputs of a row (a strip) at a time; the bits of pool.c. For the
// gradient of a maximum the winners of 16 windows are found together and then take their gradients one by one, in
// window order.
#include "kern/isa.h"
#include "kern/reg.h"

enum { LANES = VF32_LANES, NO_WINNER = INT32_MIN };

static const vi32_t lane_index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// The rows of x that the windows of one output row read, in window order, and where the same rows of dx begin.
typedef struct rows_s {
  const float *row[LEAT_KERN_POOL_ROWS];
  int64_t dx[LEAT_KERN_POOL_ROWS];
  int64_t count, before, behind;  // floats that may be read before every row's begin, and from there on
} rows_t;
static void find_rows(const leat_kern_pool_t *s, const float *x, int64_t t0, int64_t t1, rows_t *out) {
  out->count = 0;
  out->before = out->behind = INT64_MAX;
  for (int64_t a = 0; a < s->window.size[0]; a++) {
    const int64_t at0 = leat_kern_window_at(&s->window, 0, t0, a);
    for (int64_t b = 0; b < s->window.size[1] && at0 >= 0; b++) {
      const int64_t at1 = leat_kern_window_at(&s->window, 1, t1, b);
      if (at1 < 0) continue;
      const float *row = x + at0 * s->x[0] + at1 * s->x[1];
      out->before = row - s->x_begin < out->before ? row - s->x_begin : out->before;
      out->behind = s->x_end - row < out->behind ? s->x_end - row : out->behind;
      out->dx[out->count] = at0 * s->dx[0] + at1 * s->dx[1];
      out->row[out->count++] = row;
    }
  }
}

// A strip: outputs first .. first + LANES - 1 of a row, of which `outputs` exist. Window position k of output i reads
// row[at + k * dilation + i * step].
typedef struct strip_s {
  int64_t first, outputs, at;
} strip_t;
static strip_t strip_of(const leat_kern_window_t *w, int64_t first) {
  const int64_t outputs = w->out[2] - first < LANES ? w->out[2] - first : LANES;
  return (strip_t){.first = first, .outputs = outputs, .at = first * w->stride[2] - w->low[2]};
}
// Every output's window lies in the row, and whole vectors may be read.
static int is_open(const leat_kern_window_t *w, strip_t s, const rows_t *rows) {
  const int64_t last = s.at + (w->size[2] - 1) * w->dilation[2];
  return s.at >= 0 && last + (s.outputs - 1) * w->stride[2] < w->in[2] && s.at + rows->before >= 0 &&
         last + (LANES - 1) * w->stride[2] < rows->behind && w->stride[2] <= 2;
}

// The inputs p[i * step] of all lanes, for a step of 1 or 2.
VEC_INLINE vf32_t load(const float *p, int64_t step) {
  if (step == 1) return vf32_load(p);
  return __builtin_shufflevector(vf32_load(p), vf32_load(p + LANES - 1), 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25,
                                 27, 29, 31);
}
// The inputs of window position k; *out_lanes: those that lie in the row, the others get `fill`. Reads nothing else.
static vf32_t load_clipped(const leat_kern_window_t *w, strip_t s, const float *row, int64_t k, float fill,
                           vi32_t *out_lanes) {
  const int64_t step = w->stride[2], at = s.at + k * w->dilation[2];
  int64_t from = at < 0 ? (-at + step - 1) / step : 0, to = at < w->in[2] ? (w->in[2] - at + step - 1) / step : 0;
  to = to < s.outputs ? to : s.outputs;
  float lanes[LANES];
  for (int64_t i = 0; i < LANES; i++) lanes[i] = i >= from && i < to ? row[at + i * step] : fill;
  from = from < LANES ? from : LANES;
  *out_lanes = (lane_index >= (int32_t)from) & (lane_index < (int32_t)to);
  return vf32_load(lanes);
}

// Folds over a window, first position first: the value that a fold starts from, and a step of it.
#define MAX_START (-__builtin_inff())
#define MAX_STEP(acc, v) vf32_select(((v) > (acc)) | ((v) != (v)), v, acc)
#define SUM_START 0.0f
#define SUM_STEP(acc, v) ((acc) + (v))

#define DEFINE_POOL(fn, START, STEP)                                                                      \
  VEC_INLINE vf32_t fn##_open(const leat_kern_window_t *w, strip_t s, const rows_t *rows, int64_t step) { \
    vf32_t acc = vf32_splat(START);                                                                       \
    for (int64_t r = 0; r < rows->count; r++) {                                                           \
      const float *p = rows->row[r] + s.at;                                                               \
      for (int64_t k = 0; k < w->size[2]; k++, p += w->dilation[2]) {                                     \
        vf32_t v = load(p, step);                                                                         \
        acc = STEP(acc, v);                                                                               \
      }                                                                                                   \
    }                                                                                                     \
    return acc;                                                                                           \
  }                                                                                                       \
  static vf32_t fn##_clipped(const leat_kern_window_t *w, strip_t s, const rows_t *rows) {                \
    vf32_t acc = vf32_splat(START);                                                                       \
    for (int64_t r = 0; r < rows->count; r++) {                                                           \
      for (int64_t k = 0; k < w->size[2]; k++) {                                                          \
        vi32_t lanes;                                                                                     \
        vf32_t v = load_clipped(w, s, rows->row[r], k, START, &lanes);                                    \
        acc = STEP(acc, v);                                                                               \
      }                                                                                                   \
    }                                                                                                     \
    return acc;                                                                                           \
  }                                                                                                       \
  void KERN(pool_##fn##_fast)(const leat_kern_pool_t *s, const float *x, float *y) {                      \
    const leat_kern_window_t *w = &s->window;                                                             \
    rows_t rows;                                                                                          \
    for (int64_t t = 0; t < w->out[0] * w->out[1]; t++) {                                                 \
      const int64_t t0 = t / w->out[1], t1 = t - t0 * w->out[1];                                          \
      float *to = y + t0 * s->y[0] + t1 * s->y[1];                                                        \
      find_rows(s, x, t0, t1, &rows);                                                                     \
      for (int64_t first = 0; first < w->out[2]; first += LANES) {                                        \
        const strip_t strip = strip_of(w, first);                                                         \
        vf32_t acc;                                                                                       \
        if (!is_open(w, strip, &rows))                                                                    \
          acc = fn##_clipped(w, strip, &rows);                                                            \
        else                                                                                              \
          acc = w->stride[2] == 1 ? fn##_open(w, strip, &rows, 1) : fn##_open(w, strip, &rows, 2);        \
        vf32_store_lanes(to + first, acc, 0, strip.outputs);                                              \
      }                                                                                                   \
    }                                                                                                     \
  }

DEFINE_POOL(max, MAX_START, MAX_STEP)
DEFINE_POOL(sum, SUM_START, SUM_STEP)

// --- gradient of the maximum ---------------------------------------------------------------------------------------

// The winners' offsets in dx.
VEC_INLINE vi32_t winners_open(const leat_kern_window_t *w, strip_t s, const rows_t *rows, int64_t step) {
  vf32_t best = vf32_splat(MAX_START);
  vi32_t winner = vi32_splat(NO_WINNER);
  for (int64_t r = 0; r < rows->count; r++) {
    for (int64_t k = 0; k < w->size[2]; k++) {
      const int64_t at = s.at + k * w->dilation[2];
      vf32_t v = load(rows->row[r] + at, step);
      vi32_t take = (v > best) | (v != v) | (winner == NO_WINNER);
      best = vf32_select(take, v, best);
      winner = (take & (lane_index * (int32_t)step + (int32_t)(rows->dx[r] + at))) | (~take & winner);
    }
  }
  return winner;
}
static vi32_t winners_clipped(const leat_kern_window_t *w, strip_t s, const rows_t *rows) {
  vf32_t best = vf32_splat(MAX_START);
  vi32_t winner = vi32_splat(NO_WINNER);
  for (int64_t r = 0; r < rows->count; r++) {
    for (int64_t k = 0; k < w->size[2]; k++) {
      vi32_t lanes;
      vf32_t v = load_clipped(w, s, rows->row[r], k, MAX_START, &lanes);
      vi32_t take = lanes & ((v > best) | (v != v) | (winner == NO_WINNER));
      vi32_t here = lane_index * (int32_t)w->stride[2] + (int32_t)(rows->dx[r] + s.at + k * w->dilation[2]);
      best = vf32_select(take, v, best);
      winner = (take & here) | (~take & winner);
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

// Windows of two neighbours, side by side in every dim: each input belongs to one window, so that gradients are stored
// whole instead of being added one by one.
static int are_pairs(const leat_kern_window_t *w) {
  return w->size[2] == 2 && w->stride[2] == 2 && w->dilation[2] == 1 &&
         w->stride[0] > (w->size[0] - 1) * w->dilation[0] && w->stride[1] > (w->size[1] - 1) * w->dilation[1];
}
static void store_pairs(strip_t s, const rows_t *rows, vi32_t winner, const float *dy, float *dx) {
  const vf32_t zero = vf32_splat(0), g = vf32_load_lanes(dy, 0, s.outputs) + zero;  // as adding to 0: no -0
  for (int64_t r = 0; r < rows->count; r++) {
    const vi32_t even = lane_index * 2 + (int32_t)(rows->dx[r] + s.at);
    vf32_t a = vf32_select(winner == even, g, zero), b = vf32_select(winner == even + 1, g, zero);
    vf32_t low = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    vf32_t high = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    vf32_store_lanes(dx + rows->dx[r] + s.at, low, 0, 2 * s.outputs);
    vf32_store_lanes(dx + rows->dx[r] + s.at + LANES, high, 0, 2 * s.outputs - LANES);
  }
}
static void add_each(strip_t s, vi32_t winner, const float *dy, float *dx) {
  int32_t at[LANES];
  vi32_store(at, winner);
  for (int64_t i = 0; i < s.outputs; i++) {
    if (at[i] != NO_WINNER) dx[at[i]] += dy[i];
  }
}

void KERN(pool_grad_max_fast)(const leat_kern_pool_t *s, const float *x, const float *dy, float *dx) {
  const leat_kern_window_t *w = &s->window;
  const int pairs = are_pairs(w);
  rows_t rows;
  clear(s, dx);
  for (int64_t t = 0; t < w->out[0] * w->out[1]; t++) {
    const int64_t t0 = t / w->out[1], t1 = t - t0 * w->out[1];
    const float *from = dy + t0 * s->y[0] + t1 * s->y[1];
    find_rows(s, x, t0, t1, &rows);
    for (int64_t first = 0; first < w->out[2]; first += LANES) {
      const strip_t strip = strip_of(w, first);
      const int open = is_open(w, strip, &rows);
      vi32_t winner;
      if (!open)
        winner = winners_clipped(w, strip, &rows);
      else
        winner = w->stride[2] == 1 ? winners_open(w, strip, &rows, 1) : winners_open(w, strip, &rows, 2);
      if (open && pairs)
        store_pairs(strip, &rows, winner, from + first, dx);
      else
        add_each(strip, winner, from + first, dx);
    }
  }
}
