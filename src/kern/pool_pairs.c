// SPDX-License-Identifier: Apache-2.0
// Pooling of planes whose rows are contiguous, in windows of two columns that lie side by side in every dim, from the
// first input on: every row is read, and written by a gradient, once and in pairs of registers. The bits of pool.c.
#include "kern/isa.h"
#include "kern/reg.h"

// The lanes of the strip that ends a row: of outputs, and of the two registers of inputs.
typedef struct part_s {
  reg_mask_t outputs, low, high;
} part_t;
static part_t part_of(const leat_kern_window_t *w) {
  const int64_t outputs = w->out[2] % REG_LANES;
  return (part_t){reg_lanes(0, outputs), reg_part(0, 2 * outputs, 0), reg_part(0, 2 * outputs, REG_LANES)};
}

// The first columns of a strip's windows, and their second ones. part is NULL for a whole strip, here and below.
VEC_INLINE reg_t load_pairs(const float *row, const part_t *part, reg_t *out_second) {
  if (!part) return reg_split(reg_load(row), reg_load(row + REG_LANES), out_second);
  return reg_split(reg_load_lanes(row, part->low), reg_load_lanes(row + REG_LANES, part->high), out_second);
}
VEC_INLINE void store_pairs(float *row, reg_t first, reg_t second, const part_t *part) {
  const reg_t low = reg_interleave(first, second, &second);
  if (!part) {
    reg_store(row, low);
    reg_store(row + REG_LANES, second);
  } else {
    reg_store_lanes(row, low, part->low);
    reg_store_lanes(row + REG_LANES, second, part->high);
  }
}

// The lines of a window, `planes` times `lines`, which are constants for windows of two by two.
#define EACH_LINE(planes, lines)         \
  for (int64_t a = 0; a < (planes); a++) \
    for (int64_t b = 0; b < (lines); b++)

// row(.., planes, lines) with constants where windows are two by two.
#define AS_WINDOW(w, row, ...)                      \
  do {                                              \
    if ((w)->size[0] == 1 && (w)->size[1] == 2)     \
      row(__VA_ARGS__, 1, 2);                       \
    else                                            \
      row(__VA_ARGS__, (w)->size[0], (w)->size[1]); \
  } while (0)

// Where row t0, t1 of the outputs lies in an operand of these strides, and the first line of its windows.
VEC_INLINE int64_t row_at(const int64_t strides[3], int64_t t0, int64_t t1) {
  return t0 * strides[0] + t1 * strides[1];
}
VEC_INLINE int64_t windows_at(const leat_kern_window_t *w, const int64_t strides[3], int64_t t0, int64_t t1) {
  return row_at(strides, t0 * w->size[0], t1 * w->size[1]);
}

// Folds over a window, first position first: the value that a fold starts from, and a step of it.
#define MAX_START (-__builtin_inff())
#define MAX_STEP(acc, v) reg_winner(v, acc)
#define SUM_START 0.0f
#define SUM_STEP(acc, v) reg_add(acc, v)

#define DEFINE_POOL(fn, START, STEP)                                                                                \
  VEC_INLINE reg_t fn##_of(const leat_kern_pool_t *s, const float *x, const part_t *part, int64_t planes,           \
                           int64_t lines) {                                                                         \
    reg_t acc = reg_splat(START);                                                                                   \
    EACH_LINE(planes, lines) {                                                                                      \
      reg_t second, first = load_pairs(x + a * s->x[0] + b * s->x[1], part, &second);                               \
      acc = STEP(STEP(acc, first), second);                                                                         \
    }                                                                                                               \
    return acc;                                                                                                     \
  }                                                                                                                 \
  VEC_INLINE void fn##_row(const leat_kern_pool_t *s, const float *x, float *y, const part_t *part, int64_t planes, \
                           int64_t lines) {                                                                         \
    const int64_t outputs = s->window.out[2], whole = outputs - outputs % REG_LANES;                                \
    for (int64_t i = 0; i < whole; i += REG_LANES) reg_store(y + i, fn##_of(s, x + 2 * i, NULL, planes, lines));    \
    if (whole == outputs) return;                                                                                   \
    reg_store_lanes(y + whole, fn##_of(s, x + 2 * whole, part, planes, lines), part->outputs);                      \
  }                                                                                                                 \
  void KERN(pool_##fn##_pairs)(const leat_kern_pool_t *s, const float *x, float *y) {                               \
    const leat_kern_window_t *w = &s->window;                                                                       \
    const part_t part = part_of(w);                                                                                 \
    for (int64_t t0 = 0; t0 < w->out[0]; t0++) {                                                                    \
      for (int64_t t1 = 0; t1 < w->out[1]; t1++) {                                                                  \
        AS_WINDOW(w, fn##_row, s, x + windows_at(w, s->x, t0, t1), y + row_at(s->y, t0, t1), &part);                \
      }                                                                                                             \
    }                                                                                                               \
  }

DEFINE_POOL(max, MAX_START, MAX_STEP)
DEFINE_POOL(sum, SUM_START, SUM_STEP)

// --- gradients -----------------------------------------------------------------------------------------------------

// The winners' places in their windows. Where nothing is greater than -inf, the first one wins.
VEC_INLINE reg_t winners_of(const leat_kern_pool_t *s, const float *x, const part_t *part, int64_t planes,
                            int64_t lines) {
  reg_t best = reg_splat(MAX_START), winner = reg_zero();
  float place = 0;
  EACH_LINE(planes, lines) {
    reg_t second, first = load_pairs(x + a * s->x[0] + b * s->x[1], part, &second);
    const reg_mask_t behind = reg_beats(second, first);
    const reg_t better = reg_pick(behind, second, first);
    const reg_mask_t take = reg_beats(better, best);
    best = reg_pick(take, better, best);
    winner = reg_pick(take, reg_pick(behind, reg_splat(place + 1), reg_splat(place)), winner);
    place += 2;
  }
  return winner;
}
VEC_INLINE void give_max(const leat_kern_pool_t *s, const float *x, const float *dy, float *dx, const part_t *part,
                         int64_t planes, int64_t lines) {
  const reg_t winner = winners_of(s, x, part, planes, lines), zero = reg_zero();
  const reg_t g = reg_add(part ? reg_load_lanes(dy, part->outputs) : reg_load(dy), zero);  // as adding to 0: no -0
  float place = 0;
  EACH_LINE(planes, lines) {
    const reg_t first = reg_pick(reg_equals(winner, reg_splat(place)), g, zero);
    const reg_t second = reg_pick(reg_equals(winner, reg_splat(place + 1)), g, zero);
    store_pairs(dx + a * s->dx[0] + b * s->dx[1], first, second, part);
    place += 2;
  }
}
// Inputs that are in no window get 0.
static void clear_rest(const leat_kern_pool_t *s, float *dx) {
  const leat_kern_window_t *w = &s->window;
  const int64_t covered = w->out[2] * w->size[2];
  for (int64_t a = 0; a < w->in[0]; a++) {
    for (int64_t b = 0; b < w->in[1]; b++) {
      const int whole = a >= w->out[0] * w->size[0] || b >= w->out[1] * w->size[1];
      for (int64_t c = whole ? 0 : covered; c < w->in[2]; c++) dx[a * s->dx[0] + b * s->dx[1] + c] = 0;
    }
  }
}

// To all elements of a window.
VEC_INLINE void give_sum(const leat_kern_pool_t *s, const float *x, const float *dy, float *dx, const part_t *part,
                         int64_t planes, int64_t lines) {
  (void)x;
  const reg_t g =
      reg_add(part ? reg_load_lanes(dy, part->outputs) : reg_load(dy), reg_zero());  // as adding to 0: no -0
  EACH_LINE(planes, lines) { store_pairs(dx + a * s->dx[0] + b * s->dx[1], g, g, part); }
}

#define DEFINE_GRADIENT(fn)                                                                                          \
  VEC_INLINE void give_row_##fn(const leat_kern_pool_t *s, const float *x, const float *dy, float *dx,               \
                                const part_t *part, int64_t planes, int64_t lines) {                                 \
    const int64_t outputs = s->window.out[2], whole = outputs - outputs % REG_LANES;                                 \
    for (int64_t i = 0; i < whole; i += REG_LANES) give_##fn(s, x + 2 * i, dy + i, dx + 2 * i, NULL, planes, lines); \
    if (whole < outputs) give_##fn(s, x + 2 * whole, dy + whole, dx + 2 * whole, part, planes, lines);               \
  }                                                                                                                  \
  void KERN(pool_grad_##fn##_pairs)(const leat_kern_pool_t *s, const float *x, const float *dy, float *dx) {         \
    const leat_kern_window_t *w = &s->window;                                                                        \
    const part_t part = part_of(w);                                                                                  \
    for (int64_t t0 = 0; t0 < w->out[0]; t0++) {                                                                     \
      for (int64_t t1 = 0; t1 < w->out[1]; t1++) {                                                                   \
        const int64_t at = windows_at(w, s->x, t0, t1), dx_at = windows_at(w, s->dx, t0, t1);                        \
        AS_WINDOW(w, give_row_##fn, s, x + at, dy + row_at(s->y, t0, t1), dx + dx_at, &part);                        \
      }                                                                                                              \
    }                                                                                                                \
    clear_rest(s, dx);                                                                                               \
  }

DEFINE_GRADIENT(max)
DEFINE_GRADIENT(sum)
