// SPDX-License-Identifier: Apache-2.0
// One body: what it does with each of its arguments; what one tile writes no other touches. A tile may be a single row,
// since an engine may cut a body anywhere.
#include "pef/legal_parts.h"

// A stage touches an argument.
typedef struct touch_s {
  leat_site_t site;
  leat_box_t whole;  // of all rows
  uint32_t next;     // touch of the same slot; PEF_NONE: the last
  bool read;
} touch_t;

typedef struct walk_s {
  leat_prover_t *prover;
  const pef_body_t *body;
  uint32_t index;
  LEAT_ARRAY(touch_t) touches;  // of all stages that do something
  uint32_t *first;              // per slot
  uint64_t cells[LEAT_CELL_AXES];
} walk_t;

static const pef_operand_t *operand_of(const touch_t *t) { return leat_site_operand(&t->site); }
static uint32_t stage_of(const touch_t *t) { return (uint32_t)(t->site.stage - t->site.pef->stages); }

// --- findings --------------------------------------------------------------------------------------------------------

static leat_status_t report(const walk_t *w, const touch_t *t, const touch_t *other) {
  const leat_pef_t *pef = w->prover->pef;
  const uint32_t call = w->prover->first_call[w->index];
  const pef_argument_t *a = &pef->arguments[pef->calls[call].argument_first + operand_of(t)->slot];
  const leat_finding_t f = {.rule = LEAT_RULE_TILES,
                            .call = call,
                            .stage = stage_of(t),
                            .operand = t->site.index,
                            .other_call = PEF_NONE,
                            .other_stage = stage_of(other),
                            .place = a->kind,
                            .symbol = a->symbol,
                            .begin = a->offset + (uint64_t)t->whole.low,
                            .end = a->offset + (uint64_t)t->whole.high};
  return leat_legal_report(w->prover, &f);
}

// --- tiles -----------------------------------------------------------------------------------------------------------

// The rows of all operands lie in windows as high as a row is: nothing can meet, if rows are all that there is.
static bool rows_are_apart(const walk_t *w, uint32_t first) {
  int64_t low = INT64_MAX, high = INT64_MIN, step = 0;
  for (uint32_t i = first; i != PEF_NONE; i = w->touches.data[i].next) {
    const leat_cells_t cells = leat_cells_of(&w->touches.data[i].site);
    if (cells.step[0] == 0 || (step != 0 && cells.step[0] != step)) return false;
    step = cells.step[0];
    if (cells.cell.low < low) low = cells.cell.low;
    if (cells.cell.high > high) high = cells.cell.high;
  }
  return leat_cells_are_along(w->cells, 0) && high - low <= (step < 0 ? -step : step);
}

static leat_status_t check_tiles(const walk_t *w, const touch_t *a, const touch_t *b, int64_t shift) {
  if (!a->site.written && !b->site.written) return NULL;
  const leat_cells_t x = leat_cells_of(&a->site), y = leat_cells_of(&b->site);
  if (!leat_cells_meet(&x, &y, shift, w->cells)) return NULL;
  return a->site.written ? report(w, a, b) : report(w, b, a);
}

static leat_status_t check_slot_tiles(const walk_t *w, uint32_t slot) {
  bool written = false;
  for (uint32_t i = w->first[slot]; i != PEF_NONE; i = w->touches.data[i].next)
    written |= w->touches.data[i].site.written;
  const bool single = w->cells[0] == 1 && leat_cells_are_along(w->cells, 0);
  if (!written || single || rows_are_apart(w, w->first[slot])) return NULL;
  for (uint32_t i = w->first[slot]; i != PEF_NONE; i = w->touches.data[i].next) {
    for (uint32_t j = i; j != PEF_NONE; j = w->touches.data[j].next)
      LEAT_TRY(check_tiles(w, &w->touches.data[i], &w->touches.data[j], 0));
  }
  return NULL;
}

// --- slots -----------------------------------------------------------------------------------------------------------

static void widen(leat_span_t *span, const touch_t *t) {
  const pef_operand_t *o = operand_of(t);
  if (t->whole.run == 0) return;
  const uint32_t output = t->site.stage->output;
  if (span->low == span->high) {
    *span = (leat_span_t){t->whole.low, t->whole.high, stage_of(t), t->site.index, output, (uint16_t)(1u << o->dtype)};
    return;
  }
  if (t->whole.low < span->low) span->low = t->whole.low;
  if (t->whole.high > span->high) span->high = t->whole.high;
  if (span->output != output)
    span->output = span->output == LEAT_ALWAYS || output == LEAT_ALWAYS ? LEAT_ALWAYS : LEAT_MIXED;
  span->dtypes |= (uint16_t)(1u << o->dtype);
}

static void note_read(leat_slot_t *slot, const touch_t *t) {
  const bool inside = leat_cover_holds(&slot->cover, &t->whole);
  widen(inside ? &slot->inside : &slot->reads, t);
  if (!inside) leat_cover_add(&slot->needs, &t->whole);
  slot->last_read = stage_of(t);
}

static void note_write(leat_slot_t *slot, const touch_t *t) {
  const uint32_t before = slot->writes.output;
  const bool first = slot->writes.low == slot->writes.high;
  widen(&slot->writes, t);
  if (!first && before != t->site.stage->output) slot->writes.output = LEAT_MIXED;
  if (first) slot->first_write = stage_of(t);
  leat_cover_add(&slot->cover, &t->whole);
  slot->spare |= t->site.stage->kind == PEF_STAGE_SORT;
}

static void note_stage(walk_t *w, uint32_t first) {
  leat_slot_t *slots = &w->prover->slots[w->prover->first_slot[w->index]];
  for (uint32_t pass = 0; pass < 2; ++pass) {  // what a stage reads it reads before it writes
    for (uint32_t i = first; i < w->touches.count; ++i) {
      const touch_t *t = &w->touches.data[i];
      if (pass == 0 && t->read) note_read(&slots[operand_of(t)->slot], t);
      if (pass == 1 && t->site.written) note_write(&slots[operand_of(t)->slot], t);
    }
  }
}

// --- the walk --------------------------------------------------------------------------------------------------------

static leat_status_t add_touches(walk_t *w, const pef_stage_t *stage) {
  const leat_pef_t *pef = w->prover->pef;
  for (uint32_t i = 0; i < stage->operand_count; ++i) {
    const pef_operand_t *o = &pef->operands[stage->operand_first + i];
    const bool read = leat_pef_reads(pef, stage, i), written = leat_pef_writes(pef, stage, i);
    if ((!read && !written) || o->space != PEF_SPACE_ARGUMENT) continue;
    touch_t *t = leat_array_push(&w->touches);
    if (t == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the proofs");
    t->site = (leat_site_t){pef, w->body, stage, i, written};
    t->read = read;
    t->whole = leat_box_of(&t->site, w->body->row_count);
    t->next = w->first[o->slot];
    w->first[o->slot] = w->touches.count - 1;
  }
  return NULL;
}

static leat_status_t walk_stages(walk_t *w, bool check) {
  const leat_pef_t *pef = w->prover->pef;
  for (uint32_t a = 0; a < w->body->argument_count; ++a) w->first[a] = PEF_NONE;
  for (uint32_t s = 0; s < w->body->stage_count; ++s) {
    const pef_stage_t *stage = &pef->stages[w->body->stage_first + s];
    const uint32_t first = w->touches.count;
    if (leat_pef_stage_is_idle(pef, stage)) continue;
    LEAT_TRY(add_touches(w, stage));
    if (!check) continue;
    note_stage(w, first);
  }
  for (uint32_t a = 0; a < w->body->argument_count && check; ++a) LEAT_TRY(check_slot_tiles(w, a));
  return NULL;
}

static leat_status_t init(walk_t *w, leat_prover_t *prover, uint32_t body) {
  *w = (walk_t){.prover = prover, .body = &prover->pef->bodies[body], .index = body};
  leat_cells_count(prover->pef, w->body, w->cells);
  w->first = leat_alloc((w->body->argument_count + 1u) * sizeof *w->first);
  if (w->first == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the proofs");
  return NULL;
}

static void deinit(walk_t *w) {
  leat_array_free(&w->touches);
  leat_free(w->first);
}

leat_status_t leat_legal_body(leat_prover_t *prover, uint32_t body) {
  walk_t w;
  LEAT_TRY(init(&w, prover, body));
  leat_status_t status = walk_stages(&w, true);
  deinit(&w);
  return status == NULL ? leat_legal_scratch(prover, body) : status;
}

static leat_status_t check_slots(const walk_t *w, uint32_t a, uint32_t b, int64_t shift) {
  for (uint32_t i = w->first[a]; i != PEF_NONE; i = w->touches.data[i].next) {
    for (uint32_t j = w->first[b]; j != PEF_NONE; j = w->touches.data[j].next) {
      const touch_t *x = &w->touches.data[i], *y = &w->touches.data[j];
      LEAT_TRY(check_tiles(w, x, y, shift));
    }
  }
  return NULL;
}

leat_status_t leat_legal_slots(leat_prover_t *prover, uint32_t call, uint32_t a, uint32_t b, int64_t shift) {
  walk_t w;
  LEAT_TRY(init(&w, prover, prover->pef->calls[call].body));
  leat_status_t status = walk_stages(&w, false);
  if (status == NULL) status = check_slots(&w, a, b, shift);
  deinit(&w);
  return status;
}
