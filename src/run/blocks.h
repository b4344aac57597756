// SPDX-License-Identifier: Apache-2.0
// Values of a symbol, row-major, to and from where they lie: in blocks, where the file says so (pef_format.h).
#ifndef LEAT_RUN_BLOCKS_H_
#define LEAT_RUN_BLOCKS_H_

#include "pef/pef_read.h"

// `count` elements from element `first` on, between `values` and the symbol's memory.
void leat_run_blocks_get(const leat_pef_t *pef, uint32_t symbol, const char *memory, size_t first, size_t count,
                         char *values);
void leat_run_blocks_put(const leat_pef_t *pef, uint32_t symbol, char *memory, size_t first, size_t count,
                         const char *values);

#endif
