// SPDX-License-Identifier: Apache-2.0
// MAP kernels of class F32: second bodies (the functions that scalar.def calls TWO).
#define VEC_NATIVE

#include "kern/isa.h"
#include "kern/math_single.h"

#define V(name) vf32_##name
#define VT vf32_t
#define ET float
#define LANES VF32_LANES
#define FN(name) KERN(map_f32_##name)
#include "kern/map_strip.h"

#define SINGLE_HERE(name, arity)
#define SINGLE_EACH(name, arity)
#define SINGLE_WIDE(name, arity)
#define SINGLE_NONE(name, arity)
#define SINGLE_TWO(name, arity) SINGLE_OF(single_##name, arity)
#define SINGLE_OF(name, arity) OP_##arity(name) KERNEL_##arity(name)
#define SCALAR(suffix, name, number, arity, result, kernels, body, ...) SINGLE_##body(name, arity)
#include "ir/scalar.def"
#undef SCALAR
