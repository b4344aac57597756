// SPDX-License-Identifier: Apache-2.0
// What the files of the linker share.
#ifndef LEAT_LINK_LINKER_H_
#define LEAT_LINK_LINKER_H_

#include "link/link.h"

// A call of the program: which unit, and which call of it.
typedef struct leat_linked_call_s {
  uint32_t unit, call;
} leat_linked_call_t;

typedef struct leat_linker_s {
  const leat_link_program_t *program;
  LEAT_ARRAY(leat_linked_call_t) calls;
  uint64_t *value_offset;  // per value, in the arena
  uint64_t *unit_offset;   // per unit: where the part of its arena begins that is its own
  uint64_t *unit_kept;     // per unit: how long that part is; what lies above it is shared by all units
  uint64_t shared_offset;  // where what is shared begins
  uint64_t arena_bytes;
} leat_linker_t;

static inline const pef_call_t *leat_linker_call(const leat_linker_t *l, uint32_t i) {
  const leat_linked_call_t *call = &l->calls.data[i];
  return &l->program->units[call->unit].pef->calls[call->call];
}

// Fills the offsets.
leat_status_t leat_link_memory(leat_linker_t *l) LEAT_MUST_USE;

#endif
