// SPDX-License-Identifier: Apache-2.0
// POOL and POOL_GRAD: plane by plane over the leading dims, which may hold the rows.
#include "native/window.h"

typedef struct pool_s {
  leat_kern_pool_t shape;
  uint32_t outer;   // leading dims
  bool contiguous;  // f32, rows of the plane without gaps, windows whose places a float counts: the fast bodies
} pool_t;

// Distance between the first and the last element of a plane, as a bound: the fast bodies keep offsets in 32 bits.
static double plane_floats(const leat_native_operand_t *o, uint32_t spatial) {
  double sum = 1;
  for (uint32_t d = o->rank - spatial; d < o->rank; d++) {
    double stride = (double)o->strides[d];
    sum += (double)o->dims[d] * (stride < 0 ? -stride : stride);
  }
  return sum;
}

static leat_status_t prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context, pool_t **out_pool) {
  const leat_native_operand_t *x = &stage->operands[PEF_POOL_x], *y = &stage->operands[PEF_POOL_y];
  pool_t *p = leat_arena_alloc(context->arena, sizeof *p);
  if (!p) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while preparing a pooling");
  const uint32_t spatial = (uint32_t)stage->params->window.spatial;
  p->shape.window = leat_native_window(stage, x, y);
  p->outer = x->rank - spatial;
  leat_native_spatial_strides(x, spatial, p->shape.x);
  leat_native_spatial_strides(y, spatial, p->shape.y);
  const int64_t *size = p->shape.window.size;
  p->contiguous = x->dtype == PEF_F32 && size[0] <= LEAT_KERN_POOL_ROWS && size[1] <= LEAT_KERN_POOL_ROWS / size[0] &&
                  size[2] <= (1 << 24) / LEAT_KERN_POOL_ROWS;
  for (uint32_t i = 0; i < stage->operand_count; i++) {
    const leat_native_operand_t *o = &stage->operands[i];
    p->contiguous &= o->strides[x->rank - 1] == 1 && plane_floats(o, spatial) < INT32_MAX;
  }
  stage->plan = p;
  *out_pool = p;
  return NULL;
}

leat_status_t leat_native_pool_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  pool_t *p = NULL;
  return prepare(stage, context, &p);
}

leat_status_t leat_native_pool_grad_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  pool_t *p = NULL;
  LEAT_TRY(prepare(stage, context, &p));
  const uint32_t spatial = (uint32_t)stage->params->window.spatial;
  leat_native_spatial_strides(&stage->operands[PEF_POOL_GRAD_dx], spatial, p->shape.dx);
  return NULL;
}

// Advances `at` over the leading dims, and the addresses of the operands with it; false after the last plane.
static bool next_plane(const leat_native_stage_t *stage, const leat_run_tile_t *tile, uint32_t outer, int64_t *at,
                       char **address) {
  for (uint32_t d = outer; d-- > 0;) {
    int64_t extent = leat_native_operand_extent(&stage->operands[0], d, tile);
    bool carry = ++at[d] == extent;
    for (uint32_t i = 0; i < stage->operand_count; i++) {
      const leat_native_operand_t *o = &stage->operands[i];
      address[i] += (carry ? 1 - extent : 1) * o->strides[d] * o->element_bytes;
    }
    if (!carry) return true;
    at[d] = 0;
  }
  return false;
}

// The pooling of a tile: with the bounds of its input, which all its planes may read.
static leat_kern_pool_t tile_shape(const leat_native_stage_t *stage, const leat_run_tile_t *tile, const pool_t *p) {
  const leat_native_operand_t *x = &stage->operands[0];
  leat_kern_pool_t s = p->shape;
  if (!p->contiguous) return s;
  s.x_begin = (const float *)(const void *)leat_native_operand_at(x, tile);
  s.x_end = s.x_begin + 1;
  for (uint32_t d = 0; d < x->rank; d++) {
    const int64_t far = (leat_native_operand_extent(x, d, tile) - 1) * x->strides[d];
    if (far < 0)
      s.x_begin += far;
    else
      s.x_end += far;
  }
  return s;
}

static void run_plane(const leat_kern_pool_t *s, bool fast, const leat_native_stage_t *stage, char *const *address) {
  const leat_kern_t *kern = stage->kern;
  const bool max = stage->fn == PEF_FN_MAX, f32 = stage->operands[0].dtype == PEF_F32;
  const void *x = address[0];
  void *y = address[1];
  if (fast)
    (max ? kern->pool_max_fast : kern->pool_sum_fast)(s, x, y);
  else if (f32)
    (max ? kern->pool_max_f32 : kern->pool_sum_f32)(s, x, y);
  else
    (max ? kern->pool_max_f64 : kern->pool_sum_f64)(s, x, y);
}

static void run_grad_plane(const leat_kern_pool_t *s, bool fast, const leat_native_stage_t *stage,
                           char *const *address) {
  const leat_kern_t *kern = stage->kern;
  const bool max = stage->fn == PEF_FN_MAX, f32 = stage->operands[0].dtype == PEF_F32;
  const void *x = address[0], *dy = address[1];
  void *dx = address[2];
  if (fast && max)
    kern->pool_grad_max_fast(s, x, dy, dx);
  else if (f32)
    (max ? kern->pool_grad_max_f32 : kern->pool_grad_sum_f32)(s, x, dy, dx);
  else
    (max ? kern->pool_grad_max_f64 : kern->pool_grad_sum_f64)(s, x, dy, dx);
}

void leat_native_pool_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const pool_t *p = stage->plan;
  const leat_kern_pool_t s = tile_shape(stage, tile, p);
  int64_t at[8] = {0};
  char *address[2];
  for (uint32_t i = 0; i < 2; i++) address[i] = leat_native_operand_at(&stage->operands[i], tile);
  do {
    run_plane(&s, p->contiguous, stage, address);
  } while (next_plane(stage, tile, p->outer, at, address));
}

void leat_native_pool_grad_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const pool_t *p = stage->plan;
  const leat_kern_pool_t s = tile_shape(stage, tile, p);
  int64_t at[8] = {0};
  char *address[3];
  for (uint32_t i = 0; i < 3; i++) address[i] = leat_native_operand_at(&stage->operands[i], tile);
  do {
    run_grad_plane(&s, p->contiguous, stage, address);
  } while (next_plane(stage, tile, p->outer, at, address));
}
