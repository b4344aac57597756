// SPDX-License-Identifier: Apache-2.0
// YAML text as a tree of nodes that know where they stand. Read with libyaml under limits: one document, no anchors,
// no tags, bounded size, depth and node count, so that a hostile file costs little and ends in a message.
#ifndef LEAT_RULE_RULE_YAML_H_
#define LEAT_RULE_RULE_YAML_H_

#include "base/base.h"

enum { LEAT_YAML_BYTES_MAX = 1 << 20, LEAT_YAML_NODES_MAX = 1 << 16, LEAT_YAML_DEPTH_MAX = 16 };

typedef enum leat_yaml_kind_e { LEAT_YAML_SCALAR, LEAT_YAML_LIST, LEAT_YAML_MAPPING } leat_yaml_kind_t;

// A mapping's children are keys (scalars, no two alike unless asked for) and values in turn.
typedef struct leat_yaml_s {
  leat_yaml_kind_t kind;
  uint32_t line, column;  // from 1
  bool quoted;            // a scalar in quotes: text, never a number or a truth value
  const char *text;       // of a scalar; without NUL inside, ends with one
  size_t length;
  struct leat_yaml_s *first, *next;  // first child; next child of the same parent
} leat_yaml_t;

// Reads `text` into nodes of `arena`. *out_root is NULL when the text holds no document. Errors begin with
// "<file>:<line>:<column>: ".
leat_status_t leat_yaml_read(leat_arena_t *arena, const char *text, size_t text_bytes, const char *file,
                             leat_yaml_t **out_root) LEAT_MUST_USE;
// "a mapping", "a list", "text" for messages.
const char *leat_yaml_kind_name(const leat_yaml_t *node);

#endif
