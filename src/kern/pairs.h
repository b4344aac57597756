// SPDX-License-Identifier: Apache-2.0
// One sum in blocks that are added pairwise, on scalars: level l holds the sum of 2^l blocks where bit l of `count` is
// set. For the generic bodies; sums_float.h does the same on vectors.
#ifndef LEAT_KERN_PAIRS_H_
#define LEAT_KERN_PAIRS_H_

#include <stdint.h>

#define DEFINE_PAIRS(T, suffix)                                                                    \
  typedef struct pairs_##suffix##_s {                                                              \
    int64_t count;                                                                                 \
    T level[63];                                                                                   \
  } pairs_##suffix##_t;                                                                            \
  static inline void pairs_add_##suffix(pairs_##suffix##_t *p, T block) {                          \
    int top = __builtin_ctzll(~(uint64_t)p->count);                                                \
    for (int l = 0; l < top; l++) block = p->level[l] + block;                                     \
    p->level[top] = block;                                                                         \
    p->count++;                                                                                    \
  }                                                                                                \
  /* `last`: of the last block. */                                                                 \
  static inline T pairs_sum_##suffix(const pairs_##suffix##_t *p, T last) {                        \
    for (int l = 0; p->count >> l != 0; l++) last = p->count >> l & 1 ? p->level[l] + last : last; \
    return last;                                                                                   \
  }

#endif
