// SPDX-License-Identifier: Apache-2.0
// What follows a product with fixed weights goes into the weights: of y = ((w x - m) r) g + b, as a batch norm computes
// it in inference, are left w' x + b', where w' = w (r g) and b' = b - m (r g) hang on parameters and buffers alone.
//
// Such values are computed once (settle.c), so that a run does one addition an element in place of four functions. The
// rounding is another one (docs/tolerances.md): this is for programs that only infer. A chain is worth it when it has a
// factor, when it becomes shorter, and when what a few runs save pays for the new weights. Works on primitives after
// dce; elementwise ops on results of products get fewer, which is the measure by which it ends.
#include "ir/rebuild.h"
#include "opt/opt.h"

enum { CHAIN_MAX = 16 };

typedef struct absorb_s {
  double runs;  // that pay for new weights
  uint32_t *readers;
  bool *fixed;            // per value: hangs on parameters, buffers and constants alone
  leat_op_id_t *product;  // per op: the product whose chain it ends; LEAT_NONE: it ends none
  bool *gone;             // per op: the product of a chain, or in it before its end
} absorb_t;

static const leat_value_t *result_of(const leat_graph_t *g, const leat_op_t *op) {
  return leat_graph_value(g, op->result_first);
}

// --- what is fixed -------------------------------------------------------------------------------------------------

static bool is_fixed(const absorb_t *a, const leat_graph_t *g, const leat_op_t *op) {
  if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) return leat_graph_is_fixed(g, op);
  if (leat_op_draws(g, op)) return false;
  for (uint32_t i = 0; i < op->input_count; i++) {
    const leat_value_id_t v = leat_op_input(g, op, i);
    if (v == LEAT_NONE || !a->fixed[v]) return false;
  }
  return true;
}

static void find_fixed(absorb_t *a, const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (leat_op_is_statement(op->kind)) continue;
    const bool fixed = is_fixed(a, g, op);
    for (uint32_t i = 0; i < op->result_count; i++) a->fixed[op->result_first + i] = fixed;
  }
}

// --- products ------------------------------------------------------------------------------------------------------

// Operand 1 of a convolution; of a contraction the one that is fixed. LEAT_NONE: there is none, or both are.
static uint32_t weights_of(const absorb_t *a, const leat_graph_t *g, const leat_op_t *op) {
  if (op->kind != LEAT_PRIM_CONV && op->kind != LEAT_PRIM_CONTRACT) return LEAT_NONE;
  const bool x = a->fixed[leat_op_input(g, op, 0)], y = a->fixed[leat_op_input(g, op, 1)];
  if (x == y) return LEAT_NONE;
  if (op->kind == LEAT_PRIM_CONV) return y ? 1 : LEAT_NONE;
  return y ? 1 : 0;
}

// Where dim `dim` of the result is in the weights alone; -1: nowhere.
static int place_in_weights(const leat_graph_t *g, const leat_op_t *product, uint32_t weights, uint32_t dim) {
  if (product->kind == LEAT_PRIM_CONV) return dim == 1 ? 0 : -1;
  const leat_spec_t *spec = leat_op_spec(g, product);
  const char letter = spec->letters[2][dim];
  return leat_spec_find(spec, 1 - weights, letter) >= 0 ? -1 : leat_spec_find(spec, weights, letter);
}

// --- chains --------------------------------------------------------------------------------------------------------

// Which operand of `op` is the chain so far, `v`, when the other one is a factor or a term that weights can take.
static uint32_t chain_operand(const absorb_t *a, const leat_graph_t *g, const leat_op_t *op, leat_value_id_t v,
                              leat_op_id_t product, uint32_t weights) {
  const leat_scalar_t fn = leat_op_scalar(g, op);
  const bool commutes = fn == LEAT_SCALAR_ADD || fn == LEAT_SCALAR_MUL;
  if (!commutes && fn != LEAT_SCALAR_SUB && fn != LEAT_SCALAR_DIV) return LEAT_NONE;
  const uint32_t at = leat_op_input(g, op, 0) == v ? 0 : 1;
  const leat_value_t *from = leat_graph_value(g, v), *to = result_of(g, op);
  const leat_value_id_t other = leat_op_input(g, op, 1 - at);
  if ((at == 1 && !commutes) || !a->fixed[other] || !leat_same_shape(from, to) || from->dtype != to->dtype)
    return LEAT_NONE;
  const leat_value_t *number = leat_graph_value(g, other);
  for (uint32_t d = 0; d < number->rank; d++) {
    if (number->dims[d] != 1 && place_in_weights(g, leat_graph_op(g, product), weights, d) < 0) return LEAT_NONE;
  }
  return at;
}

typedef struct chain_s {
  leat_op_id_t ops[CHAIN_MAX];
  uint32_t count;
  bool scales;
} chain_t;

static chain_t find_chain(const absorb_t *a, const leat_graph_t *g, const leat_op_id_t *reader, leat_op_id_t product,
                          uint32_t weights) {
  chain_t chain = {0};
  const leat_op_t *from = leat_graph_op(g, product);
  for (leat_value_id_t v = from->result_first; chain.count < CHAIN_MAX;) {
    if (a->readers[v] != 1) break;
    const leat_op_id_t id = reader[v];
    const leat_op_t *op = leat_graph_op(g, id);
    if (op->group != from->group || op->type != from->type) break;
    if (chain_operand(a, g, op, v, product, weights) == LEAT_NONE) break;
    const leat_scalar_t fn = leat_op_scalar(g, op);
    chain.scales |= fn == LEAT_SCALAR_MUL || fn == LEAT_SCALAR_DIV;
    chain.ops[chain.count++] = id;
    v = op->result_first;
  }
  return chain;
}

// One function an element is left where the chain has a term.
static bool is_worth(const absorb_t *a, const leat_graph_t *g, const leat_op_t *product, uint32_t weights,
                     const chain_t *chain) {
  const leat_value_t *y = result_of(g, product), *w = leat_graph_value(g, leat_op_input(g, product, weights));
  if (!chain->scales || (y->dtype != LEAT_F32 && y->dtype != LEAT_F64) || w->dtype != y->dtype) return false;
  bool adds = false;
  for (uint32_t i = 0; i < chain->count; i++) {
    const leat_scalar_t fn = leat_op_scalar(g, leat_graph_op(g, chain->ops[i]));
    adds |= fn == LEAT_SCALAR_ADD || fn == LEAT_SCALAR_SUB;
  }
  const double saved = (double)leat_value_elements(y) * (chain->count - (adds ? 1 : 0));
  return saved * a->runs >= (double)leat_value_elements(w);
}

static leat_status_t find_chains(absorb_t *a, const leat_graph_t *g) {
  leat_op_id_t *reader = leat_alloc(((size_t)g->values.count + 1) * sizeof *reader);
  if (reader == NULL) return leat_out_of_memory();
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    for (uint32_t i = 0; i < op->input_count; i++) {
      if (leat_op_input(g, op, i) != LEAT_NONE) reader[leat_op_input(g, op, i)] = id;
    }
  }
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    const uint32_t weights = weights_of(a, g, op);
    if (weights == LEAT_NONE || op->type != LEAT_TYPE_FWD) continue;
    const chain_t chain = find_chain(a, g, reader, id, weights);
    if (!is_worth(a, g, op, weights, &chain)) continue;
    a->gone[id] = true;
    for (uint32_t i = 0; i + 1 < chain.count; i++) a->gone[chain.ops[i]] = true;
    a->product[chain.ops[chain.count - 1]] = id;
  }
  leat_free(reader);
  return NULL;
}

// --- rewriting -----------------------------------------------------------------------------------------------------

// What the chain does to the product: times `factor`, plus `term`; LEAT_NONE: nothing.
typedef struct affine_s {
  leat_value_id_t factor, term;
} affine_t;

static leat_value_id_t both(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t x, leat_value_id_t y) {
  return x == LEAT_NONE ? LEAT_NONE : leat_b_map2(b, fn, x, y);
}

static void follow(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t number, affine_t *f) {
  switch (fn) {
    case LEAT_SCALAR_ADD:
      f->term = f->term == LEAT_NONE ? number : leat_b_add(b, f->term, number);
      return;
    case LEAT_SCALAR_SUB:
      f->term = f->term == LEAT_NONE ? leat_b_map1(b, LEAT_SCALAR_NEG, number) : leat_b_sub(b, f->term, number);
      return;
    case LEAT_SCALAR_MUL:
      f->factor = f->factor == LEAT_NONE ? number : leat_b_mul(b, f->factor, number);
      break;
    default:
      f->factor = f->factor == LEAT_NONE ? leat_b_map1(b, LEAT_SCALAR_RECIP, number) : leat_b_div(b, f->factor, number);
  }
  f->term = both(b, fn, f->term, number);
}

// The factor of the result's dims as one of the weights'.
static leat_value_id_t turn_factor(leat_rebuild_t *r, const leat_op_t *product, uint32_t weights,
                                   leat_value_id_t factor) {
  const leat_value_t number = *leat_b_value(&r->b, factor);
  const leat_value_t *w = leat_graph_value(r->from, leat_op_input(r->from, product, weights));
  int64_t order[LEAT_RANK_MAX], dims[LEAT_RANK_MAX];
  uint32_t count = 0;
  for (uint32_t d = 0; d < w->rank; d++) {
    dims[d] = 1;
    for (uint32_t i = 0; i < number.rank; i++) {
      if (place_in_weights(r->from, product, weights, i) != (int)d) continue;
      order[count++] = i;
      dims[d] = number.dims[i];
    }
  }
  for (uint32_t i = 0; i < number.rank; i++) {
    if (place_in_weights(r->from, product, weights, i) < 0) order[count++] = i;
  }
  return leat_b_reshape(&r->b, leat_b_transpose(&r->b, factor, order), w->rank, dims);
}

static leat_value_id_t scaled_product(leat_rebuild_t *r, const leat_op_t *product, uint32_t weights,
                                      leat_value_id_t factor) {
  leat_value_id_t operands[2] = {leat_rebuild_input(r, product, 0), leat_rebuild_input(r, product, 1)};
  operands[weights] = leat_b_mul(&r->b, operands[weights], turn_factor(r, product, weights, factor));
  return leat_b_op(&r->b, product->kind, operands, 2, &r->from->attrs.data[product->attr_first], product->attr_count,
                   result_of(r->from, product));
}

// The chain so far is the operand that is not fixed.
static uint32_t chain_side(const absorb_t *a, const leat_graph_t *g, const leat_op_t *op) {
  return a->fixed[leat_op_input(g, op, 0)] ? 1 : 0;
}

// What the chain from `product` to `end` does.
static affine_t read_chain(leat_rebuild_t *r, leat_op_id_t product, leat_op_id_t end) {
  const absorb_t *a = r->user;
  const leat_graph_t *g = r->from;
  affine_t f = {LEAT_NONE, LEAT_NONE};
  leat_op_id_t ids[CHAIN_MAX];
  uint32_t count = 0;
  for (leat_op_id_t id = end; id != product;) {
    const leat_op_t *op = leat_graph_op(g, id);
    ids[count++] = id;
    id = leat_graph_value(g, leat_op_input(g, op, chain_side(a, g, op)))->op;
  }
  while (count-- > 0) {
    const leat_op_t *op = leat_graph_op(g, ids[count]);
    follow(&r->b, leat_op_scalar(g, op), leat_rebuild_input(r, op, 1 - chain_side(a, g, op)), &f);
  }
  return f;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const absorb_t *a = r->user;
  const leat_op_id_t at = a->product[id];
  if (a->gone[id]) return NULL;
  if (at == LEAT_NONE) return leat_rebuild_copy(r, id);
  const leat_op_t *op = leat_graph_op(r->from, id), *product = leat_graph_op(r->from, at);
  const uint32_t weights = weights_of(a, r->from, product);
  const affine_t f = read_chain(r, at, id);
  const uint32_t origin = r->b.origin;
  r->b.origin = product->origin;
  leat_value_id_t y = scaled_product(r, product, weights, f.factor);
  r->b.origin = origin;
  r->map[op->result_first] = f.term == LEAT_NONE ? y : leat_b_add(&r->b, y, f.term);
  return leat_builder_take_status(&r->b);
}

static leat_status_t allocate(absorb_t *a, const leat_graph_t *g) {
  a->fixed = leat_alloc_zero((size_t)g->values.count + 1, sizeof *a->fixed);
  a->gone = leat_alloc_zero((size_t)g->ops.count + 1, sizeof *a->gone);
  a->product = leat_alloc(((size_t)g->ops.count + 1) * sizeof *a->product);
  if (a->fixed == NULL || a->gone == NULL || a->product == NULL) return leat_out_of_memory();
  memset(a->product, 0xff, ((size_t)g->ops.count + 1) * sizeof *a->product);
  return leat_opt_count_readers(g, &a->readers);
}

leat_status_t leat_opt_absorb(const leat_graph_t *from, const leat_arch_t *arch, leat_graph_t **out_graph) {
  absorb_t a = {.runs = arch->absorb_runs};
  *out_graph = NULL;
  leat_status_t status = allocate(&a, from);
  if (status == NULL) {
    find_fixed(&a, from);
    status = find_chains(&a, from);
  }
  if (status == NULL) status = leat_rebuild(from, visit, &a, out_graph);
  leat_free(a.readers);
  leat_free(a.fixed);
  leat_free(a.product);
  leat_free(a.gone);
  return status;
}
