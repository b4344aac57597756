// SPDX-License-Identifier: Apache-2.0
// Tile scratch of one body, gone through as a tile does: every byte has an owner, the value that was written there
// last; what a stage reads belongs to one value, all of it written.
#include "pef/legal_parts.h"

typedef struct value_s {
  leat_cover_t cover;
  const pef_stage_t *made, *last;  // the stages that made it, first and last
  uint32_t operand;
  uint32_t over;  // the stage that wrote over it; PEF_NONE
  uint8_t dtype;
  uint32_t output;
  bool copied;  // by stages that do nothing but copy or fill
  bool read, spare;
} value_t;

typedef struct piece_s {
  int64_t low, high;
  uint32_t value;
} piece_t;

typedef struct walk_s {
  leat_prover_t *prover;
  uint32_t index;
  uint64_t rows;
  LEAT_ARRAY(value_t) values;
  LEAT_ARRAY(piece_t) pieces;  // ascending, disjoint
} walk_t;

static leat_status_t report(const walk_t *w, leat_rule_t rule, const pef_stage_t *stage, uint32_t operand,
                            const leat_box_t *box, uint32_t other_stage) {
  const leat_finding_t f = {.rule = rule,
                            .call = w->prover->first_call[w->index],
                            .stage = (uint32_t)(stage - w->prover->pef->stages),
                            .operand = operand,
                            .other_call = PEF_NONE,
                            .other_stage = other_stage,
                            .place = PEF_NONE,
                            .symbol = PEF_NONE,
                            .begin = (uint64_t)box->low,
                            .end = (uint64_t)box->high};
  return leat_legal_report(w->prover, &f);
}

// --- owners ----------------------------------------------------------------------------------------------------------

// The first piece that ends behind `at`.
static uint32_t find_piece(const walk_t *w, int64_t at) {
  uint32_t low = 0, high = w->pieces.count;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (w->pieces.data[middle].high > at)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

// Makes room for one piece before `at`.
static bool insert_piece(walk_t *w, uint32_t at, piece_t piece) {
  if (leat_array_push(&w->pieces) == NULL) return false;
  piece_t *data = w->pieces.data;
  memmove(&data[at + 1], &data[at], (w->pieces.count - 1 - at) * sizeof *data);
  data[at] = piece;
  return true;
}

static leat_status_t own(walk_t *w, const leat_box_t *box, uint32_t value) {
  const uint32_t stage = (uint32_t)(w->values.data[value].last - w->prover->pef->stages);
  uint32_t first = find_piece(w, box->low), end = first;
  for (; end < w->pieces.count && w->pieces.data[end].low < box->high; ++end) {
    value_t *old = &w->values.data[w->pieces.data[end].value];
    if (w->pieces.data[end].value != value && old->over == PEF_NONE) old->over = stage;
  }
  piece_t head = {0}, tail = {0};
  if (first < end) {
    head = (piece_t){w->pieces.data[first].low, box->low, w->pieces.data[first].value};
    tail = (piece_t){box->high, w->pieces.data[end - 1].high, w->pieces.data[end - 1].value};
    memmove(&w->pieces.data[first], &w->pieces.data[end], (w->pieces.count - end) * sizeof(piece_t));
    w->pieces.count -= end - first;
  }
  if (tail.low < tail.high && !insert_piece(w, first, tail)) return leat_out_of_memory();
  if (!insert_piece(w, first, (piece_t){box->low, box->high, value})) return leat_out_of_memory();
  if (head.low < head.high && !insert_piece(w, first, head)) return leat_out_of_memory();
  return NULL;
}

// The one value that owns all of the bytes from `low` to `high`; PEF_NONE with *out_rule where there is none.
static uint32_t owner_of(const walk_t *w, const leat_box_t *box, leat_rule_t *out_rule, uint32_t *out_other) {
  uint32_t value = PEF_NONE;
  int64_t at = box->low;
  for (uint32_t i = find_piece(w, at); at < box->high; ++i) {
    if (i == w->pieces.count || w->pieces.data[i].low > at) {
      *out_rule = LEAT_RULE_UNWRITTEN;
      return PEF_NONE;
    }
    const uint32_t next = w->pieces.data[i].value;
    if (value != PEF_NONE && next != value) {
      const bool over = w->values.data[value].over != PEF_NONE || w->values.data[next].over != PEF_NONE;
      *out_rule = over ? LEAT_RULE_OVERLAP : LEAT_RULE_TORN;
      *out_other = (uint32_t)(w->values.data[next].made - w->prover->pef->stages);
      return PEF_NONE;
    }
    value = next;
    at = w->pieces.data[i].high;
  }
  return value;
}

// --- stages ----------------------------------------------------------------------------------------------------------

static leat_status_t read_operand(walk_t *w, const leat_site_t *site, const leat_box_t *box) {
  leat_rule_t rule = LEAT_RULE_COUNT;
  uint32_t other = PEF_NONE;
  if (box->run == 0) return NULL;
  const uint32_t found = owner_of(w, box, &rule, &other);
  if (found == PEF_NONE) return report(w, rule, site->stage, site->index, box, other);
  value_t *v = &w->values.data[found];
  v->read = true;
  other = (uint32_t)(v->last - w->prover->pef->stages);
  if (!leat_cover_holds(&v->cover, box)) return report(w, LEAT_RULE_UNWRITTEN, site->stage, site->index, box, other);
  if (v->dtype != leat_site_operand(site)->dtype)
    return report(w, LEAT_RULE_TYPE, site->stage, site->index, box, other);
  if (v->output != LEAT_ALWAYS && v->output != site->stage->output)
    return report(w, LEAT_RULE_ENABLED, site->stage, site->index, box, other);
  return NULL;
}

static bool only_copies(const leat_pef_t *pef, const pef_stage_t *stage) {
  const pef_instruction_t *code = &pef->instructions[stage->instruction_first];
  return stage->kind == PEF_STAGE_MAP && stage->instruction_count == 2 && code[1].op == PEF_OP_STORE &&
         (code[0].op == PEF_OP_LOAD || code[0].op == PEF_OP_IMMEDIATE);
}

// One more part of the value that the stage before has begun: the next piece of a concat, or what a pad surrounds.
static bool continues(const walk_t *w, const value_t *v, const leat_site_t *site, const leat_box_t *box) {
  const pef_stage_t *stage = site->stage;
  if (!v->copied || v->read || v->last + 1 != stage || v->last->origin != stage->origin) return false;
  if (!only_copies(w->prover->pef, stage) || v->dtype != leat_site_operand(site)->dtype) return false;
  leat_box_t joined = v->cover.boxes[0];
  return leat_box_join(&joined, box);
}

static leat_status_t write_operand(walk_t *w, const leat_site_t *site, const leat_box_t *box, bool read) {
  if (box->run == 0) return NULL;
  value_t *v = w->values.count == 0 ? NULL : &w->values.data[w->values.count - 1];
  leat_rule_t rule;
  uint32_t other, index = w->values.count - 1;
  if (read) {  // what was there goes on
    index = owner_of(w, box, &rule, &other);
    if (index == PEF_NONE) return NULL;  // found when it was read
    v = &w->values.data[index];
  } else if (v == NULL || !continues(w, v, site, box)) {
    index = w->values.count;
    v = leat_array_push(&w->values);
    if (v == NULL) return leat_out_of_memory();
    *v = (value_t){.made = site->stage,
                   .operand = site->index,
                   .over = PEF_NONE,
                   .dtype = leat_site_operand(site)->dtype,
                   .output = site->stage->output,
                   .copied = only_copies(w->prover->pef, site->stage),
                   .spare = site->stage->kind == PEF_STAGE_SORT};
  }
  v->last = site->stage;
  leat_cover_add(&v->cover, box);
  return own(w, box, index);
}

static leat_status_t visit_stage(walk_t *w, const pef_stage_t *stage) {
  const leat_pef_t *pef = w->prover->pef;
  const uint64_t outputs = leat_pef_stage_outputs(pef, stage), inputs = leat_pef_stage_inputs(pef, stage);
  for (uint32_t pass = 0; pass < 2; ++pass) {
    for (uint32_t i = 0; i < stage->operand_count; ++i) {
      if (pef->operands[stage->operand_first + i].space != PEF_SPACE_SCRATCH) continue;
      const bool read = inputs >> i & 1, written = outputs >> i & 1;
      const leat_site_t site = {pef, &pef->bodies[w->index], stage, i, written};
      const leat_box_t box = leat_box_of(&site, w->rows);
      if (pass == 0 && read) LEAT_TRY(read_operand(w, &site, &box));
      if (pass == 1 && written) LEAT_TRY(write_operand(w, &site, &box, read));
    }
  }
  return NULL;
}

static leat_status_t find_unread(const walk_t *w) {
  for (uint32_t i = 0; i < w->values.count; ++i) {
    const value_t *v = &w->values.data[i];
    const leat_box_t box = {.low = v->cover.low, .high = v->cover.high};
    if (!v->read && !v->spare) LEAT_TRY(report(w, LEAT_RULE_UNREAD, v->made, v->operand, &box, v->over));
  }
  return NULL;
}

static leat_status_t visit(leat_prover_t *prover, uint32_t body, uint64_t rows) {
  const leat_pef_t *pef = prover->pef;
  walk_t w = {.prover = prover, .index = body, .rows = rows};
  leat_status_t status = NULL;
  for (uint32_t s = 0; s < pef->bodies[body].stage_count && status == NULL; ++s) {
    const pef_stage_t *stage = &pef->stages[pef->bodies[body].stage_first + s];
    if (!leat_pef_stage_is_idle(pef, stage)) status = visit_stage(&w, stage);
  }
  if (status == NULL) status = find_unread(&w);
  leat_array_free(&w.values);
  leat_array_free(&w.pieces);
  return status;
}

// A tile as high as the file allows, and the thinnest: what a value holds beyond the rows of a tile is not written.
leat_status_t leat_legal_scratch(leat_prover_t *prover, uint32_t index) {
  const pef_body_t *body = &prover->pef->bodies[index];
  const uint64_t rows = body->tile_rows_max < body->row_count ? body->tile_rows_max : body->row_count;
  const uint64_t found = prover->findings->count;
  LEAT_TRY(visit(prover, index, rows));
  return rows == 1 || prover->findings->count != found ? NULL : visit(prover, index, 1);
}
