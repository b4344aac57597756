// SPDX-License-Identifier: Apache-2.0
// Drafts: one section being written as a body and a call. Errors are sticky in the draft.
#ifndef LEAT_MAP_EMIT_H_
#define LEAT_MAP_EMIT_H_

#include "map/mapper.h"

typedef struct leat_draft_s {
  leat_mapper_t *m;
  leat_status_t status;  // first error; leat_draft_deinit hands it over
  int64_t rows;
  uint64_t quantum;  // of rows, that stages like tiles to start at; 0: none asks
  LEAT_ARRAY(pef_argument_t) arguments;
  LEAT_ARRAY(pef_stage_t) stages;
  LEAT_ARRAY(pef_operand_t) operands;
  LEAT_ARRAY(pef_instruction_t) instructions;
  LEAT_ARRAY(leat_touch_t) touches;
  struct {  // what an append returns once memory is out
    pef_stage_t stage;
    pef_operand_t operand;
    pef_instruction_t instruction;
  } nowhere;
} leat_draft_t;

typedef struct leat_draft_call_s {
  uint32_t type;  // leat_section_type_t
  uint64_t tile_rows_max, tile_quantum, scratch_bytes;
  const char *name, *why;
  double flops, bytes;
} leat_draft_call_t;

void leat_draft_init(leat_draft_t *d, leat_mapper_t *m, int64_t rows);
leat_status_t leat_draft_deinit(leat_draft_t *d) LEAT_MUST_USE;
// Turns the draft into a body and a call.
void leat_draft_finish(leat_draft_t *d, const leat_draft_call_t *call);

// A new stage; operands and instructions appended from now on belong to it. `op` names its origin (LEAT_NONE: none).
// The pointer is valid until the next stage is made.
pef_stage_t *leat_draft_stage(leat_draft_t *d, uint32_t kind, leat_op_id_t op);
pef_instruction_t *leat_draft_instruction(leat_draft_t *d);

// Each appends an operand to the current stage; the pointer is valid until the next one.
// `row_dim`: the dim of the access that the section's rows cut, or LEAT_ROWS_WHOLE.
pef_operand_t *leat_draft_operand(leat_draft_t *d, const leat_access_t *access, uint32_t row_dim, bool written);
pef_operand_t *leat_draft_arena_operand(leat_draft_t *d, uint64_t offset, uint64_t bytes, uint32_t dtype,
                                        const leat_access_t *shape, uint32_t row_dim, bool written);
pef_operand_t *leat_draft_symbol_operand(leat_draft_t *d, uint32_t symbol, const leat_access_t *shape, uint32_t row_dim,
                                         bool written);
// Input `i` of an op, cut as the op's row relation says; result `i` of an op.
pef_operand_t *leat_draft_input(leat_draft_t *d, leat_op_id_t op, uint32_t i);
pef_operand_t *leat_draft_result(leat_draft_t *d, leat_op_id_t op, uint32_t i);
leat_access_t leat_draft_access(leat_draft_t *d, leat_value_id_t v);

// emit_map.c
void leat_emit_map_stage(leat_draft_t *d, const leat_stage_t *stage);
// Programs of the current MAP stage: operand 0 -> operand 1; number -> operand 0.
void leat_emit_copy_program(leat_draft_t *d, uint32_t dtype);
void leat_emit_fill_program(leat_draft_t *d, uint32_t dtype, double number);
void leat_emit_store_copy(leat_draft_t *d, leat_op_id_t store);
// emit_contract.c
void leat_emit_contract(leat_draft_t *d, leat_op_id_t op);
// emit_op.c: any other computing op
void leat_emit_op(leat_draft_t *d, leat_op_id_t op);

#endif
