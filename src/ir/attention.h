// SPDX-License-Identifier: Apache-2.0
// The operands of ATTENTION and ATTENTION_GRAD by name: optional ones stand between v and what backward reads.
#ifndef LEAT_IR_ATTENTION_H_
#define LEAT_IR_ATTENTION_H_

#include "ir/graph.h"

enum {
  LEAT_ATTENTION_BACKWARD = 3,  // lse, delta, dout: the last operands of ATTENTION_GRAD
  LEAT_ATTENTION_LOGS = 2,      // numbers a row of lse: the greatest score, the log of the sum of exp(score - that)
};

typedef struct leat_attention_places_s {
  uint32_t mask, state, drop;  // places among the operands; LEAT_NONE: absent
  uint32_t lse, delta, dout;   // ATTENTION_GRAD
} leat_attention_places_t;

// Where the operands of such an op stand, by how many there are: four or six in front of backward's have a mask.
static inline leat_attention_places_t leat_attention_places(uint32_t kind, uint32_t input_count) {
  const bool grad = !leat_op_takes_attr(kind, LEAT_ATTR_BARE);  // which says what forward leaves
  const uint32_t count = grad ? input_count - LEAT_ATTENTION_BACKWARD : input_count;
  const bool masked = count == 4 || count == 6, drops = count > 4;
  return (leat_attention_places_t){.mask = masked ? 3 : LEAT_NONE,
                                   .state = drops ? count - 2 : LEAT_NONE,
                                   .drop = drops ? count - 1 : LEAT_NONE,
                                   .lse = grad ? count : LEAT_NONE,
                                   .delta = grad ? count + 1 : LEAT_NONE,
                                   .dout = grad ? count + 2 : LEAT_NONE};
}

// Scores of a head from which on blocks are quicker than a table in memory, and fewest queries of one, which are the
// lanes. Backward makes scores a second time, and draws again; a causal table is stored whole, though half of it
// counts. Measured on 4x12 to 1x12 heads of 64 (us, forward / with gradients, blocks beside a table, AVX-512):
//   128 tokens 1064 / 3761 beside 1222 / 3788     256 tokens 1997 / 6986 beside 2726 / 7944
//   causal: 64 319 / 1068 beside 374 / 1022       96 845 / 2410 beside 935 / 2719
//   dropout: 256 3944 / 11263 beside 4803 / 10887    512 7992 / 21148 beside 10846 / 24404
// Queries and results are turned, which as many keys pay as a query has numbers, also where heads are small, and half
// as many keys in large ones: 64x12 heads of 32, 36 tokens 2931 / 13101 beside 7082 / 16814, 64x3, 49 tokens 1137 /
// 4459 beside 2265 / 4540; 512 heads of 64, 36 tokens 4228 / 15337 beside 4944 / 13913; 8192 queries of 128 on 64 keys,
// four times 15820 / 45757 beside 11914 / 40368.
enum {
  LEAT_ATTENTION_SCORES_MIN = 128 * 128,
  LEAT_ATTENTION_SHORT_MIN = 32 * 32,
  LEAT_ATTENTION_CAUSAL_MIN = 96 * 96,
  LEAT_ATTENTION_DROPPED_MIN = 384 * 384,
  LEAT_ATTENTION_QUERIES_MIN = 32
};

// Whether attention of so many queries of `width` numbers, and so many keys, in f32, is computed in blocks. By what is
// static alone, so that all targets give equal bits.
static inline bool leat_attention_in_blocks(int64_t queries, int64_t keys, int64_t width, bool causal, bool drops) {
  const int64_t least = drops           ? LEAT_ATTENTION_DROPPED_MIN
                        : causal        ? LEAT_ATTENTION_CAUSAL_MIN
                        : keys >= width ? LEAT_ATTENTION_SHORT_MIN
                                        : LEAT_ATTENTION_SCORES_MIN;
  return queries >= LEAT_ATTENTION_QUERIES_MIN && keys > width / 2 && queries * keys >= least;
}

#endif
