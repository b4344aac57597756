// SPDX-License-Identifier: Apache-2.0
// A table from names to numbers: open addressing, at most half full. Names are borrowed and must outlive the table.
#ifndef LEAT_BASE_NAMES_H_
#define LEAT_BASE_NAMES_H_

#include "base/base.h"

#define LEAT_NAME_ABSENT UINT32_MAX

typedef struct leat_name_slot_s {
  const char *name;  // NULL: free
  size_t length;
  uint32_t number;
} leat_name_slot_t;

// A zeroed struct is an empty table.
typedef struct leat_names_s {
  leat_name_slot_t *slots;
  uint32_t slot_count, used;
} leat_names_t;

// Gives `name` a number; a name that is there already keeps its own. False when out of memory.
bool leat_names_add(leat_names_t *names, const char *name, uint32_t number);
// The number of the name that is the first `length` bytes of `text`, or LEAT_NAME_ABSENT.
uint32_t leat_names_find(const leat_names_t *names, const char *text, size_t length);
void leat_names_deinit(leat_names_t *names);

#endif
