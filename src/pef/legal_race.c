// SPDX-License-Identifier: Apache-2.0
// Calls that no barrier parts do not touch what one of them writes; nor do tiles of one call, through two arguments.
#include <stdlib.h>

#include "pef/legal_events.h"

// --- in flight -------------------------------------------------------------------------------------------------------

typedef struct flight_s {
  const leat_event_t *event;
  bool prepares;
  uint64_t low, high;  // bytes of the place
  bool written;
} flight_t;

static int by_flight(const void *a, const void *b) {
  const flight_t *x = a, *y = b;
  int order = leat_order(x->prepares, y->prepares);
  if (order == 0) order = leat_order(x->event->epoch, y->event->epoch);
  if (order == 0) order = leat_order(x->event->place, y->event->place);
  if (order == 0) order = leat_order(x->event->symbol, y->event->symbol);
  if (order == 0) order = leat_order(x->low, y->low);
  return order != 0 ? order : leat_order(x->event->time, y->event->time);
}

static bool same_flight(const flight_t *a, const flight_t *b) {
  return a->prepares == b->prepares && a->event->epoch == b->event->epoch && a->event->place == b->event->place &&
         a->event->symbol == b->event->symbol;
}

// Of what begins before, what ends last, and what ends last of another call: another trip is another call.
typedef struct reach_s {
  const flight_t *most, *other;
} reach_t;

static void extend(reach_t *reach, const flight_t *f) {
  if (reach->most == NULL || f->high > reach->most->high) {
    if (reach->most != NULL && reach->most->event->time != f->event->time) reach->other = reach->most;
    reach->most = f;
  } else if (reach->most->event->time != f->event->time && (reach->other == NULL || f->high > reach->other->high)) {
    reach->other = f;
  }
}

static const flight_t *meets(const reach_t *reach, const flight_t *f) {
  const flight_t *most = reach->most;
  if (most != NULL && most->event->time == f->event->time) most = reach->other;
  return most != NULL && most->high > f->low ? most : NULL;
}

static leat_status_t report_race(const leat_events_t *w, const flight_t *f, const flight_t *other) {
  if (!f->written) {
    const flight_t *swap = f;
    f = other;
    other = swap;
  }
  const leat_span_t *a = &leat_event_slot(w, f->event)->writes;
  const leat_slot_t *b = leat_event_slot(w, other->event);
  return leat_event_report(w, LEAT_RULE_RACE, f->event, a, other->event->call,
                           other->written                  ? b->writes.stage
                           : leat_span_is_empty(&b->reads) ? b->inside.stage
                                                           : b->reads.stage);
}

static leat_status_t sweep(const leat_events_t *w, const flight_t *flights, uint32_t count) {
  reach_t any = {0}, written = {0};
  for (uint32_t i = 0; i < count; ++i) {
    const flight_t *f = &flights[i];
    if (i > 0 && !same_flight(f, f - 1)) any = written = (reach_t){0};
    const flight_t *other = meets(f->written ? &any : &written, f);
    if (other != NULL) LEAT_TRY(report_race(w, f, other));
    extend(&any, f);
    if (f->written) extend(&written, f);
  }
  return NULL;
}

static void take_off(const leat_events_t *w, const leat_event_t *e, const leat_span_t *span, bool written,
                     flight_t *flights, uint32_t *count) {
  if (leat_span_is_empty(span)) return;
  const uint64_t begin = e->begin + (uint64_t)e->shift;
  flights[(*count)++] = (flight_t){.event = e,
                                   .prepares = w->pef->calls[e->call].type == PEF_PREPARE,
                                   .low = begin + (uint64_t)span->low,
                                   .high = begin + (uint64_t)span->high,
                                   .written = written};
}

static leat_status_t check_races(const leat_events_t *w) {
  flight_t *flights = leat_alloc_zero(2u * (size_t)w->all.count + 1, sizeof *flights);
  uint32_t count = 0;
  if (flights == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < w->all.count; ++i) {  // what a call reads of what it wrote lies within what it writes
    const leat_slot_t *slot = leat_event_slot(w, &w->all.data[i]);
    take_off(w, &w->all.data[i], &slot->reads, false, flights, &count);
    take_off(w, &w->all.data[i], &slot->writes, true, flights, &count);
  }
  qsort(flights, count, sizeof *flights, by_flight);
  leat_status_t status = sweep(w, flights, count);
  leat_free(flights);
  return status;
}

// --- arguments of one call that share bytes --------------------------------------------------------------------------

// Slots a and b of a call; that of b begins `shift` bytes after that of a.
typedef struct pair_s {
  uint32_t call, a, b;
  int64_t shift;
} pair_t;
typedef LEAT_ARRAY(pair_t) pairs_t;

static int by_time(const void *a, const void *b) {
  const leat_event_t *x = a, *y = b;
  const int order = leat_order(x->time, y->time);
  return order != 0 ? order : leat_events_by_range(a, b);
}

static int by_pair(const void *a, const void *b) {
  const pair_t *x = a, *y = b;
  int order = leat_order(x->call, y->call);
  if (order == 0) order = leat_order(x->a, y->a);
  if (order == 0) order = leat_order(x->b, y->b);
  return order != 0 ? order : (x->shift > y->shift) - (x->shift < y->shift);
}

static leat_status_t find_pairs(const leat_events_t *w, pairs_t *pairs) {
  for (uint32_t i = 0; i < w->all.count; ++i) {
    const leat_event_t *a = &w->all.data[i];
    for (const leat_event_t *b = a + 1; b < w->all.data + w->all.count; ++b) {
      if (b->time != a->time || b->place != a->place || b->symbol != a->symbol || b->begin >= a->end) break;
      if (leat_span_is_empty(&leat_event_slot(w, a)->writes) && leat_span_is_empty(&leat_event_slot(w, b)->writes))
        continue;
      const uint32_t first = w->pef->calls[a->call].argument_first;
      pair_t *pair = leat_array_push(pairs);
      if (pair == NULL) return leat_out_of_memory();
      *pair = (pair_t){a->call, a->argument - first, b->argument - first,
                       (int64_t)(b->begin - a->begin) + b->shift - a->shift};
    }
  }
  return NULL;
}

// Most trips have the same pairs.
static leat_status_t check_pairs(const leat_events_t *w, const pairs_t *pairs) {
  if (pairs->count != 0) qsort(pairs->data, pairs->count, sizeof *pairs->data, by_pair);
  for (uint32_t i = 0; i < pairs->count; ++i) {
    const pair_t *pair = &pairs->data[i];
    if (i > 0 && by_pair(pair - 1, pair) == 0) continue;
    LEAT_TRY(leat_legal_slots(w->prover, pair->call, pair->a, pair->b, pair->shift));
  }
  return NULL;
}

static leat_status_t check_shared(leat_events_t *w) {
  pairs_t pairs = {0};
  if (w->all.count != 0) qsort(w->all.data, w->all.count, sizeof *w->all.data, by_time);
  leat_status_t status = find_pairs(w, &pairs);
  if (status == NULL) status = check_pairs(w, &pairs);
  leat_array_free(&pairs);
  return status;
}

leat_status_t leat_legal_races(leat_events_t *w) {
  LEAT_TRY(check_races(w));
  return check_shared(w);
}
