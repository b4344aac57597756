// SPDX-License-Identifier: Apache-2.0
// What every part of a rule file is made of: mappings whose keys are known, simple values, errors with their place.
#include "rule/rule_keys.h"

#include <stdio.h>

#include "ir/suggest.h"

leat_status_t leat_rule_fail(const leat_rule_reader_t *r, uint32_t line, uint32_t column, const char *format, ...) {
  char message[512];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(message, sizeof message, format, args);
  va_end(args);
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s:%u:%u: %s", r->file, line, column, message);
}

static leat_status_t fail_key(const leat_rule_reader_t *r, const leat_yaml_t *key, const char *what,
                              const leat_rule_key_t *keys, uint32_t key_count) {
  const char *names[16];
  char list[160] = "", hint[96];
  for (uint32_t i = 0; i < key_count; ++i) {
    names[i] = keys[i].name;
    (void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i == 0 ? "" : ", ", keys[i].name);
  }
  leat_suggest_name(names, key_count, key->text, key->length, hint, sizeof hint);
  RULE_FAIL(r, key, "unknown key '%.64s' in %s%s; its keys are %s", key->text, what, hint, list);
}

leat_status_t leat_rule_read_keys(leat_rule_reader_t *r, leat_yaml_t *node, const char *what,
                                  const leat_rule_key_t *keys, uint32_t key_count, void *into) {
  uint32_t seen = 0;
  if (node->kind != LEAT_YAML_MAPPING) RULE_FAIL(r, node, "%s is a mapping, not %s", what, leat_yaml_kind_name(node));
  for (leat_yaml_t *key = node->first; key != NULL; key = key->next->next) {
    uint32_t i = 0;
    while (i < key_count && strcmp(keys[i].name, key->text) != 0) ++i;
    if (i == key_count) return fail_key(r, key, what, keys, key_count);
    if ((seen >> i & 1) != 0) RULE_FAIL(r, key, "key '%s' stands twice in %s", keys[i].name, what);
    seen |= 1U << i;
    LEAT_TRY(keys[i].take(r, into, key->next));
  }
  return NULL;
}

const char *leat_rule_shown(const leat_yaml_t *value) {
  return value->kind == LEAT_YAML_SCALAR && value->length != 0 ? value->text : leat_yaml_kind_name(value);
}

leat_status_t leat_rule_read_bool(leat_rule_reader_t *r, const leat_yaml_t *value, const char *key, bool *out_value) {
  static const char *const words[][2] = {{"false", "true"}, {"False", "True"}, {"FALSE", "TRUE"},
                                         {"no", "yes"},     {"No", "Yes"},     {"NO", "YES"},
                                         {"off", "on"},     {"Off", "On"},     {"OFF", "ON"}};
  for (size_t i = 0; value->kind == LEAT_YAML_SCALAR && !value->quoted && i < sizeof words / sizeof *words; ++i) {
    for (uint32_t truth = 0; truth < 2; ++truth) {
      if (strcmp(words[i][truth], value->text) != 0) continue;
      *out_value = truth != 0;
      return NULL;
    }
  }
  RULE_FAIL(r, value, "%s is true or false, not %.64s", key, leat_rule_shown(value));
}
