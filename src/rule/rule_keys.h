// SPDX-License-Identifier: Apache-2.0
// What the files that read rules share. Private to rule_*.c.
#ifndef LEAT_RULE_RULE_KEYS_H_
#define LEAT_RULE_RULE_KEYS_H_

#include "rule/rule.h"
#include "rule/rule_yaml.h"

typedef struct leat_rule_reader_s {
  leat_arena_t *arena;    // of the rules
  const char *file;       // in the arena
  leat_text_t *warnings;  // lines
} leat_rule_reader_t;

// An error at a node: "<file>:<line>:<column>: ...".
leat_status_t leat_rule_fail(const leat_rule_reader_t *r, uint32_t line, uint32_t column, const char *format, ...)
    LEAT_PRINTF(4, 5) LEAT_MUST_USE;
#define RULE_FAIL(r, node, ...) return leat_rule_fail(r, (node)->line, (node)->column, __VA_ARGS__)

// A value as messages show it.
const char *leat_rule_shown(const leat_yaml_t *value);

// Reads the mapping of a pattern into the rule's entries (rule_pattern.c).
leat_status_t leat_rule_read_pattern(leat_rule_reader_t *r, leat_yaml_t *node, leat_rule_t *rule) LEAT_MUST_USE;
// Checks the graph of the entries and resolves alternatives into rule->patterns (rule_choice.c).
leat_status_t leat_rule_resolve(leat_rule_reader_t *r, leat_rule_t *rule) LEAT_MUST_USE;

// A mapping whose keys are known: each row takes the value of its key. `into` is what the rows fill.
typedef leat_status_t (*leat_rule_take_t)(leat_rule_reader_t *r, void *into, leat_yaml_t *value);
typedef struct leat_rule_key_s {
  const char *name;
  leat_rule_take_t take;
} leat_rule_key_t;
leat_status_t leat_rule_read_keys(leat_rule_reader_t *r, leat_yaml_t *node, const char *what,
                                  const leat_rule_key_t *keys, uint32_t key_count, void *into) LEAT_MUST_USE;

leat_status_t leat_rule_read_bool(leat_rule_reader_t *r, const leat_yaml_t *value, const char *key,
                                  bool *out_value) LEAT_MUST_USE;

#endif
