// SPDX-License-Identifier: Apache-2.0
// Between memory (any dtype, any stride) and strips of one of the three classes, and between classes.
#include "kern/half.h"
#include "kern/isa.h"

// Value of a stored element, and what a class value is stored as. Halves go through float.
#define GET_f32(x) (x)
#define GET_f64(x) (x)
#define GET_bf16(x) bf16_to_f32(x)
#define GET_f16(x) f16_to_f32(x)
#define GET_i8(x) (x)
#define GET_u8(x) (x)
#define GET_i16(x) (x)
#define GET_i32(x) (x)
#define GET_i64(x) (x)
#define GET_bool(x) ((x) != 0)

#define TO_INT(T, x) ((T)(int64_t)(x))
#define PUT_f32(x) (float)(x)
#define PUT_f64(x) (double)(x)
#define PUT_bf16(x) bf16_from_f32(AS_FLOAT(x))
#define PUT_f16(x) f16_from_f32(AS_FLOAT(x))
#define PUT_i8(x) TO_INT(int8_t, x)
#define PUT_u8(x) TO_INT(uint8_t, x)
#define PUT_i16(x) TO_INT(int16_t, x)
#define PUT_i32(x) TO_INT(int32_t, x)
#define PUT_i64(x) (int64_t)(x)
#define PUT_bool(x) ((x) != 0)
// Half of an int64 or double is rounded once.
#define AS_FLOAT(x) \
  _Generic((x), float : (x), double : f32_odd_from_f64((double)(x)), int64_t : f32_odd_from_i64((int64_t)(x)))
static inline __attribute__((always_inline, unused)) float f32_odd_from_i64(int64_t x) {
  // Beyond 53 bits the lowest nine become one sticky bit, far below the last bit of a half.
  int exact = x >= -(INT64_C(1) << 53) && x <= INT64_C(1) << 53;
  int64_t top = x & ~INT64_C(511);
  return f32_odd_from_f64((double)(exact ? x : top | (top != x ? 512 : 0)));
}

#define DEFINE_CLASS(class_, C, dtype, T)                                                                 \
  void KERN(load_##class_##_##dtype)(void *out, const void *in, int64_t stride, int64_t n) {              \
    C *to = out;                                                                                          \
    const T *from = in;                                                                                   \
    if (stride == 1) {                                                                                    \
      for (int64_t i = 0; i < n; i++) to[i] = (C)GET_##dtype(from[i]);                                    \
    } else {                                                                                              \
      for (int64_t i = 0; i < n; i++) to[i] = (C)GET_##dtype(from[i * stride]);                           \
    }                                                                                                     \
  }                                                                                                       \
  void KERN(store_##class_##_##dtype)(void *out, int64_t stride, const void *in, int64_t n) {             \
    T *to = out;                                                                                          \
    const C *from = in;                                                                                   \
    if (stride == 1) {                                                                                    \
      for (int64_t i = 0; i < n; i++) to[i] = PUT_##dtype(from[i]);                                       \
    } else {                                                                                              \
      for (int64_t i = 0; i < n; i++) to[i * stride] = PUT_##dtype(from[i]);                              \
    }                                                                                                     \
  }                                                                                                       \
  void KERN(wrap_##class_##_##dtype)(void *out, const void *a, const void *b, const void *c, int64_t n) { \
    (void)b, (void)c;                                                                                     \
    C *to = out;                                                                                          \
    const C *from = a;                                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                                     \
      T stored = PUT_##dtype(from[i]);                                                                    \
      to[i] = (C)GET_##dtype(stored);                                                                     \
    }                                                                                                     \
  }
#define DTYPE(dtype, T)               \
  DEFINE_CLASS(f32, float, dtype, T)  \
  DEFINE_CLASS(f64, double, dtype, T) \
  DEFINE_CLASS(i64, int64_t, dtype, T)
#include "kern/dtype.def"
#undef DTYPE

#define DEFINE_CONVERT(to_class, C, from_class, F)                                                                  \
  void KERN(convert_##to_class##_##from_class)(void *out, const void *a, const void *b, const void *c, int64_t n) { \
    (void)b, (void)c;                                                                                               \
    C *to = out;                                                                                                    \
    const F *from = a;                                                                                              \
    int64_t i = SMALL_##from_class(C, to, from, n);                                                                 \
    for (; i < n; i++) to[i] = (C)from[i];                                                                          \
  }
// Below AVX-512 no vector of 64-bit integers becomes floats, but one of 32 bits does: blocks of such, mostly answers of
// comparisons and places, go so. Returns how many elements are done.
#define SMALL_f32(C, to, from, n) 0
#define SMALL_f64(C, to, from, n) 0
#if defined(__AVX512DQ__)
#define SMALL_i64(C, to, from, n) 0
#else
#define SMALL_i64(C, to, from, n) small_##C(to, from, n)
#define small_int64_t(to, from, n) 0
enum { BLOCK = 64 };
#define DEFINE_SMALL(C)                                                                      \
  static int64_t small_##C(C *to, const int64_t *from, int64_t n) {                          \
    int64_t i = 0;                                                                           \
    for (; i + BLOCK <= n; i += BLOCK) {                                                     \
      int64_t beyond = 0;                                                                    \
      for (int k = 0; k < BLOCK; k++) beyond |= from[i + k] ^ (int64_t)(int32_t)from[i + k]; \
      if (beyond != 0) break;                                                                \
      for (int k = 0; k < BLOCK; k++) to[i + k] = (C)(int32_t)from[i + k];                   \
    }                                                                                        \
    return i;                                                                                \
  }
DEFINE_SMALL(float)
DEFINE_SMALL(double)
#endif
#define CONVERT_PAIR DEFINE_CONVERT
#include "kern/convert_pair.def"
#undef CONVERT_PAIR

// out[i] = value
void KERN(fill_b4)(void *out, uint32_t value, int64_t n) {
  uint32_t *to = out;
  for (int64_t i = 0; i < n; i++) to[i] = value;
}
void KERN(fill_b8)(void *out, uint64_t value, int64_t n) {
  uint64_t *to = out;
  for (int64_t i = 0; i < n; i++) to[i] = value;
}
// out[i] = first + i * step, in the class
void KERN(iota_f32)(void *out, int64_t first, int64_t step, int64_t n) {
  float *to = out;
  const int64_t far = INT32_MAX / 2;
  if (first > -far && first < far && step > -2 && step < 2 && n < far) {  // integers that every level converts
    for (int32_t i = 0; i < (int32_t)n; i++) to[i] = (float)((int32_t)first + i * (int32_t)step);
    return;
  }
  for (int64_t i = 0; i < n; i++) to[i] = (float)(first + i * step);
}
void KERN(iota_f64)(void *out, int64_t first, int64_t step, int64_t n) {
  double *to = out;
  for (int64_t i = 0; i < n; i++) to[i] = (double)(first + i * step);
}
void KERN(iota_i64)(void *out, int64_t first, int64_t step, int64_t n) {
  int64_t *to = out;
  uint64_t value = (uint64_t)first;
  for (int64_t i = 0; i < n; i++, value += (uint64_t)step) to[i] = (int64_t)value;
}
