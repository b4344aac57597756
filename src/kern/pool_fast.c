// SPDX-License-Identifier: Apache-2.0
// Pooling of planes whose rows are contiguous, 16 outputs of a row at a time; the bits of pool.c. For the gradient of a
// maximum the winners of 16 windows are found together and then take their gradients one by one, in window order.
#include "kern/isa.h"
#include "kern/reg.h"

enum { LANES = VF32_LANES, NO_WINNER = INT32_MIN };

static const vi32_t lane_index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// What one window position means for the outputs first .. first + LANES - 1 of a row: the lanes from <= i < to read
// row[at + i * step]; the others lie in the padding (then the position is `clipped`) or behind the last output.
typedef struct reads_s {
  int64_t at, from, to;
  int clipped;
} reads_t;
static int64_t steps_up(int64_t n, int64_t step) {
  return step == 1 ? n : step == 2 ? (n + 1) >> 1 : (n + step - 1) / step;
}
static reads_t reads_of(const leat_kern_window_t *w, int64_t first, int64_t k) {
  const int64_t step = w->stride[2];
  const int64_t outputs = w->out[2] - first < LANES ? w->out[2] - first : LANES;
  reads_t r = {.at = first * step + k * w->dilation[2] - w->low[2]};
  if (r.at < 0) r.from = steps_up(-r.at, step);
  int64_t inside = r.at < w->in[2] ? steps_up(w->in[2] - r.at, step) : 0;
  r.to = inside < outputs ? inside : outputs;
  r.clipped = r.from > 0 || r.to < outputs;
  return r;
}
VEC_INLINE vi32_t lanes_of(reads_t r) { return (lane_index >= (int32_t)r.from) & (lane_index < (int32_t)r.to); }

// The reads of all strips of a row, made once where there are few.
enum { READS_MAX = 64 };
typedef struct reads_table_s {
  const leat_kern_window_t *w;
  int made;
  reads_t reads[READS_MAX];
} reads_table_t;
static void make_reads(const leat_kern_window_t *w, reads_table_t *t) {
  int64_t strips = (w->out[2] + LANES - 1) / LANES, n = 0;
  t->w = w;
  t->made = strips <= READS_MAX && w->size[2] <= READS_MAX && strips * w->size[2] <= READS_MAX;
  for (int64_t first = 0; t->made && first < w->out[2]; first += LANES) {
    for (int64_t k = 0; k < w->size[2]; k++) t->reads[n++] = reads_of(w, first, k);
  }
}
VEC_INLINE reads_t get_reads(const reads_table_t *t, int64_t first, int64_t k) {
  return t->made ? t->reads[first / LANES * t->w->size[2] + k] : reads_of(t->w, first, k);
}

// The LANES inputs of a window position; lanes in the padding get `fill`, lanes behind the last output anything. Memory in
// [begin, end) may be read.
VEC_INLINE vf32_t load(const float *row, reads_t r, int64_t step, float fill, const float *begin, const float *end) {
  const int64_t last = (LANES - 1) * step;
  const float *p = row + r.at;
  vf32_t v;
  if (step <= 2) {
    vf32_t high;  // ends with the input of the last lane
    if (row - begin + r.at >= 0 && end - row > r.at + last) {
      v = vf32_load(p), high = vf32_load(p + last - (LANES - 1));
    } else {
      const int64_t from = r.from * step, to = (r.to - 1) * step + 1, skip = last - (LANES - 1);
      v = vf32_load_lanes(p, from, to), high = vf32_load_lanes(p + skip, from - skip, to - skip);
    }
    if (step == 2) v = __builtin_shufflevector(v, high, 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
  } else {
    float lanes[LANES];
    for (int64_t i = 0; i < LANES; i++) lanes[i] = i >= r.from && i < r.to ? p[i * step] : 0;
    v = vf32_load(lanes);
  }
  return r.clipped ? vf32_select(lanes_of(r), v, vf32_splat(fill)) : v;
}

// For every row of x, at (at0, at1), that the windows of output row (t0, t1) read.
#define EACH_WINDOW_ROW(s, x, t0, t1, row, at0, at1)                                                                 \
  for (int64_t a_ = 0, at0; a_ < (s)->window.size[0] && (at0 = leat_kern_window_at(&(s)->window, 0, t0, a_), 1); a_++) \
    for (int64_t b_ = 0, at1; b_ < (s)->window.size[1] && (at1 = leat_kern_window_at(&(s)->window, 1, t1, b_), 1); b_++) \
      for (const float *row = window_row(s, x, at0, at1); row; row = NULL)
static const float *window_row(const leat_kern_pool_t *s, const float *x, int64_t at0, int64_t at1) {
  return at0 >= 0 && at1 >= 0 ? x + at0 * s->x[0] + at1 * s->x[1] : NULL;
}
#define EACH_STRIP(s, t0, t1, first)                         \
  for (int64_t t0 = 0; t0 < (s)->window.out[0]; t0++)        \
    for (int64_t t1 = 0; t1 < (s)->window.out[1]; t1++)      \
      for (int64_t first = 0; first < (s)->window.out[2]; first += LANES)

// Where the plane's memory ends; rows are contiguous, and strides of the outer dims may be of any sign.
static void bounds(const leat_kern_pool_t *s, const float *x, const float **out_begin, const float **out_end) {
  *out_begin = x;
  *out_end = x + s->window.in[2];
  for (int d = 0; d < 2; d++) {
    int64_t far = (s->window.in[d] - 1) * s->x[d];
    if (far < 0) *out_begin += far;
    else *out_end += far;
  }
}

static void store(const leat_kern_pool_t *s, float *y, int64_t t0, int64_t t1, int64_t first, vf32_t v) {
  float *to = y + t0 * s->y[0] + t1 * s->y[1] + first;
  int64_t n = s->window.out[2] - first;
  if (n >= LANES) vf32_store(to, v);
  else vf32_store_lanes(to, v, 0, n);
}

void KERN(pool_max_fast)(const leat_kern_pool_t *s, const float *x, float *y) {
  const leat_kern_window_t *w = &s->window;
  const float lowest = -__builtin_inff(), *begin, *end;
  reads_table_t reads;
  make_reads(w, &reads);
  bounds(s, x, &begin, &end);
  EACH_STRIP(s, t0, t1, first) {
    vf32_t best = vf32_splat(lowest);
    EACH_WINDOW_ROW(s, x, t0, t1, row, at0, at1) {
      for (int64_t i = 0; i < w->size[2]; i++) {
        vf32_t v = load(row, get_reads(&reads, first, i), w->stride[2], lowest, begin, end);
        best = vf32_select((v > best) | (v != v), v, best);
      }
    }
    store(s, y, t0, t1, first, best);
  }
}

void KERN(pool_sum_fast)(const leat_kern_pool_t *s, const float *x, float *y) {
  const leat_kern_window_t *w = &s->window;
  const float *begin, *end;
  reads_table_t reads;
  make_reads(w, &reads);
  bounds(s, x, &begin, &end);
  EACH_STRIP(s, t0, t1, first) {
    vf32_t sum = vf32_splat(0);
    EACH_WINDOW_ROW(s, x, t0, t1, row, at0, at1) {
      for (int64_t i = 0; i < w->size[2]; i++) {
        sum += load(row, get_reads(&reads, first, i), w->stride[2], 0, begin, end);
      }
    }
    store(s, y, t0, t1, first, sum);
  }
}

// dx[winner[i]] += dy[i] for the strip's outputs.
static void spread(const leat_kern_pool_t *s, int64_t first, vi32_t winner, const float *dy, float *dx) {
  int32_t at[LANES];
  vi32_store(at, winner);
  int64_t n = s->window.out[2] - first < LANES ? s->window.out[2] - first : LANES;
  for (int64_t i = 0; i < n; i++) {
    if (at[i] != NO_WINNER) dx[at[i]] += dy[i];
  }
}

static void clear(const leat_kern_pool_t *s, float *dx) {
  const int64_t *in = s->window.in;
  for (int64_t a = 0; a < in[0]; a++) {
    for (int64_t b = 0; b < in[1]; b++) {
      float *row = dx + a * s->dx[0] + b * s->dx[1];
      for (int64_t c = 0; c < in[2]; c++) row[c] = 0;
    }
  }
}

// Offsets in dx stand for window positions.
void KERN(pool_grad_max_fast)(const leat_kern_pool_t *s, const float *x, const float *dy, float *dx) {
  const leat_kern_window_t *w = &s->window;
  const float lowest = -__builtin_inff(), *begin, *end;
  reads_table_t reads;
  make_reads(w, &reads);
  bounds(s, x, &begin, &end);
  clear(s, dx);
  EACH_STRIP(s, t0, t1, first) {
    vf32_t best = vf32_splat(lowest);
    vi32_t winner = vi32_splat(NO_WINNER);
    EACH_WINDOW_ROW(s, x, t0, t1, row, at0, at1) {
      for (int64_t i = 0; i < w->size[2]; i++) {
        reads_t r = get_reads(&reads, first, i);
        vf32_t v = load(row, r, w->stride[2], lowest, begin, end);
        vi32_t take = (v > best) | (v != v) | (winner == NO_WINNER);
        if (r.clipped) take &= lanes_of(r);
        vi32_t here = (int32_t)(at0 * s->dx[0] + at1 * s->dx[1] + r.at) + lane_index * (int32_t)w->stride[2];
        best = vf32_select(take, v, best);
        winner = (take & here) | (~take & winner);
      }
    }
    spread(s, first, winner, dy + t0 * s->y[0] + t1 * s->y[1] + first, dx);
  }
}
