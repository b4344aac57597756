// SPDX-License-Identifier: Apache-2.0
// What values can be: an interval for every value of a traced graph, from its constants and the ops that make it.
//
// An interval holds every element but NaN. It is a bound, not the truth: where an op has no rule it is all that the
// dtype can hold. Integers beyond 2^53 are rounded outwards.
#ifndef LEAT_OPT_RANGES_H_
#define LEAT_OPT_RANGES_H_

#include "ir/graph.h"

typedef struct leat_range_s {
  double low, high;
} leat_range_t;

// All that `dtype` can hold.
leat_range_t leat_range_of_dtype(leat_dtype_t dtype);
// `out_ranges`: one a value of the traced graph `g`, whose blobs are set.
void leat_opt_ranges(const leat_graph_t *g, leat_range_t *out_ranges);

#endif
