// SPDX-License-Identifier: Apache-2.0
// Overlaps of calls: symbols by a number each, ranges of the arena by comparison.
#include "pef/flight.h"

leat_status_t leat_flight_init(leat_flight_t *f, uint32_t symbol_count) {
  *f = (leat_flight_t){.symbol_count = symbol_count, .barrier = 1};
  f->read_at = leat_alloc_zero(symbol_count + 1u, sizeof *f->read_at);
  f->written_at = leat_alloc_zero(symbol_count + 1u, sizeof *f->written_at);
  if (f->read_at != NULL && f->written_at != NULL) return NULL;
  leat_flight_deinit(f);
  return leat_out_of_memory();
}

void leat_flight_deinit(leat_flight_t *f) {
  leat_array_free(&f->ranges);
  leat_free(f->read_at);
  leat_free(f->written_at);
  memset(f, 0, sizeof *f);
}

static bool conflicts(const leat_flight_t *f, const leat_touch_t *t) {
  if (t->kind == PEF_PLACE_SYMBOL)
    return f->written_at[t->symbol] == f->barrier || (t->written && f->read_at[t->symbol] == f->barrier);
  for (uint32_t i = 0; i < f->ranges.count; ++i) {
    const leat_touch_t *other = &f->ranges.data[i];
    if ((t->written || other->written) && t->begin < other->end && other->begin < t->end) return true;
  }
  return false;
}

static leat_status_t take_off(leat_flight_t *f, const leat_touch_t *t) {
  if (t->kind == PEF_PLACE_SYMBOL) {
    *(t->written ? &f->written_at[t->symbol] : &f->read_at[t->symbol]) = f->barrier;
    return NULL;
  }
  leat_touch_t *slot = leat_array_push(&f->ranges);
  if (slot == NULL) return leat_out_of_memory();
  *slot = *t;
  return NULL;
}

leat_status_t leat_flight_add(leat_flight_t *f, const leat_touch_t *touches, uint32_t count, bool *out_barrier) {
  bool barrier = false;
  for (uint32_t i = 0; i < count && !barrier; ++i)
    barrier = touches[i].kind != PEF_PLACE_CONSTANT && conflicts(f, &touches[i]);
  if (barrier) {
    f->ranges.count = 0;
    f->barrier++;
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (touches[i].kind != PEF_PLACE_CONSTANT) LEAT_TRY(take_off(f, &touches[i]));
  }
  *out_barrier = barrier;
  return NULL;
}
