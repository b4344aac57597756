// SPDX-License-Identifier: Apache-2.0
// CONV and CONV_WGRAD. f32 runs on the fast bodies where they cover the shape, the rest on the generic one; the bits
// are the same. Rows of CONV are images (x dim 0, y dim 0) or output channels (w dim 0, y dim 1); rows of CONV_WGRAD
// are output channels or batches, each of which is a sum over all its images.
#include "base/loops.h"
#include "native/conv_plan.h"
#include "native/finish.h"
#include "native/window.h"

typedef void in_place_t(const leat_kern_conv_t *s, const float *x, const float *w, float *y, float *workspace);

// CONV: x, w, y; CONV_WGRAD: x, dy (in the role of y), dw (of w).
typedef struct conv_s {
  leat_kern_conv_t shape;
  uint32_t batch;  // leading dims of all operands
  const leat_native_operand_t *x, *w, *y;
  in_place_t *in_place;                  // NULL: x is not filtered as it lies
  const leat_kern_conv_plan_t *forward;  // NULL: generic, or in place
  const leat_kern_wgrad_plan_t *wgrad;
  const leat_kern_wgrad_depth_t *wgrad_depth;
  const leat_native_finish_t *finish;  // NULL: it ends with its sums
  int64_t side_step[5];                // strides of finish->side, as those of y in `shape`
} conv_t;

static void read_strides(const leat_native_operand_t *operand, uint32_t batch, uint32_t spatial,
                         int64_t out_strides[5]) {
  out_strides[0] = operand->strides[batch];
  out_strides[1] = operand->strides[batch + 1];
  leat_native_spatial_strides(operand, spatial, out_strides + 2);
}

// A window of one element steps over elements of x that nothing reads: as if they were not there.
static void skip_unread(leat_kern_conv_t *s) {
  leat_kern_window_t *w = &s->window;
  for (int d = 0; d < 3; d++) {
    const int64_t step = w->stride[d];
    if (w->size[d] != 1 || w->base[d] != 1 || w->low[d] % step != 0) continue;
    w->in[d] = (w->in[d] + step - 1) / step;
    w->low[d] /= step;
    w->stride[d] = 1;
    s->x[2 + d] = w->in[d] > 1 ? s->x[2 + d] * step : 0;
  }
}

static void swap(int64_t *a, int64_t *b) {
  const int64_t t = *a;
  *a = *b;
  *b = t;
}

// A picture of one row is one of one column: bands are cut along rows, and rows are copied once for all taps.
static void stand_up(conv_t *c) {
  leat_kern_conv_t *s = &c->shape;
  leat_kern_window_t *w = &s->window;
  if (w->in[1] != 1 || w->out[1] != 1 || w->size[1] != 1 || w->low[1] != 0) return;
  int64_t *const by_dim[] = {w->in,   w->out,   w->size,  w->stride, w->low,          w->dilation,
                             w->base, s->x + 2, s->w + 2, s->y + 2,  c->side_step + 2};
  for (size_t i = 0; i < sizeof by_dim / sizeof *by_dim; i++) swap(&by_dim[i][1], &by_dim[i][2]);
  s->x[4] = s->y[4] = 1;  // of one element
}

static void read_shape(const leat_native_stage_t *stage, conv_t *c) {
  leat_kern_conv_t *s = &c->shape;
  const leat_native_operand_t *x = c->x, *w = c->w, *y = c->y;
  const uint32_t spatial = (uint32_t)stage->params->window.spatial, batch = c->batch;
  s->window = leat_native_window(stage, x, y);
  s->images = x->dims[batch];
  s->channels = w->dims[batch + 1];
  s->outputs = w->dims[batch];
  s->outputs_per_group = (w->first[batch] + s->outputs) / stage->params->window.groups;  // those of one may be cut
  read_strides(x, batch, spatial, s->x);
  read_strides(w, batch, spatial, s->w);
  read_strides(y, batch, spatial, s->y);
  skip_unread(s);
}

static leat_status_t prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context, uint32_t w, uint32_t y,
                             uint32_t batch, conv_t **out_conv) {
  conv_t *c = leat_arena_alloc(context->arena, sizeof *c);
  if (!c) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while preparing a convolution");
  c->x = &stage->operands[0];
  c->w = &stage->operands[w];
  c->y = &stage->operands[y];
  c->batch = batch;
  read_shape(stage, c);
  stage->plan = c;
  *out_conv = c;
  return NULL;
}

// `finish`: what it does with its sums, which then go there; NULL: nothing.
static leat_status_t prepare_forward(leat_native_stage_t *stage, const leat_native_prepare_t *context,
                                     const leat_native_finish_t *finish) {
  conv_t *c = NULL;
  LEAT_TRY(prepare(stage, context, PEF_CONV_w, PEF_CONV_y, 0, &c));
  c->finish = finish;
  if (finish != NULL && finish->side != NULL)
    read_strides(finish->side, 0, (uint32_t)stage->params->window.spatial, c->side_step);
  c->shape.chain = leat_native_conv_terms(&c->shape) > stage->params->conv.chain ? stage->params->conv.chain : 0;
  if (c->x->dtype == PEF_F64) return NULL;
  if (leat_native_conv_is_depth(&c->shape, &stage->workspace_bytes)) c->in_place = stage->kern->conv_depth;
  if (leat_native_conv_is_spread(&c->shape, &stage->workspace_bytes)) c->in_place = stage->kern->conv_depth_spread;
  if (c->in_place) return NULL;
  if (c->shape.window.size[2] > 1) stand_up(c);
  return leat_native_conv_plan(context->arena, &c->shape, &c->forward, &stage->workspace_bytes);
}

// Whether the bodies of a plan know what to do with the sums.
static bool can_finish(const leat_native_stage_t *stage, const leat_native_finish_t *finish) {
  const conv_t *c = stage->plan;
  if (c->in_place != NULL) return c->in_place == stage->kern->conv_depth && finish->side == NULL;
  const int64_t *base = c->shape.window.base;
  return c->forward != NULL && (finish->side == NULL || base[0] * base[1] * base[2] == 1);
}

// The stage and the one behind it as one.
static leat_status_t join(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  leat_native_finish_t *finish = leat_arena_alloc(context->arena, sizeof *finish);
  leat_native_stage_t *joined = leat_arena_alloc(context->arena, sizeof *joined);
  leat_native_operand_t *operands = leat_arena_alloc(context->arena, stage->operand_count * sizeof *operands);
  if (finish == NULL || joined == NULL || operands == NULL)
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while preparing a convolution");
  if (!leat_native_finish_find(stage->next, &stage->operands[PEF_CONV_y], finish) || !can_finish(stage, finish))
    return NULL;
  memcpy(operands, stage->operands, stage->operand_count * sizeof *operands);
  operands[PEF_CONV_y] = *finish->y;
  *joined = *stage;
  joined->operands = operands;
  LEAT_TRY(prepare_forward(joined, context, finish));
  if (can_finish(joined, finish)) stage->joined = joined, stage->joined_count = 2;
  return NULL;
}

leat_status_t leat_native_conv_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  LEAT_TRY(prepare_forward(stage, context, NULL));
  return stage->next != NULL && stage->next->kind == leat_native_stage_kind(PEF_STAGE_MAP) ? join(stage, context)
                                                                                           : NULL;
}

leat_status_t leat_native_conv_wgrad_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  conv_t *c = NULL;
  const uint32_t batch = (uint32_t)stage->params->conv_wgrad.batch;
  LEAT_TRY(prepare(stage, context, PEF_CONV_WGRAD_dw, PEF_CONV_WGRAD_dy, batch, &c));
  const int64_t chain = stage->params->conv_wgrad.chain;
  c->shape.chain = leat_native_conv_positions(&c->shape) > chain ? chain : 0;  // else it is one block
  if (c->x->dtype == PEF_F64) return NULL;
  LEAT_TRY(leat_native_wgrad_depth_plan(context->arena, &c->shape, &c->wgrad_depth, &stage->workspace_bytes));
  if (c->wgrad_depth) return NULL;
  stand_up(c);
  return leat_native_wgrad_plan(context->arena, &c->shape, &c->wgrad, &stage->workspace_bytes);
}

// The part of the shape that this tile holds.
static leat_kern_conv_t tile_shape(const conv_t *c, const leat_run_tile_t *tile) {
  leat_kern_conv_t s = c->shape;
  s.images = leat_native_operand_extent(c->x, c->batch, tile);
  s.outputs = leat_native_operand_extent(c->w, c->batch, tile);
  s.output_first = leat_native_operand_first(c->w, c->batch, tile);
  return s;
}

static leat_kern_finish_t tile_finish(const conv_t *c, const leat_run_tile_t *tile) {
  const leat_native_finish_t *finish = c->finish;
  leat_kern_finish_t f = {.bounded = finish->bounded, .low = finish->low, .high = finish->high};
  if (finish->bias != NULL) {
    f.bias = (const float *)(const void *)leat_native_operand_at(finish->bias, tile);
    f.bias_step = finish->bias->strides[1];
  }
  if (finish->side != NULL) f.side = (const float *)(const void *)leat_native_operand_at(finish->side, tile);
  memcpy(f.side_step, c->side_step, sizeof f.side_step);
  return f;
}

void leat_native_conv_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const conv_t *c = stage->plan;
  leat_kern_conv_t s = tile_shape(c, tile);
  leat_kern_finish_t finish;
  if (c->finish != NULL) {
    finish = tile_finish(c, tile);
    s.finish = &finish;
  }
  const void *x = leat_native_operand_at(c->x, tile), *w = leat_native_operand_at(c->w, tile);
  void *y = leat_native_operand_at(c->y, tile);
  if (c->in_place)
    c->in_place(&s, x, w, y, (float *)(void *)tile->workspace);
  else if (c->forward)
    stage->kern->conv_fast(c->forward, &s, x, w, y, (float *)(void *)tile->workspace);
  else if (c->x->dtype == PEF_F32)
    stage->kern->conv_f32(&s, x, w, y);
  else
    stage->kern->conv_f64(&s, x, w, y);
}

// Address of a batch of an operand.
static char *batch_at(const conv_t *c, const leat_native_operand_t *operand, const leat_run_tile_t *tile,
                      const int64_t index[8]) {
  int64_t elements = 0;
  for (uint32_t d = 0; d < c->batch; d++) elements += index[d] * operand->strides[d];
  return leat_native_operand_at(operand, tile) + elements * operand->element_bytes;
}

void leat_native_conv_wgrad_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const conv_t *c = stage->plan;
  const leat_kern_conv_t s = tile_shape(c, tile);
  int64_t batches[8], index[8] = {0};
  for (uint32_t d = 0; d < c->batch; d++) batches[d] = leat_native_operand_extent(c->x, d, tile);
  do {
    const void *x = batch_at(c, c->x, tile, index), *dy = batch_at(c, c->y, tile, index);
    void *dw = batch_at(c, c->w, tile, index);
    if (c->wgrad_depth)
      stage->kern->conv_wgrad_depth(c->wgrad_depth, &s, x, dy, dw, (float *)(void *)tile->workspace);
    else if (c->wgrad)
      stage->kern->conv_wgrad_fast(c->wgrad, &s, x, dy, dw, (float *)(void *)tile->workspace);
    else if (c->x->dtype == PEF_F32)
      stage->kern->conv_wgrad_f32(&s, x, dy, dw);
    else
      stage->kern->conv_wgrad_f64(&s, x, dy, dw);
  } while (leat_index_next(c->batch, batches, index));
}
