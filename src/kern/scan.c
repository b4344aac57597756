// SPDX-License-Identifier: Apache-2.0
// Inclusive scans of lines side by side: element k of every line is made from element k - 1 of the same line, strictly
// in order. Lines are independent, so neighbouring lines fill the vectors. scan_wide carries f64 along the lines.
#include "kern/isa.h"

// A NaN stays.
#define SCAN_SUM(a, b) ((a) + (b))
#define SCAN_PROD(a, b) ((a) * (b))
#define SCAN_MAX(a, b) ((b) > (a) || (b) != (b) ? (b) : (a))
#define SCAN_MIN(a, b) ((b) < (a) || (b) != (b) ? (b) : (a))

// COMPUTE: unsigned for integer sums and products, so that they wrap.
#define DEFINE_SCAN_FN(T, COMPUTE, suffix, OP)                                           \
  static void scan_##OP##_##suffix(const leat_kern_scan_t *s, const T *in, T *out) {     \
    for (int64_t j = 0; j < s->lines; j++) out[j * s->out_line] = in[j * s->in_line];    \
    for (int64_t k = 1; k < s->count; k++) {                                             \
      const T *from = in + k * s->in_step, *before = out + (k - 1) * s->out_step;        \
      T *to = out + k * s->out_step;                                                     \
      for (int64_t j = 0; j < s->lines; j++) {                                           \
        COMPUTE a = (COMPUTE)before[j * s->out_line], b = (COMPUTE)from[j * s->in_line]; \
        to[j * s->out_line] = (T)OP(a, b);                                               \
      }                                                                                  \
    }                                                                                    \
  }
#define DEFINE_SCAN(T, WIDE, suffix)                                                      \
  DEFINE_SCAN_FN(T, WIDE, suffix, SCAN_SUM)                                               \
  DEFINE_SCAN_FN(T, WIDE, suffix, SCAN_PROD)                                              \
  DEFINE_SCAN_FN(T, T, suffix, SCAN_MAX)                                                  \
  DEFINE_SCAN_FN(T, T, suffix, SCAN_MIN)                                                  \
  void KERN(scan_##suffix)(const leat_kern_scan_t *s, uint32_t fn, const T *in, T *out) { \
    if (s->count < 1) return;                                                             \
    if (fn == LEAT_KERN_SUM) scan_SCAN_SUM_##suffix(s, in, out);                          \
    if (fn == LEAT_KERN_PROD) scan_SCAN_PROD_##suffix(s, in, out);                        \
    if (fn == LEAT_KERN_MAX) scan_SCAN_MAX_##suffix(s, in, out);                          \
    if (fn == LEAT_KERN_MIN) scan_SCAN_MIN_##suffix(s, in, out);                          \
  }

DEFINE_SCAN(float, float, f32)
DEFINE_SCAN(double, double, f64)
DEFINE_SCAN(int8_t, uint32_t, i8)
DEFINE_SCAN(uint8_t, uint32_t, u8)
DEFINE_SCAN(int16_t, uint32_t, i16)
DEFINE_SCAN(int32_t, uint32_t, i32)
DEFINE_SCAN(int64_t, uint64_t, i64)

enum { WIDE_LINES = 128 };  // side by side

void KERN(scan_wide)(const leat_kern_scan_t *s, uint32_t fn, const float *in, float *out) {
  double so_far[WIDE_LINES];
  const double start = fn == LEAT_KERN_PROD ? 1.0 : 0.0;
  for (int64_t first = 0; first < s->lines; first += WIDE_LINES) {
    const int64_t lines = s->lines - first < WIDE_LINES ? s->lines - first : WIDE_LINES;
    for (int64_t j = 0; j < lines; j++) so_far[j] = start;
    for (int64_t k = 0; k < s->count; k++) {
      const float *from = in + first * s->in_line + k * s->in_step;
      float *to = out + first * s->out_line + k * s->out_step;
      for (int64_t j = 0; j < lines; j++) {
        const double x = from[j * s->in_line];
        so_far[j] = fn == LEAT_KERN_PROD ? so_far[j] * x : so_far[j] + x;
        to[j * s->out_line] = (float)so_far[j];
      }
    }
  }
}
