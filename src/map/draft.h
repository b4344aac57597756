// SPDX-License-Identifier: Apache-2.0
// Drafts: a section as the file will have it, but for where its values are. Stages, their parameters and programs, the
// dims and strides of operands are final; operands say what they read or write (sources), and emit.c gives them places.
// Errors are sticky in the draft.
#ifndef LEAT_MAP_DRAFT_H_
#define LEAT_MAP_DRAFT_H_

#include "cut/cut.h"
#include "map/concat.h"
#include "map/turn.h"
#include "pef/pef_format.h"
#include "space/access.h"
#include "space/uses.h"

typedef enum leat_source_kind_e {
  LEAT_SOURCE_VALUE,   // of the graph, wherever it is kept
  LEAT_SOURCE_SYMBOL,  // a symbol that a copy is stored to
  LEAT_SOURCE_PACK,    // a packed copy (pack.h)
  LEAT_SOURCE_NONE,    // nowhere: an optional operand that is absent
} leat_source_kind_t;

typedef struct leat_source_s {
  uint8_t kind;
  bool written;
  uint32_t index;
} leat_source_t;

typedef struct leat_draft_s {
  const leat_graph_t *g;
  const leat_plan_t *plan;
  const leat_turns_t *turns;      // NULL: all values lie row-major
  const leat_concats_t *concats;  // NULL: no value is made as a part of another
  const leat_uses_t *uses;        // NULL: every result is read
  leat_status_t status;           // first error; leat_draft_take_status hands it over
  int64_t rows;
  uint64_t quantum;  // of rows, that stages like tiles to start at; 0: none asks
  LEAT_ARRAY(pef_stage_t) stages;
  LEAT_ARRAY(leat_op_id_t) origins;  // per stage
  LEAT_ARRAY(pef_operand_t) operands;
  LEAT_ARRAY(leat_source_t) sources;  // per operand
  LEAT_ARRAY(pef_instruction_t) instructions;
  struct {  // what an append returns once memory is out
    pef_stage_t stage;
    pef_operand_t operand;
    pef_instruction_t instruction;
  } nowhere;
} leat_draft_t;

void leat_draft_init(leat_draft_t *d, const leat_graph_t *g, const leat_plan_t *plan, int64_t rows);
void leat_draft_deinit(leat_draft_t *d);
leat_status_t leat_draft_take_status(leat_draft_t *d) LEAT_MUST_USE;
// Keeps the first error. Takes `status`, which may be NULL.
void leat_draft_fail(leat_draft_t *d, leat_status_t status);

// A new stage; operands and instructions appended from now on belong to it. `op` is where it comes from.
// The pointer is valid until the next stage is made.
pef_stage_t *leat_draft_stage(leat_draft_t *d, uint32_t kind, leat_op_id_t op);
pef_instruction_t *leat_draft_instruction(leat_draft_t *d);

// Appends an operand to the current stage; the pointer is valid until the next one. `access` says dims and strides,
// `row_dim` which of the dims the section's rows cut, or LEAT_ROWS_WHOLE.
pef_operand_t *leat_draft_operand(leat_draft_t *d, leat_source_t source, uint32_t dtype, const leat_access_t *access,
                                  uint32_t row_dim);
// The value that is the base of the access.
pef_operand_t *leat_draft_value(leat_draft_t *d, const leat_access_t *access, uint32_t row_dim, bool written);
// Input `i` of an op, cut as the op's row relation says; result `i` of an op.
pef_operand_t *leat_draft_input(leat_draft_t *d, leat_op_id_t op, uint32_t i);
pef_operand_t *leat_draft_result(leat_draft_t *d, leat_op_id_t op, uint32_t i);
// An optional operand: absent; result `i`, absent where nobody reads it.
void leat_draft_absent(leat_draft_t *d);
void leat_draft_wanted(leat_draft_t *d, leat_op_id_t op, uint32_t i);
leat_access_t leat_draft_access(leat_draft_t *d, leat_value_id_t v);

#endif
