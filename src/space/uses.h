// SPDX-License-Identifier: Apache-2.0
// Who reads what: for every base value of a settled graph the computing ops and stores that read it, through any views.
#ifndef LEAT_SPACE_USES_H_
#define LEAT_SPACE_USES_H_

#include "ir/graph.h"

// One reader of a base value.
typedef struct leat_use_s {
  leat_op_id_t op;
  uint32_t input;
} leat_use_t;

typedef struct leat_uses_s {
  uint32_t *first;  // per value, and one more: the readers of v are all[first[v]] up to all[first[v + 1]]
  leat_use_t *all;  // in the order of the graph
} leat_uses_t;

leat_status_t leat_uses_collect(const leat_graph_t *g, leat_uses_t *out_uses) LEAT_MUST_USE;
void leat_uses_deinit(leat_uses_t *uses);

#endif
