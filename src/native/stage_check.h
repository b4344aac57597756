// SPDX-License-Identifier: Apache-2.0
// What the prepare functions of stage kinds share: messages that name the stage, and comparisons of operand dims.
#ifndef LEAT_NATIVE_STAGE_CHECK_H_
#define LEAT_NATIVE_STAGE_CHECK_H_

#include "native/stage.h"

// "stage <kind> (<origin>): <text>".
leat_status_t leat_native_stage_error(const leat_native_stage_t *stage, int code, const char *format, ...)
    LEAT_PRINTF(3, 4) LEAT_MUST_USE;

#define LEAT_NATIVE_EXPECT(stage, condition, ...)                                         \
  do {                                                                                    \
    if (!(condition)) return leat_native_stage_error((stage), LEAT_CORRUPT, __VA_ARGS__); \
  } while (0)

// Dim da of a and dim db of b have the same extent in every tile.
bool leat_native_same_dim(const leat_native_operand_t *a, uint32_t da, const leat_native_operand_t *b, uint32_t db);
// All dims of a and b have the same extents in every tile.
bool leat_native_same_dims(const leat_native_operand_t *a, const leat_native_operand_t *b);

// The spatial geometry of CONV, CONV_WGRAD, POOL and POOL_GRAD from the stage's parameters and the trailing dims of its
// input `x` and output `y`; checks that they fit. params->window says it.
leat_status_t leat_native_window_read(const leat_native_stage_t *stage, const leat_native_operand_t *x,
                                      const leat_native_operand_t *y, leat_kern_window_t *out_window) LEAT_MUST_USE;
// Strides of the trailing `spatial` dims as the last of three; 0 before them.
void leat_native_spatial_strides(const leat_native_operand_t *operand, uint32_t spatial, int64_t out_strides[3]);

#endif
