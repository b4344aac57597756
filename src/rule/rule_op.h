// SPDX-License-Identifier: Apache-2.0
// Names of ops in rules: those of ir/traced.def, and other names that PyTorch has for them (rule_op.def).
#ifndef LEAT_RULE_RULE_OP_H_
#define LEAT_RULE_RULE_OP_H_

#include "ir/graph.h"

enum { LEAT_RULE_OP_ANY_KIND = 0xffff, LEAT_RULE_OP_KINDS_MAX = 8 };

// Ops that one name stands for: those of `kind` whose call is `call` ("": any call).
typedef struct leat_rule_op_s {
  uint16_t kind;  // LEAT_TRACED_*, or LEAT_RULE_OP_ANY_KIND
  const char *call;
} leat_rule_op_t;

// What `name` stands for; at most LEAT_RULE_OP_KINDS_MAX entries. 0: no such op. An in-place name (`add_`) is that of
// its functional form.
uint32_t leat_rule_op_find(const char *name, leat_rule_op_t *out_ops);
// "; did you mean 'linear'?" or "".
const char *leat_rule_op_suggest(const char *name, char *buffer, size_t buffer_bytes);
bool leat_rule_op_matches(const leat_rule_op_t *rule_op, const leat_graph_t *g, const leat_op_t *op);

#endif
