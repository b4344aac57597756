// SPDX-License-Identifier: Apache-2.0
// Names to numbers. FNV-1a is enough: a bad table is slow, never wrong.
#include "base/names.h"

enum { SLOTS_MIN = 64 };

static uint32_t hash_of(const char *text, size_t length) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < length; ++i) hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
  return (uint32_t)(hash >> 32) ^ (uint32_t)hash;
}

// The slot that holds the name, or the free one where it belongs.
static leat_name_slot_t *find_slot(const leat_names_t *names, const char *text, size_t length) {
  for (uint32_t i = hash_of(text, length);; ++i) {
    leat_name_slot_t *slot = &names->slots[i & (names->slot_count - 1)];
    if (slot->name == NULL || (slot->length == length && memcmp(slot->name, text, length) == 0)) return slot;
  }
}

static bool grow(leat_names_t *names) {
  leat_names_t larger = {.slot_count = names->slot_count == 0 ? SLOTS_MIN : names->slot_count * 2};
  larger.slots = leat_alloc_zero(larger.slot_count, sizeof *larger.slots);
  if (larger.slots == NULL) return false;
  larger.used = names->used;
  for (uint32_t i = 0; i < names->slot_count; ++i) {
    const leat_name_slot_t *slot = &names->slots[i];
    if (slot->name != NULL) *find_slot(&larger, slot->name, slot->length) = *slot;
  }
  leat_free(names->slots);
  *names = larger;
  return true;
}

bool leat_names_add(leat_names_t *names, const char *name, uint32_t number) {
  if (names->used * 2 >= names->slot_count && !grow(names)) return false;
  size_t length = strlen(name);
  leat_name_slot_t *slot = find_slot(names, name, length);
  if (slot->name != NULL) return true;
  *slot = (leat_name_slot_t){name, length, number};
  ++names->used;
  return true;
}

uint32_t leat_names_find(const leat_names_t *names, const char *text, size_t length) {
  if (names->slot_count == 0) return LEAT_NAME_ABSENT;
  const leat_name_slot_t *slot = find_slot(names, text, length);
  return slot->name == NULL ? LEAT_NAME_ABSENT : slot->number;
}

void leat_names_deinit(leat_names_t *names) {
  leat_free(names->slots);
  memset(names, 0, sizeof *names);
}
