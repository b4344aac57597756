// SPDX-License-Identifier: Apache-2.0
// RANDOM: an element is a function of its number in the whole result.
#include "kern/scalar.h"
#include "pef/pef_scalar.h"
#include "ref/random.h"
#include "ref/stage.h"

// Philox 4x32-10 (Salmon et al., 2011): ten rounds over the counter (block, step, stream).
static void philox(const ref_draw_t *d, uint64_t block, uint32_t words[4]) {
  uint32_t key[2] = {(uint32_t)d->seed, (uint32_t)(d->seed >> 32)};
  words[0] = (uint32_t)block, words[1] = (uint32_t)(block >> 32), words[2] = d->step, words[3] = d->stream;
  for (int round = 0; round < 10; round++) {
    const uint64_t a = (uint64_t)0xd2511f53u * words[0], b = (uint64_t)0xcd9e8d57u * words[2];
    words[0] = (uint32_t)(b >> 32) ^ words[1] ^ key[0];
    words[2] = (uint32_t)(a >> 32) ^ words[3] ^ key[1];
    words[1] = (uint32_t)b;
    words[3] = (uint32_t)a;
    key[0] += 0x9e3779b9u, key[1] += 0xbb67ae85u;
  }
}

static double scalar(uint32_t number, double x) {
  double result;
  leat_kern_scalar(PEF_CLASS_F64, number, PEF_BODY_FIRST)(&result, &x, &x, &x, 1);
  return result;
}

// The first 24 bits as a part of 1, and one step up, so that it is never 0.
static double part_of_one(uint32_t word, uint32_t up) { return (double)((word >> 8) + up) * 0x1p-24; }

double leat_ref_draw(const ref_draw_t *d, uint64_t number) {
  uint32_t words[4];
  philox(d, number / 4, words);
  const uint32_t which = number % 4;
  if (d->fn == PEF_FN_UNIFORM) return part_of_one(words[which], 0);
  const uint32_t *pair = &words[which / 2 * 2];  // Box-Muller: two elements of two words
  const double radius = scalar(PEF_SCALAR_SQRT, -2.0 * scalar(PEF_SCALAR_LOG, part_of_one(pair[0], 1)));
  const double angle = 0x1.921fb54442d18p+2 * part_of_one(pair[1], 0);
  return radius * scalar(which % 2 == 0 ? PEF_SCALAR_COS : PEF_SCALAR_SIN, angle);
}

void leat_ref_random(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const ref_operand_t state = leat_ref_operand(stage, PEF_RANDOM_state, tile),
                      out = leat_ref_operand(stage, PEF_RANDOM_out, tile);
  const int64_t seed[PEF_MAX_RANK] = {0}, step[PEF_MAX_RANK] = {1};
  const ref_draw_t d = {.seed = (uint64_t)leat_ref_read(&state, PEF_CLASS_I64, seed).i64,
                        .step = (uint32_t)leat_ref_read(&state, PEF_CLASS_I64, step).i64,
                        .stream = (uint32_t)stage->file->params.random.stream + tile->stream,
                        .fn = stage->file->fn};
  int64_t index[PEF_MAX_RANK] = {0};
  do {
    uint64_t number = 0;
    for (uint32_t i = 0; i < out.rank; i++) {
      number = number * (uint64_t)out.file->dims[i] + (uint64_t)(out.first[i] + index[i]);
    }
    leat_ref_write(&out, PEF_CLASS_F64, index, (ref_value_t){.f64 = leat_ref_draw(&d, number)});
  } while (leat_ref_next(index, out.dims));
}
