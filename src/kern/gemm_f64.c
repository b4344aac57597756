// SPDX-License-Identifier: Apache-2.0
// Matrix products of class F64.
#define VEC_NATIVE

#include "kern/fma.h"
#include "kern/isa.h"

#define V(name) vf64_##name
#define VT vf64_t
#define ET double
#define LANES VF64_LANES
#define FN KERN(gemm_f64)
// Accumulators that stay in registers, of which AVX-512 has 32 and the others 16.
#ifdef __AVX512F__
#define ROWS 6
#define WIDTH 4
#else
#define ROWS 5
#define WIDTH 2
#endif

VEC_INLINE vf64_t vf64_fma(vf64_t a, vf64_t b, vf64_t c) {
  vf64_t r = a;
  for (int i = 0; i < VF64_LANES; i++) r[i] = f64_fma(a[i], b[i], c[i]);
  return r;
}
#include "kern/gemm_float.h"
