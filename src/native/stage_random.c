// SPDX-License-Identifier: Apache-2.0
// RANDOM: every element is a function of its index in the whole result, so that tiles and strides do not matter.
#include "base/loops.h"
#include "native/stage.h"

leat_status_t leat_native_random_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  (void)stage, (void)context;
  return NULL;
}

typedef struct draw_s {
  const leat_native_stage_t *stage;
  uint64_t seed;
  uint32_t step, stream;
} draw_t;

// `count` elements from element `first` of the whole result on.
static void draw(const draw_t *d, int64_t first, int64_t count, void *out, int64_t out_step) {
  const leat_kern_t *kern = d->stage->kern;
  const bool normal = d->stage->fn == PEF_FN_NORMAL;
  if (d->stage->operands[1].dtype == PEF_F32) {
    (normal ? kern->random_normal_f32 : kern->random_uniform_f32)(d->seed, d->step, d->stream, first, count, out,
                                                                  out_step);
  } else {
    (normal ? kern->random_normal_f64 : kern->random_uniform_f64)(d->seed, d->step, d->stream, first, count, out,
                                                                  out_step);
  }
}

// Dims from this one on are one run: contiguous in memory and, but for the outermost of them, whole in a tile.
static uint32_t first_of_run(const leat_native_operand_t *out) {
  int64_t extents[PEF_MAX_RANK], strides[PEF_MAX_RANK];
  uint32_t places[PEF_MAX_RANK], first = 0;
  memcpy(extents, out->dims, sizeof extents);
  memcpy(strides, out->strides, sizeof strides);
  leat_loops_t loops = {.count = out->rank, .extents = extents, .operands = 1, .row = PEF_MAX_RANK, .strides = strides};
  leat_loops_merge(&loops, out->row_dim == PEF_NO_ROW_DIM ? 0 : 1u << out->row_dim, places);
  while (places[first] + 1 != loops.count) ++first;
  return first;
}

void leat_native_random_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const leat_native_operand_t *state = &stage->operands[0], *out = &stage->operands[1];
  const int64_t *words = (const int64_t *)(const void *)leat_native_operand_at(state, tile);
  const draw_t d = {.stage = stage,
                    .seed = (uint64_t)words[0],
                    .step = (uint32_t)words[state->strides[0]],
                    .stream = (uint32_t)stage->params->random.stream + tile->stream};
  char *to = leat_native_operand_at(out, tile);
  if (out->rank == 0) {
    draw(&d, 0, 1, to, 1);
    return;
  }
  const uint32_t run = first_of_run(out);
  int64_t count = 1, whole = 1, logical[8], at[8] = {0},
          first = 0;  // logical: elements of the result per step of a dim
  for (uint32_t i = out->rank; i-- > 0;) {
    logical[i] = whole;
    whole *= out->dims[i];
    first += leat_native_operand_first(out, i, tile) * logical[i];
    if (i >= run) count *= leat_native_operand_extent(out, i, tile);
  }
  for (;;) {
    draw(&d, first, count, to, out->strides[out->rank - 1]);
    uint32_t i = run;
    for (; i > 0; i--) {
      const int64_t extent = leat_native_operand_extent(out, i - 1, tile);
      const bool carry = ++at[i - 1] == extent;
      first += (carry ? 1 - extent : 1) * logical[i - 1];
      to += (carry ? 1 - extent : 1) * out->strides[i - 1] * out->element_bytes;
      if (!carry) break;
      at[i - 1] = 0;
    }
    if (i == 0) return;
  }
}
