// SPDX-License-Identifier: Apache-2.0
// Body of map_f32.c and map_f64.c: the scalar functions on strips of one float class. The includer defines
//   V(name) -> vf32_name, VT vector, IT integer vector of equal width, ET element, LANES, FN(name) -> kernel name,
//   FNAN the quiet NaN.
// Predicates yield 0 or 1 in the class. max and min: NaN if either is, the first of equal operands (zeros of either
// sign are equal), so that relu and clamp leave -0 alone.

#include "kern/map_strip.h"

#define BOOL_OF(mask) V(select)(mask, V(splat)(1), V(splat)(0))

VEC_INLINE VT op_copy(VT a) { return a; }
VEC_INLINE VT op_stop(VT a) { return a; }
VEC_INLINE VT op_neg(VT a) { return -a; }
VEC_INLINE VT op_sign(VT a) {
  return V(select)(a > 0, V(splat)(1), V(select)(a < 0, V(splat)(-1), V(splat)(0)));  // NaN: 0, as in torch
}
VEC_INLINE VT op_rsqrt(VT a) { return 1 / V(sqrt)(a); }
VEC_INLINE VT op_recip(VT a) { return 1 / a; }
VEC_INLINE VT op_isnan(VT a) { return BOOL_OF(a != a); }
VEC_INLINE VT op_add(VT a, VT b) { return a + b; }
VEC_INLINE VT op_sub(VT a, VT b) { return a - b; }
VEC_INLINE VT op_mul(VT a, VT b) { return a * b; }
VEC_INLINE VT op_div(VT a, VT b) { return a / b; }
VEC_INLINE VT op_floordiv(VT a, VT b) { return V(floor)(a / b); }
VEC_INLINE VT op_max(VT a, VT b) { return V(select)((a == a) & (b == b), V(select)(b > a, b, a), V(splat)(FNAN)); }
VEC_INLINE VT op_min(VT a, VT b) { return V(select)((a == a) & (b == b), V(select)(b < a, b, a), V(splat)(FNAN)); }
VEC_INLINE VT op_eq(VT a, VT b) { return BOOL_OF(a == b); }
VEC_INLINE VT op_ne(VT a, VT b) { return BOOL_OF(a != b); }
VEC_INLINE VT op_lt(VT a, VT b) { return BOOL_OF(a < b); }
VEC_INLINE VT op_le(VT a, VT b) { return BOOL_OF(a <= b); }
VEC_INLINE VT op_gt(VT a, VT b) { return BOOL_OF(a > b); }
VEC_INLINE VT op_ge(VT a, VT b) { return BOOL_OF(a >= b); }
VEC_INLINE VT op_select(VT a, VT b, VT c) { return V(select)(a != 0, b, c); }
VEC_INLINE VT op_fma(VT a, VT b, VT c) { return V(fma)(a, b, c); }

// Functions of the class's own: of all bodies but HERE.
#define OP_OF_EACH(name, arity) OP_##arity(name)
#define OP_OF_WIDE(name, arity) OP_##arity(name)
#define OP_OF_TWO(name, arity) OP_##arity(name)
#define OP_OF_HERE(name, arity)
#define OP_OF_NONE(name, arity)
#define SCALAR(suffix, name, number, arity, result, kernels, body, ...) OP_OF_##body(name, arity)
#include "ir/scalar.def"
#undef SCALAR

#define DEFINE_FLOATS(name, arity) KERNEL_##arity(name)
#define DEFINE_BOTH(name, arity) KERNEL_##arity(name)
#define DEFINE_INTS(name, arity)
#define DEFINE_NONE(name, arity)
#define SCALAR(suffix, name, number, arity, result, kernels, ...) DEFINE_##kernels(name, arity)
#include "ir/scalar.def"
#undef SCALAR
