// SPDX-License-Identifier: Apache-2.0
// Max pooling before relu: max_pool(relu(x)) becomes relu(max_pool(x)) where nobody else reads relu(x).
//
// relu never decreases, so both orders have the same bits, and the same winner wherever the gradient is not zero. The
// relu and its gradient then run on the pooled elements only. Works on the traced graph; shrinks the elements that
// relus visit, which is the measure by which it ends.
#include "ir/rebuild.h"
#include "opt/opt.h"

// The relu that feeds the pooling `op` and nothing else, or NULL.
static const leat_op_t *swappable_relu(const leat_graph_t *g, const leat_op_t *op, const uint32_t *readers) {
  if (op->kind != LEAT_TRACED_MAX_POOL) return NULL;
  leat_value_id_t x = leat_op_input(g, op, 0);
  const leat_op_t *producer = leat_graph_op(g, leat_graph_value(g, x)->op);
  bool same = producer->kind == LEAT_TRACED_RELU && producer->detached == op->detached && producer->group == op->group;
  return same && readers[x] == 1 ? producer : NULL;
}

// relu of `x`, with the place of the relu it stands for.
static leat_status_t append_relu(leat_graph_t *g, leat_op_id_t like, leat_value_id_t x, leat_value_id_t *out_value) {
  const leat_op_t *op = leat_graph_op(g, like);
  leat_value_t type = *leat_graph_value(g, x);
  leat_op_desc_t desc = {.kind = op->kind,
                         .type = op->type,
                         .detached = op->detached,
                         .group = op->group,
                         .origin = op->origin,
                         .inputs = &x,
                         .input_count = 1,
                         .results = &type,
                         .result_count = 1};
  leat_op_id_t id;
  LEAT_TRY(leat_graph_append(g, &desc, &id));
  *out_value = leat_graph_op(g, id)->result_first;
  return NULL;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id), *relu = swappable_relu(r->from, op, r->user);
  if (relu == NULL) return leat_rebuild_copy(r, id);
  leat_value_id_t relu_result = relu->result_first, saved = r->map[relu_result];
  r->map[relu_result] = leat_rebuild_input(r, relu, 0);
  leat_status_t status = leat_rebuild_copy(r, id);
  r->map[relu_result] = saved;
  if (status != NULL) return status;
  leat_op_id_t like = leat_graph_value(r->b.graph, saved)->op;
  return append_relu(r->b.graph, like, r->map[op->result_first], &r->map[op->result_first]);
}

leat_status_t leat_opt_pool_first(const leat_graph_t *from, leat_graph_t **out_graph) {
  uint32_t *readers = NULL;
  LEAT_TRY(leat_opt_count_readers(from, &readers));
  leat_status_t status = leat_rebuild(from, visit, readers, out_graph);
  leat_free(readers);
  return status;
}
