// SPDX-License-Identifier: Apache-2.0
// Groups that are taken, and whether another one leaves all of them in an order: contracted to one node each, they must
// not lead back to themselves.
#ifndef LEAT_RULE_MATCH_ORDER_H_
#define LEAT_RULE_MATCH_ORDER_H_

#include "rule/match_nodes.h"

typedef struct leat_order_s {
  const leat_nodes_t *nodes;
  uint32_t *group_of;   // per node; 0: free
  leat_node_id_t *end;  // per node i: the last node of any group that begins at or before i and is not over there
  leat_node_id_t *stack;
  uint32_t *seen;  // per node: the check that saw it
  uint32_t check;
  LEAT_ARRAY(uint32_t) first;  // per group, from 1: its nodes are members[first[g] .. first[g + 1])
  LEAT_ARRAY(leat_node_id_t) members;
  uint64_t work;  // nodes visited so far
} leat_order_t;

leat_status_t leat_order_create(const leat_nodes_t *nodes, leat_order_t *out_order) LEAT_MUST_USE;
void leat_order_deinit(leat_order_t *order);
// True if the free nodes `set` (ascending) may become a group. Else *out_via is a node outside of the set through which
// a path that leaves the set comes back to it.
bool leat_order_allows(leat_order_t *order, const leat_node_id_t *set, uint32_t count, leat_node_id_t *out_via);
// Makes them one; *out_group is its number.
leat_status_t leat_order_take(leat_order_t *order, const leat_node_id_t *set, uint32_t count,
                              uint32_t *out_group) LEAT_MUST_USE;

#endif
