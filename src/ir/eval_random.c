// SPDX-License-Identifier: Apache-2.0
// Reference of the random primitive: Philox 4x32-10 (Salmon and others, "Parallel random numbers: as easy as 1, 2, 3",
// 2011) as op.def states its use.
#include <math.h>

#include "ir/eval.h"

typedef struct philox_s {
  uint32_t word[4];
} philox_t;

static philox_t philox_round(philox_t c, const uint32_t key[2]) {
  uint64_t a = UINT64_C(0xD2511F53) * c.word[0], b = UINT64_C(0xCD9E8D57) * c.word[2];
  return (philox_t){
      {(uint32_t)(b >> 32) ^ c.word[1] ^ key[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c.word[3] ^ key[1], (uint32_t)a}};
}

static philox_t philox(philox_t counter, uint64_t seed) {
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  for (int i = 0; i < 10; i++) {
    counter = philox_round(counter, key);
    key[0] += UINT32_C(0x9E3779B9);
    key[1] += UINT32_C(0xBB67AE85);
  }
  return counter;
}

static double unit(uint32_t word) { return (double)(word >> 8) * 0x1p-24; }

static philox_t block_of(uint64_t seed, uint32_t step, uint32_t stream, int64_t at) {
  const uint64_t j = (uint64_t)at / 4;
  return philox((philox_t){{(uint32_t)j, (uint32_t)(j >> 32), step, stream}}, seed);
}

double leat_eval_uniform(uint64_t seed, uint32_t step, uint32_t stream, int64_t at) {
  return unit(block_of(seed, step, stream, at).word[at % 4]);
}

// Element `lane` of a block as a normal number: Box-Muller on the pair that the lane belongs to.
static double normal(const philox_t *block, int lane) {
  const double two_pi = 6.283185307179586;
  uint32_t a = block->word[lane & 2], b = block->word[(lane & 2) + 1];
  double r = sqrt(-2 * log(unit(a) + 0x1p-24)), angle = two_pi * unit(b);
  return (lane & 1) == 0 ? r * cos(angle) : r * sin(angle);
}

leat_status_t leat_eval_RANDOM(const leat_eval_call_t *call) {
  const leat_value_t *result = leat_eval_result(call, 0);
  bool is_normal = leat_op_word(call->graph, call->op, LEAT_ATTR_FN, LEAT_DRAW_UNIFORM) == LEAT_DRAW_NORMAL;
  uint64_t seed = (uint64_t)leat_eval_load(call, 0, 0).i;
  uint32_t step = (uint32_t)leat_eval_load(call, 0, 1).i, stream = (uint32_t)leat_eval_int(call, LEAT_ATTR_STREAM);
  for (int64_t at = 0; at < leat_value_elements(result); at++) {
    const philox_t block = block_of(seed, step, stream, at);
    const int lane = (int)(at % 4);
    leat_eval_store(call, 0, at, (leat_element_t){.f = is_normal ? normal(&block, lane) : unit(block.word[lane])});
  }
  return NULL;
}
