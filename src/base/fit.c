// SPDX-License-Identifier: Apache-2.0
// First fit: blocks are taken in some order, each to the lowest place that is free while it lives. In the order of time
// it is never bad; in the order of size large blocks get no gaps below them that are too small for anything.
#include "base/fit.h"

#include <stdlib.h>

enum { BY_SIZE_MAX = 4096 };  // blocks: more of them take too long, since nothing that was placed falls behind

// A block on its way.
typedef struct item_s {
  const leat_fit_block_t *block;
  uint64_t offset;
} item_t;

static int by_time(const void *a, const void *b) {
  const leat_fit_block_t *x = ((const item_t *)a)->block, *y = ((const item_t *)b)->block;
  if (x->first != y->first) return x->first < y->first ? -1 : 1;
  return x < y ? -1 : x > y;
}

static int by_size(const void *a, const void *b) {
  const leat_fit_block_t *x = ((const item_t *)a)->block, *y = ((const item_t *)b)->block;
  if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
  return x < y ? -1 : x > y;
}

static uint64_t end_of(const item_t *item) { return item->offset + item->block->bytes; }

// `placed`, in the order of their offsets: takes those off that have died before `now`.
static uint32_t drop_dead(const item_t *items, uint32_t *placed, uint32_t count, uint32_t now) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (items[placed[i]].block->last >= now) placed[kept++] = placed[i];
  }
  return kept;
}

// The lowest place for a block between those that live with it.
static uint64_t lowest(const item_t *items, const uint32_t *placed, uint32_t count, const leat_fit_block_t *block) {
  uint64_t offset = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const item_t *other = &items[placed[i]];
    if (other->block->first > block->last || block->first > other->block->last) continue;
    if (other->offset >= offset + block->bytes) break;
    if (offset < end_of(other)) offset = other->offset + other->block->bytes;
  }
  return offset;
}

static void insert(const item_t *items, uint32_t *placed, uint32_t count, uint32_t item) {
  uint32_t low = 0, high = count;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (items[placed[middle]].offset <= items[item].offset)
      low = middle + 1;
    else
      high = middle;
  }
  memmove(&placed[low + 1], &placed[low], (count - low) * sizeof *placed);
  placed[low] = item;
}

// Returns the height. `placed`: room for as many.
static uint64_t fit_in_order(item_t *items, uint32_t count, uint32_t *placed, bool in_time) {
  uint64_t height = 0;
  uint32_t placed_count = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (in_time) placed_count = drop_dead(items, placed, placed_count, items[i].block->first);
    items[i].offset = lowest(items, placed, placed_count, items[i].block);
    insert(items, placed, placed_count++, i);
    if (end_of(&items[i]) > height) height = end_of(&items[i]);
  }
  return height;
}

// No plan is lower: bytes that live at the fullest moment, which is one where a block begins.
static uint64_t least_height(const item_t *in_time, uint32_t count, uint32_t *alive) {
  uint64_t most = 0;
  uint32_t alive_count = 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t bytes = 0;
    alive_count = drop_dead(in_time, alive, alive_count, in_time[i].block->first);
    alive[alive_count++] = i;
    for (uint32_t j = 0; j < alive_count; ++j) bytes += in_time[alive[j]].block->bytes;
    if (bytes > most) most = bytes;
  }
  return most;
}

static void take(leat_fit_t *fit, const item_t *items, uint32_t count, uint64_t bottom) {
  for (uint32_t i = 0; i < count; ++i) fit->data[items[i].block - fit->data].offset = bottom + items[i].offset;
}

// The mortal ones, above `bottom`.
static uint64_t fit_items(leat_fit_t *fit, item_t *items, uint32_t count, uint32_t *placed, uint64_t bottom) {
  qsort(items, count, sizeof *items, by_time);
  const uint64_t least = least_height(items, count, placed), height = fit_in_order(items, count, placed, true);
  take(fit, items, count, bottom);
  if (height == least || count > BY_SIZE_MAX) return height;
  qsort(items, count, sizeof *items, by_size);
  const uint64_t other = fit_in_order(items, count, placed, false);
  if (other >= height) return height;
  take(fit, items, count, bottom);
  return other;
}

leat_status_t leat_fit_place(leat_fit_t *fit, uint64_t *out_height) {
  uint64_t bottom = 0;
  uint32_t count = 0;
  item_t *items = leat_alloc((fit->count + 1u) * sizeof *items);
  uint32_t *placed = leat_alloc((fit->count + 1u) * sizeof *placed);
  if (items == NULL || placed == NULL) {
    leat_free(items);
    leat_free(placed);
    return leat_out_of_memory();
  }
  for (uint32_t i = 0; i < fit->count; ++i) {
    leat_fit_block_t *block = &fit->data[i];
    if (block->last != LEAT_FOREVER) {
      items[count++].block = block;
      continue;
    }
    block->offset = bottom;
    bottom += block->bytes;
  }
  *out_height = bottom + (count == 0 ? 0 : fit_items(fit, items, count, placed, bottom));
  leat_free(items);
  leat_free(placed);
  return NULL;
}

leat_status_t leat_fit_add(leat_fit_t *fit, uint32_t id, uint32_t first, uint32_t last, uint64_t bytes) {
  leat_fit_block_t *block = leat_array_push(fit);
  if (block == NULL) return leat_out_of_memory();
  *block = (leat_fit_block_t){.id = id, .first = first, .last = last, .bytes = bytes};
  return NULL;
}
