// SPDX-License-Identifier: Apache-2.0
#include "map/fit.h"

static bool alive_together(const leat_block_t *a, const leat_block_t *b) {
  return a->begin <= b->end && b->begin <= a->end;
}

// The lowest offset at which block `i` meets none of those before it.
static uint64_t lowest(const leat_block_t *blocks, uint32_t i) {
  uint64_t offset = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (uint32_t j = 0; j < i; ++j) {
      if (!alive_together(&blocks[i], &blocks[j])) continue;
      if (offset < blocks[j].offset + blocks[j].bytes && blocks[j].offset < offset + blocks[i].bytes) {
        offset = blocks[j].offset + blocks[j].bytes;
        moved = true;
      }
    }
  }
  return offset;
}

uint64_t leat_blocks_fit(leat_blocks_t *blocks) {
  uint64_t height = 0;
  for (uint32_t i = 0; i < blocks->count; ++i) {
    leat_block_t *block = &blocks->data[i];
    block->offset = lowest(blocks->data, i);
    if (block->offset + block->bytes > height) height = block->offset + block->bytes;
  }
  return height;
}

leat_status_t leat_blocks_add(leat_blocks_t *blocks, leat_value_id_t v, uint32_t begin, uint32_t end, uint64_t bytes) {
  leat_block_t *block = leat_array_push(blocks);
  if (block == NULL) return leat_out_of_memory();
  *block = (leat_block_t){.value = v, .begin = begin, .end = end, .bytes = bytes, .whole_bytes = bytes};
  return NULL;
}
