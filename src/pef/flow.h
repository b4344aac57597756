// SPDX-License-Identifier: Apache-2.0
// The data flow of a PEF, for all who ask about it: what stages, bodies and calls touch, who reads which bytes of whom,
// how long what lies in the arena is used, and which symbols an output hangs on. Barriers between calls: flight.h.
#ifndef LEAT_PEF_FLOW_H_
#define LEAT_PEF_FLOW_H_

#include "pef/walk.h"

// --- stages and bodies -----------------------------------------------------------------------------------------------

// A stage reads or writes an operand. One that it adds to is both, in this order.
typedef struct leat_operand_use_s {
  const pef_operand_t *operand;
  uint32_t index;  // in the stage
  bool written;
} leat_operand_use_t;

// Steps to the next use, in the order in which a stage makes them: all that it reads, then all that it writes. A zeroed
// one steps to the first; false after the last.
bool leat_flow_next(const leat_pef_t *pef, const pef_stage_t *stage, leat_operand_use_t *use);

// What a body does with one of its arguments, and the operand that says most about its shape.
typedef struct leat_slot_use_s {
  bool is_read, is_written;      // is_read: before the body itself wrote it
  const pef_operand_t *operand;  // NULL: nothing
  uint64_t bytes;                // up to which operands reach; UINT64_MAX: some are packed
  double in, out;                // bytes that its stages read and write, added up
} leat_slot_use_t;

// How many places along dim `dim`, from the first on, of what a stage writes to operand `index` somebody may read:
// those that stages of the body read of a tile buffer, else all. What is beyond them an engine need not write.
int64_t leat_flow_places(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage, uint32_t index,
                         uint32_t dim);

// Fills `out_slots`, one an argument of the body.
void leat_flow_slots(const leat_pef_t *pef, const pef_body_t *body, leat_slot_use_t *out_slots);

// Marks the symbols that a call writes, in any trip.
void leat_flow_mark_written(const leat_pef_t *pef, const pef_call_t *call, bool *written);

// --- time ------------------------------------------------------------------------------------------------------------

// The first and the last call that use something, and the section types of all that do.
typedef struct leat_life_s {
  uint32_t first, last;
  uint32_t types;  // bits; 0: nobody uses it
} leat_life_t;

static inline void leat_life_add(leat_life_t *life, uint32_t call, uint32_t type) {
  if (life->types == 0) life->first = call;
  life->last = call;
  life->types |= 1u << type;
}

// More than one section type uses it, or PREPARE, whose results all others may use: it lives for ever.
static inline bool leat_life_crosses(const leat_life_t *life) {
  return (life->types & (life->types - 1)) != 0 || life->types == 1u << PEF_PREPARE;
}

// What arguments name in the arena from one byte on; end: of the longest. Of a stack that is all of it.
typedef struct leat_range_s {
  uint64_t begin, end;
  leat_life_t life;
} leat_range_t;

typedef struct leat_ranges_s {
  LEAT_ARRAY(leat_range_t) all;  // ascending
} leat_ranges_t;

// Release with leat_array_free(&ranges->all). LEAT_OUT_OF_MEMORY.
leat_status_t leat_flow_ranges(const leat_pef_t *pef, leat_ranges_t *out_ranges) LEAT_MUST_USE;

// --- between calls ---------------------------------------------------------------------------------------------------
// Found from the places that the arguments of the calls name: what moves through a value counts as all of it. A read of
// bytes that no earlier call of the run has written comes from the symbol itself.

// Nodes are numbered: calls first, then symbols.
typedef struct leat_flow_edge_s {
  uint32_t from, to;
  uint64_t bytes;                // of the place that is read
  const pef_operand_t *operand;  // whose dtype and dims say what passes; never NULL
  uint32_t argument;             // of the file, that reads; PEF_NONE: an output
  bool carried;                  // a trip of a loop reads what the one before it wrote
} leat_flow_edge_t;

// Of all trips that a run makes.
typedef struct leat_flow_totals_s {
  double times;  // how often a run makes the call
  double flops;
  uint64_t bytes_in, bytes_out;  // from and to outside of the section, every place once, of tables what is looked up
  uint64_t parameter_bytes;      // part of bytes_in: parameters, buffers, state and constants
  uint32_t buffers;              // places in the arena that the section touches
} leat_flow_totals_t;

// A range of the arena, from the call that writes it to the last one that reads it.
typedef struct leat_flow_buffer_s {
  uint64_t begin, end;
  uint32_t first, last;  // calls
  const pef_operand_t *operand;
} leat_flow_buffer_t;

typedef struct leat_flow_s {
  const leat_pef_t *pef;
  LEAT_ARRAY(leat_flow_edge_t) edges;  // sorted by `to`, then in the order of arguments
  leat_flow_totals_t *totals;          // one a call
  LEAT_ARRAY(leat_flow_buffer_t) buffers;
} leat_flow_t;

// The PEF must outlive the flow. LEAT_OUT_OF_MEMORY.
leat_status_t leat_flow_find(const leat_pef_t *pef, leat_flow_t *out_flow) LEAT_MUST_USE;
void leat_flow_deinit(leat_flow_t *flow);

// Adds to `needed` (one flag a symbol, true for those that are asked for) every symbol that runs of the section types
// `types` read, directly or through others, to compute the asked ones. LEAT_OUT_OF_MEMORY.
leat_status_t leat_flow_needs(const leat_pef_t *pef, uint32_t types, bool *needed) LEAT_MUST_USE;

static inline bool leat_flow_is_symbol(const leat_flow_t *flow, uint32_t node) { return node >= flow->pef->call_count; }
static inline const pef_symbol_t *leat_flow_symbol(const leat_flow_t *flow, uint32_t node) {
  return &flow->pef->symbols[node - flow->pef->call_count];
}

#endif
