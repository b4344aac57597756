// SPDX-License-Identifier: Apache-2.0
// Memory of a linked program. What calls of several types touch lives for ever, since the types may run apart: values
// between units one by one, and the part of a unit's arena that its types share. Values of one type are placed by
// lifetime. What a unit uses within one type only is shared by all units, which run one after another.
#include <stdlib.h>

#include "link/linker.h"
#include "pef/flow.h"
#include "pef/pef_align.h"

typedef struct block_s {
  uint32_t value, first, last;
  uint64_t bytes, offset;
} block_t;

// --- the arena of a unit --------------------------------------------------------------------------------------------

// The mapper stacks what crosses types at the bottom: the end of the last range that two types touch, moved up until
// no range reaches across it.
leat_status_t leat_link_kept_bytes(const leat_pef_t *pef, uint64_t *out_bytes) {
  leat_ranges_t ranges;
  uint64_t kept = 0;
  LEAT_TRY(leat_flow_ranges(pef, &ranges));
  for (uint32_t i = 0; i < ranges.all.count; ++i) {
    const leat_range_t *range = &ranges.all.data[i];
    if (leat_life_crosses(&range->life) && range->end > kept) kept = range->end;
  }
  for (uint32_t i = 0; i < ranges.all.count; ++i) {
    if (ranges.all.data[i].begin < kept && ranges.all.data[i].end > kept) kept = ranges.all.data[i].end;
  }
  leat_array_free(&ranges.all);
  *out_bytes = leat_pef_align(kept);
  return NULL;
}

static leat_status_t place_units(leat_linker_t *l) {
  const leat_link_program_t *p = l->program;
  const leat_pef_t *last = NULL;
  uint64_t kept = 0, shared = 0;
  for (uint32_t u = 0; u < p->unit_count; ++u) {
    if (p->units[u].pef != last) LEAT_TRY(leat_link_kept_bytes(p->units[u].pef, &kept));
    last = p->units[u].pef;
    l->unit_offset[u] = l->arena_bytes;
    l->unit_kept[u] = kept;
    l->arena_bytes += kept;
    if (last->info->arena_bytes > kept && last->info->arena_bytes - kept > shared)
      shared = last->info->arena_bytes - kept;
  }
  l->shared_offset = l->arena_bytes;
  l->arena_bytes += leat_pef_align(shared);
  return NULL;
}

// --- values between units -------------------------------------------------------------------------------------------

// The calls of the program around call `c` that one loop holds: within it a value lives from trip to trip.
static void find_loop(const leat_linker_t *l, uint32_t c, uint32_t *out_first, uint32_t *out_last) {
  const leat_linked_call_t *calls = l->calls.data;
  const leat_pef_t *pef = l->program->units[calls[c].unit].pef;
  const pef_loop_t *outer = NULL;
  *out_first = *out_last = c;
  for (uint32_t i = 0; i < pef->loop_count && outer == NULL; ++i) {
    if (calls[c].call - pef->loops[i].call_first < pef->loops[i].call_count) outer = &pef->loops[i];
  }
  if (outer == NULL) return;
  const uint32_t unit = calls[c].unit, first = outer->call_first, count = outer->call_count;
  while (*out_first > 0 && calls[*out_first - 1].unit == unit && calls[*out_first - 1].call - first < count)
    --*out_first;
  while (*out_last + 1 < l->calls.count && calls[*out_last + 1].unit == unit &&
         calls[*out_last + 1].call - first < count)
    ++*out_last;
}

static void find_lives(const leat_linker_t *l, leat_life_t *lives) {
  for (uint32_t c = 0; c < l->calls.count; ++c) {
    const leat_link_unit_t *unit = &l->program->units[l->calls.data[c].unit];
    const pef_call_t *call = leat_linker_call(l, c);
    uint32_t first, last;
    find_loop(l, c, &first, &last);
    for (uint32_t i = 0; i < call->argument_count; ++i) {
      uint32_t places;
      const pef_argument_t *at = leat_pef_places(unit->pef, call->argument_first + i, &places);
      for (; places > 0; --places, ++at) {
        if (at->kind != PEF_PLACE_SYMBOL || unit->targets[at->symbol].kind != LEAT_LINK_VALUE) continue;
        leat_life_t *life = &lives[unit->targets[at->symbol].index];
        leat_life_add(life, first, call->type);
        leat_life_add(life, last, call->type);
      }
    }
  }
}

static int by_first(const void *a, const void *b) {
  const block_t *x = a, *y = b;
  if (x->first != y->first) return x->first < y->first ? -1 : 1;
  return x->value < y->value ? -1 : x->value > y->value;
}

// First fit among those alive, which are kept sorted by offset.
static leat_status_t fit(block_t *blocks, uint32_t count, uint64_t *out_height) {
  LEAT_ARRAY(uint32_t) alive = {0};
  *out_height = 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t kept = 0, at = 0;
    for (uint32_t j = 0; j < alive.count; ++j) {
      if (blocks[alive.data[j]].last >= blocks[i].first) alive.data[kept++] = alive.data[j];
    }
    alive.count = kept;
    uint64_t offset = 0;
    for (; at < kept && blocks[alive.data[at]].offset < offset + blocks[i].bytes; ++at)
      offset = blocks[alive.data[at]].offset + blocks[alive.data[at]].bytes;
    blocks[i].offset = offset;
    if (leat_array_push(&alive) == NULL) {
      leat_array_free(&alive);
      return leat_out_of_memory();
    }
    memmove(&alive.data[at + 1], &alive.data[at], (kept - at) * sizeof *alive.data);
    alive.data[at] = i;
    if (offset + blocks[i].bytes > *out_height) *out_height = offset + blocks[i].bytes;
  }
  leat_array_free(&alive);
  return NULL;
}

// A value that is only read is zero: it has a place that nothing else writes.
static bool lives_forever(const leat_life_t *life) { return leat_life_crosses(life) || life->first == life->last; }

static leat_status_t place_values(leat_linker_t *l, const leat_life_t *lives, block_t *blocks) {
  uint32_t count = 0;
  for (uint32_t v = 0; v < l->program->value_count; ++v) {
    uint64_t bytes = leat_pef_align(l->program->value_bytes[v]);
    if (lives[v].types == 0) continue;
    if (lives_forever(&lives[v])) {
      l->value_offset[v] = l->arena_bytes;
      l->arena_bytes += bytes;
    } else {
      blocks[count++] = (block_t){.value = v, .first = lives[v].first, .last = lives[v].last, .bytes = bytes};
    }
  }
  if (count != 0) qsort(blocks, count, sizeof *blocks, by_first);
  uint64_t height;
  LEAT_TRY(fit(blocks, count, &height));
  for (uint32_t i = 0; i < count; ++i) l->value_offset[blocks[i].value] = l->arena_bytes + blocks[i].offset;
  l->arena_bytes += height;
  return NULL;
}

leat_status_t leat_link_memory(leat_linker_t *l) {
  const leat_link_program_t *p = l->program;
  l->value_offset = leat_alloc_zero(p->value_count + 1u, sizeof *l->value_offset);
  l->unit_offset = leat_alloc_zero(p->unit_count + 1u, sizeof *l->unit_offset);
  l->unit_kept = leat_alloc_zero(p->unit_count + 1u, sizeof *l->unit_kept);
  leat_life_t *lives = leat_alloc_zero(p->value_count + 1u, sizeof *lives);
  block_t *blocks = leat_alloc_zero(p->value_count + 1u, sizeof *blocks);
  leat_status_t status = leat_out_of_memory();
  if (l->value_offset != NULL && l->unit_offset != NULL && l->unit_kept != NULL && lives != NULL && blocks != NULL) {
    leat_status_free(status);
    find_lives(l, lives);
    status = place_units(l);
    if (status == NULL) status = place_values(l, lives, blocks);
  }
  leat_free(lives);
  leat_free(blocks);
  return status;
}
