// SPDX-License-Identifier: Apache-2.0
// See batch_dims.h. What follows the batch in one trace and not in another cannot be told from a single one: an extent
// of 8 may be two rows of four, or the number of classes.
#include "opt/batch_dims.h"

// The next output from op *at on, or NULL; *at then lies behind it.
static const leat_op_t *next_output(const leat_graph_t *g, leat_op_id_t *at) {
  while (*at < g->ops.count) {
    const leat_op_t *op = leat_graph_op(g, (*at)++);
    if (leat_op_role(op->kind) == LEAT_ROLE_KEEP) return op;
  }
  return NULL;
}

static leat_status_t compare(const leat_graph_t *graph, const leat_op_t *output, const leat_graph_t *other,
                             const leat_op_t *same, uint32_t *out_dim) {
  const char *name = leat_op_name(graph, output);
  const leat_value_t *a = leat_graph_value(graph, leat_op_input(graph, output, 0));
  const leat_value_t *b = same == NULL ? NULL : leat_graph_value(other, leat_op_input(other, same, 0));
  if (b == NULL || strcmp(name, leat_op_name(other, same)) != 0 || a->dtype != b->dtype || a->rank != b->rank)
    LEAT_FAIL(LEAT_MISMATCH, "output '%s' has no match of its dtype and rank in the program of other rows", name);
  *out_dim = LEAT_NONE;
  for (uint32_t d = a->rank; d-- > 0;) {
    if (a->dims[d] != b->dims[d]) *out_dim = d;
  }
  return NULL;
}

leat_status_t leat_opt_batch_dims(const leat_graph_t *graph, const leat_graph_t *other, uint32_t *out_dims,
                                  uint32_t count) {
  leat_op_id_t at = 0, at_other = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const leat_op_t *output = next_output(graph, &at);
    if (output == NULL) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the program has %u outputs, not %u", i, count);
    LEAT_TRY(compare(graph, output, other, next_output(other, &at_other), &out_dims[i]));
  }
  if (next_output(graph, &at) == NULL) return NULL;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the program has more than %u outputs", count);
}
