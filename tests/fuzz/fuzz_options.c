// SPDX-License-Identifier: Apache-2.0
// Fuzz target: command lines of `leat compile`, one word a line, and what they set.
#include "driver/cmd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { WORDS_MAX = 64 };

typedef struct fuzz_options_s {
  const char *output;
  leat_cmd_list_t constants;
  leat_cmd_given_list_t given;
} fuzz_options_t;

static const leat_cmd_option_t own[] = {
    {"-o", "FILE", "", LEAT_CMD_TEXT, offsetof(fuzz_options_t, output)},
    {"--constant", "I=FILE", "", LEAT_CMD_LIST, offsetof(fuzz_options_t, constants)},
};

static const leat_cmd_t command = {
    .name = "compile",
    .usage = "compile",
    .options = own,
    .option_count = 2,
    .table_commands = LEAT_OPTION_COMPILE,
    .given_offset = offsetof(fuzz_options_t, given),
    .operand_count = 1,
    .options_bytes = sizeof(fuzz_options_t),
};

// Reads every line that is said.
static void listen(void *user, uint32_t level, const char *layer, const char *text) {
  *(size_t *)user += level + strlen(layer) + strlen(text);
}

static leat_status_t apply(const fuzz_options_t *options) {
  size_t heard = 0;
  leat_compile_options_t compile = leat_compile_options_default();
  compile.log = listen;
  compile.log_user = &heard;
  const char *names[WORDS_MAX + 1];
  for (uint32_t i = 0; i < options->given.count; ++i) names[i] = options->given.data[i].name;
  LEAT_TRY(leat_option_check_together(names, options->given.count));
  for (uint32_t i = 0; i < options->given.count; ++i) {
    const leat_cmd_given_t *given = &options->given.data[i];
    LEAT_TRY(leat_compile_options_set(&compile, given->name, given->value.data));
  }
  leat_option_say_unused(&compile);
  return leat_compile_options_check(&compile);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  char *text = leat_alloc(bytes + 1), *words[WORDS_MAX];
  if (text == NULL) return 0;
  if (bytes != 0) memcpy(text, data, bytes);
  text[bytes] = '\0';
  int count = 0;
  for (char *at = text, *end = text + strlen(text); at < end && count < WORDS_MAX; at += strlen(at) + 1) {
    at[strcspn(at, "\n")] = '\0';
    words[count++] = at;
  }
  fuzz_options_t options = {0};
  leat_cmd_list_t operands = {0};
  leat_status_t status = leat_cmd_parse(&command, count, words, &options, &operands);
  if (status == NULL) status = apply(&options);
  leat_status_free(status);
  leat_array_free(&operands);
  leat_cmd_free_options(&command, &options);
  leat_free(text);
  return 0;
}
