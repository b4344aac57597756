// SPDX-License-Identifier: Apache-2.0
// See window.h.
#include "native/window.h"

leat_kern_window_t leat_native_window(const leat_native_stage_t *stage, const leat_native_operand_t *x,
                                      const leat_native_operand_t *y) {
  const pef_window_t *p = &stage->params->window;
  const uint32_t spatial = (uint32_t)p->spatial;
  leat_kern_window_t w = {0};
  for (uint32_t d = 0; d < 3; d++) {
    w.in[d] = w.out[d] = w.size[d] = w.stride[d] = w.dilation[d] = w.base[d] = 1;
  }
  for (uint32_t i = 0; i < spatial; i++) {
    const uint32_t d = 3 - spatial + i, dim = x->rank - spatial + i;
    w.in[d] = x->dims[dim];
    w.out[d] = y->dims[dim];
    w.size[d] = p->window[i];
    w.stride[d] = p->stride[i];
    w.low[d] = p->low[i];
    w.dilation[d] = p->dilation[i];
    w.base[d] = p->base_dilation[i];
  }
  return w;
}

void leat_native_spatial_strides(const leat_native_operand_t *operand, uint32_t spatial, int64_t out_strides[3]) {
  for (uint32_t d = 0; d < 3; d++) {
    out_strides[d] = d + spatial >= 3 ? operand->strides[operand->rank + d - 3] : 0;
  }
}
