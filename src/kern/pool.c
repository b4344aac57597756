// SPDX-License-Identifier: Apache-2.0
// Pooling of one plane and its gradient, any strides, padding and dilation. Padding is left out. The maximum of a
// window is its first one in row-major order; a NaN wins over everything before it, as in PyTorch.
#include <stdbool.h>

#include "kern/isa.h"

static int64_t offset3(const int64_t strides[3], const int64_t at[3]) {
  return strides[0] * at[0] + strides[1] * at[1] + strides[2] * at[2];
}
// Where the element lies that (t, k) reads; false in the padding.
static bool find_input(const leat_kern_window_t *w, const int64_t t[3], const int64_t k[3], int64_t out_at[3]) {
  for (int d = 0; d < 3; d++) {
    out_at[d] = leat_kern_window_at(w, d, t[d], k[d]);
    if (out_at[d] < 0) return false;
  }
  return true;
}

#define EACH3(at, extents)                         \
  for (at[0] = 0; at[0] < (extents)[0]; at[0]++)   \
    for (at[1] = 0; at[1] < (extents)[1]; at[1]++) \
      for (at[2] = 0; at[2] < (extents)[2]; at[2]++)

#define DEFINE_POOL(T, suffix)                                                                   \
  void KERN(pool_max_##suffix)(const leat_kern_pool_t *s, const T *x, T *y) {                    \
    int64_t t[3], k[3], at[3];                                                                   \
    EACH3(t, s->window.out) {                                                                    \
      T best = -__builtin_inff();                                                                \
      EACH3(k, s->window.size) {                                                                 \
        if (!find_input(&s->window, t, k, at)) continue;                                         \
        const T value = x[offset3(s->x, at)];                                                    \
        if (value > best || value != value) best = value;                                        \
      }                                                                                          \
      y[offset3(s->y, t)] = best;                                                                \
    }                                                                                            \
  }                                                                                              \
  void KERN(pool_sum_##suffix)(const leat_kern_pool_t *s, const T *x, T *y) {                    \
    int64_t t[3], k[3], at[3];                                                                   \
    EACH3(t, s->window.out) {                                                                    \
      T sum = 0;                                                                                 \
      EACH3(k, s->window.size) {                                                                 \
        if (find_input(&s->window, t, k, at)) sum += x[offset3(s->x, at)];                       \
      }                                                                                          \
      y[offset3(s->y, t)] = sum;                                                                 \
    }                                                                                            \
  }                                                                                              \
  static void clear_##suffix(const leat_kern_pool_t *s, T *dx) {                                 \
    int64_t at[3];                                                                               \
    EACH3(at, s->window.in) dx[offset3(s->dx, at)] = 0;                                          \
  }                                                                                              \
  void KERN(pool_grad_max_##suffix)(const leat_kern_pool_t *s, const T *x, const T *dy, T *dx) { \
    int64_t t[3], k[3], at[3];                                                                   \
    clear_##suffix(s, dx);                                                                       \
    EACH3(t, s->window.out) {                                                                    \
      T best = -__builtin_inff();                                                                \
      T *winner = NULL;                                                                          \
      EACH3(k, s->window.size) {                                                                 \
        if (!find_input(&s->window, t, k, at)) continue;                                         \
        const T value = x[offset3(s->x, at)];                                                    \
        if (winner == NULL || value > best || value != value) {                                  \
          best = value;                                                                          \
          winner = dx + offset3(s->dx, at);                                                      \
        }                                                                                        \
      }                                                                                          \
      if (winner != NULL) *winner += dy[offset3(s->y, t)];                                       \
    }                                                                                            \
  }                                                                                              \
  void KERN(pool_grad_sum_##suffix)(const leat_kern_pool_t *s, const T *x, const T *dy, T *dx) { \
    int64_t t[3], k[3], at[3];                                                                   \
    (void)x;                                                                                     \
    clear_##suffix(s, dx);                                                                       \
    EACH3(t, s->window.out) {                                                                    \
      EACH3(k, s->window.size) {                                                                 \
        if (find_input(&s->window, t, k, at)) dx[offset3(s->dx, at)] += dy[offset3(s->y, t)];    \
      }                                                                                          \
    }                                                                                            \
  }

DEFINE_POOL(float, f32)
DEFINE_POOL(double, f64)
