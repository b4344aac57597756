// SPDX-License-Identifier: Apache-2.0
// CONV, CONV_WGRAD, POOL and POOL_GRAD: window positions in ascending order.
#include <math.h>

#include "ref/stage.h"
#include "ref/sum.h"

typedef enum place_e { INSIDE, PADDING, HOLE } place_t;

// What window position `k` of output position `t` of the tile `y` reads: where along the windowed dims of the tile `x`,
// if it is inside of the whole. The windowed dims are the last ones of an operand, so `t`, `k` and `out_at` point at
// the words of an index where they begin.
static place_t find_place(const pef_window_t *w, const ref_operand_t *x, const ref_operand_t *y, const int64_t *t,
                          const int64_t *k, int64_t *out_at) {
  place_t place = INSIDE;
  for (int64_t d = 0; d < w->spatial; d++) {
    const uint32_t s = x->rank - (uint32_t)(w->spatial - d), position = y->rank - (uint32_t)(w->spatial - d);
    const int64_t p = (y->first[position] + t[d]) * w->stride[d] + k[d] * w->dilation[d] - w->low[d];
    if (p % w->base_dilation[d] != 0) return HOLE;
    out_at[d] = p / w->base_dilation[d] - x->first[s];
    if (p < 0 || p / w->base_dilation[d] >= x->file->dims[s]) place = PADDING;
  }
  return place;
}

// --- convolution -------------------------------------------------------------------------------------------------

typedef struct conv_s {
  const pef_window_t *window;
  ref_operand_t x, w, y;  // of a weight gradient dw and dy
  uint32_t class_;
  uint32_t batch;  // dims that all operands begin with
  int64_t chain;
  int64_t at[PEF_MAX_RANK];  // of the element of y, or of dw
} conv_t;

enum { SPATIAL = 2 };  // of images, weights and outputs: dims behind those of batches, before the windowed ones

// Channel `c` of the group that output channel `o` of the tile belongs to.
static int64_t channel_of(const conv_t *s, int64_t o, int64_t c) {
  const int64_t outputs = s->w.file->dims[s->batch] / s->window->groups;  // of a group
  return (s->w.first[s->batch] + o) / outputs * s->w.dims[s->batch + 1] + c;
}

// sum + weight * x: the padding takes part as 0, a hole does not.
static ref_value_t add_product(const conv_t *s, const int64_t image[PEF_MAX_RANK], const int64_t *t, const int64_t *k,
                               ref_value_t weight, ref_value_t sum) {
  int64_t at[PEF_MAX_RANK];
  memcpy(at, image, sizeof at);
  const place_t place = find_place(s->window, &s->x, &s->y, t, k, at + s->batch + SPATIAL);
  if (place == HOLE) return sum;
  const ref_value_t x = place == INSIDE ? leat_ref_read(&s->x, s->class_, at) : leat_ref_of_int(s->class_, 0);
  return leat_ref_multiply_add(s->class_, weight, x, sum);
}

// Extents of the terms of an output, as dims of w.
static void extents_of_terms(const conv_t *s, int64_t terms[PEF_MAX_RANK]) {
  memcpy(terms, s->w.dims, sizeof s->w.dims);
  terms[0] = 1;
}

// Of the output at `at`.
static ref_value_t block_of_terms(const void *sum, int64_t block) {
  const conv_t *s = sum;
  int64_t terms[PEF_MAX_RANK];
  extents_of_terms(s, terms);
  const int64_t count = leat_ref_count(terms), length = s->chain > 0 ? s->chain : count;
  ref_value_t value = leat_ref_of_int(s->class_, 0);
  for (int64_t k = block * length; k < count && k < (block + 1) * length; k++) {
    int64_t w[PEF_MAX_RANK];
    leat_ref_nth(k, terms, w);
    const int64_t image[PEF_MAX_RANK] = {s->at[0], channel_of(s, s->at[1], w[1])};
    w[0] = s->at[1];
    value = add_product(s, image, s->at + SPATIAL, w + SPATIAL, leat_ref_read(&s->w, s->class_, w), value);
  }
  return value;
}

_Static_assert((int)PEF_CONV_x == (int)PEF_CONV_WGRAD_x, "both begin with the images");
static conv_t conv_of(const ref_stage_t *stage, const leat_run_tile_t *tile, uint32_t w, uint32_t y) {
  conv_t s = {.window = &stage->file->params.window,
              .x = leat_ref_operand(stage, PEF_CONV_x, tile),
              .w = leat_ref_operand(stage, w, tile),
              .y = leat_ref_operand(stage, y, tile)};
  s.class_ = leat_pef_dtype_class(s.x.dtype);
  return s;
}

void leat_ref_conv(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  conv_t s = conv_of(stage, tile, PEF_CONV_w, PEF_CONV_y);
  s.chain = stage->file->params.conv.chain;
  int64_t terms[PEF_MAX_RANK];
  extents_of_terms(&s, terms);
  const int64_t count = leat_ref_count(terms), blocks = s.chain > 0 ? (count + s.chain - 1) / s.chain : 1;
  do {
    leat_ref_write(&s.y, s.class_, s.at, leat_ref_pairwise(s.class_, block_of_terms, &s, 0, blocks));
  } while (leat_ref_next(s.at, s.y.dims));
}

// Extents of the positions (n, t) of a batch, as dims of dy.
static void extents_of_positions(const conv_t *s, int64_t positions[PEF_MAX_RANK]) {
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) positions[d] = d < s->batch || d == s->batch + 1 ? 1 : s->y.dims[d];
}

static ref_value_t block_of_positions(const void *sum, int64_t block) {
  const conv_t *s = sum;
  const uint32_t n = s->batch, o = n + 1;
  int64_t positions[PEF_MAX_RANK];
  extents_of_positions(s, positions);
  const int64_t count = leat_ref_count(positions), length = s->chain > 0 ? s->chain : count;
  ref_value_t value = leat_ref_of_int(s->class_, 0);
  for (int64_t p = block * length; p < count && p < (block + 1) * length; p++) {
    int64_t dy[PEF_MAX_RANK], image[PEF_MAX_RANK] = {0};
    leat_ref_nth(p, positions, dy);
    memcpy(dy, s->at, n * sizeof *dy);
    memcpy(image, dy, o * sizeof *image);
    image[o] = channel_of(s, s->at[n], s->at[n + 1]);
    dy[o] = s->at[n];
    value = add_product(s, image, dy + n + SPATIAL, s->at + n + SPATIAL, leat_ref_read(&s->y, s->class_, dy), value);
  }
  return value;
}

void leat_ref_conv_wgrad(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  conv_t s = conv_of(stage, tile, PEF_CONV_WGRAD_dw, PEF_CONV_WGRAD_dy);
  s.batch = (uint32_t)stage->file->params.conv_wgrad.batch;
  s.chain = stage->file->params.conv_wgrad.chain;
  int64_t positions[PEF_MAX_RANK];
  extents_of_positions(&s, positions);
  const int64_t count = leat_ref_count(positions), blocks = s.chain > 0 ? (count + s.chain - 1) / s.chain : 1;
  do {
    leat_ref_write(&s.w, s.class_, s.at, leat_ref_pairwise(s.class_, block_of_positions, &s, 0, blocks));
  } while (leat_ref_next(s.at, s.w.dims));
}

// --- pooling -----------------------------------------------------------------------------------------------------

typedef struct pool_s {
  const pef_window_t *window;
  uint32_t class_, fn;
  ref_operand_t x, y, dx;  // y: dy of a gradient
  uint32_t leading;
  int64_t positions[PEF_MAX_RANK];  // extents of a window
} pool_t;

_Static_assert((int)PEF_POOL_x == (int)PEF_POOL_GRAD_x && (int)PEF_POOL_y == (int)PEF_POOL_GRAD_dy, "both begin so");
static pool_t pool_of(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  pool_t s = {.window = &stage->file->params.window,
              .fn = stage->file->fn,
              .x = leat_ref_operand(stage, PEF_POOL_x, tile),
              .y = leat_ref_operand(stage, PEF_POOL_y, tile)};
  s.class_ = leat_pef_dtype_class(s.x.dtype);
  s.leading = s.x.rank - (uint32_t)s.window->spatial;
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) {
    const bool is_windowed = d >= s.leading && d < s.x.rank;
    s.positions[d] = is_windowed ? s.window->window[d - s.leading] : 1;
  }
  return s;
}

// Where position `k` of the window at `y` lies in x; false in the padding.
static bool find_input(const pool_t *s, const int64_t y[PEF_MAX_RANK], const int64_t k[PEF_MAX_RANK],
                       int64_t out_at[PEF_MAX_RANK]) {
  memcpy(out_at, y, PEF_MAX_RANK * sizeof *out_at);
  const uint32_t d = s->leading;
  return find_place(s->window, &s->x, &s->y, y + d, k + d, out_at + d) == INSIDE;
}

static ref_value_t pooled(const pool_t *s, const int64_t y[PEF_MAX_RANK]) {
  ref_value_t value = leat_ref_neutral(s->fn, s->class_);
  int64_t k[PEF_MAX_RANK] = {0}, at[PEF_MAX_RANK];
  do {
    if (find_input(s, y, k, at)) value = leat_ref_step(s->fn, s->class_, value, leat_ref_read(&s->x, s->class_, at));
  } while (leat_ref_next(k, s->positions));
  return value;
}

void leat_ref_pool(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const pool_t s = pool_of(stage, tile);
  int64_t y[PEF_MAX_RANK] = {0};
  do {
    leat_ref_write(&s.y, s.class_, y, pooled(&s, y));
  } while (leat_ref_next(y, s.y.dims));
}

static void add_gradient(const pool_t *s, const int64_t y[PEF_MAX_RANK], const int64_t x[PEF_MAX_RANK]) {
  const ref_value_t sum =
      leat_ref_add(s->class_, leat_ref_read(&s->dx, s->class_, x), leat_ref_read(&s->y, s->class_, y));
  leat_ref_write(&s->dx, s->class_, x, sum);
}

static void spread(const pool_t *s, const int64_t y[PEF_MAX_RANK]) {
  int64_t k[PEF_MAX_RANK] = {0}, at[PEF_MAX_RANK];
  do {
    if (find_input(s, y, k, at)) add_gradient(s, y, at);
  } while (leat_ref_next(k, s->positions));
}

static void give_to_maximum(const pool_t *s, const int64_t y[PEF_MAX_RANK]) {
  int64_t k[PEF_MAX_RANK] = {0}, at[PEF_MAX_RANK], winner[PEF_MAX_RANK];
  ref_value_t best = {0};
  bool found = false;
  do {
    if (!find_input(s, y, k, at)) continue;
    const ref_value_t x = leat_ref_read(&s->x, s->class_, at);
    if (found && !leat_ref_less(s->class_, best, x) && !leat_ref_is_nan(s->class_, x)) continue;
    found = true;
    best = x;
    memcpy(winner, at, sizeof winner);
  } while (leat_ref_next(k, s->positions));
  if (found) add_gradient(s, y, winner);
}

void leat_ref_pool_grad(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  pool_t s = pool_of(stage, tile);
  s.dx = leat_ref_operand(stage, PEF_POOL_GRAD_dx, tile);
  int64_t x[PEF_MAX_RANK] = {0}, y[PEF_MAX_RANK] = {0};
  do {
    leat_ref_write(&s.dx, s.class_, x, leat_ref_of_int(s.class_, 0));
  } while (leat_ref_next(x, s.dx.dims));
  do {
    if (s.fn == PEF_FN_MAX) {
      give_to_maximum(&s, y);
    } else {
      spread(&s, y);
    }
  } while (leat_ref_next(y, s.y.dims));
}
