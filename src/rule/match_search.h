// SPDX-License-Identifier: Apache-2.0
// Search for one pattern at one place. Private to match*.c.
#ifndef LEAT_RULE_MATCH_SEARCH_H_
#define LEAT_RULE_MATCH_SEARCH_H_

#include "rule/match.h"
#include "rule/match_order.h"

enum { LEAT_ENTRY_OPEN = UINT32_MAX - 2, LEAT_ENTRY_ABSENT = UINT32_MAX - 1 };

typedef struct leat_search_s {
  const leat_nodes_t *nodes;
  leat_order_t *order;
  const leat_rule_t *rule;
  const leat_rule_pattern_t *pattern;
  leat_node_id_t *state;  // per entry: its node, LEAT_ENTRY_OPEN or LEAT_ENTRY_ABSENT
  leat_node_id_t *best;   // the best whole assignment so far
  uint16_t *entry_of;     // per node: 1 + the entry that it stands for; 0: none
  leat_node_id_t *set;    // room for one group
  uint32_t present, optional_used, optional_open, best_used;
  bool has_best;
  uint16_t anchor;
  leat_node_id_t anchor_node;
  leat_miss_t miss;         // the furthest failure of this place; `found` 0: none
  uint64_t work, work_max;  // steps taken at this place, and how many are allowed
} leat_search_t;

bool leat_entry_accepts(const leat_rule_entry_t *entry, const leat_nodes_t *nodes, leat_node_id_t node);
// Looks for the pattern with `anchor_node` in the place of entry `anchor`. True: `best` holds the match with the most
// optional entries.
bool leat_search_at(leat_search_t *s, uint16_t anchor, leat_node_id_t anchor_node);
// The group of a whole assignment, ascending, into `set` (room for all nodes); the number of its nodes.
uint32_t leat_search_group(const leat_search_t *s, const leat_node_id_t *assignment, leat_node_id_t *set);

#endif
