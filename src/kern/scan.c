// SPDX-License-Identifier: Apache-2.0
// Inclusive scans of lines side by side: element k of every line is made from element k - 1 of the same line, strictly
// in order. Lines are independent, so neighbouring lines fill the vectors. scan_wide carries f64 along the lines; where
// elements of a line lie side by side, as many lines as a register has lanes go together, turned in squares.
#define VEC_NATIVE

#include "kern/isa.h"
#include "kern/reg.h"

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

// --- in f64 ---------------------------------------------------------------------------------------------------------

enum { WIDE_LINES = 128 };  // side by side

// Elements from place k on, of `lines` lines.
static void wide_lines(const leat_kern_scan_t *s, int is_prod, int64_t lines, int64_t k, const float *in, float *out,
                       double *so_far) {
  for (; k < s->count; k++) {
    const float *from = in + k * s->in_step;
    float *to = out + k * s->out_step;
    for (int64_t j = 0; j < lines; j++) {
      const double x = from[j * s->in_line];
      so_far[j] = is_prod ? so_far[j] * x : so_far[j] + x;
      to[j * s->out_line] = (float)so_far[j];
    }
  }
}

// REG_LANES elements of as many lines; column i of them is made as the `from` + i `by`-th.
VEC_INLINE void wide_square(const leat_kern_scan_t *s, const int is_prod, const int from, const int by, const float *in,
                            float *out, vf64_t so_far[2]) {
  reg_t r[REG_LANES];
#pragma GCC unroll 16
  for (int j = 0; j < REG_LANES; j++) r[j] = reg_load(in + j * s->in_line);
  reg_transpose(r);
#pragma GCC unroll 16
  for (int i = 0; i < REG_LANES; i++) {
    const vf32_t x = (vf32_t)r[from + i * by];
    const vf64_t low = vf32_widen_low(x), high = vf32_widen_high(x);
    so_far[0] = is_prod ? so_far[0] * low : so_far[0] + low;
    so_far[1] = is_prod ? so_far[1] * high : so_far[1] + high;
    r[from + i * by] = (reg_t)vf32_narrow(so_far[0], so_far[1]);
  }
  reg_transpose(r);
#pragma GCC unroll 16
  for (int j = 0; j < REG_LANES; j++) reg_store(out + j * s->out_line, r[j]);
}

// REG_LANES lines, whose elements lie side by side, upwards or downwards. Returns how many elements of each are done.
VEC_INLINE int64_t wide_squares(const leat_kern_scan_t *s, const int is_prod, const float *in, float *out,
                                double so_far[REG_LANES]) {
  vf64_t sums[2] = {vf64_splat(is_prod ? 1.0 : 0.0), vf64_splat(is_prod ? 1.0 : 0.0)};
  int64_t k = 0;
  for (; k + REG_LANES <= s->count && s->in_step == 1; k += REG_LANES)
    wide_square(s, is_prod, 0, 1, in + k, out + k, sums);
  for (; k + REG_LANES <= s->count && s->in_step == -1; k += REG_LANES)
    wide_square(s, is_prod, REG_LANES - 1, -1, in - k - (REG_LANES - 1), out - k - (REG_LANES - 1), sums);
  vf64_store(so_far, sums[0]);
  vf64_store(so_far + VF64_LANES, sums[1]);
  return k;
}

void KERN(scan_wide)(const leat_kern_scan_t *s, uint32_t fn, const float *in, float *out) {
  const int is_prod = fn == LEAT_KERN_PROD;
  const int turned = (s->in_step == 1 || s->in_step == -1) && s->out_step == s->in_step;
  double so_far[WIDE_LINES];
  for (int64_t first = 0, lines; first < s->lines; first += lines) {
    const float *from = in + first * s->in_line;
    float *to = out + first * s->out_line;
    const int64_t left = s->lines - first, most = turned ? REG_LANES : WIDE_LINES;
    int64_t k = 0;
    lines = left < most ? left : most;
    for (int64_t j = 0; j < lines; j++) so_far[j] = is_prod ? 1.0 : 0.0;
    if (turned && lines == REG_LANES)
      k = is_prod ? wide_squares(s, 1, from, to, so_far) : wide_squares(s, 0, from, to, so_far);
    wide_lines(s, is_prod, lines, k, from, to, so_far);
  }
}
