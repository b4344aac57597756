// SPDX-License-Identifier: Apache-2.0
// Sums that a MAP makes for the REDUCE stages behind it: which, and where they wait.
#ifndef LEAT_NATIVE_MAP_SUMS_H_
#define LEAT_NATIVE_MAP_SUMS_H_

#include "native/map_plan.h"

// Lets a plan whose program is there make the sums of the first `count` of context->sums, and takes out stores that
// then nobody reads. plan->sums.count stays 0 where they are not all float sums in blocks over the
// same dims of what the program computes or, unless it may overwrite it, loads. LEAT_OUT_OF_MEMORY.
leat_status_t leat_native_map_take_sums(map_plan_t *plan, const leat_native_prepare_t *context,
                                        uint32_t count) LEAT_MUST_USE;

// Adds what the sums need in tiles of at most so many rows to the stage's workspace.
void leat_native_map_place_sums(map_plan_t *plan, leat_native_stage_t *stage, int64_t rows);

#endif
