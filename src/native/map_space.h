// SPDX-License-Identifier: Apache-2.0
// The iteration space of a MAP plan.
#ifndef LEAT_NATIVE_MAP_SPACE_H_
#define LEAT_NATIVE_MAP_SPACE_H_

#include "native/map_plan.h"

// Sets rank, dims, row_dim and row_mode of the plan and the strides of its leaves and stores: neighbouring dims of the
// stage are one where all of these go through both in equal steps. Where the plan makes sums, dims are in their order
// (map_sums_t), of which the count of those that are kept is set: sum_count becomes 0 where there is no such order.
// Rows of at least `row_min` elements are gone through one by one. LEAT_OUT_OF_MEMORY.
leat_status_t leat_native_map_space(map_plan_t *plan, const leat_native_stage_t *stage, int64_t row_min,
                                    leat_arena_t *arena) LEAT_MUST_USE;

#endif
