// SPDX-License-Identifier: Apache-2.0
// Sizes in places of a file and of memory: whole multiples of PEF_ALIGN.
#ifndef LEAT_PEF_ALIGN_H_
#define LEAT_PEF_ALIGN_H_

#include "pef/pef_format.h"

static inline uint64_t leat_pef_align(uint64_t bytes) { return (bytes + PEF_ALIGN - 1) / PEF_ALIGN * PEF_ALIGN; }

#endif
