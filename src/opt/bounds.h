// SPDX-License-Identifier: Apache-2.0
// Bounds of indices and divisors: what the ops that read or write by index, the losses of class labels and the
// divisions of integers demand of them.
//
// An index is taken back through whatever only moves elements. Where that ends at a symbol, the bound is on the symbol
// (or on the part of it that is used) and is checked before a run. Where the index is computed, it is stored beside the
// program's results, and its bound is checked after forward. What ranges.h proves to be legal is not checked at all.
#ifndef LEAT_OPT_BOUNDS_H_
#define LEAT_OPT_BOUNDS_H_

#include "ir/graph.h"

// Legal are low..high and, where has_ignored is set, `ignored`. A divisor has the bound 1..-1: all but 0.
typedef struct leat_bound_s {
  leat_symbol_id_t symbol;
  int64_t low, high, ignored;
  bool has_ignored;
  uint8_t rank;  // the elements: a strided part of the symbol, in elements
  int64_t offset, dims[LEAT_RANK_MAX], strides[LEAT_RANK_MAX];
  leat_op_id_t op;  // that demands it
} leat_bound_t;

typedef LEAT_ARRAY(leat_bound_t) leat_bounds_t;

// LEAT_OUT_OF_RANGE: an index or a divisor that is a constant is not legal.
// needs: a verified traced graph, groups made. gives: its bounds, and in `g` a store of kind "internal" for each
// computed index. *out_bounds starts zeroed and is the caller's to free (leat_array_free), also after a failure.
leat_status_t leat_opt_bounds(leat_graph_t *g, leat_bounds_t *out_bounds) LEAT_MUST_USE;

#endif
