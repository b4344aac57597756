// SPDX-License-Identifier: Apache-2.0
// The command `leat`: every subcommand is one constant row (leat_cmd_t) whose options are a table, so that parsing,
// --help and the messages for wrong usage exist once, in cmd_option.c. A subcommand returns a status; main.c prints its
// message and makes its code the exit status. Only this command prints; the library never does.
#ifndef LEAT_DRIVER_CMD_H_
#define LEAT_DRIVER_CMD_H_

#include "base/base.h"
#include "driver/option.h"
#include "leat/runtime.h"
#include "pef/pef_read.h"

// Texts in the order they were given; they point into argv.
typedef LEAT_ARRAY(const char *) leat_cmd_list_t;

enum leat_cmd_option_kind {
  LEAT_CMD_FLAG,     // bool
  LEAT_CMD_TEXT,     // const char *; NULL when absent
  LEAT_CMD_STEPS,    // uint32_t, 1 to a thousand million; 0 when absent
  LEAT_CMD_THREADS,  // uint32_t, 1 to LEAT_THREADS_MAX; 0 when absent
  LEAT_CMD_LIST      // leat_cmd_list_t; may be given several times
};

typedef struct leat_cmd_option_s {
  const char *name;   // "--threads"
  const char *value;  // "N" in the help; NULL for a flag
  const char *help;
  uint32_t kind;  // leat_cmd_option_kind
  size_t offset;  // where the value goes in the subcommand's options
} leat_cmd_option_t;

// An option of option.def on the command line.
typedef struct leat_cmd_given_s {
  const leat_option_t *option;
  const char *name;   // as option.def has it, where another name was written
  leat_text_t value;  // data is NULL where none was given
} leat_cmd_given_t;
typedef LEAT_ARRAY(leat_cmd_given_t) leat_cmd_given_list_t;

typedef struct leat_cmd_s {
  const char *name, *usage, *summary, *examples;
  const leat_cmd_option_t *options;
  uint32_t option_count;
  uint32_t table_commands;                     // takes the options of option.def under these commands, too; 0: none
  bool (*takes)(const leat_option_t *option);  // which of them, where not all
  size_t given_offset;                         // where they go: a leat_cmd_given_list_t
  uint32_t operand_count;                      // arguments that are not options; exactly so many
  bool operands_optional;                      // or none at all
  size_t options_bytes;
  leat_status_t (*run)(const void *options, const char *const *operands);
} leat_cmd_t;

extern const leat_cmd_t leat_cmd_info, leat_cmd_run, leat_cmd_compile, leat_cmd_opt, leat_cmd_machine, leat_cmd_plan,
    leat_cmd_examples;

// Fills `options` (zeroed, cmd->options_bytes) and `operands` from the arguments after the subcommand's name.
leat_status_t leat_cmd_parse(const leat_cmd_t *cmd, int argc, char **argv, void *options,
                             leat_cmd_list_t *operands) LEAT_MUST_USE;
void leat_cmd_free_options(const leat_cmd_t *cmd, void *options);
// `all`: the options for experts, too.
void leat_cmd_print_help(const leat_cmd_t *cmd, bool all);

// Splits "name=value" at the first '='; `out_name` is allocated. The message names `option`.
leat_status_t leat_cmd_split(const char *option, const char *text, char **out_name,
                             const char **out_value) LEAT_MUST_USE;

// The symbol that `name` means: its exact name; else the one whose name ends with these words; else the one of `kind`
// with these words in its name; a number n is the n-th symbol of `kind`. Where several or none fit, the message lists
// candidates.
leat_status_t leat_cmd_find_symbol(const leat_program_t *program, const char *name, uint32_t kind,
                                   uint32_t *out_symbol) LEAT_MUST_USE;

// Puts the JSON report of a program that was profiled (leat_program_report) as a table. LEAT_OUT_OF_MEMORY.
leat_status_t leat_cmd_put_profile(const char *report, leat_text_t *out) LEAT_MUST_USE;

#endif
