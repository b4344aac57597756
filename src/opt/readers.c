// SPDX-License-Identifier: Apache-2.0
#include "opt/opt.h"

leat_status_t leat_opt_count_readers(const leat_graph_t *g, uint32_t **out_counts) {
  *out_counts = leat_alloc_zero((size_t)g->values.count + 1u, sizeof **out_counts);
  if (*out_counts == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < g->inputs.count; i++) {
    if (g->inputs.data[i] != LEAT_NONE) (*out_counts)[g->inputs.data[i]]++;
  }
  return NULL;
}

leat_value_id_t leat_opt_behind_views(const leat_graph_t *g, leat_value_id_t v) {
  for (;;) {
    const leat_op_t *op = leat_graph_op(g, leat_graph_value(g, v)->op);
    if (leat_op_role(op->kind) != LEAT_ROLE_VIEW) return v;
    v = leat_op_input(g, op, 0);
  }
}

leat_status_t leat_opt_order(const leat_op_id_t *due, uint32_t count, leat_op_id_t *order) {
  uint32_t *next = leat_alloc_zero(count + 1u, sizeof *next);
  if (next == NULL) return leat_out_of_memory();
  for (leat_op_id_t id = 0; id < count; ++id) next[due[id] + 1]++;
  for (uint32_t i = 0; i < count; ++i) next[i + 1] += next[i];
  for (leat_op_id_t id = 0; id < count; ++id) order[next[due[id]]++] = id;
  leat_free(next);
  return NULL;
}
