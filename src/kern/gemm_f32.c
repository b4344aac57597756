// SPDX-License-Identifier: Apache-2.0
// Matrix products of class F32.
#include "kern/isa.h"
#include "kern/vec.h"

#define V(name) vf32_##name
#define VT vf32_t
#define ET float
#define LANES VF32_LANES
#define FN KERN(gemm_f32)
// Accumulators that stay in registers: a vector is one register of AVX-512, two of AVX2.
#ifdef __AVX512F__
#define ROWS 8
#define WIDTH 2
#else
#define ROWS 5
#define WIDTH 1
#endif
#include "kern/gemm_float.h"
