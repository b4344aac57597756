// SPDX-License-Identifier: Apache-2.0
// See flow.h. Between calls: they are visited in order; for every symbol, and for the arena, a list remembers who wrote
// which bytes, newest last.
#include "pef/flow.h"

#include <stdlib.h>

typedef struct write_s {
  uint64_t begin, end;
  uint32_t call, buffer;  // buffer: index of the arena range, PEF_NONE for symbols
  const pef_operand_t *operand;
} write_t;
typedef LEAT_ARRAY(write_t) write_list_t;

typedef struct finder_s {
  const leat_pef_t *pef;
  leat_flow_t *flow;
  write_list_t *writes;    // per symbol, then the arena
  leat_slot_use_t *slots;  // of the body of the call that is visited
} finder_t;

// --- stages and bodies -----------------------------------------------------------------------------------------------

uint32_t leat_flow_uses(const leat_pef_t *pef, const pef_stage_t *stage, leat_operand_use_t *out_uses) {
  const uint64_t masks[] = {leat_pef_stage_inputs(pef, stage), leat_pef_stage_outputs(pef, stage)};
  uint32_t count = 0;
  for (uint32_t written = 0; written < 2; ++written) {
    for (uint32_t i = 0; i < stage->operand_count; ++i) {
      const pef_operand_t *operand = &pef->operands[stage->operand_first + i];
      if ((masks[written] >> i & 1) == 0 || operand->space == PEF_SPACE_NONE) continue;
      out_uses[count++] = (leat_operand_use_t){operand, i, written != 0};
    }
  }
  return count;
}

static int64_t operand_elements(const pef_operand_t *operand) {
  int64_t elements = 1;
  for (uint32_t d = 0; d < operand->rank; ++d) elements *= operand->strides[d] == 0 ? 1 : operand->dims[d];
  return elements;
}

static void touch(leat_slot_use_t *slot, const pef_operand_t *operand, bool written) {
  if (written)
    slot->is_written = true;
  else if (!slot->is_written)
    slot->is_read = true;
  if (slot->operand == NULL || operand_elements(operand) > operand_elements(slot->operand)) slot->operand = operand;
}

void leat_flow_slots(const leat_pef_t *pef, const pef_body_t *body, leat_slot_use_t *out_slots) {
  leat_operand_use_t uses[LEAT_OPERAND_USES_MAX];
  memset(out_slots, 0, body->argument_count * sizeof *out_slots);
  for (uint32_t s = 0; s < body->stage_count; ++s) {
    const uint32_t count = leat_flow_uses(pef, &pef->stages[body->stage_first + s], uses);
    for (uint32_t i = 0; i < count; ++i) {
      const pef_operand_t *operand = uses[i].operand;
      if (operand->space == PEF_SPACE_ARGUMENT) touch(&out_slots[operand->slot], operand, uses[i].written);
    }
  }
}

void leat_flow_mark_written(const leat_pef_t *pef, const pef_call_t *call, bool *written) {
  const pef_body_t *body = &pef->bodies[call->body];
  leat_operand_use_t uses[LEAT_OPERAND_USES_MAX];
  for (uint32_t s = 0; s < body->stage_count; ++s) {
    const uint32_t count = leat_flow_uses(pef, &pef->stages[body->stage_first + s], uses);
    for (uint32_t i = 0; i < count; ++i) {
      if (!uses[i].written || uses[i].operand->space != PEF_SPACE_ARGUMENT) continue;
      const pef_argument_t *argument = &pef->arguments[call->argument_first + uses[i].operand->slot];
      if (argument->kind == PEF_PLACE_SYMBOL) written[argument->symbol] = true;
    }
  }
}

// --- time ------------------------------------------------------------------------------------------------------------

static int by_begin(const void *a, const void *b) {
  const leat_range_t *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->life.first < y->life.first ? -1 : x->life.first > y->life.first;
}

leat_status_t leat_flow_ranges(const leat_pef_t *pef, leat_ranges_t *out_ranges) {
  *out_ranges = (leat_ranges_t){0};
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    for (uint32_t i = 0; i < pef->calls[c].argument_count; ++i) {
      const pef_argument_t *a = &pef->arguments[pef->calls[c].argument_first + i];
      leat_range_t *range = a->kind != PEF_PLACE_ARENA ? NULL : leat_array_push(&out_ranges->all);
      if (range != NULL) *range = (leat_range_t){a->offset, a->offset + a->bytes, {c, c, 1u << pef->calls[c].type}};
      if (range != NULL || a->kind != PEF_PLACE_ARENA) continue;
      leat_array_free(&out_ranges->all);
      return leat_out_of_memory();
    }
  }
  leat_range_t *all = out_ranges->all.data;
  uint32_t kept = 0;
  if (out_ranges->all.count != 0) qsort(all, out_ranges->all.count, sizeof *all, by_begin);
  for (uint32_t i = 0; i < out_ranges->all.count; ++i) {
    if (kept == 0 || all[kept - 1].begin != all[i].begin) {
      all[kept++] = all[i];
      continue;
    }
    leat_range_t *same = &all[kept - 1];
    if (all[i].end > same->end) same->end = all[i].end;
    same->life.last = all[i].life.last;
    same->life.types |= all[i].life.types;
  }
  out_ranges->all.count = kept;
  return NULL;
}

// --- between calls ---------------------------------------------------------------------------------------------------

static write_list_t *writes_of(finder_t *f, const pef_argument_t *argument) {
  return &f->writes[argument->kind == PEF_PLACE_SYMBOL ? argument->symbol : f->pef->symbol_count];
}

static leat_status_t add_edge(finder_t *f, uint32_t from, uint32_t to, uint64_t bytes, const pef_operand_t *operand) {
  leat_flow_edge_t *edge = leat_array_push(&f->flow->edges);
  if (edge == NULL) return leat_out_of_memory();
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
static leat_status_t read_argument(finder_t *f, uint32_t call, const pef_argument_t *argument,
                                   const leat_slot_use_t *slot) {
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

static leat_status_t add_write(finder_t *f, uint32_t call, const pef_argument_t *argument,
                               const leat_slot_use_t *slot) {
  const uint64_t begin = argument->offset, end = begin + argument->bytes;
  write_t *write = leat_array_push(writes_of(f, argument));
  if (write == NULL) return leat_out_of_memory();
  *write = (write_t){begin, end, call, PEF_NONE, slot->operand};
  if (argument->kind != PEF_PLACE_ARENA) return NULL;
  write->buffer = f->flow->buffers.count;
  leat_flow_buffer_t *buffer = leat_array_push(&f->flow->buffers);
  if (buffer == NULL) return leat_out_of_memory();
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
  leat_flow_slots(f->pef, &f->pef->bodies[call->body], f->slots);
  for (uint32_t a = 0; a < call->argument_count; ++a) {
    const pef_argument_t *argument = &f->pef->arguments[call->argument_first + a];
    const leat_slot_use_t *slot = &f->slots[a];
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

static uint32_t most_arguments(const leat_pef_t *pef) {
  uint32_t most = 0;
  for (uint32_t b = 0; b < pef->body_count; ++b)
    most = pef->bodies[b].argument_count > most ? pef->bodies[b].argument_count : most;
  return most;
}

leat_status_t leat_flow_find(const leat_pef_t *pef, leat_flow_t *out_flow) {
  *out_flow = (leat_flow_t){.pef = pef, .totals = leat_alloc_zero(pef->call_count + 1u, sizeof *out_flow->totals)};
  finder_t *f = leat_alloc_zero(1, sizeof *f);
  leat_status_t status = NULL;
  if (f != NULL) {
    f->pef = pef;
    f->flow = out_flow;
    f->writes = leat_alloc_zero(pef->symbol_count + 1u, sizeof *f->writes);
    f->slots = leat_alloc_zero(most_arguments(pef) + 1u, sizeof *f->slots);
  }
  if (f == NULL || f->writes == NULL || f->slots == NULL || out_flow->totals == NULL)
    status = leat_out_of_memory();
  else
    status = find(f);
  for (uint32_t s = 0; f != NULL && f->writes != NULL && s <= pef->symbol_count; ++s) leat_array_free(&f->writes[s]);
  if (f != NULL) leat_free(f->writes);
  if (f != NULL) leat_free(f->slots);
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
