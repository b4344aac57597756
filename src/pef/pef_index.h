// SPDX-License-Identifier: Apache-2.0
// Content index of the writer: from the hash of some content to the id under which it was stored first. Open
// addressing, linear probing. The caller compares contents: the index only knows hashes and ids.
#ifndef LEAT_PEF_INDEX_H_
#define LEAT_PEF_INDEX_H_

#include "base/base.h"

typedef struct pef_index_slot_s {
  uint64_t hash;
  uint64_t id_plus_1;  // 0: free
} pef_index_slot_t;

typedef struct pef_index_s {
  pef_index_slot_t *slots;
  size_t capacity, count;  // capacity: a power of two, or 0
} pef_index_t;

// XXH3-64.
uint64_t leat_pef_hash(const void *data, size_t bytes);

void leat_pef_index_deinit(pef_index_t *index);
// Does stored content `id` equal the content that `context` describes?
typedef bool (*pef_index_equal_fn)(const void *context, uint64_t id);
bool leat_pef_index_find(const pef_index_t *index, uint64_t hash, pef_index_equal_fn equal, const void *context,
                         uint64_t *out_id);
// false when out of memory.
bool leat_pef_index_add(pef_index_t *index, uint64_t hash, uint64_t id);

#endif
