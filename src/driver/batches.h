// SPDX-License-Identifier: Apache-2.0
// The loop over batches of a file: around what each batch runs.
#ifndef LEAT_DRIVER_BATCHES_H_
#define LEAT_DRIVER_BATCHES_H_

#include "leat/compile.h"
#include "pef/pef_write.h"

// needs: a writer with all calls. Around all of them but PREPARE where a run takes several batches, around forward and
// backward where an update does and there is a backward pass.
leat_status_t leat_batches_add_loop(const leat_compile_options_t *options, leat_pef_writer_t *writer) LEAT_MUST_USE;

#endif
