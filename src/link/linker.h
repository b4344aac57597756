// SPDX-License-Identifier: Apache-2.0
// What the files of the linker share.
#ifndef LEAT_LINK_LINKER_H_
#define LEAT_LINK_LINKER_H_

#include "link/link.h"
#include "pef/walk.h"

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

// link_unit.c: a unit's file on its way into the program's.
typedef struct leat_linked_unit_s {
  const leat_pef_t *pef;
  leat_pef_writer_t *writer;
  pef_info_t *info;
  uint32_t *bodies;  // per body: its index in the program + 1; 0: it is not there yet
  uint32_t stream;
  uint16_t when;
  double times;   // how often a run makes its calls, loops of its own apart
  uint32_t loop;  // of the program, around the calls; PEF_NONE
  // Where what an argument names lies in the program, and which output the unit's is.
  leat_status_t (*place)(const void *context, const pef_argument_t *argument, leat_link_place_t *out_place);
  uint16_t (*output)(const void *context, uint16_t output);
  const void *context;
  // The loops of the unit that are under way: in the unit, and in the program.
  uint32_t depth, own[PEF_MAX_LOOP_DEPTH], open[PEF_MAX_LOOP_DEPTH];
  LEAT_ARRAY(pef_stage_t) stages;
  LEAT_ARRAY(pef_argument_t) arguments;
  LEAT_ARRAY(pef_argument_t) places;
} leat_linked_unit_t;

// The call of the unit, under this name, is the next of the program. Loops of the unit begin and end as its calls come.
leat_status_t leat_linked_unit_call(leat_linked_unit_t *unit, uint32_t call, const char *name,
                                    const char *why) LEAT_MUST_USE;
// No more calls for now.
void leat_linked_unit_end(leat_linked_unit_t *unit);
void leat_linked_unit_deinit(leat_linked_unit_t *unit);

// link_memory.c: how much of a unit's arena, from its bottom, is used for longer than a run of one section type.
leat_status_t leat_link_kept_bytes(const leat_pef_t *pef, uint64_t *out_bytes) LEAT_MUST_USE;

static inline const pef_call_t *leat_linker_call(const leat_linker_t *l, uint32_t i) {
  const leat_linked_call_t *call = &l->calls.data[i];
  return &l->program->units[call->unit].pef->calls[call->call];
}

// Fills the offsets.
leat_status_t leat_link_memory(leat_linker_t *l) LEAT_MUST_USE;

#endif
