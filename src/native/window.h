// SPDX-License-Identifier: Apache-2.0
// The spatial geometry of CONV, CONV_WGRAD, POOL and POOL_GRAD as kernels take it: always three dims, the last ones
// being those that the stage has.
#ifndef LEAT_NATIVE_WINDOW_H_
#define LEAT_NATIVE_WINDOW_H_

#include "native/stage.h"

// From the stage's parameters and the trailing dims of its input `x` and output `y`.
leat_kern_window_t leat_native_window(const leat_native_stage_t *stage, const leat_native_operand_t *x,
                                      const leat_native_operand_t *y);
// Strides of the trailing `spatial` dims as the last of three; 0 before them.
void leat_native_spatial_strides(const leat_native_operand_t *operand, uint32_t spatial, int64_t out_strides[3]);

#endif
