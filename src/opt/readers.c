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
