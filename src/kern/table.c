// SPDX-License-Identifier: Apache-2.0
// The kernel table of one ISA level.
#include "kern/isa.h"

#define LEAT_KERN_TABLE_(isa) leat_kern_##isa
#define LEAT_KERN_TABLE(isa) LEAT_KERN_TABLE_(isa)

enum { ROW_f32 = LEAT_KERN_F32, ROW_f64 = LEAT_KERN_F64, ROW_i64 = LEAT_KERN_I64 };
enum {
#define DTYPE(dtype, T) COLUMN_##dtype,
#include "kern/dtype.def"
#undef DTYPE
};

const leat_kern_t LEAT_KERN_TABLE(LEAT_KERN_ISA) = {
#define KERNEL(name, result, arguments) .name = KERN(name),
#include "kern/kernel.def"
#undef KERNEL

#define ENTRY_FLOATS(number, name) \
  .map[ROW_f32][number] = KERN(map_f32_##name), .map[ROW_f64][number] = KERN(map_f64_##name),
#define ENTRY_INTS(number, name) .map[ROW_i64][number] = KERN(map_i64_##name),
#define ENTRY_BOTH(number, name) ENTRY_FLOATS(number, name) ENTRY_INTS(number, name)
#define ENTRY_NONE(number, name)
#define SCALAR(suffix, name, number, arity, result, kernels, ...) ENTRY_##kernels(number, name)
#include "ir/scalar.def"
#undef SCALAR

#define SINGLE_HERE(number, name)
#define SINGLE_EACH(number, name)
#define SINGLE_WIDE(number, name)
#define SINGLE_NONE(number, name)
#define SINGLE_TWO(number, name) .single[number] = KERN(map_f32_single_##name),
#define SCALAR(suffix, name, number, arity, result, kernels, body, ...) SINGLE_##body(number, name)
#include "ir/scalar.def"
#undef SCALAR

#define ENTRY_MEMORY(class_, dtype)                                      \
  .load[ROW_##class_][COLUMN_##dtype] = KERN(load_##class_##_##dtype),   \
  .store[ROW_##class_][COLUMN_##dtype] = KERN(store_##class_##_##dtype), \
  .wrap[ROW_##class_][COLUMN_##dtype] = KERN(wrap_##class_##_##dtype),
#define DTYPE(dtype, T) ENTRY_MEMORY(f32, dtype) ENTRY_MEMORY(f64, dtype) ENTRY_MEMORY(i64, dtype)
#include "kern/dtype.def"
#undef DTYPE

#define CONVERT_PAIR(to, C, from, F) .convert[ROW_##to][ROW_##from] = KERN(convert_##to##_##from),
#include "kern/convert_pair.def"
#undef CONVERT_PAIR
    .iota = {KERN(iota_f32), KERN(iota_f64), KERN(iota_i64)},
};
