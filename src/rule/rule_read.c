// SPDX-License-Identifier: Apache-2.0
// From YAML to rules: the keys of a file, of a rule and of a heuristic. Entries of patterns are read in rule_pattern.c.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "rule/rule_keys.h"

// --- heuristic ------------------------------------------------------------------------------------------------------

static leat_status_t find_heuristic(leat_rule_reader_t *r, const leat_yaml_t *name, leat_heuristic_use_t *use) {
  if (name->kind != LEAT_YAML_SCALAR || name->length == 0)
    RULE_FAIL(r, name, "a heuristic is named by text, not by %s", leat_yaml_kind_name(name));
  if (leat_heuristic_find(name->text, &use->heuristic)) return NULL;
  leat_text_t known = {0};
  leat_heuristic_put_names(&known);
  leat_status_t status = leat_rule_fail(r, name->line, name->column, "unknown heuristic '%.64s'; these are known: %s",
                                        name->text, known.data != NULL ? known.data : "");
  leat_text_deinit(&known);
  return status;
}

static leat_status_t fail_range(leat_rule_reader_t *r, const leat_yaml_t *value, leat_heuristic_param_t param) {
  leat_text_t range = {0};
  leat_heuristic_put_range(param, &range);
  leat_status_t status =
      leat_rule_fail(r, value->line, value->column, "%s is %s, not %.64s", leat_heuristic_param_name(param),
                     range.data != NULL ? range.data : "", leat_rule_shown(value));
  leat_text_deinit(&range);
  return status;
}

// SambaFlow's documentation writes `[M|K]` where either will do: a list of choices leaves the choice to the compiler.
static bool is_either(const leat_yaml_t *value) {
  const leat_yaml_t *first = value->kind == LEAT_YAML_LIST ? value->first : value;
  return first != NULL && first->kind == LEAT_YAML_SCALAR && first->next == NULL &&
         (strcmp(first->text, "M|K") == 0 || strcmp(first->text, "K|M") == 0);
}

static leat_status_t read_param(leat_rule_reader_t *r, const leat_yaml_t *key, const leat_yaml_t *value,
                                leat_heuristic_use_t *use) {
  leat_heuristic_param_t param;
  bool known = leat_heuristic_param_find(key->text, &param);
  if (!known || !leat_heuristic_takes(use->heuristic, param)) {
    leat_text_t takes = {0};
    leat_heuristic_put_params(use->heuristic, &takes);
    leat_status_t status =
        leat_rule_fail(r, key->line, key->column, "heuristic %s has no parameter '%.64s'; it takes %s",
                       leat_heuristic_name(use->heuristic), key->text, takes.data != NULL ? takes.data : "none");
    leat_text_deinit(&takes);
    return status;
  }
  if ((use->given >> param & 1) != 0)
    RULE_FAIL(r, key, "parameter %s is given twice", leat_heuristic_param_name(param));
  use->given |= 1U << param;
  if (param == LEAT_PARAM_TP_DIM && is_either(value)) {
    use->value[param] = LEAT_TP_AUTO;
    return NULL;
  }
  bool text = value->kind == LEAT_YAML_SCALAR;
  return text && leat_heuristic_read(param, value->text, &use->value[param]) ? NULL : fail_range(r, value, param);
}

static leat_status_t take_heuristic(leat_rule_reader_t *r, void *into, leat_yaml_t *value) {
  leat_heuristic_use_t *use = &((leat_rule_t *)into)->heuristic;
  bool null = value->kind == LEAT_YAML_SCALAR && !value->quoted &&
              (value->length == 0 || strcmp(value->text, "~") == 0 || strcmp(value->text, "null") == 0);
  if (null) return NULL;
  if (value->kind != LEAT_YAML_MAPPING) return find_heuristic(r, value, use);
  const leat_yaml_t *name = NULL;
  for (const leat_yaml_t *key = value->first; key != NULL; key = key->next->next) {
    if (strcmp(key->text, "name") != 0) continue;
    if (name != NULL) RULE_FAIL(r, key, "key 'name' stands twice in a heuristic");
    name = key->next;
  }
  if (name == NULL) RULE_FAIL(r, value, "the heuristic has no name: add 'name: SAFE_GEMM'");
  LEAT_TRY(find_heuristic(r, name, use));
  for (const leat_yaml_t *key = value->first; key != NULL; key = key->next->next) {
    if (key->next != name) LEAT_TRY(read_param(r, key, key->next, use));
  }
  return NULL;
}

// --- rule -----------------------------------------------------------------------------------------------------------

typedef struct draft_s {
  leat_rule_t rule;  // first: what the rows are given
  bool has_priority;
  leat_yaml_t *pattern;
} draft_t;

static leat_status_t take_priority(leat_rule_reader_t *r, void *into, leat_yaml_t *value) {
  draft_t *draft = into;
  char *end = NULL;
  errno = 0;
  long long number = value->kind == LEAT_YAML_SCALAR && !value->quoted ? strtoll(value->text, &end, 10) : 0;
  if (end == NULL || end == value->text || *end != '\0')
    RULE_FAIL(r, value, "priority is an integer, not %.64s", leat_rule_shown(value));
  if (errno != 0 || number < -1000000 || number > 1000000)
    RULE_FAIL(r, value, "priority %.32s is not between -1000000 and 1000000", value->text);
  draft->rule.priority = (int32_t)number;
  draft->has_priority = true;
  return NULL;
}

static leat_status_t take_pattern(leat_rule_reader_t *r, void *into, leat_yaml_t *value) {
  (void)r;
  ((draft_t *)into)->pattern = value;
  return NULL;
}

static const leat_rule_key_t rule_keys[] = {
    {"priority", take_priority}, {"heuristic", take_heuristic}, {"pattern", take_pattern}};

static leat_status_t read_rule(leat_rule_reader_t *r, const leat_yaml_t *key, leat_yaml_t *value,
                               leat_rule_t *out_rule) {
  draft_t draft = {
      .rule = {.name = leat_arena_strdup(r->arena, key->text, key->length), .file = r->file, .line = key->line}};
  char what[96];
  if (draft.rule.name == NULL) return leat_out_of_memory();
  if (key->length == 0) RULE_FAIL(r, key, "a rule needs a name");
  (void)snprintf(what, sizeof what, "rule '%.64s'", key->text);
  LEAT_TRY(leat_rule_read_keys(r, value, what, rule_keys, 3, &draft));
  if (!draft.has_priority) RULE_FAIL(r, key, "%s has no priority: add 'priority: 0'", what);
  if (draft.pattern == NULL) RULE_FAIL(r, key, "%s has no pattern", what);
  LEAT_TRY(leat_rule_read_pattern(r, draft.pattern, &draft.rule));
  LEAT_TRY(leat_rule_resolve(r, &draft.rule));
  *out_rule = draft.rule;
  return NULL;
}

// --- file -----------------------------------------------------------------------------------------------------------

static const leat_yaml_t *later_rule_of_name(const leat_yaml_t *key) {
  for (const leat_yaml_t *other = key->next->next; other != NULL; other = other->next->next) {
    if (strcmp(other->text, key->text) == 0) return other;
  }
  return NULL;
}

// Puts the rule behind those of equal or higher priority.
static leat_status_t insert(leat_rules_t *rules, const leat_rule_t *rule) {
  if (leat_array_push(&rules->rules) == NULL) return leat_out_of_memory();
  uint32_t at = rules->rules.count - 1;
  for (; at > 0 && rules->rules.data[at - 1].priority < rule->priority; --at)
    rules->rules.data[at] = rules->rules.data[at - 1];
  rules->rules.data[at] = *rule;
  return NULL;
}

typedef LEAT_ARRAY(leat_rule_t) rule_array_t;

static leat_status_t read_file(leat_rule_reader_t *r, leat_yaml_t *root, rule_array_t *read) {
  if (root->kind != LEAT_YAML_MAPPING)
    RULE_FAIL(r, root, "a rule file is a mapping from rule names to rules, not %s", leat_yaml_kind_name(root));
  for (leat_yaml_t *key = root->first; key != NULL; key = key->next->next) {
    leat_rule_t rule;
    LEAT_TRY(read_rule(r, key, key->next, &rule));
    const leat_yaml_t *later = later_rule_of_name(key);
    if (later != NULL) {
      leat_text_put(r->warnings, "%s:%u:%u: rule '%.64s' is written again in line %u: this one is not used\n", r->file,
                    key->line, key->column, key->text, later->line);
      continue;
    }
    if (read->count == LEAT_RULES_MAX) RULE_FAIL(r, key, "more than %d rules in one file", LEAT_RULES_MAX);
    leat_rule_t *slot = leat_array_push(read);
    if (slot == NULL) return leat_out_of_memory();
    *slot = rule;
  }
  return NULL;
}

leat_status_t leat_rules_create(leat_rules_t **out_rules) {
  *out_rules = leat_alloc_zero(1, sizeof **out_rules);
  if (*out_rules == NULL) return leat_out_of_memory();
  leat_arena_init(&(*out_rules)->arena);
  return NULL;
}

void leat_rules_destroy(leat_rules_t *rules) {
  if (rules == NULL) return;
  leat_array_free(&rules->rules);
  leat_text_deinit(&rules->warnings);
  leat_arena_deinit(&rules->arena);
  leat_free(rules);
}

leat_status_t leat_rules_add(leat_rules_t *rules, const char *text, size_t text_bytes, const char *file) {
  leat_rule_reader_t r = {.arena = &rules->arena, .warnings = &rules->warnings};
  leat_arena_t tree;
  leat_yaml_t *root = NULL;
  rule_array_t read = {0};
  r.file = leat_arena_strdup(&rules->arena, file, strlen(file));
  if (r.file == NULL) return leat_out_of_memory();
  leat_arena_init(&tree);
  leat_status_t status = leat_yaml_read(&tree, text, text_bytes, file, &root);
  if (status == NULL && root == NULL)
    status = leat_rule_fail(&r, 1, 1, "the file is empty; a rule file is a mapping from rule names to rules");
  if (status == NULL) status = read_file(&r, root, &read);
  for (uint32_t i = 0; i < read.count && status == NULL; ++i) status = insert(rules, &read.data[i]);
  leat_array_free(&read);
  leat_arena_deinit(&tree);
  return status;
}
