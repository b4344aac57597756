// SPDX-License-Identifier: Apache-2.0
// Pooling of planes that lie side by side, element by element: as channels do that come last, or as planes that were
// turned. The bits of pool.c, a vector of planes at a time.
#define VEC_NATIVE
#include "kern/isa.h"
#include "kern/vec.h"

// Along a dim, the positions from <= k < to of an output lie in the input: position k at at + k * step.
typedef struct span_s {
  int64_t from, to, at, step;
} span_t;
static int64_t steps_to(int64_t distance, int64_t step) {
  if (distance <= 0) return 0;
  return step == 1 ? distance : (distance + step - 1) / step;
}
static span_t span_of(const leat_kern_window_t *w, int d, int64_t t) {
  const int64_t at = t * w->stride[d] - w->low[d], step = w->dilation[d], to = steps_to(w->in[d] - at, step);
  return (span_t){steps_to(-at, step), to < w->size[d] ? to : w->size[d], at, step};
}

// Each position of the window of an output, ascending: its offset `at` into an operand of these strides.
#define EACH_POSITION(span, strides, at)                                                           \
  for (int64_t k0 = (span)[0].from; k0 < (span)[0].to; k0++)                                       \
    for (int64_t k1 = (span)[1].from; k1 < (span)[1].to; k1++)                                     \
      for (int64_t k2 = (span)[2].from, at = ((span)[0].at + k0 * (span)[0].step) * (strides)[0] + \
                                             ((span)[1].at + k1 * (span)[1].step) * (strides)[1] + \
                                             ((span)[2].at + k2 * (span)[2].step) * (strides)[2];  \
           k2 < (span)[2].to; k2++, at += (span)[2].step * (strides)[2])

// of(s, span, element of an output, ..) for each output and vector of planes, the first of which is `lane`.
#define EACH_OUTPUT(vector, s, of, of_outputs, ...)                                                                    \
  for (int64_t t0 = 0; t0 < (s)->window.out[0]; t0++) {                                                                \
    for (int64_t t1 = 0; t1 < (s)->window.out[1]; t1++) {                                                              \
      for (int64_t t2 = 0; t2 < (s)->window.out[2]; t2++) {                                                            \
        const int64_t t = t0 * (s)->y[0] + t1 * (s)->y[1] + t2 * (s)->y[2];                                            \
        const span_t span[3] = {span_of(&(s)->window, 0, t0), span_of(&(s)->window, 1, t1),                            \
                                span_of(&(s)->window, 2, t2)};                                                         \
        for (int64_t lane = 0; lane < (s)->lanes; lane += (vector)) of(s, span, (of_outputs) + t + lane, __VA_ARGS__); \
      }                                                                                                                \
    }                                                                                                                  \
  }

#define BEATS(v, best) (((v) > (best)) | ((v) != (v)))
#define CHOOSE(V, I, mask, a, b) ((V)(((mask) & (I)(a)) | (~(mask) & (I)(b))))

// T: an element; V: a vector of them, whose functions are v_..; I: of their masks, which count as well.
#define DEFINE_LANES(T, V, I, v, suffix)                                                                             \
  enum { LANES_##suffix = VEC_BYTES / (int)sizeof(T) };                                                              \
  VEC_INLINE void max_##suffix(const leat_kern_pool_t *s, const span_t *span, T *y, const T *x) {                    \
    V best = v##_splat(-__builtin_inff());                                                                           \
    EACH_POSITION(span, s->x, at) {                                                                                  \
      const V value = v##_load(x + at);                                                                              \
      best = CHOOSE(V, I, BEATS(value, best), value, best);                                                          \
    }                                                                                                                \
    v##_store(y, best);                                                                                              \
  }                                                                                                                  \
  VEC_INLINE void sum_##suffix(const leat_kern_pool_t *s, const span_t *span, T *y, const T *x) {                    \
    V sum = {0};                                                                                                     \
    EACH_POSITION(span, s->x, at) sum += v##_load(x + at);                                                           \
    v##_store(y, sum);                                                                                               \
  }                                                                                                                  \
  /* Where nothing is greater than -inf, the first position wins. */                                                 \
  VEC_INLINE void give_max_##suffix(const leat_kern_pool_t *s, const span_t *span, const T *dy, const T *x, T *dx) { \
    V best = v##_splat(-__builtin_inff());                                                                           \
    I winner = {0}, place = {0};                                                                                     \
    EACH_POSITION(span, s->x, at) {                                                                                  \
      const V value = v##_load(x + at);                                                                              \
      const I takes = BEATS(value, best);                                                                            \
      best = CHOOSE(V, I, takes, value, best);                                                                       \
      winner = (takes & place) | (~takes & winner);                                                                  \
      place += 1;                                                                                                    \
    }                                                                                                                \
    const V gradient = v##_load(dy);                                                                                 \
    place = (I){0};                                                                                                  \
    EACH_POSITION(span, s->dx, at) {                                                                                 \
      v##_store(dx + at, v##_load(dx + at) + (V)((winner == place) & (I)gradient));                                  \
      place += 1;                                                                                                    \
    }                                                                                                                \
  }                                                                                                                  \
  VEC_INLINE void give_all_##suffix(const leat_kern_pool_t *s, const span_t *span, const T *dy, T *dx) {             \
    const V gradient = v##_load(dy);                                                                                 \
    EACH_POSITION(span, s->dx, at) v##_store(dx + at, v##_load(dx + at) + gradient);                                 \
  }                                                                                                                  \
  static void clear_##suffix(const leat_kern_pool_t *s, T *dx) {                                                     \
    const int64_t *in = s->window.in;                                                                                \
    const span_t all[3] = {{0, in[0], 0, 1}, {0, in[1], 0, 1}, {0, in[2], 0, 1}};                                    \
    EACH_POSITION(all, s->dx, at) {                                                                                  \
      for (int64_t lane = 0; lane < s->lanes; lane += LANES_##suffix) v##_store(dx + at + lane, (V){0});             \
    }                                                                                                                \
  }                                                                                                                  \
  void KERN(pool_max_lanes_##suffix)(const leat_kern_pool_t *s, const T *x, T *y) {                                  \
    EACH_OUTPUT(LANES_##suffix, s, max_##suffix, y, x + lane)                                                        \
  }                                                                                                                  \
  void KERN(pool_sum_lanes_##suffix)(const leat_kern_pool_t *s, const T *x, T *y) {                                  \
    EACH_OUTPUT(LANES_##suffix, s, sum_##suffix, y, x + lane)                                                        \
  }                                                                                                                  \
  void KERN(pool_grad_max_lanes_##suffix)(const leat_kern_pool_t *s, const T *x, const T *dy, T *dx) {               \
    clear_##suffix(s, dx);                                                                                           \
    EACH_OUTPUT(LANES_##suffix, s, give_max_##suffix, dy, x + lane, dx + lane)                                       \
  }                                                                                                                  \
  void KERN(pool_grad_sum_lanes_##suffix)(const leat_kern_pool_t *s, const T *x, const T *dy, T *dx) {               \
    (void)x;                                                                                                         \
    clear_##suffix(s, dx);                                                                                           \
    EACH_OUTPUT(LANES_##suffix, s, give_all_##suffix, dy, dx + lane)                                                 \
  }

DEFINE_LANES(float, vf32_t, vi32_t, vf32, f32)
DEFINE_LANES(double, vf64_t, vi64_t, vf64, f64)
