// SPDX-License-Identifier: Apache-2.0
// Runs as trips of the file's loop over batches: which trip a run is, and whether what lies behind the loop runs.
#ifndef LEAT_RUN_BATCHES_H_
#define LEAT_RUN_BATCHES_H_

#include "run/program.h"

// At load, after the calls. LEAT_MISMATCH where the program beside has another loop over batches.
leat_status_t leat_run_batches_prepare(leat_program_t *program, const leat_program_t *beside) LEAT_MUST_USE;
// As leat_run_bounds_run, of one batch: without the types behind the loop, unless it is the last one of an update.
leat_status_t leat_run_batch(leat_program_t *program, uint32_t types) LEAT_MUST_USE;

// accumulate.c: of files before 2.1, whose gradients a run adds up. Room at load, and what follows a backward pass.
leat_status_t leat_run_sums_prepare(leat_program_t *program) LEAT_MUST_USE;
void leat_run_sums_add(leat_program_t *program, uint32_t index, uint32_t steps);

#endif
