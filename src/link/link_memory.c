// SPDX-License-Identifier: Apache-2.0
// Memory of a linked program. What calls of several types touch lives for ever, since the types may run apart: values
// between units one by one, and the part of a unit's arena that its types share. Values of one type are placed by
// lifetime. What a unit uses within one type only is shared by all units, which run one after another.
#include "base/fit.h"
#include "link/linker.h"
#include "pef/flow.h"
#include "pef/pef_align.h"

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

// The part that is the unit's own lives for ever.
static leat_status_t add_units(leat_linker_t *l, leat_fit_t *fit) {
  const leat_link_program_t *p = l->program;
  const leat_pef_t *last = NULL;
  uint64_t kept = 0, shared = 0;
  for (uint32_t u = 0; u < p->unit_count; ++u) {
    if (p->units[u].pef != last) LEAT_TRY(leat_link_kept_bytes(p->units[u].pef, &kept));
    last = p->units[u].pef;
    l->unit_kept[u] = kept;
    LEAT_TRY(leat_fit_add(fit, u, 0, LEAT_FOREVER, kept));
    if (last->info->arena_bytes > kept && last->info->arena_bytes - kept > shared)
      shared = last->info->arena_bytes - kept;
  }
  return leat_fit_add(fit, p->unit_count, 0, LEAT_FOREVER, leat_pef_align(shared));
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

// A value that is only read is zero: it has a place that nothing else writes.
static bool lives_forever(const leat_life_t *life) { return leat_life_crosses(life) || life->first == life->last; }

static leat_status_t add_values(const leat_linker_t *l, const leat_life_t *lives, leat_fit_t *fit) {
  for (uint32_t v = 0; v < l->program->value_count; ++v) {
    if (lives[v].types == 0) continue;
    const uint32_t id = l->program->unit_count + 1 + v, last = lives_forever(&lives[v]) ? LEAT_FOREVER : lives[v].last;
    LEAT_TRY(leat_fit_add(fit, id, lives[v].first, last, leat_pef_align(l->program->value_bytes[v])));
  }
  return NULL;
}

// --- all ------------------------------------------------------------------------------------------------------------

static void take_places(leat_linker_t *l, const leat_fit_t *fit) {
  const uint32_t units = l->program->unit_count;
  for (uint32_t i = 0; i < fit->count; ++i) {
    const leat_fit_block_t *block = &fit->data[i];
    if (block->id < units)
      l->unit_offset[block->id] = block->offset;
    else if (block->id == units)
      l->shared_offset = block->offset;
    else
      l->value_offset[block->id - units - 1] = block->offset;
  }
}

// Units have the first ids, then comes what they share, then values.
static leat_status_t plan(leat_linker_t *l, leat_life_t *lives, leat_fit_t *fit) {
  find_lives(l, lives);
  LEAT_TRY(add_units(l, fit));
  LEAT_TRY(add_values(l, lives, fit));
  LEAT_TRY(leat_fit_place(fit, &l->arena_bytes));
  take_places(l, fit);
  return NULL;
}

leat_status_t leat_link_memory(leat_linker_t *l) {
  const leat_link_program_t *p = l->program;
  l->value_offset = leat_alloc_zero(p->value_count + 1u, sizeof *l->value_offset);
  l->unit_offset = leat_alloc_zero(p->unit_count + 1u, sizeof *l->unit_offset);
  l->unit_kept = leat_alloc_zero(p->unit_count + 1u, sizeof *l->unit_kept);
  leat_life_t *lives = leat_alloc_zero(p->value_count + 1u, sizeof *lives);
  leat_fit_t fit = {0};
  const bool has_room = l->value_offset != NULL && l->unit_offset != NULL && l->unit_kept != NULL && lives != NULL;
  leat_status_t status = has_room ? plan(l, lives, &fit) : leat_out_of_memory();
  leat_array_free(&fit);
  leat_free(lives);
  return status;
}
