// SPDX-License-Identifier: Apache-2.0
// Plan of the fast weight gradient of a convolution: blocks of channels, bands of rows, groups of images, runs of a
// window, offsets of the positions. No choice made here shows in the result bits.
#include "native/conv_plan.h"

static int64_t vectors(int64_t lanes) { return (lanes + CONV_LANES - 1) / CONV_LANES; }
static int64_t reach(const leat_kern_window_t *w, int d, int64_t count) {
  return (count - 1) * w->stride[d] + (w->size[d] - 1) * w->dilation[d] + 1;
}
static int64_t image_floats(const leat_kern_conv_t *s, int64_t band) {
  return s->window.size[0] * reach(&s->window, 1, band) * reach(&s->window, 2, s->window.out[2]) * s->channels;
}
static int64_t slide_floats(const leat_kern_conv_t *s, int64_t band) {
  return s->window.size[0] * reach(&s->window, 1, band) * s->window.out[2] * s->window.size[2] * s->channels;
}

// Runs as long as the copy has them, or whole planes of the window where that fills the vectors better, or where the
// copy has them, too.
static void choose_runs(const leat_kern_conv_t *s, leat_kern_wgrad_plan_t *p) {
  const leat_kern_window_t *w = &s->window;
  const bool long_runs = w->dilation[2] == 1;
  p->runs = w->size[0] * w->size[1] * (long_runs ? 1 : w->size[2]);
  p->run = long_runs ? w->size[2] * s->channels : s->channels;
  const int64_t plane = w->size[1] * w->size[2] * s->channels;
  const bool has_planes = long_runs && w->dilation[1] == 1, is_column = reach(w, 2, w->out[2]) == 1;
  p->slide = has_planes && !is_column && 4 * p->runs * vectors(p->run) > 5 * w->size[0] * vectors(plane);
  if (p->slide != 0 || (has_planes && is_column)) {
    p->runs = w->size[0];
    p->run = plane;
  }
}

static void choose_blocks(const leat_kern_conv_t *s, leat_kern_wgrad_plan_t *p) {
  const leat_kern_window_t *w = &s->window;
  p->band = w->out[1];
  for (;;) {
    p->image_floats = image_floats(s, p->band);
    p->slide_floats = p->slide != 0 ? slide_floats(s, p->band) : 0;
    if (p->band == 1 || (p->image_floats <= WGRAD_IMAGE_FLOATS && p->slide_floats <= WGRAD_IMAGE_FLOATS)) break;
    p->band = (p->band + 1) / 2;
  }
  p->image_rows = reach(w, 1, p->band);
  p->image_columns = reach(w, 2, w->out[2]);
  p->group = 1;
  if (w->out[0] == 1 && p->band == w->out[1]) {
    int64_t positions = w->out[1] * w->out[2], most = WGRAD_IMAGE_FLOATS / (p->image_floats + p->slide_floats);
    p->group = (WGRAD_POSITIONS_MIN + positions - 1) / positions;
    p->group = p->group < most ? p->group : most;
    p->group = p->group < s->images ? p->group : s->images;
    p->group = p->group < 1 ? 1 : p->group;
  }
}

// Half of the channels as long as a call of the micro kernel would see few of the positions that there are.
static leat_kern_conv_t choose_channels(const leat_kern_conv_t *s, leat_kern_wgrad_plan_t *p) {
  leat_kern_conv_t part = *s;
  const int64_t *out = s->window.out, all = s->images * out[0] * out[1] * out[2];
  const int64_t wanted = all < WGRAD_POSITIONS_MIN ? all : WGRAD_POSITIONS_MIN;
  for (;; part.channels /= 2) {
    choose_runs(&part, p);
    choose_blocks(&part, p);
    if (p->group * p->band * out[2] >= wanted || part.channels % 2 != 0 || part.channels < 2 * WGRAD_CHANNELS_MIN)
      break;
  }
  p->channels = part.channels;
  return part;
}

static int64_t times_all(int64_t n, const int64_t by[3]) {
  for (int d = 0; d < 3; d++) {
    if (__builtin_mul_overflow(n, by[d], &n)) n = INT64_MAX;
  }
  return n;
}

int64_t leat_native_conv_positions(const leat_kern_conv_t *s) { return times_all(s->images, s->window.out); }
int64_t leat_native_conv_terms(const leat_kern_conv_t *s) { return times_all(s->channels, s->window.size); }

// Of dw in the workspace: one, or with blocks of positions the open one and those of their pairs.
static int64_t sum_rows(const leat_kern_conv_t *s) {
  int64_t rows = 1;
  if (s->chain == 0) return rows;
  for (int64_t blocks = leat_native_conv_positions(s) / s->chain + 1; blocks != 0; blocks /= 2) rows++;
  return rows;
}

#define TRY_ALLOC(pointer, arena, count)                                                             \
  do {                                                                                               \
    (pointer) = leat_arena_alloc((arena), (size_t)(count) * sizeof *(pointer));                      \
    if (!(pointer)) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while planning a weight gradient"); \
  } while (0)

static leat_status_t plan_offsets(leat_arena_t *arena, const leat_kern_conv_t *s, leat_kern_wgrad_plan_t *p,
                                  bool *out_fits) {
  const leat_kern_window_t *w = &s->window;
  const int64_t row = p->image_columns * s->channels, piece = w->size[2] * s->channels;
  int32_t *run_offsets, *offsets, *dy_offsets;
  TRY_ALLOC(run_offsets, arena, p->runs);
  TRY_ALLOC(offsets, arena, p->group * p->band * w->out[2]);
  TRY_ALLOC(dy_offsets, arena, p->group * p->band * w->out[2]);
  p->run_offsets = run_offsets;
  p->offsets = offsets;
  p->dy_offsets = dy_offsets;
  for (int64_t i = 0; i < p->runs; i++) {
    const int64_t in_plane = p->runs / w->size[0], in_row = in_plane == 1 ? 1 : in_plane / w->size[1];
    const int64_t k0 = i / in_plane, k1 = i % in_plane / in_row, k2 = i % in_row;
    const int64_t at = (k0 * p->image_rows + k1 * w->dilation[1]) * row + k2 * w->dilation[2] * s->channels;
    run_offsets[i] = (int32_t)(p->slide != 0 ? k0 * w->out[2] * p->image_rows * piece : at);
  }
  for (int64_t i = 0; i < p->group * p->band * w->out[2]; i++) {
    const int64_t c = i % w->out[2], row_out = i / w->out[2] % p->band, n = i / (w->out[2] * p->band);
    const int64_t r = row_out * w->stride[1], in_dy = n * s->y[0] + row_out * s->y[3] + c * s->y[4];
    const int64_t in_image = n * p->image_floats + r * row + c * w->stride[2] * s->channels;
    const int64_t in_slides = n * p->slide_floats + (c * p->image_rows + r) * piece;
    offsets[i] = (int32_t)(p->slide != 0 ? in_slides : in_image);
    dy_offsets[i] = (int32_t)in_dy;
    *out_fits = *out_fits && in_dy == (int32_t)in_dy;
  }
  return NULL;
}

leat_status_t leat_native_wgrad_plan(leat_arena_t *arena, const leat_kern_conv_t *shape,
                                     const leat_kern_wgrad_plan_t **out_plan, size_t *out_workspace_bytes) {
  const leat_kern_window_t *w = &shape->window;
  leat_kern_wgrad_plan_t *p;
  *out_plan = NULL;
  if (!leat_native_conv_is_ordinary(shape) || w->base[0] * w->base[1] * w->base[2] > 1) return NULL;
  TRY_ALLOC(p, arena, 1);
  const leat_kern_conv_t part = choose_channels(shape, p), *s = &part;
  if (p->image_floats * p->group > LEAT_NATIVE_CONV_COPY_MAX ||
      p->slide_floats * p->group > LEAT_NATIVE_CONV_COPY_MAX) {
    return NULL;
  }
  bool fits = true;
  LEAT_TRY(plan_offsets(arena, s, p, &fits));
  if (!fits) return NULL;
  p->sum_floats = leat_native_conv_room(s->outputs_per_group * p->runs * p->run);
  p->image_at = p->sum_floats * sum_rows(s);
  p->slides_at = p->image_at + leat_native_conv_room(p->image_floats * p->group);
  *out_workspace_bytes = (size_t)(p->slides_at + leat_native_conv_room(p->slide_floats * p->group)) * sizeof(float);
  *out_plan = p;
  return NULL;
}

leat_status_t leat_native_wgrad_depth_plan(leat_arena_t *arena, const leat_kern_conv_t *s,
                                           const leat_kern_wgrad_depth_t **out_plan, size_t *out_workspace_bytes) {
  const leat_kern_window_t *w = &s->window;
  leat_kern_wgrad_depth_t *p;
  *out_plan = NULL;
  if (!leat_native_conv_is_ordinary(s) || w->base[0] * w->base[1] * w->base[2] > 1) return NULL;
  if (s->channels != 1 || s->outputs_per_group != 1) return NULL;
  TRY_ALLOC(p, arena, 1);
  p->image_columns = reach(w, 2, w->out[2]);
  const int64_t line = w->size[0] * p->image_columns * CONV_LANES;
  p->band = w->out[1];
  while (p->band > 1 && line * reach(w, 1, p->band) > WGRAD_IMAGE_FLOATS) p->band = (p->band + 1) / 2;
  p->image_rows = reach(w, 1, p->band);
  if (line * p->image_rows > LEAT_NATIVE_CONV_COPY_MAX) return NULL;
  p->sum_floats = leat_native_conv_room(w->size[0] * w->size[1] * w->size[2] * CONV_LANES);
  p->image_at = p->sum_floats * sum_rows(s);
  if (p->image_at > LEAT_NATIVE_CONV_COPY_MAX) return NULL;  // lanes that the weights may not have
  p->dy_at = p->image_at + leat_native_conv_room(line * p->image_rows);
  *out_workspace_bytes = (size_t)(p->dy_at + leat_native_conv_room(p->band * w->out[2] * CONV_LANES)) * sizeof(float);
  *out_plan = p;
  return NULL;
}
