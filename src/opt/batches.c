// SPDX-License-Identifier: Apache-2.0
// One update for several batches: what is trained says so, and reverse mode adds up its gradients. Works on the traced
// graph; adds an attribute to each parameter that requires a gradient.
#include "ir/rebuild.h"
#include "opt/opt.h"

enum { ATTRS_MAX = 8 };

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_graph_t *g = r->from;
  const leat_op_t *op = leat_graph_op(g, id);
  const uint32_t *batches = r->user;
  if (!leat_op_requires_grad(g, op) || leat_op_word(g, op, LEAT_ATTR_KIND, LEAT_KIND_INPUT) != LEAT_KIND_PARAM)
    return leat_rebuild_copy(r, id);
  leat_attr_t attrs[ATTRS_MAX];
  assert(op->attr_count < ATTRS_MAX && leat_op_attr(g, op, LEAT_ATTR_BATCHES) == NULL);
  memcpy(attrs, &g->attrs.data[op->attr_first], op->attr_count * sizeof *attrs);
  attrs[op->attr_count] = leat_attr_i(LEAT_ATTR_BATCHES, *batches);
  const leat_op_desc_t desc = {.kind = op->kind,
                               .type = op->type,
                               .group = op->group,
                               .origin = op->origin,
                               .attrs = attrs,
                               .attr_count = op->attr_count + 1u,
                               .results = leat_graph_value(g, op->result_first),
                               .result_count = 1};
  leat_op_id_t copy;
  LEAT_TRY(leat_graph_append(r->b.graph, &desc, &copy));
  r->map[op->result_first] = leat_graph_op(r->b.graph, copy)->result_first;
  return NULL;
}

leat_status_t leat_opt_batches(const leat_graph_t *from, uint32_t batches, leat_graph_t **out_graph) {
  return leat_rebuild(from, batches > 1 ? visit : leat_rebuild_copy, &batches, out_graph);
}
