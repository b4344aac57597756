// SPDX-License-Identifier: Apache-2.0
// Command lines by table: "--name value", "--name=value" and flags, in any order with the operands.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/cmd.h"

static const leat_cmd_option_t *find_option(const leat_cmd_t *cmd, const char *text, size_t length) {
  for (uint32_t i = 0; i < cmd->option_count; ++i) {
    const leat_cmd_option_t *option = &cmd->options[i];
    if (strlen(option->name) == length && memcmp(option->name, text, length) == 0) return option;
  }
  return NULL;
}

static leat_status_t push_text(leat_cmd_list_t *list, const char *text) {
  const char **entry = leat_array_push(list);
  if (!entry) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the command line");
  *entry = text;
  return NULL;
}

static leat_status_t set_count(const leat_cmd_option_t *option, const char *text, uint32_t *out_count) {
  char *end;
  errno = 0;
  unsigned long count = strtoul(text, &end, 10);
  if (errno || end == text || *end || *text == '-' || count > UINT32_MAX)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s takes a count, not '%s'", option->name, text);
  *out_count = (uint32_t)count;
  return NULL;
}

static leat_status_t set_value(const leat_cmd_option_t *option, const char *text, void *options) {
  void *place = (char *)options + option->offset;
  switch (option->kind) {
    case LEAT_CMD_TEXT:
      *(const char **)place = text;
      return NULL;
    case LEAT_CMD_COUNT:
      return set_count(option, text, place);
    default:
      return push_text(place, text);
  }
}

leat_status_t leat_cmd_parse(const leat_cmd_t *cmd, int argc, char **argv, void *options, leat_cmd_list_t *operands) {
  for (int i = 0; i < argc; ++i) {
    const char *text = argv[i];
    if (text[0] != '-' || !text[1]) {
      LEAT_TRY(push_text(operands, text));
      continue;
    }
    const char *value = strchr(text, '=');
    const leat_cmd_option_t *option = find_option(cmd, text, value ? (size_t)(value - text) : strlen(text));
    if (!option)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s has no option %s; see leat %s --help", cmd->name, text, cmd->name);
    if (option->kind == LEAT_CMD_FLAG) {
      if (value) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s takes no value", option->name);
      *(bool *)((char *)options + option->offset) = true;
      continue;
    }
    if (value) {
      ++value;
    } else {
      if (i + 1 == argc) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s needs a value: %s", option->name, option->value);
      value = argv[++i];
    }
    LEAT_TRY(set_value(option, value, options));
  }
  if (operands->count != cmd->operand_count)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s takes %u file, not %u; usage: leat %s", cmd->name, cmd->operand_count,
              operands->count, cmd->usage);
  return NULL;
}

void leat_cmd_free_options(const leat_cmd_t *cmd, void *options) {
  for (uint32_t i = 0; i < cmd->option_count; ++i) {
    if (cmd->options[i].kind != LEAT_CMD_LIST) continue;
    leat_cmd_list_t *list = (leat_cmd_list_t *)(void *)((char *)options + cmd->options[i].offset);
    leat_array_free(list);
  }
}

void leat_cmd_print_help(const leat_cmd_t *cmd) {
  printf("usage: leat %s\n\n%s\n\n", cmd->usage, cmd->summary);
  for (uint32_t i = 0; i < cmd->option_count; ++i) {
    const leat_cmd_option_t *option = &cmd->options[i];
    int width = printf("  %s %s", option->name, option->value ? option->value : "");
    printf("%*s%s\n", width < 28 ? 28 - width : 1, "", option->help);
  }
  printf("\n%s", cmd->examples);
}

leat_status_t leat_cmd_split(const char *option, const char *text, char **out_name, const char **out_value) {
  const char *equals = strchr(text, '=');
  if (!equals || equals == text || !equals[1])
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s takes name=value, not '%s'", option, text);
  size_t length = (size_t)(equals - text);
  char *name = leat_alloc(length + 1);
  if (!name) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for %s %s", option, text);
  memcpy(name, text, length);
  name[length] = '\0';
  *out_name = name;
  *out_value = equals + 1;
  return NULL;
}
