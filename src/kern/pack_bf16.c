// SPDX-License-Identifier: Apache-2.0
// bf16 in pairs of k, as gemm_bf16.c reads them: a word of four bytes holds element 2p in its low half and 2p + 1, or 0
// behind the last, in its high one.
#include "kern/isa.h"

// Rows 2p and 2p + 1 of `in`, whose columns lie side by side on both sides.
static void interleave(uint32_t *restrict out, const uint16_t *restrict even, const uint16_t *restrict odd, int64_t n) {
  for (int64_t j = 0; j < n; j++) out[j] = (uint32_t)even[j] | (uint32_t)odd[j] << 16;
}
static void widen(uint32_t *restrict out, int64_t out_n, const uint16_t *restrict in, int64_t in_n, int64_t n) {
  for (int64_t j = 0; j < n; j++) out[j * out_n] = in[j * in_n];
}

static void pack_plainly(uint32_t *out, int64_t out_k, int64_t out_n, const uint16_t *in, int64_t in_k, int64_t in_n,
                         int64_t pairs, int64_t n) {
  for (int64_t p = 0; p < pairs; p++) {
    const uint16_t *even = in + 2 * p * in_k, *odd = even + in_k;
    uint32_t *to = out + p * out_k;
    for (int64_t j = 0; j < n; j++) to[j * out_n] = (uint32_t)even[j * in_n] | (uint32_t)odd[j * in_n] << 16;
  }
}

void KERN(pack_bf16)(uint32_t *out, int64_t out_k, int64_t out_n, const uint16_t *in, int64_t in_k, int64_t in_n,
                     int64_t k, int64_t n) {
  const int64_t pairs = k / 2;
  const int in_words = in_k == 1 && in_n % 2 == 0 && ((uintptr_t)in & 3) == 0;
  if (in_n == 1 && out_n == 1) {
    for (int64_t p = 0; p < pairs; p++) interleave(out + p * out_k, in + 2 * p * in_k, in + (2 * p + 1) * in_k, n);
  } else if (in_words && out_n == 1) {
    KERN(copy2_b4)(out, out_k, (const void *)in, 1, in_n / 2, pairs, n);
  } else if (in_words && out_k == 1) {
    KERN(copy2_b4)(out, out_n, (const void *)in, in_n / 2, 1, n, pairs);
  } else {
    pack_plainly(out, out_k, out_n, in, in_k, in_n, pairs, n);
  }
  if (k % 2 != 0) widen(out + pairs * out_k, out_n, in + 2 * pairs * in_k, in_n, n);
}
