// SPDX-License-Identifier: Apache-2.0
// Dead-code elimination: an op lives if it is a symbol or a store, or if a living op reads it.
#include "ir/rebuild.h"
#include "opt/opt.h"

static bool has_effect(const leat_op_t *op) {
  return leat_op_role(op->kind) == LEAT_ROLE_SYMBOL || leat_op_is_statement(op->kind);
}

// Readers come after what they read: one walk backwards settles all.
void leat_opt_mark_living(const leat_graph_t *g, bool *lives) {
  for (leat_op_id_t id = g->ops.count; id-- > 0;) {
    const leat_op_t *op = leat_graph_op(g, id);
    lives[id] = lives[id] || has_effect(op);
    for (uint32_t i = 0; lives[id] && i < op->input_count; i++) {
      leat_value_id_t x = leat_op_input(g, op, i);
      if (x != LEAT_NONE) lives[leat_graph_value(g, x)->op] = true;
    }
  }
}

static leat_status_t copy_living(leat_rebuild_t *r, leat_op_id_t id) {
  const bool *lives = r->user;
  return lives[id] ? leat_rebuild_copy(r, id) : NULL;
}

leat_status_t leat_opt_dce(const leat_graph_t *from, leat_graph_t **out_graph) {
  bool *lives = leat_alloc_zero((size_t)from->ops.count + 1u, sizeof *lives);
  if (lives == NULL) return leat_out_of_memory();
  leat_opt_mark_living(from, lives);
  leat_status_t status = leat_rebuild(from, copy_living, lives, out_graph);
  leat_free(lives);
  return status;
}
