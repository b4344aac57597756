// SPDX-License-Identifier: Apache-2.0
// The memory plan. Scratch is planned per section over its stages (tile.c), the arena over the sections. What crosses a
// section type is never reused, because the types may run in separate calls; nor are packs that last. A pack
// that alone is read of what it packs is made behind that, which then gives up its place.
#include "map/place.h"

#include "pef/pef_align.h"
#include "space/rows.h"

// --- homes ----------------------------------------------------------------------------------------------------------

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
    if (d->keeps.of[v].kind != LEAT_KEEP_MEMORY || leat_concats_is_part(&d->concats, v) || d->concats.is_whole[v])
      continue;
    homes[v].scratch = stays_in_section(d, v, d->plan->section_of[value->op]) && rows_are_outermost(d, value);
  }
}

// --- arena ----------------------------------------------------------------------------------------------------------

static void arena_lifetime(const leat_decided_t *d, leat_value_id_t v, uint32_t *out_first, uint32_t *out_last) {
  leat_op_id_t producer = leat_graph_value(d->g, v)->op;
  uint8_t type = leat_graph_op(d->g, producer)->type;
  uint32_t first = d->plan->section_of[producer], last = first;
  bool forever = type == LEAT_TYPE_PREPARE;
  for (uint32_t i = d->uses.first[v]; i < d->uses.first[v + 1]; ++i) {
    leat_op_id_t op = d->uses.all[i].op;
    if (d->plan->section_of[op] > last) last = d->plan->section_of[op];
    if (leat_graph_op(d->g, op)->type != type) forever = true;
  }
  *out_first = first;
  *out_last = forever ? LEAT_FOREVER : last;
}

// Of a concatenation: with the lives of its parts.
static void lifetime_of_all(const leat_decided_t *d, leat_value_id_t v, uint32_t *out_first, uint32_t *out_last) {
  arena_lifetime(d, v, out_first, out_last);
  const leat_op_t *op = leat_graph_op(d->g, leat_graph_value(d->g, v)->op);
  for (uint32_t i = 0; d->concats.is_whole[v] && i < op->input_count; ++i) {
    const leat_value_id_t part = leat_access_base(d->g, leat_op_input(d->g, op, i));
    uint32_t first, last;
    if (d->concats.of[part].whole != v) continue;
    arena_lifetime(d, part, &first, &last);
    if (first < *out_first) *out_first = first;
    if (last > *out_last) *out_last = last;
  }
}

// What goes when it is packed lives in its section, and until the next. PREPARE sections may run between any others, so
// such values have a part of the arena to themselves, all together; their places are in that part.
static leat_status_t plan_packed(const leat_decided_t *d, leat_placed_t *p, leat_fit_t *room, uint64_t *out_height) {
  room->count = 0;
  for (uint32_t i = 0; i < d->packs.all.count; ++i) {
    const leat_value_id_t v = d->packs.all.data[i].access.base;
    if (!d->packs.all.data[i].only || d->keeps.of[v].kind != LEAT_KEEP_MEMORY) continue;
    if (p->homes[v].scratch || p->homes[v].packed) continue;
    const uint32_t section = d->plan->section_of[leat_graph_value(d->g, v)->op];
    p->homes[v].packed = true;
    LEAT_TRY(leat_fit_add(room, v, section, section, leat_pef_align(leat_turns_bytes(&d->turns, d->g, v))));
  }
  LEAT_TRY(leat_fit_place(room, out_height));
  for (uint32_t i = 0; i < room->count; ++i) p->homes[room->data[i].id].offset = room->data[i].offset;
  return NULL;
}

static leat_status_t add_values(const leat_decided_t *d, const leat_placed_t *p, leat_fit_t *room) {
  for (leat_value_id_t v = 0; v < d->g->values.count; ++v) {
    if (d->keeps.of[v].kind != LEAT_KEEP_MEMORY || p->homes[v].scratch || p->homes[v].packed ||
        leat_concats_is_part(&d->concats, v))
      continue;
    uint32_t first, last;
    lifetime_of_all(d, v, &first, &last);
    LEAT_TRY(leat_fit_add(room, v, first, last, leat_pef_align(leat_turns_bytes(&d->turns, d->g, v))));
  }
  return NULL;
}

static leat_status_t add_packs(const leat_decided_t *d, leat_fit_t *room) {
  for (uint32_t i = 0; i < d->packs.all.count; ++i) {
    const leat_pack_t *pack = &d->packs.all.data[i];
    const bool lasts = pack->type == LEAT_TYPE_PREPARE;
    if (pack->symbol != LEAT_NONE) continue;
    LEAT_TRY(leat_fit_add(room, d->g->values.count + i, lasts ? 0 : pack->first, lasts ? LEAT_FOREVER : pack->last,
                          leat_pef_align(pack->bytes)));
  }
  return NULL;
}

// Values, then packs, whose ids go on where those of values end, then what is packed.
static leat_status_t plan_arena(const leat_decided_t *d, leat_placed_t *p, leat_fit_t *room) {
  const uint32_t value_count = d->g->values.count, packed = value_count + d->packs.all.count;
  uint64_t height, packed_at = 0;
  LEAT_TRY(plan_packed(d, p, room, &height));
  room->count = 0;
  LEAT_TRY(add_values(d, p, room));
  LEAT_TRY(add_packs(d, room));
  if (height > 0) LEAT_TRY(leat_fit_add(room, packed, 0, LEAT_FOREVER, height));
  LEAT_TRY(leat_fit_place(room, &p->arena_bytes));
  for (uint32_t i = 0; i < room->count; ++i) {
    const leat_fit_block_t *block = &room->data[i];
    if (block->id < value_count)
      p->homes[block->id].offset = block->offset;
    else if (block->id < packed)
      p->packs[block->id - value_count] = block->offset;
    else
      packed_at = block->offset;
  }
  for (leat_value_id_t v = 0; height > 0 && v < value_count; ++v) {
    if (p->homes[v].packed) p->homes[v].offset += packed_at;
  }
  return NULL;
}

// --- all ------------------------------------------------------------------------------------------------------------

static leat_status_t place_all(const leat_decided_t *d, leat_placed_t *p, leat_fit_t *room) {
  choose_homes(d, p->homes);
  for (uint32_t s = 0; s < d->plan->sections.count; ++s) {
    LEAT_TRY(leat_tiles_plan(d, s, p->homes, room, &p->tilings[s]));
  }
  return plan_arena(d, p, room);
}

leat_status_t leat_map_place(const leat_decided_t *d, leat_placed_t *out_placed) {
  leat_fit_t room = {0};
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
