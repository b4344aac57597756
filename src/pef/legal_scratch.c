// SPDX-License-Identifier: Apache-2.0
// Tile scratch of one body, gone through as a tile does: every byte, where native's layout has it, has an owner, the
// value that was written there last; what a stage reads belongs to one value, all of it written. A tile buffer is one
// value. Without a layout each buffer has bytes of its own. The lives that buffers claim are held against what stages
// do, and are not relied on.
#include "pef/legal_parts.h"

typedef struct value_s {
  leat_cover_t cover;              // in its buffer
  const pef_stage_t *made, *last;  // the stages that made it, first and last
  const pef_stage_t *reader;       // the last one that read it; NULL: none has
  uint32_t buffer, operand;
  uint32_t over;  // the stage that wrote over it; PEF_NONE
  uint8_t dtype;
  uint32_t output;
  bool copied;  // by stages that do nothing but copy or fill
  bool spare;
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
  int64_t *starts;             // per buffer: where it lies
  uint32_t *held;              // per buffer: its value; PEF_NONE: it has none yet, or any number
} walk_t;

// `buffer`: of the body.
static leat_status_t report(const walk_t *w, leat_rule_t rule, const pef_stage_t *stage, uint32_t operand,
                            uint32_t buffer, const leat_box_t *box, uint32_t other_stage) {
  const leat_finding_t f = {.rule = rule,
                            .call = w->prover->first_call[w->index],
                            .stage = (uint32_t)(stage - w->prover->pef->stages),
                            .operand = operand,
                            .other_call = PEF_NONE,
                            .other_stage = other_stage,
                            .place = PEF_NONE,
                            .symbol = PEF_NONE,
                            .buffer = w->prover->pef->bodies[w->index].buffer_first + buffer,
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

// The value takes the bytes of scratch from `low` to `high`.
static leat_status_t own(walk_t *w, int64_t low, int64_t high, uint32_t value) {
  const uint32_t stage = (uint32_t)(w->values.data[value].last - w->prover->pef->stages);
  uint32_t first = find_piece(w, low), end = first;
  for (; end < w->pieces.count && w->pieces.data[end].low < high; ++end) {
    value_t *old = &w->values.data[w->pieces.data[end].value];
    if (w->pieces.data[end].value != value && old->over == PEF_NONE) old->over = stage;
  }
  piece_t head = {0}, tail = {0};
  if (first < end) {
    head = (piece_t){w->pieces.data[first].low, low, w->pieces.data[first].value};
    tail = (piece_t){high, w->pieces.data[end - 1].high, w->pieces.data[end - 1].value};
    memmove(&w->pieces.data[first], &w->pieces.data[end], (w->pieces.count - end) * sizeof(piece_t));
    w->pieces.count -= end - first;
  }
  if (tail.low < tail.high && !insert_piece(w, first, tail)) return leat_out_of_memory();
  if (!insert_piece(w, first, (piece_t){low, high, value})) return leat_out_of_memory();
  if (head.low < head.high && !insert_piece(w, first, head)) return leat_out_of_memory();
  return NULL;
}

// The one value that owns all of the bytes from `low` to `high`; PEF_NONE with *out_rule where there is none.
static uint32_t owner_of(const walk_t *w, int64_t low, int64_t high, leat_rule_t *out_rule, uint32_t *out_other) {
  uint32_t value = PEF_NONE;
  int64_t at = low;
  for (uint32_t i = find_piece(w, at); at < high; ++i) {
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

// --- buffers ---------------------------------------------------------------------------------------------------------

static const pef_buffer_t *buffer_of(const walk_t *w, const leat_site_t *site) {
  const leat_pef_t *pef = w->prover->pef;
  return &pef->buffers[pef->bodies[w->index].buffer_first + leat_site_operand(site)->slot];
}

// Its values have no names: they are known by the bytes that a stage writes.
static bool is_opaque(const walk_t *w, const leat_site_t *site) { return buffer_of(w, site)->dtype == PEF_OPAQUE; }

// Where the buffers lie: one behind the other where there is no layout.
static leat_status_t place_buffers(walk_t *w) {
  const leat_pef_t *pef = w->prover->pef;
  const pef_body_t *body = &pef->bodies[w->index];
  uint64_t stacked = 0;
  for (uint32_t i = 0; i < body->buffer_count; ++i) {
    const uint64_t bytes =
        leat_pef_buffer_bytes(pef, body, &pef->buffers[body->buffer_first + i], leat_pef_tile_rows(body));
    const uint64_t start = pef->layout_count != 0 ? pef->layout[body->buffer_first + i].offset : stacked;
    if (bytes >= LEAT_PLACE_MAX || start >= LEAT_PLACE_MAX)
      LEAT_FAIL(LEAT_UNSUPPORTED, "a tile buffer of %llu bytes at byte %llu is too large for the proofs",
                (unsigned long long)bytes, (unsigned long long)start);
    stacked += bytes;
    w->starts[i] = (int64_t)start;
    w->held[i] = PEF_NONE;
  }
  return NULL;
}

// The value that an operand reads or goes on with: that of its buffer, or the one that owns the bytes. PEF_NONE with
// *out_rule where there is none.
static uint32_t value_of(const walk_t *w, const leat_site_t *site, const leat_box_t *box, leat_rule_t *out_rule,
                         uint32_t *out_other) {
  const uint32_t slot = leat_site_operand(site)->slot;
  const uint32_t value = owner_of(w, w->starts[slot] + box->low, w->starts[slot] + box->high, out_rule, out_other);
  if (is_opaque(w, site) || value == PEF_NONE || value == w->held[slot]) return value;
  *out_rule = w->held[slot] == PEF_NONE ? LEAT_RULE_UNWRITTEN : LEAT_RULE_OVERLAP;
  *out_other = (uint32_t)(w->values.data[value].made - w->prover->pef->stages);
  return PEF_NONE;
}

// Inside its buffer, at a time when the buffer is there.
static leat_status_t check_operand(const walk_t *w, const leat_site_t *site, const leat_box_t *box) {
  const pef_buffer_t *buffer = buffer_of(w, site);
  const uint32_t slot = leat_site_operand(site)->slot;
  const uint32_t stage = (uint32_t)(site->stage - w->prover->pef->stages) - site->body->stage_first;
  const uint64_t bytes = leat_pef_buffer_bytes(w->prover->pef, site->body, buffer, w->rows);
  if (box->low < 0 || (uint64_t)box->high > bytes)
    LEAT_TRY(report(w, LEAT_RULE_OUTSIDE, site->stage, site->index, slot, box, PEF_NONE));
  if (stage < buffer->first || stage > buffer->last)
    LEAT_TRY(report(w, LEAT_RULE_LIFE, site->stage, site->index, slot, box, PEF_NONE));
  return NULL;
}

// --- stages ----------------------------------------------------------------------------------------------------------

static leat_status_t read_operand(walk_t *w, const leat_site_t *site, const leat_box_t *box) {
  leat_rule_t rule = LEAT_RULE_COUNT;
  uint32_t other = PEF_NONE;
  if (box->run == 0) return NULL;
  const uint32_t slot = leat_site_operand(site)->slot;
  const uint32_t found = value_of(w, site, box, &rule, &other);
  if (found == PEF_NONE) return report(w, rule, site->stage, site->index, slot, box, other);
  value_t *v = &w->values.data[found];
  v->reader = site->stage;
  other = (uint32_t)(v->last - w->prover->pef->stages);
  if (!leat_cover_holds(&v->cover, box))
    return report(w, LEAT_RULE_UNWRITTEN, site->stage, site->index, slot, box, other);
  if (v->dtype != leat_site_operand(site)->dtype)
    return report(w, LEAT_RULE_TYPE, site->stage, site->index, slot, box, other);
  if (v->output != LEAT_ALWAYS && v->output != site->stage->output)
    return report(w, LEAT_RULE_ENABLED, site->stage, site->index, slot, box, other);
  return NULL;
}

static bool only_copies(const leat_pef_t *pef, const pef_stage_t *stage) {
  const pef_instruction_t *code = &pef->instructions[stage->instruction_first];
  return stage->kind == PEF_STAGE_MAP && stage->instruction_count == 2 && code[1].op == PEF_OP_STORE &&
         (code[0].op == PEF_OP_LOAD || code[0].op == PEF_OP_IMMEDIATE);
}

// In an opaque buffer: one more part of the value that the stage before has begun, the next piece of a concat, or what
// a pad surrounds.
static bool continues(const walk_t *w, const value_t *v, const leat_site_t *site, const leat_box_t *box) {
  const pef_stage_t *stage = site->stage;
  if (!v->copied || v->reader != NULL || v->last + 1 != stage || v->last->origin != stage->origin) return false;
  if (!only_copies(w->prover->pef, stage) || v->dtype != leat_site_operand(site)->dtype) return false;
  leat_box_t joined = v->cover.boxes[0];
  return leat_box_join(&joined, box);
}

static value_t *add_value(walk_t *w, const leat_site_t *site) {
  value_t *v = leat_array_push(&w->values);
  if (v == NULL) return NULL;
  *v = (value_t){.made = site->stage,
                 .buffer = leat_site_operand(site)->slot,
                 .operand = site->index,
                 .over = PEF_NONE,
                 .dtype = leat_site_operand(site)->dtype,
                 .output = LEAT_ALWAYS,
                 .copied = only_copies(w->prover->pef, site->stage),
                 .spare = site->stage->kind == PEF_STAGE_SORT};
  return v;
}

// The value that a stage writes a part of, without having read it: one that is being made, or, PEF_NONE, a new one.
static uint32_t value_to_write(const walk_t *w, const leat_site_t *site, const leat_box_t *box) {
  const uint32_t newest = w->values.count - 1;
  if (!is_opaque(w, site)) return w->held[leat_site_operand(site)->slot];
  return w->values.count != 0 && continues(w, &w->values.data[newest], site, box) ? newest : PEF_NONE;
}

// A value is there where all of the stages that made it have run.
static void add_condition(value_t *v, uint32_t output) {
  if (v->output == LEAT_ALWAYS)
    v->output = output;
  else if (output != LEAT_ALWAYS && output != v->output)
    v->output = LEAT_MIXED;
}

static leat_status_t write_operand(walk_t *w, const leat_site_t *site, const leat_box_t *box, bool read) {
  if (box->run == 0) return NULL;
  const uint32_t slot = leat_site_operand(site)->slot;
  leat_rule_t rule;
  uint32_t other, index = read ? value_of(w, site, box, &rule, &other) : value_to_write(w, site, box);
  if (read && index == PEF_NONE) return NULL;  // found when it was read
  if (index == PEF_NONE) {
    index = w->values.count;
    if (add_value(w, site) == NULL) return leat_out_of_memory();
  }
  value_t *v = &w->values.data[index];
  if (!read && v->reader != NULL && v->reader != site->stage) {
    const uint32_t reader = (uint32_t)(v->reader - w->prover->pef->stages);
    LEAT_TRY(report(w, LEAT_RULE_ANEW, site->stage, site->index, slot, box, reader));
  }
  w->held[slot] = index;
  v->last = site->stage;
  add_condition(v, site->stage->output);
  leat_cover_add(&v->cover, box);
  return own(w, w->starts[slot] + box->low, w->starts[slot] + box->high, index);
}

static leat_status_t visit_stage(walk_t *w, const pef_stage_t *stage) {
  const leat_pef_t *pef = w->prover->pef;
  for (uint32_t pass = 0; pass < 2; ++pass) {
    for (uint32_t i = 0; i < stage->operand_count; ++i) {
      if (pef->operands[stage->operand_first + i].space != PEF_SPACE_SCRATCH) continue;
      const bool read = leat_pef_reads(pef, stage, i), written = leat_pef_writes(pef, stage, i);
      const leat_site_t site = {pef, &pef->bodies[w->index], stage, i, written};
      const leat_box_t box = leat_box_of(&site, w->rows);
      if (box.run != 0 && (pass == 0 ? read : written && !read)) LEAT_TRY(check_operand(w, &site, &box));
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
    if (v->reader == NULL && !v->spare)
      LEAT_TRY(report(w, LEAT_RULE_UNREAD, v->made, v->operand, v->buffer, &box, v->over));
  }
  return NULL;
}

static leat_status_t visit(leat_prover_t *prover, uint32_t body, uint64_t rows) {
  const leat_pef_t *pef = prover->pef;
  const size_t count = pef->bodies[body].buffer_count + 1u;
  walk_t w = {.prover = prover, .index = body, .rows = rows};
  w.starts = leat_alloc(count * sizeof *w.starts);
  w.held = leat_alloc(count * sizeof *w.held);
  leat_status_t status = w.starts == NULL || w.held == NULL ? leat_out_of_memory() : place_buffers(&w);
  for (uint32_t s = 0; s < pef->bodies[body].stage_count && status == NULL; ++s) {
    const pef_stage_t *stage = &pef->stages[pef->bodies[body].stage_first + s];
    if (!leat_pef_stage_is_idle(pef, stage)) status = visit_stage(&w, stage);
  }
  if (status == NULL) status = find_unread(&w);
  leat_array_free(&w.values);
  leat_array_free(&w.pieces);
  leat_free(w.starts);
  leat_free(w.held);
  return status;
}

// A tile as high as the file allows, and the thinnest: what a value holds beyond the rows of a tile is not written.
leat_status_t leat_legal_scratch(leat_prover_t *prover, uint32_t index) {
  const pef_body_t *body = &prover->pef->bodies[index];
  const uint64_t rows = leat_pef_tile_rows(body);
  const uint64_t found = prover->findings->count;
  LEAT_TRY(visit(prover, index, rows));
  return rows == 1 || prover->findings->count != found ? NULL : visit(prover, index, 1);
}
