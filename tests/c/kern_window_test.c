// SPDX-License-Identifier: Apache-2.0
// Convolutions: every fast body against the generic one, bit for bit, on every ISA level, in one tile and
// in many, over a sweep of shapes; the generic one against sums written out here, in f64.
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "window_rig.h"

static const case_t cases[] = {
    {2, 3, 1, 6, 1, {28, 28}, {5, 5}, {1, 1}, {2, 2}, {2, 2}, {1, 1}, {1, 1}},  // LeNet
    {2, 3, 6, 16, 1, {14, 14}, {5, 5}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},
    {2, 3, 16, 6, 1, {10, 10}, {5, 5}, {1, 1}, {4, 4}, {4, 4}, {1, 1}, {1, 1}},  // its x gradient
    {2, 2, 3, 9, 1, {19, 17}, {7, 7}, {2, 2}, {3, 3}, {3, 3}, {1, 1}, {1, 1}},   // strided
    {2, 2, 9, 3, 1, {10, 9}, {7, 7}, {1, 1}, {3, 3}, {3, 2}, {1, 1}, {2, 2}},    // its x gradient: phases
    {2, 2, 4, 4, 1, {5, 6}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {3, 3}},     // phases without a tap
    {2, 2, 8, 12, 4, {9, 8}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},    // groups
    {2, 2, 7, 7, 7, {12, 40}, {3, 3}, {2, 1}, {1, 1}, {1, 1}, {1, 2}, {1, 1}},   // depthwise, dilated
    {2, 2, 3, 6, 3, {10, 55}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},   // two outputs a channel
    {2, 1, 3, 3, 3, {9, 97}, {3, 3}, {2, 2}, {1, 0}, {0, 1}, {1, 1}, {1, 1}},    // every other column
    {2, 2, 5, 5, 5, {7, 7}, {5, 5}, {1, 1}, {2, 2}, {2, 2}, {1, 1}, {1, 1}},
    {2, 1, 2, 2, 2, {11, 50}, {5, 5}, {2, 2}, {2, 2}, {2, 2}, {1, 1}, {1, 1}},
    {2, 1, 3, 3, 3, {14, 36}, {7, 7}, {1, 1}, {3, 3}, {3, 3}, {1, 1}, {1, 1}},
    {2, 1, 2, 2, 2, {3, 2}, {3, 3}, {2, 2}, {9, 20}, {9, 20}, {1, 1}, {1, 1}},    // most of it padding
    {2, 1, 2, 2, 2, {9, 40}, {3, 3}, {1, 1}, {-2, -3}, {1, -2}, {1, 1}, {1, 1}},  // cropped
    {1, 2, 3, 3, 3, {70}, {4}, {1}, {3}, {0}, {1}, {1}},                          // causal
    {3, 1, 2, 2, 2, {5, 6, 20}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {3, 1, 2, 2, 2, {5, 6, 40}, {2, 3, 4}, {2, 2, 2}, {1, 1, 1}, {1, 1, 1}, {2, 1, 3}, {1, 1, 1}},
    {2, 2, 24, 19, 1, {6, 7}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},  // 1x1: no copy
    {2, 2, 5, 5, 1, {7, 9}, {1, 1}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},
    {2, 6, 33, 18, 1, {3, 2}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},    // small planes
    {2, 5, 3, 2, 1, {4, 4}, {4, 4}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},      // one output
    {2, 1, 40, 10, 1, {41, 41}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},  // bands, the last lower; blocks of
                                                                                  // channels
    {2, 1, 256, 3, 1, {20, 20}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},  // blocks of a weight gradient
    {2, 2, 256, 4, 2, {4, 200}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},  // in groups
    {2, 1, 70, 53, 1, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},    // a lane more than whole vectors
    {2, 2, 520, 17, 1, {7, 7}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},   // of many channels, without a copy
    {2, 1, 270, 16, 1, {5, 10}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},  // two lanes, blocks of channels
    {2, 2, 2, 3, 1, {8, 8}, {3, 3}, {1, 1}, {-1, -1}, {2, 0}, {1, 1}, {1, 1}},    // cropped
    {2, 1, 2, 3, 1, {3, 3}, {3, 3}, {2, 2}, {9, 9}, {9, 9}, {1, 1}, {2, 2}},      // stride and base: generic
    {1, 3, 5, 7, 1, {50}, {4}, {1}, {0}, {0}, {1}, {1}},                          // 1-D without padding: no copy
    {1, 3, 4, 6, 2, {33}, {5}, {3}, {4}, {2}, {2}, {1}},
    {3, 2, 3, 5, 1, {5, 6, 7}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {3, 2, 4, 6, 2, {6, 5, 9}, {2, 3, 1}, {2, 1, 2}, {0, 1, 0}, {1, 1, 0}, {2, 1, 1}, {1, 1, 1}},
    {3, 1, 6, 4, 1, {3, 3, 4}, {3, 3, 3}, {1, 1, 1}, {1, 2, 1}, {1, 2, 1}, {1, 1, 1}, {2, 1, 2}},
    {3, 2, 5, 6, 1, {4, 5, 6}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}, {1, 1, 1}},
    {2, 2, 5, 6, 1, {9, 8}, {1, 3}, {2, 1}, {2, 1}, {3, 1}, {1, 1}, {1, 1}},        // rows that nothing reads
    {2, 3, 37, 37, 37, {9, 21}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},    // depthwise: lanes and some more
    {2, 1, 16, 16, 16, {40, 150}, {7, 7}, {1, 1}, {3, 3}, {3, 3}, {1, 1}, {1, 1}},  // in bands
    {2, 2, 18, 18, 18, {11, 12}, {5, 5}, {2, 2}, {2, 2}, {2, 2}, {1, 1}, {1, 1}},
    {2, 1, 6, 6, 6, {4, 5}, {2, 2}, {3, 2}, {0, 4}, {0, 5}, {1, 1}, {1, 1}},  // windows of padding alone
    {1, 2, 17, 17, 17, {60}, {9}, {1}, {4}, {4}, {1}, {1}},
    {2, 2, 5, 5, 5, {7, 40}, {3, 3}, {1, 1}, {1, 1}, {2, 2}, {1, 1}, {2, 2}},  // x gradients of strided ones
    {2, 1, 3, 3, 3, {6, 9}, {5, 4}, {1, 1}, {2, 2}, {3, 2}, {2, 1}, {3, 2}},
    {2, 2, 4, 4, 4, {5, 33}, {1, 1}, {1, 1}, {0, -1}, {1, 1}, {1, 1}, {2, 2}},  // columns that see nothing
    {1, 1, 3, 3, 3, {70}, {7}, {1}, {5}, {4}, {1}, {2}},
    {1, 2, 20, 3, 1, {6000}, {5}, {1}, {3}, {2}, {1}, {1}},  // long lines: in bands
    {1, 1, 17, 3, 1, {7000}, {4}, {2}, {3}, {1}, {2}, {1}},
    {1, 1, 18, 2, 1, {3100}, {5}, {1}, {4}, {3}, {1}, {2}},
    {1, 2, 3, 2, 1, {40}, {3}, {3}, {-2}, {5}, {1}, {1}},
    {3, 1, 3, 3, 3, {3, 4, 18}, {3, 2, 3}, {1, 1, 1}, {1, 1, 2}, {1, 0, 1}, {1, 1, 1}, {2, 1, 2}},
    {3, 2, 20, 20, 20, {4, 5, 6}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {2, 2, 3, 9, 1, {9, 48}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},  // rows of whole registers
    {2, 1, 4, 8, 2, {32, 32}, {7, 7}, {2, 2}, {3, 3}, {3, 3}, {1, 1}, {1, 1}},
    {2, 1, 5, 3, 1, {7, 48}, {2, 4}, {1, 3}, {0, 1}, {0, 1}, {1, 1}, {1, 1}},
    {2, 1, 3, 4, 1, {8, 16}, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}, {1, 1}},
    {2, 2, 6, 5, 1, {5, 16}, {4, 4}, {1, 1}, {2, 2}, {2, 2}, {1, 1}, {2, 2}},  // two phases of them
    {2, 1, 270, 4, 1, {17, 32}, {3, 3}, {1, 1}, {1, -1}, {1, 3}, {1, 1}, {1, 1}},
    {3, 1, 3, 7, 1, {4, 5, 16}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {2, 2, 5, 5, 5, {14, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},  // depthwise, a register a row
    {2, 1, 3, 6, 3, {1, 6}, {3, 3}, {1, 1}, {2, 0}, {1, 3}, {1, 1}, {1, 1}},
    {2, 2, 3, 3, 3, {6, 20}, {5, 5}, {1, 1}, {-1, 1}, {2, -3}, {1, 1}, {1, 1}},
};
enum { CASES = sizeof cases / sizeof *cases };

// Runs CONV into `out`, rows along images (0), outputs (1) or not at all (-1).
static void run_conv(const case_t *c, const arrays_t *a, const leat_kern_t *kern, int rows, int64_t tile_rows,
                     int64_t chain, float *out) {
  rig_t rig;
  const uint32_t rank = 2 + (uint32_t)c->spatial;
  rig_init(&rig, PEF_STAGE_CONV, 0, kern);
  window_params(&rig, c);
  rig.params.conv.chain = chain;
  rig_operand(&rig, PEF_F32, a->x, rank, a->x_dims);
  rig_operand(&rig, PEF_F32, a->w, rank, a->w_dims);
  rig_operand(&rig, PEF_F32, out, rank, a->y_dims);
  if (rows == 0) rig_rows(&rig, 0, 0), rig_rows(&rig, 2, 0);
  if (rows == 1) rig_rows(&rig, 1, 0), rig_rows(&rig, 2, 1);
  assert_ok(rig_run(&rig, tile_rows));
  const int64_t window = window_product(a->w_dims + 2, c->spatial);
  const bool long_sum = chain > 0 && chain < window * a->w_dims[1];
  const bool generic = (c->stride[0] > 1 && c->base[0] > 1) || (long_sum && chain % window != 0);
  assert_int_equal(rig.stage.workspace_bytes == 0, generic);  // only the fast body has a workspace
  rig_deinit(&rig);
}
static void run_wgrad(const case_t *c, const arrays_t *a, const leat_kern_t *kern, int rows, int64_t tile_rows,
                      int64_t chain, float *out) {
  rig_t rig;
  const uint32_t rank = 2 + (uint32_t)c->spatial;
  rig_init(&rig, PEF_STAGE_CONV_WGRAD, 0, kern);
  window_params(&rig, c);
  rig.params.conv_wgrad.chain = chain;
  rig_operand(&rig, PEF_F32, a->x, rank, a->x_dims);
  rig_operand(&rig, PEF_F32, a->y, rank, a->y_dims);
  rig_operand(&rig, PEF_F32, out, rank, a->w_dims);
  if (rows == 1) rig_rows(&rig, 1, 1), rig_rows(&rig, 2, 0);
  assert_ok(rig_run(&rig, tile_rows));
  assert_true(rig.stage.workspace_bytes > 0);
  rig_deinit(&rig);
}

// One chain, blocks of so many channels, and one that ends within a channel.
static void test_conv(void **state) {
  (void)state;
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (size_t i = 0; i < CASES * 4; i++) {
    const case_t *c = &cases[i / 4];
    arrays_t a;
    arrays_init(c, &a);
    leat_kern_conv_t s = window_shape(c, &a);
    const int64_t window = window_product(a.w_dims + 2, c->spatial);
    const int64_t chain = (const int64_t[]){0, window, 3 * window, window + 1}[i % 4];
    s.chain = chain;
    float *expected = window_filled(a.y_count, 4, 0), *y = window_filled(a.y_count, 5, 0);
    kern[0]->conv_f32(&s, a.x, a.w, expected);
    for (uint32_t l = 0; l < levels; l++) {
      kern[l]->conv_f32(&s, a.x, a.w, y);
      assert_same_bits(y, expected, a.y_count, i, "generic level");
      run_conv(c, &a, kern[l], -1, 0, chain, y);
      assert_same_bits(y, expected, a.y_count, i, "one tile");
      rig_fill_f32(y, a.y_count, 6, 0);
      run_conv(c, &a, kern[l], 0, 2, chain, y);
      assert_same_bits(y, expected, a.y_count, i, "tiles of images");
      rig_fill_f32(y, a.y_count, 7, 0);
      run_conv(c, &a, kern[l], 1, 5, chain, y);
      assert_same_bits(y, expected, a.y_count, i, "tiles of outputs");
    }
    free(expected), free(y);
    arrays_deinit(&a);
  }
}

static bool has_gradient(const case_t *c) { return c->base[0] <= 1 && c->base[1] <= 1 && c->base[2] <= 1; }
static int64_t positions_of(const leat_kern_conv_t *s) {
  return s->window.out[0] * s->window.out[1] * s->window.out[2];
}

// Blocks of so many positions, none, an odd number, some rows, one image.
static void test_wgrad(void **state) {
  (void)state;
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (size_t i = 0; i < CASES * 4; i++) {
    const case_t *c = &cases[i / 4];
    if (!has_gradient(c)) continue;
    arrays_t a;
    arrays_init(c, &a);
    leat_kern_conv_t s = window_shape(c, &a);
    const int64_t chain = (const int64_t[]){0, 7, 100, positions_of(&s)}[i % 4];
    s.chain = chain;
    float *expected = window_filled(a.w_count, 4, 0), *dw = window_filled(a.w_count, 5, 0);
    kern[0]->conv_wgrad_f32(&s, a.x, a.y, expected);
    for (uint32_t l = 0; l < levels; l++) {
      run_wgrad(c, &a, kern[l], -1, 0, chain, dw);
      assert_same_bits(dw, expected, a.w_count, i, "one tile");
      rig_fill_f32(dw, a.w_count, 6, 0);
      run_wgrad(c, &a, kern[l], 1, 4, chain, dw);
      assert_same_bits(dw, expected, a.w_count, i, "tiles of outputs");
    }
    free(expected), free(dw);
    arrays_deinit(&a);
  }
}

// With blocks of an image's positions, a gradient is the gradients of the images, added pairwise.
static void test_wgrad_blocks(void **state) {
  (void)state;
  for (size_t i = 0; i < CASES; i++) {
    const case_t *c = &cases[i];
    if (!has_gradient(c)) continue;
    arrays_t a;
    arrays_init(c, &a);
    leat_kern_conv_t one = window_shape(c, &a), all = one;
    const size_t images = (size_t)c->images;
    float *sums = window_filled(a.w_count * (images + 1), 4, 0), *dw = window_filled(a.w_count, 5, 0);
    one.images = 1;
    all.chain = positions_of(&all);
    for (size_t n = 0; n < images; n++)
      leat_kern_portable.conv_wgrad_f32(&one, a.x + n * a.x_count / images, a.y + n * a.y_count / images,
                                        sums + n * a.w_count);
    for (size_t at = 0; at < a.w_count; at++) {
      float *g = sums + at;
      const size_t w = a.w_count;
      if (images == 2) g[0] = g[0] + g[w];
      if (images == 3) g[0] = (g[0] + g[w]) + g[2 * w];
      if (images == 5) g[0] = ((g[0] + g[w]) + (g[2 * w] + g[3 * w])) + g[4 * w];
      if (images == 6) g[0] = ((g[0] + g[w]) + (g[2 * w] + g[3 * w])) + (g[4 * w] + g[5 * w]);
    }
    leat_kern_portable.conv_wgrad_f32(&all, a.x, a.y, dw);
    assert_same_bits(dw, sums, a.w_count, i, "blocks of images");
    free(sums), free(dw);
    arrays_deinit(&a);
  }
}

// The sums of the format's text, in f64, over one 2-D case with everything in it.
static void test_conv_f64(void **state) {
  (void)state;
  const case_t c = {2, 2, 4, 6, 2, {5, 6}, {3, 2}, {2, 1}, {1, 2}, {0, 1}, {1, 2}, {1, 2}};
  arrays_t a;
  arrays_init(&c, &a);
  leat_kern_conv_t s = window_shape(&c, &a);
  double *x = malloc(a.x_count * 8), *w = malloc(a.w_count * 8), *y = malloc(a.y_count * 8);
  for (size_t i = 0; i < a.x_count; i++) x[i] = a.x[i];
  for (size_t i = 0; i < a.w_count; i++) w[i] = a.w[i];
  leat_kern_portable.conv_f64(&s, x, w, y);
  for (int64_t i = 0; i < (int64_t)a.y_count; i++) {
    int64_t ox = i % a.y_dims[3], oy = i / a.y_dims[3] % a.y_dims[2], o = i / a.y_dims[3] / a.y_dims[2] % 6;
    int64_t n = i / a.y_dims[3] / a.y_dims[2] / 6;
    double sum = 0;
    for (int64_t ch = 0; ch < 2; ch++) {
      for (int64_t ky = 0; ky < 3; ky++) {
        for (int64_t kx = 0; kx < 2; kx++) {
          int64_t py = oy * 2 + ky - 1, px = ox + kx * 2 - 2;
          if (py < 0 || py >= 5 || px < 0 || px % 2 != 0 || px / 2 >= 6) continue;
          sum += x[((n * 4 + o / 3 * 2 + ch) * 5 + py) * 6 + px / 2] * w[((o * 2 + ch) * 3 + ky) * 2 + kx];
        }
      }
    }
    assert_true(fabs(sum - y[i]) < 1e-14);
  }
  free(x), free(w), free(y);
  arrays_deinit(&a);
}

// Strides that are not row-major: channels last in x and y, flipped windows in w.
static void test_conv_strided(void **state) {
  (void)state;
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  const case_t *c = &cases[1];
  arrays_t a;
  arrays_init(c, &a);
  float *y = window_filled(a.y_count, 5, 0), *expected = window_filled(a.y_count, 6, 0);
  for (uint32_t l = 0; l < levels; l++) {
    rig_t rig;
    rig_init(&rig, PEF_STAGE_CONV, 0, kern[l]);
    window_params(&rig, c);
    leat_native_operand_t *x_o = rig_operand(&rig, PEF_F32, a.x, 4, a.x_dims),
                          *w_o = rig_operand(&rig, PEF_F32, a.w, 4, a.w_dims);
    leat_native_operand_t *y_o = rig_operand(&rig, PEF_F32, y, 4, a.y_dims);
    const int64_t x_strides[4] = {14 * 14 * 6, 1, 14 * 6, 6}, y_strides[4] = {10 * 10 * 16, 1, 10 * 16, 16};
    memcpy(x_o->strides, x_strides, sizeof x_strides);
    memcpy(y_o->strides, y_strides, sizeof y_strides);
    w_o->strides[2] = -5, w_o->strides[3] = -1, w_o->offset = 24 * 4;
    assert_ok(rig_run(&rig, 0));
    rig_deinit(&rig);
    leat_kern_conv_t s = window_shape(c, &a);
    const int64_t x5[5] = {x_strides[0], 1, 0, x_strides[2], 6}, y5[5] = {y_strides[0], 1, 0, y_strides[2], 16};
    memcpy(s.x, x5, sizeof x5);
    memcpy(s.y, y5, sizeof y5);
    s.w[3] = -5, s.w[4] = -1;
    kern[0]->conv_f32(&s, a.x, a.w + 24, expected);
    assert_same_bits(y, expected, a.y_count, 1, "strided");
  }
  free(y), free(expected);
  arrays_deinit(&a);
}

// Transposed convolutions as they are lowered: weights lie [channel][output][window], windows backwards; lines of y of
// two, three, four and more phases, whole or not, along rows and along columns of one element; in tiles of outputs.
static void test_conv_phases(void **state) {
  (void)state;
  static const case_t phases[] = {
      {2, 2, 20, 9, 1, {5, 7}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {2, 2}},
      {2, 2, 18, 5, 1, {6, 9}, {4, 4}, {1, 1}, {2, 2}, {2, 2}, {1, 1}, {2, 2}},
      {2, 1, 33, 19, 1, {6, 33}, {3, 3}, {1, 1}, {1, 1}, {2, 1}, {1, 1}, {2, 2}},  // odd lines
      {2, 1, 3, 6, 1, {3, 41}, {3, 5}, {1, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 3}},
      {2, 1, 6, 4, 1, {9, 18}, {4, 8}, {1, 1}, {2, 5}, {2, 6}, {1, 1}, {2, 4}},
      {1, 2, 17, 20, 1, {37}, {16}, {1}, {11}, {11}, {1}, {8}},
      {1, 1, 40, 3, 1, {3000}, {4}, {1}, {2}, {2}, {1}, {2}},  // in bands
      {1, 2, 5, 3, 1, {19}, {6}, {1}, {4}, {3}, {1}, {3}},
      {1, 3, 5, 3, 1, {1}, {5}, {1}, {4}, {2}, {1}, {9}},  // fewer outputs than phases
      {3, 1, 17, 4, 1, {3, 4, 9}, {2, 2, 2}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {2, 2, 2}},
      {3, 1, 4, 3, 1, {3, 1, 1}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {2, 2, 2}},
  };
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (size_t i = 0; i < 3 * sizeof phases / sizeof *phases; i++) {
    const case_t *c = &phases[i / 3];
    arrays_t a;
    arrays_init(c, &a);
    leat_kern_conv_t s = window_shape(c, &a);
    const int64_t window = (int64_t)window_product(a.w_dims + 2, c->spatial);
    s.chain = i % 3 == 2 ? 2 * window : 0;
    s.w[0] = window, s.w[1] = c->outputs * window;
    for (int d = 2; d < 5; d++) s.w[d] = -s.w[d];
    float *y = window_filled(a.y_count, 5, 0), *expected = window_filled(a.y_count, 4, 0);
    kern[0]->conv_f32(&s, a.x, a.w + window - 1, expected);
    for (uint32_t l = 0; l < levels; l++) {
      rig_t rig;
      const uint32_t rank = 2 + (uint32_t)c->spatial;
      rig_init(&rig, PEF_STAGE_CONV, 0, kern[l]);
      window_params(&rig, c);
      rig.params.conv.chain = s.chain;
      rig_operand(&rig, PEF_F32, a.x, rank, a.x_dims);
      leat_native_operand_t *w = rig_operand(&rig, PEF_F32, a.w, rank, a.w_dims);
      rig_operand(&rig, PEF_F32, y, rank, a.y_dims);
      for (uint32_t d = 0; d < rank; d++) w->strides[d] = s.w[d < 2 ? d : d + 5 - rank];
      w->offset = (window - 1) * (int64_t)sizeof *y;
      if (i % 3 == 1) rig_rows(&rig, 1, 0), rig_rows(&rig, 2, 1);
      assert_ok(rig_run(&rig, i % 3 == 1 ? 2 : 0));
      rig_deinit(&rig);
      assert_same_bits(y, expected, a.y_count, i, "phases");
    }
    free(y), free(expected);
    arrays_deinit(&a);
  }
}

// w[k][o] of w[o][k]: outputs side by side, an odd number of lines from tap to tap.
static float *turned_weights(const arrays_t *a, int64_t outputs, int64_t pitch) {
  const int64_t taps = (int64_t)a->w_count / outputs;
  float *w = window_filled((size_t)(taps * pitch), 8, 0);
  for (int64_t o = 0; o < outputs; o++) {
    for (int64_t k = 0; k < taps; k++) w[k * pitch + o] = a->w[o * taps + k];
  }
  return w;
}

static void run_turned(const case_t *c, const arrays_t *a, const float *w, int64_t pitch, const leat_kern_t *kern,
                       int rows, int64_t tile_rows, int64_t chain, float *out) {
  rig_t rig;
  const uint32_t rank = 2 + (uint32_t)c->spatial;
  rig_init(&rig, PEF_STAGE_CONV, 0, kern);
  window_params(&rig, c);
  rig.params.conv.chain = chain;
  rig_operand(&rig, PEF_F32, a->x, rank, a->x_dims);
  leat_native_operand_t *operand = rig_operand(&rig, PEF_F32, (void *)(uintptr_t)w, rank, a->w_dims);
  rig_operand(&rig, PEF_F32, out, rank, a->y_dims);
  operand->strides[0] = 1;
  for (uint32_t d = 1; d < rank; d++) operand->strides[d] *= pitch;
  if (rows == 0) rig_rows(&rig, 0, 0), rig_rows(&rig, 2, 0);
  if (rows == 1) rig_rows(&rig, 1, 0), rig_rows(&rig, 2, 1);
  assert_ok(rig_run(&rig, tile_rows));
  rig_deinit(&rig);
}

// Weights lie turned, and rows of y the other way round: they are not stored side by side.
static void test_conv_turned_backwards(void **state) {
  (void)state;
  const case_t c = {2, 2, 90, 20, 1, {9, 11}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}};
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  arrays_t a;
  arrays_init(&c, &a);
  leat_kern_conv_t s = window_shape(&c, &a);
  float *y = window_filled(a.y_count, 5, 0), *expected = window_filled(a.y_count, 4, 0),
        *w = turned_weights(&a, c.outputs, 48);
  kern[0]->conv_f32(&s, a.x, a.w, expected);
  const int64_t width = a.y_dims[3];
  for (uint32_t l = 0; l < levels; l++) {
    rig_t rig;
    rig_init(&rig, PEF_STAGE_CONV, 0, kern[l]);
    window_params(&rig, &c);
    rig_operand(&rig, PEF_F32, a.x, 4, a.x_dims);
    leat_native_operand_t *w_o = rig_operand(&rig, PEF_F32, w, 4, a.w_dims);
    leat_native_operand_t *y_o = rig_operand(&rig, PEF_F32, y, 4, a.y_dims);
    w_o->strides[0] = 1;
    for (uint32_t d = 1; d < 4; d++) w_o->strides[d] *= 48;
    y_o->strides[3] = -1, y_o->offset = (width - 1) * (int64_t)sizeof *y;
    assert_ok(rig_run(&rig, 0));
    rig_deinit(&rig);
    for (int64_t i = 0; i < (int64_t)a.y_count; i++) {
      const int64_t mirrored = i / width * width + width - 1 - i % width;
      assert_memory_equal(&y[mirrored], &expected[i], sizeof *y);
    }
  }
  free(w), free(y), free(expected);
  arrays_deinit(&a);
}

// Small pictures and larger ones, of several images, with copies and without, in blocks of channels and of sums.
static void test_conv_turned(void **state) {
  (void)state;
  static const case_t turned[] = {
      {2, 5, 20, 83, 1, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {2, 3, 1030, 18, 1, {7, 7}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},
      {2, 2, 90, 20, 1, {9, 11}, {1, 1}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},
      {2, 2, 30, 65, 1, {14, 14}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {2, 1, 7, 70, 1, {17, 16}, {3, 3}, {1, 1}, {1, 0}, {0, 2}, {1, 1}, {1, 1}},  // not so small
      {2, 2, 6, 40, 2, {5, 6}, {3, 2}, {1, 1}, {1, 1}, {1, 1}, {2, 1}, {1, 1}},    // in groups
      {2, 1, 120, 18, 1, {13, 12}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {2, 2, 20, 17, 1, {3, 3}, {3, 3}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},  // one position
      {2, 2, 20, 17, 1, {6, 6}, {3, 3}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},  // without padding: no copy
      {1, 3, 40, 32, 1, {50}, {5}, {2}, {2}, {2}, {1}, {1}},
      {3, 2, 9, 33, 1, {3, 4, 5}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
      {2, 1, 5, 20, 1, {4, 4}, {3, 3}, {1, 1}, {2, 2}, {1, 1}, {1, 1}, {2, 2}},  // with holes: not for this kernel
  };
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (size_t i = 0; i < 4 * sizeof turned / sizeof *turned; i++) {
    const case_t *c = &turned[i / 4];
    arrays_t a;
    arrays_init(c, &a);
    leat_kern_conv_t s = window_shape(c, &a);
    const int64_t window = window_product(a.w_dims + 2, c->spatial), lines = (c->outputs + 15) / 16 | 1;
    const int64_t pitch = (i % 4 < 2 ? lines : lines + 32) * 16;  // taps are near each other, or far
    s.chain = i % 2 == 0 ? 0 : 3 * window;
    float *expected = window_filled(a.y_count, 4, 0), *y = window_filled(a.y_count, 5, 0);
    float *w = turned_weights(&a, c->outputs, pitch);
    kern[0]->conv_f32(&s, a.x, a.w, expected);
    for (uint32_t l = 0; l < levels; l++) {
      run_turned(c, &a, w, pitch, kern[l], -1, 0, s.chain, y);
      assert_same_bits(y, expected, a.y_count, i, "turned, one tile");
      rig_fill_f32(y, a.y_count, 6, 0);
      run_turned(c, &a, w, pitch, kern[l], 0, 3, s.chain, y);
      assert_same_bits(y, expected, a.y_count, i, "turned, tiles of images");
      rig_fill_f32(y, a.y_count, 7, 0);
      run_turned(c, &a, w, pitch, kern[l], 1, 21, s.chain, y);
      assert_same_bits(y, expected, a.y_count, i, "turned, tiles of outputs");
    }
    free(w), free(y), free(expected);
    arrays_deinit(&a);
  }
}

// Weights as the gradient of an input reads them: channels swapped, windows backwards. More than stay in a cache, and
// outputs that are no whole panels of them.
static void test_conv_swapped(void **state) {
  (void)state;
  static const case_t swapped[] = {
      {2, 2, 300, 50, 1, {5, 5}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {2, 1, 300, 97, 1, {3, 4}, {3, 3}, {1, 1}, {1, 1}, {2, 1}, {1, 1}, {2, 2}},
      {1, 1, 1500, 90, 1, {7}, {1}, {1}, {0}, {0}, {1}, {1}},
      {3, 1, 6, 7, 1, {3, 4, 4}, {2, 3, 2}, {1, 1, 1}, {1, 2, 0}, {1, 0, 1}, {1, 1, 1}, {1, 2, 1}},
  };
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (size_t i = 0; i < 2 * sizeof swapped / sizeof *swapped; i++) {
    const case_t *c = &swapped[i / 2];
    arrays_t a;
    arrays_init(c, &a);
    leat_kern_conv_t s = window_shape(c, &a);
    const int64_t window = window_product(a.w_dims + 2, c->spatial), skip = 3 - c->spatial;
    s.w[0] = window, s.w[1] = window * c->outputs;
    for (int d = 2; d < 5; d++) s.w[d] = -s.w[d];
    const int64_t chain = i % 2 == 0 ? 0 : window * 100;
    s.chain = chain < window * c->channels ? chain : 0;
    float *expected = window_filled(a.y_count, 4, 0), *y = window_filled(a.y_count, 5, 0);
    kern[0]->conv_f32(&s, a.x, a.w + window - 1, expected);
    for (uint32_t l = 0; l < levels; l++) {
      rig_t rig;
      rig_init(&rig, PEF_STAGE_CONV, 0, kern[l]);
      window_params(&rig, c);
      rig.params.conv.chain = chain;
      const uint32_t rank = 2 + (uint32_t)c->spatial;
      rig_operand(&rig, PEF_F32, a.x, rank, a.x_dims);
      leat_native_operand_t *w = rig_operand(&rig, PEF_F32, a.w, rank, a.w_dims);
      rig_operand(&rig, PEF_F32, y, rank, a.y_dims);
      for (uint32_t d = 0; d < rank; d++) w->strides[d] = s.w[d < 2 ? d : d + skip];
      w->offset = (window - 1) * 4;
      rig_rows(&rig, 1, 0), rig_rows(&rig, 2, 1);
      assert_ok(rig_run(&rig, i % 2 == 0 ? 0 : 60));
      rig_deinit(&rig);
      assert_same_bits(y, expected, a.y_count, i, "swapped");
    }
    free(y), free(expected);
    arrays_deinit(&a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_conv),
      cmocka_unit_test(test_wgrad),
      cmocka_unit_test(test_wgrad_blocks),
      cmocka_unit_test(test_conv_f64),
      cmocka_unit_test(test_conv_strided),
      cmocka_unit_test(test_conv_swapped),
      cmocka_unit_test(test_conv_phases),
      cmocka_unit_test(test_conv_turned),
      cmocka_unit_test(test_conv_turned_backwards),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
