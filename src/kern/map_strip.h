// SPDX-License-Identifier: Apache-2.0
// What makes a kernel on strips of op_<name>, a function of vectors, for map_float.h and map_single.c. The includer
// defines V, VT, ET, LANES and FN as map_float.h says.
#ifndef LEAT_KERN_MAP_STRIP_H_
#define LEAT_KERN_MAP_STRIP_H_

// op_<name> where the function of vectors is V(name).
#define OP_1(name) \
  VEC_INLINE VT op_##name(VT a) { return V(name)(a); }
#define OP_2(name) \
  VEC_INLINE VT op_##name(VT a, VT b) { return V(name)(a, b); }

#define KERNEL_1(name)                                                               \
  void FN(name)(void *out, const void *a, const void *b, const void *c, int64_t n) { \
    (void)b, (void)c;                                                                \
    ET *po = out;                                                                    \
    const ET *pa = a;                                                                \
    int64_t i = 0;                                                                   \
    for (; i + LANES <= n; i += LANES) V(store)(po + i, op_##name(V(load)(pa + i))); \
    if (i < n) V(store_part)(po + i, op_##name(V(load_part)(pa + i, n - i)), n - i); \
  }
#define KERNEL_2(name)                                                                                   \
  void FN(name)(void *out, const void *a, const void *b, const void *c, int64_t n) {                     \
    (void)c;                                                                                             \
    ET *po = out;                                                                                        \
    const ET *pa = a, *pb = b;                                                                           \
    int64_t i = 0;                                                                                       \
    for (; i + LANES <= n; i += LANES) V(store)(po + i, op_##name(V(load)(pa + i), V(load)(pb + i)));    \
    if (i < n) {                                                                                         \
      V(store_part)(po + i, op_##name(V(load_part)(pa + i, n - i), V(load_part)(pb + i, n - i)), n - i); \
    }                                                                                                    \
  }
#define KERNEL_3(name)                                                                                   \
  void FN(name)(void *out, const void *a, const void *b, const void *c, int64_t n) {                     \
    ET *po = out;                                                                                        \
    const ET *pa = a, *pb = b, *pc = c;                                                                  \
    int64_t i = 0;                                                                                       \
    for (; i + LANES <= n; i += LANES) {                                                                 \
      V(store)(po + i, op_##name(V(load)(pa + i), V(load)(pb + i), V(load)(pc + i)));                    \
    }                                                                                                    \
    if (i < n) {                                                                                         \
      int64_t r = n - i;                                                                                 \
      V(store_part)                                                                                      \
      (po + i, op_##name(V(load_part)(pa + i, r), V(load_part)(pb + i, r), V(load_part)(pc + i, r)), r); \
    }                                                                                                    \
  }

#endif
