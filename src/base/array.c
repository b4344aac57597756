// SPDX-License-Identifier: Apache-2.0
// Growing arrays: the part of LEAT_ARRAY that is a function. `data` points at a `T *` of unknown T, which is therefore
// read and written as bytes.
#include "base/base.h"

enum { FIRST_CAPACITY = 8 };

// The next capacity that holds `needed`: doubled, so that pushing is amortised O(1).
static uint32_t next_capacity(uint32_t capacity, uint32_t needed) {
  uint64_t wanted = capacity < FIRST_CAPACITY ? FIRST_CAPACITY : (uint64_t)capacity * 2;
  if (wanted < needed) wanted = needed;
  return wanted > UINT32_MAX ? UINT32_MAX : (uint32_t)wanted;
}

void *leat_array_grow(void **data, uint32_t *count, uint32_t *capacity, uint32_t extra, size_t element_bytes) {
  if (extra > UINT32_MAX - *count) return NULL;
  uint32_t needed = *count + extra;
  uint8_t *elements;
  memcpy(&elements, data, sizeof elements);
  if (needed > *capacity || elements == NULL) {
    uint32_t larger = next_capacity(*capacity, needed);
    size_t bytes;
    if (!leat_size_mul(larger, element_bytes, &bytes)) return NULL;
    uint8_t *moved = leat_alloc(bytes);
    if (moved == NULL) return NULL;
    if (*count != 0) memcpy(moved, elements, *count * element_bytes);
    leat_free(elements);
    elements = moved;
    memcpy(data, &elements, sizeof elements);
    *capacity = larger;
  }
  uint8_t *first = elements + *count * element_bytes;
  memset(first, 0, extra * element_bytes);
  *count = needed;
  return first;
}
