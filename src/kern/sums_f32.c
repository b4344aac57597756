// SPDX-License-Identifier: Apache-2.0
// Sums of class F32.
#define VEC_NATIVE

#include "kern/isa.h"
#include "kern/vec.h"

#define V(name) vf32_##name
#define VT vf32_t
#define ET float
#define LANES VF32_LANES
#define FN(name) KERN(name##_f32)
#include "kern/sums_float.h"
