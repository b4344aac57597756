// SPDX-License-Identifier: Apache-2.0
// Symbols that lie in blocks.
#include "pef/pef_check.h"

static leat_status_t check_block(const leat_pef_t *pef, uint32_t index) {
  const pef_block_t *block = &pef->blocks[index];
  if (block->symbol >= pef->symbol_count || (index > 0 && block[-1].symbol >= block->symbol)) {
    return leat_pef_corrupt("it is of symbol %u, which is out of order", block->symbol);
  }
  const pef_symbol_t *symbol = &pef->symbols[block->symbol];
  if (symbol->kind != PEF_SYMBOL_PARAMETER) {
    return leat_pef_corrupt("symbol %u is no parameter, which alone may lie in blocks", block->symbol);
  }
  if (block->dim < symbol->rank && block->outer <= block->dim && block->reserved0 == 0 && block->block != 0 &&
      block->block <= (uint64_t)symbol->dims[block->dim]) {
    return NULL;
  }
  return leat_pef_corrupt("dim %u of symbol %u cannot lie in blocks of %llu behind %u dims", block->dim, block->symbol,
                          (unsigned long long)block->block, block->outer);
}

// Bounds read their symbols as they lie.
static leat_status_t check_bounds(const leat_pef_t *pef) {
  for (uint32_t i = 0; i < pef->bound_count; ++i) {
    if (leat_pef_block_of(pef, pef->bounds[i].symbol) == NULL) continue;
    return leat_pef_corrupt("bound %u is of symbol %u, which lies in blocks", i, pef->bounds[i].symbol);
  }
  return NULL;
}

leat_status_t leat_pef_check_blocks(const leat_pef_t *pef) {
  for (uint32_t i = 0; i < pef->block_count; ++i) LEAT_TRY(leat_status_annotate(check_block(pef, i), "block %u", i));
  return pef->block_count == 0 ? NULL : check_bounds(pef);
}
