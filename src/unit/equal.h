// SPDX-License-Identifier: Apache-2.0
// Which units are the same: graphs that are equal but for origins, since what their ends are called is canonical.
#ifndef LEAT_UNIT_EQUAL_H_
#define LEAT_UNIT_EQUAL_H_

#include "ir/graph.h"

// Equal graphs (leat_graphs_equal) have equal hashes.
uint64_t leat_unit_graph_hash(const leat_graph_t *g);

// Graphs, each with what follows from it under its number; equal ones are found by their hash.
typedef struct leat_unit_kinds_s {
  LEAT_ARRAY(leat_graph_t *) graphs;
  LEAT_ARRAY(uint64_t) hashes;
  LEAT_ARRAY(uint32_t) next;  // per graph: another of its bucket + 1; 0: the last
  uint32_t *buckets;          // the first of each bucket + 1; 0: none
  uint32_t bucket_count;      // a power of two
} leat_unit_kinds_t;

leat_status_t leat_unit_kinds_init(leat_unit_kinds_t *kinds, uint32_t expected) LEAT_MUST_USE;
void leat_unit_kinds_deinit(leat_unit_kinds_t *kinds);
// The number of the first graph that is equal to this one; LEAT_NONE: there is none.
uint32_t leat_unit_kinds_find(const leat_unit_kinds_t *kinds, const leat_graph_t *graph);
// Takes `graph`, also when it fails, and gives it the next number.
leat_status_t leat_unit_kinds_add(leat_unit_kinds_t *kinds, leat_graph_t *graph) LEAT_MUST_USE;

#endif
