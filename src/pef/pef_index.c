// SPDX-License-Identifier: Apache-2.0
// See pef_index.h. The hash of the file format (XXH3-64) lives here as well, inlined from the system's xxhash.
#include "pef/pef_index.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t leat_pef_hash(const void *data, size_t bytes) { return XXH3_64bits(data, bytes); }

void leat_pef_index_deinit(pef_index_t *index) {
  leat_free(index->slots);
  *index = (pef_index_t){0};
}

bool leat_pef_index_find(const pef_index_t *index, uint64_t hash, pef_index_equal_fn equal, const void *context,
                         uint64_t *out_id) {
  if (index->capacity == 0) return false;
  const size_t mask = index->capacity - 1;
  for (size_t i = (size_t)hash & mask; index->slots[i].id_plus_1 != 0; i = (i + 1) & mask) {
    const pef_index_slot_t *slot = &index->slots[i];
    if (slot->hash != hash || !equal(context, slot->id_plus_1 - 1)) continue;
    *out_id = slot->id_plus_1 - 1;
    return true;
  }
  return false;
}

static void insert(pef_index_slot_t *slots, size_t capacity, pef_index_slot_t slot) {
  size_t i = (size_t)slot.hash & (capacity - 1);
  while (slots[i].id_plus_1 != 0) i = (i + 1) & (capacity - 1);
  slots[i] = slot;
}

static bool grow(pef_index_t *index) {
  const size_t capacity = index->capacity == 0 ? 64 : index->capacity * 2;
  pef_index_slot_t *slots = leat_alloc_zero(capacity, sizeof *slots);
  if (slots == NULL) return false;
  for (size_t i = 0; i < index->capacity; ++i) {
    if (index->slots[i].id_plus_1 != 0) insert(slots, capacity, index->slots[i]);
  }
  leat_free(index->slots);
  index->slots = slots;
  index->capacity = capacity;
  return true;
}

bool leat_pef_index_add(pef_index_t *index, uint64_t hash, uint64_t id) {
  if (index->count * 4 >= index->capacity * 3 && !grow(index)) return false;
  insert(index->slots, index->capacity, (pef_index_slot_t){.hash = hash, .id_plus_1 = id + 1});
  ++index->count;
  return true;
}
