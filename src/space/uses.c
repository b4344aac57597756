// SPDX-License-Identifier: Apache-2.0
// Readers of every base value: a pass that counts and a pass that fills.
#include "space/uses.h"

#include "space/access.h"

static void count_or_fill(const leat_graph_t *g, leat_uses_t *u, bool fill) {
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (!leat_op_computes(op->kind) && !leat_op_is_statement(op->kind)) continue;
    for (uint32_t i = 0; i < op->input_count; ++i) {
      leat_value_id_t base = leat_access_base(g, leat_op_input(g, op, i));
      if (fill) {
        u->all[u->first[base + 1]++] = (leat_use_t){id, i};
      } else {
        u->first[base + 2]++;
      }
    }
  }
}

leat_status_t leat_uses_collect(const leat_graph_t *g, leat_uses_t *out_uses) {
  leat_uses_t u = {.first = leat_alloc_zero((size_t)g->values.count + 3u, sizeof *u.first),
                   .all = leat_alloc_zero((size_t)g->inputs.count + 1u, sizeof *u.all)};
  bool fits = u.first != NULL && u.all != NULL;
  if (fits) {
    count_or_fill(g, &u, false);
    for (uint32_t v = 2; v < g->values.count + 2u; ++v) u.first[v] += u.first[v - 1];
    count_or_fill(g, &u, true);
  }
  *out_uses = u;
  if (fits) return NULL;
  leat_uses_deinit(out_uses);
  return leat_out_of_memory();
}

void leat_uses_deinit(leat_uses_t *uses) {
  leat_free(uses->first);
  leat_free(uses->all);
  memset(uses, 0, sizeof *uses);
}
