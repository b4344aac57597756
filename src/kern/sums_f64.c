// SPDX-License-Identifier: Apache-2.0
// Sums of class F64.
#define VEC_NATIVE

#include "kern/isa.h"
#include "kern/vec.h"

#define V(name) vf64_##name
#define VT vf64_t
#define ET double
#define LANES VF64_LANES
#define FN(name) KERN(name##_f64)
#include "kern/sums_float.h"
