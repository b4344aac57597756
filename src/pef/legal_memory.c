// SPDX-License-Identifier: Apache-2.0
// The program: values of the arena have their bytes to themselves while they live; what is read was written by then;
// calls that no barrier parts do not touch what one of them writes.
//
// Time is the order of the calls, PREPARE sections before all others: they run apart, and before.
#include <stdlib.h>

#include "pef/legal_parts.h"

// A call touches a place through one of its arguments.
typedef struct event_s {
  uint64_t begin, end;  // what the argument names
  uint32_t place, symbol;
  uint32_t time, call, argument;
} event_t;

// A value of the arena, from the first write to the last read.
typedef struct life_s {
  uint64_t begin, end;
  uint32_t first, last;  // times
  uint32_t call, stage, operand;
  uint32_t writer_type;  // of the last write; PEF_TYPE_COUNT: nobody writes
  uint32_t types;        // bits, of all calls that touch it
  uint32_t output;
  uint16_t dtypes;
  bool read, spare;
  bool alone;  // one call writes it, and nothing else uses the range: wasted, and no harm while nobody shares its bytes
  leat_cover_t cover;
} life_t;

typedef struct node_s {
  uint32_t whole, part;  // life + 1 that is longest: of those that hold all of the node, of those that meet it
} node_t;

typedef struct walk_s {
  leat_prover_t *prover;
  const leat_pef_t *pef;
  LEAT_ARRAY(event_t) events;
  LEAT_ARRAY(life_t) lives;
  uint32_t *epochs;  // per call: barriers up to it
} walk_t;

static bool is_empty(const leat_span_t *span) { return span->low == span->high; }

static const leat_slot_t *slot_of(const walk_t *w, const event_t *e) {
  const pef_call_t *call = &w->pef->calls[e->call];
  return &leat_prover_slots(w->prover, call->body)[e->argument - call->argument_first];
}

static leat_status_t report(const walk_t *w, leat_rule_t rule, const event_t *e, const leat_span_t *span,
                            uint32_t other_call, uint32_t other_stage) {
  const leat_finding_t f = {.rule = rule,
                            .call = e->call,
                            .stage = span->stage,
                            .operand = span->operand,
                            .other_call = other_call,
                            .other_stage = other_stage,
                            .place = e->place,
                            .symbol = e->symbol,
                            .begin = e->begin + (uint64_t)span->low,
                            .end = e->begin + (uint64_t)span->high};
  return leat_legal_report(w->prover, &f);
}

// --- events ----------------------------------------------------------------------------------------------------------

static leat_status_t add_call(walk_t *w, uint32_t index, uint32_t time) {
  const pef_call_t *call = &w->pef->calls[index];
  for (uint32_t i = 0; i < call->argument_count; ++i) {
    const pef_argument_t *a = &w->pef->arguments[call->argument_first + i];
    const leat_slot_t *slot = &leat_prover_slots(w->prover, call->body)[i];
    if (a->kind == PEF_PLACE_CONSTANT || (is_empty(&slot->reads) && is_empty(&slot->writes))) continue;
    event_t *e = leat_array_push(&w->events);
    if (e == NULL) return leat_out_of_memory();
    *e = (event_t){a->offset, a->offset + a->bytes, a->kind, a->symbol, time, index, call->argument_first + i};
  }
  return NULL;
}

static leat_status_t collect(walk_t *w) {
  uint32_t time = 0;
  for (uint32_t pass = 0; pass < 2; ++pass) {
    for (uint32_t c = 0; c < w->pef->call_count; ++c) {
      if ((w->pef->calls[c].type == PEF_PREPARE) == (pass == 0)) LEAT_TRY(add_call(w, c, time++));
    }
  }
  for (uint32_t c = 0, epoch = 0; c < w->pef->call_count; ++c) {
    epoch += w->pef->calls[c].barrier;
    w->epochs[c] = epoch;
  }
  return NULL;
}

static int compare(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

static int by_range(const void *a, const void *b) {
  const event_t *x = a, *y = b;
  int order = compare(x->place, y->place);
  if (order == 0) order = compare(x->symbol, y->symbol);
  if (order == 0) order = compare(x->begin, y->begin);
  if (order == 0) order = compare(x->end, y->end);
  return order != 0 ? order : compare(x->time, y->time);
}

// --- values of the arena ---------------------------------------------------------------------------------------------

static leat_status_t begin_life(walk_t *w, const event_t *e, const leat_span_t *span, life_t **out_life) {
  life_t *life = *out_life = leat_array_push(&w->lives);
  if (life == NULL) return leat_out_of_memory();
  *life = (life_t){.begin = e->begin,
                   .end = e->end,
                   .first = e->time,
                   .call = e->call,
                   .stage = span->stage,
                   .operand = span->operand,
                   .writer_type = PEF_TYPE_COUNT,
                   .output = LEAT_ALWAYS};
  return NULL;
}

static leat_status_t read_life(walk_t *w, life_t *life, const event_t *e, const leat_slot_t *slot) {
  const leat_span_t *span = &slot->reads;
  const uint32_t type = w->pef->calls[e->call].type;
  life->read = true;
  life->dtypes |= life->writer_type == PEF_TYPE_COUNT ? span->dtypes : 0;
  if (life->writer_type == PEF_TYPE_COUNT) return NULL;
  const leat_box_t all = {.low = span->low, .high = span->high, .run = span->high - span->low};
  if (!leat_cover_holds(&life->cover, &all)) return report(w, LEAT_RULE_UNWRITTEN, e, span, life->call, life->stage);
  if ((span->dtypes & ~life->dtypes) != 0) return report(w, LEAT_RULE_TYPE, e, span, life->call, life->stage);
  if (life->output != LEAT_ALWAYS && span->output != life->output)
    return report(w, LEAT_RULE_ENABLED, e, span, life->call, life->stage);
  if (life->writer_type != PEF_PREPARE && life->writer_type > type)
    return report(w, LEAT_RULE_ORDER, e, span, life->call, life->stage);
  return NULL;
}

static leat_status_t write_life(walk_t *w, life_t *life, const event_t *e, const leat_slot_t *slot) {
  if (life->writer_type == PEF_PREPARE && w->pef->calls[e->call].type != PEF_PREPARE)
    LEAT_TRY(report(w, LEAT_RULE_PREPARE, e, &slot->writes, life->call, life->stage));
  const bool first = life->writer_type == PEF_TYPE_COUNT;
  life->writer_type = w->pef->calls[e->call].type;
  life->output = first || life->output == slot->writes.output ? slot->writes.output : LEAT_MIXED;
  life->dtypes |= slot->writes.dtypes;
  life->read |= !is_empty(&slot->inside);
  life->spare |= slot->spare;
  for (uint32_t i = 0; i < slot->cover.count; ++i) leat_cover_add(&life->cover, &slot->cover.boxes[i]);
  life->cover.lost |= slot->cover.lost;
  return NULL;
}

// A write that begins another value: the one before was read, or is written over from end to end.
static bool replaces(const life_t *life, const leat_slot_t *slot) {
  if (!is_empty(&slot->reads)) return false;
  bool covered = life->cover.count == 1 && slot->cover.count == 1;
  covered = covered && leat_box_holds(&slot->cover.boxes[0], &life->cover.boxes[0]);
  return life->read || covered;
}

static leat_status_t end_life(walk_t *w, const life_t *life, const event_t *first, uint32_t other_call) {
  if (life->read || life->spare || life->alone) return NULL;
  const event_t e = {life->begin, life->end, first->place, 0, life->first, life->call, 0};
  const leat_span_t span = {life->cover.low, life->cover.high, life->stage, life->operand, 0, 0};
  return report(w, LEAT_RULE_UNREAD, &e, &span, other_call, PEF_NONE);
}

// All events of one range: the values that it holds, one after the other.
static leat_status_t find_lives(walk_t *w, const event_t *events, uint32_t count) {
  life_t *life = NULL;
  bool written = false;
  for (uint32_t i = 0; i < count; ++i) written |= !is_empty(&slot_of(w, &events[i])->writes);
  for (uint32_t i = 0; i < count; ++i) {
    const event_t *e = &events[i];
    const leat_slot_t *slot = slot_of(w, e);
    const leat_span_t *span = is_empty(&slot->reads) ? &slot->writes : &slot->reads;
    if (life != NULL && !is_empty(&slot->writes) && replaces(life, slot)) {
      LEAT_TRY(end_life(w, life, e, e->call));
      life = NULL;
    }
    if (life == NULL) LEAT_TRY(begin_life(w, e, span, &life));
    life->last = e->time;
    life->types |= 1u << w->pef->calls[e->call].type;
    if (!is_empty(&slot->reads)) {
      if (written && life->writer_type == PEF_TYPE_COUNT)
        LEAT_TRY(report(w, LEAT_RULE_UNWRITTEN, e, span, PEF_NONE, PEF_NONE));
      LEAT_TRY(read_life(w, life, e, slot));
    }
    if (!is_empty(&slot->writes)) LEAT_TRY(write_life(w, life, e, slot));
  }
  if (life == NULL) return NULL;
  life->alone = count == 1 && !life->read;
  return end_life(w, life, events, PEF_NONE);
}

static leat_status_t find_all_lives(walk_t *w) {
  const event_t *events = w->events.data;
  for (uint32_t i = 0, end = 0; i < w->events.count && events[i].place == PEF_PLACE_ARENA; i = end) {
    while (end < w->events.count && events[end].place == PEF_PLACE_ARENA && events[end].begin == events[i].begin &&
           events[end].end == events[i].end) {
      ++end;
    }
    LEAT_TRY(find_lives(w, &events[i], end - i));
  }
  return NULL;
}

// --- no two at once --------------------------------------------------------------------------------------------------

// A tree over the ends of all ranges: per piece of the arena, who lives there longest.
typedef struct tree_s {
  const life_t *lives;
  uint64_t *ends;
  uint32_t count;  // of pieces
  node_t *nodes;
} tree_t;

static int by_number(const void *a, const void *b) { return compare(*(const uint64_t *)a, *(const uint64_t *)b); }

static int by_first(const void *a, const void *b) {
  const life_t *x = a, *y = b;
  const int order = compare(x->first, y->first);
  return order != 0 ? order : compare(x->begin, y->begin);
}

static uint32_t longer(const tree_t *t, uint32_t a, uint32_t b) {
  if (a == 0 || b == 0) return a + b;
  return t->lives[a - 1].last >= t->lives[b - 1].last ? a : b;
}

typedef struct range_s {
  uint32_t begin, end;
} range_t;

static uint32_t longest(const tree_t *t, uint32_t node, range_t at, range_t asked) {
  if (asked.begin >= at.end || at.begin >= asked.end) return 0;
  if (asked.begin <= at.begin && at.end <= asked.end) return t->nodes[node].part;
  const uint32_t middle = (at.begin + at.end) / 2;
  const uint32_t left = longest(t, 2 * node, (range_t){at.begin, middle}, asked);
  const uint32_t right = longest(t, 2 * node + 1, (range_t){middle, at.end}, asked);
  return longer(t, t->nodes[node].whole, longer(t, left, right));
}

static void put(const tree_t *t, uint32_t node, range_t at, range_t asked, uint32_t life) {
  if (asked.begin >= at.end || at.begin >= asked.end) return;
  t->nodes[node].part = longer(t, t->nodes[node].part, life);
  if (asked.begin <= at.begin && at.end <= asked.end) {
    t->nodes[node].whole = longer(t, t->nodes[node].whole, life);
    return;
  }
  const uint32_t middle = (at.begin + at.end) / 2;
  put(t, 2 * node, (range_t){at.begin, middle}, asked, life);
  put(t, 2 * node + 1, (range_t){middle, at.end}, asked, life);
}

static uint32_t piece_at(const tree_t *t, uint64_t end) {
  const uint64_t *found = bsearch(&end, t->ends, t->count + 1, sizeof end, by_number);
  return (uint32_t)(found - t->ends);
}

static leat_status_t make_tree(const walk_t *w, tree_t *t) {
  *t = (tree_t){.lives = w->lives.data, .ends = leat_alloc_zero(2u * (size_t)w->lives.count, sizeof *t->ends)};
  if (t->ends == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < w->lives.count; ++i) {
    t->ends[2 * i] = t->lives[i].begin;
    t->ends[2 * i + 1] = t->lives[i].end;
  }
  qsort(t->ends, 2u * (size_t)w->lives.count, sizeof *t->ends, by_number);
  for (uint32_t i = 1; i < 2 * w->lives.count; ++i) {
    if (t->ends[i] != t->ends[t->count]) t->ends[++t->count] = t->ends[i];
  }
  t->nodes = leat_alloc_zero(4u * ((size_t)t->count + 1), sizeof *t->nodes);
  return t->nodes == NULL ? leat_out_of_memory() : NULL;
}

static leat_status_t report_overlap(const walk_t *w, const life_t *life, const life_t *other) {
  const event_t e = {life->begin, life->end, PEF_PLACE_ARENA, 0, 0, life->call, 0};
  const uint64_t begin = life->begin > other->begin ? life->begin : other->begin;
  const uint64_t end = life->end < other->end ? life->end : other->end;
  const leat_span_t span = {
      (int64_t)(begin - life->begin), (int64_t)(end - life->begin), life->stage, life->operand, 0, 0};
  return report(w, LEAT_RULE_OVERLAP, &e, &span, other->call, other->stage);
}

static leat_status_t check_overlaps_in(const walk_t *w, const tree_t *t) {
  for (uint32_t i = 0; i < w->lives.count; ++i) {
    const life_t *life = &w->lives.data[i];
    const range_t all = {0, t->count}, own = {piece_at(t, life->begin), piece_at(t, life->end)};
    if (own.begin == own.end) continue;
    const uint32_t other = longest(t, 1, all, own);
    if (other != 0 && t->lives[other - 1].last >= life->first) LEAT_TRY(report_overlap(w, life, &t->lives[other - 1]));
    put(t, 1, all, own, i + 1);
  }
  return NULL;
}

static leat_status_t check_overlaps(walk_t *w) {
  if (w->lives.count == 0) return NULL;
  for (uint32_t i = 0; i < w->lives.count; ++i) {
    life_t *life = &w->lives.data[i];
    const bool crosses = (life->types & (life->types - 1)) != 0 || (life->types >> PEF_PREPARE & 1) != 0;
    if (!crosses && !life->alone && life->writer_type != PEF_TYPE_COUNT) continue;
    life->first = 0;
    life->last = UINT32_MAX;
  }
  qsort(w->lives.data, w->lives.count, sizeof *w->lives.data, by_first);
  tree_t tree;
  leat_status_t status = make_tree(w, &tree);
  if (status == NULL) status = check_overlaps_in(w, &tree);
  leat_free(tree.ends);
  leat_free(tree.nodes);
  return status;
}

// --- symbols ---------------------------------------------------------------------------------------------------------

// What depends on parameters and buffers only is made again when an OPT section, or the caller, has changed them.
static bool may_prepare(const pef_symbol_t *symbol, uint32_t writer_types) {
  if (symbol->kind != PEF_SYMBOL_PARAMETER && symbol->kind != PEF_SYMBOL_BUFFER) return false;
  return (writer_types & ~(1u << PEF_OPT)) == 0;
}

static leat_status_t read_symbol(const walk_t *w, const event_t *e, const event_t *writer, uint32_t writer_types) {
  const pef_symbol_t *symbol = &w->pef->symbols[e->symbol];
  const leat_slot_t *slot = slot_of(w, e);
  const uint32_t type = w->pef->calls[e->call].type, other = writer == NULL ? PEF_NONE : writer->call;
  if (type == PEF_PREPARE && !may_prepare(symbol, writer_types))
    return report(w, LEAT_RULE_PREPARE, e, &slot->reads, other, PEF_NONE);
  if (symbol->kind != PEF_SYMBOL_OUTPUT) return NULL;
  if (writer == NULL || w->pef->calls[writer->call].type != type)
    return report(w, LEAT_RULE_BORROWED, e, &slot->reads, other, PEF_NONE);
  const uint32_t output = slot_of(w, writer)->writes.output;
  if (output != LEAT_ALWAYS && output != slot->reads.output)
    return report(w, LEAT_RULE_ENABLED, e, &slot->reads, other, PEF_NONE);
  return NULL;
}

static leat_status_t write_symbol(const walk_t *w, const event_t *e) {
  const uint32_t kind = w->pef->symbols[e->symbol].kind, type = w->pef->calls[e->call].type;
  const leat_span_t *writes = &slot_of(w, e)->writes;
  if (type == PEF_PREPARE) return report(w, LEAT_RULE_PREPARE, e, writes, PEF_NONE, PEF_NONE);
  if (kind == PEF_SYMBOL_INPUT) return report(w, LEAT_RULE_BORROWED, e, writes, PEF_NONE, PEF_NONE);
  return NULL;
}

// Section types that run apart run in the order of their numbers: what they leave in a symbol has to be the same then.
static leat_status_t check_order(const walk_t *w, const event_t *e, const event_t *late, const leat_span_t *span) {
  const uint32_t type = w->pef->calls[e->call].type;
  if (late == NULL || type == PEF_PREPARE || w->pef->calls[late->call].type <= type) return NULL;
  return report(w, LEAT_RULE_ORDER, e, span, late->call, PEF_NONE);
}

static const event_t *later(const walk_t *w, const event_t *a, const event_t *b) {
  if (w->pef->calls[b->call].type == PEF_PREPARE) return a;
  return a == NULL || w->pef->calls[b->call].type >= w->pef->calls[a->call].type ? b : a;
}

// All events of one symbol, by time.
static leat_status_t check_symbol(const walk_t *w, const event_t *events, uint32_t count) {
  const event_t *writer = NULL, *late_writer = NULL,
                *late = NULL;  // late: of the types so far, of that which runs last
  uint32_t writer_types = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (!is_empty(&slot_of(w, &events[i])->writes)) writer_types |= 1u << w->pef->calls[events[i].call].type;
  }
  for (uint32_t i = 0; i < count; ++i) {
    const event_t *e = &events[i];
    const leat_slot_t *slot = slot_of(w, e);
    if (!is_empty(&slot->reads)) {
      LEAT_TRY(read_symbol(w, e, writer, writer_types));
      LEAT_TRY(check_order(w, e, late_writer, &slot->reads));
    }
    late = later(w, late, e);
    if (is_empty(&slot->writes)) continue;
    LEAT_TRY(write_symbol(w, e));
    LEAT_TRY(check_order(w, e, late, &slot->writes));
    writer = e;
    late_writer = later(w, late_writer, e);
  }
  return NULL;
}

static int by_symbol(const void *a, const void *b) {
  const event_t *x = a, *y = b;
  int order = compare(x->place, y->place);
  if (order == 0) order = compare(x->symbol, y->symbol);
  return order != 0 ? order : compare(x->time, y->time);
}

static leat_status_t check_symbols(walk_t *w) {
  if (w->events.count != 0) qsort(w->events.data, w->events.count, sizeof *w->events.data, by_symbol);
  const event_t *events = w->events.data;
  for (uint32_t i = 0, end = 0; i < w->events.count; i = end) {
    while (end < w->events.count && events[end].place == events[i].place && events[end].symbol == events[i].symbol)
      ++end;
    if (events[i].place == PEF_PLACE_SYMBOL) LEAT_TRY(check_symbol(w, &events[i], end - i));
  }
  return NULL;
}

// Within one call: what is written and then read, but only if an output is enabled.
static leat_status_t check_enabled(const walk_t *w) {
  for (uint32_t i = 0; i < w->events.count; ++i) {
    const leat_slot_t *slot = slot_of(w, &w->events.data[i]);
    if (is_empty(&slot->inside) || slot->writes.output == LEAT_ALWAYS || slot->inside.output == slot->writes.output)
      continue;
    LEAT_TRY(
        report(w, LEAT_RULE_ENABLED, &w->events.data[i], &slot->inside, w->events.data[i].call, slot->writes.stage));
  }
  return NULL;
}

// --- in flight -------------------------------------------------------------------------------------------------------

typedef struct flight_s {
  const walk_t *walk;
  const event_t *event;
  bool prepares;
  uint32_t epoch;
  uint64_t low, high;  // bytes of the place
  bool written;
} flight_t;

static int by_flight(const void *a, const void *b) {
  const flight_t *x = a, *y = b;
  int order = compare(x->prepares, y->prepares);
  if (order == 0) order = compare(x->epoch, y->epoch);
  if (order == 0) order = compare(x->event->place, y->event->place);
  if (order == 0) order = compare(x->event->symbol, y->event->symbol);
  if (order == 0) order = compare(x->low, y->low);
  return order != 0 ? order : compare(x->event->time, y->event->time);
}

static bool same_flight(const flight_t *a, const flight_t *b) {
  return a->prepares == b->prepares && a->epoch == b->epoch && a->event->place == b->event->place &&
         a->event->symbol == b->event->symbol;
}

// Of what begins before, what ends last, and what ends last of another call.
typedef struct reach_s {
  const flight_t *most, *other;
} reach_t;

static void extend(reach_t *reach, const flight_t *f) {
  if (reach->most == NULL || f->high > reach->most->high) {
    if (reach->most != NULL && reach->most->event->call != f->event->call) reach->other = reach->most;
    reach->most = f;
  } else if (reach->most->event->call != f->event->call && (reach->other == NULL || f->high > reach->other->high)) {
    reach->other = f;
  }
}

static const flight_t *meets(const reach_t *reach, const flight_t *f) {
  const flight_t *most = reach->most;
  if (most != NULL && most->event->call == f->event->call) most = reach->other;
  return most != NULL && most->high > f->low ? most : NULL;
}

static leat_status_t report_race(const walk_t *w, const flight_t *f, const flight_t *other) {
  if (!f->written) {
    const flight_t *swap = f;
    f = other;
    other = swap;
  }
  const leat_span_t *a = &slot_of(w, f->event)->writes;
  const leat_slot_t *b = slot_of(w, other->event);
  return report(w, LEAT_RULE_RACE, f->event, a, other->event->call,
                other->written        ? b->writes.stage
                : is_empty(&b->reads) ? b->inside.stage
                                      : b->reads.stage);
}

static leat_status_t sweep(const walk_t *w, const flight_t *flights, uint32_t count) {
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

static void take_off(const walk_t *w, const event_t *e, const leat_span_t *span, bool written, flight_t *flights,
                     uint32_t *count) {
  if (is_empty(span)) return;
  flights[(*count)++] = (flight_t){.walk = w,
                                   .event = e,
                                   .prepares = w->pef->calls[e->call].type == PEF_PREPARE,
                                   .epoch = w->epochs[e->call],
                                   .low = e->begin + (uint64_t)span->low,
                                   .high = e->begin + (uint64_t)span->high,
                                   .written = written};
}

static leat_status_t check_races(const walk_t *w) {
  flight_t *flights = leat_alloc_zero(2u * (size_t)w->events.count + 1, sizeof *flights);
  uint32_t count = 0;
  if (flights == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < w->events.count; ++i) {  // what a call reads of what it wrote lies within what it writes
    const leat_slot_t *slot = slot_of(w, &w->events.data[i]);
    take_off(w, &w->events.data[i], &slot->reads, false, flights, &count);
    take_off(w, &w->events.data[i], &slot->writes, true, flights, &count);
  }
  qsort(flights, count, sizeof *flights, by_flight);
  leat_status_t status = sweep(w, flights, count);
  leat_free(flights);
  return status;
}

// --- arguments of one call that share bytes --------------------------------------------------------------------------

static int by_call(const void *a, const void *b) {
  const event_t *x = a, *y = b;
  const int order = compare(x->call, y->call);
  return order != 0 ? order : by_range(a, b);
}

static leat_status_t check_shared(walk_t *w) {
  if (w->events.count != 0) qsort(w->events.data, w->events.count, sizeof *w->events.data, by_call);
  for (uint32_t i = 0; i < w->events.count; ++i) {
    const event_t *a = &w->events.data[i];
    for (const event_t *b = a + 1; b < w->events.data + w->events.count; ++b) {
      if (b->call != a->call || b->place != a->place || b->symbol != a->symbol || b->begin >= a->end) break;
      if (is_empty(&slot_of(w, a)->writes) && is_empty(&slot_of(w, b)->writes)) continue;
      const uint32_t first = w->pef->calls[a->call].argument_first;
      LEAT_TRY(leat_legal_slots(w->prover, a->call, a->argument - first, b->argument - first,
                                (int64_t)(b->begin - a->begin)));
    }
  }
  return NULL;
}

// --- all of it -------------------------------------------------------------------------------------------------------

static leat_status_t check_all(walk_t *w) {
  LEAT_TRY(collect(w));
  if (w->events.count != 0) qsort(w->events.data, w->events.count, sizeof *w->events.data, by_range);
  LEAT_TRY(find_all_lives(w));
  LEAT_TRY(check_overlaps(w));
  LEAT_TRY(check_races(w));
  LEAT_TRY(check_enabled(w));
  LEAT_TRY(check_shared(w));
  return check_symbols(w);
}

leat_status_t leat_legal_memory(leat_prover_t *prover) {
  walk_t w = {.prover = prover, .pef = prover->pef};
  w.epochs = leat_alloc_zero(prover->pef->call_count + 1u, sizeof *w.epochs);
  leat_status_t status = w.epochs == NULL ? leat_out_of_memory() : check_all(&w);
  leat_array_free(&w.events);
  leat_array_free(&w.lives);
  leat_free(w.epochs);
  return status;
}
