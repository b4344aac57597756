// SPDX-License-Identifier: Apache-2.0
// Gradients of parameters die into their updates: none is stored, and each update stands where its gradient is whole
// and backward has read the parameter for the last time, so that memory holds a few gradients and not all. Backward and
// updates are one section type then, OPT: apart from each other they would have to leave all gradients between them.
#include "ir/rebuild.h"
#include "opt/opt.h"

typedef struct drop_s {
  const leat_graph_t *g;
  leat_op_id_t *due;    // op -> the op of forward or backward that it stands behind; of those, themselves
  leat_op_id_t *reads;  // value -> the last op of forward or backward that reads it, also through views
  bool *updated;        // symbol -> an optimizer updates it
  leat_op_id_t *order;
} drop_t;

static bool is_update(const leat_op_t *op) { return op->type == LEAT_TYPE_OPT; }

static bool is_dropped(const drop_t *d, const leat_op_t *op) {
  if (!leat_op_is_store(d->g, op, LEAT_STORE_GRAD)) return false;
  const leat_symbol_id_t owner = leat_graph_symbol(d->g, leat_op_symbol(d->g, op))->owner;
  return owner != LEAT_NONE && d->updated[owner];
}

static void note_read(drop_t *d, leat_value_id_t v, leat_op_id_t reader) {
  while (v != LEAT_NONE) {
    d->reads[v] = reader;
    const leat_op_t *op = leat_graph_op(d->g, leat_graph_value(d->g, v)->op);
    v = leat_op_role(op->kind) == LEAT_ROLE_VIEW ? leat_op_input(d->g, op, 0) : LEAT_NONE;
  }
}

static void find_updated(drop_t *d) {
  for (leat_op_id_t id = 0; id < d->g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(d->g, id);
    if (is_update(op) && leat_op_is_store(d->g, op, LEAT_STORE_UPDATE)) d->updated[leat_op_symbol(d->g, op)] = true;
  }
}

static void find_reads(drop_t *d) {
  for (leat_op_id_t id = 0; id < d->g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(d->g, id);
    const bool stays = !is_update(op) && !is_dropped(d, op);
    for (uint32_t i = 0; i < op->input_count && stays; ++i) note_read(d, leat_op_input(d->g, op, i), id);
  }
}

static void find_due(drop_t *d) {
  for (leat_op_id_t id = 0; id < d->g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(d->g, id);
    d->due[id] = is_update(op) ? 0 : id;
    for (uint32_t i = 0; i < op->input_count && is_update(op); ++i) {
      const leat_value_id_t v = leat_op_input(d->g, op, i);
      if (v == LEAT_NONE) continue;
      const leat_op_id_t made = d->due[leat_graph_value(d->g, v)->op], read = d->reads[v];
      if (made > d->due[id]) d->due[id] = made;
      if (read != LEAT_NONE && read > d->due[id]) d->due[id] = read;
    }
  }
}

// What hangs on no gradient, as the decay of a parameter, waits for the first op that reads it: made before, it would
// have to be kept.
static leat_status_t delay(drop_t *d) {
  leat_op_id_t *latest = leat_alloc(((size_t)d->g->ops.count + 1u) * sizeof *latest);
  if (latest == NULL) return leat_out_of_memory();
  for (leat_op_id_t id = 0; id < d->g->ops.count; ++id) latest[id] = LEAT_NONE;
  for (leat_op_id_t id = d->g->ops.count; id-- > 0;) {
    const leat_op_t *op = leat_graph_op(d->g, id);
    if (!is_update(op)) continue;
    if (latest[id] != LEAT_NONE) d->due[id] = latest[id];
    for (uint32_t i = 0; i < op->input_count; ++i) {
      const leat_value_id_t v = leat_op_input(d->g, op, i);
      const leat_op_id_t maker = v == LEAT_NONE ? LEAT_NONE : leat_graph_value(d->g, v)->op;
      if (maker != LEAT_NONE && d->due[id] < latest[maker]) latest[maker] = d->due[id];
    }
  }
  leat_free(latest);
  return NULL;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t place) {
  const drop_t *d = r->user;
  const leat_op_id_t id = d->order[place];
  const leat_op_t *op = leat_graph_op(d->g, id);
  if (is_dropped(d, op)) return NULL;
  r->b.origin = op->origin;
  r->b.group = op->group;
  r->b.type = op->type == LEAT_TYPE_BCKWD ? LEAT_TYPE_OPT : op->type;
  return leat_rebuild_copy(r, id);
}

static leat_status_t check(const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    if (leat_graph_op(g, id)->type == LEAT_TYPE_GRADNORM)
      LEAT_FAIL(LEAT_UNSUPPORTED,
                "--drop-grads: the optimizer clips gradients by the norm of them all, which has to be known before the "
                "first of them is used; compile without the one or the other");
  }
  return NULL;
}

leat_status_t leat_opt_drop_grads(const leat_graph_t *from, leat_graph_t **out_graph) {
  *out_graph = NULL;
  LEAT_TRY(check(from));
  drop_t d = {.g = from,
              .due = leat_alloc_zero(from->ops.count + 1u, sizeof *d.due),
              .reads = leat_alloc_zero(from->values.count + 1u, sizeof *d.reads),
              .updated = leat_alloc_zero(from->symbols.count + 1u, sizeof *d.updated),
              .order = leat_alloc_zero(from->ops.count + 1u, sizeof *d.order)};
  leat_status_t status = NULL;
  if (d.due == NULL || d.reads == NULL || d.updated == NULL || d.order == NULL) status = leat_out_of_memory();
  if (status == NULL) {
    for (leat_value_id_t v = 0; v < from->values.count; ++v) d.reads[v] = LEAT_NONE;
    find_updated(&d);
    find_reads(&d);
    find_due(&d);
    status = delay(&d);
  }
  // Behind each op of forward and backward what is due then, in the order that it had.
  if (status == NULL) status = leat_opt_order(d.due, from->ops.count, d.order);
  if (status == NULL) status = leat_rebuild(from, visit, &d, out_graph);
  leat_free(d.due);
  leat_free(d.reads);
  leat_free(d.updated);
  leat_free(d.order);
  return status;
}
