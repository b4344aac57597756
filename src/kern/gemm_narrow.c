// SPDX-License-Identifier: Apache-2.0
// Matrix products of class F32 of few rows of A with a B of weights that are narrower: bf16, or i8 with scales. B is
// read once and widened in registers, so that memory moves its own bytes; every element is the chain of gemm_f32 over
// the widened B.
#include "kern/half.h"
#include "kern/isa.h"
#include "kern/reg.h"

// Rows of A that share a register of columns, and registers of columns: for one row a line of 64, as far as its sums
// fit.
enum {
  ROWS_MAX = REG_COUNT == 32 ? 6 : 4,
  WIDE = 64 / REG_LANES < REG_COUNT / 2 ? 64 / REG_LANES : REG_COUNT / 2,
  NARROW = REG_COUNT == 32 ? 4 : 2
};
enum { SPAN_BYTES = 16 * 1024, AHEAD_BYTES = 16 * 1024, CACHE_LINE = 64 };

VEC_INLINE void ask_for(const void *row, size_t lines) {
  for (size_t i = 0; i < lines; i++)
    __builtin_prefetch((const void *)((uintptr_t)row + AHEAD_BYTES + i * CACHE_LINE), 0, 2);
}

#define FN KERN(gemm_bf16_f32)
#define NAME(name) bf16_##name
#define ET uint16_t
#define LOAD(p, j) reg_load_bf16(p)
#define VALUE(x, j) bf16_to_f32(x)
#include "kern/gemm_narrow.h"

#define FN KERN(gemm_i8_f32)
#define NAME(name) i8_##name
#define ET int8_t
#define LOAD(p, j) reg_mul(reg_load_i8(p), reg_load(s->at + (j)))
#define VALUE(x, j) ((float)(x)*s->at[j])
#include "kern/gemm_narrow.h"

// --- a copy of B -----------------------------------------------------------------------------------------------------

static void widen_line(float *out, const int8_t *in, int64_t in_n, const float *scale, int64_t next, int64_t n) {
  int64_t j = 0;
  for (; in_n == 1 && next == 1 && j + REG_LANES <= n; j += REG_LANES)
    reg_store(out + j, reg_mul(reg_load_i8(in + j), reg_load(scale + j)));
  for (; j < n; j++) out[j] = (float)in[j * in_n] * scale[j * next];
}

void KERN(widen_i8_f32)(float *out, int64_t ld_out, const leat_kern_scales_t *s, const int8_t *in, int64_t in_k,
                        int64_t in_n, int64_t k, int64_t n) {
  const float *scale = s->at;
  int64_t left = s->group - s->gone;  // of the group
  for (int64_t p = 0; p < k; p++, left--) {
    if (left == 0) {
      scale += s->step;
      left = s->group;
    }
    widen_line(out + p * ld_out, in + p * in_k, in_n, scale, s->next, n);
  }
}
