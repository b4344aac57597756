// SPDX-License-Identifier: Apache-2.0
// MAP kernels of class F64.
#define VEC_NATIVE

#include "kern/fma.h"
#include "kern/isa.h"
#include "kern/math_f64.h"

VEC_INLINE vf64_t vf64_fma(vf64_t a, vf64_t b, vf64_t c) {
  vf64_t r = a;
  for (int i = 0; i < VF64_LANES; i++) r[i] = f64_fma(a[i], b[i], c[i]);
  return r;
}

#define V(name) vf64_##name
#define VT vf64_t
#define IT vi64_t
#define ET double
#define LANES VF64_LANES
#define FNAN F64_NAN
#define FN(name) KERN(map_f64_##name)
#include "kern/map_float.h"
