// SPDX-License-Identifier: Apache-2.0
// Writes sections as PEF bodies and calls. A draft collects the stages of one section; operands turn accesses into
// (argument or scratch) + offset + strides; every touched range is noted, so that barriers follow from overlaps.
#include "map/emit.h"

#include <stdio.h>

enum { ORIGIN_MAX = 512 };

// --- stages and instructions
// --------------------------------------------------------------------------------------------

static void *draft_push(leat_draft_t *d, void *slot) {
  if (slot == NULL && d->status == NULL) d->status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory");
  return slot;
}

static uint32_t origin_string(const leat_mapper_t *m, leat_op_id_t id) {
  char text[ORIGIN_MAX];
  const leat_op_t *op = leat_graph_op(m->g, id);
  const leat_origin_t *origin = &m->g->origins.data[op->origin];
  const char *module = origin->module ? origin->module : "", *source = origin->source ? origin->source : "";
  const char *traced = origin->traced ? origin->traced : leat_op_info(op->kind)->name;
  snprintf(text, sizeof text, "%s%s%s%s%s", module, *module ? " " : "", traced, *source ? " " : "", source);
  leat_utf8_trim(text);
  return leat_pef_add_string(m->writer, text);
}

pef_stage_t *leat_draft_stage(leat_draft_t *d, uint32_t kind, leat_op_id_t op) {
  pef_stage_t *stage = draft_push(d, leat_array_push(&d->stages));
  if (stage == NULL) return &d->nowhere.stage;
  stage->kind = (uint16_t)kind;
  stage->output_bit = 0xff;
  stage->origin = op == LEAT_NONE ? 0 : origin_string(d->m, op);
  stage->operand_first = d->operands.count;
  stage->instruction_first = d->instructions.count;
  return stage;
}

// The one that appends belong to; without memory for any stage, nowhere.
static pef_stage_t *current_stage(leat_draft_t *d) {
  return d->stages.count != 0 ? &d->stages.data[d->stages.count - 1] : &d->nowhere.stage;
}

pef_instruction_t *leat_draft_instruction(leat_draft_t *d) {
  pef_instruction_t *instruction = draft_push(d, leat_array_push(&d->instructions));
  if (instruction == NULL) return &d->nowhere.instruction;
  current_stage(d)->instruction_count++;
  return instruction;
}

// --- arguments
// --------------------------------------------------------------------------------------------------------

static uint16_t argument_slot(leat_draft_t *d, uint32_t kind, uint32_t symbol, uint64_t offset, uint64_t bytes) {
  for (uint32_t i = 0; i < d->arguments.count; ++i) {
    const pef_argument_t *a = &d->arguments.data[i];
    if (a->kind == kind && a->symbol == symbol && a->offset == offset && a->bytes == bytes) return (uint16_t)i;
  }
  pef_argument_t *a = draft_push(d, leat_array_push(&d->arguments));
  if (a == NULL) return 0;
  *a = (pef_argument_t){.kind = kind, .symbol = symbol, .offset = offset, .bytes = bytes};
  if (d->arguments.count > PEF_MAX_ARGUMENTS && d->status == NULL) {
    d->status = leat_status_make(LEAT_UNSUPPORTED, "a section touches more than %u tensors: compile with -o0",
                                 PEF_MAX_ARGUMENTS);
  }
  return (uint16_t)(d->arguments.count - 1);
}

static void touch(leat_draft_t *d, uint32_t kind, uint32_t symbol, uint64_t offset, uint64_t bytes, bool written) {
  if (kind == PEF_PLACE_CONSTANT) return;
  leat_touch_t *t = draft_push(d, leat_array_push(&d->touches));
  if (t != NULL) *t = (leat_touch_t){kind, symbol, offset, offset + bytes, written};
}

// --- operands
// ---------------------------------------------------------------------------------------------------------

static pef_operand_t *new_operand(leat_draft_t *d, uint32_t dtype, const leat_access_t *shape, uint32_t row_dim) {
  pef_operand_t *operand = draft_push(d, leat_array_push(&d->operands));
  if (operand == NULL) return &d->nowhere.operand;
  current_stage(d)->operand_count++;
  operand->dtype = (uint8_t)dtype;
  operand->rank = (uint8_t)shape->rank;
  operand->row_dim = PEF_NO_ROW_DIM;
  memcpy(operand->dims, shape->dims, shape->rank * sizeof shape->dims[0]);
  memcpy(operand->strides, shape->strides, shape->rank * sizeof shape->strides[0]);
  if (row_dim != LEAT_ROWS_WHOLE && d->rows > 1) {
    operand->row_dim = (uint8_t)row_dim;
    operand->row_mult = (uint64_t)(shape->dims[row_dim] / d->rows);
  }
  return operand;
}

static pef_operand_t *place_operand(leat_draft_t *d, uint32_t kind, uint32_t symbol, uint64_t offset, uint64_t bytes,
                                    uint32_t dtype, const leat_access_t *shape, uint32_t row_dim, bool written) {
  uint16_t slot = argument_slot(d, kind, symbol, offset, bytes);
  touch(d, kind, symbol, offset, bytes, written);
  pef_operand_t *operand = new_operand(d, dtype, shape, row_dim);
  operand->space = PEF_SPACE_ARGUMENT;
  operand->slot = slot;
  operand->offset = (uint64_t)shape->offset * leat_dtype_bytes(dtype);
  return operand;
}

pef_operand_t *leat_draft_arena_operand(leat_draft_t *d, uint64_t offset, uint64_t bytes, uint32_t dtype,
                                        const leat_access_t *shape, uint32_t row_dim, bool written) {
  return place_operand(d, PEF_PLACE_ARENA, 0, offset, bytes, dtype, shape, row_dim, written);
}

pef_operand_t *leat_draft_symbol_operand(leat_draft_t *d, uint32_t symbol, const leat_access_t *shape, uint32_t row_dim,
                                         bool written) {
  const pef_symbol_t *s = &d->m->symbols.data[symbol];
  return place_operand(d, PEF_PLACE_SYMBOL, symbol, 0, s->bytes, s->dtype, shape, row_dim, written);
}

pef_operand_t *leat_draft_operand(leat_draft_t *d, const leat_access_t *access, uint32_t row_dim, bool written) {
  const leat_value_t *base = leat_graph_value(d->m->g, access->base);
  const leat_home_t *home = &d->m->homes[access->base];
  uint64_t bytes = leat_value_bytes(base);
  switch ((leat_home_kind_t)home->kind) {
    case LEAT_HOME_ARENA:
      return leat_draft_arena_operand(d, home->offset, bytes, base->dtype, access, row_dim, written);
    case LEAT_HOME_SYMBOL:
      return leat_draft_symbol_operand(d, home->symbol, access, row_dim, written);
    case LEAT_HOME_CONSTANT:
      return place_operand(d, PEF_PLACE_CONSTANT, 0, home->offset, bytes, base->dtype, access, row_dim, written);
    case LEAT_HOME_SCRATCH: {
      pef_operand_t *operand = new_operand(d, base->dtype, access, row_dim);
      operand->space = PEF_SPACE_SCRATCH;
      operand->offset = home->offset + (uint64_t)access->offset * leat_dtype_bytes(base->dtype);
      return operand;
    }
    case LEAT_HOME_NONE:
    case LEAT_HOME_REGISTER:
      break;
  }
  if (d->status == NULL) d->status = leat_status_make(LEAT_INTERNAL, "value %%%u has no storage", access->base);
  return &d->nowhere.operand;
}

leat_access_t leat_draft_access(leat_draft_t *d, leat_value_id_t v) {
  leat_access_t access;
  bool ok = leat_access_resolve(d->m->g, v, &access);
  if (!ok && d->status == NULL) d->status = leat_status_make(LEAT_INTERNAL, "view %%%u was not settled", v);
  return access;
}

pef_operand_t *leat_draft_input(leat_draft_t *d, leat_op_id_t id, uint32_t i) {
  const leat_op_t *op = leat_graph_op(d->m->g, id);
  uint32_t dim = d->m->plan->row_dim[id];
  if (dim != LEAT_ROWS_WHOLE) dim = leat_rows_operand_dim(d->m->g, op, dim, i);
  leat_access_t access = leat_draft_access(d, leat_op_input(d->m->g, op, i));
  return leat_draft_operand(d, &access, dim, false);
}

pef_operand_t *leat_draft_result(leat_draft_t *d, leat_op_id_t id, uint32_t i) {
  const leat_op_t *op = leat_graph_op(d->m->g, id);
  leat_access_t access = leat_draft_access(d, op->result_first + i);
  return leat_draft_operand(d, &access, d->m->plan->row_dim[id], true);
}

// --- calls
// --------------------------------------------------------------------------------------------------------------

// Prepare sections run apart from the others, so each waits for the one before.
static bool needs_barrier(leat_draft_t *d, uint32_t type) {
  bool barrier = true;
  if (type == LEAT_TYPE_PREPARE || d->status != NULL) return true;
  d->status = leat_flight_add(&d->m->flight, d->touches.data, d->touches.count, &barrier);
  return barrier;
}

void leat_draft_finish(leat_draft_t *d, const leat_draft_call_t *call) {
  bool barrier = needs_barrier(d, call->type);
  if (d->status != NULL) return;
  leat_pef_body_draft_t body = {
      .body = {.stage_count = d->stages.count,
               .argument_count = d->arguments.count,
               .tile_quantum = (uint32_t)call->tile_quantum,
               .row_count = (uint64_t)d->rows,
               .tile_rows_max = call->tile_rows_max,
               .scratch_bytes = call->scratch_bytes},
      .stages = d->stages.data,
      .operands = d->operands.data,
      .instructions = d->instructions.data,
  };
  pef_call_t record = {.type = (uint8_t)call->type,
                       .barrier = barrier,
                       .argument_count = d->arguments.count,
                       .flops = call->flops,
                       .bytes = call->bytes};
  record.body = leat_pef_add_body(d->m->writer, &body);
  record.name = leat_pef_add_string(d->m->writer, call->name);
  record.why = leat_pef_add_string(d->m->writer, call->why);
  leat_pef_add_call(d->m->writer, &record, d->arguments.data);
  if (call->scratch_bytes > d->m->scratch_bytes) d->m->scratch_bytes = call->scratch_bytes;
}

void leat_draft_init(leat_draft_t *d, leat_mapper_t *m, int64_t rows) {
  memset(d, 0, sizeof *d);
  d->m = m;
  d->rows = rows;
}

leat_status_t leat_draft_deinit(leat_draft_t *d) {
  leat_array_free(&d->arguments);
  leat_array_free(&d->stages);
  leat_array_free(&d->operands);
  leat_array_free(&d->instructions);
  leat_array_free(&d->touches);
  return d->status;
}

// --- sections
// -----------------------------------------------------------------------------------------------------------

static void emit_stage(leat_draft_t *d, const leat_stage_t *stage) {
  if (stage->copy_store != LEAT_NONE) {
    leat_emit_store_copy(d, stage->copy_store);
  } else if (leat_op_role(stage->kind) == LEAT_ROLE_ELEMENTWISE) {
    leat_emit_map_stage(d, stage);
  } else if (stage->kind == LEAT_PRIM_CONTRACT) {
    leat_emit_contract(d, stage->ops.data[0]);
  } else {
    leat_emit_op(d, stage->ops.data[0]);
  }
}

// "lenet.conv1 conv .. lenet.pool1 max_pool" from the first and last op.
static void section_name(const leat_mapper_t *m, const leat_section_t *section, char *buffer, size_t buffer_bytes) {
  const leat_graph_t *g = m->g;
  const char *text[2] = {"", ""};
  for (uint32_t i = 0; i < 2 && section->ops.count > 0; ++i) {
    const leat_op_t *op = leat_graph_op(g, section->ops.data[i == 0 ? 0 : section->ops.count - 1]);
    const leat_origin_t *origin = &g->origins.data[op->origin];
    text[i] = origin->module && *origin->module ? origin->module
              : origin->traced                  ? origin->traced
                                                : leat_op_info(op->kind)->name;
  }
  if (strcmp(text[0], text[1]) == 0) {
    snprintf(buffer, buffer_bytes, "%s", text[0]);
  } else {
    snprintf(buffer, buffer_bytes, "%s .. %s", text[0], text[1]);
  }
  leat_utf8_trim(buffer);
}

static leat_status_t emit_section(leat_mapper_t *m, uint32_t index) {
  const leat_section_t *section = &m->plan->sections.data[index];
  const leat_section_map_t *s = &m->sections[index];
  if (s->stages.count == 0) return NULL;
  char name[ORIGIN_MAX];
  section_name(m, section, name, sizeof name);
  leat_draft_t d;
  leat_draft_init(&d, m, section->rows);
  for (uint32_t i = 0; i < s->stages.count && d.status == NULL; ++i) emit_stage(&d, &s->stages.data[i]);
  bool whole = d.quantum > s->tile_quantum && d.quantum <= (uint64_t)s->tile_rows_max;
  leat_draft_call_t call = {section->type,
                            (uint64_t)s->tile_rows_max,
                            whole ? d.quantum : s->tile_quantum,
                            s->scratch_bytes,
                            name,
                            section->why,
                            section->flops,
                            section->bytes};
  if (d.status == NULL) leat_draft_finish(&d, &call);
  return leat_status_annotate(leat_draft_deinit(&d), "section %u (%s)", index, name);
}

leat_status_t leat_map_emit(leat_mapper_t *m) {
  LEAT_TRY(leat_flight_init(&m->flight, m->symbols.count));
  // Prepare sections are emitted first: the packing of prepared values follows them.
  for (uint32_t pass = 0; pass < 2; ++pass) {
    for (uint32_t s = 0; s < m->plan->sections.count; ++s) {
      bool prepare = m->plan->sections.data[s].type == LEAT_TYPE_PREPARE;
      if (prepare == (pass == 0)) LEAT_TRY(emit_section(m, s));
    }
  }
  return NULL;
}
