// SPDX-License-Identifier: Apache-2.0
// MAP kernels of class F32.
#define VEC_NATIVE

#include "kern/isa.h"
#include "kern/math_f32.h"

#define V(name) vf32_##name
#define VT vf32_t
#define IT vi32_t
#define ET float
#define LANES VF32_LANES
#define FNAN F32_NAN
#define FN(name) KERN(map_f32_##name)
#include "kern/map_float.h"
