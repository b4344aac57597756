// SPDX-License-Identifier: Apache-2.0
// Which steps of a MAP run together.
#ifndef LEAT_NATIVE_MAP_PARTS_H_
#define LEAT_NATIVE_MAP_PARTS_H_

#include "native/code.h"
#include "native/map_plan.h"

// Puts the steps of scope STRIP in an order in which those that can be code stand together: between two kernels that
// need each other's result stands all that can run there. LEAT_OUT_OF_MEMORY.
leat_status_t leat_native_map_order(map_plan_t *plan, const leat_native_code_t *code,
                                    leat_arena_t *arena) LEAT_MUST_USE;

// Fills plan->parts, which has room for a part a step, and says whether it is a nest. `code`: NULL where none can be
// written.
void leat_native_map_parts(map_plan_t *plan, const map_value_t *values, leat_native_code_t *code);

// The part of a step of scope STRIP, or of one of a nest.
const map_part_t *leat_native_map_part_of(const map_plan_t *plan, uint32_t step);

#endif
