// SPDX-License-Identifier: Apache-2.0
// The memory planner: places of blocks by the time they live, so that what never lives at once may share bytes. For the
// arena of a program, for the tile buffers of a section, and for the memory between linked units.
#ifndef LEAT_BASE_FIT_H_
#define LEAT_BASE_FIT_H_

#include "base/base.h"

#define LEAT_FOREVER UINT32_MAX

typedef struct leat_fit_block_s {
  uint32_t id;           // the caller's
  uint32_t first, last;  // moments of its life, both inclusive; last LEAT_FOREVER: it always lives
  uint64_t bytes;        // offsets are multiples of whatever all of these are multiples of
  uint64_t offset;       // of leat_fit_place
} leat_fit_block_t;

typedef LEAT_ARRAY(leat_fit_block_t) leat_fit_t;

leat_status_t leat_fit_add(leat_fit_t *fit, uint32_t id, uint32_t first, uint32_t last, uint64_t bytes) LEAT_MUST_USE;
// Gives every block its offset. Those that always live are stacked at the bottom, in their order; above them, the rest
// lie as low as they do in the better of two orders, by time and by size. *out_height: bytes of all. Takes time that
// grows with the blocks and those that live at once. LEAT_OUT_OF_MEMORY.
leat_status_t leat_fit_place(leat_fit_t *fit, uint64_t *out_height) LEAT_MUST_USE;

#endif
