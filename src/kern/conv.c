// SPDX-License-Identifier: Apache-2.0
// Convolution and its weight gradient on any strides, padding, dilation and groups: one fma chain an element (of a long
// sum: one a block), written for clarity. The fast bodies (conv_taps.c and what prepares its operands) give the
// same bits.
//
// Padding is multiplied as x = 0; the holes of a base dilation are left out.
#include "kern/fma.h"
#include "kern/isa.h"
#include "kern/pairs.h"

// Whether (t, k) reads an element, at that input offset over the three dims: 0, or LEAT_KERN_PADDING, or
// LEAT_KERN_HOLE.
static int64_t find_input(const leat_kern_conv_t *s, const int64_t t[3], const int64_t k[3], int64_t *out_offset) {
  int64_t offset = 0, worst = 0;
  for (int d = 0; d < 3; d++) {
    int64_t at = leat_kern_window_at(&s->window, d, t[d], k[d]);
    worst = at < worst ? at : worst;
    offset += at * s->x[2 + d];
  }
  *out_offset = offset;
  return worst;
}
static int64_t offset3(const int64_t strides[3], const int64_t at[3]) {
  return strides[0] * at[0] + strides[1] * at[1] + strides[2] * at[2];
}

#define EACH3(at, extents)                         \
  for (at[0] = 0; at[0] < (extents)[0]; at[0]++)   \
    for (at[1] = 0; at[1] < (extents)[1]; at[1]++) \
      for (at[2] = 0; at[2] < (extents)[2]; at[2]++)

#define DEFINE_CONV(T, suffix)                                                                                    \
  static T conv_element_##suffix(const leat_kern_conv_t *s, const T *x, const T *w, const int64_t t[3]) {         \
    pairs_##suffix##_t blocks;                                                                                    \
    T sum = 0;                                                                                                    \
    int64_t terms = 0;                                                                                            \
    blocks.count = 0;                                                                                             \
    for (int64_t c = 0; c < s->channels; c++) {                                                                   \
      int64_t k[3];                                                                                               \
      EACH3(k, s->window.size) {                                                                                  \
        int64_t at, found = find_input(s, t, k, &at);                                                             \
        T value = found == 0 ? x[c * s->x[1] + at] : 0;                                                           \
        if (terms == s->chain && terms > 0) pairs_add_##suffix(&blocks, sum), sum = 0, terms = 0;                 \
        terms++;                                                                                                  \
        if (found != LEAT_KERN_HOLE) sum = suffix##_fma(w[c * s->w[1] + offset3(s->w + 2, k)], value, sum);       \
      }                                                                                                           \
    }                                                                                                             \
    return pairs_sum_##suffix(&blocks, sum);                                                                      \
  }                                                                                                               \
  void KERN(conv_##suffix)(const leat_kern_conv_t *s, const T *x, const T *w, T *y) {                             \
    for (int64_t n = 0; n < s->images; n++) {                                                                     \
      for (int64_t o = 0; o < s->outputs; o++) {                                                                  \
        int64_t first = (s->output_first + o) / s->outputs_per_group * s->channels, t[3];                         \
        const T *from = x + n * s->x[0] + first * s->x[1];                                                        \
        T *to = y + n * s->y[0] + o * s->y[1];                                                                    \
        EACH3(t, s->window.out) to[offset3(s->y + 2, t)] = conv_element_##suffix(s, from, w + o * s->w[0], t);    \
      }                                                                                                           \
    }                                                                                                             \
  }                                                                                                               \
  static T wgrad_element_##suffix(const leat_kern_conv_t *s, const T *x, const T *dy, const int64_t k[3]) {       \
    pairs_##suffix##_t blocks;                                                                                    \
    T sum = 0;                                                                                                    \
    int64_t terms = 0;                                                                                            \
    blocks.count = 0;                                                                                             \
    for (int64_t n = 0; n < s->images; n++) {                                                                     \
      int64_t t[3];                                                                                               \
      EACH3(t, s->window.out) {                                                                                   \
        int64_t at, found = find_input(s, t, k, &at);                                                             \
        T value = found == 0 ? x[n * s->x[0] + at] : 0;                                                           \
        if (terms == s->chain && terms > 0) pairs_add_##suffix(&blocks, sum), sum = 0, terms = 0;                 \
        if (found != LEAT_KERN_HOLE) sum = suffix##_fma(dy[n * s->y[0] + offset3(s->y + 2, t)], value, sum);      \
        terms++;                                                                                                  \
      }                                                                                                           \
    }                                                                                                             \
    return pairs_sum_##suffix(&blocks, sum);                                                                      \
  }                                                                                                               \
  void KERN(conv_wgrad_##suffix)(const leat_kern_conv_t *s, const T *x, const T *dy, T *dw) {                     \
    for (int64_t o = 0; o < s->outputs; o++) {                                                                    \
      int64_t first = (s->output_first + o) / s->outputs_per_group * s->channels, k[3];                           \
      for (int64_t c = 0; c < s->channels; c++) {                                                                 \
        const T *from = x + (first + c) * s->x[1];                                                                \
        T *to = dw + o * s->w[0] + c * s->w[1];                                                                   \
        EACH3(k, s->window.size) to[offset3(s->w + 2, k)] = wgrad_element_##suffix(s, from, dy + o * s->y[1], k); \
      }                                                                                                           \
    }                                                                                                             \
  }

DEFINE_PAIRS(float, f32)
DEFINE_PAIRS(double, f64)
DEFINE_CONV(float, f32)
DEFINE_CONV(double, f64)
