// SPDX-License-Identifier: Apache-2.0
// POOL and POOL_GRAD: plane by plane over the leading dims, which may hold the rows, or planes side by side.
#include "arch/blocks.h"
#include "base/loops.h"
#include "native/window.h"

enum {
  NO_DIM = UINT32_MAX,
  LANES = LEAT_KERN_POOL_BYTES / 4,  // planes that are turned at a time
  FEW_PLANES = LANES / 4,            // fewer are not worth it
};

// How planes are computed: by any strides; f32 whose rows have no gaps, in strips of a row, and there where windows are
// pairs of columns side by side; the gradient of a sum over windows that move by one, as what it is, a sum over windows
// of dy; a vector of planes at once that lie side by side, or are turned so.
typedef enum how_e { BY_ELEMENTS, BY_STRIPS, BY_PAIRS, BY_WINDOWS_OF_DY, BY_LANES, BY_TURNED_LANES } how_t;

// A plane of an operand, with dims merged where they are one run, and where it lies when turned.
typedef struct plane_s {
  int64_t dims[3], strides[3], floats;
  size_t turned;  // floats into the workspace
} plane_t;

typedef struct pool_s {
  leat_kern_pool_t shape;
  uint32_t outer;  // leading dims
  how_t how;
  uint32_t lane_dim;  // the leading dim whose planes go side by side; NO_DIM
  plane_t planes[3];  // of turned operands
  leat_kern_pool_t turned;
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

// Rows without gaps, and windows whose places a float counts.
static bool has_strips(const leat_native_stage_t *stage, const pool_t *p) {
  const uint32_t rank = stage->operands[0].rank, spatial = rank - p->outer;
  const int64_t *size = p->shape.window.size;
  bool strips = stage->operands[0].dtype == PEF_F32 && size[0] <= LEAT_KERN_POOL_ROWS &&
                size[1] <= LEAT_KERN_POOL_ROWS / size[0] && size[2] <= (1 << 24) / LEAT_KERN_POOL_ROWS;
  for (uint32_t i = 0; i < stage->operand_count; i++) {
    const leat_native_operand_t *o = &stage->operands[i];
    strips &= o->strides[rank - 1] == 1 && plane_floats(o, spatial) < INT32_MAX;
  }
  return strips;
}

// Windows of two columns, side by side in every dim from the first input on.
static bool has_pairs(const leat_kern_window_t *w) {
  bool pairs = w->size[2] == 2;
  for (int d = 0; d < 3; d++) {
    pairs &= w->low[d] == 0 && w->dilation[d] == 1 && w->stride[d] == w->size[d] && w->out[d] <= w->in[d] / w->size[d];
  }
  return pairs;
}

// The leading dim along which the planes of all operands lie side by side, a vector of them at least.
static uint32_t find_lanes(const leat_native_stage_t *stage, const pool_t *p) {
  const leat_native_operand_t *x = &stage->operands[0];
  for (uint32_t d = 0; d < p->outer; d++) {
    bool side_by_side = x->dims[d] >= LEAT_KERN_POOL_BYTES / x->element_bytes;
    for (uint32_t i = 0; i < stage->operand_count; i++) side_by_side &= stage->operands[i].strides[d] == 1;
    if (side_by_side) return d;
  }
  return NO_DIM;
}

// The leading dim with the most planes; rows, of which a tile may have few, only where the others have few.
static uint32_t most_planes(const leat_native_stage_t *stage, const pool_t *p) {
  const leat_native_operand_t *x = &stage->operands[0];
  uint32_t best = NO_DIM, rows = NO_DIM;
  for (uint32_t d = 0; d < p->outer; d++) {
    if (x->dims[d] < FEW_PLANES) continue;
    if (d == x->row_dim)
      rows = d;
    else if (best == NO_DIM || x->dims[d] > x->dims[best])
      best = d;
  }
  return best == NO_DIM ? rows : best;
}

static void merge_plane(const int64_t dims[3], const int64_t strides[3], plane_t *out) {
  leat_loops_t loops = {.count = 3, .extents = out->dims, .operands = 1, .row = 3, .strides = out->strides};
  out->floats = dims[0] * dims[1] * dims[2];
  memcpy(out->dims, dims, sizeof out->dims);
  memcpy(out->strides, strides, sizeof out->strides);
  leat_loops_merge(&loops, 0, NULL);
  for (uint32_t d = 3; d-- > 0;) {  // the run of each is the last dim
    const bool there = d + loops.count >= 3;
    out->dims[d] = there ? out->dims[d + loops.count - 3] : 1;
    out->strides[d] = there ? out->strides[d + loops.count - 3] : 0;
  }
}

static void turned_strides(const int64_t dims[3], int64_t out_strides[3]) {
  out_strides[2] = LANES;
  out_strides[1] = dims[2] * out_strides[2];
  out_strides[0] = dims[1] * out_strides[1];
}

// Places turned planes in the workspace; false: they are not worth it.
static bool place_turned(leat_native_stage_t *stage, pool_t *p) {
  const leat_native_operand_t *written = &stage->operands[stage->operand_count - 1];
  const leat_kern_window_t *w = &p->shape.window;
  if (written->dtype != PEF_F32 || written->strides[written->rank - 1] != 1) return false;
  const int64_t *dims[3] = {w->in, w->out, w->in}, *strides[3] = {p->shape.x, p->shape.y, p->shape.dx};
  double bytes = 0;
  for (uint32_t i = 0; i < stage->operand_count; i++) {
    merge_plane(dims[i], strides[i], &p->planes[i]);
    p->planes[i].turned = (size_t)(bytes / 4);
    bytes += (double)p->planes[i].floats * LANES * 4;
    if (bytes > POOL_TURNED_BYTES) return false;
  }
  p->turned = p->shape;
  p->turned.lanes = LANES;
  turned_strides(w->in, p->turned.x);
  turned_strides(w->out, p->turned.y);
  turned_strides(w->in, p->turned.dx);
  stage->workspace_bytes = (size_t)bytes;
  return true;
}

static bool moves_by_one(const leat_kern_window_t *w) {
  return w->stride[0] == 1 && w->stride[1] == 1 && w->stride[2] == 1;
}

// The pooling of dy whose windows hold, for each input, the outputs that read it, in their order.
static leat_kern_pool_t pooling_of_dy(const leat_kern_pool_t *p) {
  leat_kern_pool_t of = *p;
  for (int d = 0; d < 3; d++) {
    of.window.in[d] = p->window.out[d];
    of.window.out[d] = p->window.in[d];
    of.window.low[d] = (p->window.size[d] - 1) * p->window.dilation[d] - p->window.low[d];
    of.x[d] = p->y[d];
    of.y[d] = p->dx[d];
  }
  return of;
}

// Strips are read in steps of one or two elements.
static how_t by_rows(const leat_kern_window_t *w, bool gradient_of_sum) {
  if (has_pairs(w)) return BY_PAIRS;
  if (gradient_of_sum) return moves_by_one(w) ? BY_WINDOWS_OF_DY : BY_ELEMENTS;
  return w->stride[2] <= 2 ? BY_STRIPS : BY_ELEMENTS;
}

static void choose(leat_native_stage_t *stage, pool_t *p) {
  const bool strips = has_strips(stage, p), gradient = stage->operand_count == 3;
  const how_t rows = strips ? by_rows(&p->shape.window, gradient && stage->fn == PEF_FN_SUM) : BY_ELEMENTS;
  p->lane_dim = NO_DIM;
  p->how = rows;
  if (rows == BY_WINDOWS_OF_DY) p->shape = pooling_of_dy(&p->shape);
  if (rows != BY_ELEMENTS) return;
  p->lane_dim = find_lanes(stage, p);
  if (p->lane_dim != NO_DIM) {
    p->how = BY_LANES;
    return;
  }
  const uint32_t most = most_planes(stage, p);
  if (most != NO_DIM && place_turned(stage, p)) {
    p->lane_dim = most;
    p->how = BY_TURNED_LANES;
  } else {
    p->how = strips && !(gradient && stage->fn == PEF_FN_SUM) ? BY_STRIPS : BY_ELEMENTS;
  }
}

static leat_status_t prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  const leat_native_operand_t *x = &stage->operands[PEF_POOL_x], *y = &stage->operands[PEF_POOL_y];
  pool_t *p = leat_arena_alloc(context->arena, sizeof *p);
  if (!p) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while preparing a pooling");
  const uint32_t spatial = (uint32_t)stage->params->window.spatial;
  p->shape.window = leat_native_window(stage, x, y);
  p->outer = x->rank - spatial;
  leat_native_spatial_strides(x, spatial, p->shape.x);
  leat_native_spatial_strides(y, spatial, p->shape.y);
  leat_native_spatial_strides(&stage->operands[stage->operand_count - 1], spatial, p->shape.dx);  // as y: not read
  choose(stage, p);
  stage->plan = p;
  return NULL;
}

leat_status_t leat_native_pool_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  return prepare(stage, context);
}

leat_status_t leat_native_pool_grad_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  return prepare(stage, context);
}

// Advances `at` over the leading dims but that of lanes, and the addresses of the operands with it; false after the
// last plane.
static bool next_plane(const leat_native_stage_t *stage, const leat_run_tile_t *tile, int64_t *at, char **address) {
  const pool_t *p = stage->plan;
  for (uint32_t d = p->outer; d-- > 0;) {
    if (d == p->lane_dim) continue;
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
  const leat_native_operand_t *x = &stage->operands[p->how == BY_WINDOWS_OF_DY ? PEF_POOL_GRAD_dy : PEF_POOL_GRAD_x];
  leat_kern_pool_t s = p->shape;
  if (p->how != BY_STRIPS && p->how != BY_WINDOWS_OF_DY) return s;
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

// --- planes ---------------------------------------------------------------------------------------------------------

static void run_f32(const leat_native_stage_t *stage, how_t how, const leat_kern_pool_t *s, char *const *address) {
  const leat_kern_t *k = stage->kern;
  void (*const pool[][2])(const leat_kern_pool_t *, const float *, float *) = {
      [BY_ELEMENTS] = {k->pool_sum_f32, k->pool_max_f32},
      [BY_STRIPS] = {k->pool_sum_fast, k->pool_max_fast},
      [BY_PAIRS] = {k->pool_sum_pairs, k->pool_max_pairs},
      [BY_LANES] = {k->pool_sum_lanes_f32, k->pool_max_lanes_f32}};
  void (*const gradient[][2])(const leat_kern_pool_t *, const float *, const float *, float *) = {
      [BY_ELEMENTS] = {k->pool_grad_sum_f32, k->pool_grad_max_f32},
      [BY_STRIPS] = {NULL, k->pool_grad_max_fast},
      [BY_PAIRS] = {k->pool_grad_sum_pairs, k->pool_grad_max_pairs},
      [BY_LANES] = {k->pool_grad_sum_lanes_f32, k->pool_grad_max_lanes_f32}};
  const bool max = stage->fn == PEF_FN_MAX;
  const void *x = address[0], *dy = address[1];
  if (stage->operand_count == 2)
    pool[how][max](s, x, (void *)address[1]);
  else if (how == BY_WINDOWS_OF_DY)
    k->pool_sum_fast(s, dy, (void *)address[2]);
  else
    gradient[how][max](s, x, dy, (void *)address[2]);
}

static void run_f64(const leat_native_stage_t *stage, how_t how, const leat_kern_pool_t *s, char *const *address) {
  const leat_kern_t *k = stage->kern;
  void (*const pool[][2])(const leat_kern_pool_t *, const double *, double *) = {
      [BY_ELEMENTS] = {k->pool_sum_f64, k->pool_max_f64}, [BY_LANES] = {k->pool_sum_lanes_f64, k->pool_max_lanes_f64}};
  void (*const gradient[][2])(const leat_kern_pool_t *, const double *, const double *, double *) = {
      [BY_ELEMENTS] = {k->pool_grad_sum_f64, k->pool_grad_max_f64},
      [BY_LANES] = {k->pool_grad_sum_lanes_f64, k->pool_grad_max_lanes_f64}};
  const bool max = stage->fn == PEF_FN_MAX;
  const void *x = address[0], *dy = address[1];
  if (stage->operand_count == 2)
    pool[how][max](s, x, (void *)address[1]);
  else
    gradient[how][max](s, x, dy, (void *)address[2]);
}

static void run_planes(const leat_native_stage_t *stage, how_t how, const leat_kern_pool_t *s, char *const *address) {
  if (stage->operands[0].dtype == PEF_F32)
    run_f32(stage, how, s, address);
  else
    run_f64(stage, how, s, address);
}

// Whole vectors of planes side by side, those that are left one by one.
static void run_lanes(const leat_native_stage_t *stage, const leat_run_tile_t *tile, leat_kern_pool_t s,
                      char *const *address) {
  const pool_t *p = stage->plan;
  const leat_native_operand_t *x = &stage->operands[0];
  const int64_t lanes = leat_native_operand_extent(x, p->lane_dim, tile);
  s.lanes = lanes - lanes % (LEAT_KERN_POOL_BYTES / x->element_bytes);
  if (s.lanes > 0) run_planes(stage, BY_LANES, &s, address);
  for (int64_t lane = s.lanes; lane < lanes; lane++) {
    char *one[3];
    for (uint32_t i = 0; i < stage->operand_count; i++) one[i] = address[i] + lane * x->element_bytes;
    run_planes(stage, BY_ELEMENTS, &s, one);
  }
}

// Between a plane of each lane and the workspace, where element i of lane l is at i * LANES + l.
static void turn(const leat_native_stage_t *stage, uint32_t operand, int64_t lanes, char *planes, char *turned,
                 bool back) {
  const plane_t *p = &((const pool_t *)stage->plan)->planes[operand];
  const int64_t apart = stage->operands[operand].strides[((const pool_t *)stage->plan)->lane_dim];
  uint32_t *at = (uint32_t *)(void *)turned;
  for (int64_t a = 0; a < p->dims[0]; a++) {
    for (int64_t b = 0; b < p->dims[1]; b++, at += p->dims[2] * LANES) {
      uint32_t *run = (uint32_t *)(void *)planes + a * p->strides[0] + b * p->strides[1];
      if (back)
        stage->kern->copy2_b4(run, apart, at, 1, LANES, lanes, p->dims[2]);
      else
        stage->kern->copy2_b4(at, LANES, run, p->strides[2], apart, p->dims[2], lanes);
    }
  }
}

static void run_turned(const leat_native_stage_t *stage, const leat_run_tile_t *tile, char *const *address) {
  const pool_t *p = stage->plan;
  const uint32_t last = stage->operand_count - 1;
  const int64_t count = leat_native_operand_extent(&stage->operands[0], p->lane_dim, tile);
  for (int64_t first = 0; first < count; first += LANES) {
    const int64_t lanes = count - first < LANES ? count - first : LANES;
    char *planes[3], *turned[3];
    for (uint32_t i = 0; i <= last; i++) {
      planes[i] = address[i] + first * stage->operands[i].strides[p->lane_dim] * 4;
      turned[i] = tile->workspace + p->planes[i].turned * 4;
      const bool is_read = i < last && (i > 0 || last == 1 || stage->fn == PEF_FN_MAX);
      if (is_read) turn(stage, i, lanes, planes[i], turned[i], false);
    }
    run_planes(stage, BY_LANES, &p->turned, turned);
    turn(stage, last, lanes, planes[last], turned[last], true);
  }
}

static void run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const pool_t *p = stage->plan;
  const leat_kern_pool_t s = tile_shape(stage, tile, p);
  int64_t at[8] = {0};
  char *address[3];
  for (uint32_t i = 0; i < stage->operand_count; i++) address[i] = leat_native_operand_at(&stage->operands[i], tile);
  do {
    if (p->how == BY_LANES)
      run_lanes(stage, tile, s, address);
    else if (p->how == BY_TURNED_LANES)
      run_turned(stage, tile, address);
    else
      run_planes(stage, p->how, &s, address);
  } while (next_plane(stage, tile, at, address));
}

void leat_native_pool_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) { run(stage, tile); }

void leat_native_pool_grad_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) { run(stage, tile); }
