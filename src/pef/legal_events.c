// SPDX-License-Identifier: Apache-2.0
// See legal_events.h. Writing loops out makes their proofs those of straight calls: exact, and as long as a run has
// calls; a file whose runs have too many is not proved.
#include "pef/legal_events.h"

#include "pef/walk.h"

#define EVENTS_MAX (UINT32_C(1) << 21)  // some 300 MB of proofs

// --- types that run together -----------------------------------------------------------------------------------------

static uint32_t loop_types(const leat_pef_t *pef, const pef_loop_t *loop) {
  uint32_t types = 0;
  for (uint32_t c = loop->call_first; c < loop->call_first + loop->call_count; ++c) types |= 1u << pef->calls[c].type;
  return types;
}

// Only outermost loops need be looked at for what they hold, but an inner one may forbid what the outer one allows.
static void join_types(leat_events_t *events, uint32_t types) {
  uint8_t least = PEF_TYPE_COUNT;
  for (uint32_t t = 0; t < PEF_TYPE_COUNT; ++t) {
    if ((types >> t & 1) != 0 && events->type_class[t] < least) least = events->type_class[t];
  }
  for (uint32_t joined = 0; joined < PEF_TYPE_COUNT; ++joined) {
    if ((types >> joined & 1) == 0) continue;
    const uint8_t was = events->type_class[joined];
    for (uint32_t t = 0; t < PEF_TYPE_COUNT; ++t) {
      if (events->type_class[t] == was) events->type_class[t] = least;
    }
  }
}

static void look_at_loops(leat_events_t *events) {
  const leat_pef_t *pef = events->pef;
  for (uint32_t t = 0; t < PEF_TYPE_COUNT; ++t) events->type_class[t] = (uint8_t)t;
  for (uint32_t l = 0; l < pef->loop_count; ++l) {
    const pef_loop_t *loop = &pef->loops[l];
    if ((loop->flags & PEF_LOOP_BATCHES) != 0) continue;  // a trip is a run
    const uint32_t types = loop_types(pef, loop);
    if ((loop->flags & PEF_LOOP_APART) == 0) join_types(events, types);
    events->forward_alone |= (loop->flags & PEF_LOOP_FWD_ALONE) != 0;
    for (uint32_t c = loop->call_first; c < loop->call_first + loop->call_count && (types >> PEF_OPT & 1) != 0; ++c)
      events->in_updating_loop[c] = true;
  }
}

// --- events ----------------------------------------------------------------------------------------------------------

static leat_status_t add_call(leat_events_t *events, const leat_walk_t *walk, uint32_t time, uint32_t epoch) {
  const pef_call_t *call = &events->pef->calls[walk->call];
  for (uint32_t i = 0; i < call->argument_count; ++i) {
    const leat_slot_t *slot = &leat_prover_slots(events->prover, call->body)[i];
    if (leat_span_is_empty(&slot->reads) && leat_span_is_empty(&slot->writes)) continue;
    leat_event_t e = {.time = time, .call = walk->call, .argument = call->argument_first + i, .epoch = epoch};
    const pef_argument_t *a = leat_walk_argument(walk, e.argument, &e.shift);
    if (a->kind == PEF_PLACE_CONSTANT) continue;
    e.begin = a->offset;
    e.end = a->offset + a->bytes;
    e.place = a->kind;
    e.symbol = a->symbol;
    e.reads = !leat_span_is_empty(&slot->reads);
    leat_event_t *slot_of_event = leat_array_push(&events->all);
    if (slot_of_event == NULL) return leat_out_of_memory();
    *slot_of_event = e;
  }
  return NULL;
}

static leat_status_t check_count(const leat_pef_t *pef) {
  double count = 0;
  for (leat_walk_t walk = leat_walk_start(pef, 1); leat_walk_next(&walk);)
    count += leat_walk_times(&walk) * (pef->calls[walk.call].argument_count + 1.0);
  if (pef->loop_count == 0 || count <= EVENTS_MAX) return NULL;
  LEAT_FAIL(LEAT_UNSUPPORTED, "a run has %.3g arguments of calls, trips of loops counted: the proofs take up to %u",
            count, EVENTS_MAX);
}

static leat_status_t collect(leat_events_t *events) {
  const leat_pef_t *pef = events->pef;
  uint32_t time = 0;
  LEAT_TRY(check_count(pef));
  look_at_loops(events);
  for (uint32_t pass = 0; pass < 2; ++pass) {
    uint32_t epoch = 0;
    for (leat_walk_t walk = leat_walk_start(pef, PEF_MAX_TRIPS); leat_walk_next(&walk);) {
      epoch += pef->calls[walk.call].barrier;
      if ((pef->calls[walk.call].type == PEF_PREPARE) == (pass == 0)) LEAT_TRY(add_call(events, &walk, time++, epoch));
    }
  }
  return NULL;
}

leat_status_t leat_events_collect(leat_events_t *events, leat_prover_t *prover) {
  *events = (leat_events_t){.prover = prover, .pef = prover->pef};
  events->in_updating_loop = leat_alloc_zero(prover->pef->call_count + 1u, sizeof *events->in_updating_loop);
  return events->in_updating_loop == NULL ? leat_out_of_memory() : collect(events);
}

void leat_events_deinit(leat_events_t *events) {
  leat_array_free(&events->all);
  leat_free(events->in_updating_loop);
}

int leat_events_by_range(const void *a, const void *b) {
  const leat_event_t *x = a, *y = b;
  int order = leat_order(x->place, y->place);
  if (order == 0) order = leat_order(x->symbol, y->symbol);
  if (order == 0) order = leat_order(x->begin, y->begin);
  if (order == 0) order = leat_order(x->end, y->end);
  if (order == 0) order = leat_order(x->time, y->time);
  return order != 0 ? order : y->reads - x->reads;
}

leat_status_t leat_event_report(const leat_events_t *events, leat_rule_t rule, const leat_event_t *e,
                                const leat_span_t *span, uint32_t other_call, uint32_t other_stage) {
  const uint64_t begin = e->begin + (uint64_t)e->shift;
  const leat_finding_t f = {.rule = rule,
                            .call = e->call,
                            .stage = span->stage,
                            .operand = span->operand,
                            .other_call = other_call,
                            .other_stage = other_stage,
                            .place = e->place,
                            .symbol = e->symbol,
                            .begin = begin + (uint64_t)span->low,
                            .end = begin + (uint64_t)span->high};
  return leat_legal_report(events->prover, &f);
}
