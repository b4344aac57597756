// SPDX-License-Identifier: Apache-2.0
// The elementwise half of attention: a table of scores lies [keys][width], a query a lane, so that what is done along
// the keys of a query is done lane by lane, in their order. `width` is whole vectors of the widest level.
#define VEC_NATIVE

#include "kern/isa.h"
#include "kern/math_f32.h"

enum { BESIDE = 4 };  // vectors of queries that go together: each step of a sum waits for the one before it

// Weights of one block for `n` vectors of queries.
VEC_INLINE void weigh(float *scores, int64_t keys, int64_t width, float *most, float *sum, float *before, float *taken,
                      int n) {
  vf32_t m[BESIDE], z[BESIDE], shift[BESIDE];
#pragma GCC unroll 4
  for (int c = 0; c < n; c++) m[c] = vf32_load(most + c * VF32_LANES);
  for (int64_t j = 0; j < keys; j++) {
#pragma GCC unroll 4
    for (int c = 0; c < n; c++) m[c] = vf32_greater(vf32_load(scores + j * width + c * VF32_LANES), m[c]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < n; c++) {
    z[c] = vf32_splat(0.0f);
    shift[c] = vf32_choose(m[c] == -F32_INF, vf32_splat(0.0f), m[c]);
  }
  for (int64_t j = 0; j < keys; j++) {
#pragma GCC unroll 4
    for (int c = 0; c < n; c++) {
      float *at = scores + j * width + c * VF32_LANES;
      const vf32_t p = vf32_exp(vf32_load(at) - shift[c]);
      vf32_store(at, p);
      z[c] += p;
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < n; c++) {
    const int64_t at = c * VF32_LANES;
    const vi32_t takes = z[c] != 0.0f;
    const vf32_t a = vf32_exp(vf32_load(most + at) - shift[c]), l = vf32_load(sum + at);
    vf32_store(before + at, a);
    vf32_store(taken + at, z[c]);
    vf32_store(most + at, vf32_choose(takes, m[c], vf32_load(most + at)));
    vf32_store(sum + at, vf32_choose(takes, vf32_fma(l, a, z[c]), l));
  }
}

void KERN(attention_weights_f32)(float *scores, int64_t keys, int64_t width, float *most, float *sum, float *before,
                                 float *taken) {
  int64_t i = 0;
  for (; i + BESIDE * VF32_LANES <= width; i += BESIDE * VF32_LANES)
    weigh(scores + i, keys, width, most + i, sum + i, before + i, taken + i, BESIDE);
  for (; i < width; i += VF32_LANES) weigh(scores + i, keys, width, most + i, sum + i, before + i, taken + i, 1);
}

void KERN(attention_take_f32)(float *out, const float *block, int64_t rows, int64_t width, const float *before,
                              const float *taken) {
  for (int64_t i = 0; i < width; i += VF32_LANES) {
    const vf32_t a = vf32_load(before + i);
    const vi32_t takes = vf32_load(taken + i) != 0.0f;
    for (int64_t r = 0; r < rows; r++) {
      float *at = out + r * width + i;
      const vf32_t o = vf32_load(at);
      vf32_store(at, vf32_choose(takes, vf32_fma(o, a, vf32_load(block + r * width + i)), o));
    }
  }
}

void KERN(attention_end_f32)(float *out, int64_t rows, int64_t width, const float *most, const float *sum, float *lse,
                             int bare) {
  for (int64_t i = 0; i < width; i += VF32_LANES) {
    const vf32_t l = vf32_load(sum + i);
    const vi32_t none = (l == 0.0f) & (bare ? 0 : -1);
    const vf32_t by = vf32_choose(none, vf32_splat(1.0f), l);
    for (int64_t r = 0; r < rows; r++) vf32_store(out + r * width + i, vf32_load(out + r * width + i) / by);
    vf32_store(lse + i, vf32_choose(none, vf32_splat(F32_INF), vf32_load(most + i)));
    vf32_store(lse + width + i, vf32_log(by));
  }
}

int64_t KERN(attention_slopes_f32)(float *scores, float *reaches, int64_t keys, int64_t width, const float *lse,
                                   const float *delta, const float *kept, float hidden) {
  vi32_t any = {0};
  for (int64_t i = 0; i < width; i += VF32_LANES) {
    const vf32_t most = vf32_load(lse + i), log = vf32_load(lse + width + i), less = vf32_load(delta + i);
    for (int64_t at = i; at < keys * width; at += width) {
      const vf32_t s = vf32_load(scores + at), w = vf32_exp((s - most) - log);
      vf32_t g = vf32_load(reaches + at), met = w;
      if (kept != NULL) {
        const vf32_t factor = vf32_load(kept + at);
        g *= factor;
        met *= factor;
      }
      any |= w != 0.0f;
      vf32_store(scores + at, met);
      vf32_store(reaches + at, vf32_choose(s == hidden, vf32_splat(0.0f), w * (g - less)));
    }
  }
  return vi32_any(any);
}

void KERN(attention_hide_f32)(float *scores, const uint8_t *shown, int64_t n) {
  for (int64_t i = 0; i < n; i++) scores[i] = shown[i] != 0 ? scores[i] : -F32_INF;
}

void KERN(attention_keep_f32)(float *drawn, float rate, float factor, int64_t n) {
  for (int64_t i = 0; i < n; i++) drawn[i] = drawn[i] >= rate ? factor : 0.0f;
}

void KERN(attention_scale_f32)(float *scores, float by, int64_t n) {
  for (int64_t i = 0; i < n; i++) scores[i] *= by;
}

// The bits of bf16, where they stand in an f32; as half.h rounds.
VEC_INLINE vu32_t rounded(vf32_t x) {
  const vu32_t u = (vu32_t)x, nan = u | 0x400000u;
  return (vu32_t)vf32_choose(x == x, (vf32_t)(u + 0x7fffu + (u >> 16 & 1u)), (vf32_t)nan) & 0xffff0000u;
}

void KERN(attention_pair_f32)(uint32_t *words, const float *rows, int64_t keys, int64_t width) {
  for (int64_t j = 0; j < keys; j += 2) {
    for (int64_t i = 0; i < width; i += VF32_LANES) {
      const float *even = rows + j * width + i;
      const vu32_t odd = j + 1 < keys ? rounded(vf32_load(even + width)) : (vu32_t){0};
      vu32_store(words + j / 2 * width + i, rounded(vf32_load(even)) >> 16 | odd);
    }
  }
}

void KERN(attention_add_f32)(float *out, int64_t ld_out, const float *block, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < cols; i++) out[r * ld_out + i] += block[r * cols + i];
  }
}
