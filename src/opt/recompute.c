// SPDX-License-Identifier: Apache-2.0
// Backward computes elementwise values again in place of reading them back from memory.
//
// A forward value is a child of its root when `map` ops compute it from that one value and from constants, in few
// steps. Where maps of backward read large children, they read the root instead and do the steps again, provided that
// what is kept for backward becomes smaller. The same functions run on the same elements: bits do not change. Works
// on primitives after dce; backward's ops grow in number, the bytes that cross from forward to backward shrink.
#include "ir/rebuild.h"
#include "opt/opt.h"

enum { STEPS_MAX = 12 };  // of a chain

typedef struct copy_s {
  leat_value_id_t value;  // in the new graph; LEAT_NONE: not made yet
  uint32_t group;
} copy_t;

typedef struct recompute_s {
  int64_t least;          // bytes that have to be saved: fewer stay in a cache, where they cost less than computing
  leat_value_id_t *root;  // per value: itself, or what it is computed from
  uint8_t *steps;         // per value: functions between root and value, at most
  bool *mapped, *kept;    // per value: maps of backward read it; ops that cannot compute it read it after forward
  int64_t *saved;         // per root: bytes of the children that need not be kept, less its own
  copy_t *copies;         // per value, as backward computes it
} recompute_t;

static bool is_map_of(const leat_op_t *op, leat_section_type_t type) {
  return leat_op_role(op->kind) == LEAT_ROLE_ELEMENTWISE && op->type == type;
}

static bool is_splat(const leat_graph_t *g, leat_value_id_t x) {
  double number;
  return leat_op_splat(g, leat_graph_op(g, leat_graph_value(g, x)->op), &number);
}

static bool is_quick(const leat_graph_t *g, const leat_op_t *op) {
  leat_scalar_t fn = leat_op_scalar(g, op);
  bool quick = fn != LEAT_SCALAR_COUNT && leat_scalar_is_quick(fn);
  return quick && leat_graph_value(g, op->result_first)->dtype != LEAT_F64;
}

// The root that all operands but constants share; LEAT_NONE: there is none, or the chain is long.
static leat_value_id_t common_root(const recompute_t *c, const leat_graph_t *g, const leat_op_t *op,
                                   uint32_t *out_steps) {
  leat_value_id_t root = LEAT_NONE;
  *out_steps = 1;
  for (uint32_t i = 0; i < op->input_count; i++) {
    leat_value_id_t x = leat_op_input(g, op, i);
    if (is_splat(g, x)) continue;
    if (root != LEAT_NONE && c->root[x] != root) return LEAT_NONE;
    root = c->root[x];
    *out_steps += c->steps[x];
  }
  return *out_steps <= STEPS_MAX ? root : LEAT_NONE;
}

static void find_roots(recompute_t *c, const leat_graph_t *g) {
  for (leat_value_id_t v = 0; v < g->values.count; v++) c->root[v] = v;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (!is_map_of(op, LEAT_TYPE_FWD) || !is_quick(g, op)) continue;
    uint32_t steps;
    leat_value_id_t root = common_root(c, g, op, &steps), v = op->result_first;
    if (root == LEAT_NONE || !leat_same_shape(leat_graph_value(g, root), leat_graph_value(g, v))) continue;
    const leat_op_t *source = leat_graph_op(g, leat_graph_value(g, root)->op);
    if (source->type != LEAT_TYPE_FWD || leat_op_role(source->kind) == LEAT_ROLE_CONSTANT) continue;
    c->root[v] = root;
    c->steps[v] = (uint8_t)steps;
  }
}

static void find_readers(recompute_t *c, const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool maps = is_map_of(op, LEAT_TYPE_BCKWD);
    bool keeps = !maps && (op->type != LEAT_TYPE_FWD || leat_op_is_statement(op->kind));
    for (uint32_t i = 0; i < op->input_count; i++) {
      leat_value_id_t x = leat_op_input(g, op, i);
      if (x == LEAT_NONE) continue;
      c->mapped[x] = c->mapped[x] || maps;
      c->kept[x] = c->kept[x] || keeps;
    }
  }
}

static int64_t bytes_of(const leat_graph_t *g, leat_value_id_t v) {
  return (int64_t)leat_value_bytes(leat_graph_value(g, v));
}

static bool is_child(const recompute_t *c, leat_value_id_t v) { return c->root[v] != v && c->mapped[v] && !c->kept[v]; }

// Symbols lie in memory anyway.
static bool is_kept_anyway(const recompute_t *c, const leat_graph_t *g, leat_value_id_t root) {
  const leat_op_t *source = leat_graph_op(g, leat_graph_value(g, root)->op);
  return c->kept[root] || c->mapped[root] || leat_op_role(source->kind) == LEAT_ROLE_SYMBOL;
}

static void weigh(recompute_t *c, const leat_graph_t *g) {
  for (leat_value_id_t v = 0; v < g->values.count; v++) {
    if (is_child(c, v)) c->saved[c->root[v]] += bytes_of(g, v);
  }
  for (leat_value_id_t v = 0; v < g->values.count; v++) {
    if (c->saved[v] > 0 && !is_kept_anyway(c, g, v)) c->saved[v] -= bytes_of(g, v);
  }
}

static bool is_recomputed(const recompute_t *c, leat_value_id_t v) {
  return is_child(c, v) && c->saved[c->root[v]] >= c->least;
}

// What the old value `v` is to a map of backward: a child is computed there, in the reader's group.
static leat_status_t value_for_backward(leat_rebuild_t *r, leat_value_id_t v, uint32_t group,
                                        leat_value_id_t *out_value) {
  recompute_t *c = r->user;
  *out_value = r->map[v];
  if (c->root[v] == v) return NULL;
  if (c->copies[v].value != LEAT_NONE && c->copies[v].group == group) {
    *out_value = c->copies[v].value;
    return NULL;
  }
  const leat_op_t *op = leat_graph_op(r->from, leat_graph_value(r->from, v)->op);
  leat_value_id_t inputs[3];
  assert(op->input_count <= 3);
  for (uint32_t i = 0; i < op->input_count; i++) {
    LEAT_TRY(value_for_backward(r, leat_op_input(r->from, op, i), group, &inputs[i]));
  }
  LEAT_TRY(leat_rebuild_again(r, op, inputs, LEAT_TYPE_BCKWD, group, out_value));
  c->copies[v] = (copy_t){*out_value, group};
  return NULL;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const recompute_t *c = r->user;
  const leat_op_t *op = leat_graph_op(r->from, id);
  if (!is_map_of(op, LEAT_TYPE_BCKWD)) return leat_rebuild_copy(r, id);
  leat_value_id_t saved[3];
  assert(op->input_count <= 3);
  leat_status_t status = NULL;
  for (uint32_t i = 0; i < op->input_count; i++) saved[i] = leat_rebuild_input(r, op, i);
  for (uint32_t i = 0; status == NULL && i < op->input_count; i++) {
    leat_value_id_t x = leat_op_input(r->from, op, i), made;
    if (!is_recomputed(c, x)) continue;
    status = value_for_backward(r, x, op->group, &made);
    if (status == NULL) r->map[x] = made;
  }
  if (status == NULL) status = leat_rebuild_copy(r, id);
  for (uint32_t i = 0; i < op->input_count; i++) r->map[leat_op_input(r->from, op, i)] = saved[i];
  return status;
}

static leat_status_t allocate(recompute_t *c, size_t values) {
  c->root = leat_alloc((values + 1) * sizeof *c->root);
  c->steps = leat_alloc_zero(values + 1, sizeof *c->steps);
  c->mapped = leat_alloc_zero(values + 1, sizeof *c->mapped);
  c->kept = leat_alloc_zero(values + 1, sizeof *c->kept);
  c->saved = leat_alloc_zero(values + 1, sizeof *c->saved);
  c->copies = leat_alloc((values + 1) * sizeof *c->copies);
  bool whole = c->root != NULL && c->steps != NULL && c->mapped != NULL && c->kept != NULL && c->saved != NULL;
  if (!whole || c->copies == NULL) return leat_out_of_memory();
  memset(c->copies, 0xff, (values + 1) * sizeof *c->copies);
  return NULL;
}

leat_status_t leat_opt_recompute(const leat_graph_t *from, const leat_arch_t *arch, leat_graph_t **out_graph) {
  recompute_t c = {.least = (int64_t)arch->recompute_bytes};
  *out_graph = NULL;
  leat_status_t status = allocate(&c, from->values.count);
  if (status == NULL) {
    find_roots(&c, from);
    find_readers(&c, from);
    weigh(&c, from);
    status = leat_rebuild(from, visit, &c, out_graph);
  }
  void *const blocks[] = {c.root, c.steps, c.mapped, c.kept, c.saved, c.copies};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) leat_free(blocks[i]);
  return status;
}
