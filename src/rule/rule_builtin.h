// SPDX-License-Identifier: Apache-2.0
// The files of built-in rules, those of src/rule/rules, embedded at build time (tools/embed_text.py).
#ifndef LEAT_RULE_RULE_BUILTIN_H_
#define LEAT_RULE_RULE_BUILTIN_H_

typedef struct leat_embedded_s {
  const char *name, *text;
} leat_embedded_t;
extern const leat_embedded_t leat_rule_files[];  // ended by a NULL name

#endif
