// SPDX-License-Identifier: Apache-2.0
// A long sum that nothing else can be cut along is the sum of partial sums: they have a dim of parts, rows run along
// it, and so threads share what one of them did alone, and a part may be summed where its terms are made.
//
// So is a sum of columns, over all rows of what an elementwise op makes of them (the gradient of a layer norm's weight,
// the variance of a column): a part is as many rows as a tile has, and is summed where they are made, which then need
// not be stored for it.
//
// How many parts there are, and which terms are whose, follows from the shape alone, so that every compile for any
// machine says the same sum. Parts are pieces of the outermost dims that are summed. Works on primitives; what is left
// to sum at once becomes shorter, which is the measure by which it ends.
#include "ir/rebuild.h"
#include "opt/opt.h"

enum {
  FEW = 16,               // elements, or output channels, of the result: more are shared as they are
  LONG = 1 << 15,         // terms of all of them: fewer are summed before threads have met
  LONG_PRODUCT = 1 << 18  // the same of products
};
enum { ENOUGH = 16, MOST = 1024 };  // parts; of a gradient no more than are enough, since each has its size
enum { SMALL = 4 };                 // times the parts of a gradient are less than what it is made of
enum {
  PART_LEAST = 8,        // of columns, at least: their sums are fewer by that much
  PART_TERMS = 1 << 13,  // of a part, about
  PART_MOST = 1 << 16,   // and at most
  LONG_MADE = 1 << 18    // terms of all: fewer stay in cache
};

// A shape in which summed dims are cut in two where parts need it: the outer piece counts parts.
typedef struct cut_s {
  uint32_t rank, parts, inner;  // bit masks: of dims that count parts, of dims that are summed within one
  int64_t dims[LEAT_RANK_MAX];
} cut_t;

static int64_t greatest_divisor(int64_t n, int64_t most) {
  int64_t divisor = n < most ? n : most;
  while (n % divisor != 0) divisor--;
  return divisor;
}

static bool push(cut_t *cut, int64_t extent, uint32_t *mask) {
  if (cut->rank == LEAT_RANK_MAX) return false;
  if (mask != NULL) *mask |= 1u << cut->rank;
  cut->dims[cut->rank++] = extent;
  return true;
}

// Cuts the summed dims of `x`, the outermost first, until there are parts enough. False: they come to one part, or to
// parts of one term, or to more dims than a value may have.
static bool cut_sum(const leat_value_t *x, uint32_t summed, cut_t *out) {
  int64_t parts = 1, terms = 1;
  *out = (cut_t){0};
  for (uint32_t d = 0; d < x->rank; d++) {
    const bool is_summed = (summed >> d & 1) != 0;
    const int64_t piece = is_summed && parts < ENOUGH ? greatest_divisor(x->dims[d], MOST / parts) : 1;
    const int64_t rest = x->dims[d] / piece;
    if (piece > 1 && !push(out, piece, &out->parts)) return false;
    if ((piece == 1 || rest > 1) && !push(out, rest, is_summed ? &out->inner : NULL)) return false;
    parts *= piece;
    terms *= is_summed ? rest : 1;
  }
  return parts > 1 && terms > 1;
}

// A bf16 would round every part.
static bool is_exact(uint8_t dtype) { return dtype != LEAT_BF16 && dtype != LEAT_F16; }

static bool is_long(const leat_graph_t *g, const leat_op_t *op) {
  const leat_value_t *result = leat_graph_value(g, op->result_first);
  return leat_value_elements(result) < FEW && is_exact(result->dtype) &&
         leat_value_elements(leat_graph_value(g, leat_op_input(g, op, 0))) >= LONG;
}

// What makes the elements that `v` views.
static const leat_op_t *maker_of(const leat_graph_t *g, leat_value_id_t v) {
  const leat_op_t *op = leat_graph_op(g, leat_graph_value(g, v)->op);
  while (leat_op_role(op->kind) == LEAT_ROLE_VIEW)
    op = leat_graph_op(g, leat_graph_value(g, leat_op_input(g, op, 0))->op);
  return op;
}

// Sums of columns: cuts the rows, which are the outermost dims, all summed, into parts. False: it is no such sum, or
// not of what an elementwise op makes, or its rows cannot be cut so.
static bool cut_columns(const leat_graph_t *g, const leat_op_t *op, uint32_t summed, cut_t *out) {
  const leat_value_id_t v = leat_op_input(g, op, 0);
  const leat_value_t *x = leat_graph_value(g, v);
  int64_t rows = 1, columns = 1;
  for (uint32_t d = 0; d < x->rank; d++) {
    const bool is_summed = (summed >> d & 1) != 0;
    if (is_summed && columns > 1) return false;
    rows *= is_summed ? x->dims[d] : 1;
    columns *= is_summed ? 1 : x->dims[d];
  }
  if (leat_op_role(maker_of(g, v)->kind) != LEAT_ROLE_ELEMENTWISE || columns < FEW ||
      columns > PART_MOST / PART_LEAST || !is_exact(x->dtype) || leat_value_elements(x) < LONG_MADE) {
    return false;
  }
  const int64_t wanted = PART_TERMS / columns, part = greatest_divisor(rows, wanted < PART_LEAST ? PART_LEAST : wanted);
  *out = (cut_t){.rank = 3, .parts = 1, .inner = 2, .dims = {rows / part, part, columns}};
  return part >= PART_LEAST && rows > part;
}

static bool cut_reduce(const leat_graph_t *g, const leat_op_t *op, leat_fold_t fn, uint32_t summed, cut_t *out) {
  if (is_long(g, op)) return cut_sum(leat_graph_value(g, leat_op_input(g, op, 0)), summed, out);
  return fn == LEAT_FOLD_SUM && cut_columns(g, op, summed, out);
}

static leat_status_t split_reduce(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_graph_t *g = r->from;
  const leat_op_t *op = leat_graph_op(g, id);
  const leat_fold_t fn = (leat_fold_t)leat_op_word(g, op, LEAT_ATTR_FN, LEAT_FOLD_SUM);
  const leat_value_t *result = leat_graph_value(g, op->result_first);
  uint32_t count, summed = 0;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; i++) summed |= 1u << dims[i];
  cut_t cut;
  if (fn == LEAT_FOLD_ARGMAX || fn == LEAT_FOLD_ARGMIN || !cut_reduce(g, op, fn, summed, &cut))
    return leat_rebuild_copy(r, id);
  const leat_value_id_t x = leat_b_reshape(&r->b, leat_rebuild_input(r, op, 0), cut.rank, cut.dims);
  const leat_value_id_t parts = leat_b_reduce(&r->b, fn, x, cut.inner, true);
  const leat_value_id_t sum = leat_b_reduce(&r->b, fn, parts, cut.parts, true);
  r->map[op->result_first] = leat_b_reshape(&r->b, sum, result->rank, result->dims);
  return leat_builder_take_status(&r->b);
}

// Images in parts, each with a gradient of its own: where the channels are in groups, or few, nothing else is free.
// Added up in the order of the images.
static leat_status_t split_conv_wgrad(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_graph_t *g = r->from;
  const leat_op_t *op = leat_graph_op(g, id);
  const leat_value_t *dw = leat_graph_value(g, op->result_first);
  leat_window_t window;
  leat_window_of(g, op, &window);
  leat_value_id_t operands[2];
  int64_t elements = 0, parts = 1;
  for (uint32_t i = 0; i < 2; i++) {
    const leat_value_t *x = leat_graph_value(g, leat_op_input(g, op, i));
    elements += leat_value_elements(x);
    parts = greatest_divisor(x->dims[0], ENOUGH);
  }
  const int64_t sums = leat_value_elements(dw), outputs = dw->dims[0];
  const bool shared = window.groups == 1 && outputs >= FEW;
  const int64_t products = leat_value_elements(leat_graph_value(g, leat_op_input(g, op, 1))) * (sums / outputs);
  if (leat_op_int(g, op, LEAT_ATTR_BATCH, 0) != 0 || shared || parts == 1 || products < LONG_PRODUCT ||
      parts * sums * SMALL > elements) {
    return leat_rebuild_copy(r, id);
  }
  for (uint32_t i = 0; i < 2; i++) {
    const leat_value_t *x = leat_graph_value(g, leat_op_input(g, op, i));
    int64_t dims[LEAT_RANK_MAX] = {parts, x->dims[0] / parts};
    memcpy(dims + 2, x->dims + 1, (x->rank - 1u) * sizeof *dims);
    operands[i] = leat_b_reshape(&r->b, leat_rebuild_input(r, op, i), x->rank + 1u, dims);
  }
  const leat_value_id_t gradients = leat_b_conv_wgrad(&r->b, operands[0], operands[1], &window, 1);
  r->map[op->result_first] = leat_b_reduce(&r->b, LEAT_FOLD_SUM, gradients, 1, false);
  return leat_builder_take_status(&r->b);
}

// How the sum of a primitive is split; what has no row stays as it is.
static const leat_rebuild_visit_t split_table[LEAT_PRIM_COUNT] = {
    [LEAT_PRIM_REDUCE] = split_reduce, [LEAT_PRIM_CONV_WGRAD] = split_conv_wgrad};

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const uint32_t kind = leat_graph_op(r->from, id)->kind;
  return kind < LEAT_PRIM_COUNT && split_table[kind] != NULL ? split_table[kind](r, id) : leat_rebuild_copy(r, id);
}

leat_status_t leat_opt_partial(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_rebuild(from, visit, NULL, out_graph);
}
