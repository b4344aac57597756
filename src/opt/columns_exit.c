// SPDX-License-Identifier: Apache-2.0
// How what hangs on columns of a product ends: of backward in products and sums, of forward in a softmax and in picked
// elements.
#include <math.h>

#include "ir/formula.h"
#include "opt/columns.h"

// The sums of all chunks, which were added one by one.
static leat_value_id_t end_sum(leat_rebuild_t *r, const leat_op_t *op, const leat_value_id_t *parts) {
  (void)op;
  return parts[((const leat_columns_t *)r->user)->chunk_count - 1];
}

static bool adds(const leat_columns_t *c, const leat_op_t *op) {
  (void)c, (void)op;
  return true;
}

// --- products of backward --------------------------------------------------------------------------------------------

// The letter that a product sums or keeps for each column, the same in all operands that have columns; 0: they differ.
static char letter_of(const leat_columns_t *c, const leat_op_t *op) {
  const leat_spec_t *spec = leat_op_spec(c->g, op);
  char letter = 0;
  for (uint32_t i = 0; i < 2; i++) {
    const uint32_t dim = leat_columns_of(c, op, i);
    if (dim == LEAT_NONE) continue;
    if (letter != 0 && spec->letters[i][dim] != letter) return 0;
    letter = spec->letters[i][dim];
  }
  for (uint32_t i = 0; i < 2; i++) {  // another dim of the letter would be sliced as what hangs on nothing
    const int at = leat_spec_find(spec, i, letter);
    if (leat_columns_of(c, op, i) != LEAT_NONE && at != (int)leat_columns_of(c, op, i)) return 0;
  }
  return letter;
}

static bool suits_product(const leat_columns_t *c, const leat_op_t *op) { return letter_of(c, op) != 0; }

static void want_product(leat_columns_t *c, const leat_op_t *op) {
  leat_columns_want_contract(c, op, letter_of(c, op));
}

static bool adds_products(const leat_columns_t *c, const leat_op_t *op) {
  return leat_spec_find(leat_op_spec(c->g, op), 2, letter_of(c, op)) < 0;
}

static leat_value_id_t part_of_product(leat_rebuild_t *r, const leat_op_t *op, int64_t at, int64_t end) {
  return leat_columns_contract(r, op, letter_of(r->user, op), at, end);
}

static leat_value_id_t end_product(leat_rebuild_t *r, const leat_op_t *op, const leat_value_id_t *parts) {
  const leat_columns_t *c = r->user;
  if (adds_products(c, op)) return end_sum(r, op, parts);
  const int dim = leat_spec_find(leat_op_spec(c->g, op), 2, letter_of(c, op));
  return leat_b_concat(&r->b, parts, c->chunk_count, (uint32_t)dim);
}

// --- sums of backward ------------------------------------------------------------------------------------------------

static uint32_t dims_of(const leat_graph_t *g, const leat_op_t *op) {
  uint32_t count, mask = 0;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; i++) mask |= 1u << dims[i];
  return mask;
}

static bool folds(const leat_columns_t *c, const leat_op_t *op, leat_fold_t fn) {
  return leat_op_word(c->g, op, LEAT_ATTR_FN, LEAT_FOLD_PROD) == (int)fn;
}

static bool suits_sum(const leat_columns_t *c, const leat_op_t *op) { return folds(c, op, LEAT_FOLD_SUM); }

static void want_operand(leat_columns_t *c, const leat_op_t *op) {
  leat_columns_want(c, leat_op_input(c->g, op, 0), leat_columns_of(c, op, 0));
}

static bool adds_columns(const leat_columns_t *c, const leat_op_t *op) {
  return (dims_of(c->g, op) >> leat_columns_of(c, op, 0) & 1) != 0;
}

static leat_value_id_t part_of_sum(leat_rebuild_t *r, const leat_op_t *op, int64_t at, int64_t end) {
  const leat_columns_t *c = r->user;
  const leat_value_id_t x = leat_columns_at(r, leat_op_input(c->g, op, 0), leat_columns_of(c, op, 0), at, end);
  return leat_b_reduce(&r->b, LEAT_FOLD_SUM, x, dims_of(c->g, op), true);
}

static leat_value_id_t end_sums(leat_rebuild_t *r, const leat_op_t *op, const leat_value_id_t *parts) {
  const leat_columns_t *c = r->user;
  if (adds_columns(c, op)) return end_sum(r, op, parts);
  return leat_b_concat(&r->b, parts, c->chunk_count, leat_columns_of(c, op, 0));
}

// --- a softmax of forward --------------------------------------------------------------------------------------------

static bool makes(const leat_columns_t *c, leat_value_id_t v, leat_scalar_t fn) {
  return leat_op_scalar(c->g, leat_columns_maker(c->g, v)) == fn;
}

// Of the sum of exp(z - max(z)) over the same dims: z, and the op of the maximum. LEAT_NONE: it is no such sum.
static leat_value_id_t shifted_of(const leat_columns_t *c, const leat_op_t *op, leat_op_id_t *out_max) {
  const leat_graph_t *g = c->g;
  const leat_value_id_t e = leat_op_input(g, op, 0);
  if (!folds(c, op, LEAT_FOLD_SUM) || !makes(c, e, LEAT_SCALAR_EXP)) return LEAT_NONE;
  const leat_value_id_t d = leat_op_input(g, leat_columns_maker(g, e), 0);
  if (!makes(c, d, LEAT_SCALAR_SUB)) return LEAT_NONE;
  const leat_op_t *difference = leat_columns_maker(g, d);
  const leat_value_id_t z = leat_op_input(g, difference, 0), m = leat_op_input(g, difference, 1);
  *out_max = leat_graph_value(g, m)->op;
  for (uint32_t i = 0; i < c->exit_count; i++) {  // a maximum over columns is an exit, and comes first
    const leat_op_t *max = leat_graph_op(g, c->exits[i]);
    if (c->exits[i] == *out_max && leat_op_input(g, max, 0) == z && dims_of(g, max) == dims_of(g, op)) return z;
  }
  return LEAT_NONE;
}

static bool suits_fold(const leat_columns_t *c, const leat_op_t *op) {
  leat_op_id_t max;
  return adds_columns(c, op) && (folds(c, op, LEAT_FOLD_MAX) || shifted_of(c, op, &max) != LEAT_NONE);
}

// What is folded: the operand, or what it is the shifted exponential of.
static leat_value_id_t folded(const leat_columns_t *c, const leat_op_t *op) {
  leat_op_id_t max;
  const leat_value_id_t z = shifted_of(c, op, &max);
  return z == LEAT_NONE ? leat_op_input(c->g, op, 0) : z;
}

static void want_fold(leat_columns_t *c, const leat_op_t *op) {
  const leat_value_id_t z = folded(c, op);
  leat_columns_want(c, z, c->follows[z] - 1u);
}

static bool stays_apart(const leat_columns_t *c, const leat_op_t *op) {
  (void)c, (void)op;
  return false;
}

static const leat_value_id_t *parts_of(const leat_columns_t *c, leat_op_id_t exit) {
  uint32_t i = 0;
  while (c->exits[i] != exit) i++;
  return c->parts + (size_t)i * c->chunk_count;
}

// A chunk that is all -inf is not shifted by its maximum: its terms are 0.
static leat_value_id_t part_of_fold(leat_rebuild_t *r, const leat_op_t *op, int64_t at, int64_t end) {
  const leat_columns_t *c = r->user;
  leat_builder_t *b = &r->b;
  leat_op_id_t max;
  const leat_value_id_t z = folded(c, op), part = leat_columns_at(r, z, c->follows[z] - 1u, at, end);
  if (shifted_of(c, op, &max) == LEAT_NONE) return leat_b_reduce(b, LEAT_FOLD_MAX, part, dims_of(c->g, op), true);
  const leat_value_id_t m = parts_of(c, max)[at / c->chunk];
  const leat_value_id_t shift = leat_b_number_or(b, leat_b_fn2s(b, EQ, m, -(double)INFINITY), 0.0, m);
  return leat_b_reduce(b, LEAT_FOLD_SUM, leat_b_fn1(b, EXP, leat_b_sub(b, part, shift)), dims_of(c->g, op), true);
}

// The greatest of all; or the sum of all, each scaled by exp(its maximum - the greatest).
static leat_value_id_t end_fold(leat_rebuild_t *r, const leat_op_t *op, const leat_value_id_t *parts) {
  const leat_columns_t *c = r->user;
  leat_builder_t *b = &r->b;
  leat_op_id_t max;
  leat_value_id_t all = parts[0];
  if (shifted_of(c, op, &max) == LEAT_NONE) {
    for (uint32_t i = 1; i < c->chunk_count; i++) all = leat_b_fn2(b, MAX, all, parts[i]);
    return all;
  }
  const leat_value_id_t *m = parts_of(c, max), greatest = r->map[leat_graph_op(c->g, max)->result_first];
  for (uint32_t i = 0; i < c->chunk_count; i++) {
    const leat_value_id_t scaled = leat_b_mul(b, parts[i], leat_b_fn1(b, EXP, leat_b_sub(b, m[i], greatest)));
    all = i == 0 ? scaled : leat_b_add(b, all, scaled);
  }
  return all;
}

// --- elements that forward picks -------------------------------------------------------------------------------------

static bool suits_pick(const leat_columns_t *c, const leat_op_t *op) {
  return leat_columns_of(c, op, 0) == (uint32_t)leat_op_int(c->g, op, LEAT_ATTR_DIM, 0) &&
         leat_columns_of(c, op, 1) == LEAT_NONE;
}

// Elements of other chunks are out of range here, which gives 0.
static leat_value_id_t part_of_pick(leat_rebuild_t *r, const leat_op_t *op, int64_t at, int64_t end) {
  const leat_columns_t *c = r->user;
  leat_builder_t *b = &r->b;
  const uint32_t dim = leat_columns_of(c, op, 0);
  leat_value_id_t index = leat_b_cast(b, r->map[leat_op_input(c->g, op, 1)], LEAT_I64);
  const leat_value_id_t from_end = leat_b_adds(b, index, (double)c->extent);
  index = leat_b_select(b, leat_b_fn2s(b, LT, index, 0.0), from_end, index);
  const leat_value_id_t behind = leat_b_fn2s(b, GE, index, (double)at), before = leat_b_fn2s(b, LT, index, (double)end);
  const leat_value_id_t place = leat_b_adds(b, index, -(double)at);
  index = leat_b_select_or(b, leat_b_fn2(b, AND, behind, before), place, (double)(end - at));
  return leat_b_gather(b, leat_columns_at(r, leat_op_input(c->g, op, 0), dim, at, end), index, dim,
                       (uint32_t)leat_op_int(c->g, op, LEAT_ATTR_BATCH, 0));
}

// --- all -------------------------------------------------------------------------------------------------------------

static const leat_columns_exit_t of_backward[LEAT_PRIM_COUNT] = {
    [LEAT_PRIM_CONTRACT] = {suits_product, want_product, adds_products, part_of_product, end_product},
    [LEAT_PRIM_REDUCE] = {suits_sum, want_operand, adds_columns, part_of_sum, end_sums},
};
static const leat_columns_exit_t of_forward[LEAT_PRIM_COUNT] = {
    [LEAT_PRIM_REDUCE] = {suits_fold, want_fold, stays_apart, part_of_fold, end_fold},
    [LEAT_PRIM_GATHER] = {suits_pick, want_operand, adds, part_of_pick, end_sum},
};

const leat_columns_exit_t *leat_columns_exit(const leat_columns_t *c, const leat_op_t *op) {
  if (op->kind >= LEAT_PRIM_COUNT || (op->type == LEAT_TYPE_FWD) != c->forward) return NULL;
  const leat_columns_exit_t *exit = &(c->forward ? of_forward : of_backward)[op->kind];
  return exit->suits != NULL && leat_columns_is_exact(leat_columns_result(c->g, op)) && exit->suits(c, op) ? exit
                                                                                                           : NULL;
}
