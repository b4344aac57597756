// SPDX-License-Identifier: Apache-2.0
// The elementary functions of src/kern against libm: stated error bounds, limits, and equal bits on every ISA level.
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kern/kern.h"

enum { COUNT = 40000, SPECIALS = 40 };

typedef struct case_s {
  int number;
  const char *name;
  int arity;
  long double (*reference)(long double a, long double b);
  double low, high;         // range of the uniform samples; the rest are random bit patterns
  double ulp_f32, ulp_f64;  // bounds
  double ulp_single;        // of the second body in f32; 0: there is none
} case_t;

static long double r_exp(long double a, long double b) { return (void)b, expl(a); }
static long double r_exp2(long double a, long double b) { return (void)b, exp2l(a); }
static long double r_asinh(long double a, long double b) { return (void)b, asinhl(a); }
static long double r_acosh(long double a, long double b) { return (void)b, acoshl(a); }
static long double r_atanh(long double a, long double b) { return (void)b, atanhl(a); }
static long double r_expm1(long double a, long double b) { return (void)b, expm1l(a); }
static long double r_log(long double a, long double b) { return (void)b, logl(a); }
static long double r_log1p(long double a, long double b) { return (void)b, log1pl(a); }
static long double r_log2(long double a, long double b) { return (void)b, log2l(a); }
static long double r_log10(long double a, long double b) { return (void)b, log10l(a); }
static long double r_sqrt(long double a, long double b) { return (void)b, sqrtl(a); }
static long double r_rsqrt(long double a, long double b) { return (void)b, 1 / sqrtl(a); }
static long double r_recip(long double a, long double b) { return (void)b, 1 / a; }
static long double r_sin(long double a, long double b) { return (void)b, sinl(a); }
static long double r_cos(long double a, long double b) { return (void)b, cosl(a); }
static long double r_tan(long double a, long double b) { return (void)b, tanl(a); }
static long double r_asin(long double a, long double b) { return (void)b, asinl(a); }
static long double r_acos(long double a, long double b) { return (void)b, acosl(a); }
static long double r_atan(long double a, long double b) { return (void)b, atanl(a); }
static long double r_sinh(long double a, long double b) { return (void)b, sinhl(a); }
static long double r_cosh(long double a, long double b) { return (void)b, coshl(a); }
static long double r_tanh(long double a, long double b) { return (void)b, tanhl(a); }
static long double r_sigmoid(long double a, long double b) {
  return (void)b, a < 0 ? expl(a) / (1 + expl(a)) : 1 / (1 + expl(-a));
}
static long double r_erf(long double a, long double b) { return (void)b, erfl(a); }
static long double r_erfc(long double a, long double b) { return (void)b, erfcl(a); }
static long double r_floor(long double a, long double b) { return (void)b, floorl(a); }
static long double r_ceil(long double a, long double b) { return (void)b, ceill(a); }
static long double r_trunc(long double a, long double b) { return (void)b, truncl(a); }
static long double r_round(long double a, long double b) { return (void)b, rintl(a); }
static long double r_pow(long double a, long double b) { return powl(a, b); }
static long double r_atan2(long double a, long double b) { return atan2l(a, b); }
static long double r_fmod(long double a, long double b) { return fmodl(a, b); }

static const case_t cases[] = {
    {10, "exp", 1, r_exp, -110, 110, 1.5, 2, 0},
    {11, "expm1", 1, r_expm1, -5, 5, 0.51, 3, 2},
    {12, "log", 1, r_log, 0, 4, 2, 2, 0},
    {13, "log1p", 1, r_log1p, -1, 3, 0.51, 4, 2},
    {14, "log2", 1, r_log2, 0, 4, 0.51, 4, 2},
    {15, "log10", 1, r_log10, 0, 4, 0.51, 4, 2},
    {16, "sqrt", 1, r_sqrt, 0, 9, 0.51, 0.51, 0},
    {17, "rsqrt", 1, r_rsqrt, 0, 9, 1.5, 1.5, 0},
    {18, "recip", 1, r_recip, -9, 9, 0.51, 0.51, 0},
    {19, "sin", 1, r_sin, -20, 20, 0.51, 1.5, 2},
    {20, "cos", 1, r_cos, -20, 20, 0.51, 1.5, 2},
    {21, "tan", 1, r_tan, -20, 20, 0.51, 4, 3},
    {22, "asin", 1, r_asin, -1, 1, 0.51, 6, 3},
    {23, "acos", 1, r_acos, -1, 1, 0.51, 6, 3},
    {24, "atan", 1, r_atan, -9, 9, 0.51, 2, 3},
    {25, "sinh", 1, r_sinh, -9, 9, 0.51, 8, 3},
    {26, "cosh", 1, r_cosh, -9, 9, 0.51, 8, 3},
    {27, "tanh", 1, r_tanh, -9, 9, 2, 4, 0},
    {28, "sigmoid", 1, r_sigmoid, -30, 30, 2.5, 4, 0},
    {29, "erf", 1, r_erf, -5, 5, 2.5, 4, 0},
    {56, "erfc", 1, r_erfc, -7, 27, 0.51, 8, 4.5},
    {57, "exp2", 1, r_exp2, -160, 160, 0.51, 2, 2},
    {58, "asinh", 1, r_asinh, -9, 9, 0.51, 6, 3},
    {59, "acosh", 1, r_acosh, 1, 9, 0.51, 6, 3},
    {60, "atanh", 1, r_atanh, -1, 1, 0.51, 6, 3},
    {6, "floor", 1, r_floor, -99, 99, 0, 0, 0},
    {7, "ceil", 1, r_ceil, -99, 99, 0, 0, 0},
    {8, "trunc", 1, r_trunc, -99, 99, 0, 0, 0},
    {9, "round", 1, r_round, -99, 99, 0, 0, 0},
    {39, "pow", 2, r_pow, 0, 20, 0.51, 8, 0.6},
    {42, "atan2", 2, r_atan2, -9, 9, 0.51, 4, 3},
    {37, "fmod", 2, r_fmod, -99, 99, 0, 0, 0},
};

static const leat_kern_t *const levels[] = {&leat_kern_portable, &leat_kern_avx2, &leat_kern_avx512};

static int level_count(void) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  return __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") ? 3 : 2;
}

static uint64_t state = 88172645463325252u;
static uint64_t random_bits(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state * 2685821657736338717u;
}
static double uniform(double low, double high) {
  return low + (high - low) * ((double)(random_bits() >> 11) * 0x1p-53);
}

static const double specials[SPECIALS] = {0.0,       -0.0,
                                          1.0,       -1.0,
                                          0.5,       -0.5,
                                          2.0,       -2.0,
                                          3.0,       -3.0,
                                          INFINITY,  -INFINITY,
                                          NAN,       1e-40,
                                          -1e-40,    1e-310,
                                          -1e-310,   1e30,
                                          -1e30,     1e300,
                                          -1e300,    88.72283,
                                          88.8,      -87.5,
                                          -103.9,    -104.5,
                                          709.78,    709.8,
                                          -745.1,    -746,
                                          1e-20,     -1e-20,
                                          0x1p20,    1e6,
                                          -1e6,      1e15,
                                          8388607.5, -4503599627370495.5,
                                          0.9999999, 1.0000001};

static double sample(const case_t *c, int i, bool narrow) {
  if (i < SPECIALS) return specials[i];
  if (i % 3 != 0) return uniform(c->low, c->high);
  uint64_t bits = random_bits();
  double d;
  float f;
  memcpy(&d, &bits, 8);
  memcpy(&f, &bits, 4);
  return narrow ? f : d;
}

// Prints the first failures and counts them all.
static int failures;
static void complain(const char *format, ...) {
  if (failures++ >= 40) return;
  va_list arguments;
  va_start(arguments, format);
  char text[300];
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  print_error("%s\n", text);
}

// Distance in units of the last place of the exact value, which may be denormal.
static double ulps(long double exact, double got, int mantissa_bits, int least_exponent) {
  if (isnan(exact) || isnan(got)) return isnan(exact) && isnan(got) ? 0 : INFINITY;
  if (isinf(exact) || isinf(got)) return (double)exact == got ? 0 : INFINITY;
  int e;
  frexpl(exact, &e);
  if (e < least_exponent) e = least_exponent;
  return (double)(fabsl((long double)got - exact) / ldexpl(1, e - mantissa_bits));
}

#define DEFINE_CHECK(T, name_, kernels, bits, least, rounded, bound)                                           \
  static void check_##name_(const case_t *c) {                                                                 \
    T *a = malloc(COUNT * sizeof(T)), *b = malloc(COUNT * sizeof(T)), *out[3];                                 \
    for (int l = 0; l < 3; l++) out[l] = malloc(COUNT * sizeof(T));                                            \
    for (int i = 0; i < COUNT; i++) {                                                                          \
      a[i] = (T)sample(c, i, sizeof(T) == 4);                                                                  \
      b[i] = (T)sample(c, i < SPECIALS * SPECIALS ? i / SPECIALS : i, sizeof(T) == 4);                         \
      if (c->arity == 2 && i < SPECIALS * SPECIALS) a[i] = (T)specials[i % SPECIALS];                          \
    }                                                                                                          \
    for (int l = 0; l < level_count(); l++) levels[l]->kernels[c->number](out[l], a, b, b, COUNT);             \
    double worst = 0;                                                                                          \
    for (int i = 0; i < COUNT; i++) {                                                                          \
      long double exact = c->reference(a[i], b[i]);                                                            \
      if (fabsl(exact) > rounded) exact = exact > 0 ? INFINITY : -INFINITY;                                    \
      double error = ulps(exact, out[0][i], bits, least);                                                      \
      if (error > worst) worst = error;                                                                        \
      if (error > c->bound) {                                                                                  \
        complain("%s %s(%.17g, %.17g) is %.17g, should be %.17Lg: %.2f ulp", #name_, c->name, (double)a[i],    \
                 (double)b[i], (double)out[0][i], exact, error);                                               \
      }                                                                                                        \
      for (int l = 1; l < level_count(); l++) {                                                                \
        bool same = memcmp(&out[0][i], &out[l][i], sizeof(T)) == 0 || (isnan(out[0][i]) && isnan(out[l][i]));  \
        if (!same) {                                                                                           \
          complain("%s %s(%.17g, %.17g): level %d gives %.17g, portable %.17g", #name_, c->name, (double)a[i], \
                   (double)b[i], l, (double)out[l][i], (double)out[0][i]);                                     \
        }                                                                                                      \
      }                                                                                                        \
    }                                                                                                          \
    print_message("%s %-8s worst %.3f ulp\n", #name_, c->name, worst);                                         \
    free(a), free(b);                                                                                          \
    for (int l = 0; l < 3; l++) free(out[l]);                                                                  \
  }
#define F32_MAX ((long double)FLT_MAX + 0x1p103L)
DEFINE_CHECK(float, f32, map[LEAT_KERN_F32], 24, -125, F32_MAX, ulp_f32)
DEFINE_CHECK(float, single, single, 24, -125, F32_MAX, ulp_single)
DEFINE_CHECK(double, f64, map[LEAT_KERN_F64], 53, -1021, (long double)DBL_MAX + 0x1p970L, ulp_f64)

static void test_f32(void **unused) {
  (void)unused;
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) check_f32(&cases[c]);
  assert_int_equal(failures, 0);
}
// Every second body that there is has a row, and no other.
static void test_single(void **unused) {
  (void)unused;
  size_t count = 0;
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    if (cases[c].ulp_single > 0) check_single(&cases[c]), count++;
  }
  for (int number = 0; number < LEAT_KERN_FN_COUNT; number++) count -= leat_kern_portable.single[number] != NULL;
  assert_int_equal(count, 0);
  assert_int_equal(failures, 0);
}
static void test_f64(void **unused) {
  (void)unused;
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) check_f64(&cases[c]);
  assert_int_equal(failures, 0);
}

// --- neighbours ------------------------------------------------------------------------------------------------------

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

enum { LANES_TRIED = 4096 };
// A lane hangs on no other: numbers of all kinds give in a strip what each gives alone, and so do those of one kind.
static void check_neighbours(leat_kern_map_fn_t fn, const case_t *c) {
  static float a[LANES_TRIED], b[LANES_TRIED], out[LANES_TRIED];
  for (int i = 0; i < LANES_TRIED; i++) {
    const uint32_t bits = (uint32_t)i * 2654435761u;
    memcpy(&a[i], &bits, sizeof bits);
    if (i < LANES_TRIED / 2 || i % 64 != 0) a[i] = 0.001f + (float)i / 512;
    b[i] = 0.25f + (float)(i % 7);
  }
  fn(out, a, b, b, LANES_TRIED);
  for (int i = 0; i < LANES_TRIED; i++) {
    float alone = 0;
    fn(&alone, &a[i], &b[i], &b[i], 1);
    if (bits_of(alone) != bits_of(out[i]) && !(isnan(alone) && isnan(out[i])))
      fail_msg("%s(%a): %a among others, %a alone", c->name, (double)a[i], (double)out[i], (double)alone);
  }
}

static void test_neighbours(void **unused) {
  (void)unused;
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    for (int l = 0; l < level_count(); l++) {
      check_neighbours(levels[l]->map[LEAT_KERN_F32][cases[c].number], &cases[c]);
      if (cases[c].ulp_single > 0) check_neighbours(levels[l]->single[cases[c].number], &cases[c]);
    }
  }
}

// --- masks -----------------------------------------------------------------------------------------------------------

// What a mask hides is 0, beside scores that it shows: also below where a result is the least denormal.
static void test_masks(void **unused) {
  (void)unused;
  enum { EXP = 10 };
  static float x[LANES_TRIED], out[LANES_TRIED];
  for (int i = 0; i < LANES_TRIED; i++)
    x[i] = i % 4 == 0 ? -(float)(i % 64) / 8 : i % 4 == 1 ? -INFINITY : i % 4 == 2 ? -1e9f : -104.0f;
  for (int l = 0; l < level_count(); l++) {
    levels[l]->map[LEAT_KERN_F32][EXP](out, x, x, x, LANES_TRIED);
    for (int i = 0; i < LANES_TRIED; i++) {
      if (i % 4 == 0)
        assert_true(out[i] > 0);
      else
        assert_int_equal(bits_of(out[i]), 0);
    }
  }
}

// --- dither ----------------------------------------------------------------------------------------------------------

enum { DITHER = 61, PLACES = 1 << 16, BEYOND = 5 };  // BEYOND: shares that are none

// Of all shares, as many give the greater neighbour as places of `x` are cut off.
static void check_dither(float x) {
  static float a[PLACES + BEYOND], b[PLACES + BEYOND], out[PLACES + BEYOND];
  static double wide_a[PLACES + BEYOND], wide_b[PLACES + BEYOND], wide_out[PLACES + BEYOND];
  static const float beyond[BEYOND] = {NAN, -1, 1, 1e30f, -INFINITY};
  const uint32_t cut = bits_of(x) & 0xffffu, kept = bits_of(x) - cut;
  for (int i = 0; i < PLACES + BEYOND; i++) {
    wide_a[i] = a[i] = x;
    wide_b[i] = b[i] = i < PLACES ? (float)i / PLACES : beyond[i - PLACES];
  }
  for (int l = 0; l < level_count(); l++) {
    uint32_t greater = 0;
    levels[l]->map[LEAT_KERN_F32][DITHER](out, a, b, b, PLACES + BEYOND);
    levels[l]->map[LEAT_KERN_F64][DITHER](wide_out, wide_a, wide_b, wide_b, PLACES + BEYOND);
    for (int i = 0; i < PLACES + BEYOND; i++) {
      const bool is_greater = bits_of(out[i]) == kept + PLACES;
      assert_true(is_greater || bits_of(out[i]) == kept || !isfinite(x));
      assert_true(isfinite(x) || bits_of(out[i]) == bits_of(x));
      assert_true((double)out[i] == wide_out[i] || (isnan(out[i]) && isnan(wide_out[i])));
      greater += i < PLACES && is_greater;
    }
    assert_int_equal(greater, isfinite(x) ? cut : 0);
    assert_true(!isfinite(x) || bits_of(out[PLACES + 1]) == kept);
  }
}

static void test_dither(void **unused) {
  (void)unused;
  static const float numbers[] = {1.5f,      -1.5f,    1.0000001f, -3.14159f, 0.0f,      -0.0f, 1e-40f,
                                  -1e-45f,   1e-38f,   FLT_MAX,    -FLT_MAX,  INFINITY,  NAN,   -INFINITY,
                                  0x1p-126f, 1.99999f, 2.0f,       1e10f,     -65535.9f, 0.1f};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) check_dither(numbers[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_f32),   cmocka_unit_test(test_single),
                                     cmocka_unit_test(test_f64),   cmocka_unit_test(test_neighbours),
                                     cmocka_unit_test(test_masks), cmocka_unit_test(test_dither)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
