// SPDX-License-Identifier: Apache-2.0
// The loop over batches of a file: around what each batch runs.
#ifndef LEAT_DRIVER_BATCHES_H_
#define LEAT_DRIVER_BATCHES_H_

#include "leat/compile.h"
#include "map/map.h"
#include "pef/pef_write.h"

// needs: a writer with all calls and no bounds. Around all of them but PREPARE where a run takes several batches;
// around forward and backward, which then add up the gradients of parameters, where an update does and there is a
// backward pass. Then *writer may be another one, in place of the first.
leat_status_t leat_batches_add_loop(const leat_compile_options_t *options, const leat_map_options_t *map_options,
                                    leat_pef_writer_t **writer) LEAT_MUST_USE;

#endif
