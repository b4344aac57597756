// SPDX-License-Identifier: Apache-2.0
// See flow.h. Calls are visited in order; for every symbol, and for the arena, a list remembers who wrote which bytes,
// newest last.
#include "report/flow.h"

typedef struct write_s {
  uint64_t begin, end;
  uint32_t call, buffer;  // buffer: index of the arena range, PEF_NONE for symbols
  const pef_operand_t *operand;
} write_t;
typedef LEAT_ARRAY(write_t) write_list_t;

// What a body does with one argument: how it touches it first, and the operand that says most about its shape.
typedef struct slot_s {
  bool is_read, is_written;  // is_read: before the body itself wrote it
  const pef_operand_t *operand;
} slot_t;

typedef struct finder_s {
  const leat_pef_t *pef;
  leat_flow_t *flow;
  write_list_t *writes;  // per symbol, then the arena
  slot_t slots[PEF_MAX_ARGUMENTS];
} finder_t;

static leat_status_t out_of_memory(void) { LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the report"); }

static int64_t operand_elements(const pef_operand_t *operand) {
  int64_t elements = 1;
  for (uint32_t d = 0; d < operand->rank; ++d) elements *= operand->strides[d] == 0 ? 1 : operand->dims[d];
  return elements;
}

static void touch(slot_t *slot, const pef_operand_t *operand, bool written) {
  if (written)
    slot->is_written = true;
  else if (!slot->is_written)
    slot->is_read = true;
  if (slot->operand == NULL || operand_elements(operand) > operand_elements(slot->operand)) slot->operand = operand;
}

static void find_slots(finder_t *f, const pef_body_t *body) {
  memset(f->slots, 0, body->argument_count * sizeof *f->slots);
  for (uint32_t s = 0; s < body->stage_count; ++s) {
    const pef_stage_t *stage = &f->pef->stages[body->stage_first + s];
    const uint64_t outputs = leat_pef_stage_outputs(f->pef, stage);
    for (uint32_t pass = 0; pass < 2; ++pass) {  // what a stage reads is read before it writes
      for (uint32_t i = 0; i < stage->operand_count; ++i) {
        const pef_operand_t *operand = &f->pef->operands[stage->operand_first + i];
        const bool written = outputs >> i & 1;
        if (operand->space == PEF_SPACE_ARGUMENT && written == (pass == 1))
          touch(&f->slots[operand->slot], operand, written);
      }
    }
  }
}

static write_list_t *writes_of(finder_t *f, const pef_argument_t *argument) {
  return &f->writes[argument->kind == PEF_PLACE_SYMBOL ? argument->symbol : f->pef->symbol_count];
}

static leat_status_t add_edge(finder_t *f, uint32_t from, uint32_t to, uint64_t bytes, const pef_operand_t *operand) {
  leat_flow_edge_t *edge = leat_array_push(&f->flow->edges);
  if (edge == NULL) return out_of_memory();
  *edge = (leat_flow_edge_t){from, to, bytes, operand};
  return NULL;
}

static bool is_new_writer(const write_list_t *list, uint32_t index, uint64_t begin, uint64_t end) {
  for (uint32_t i = index + 1; i < list->count; ++i) {
    const write_t *later = &list->data[i];
    if (later->call == list->data[index].call && later->begin < end && begin < later->end) return false;
  }
  return true;
}

// Edges from whoever wrote bytes of the argument last, newest first, until one covers all of it.
static leat_status_t read_argument(finder_t *f, uint32_t call, const pef_argument_t *argument, const slot_t *slot) {
  const uint64_t begin = argument->offset, end = begin + argument->bytes;
  write_list_t *list = writes_of(f, argument);
  bool covered = false;
  for (uint32_t i = list->count; i-- > 0 && !covered;) {
    const write_t *write = &list->data[i];
    if (write->begin >= end || begin >= write->end) continue;
    covered = write->begin <= begin && end <= write->end;
    if (write->buffer != PEF_NONE) f->flow->buffers.data[write->buffer].last = call;
    if (write->call == call || !is_new_writer(list, i, begin, end)) continue;
    const uint64_t from = write->begin > begin ? write->begin : begin, to = write->end < end ? write->end : end;
    LEAT_TRY(add_edge(f, write->call, call, to - from, slot->operand));
  }
  if (covered || argument->kind != PEF_PLACE_SYMBOL) return NULL;
  return add_edge(f, f->pef->call_count + argument->symbol, call, argument->bytes, slot->operand);
}

static leat_status_t add_write(finder_t *f, uint32_t call, const pef_argument_t *argument, const slot_t *slot) {
  const uint64_t begin = argument->offset, end = begin + argument->bytes;
  write_t *write = leat_array_push(writes_of(f, argument));
  if (write == NULL) return out_of_memory();
  *write = (write_t){begin, end, call, PEF_NONE, slot->operand};
  if (argument->kind != PEF_PLACE_ARENA) return NULL;
  write->buffer = f->flow->buffers.count;
  leat_flow_buffer_t *buffer = leat_array_push(&f->flow->buffers);
  if (buffer == NULL) return out_of_memory();
  *buffer = (leat_flow_buffer_t){begin, end, call, call, slot->operand};
  return NULL;
}

static bool is_kept(const leat_pef_t *pef, const pef_argument_t *argument) {
  if (argument->kind != PEF_PLACE_SYMBOL) return argument->kind == PEF_PLACE_CONSTANT;
  const uint32_t kind = pef->symbols[argument->symbol].kind;
  return kind == PEF_SYMBOL_PARAMETER || kind == PEF_SYMBOL_BUFFER || kind == PEF_SYMBOL_STATE;
}

static leat_status_t visit(finder_t *f, uint32_t index) {
  const pef_call_t *call = &f->pef->calls[index];
  leat_flow_totals_t *totals = &f->flow->totals[index];
  find_slots(f, &f->pef->bodies[call->body]);
  for (uint32_t a = 0; a < call->argument_count; ++a) {
    const pef_argument_t *argument = &f->pef->arguments[call->argument_first + a];
    const slot_t *slot = &f->slots[a];
    if (slot->is_read) {
      totals->bytes_in += argument->bytes;
      if (is_kept(f->pef, argument)) totals->parameter_bytes += argument->bytes;
      if (argument->kind != PEF_PLACE_CONSTANT) LEAT_TRY(read_argument(f, index, argument, slot));
    }
    if (slot->is_written) totals->bytes_out += argument->bytes;
    if (argument->kind == PEF_PLACE_ARENA) ++totals->buffers;
  }
  for (uint32_t a = 0; a < call->argument_count; ++a) {
    if (f->slots[a].is_written) {
      LEAT_TRY(add_write(f, index, &f->pef->arguments[call->argument_first + a], &f->slots[a]));
    }
  }
  return NULL;
}

static leat_status_t finish_outputs(finder_t *f) {
  for (uint32_t s = 0; s < f->pef->symbol_count; ++s) {
    const write_list_t *list = &f->writes[s];
    if (f->pef->symbols[s].kind != PEF_SYMBOL_OUTPUT || list->count == 0) continue;
    const write_t *last = &list->data[list->count - 1];
    LEAT_TRY(add_edge(f, last->call, f->pef->call_count + s, last->end - last->begin, last->operand));
  }
  return NULL;
}

static leat_status_t find(finder_t *f) {
  for (uint32_t i = 0; i < f->pef->call_count; ++i) LEAT_TRY(visit(f, i));
  return finish_outputs(f);
}

leat_status_t leat_flow_find(const leat_pef_t *pef, leat_flow_t *out_flow) {
  *out_flow = (leat_flow_t){.pef = pef, .totals = leat_alloc_zero(pef->call_count + 1u, sizeof *out_flow->totals)};
  finder_t *f = leat_alloc_zero(1, sizeof *f);
  leat_status_t status = NULL;
  if (f != NULL) {
    f->pef = pef;
    f->flow = out_flow;
    f->writes = leat_alloc_zero(pef->symbol_count + 1u, sizeof *f->writes);
  }
  if (f == NULL || f->writes == NULL || out_flow->totals == NULL)
    status = out_of_memory();
  else
    status = find(f);
  for (uint32_t s = 0; f != NULL && f->writes != NULL && s <= pef->symbol_count; ++s) leat_array_free(&f->writes[s]);
  if (f != NULL) leat_free(f->writes);
  leat_free(f);
  if (status != NULL) leat_flow_deinit(out_flow);
  return status;
}

void leat_flow_deinit(leat_flow_t *flow) {
  leat_array_free(&flow->edges);
  leat_array_free(&flow->buffers);
  leat_free(flow->totals);
  flow->totals = NULL;
}
