// SPDX-License-Identifier: Apache-2.0
// Names of one ISA build. Every kernel file is compiled once per level with -DLEAT_KERN_ISA=<level>; a body writes
//   void KERN(fill_f32)(float *out, float value, int64_t count) { ... }
// and becomes leat_kern_avx2_fill_f32. Its row in kernel.def puts it into the level's table.
#ifndef LEAT_KERN_ISA_H_
#define LEAT_KERN_ISA_H_

#include "kern/kern.h"

#ifndef LEAT_KERN_ISA
#define LEAT_KERN_ISA portable
#endif
#define LEAT_KERN_PASTE_(isa, name) leat_kern_##isa##_##name
#define LEAT_KERN_PASTE(isa, name) LEAT_KERN_PASTE_(isa, name)
#define KERN(name) LEAT_KERN_PASTE(LEAT_KERN_ISA, name)

#define KERNEL(name, result, arguments) result KERN(name) arguments;
#include "kern/kernel.def"
#undef KERNEL

#define MAP_FN(name) void KERN(name)(void *out, const void *a, const void *b, const void *c, int64_t n);
#define MAP_FNS_FLOATS(name) MAP_FN(map_f32_##name) MAP_FN(map_f64_##name)
#define MAP_FNS_INTS(name) MAP_FN(map_i64_##name)
#define MAP_FNS_BOTH(name) MAP_FNS_FLOATS(name) MAP_FNS_INTS(name)
#define MAP_FNS_NONE(name)
#define SCALAR(suffix, name, number, arity, result, kernels, ...) MAP_FNS_##kernels(name)
#include "ir/scalar.def"
#undef SCALAR

#define SINGLE_FNS_HERE(name)
#define SINGLE_FNS_EACH(name)
#define SINGLE_FNS_WIDE(name)
#define SINGLE_FNS_NONE(name)
#define SINGLE_FNS_TWO(name) MAP_FN(map_f32_single_##name)
#define SCALAR(suffix, name, number, arity, result, kernels, body, ...) SINGLE_FNS_##body(name)
#include "ir/scalar.def"
#undef SCALAR

#define MEMORY_FNS(class_, dtype)                                                            \
  void KERN(load_##class_##_##dtype)(void *out, const void *in, int64_t stride, int64_t n);  \
  void KERN(store_##class_##_##dtype)(void *out, int64_t stride, const void *in, int64_t n); \
  MAP_FN(wrap_##class_##_##dtype)
#define DTYPE(dtype, T) MEMORY_FNS(f32, dtype) MEMORY_FNS(f64, dtype) MEMORY_FNS(i64, dtype)
#include "kern/dtype.def"
#undef DTYPE

#define CONVERT_PAIR(to, C, from, F) MAP_FN(convert_##to##_##from)
#include "kern/convert_pair.def"
#undef CONVERT_PAIR

#endif
