// SPDX-License-Identifier: Apache-2.0
// The targets, a row each; the first is that of a plain compile.
#include "driver/targets.h"

const leat_map_target_t *const leat_targets[] = {
    &leat_target_native,
    NULL,
};

// Targets that are not there yet: the first of the list stands in for them, with a warning.
static const char *const chips[] = {"sn10", "sn20", "sn30", "sn40", "sn40l"};

bool leat_target_is_chip(const char *text) {
  for (size_t i = 0; i < sizeof chips / sizeof *chips; ++i)
    if (strcmp(text, chips[i]) == 0) return true;
  return false;
}

const leat_map_target_t *leat_target_named(const leat_map_target_t *const *targets, const char *name) {
  while (*targets != NULL && strcmp((*targets)->name, name) != 0) ++targets;
  return *targets;
}

// The target whose form `text` is; NULL: of none.
static const leat_map_target_t *target_of_form(const leat_map_target_t *const *targets, const char *text) {
  for (; *targets != NULL; ++targets) {
    const size_t length = strlen((*targets)->name);
    if (strncmp(text, (*targets)->name, length) == 0 && (text[length] == '\0' || text[length] == ':')) return *targets;
  }
  return NULL;
}

static leat_status_t refuse(const leat_map_target_t *const *targets, const char *text) {
  leat_text_t forms = {0};
  for (; *targets != NULL; ++targets) leat_text_put(&forms, "%s, ", (*targets)->name);
  leat_status_t status = leat_status_make(
      LEAT_INVALID_ARGUMENT,
      "arch '%s' is unknown: use %ssn10, sn20 or sn30 (lower case), or a file that leat machine has written", text,
      forms.data != NULL ? forms.data : "");
  leat_text_deinit(&forms);
  return status;
}

static leat_status_t read_record(const leat_map_target_t *const *targets, const char *text, leat_arch_t *out_arch) {
  if (strchr(text, '\n') != NULL) return leat_arch_read(text, strlen(text), "arch", out_arch);
  leat_status_t status = leat_arch_read_file(text, out_arch);
  if (leat_status_code(status) != LEAT_NOT_FOUND || strpbrk(text, "./") != NULL) return status;
  leat_status_free(status);
  return refuse(targets, text);
}

leat_status_t leat_target_find(const leat_map_target_t *const *targets, const char *text,
                               const leat_map_target_t **out_target, leat_arch_t *out_arch) {
  if (text == NULL || leat_target_is_chip(text)) text = (*targets)->name;
  *out_target = target_of_form(targets, text);
  if (*out_target != NULL && strchr(text, '\n') == NULL) return (*out_target)->parse(text, out_arch);
  LEAT_TRY(read_record(targets, text, out_arch));
  *out_target = leat_target_named(targets, out_arch->target);
  if (*out_target == NULL)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the record '%s' is of the target '%s', which is unknown", out_arch->name,
              out_arch->target);
  return NULL;
}
