// SPDX-License-Identifier: Apache-2.0
// The memory plan. Scratch is planned per section over its stages (tile.c), the arena over the sections. What crosses a
// section type is never reused, because the types may run in separate calls; nor are packs, which several types read.
#include "map/place.h"

#include "pef/pef_align.h"
#include "space/rows.h"

// --- homes
// ------------------------------------------------------------------------------------------------------------

static bool stays_in_section(const leat_decided_t *d, leat_value_id_t v, uint32_t section) {
  for (uint32_t i = d->uses.first[v]; i < d->uses.first[v + 1]; ++i) {
    if (d->plan->section_of[d->uses.all[i].op] != section) return false;
  }
  return true;
}

// Tile scratch is laid out row-major with the rows outermost, so the cut dim must be the first of extent > 1.
static bool rows_are_outermost(const leat_decided_t *d, const leat_value_t *value) {
  uint8_t row_dim = d->plan->row_dim[value->op];
  for (uint32_t i = 0; row_dim != LEAT_ROWS_WHOLE && i < row_dim; ++i) {
    if (value->dims[i] != 1) return false;
  }
  return true;
}

static void choose_homes(const leat_decided_t *d, leat_home_t *homes) {
  for (leat_value_id_t v = 0; v < d->g->values.count; ++v) {
    const leat_value_t *value = leat_graph_value(d->g, v);
    if (d->keeps.of[v].kind != LEAT_KEEP_MEMORY) continue;
    homes[v].scratch = stays_in_section(d, v, d->plan->section_of[value->op]) && rows_are_outermost(d, value);
  }
}

// --- arena
// ------------------------------------------------------------------------------------------------------------

// Adds `bytes` to the arena, never reused.
static uint64_t reserve(leat_placed_t *p, uint64_t bytes) {
  uint64_t offset = p->arena_bytes;
  p->arena_bytes += leat_pef_align(bytes);
  return offset;
}

static void arena_lifetime(const leat_decided_t *d, leat_value_id_t v, uint32_t *out_begin, uint32_t *out_end) {
  leat_op_id_t producer = leat_graph_value(d->g, v)->op;
  uint8_t type = leat_graph_op(d->g, producer)->type;
  uint32_t begin = d->plan->section_of[producer], end = begin;
  bool forever = type == LEAT_TYPE_PREPARE;
  for (uint32_t i = d->uses.first[v]; i < d->uses.first[v + 1]; ++i) {
    leat_op_id_t op = d->uses.all[i].op;
    if (d->plan->section_of[op] > end) end = d->plan->section_of[op];
    if (leat_graph_op(d->g, op)->type != type) forever = true;
  }
  *out_begin = forever ? 0 : begin;
  *out_end = forever ? UINT32_MAX : end;
}

static int by_begin(const leat_block_t *a, const leat_block_t *b) {
  if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
  return a->value < b->value ? -1 : 1;
}

// Insertion sort: blocks come nearly in order.
static void sort_blocks(leat_block_t *blocks, uint32_t count) {
  for (uint32_t i = 1; i < count; ++i) {
    leat_block_t block = blocks[i];
    uint32_t j = i;
    for (; j > 0 && by_begin(&block, &blocks[j - 1]) < 0; --j) blocks[j] = blocks[j - 1];
    blocks[j] = block;
  }
}

// What is never reused is stacked at the bottom; the rest is fitted above it.
static leat_status_t plan_values(const leat_decided_t *d, leat_placed_t *p, leat_blocks_t *room) {
  room->count = 0;
  for (leat_value_id_t v = 0; v < d->g->values.count; ++v) {
    if (d->keeps.of[v].kind != LEAT_KEEP_MEMORY || p->homes[v].scratch) continue;
    uint32_t begin, end;
    arena_lifetime(d, v, &begin, &end);
    uint64_t bytes = leat_pef_align(leat_value_bytes(leat_graph_value(d->g, v)));
    if (end == UINT32_MAX) {
      p->homes[v].offset = reserve(p, bytes);
    } else {
      LEAT_TRY(leat_blocks_add(room, v, begin, end, bytes));
    }
  }
  sort_blocks(room->data, room->count);
  uint64_t bottom = reserve(p, leat_blocks_fit(room));
  for (uint32_t i = 0; i < room->count; ++i) p->homes[room->data[i].value].offset = bottom + room->data[i].offset;
  return NULL;
}

// --- all
// --------------------------------------------------------------------------------------------------------------

static leat_status_t place_all(const leat_decided_t *d, leat_placed_t *p, leat_blocks_t *room) {
  choose_homes(d, p->homes);
  for (uint32_t s = 0; s < d->plan->sections.count; ++s) {
    LEAT_TRY(leat_tiles_plan(d, s, p->homes, room, &p->tilings[s]));
  }
  LEAT_TRY(plan_values(d, p, room));
  for (uint32_t i = 0; i < d->packs.all.count; ++i) p->packs[i] = reserve(p, d->packs.all.data[i].bytes);
  return NULL;
}

leat_status_t leat_map_place(const leat_decided_t *d, leat_placed_t *out_placed) {
  leat_blocks_t room = {0};
  *out_placed = (leat_placed_t){
      .homes = leat_alloc_zero(d->g->values.count + 1u, sizeof *out_placed->homes),
      .tilings = leat_alloc_zero(d->plan->sections.count + 1u, sizeof *out_placed->tilings),
      .packs = leat_alloc_zero(d->packs.all.count + 1u, sizeof *out_placed->packs),
  };
  if (out_placed->homes == NULL || out_placed->tilings == NULL || out_placed->packs == NULL)
    return leat_out_of_memory();
  leat_status_t status = place_all(d, out_placed, &room);
  leat_array_free(&room);
  return status;
}

void leat_placed_deinit(leat_placed_t *placed) {
  leat_free(placed->homes);
  leat_free(placed->tilings);
  leat_free(placed->packs);
}
