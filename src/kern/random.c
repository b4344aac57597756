// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: Philox 4x32-10 (Salmon et al., 2011). Element i is a function of (seed, step, stream,
// i) alone; the conversions are those that src/ir/op.def states beside RANDOM.
//
// LANES blocks of four words are made side by side, one block a lane.
#include "kern/isa.h"
#include "kern/math_f64.h"

enum { LANES = 16, WORDS = 4 };
typedef struct philox_s {
  uint32_t word[WORDS][LANES];
} philox_t;

// The blocks `block` .. block + LANES - 1.
static void philox(uint64_t seed, uint32_t step, uint32_t stream, uint64_t block, philox_t *out) {
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  uint32_t *c0 = out->word[0], *c1 = out->word[1], *c2 = out->word[2], *c3 = out->word[3];
  for (uint32_t i = 0; i < LANES; i++) {
    c0[i] = (uint32_t)(block + i), c1[i] = (uint32_t)((block + i) >> 32), c2[i] = step, c3[i] = stream;
  }
  for (int round = 0; round < 10; round++) {
    for (uint32_t i = 0; i < LANES; i++) {
      uint64_t p0 = (uint64_t)0xd2511f53u * c0[i], p1 = (uint64_t)0xcd9e8d57u * c2[i];
      c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0, c1[i] = (uint32_t)p1;
      c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1, c3[i] = (uint32_t)p0;
    }
    k0 += 0x9e3779b9u, k1 += 0xbb67ae85u;
  }
}

// The LANES * WORDS elements of the blocks, as doubles.
static void uniform(const philox_t *p, double *out) {
  for (int i = 0; i < LANES; i++) {
    for (int j = 0; j < WORDS; j++) out[i * WORDS + j] = (double)(p->word[j][i] >> 8) * 0x1p-24;
  }
}
static void normal(const philox_t *p, double *out) {
  for (int pair = 0; pair < WORDS; pair += 2) {
    for (int i = 0; i < LANES; i += VF64_LANES) {
      vf64_t u1, u2;
      for (int l = 0; l < VF64_LANES; l++) {
        u1[l] = (double)((p->word[pair][i + l] >> 8) + 1) * 0x1p-24;
        u2[l] = (double)(p->word[pair + 1][i + l] >> 8) * 0x1p-24;
      }
      vf64_t r = vf64_sqrt(-2.0 * vf64_log(u1)), angle = 0x1.921fb54442d18p+2 * u2;
      vf64_t a = r * vf64_cos(angle), b = r * vf64_sin(angle);
      for (int l = 0; l < VF64_LANES; l++) {
        out[(i + l) * WORDS + pair] = a[l];
        out[(i + l) * WORDS + pair + 1] = b[l];
      }
    }
  }
}

#define DEFINE_RANDOM(fn, T, suffix)                                                                             \
  void KERN(random_##fn##_##suffix)(uint64_t seed, uint32_t step, uint32_t stream, int64_t first, int64_t count, \
                                    T * out, int64_t out_step) {                                                 \
    double values[LANES * WORDS];                                                                                \
    philox_t p;                                                                                                  \
    int64_t done = 0;                                                                                            \
    while (done < count) {                                                                                       \
      int64_t skip = (first + done) % WORDS, n = LANES * WORDS - skip;                                           \
      n = count - done < n ? count - done : n;                                                                   \
      philox(seed, step, stream, (uint64_t)(first + done) / WORDS, &p);                                          \
      fn(&p, values);                                                                                            \
      for (int64_t i = 0; i < n; i++) out[(done + i) * out_step] = (T)values[skip + i];                          \
      done += n;                                                                                                 \
    }                                                                                                            \
  }

DEFINE_RANDOM(uniform, float, f32)
DEFINE_RANDOM(uniform, double, f64)
DEFINE_RANDOM(normal, float, f32)
DEFINE_RANDOM(normal, double, f64)
