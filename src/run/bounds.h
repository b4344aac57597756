// SPDX-License-Identifier: Apache-2.0
// Bounds of indices (pef_bound_t): runs that end with LEAT_OUT_OF_RANGE where one does not hold.
#ifndef LEAT_RUN_BOUNDS_H_
#define LEAT_RUN_BOUNDS_H_

#include "run/program.h"

// At load, after symbols and calls: room for what forward may have to take back.
leat_status_t leat_run_bounds_prepare(leat_program_t *program) LEAT_MUST_USE;
// What a run of `types` is given.
leat_status_t leat_run_bounds_before(const leat_program_t *program, uint32_t types) LEAT_MUST_USE;
// As leat_run_exec_run, and as leat_run_exec_calls.
leat_status_t leat_run_bounds_run(leat_program_t *program, uint32_t types) LEAT_MUST_USE;
leat_status_t leat_run_bounds_run_calls(leat_program_t *program, uint32_t first, uint32_t count) LEAT_MUST_USE;

#endif
