// SPDX-License-Identifier: Apache-2.0
// Kernel rows against plain loops and, bit for bit, against the portable level: conversions of every dtype, integer
// functions, copies, matrix products. Elementary functions: kern_math_test. Reductions: rt_stage_test.
#include "kern/kern.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { COUNT = 1037 };  // whole vectors of every level and a rest

static const leat_kern_t *const levels[] = {&leat_kern_portable, &leat_kern_avx2, &leat_kern_avx512};
static int level_count(void) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  return __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") ? 3 : 2;
}

static uint64_t state = 1;
static uint64_t random_bits(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state * 2685821657736338717u;
}

// --- halves ----------------------------------------------------------------------------------------------------------

// The definition: the nearest of all representable values, ties to the even one. `value(bits)` grows with bits.
static uint16_t nearest_half(double x, double (*value)(uint16_t), uint16_t infinity) {
  uint16_t low = 0, high = infinity;
  double a = fabs(x);
  while (high - low > 1) {
    uint16_t middle = (uint16_t)((low + high) / 2);
    if (value(middle) <= a)
      low = middle;
    else
      high = middle;
  }
  double step_up = value((uint16_t)(low + 1)), below = value(low);
  if (isinf(step_up)) step_up = 2 * below - value((uint16_t)(low - 1));
  bool up = a - below > step_up - a || (a - below == step_up - a && (low & 1) != 0);
  if (isinf(a)) low = infinity, up = false;
  return (uint16_t)((low + up) | (signbit(x) ? 0x8000 : 0));
}
static double bf16_value(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static double f16_value(uint16_t h) {
  int e = h >> 10 & 31, m = h & 1023;
  double v = e == 31 ? (m ? NAN : INFINITY) : e == 0 ? ldexp(m, -24) : ldexp(1024 + m, e - 25);
  return h & 0x8000 ? -v : v;
}

static void check_half(int dtype, double (*value)(uint16_t), uint16_t infinity) {
  const leat_kern_t *kern = levels[level_count() - 1];
  for (uint32_t h = 0; h < 0x10000; h++) {
    float f;
    uint16_t stored = (uint16_t)h, back;
    kern->load[LEAT_KERN_F32][dtype](&f, &stored, 1, 1);
    double want = value(stored);
    if (isnan(want)) {
      assert_true(isnan(f));
      continue;
    }
    if ((double)f != want || !signbit(f) != !signbit(want))
      fail_msg("half %04x of dtype %d is %g, should be %g", h, dtype, (double)f, want);
    kern->store[LEAT_KERN_F32][dtype](&back, 1, &f, 1);
    assert_int_equal(back, stored);
  }
  for (int i = 0; i < 20000; i++) {
    double d =
        value((uint16_t)(random_bits() % infinity)) * (1 + ((double)(random_bits() >> 12) * 0x1p-52 - 0.5) * 0x1p-7);
    if (i % 8 == 0) d = (value((uint16_t)(i % infinity)) + value((uint16_t)(i % infinity + 1))) / 2;  // ties
    if (i % 16 == 8) d = nextafter(d, 0);  // a float would round to the tie
    uint16_t got;
    kern->store[LEAT_KERN_F64][dtype](&got, 1, &d, 1);
    assert_int_equal(got, nearest_half(d, value, infinity));
    float f = (float)d;
    kern->store[LEAT_KERN_F32][dtype](&got, 1, &f, 1);
    assert_int_equal(got, nearest_half((double)f, value, infinity));
  }
}
static void test_halves(void **unused) {
  (void)unused;
  check_half(2, bf16_value, 0x7f80);
  check_half(3, f16_value, 0x7c00);
}

// --- every conversion, equal on all levels --------------------------------------------------------------------------

static void fill_class(void *out, int class_) {
  for (int i = 0; i < COUNT; i++) {
    double d = ((double)(int64_t)random_bits()) * ldexp(1, (int)(random_bits() % 80) - 90);
    if (i % 5 == 0) d = (double)((int64_t)(random_bits() % 600) - 300);
    if (class_ == LEAT_KERN_F32)
      ((float *)out)[i] = (float)d;
    else if (class_ == LEAT_KERN_F64)
      ((double *)out)[i] = d;
    else
      ((int64_t *)out)[i] = (int64_t)random_bits() >> random_bits() % 64;
  }
}

static void check_conversions(int class_, int dtype) {
  static const size_t bytes[] = {4, 8, 2, 2, 1, 1, 2, 4, 8, 1}, class_bytes[] = {4, 8, 8};
  double values[COUNT], wrapped[2][COUNT], loaded[2][COUNT];
  char stored[2][COUNT * 8 * 3];
  fill_class(values, class_);
  for (int stride = 1; stride <= 3; stride += 2) {
    for (int l = 0; l < level_count(); l++) {
      int to = l > 0;
      memset(stored[to], 0, sizeof stored[to]);
      levels[l]->store[class_][dtype](stored[to], stride, values, COUNT);
      levels[l]->load[class_][dtype](loaded[to], stored[to], stride, COUNT);
      levels[l]->wrap[class_][dtype](wrapped[to], values, NULL, NULL, COUNT);
      assert_memory_equal(stored[0], stored[to], bytes[dtype] * COUNT * (size_t)stride);
      assert_memory_equal(loaded[0], loaded[to], class_bytes[class_] * COUNT);
      assert_memory_equal(loaded[0], wrapped[to], class_bytes[class_] * COUNT);  // a wrap is a store and a load
    }
  }
}
static void test_conversions(void **unused) {
  (void)unused;
  for (int c = 0; c < LEAT_KERN_CLASS_COUNT; c++) {
    for (int d = 0; d < LEAT_KERN_DTYPE_COUNT; d++) check_conversions(c, d);
    for (int from = 0; from < LEAT_KERN_CLASS_COUNT; from++) {
      double values[COUNT], out[2][COUNT];
      fill_class(values, from);
      for (int l = 0; l < level_count(); l++) {
        levels[l]->convert[c][from](out[l > 0], values, NULL, NULL, COUNT);
        assert_memory_equal(out[0], out[l > 0], (c == LEAT_KERN_F32 ? 4 : 8) * COUNT);
      }
    }
  }
}

// Blocks of integers that 32 bits hold, which become floats another way, and one behind them that they do not.
static void test_small_integers(void **unused) {
  (void)unused;
  for (int l = 0; l < level_count(); l++) {
    for (int far = 0; far < 2; far++) {
      int64_t values[COUNT];
      float found[COUNT];
      double wide[COUNT];
      for (int i = 0; i < COUNT; i++) values[i] = (int32_t)random_bits() >> random_bits() % 32;
      values[3] = INT32_MIN, values[5] = INT32_MAX;
      if (far) values[COUNT / 2] = INT64_C(1) << 31, values[COUNT / 2 + 1] = -(INT64_C(1) << 31) - 1;
      levels[l]->convert[LEAT_KERN_F32][LEAT_KERN_I64](found, values, NULL, NULL, COUNT);
      levels[l]->convert[LEAT_KERN_F64][LEAT_KERN_I64](wide, values, NULL, NULL, COUNT);
      for (int i = 0; i < COUNT; i++) assert_true(found[i] == (float)values[i] && wide[i] == (double)values[i]);
    }
  }
}

// --- the functions of MAP -------------------------------------------------------------------------------------------

static void test_map_levels(void **unused) {
  (void)unused;
  for (int c = 0; c < LEAT_KERN_CLASS_COUNT; c++) {
    for (int f = 0; f < LEAT_KERN_FN_COUNT; f++) {
      if (leat_kern_portable.map[c][f] == NULL) continue;
      double a[COUNT], b[COUNT], d[COUNT], out[2][COUNT];
      fill_class(a, c), fill_class(b, c), fill_class(d, c);
      for (int l = 0; l < level_count(); l++) {
        levels[l]->map[c][f](out[l > 0], a, b, d, COUNT);
        for (int i = 0; i < COUNT; i++) {
          bool nan = c == LEAT_KERN_F32 ? isnan(((float *)out[0])[i]) && isnan(((float *)out[l > 0])[i])
                                        : c == LEAT_KERN_F64 && isnan(out[0][i]) && isnan(out[l > 0][i]);
          size_t w = c == LEAT_KERN_F32 ? 4 : 8;
          if (!nan) assert_memory_equal((char *)out[0] + (size_t)i * w, (char *)out[l > 0] + (size_t)i * w, w);
        }
      }
    }
  }
}

static int64_t apply(int fn, int64_t a, int64_t b) {
  int64_t r;
  levels[level_count() - 1]->map[LEAT_KERN_I64][fn](&r, &a, &b, &b, 1);
  return r;
}
static void test_integers(void **unused) {
  (void)unused;
  enum { DIV = 35, FLOORDIV = 36, FMOD = 37, REM = 38, POW = 39, SHL = 52, SHR = 53 };
  assert_int_equal(apply(DIV, -7, 2), -3);
  assert_int_equal(apply(DIV, 7, 0), 0);
  assert_true(apply(DIV, INT64_MIN, -1) == INT64_MIN);
  assert_int_equal(apply(FLOORDIV, -7, 2), -4);
  assert_int_equal(apply(FLOORDIV, 7, -2), -4);
  assert_int_equal(apply(FLOORDIV, 6, -2), -3);
  assert_int_equal(apply(FMOD, -7, 2), -1);
  assert_int_equal(apply(REM, -7, 2), 1);
  assert_int_equal(apply(REM, 7, -2), -1);
  assert_int_equal(apply(POW, -3, 3), -27);
  assert_int_equal(apply(POW, 2, -1), 0);
  assert_int_equal(apply(SHL, 1, 64), 0);
  assert_int_equal(apply(SHR, -8, 1), -4);
  assert_int_equal(apply(SHR, -8, 99), -1);
}

// --- memory ---------------------------------------------------------------------------------------------------------

// Rows of the result lie `apart` elements apart: side by side, or with a gap that nothing may write.
static void check_copy(const leat_kern_t *kern, const int64_t strides[2], const int64_t shape[2], int64_t apart) {
  enum { SIDE = 80, AREA = SIDE * SIDE };
  static uint32_t in[2 * AREA], out[AREA];
  for (uint32_t i = 0; i < 2 * AREA; i++) in[i] = i;
  memset(out, 0xff, sizeof out);
  kern->copy2_b4(out, apart, in + AREA, strides[0], strides[1], shape[0], shape[1]);
  for (int64_t at = 0; at < AREA; at++) {
    const int64_t i = at / apart, j = at % apart;
    const bool written = i < shape[0] && j < shape[1];
    assert_int_equal(out[at], written ? in[AREA + i * strides[0] + j * strides[1]] : UINT32_MAX);
  }
}

static void test_copies(void **unused) {
  (void)unused;
  static const int64_t shapes[][2] = {{1, 1},  {3, 50}, {50, 3}, {16, 16}, {33, 47}, {64, 64}, {37, 2},
                                      {2, 37}, {37, 4}, {4, 37}, {61, 1},  {9, 5},   {40, 7},  {7, 40}};
  static const int64_t strides[][2] = {{80, 1},  {1, 80},  {0, 1},  {1, 0}, {80, 0}, {2, 80}, {80, -1},
                                       {-1, 80}, {1, -80}, {80, 2}, {1, 2}, {-1, 0}, {1, 4},  {80, 3}};
  for (int l = 0; l < level_count(); l++) {
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
      for (size_t k = 0; k < sizeof strides / sizeof *strides; k++) {
        check_copy(levels[l], strides[k], shapes[s], 80);
        check_copy(levels[l], strides[k], shapes[s], shapes[s][1]);
      }
    }
  }
}

// What leat machine times does what it is counted for: chains of fused multiply-adds (all end near 1/2 = 1/4 + 1/2 *
// 1/2), every element read once, whole vectors of a triad.
static void test_peaks(void **unused) {
  (void)unused;
  enum { WHOLE = 1024 };
  static float a[WHOLE], b[WHOLE], out[WHOLE];
  for (int i = 0; i < WHOLE; i++) a[i] = (float)(i % 7), b[i] = (float)(i % 5);
  for (int level = 0; level < level_count(); level++) {
    const leat_kern_t *kern = levels[level];
    float f32[16];
    double f64[8];
    const int64_t f32_flops = kern->peak_f32(f32, 100), f64_flops = kern->peak_f64(f64, 100);
    assert_int_equal(f32_flops, 2 * 12 * 100 * (level == 0 ? 4 : level == 1 ? 8 : 16));
    assert_int_equal(f64_flops * 2, f32_flops);
    assert_true(fabs(f32[0] - (0.5 + 12 * 0.5)) < 1e-5 && fabs(f64[0] - (0.5 + 12 * 0.5)) < 1e-12);
    float sum = 0;
    for (int i = 0; i < WHOLE; i++) sum += a[i];
    assert_true(kern->read_f32(a, WHOLE) == sum);
    kern->triad_f32(out, a, b, 0.5f, WHOLE);
    for (int i = 0; i < WHOLE; i++) assert_true(out[i] == a[i] + 0.5f * b[i]);
  }
}

// --- few rows with lines, and with a B that lies row-major
// ---------------------------------------------------------------------------------------------

enum { LINES_MAX = 70, TERMS_MAX = 50, FEW_ROWS_MAX = 6 };

typedef void (*few_rows_t)(const leat_kern_gemm_t *g, const void *a, const void *b, void *c);

// Every element is the chain of fused operations, k ascending; nothing beside the results is written. Element (k, n) of
// B lies at k * b_k + n * b_n.
static void check_few_rows(few_rows_t multiply, leat_kern_gemm_t g, int64_t b_k, int64_t b_n) {
  static float a[FEW_ROWS_MAX * TERMS_MAX * 2], b[(LINES_MAX + 5) * (TERMS_MAX + 3)];
  static float c[FEW_ROWS_MAX * (LINES_MAX + 5)], before[FEW_ROWS_MAX * (LINES_MAX + 5)];
  for (size_t i = 0; i < sizeof a / sizeof *a; i++) a[i] = (float)((int64_t)random_bits() >> 40) / 1024;
  for (size_t i = 0; i < sizeof b / sizeof *b; i++) b[i] = (float)((int64_t)random_bits() >> 40) / 1024;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) c[i] = before[i] = (float)i;
  multiply(&g, a, b, c);
  for (int64_t i = 0; i < (int64_t)(sizeof c / sizeof *c); i++) {
    const int64_t row = i / g.c_m, line = i % g.c_m;
    float expected = before[i];
    if (row < g.m && line < g.n) {
      expected = g.add ? before[i] : 0;
      for (int64_t p = 0; p < g.k; p++) expected = fmaf(a[row * g.a_m + p * g.a_k], b[p * b_k + line * b_n], expected);
    }
    if (memcmp(&expected, &c[i], sizeof expected) != 0)
      fail_msg("%ld x %ld x %ld, add %ld: [%ld,%ld] is %.9g, should be %.9g", g.m, g.n, g.k, g.add, row, line, c[i],
               expected);
  }
}

static void check_few_rows_of(const leat_kern_t *kern, leat_kern_gemm_t g) {
  g.b_k = TERMS_MAX + 3;
  check_few_rows(kern->gemm_lines_f32, g, 1, g.b_k);
  g.b_k = LINES_MAX + 5;
  check_few_rows(kern->gemm_row_f32, g, g.b_k, 1);
}

static void test_few_rows(void **unused) {
  (void)unused;
  static const int64_t extents[] = {0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 48, 50}, lines[] = {1, 5, 16, 33, 64, 70};
  for (int level = 0; level < level_count(); level++) {
    for (int64_t m = 1; m <= FEW_ROWS_MAX; m++) {
      for (size_t n = 0; n < sizeof lines / sizeof *lines; n++) {
        for (size_t k = 0; k < sizeof extents / sizeof *extents; k++) {
          leat_kern_gemm_t g = {.m = m, .n = lines[n], .k = extents[k], .a_m = TERMS_MAX, .a_k = 1};
          g.c_m = LINES_MAX + 5, g.add = (int64_t)(k % 2);
          check_few_rows_of(levels[level], g);
          g.a_m = 1, g.a_k = FEW_ROWS_MAX, g.add = !g.add;
          check_few_rows_of(levels[level], g);
        }
      }
    }
  }
}

// --- the first winner ----------------------------------------------------------------------------------------------

static int64_t first_winner(const float *x, int64_t n, float sign) {
  int64_t where = 0;
  for (int64_t i = 1; i < n && !isnan(x[where]); i++) {
    if (sign * x[i] > sign * x[where] || isnan(x[i])) where = i;
  }
  return where;
}

// Lines of all lengths around whole vectors, of few different numbers, with zeros of either sign, infinities and NaN.
static void test_first_winners(void **unused) {
  (void)unused;
  static const float few[] = {-INFINITY, -1.0f, -0.0f, 0.0f, 1.0f, INFINITY, NAN};
  float x[300];
  for (int level = 0; level < level_count(); level++) {
    for (int64_t n = 1; n < 300; n += n < 70 ? 1 : 23) {
      for (uint64_t kinds = 1; kinds <= 7; kinds++) {
        for (int64_t i = 0; i < n; i++) x[i] = few[kinds == 7 && i % 50 != 49 ? 2 : random_bits() % kinds];
        assert_int_equal(levels[level]->argmax_f32(x, 1, n), first_winner(x, n, 1.0f));
        assert_int_equal(levels[level]->argmin_f32(x, 1, n), first_winner(x, n, -1.0f));
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_first_winners), cmocka_unit_test(test_peaks),          cmocka_unit_test(test_halves),
      cmocka_unit_test(test_conversions),   cmocka_unit_test(test_small_integers), cmocka_unit_test(test_map_levels),
      cmocka_unit_test(test_integers),      cmocka_unit_test(test_copies),         cmocka_unit_test(test_few_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
