// SPDX-License-Identifier: Apache-2.0
// The entries of a pattern: their keys, and the names in them as indices.
#include <stdio.h>

#include "ir/suggest.h"
#include "rule/rule_keys.h"
#include "rule/rule_op.h"

// An entry while its names are not resolved yet.
typedef struct draft_s {
  leat_rule_entry_t entry;
  leat_yaml_t *ops, *child, *children, *options;
} draft_t;

static leat_status_t take_ops(leat_rule_reader_t *r, void *into, leat_yaml_t *value) {
  (void)r;
  ((draft_t *)into)->ops = value;
  return NULL;
}

static leat_status_t take_child(leat_rule_reader_t *r, void *into, leat_yaml_t *value) {
  if (value->kind != LEAT_YAML_SCALAR)
    RULE_FAIL(r, value, "child is the name of one entry, not %s: write 'children' for several",
              leat_yaml_kind_name(value));
  ((draft_t *)into)->child = value;
  return NULL;
}

static leat_status_t take_children(leat_rule_reader_t *r, void *into, leat_yaml_t *value) {
  if (value->kind != LEAT_YAML_LIST)
    RULE_FAIL(r, value, "children is a list of entry names, not %s", leat_yaml_kind_name(value));
  if (value->first == NULL) RULE_FAIL(r, value, "children is an empty list: leave it out");
  ((draft_t *)into)->children = value;
  return NULL;
}

static leat_status_t take_options(leat_rule_reader_t *r, void *into, leat_yaml_t *value) {
  if (value->kind != LEAT_YAML_LIST)
    RULE_FAIL(r, value, "match_first_option is a list of entry names, not %s", leat_yaml_kind_name(value));
  if (value->first == NULL) RULE_FAIL(r, value, "match_first_option is an empty list");
  ((draft_t *)into)->options = value;
  return NULL;
}

static leat_status_t take_required(leat_rule_reader_t *r, void *into, leat_yaml_t *value) {
  return leat_rule_read_bool(r, value, "required", &((draft_t *)into)->entry.required);
}

static leat_status_t take_included(leat_rule_reader_t *r, void *into, leat_yaml_t *value) {
  return leat_rule_read_bool(r, value, "included", &((draft_t *)into)->entry.included);
}

static const leat_rule_key_t entry_keys[] = {
    {"op_type", take_ops},       {"child", take_child},       {"children", take_children},
    {"required", take_required}, {"included", take_included}, {"match_first_option", take_options},
};

// --- op names -------------------------------------------------------------------------------------------------------

static uint32_t list_length(const leat_yaml_t *value) {
  uint32_t count = 0;
  for (const leat_yaml_t *item = value->first; item != NULL; item = item->next) ++count;
  return value->kind == LEAT_YAML_SCALAR ? 1 : count;
}

static leat_status_t read_op(leat_rule_reader_t *r, const leat_yaml_t *name, leat_rule_entry_t *entry) {
  char hint[96];
  if (name->kind != LEAT_YAML_SCALAR || name->length == 0)
    RULE_FAIL(r, name, "op_type is the name of an op or a list of names, not %s", leat_yaml_kind_name(name));
  uint32_t count = leat_rule_op_find(name->text, entry->ops + entry->op_count);
  if (count == 0)
    RULE_FAIL(r, name, "unknown op '%.64s'%s", name->text, leat_rule_op_suggest(name->text, hint, sizeof hint));
  entry->op_count = (uint16_t)(entry->op_count + count);
  return NULL;
}

static leat_status_t read_ops(leat_rule_reader_t *r, const leat_yaml_t *value, leat_rule_entry_t *entry) {
  uint32_t names = list_length(value);
  if (value->kind == LEAT_YAML_MAPPING)
    RULE_FAIL(r, value, "op_type is the name of an op or a list of names, not a mapping");
  if (names == 0) RULE_FAIL(r, value, "op_type is an empty list");
  if (names > 64) RULE_FAIL(r, value, "op_type lists %u ops; 64 are the limit", names);
  entry->ops = leat_arena_alloc(r->arena, (size_t)names * LEAT_RULE_OP_KINDS_MAX * sizeof *entry->ops);
  if (entry->ops == NULL) return leat_out_of_memory();
  leat_text_t text = {0};
  leat_status_t status = NULL;
  const leat_yaml_t *name = value->kind == LEAT_YAML_LIST ? value->first : value;
  for (const leat_yaml_t *first = name; name != NULL && status == NULL;
       name = value->kind == LEAT_YAML_LIST ? name->next : NULL) {
    status = read_op(r, name, entry);
    leat_text_put(&text, "%s%s", name == first ? "" : " or ", name->text);
  }
  entry->op_text = text.data != NULL ? leat_arena_strdup(r->arena, text.data, text.length) : NULL;
  leat_text_deinit(&text);
  if (status == NULL && entry->op_text == NULL) return leat_out_of_memory();
  return status;
}

// --- names of entries -----------------------------------------------------------------------------------------------

static leat_status_t find_entry(const leat_rule_reader_t *r, const leat_rule_t *rule, const leat_yaml_t *name,
                                uint16_t *out_index) {
  const char *names[LEAT_RULE_ENTRIES_MAX];
  char hint[96];
  if (name->kind != LEAT_YAML_SCALAR)
    RULE_FAIL(r, name, "expected the name of an entry, not %s", leat_yaml_kind_name(name));
  for (uint16_t i = 0; i < rule->entry_count; ++i) {
    names[i] = rule->entries[i].name;
    if (strcmp(names[i], name->text) != 0) continue;
    *out_index = i;
    return NULL;
  }
  leat_suggest_name(names, rule->entry_count, name->text, name->length, hint, sizeof hint);
  RULE_FAIL(r, name, "the pattern has no entry '%.64s'%s", name->text, hint);
}

// Adds the entries that `value` (a name or a list of names) lists to `list`.
static leat_status_t resolve(leat_rule_reader_t *r, const leat_rule_t *rule, uint16_t self, const leat_yaml_t *value,
                             uint16_t *list, uint16_t *count) {
  const leat_yaml_t *name = value->kind == LEAT_YAML_LIST ? value->first : value;
  for (; name != NULL; name = value->kind == LEAT_YAML_LIST ? name->next : NULL) {
    uint16_t index = 0;
    LEAT_TRY(find_entry(r, rule, name, &index));
    if (index == self) RULE_FAIL(r, name, "entry '%.64s' names itself", name->text);
    for (uint16_t i = 0; i < *count; ++i) {
      if (list[i] == index) RULE_FAIL(r, name, "entry '%.64s' is listed twice", name->text);
    }
    list[(*count)++] = index;
  }
  return NULL;
}

static leat_status_t resolve_names(leat_rule_reader_t *r, const leat_rule_t *rule, uint16_t self,
                                   const draft_t *draft) {
  leat_rule_entry_t *entry = &rule->entries[self];
  entry->children = leat_arena_alloc(r->arena, rule->entry_count * sizeof *entry->children);
  entry->options = leat_arena_alloc(r->arena, rule->entry_count * sizeof *entry->options);
  if (entry->children == NULL || entry->options == NULL) return leat_out_of_memory();
  if (draft->child != NULL) LEAT_TRY(resolve(r, rule, self, draft->child, entry->children, &entry->child_count));
  if (draft->children != NULL) LEAT_TRY(resolve(r, rule, self, draft->children, entry->children, &entry->child_count));
  if (draft->options != NULL) LEAT_TRY(resolve(r, rule, self, draft->options, entry->options, &entry->option_count));
  return NULL;
}

// --- the pattern ----------------------------------------------------------------------------------------------------

static leat_status_t read_entry(leat_rule_reader_t *r, const leat_yaml_t *key, leat_yaml_t *value, draft_t *draft) {
  char what[96];
  draft->entry = (leat_rule_entry_t){.name = leat_arena_strdup(r->arena, key->text, key->length),
                                     .op_text = "",
                                     .required = true,
                                     .included = true,
                                     .line = key->line,
                                     .column = key->column};
  if (draft->entry.name == NULL) return leat_out_of_memory();
  (void)snprintf(what, sizeof what, "entry '%.64s'", key->text);
  LEAT_TRY(leat_rule_read_keys(r, value, what, entry_keys, sizeof entry_keys / sizeof *entry_keys, draft));
  if (draft->ops != NULL && draft->options != NULL)
    RULE_FAIL(r, draft->options, "%s has op_type and match_first_option: it has one of them", what);
  if (draft->ops == NULL && draft->options == NULL)
    RULE_FAIL(r, key, "%s has no op_type: add 'op_type: linear' or the op that it stands for", what);
  return draft->ops != NULL ? read_ops(r, draft->ops, &draft->entry) : NULL;
}

static leat_status_t read_entries(leat_rule_reader_t *r, leat_yaml_t *node, leat_rule_t *rule, draft_t *drafts) {
  for (leat_yaml_t *key = node->first; key != NULL; key = key->next->next) {
    for (const leat_yaml_t *other = node->first; other != key; other = other->next->next) {
      if (strcmp(other->text, key->text) == 0)
        RULE_FAIL(r, key, "entry '%.64s' stands twice; it is in line %u already", key->text, other->line);
    }
    LEAT_TRY(read_entry(r, key, key->next, &drafts[rule->entry_count]));
    rule->entries[rule->entry_count] = drafts[rule->entry_count].entry;
    rule->entry_count++;
  }
  for (uint16_t i = 0; i < rule->entry_count; ++i) LEAT_TRY(resolve_names(r, rule, i, &drafts[i]));
  return NULL;
}

leat_status_t leat_rule_read_pattern(leat_rule_reader_t *r, leat_yaml_t *node, leat_rule_t *rule) {
  if (node->kind != LEAT_YAML_MAPPING)
    RULE_FAIL(r, node, "a pattern is a mapping from entry names to entries, not %s", leat_yaml_kind_name(node));
  uint32_t count = list_length(node) / 2;
  if (count == 0) RULE_FAIL(r, node, "the pattern is empty");
  if (count > LEAT_RULE_ENTRIES_MAX)
    RULE_FAIL(r, node, "the pattern has %u entries; %d are the limit", count, LEAT_RULE_ENTRIES_MAX);
  rule->entries = leat_arena_alloc(r->arena, count * sizeof *rule->entries);
  draft_t *drafts = leat_alloc_zero(count, sizeof *drafts);
  leat_status_t status = NULL;
  if (rule->entries == NULL || drafts == NULL)
    status = leat_out_of_memory();
  else
    status = read_entries(r, node, rule, drafts);
  leat_free(drafts);
  return status;
}
