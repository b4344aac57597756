// SPDX-License-Identifier: Apache-2.0
// The local rules. Each states its equation; the driver checks dtype and shape where a rule ends a candidate.
#include <math.h>

#include "opt/fold.h"

static leat_scalar_t function_of(const leat_candidate_t *c) {
  const leat_attr_t *attr = leat_fold_attr(c, LEAT_ATTR_FN);
  return attr != NULL ? (leat_scalar_t)attr->v.i : LEAT_SCALAR_COUNT;
}

static leat_value_id_t operand_of(const leat_candidate_t *c, const leat_op_t *op) {
  return leat_op_input(c->b->graph, op, 0);
}

static const leat_value_t *value(const leat_candidate_t *c, leat_value_id_t v) {
  return leat_graph_value(c->b->graph, v);
}

// --- map -----------------------------------------------------------------------------------------------------------

// copy(x) = x; stop(x) = x, once gradients are written; cast to the dtype it has.
static bool drop_copy(leat_candidate_t *c) {
  leat_scalar_t fn = function_of(c);
  if (fn != LEAT_SCALAR_COPY && fn != LEAT_SCALAR_STOP && fn != LEAT_SCALAR_CAST) return false;
  return leat_fold_end(c, c->in[0]);
}

// Does `wide` hold every value of `narrow`?
static bool holds(leat_dtype_t wide, leat_dtype_t narrow) {
  static const struct {
    leat_dtype_t wide, narrow;
  } pairs[] = {{LEAT_F32, LEAT_BF16}, {LEAT_F32, LEAT_F16}, {LEAT_F64, LEAT_F32}, {LEAT_F64, LEAT_BF16},
               {LEAT_F64, LEAT_F16},  {LEAT_I16, LEAT_I8},  {LEAT_I16, LEAT_U8},  {LEAT_I32, LEAT_I8},
               {LEAT_I32, LEAT_U8},   {LEAT_I32, LEAT_I16}, {LEAT_I64, LEAT_I8},  {LEAT_I64, LEAT_U8},
               {LEAT_I64, LEAT_I16},  {LEAT_I64, LEAT_I32}, {LEAT_F64, LEAT_I32}};
  if (narrow == LEAT_BOOL) return true;
  for (uint32_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (pairs[i].wide == wide && pairs[i].narrow == narrow) return true;
  return false;
}

// cast(cast(x)) = cast(x) when the inner cast loses nothing.
static bool join_casts(leat_candidate_t *c) {
  if (function_of(c) != LEAT_SCALAR_CAST) return false;
  const leat_op_t *inner = leat_fold_producer(c, c->in[0]);
  if (leat_op_scalar(c->b->graph, inner) != LEAT_SCALAR_CAST) return false;
  leat_value_id_t x = operand_of(c, inner);
  if (!holds((leat_dtype_t)value(c, c->in[0])->dtype, (leat_dtype_t)value(c, x)->dtype)) return false;
  c->in[0] = x;
  return true;
}

// x*1 = 1*x = x/1 = x; x + -0 = -0 + x = x - 0 = x; for integers zero has no sign.
static bool drop_neutral(leat_candidate_t *c) {
  leat_scalar_t fn = function_of(c);
  if (fn != LEAT_SCALAR_MUL && fn != LEAT_SCALAR_DIV && fn != LEAT_SCALAR_ADD && fn != LEAT_SCALAR_SUB) return false;
  bool is_float = leat_dtype_is_float((leat_dtype_t)c->y.dtype),
       commutes = fn == LEAT_SCALAR_MUL || fn == LEAT_SCALAR_ADD;
  for (uint32_t i = commutes ? 0 : 1; i < 2; i++) {
    double number;
    if (!leat_fold_splat(c, c->in[i], &number)) continue;
    bool neutral = fn == LEAT_SCALAR_MUL || fn == LEAT_SCALAR_DIV
                       ? number == 1.0
                       : number == 0.0 && (!is_float || (signbit(number) != 0) == (fn == LEAT_SCALAR_ADD));
    if (neutral && leat_fold_end(c, c->in[1 - i])) return true;
  }
  return false;
}

// neg(neg(x)) = x, not(not(x)) = x
static bool drop_double_inverse(leat_candidate_t *c) {
  leat_scalar_t fn = function_of(c);
  if (fn != LEAT_SCALAR_NEG && fn != LEAT_SCALAR_NOT) return false;
  const leat_op_t *inner = leat_fold_producer(c, c->in[0]);
  return leat_op_scalar(c->b->graph, inner) == fn && leat_fold_end(c, operand_of(c, inner));
}

// select(true, x, y) = x; select(false, x, y) = y; select(c, x, x) = x
static bool settle_select(leat_candidate_t *c) {
  double condition;
  if (function_of(c) != LEAT_SCALAR_SELECT) return false;
  if (c->in[1] == c->in[2]) return leat_fold_end(c, c->in[1]);
  return leat_fold_splat(c, c->in[0], &condition) && leat_fold_end(c, condition != 0.0 ? c->in[1] : c->in[2]);
}

// Would the map keep its shape if operand `skip` had the dims `dims`?
static bool keeps_shape(const leat_candidate_t *c, uint32_t skip, const int64_t *dims) {
  for (uint32_t d = 0; d < c->y.rank; d++) {
    int64_t extent = dims[d];
    for (uint32_t i = 0; i < c->in_count && extent == 1; i++)
      if (i != skip) extent = value(c, c->in[i])->dims[d];
    if (extent != c->y.dims[d]) return false;
  }
  return true;
}

// map(broadcast(x), y) = map(x, y): a map broadcasts by itself.
static bool read_through_broadcast(leat_candidate_t *c) {
  for (uint32_t i = 0; i < c->in_count; i++) {
    const leat_op_t *op = leat_fold_producer(c, c->in[i]);
    if (op->kind != LEAT_PRIM_BROADCAST) continue;
    leat_value_id_t x = operand_of(c, op);
    if (!keeps_shape(c, i, value(c, x)->dims)) continue;
    c->in[i] = x;
    return true;
  }
  return false;
}

// A splat operand of a map needs one element only.
static bool shrink_splat(leat_candidate_t *c) {
  const int64_t ones[LEAT_RANK_MAX] = {1, 1, 1, 1, 1, 1, 1, 1};
  for (uint32_t i = 0; i < c->in_count; i++) {
    double number;
    leat_value_t x = *value(c, c->in[i]);
    if (leat_value_elements(&x) <= 1 || !leat_fold_splat(c, c->in[i], &number) || !keeps_shape(c, i, ones)) continue;
    c->in[i] = leat_b_splat(c->b, (leat_dtype_t)x.dtype, x.rank, ones, number);
    return true;
  }
  return false;
}

// --- moving elements -----------------------------------------------------------------------------------------------

// Equal shape means: nothing changed.
static bool drop_identity_view(leat_candidate_t *c) { return leat_fold_end(c, c->in[0]); }

static bool drop_identity_transpose(leat_candidate_t *c) {
  const leat_attr_t *dims = leat_fold_attr(c, LEAT_ATTR_DIMS);
  for (uint32_t i = 0; i < dims->count; i++)
    if (dims->v.l[i] != i) return false;
  return leat_fold_end(c, c->in[0]);
}

// Equal shape means: nothing cut; nothing padded if nothing is cropped either.
static bool drop_identity_pad(leat_candidate_t *c) {
  const leat_attr_t *low = leat_fold_attr(c, LEAT_ATTR_LOW), *high = leat_fold_attr(c, LEAT_ATTR_HIGH);
  for (uint32_t i = 0; i < low->count; i++)
    if (low->v.l[i] != 0 || high->v.l[i] != 0) return false;
  return leat_fold_end(c, c->in[0]);
}

static bool drop_single_concat(leat_candidate_t *c) { return c->in_count == 1 && leat_fold_end(c, c->in[0]); }

// Turning around dims of one element.
static bool drop_idle_flip(leat_candidate_t *c) {
  const leat_attr_t *dims = leat_fold_attr(c, LEAT_ATTR_DIMS);
  for (uint32_t i = 0; i < dims->count; i++)
    if (c->y.dims[dims->v.l[i]] > 1) return false;
  return leat_fold_end(c, c->in[0]);
}

// reshape(reshape(x)) = reshape(x), broadcast(broadcast(x)) = broadcast(x)
static bool drop_inner_view(leat_candidate_t *c) {
  const leat_op_t *inner = leat_fold_producer(c, c->in[0]);
  if (inner->kind != c->kind) return false;
  c->in[0] = operand_of(c, inner);
  return true;
}

// transpose(transpose(x)) is one transpose
static bool join_transposes(leat_candidate_t *c) {
  const leat_op_t *inner = leat_fold_producer(c, c->in[0]);
  if (inner->kind != c->kind) return false;
  uint32_t rank;
  const int64_t *first = leat_op_list(c->b->graph, inner, LEAT_ATTR_DIMS, &rank);
  for (uint32_t i = 0; i < c->attr_count; i++) {
    if (c->attrs[i].key != LEAT_ATTR_DIMS) continue;
    int64_t joined[LEAT_RANK_MAX];
    for (uint32_t d = 0; d < rank; d++) joined[d] = first[c->attrs[i].v.l[d]];
    memcpy(c->list, joined, rank * sizeof *joined);
    c->attrs[i].v.l = c->list;
  }
  c->in[0] = operand_of(c, inner);
  return true;
}

// A transpose that moves only dims of extent 1 keeps the order of elements.
static bool transpose_as_reshape(leat_candidate_t *c) {
  const leat_attr_t *dims = leat_fold_attr(c, LEAT_ATTR_DIMS);
  int64_t last = -1;
  for (uint32_t d = 0; d < dims->count; d++) {
    if (c->y.dims[d] == 1) continue;
    if (dims->v.l[d] < last) return false;
    last = dims->v.l[d];
  }
  c->value = leat_b_reshape(c->b, c->in[0], c->y.rank, c->y.dims);
  return true;
}

// The largest and smallest of one element.
static bool drop_idle_extreme(leat_candidate_t *c) {
  const leat_fold_t fn = (leat_fold_t)leat_fold_attr(c, LEAT_ATTR_FN)->v.i;
  return (fn == LEAT_FOLD_MAX || fn == LEAT_FOLD_MIN) && leat_fold_end(c, c->in[0]);
}

// A part that is all of it: reverse mode, which sums what the trips have for it, is over.
static bool drop_whole_part(leat_candidate_t *c) {
  return leat_fold_attr(c, LEAT_ATTR_DIM)->v.i == -1 && leat_fold_end(c, c->in[0]);
}

const leat_fold_entry_t leat_fold_rules[] = {
    {LEAT_PRIM_MAP, "drop_copy", drop_copy},
    {LEAT_PRIM_MAP, "join_casts", join_casts},
    {LEAT_PRIM_MAP, "drop_neutral", drop_neutral},
    {LEAT_PRIM_MAP, "drop_double_inverse", drop_double_inverse},
    {LEAT_PRIM_MAP, "settle_select", settle_select},
    {LEAT_PRIM_MAP, "splat_map", leat_fold_splat_map},
    {LEAT_PRIM_MAP, "read_through_broadcast", read_through_broadcast},
    {LEAT_PRIM_MAP, "shrink_splat", shrink_splat},
    {LEAT_PRIM_RESHAPE, "drop_identity_view", drop_identity_view},
    {LEAT_PRIM_TRANSPOSE, "drop_identity_transpose", drop_identity_transpose},
    {LEAT_PRIM_SLICE, "drop_identity_view", drop_identity_view},
    {LEAT_PRIM_BROADCAST, "drop_identity_view", drop_identity_view},
    {LEAT_PRIM_PAD, "drop_identity_pad", drop_identity_pad},
    {LEAT_PRIM_CONCAT, "drop_single_concat", drop_single_concat},
    {LEAT_PRIM_FLIP, "drop_idle_flip", drop_idle_flip},
    {LEAT_PRIM_RESHAPE, "drop_inner_view", drop_inner_view},
    {LEAT_PRIM_TRANSPOSE, "join_transposes", join_transposes},
    {LEAT_PRIM_BROADCAST, "drop_inner_view", drop_inner_view},
    {LEAT_PRIM_TRANSPOSE, "transpose_as_reshape", transpose_as_reshape},
    {LEAT_PRIM_REDUCE, "drop_idle_extreme", drop_idle_extreme},
    {LEAT_PRIM_PART, "drop_whole_part", drop_whole_part},
    {LEAT_PRIM_COUNT, "splat_view", leat_fold_splat_view},
    {LEAT_PRIM_COUNT, "evaluate", leat_fold_evaluate},
};
const uint32_t leat_fold_rule_count = sizeof leat_fold_rules / sizeof *leat_fold_rules;
