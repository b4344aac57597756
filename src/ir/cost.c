// SPDX-License-Identifier: Apache-2.0
// What a primitive costs: operations (a multiply-add counts two) and the bytes that it reads and writes if nothing is
// fused with it. Estimates for reports and for the section cutter; never used for correctness.
#include <math.h>

#include "ir/build.h"
#include "ir/graph.h"
#include "ir/loop.h"

typedef double (*flops_t)(const leat_graph_t *g, const leat_op_t *op);

static double elements(const leat_graph_t *g, leat_value_id_t id) {
  return (double)leat_value_elements(leat_graph_value(g, id));
}
static double result_elements(const leat_graph_t *g, const leat_op_t *op) { return elements(g, op->result_first); }

static double flops_none(const leat_graph_t *g, const leat_op_t *op) {
  (void)g, (void)op;
  return 0;
}
// One an element of operand 0; one an element that is written.
static double flops_operand(const leat_graph_t *g, const leat_op_t *op) { return elements(g, leat_op_input(g, op, 0)); }
static double flops_update(const leat_graph_t *g, const leat_op_t *op) { return elements(g, leat_op_input(g, op, 2)); }

static double flops_map(const leat_graph_t *g, const leat_op_t *op) {
  leat_scalar_t fn = leat_op_scalar(g, op);
  return fn == LEAT_SCALAR_COUNT ? 0 : leat_scalar_flops(fn) * result_elements(g, op);
}

static double flops_random(const leat_graph_t *g, const leat_op_t *op) { return 30 * result_elements(g, op); }

static double flops_sort(const leat_graph_t *g, const leat_op_t *op) {
  const leat_value_t *x = leat_graph_value(g, leat_op_input(g, op, 0));
  double extent = (double)x->dims[leat_op_int(g, op, LEAT_ATTR_DIM, 0)];
  return result_elements(g, op) * (extent > 1 ? log2(extent) : 0);
}

static double flops_contract(const leat_graph_t *g, const leat_op_t *op) {
  const leat_spec_t *spec = leat_op_spec(g, op);
  double flops = 2 * result_elements(g, op);
  const leat_value_t *x = leat_graph_value(g, leat_op_input(g, op, 0));
  for (uint32_t i = 0; i < spec->rank[0]; i++) {
    if (leat_spec_find(spec, 2, spec->letters[0][i]) < 0) flops *= (double)x->dims[i];
  }
  return flops;
}

static double window_elements(const leat_graph_t *g, const leat_op_t *op) {
  leat_window_t window;
  leat_window_of(g, op, &window);
  double product = 1;
  for (uint32_t d = 0; d < window.rank; d++) product *= (double)window.window[d];
  return product;
}

// Every element of y takes a window of the channels of its group.
static double flops_conv(const leat_graph_t *g, const leat_op_t *op) {
  const leat_value_t *w = leat_graph_value(g, leat_op_input(g, op, 1));
  return 2 * result_elements(g, op) * (double)w->dims[1] * window_elements(g, op);
}
static double flops_conv_wgrad(const leat_graph_t *g, const leat_op_t *op) {
  const leat_value_t *dw = leat_graph_value(g, op->result_first);
  const int64_t channels = dw->dims[leat_op_int(g, op, LEAT_ATTR_BATCH, 0) + 1];
  return 2 * elements(g, leat_op_input(g, op, 1)) * (double)channels * window_elements(g, op);
}
static double flops_pool(const leat_graph_t *g, const leat_op_t *op) {
  return result_elements(g, op) * window_elements(g, op);
}
static double flops_pool_grad(const leat_graph_t *g, const leat_op_t *op) {
  return elements(g, leat_op_input(g, op, 1)) * window_elements(g, op);
}

// Of every score that takes part the products of a head of q and k, and of v.
static double flops_of_scores(const leat_graph_t *g, const leat_op_t *op, double heads, double values) {
  const leat_value_t *q = leat_graph_value(g, leat_op_input(g, op, 0)),
                     *v = leat_graph_value(g, leat_op_input(g, op, 2));
  const leat_value_t *all = leat_graph_value(g, op->result_first);
  const double rows = result_elements(g, op) / (double)all->dims[all->rank - 1];
  uint32_t count;
  const double low = (double)leat_op_list(g, op, LEAT_ATTR_LOW, &count)[0];
  const double high = (double)leat_op_list(g, op, LEAT_ATTR_HIGH, &count)[0];
  const double queries = (double)q->dims[q->rank - 2], keys = (double)v->dims[v->rank - 2];
  const double each = heads * (double)q->dims[q->rank - 1] + values * (double)v->dims[v->rank - 1];
  // Of a table that is wide enough a band leaves out a triangle on either side.
  const double below = fmax(0, queries - 1 - low), above = fmax(0, keys - 1 - high);
  const double taken = fmax(0, queries * keys - (below * below + above * above) / 2);
  return 2 * rows / queries * taken * each;
}
static double flops_attention(const leat_graph_t *g, const leat_op_t *op) { return flops_of_scores(g, op, 1, 1); }
static double flops_attention_grad(const leat_graph_t *g, const leat_op_t *op) { return flops_of_scores(g, op, 3, 2); }

static double flops_loop(const leat_graph_t *g, const leat_op_t *op) {
  const leat_loop_t loop = leat_loop_of(g, op);
  double flops = 0;
  for (leat_op_id_t id = 0; id < loop.body->ops.count; id++)
    flops += leat_op_cost(loop.body, leat_graph_op(loop.body, id)).flops;
  return flops * (double)loop.trips;
}

// The column `flops` of op.def: a row whose function is not here does not compile.
static const flops_t flops_table[LEAT_PRIM_COUNT] = {
#define PRIM(e, n, lo, hi, r, a, role, products, again, rows, flops, ...) [LEAT_PRIM_##e] = flops_##flops,
#include "ir/op.def"
#undef PRIM
};

leat_cost_t leat_op_cost(const leat_graph_t *g, const leat_op_t *op) {
  assert(leat_op_is_primitive(op->kind));
  leat_cost_t cost = {.flops = flops_table[op->kind](g, op)};
  if (!leat_op_info(op->kind)->moves) return cost;
  for (uint32_t i = 0; i < op->input_count; i++)
    cost.bytes += (double)leat_value_bytes(leat_graph_value(g, leat_op_input(g, op, i)));
  for (uint32_t i = 0; i < op->result_count; i++)
    cost.bytes += (double)leat_value_bytes(leat_graph_value(g, op->result_first + i));
  return cost;
}
