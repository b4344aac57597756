// SPDX-License-Identifier: Apache-2.0
// What a chunk of columns makes: what follows the product, and what that reads of columns that hang on nothing.
#include "ir/formula.h"
#include "opt/columns.h"

// --- followers: which dim of a result has the columns of an operand's dim; the op again, of other operands -----------

typedef uint32_t (*follow_t)(const leat_graph_t *g, const leat_op_t *op, uint32_t dim);
typedef leat_value_id_t (*remake_t)(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                    const leat_value_id_t *in, const leat_value_t *as);

static uint32_t follow_same(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  (void)g, (void)op;
  return dim;
}

static leat_value_id_t remake_map(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                  const leat_value_id_t *in, const leat_value_t *as) {
  return leat_b_op(b, op->kind, in, op->input_count, g->attrs.data + op->attr_first, op->attr_count, as);
}

static int64_t elements_behind(const leat_value_t *v, uint32_t dim) {
  int64_t elements = 1;
  for (uint32_t d = dim + 1; d < v->rank; d++) elements *= v->dims[d];
  return elements;
}

static uint32_t follow_reshape(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  const leat_value_t *from = leat_graph_value(g, leat_op_input(g, op, 0)), *to = leat_columns_result(g, op);
  for (uint32_t d = 0; d < to->rank; d++) {
    if (to->dims[d] == from->dims[dim] && elements_behind(to, d) == elements_behind(from, dim)) return d;
  }
  return LEAT_NONE;
}

static leat_value_id_t remake_reshape(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                      const leat_value_id_t *in, const leat_value_t *as) {
  (void)g, (void)op;
  return leat_b_reshape(b, in[0], as->rank, as->dims);
}

static uint32_t follow_transpose(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  uint32_t rank;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &rank);
  for (uint32_t d = 0; d < rank; d++) {
    if (dims[d] == (int64_t)dim) return d;
  }
  return LEAT_NONE;
}

static leat_value_id_t remake_transpose(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                        const leat_value_id_t *in, const leat_value_t *as) {
  (void)as;
  return leat_b_transpose(b, in[0], leat_op_list(g, op, LEAT_ATTR_DIMS, &(uint32_t){0}));
}

static leat_value_id_t remake_broadcast(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                        const leat_value_id_t *in, const leat_value_t *as) {
  (void)g, (void)op;
  return leat_b_broadcast_to(b, in[0], as->rank, as->dims);
}

static uint32_t follow_slice(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  uint32_t rank;
  const int64_t *step = leat_op_list(g, op, LEAT_ATTR_STEP, &rank);
  return leat_columns_result(g, op)->dims[dim] == leat_graph_value(g, leat_op_input(g, op, 0))->dims[dim] &&
                 step[dim] == 1
             ? dim
             : LEAT_NONE;
}

static leat_value_id_t remake_slice(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                    const leat_value_id_t *in, const leat_value_t *as) {
  uint32_t rank;
  int64_t stop[LEAT_RANK_MAX];
  memcpy(stop, leat_op_list(g, op, LEAT_ATTR_STOP, &rank), as->rank * sizeof *stop);
  for (uint32_t d = 0; d < as->rank; d++) {
    if (as->dims[d] != leat_columns_result(g, op)->dims[d]) stop[d] = as->dims[d];
  }
  return leat_b_slice(b, in[0], leat_op_list(g, op, LEAT_ATTR_START, &rank), stop,
                      leat_op_list(g, op, LEAT_ATTR_STEP, &rank));
}

static uint32_t follow_pad(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  uint32_t rank;
  const leat_attr_key_t keys[] = {LEAT_ATTR_LOW, LEAT_ATTR_HIGH, LEAT_ATTR_INTERIOR};
  for (uint32_t i = 0; i < 3; i++) {
    if (leat_op_list(g, op, keys[i], &rank)[dim] != 0) return LEAT_NONE;
  }
  return dim;
}

static leat_value_id_t remake_pad(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                  const leat_value_id_t *in, const leat_value_t *as) {
  uint32_t rank;
  (void)as;
  return leat_b_pad(b, in[0], leat_op_list(g, op, LEAT_ATTR_LOW, &rank), leat_op_list(g, op, LEAT_ATTR_HIGH, &rank),
                    leat_op_list(g, op, LEAT_ATTR_INTERIOR, &rank), leat_op_float(g, op, LEAT_ATTR_VALUE, 0.0));
}

// Of what does not hang on the product, chunks make columns that are those of an operand, or any.
enum { NEVER, OF_AN_OPERAND, ANY };

static const struct {
  follow_t follow;
  remake_t remake;
  int columns;
} followers[LEAT_PRIM_COUNT] = {
    [LEAT_PRIM_MAP] = {follow_same, remake_map, ANY},
    [LEAT_PRIM_RESHAPE] = {follow_reshape, remake_reshape, OF_AN_OPERAND},
    [LEAT_PRIM_TRANSPOSE] = {follow_transpose, remake_transpose, OF_AN_OPERAND},
    [LEAT_PRIM_BROADCAST] = {follow_same, remake_broadcast, ANY},
    [LEAT_PRIM_SLICE] = {follow_slice, remake_slice, OF_AN_OPERAND},
    [LEAT_PRIM_PAD] = {follow_pad, remake_pad, NEVER},
};

static bool is_follower(const leat_op_t *op) {
  return op->kind < LEAT_PRIM_COUNT && followers[op->kind].follow != NULL;
}

// The dim of operand `input` whose columns are dim `dim` of the result; LEAT_NONE: it has none.
static uint32_t dim_of_operand(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  const leat_value_t *from = leat_graph_value(g, leat_op_input(g, op, input));
  for (uint32_t d = 0; d < from->rank; d++) {
    if (from->dims[d] == leat_columns_result(g, op)->dims[dim] && followers[op->kind].follow(g, op, d) == dim) return d;
  }
  return LEAT_NONE;
}

uint32_t leat_columns_follow(const leat_columns_t *c, const leat_op_t *op) {
  uint32_t found = LEAT_NONE;
  if (!is_follower(op)) return LEAT_NONE;
  for (uint32_t i = 0; i < op->input_count; i++) {
    const uint32_t dim = leat_columns_of(c, op, i);
    if (dim == LEAT_NONE) continue;
    const uint32_t to = followers[op->kind].follow(c->g, op, dim);
    if (to == LEAT_NONE || leat_columns_result(c->g, op)->dims[to] != c->extent || (found != LEAT_NONE && to != found))
      return LEAT_NONE;
    found = to;
  }
  return found;
}

// --- what a chunk makes ----------------------------------------------------------------------------------------------

static bool is_splat(const leat_graph_t *g, leat_value_id_t v) {
  double number;
  return leat_op_splat(g, leat_columns_maker(g, v), &number);
}

// Can a chunk make its columns, dim `dim`, of `v`, which does not hang on the product?
static bool is_remakable(const leat_columns_t *c, leat_value_id_t v, uint32_t dim) {
  const leat_op_t *op = leat_columns_maker(c->g, v);
  if (leat_op_role(op->kind) == LEAT_ROLE_SEQUENCE || is_splat(c->g, v)) return true;
  if (!is_follower(op) || followers[op->kind].columns == NEVER) return false;
  return followers[op->kind].columns == ANY || dim_of_operand(c->g, op, 0, dim) != LEAT_NONE;
}

void leat_columns_want(leat_columns_t *c, leat_value_id_t v, uint32_t dim) {
  if (leat_graph_value(c->g, v)->dims[dim] != c->extent || c->remade[v] != 0) return;
  const bool early = leat_graph_value(c->g, v)->op < c->place;
  if (c->follows[v] != 0 || (early && is_remakable(c, v, dim))) c->remade[v] = (uint8_t)(dim + 1);
}

void leat_columns_want_contract(leat_columns_t *c, const leat_op_t *op, char letter) {
  const leat_spec_t *spec = leat_op_spec(c->g, op);
  for (uint32_t i = 0; i < 2; i++) {
    const int at = leat_spec_find(spec, i, letter);
    if (at >= 0) leat_columns_want(c, leat_op_input(c->g, op, i), (uint32_t)at);
  }
}

void leat_columns_want_follower(leat_columns_t *c, const leat_op_t *op, uint32_t dim) {
  for (uint32_t i = 0; i < op->input_count && is_follower(op); i++) {
    const uint32_t from = dim_of_operand(c->g, op, i, dim);
    if (from != LEAT_NONE) leat_columns_want(c, leat_op_input(c->g, op, i), from);
  }
}

// --- writing ---------------------------------------------------------------------------------------------------------

leat_value_id_t leat_columns_at(leat_rebuild_t *r, leat_value_id_t v, uint32_t dim, int64_t at, int64_t end) {
  const leat_columns_t *c = r->user;
  if (v == LEAT_NONE) return LEAT_NONE;
  if (dim == LEAT_NONE || leat_graph_value(c->g, v)->dims[dim] != c->extent) return r->map[v];
  if (c->remade[v] == dim + 1) return c->made[v];
  return leat_b_slice_dim(&r->b, r->map[v], dim, at, end, 1);
}

leat_value_id_t leat_columns_contract(leat_rebuild_t *r, const leat_op_t *op, char letter, int64_t at, int64_t end) {
  const leat_columns_t *c = r->user;
  const leat_spec_t *spec = leat_op_spec(c->g, op);
  leat_value_id_t in[2];
  for (uint32_t i = 0; i < 2; i++) {
    const int dim = leat_spec_find(spec, i, letter);
    in[i] = leat_columns_at(r, leat_op_input(c->g, op, i), dim < 0 ? LEAT_NONE : (uint32_t)dim, at, end);
  }
  return leat_b_op(&r->b, op->kind, in, 2, c->g->attrs.data + op->attr_first, op->attr_count, NULL);
}

static leat_value_id_t remake_sequence(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                       const leat_value_t *as, uint32_t dim, int64_t at) {
  const uint32_t along = (uint32_t)leat_op_int(g, op, LEAT_ATTR_DIM, 0);
  const leat_value_id_t places = leat_b_iota(b, (leat_dtype_t)as->dtype, as->rank, as->dims, along);
  return along == dim && at != 0 ? leat_b_adds(b, places, (double)at) : places;
}

static leat_value_id_t remake_follower(leat_rebuild_t *r, const leat_op_t *op, const leat_value_t *as, uint32_t dim,
                                       int64_t at, int64_t end) {
  const leat_columns_t *c = r->user;
  leat_value_id_t in[3];
  assert(op->input_count <= 3);
  for (uint32_t i = 0; i < op->input_count; i++)
    in[i] = leat_columns_at(r, leat_op_input(c->g, op, i), dim_of_operand(c->g, op, i, dim), at, end);
  return followers[op->kind].remake(&r->b, c->g, op, in, as);
}

void leat_columns_remake(leat_rebuild_t *r, leat_op_id_t id, int64_t at, int64_t end) {
  leat_columns_t *c = r->user;
  const leat_op_t *op = leat_graph_op(c->g, id);
  const uint32_t dim = c->remade[op->result_first] - 1u;
  leat_value_t as = *leat_columns_result(c->g, op);
  double number = 0.0;
  leat_value_id_t *made = &c->made[op->result_first];
  as.dims[dim] = end - at;
  r->b.origin = op->origin;
  if (id == c->product)
    *made = leat_columns_contract(r, op, leat_columns_letter(c), at, end);
  else if (leat_op_role(op->kind) == LEAT_ROLE_SEQUENCE)
    *made = remake_sequence(&r->b, c->g, op, &as, dim, at);
  else if (leat_op_splat(c->g, op, &number))
    *made = leat_b_splat(&r->b, (leat_dtype_t)as.dtype, as.rank, as.dims, number);
  else
    *made = remake_follower(r, op, &as, dim, at, end);
}
