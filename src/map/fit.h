// SPDX-License-Identifier: Apache-2.0
// Offsets by lifetime: what is never alive together may share bytes.
#ifndef LEAT_MAP_FIT_H_
#define LEAT_MAP_FIT_H_

#include "ir/graph.h"

typedef struct leat_block_s {
  leat_value_id_t value;
  uint32_t begin, end;  // stages or sections, both inclusive
  uint64_t bytes, offset;
  uint64_t whole_bytes;  // of all rows
} leat_block_t;

typedef LEAT_ARRAY(leat_block_t) leat_blocks_t;

leat_status_t leat_blocks_add(leat_blocks_t *blocks, leat_value_id_t v, uint32_t begin, uint32_t end,
                              uint64_t bytes) LEAT_MUST_USE;
// First fit in the order of the blocks, which is that of `begin`; returns the height. Quadratic in blocks alive at
// once.
uint64_t leat_blocks_fit(leat_blocks_t *blocks);

#endif
