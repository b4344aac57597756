// SPDX-License-Identifier: Apache-2.0
// Pieces in an order that is kept while edges are added. An edge that agrees with the order costs nothing; one that
// does not moves what lies between its ends.
#include "cut/pieces.h"

static leat_piece_t *at(leat_pieces_t *p, uint32_t piece) { return &p->all.data[piece]; }

static bool push(uint32_t **slot, uint32_t value) {
  if (*slot == NULL) return false;
  **slot = value;
  return true;
}

#define PUSH(array, value) push(&(uint32_t *){leat_array_push(array)}, (value))

static bool visit(leat_pieces_t *p, uint32_t piece) {
  if (at(p, piece)->mark == p->mark) return true;
  at(p, piece)->mark = p->mark;
  return PUSH(&p->found, piece);
}

// Appends to `found` the pieces that `from` leads to and whose place is at most `limit` (forward), or the pieces that
// lead to `from` with a place of at least `limit`. `from` comes first.
static leat_status_t search(leat_pieces_t *p, uint32_t from, bool forward, uint32_t limit) {
  uint32_t next = p->found.count;
  bool fits = visit(p, from);
  for (; fits && next < p->found.count; ++next) {
    const leat_piece_t *piece = at(p, p->found.data[next]);
    const uint32_t *list = forward ? piece->after.data : piece->before.data;
    uint32_t count = forward ? piece->after.count : piece->before.count;
    for (uint32_t i = 0; fits && i < count; ++i) {
      uint32_t order = at(p, list[i])->order;
      if (forward ? order <= limit : order >= limit) fits = visit(p, list[i]);
    }
  }
  return fits ? NULL : leat_out_of_memory();
}

// Does `from` lead to `to`, which stands behind it?
static leat_status_t leads_to(leat_pieces_t *p, uint32_t from, uint32_t to, bool *out_answer) {
  p->found.count = 0;
  ++p->mark;
  LEAT_TRY(search(p, from, true, at(p, to)->order));
  *out_answer = at(p, to)->mark == p->mark;
  return NULL;
}

static void sort(uint32_t *list, uint32_t count) {
  for (uint32_t i = 1; i < count; ++i) {
    uint32_t moving = list[i], j = i;
    for (; j > 0 && list[j - 1] > moving; --j) list[j] = list[j - 1];
    list[j] = moving;
  }
}

static void sort_by_order(leat_pieces_t *p, uint32_t *list, uint32_t count) {
  for (uint32_t i = 1; i < count; ++i) {
    uint32_t moving = list[i], j = i;
    for (; j > 0 && at(p, list[j - 1])->order > at(p, moving)->order; --j) list[j] = list[j - 1];
    list[j] = moving;
  }
}

// Puts `from`, and what leads to it, before `to` and what that leads to: the places they hold are dealt out anew.
static leat_status_t reorder(leat_pieces_t *p, uint32_t from, uint32_t to) {
  uint32_t low = at(p, to)->order, high = at(p, from)->order;
  p->found.count = p->places.count = 0;
  ++p->mark;
  LEAT_TRY(search(p, from, false, low));
  uint32_t early = p->found.count;
  LEAT_TRY(search(p, to, true, high));
  sort_by_order(p, p->found.data, early);
  sort_by_order(p, p->found.data + early, p->found.count - early);
  for (uint32_t i = 0; i < p->found.count; ++i) {
    if (!PUSH(&p->places, at(p, p->found.data[i])->order)) return leat_out_of_memory();
  }
  sort(p->places.data, p->places.count);
  for (uint32_t i = 0; i < p->found.count; ++i) at(p, p->found.data[i])->order = p->places.data[i];
  return NULL;
}

static leat_status_t add_edge(leat_pieces_t *p, uint32_t from, uint32_t to) {
  const leat_piece_t *piece = at(p, to);
  if (from == to) return NULL;
  for (uint32_t i = 0; i < piece->before.count; ++i) {
    if (piece->before.data[i] == from) return NULL;
  }
  if (at(p, from)->order > piece->order) LEAT_TRY(reorder(p, from, to));
  return PUSH(&at(p, to)->before, from) && PUSH(&at(p, from)->after, to) ? NULL : leat_out_of_memory();
}

static leat_status_t may_join(leat_pieces_t *p, uint32_t piece, const uint32_t *reads, uint32_t count, bool *out_may) {
  bool comes_back = false;
  for (uint32_t i = 0; i < count && !comes_back; ++i) {
    if (reads[i] == piece || at(p, reads[i])->order < at(p, piece)->order) continue;
    LEAT_TRY(leads_to(p, piece, reads[i], &comes_back));
  }
  *out_may = !comes_back;
  return NULL;
}

leat_status_t leat_pieces_add(leat_pieces_t *p, uint32_t label, const uint32_t *reads, uint32_t count,
                              uint32_t *out_piece) {
  if (label >= p->latest.count && leat_array_push_n(&p->latest, label + 1 - p->latest.count) == NULL)
    return leat_out_of_memory();
  uint32_t piece = p->latest.data[label];
  bool join = false;
  if (piece != 0) LEAT_TRY(may_join(p, piece - 1, reads, count, &join));
  if (!join) {
    leat_piece_t *slot = leat_array_push(&p->all);
    if (slot == NULL) return leat_out_of_memory();
    slot->label = label;
    slot->order = p->all.count - 1;
    p->latest.data[label] = piece = p->all.count;
  }
  *out_piece = piece - 1;
  for (uint32_t i = 0; i < count; ++i) LEAT_TRY(add_edge(p, reads[i], piece - 1));
  return NULL;
}

leat_status_t leat_pieces_add_op(leat_pieces_t *pieces, const leat_graph_t *g, leat_op_id_t id, uint32_t label,
                                 uint32_t *piece_of) {
  const leat_op_t *op = leat_graph_op(g, id);
  enum { FEW = 16 };
  uint32_t few[FEW] = {0}, *reads = few, count = 0;
  if (op->input_count > FEW && (reads = leat_alloc_zero(op->input_count, sizeof *reads)) == NULL)
    return leat_out_of_memory();
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_value_id_t v = leat_op_input(g, op, i);
    uint32_t piece = v == LEAT_NONE ? LEAT_NONE : piece_of[leat_graph_value(g, v)->op];
    if (piece != LEAT_NONE) reads[count++] = piece;
  }
  leat_status_t status = leat_pieces_add(pieces, label, reads, count, &piece_of[id]);
  if (reads != few) leat_free(reads);
  return status;
}

void leat_pieces_order(const leat_pieces_t *p, uint32_t *out_pieces) {
  for (uint32_t i = 0; i < p->all.count; ++i) out_pieces[p->all.data[i].order] = i;
}

void leat_pieces_deinit(leat_pieces_t *p) {
  for (uint32_t i = 0; i < p->all.count; ++i) {
    leat_array_free(&p->all.data[i].before);
    leat_array_free(&p->all.data[i].after);
  }
  leat_array_free(&p->all);
  leat_array_free(&p->latest);
  leat_array_free(&p->found);
  leat_array_free(&p->places);
}
