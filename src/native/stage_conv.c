// SPDX-License-Identifier: Apache-2.0
// CONV and CONV_WGRAD. f32 runs on the fast bodies where they cover the shape, the rest on the generic one; the bits
// are the same. Rows of CONV are images (x dim 0, y dim 0) or output channels (w dim 0, y dim 1); rows of CONV_WGRAD
// are output channels only (dy dim 1, dw dim 0): a gradient is one sum over all images.
#include "native/conv_plan.h"
#include "native/stage_check.h"

// CONV: x, w, y; CONV_WGRAD: x, dy (in the role of y), dw (of w).
typedef struct conv_s {
  leat_kern_conv_t shape;
  const leat_native_operand_t *x, *w, *y;
  const leat_kern_conv_plan_t *forward;  // NULL: generic
  const leat_kern_wgrad_plan_t *wgrad;
} conv_t;

static void read_strides(const leat_native_operand_t *operand, uint32_t spatial, int64_t out_strides[5]) {
  out_strides[0] = operand->strides[0];
  out_strides[1] = operand->strides[1];
  leat_native_spatial_strides(operand, spatial, out_strides + 2);
}

static leat_status_t read_shape(const leat_native_stage_t *stage, conv_t *c) {
  leat_kern_conv_t *s = &c->shape;
  const leat_native_operand_t *x = c->x, *w = c->w, *y = c->y;
  LEAT_TRY(leat_native_window_read(stage, x, y, &s->window));
  const uint32_t spatial = (uint32_t)stage->params->window.spatial;
  const int64_t groups = stage->params->window.groups;
  LEAT_NATIVE_EXPECT(stage, x->rank == spatial + 2 && w->rank == x->rank, "operands of ranks %u, %u and %u", x->rank,
                     w->rank, y->rank);
  LEAT_NATIVE_EXPECT(
      stage, groups >= 1 && x->dims[1] % groups == 0 && w->dims[0] % groups == 0 && w->dims[1] == x->dims[1] / groups,
      "%lld groups do not divide %lld channels into %lld, or %lld outputs", (long long)groups, (long long)x->dims[1],
      (long long)w->dims[1], (long long)w->dims[0]);
  LEAT_NATIVE_EXPECT(stage, leat_native_same_dim(x, 0, y, 0) && leat_native_same_dim(w, 0, y, 1) && x->row_dim != 1,
                     "images or output channels differ between the operands");
  for (uint32_t i = 0; i < spatial; i++) {
    LEAT_NATIVE_EXPECT(stage, w->dims[2 + i] == stage->params->window.window[i],
                       "weights do not have the window's extents");
  }
  LEAT_NATIVE_EXPECT(stage, w->row_dim == 0 || w->row_dim == PEF_NO_ROW_DIM, "rows run along a dim inside the weights");
  LEAT_NATIVE_EXPECT(stage, x->dtype == w->dtype && x->dtype == y->dtype, "dtypes differ");
  if (x->dtype != PEF_F32 && x->dtype != PEF_F64) {
    return leat_native_stage_error(stage, LEAT_UNSUPPORTED, "convolution is computed in f32 and f64 only");
  }
  s->images = x->dims[0];
  s->channels = w->dims[1];
  s->outputs = w->dims[0];
  s->outputs_per_group = w->dims[0] / groups;
  read_strides(x, spatial, s->x);
  read_strides(w, spatial, s->w);
  read_strides(y, spatial, s->y);
  return NULL;
}

static leat_status_t prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context, uint32_t w, uint32_t y,
                             conv_t **out_conv) {
  LEAT_NATIVE_EXPECT(stage, stage->operand_count == 3, "%u operands; 3 are needed", stage->operand_count);
  conv_t *c = leat_arena_alloc(context->arena, sizeof *c);
  if (!c) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while preparing a convolution");
  c->x = &stage->operands[0];
  c->w = &stage->operands[w];
  c->y = &stage->operands[y];
  LEAT_TRY(read_shape(stage, c));
  stage->plan = c;
  *out_conv = c;
  return NULL;
}

leat_status_t leat_native_conv_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  conv_t *c = NULL;
  LEAT_TRY(prepare(stage, context, 1, 2, &c));
  if (c->x->dtype == PEF_F64) return NULL;
  return leat_native_conv_plan(context->arena, &c->shape, &c->forward, &stage->workspace_bytes);
}

leat_status_t leat_native_conv_wgrad_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  conv_t *c = NULL;
  LEAT_TRY(prepare(stage, context, 2, 1, &c));
  LEAT_NATIVE_EXPECT(stage, c->x->row_dim == PEF_NO_ROW_DIM, "rows run along the images of a weight gradient");
  const int64_t *base = c->shape.window.base;
  LEAT_NATIVE_EXPECT(stage, base[0] == 1 && base[1] == 1 && base[2] == 1, "a weight gradient has no base dilation");
  const int64_t chain = stage->params->conv_wgrad.chain;
  c->shape.chain = leat_native_conv_positions(&c->shape) > chain ? chain : 0;  // else it is one block
  if (c->x->dtype == PEF_F64) return NULL;
  return leat_native_wgrad_plan(context->arena, &c->shape, &c->wgrad, &stage->workspace_bytes);
}

// The part of the shape that this tile holds.
static leat_kern_conv_t tile_shape(const conv_t *c, const leat_native_tile_t *tile) {
  leat_kern_conv_t s = c->shape;
  s.images = leat_native_operand_extent(c->x, 0, tile);
  s.outputs = leat_native_operand_extent(c->w, 0, tile);
  s.output_first = leat_native_operand_first(c->w, 0, tile);
  return s;
}

void leat_native_conv_run(const leat_native_stage_t *stage, const leat_native_tile_t *tile) {
  const conv_t *c = stage->plan;
  const leat_kern_conv_t s = tile_shape(c, tile);
  const void *x = leat_native_operand_at(c->x, tile), *w = leat_native_operand_at(c->w, tile);
  void *y = leat_native_operand_at(c->y, tile);
  if (c->forward)
    stage->kern->conv_fast(c->forward, &s, x, w, y, (float *)(void *)tile->workspace);
  else if (c->x->dtype == PEF_F32)
    stage->kern->conv_f32(&s, x, w, y);
  else
    stage->kern->conv_f64(&s, x, w, y);
}

void leat_native_conv_wgrad_run(const leat_native_stage_t *stage, const leat_native_tile_t *tile) {
  const conv_t *c = stage->plan;
  const leat_kern_conv_t s = tile_shape(c, tile);
  const void *x = leat_native_operand_at(c->x, tile), *dy = leat_native_operand_at(c->y, tile);
  void *dw = leat_native_operand_at(c->w, tile);
  if (c->wgrad)
    stage->kern->conv_wgrad_fast(c->wgrad, &s, x, dy, dw, (float *)(void *)tile->workspace);
  else if (c->x->dtype == PEF_F32)
    stage->kern->conv_wgrad_f32(&s, x, dy, dw);
  else
    stage->kern->conv_wgrad_f64(&s, x, dy, dw);
}
