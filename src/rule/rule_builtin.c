// SPDX-License-Identifier: Apache-2.0
// Built-in rule lists: each is made of files of src/rule/rules.
#include "rule/rule_builtin.h"

#include <stdio.h>

#include "rule/rule.h"

enum { FILES_MAX = 8 };

static const struct {
  const char *name;
  const char *files[FILES_MAX];
  bool inference;  // products are laid out as SAFE_INFERENCE_GEMM
} lists[] = {
    {.name = "default", .files = {"attention", "gemm"}},
    {.name = "nlp", .files = {"embedding", "qkv", "rotary", "attention", "ffn", "loss", "gemm"}},
    {.name = "gpt2", .files = {"embedding", "qkv", "attention", "ffn", "loss", "gemm"}},
    {.name = "bloom", .files = {"embedding", "bloom_attention", "attention", "ffn", "loss", "gemm"}},
    {.name = "gpt_neox_inference",
     .files = {"embedding", "neox_attention", "attention", "ffn", "loss", "gemm"},
     .inference = true},
    {.name = "gpt-neox-training", .files = {"embedding", "neox_attention", "attention", "ffn", "loss", "gemm"}},
};
// Not for --o1-rule-list: what --o1-experimental-opts adds.
static const char EXPERIMENTAL[] = "experimental";
enum { LISTS = sizeof lists / sizeof *lists };

static const char *find_text(const char *file) {
  const leat_embedded_t *row = leat_rule_files;
  while (row->name != NULL && strcmp(row->name, file) != 0) ++row;
  assert(row->name != NULL);
  return row->text;
}

static leat_status_t add_file(leat_rules_t *rules, const char *name) {
  char file[64];
  const char *text = find_text(name);
  (void)snprintf(file, sizeof file, "built-in %s.yaml", name);
  return leat_rules_add(rules, text, strlen(text), file);
}

// Of the built-in rules, wherever they stand between those of a program.
static void lay_out_for_inference(leat_rules_t *rules) {
  for (uint32_t i = 0; i < rules->rules.count; ++i) {
    leat_rule_t *rule = &rules->rules.data[i];
    const bool built_in = strncmp(rule->file, "built-in ", strlen("built-in ")) == 0;
    if (built_in && rule->heuristic.heuristic == LEAT_HEURISTIC_SAFE_GEMM)
      rule->heuristic.heuristic = LEAT_HEURISTIC_SAFE_INFERENCE_GEMM;
  }
}

leat_status_t leat_rules_add_experimental(leat_rules_t *rules) { return add_file(rules, EXPERIMENTAL); }

leat_status_t leat_rules_add_builtin(leat_rules_t *rules, const char *name) {
  char known[160] = "";
  for (uint32_t i = 0; i < LISTS; ++i) {
    (void)snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i == 0 ? "" : ", ", lists[i].name);
    if (strcmp(lists[i].name, name) != 0) continue;
    for (uint32_t k = 0; k < FILES_MAX && lists[i].files[k] != NULL; ++k) LEAT_TRY(add_file(rules, lists[i].files[k]));
    if (lists[i].inference) lay_out_for_inference(rules);
    return NULL;
  }
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "there is no rule list '%.64s'; these are built in: %s", name, known);
}
