// SPDX-License-Identifier: Apache-2.0
#include "rule/rule_op.h"

#include "ir/suggest.h"

typedef struct synonym_s {
  const char *name, *rows, *call;
} synonym_t;

static const synonym_t synonyms[] = {
#define RULE_OP(name, rows, call) {name, rows, call},
#include "rule/rule_op.def"
#undef RULE_OP
};
enum { SYNONYMS = sizeof synonyms / sizeof *synonyms };

// Statements and leaves are no ops of the program.
static bool is_op(uint32_t kind) { return leat_op_is_traced(kind) && leat_op_computes(kind); }

static uint32_t add_rows(const synonym_t *synonym, uint32_t count, leat_rule_op_t *out_ops) {
  if (synonym->rows[0] == '\0') {
    out_ops[count++] = (leat_rule_op_t){LEAT_RULE_OP_ANY_KIND, synonym->call};
    return count;
  }
  for (const char *at = synonym->rows; *at != '\0';) {
    size_t length = strcspn(at, " ");
    uint32_t kind = 0;
    bool found = leat_op_find(at, length, &kind);
    assert(found && count < LEAT_RULE_OP_KINDS_MAX);
    if (found) out_ops[count++] = (leat_rule_op_t){(uint16_t)kind, synonym->call};
    at += length + (at[length] == ' ');
  }
  return count;
}

static uint32_t find_exactly(const char *name, size_t length, leat_rule_op_t *out_ops) {
  uint32_t count = 0, kind = 0;
  for (uint32_t i = 0; i < SYNONYMS; ++i) {
    if (strlen(synonyms[i].name) == length && strncmp(synonyms[i].name, name, length) == 0)
      count = add_rows(&synonyms[i], count, out_ops);
  }
  if (count == 0 && leat_op_find(name, length, &kind) && is_op(kind))
    out_ops[count++] = (leat_rule_op_t){(uint16_t)kind, ""};
  return count;
}

uint32_t leat_rule_op_find(const char *name, leat_rule_op_t *out_ops) {
  size_t length = strlen(name);
  uint32_t count = find_exactly(name, length, out_ops);
  if (count == 0 && length > 1 && name[length - 1] == '_') count = find_exactly(name, length - 1, out_ops);
  return count;
}

const char *leat_rule_op_suggest(const char *name, char *buffer, size_t buffer_bytes) {
  const char *names[SYNONYMS + LEAT_OP_KIND_COUNT] = {0};
  uint32_t count = 0;
  for (uint32_t i = 0; i < SYNONYMS; ++i) names[count++] = synonyms[i].name;
  for (uint32_t kind = LEAT_TRACED_FIRST; kind < LEAT_OP_KIND_COUNT; ++kind) {
    if (is_op(kind)) names[count++] = leat_op_info(kind)->name;
  }
  return leat_suggest_name(names, count, name, strlen(name), buffer, buffer_bytes);
}

bool leat_rule_op_matches(const leat_rule_op_t *rule_op, const leat_graph_t *g, const leat_op_t *op) {
  if (rule_op->kind != LEAT_RULE_OP_ANY_KIND && rule_op->kind != op->kind) return false;
  return rule_op->call[0] == '\0' || strcmp(rule_op->call, g->origins.data[op->origin].traced) == 0;
}
