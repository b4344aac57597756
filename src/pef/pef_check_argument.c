// SPDX-License-Identifier: Apache-2.0
// Arguments: each lies in its place and holds what the body does with it, in every trip of the loops that move it.
#include "pef/pef_check.h"
#include "pef/walk.h"

leat_status_t leat_pef_check_argument(const leat_pef_t *pef, const pef_argument_t *argument) {
  if (argument->kind > PEF_PLACE_CONSTANT) return leat_pef_corrupt("place kind %u does not exist", argument->kind);
  const bool in_symbol = argument->kind == PEF_PLACE_SYMBOL;
  if (in_symbol ? argument->symbol >= pef->symbol_count : argument->symbol != 0) {
    return leat_pef_corrupt("symbol %u of %u does not fit", argument->symbol, pef->symbol_count);
  }
  const uint64_t room = in_symbol                              ? pef->symbols[argument->symbol].bytes
                        : argument->kind == PEF_PLACE_CONSTANT ? pef->constant_bytes
                                                               : pef->info->arena_bytes;
  if (argument->offset <= room && argument->bytes <= room - argument->offset) return NULL;
  return leat_pef_corrupt("bytes %llu + %llu reach over the end of its place (%llu bytes)",
                          (unsigned long long)argument->offset, (unsigned long long)argument->bytes,
                          (unsigned long long)room);
}

leat_status_t leat_pef_check_use(const leat_pef_t *pef, uint32_t index, const pef_slot_use_t *use) {
  if (use->alignment == 0) return NULL;
  const pef_argument_t *argument = &pef->arguments[index];
  uint32_t count;
  const pef_move_t *moves = leat_pef_moves(pef, index, 1, &count);
  int64_t least, most, fraction = 0;
  if (!leat_pef_reach(pef, index, &least, &most) || use->bytes > argument->bytes - (uint64_t)most) {
    return leat_pef_corrupt("its operands reach byte %llu of %llu",
                            (unsigned long long)use->bytes + (unsigned long long)most,
                            (unsigned long long)argument->bytes);
  }
  for (uint32_t m = 0; m < count; ++m) fraction |= moves[m].first % use->alignment | moves[m].step % use->alignment;
  if (fraction != 0) return leat_pef_corrupt("it moves by a part of %u bytes", use->alignment);
  const pef_argument_t *places = leat_pef_places(pef, index, &count);
  for (uint32_t t = 0; t < count; ++t) {
    if (places[t].offset % use->alignment != 0) {
      return leat_pef_corrupt("offset %llu is not a multiple of %u bytes", (unsigned long long)places[t].offset,
                              use->alignment);
    }
    if (use->written && places[t].kind == PEF_PLACE_CONSTANT) return leat_pef_corrupt("it writes a constant");
  }
  return NULL;
}

double leat_pef_touched(const leat_pef_t *pef, uint32_t index, const pef_slot_use_t *use) {
  int64_t least, most;
  uint32_t count;
  (void)leat_pef_places(pef, index, &count);
  if (use->alignment == 0 || !leat_pef_reach(pef, index, &least, &most)) return 0;
  return count * ((double)use->bytes + (double)(most - least));
}
