// SPDX-License-Identifier: Apache-2.0
// What becomes of the sums of a convolution before they are stored (leat_kern_finish_t), register by register and
// element by element: the same bits.
#ifndef LEAT_KERN_FINISH_H_
#define LEAT_KERN_FINISH_H_

#include "kern/reg.h"
#include "kern/window_types.h"

VEC_INLINE reg_t finish_bound(const leat_kern_finish_t *f, reg_t v) {
  return reg_most(reg_splat(f->high), reg_least(reg_splat(f->low), v));
}

// `bias` and `side` where the sum is; what is NULL in `f` is not read.
VEC_INLINE float finish_one(const leat_kern_finish_t *f, float v, const float *bias, const float *side) {
  if (f->bias) v += *bias;
  if (f->side) v += *side;
  if (f->bounded == 0) return v;
  v = f->low > v ? f->low : v;
  return f->high < v ? f->high : v;
}

// n elements side by side, in place.
VEC_INLINE void finish_row(const leat_kern_finish_t *f, float *row, const float *bias, const float *side, int64_t n) {
  const reg_t number = f->bias ? reg_splat(*bias) : reg_zero();
  for (int64_t i = 0; i < n; i += REG_LANES) {
    const reg_mask_t m = reg_part(0, n, i);
    reg_t v = reg_load_lanes(row + i, m);
    if (f->bias) v = reg_add(v, number);
    if (f->side) v = reg_add(v, reg_load_lanes(side + i, m));
    if (f->bounded != 0) v = finish_bound(f, v);
    reg_store_lanes(row + i, v, m);
  }
}

#endif
