// SPDX-License-Identifier: Apache-2.0
// Activations that are cheap to make again are not kept for backward, as far as a limit of memory asks for it.
//
// A value of forward that backward reads can be made again by elementwise ops, draws and views from its anchors: values
// that are kept anyway, parameters, inputs, and what takes little room. Backward does these steps where it reads the
// value first. A draw is a function of the random state, of which forward then leaves a copy, and gives the same
// numbers. So no result changes in any bit. What gives most bytes for its time goes first. Works on primitives; values
// that cross from forward to backward become fewer.
#include <stdlib.h>

#include "ir/rebuild.h"
#include "opt/opt.h"

enum {
  ANCHORS_MAX = 6,
  STEPS_MAX = 48,  // ops between anchors and value, at most
  INPUTS_MAX = 3,  // of an op that is done again
  SMALLER = 16     // times less than what is worth it without a limit is worth it here
};

// What a value of forward is made of.
typedef struct chain_s {
  bool again;  // it can be made again
  uint8_t anchor_count;
  uint16_t steps;
  leat_value_id_t anchors[ANCHORS_MAX];
  double seconds;
} chain_t;

typedef struct copy_s {
  leat_value_id_t value;  // in the new graph; LEAT_NONE: not made yet
  uint32_t group;
} copy_t;

typedef struct remake_s {
  const leat_graph_t *g;
  const leat_arch_t *arch;
  chain_t *chains;           // per value
  bool *crosses;             // per value that something computes: ops later than forward read it, through any views
  bool *dropped;             // per value
  bool *redrawn;             // per value: a draw that backward makes again
  copy_t *copies;            // per value: as backward makes it
  leat_value_id_t *states;   // per value: the copy of a random state
  leat_remade_list_t *list;  // in the order in which they go
} remake_t;

static const leat_op_t *maker_of(const leat_graph_t *g, leat_value_id_t v) {
  return leat_graph_op(g, leat_graph_value(g, v)->op);
}

static bool is_view(const leat_op_t *op) { return leat_op_role(op->kind) == LEAT_ROLE_VIEW; }

static uint64_t bytes_of(const leat_graph_t *g, leat_value_id_t v) { return leat_value_bytes(leat_graph_value(g, v)); }

static void find_crossing(remake_t *m) {
  for (leat_op_id_t id = 0; id < m->g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(m->g, id);
    for (uint32_t i = 0; i < op->input_count && op->type != LEAT_TYPE_FWD; i++) {
      const leat_value_id_t v = leat_op_input(m->g, op, i);
      if (v != LEAT_NONE) m->crosses[leat_opt_behind_views(m->g, v)] = true;
    }
  }
}

// --- chains ----------------------------------------------------------------------------------------------------------

// Is the symbol another one once forward is over?
static bool is_overwritten(const leat_graph_t *g, const leat_op_t *symbol) {
  const leat_op_id_t update = leat_graph_symbol(g, leat_op_symbol(g, symbol))->update_first;
  return update != LEAT_NONE && leat_graph_op(g, update)->type == LEAT_TYPE_FWD;
}

static bool may_be_step(const leat_op_t *op) {
  const leat_op_role_t role = leat_op_role(op->kind);
  const bool steps = role == LEAT_ROLE_ELEMENTWISE || role == LEAT_ROLE_VIEW || role == LEAT_ROLE_DRAW;
  return steps && op->type == LEAT_TYPE_FWD && op->result_count == 1 && op->input_count <= INPUTS_MAX;
}

static bool add_anchor(chain_t *chain, leat_value_id_t v) {
  for (uint32_t i = 0; i < chain->anchor_count; i++) {
    if (chain->anchors[i] == v) return true;
  }
  if (chain->anchor_count == ANCHORS_MAX) return false;
  chain->anchors[chain->anchor_count++] = v;
  return true;
}

static bool add_operand(const remake_t *m, chain_t *chain, leat_value_id_t v) {
  const leat_op_t *op = maker_of(m->g, v);
  const chain_t *from = &m->chains[v];
  if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) return !is_overwritten(m->g, op) && add_anchor(chain, v);
  if (leat_op_is_leaf(op->kind)) return true;
  if (!from->again) return add_anchor(chain, v);
  chain->steps = (uint16_t)(chain->steps + from->steps);
  chain->seconds += from->seconds;
  for (uint32_t i = 0; i < from->anchor_count; i++) {
    if (!add_anchor(chain, from->anchors[i])) return false;
  }
  return chain->steps <= STEPS_MAX;
}

// Bytes that need not be kept, less those of anchors that have to be instead.
static int64_t gain_of(const remake_t *m, leat_value_id_t v) {
  int64_t gain = (int64_t)bytes_of(m->g, v);
  for (uint32_t i = 0; i < m->chains[v].anchor_count; i++) {
    const leat_value_id_t anchor = m->chains[v].anchors[i];
    const bool kept = m->crosses[anchor] || leat_op_is_leaf(maker_of(m->g, anchor)->kind);
    if (!kept) gain -= (int64_t)bytes_of(m->g, anchor);
  }
  return gain;
}

static bool is_worth_it(const remake_t *m, leat_value_id_t v) {
  const int64_t bytes = (int64_t)bytes_of(m->g, v);
  return bytes * SMALLER >= (int64_t)m->arch->recompute_bytes && 2 * gain_of(m, v) >= bytes;
}

// What backward reads and is not worth it is an anchor of what comes later.
static void find_chain(const remake_t *m, const leat_op_t *op) {
  const leat_value_id_t v = op->result_first;
  chain_t *chain = &m->chains[v];
  const leat_cost_t cost = leat_op_cost(m->g, op);
  *chain = (chain_t){
      .again = true, .steps = !is_view(op), .seconds = leat_arch_seconds(m->arch, m->arch->level, cost.flops, 0)};
  for (uint32_t i = 0; i < op->input_count && chain->again; i++) {
    const bool state = leat_op_role(op->kind) == LEAT_ROLE_DRAW;
    chain->again = state || add_operand(m, chain, leat_op_input(m->g, op, i));
  }
  if (chain->again && !is_view(op) && m->crosses[v]) chain->again = is_worth_it(m, v);
}

static int compare(const void *a, const void *b) {
  const leat_remade_t *x = a, *y = b;
  const double left = x->seconds * (double)y->bytes, right = y->seconds * (double)x->bytes;
  if (left != right) return left < right ? -1 : 1;
  return x->value < y->value ? -1 : x->value > y->value;
}

// The value is stored once more and read where it was stored before; anchors are read.
static double seconds_of(const remake_t *m, leat_value_id_t v) {
  double bytes = (double)bytes_of(m->g, v);
  for (uint32_t i = 0; i < m->chains[v].anchor_count; i++) bytes += (double)bytes_of(m->g, m->chains[v].anchors[i]);
  return m->chains[v].seconds + leat_arch_seconds(m->arch, m->arch->level, 0, bytes);
}

static leat_status_t rank(remake_t *m) {
  for (leat_op_id_t id = 0; id < m->g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(m->g, id);
    if (!may_be_step(op)) continue;
    find_chain(m, op);
    const leat_value_id_t v = op->result_first;
    if (is_view(op) || !m->crosses[v] || !m->chains[v].again) continue;
    leat_remade_t *slot = leat_array_push(m->list);
    if (slot == NULL) return leat_out_of_memory();
    *slot = (leat_remade_t){.value = v, .bytes = (uint64_t)gain_of(m, v), .seconds = seconds_of(m, v)};
  }
  if (m->list->count != 0) qsort(m->list->data, m->list->count, sizeof *m->list->data, compare);
  return NULL;
}

// As many of the list as give so many bytes.
static void drop(remake_t *m, uint64_t bytes) {
  uint64_t given = 0;
  uint32_t count = 0;
  for (; count < m->list->count && given < bytes; count++) {
    given += m->list->data[count].bytes;
    m->dropped[m->list->data[count].value] = true;
  }
  m->list->count = count;
}

// --- making again ----------------------------------------------------------------------------------------------------

// Does backward make `v` again where it reads it, or read it where it is kept?
static bool is_made_again(const remake_t *m, leat_value_id_t v) {
  return m->chains[v].again && (m->dropped[v] || !m->crosses[v]);
}

static bool hangs_on_dropped(const remake_t *m, leat_value_id_t v) {
  return m->dropped[leat_opt_behind_views(m->g, v)];
}

static void mark_draws(remake_t *m, leat_value_id_t v) {
  const leat_op_t *op = maker_of(m->g, v);
  if (!is_made_again(m, v) || m->redrawn[v]) return;
  m->redrawn[v] = true;
  for (uint32_t i = 0; i < op->input_count && leat_op_role(op->kind) != LEAT_ROLE_DRAW; i++)
    mark_draws(m, leat_op_input(m->g, op, i));
}

static leat_status_t make_again(leat_rebuild_t *r, leat_value_id_t v, uint32_t group, leat_value_id_t *out_value) {
  remake_t *m = r->user;
  const leat_op_t *op = maker_of(m->g, v);
  const bool draws = leat_op_role(op->kind) == LEAT_ROLE_DRAW;
  *out_value = r->map[v];
  if (!is_made_again(m, v)) return NULL;
  if (m->copies[v].value != LEAT_NONE && m->copies[v].group == group) {
    *out_value = m->copies[v].value;
    return NULL;
  }
  leat_value_id_t inputs[INPUTS_MAX];
  for (uint32_t i = 0; i < op->input_count; i++) {
    const leat_value_id_t x = leat_op_input(m->g, op, i);
    inputs[i] = m->states[x];
    if (!draws) LEAT_TRY(make_again(r, x, group, &inputs[i]));
  }
  LEAT_TRY(leat_rebuild_again(r, op, inputs, r->b.type, group, out_value));
  m->copies[v] = (copy_t){*out_value, group};
  return NULL;
}

// Forward leaves what the state was, which its end overwrites.
static leat_status_t keep_state(leat_rebuild_t *r, const leat_op_t *draw) {
  remake_t *m = r->user;
  const leat_value_id_t state = leat_op_input(m->g, draw, 0);
  if (m->redrawn[draw->result_first] && m->states[state] == LEAT_NONE)
    m->states[state] = leat_b_map1(&r->b, LEAT_SCALAR_COPY, r->map[state]);
  return leat_builder_take_status(&r->b);
}

static leat_status_t copy_reader(leat_rebuild_t *r, leat_op_id_t id) {
  const remake_t *m = r->user;
  const leat_op_t *op = leat_graph_op(m->g, id);
  enum { FEW = 16 };
  leat_value_id_t few[FEW], *saved = few;
  if (op->input_count > FEW && (saved = leat_alloc(op->input_count * sizeof *saved)) == NULL)
    return leat_out_of_memory();
  leat_status_t status = NULL;
  for (uint32_t i = 0; i < op->input_count; i++) saved[i] = leat_rebuild_input(r, op, i);
  for (uint32_t i = 0; i < op->input_count && status == NULL; i++) {
    const leat_value_id_t x = leat_op_input(m->g, op, i);
    leat_value_id_t made = LEAT_NONE;
    if (x == LEAT_NONE || maker_of(m->g, x)->type != LEAT_TYPE_FWD || !hangs_on_dropped(m, x)) continue;
    status = make_again(r, x, op->group, &made);
    if (status == NULL) r->map[x] = made;
  }
  if (status == NULL) status = leat_rebuild_copy(r, id);
  for (uint32_t i = 0; i < op->input_count; i++) {
    if (leat_op_input(m->g, op, i) != LEAT_NONE) r->map[leat_op_input(m->g, op, i)] = saved[i];
  }
  if (saved != few) leat_free(saved);
  return status;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(((remake_t *)r->user)->g, id);
  if (op->type != LEAT_TYPE_FWD) return copy_reader(r, id);
  if (leat_op_role(op->kind) == LEAT_ROLE_DRAW) LEAT_TRY(keep_state(r, op));
  return leat_rebuild_copy(r, id);
}

// --- all of it -------------------------------------------------------------------------------------------------------

static leat_status_t allocate(remake_t *m, size_t values) {
  m->chains = leat_alloc_zero(values, sizeof *m->chains);
  m->crosses = leat_alloc_zero(values, sizeof *m->crosses);
  m->dropped = leat_alloc_zero(values, sizeof *m->dropped);
  m->redrawn = leat_alloc_zero(values, sizeof *m->redrawn);
  m->copies = leat_alloc(values * sizeof *m->copies);
  m->states = leat_alloc(values * sizeof *m->states);
  if (m->chains == NULL || m->crosses == NULL || m->dropped == NULL || m->redrawn == NULL || m->copies == NULL ||
      m->states == NULL)
    return leat_out_of_memory();
  memset(m->copies, 0xff, values * sizeof *m->copies);
  memset(m->states, 0xff, values * sizeof *m->states);
  return NULL;
}

static leat_status_t remake(remake_t *m, uint64_t bytes, leat_graph_t **out_graph) {
  LEAT_TRY(allocate(m, (size_t)m->g->values.count + 1u));
  find_crossing(m);
  LEAT_TRY(rank(m));
  drop(m, bytes);
  for (uint32_t i = 0; i < m->list->count; i++) mark_draws(m, m->list->data[i].value);
  return leat_rebuild(m->g, visit, m, out_graph);
}

leat_status_t leat_opt_remake(const leat_graph_t *from, const leat_arch_t *arch, uint64_t bytes,
                              leat_remade_list_t *out_list, leat_graph_t **out_graph) {
  remake_t m = {.g = from, .arch = arch, .list = out_list};
  *out_graph = NULL;
  leat_status_t status = remake(&m, bytes, out_graph);
  void *const blocks[] = {m.chains, m.crosses, m.dropped, m.redrawn, m.copies, m.states};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) leat_free(blocks[i]);
  return status;
}
