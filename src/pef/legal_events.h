// SPDX-License-Identifier: Apache-2.0
// What the calls of a program touch when: loops written out, every trip at a time of its own. Private to the proofs.
#ifndef LEAT_PEF_LEGAL_EVENTS_H_
#define LEAT_PEF_LEGAL_EVENTS_H_

#include "pef/legal_parts.h"

// A call touches a place through one of its arguments, in one trip. Time is the order of the calls, PREPARE sections
// before all others: they run apart, and before.
typedef struct leat_event_s {
  uint64_t begin, end;  // what the argument names
  int64_t shift;        // how far in it the call's part begins
  uint32_t place, symbol;
  uint32_t time, call, argument;
  uint32_t epoch;  // barriers up to the call
  bool reads;      // what the call has not written before
} leat_event_t;

// Events, and what follows from loops of several types.
typedef struct leat_events_s {
  leat_prover_t *prover;
  const leat_pef_t *pef;
  LEAT_ARRAY(leat_event_t) all;
  // Per section type: the least of those that only run together with it, for they are one type to all others.
  uint8_t type_class[PEF_TYPE_COUNT];
  bool *in_updating_loop;  // per call: a loop around it holds OPT sections, too
  bool forward_alone;      // FWD may run without those that only run together with it
} leat_events_t;

leat_status_t leat_events_collect(leat_events_t *events, leat_prover_t *prover) LEAT_MUST_USE;
void leat_events_deinit(leat_events_t *events);

static inline bool leat_span_is_empty(const leat_span_t *span) { return span->low == span->high; }

// What the body does with the argument.
static inline const leat_slot_t *leat_event_slot(const leat_events_t *events, const leat_event_t *e) {
  const pef_call_t *call = &events->pef->calls[e->call];
  return &leat_prover_slots(events->prover, call->body)[e->argument - call->argument_first];
}

static inline uint32_t leat_event_type(const leat_events_t *events, const leat_event_t *e) {
  return events->type_class[events->pef->calls[e->call].type];
}

// Of a type that only runs together with FWD, which may run without it? Or FWD itself?
static inline bool leat_event_beside_forward(const leat_events_t *events, const leat_event_t *e) {
  return events->forward_alone && events->pef->calls[e->call].type != PEF_FWD &&
         leat_event_type(events, e) == events->type_class[PEF_FWD];
}
static inline bool leat_event_is_lone(const leat_events_t *events, const leat_event_t *e) {
  return events->forward_alone && events->pef->calls[e->call].type == PEF_FWD;
}

static inline int leat_order(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }
// By place, what the argument names there, and time; of a call, what it reads comes before what it writes.
int leat_events_by_range(const void *a, const void *b);

// A breach of a rule by the span of an event's argument.
leat_status_t leat_event_report(const leat_events_t *events, leat_rule_t rule, const leat_event_t *e,
                                const leat_span_t *span, uint32_t other_call, uint32_t other_stage) LEAT_MUST_USE;

// legal_race.c: calls in flight at once, and arguments of one call that share bytes. Changes the order of the events.
leat_status_t leat_legal_races(leat_events_t *events) LEAT_MUST_USE;

#endif
