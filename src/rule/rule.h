// SPDX-License-Identifier: Apache-2.0
// Fusion rules: patterns over the traced forward graph, read from YAML (docs/fusion-rules.md).
//
// A rule is a small DAG of entries. Every entry names the ops that may stand in its place; an edge says that the op of
// the child reads a result of the op of the parent. Entries without ops (`match_first_option`) stand for one of others:
// they are resolved when the file is read, so that a rule holds one plain pattern for each choice.
#ifndef LEAT_RULE_RULE_H_
#define LEAT_RULE_RULE_H_

#include "rule/heuristic.h"
#include "rule/rule_op.h"

// Bounds of one file, so that a hostile one costs little.
enum { LEAT_RULES_MAX = 1024, LEAT_RULE_ENTRIES_MAX = 256, LEAT_RULE_CHOICES_MAX = 64, LEAT_RULE_OPTIONAL_MAX = 64 };

typedef struct leat_rule_entry_s {
  const char *name;
  leat_rule_op_t *ops;           // any one of which may stand here; none: one of `options` does
  const char *op_text;           // the names as written, for messages: "relu or gelu"
  uint16_t *children, *options;  // indices into the rule's entries
  uint16_t op_count, child_count, option_count;
  bool required;  // false: may be absent; its parents then lead to its children
  bool included;  // false: context, not part of the group
  uint32_t line, column;
} leat_rule_entry_t;

// The entries of one choice of alternatives, with edges both ways; `present[e]` is false for what dropped out. A DAG in
// one piece, with at least one entry that is required and included.
typedef struct leat_rule_pattern_s {
  bool *present, *required, *included;
  uint16_t *order;  // the entries that are present, parents before children
  uint16_t count, optional_count;
  uint16_t **children, **parents;  // per entry
  uint16_t *child_counts, *parent_counts;
} leat_rule_pattern_t;

typedef struct leat_rule_s {
  const char *name;
  int32_t priority;
  leat_heuristic_use_t heuristic;
  leat_rule_entry_t *entries;
  uint16_t entry_count;
  leat_rule_pattern_t *patterns;  // in the order in which they are tried; at least one
  uint16_t pattern_count;
  const char *file;
  uint32_t line;
} leat_rule_t;

typedef struct leat_rules_s {
  leat_arena_t arena;
  LEAT_ARRAY(leat_rule_t) rules;  // by priority, highest first; of equals the first read comes first
  leat_text_t warnings;           // lines; data is NULL when there are none
} leat_rules_t;

// An empty set.
leat_status_t leat_rules_create(leat_rules_t **out_rules) LEAT_MUST_USE;
void leat_rules_destroy(leat_rules_t *rules);
// Reads a file's text and adds its rules behind those of equal priority. An error names file, line and column, and adds
// nothing. `file` is what messages call it.
leat_status_t leat_rules_add(leat_rules_t *rules, const char *text, size_t text_bytes, const char *file) LEAT_MUST_USE;
// Adds the built-in list `name`. LEAT_INVALID_ARGUMENT: there is none of that name; the message lists them.
leat_status_t leat_rules_add_builtin(leat_rules_t *rules, const char *name) LEAT_MUST_USE;
// Adds rules of low priority that fuse what others leave over.
leat_status_t leat_rules_add_experimental(leat_rules_t *rules) LEAT_MUST_USE;

#endif
