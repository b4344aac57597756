// SPDX-License-Identifier: Apache-2.0
// Plan of the fast weight gradient of a convolution: bands of rows, groups of images, runs of a window, offsets of the
// positions. No choice made here shows in the result bits.
#include "rt/conv_plan.h"

enum {
  IMAGE_FLOATS = 64 * 1024,     // the copied input of a band, or the gathered windows: a part of L2
  ALIGN_FLOATS = 16,
  LANES = 16,                   // of the widest level
  POSITIONS_MIN = 256,          // positions in one call of the micro kernel that make its stores of dw cheap
};

static int64_t round_up(int64_t floats) { return (floats / ALIGN_FLOATS + 2) * ALIGN_FLOATS; }  // with slack
static int64_t vectors(int64_t lanes) { return (lanes + LANES - 1) / LANES; }
static int64_t reach(const leat_kern_window_t *w, int d, int64_t count) {
  return (count - 1) * w->stride[d] + (w->size[d] - 1) * w->dilation[d] + 1;
}
static int64_t image_floats(const leat_kern_conv_t *s, int64_t band) {
  return s->window.size[0] * reach(&s->window, 1, band) * reach(&s->window, 2, s->window.out[2]) * s->channels;
}

static void choose_blocks(const leat_kern_conv_t *s, leat_kern_wgrad_plan_t *p) {
  const leat_kern_window_t *w = &s->window;
  const bool long_runs = w->dilation[2] == 1;
  const int64_t planes = w->size[0] * w->size[1];
  p->runs = long_runs ? planes : planes * w->size[2];
  p->run = long_runs ? w->size[2] * s->channels : s->channels;
  p->gather = 4 * p->runs * vectors(p->run) > 5 * vectors(p->runs * p->run);
  int64_t floats_of_row = p->gather != 0 ? w->out[2] * p->runs * p->run : 0;
  p->band = w->out[1];
  while (p->band > 1 && (image_floats(s, p->band) > IMAGE_FLOATS || p->band * floats_of_row > IMAGE_FLOATS)) {
    p->band = (p->band + 1) / 2;
  }
  p->image_rows = reach(w, 1, p->band);
  p->image_columns = reach(w, 2, w->out[2]);
  p->group = 1;
  if (w->out[0] == 1 && p->band == w->out[1] && p->gather == 0) {
    int64_t positions = w->out[1] * w->out[2], most = IMAGE_FLOATS / image_floats(s, p->band);
    p->group = (POSITIONS_MIN + positions - 1) / positions;
    p->group = p->group < most ? p->group : most;
    p->group = p->group < s->images ? p->group : s->images;
    p->group = p->group < 1 ? 1 : p->group;
  }
  p->pack_dy = p->group > 1 || s->y[4] != 1 || (w->out[1] > 1 && s->y[3] != w->out[2]);
}

#define TRY_ALLOC(pointer, arena, count)                                                                        \
  do {                                                                                                          \
    (pointer) = leat_arena_alloc((arena), (size_t)(count) * sizeof *(pointer));                                 \
    if (!(pointer)) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while planning a weight gradient");            \
  } while (0)

static leat_status_t plan_offsets(leat_arena_t *arena, const leat_kern_conv_t *s, leat_kern_wgrad_plan_t *p) {
  const leat_kern_window_t *w = &s->window;
  const int64_t image = image_floats(s, p->band), row = p->image_columns * s->channels;
  int32_t *run_offsets, *offsets;
  TRY_ALLOC(run_offsets, arena, p->runs);
  TRY_ALLOC(offsets, arena, p->group * p->band * w->out[2]);
  p->run_offsets = run_offsets;
  p->offsets = offsets;
  for (int64_t k0 = 0; k0 < w->size[0]; k0++) {
    for (int64_t k1 = 0; k1 < w->size[1]; k1++) {
      int64_t first = (k0 * p->image_rows + k1 * w->dilation[1]) * row, columns = p->runs / (w->size[0] * w->size[1]);
      for (int64_t k2 = 0; k2 < columns; k2++) *run_offsets++ = (int32_t)(first + k2 * w->dilation[2] * s->channels);
    }
  }
  for (int64_t i = 0; i < p->group * p->band * w->out[2]; i++) {
    int64_t column = i % w->out[2], r = i / w->out[2] % p->band, n = i / (w->out[2] * p->band);
    int64_t at = n * image + r * w->stride[1] * row + column * w->stride[2] * s->channels;
    *offsets++ = (int32_t)(p->gather != 0 ? i * p->runs * p->run : at);
  }
  return NULL;
}

leat_status_t leat_rt_wgrad_plan(leat_arena_t *arena, const leat_kern_conv_t *s, const leat_kern_wgrad_plan_t **out_plan,
                                 size_t *out_workspace_bytes) {
  const leat_kern_window_t *w = &s->window;
  leat_kern_wgrad_plan_t *p;
  *out_plan = NULL;
  if (!leat_rt_conv_is_ordinary(s) || w->base[0] * w->base[1] * w->base[2] > 1) return NULL;
  TRY_ALLOC(p, arena, 1);
  choose_blocks(s, p);
  const int64_t image = image_floats(s, p->band), positions = p->band * w->out[2];
  const int64_t gathered = p->gather != 0 ? positions * p->runs * p->run : 0;
  const int64_t packed = p->pack_dy != 0 ? s->outputs_per_group * p->group * positions : 0;
  if (image * p->group > INT32_MAX || gathered > INT32_MAX) return NULL;
  LEAT_TRY(plan_offsets(arena, s, p));
  p->image_at = round_up(s->outputs_per_group * p->runs * p->run);
  p->rows_at = p->image_at + round_up(image * p->group);
  p->dy_at = p->rows_at + round_up(gathered);
  *out_workspace_bytes = (size_t)(p->dy_at + round_up(packed)) * sizeof(float);
  *out_plan = p;
  return NULL;
}
