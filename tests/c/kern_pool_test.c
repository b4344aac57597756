// SPDX-License-Identifier: Apache-2.0
// Poolings and their gradients: every fast body against the generic one, bit for bit, on every ISA level, in one tile
// and in many, row-major and with the channels last.
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "window_rig.h"

static const case_t pools[] = {
    {2, 3, 6, 6, 1, {28, 28}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},
    {2, 3, 16, 16, 1, {10, 10}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},
    {2, 2, 3, 3, 1, {33, 70}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 2, 3, 3, 1, {9, 40}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 2, 3, 3, 1, {9, 64}, {2, 4}, {3, 3}, {0, 1}, {1, 2}, {2, 1}, {1, 1}},
    {1, 2, 3, 3, 1, {77}, {5}, {2}, {2}, {2}, {1}, {1}},
    {3, 2, 2, 2, 1, {5, 6, 34}, {2, 3, 2}, {2, 1, 2}, {1, 1, 0}, {0, 1, 0}, {1, 1, 1}, {1, 1, 1}},
    {2, 1, 2, 2, 1, {7, 7}, {7, 7}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},
    {2, 2, 2, 2, 1, {11, 34}, {3, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},  // pairs, but rows overlap
    {2, 2, 3, 3, 1, {9, 75}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},   // pairs, and inputs that are left
    {3, 2, 2, 2, 1, {5, 7, 34}, {2, 3, 2}, {2, 3, 2}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}, {1, 1, 1}},
    {1, 2, 2, 2, 1, {67}, {2}, {2}, {0}, {0}, {1}, {1}},
    {2, 2, 2, 2, 1, {8, 8}, {2, 2}, {2, 2}, {0, 0}, {1, 1}, {1, 1}, {1, 1}},       // pairs with a row behind
    {2, 2, 37, 37, 1, {9, 13}, {3, 4}, {3, 4}, {0, 1}, {0, 0}, {1, 1}, {1, 1}},    // planes are turned
    {2, 21, 3, 3, 1, {12, 12}, {12, 12}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},  // of images
    {2, 2, 3, 3, 1, {7, 41}, {3, 5}, {1, 1}, {0, 0}, {0, 0}, {2, 3}, {1, 1}},      // inputs in few windows
    {2, 2, 3, 3, 1, {6, 9}, {1, 2}, {1, 1}, {2, 3}, {1, 2}, {1, 2}, {1, 1}},       // windows of padding alone
    {3, 2, 2, 2, 1, {4, 5, 19}, {2, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {3, 1, 18, 18, 1, {4, 5, 9}, {3, 2, 3}, {1, 2, 3}, {1, 0, -1}, {1, 1, 0}, {1, 2, 1}, {1, 1, 1}},
};

// Row-major, or with the channels last.
static void pool_strides(const int64_t *dims, int64_t spatial, bool channels_last, int64_t out_strides[5]) {
  int64_t stride = channels_last ? dims[1] : 1;
  for (int64_t d = 1 + spatial; d > 1; stride *= dims[d--]) out_strides[d] = stride;
  out_strides[1] = channels_last ? 1 : stride;
  out_strides[0] = channels_last ? stride : stride * dims[1];
}

static void pool_operand(rig_t *rig, float *data, const case_t *c, const int64_t *dims, bool channels_last) {
  leat_native_operand_t *operand = rig_operand(rig, PEF_F32, data, 2 + (uint32_t)c->spatial, dims);
  pool_strides(dims, c->spatial, channels_last, operand->strides);
}

static void run_pool(const case_t *c, const arrays_t *a, uint8_t fn, bool channels_last, const leat_kern_t *kern,
                     int64_t tile_rows, float *y, float *dx) {
  rig_t rig;
  rig_init(&rig, dx ? PEF_STAGE_POOL_GRAD : PEF_STAGE_POOL, fn, kern);
  window_params(&rig, c);
  pool_operand(&rig, a->x, c, a->x_dims, channels_last);
  pool_operand(&rig, y, c, a->y_dims, channels_last);
  if (dx) pool_operand(&rig, dx, c, a->x_dims, channels_last);
  for (uint32_t i = 0; i < rig.stage.operand_count && tile_rows > 0; i++) rig_rows(&rig, i, 0);
  assert_ok(rig_run(&rig, tile_rows));
  rig_deinit(&rig);
}

static void generic_pool(const case_t *c, const arrays_t *a, uint8_t fn, bool channels_last, float *y, float *dx) {
  leat_kern_pool_t p = {.window = window_shape(c, a).window};
  const leat_kern_t *k = &leat_kern_portable;
  int64_t xs[5], ys[5];
  pool_strides(a->x_dims, c->spatial, channels_last, xs);
  pool_strides(a->y_dims, c->spatial, channels_last, ys);
  for (int64_t d = 0; d < c->spatial; d++) {
    p.x[3 - c->spatial + d] = p.dx[3 - c->spatial + d] = xs[2 + d];
    p.y[3 - c->spatial + d] = ys[2 + d];
  }
  for (int64_t i = 0; i < c->images * c->channels; i++) {
    const int64_t image = i / c->channels, channel = i % c->channels;
    const int64_t of_x = image * xs[0] + channel * xs[1], of_y = image * ys[0] + channel * ys[1];
    if (dx)
      (fn == PEF_FN_MAX ? k->pool_grad_max_f32 : k->pool_grad_sum_f32)(&p, a->x + of_x, y + of_y, dx + of_x);
    else
      (fn == PEF_FN_MAX ? k->pool_max_f32 : k->pool_sum_f32)(&p, a->x + of_x, y + of_y);
  }
}

static void check_pool(const case_t *c, uint8_t fn, bool channels_last, size_t number) {
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  arrays_t a;
  arrays_init(c, &a);
  rig_fill_f32(a.x, a.x_count, 1, 1);                             // many ties
  for (size_t e = 8; e < a.x_count / 4; e++) a.x[e] = -INFINITY;  // whole windows of it
  a.x[5] = -0.0f, a.x[6] = 0.0f, a.x[a.x_count / 2] = NAN, a.x[a.x_count - 3] = -INFINITY;
  float *y = window_filled(a.y_count, 4, 0), *y2 = window_filled(a.y_count, 5, 0);
  float *dx = window_filled(a.x_count, 6, 0), *dx2 = window_filled(a.x_count, 7, 0);
  generic_pool(c, &a, fn, channels_last, y, NULL);
  generic_pool(c, &a, fn, channels_last, a.y, dx);
  for (uint32_t l = 0; l < levels; l++) {
    run_pool(c, &a, fn, channels_last, kern[l], l % 2, y2, NULL);
    assert_same_bits(y2, y, a.y_count, number, "pool");
    run_pool(c, &a, fn, channels_last, kern[l], l % 2, a.y, dx2);
    assert_same_bits(dx2, dx, a.x_count, number, "pool gradient");
  }
  free(y), free(y2), free(dx), free(dx2);
  arrays_deinit(&a);
}

static void test_pool(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
    for (int last = 0; last < 2; last++) {
      check_pool(&pools[i], PEF_FN_MAX, last != 0, i);
      check_pool(&pools[i], PEF_FN_SUM, last != 0, i);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pool)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
