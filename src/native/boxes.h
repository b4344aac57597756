// SPDX-License-Identifier: Apache-2.0
// A stage of a body that has axes: kinds of stages know of rows alone, so it is prepared once for every box along the
// axes, with operands and windows as they are there.
#ifndef LEAT_NATIVE_BOXES_H_
#define LEAT_NATIVE_BOXES_H_

#include "native/stage.h"

// `stage` is that of the file, resolved and not prepared. LEAT_OUT_OF_MEMORY.
leat_status_t leat_native_boxes_prepare(const leat_pef_t *pef, const leat_native_stage_t *stage,
                                        const leat_run_space_t *space, const leat_native_prepare_t *context,
                                        leat_run_stage_t *out) LEAT_MUST_USE;

#endif
