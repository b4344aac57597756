// SPDX-License-Identifier: Apache-2.0
// Vector types of 64 bytes (GCC and clang vector extensions) and the operations that the operators do not give:
// unaligned loads and stores, splats, selects, fused multiply-add.
//
// The compiler maps a vector to one, two or four registers of the ISA level it compiles for; the result bits do not
// depend on that. Vectors never cross a function boundary that is not inlined.
#ifndef LEAT_KERN_VEC_H_
#define LEAT_KERN_VEC_H_

#include <stddef.h>
#include <stdint.h>

#define VEC_INLINE static inline __attribute__((always_inline, unused))
#define VEC_BYTES 64

typedef float vf32_t __attribute__((vector_size(64)));      // 16 lanes
typedef int32_t vi32_t __attribute__((vector_size(64)));
typedef uint32_t vu32_t __attribute__((vector_size(64)));
typedef double vf64_t __attribute__((vector_size(64)));     // 8 lanes
typedef int64_t vi64_t __attribute__((vector_size(64)));
typedef uint64_t vu64_t __attribute__((vector_size(64)));
enum { VF32_LANES = 16, VF64_LANES = 8 };

#define VEC_DEFINE(T, element, name)                                                    \
  typedef T name##_unaligned_t __attribute__((aligned(sizeof(element)), may_alias));    \
  VEC_INLINE T name##_load(const element *p) { return *(const name##_unaligned_t *)p; } \
  VEC_INLINE void name##_store(element *p, T v) { *(name##_unaligned_t *)p = v; }       \
  VEC_INLINE T name##_splat(element x) { return x - (T){0}; } /* keeps -0.0 */
VEC_DEFINE(vf32_t, float, vf32)
VEC_DEFINE(vi32_t, int32_t, vi32)
VEC_DEFINE(vu32_t, uint32_t, vu32)
VEC_DEFINE(vf64_t, double, vf64)
VEC_DEFINE(vi64_t, int64_t, vi64)
VEC_DEFINE(vu64_t, uint64_t, vu64)

// mask lanes are 0 or -1, as comparisons yield them.
VEC_INLINE vf32_t vf32_select(vi32_t mask, vf32_t yes, vf32_t no) {
  return (vf32_t)((mask & (vi32_t)yes) | (~mask & (vi32_t)no));
}
VEC_INLINE vf64_t vf64_select(vi64_t mask, vf64_t yes, vf64_t no) {
  return (vf64_t)((mask & (vi64_t)yes) | (~mask & (vi64_t)no));
}
VEC_INLINE vi64_t vi64_select(vi64_t mask, vi64_t yes, vi64_t no) { return (mask & yes) | (~mask & no); }

#endif
