// SPDX-License-Identifier: Apache-2.0
// Matching of fusion rules on the traced forward graph (docs/fusion-rules.md states the meaning of a rule).
//
// Rules go by priority, highest first, then in the order they were read. All occurrences of a rule are taken in the
// order of the program before the next rule has its turn. An op belongs to one group at most; ops that already carry a
// group in the graph are taken from the start. A group is refused if the groups could then not be put into an order.
// The search is bounded: what was not looked at any more is said in the result.
#ifndef LEAT_RULE_MATCH_H_
#define LEAT_RULE_MATCH_H_

#include "rule/match_nodes.h"
#include "rule/rule.h"

// Where a rule matched. `node[e]`: the node of entry e; LEAT_NONE: absent, or not part of this choice of options.
typedef struct leat_occurrence_s {
  const leat_rule_t *rule;
  const leat_rule_pattern_t *pattern;
  leat_node_id_t *node;
  leat_node_id_t *taken;  // the group: included nodes and transparent ones between them, ascending
  uint32_t taken_count;
} leat_occurrence_t;

typedef enum leat_miss_reason_e {  // ORDER: the later ones tell more
  LEAT_MISS_NO_NODE,               // nothing reads (is read by) the node where the entry should follow
  LEAT_MISS_OP,                    // what is there is another op
  LEAT_MISS_USED,                  // it stands for another entry already
  LEAT_MISS_EDGE,                  // it is not connected with another entry as the pattern says
  LEAT_MISS_TAKEN,                 // another group has it
  LEAT_MISS_NOT_CONVEX,            // a path leaves the group and comes back
} leat_miss_reason_t;

// How far a rule got at a place where it did not match.
typedef struct leat_miss_s {
  const leat_rule_pattern_t *pattern;
  leat_miss_reason_t reason;
  uint32_t found;  // entries that had their node
  uint16_t anchor, entry, from,
      other;  // entries: where the search began; what failed; next to which; LEAT_MISS_EDGE: towards which
  bool down;  // the entry should read `from`'s node, else be read by it
  leat_node_id_t anchor_node, from_node, node;  // node: the candidate that failed, LEAT_NONE if there was none
  uint32_t taken_by;                            // LEAT_MISS_TAKEN: group number
} leat_miss_t;

enum { LEAT_MISSES_KEPT = 3 };

typedef struct leat_rule_result_s {
  const leat_rule_t *rule;
  uint32_t match_count, first_match;  // occurrences of a rule are consecutive
  uint32_t taken_places;              // places where the rule could not begin, as another group has the op
  uint32_t miss_count;
  leat_miss_t misses[LEAT_MISSES_KEPT];  // the nearest first
  bool gave_up;                          // the search became too long
} leat_rule_result_t;

typedef struct leat_fusion_s {
  leat_arena_t arena;
  leat_nodes_t nodes;
  const leat_rules_t *rules;
  uint32_t annotated;      // groups that the graph brought; numbers from 1. Occurrence i is group annotated + 1 + i.
  uint32_t *annotated_id;  // per group of those, from 1: the id that the graph gives it
  LEAT_ARRAY(leat_occurrence_t) occurrences;
  leat_rule_result_t *results;  // one a rule
} leat_fusion_t;

// `traced` and `rules` outlive the result.
leat_status_t leat_fusion_create(const leat_graph_t *traced, const leat_rules_t *rules,
                                 leat_fusion_t **out_fusion) LEAT_MUST_USE;
void leat_fusion_destroy(leat_fusion_t *fusion);

// What matched where, and the nearest misses: for people, and as one JSON object.
void leat_fusion_put_text(const leat_fusion_t *fusion, leat_text_t *out);
void leat_fusion_put_json(const leat_fusion_t *fusion, leat_text_t *out);

#endif
