// SPDX-License-Identifier: Apache-2.0
// The program: values of the arena have their bytes to themselves while they live; what is read was written by then.
// A value that calls write part by part, as trips of a loop do, is one until a part of it is written again.
#include <stdlib.h>

#include "pef/legal_events.h"

// A value of the arena, from the first write to the last read.
typedef struct life_s {
  uint64_t begin, end;
  uint32_t first, last;  // times
  uint32_t call, stage, operand;
  uint32_t writer_type;  // of the last write; PEF_TYPE_COUNT: nobody writes
  uint32_t types;        // bits, of all calls that touch it
  uint32_t output;
  uint16_t when;  // of the calls that write: pef_when
  uint16_t dtypes;
  bool read, spare;
  bool beside_forward;  // a call wrote it that FWD may run without
  bool alone;  // one call writes it, and nothing else uses the range: wasted, and no harm to what does not live then
  leat_cover_t cover;
} life_t;

typedef struct node_s {
  uint32_t whole, part;  // life + 1 that is longest: of those that hold all of the node, of those that meet it
} node_t;

typedef struct walk_s {
  const leat_pef_t *pef;
  leat_events_t events;
  LEAT_ARRAY(life_t) lives;
} walk_t;

// --- values of the arena ---------------------------------------------------------------------------------------------

static leat_status_t begin_life(walk_t *w, const leat_event_t *e, const leat_span_t *span, life_t **out_life) {
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

static leat_box_t shifted(const leat_box_t *box, int64_t shift) {
  leat_box_t out = *box;
  out.low += shift;
  out.high += shift;
  return out;
}

// Was all of it written? `shift`: of what is read.
static bool holds(const leat_cover_t *cover, const leat_cover_t *needs, int64_t shift) {
  const leat_box_t hull = {.low = needs->low, .high = needs->high, .run = needs->high - needs->low};
  for (uint32_t i = 0; i < (needs->lost ? 1 : needs->count); ++i) {
    const leat_box_t box = shifted(needs->lost ? &hull : &needs->boxes[i], shift);
    if (!leat_cover_holds(cover, &box)) return false;
  }
  return true;
}

static void add_cover(leat_cover_t *cover, const leat_cover_t *writes, int64_t shift) {
  for (uint32_t i = 0; i < writes->count; ++i) {
    const leat_box_t box = shifted(&writes->boxes[i], shift);
    leat_cover_add(cover, &box);
  }
  if (!writes->lost) return;
  cover->lost = true;
  if (writes->low + shift < cover->low) cover->low = writes->low + shift;
  if (writes->high + shift > cover->high) cover->high = writes->high + shift;
}

static leat_status_t read_life(walk_t *w, life_t *life, const leat_event_t *e, const leat_slot_t *slot) {
  const leat_span_t *span = &slot->reads;
  const uint32_t type = leat_event_type(&w->events, e);
  life->read = true;
  life->dtypes |= life->writer_type == PEF_TYPE_COUNT ? span->dtypes : 0;
  if (life->writer_type == PEF_TYPE_COUNT) return NULL;
  if (!holds(&life->cover, &slot->needs, e->shift))
    return leat_event_report(&w->events, LEAT_RULE_UNWRITTEN, e, span, life->call, life->stage);
  if ((span->dtypes & ~life->dtypes) != 0)
    return leat_event_report(&w->events, LEAT_RULE_TYPE, e, span, life->call, life->stage);
  if (life->when != PEF_WHEN_ALWAYS && life->when != w->pef->calls[e->call].when)
    return leat_event_report(&w->events, LEAT_RULE_UNWRITTEN, e, span, life->call, life->stage);
  if (life->output != LEAT_ALWAYS && span->output != life->output)
    return leat_event_report(&w->events, LEAT_RULE_ENABLED, e, span, life->call, life->stage);
  if ((life->writer_type != PEF_PREPARE && life->writer_type > type) ||
      (life->beside_forward && leat_event_is_lone(&w->events, e)))
    return leat_event_report(&w->events, LEAT_RULE_ORDER, e, span, life->call, life->stage);
  if (life->writer_type == PEF_PREPARE && type != PEF_PREPARE && w->events.in_updating_loop[e->call])
    return leat_event_report(&w->events, LEAT_RULE_PREPARE, e, span, life->call, life->stage);
  return NULL;
}

static leat_status_t write_life(walk_t *w, life_t *life, const leat_event_t *e, const leat_slot_t *slot) {
  if (life->writer_type == PEF_PREPARE && leat_event_type(&w->events, e) != PEF_PREPARE)
    LEAT_TRY(leat_event_report(&w->events, LEAT_RULE_PREPARE, e, &slot->writes, life->call, life->stage));
  const bool first = life->writer_type == PEF_TYPE_COUNT;
  life->writer_type = leat_event_type(&w->events, e);
  life->beside_forward |= leat_event_beside_forward(&w->events, e);
  life->output = first || life->output == slot->writes.output ? slot->writes.output : LEAT_MIXED;
  if (first || w->pef->calls[e->call].when != PEF_WHEN_ALWAYS) life->when = w->pef->calls[e->call].when;
  life->dtypes |= slot->writes.dtypes;
  life->read |= !leat_span_is_empty(&slot->inside);
  life->spare |= slot->spare;
  add_cover(&life->cover, &slot->cover, e->shift);
  return NULL;
}

static bool meets(const leat_cover_t *cover, const leat_cover_t *writes, int64_t shift) {
  if (cover->lost || writes->lost) return cover->low < writes->high + shift && writes->low + shift < cover->high;
  for (uint32_t i = 0; i < cover->count; ++i) {
    for (uint32_t j = 0; j < writes->count; ++j) {
      if (leat_boxes_meet(&cover->boxes[i], &writes->boxes[j], shift)) return true;
    }
  }
  return false;
}

// A write that begins another value: the one before was read, and a part of it is written again, or all of it is
// written over from end to end.
static bool replaces(const life_t *life, const leat_event_t *e, const leat_slot_t *slot) {
  if (!leat_span_is_empty(&slot->reads)) return false;
  bool covered = life->cover.count == 1 && slot->cover.count == 1;
  const leat_box_t box = shifted(&slot->cover.boxes[0], e->shift);
  covered = covered && leat_box_holds(&box, &life->cover.boxes[0]);
  return covered || (life->read && (life->cover.count == 0 || meets(&life->cover, &slot->cover, e->shift)));
}

static leat_status_t end_life(walk_t *w, const life_t *life, const leat_event_t *first, uint32_t other_call) {
  if (life->read || life->spare || life->alone) return NULL;
  const leat_event_t e = {.begin = life->begin, .place = first->place, .call = life->call};
  const leat_span_t span = {life->cover.low, life->cover.high, life->stage, life->operand, 0, 0};
  return leat_event_report(&w->events, LEAT_RULE_UNREAD, &e, &span, other_call, PEF_NONE);
}

// A call that reads the value before through other arguments reads all of it before it writes: in place, as a stage
// may. Rows of its tiles are looked at elsewhere (legal_race.c), elements of one stage by the reader of the file.
static bool reads_first(const walk_t *w, const life_t *life, const leat_event_t *events, uint32_t index) {
  const leat_slot_t *slot = leat_event_slot(&w->events, &events[index]);
  if (life->first == events[index].time) return false;
  for (uint32_t i = index; i-- > 0 && events[i].time == events[index].time;) {
    const leat_slot_t *other = leat_event_slot(&w->events, &events[i]);
    if (!leat_span_is_empty(&other->writes) || other->last_read > slot->first_write) return false;
  }
  return true;
}

// All events of one range: the values that it holds, one after the other.
static leat_status_t find_lives(walk_t *w, const leat_event_t *events, uint32_t count) {
  life_t *life = NULL;
  bool written = false, alone = true;
  for (uint32_t i = 0; i < count; ++i) {
    const leat_slot_t *slot = leat_event_slot(&w->events, &events[i]);
    written |= !leat_span_is_empty(&slot->writes);
    alone &= events[i].call == events[0].call && leat_span_is_empty(&slot->reads) && leat_span_is_empty(&slot->inside);
  }
  for (uint32_t i = 0; i < count; ++i) {
    const leat_event_t *e = &events[i];
    const leat_slot_t *slot = leat_event_slot(&w->events, e);
    const leat_span_t *span = leat_span_is_empty(&slot->reads) ? &slot->writes : &slot->reads;
    if (life != NULL && !alone && !leat_span_is_empty(&slot->writes) && replaces(life, e, slot)) {
      LEAT_TRY(end_life(w, life, e, e->call));
      if (life->last == e->time && reads_first(w, life, events, i)) --life->last;
      life = NULL;
    }
    if (life == NULL) LEAT_TRY(begin_life(w, e, span, &life));
    life->last = e->time;
    life->types |= 1u << leat_event_type(&w->events, e);
    if (!leat_span_is_empty(&slot->reads)) {
      if (written && life->writer_type == PEF_TYPE_COUNT)
        LEAT_TRY(leat_event_report(&w->events, LEAT_RULE_UNWRITTEN, e, span, PEF_NONE, PEF_NONE));
      LEAT_TRY(read_life(w, life, e, slot));
    }
    if (!leat_span_is_empty(&slot->writes)) LEAT_TRY(write_life(w, life, e, slot));
  }
  if (life == NULL) return NULL;
  life->alone = alone;
  return end_life(w, life, events, PEF_NONE);
}

static leat_status_t find_all_lives(walk_t *w) {
  const leat_event_t *events = w->events.all.data;
  for (uint32_t i = 0, end = 0; i < w->events.all.count && events[i].place == PEF_PLACE_ARENA; i = end) {
    while (end < w->events.all.count && events[end].place == PEF_PLACE_ARENA && events[end].begin == events[i].begin &&
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

static int by_number(const void *a, const void *b) { return leat_order(*(const uint64_t *)a, *(const uint64_t *)b); }

static int by_first(const void *a, const void *b) {
  const life_t *x = a, *y = b;
  const int order = leat_order(x->first, y->first);
  return order != 0 ? order : leat_order(x->begin, y->begin);
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
  const leat_event_t e = {.begin = life->begin, .place = PEF_PLACE_ARENA, .call = life->call};
  const uint64_t begin = life->begin > other->begin ? life->begin : other->begin;
  const uint64_t end = life->end < other->end ? life->end : other->end;
  const leat_span_t span = {
      (int64_t)(begin - life->begin), (int64_t)(end - life->begin), life->stage, life->operand, 0, 0};
  return leat_event_report(&w->events, LEAT_RULE_OVERLAP, &e, &span, other->call, other->stage);
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

static leat_status_t check_lives(walk_t *w) {
  qsort(w->lives.data, w->lives.count, sizeof *w->lives.data, by_first);
  tree_t tree;
  leat_status_t status = make_tree(w, &tree);
  if (status == NULL) status = check_overlaps_in(w, &tree);
  leat_free(tree.ends);
  leat_free(tree.nodes);
  return status;
}

static bool is_prepared_only(const life_t *life) { return life->types == 1u << PEF_PREPARE; }

static void live_forever(life_t *life) {
  life->first = 0;
  life->last = UINT32_MAX;
}

static int by_begin(const void *a, const void *b) {
  const life_t *x = a, *y = b;
  return leat_order(x->begin, y->begin);
}

// What PREPARE sections have to themselves, as ranges that live for ever.
static bool join_prepared(walk_t *w) {
  uint32_t kept = 0;
  life_t *range = NULL;
  qsort(w->lives.data, w->lives.count, sizeof *w->lives.data, by_begin);
  for (uint32_t i = 0; i < w->lives.count; ++i) {
    const life_t *life = &w->lives.data[i];
    const bool prepared = is_prepared_only(life);
    if (prepared && range != NULL && life->begin < range->end) {
      if (life->end > range->end) range->end = life->end;
      continue;
    }
    w->lives.data[kept++] = *life;
    if (!prepared) continue;
    range = &w->lives.data[kept - 1];
    live_forever(range);
  }
  w->lives.count = kept;
  return range != NULL;
}

// PREPARE sections may run between any two others, all of them together: what they have to themselves may share bytes
// with each other by the time, and with nothing else.
static leat_status_t check_overlaps(walk_t *w) {
  if (w->lives.count == 0) return NULL;
  for (uint32_t i = 0; i < w->lives.count; ++i) {
    life_t *life = &w->lives.data[i];
    const bool crosses = (life->types & (life->types - 1)) != 0;
    if (crosses || life->writer_type == PEF_TYPE_COUNT) live_forever(life);
  }
  LEAT_TRY(check_lives(w));
  return join_prepared(w) ? check_lives(w) : NULL;
}

// --- symbols ---------------------------------------------------------------------------------------------------------

// What depends on parameters and buffers only is made again when an OPT section, or the caller, has changed them.
static bool may_prepare(const pef_symbol_t *symbol, uint32_t writer_types) {
  if (symbol->kind != PEF_SYMBOL_PARAMETER && symbol->kind != PEF_SYMBOL_BUFFER) return false;
  return (writer_types & ~(1u << PEF_OPT)) == 0;
}

// `written`: of the symbol, so far.
static leat_status_t read_symbol(const walk_t *w, const leat_event_t *e, const leat_event_t *writer,
                                 uint32_t writer_types, const leat_cover_t *written) {
  const pef_symbol_t *symbol = &w->pef->symbols[e->symbol];
  const leat_slot_t *slot = leat_event_slot(&w->events, e);
  const uint32_t type = leat_event_type(&w->events, e), other = writer == NULL ? PEF_NONE : writer->call;
  if (type == PEF_PREPARE && !may_prepare(symbol, writer_types))
    return leat_event_report(&w->events, LEAT_RULE_PREPARE, e, &slot->reads, other, PEF_NONE);
  if (symbol->kind != PEF_SYMBOL_OUTPUT) return NULL;
  const uint16_t when = writer == NULL ? PEF_WHEN_ALWAYS : w->pef->calls[writer->call].when;
  if (writer == NULL || leat_event_type(&w->events, writer) != type ||
      (when != PEF_WHEN_ALWAYS && when != w->pef->calls[e->call].when) ||
      !holds(written, &slot->needs, (int64_t)e->begin + e->shift))
    return leat_event_report(&w->events, LEAT_RULE_BORROWED, e, &slot->reads, other, PEF_NONE);
  const uint32_t output = leat_event_slot(&w->events, writer)->writes.output;
  if (output != LEAT_ALWAYS && output != slot->reads.output)
    return leat_event_report(&w->events, LEAT_RULE_ENABLED, e, &slot->reads, other, PEF_NONE);
  return NULL;
}

static leat_status_t write_symbol(const walk_t *w, const leat_event_t *e) {
  const uint32_t kind = w->pef->symbols[e->symbol].kind, type = leat_event_type(&w->events, e);
  const leat_span_t *writes = &leat_event_slot(&w->events, e)->writes;
  if (type == PEF_PREPARE) return leat_event_report(&w->events, LEAT_RULE_PREPARE, e, writes, PEF_NONE, PEF_NONE);
  if (kind == PEF_SYMBOL_INPUT) return leat_event_report(&w->events, LEAT_RULE_BORROWED, e, writes, PEF_NONE, PEF_NONE);
  return NULL;
}

// Section types that run apart run in the order of their numbers: what they leave in a symbol has to be the same then.
static leat_status_t check_order(const walk_t *w, const leat_event_t *e, const leat_event_t *late,
                                 const leat_span_t *span) {
  const uint32_t type = leat_event_type(&w->events, e);
  if (late == NULL || type == PEF_PREPARE || leat_event_type(&w->events, late) <= type) return NULL;
  return leat_event_report(&w->events, LEAT_RULE_ORDER, e, span, late->call, PEF_NONE);
}

static const leat_event_t *later(const walk_t *w, const leat_event_t *a, const leat_event_t *b) {
  if (leat_event_type(&w->events, b) == PEF_PREPARE) return a;
  return a == NULL || leat_event_type(&w->events, b) >= leat_event_type(&w->events, a) ? b : a;
}

// All events of one symbol, by time.
static leat_status_t check_symbol(const walk_t *w, const leat_event_t *events, uint32_t count) {
  const leat_event_t *writer = NULL, *late_writer = NULL, *beside = NULL,
                     *late = NULL;  // late: of the types so far, of that which runs last
  leat_cover_t written = {0};
  uint32_t writer_types = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (!leat_span_is_empty(&leat_event_slot(&w->events, &events[i])->writes))
      writer_types |= 1u << w->pef->calls[events[i].call].type;
  }
  for (uint32_t i = 0; i < count; ++i) {
    const leat_event_t *e = &events[i];
    const leat_slot_t *slot = leat_event_slot(&w->events, e);
    if (!leat_span_is_empty(&slot->reads)) {
      LEAT_TRY(read_symbol(w, e, writer, writer_types, &written));
      LEAT_TRY(check_order(w, e, late_writer, &slot->reads));
      if (beside != NULL && leat_event_is_lone(&w->events, e))
        LEAT_TRY(leat_event_report(&w->events, LEAT_RULE_ORDER, e, &slot->reads, beside->call, PEF_NONE));
    }
    late = later(w, late, e);
    if (leat_span_is_empty(&slot->writes)) continue;
    LEAT_TRY(write_symbol(w, e));
    LEAT_TRY(check_order(w, e, late, &slot->writes));
    add_cover(&written, &slot->cover, (int64_t)e->begin + e->shift);
    writer = e;
    if (leat_event_beside_forward(&w->events, e)) beside = e;
    late_writer = later(w, late_writer, e);
  }
  return NULL;
}

static int by_symbol(const void *a, const void *b) {
  const leat_event_t *x = a, *y = b;
  int order = leat_order(x->place, y->place);
  if (order == 0) order = leat_order(x->symbol, y->symbol);
  if (order == 0) order = leat_order(x->time, y->time);
  return order != 0 ? order : y->reads - x->reads;
}

static leat_status_t check_symbols(walk_t *w) {
  if (w->events.all.count != 0) qsort(w->events.all.data, w->events.all.count, sizeof *w->events.all.data, by_symbol);
  const leat_event_t *events = w->events.all.data;
  for (uint32_t i = 0, end = 0; i < w->events.all.count; i = end) {
    while (end < w->events.all.count && events[end].place == events[i].place && events[end].symbol == events[i].symbol)
      ++end;
    if (events[i].place == PEF_PLACE_SYMBOL) LEAT_TRY(check_symbol(w, &events[i], end - i));
  }
  return NULL;
}

// Within one call: what is written and then read, but only if an output is enabled.
static leat_status_t check_enabled(const walk_t *w) {
  for (uint32_t i = 0; i < w->events.all.count; ++i) {
    const leat_slot_t *slot = leat_event_slot(&w->events, &w->events.all.data[i]);
    if (leat_span_is_empty(&slot->inside) || slot->writes.output == LEAT_ALWAYS ||
        slot->inside.output == slot->writes.output)
      continue;
    LEAT_TRY(leat_event_report(&w->events, LEAT_RULE_ENABLED, &w->events.all.data[i], &slot->inside,
                               w->events.all.data[i].call, slot->writes.stage));
  }
  return NULL;
}

// --- all of it -------------------------------------------------------------------------------------------------------

static leat_status_t check_all(walk_t *w) {
  leat_event_t *events = w->events.all.data;
  if (w->events.all.count != 0) qsort(events, w->events.all.count, sizeof *events, leat_events_by_range);
  LEAT_TRY(find_all_lives(w));
  LEAT_TRY(check_overlaps(w));
  LEAT_TRY(check_enabled(w));
  LEAT_TRY(check_symbols(w));
  return leat_legal_races(&w->events);
}

leat_status_t leat_legal_memory(leat_prover_t *prover) {
  walk_t w = {.pef = prover->pef};
  leat_status_t status = leat_events_collect(&w.events, prover);
  if (status == NULL) status = check_all(&w);
  leat_events_deinit(&w.events);
  leat_array_free(&w.lives);
  return status;
}
