// SPDX-License-Identifier: Apache-2.0
// Plain types that kernel signatures use.
#ifndef LEAT_KERN_KERN_TYPES_H_
#define LEAT_KERN_KERN_TYPES_H_

#include <stddef.h>
#include <stdint.h>

#include "kern/index_types.h"
#include "kern/window_types.h"

// Classes in which values are computed, and dtypes; ORDER: the numbers of pef_format.h.
enum { LEAT_KERN_F32 = 0, LEAT_KERN_F64 = 1, LEAT_KERN_I64 = 2, LEAT_KERN_CLASS_COUNT = 3, LEAT_KERN_DTYPE_COUNT = 10 };
// The functions of MAP instructions, numbered as in PEF files.
enum {
#define SCALAR(suffix, ...) LEAT_KERN_FN_##suffix,
#include "ir/scalar.def"
#undef SCALAR
  LEAT_KERN_FN_COUNT
};

// out[i] = fn(a[i], b[i], c[i]) for i < n, all of one class; operands that fn lacks are ignored. out may equal a, b or
// c.
typedef void (*leat_kern_map_fn_t)(void *out, const void *a, const void *b, const void *c, int64_t n);
// Between class values at stride 1 and stored elements at any stride.
typedef void (*leat_kern_load_fn_t)(void *out, const void *in, int64_t stride, int64_t n);
typedef void (*leat_kern_store_fn_t)(void *out, int64_t stride, const void *in, int64_t n);
// out[i] = first + i * step
typedef void (*leat_kern_iota_fn_t)(void *out, int64_t first, int64_t step, int64_t n);

// A matrix product of m x n x k; strides in elements, those of n in B and C are 1.
typedef struct leat_kern_gemm_s {
  int64_t m, n, k;
  int64_t a_m, a_k, b_k, c_m;
  int64_t add;  // 1: C += A B, the accumulators start from C
} leat_kern_gemm_t;

// Scales of a B that is narrow: elements of column j are times at[j * next], after `group` terms of k times those
// `step` further. `gone` terms of the first group came before.
typedef struct leat_kern_scales_s {
  const float *at;
  int64_t next, group, step, gone;
} leat_kern_scales_t;

// A sum in blocks whose sums are added pairwise as they come, for `width` results side by side. Row 0 of `rows` is the
// open block's sum; row 1 + l holds the sum of 2^l blocks where bit l of `count` is set.
typedef struct leat_kern_pairs_s {
  void *rows;
  int64_t width;  // elements of a row
  int64_t block;  // terms of a block
  int64_t open;   // terms in the open block
  int64_t count;  // blocks that are closed
} leat_kern_pairs_t;

#endif
