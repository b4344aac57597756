// SPDX-License-Identifier: Apache-2.0
// Matrix products of class F32.
#define VEC_NATIVE

#include "kern/isa.h"
#include "kern/vec.h"

#define V(name) vf32_##name
#define VT vf32_t
#define ET float
#define LANES VF32_LANES
#define FN KERN(gemm_f32)
// Accumulators that stay in registers, of which AVX-512 has 32 and the others 16.
#ifdef __AVX512F__
#define ROWS 6
#define WIDTH 4
#else
#define ROWS 5
#define WIDTH 2
#endif
#include "kern/gemm_float.h"
