// SPDX-License-Identifier: Apache-2.0
#include "map/draft.h"

#include "space/rows.h"

void leat_draft_init(leat_draft_t *d, const leat_graph_t *g, const leat_plan_t *plan, int64_t rows) {
  memset(d, 0, sizeof *d);
  d->g = g;
  d->plan = plan;
  d->rows = rows;
}

void leat_draft_deinit(leat_draft_t *d) {
  leat_status_free(d->status);
  leat_array_free(&d->stages);
  leat_array_free(&d->origins);
  leat_array_free(&d->operands);
  leat_array_free(&d->sources);
  leat_array_free(&d->instructions);
}

leat_status_t leat_draft_take_status(leat_draft_t *d) {
  leat_status_t status = d->status;
  d->status = NULL;
  return status;
}

void leat_draft_fail(leat_draft_t *d, leat_status_t status) {
  if (d->status == NULL)
    d->status = status;
  else
    leat_status_free(status);
}

static void *push(leat_draft_t *d, void *slot) {
  if (slot == NULL && d->status == NULL) d->status = leat_out_of_memory();
  return slot;
}

// --- stages and instructions ----------------------------------------------------------------------------------------

pef_stage_t *leat_draft_stage(leat_draft_t *d, uint32_t kind, leat_op_id_t op) {
  leat_op_id_t *origin = push(d, leat_array_push(&d->origins));
  pef_stage_t *stage = origin == NULL ? NULL : push(d, leat_array_push(&d->stages));
  if (stage == NULL) return &d->nowhere.stage;
  *origin = op;
  stage->kind = (uint16_t)kind;
  stage->output = PEF_NO_OUTPUT;
  stage->operand_first = d->operands.count;
  stage->instruction_first = d->instructions.count;
  return stage;
}

// The one that appends belong to; without memory for any stage, nowhere.
static pef_stage_t *current_stage(leat_draft_t *d) {
  return d->stages.count != 0 ? &d->stages.data[d->stages.count - 1] : &d->nowhere.stage;
}

pef_instruction_t *leat_draft_instruction(leat_draft_t *d) {
  pef_instruction_t *instruction = push(d, leat_array_push(&d->instructions));
  if (instruction == NULL) return &d->nowhere.instruction;
  current_stage(d)->instruction_count++;
  return instruction;
}

// --- operands -------------------------------------------------------------------------------------------------------

pef_operand_t *leat_draft_operand(leat_draft_t *d, leat_source_t source, uint32_t dtype, const leat_access_t *access,
                                  uint32_t row_dim) {
  if (current_stage(d)->operand_count == PEF_MAX_OPERANDS)
    leat_draft_fail(
        d, leat_status_make(LEAT_UNSUPPORTED, "a step has more than %u operands: compile with -o0", PEF_MAX_OPERANDS));
  if (d->status != NULL) return &d->nowhere.operand;
  leat_source_t *from = push(d, leat_array_push(&d->sources));
  pef_operand_t *operand = from == NULL ? NULL : push(d, leat_array_push(&d->operands));
  if (operand == NULL) return &d->nowhere.operand;
  *from = source;
  current_stage(d)->operand_count++;
  operand->dtype = (uint8_t)dtype;
  operand->rank = (uint8_t)access->rank;
  operand->row_dim = PEF_NO_ROW_DIM;
  operand->offset = (uint64_t)access->offset * leat_dtype_bytes((leat_dtype_t)dtype);
  memcpy(operand->dims, access->dims, access->rank * sizeof access->dims[0]);
  memcpy(operand->strides, access->strides, access->rank * sizeof access->strides[0]);
  if (row_dim != LEAT_ROWS_WHOLE && d->rows > 1) {
    operand->row_dim = (uint8_t)row_dim;
    operand->row_mult = (uint64_t)(access->dims[row_dim] / d->rows);
  }
  return operand;
}

pef_operand_t *leat_draft_value(leat_draft_t *d, const leat_access_t *access, uint32_t row_dim, bool written) {
  leat_access_t lies = d->turns == NULL ? *access : leat_turns_access(d->turns, d->g, access);
  if (d->concats != NULL) lies = leat_concats_access(d->concats, &lies);
  leat_source_t source = {.kind = LEAT_SOURCE_VALUE, .written = written, .index = lies.base};
  return leat_draft_operand(d, source, leat_graph_value(d->g, access->base)->dtype, &lies, row_dim);
}

leat_access_t leat_draft_access(leat_draft_t *d, leat_value_id_t v) {
  leat_access_t access;
  bool ok = leat_access_resolve(d->g, v, &access);
  if (!ok && d->status == NULL) d->status = leat_status_make(LEAT_INTERNAL, "view %%%u was not settled", v);
  return access;
}

pef_operand_t *leat_draft_input(leat_draft_t *d, leat_op_id_t id, uint32_t i) {
  const leat_op_t *op = leat_graph_op(d->g, id);
  uint32_t dim = d->plan->row_dim[id];
  if (dim != LEAT_ROWS_WHOLE) dim = leat_rows_operand_dim(d->g, op, dim, i);
  leat_access_t access = leat_draft_access(d, leat_op_input(d->g, op, i));
  return leat_draft_value(d, &access, dim, false);
}

pef_operand_t *leat_draft_result(leat_draft_t *d, leat_op_id_t id, uint32_t i) {
  const leat_op_t *op = leat_graph_op(d->g, id);
  leat_access_t access = leat_draft_access(d, op->result_first + i);
  return leat_draft_value(d, &access, d->plan->row_dim[id], true);
}

void leat_draft_absent(leat_draft_t *d) {
  const leat_access_t nothing = {0};
  (void)leat_draft_operand(d, (leat_source_t){.kind = LEAT_SOURCE_NONE}, PEF_F32, &nothing, LEAT_ROWS_WHOLE);
}

void leat_draft_wanted(leat_draft_t *d, leat_op_id_t id, uint32_t i) {
  const leat_value_id_t v = leat_graph_op(d->g, id)->result_first + i;
  if (d->uses != NULL && d->uses->first[v] == d->uses->first[v + 1]) {
    leat_draft_absent(d);
  } else {
    leat_draft_result(d, id, i);
  }
}
