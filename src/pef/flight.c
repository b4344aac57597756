// SPDX-License-Identifier: Apache-2.0
// Overlaps of calls: symbols by a number each, ranges of the arena by comparison. A loop is gone through twice: the
// second trip meets what the first left in flight, and a third would meet the same, since what a barrier has landed no
// later call can meet.
#include "pef/flight.h"

#include "pef/flow.h"

// A range of memory that a call reads or writes.
typedef struct touch_s {
  uint32_t kind, symbol;  // pef_place_kind
  uint64_t begin, end;    // of the arena
  bool written;
} touch_t;

typedef struct flight_s {
  leat_pef_writer_t *writer;
  leat_pef_t pef;
  LEAT_ARRAY(touch_t) ranges;      // of the arena, since the last barrier
  uint32_t *read_at, *written_at;  // per symbol: the barrier since which it is touched
  uint32_t barrier;
  LEAT_ARRAY(touch_t) touches;  // of the call that is looked at
  leat_slot_use_t *slots;       // of its body
} flight_t;

static bool conflicts(const flight_t *f, const touch_t *t) {
  if (t->kind == PEF_PLACE_SYMBOL)
    return f->written_at[t->symbol] == f->barrier || (t->written && f->read_at[t->symbol] == f->barrier);
  for (uint32_t i = 0; i < f->ranges.count; ++i) {
    const touch_t *other = &f->ranges.data[i];
    if ((t->written || other->written) && t->begin < other->end && other->begin < t->end) return true;
  }
  return false;
}

static leat_status_t take_off(flight_t *f, const touch_t *t) {
  if (t->kind == PEF_PLACE_SYMBOL) {
    *(t->written ? &f->written_at[t->symbol] : &f->read_at[t->symbol]) = f->barrier;
    return NULL;
  }
  touch_t *slot = leat_array_push(&f->ranges);
  if (slot == NULL) return leat_out_of_memory();
  *slot = *t;
  return NULL;
}

static leat_status_t find_touches(flight_t *f, const pef_call_t *call) {
  f->touches.count = 0;
  leat_flow_slots(&f->pef, &f->pef.bodies[call->body], f->slots);
  for (uint32_t i = 0; i < call->argument_count; ++i) {
    uint32_t places;
    const pef_argument_t *at = leat_pef_places(&f->pef, call->argument_first + i, &places);
    for (; places > 0; --places, ++at) {
      if (at->kind == PEF_PLACE_CONSTANT) continue;
      touch_t *touch = leat_array_push(&f->touches);
      if (touch == NULL) return leat_out_of_memory();
      *touch = (touch_t){at->kind, at->symbol, at->offset, at->offset + at->bytes, f->slots[i].is_written};
    }
  }
  return NULL;
}

// PREPARE sections run apart from the others, so each waits for the one before.
static leat_status_t add_call(flight_t *f, const leat_walk_t *walk) {
  const pef_call_t *call = &f->pef.calls[walk->call];
  bool barrier = call->type == PEF_PREPARE || (call->barrier != 0 && !leat_walk_is_first(walk));
  if (call->type == PEF_PREPARE) {
    leat_pef_set_barrier(f->writer, walk->call, true);
    return NULL;
  }
  LEAT_TRY(find_touches(f, call));
  for (uint32_t i = 0; i < f->touches.count && !barrier; ++i) barrier = conflicts(f, &f->touches.data[i]);
  if (barrier) {
    f->ranges.count = 0;
    f->barrier++;
  }
  for (uint32_t i = 0; i < f->touches.count; ++i) LEAT_TRY(take_off(f, &f->touches.data[i]));
  leat_pef_set_barrier(f->writer, walk->call, barrier);
  return NULL;
}

static leat_status_t plan(flight_t *f) {
  uint32_t arguments = 0;
  for (uint32_t b = 0; b < f->pef.body_count; ++b)
    arguments = f->pef.bodies[b].argument_count > arguments ? f->pef.bodies[b].argument_count : arguments;
  f->slots = leat_alloc_zero(arguments + 1u, sizeof *f->slots);
  f->read_at = leat_alloc_zero(f->pef.symbol_count + 1u, sizeof *f->read_at);
  f->written_at = leat_alloc_zero(f->pef.symbol_count + 1u, sizeof *f->written_at);
  if (f->slots == NULL || f->read_at == NULL || f->written_at == NULL) return leat_out_of_memory();
  for (leat_walk_t walk = leat_walk_start(&f->pef, 2); leat_walk_next(&walk);) LEAT_TRY(add_call(f, &walk));
  return NULL;
}

leat_status_t leat_flight_plan(leat_pef_writer_t *writer) {
  flight_t f = {.writer = writer, .barrier = 1};
  leat_pef_view(writer, &f.pef);
  leat_status_t status = plan(&f);
  leat_array_free(&f.ranges);
  leat_array_free(&f.touches);
  leat_free(f.slots);
  leat_free(f.read_at);
  leat_free(f.written_at);
  return status;
}
