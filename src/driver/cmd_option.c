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
  static const uint32_t most[] = {[LEAT_CMD_STEPS] = 1000000000, [LEAT_CMD_THREADS] = LEAT_THREADS_MAX};
  const uint32_t high = most[option->kind];
  const size_t length = strlen(text), digits = strspn(text, "0123456789");
  if (length == 0 || digits != length)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s '%s': a whole number from 1 to %u is expected", option->name, text, high);
  errno = 0;
  const unsigned long count = strtoul(text, NULL, 10);
  if (errno != 0 || count == 0 || count > high)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s %s: 1 to %u is legal", option->name, text, high);
  *out_count = (uint32_t)count;
  return NULL;
}

static leat_status_t set_value(const leat_cmd_option_t *option, const char *text, void *options) {
  void *place = (char *)options + option->offset;
  switch (option->kind) {
    case LEAT_CMD_TEXT:
      *(const char **)place = text;
      return NULL;
    case LEAT_CMD_STEPS:
    case LEAT_CMD_THREADS:
      return set_count(option, text, place);
    default:
      return push_text(place, text);
  }
}

// --- options of option.def

static bool is_number(const char *text) {
  const char *end;
  (void)leat_text_read_double(text, &end);
  return end != text && *end == '\0';
}

// Takes the value of `given` from behind '=' or from the following words; *index stands on the option and is moved.
static leat_status_t take_table_value(leat_cmd_given_t *given, const char *value, int argc, char **argv, int *index) {
  const uint32_t type = given->option->type;
  if (value != NULL) {
    leat_text_put(&given->value, "%s", value);
  } else if (type == LEAT_OPTION_NUMBERS) {
    while (*index + 1 < argc && is_number(argv[*index + 1])) leat_text_put(&given->value, "%s ", argv[++*index]);
  } else if (type == LEAT_OPTION_BOOL) {
    const char *next = *index + 1 < argc ? argv[*index + 1] : "";
    if (strcmp(next, "true") == 0 || strcmp(next, "false") == 0) leat_text_put(&given->value, "%s", argv[++*index]);
  } else if (type != LEAT_OPTION_FLAG && *index + 1 < argc) {
    leat_text_put(&given->value, "%s", argv[++*index]);
  }
  if (given->value.failed) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the command line");
  return leat_option_check_value(given->option, given->value.data);
}

static leat_status_t take_table_option(const leat_cmd_t *cmd, int argc, char **argv, int *index, void *options) {
  const char *text = argv[*index], *value = strchr(text, '=');
  const size_t length = value != NULL ? (size_t)(value - text) : strlen(text);
  const leat_option_t *option = leat_option_find(text, length, cmd->table_commands);
  if (option != NULL && cmd->takes != NULL && !cmd->takes(option))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%.*s does nothing in leat %s, which takes the program from its graph text",
              (int)length, text, cmd->name);
  if (option == NULL) {
    char guess[96] = "";
    if (cmd->table_commands != 0) (void)leat_option_suggest(text, length, cmd->table_commands, guess, sizeof guess);
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s has no option %s%s; see leat %s --help", cmd->name, text, guess, cmd->name);
  }
  leat_cmd_given_list_t *list = (leat_cmd_given_list_t *)(void *)((char *)options + cmd->given_offset);
  leat_cmd_given_t *given = leat_array_push(list);
  if (given == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the command line");
  if (option->same_as != NULL) option = leat_option_find(option->same_as, strlen(option->same_as), cmd->table_commands);
  given->option = option;
  given->name = option->names;
  return take_table_value(given, value != NULL ? value + 1 : NULL, argc, argv, index);
}

static leat_status_t take_own_option(const leat_cmd_option_t *option, int argc, char **argv, int *index,
                                     void *options) {
  const char *value = strchr(argv[*index], '=');
  if (option->kind == LEAT_CMD_FLAG) {
    if (value) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s takes no value", option->name);
    *(bool *)((char *)options + option->offset) = true;
    return NULL;
  }
  if (value) return set_value(option, value + 1, options);
  if (*index + 1 == argc) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s needs a value: %s", option->name, option->value);
  return set_value(option, argv[++*index], options);
}

leat_status_t leat_cmd_parse(const leat_cmd_t *cmd, int argc, char **argv, void *options, leat_cmd_list_t *operands) {
  for (int i = 0; i < argc; ++i) {
    const char *text = argv[i];
    if (text[0] != '-' || !text[1]) {
      LEAT_TRY(push_text(operands, text));
      continue;
    }
    const leat_cmd_option_t *option = find_option(cmd, text, strcspn(text, "="));
    if (option) {
      LEAT_TRY(take_own_option(option, argc, argv, &i, options));
    } else {
      LEAT_TRY(take_table_option(cmd, argc, argv, &i, options));
    }
  }
  if (operands->count != cmd->operand_count && !(operands->count == 0 && cmd->operands_optional))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s takes %u file, not %u; usage: leat %s", cmd->name, cmd->operand_count,
              operands->count, cmd->usage);
  return NULL;
}

static void free_given(leat_cmd_given_list_t *list) {
  for (uint32_t i = 0; i < list->count; ++i) leat_text_deinit(&list->data[i].value);
  leat_array_free(list);
}

void leat_cmd_free_options(const leat_cmd_t *cmd, void *options) {
  for (uint32_t i = 0; i < cmd->option_count; ++i) {
    if (cmd->options[i].kind != LEAT_CMD_LIST) continue;
    leat_cmd_list_t *list = (leat_cmd_list_t *)(void *)((char *)options + cmd->options[i].offset);
    leat_array_free(list);
  }
  if (cmd->table_commands != 0) free_given((leat_cmd_given_list_t *)(void *)((char *)options + cmd->given_offset));
}

static void print_row(const leat_option_t *option) {
  static const char *const values[] = {"", " [true|false]", " N", " X", " X X X [X]", " TEXT", " ARCH"};
  static const char *const states[] = {"", " [no effect on native]", " [not yet available]"};
  int width = 2;
  const char *cursor = option->names, *comma = "  ";
  size_t length = 0;
  for (const char *name; (name = leat_option_next_name(&cursor, &length)) != NULL; comma = ", ")
    width += printf("%s%.*s", comma, (int)length, name);
  width += option->choices != NULL ? printf(" {%s}", option->choices) : printf("%s", values[option->type]);
  if (width >= 40) width = printf("\n") - 1;
  printf("%*s%s%s\n", 40 - width, "", option->help, states[option->state]);
}

static bool is_listed(const leat_cmd_t *cmd, const leat_option_t *option, bool all) {
  if ((option->commands & cmd->table_commands) == 0 || !(option->common || all)) return false;
  return cmd->takes == NULL || cmd->takes(option);
}

static void print_table(const leat_cmd_t *cmd, bool all) {
  const leat_option_table_t table = leat_option_rows();
  for (uint32_t group = 0; group < LEAT_OPTION_GROUP_COUNT; ++group) {
    bool titled = false;
    for (uint32_t i = 0; i < table.count; ++i) {
      const leat_option_t *option = &table.rows[i];
      if (option->group != group || !is_listed(cmd, option, all)) continue;
      if (!titled) printf("\n%s:\n", leat_option_groups[group]);
      titled = true;
      print_row(option);
    }
  }
  if (!all) printf("\n--debug --help shows the options for experts, too.\n");
}

void leat_cmd_print_help(const leat_cmd_t *cmd, bool all) {
  printf("usage: leat %s\n\n%s\n\n", cmd->usage, cmd->summary);
  for (uint32_t i = 0; i < cmd->option_count; ++i) {
    const leat_cmd_option_t *option = &cmd->options[i];
    int width = printf("  %s %s", option->name, option->value ? option->value : "");
    printf("%*s%s\n", width < 28 ? 28 - width : 1, "", option->help);
  }
  if (cmd->table_commands != 0) print_table(cmd, all);
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
