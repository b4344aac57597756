// SPDX-License-Identifier: Apache-2.0
#include "run/blocks.h"

// Elements that follow each other row-major, and lie `step` apart.
typedef struct run_s {
  size_t at, count, step;
} run_t;

// The run that begins with element `first`, of at most `most`: it ends with the last dim, or with a block of it.
static run_t find_run(const pef_symbol_t *symbol, const pef_block_t *block, size_t first, size_t most) {
  const uint32_t last = symbol->rank - 1u;
  size_t index[PEF_MAX_RANK] = {0}, rest = first, around = 0, inside = 0, elements = 1;
  for (uint32_t d = symbol->rank; d-- > 0;) {
    index[d] = rest % (size_t)symbol->dims[d];
    rest /= (size_t)symbol->dims[d];
  }
  for (uint32_t d = 0; d < block->outer; ++d) around = around * (size_t)symbol->dims[d] + index[d];
  for (uint32_t d = block->outer; d < symbol->rank; ++d) {
    if (d == block->dim) continue;
    inside = inside * (size_t)symbol->dims[d] + index[d];
    elements *= (size_t)symbol->dims[d];
  }
  const size_t extent = (size_t)symbol->dims[block->dim], place = index[block->dim];
  const size_t start = place - place % block->block;
  const size_t width = extent - start < block->block ? extent - start : (size_t)block->block;
  const bool along = block->dim == last;
  const size_t end = along ? start + width : (size_t)symbol->dims[last], count = end - index[last];
  return (run_t){.at = around * extent * elements + start * elements + inside * width + (place - start),
                 .count = count < most ? count : most,
                 .step = along ? 1 : width};
}

#define COPY(bytes)                                                                                               \
  case bytes:                                                                                                     \
    for (size_t i = 0; i < count; ++i) memcpy(to + i * to_step * (bytes), from + i * from_step * (bytes), bytes); \
    break

static void copy(char *to, size_t to_step, const char *from, size_t from_step, size_t count, size_t bytes) {
  switch (bytes) {
    COPY(1);
    COPY(2);
    COPY(4);
    COPY(8);
    default:
      assert(false);
  }
}

void leat_run_blocks_get(const leat_pef_t *pef, uint32_t symbol, const char *memory, size_t first, size_t count,
                         char *values) {
  const pef_block_t *block = leat_pef_block_of(pef, symbol);
  const size_t bytes = leat_pef_dtype_bytes(pef->symbols[symbol].dtype);
  if (block == NULL) {
    memcpy(values, memory + first * bytes, count * bytes);
    return;
  }
  for (size_t done = 0; done < count;) {
    const run_t run = find_run(&pef->symbols[symbol], block, first + done, count - done);
    copy(values + done * bytes, 1, memory + run.at * bytes, run.step, run.count, bytes);
    done += run.count;
  }
}

void leat_run_blocks_put(const leat_pef_t *pef, uint32_t symbol, char *memory, size_t first, size_t count,
                         const char *values) {
  const pef_block_t *block = leat_pef_block_of(pef, symbol);
  const size_t bytes = leat_pef_dtype_bytes(pef->symbols[symbol].dtype);
  if (block == NULL) {
    memcpy(memory + first * bytes, values, count * bytes);
    return;
  }
  for (size_t done = 0; done < count;) {
    const run_t run = find_run(&pef->symbols[symbol], block, first + done, count - done);
    copy(memory + run.at * bytes, run.step, values + done * bytes, 1, run.count, bytes);
    done += run.count;
  }
}
