// SPDX-License-Identifier: Apache-2.0
// Values of backward are made where they are read first, so that memory does not hold them before: the gradient that a
// shared weight has of one of its layers, when the others come much later; what a loss makes of each class, when a sum
// over all rows has to be known before it is used.
//
// An op waits if its result is large and takes no less memory than what the op reads would, meanwhile, that nothing
// else keeps. What is spread from much less, such as the places of a class in its rows, need not be as large: it would
// be stored and loaded for nothing. Works on primitives; ops change their places and nothing else, so bits do not
// change.
#include "ir/rebuild.h"
#include "opt/opt.h"

typedef struct late_s {
  const leat_graph_t *g;
  int64_t least;        // bytes of a result that waits: smaller ones stay in a cache
  leat_op_id_t *due;    // per op: the op in front of which it stands, or itself
  leat_op_id_t *first;  // per value: where it is read first; LEAT_NONE: nowhere; 0: it is stored
  leat_op_id_t *last;   // per value: where it is read last, also through views; 0: nowhere
  leat_op_id_t *order;
} late_t;

static bool is_view(const leat_op_t *op) { return leat_op_role(op->kind) == LEAT_ROLE_VIEW; }

static bool may_wait(const leat_op_t *op) {
  return op->type == LEAT_TYPE_BCKWD && op->result_count == 1 && (is_view(op) || leat_op_computes(op->kind));
}

// Bytes of what backward has made for `op` and would have to keep until `due`.
static uint64_t bytes_kept(const late_t *l, const leat_op_t *op, leat_op_id_t due) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (leat_op_input(l->g, op, i) == LEAT_NONE) continue;
    const leat_value_id_t base = leat_opt_behind_views(l->g, leat_op_input(l->g, op, i));
    const leat_op_t *maker = leat_graph_op(l->g, leat_graph_value(l->g, base)->op);
    if (maker->type != LEAT_TYPE_BCKWD || !leat_op_computes(maker->kind) || l->last[base] >= due) continue;
    bytes += leat_value_bytes(leat_graph_value(l->g, base));
  }
  return bytes;
}

// Its update may stand behind it (drop_grads.c), and should not wait as well.
static bool reads_parameter(const leat_graph_t *g, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (leat_op_input(g, op, i) == LEAT_NONE) continue;
    const leat_value_id_t base = leat_opt_behind_views(g, leat_op_input(g, op, i));
    if (leat_op_is_symbol(g, leat_graph_op(g, leat_graph_value(g, base)->op), LEAT_KIND_PARAM)) return true;
  }
  return false;
}

enum { SPREAD = 8 };
static uint64_t bytes_read(const leat_graph_t *g, const leat_op_t *op) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    const leat_value_id_t v = leat_op_input(g, op, i);
    if (v != LEAT_NONE) bytes += leat_value_bytes(leat_graph_value(g, leat_opt_behind_views(g, v)));
  }
  return bytes;
}

static bool is_large(const late_t *l, const leat_op_t *op, uint64_t bytes) {
  const bool spread = leat_op_role(op->kind) == LEAT_ROLE_ELEMENTWISE && bytes / SPREAD >= bytes_read(l->g, op);
  return bytes >= (uint64_t)l->least / (spread ? SPREAD : 1);
}

static leat_op_id_t due_of(const late_t *l, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(l->g, id);
  const leat_op_id_t due = may_wait(op) ? l->first[op->result_first] : LEAT_NONE;
  if (due == LEAT_NONE || due < id || reads_parameter(l->g, op)) return id;
  if (is_view(op)) return due;
  const uint64_t bytes = leat_value_bytes(leat_graph_value(l->g, op->result_first));
  return is_large(l, op, bytes) && bytes >= bytes_kept(l, op, due) ? due : id;
}

static void note_reads(late_t *l, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(l->g, id);
  const bool stores = leat_op_is_statement(op->kind);  // to memory that is there anyway
  const leat_op_id_t first = stores ? 0 : l->due[id];
  const leat_op_id_t last = is_view(op) && l->last[op->result_first] > first ? l->last[op->result_first] : first;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    const leat_value_id_t v = leat_op_input(l->g, op, i);
    if (v == LEAT_NONE) continue;
    if (first < l->first[v]) l->first[v] = first;
    if (last > l->last[v]) l->last[v] = last;
  }
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t place) {
  const late_t *l = r->user;
  const leat_op_id_t id = l->order[place];
  const leat_op_t *op = leat_graph_op(l->g, id);
  r->b.origin = op->origin;
  r->b.group = op->group;
  r->b.type = op->type;
  return leat_rebuild_copy(r, id);
}

leat_status_t leat_opt_late(const leat_graph_t *from, const leat_arch_t *arch, leat_graph_t **out_graph) {
  *out_graph = NULL;
  late_t l = {.g = from,
              .least = (int64_t)arch->recompute_bytes,
              .due = leat_alloc_zero(from->ops.count + 1u, sizeof *l.due),
              .first = leat_alloc_zero(from->values.count + 1u, sizeof *l.first),
              .last = leat_alloc_zero(from->values.count + 1u, sizeof *l.last),
              .order = leat_alloc_zero(from->ops.count + 1u, sizeof *l.order)};
  leat_status_t status = NULL;
  if (l.due == NULL || l.first == NULL || l.last == NULL || l.order == NULL) status = leat_out_of_memory();
  if (status == NULL) {
    for (leat_value_id_t v = 0; v < from->values.count; ++v) l.first[v] = LEAT_NONE;
    for (leat_op_id_t id = from->ops.count; id-- > 0;) {
      l.due[id] = due_of(&l, id);
      note_reads(&l, id);
    }
    status = leat_opt_order(l.due, from->ops.count, l.order);
  }
  if (status == NULL) status = leat_rebuild(from, visit, &l, out_graph);
  leat_free(l.due);
  leat_free(l.first);
  leat_free(l.last);
  leat_free(l.order);
  return status;
}
