// SPDX-License-Identifier: Apache-2.0
// Reductions of class values, in the orders that pef_format.h states; sums in lanes and blocks: sums_float.h. Maximum
// and minimum do not depend on the order (NaN if any is; +0 above -0), so their folds may go by vectors.
#define VEC_NATIVE

#include "kern/isa.h"
#include "kern/math_f32.h"
#include "kern/reg.h"

#define INLINE static inline __attribute__((always_inline, unused))

// --- products of rows: out[r] = in[r][0] * in[r][1] * .., ascending ------------------------------------------------

enum { BESIDE = 2 };  // registers of rows at a time: the products of one wait for each other

// The next elements of REG_LANES rows, one row a lane; those behind them are asked for, since so many rows are more
// than the machine follows by itself.
INLINE reg_t rows_times(reg_t product, const float *p, int64_t row_stride) {
  enum { AHEAD = 32 };
  reg_t e[REG_LANES];
#pragma GCC unroll 16
  for (int k = 0; k < REG_LANES; k++) {
    e[k] = reg_load(p + k * row_stride);
    __builtin_prefetch(p + k * row_stride + AHEAD);
  }
  reg_transpose(e);
#pragma GCC unroll 16
  for (int k = 0; k < REG_LANES; k++) product = product * e[k];
  return product;
}

// `beside` registers of rows: a constant.
INLINE void rows_block(float *to, const float *p, int64_t row_stride, int64_t n, const int beside) {
  const int64_t whole = n / REG_LANES * REG_LANES;
  reg_t product[BESIDE];
  for (int b = 0; b < beside; b++) product[b] = reg_splat(1);
  for (int64_t i = 0; i < whole; i += REG_LANES) {
    for (int b = 0; b < beside; b++)
      product[b] = rows_times(product[b], p + b * REG_LANES * row_stride + i, row_stride);
  }
  for (int b = 0; b < beside; b++) reg_store(to + b * REG_LANES, product[b]);
  for (int k = 0; k < beside * REG_LANES; k++) KERN(fold_prod_f32)(to + k, p + k * row_stride + whole, 1, n - whole);
}

void KERN(rows_prod_f32)(void *out, const void *in, int64_t row_stride, int64_t rows, int64_t n) {
  const float *from = in;
  float *to = out;
  int64_t r = 0;
  for (; r + BESIDE * REG_LANES <= rows; r += BESIDE * REG_LANES)
    rows_block(to + r, from + r * row_stride, row_stride, n, BESIDE);
  for (; r < rows && rows >= REG_LANES; r += REG_LANES) {
    if (r > rows - REG_LANES) r = rows - REG_LANES;  // some of the last ones again
    rows_block(to + r, from + r * row_stride, row_stride, n, 1);
  }
  for (; r < rows; r++) {
    to[r] = 1;
    KERN(fold_prod_f32)(to + r, from + r * row_stride, 1, n);
  }
}

// --- one step on scalars -----------------------------------------------------------------------------------------
#define DEFINE_FLOAT_STEPS(T, class_, U, NOT_A_NUMBER) \
  INLINE T sum_##class_(T a, T b) { return a + b; }    \
  INLINE T prod_##class_(T a, T b) { return a * b; }   \
  INLINE T max_##class_(T a, T b) {                    \
    union {                                            \
      T f;                                             \
      U u;                                             \
    } x = {.f = a}, y = {.f = b};                      \
    x.u = a == b ? x.u & y.u : a > b ? x.u : y.u;      \
    return a == a && b == b ? x.f : NOT_A_NUMBER;      \
  }                                                    \
  INLINE T min_##class_(T a, T b) {                    \
    union {                                            \
      T f;                                             \
      U u;                                             \
    } x = {.f = a}, y = {.f = b};                      \
    x.u = a == b ? x.u | y.u : a < b ? x.u : y.u;      \
    return a == a && b == b ? x.f : NOT_A_NUMBER;      \
  }
DEFINE_FLOAT_STEPS(float, f32, uint32_t, F32_NAN)
DEFINE_FLOAT_STEPS(double, f64, uint64_t, F64_NAN)
INLINE int64_t sum_i64(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
INLINE int64_t prod_i64(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }
INLINE int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

// --- one step on vectors -----------------------------------------------------------------------------------------
#define DEFINE_VECTOR_STEPS(V, VT, IT, class_, NOT_A_NUMBER)                 \
  INLINE VT vsum_##class_(VT a, VT b) { return a + b; }                      \
  INLINE VT vprod_##class_(VT a, VT b) { return a * b; }                     \
  INLINE VT vmax_##class_(VT a, VT b) {                                      \
    VT r = V##_select(a > b, a, V##_select(a == b, (VT)((IT)a & (IT)b), b)); \
    return V##_select((a == a) & (b == b), r, V##_splat(NOT_A_NUMBER));      \
  }                                                                          \
  INLINE VT vmin_##class_(VT a, VT b) {                                      \
    VT r = V##_select(a < b, a, V##_select(a == b, (VT)((IT)a | (IT)b), b)); \
    return V##_select((a == a) & (b == b), r, V##_splat(NOT_A_NUMBER));      \
  }
DEFINE_VECTOR_STEPS(vf32, vf32_t, vi32_t, f32, F32_NAN)
DEFINE_VECTOR_STEPS(vf64, vf64_t, vi64_t, f64, F64_NAN)
INLINE vi64_t vsum_i64(vi64_t a, vi64_t b) { return (vi64_t)((vu64_t)a + (vu64_t)b); }
INLINE vi64_t vprod_i64(vi64_t a, vi64_t b) { return (vi64_t)((vu64_t)a * (vu64_t)b); }
INLINE vi64_t vmax_i64(vi64_t a, vi64_t b) { return vi64_select(a > b, a, b); }
INLINE vi64_t vmin_i64(vi64_t a, vi64_t b) { return vi64_select(a < b, a, b); }

// --- fold: *acc = fn(*acc, in[0], in[stride], ...), ascending ------------------------------------------------------
#define DEFINE_FOLD(fn, class_, T)                                                        \
  void KERN(fold_##fn##_##class_)(void *acc, const void *in, int64_t stride, int64_t n) { \
    const T *p = in;                                                                      \
    T r = *(T *)acc;                                                                      \
    for (int64_t i = 0; i < n; i++) r = fn##_##class_(r, p[i * stride]);                  \
    *(T *)acc = r;                                                                        \
  }
// Any order gives the same bits: vectors when the elements are contiguous.
#define DEFINE_FOLD_FREE(name, fn, class_, T, V, VT, LANES)                                 \
  void name(void *acc, const void *in, int64_t stride, int64_t n) {                         \
    const T *p = in;                                                                        \
    T r = *(T *)acc;                                                                        \
    int64_t i = 0;                                                                          \
    if (stride == 1 && n >= LANES) {                                                        \
      VT v = V##_load(p);                                                                   \
      for (i = LANES; i + LANES <= n; i += LANES) v = v##fn##_##class_(v, V##_load(p + i)); \
      T lanes[LANES];                                                                       \
      V##_store(lanes, v);                                                                  \
      for (int l = 0; l < LANES; l++) r = fn##_##class_(r, lanes[l]);                       \
    }                                                                                       \
    for (; i < n; i++) r = fn##_##class_(r, p[i * stride]);                                 \
    *(T *)acc = r;                                                                          \
  }
// The same of floats, at the speed of loads: four runs of bare comparisons side by side, NaN looked for beside them.
// Which of two zeros it is they do not tell: where the result is one, the steps above decide.
#define DEFINE_FOLD_EXTREME(fn, beats, class_, T, V, VT, IT, LANES)                       \
  void KERN(fold_##fn##_##class_)(void *acc, const void *in, int64_t stride, int64_t n) { \
    const T *p = in;                                                                      \
    const int64_t whole = stride == 1 ? n / (4 * LANES) * (4 * LANES) : 0;                \
    if (whole > 0) {                                                                      \
      VT v[4] = {V##_load(p), V##_load(p), V##_load(p), V##_load(p)};                     \
      IT nan = {0};                                                                       \
      T lanes[LANES], r = p[0];                                                           \
      for (int64_t i = 0; i < whole; i += 4 * LANES) {                                    \
        for (int k = 0; k < 4; k++) {                                                     \
          VT x = V##_load(p + i + k * LANES);                                             \
          v[k] = V##_select(x beats v[k], x, v[k]);                                       \
          nan |= x != x;                                                                  \
        }                                                                                 \
      }                                                                                   \
      for (int k = 1; k < 4; k++) v[0] = V##_select(v[k] beats v[0], v[k], v[0]);         \
      V##_store(lanes, v[0]);                                                             \
      for (int l = 0; l < LANES; l++) r = lanes[l] beats r ? lanes[l] : r;                \
      if (vi32_any((vi32_t)nan)) r = (T)F64_NAN;                                          \
      if (r < 0 || r > 0 || r != r) {                                                     \
        *(T *)acc = fn##_##class_(*(T *)acc, r);                                          \
        p += whole, n -= whole;                                                           \
      }                                                                                   \
    }                                                                                     \
    fold_steps_##fn##_##class_(acc, p, stride, n);                                        \
  }
DEFINE_FOLD(sum, f32, float)
DEFINE_FOLD(prod, f32, float)
DEFINE_FOLD(sum, f64, double)
DEFINE_FOLD(prod, f64, double)
static DEFINE_FOLD_FREE(fold_steps_max_f32, max, f32, float, vf32, vf32_t, VF32_LANES)
    DEFINE_FOLD_EXTREME(max, >, f32, float, vf32, vf32_t, vi32_t,
                        VF32_LANES) static DEFINE_FOLD_FREE(fold_steps_min_f32, min, f32, float, vf32, vf32_t,
                                                            VF32_LANES)
        DEFINE_FOLD_EXTREME(min, <, f32, float, vf32, vf32_t, vi32_t,
                            VF32_LANES) static DEFINE_FOLD_FREE(fold_steps_max_f64, max, f64, double, vf64, vf64_t,
                                                                VF64_LANES)
            DEFINE_FOLD_EXTREME(max, >, f64, double, vf64, vf64_t, vi64_t,
                                VF64_LANES) static DEFINE_FOLD_FREE(fold_steps_min_f64, min, f64, double, vf64, vf64_t,
                                                                    VF64_LANES)
                DEFINE_FOLD_EXTREME(min, <, f64, double, vf64, vf64_t, vi64_t,
                                    VF64_LANES) DEFINE_FOLD_FREE(KERN(fold_sum_i64), sum, i64, int64_t, vi64, vi64_t,
                                                                 VF64_LANES) DEFINE_FOLD(prod, i64, int64_t)
                    DEFINE_FOLD_FREE(KERN(fold_max_i64), max, i64, int64_t, vi64, vi64_t, VF64_LANES)
                        DEFINE_FOLD_FREE(KERN(fold_min_i64), min, i64, int64_t, vi64, vi64_t, VF64_LANES)

// --- columns: acc[j] = fn(acc[j], in[i * row_stride + j]), i ascending ---------------------------------------------
// Four rows at a time per visit of acc; the order of each column's elements is kept.
#define DEFINE_COLUMNS(fn, class_, T, V, VT, LANES)                                                                 \
  void KERN(columns_##fn##_##class_)(void *acc, const void *in, int64_t row_stride, int64_t rows, int64_t cols) {   \
    T *a = acc;                                                                                                     \
    for (int64_t i = 0; i < rows;) {                                                                                \
      const T *p = (const T *)in + i * row_stride;                                                                  \
      int64_t j = 0;                                                                                                \
      if (rows - i >= 4) {                                                                                          \
        const T *q = p + row_stride, *r = q + row_stride, *s = r + row_stride;                                      \
        for (; j + LANES <= cols; j += LANES) {                                                                     \
          VT v = v##fn##_##class_(V##_load(a + j), V##_load(p + j));                                                \
          v = v##fn##_##class_(v, V##_load(q + j));                                                                 \
          v = v##fn##_##class_(v, V##_load(r + j));                                                                 \
          V##_store(a + j, v##fn##_##class_(v, V##_load(s + j)));                                                   \
        }                                                                                                           \
        for (; j < cols; j++) {                                                                                     \
          T x = fn##_##class_(fn##_##class_(a[j], p[j]), q[j]);                                                     \
          a[j] = fn##_##class_(fn##_##class_(x, r[j]), s[j]);                                                       \
        }                                                                                                           \
        i += 4;                                                                                                     \
      } else {                                                                                                      \
        for (; j + LANES <= cols; j += LANES) V##_store(a + j, v##fn##_##class_(V##_load(a + j), V##_load(p + j))); \
        for (; j < cols; j++) a[j] = fn##_##class_(a[j], p[j]);                                                     \
        i++;                                                                                                        \
      }                                                                                                             \
    }                                                                                                               \
  }
#define DEFINE_COLUMNS_ALL(class_, T, V, VT, LANES) \
  DEFINE_COLUMNS(sum, class_, T, V, VT, LANES)      \
  DEFINE_COLUMNS(prod, class_, T, V, VT, LANES)     \
  DEFINE_COLUMNS(max, class_, T, V, VT, LANES)      \
  DEFINE_COLUMNS(min, class_, T, V, VT, LANES)
                            DEFINE_COLUMNS_ALL(f32, float, vf32, vf32_t, VF32_LANES)
                                DEFINE_COLUMNS_ALL(f64, double, vf64, vf64_t, VF64_LANES)
                                    DEFINE_COLUMNS_ALL(i64, int64_t, vi64, vi64_t, VF64_LANES)

// --- the first winner; a NaN wins over all -------------------------------------------------------------------------
// Where elements lie side by side the extreme is found first, by vectors, and then the first element that is equal to
// it, or the first NaN where it is one.
#define DEFINE_ARG(fn, op, class_, T, V, VT, LANES)                                 \
  static int64_t first_of_##fn##_##class_(const T *p, T extreme, int64_t n) {       \
    const VT wanted = V##_splat(extreme);                                           \
    int64_t i = 0;                                                                  \
    for (; i + LANES <= n; i += LANES) {                                            \
      const VT x = V##_load(p + i);                                                 \
      if (vi32_any((vi32_t)(extreme == extreme ? x == wanted : x != x))) break;     \
    }                                                                               \
    while (i + 1 < n && (extreme == extreme ? p[i] != extreme : p[i] == p[i])) i++; \
    return i;                                                                       \
  }                                                                                 \
  int64_t KERN(arg##fn##_##class_)(const void *in, int64_t stride, int64_t n) {     \
    const T *p = in;                                                                \
    T best = p[0];                                                                  \
    int64_t where = 0;                                                              \
    if (stride == 1 && n >= 4 * LANES) {                                            \
      KERN(fold_##fn##_##class_)(&best, p, 1, n);                                   \
      return first_of_##fn##_##class_(p, best, n);                                  \
    }                                                                               \
    for (int64_t i = 1; i < n && best == best; i++) {                               \
      T x = p[i * stride];                                                          \
      if (x op best || x != x) best = x, where = i;                                 \
    }                                                                               \
    return where;                                                                   \
  }
                                        DEFINE_ARG(max, >, f32, float, vf32, vf32_t, VF32_LANES)
                                            DEFINE_ARG(min, <, f32, float, vf32, vf32_t, VF32_LANES)
                                                DEFINE_ARG(max, >, f64, double, vf64, vf64_t, VF64_LANES)
                                                    DEFINE_ARG(min, <, f64, double, vf64, vf64_t, VF64_LANES)
                                                        DEFINE_ARG(max, >, i64, int64_t, vi64, vi64_t, VI64_LANES)
                                                            DEFINE_ARG(min, <, i64, int64_t, vi64, vi64_t, VI64_LANES)
