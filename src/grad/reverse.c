// SPDX-License-Identifier: Apache-2.0
// The walk of reverse mode: backwards over the ops of a graph, each by its rule, with sums where a value is used more
// than once.
#include "grad/reverse.h"

enum { PIECES_MAX = 255 };  // of a concat

// --- life ---------------------------------------------------------------------------------------------------------

// Operands (results) of the op that has most, at least 1.
static size_t most(const leat_graph_t *g, bool results) {
  uint32_t count = 1;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    const uint32_t own = results ? op->result_count : op->input_count;
    count = own > count ? own : count;
  }
  return count;
}

leat_status_t leat_reverse_init(leat_reverse_t *r, leat_graph_t *g, const leat_vjp_table_t *traced) {
  const size_t count = g->values.count, operands = most(g, false), results = most(g, true);
  *r = (leat_reverse_t){.traced = traced, .op_count = g->ops.count, .value_count = g->values.count};
  leat_builder_init(&r->b, g);
  r->needs = leat_alloc_zero(count + 1u, sizeof *r->needs);
  r->cotangents = leat_alloc_zero(count + 1u, sizeof *r->cotangents);
  r->x = leat_alloc_zero(operands, sizeof *r->x);
  r->dx = leat_alloc_zero(operands, sizeof *r->dx);
  r->wants = leat_alloc_zero(operands, sizeof *r->wants);
  r->y = leat_alloc_zero(results, sizeof *r->y);
  r->dy = leat_alloc_zero(results, sizeof *r->dy);
  if (r->needs == NULL || r->cotangents == NULL || r->x == NULL || r->dx == NULL || r->wants == NULL || r->y == NULL ||
      r->dy == NULL)
    return leat_out_of_memory();
  for (size_t i = 0; i < count; i++) r->cotangents[i] = LEAT_NONE;
  return NULL;
}

void leat_reverse_deinit(leat_reverse_t *r) {
  leat_free(r->needs);
  leat_free(r->cotangents);
  leat_free(r->x);
  leat_free(r->dx);
  leat_free(r->wants);
  leat_free(r->y);
  leat_free(r->dy);
}

// --- the walk -------------------------------------------------------------------------------------------------------

void leat_reverse_at(leat_builder_t *b, const leat_op_t *op) {
  b->type = LEAT_TYPE_BCKWD;
  b->detached = 0;
  b->group = op->group;
  b->origin = op->origin;
}

// --- sums -----------------------------------------------------------------------------------------------------------

// A value along one dim as pieces of others at `start`, with zeros between: what is left of the cotangent of a value of
// which parts were read.
typedef struct pieces_s {
  uint32_t dim, count;
  struct {
    leat_value_id_t x;
    int64_t start;
  } at[PIECES_MAX];
} pieces_t;

static const leat_op_t *producer(const leat_graph_t *g, leat_value_id_t v) {
  return leat_graph_op(g, leat_graph_value(g, v)->op);
}

static bool is_zero(const leat_graph_t *g, leat_value_id_t v) {
  double number;
  return leat_op_splat(g, producer(g, v), &number) && number == 0.0;
}

static int64_t extent_of(const leat_graph_t *g, leat_value_id_t v, uint32_t dim) {
  return leat_graph_value(g, v)->dims[dim];
}

// The dim that a pad with zeros pads, as the only one, and what comes before; LEAT_NONE: it is no such pad.
static uint32_t padded_dim(const leat_graph_t *g, const leat_op_t *op, int64_t *out_low) {
  uint32_t rank, steps, found = LEAT_NONE;
  const int64_t *low = leat_op_list(g, op, LEAT_ATTR_LOW, &rank), *high = leat_op_list(g, op, LEAT_ATTR_HIGH, &rank);
  const int64_t *interior = leat_op_list(g, op, LEAT_ATTR_INTERIOR, &steps);  // what pads alone have
  if (low == NULL || high == NULL || interior == NULL || leat_op_float(g, op, LEAT_ATTR_VALUE, 0.0) != 0.0)
    return LEAT_NONE;
  for (uint32_t d = 0; d < rank; d++) {
    if (low[d] < 0 || high[d] < 0 || (d < steps && interior[d] != 0)) return LEAT_NONE;
    if (low[d] == 0 && high[d] == 0) continue;
    if (found != LEAT_NONE) return LEAT_NONE;
    found = d;
    *out_low = low[d];
  }
  return found;
}

// Adds those of v, which may be some that were put side by side before; false: v has no zeros around, or too many.
static bool add_pieces(const leat_graph_t *g, leat_value_id_t v, pieces_t *p) {
  int64_t start = 0;
  bool zeros = false;
  uint32_t dim = padded_dim(g, producer(g, v), &start);
  if (dim != LEAT_NONE) v = leat_op_input(g, producer(g, v), 0);
  const leat_op_t *op = producer(g, v);
  const uint32_t along = op->kind == LEAT_PRIM_CONCAT ? (uint32_t)leat_op_int(g, op, LEAT_ATTR_DIM, 0) : LEAT_NONE;
  const bool joined = along != LEAT_NONE && (dim == LEAT_NONE || dim == along);
  zeros = dim != LEAT_NONE;
  dim = joined ? along : dim;
  if (dim == LEAT_NONE || (p->count > 0 && p->dim != dim)) return false;
  p->dim = dim;
  for (uint32_t i = 0; i < (joined ? op->input_count : 1); i++) {
    const leat_value_id_t x = joined ? leat_op_input(g, op, i) : v;
    zeros |= is_zero(g, x);
    if (p->count == PIECES_MAX) return false;
    if (!is_zero(g, x)) {
      p->at[p->count].x = x;
      p->at[p->count++].start = start;
    }
    start += extent_of(g, x, dim);
  }
  return zeros;
}

// Ascending; false where two overlap.
static bool sort_pieces(const leat_graph_t *g, pieces_t *p) {
  for (uint32_t i = 1; i < p->count; i++) {
    for (uint32_t k = i; k > 0 && p->at[k].start < p->at[k - 1].start; k--) {
      const __typeof__(p->at[0]) swap = p->at[k];
      p->at[k] = p->at[k - 1];
      p->at[k - 1] = swap;
    }
  }
  for (uint32_t i = 1; i < p->count; i++) {
    if (p->at[i - 1].start + extent_of(g, p->at[i - 1].x, p->dim) > p->at[i].start) return false;
  }
  return true;
}

// The sum of parts that do not overlap is all of them side by side; LEAT_NONE: they are no such parts.
static leat_value_id_t join_parts(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y) {
  pieces_t p = {.count = 0};
  if (x == LEAT_NONE || y == LEAT_NONE || !add_pieces(b->graph, x, &p) || !add_pieces(b->graph, y, &p) ||
      p.count == 0 || !sort_pieces(b->graph, &p))
    return LEAT_NONE;
  const leat_value_t v = *leat_graph_value(b->graph, x);
  leat_value_id_t all[2 * PIECES_MAX];
  uint32_t count = 0;
  int64_t low[LEAT_RANK_MAX] = {0}, high[LEAT_RANK_MAX] = {0}, end = p.at[0].start;
  low[p.dim] = end;
  for (uint32_t i = 0; i < p.count; i++) {
    leat_value_t gap = v;
    gap.dims[p.dim] = p.at[i].start - end;
    if (gap.dims[p.dim] > 0) all[count++] = leat_b_splat(b, (leat_dtype_t)v.dtype, v.rank, gap.dims, 0.0);
    all[count++] = p.at[i].x;
    end = p.at[i].start + extent_of(b->graph, p.at[i].x, p.dim);
  }
  if (count > PIECES_MAX) return LEAT_NONE;
  high[p.dim] = v.dims[p.dim] - end;
  const leat_value_id_t joined = leat_b_concat(b, all, count, p.dim);
  return low[p.dim] == 0 && high[p.dim] == 0 ? joined : leat_b_pad(b, joined, low, high, NULL, 0.0);
}

// The sum belongs to the op that produced the value.
void leat_reverse_add(leat_reverse_t *r, leat_value_id_t value, leat_value_id_t contribution) {
  leat_builder_t *b = &r->b;
  leat_value_t v = *leat_graph_value(b->graph, value);
  contribution = leat_b_sum_to(b, contribution, v.rank, v.dims);
  contribution = leat_b_broadcast_to(b, contribution, v.rank, v.dims);
  contribution = leat_b_cast(b, contribution, (leat_dtype_t)v.dtype);
  if (r->cotangents[value] == LEAT_NONE) {
    r->cotangents[value] = contribution;
    return;
  }
  uint32_t group = b->group, origin = b->origin;
  const leat_op_t *producer = leat_graph_op(b->graph, v.op);
  b->group = producer->group;
  b->origin = producer->origin;
  const leat_value_id_t both = join_parts(b, r->cotangents[value], contribution);
  r->cotangents[value] = both != LEAT_NONE ? both : leat_b_add(b, r->cotangents[value], contribution);
  b->group = group;
  b->origin = origin;
}

static bool is_empty(const leat_graph_t *g, leat_value_id_t v) {
  return leat_value_elements(leat_graph_value(g, v)) == 0;
}

// Who reads of a value nothing gives it zeros, as in eager mode, and not no gradient: behind an infinite slope they are
// NaN.
static void give_zeros(const leat_vjp_t *v) {
  for (uint32_t i = 0; i < v->op.result_count; i++) {
    if (v->dy[i] != LEAT_NONE && !is_empty(v->b->graph, v->y[i])) return;
  }
  for (uint32_t i = 0; i < v->x_count; i++) {
    if (v->wants[i] && !is_empty(v->b->graph, v->x[i])) v->dx[i] = leat_b_full_like(v->b, v->x[i], 0.0);
  }
}

static leat_status_t apply_rule(leat_reverse_t *r, const leat_op_t *op) {
  leat_builder_t *b = &r->b;
  leat_value_id_t *x = r->x, *dx = r->dx, *y = r->y, *dy = r->dy;
  bool *wants = r->wants, reached = false, any = false;
  if (op->result_count == 0 || op->input_count == 0 || op->detached) return NULL;
  for (uint32_t i = 0; i < op->result_count; i++) {
    y[i] = op->result_first + i;
    dy[i] = r->cotangents[y[i]];
    reached = reached || dy[i] != LEAT_NONE;
  }
  for (uint32_t i = 0; i < op->input_count; i++) {
    x[i] = leat_op_input(b->graph, op, i);
    dx[i] = LEAT_NONE;
    wants[i] = x[i] != LEAT_NONE && r->needs[x[i]];
    any = any || wants[i];
  }
  if (!reached || !any) return NULL;
  leat_vjp_rule_t rule = leat_vjp_rule(r->traced, op->kind);
  if (rule == NULL) LEAT_FAIL(LEAT_INTERNAL, "a traced op without own gradient reached reverse mode");
  leat_reverse_at(b, op);
  leat_vjp_t v = {.b = b, .op = *op, .x = x, .x_count = op->input_count, .y = y, .dy = dy, .wants = wants, .dx = dx};
  rule(&v);
  give_zeros(&v);
  for (uint32_t i = 0; i < op->input_count; i++)
    if (wants[i] && dx[i] != LEAT_NONE) leat_reverse_add(r, x[i], dx[i]);
  return leat_builder_take_status(b);
}

leat_status_t leat_reverse_walk(leat_reverse_t *r) {
  for (leat_op_id_t id = r->op_count; id-- > 0;) {
    leat_op_t op = *leat_graph_op(r->b.graph, id);
    leat_status_t status = apply_rule(r, &op);
    char where[256];
    if (status != NULL)
      return leat_status_annotate(status, "gradient of %s", leat_op_text(r->b.graph, &op, where, sizeof where));
  }
  return NULL;
}
