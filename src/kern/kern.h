// SPDX-License-Identifier: Apache-2.0
// The table of compute kernels. Every kernel is one body, written once with vector extensions and compiled once per ISA
// level (flags in meson.build); result bits are equal on all levels.
//
// Kernels include only this folder's headers (and the freestanding stdint.h, stddef.h): no libc, no globals, no
// allocation; they cannot fail. Pointers need only the natural alignment of their elements unless a row says more.
#ifndef LEAT_KERN_KERN_H_
#define LEAT_KERN_KERN_H_

#include "kern/kern_types.h"

// Levels, ascending. A CPU that runs a level runs all before it.
enum leat_isa { LEAT_ISA_PORTABLE = 0, LEAT_ISA_AVX2 = 1, LEAT_ISA_AVX512 = 2, LEAT_ISA_COUNT };

typedef struct leat_kern_s {
#define KERNEL(name, result, arguments) result(*name) arguments;
#include "kern/kernel.def"
#undef KERNEL
  // Strips of MAP stages; indexed by class, then as named.
  leat_kern_map_fn_t map[LEAT_KERN_CLASS_COUNT][LEAT_KERN_FN_COUNT];  // NULL: not in the class
  leat_kern_map_fn_t single[LEAT_KERN_FN_COUNT];                      // second bodies of class F32; NULL: there is none
  leat_kern_load_fn_t load[LEAT_KERN_CLASS_COUNT][LEAT_KERN_DTYPE_COUNT];
  leat_kern_store_fn_t store[LEAT_KERN_CLASS_COUNT][LEAT_KERN_DTYPE_COUNT];
  leat_kern_map_fn_t wrap[LEAT_KERN_CLASS_COUNT][LEAT_KERN_DTYPE_COUNT];     // the value as the dtype would store it
  leat_kern_map_fn_t convert[LEAT_KERN_CLASS_COUNT][LEAT_KERN_CLASS_COUNT];  // [to][from]
  leat_kern_iota_fn_t iota[LEAT_KERN_CLASS_COUNT];
} leat_kern_t;

// The kernels of one level: one table per ISA build (table.c).
extern const leat_kern_t leat_kern_portable, leat_kern_avx2, leat_kern_avx512;
// gemm_bf16 for CPUs that have AVX512-BF16 beside that level.
void leat_kern_avx512_bf16_gemm_bf16(const leat_kern_gemm_t *g, const void *a, const void *b, void *c);

#endif
