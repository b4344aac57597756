// SPDX-License-Identifier: Apache-2.0
// See flow.h. Between calls: they are visited in order; for every symbol, and for the arena, a list remembers who wrote
// which bytes, newest last. Two trips of a loop show all that there is: what the first reads of what came before, and
// the second of the first.
#include "pef/flow.h"

#include <math.h>
#include <stdlib.h>

#include "pef/pef_cost.h"

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

bool leat_flow_next(const leat_pef_t *pef, const pef_stage_t *stage, leat_operand_use_t *use) {
  uint32_t i = use->operand == NULL ? 0 : use->index + 1;
  for (bool written = use->written;; written = true, i = 0) {
    for (; i < stage->operand_count; ++i) {
      const pef_operand_t *operand = &pef->operands[stage->operand_first + i];
      const bool used = written ? leat_pef_writes(pef, stage, i) : leat_pef_reads(pef, stage, i);
      if (!used || operand->space == PEF_SPACE_NONE) continue;
      *use = (leat_operand_use_t){operand, i, written};
      return true;
    }
    if (written) return false;
  }
}

// The dim of what is read that goes through dim `d` of what was written: of the same stride, and with rows where that
// has them; one that is in no dim of `taken`. The rank: there is none.
static uint32_t dim_through(const pef_operand_t *written, uint32_t d, const pef_operand_t *read, uint32_t taken) {
  for (uint32_t e = 0; e < read->rank; ++e) {
    const bool alike = read->strides[e] == written->strides[d] && (e == read->row_dim) == (d == written->row_dim);
    if (alike && (taken >> e & 1) == 0) return e;
  }
  return read->rank;
}

// Places along `dim` of what was written, up to which `read` goes, whatever the order of its dims; all of them where
// the two do not lie alike.
static int64_t places_read(const pef_operand_t *written, const pef_operand_t *read, uint32_t dim) {
  const int64_t all = written->dims[dim], step = written->strides[dim];
  const int64_t bytes = (int64_t)leat_pef_dtype_bytes(written->dtype) * step;
  const int64_t from = (int64_t)(read->offset - written->offset);
  int64_t count = 0;
  uint32_t taken = 0;
  if (read->rank != written->rank || read->dtype != written->dtype || bytes <= 0 || from < 0 || from % bytes != 0)
    return all;
  for (uint32_t d = 0; d < written->rank; ++d) {
    const uint32_t e = dim_through(written, d, read, taken);
    if (e == read->rank || (d != dim && read->dims[e] > written->dims[d])) return all;
    if (d == dim) count = read->dims[e];
    taken |= 1u << e;
  }
  return from / bytes > all - count ? all : from / bytes + count;
}

int64_t leat_flow_places(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage, uint32_t index,
                         uint32_t dim) {
  const pef_operand_t *written = &pef->operands[stage->operand_first + index];
  if (written->space == PEF_SPACE_NONE) return 0;
  if (written->space != PEF_SPACE_SCRATCH || dim == written->row_dim) return written->dims[dim];
  int64_t places = 0;
  for (uint32_t s = 0; s < body->stage_count; ++s) {
    const pef_stage_t *other = &pef->stages[body->stage_first + s];
    for (leat_operand_use_t use = {0}; leat_flow_next(pef, other, &use);) {
      if (use.written || use.operand->space != PEF_SPACE_SCRATCH || use.operand->slot != written->slot) continue;
      const bool packed = leat_pef_operand_is_packed(other, use.index);
      const int64_t read = packed ? written->dims[dim] : places_read(written, use.operand, dim);
      if (read > places) places = read;
    }
  }
  return places;
}

static int64_t operand_elements(const pef_operand_t *operand) {
  int64_t elements = 1;
  for (uint32_t d = 0; d < operand->rank; ++d) elements *= operand->strides[d] == 0 ? 1 : operand->dims[d];
  return elements;
}

static uint64_t operand_end(const pef_operand_t *operand) {
  uint64_t last = 0;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    if (operand->dims[d] == 0) return 0;
    if (operand->strides[d] > 0) last += (uint64_t)(operand->dims[d] - 1) * (uint64_t)operand->strides[d];
  }
  return operand->offset + (last + 1) * leat_pef_dtype_bytes(operand->dtype);
}

static void touch(leat_slot_use_t *slot, const pef_operand_t *operand, uint64_t end, bool written) {
  if (end > slot->bytes) slot->bytes = end;
  if (written)
    slot->is_written = true;
  else if (!slot->is_written)
    slot->is_read = true;
  if (slot->operand == NULL || operand_elements(operand) > operand_elements(slot->operand)) slot->operand = operand;
}

void leat_flow_slots(const leat_pef_t *pef, const pef_body_t *body, leat_slot_use_t *out_slots) {
  memset(out_slots, 0, body->argument_count * sizeof *out_slots);
  for (uint32_t s = 0; s < body->stage_count; ++s) {
    const pef_stage_t *stage = &pef->stages[body->stage_first + s];
    for (leat_operand_use_t use = {0}; leat_flow_next(pef, stage, &use);) {
      const pef_operand_t *operand = use.operand;
      if (operand->space != PEF_SPACE_ARGUMENT) continue;
      const uint64_t end = leat_pef_operand_is_packed(stage, use.index) ? UINT64_MAX : operand_end(operand);
      leat_slot_use_t *slot = &out_slots[operand->slot];
      touch(slot, operand, end, use.written);
      *(use.written ? &slot->out : &slot->in) += leat_pef_operand_bytes(pef, stage, use.index);
    }
  }
}

void leat_flow_mark_written(const leat_pef_t *pef, const pef_call_t *call, bool *written) {
  const pef_body_t *body = &pef->bodies[call->body];
  for (uint32_t s = 0; s < body->stage_count; ++s) {
    for (leat_operand_use_t use = {0}; leat_flow_next(pef, &pef->stages[body->stage_first + s], &use);) {
      if (!use.written || use.operand->space != PEF_SPACE_ARGUMENT) continue;
      uint32_t places;
      const pef_argument_t *at = leat_pef_places(pef, call->argument_first + use.operand->slot, &places);
      for (uint32_t p = 0; p < places; ++p) {
        if (at[p].kind == PEF_PLACE_SYMBOL) written[at[p].symbol] = true;
      }
    }
  }
}

// --- time ------------------------------------------------------------------------------------------------------------

static int by_begin(const void *a, const void *b) {
  const leat_range_t *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->life.first < y->life.first ? -1 : x->life.first > y->life.first;
}

static leat_status_t add_ranges(const leat_pef_t *pef, uint32_t call, leat_ranges_t *ranges) {
  const pef_call_t *record = &pef->calls[call];
  for (uint32_t i = 0; i < record->argument_count; ++i) {
    uint32_t places;
    const pef_argument_t *at = leat_pef_places(pef, record->argument_first + i, &places);
    for (uint32_t p = 0; p < places; ++p) {
      if (at[p].kind != PEF_PLACE_ARENA) continue;
      leat_range_t *range = leat_array_push(&ranges->all);
      if (range == NULL) return leat_out_of_memory();
      *range = (leat_range_t){at[p].offset, at[p].offset + at[p].bytes, {call, call, 1u << record->type}};
    }
  }
  return NULL;
}

leat_status_t leat_flow_ranges(const leat_pef_t *pef, leat_ranges_t *out_ranges) {
  *out_ranges = (leat_ranges_t){0};
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    leat_status_t status = add_ranges(pef, c, out_ranges);
    if (status == NULL) continue;
    leat_array_free(&out_ranges->all);
    return status;
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

static leat_status_t add_edge(finder_t *f, const leat_flow_edge_t *edge) {
  leat_flow_edge_t *slot = leat_array_push(&f->flow->edges);
  if (slot == NULL) return leat_out_of_memory();
  *slot = *edge;
  return NULL;
}

static bool is_new_writer(const write_list_t *list, uint32_t index, uint64_t begin, uint64_t end) {
  for (uint32_t i = index + 1; i < list->count; ++i) {
    const write_t *later = &list->data[i];
    if (later->call == list->data[index].call && later->begin < end && begin < later->end) return false;
  }
  return true;
}

// An argument of the call that is visited, in one of its places.
typedef struct access_s {
  uint32_t call, argument;
  const pef_argument_t *place;
  uint64_t part;  // bytes that one trip touches
  const leat_slot_use_t *slot;
} access_t;

// Edges from whoever wrote bytes of the argument last, newest first, until one covers all of it. A call finds its own
// writes only in another trip.
static leat_status_t read_argument(finder_t *f, const access_t *a) {
  const uint64_t begin = a->place->offset, end = begin + a->place->bytes;
  leat_flow_edge_t edge = {.to = a->call, .operand = a->slot->operand, .argument = a->argument};
  write_list_t *list = writes_of(f, a->place);
  bool covered = false;
  for (uint32_t i = list->count; i-- > 0 && !covered;) {
    const write_t *write = &list->data[i];
    if (write->begin >= end || begin >= write->end) continue;
    covered = write->begin <= begin && end <= write->end;
    leat_flow_buffer_t *buffer = write->buffer == PEF_NONE ? NULL : &f->flow->buffers.data[write->buffer];
    if (buffer != NULL && a->call > buffer->last) buffer->last = a->call;
    if (!is_new_writer(list, i, begin, end)) continue;
    const uint64_t from = write->begin > begin ? write->begin : begin, to = write->end < end ? write->end : end;
    edge.from = write->call;
    edge.bytes = to - from < a->part ? to - from : a->part;
    edge.carried = write->call >= a->call;
    LEAT_TRY(add_edge(f, &edge));
  }
  if (covered || a->place->kind != PEF_PLACE_SYMBOL) return NULL;
  edge.from = f->pef->call_count + a->place->symbol;
  edge.bytes = a->part;
  edge.carried = false;
  return add_edge(f, &edge);
}

// The range of the arena that the call has written in an earlier trip; PEF_NONE: none.
static uint32_t find_buffer(const write_list_t *list, const write_t *write) {
  for (uint32_t i = list->count; i-- > 0;) {
    const write_t *other = &list->data[i];
    if (other->call == write->call && other->begin == write->begin && other->end == write->end) return other->buffer;
  }
  return PEF_NONE;
}

// What the same argument of the call has written in an earlier trip is written last again; false: there is none.
static bool renew(write_list_t *list, const write_t *write) {
  for (uint32_t i = list->count; i-- > 0;) {
    const write_t found = list->data[i];
    if (found.call != write->call || found.begin != write->begin || found.end != write->end ||
        found.operand != write->operand)
      continue;
    memmove(&list->data[i], &list->data[i + 1], (list->count - 1 - i) * sizeof found);
    list->data[list->count - 1] = found;
    return true;
  }
  return false;
}

static leat_status_t add_write(finder_t *f, const access_t *a, bool first) {
  const uint64_t begin = a->place->offset;
  write_list_t *list = writes_of(f, a->place);
  write_t write = {begin, begin + a->place->bytes, a->call, PEF_NONE, a->slot->operand};
  if (!first && renew(list, &write)) return NULL;
  if (!first) write.buffer = find_buffer(list, &write);
  if (a->place->kind == PEF_PLACE_ARENA && write.buffer == PEF_NONE) {
    write.buffer = f->flow->buffers.count;
    leat_flow_buffer_t *buffer = leat_array_push(&f->flow->buffers);
    if (buffer == NULL) return leat_out_of_memory();
    *buffer = (leat_flow_buffer_t){write.begin, write.end, a->call, a->call, a->slot->operand};
  }
  write_t *slot = leat_array_push(list);
  if (slot == NULL) return leat_out_of_memory();
  *slot = write;
  return NULL;
}

static bool is_kept(const leat_pef_t *pef, const pef_argument_t *argument) {
  if (argument->kind != PEF_PLACE_SYMBOL) return argument->kind == PEF_PLACE_CONSTANT;
  const uint32_t kind = pef->symbols[argument->symbol].kind;
  return kind == PEF_SYMBOL_PARAMETER || kind == PEF_SYMBOL_BUFFER || kind == PEF_SYMBOL_STATE;
}

// Bytes that one trip touches of an argument: where values have parts, what its operands reach.
static uint64_t part_of(const leat_pef_t *pef, uint32_t argument, const leat_slot_use_t *slot) {
  const uint64_t whole = pef->arguments[argument].bytes;
  return pef->move_count == 0 || slot->bytes > whole ? whole : slot->bytes;
}

static uint64_t add_saturated(uint64_t sum, double bytes) {
  const double total = (double)sum + bytes;
  return total < 0x1p63 ? sum + (uint64_t)bytes : UINT64_C(1) << 63;
}

static void add_totals(finder_t *f, const leat_walk_t *walk) {
  const pef_call_t *call = &f->pef->calls[walk->call];
  leat_flow_totals_t *totals = &f->flow->totals[walk->call];
  totals->times = leat_walk_times(walk);
  totals->flops = call->flops * totals->times;
  for (uint32_t i = 0; i < call->argument_count; ++i) {
    const pef_argument_t *argument = &f->pef->arguments[call->argument_first + i];
    const leat_slot_use_t *slot = &f->slots[i];
    const double part = (double)part_of(f->pef, call->argument_first + i, slot);
    const double in = fmin(part, slot->in) * totals->times, out = fmin(part, slot->out) * totals->times;
    if (slot->is_read) totals->bytes_in = add_saturated(totals->bytes_in, in);
    if (slot->is_read && is_kept(f->pef, argument))
      totals->parameter_bytes = add_saturated(totals->parameter_bytes, in);
    if (slot->is_written) totals->bytes_out = add_saturated(totals->bytes_out, out);
    totals->buffers += argument->kind == PEF_PLACE_ARENA;
  }
}

// All reads of a call, or all its writes.
static leat_status_t visit_arguments(finder_t *f, const leat_walk_t *walk, bool writes) {
  const pef_call_t *call = &f->pef->calls[walk->call];
  const bool first = leat_walk_is_first(walk);
  for (uint32_t i = 0; i < call->argument_count; ++i) {
    const leat_slot_use_t *slot = &f->slots[i];
    if (!(writes ? slot->is_written : slot->is_read)) continue;
    access_t a = {.call = walk->call, .argument = call->argument_first + i, .slot = slot};
    a.part = part_of(f->pef, a.argument, slot);
    uint32_t places;
    a.place = leat_pef_places(f->pef, a.argument, &places);
    for (; places > 0; --places, ++a.place) {
      if (writes)
        LEAT_TRY(add_write(f, &a, first));
      else if (a.place->kind != PEF_PLACE_CONSTANT)
        LEAT_TRY(read_argument(f, &a));
    }
  }
  return NULL;
}

static leat_status_t visit(finder_t *f, const leat_walk_t *walk) {
  leat_flow_slots(f->pef, &f->pef->bodies[f->pef->calls[walk->call].body], f->slots);
  if (leat_walk_is_first(walk)) add_totals(f, walk);
  LEAT_TRY(visit_arguments(f, walk, false));
  return visit_arguments(f, walk, true);
}

// Edges that several trips have found, once.
static int by_reader(const void *a, const void *b) {
  const leat_flow_edge_t *x = a, *y = b;
  if (x->to != y->to) return x->to < y->to ? -1 : 1;
  if (x->argument != y->argument) return x->argument < y->argument ? -1 : 1;
  return x->from < y->from ? -1 : x->from > y->from;
}

static void unite_edges(leat_flow_t *flow) {
  uint32_t kept = 0;
  if (flow->edges.count == 0) return;
  qsort(flow->edges.data, flow->edges.count, sizeof *flow->edges.data, by_reader);
  for (uint32_t i = 0; i < flow->edges.count; ++i) {
    const leat_flow_edge_t *edge = &flow->edges.data[i];
    if (kept > 0 && by_reader(&flow->edges.data[kept - 1], edge) == 0) continue;
    flow->edges.data[kept++] = *edge;
  }
  flow->edges.count = kept;
}

static leat_status_t finish_outputs(finder_t *f) {
  for (uint32_t s = 0; s < f->pef->symbol_count; ++s) {
    const write_list_t *list = &f->writes[s];
    if (f->pef->symbols[s].kind != PEF_SYMBOL_OUTPUT || list->count == 0) continue;
    const write_t *last = &list->data[list->count - 1];
    LEAT_TRY(add_edge(f, &(leat_flow_edge_t){.from = last->call,
                                             .to = f->pef->call_count + s,
                                             .bytes = last->end - last->begin,
                                             .operand = last->operand,
                                             .argument = PEF_NONE}));
  }
  return NULL;
}

static leat_status_t find(finder_t *f) {
  for (leat_walk_t walk = leat_walk_start(f->pef, 2); leat_walk_next(&walk);) LEAT_TRY(visit(f, &walk));
  if (f->pef->loop_count != 0) unite_edges(f->flow);
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
