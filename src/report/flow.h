// SPDX-License-Identifier: Apache-2.0
// What flows between the sections of a PEF: who reads which bytes of whom, found from the places that the arguments of
// the calls name. A read of bytes that no earlier call of the run has written comes from the symbol itself.
#ifndef LEAT_REPORT_FLOW_H_
#define LEAT_REPORT_FLOW_H_

#include "pef/pef_read.h"

// Nodes are numbered: calls first, then symbols.
typedef struct leat_flow_edge_s {
  uint32_t from, to;
  uint64_t bytes;                // of the place that is read
  const pef_operand_t *operand;  // whose dtype and dims say what passes; never NULL
} leat_flow_edge_t;

typedef struct leat_flow_totals_s {
  uint64_t bytes_in, bytes_out;  // from and to outside of the section, every place once
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

static inline bool leat_flow_is_symbol(const leat_flow_t *flow, uint32_t node) { return node >= flow->pef->call_count; }
static inline const pef_symbol_t *leat_flow_symbol(const leat_flow_t *flow, uint32_t node) {
  return &flow->pef->symbols[node - flow->pef->call_count];
}

#endif
