// SPDX-License-Identifier: Apache-2.0
// The table of options (option.def) as data: finding a row by name, whether a value is legal, what it sets.
#ifndef LEAT_DRIVER_OPTION_H_
#define LEAT_DRIVER_OPTION_H_

#include "base/base.h"
#include "leat/compile.h"

enum leat_option_type {
  LEAT_OPTION_FLAG,     // no value
  LEAT_OPTION_BOOL,     // true or false; without value: true
  LEAT_OPTION_INT,      // decimal
  LEAT_OPTION_FLOAT,    // decimal, finite
  LEAT_OPTION_NUMBERS,  // three or four floats, separated by spaces
  LEAT_OPTION_TEXT,
  LEAT_OPTION_ARCH  // what leat_arch_parse accepts, and targets that come later
};

enum leat_option_state { LEAT_OPTION_WORKS, LEAT_OPTION_IDLE, LEAT_OPTION_LATER };

// How a value reaches leat_compile_options_t.
enum leat_option_how {
  LEAT_SET_NOTHING,
  LEAT_SET_CONSTANT,
  LEAT_SET_NUMBER,
  LEAT_SET_INDEX,
  LEAT_SET_LEVEL,
  LEAT_SET_TEXT,
  LEAT_SET_SHARES
};

typedef struct leat_option_s {
  const char *names;    // separated by spaces, in the order of the help
  uint32_t type;        // leat_option_type
  const char *initial;  // the default; "" for none
  const char *choices;  // separated by '|', or NULL
  double low, high;     // legal range where low < high
  uint32_t commands;    // bit i: the i-th name of leat_option_commands
  bool common;          // in every help
  uint32_t group;       // index into leat_option_groups
  uint32_t state;       // leat_option_state
  struct {
    uint32_t how;  // leat_option_how
    size_t place;  // of the field
    uint32_t constant;
  } set;
  const char *help, *effect;
  const char *same_as;  // the option that these are other names of, or NULL
} leat_option_t;

enum { LEAT_OPTION_COMMAND_COUNT = 5, LEAT_OPTION_GROUP_COUNT = 7, LEAT_OPTION_COMPILE = 1 };
extern const char *const leat_option_commands[LEAT_OPTION_COMMAND_COUNT];
extern const char *const leat_option_groups[LEAT_OPTION_GROUP_COUNT];

typedef struct leat_option_table_s {
  const leat_option_t *rows;
  uint32_t count;
} leat_option_table_t;
leat_option_table_t leat_option_rows(void);

// Two options that need or exclude each other.
typedef struct leat_option_pair_s {
  const char *option, *other, *why;
  bool needs;  // else: excludes
} leat_option_pair_t;
const leat_option_pair_t *leat_option_pairs(size_t *out_count);

// The row that has `name` under one of `commands`, or NULL.
const leat_option_t *leat_option_find(const char *name, size_t length, uint32_t commands);
// Walks the names of a row: *cursor starts at row->names; NULL at the end.
const char *leat_option_next_name(const char **cursor, size_t *out_length);
// "; did you mean '--batch-size'?" or "", into `buffer`.
const char *leat_option_suggest(const char *text, size_t length, uint32_t commands, char *buffer, size_t buffer_bytes);
// NULL if `value` is legal for `option`; `value` is NULL where none was given.
leat_status_t leat_option_check_value(const leat_option_t *option, const char *value) LEAT_MUST_USE;
// leat_compile_options_check() but for the target.
leat_status_t leat_options_check(const leat_compile_options_t *options) LEAT_MUST_USE;
// LEAT_UNSUPPORTED where a field is set by an option whose state is LATER.
leat_status_t leat_option_refuse_later(const leat_compile_options_t *options) LEAT_MUST_USE;
// Warns of options for fusion rules where nothing is fused by rules.
void leat_option_say_unused(const leat_compile_options_t *options);

#endif
