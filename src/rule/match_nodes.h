// SPDX-License-Identifier: Apache-2.0
// The traced graph as fusion rules see it: one node for each call of the program that computes, and who reads whom.
//
// Leaves and statements are no nodes. The pieces of one split are one node, as they are one call. Copies, detachments
// and casts that the program did not ask for are nodes, but an edge also leads past them: x.contiguous() does not come
// between x and its reader.
#ifndef LEAT_RULE_MATCH_NODES_H_
#define LEAT_RULE_MATCH_NODES_H_

#include "ir/graph.h"

typedef uint32_t leat_node_id_t;
enum { LEAT_NODES_PAST_MAX = 4 };  // transparent nodes in a row that an edge leads past

// Lists of nodes, ascending; those of node n are at[first[n] .. first[n + 1]).
typedef struct leat_node_lists_s {
  uint32_t *first;
  leat_node_id_t *at;
} leat_node_lists_t;

// Ids ascend from producers to readers.
typedef struct leat_nodes_s {
  const leat_graph_t *g;
  uint32_t count;
  uint32_t *node_of;         // per op; LEAT_NONE for leaves and statements
  leat_node_lists_t ops;     // ops of a node
  leat_node_lists_t direct;  // readers
  leat_node_lists_t outs;    // readers, also past transparent nodes
  leat_node_lists_t ins;     // the other way round
  bool *transparent;
} leat_nodes_t;

leat_status_t leat_nodes_create(const leat_graph_t *g, leat_nodes_t *out_nodes) LEAT_MUST_USE;
void leat_nodes_deinit(leat_nodes_t *nodes);
// Does `reader` read `producer`, perhaps past transparent nodes?
bool leat_nodes_reads(const leat_nodes_t *nodes, leat_node_id_t producer, leat_node_id_t reader);
// The op that stands for the node.
static inline const leat_op_t *leat_nodes_op(const leat_nodes_t *nodes, leat_node_id_t n) {
  return leat_graph_op(nodes->g, nodes->ops.at[nodes->ops.first[n]]);
}

#endif
