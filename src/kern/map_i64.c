// SPDX-License-Identifier: Apache-2.0
// MAP kernels of class I64: integers of every width and bool travel as int64 and wrap; predicates are 0 or 1.
// Plain loops: the compiler makes vectors of those that the ISA level has instructions for.
#include "kern/isa.h"

#define INLINE static inline __attribute__((always_inline))
#define WRAP(a, op, b) ((int64_t)((uint64_t)(a)op(uint64_t)(b)))

INLINE int64_t op_copy(int64_t a) { return a; }
INLINE int64_t op_stop(int64_t a) { return a; }
INLINE int64_t op_neg(int64_t a) { return WRAP(0, -, a); }
INLINE int64_t op_abs(int64_t a) { return a < 0 ? WRAP(0, -, a) : a; }
INLINE int64_t op_sign(int64_t a) { return (a > 0) - (a < 0); }
INLINE int64_t op_floor(int64_t a) { return a; }
INLINE int64_t op_ceil(int64_t a) { return a; }
INLINE int64_t op_trunc(int64_t a) { return a; }
INLINE int64_t op_round(int64_t a) { return a; }
INLINE int64_t op_not(int64_t a) { return ~a; }
INLINE int64_t op_isnan(int64_t a) { return 0 & a; }
INLINE int64_t op_add(int64_t a, int64_t b) { return WRAP(a, +, b); }
INLINE int64_t op_sub(int64_t a, int64_t b) { return WRAP(a, -, b); }
INLINE int64_t op_mul(int64_t a, int64_t b) { return WRAP(a, *, b); }
INLINE int64_t op_div(int64_t a, int64_t b) {  // truncating; by zero: 0
  if (b == 0) return 0;
  return b == -1 ? WRAP(0, -, a) : a / b;
}
INLINE int64_t op_fmod(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }
INLINE int64_t op_rem(int64_t a, int64_t b) {  // sign of the divisor
  int64_t r = op_fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
INLINE int64_t op_floordiv(int64_t a, int64_t b) {
  int64_t q = op_div(a, b);
  return op_rem(a, b) != op_fmod(a, b) ? WRAP(q, -, 1) : q;
}
INLINE int64_t op_pow(int64_t a, int64_t b) {  // negative exponents: the truncated reciprocal
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
  int64_t r = 1;
  for (; b != 0; b >>= 1, a = WRAP(a, *, a)) r = b & 1 ? WRAP(r, *, a) : r;
  return r;
}
INLINE int64_t op_max(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t op_min(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t op_eq(int64_t a, int64_t b) { return a == b; }
INLINE int64_t op_ne(int64_t a, int64_t b) { return a != b; }
INLINE int64_t op_lt(int64_t a, int64_t b) { return a < b; }
INLINE int64_t op_le(int64_t a, int64_t b) { return a <= b; }
INLINE int64_t op_gt(int64_t a, int64_t b) { return a > b; }
INLINE int64_t op_ge(int64_t a, int64_t b) { return a >= b; }
INLINE int64_t op_and(int64_t a, int64_t b) { return a & b; }
INLINE int64_t op_or(int64_t a, int64_t b) { return a | b; }
INLINE int64_t op_xor(int64_t a, int64_t b) { return a ^ b; }
// Shifts by less than 0 or more than 63 shift everything out.
INLINE int64_t op_shl(int64_t a, int64_t b) { return (uint64_t)b < 64 ? WRAP(a, <<, b) : 0; }
INLINE int64_t op_shr(int64_t a, int64_t b) { return (uint64_t)b < 64 ? a >> b : a < 0 ? -1 : 0; }
INLINE int64_t op_select(int64_t a, int64_t b, int64_t c) { return a != 0 ? b : c; }
INLINE int64_t op_fma(int64_t a, int64_t b, int64_t c) { return op_add(op_mul(a, b), c); }

#define CALL_1(name) op_##name(pa[i])
#define CALL_2(name) op_##name(pa[i], pb[i])
#define CALL_3(name) op_##name(pa[i], pb[i], pc[i])
#define DEFINE_INTS(name, arity)                                                                 \
  void KERN(map_i64_##name)(void *out, const void *a, const void *b, const void *c, int64_t n) { \
    int64_t *po = out;                                                                           \
    const int64_t *pa = a, *pb = b, *pc = c;                                                     \
    (void)pb, (void)pc;                                                                          \
    for (int64_t i = 0; i < n; i++) po[i] = CALL_##arity(name);                                  \
  }
#define DEFINE_BOTH(name, arity) DEFINE_INTS(name, arity)
#define DEFINE_FLOATS(name, arity)
#define DEFINE_NONE(name, arity)
#define SCALAR(suffix, name, number, arity, result, kernels, ...) DEFINE_##kernels(name, arity)
#include "ir/scalar.def"
#undef SCALAR
