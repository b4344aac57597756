// SPDX-License-Identifier: Apache-2.0
// Built-in rule lists by name.
#include "fuse/rule_builtin.h"

#include <stdio.h>

#include "fuse/rule.h"

leat_status_t leat_rules_add_builtin(leat_rules_t *rules, const char *name) {
  char known[160] = "", file[64];
  for (const leat_embedded_t *list = leat_rule_lists; list->name != NULL; ++list) {
    if (strcmp(list->name, name) == 0) {
      (void)snprintf(file, sizeof file, "built-in rule list %s", name);
      return leat_rules_add(rules, list->text, strlen(list->text), file);
    }
    (void)snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", known[0] == '\0' ? "" : ", ",
                   list->name);
  }
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "there is no rule list '%.64s'; these are built in: %s", name, known);
}
