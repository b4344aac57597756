// SPDX-License-Identifier: Apache-2.0
// The command `leat`: finds the subcommand, runs it, turns its status into a message and an exit status.
#include <stdio.h>

#include "driver/cmd.h"

static const leat_cmd_t *const commands[] = {&leat_cmd_info, &leat_cmd_plan,    &leat_cmd_run,     &leat_cmd_compile,
                                             &leat_cmd_opt,  &leat_cmd_machine, &leat_cmd_examples};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_overview(FILE *out) {
  fprintf(out, "leat %s: compiles traced models to PEFs and runs them\n\n", LEAT_VERSION);
  for (size_t i = 0; i < COMMAND_COUNT; ++i) fprintf(out, "  leat %-8s %s\n", commands[i]->name, commands[i]->summary);
  fprintf(
      out, "\n  leat COMMAND --help    options and examples\n  leat --version\n\n%s\n",
      "A PEF is made from Python (python lenet.py compile) or from graph text (leat compile). The exit status is\n"
      "0, or the code of the error: 1 wrong argument, 2 not found, 3 damaged file, 4 not supported, 5 out of\n"
      "memory, 6 refused by the operating system, 7 PEF and program do not match, 8 error in leat itself, 9 an index\n"
      "or a class label out of range, an integer divided by zero.");
}

static int report(leat_status_t status) {
  const int code = leat_status_code(status);
  if (status) fprintf(stderr, "leat: %s\n", leat_status_message(status));
  leat_status_free(status);
  return code;
}

static leat_status_t run_command(const leat_cmd_t *cmd, int argc, char **argv) {
  void *options = leat_alloc_zero(1, cmd->options_bytes);
  if (!options) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the command line");
  leat_cmd_list_t operands = {0};
  leat_status_t status = leat_cmd_parse(cmd, argc, argv, options, &operands);
  if (!status) status = cmd->run(options, operands.data);
  if (!status && (fflush(stdout) != 0 || ferror(stdout)))
    status = leat_status_make(LEAT_IO, "standard output could not be written");
  leat_array_free(&operands);
  leat_cmd_free_options(cmd, options);
  leat_free(options);
  return status;
}

static bool has_word(int argc, char **argv, const char *word) {
  for (int i = 0; i < argc; ++i)
    if (strcmp(argv[i], word) == 0) return true;
  return false;
}

static bool asks_for_help(int argc, char **argv) {
  return has_word(argc, argv, "--help") || has_word(argc, argv, "-h");
}

int main(int argc, char **argv) {
  if (argc < 2) {
    print_overview(stderr);
    return LEAT_INVALID_ARGUMENT;
  }
  if (strcmp(argv[1], "--version") == 0) return printf("leat %s\n", LEAT_VERSION) < 0;
  for (size_t i = 0; i < COMMAND_COUNT; ++i) {
    if (strcmp(argv[1], commands[i]->name) != 0) continue;
    if (!asks_for_help(argc - 2, argv + 2)) return report(run_command(commands[i], argc - 2, argv + 2));
    leat_cmd_print_help(commands[i], has_word(argc - 2, argv + 2, "--debug"));
    return LEAT_OK;
  }
  if (asks_for_help(1, argv + 1)) {
    print_overview(stdout);
    return LEAT_OK;
  }
  return report(leat_status_make(LEAT_INVALID_ARGUMENT, "no command '%s'; see leat --help", argv[1]));
}
