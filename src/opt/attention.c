// SPDX-License-Identifier: Apache-2.0
// Attention that a program writes out: matmul(dropout(softmax(matmul(q, k^T) * scale + mask)), v) becomes one
// scaled_dot_product_attention, which needs no table of scores in memory.
//
// Works on the traced graph, so that its gradient is that of one op, too. Nobody else may read what lies between the
// products; all of it is f32, or what is multiplied bf16 and what lies between one of both: in blocks scores are not
// rounded. It is in one group, and as long as blocks are quicker (ir/attention.h). The mask may be added
// (what wants a gradient is not, since that needs the table), or stand in `masked_fill` or `where` with -inf. A row of
// which no key takes part stays NaN. What is left of the chain reads on until dce.
#include "ir/attention.h"

#include <math.h>

#include "ir/rebuild.h"
#include "opt/opt.h"

typedef struct attention_s {
  uint32_t *readers;
  bool *trains;  // per value: it hangs on something that wants a gradient
} attention_t;

// What an op may be in such a chain.
enum { OTHER, PRODUCT, SOFTMAX, DROPOUT, ADDED, FILLED, CHOSEN, TIMES, OVER, SAME };
static const uint8_t parts[LEAT_OP_KIND_COUNT] = {
    [LEAT_TRACED_MATMUL] = PRODUCT,  [LEAT_TRACED_BMM] = PRODUCT, [LEAT_TRACED_SOFTMAX] = SOFTMAX,
    [LEAT_TRACED_DROPOUT] = DROPOUT, [LEAT_TRACED_ADD] = ADDED,   [LEAT_TRACED_MASKED_FILL] = FILLED,
    [LEAT_TRACED_WHERE] = CHOSEN,    [LEAT_TRACED_MUL] = TIMES,   [LEAT_TRACED_DIV] = OVER,
    [LEAT_TRACED_TO] = SAME,         [LEAT_TRACED_CLONE] = SAME,  [LEAT_TRACED_CONTIGUOUS] = SAME,
};
static uint8_t part_of(const leat_op_t *op) { return op == NULL ? OTHER : parts[op->kind]; }

// What is found on the way from the second product up to the first.
typedef struct chain_s {
  const leat_graph_t *g;
  const attention_t *a;
  const leat_op_t *mix;  // the second product
  const leat_op_t *dropout;
  leat_value_id_t q, k_turned, mask;
  bool narrow;  // what is multiplied is bf16
  bool hides;   // the mask is true where a key takes no part
  double scale;
} chain_t;

static const leat_op_t *maker(const leat_graph_t *g, leat_value_id_t v) {
  return leat_graph_op(g, leat_graph_value(g, v)->op);
}

static bool is_splat(const leat_graph_t *g, leat_value_id_t v, double *out_number) {
  return v != LEAT_NONE && leat_op_splat(g, maker(g, v), out_number);
}

static bool fits_between(const chain_t *c, leat_value_id_t v) {
  const uint32_t dtype = leat_graph_value(c->g, v)->dtype;
  return dtype == LEAT_F32 || (c->narrow && dtype == LEAT_BF16);
}

// The op that makes `v` for the chain alone, NULL where it is no part of it.
static const leat_op_t *link_of(const chain_t *c, leat_value_id_t v) {
  const leat_op_t *op = maker(c->g, v);
  const bool alike = op->group == c->mix->group && op->detached == c->mix->detached && op->type == c->mix->type;
  return alike && c->a->readers[v] == 1 && fits_between(c, v) ? op : NULL;
}

// As `v` is without copies and conversions of what may lie between.
static leat_value_id_t through_same(const chain_t *c, leat_value_id_t v) {
  const leat_op_t *op = link_of(c, v);
  while (part_of(op) == SAME) {
    const leat_value_id_t before = leat_op_input(c->g, op, 0);
    if (!fits_between(c, before)) return v;
    v = before;
    op = link_of(c, v);
  }
  return v;
}

static bool has_shape_of_scores(const chain_t *c, leat_value_id_t v, leat_value_id_t scores) {
  return leat_same_shape(leat_graph_value(c->g, v), leat_graph_value(c->g, scores));
}

// --- from the weights up -------------------------------------------------------------------------------------------

// weights -> the scores that they are the softmax of; LEAT_NONE: they are not.
static leat_value_id_t find_scores(chain_t *c, leat_value_id_t weights) {
  leat_value_id_t v = through_same(c, weights);
  const leat_op_t *op = link_of(c, v);
  if (part_of(op) == DROPOUT) {
    if (leat_op_int(c->g, op, LEAT_ATTR_TRAINING, 0) != 0) c->dropout = op;
    v = through_same(c, leat_op_input(c->g, op, 0));
    op = link_of(c, v);
  }
  if (part_of(op) != SOFTMAX) return LEAT_NONE;
  const uint32_t rank = leat_graph_value(c->g, v)->rank;
  return leat_op_int(c->g, op, LEAT_ATTR_DIM, 0) + 1 == (int64_t)rank ? leat_op_input(c->g, op, 0) : LEAT_NONE;
}

static bool take_mask(chain_t *c, leat_value_id_t mask, bool hides) {
  const bool fits = fits_between(c, mask) || leat_graph_value(c->g, mask)->dtype == LEAT_BOOL;
  if (c->mask != LEAT_NONE || c->a->trains[mask] || !fits) return false;
  c->mask = mask;
  c->hides = hides;
  return true;
}

// Scores below a mask: the operand that goes on; LEAT_NONE: the op is no mask.
static leat_value_id_t below_mask(chain_t *c, const leat_op_t *op) {
  double number;
  if (part_of(op) == ADDED && leat_op_float(c->g, op, LEAT_ATTR_ALPHA, 1.0) == 1.0) {
    for (uint32_t i = 0; i < 2; i++) {
      const leat_value_id_t scores = leat_op_input(c->g, op, i), mask = leat_op_input(c->g, op, 1 - i);
      const bool goes_on = has_shape_of_scores(c, scores, op->result_first) && link_of(c, scores) != NULL;
      if (goes_on && part_of(link_of(c, mask)) != PRODUCT && fits_between(c, mask))
        return take_mask(c, mask, false) ? scores : LEAT_NONE;
    }
    return LEAT_NONE;
  }
  const bool fills = part_of(op) == FILLED, chooses = part_of(op) == CHOSEN;
  if (!fills && !chooses) return LEAT_NONE;
  if (!is_splat(c->g, leat_op_input(c->g, op, 2), &number) || number != -HUGE_VAL) return LEAT_NONE;
  const leat_value_id_t mask = leat_op_input(c->g, op, fills ? 1 : 0), scores = leat_op_input(c->g, op, fills ? 0 : 1);
  if (leat_graph_value(c->g, mask)->dtype != LEAT_BOOL || !has_shape_of_scores(c, scores, op->result_first))
    return LEAT_NONE;
  return take_mask(c, mask, fills) ? scores : LEAT_NONE;
}

// Scores below a factor, which is a number.
static leat_value_id_t below_scale(chain_t *c, const leat_op_t *op) {
  double number;
  const bool times = part_of(op) == TIMES;
  if (!times && part_of(op) != OVER) return LEAT_NONE;
  if (!times && leat_op_attr(c->g, op, LEAT_ATTR_ROUNDING) != NULL) return LEAT_NONE;
  for (uint32_t i = 0; i < (times ? 2u : 1u); i++) {
    if (!is_splat(c->g, leat_op_input(c->g, op, 1 - i), &number) || number == 0.0) continue;
    c->scale *= times ? number : 1.0 / number;
    return leat_op_input(c->g, op, i);
  }
  return LEAT_NONE;
}

// scores -> q and k; the mask comes before the scale.
static bool find_factors(chain_t *c, leat_value_id_t scores) {
  bool scaled = false;
  for (;;) {
    scores = through_same(c, scores);
    const leat_op_t *op = link_of(c, scores);
    if (op == NULL) return false;
    if (part_of(op) == PRODUCT) {
      c->q = leat_op_input(c->g, op, 0);
      c->k_turned = leat_op_input(c->g, op, 1);
      return true;
    }
    const leat_value_id_t below = scaled ? LEAT_NONE : below_mask(c, op);
    scores = below != LEAT_NONE ? below : below_scale(c, op);
    if (scores == LEAT_NONE) return false;
    scaled = scaled || below == LEAT_NONE;
  }
}

// --- the op that stands for it ---------------------------------------------------------------------------------------

// Three operands of one dtype and rank, whose dims before the last two are those of the result or 1.
static bool fits(const chain_t *c) {
  const leat_value_t *result = leat_graph_value(c->g, c->mix->result_first);
  const leat_value_id_t factors[] = {c->q, c->k_turned, leat_op_input(c->g, c->mix, 1)};
  for (uint32_t i = 0; i < 3; i++) {
    const leat_value_t *x = leat_graph_value(c->g, factors[i]);
    if (x->dtype != (c->narrow ? LEAT_BF16 : LEAT_F32) || x->rank != result->rank || x->rank < 2 ||
        leat_value_elements(x) == 0)
      return false;
    for (uint32_t d = 0; d + 2 < x->rank; d++) {
      if (x->dims[d] != 1 && x->dims[d] != result->dims[d]) return false;
    }
  }
  if (c->mask != LEAT_NONE && leat_graph_value(c->g, c->mask)->rank > result->rank) return false;
  const leat_value_t *q = leat_graph_value(c->g, c->q), *k = leat_graph_value(c->g, c->k_turned);
  return leat_attention_in_blocks(q->dims[q->rank - 2], k->dims[k->rank - 1], q->dims[q->rank - 1], false,
                                  c->dropout != NULL);
}

static leat_status_t append(leat_rebuild_t *r, leat_op_desc_t desc, leat_value_id_t *out_value) {
  leat_op_id_t id;
  desc.type = r->b.type;
  desc.detached = r->b.detached;
  desc.group = r->b.group;
  desc.origin = r->b.origin;
  desc.result_count = 1;
  LEAT_TRY(leat_graph_append(r->b.graph, &desc, &id));
  *out_value = leat_graph_op(r->b.graph, id)->result_first;
  return NULL;
}

static leat_status_t turn_back(leat_rebuild_t *r, leat_value_id_t x, leat_value_id_t *out_value) {
  leat_value_t type = *leat_graph_value(r->b.graph, x);
  int64_t dims[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < type.rank; d++) dims[d] = d;
  const uint32_t last = type.rank - 1u;
  const int64_t rows = type.dims[last];
  dims[last] = last - 1;
  dims[last - 1] = last;
  type.dims[last] = type.dims[last - 1];
  type.dims[last - 1] = rows;
  const leat_attr_t attr = leat_attr_l(LEAT_ATTR_DIMS, dims, type.rank);
  const leat_op_desc_t desc = {
      .kind = LEAT_TRACED_TRANSPOSE, .inputs = &x, .input_count = 1, .attrs = &attr, .attr_count = 1, .results = &type};
  return append(r, desc, out_value);
}

static leat_status_t shown_where(leat_rebuild_t *r, leat_value_id_t hidden, leat_value_id_t *out_value) {
  const leat_value_t type = *leat_graph_value(r->b.graph, hidden);
  return append(
      r, (leat_op_desc_t){.kind = LEAT_TRACED_LOGICAL_NOT, .inputs = &hidden, .input_count = 1, .results = &type},
      out_value);
}

static leat_status_t replace(leat_rebuild_t *r, const chain_t *c) {
  leat_value_id_t k, mask = c->mask == LEAT_NONE ? LEAT_NONE : r->map[c->mask];
  LEAT_TRY(turn_back(r, r->map[c->k_turned], &k));
  if (c->hides) LEAT_TRY(shown_where(r, mask, &mask));
  const leat_value_id_t inputs[] = {r->map[c->q], k, r->map[leat_op_input(c->g, c->mix, 1)], mask};
  leat_attr_t attrs[5];
  uint32_t count = 0;
  attrs[count++] = leat_attr_f(LEAT_ATTR_SCALE, c->scale);
  if (c->dropout != NULL) attrs[count++] = leat_attr_f(LEAT_ATTR_P, leat_op_float(c->g, c->dropout, LEAT_ATTR_P, 0.5));
  attrs[count++] = leat_attr_i(LEAT_ATTR_CAUSAL, 0);
  if (c->dropout != NULL)
    attrs[count++] = leat_attr_i(LEAT_ATTR_STREAM, leat_op_int(c->g, c->dropout, LEAT_ATTR_STREAM, 0));
  attrs[count++] = leat_attr_i(LEAT_ATTR_BARE, 1);
  const leat_value_t type = *leat_graph_value(c->g, c->mix->result_first);
  const leat_op_desc_t desc = {.kind = LEAT_TRACED_SDPA,
                               .inputs = inputs,
                               .input_count = mask == LEAT_NONE ? 3 : 4,
                               .attrs = attrs,
                               .attr_count = count,
                               .results = &type};
  return append(r, desc, &r->map[c->mix->result_first]);
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_graph_t *g = r->from;
  chain_t c = {.g = g, .a = r->user, .mix = leat_graph_op(g, id), .mask = LEAT_NONE, .scale = 1.0};
  if (part_of(c.mix) != PRODUCT) return leat_rebuild_copy(r, id);
  c.narrow = leat_graph_value(g, c.mix->result_first)->dtype == LEAT_BF16;
  const leat_value_id_t scores = find_scores(&c, leat_op_input(g, c.mix, 0));
  if (scores == LEAT_NONE || !find_factors(&c, scores) || !fits(&c)) return leat_rebuild_copy(r, id);
  return replace(r, &c);
}

static void mark_training(const leat_graph_t *g, bool *trains) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool any = leat_op_requires_grad(g, op);
    for (uint32_t i = 0; i < op->input_count && !op->detached; i++) {
      const leat_value_id_t v = leat_op_input(g, op, i);
      any = any || (v != LEAT_NONE && trains[v]);
    }
    for (uint32_t i = 0; i < op->result_count; i++) trains[op->result_first + i] = any;
  }
}

leat_status_t leat_opt_attention(const leat_graph_t *from, leat_graph_t **out_graph) {
  attention_t a = {.trains = leat_alloc_zero(from->values.count + 1u, sizeof *a.trains)};
  leat_status_t status = a.trains == NULL ? leat_out_of_memory() : leat_opt_count_readers(from, &a.readers);
  if (status == NULL) {
    mark_training(from, a.trains);
    status = leat_rebuild(from, visit, &a, out_graph);
  }
  leat_free(a.readers);
  leat_free(a.trains);
  return status;
}
