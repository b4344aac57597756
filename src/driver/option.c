// SPDX-License-Identifier: Apache-2.0
// option.def as a table, and what every reader of options shares: names, legal values, combinations.
#include "driver/option.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "driver/say.h"
#include "driver/targets.h"
#include "ir/suggest.h"

const char *const leat_option_commands[] = {"compile", "run", "test", "measure-performance", "measure-sections"};
const char *const leat_option_groups[] = {
    "what is compiled",     "files",    "how it is compiled", "fusion rules of -o1", "target and parallel modes",
    "messages and reports", "measuring"};

// Words of option.def.
enum { COMPILE = 1, RUN = 2, TEST = 4, PERFORMANCE = 8, SECTIONS = 16 };
enum { MEASURING = PERFORMANCE | SECTIONS, RUNNING = RUN | TEST | MEASURING, ALL = COMPILE | RUNNING };
enum { EXPERT = 0, COMMON = 1 };
enum { MODEL, FILES, COMPILER, FUSION, TARGET, MESSAGES, MEASURE };
#define CHOICES(text) text, 0, 0
#define RANGE(low, high) NULL, low, high
#define ANY NULL, 0, 0
#define PLACE(field) offsetof(leat_compile_options_t, field)
#define NOTHING \
  { LEAT_SET_NOTHING, 0, 0 }
#define CONSTANT(field, value) \
  { LEAT_SET_CONSTANT, PLACE(field), value }
#define NUMBER(field) \
  { LEAT_SET_NUMBER, PLACE(field), 0 }
#define INDEX(field) \
  { LEAT_SET_INDEX, PLACE(field), 0 }
#define LEVEL(field) \
  { LEAT_SET_LEVEL, PLACE(field), 0 }
#define TEXT(field) \
  { LEAT_SET_TEXT, PLACE(field), 0 }
#define SHARES(field) \
  { LEAT_SET_SHARES, PLACE(field), 0 }

static const leat_option_t rows[] = {
#define OPTION(names, type, initial, legal, commands, shown, group, state, set, help, effect) \
  {names, LEAT_OPTION_##type, initial, legal, commands, shown, group, LEAT_OPTION_##state, set, help, effect, NULL},
#define SAME(names, option, commands, help) \
  {names, LEAT_OPTION_TEXT, "", ANY, commands, true, FILES, LEAT_OPTION_WORKS, NOTHING, help, "", option},
#define NEEDS(option, other, why)
#define EXCLUDES(option, other, why)
#include "driver/option.def"
#undef OPTION
#undef SAME
#undef NEEDS
#undef EXCLUDES
};

static const leat_option_pair_t pairs[] = {
#define OPTION(names, type, initial, legal, commands, shown, group, state, set, help, effect)
#define SAME(names, option, commands, help)
#define NEEDS(option, other, why) {option, other, why, true},
#define EXCLUDES(option, other, why) {option, other, why, false},
#include "driver/option.def"
};

leat_option_table_t leat_option_rows(void) {
  return (leat_option_table_t){.rows = rows, .count = sizeof rows / sizeof *rows};
}

const leat_option_pair_t *leat_option_pairs(size_t *out_count) {
  *out_count = sizeof pairs / sizeof *pairs;
  return pairs;
}

const char *leat_option_next_name(const char **cursor, size_t *out_length) {
  const char *name = *cursor;
  if (*name == '\0') return NULL;
  *out_length = strcspn(name, " ");
  *cursor = name + *out_length + (name[*out_length] == ' ');
  return name;
}

static bool has_name(const leat_option_t *option, const char *text, size_t length) {
  const char *cursor = option->names;
  size_t name_length = 0;
  for (const char *name; (name = leat_option_next_name(&cursor, &name_length)) != NULL;)
    if (name_length == length && memcmp(name, text, length) == 0) return true;
  return false;
}

const leat_option_t *leat_option_find(const char *name, size_t length, uint32_t commands) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
    if ((rows[i].commands & commands) != 0 && has_name(&rows[i], name, length)) return &rows[i];
  return NULL;
}

const char *leat_option_suggest(const char *text, size_t length, uint32_t commands, char *buffer, size_t buffer_bytes) {
  const char *names[2 * sizeof rows / sizeof *rows];
  char copies[sizeof names / sizeof *names][48];
  size_t count = 0;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
    const char *cursor = rows[i].names;
    size_t name_length = 0;
    if ((rows[i].commands & commands) == 0) continue;
    for (const char *name; (name = leat_option_next_name(&cursor, &name_length)) != NULL;) {
      if (name_length >= sizeof *copies || count == sizeof names / sizeof *names) continue;
      memcpy(copies[count], name, name_length);
      copies[count][name_length] = '\0';
      names[count] = copies[count];
      ++count;
    }
  }
  return leat_suggest_name(names, count, text, length, buffer, buffer_bytes);
}

// Names as messages write them: "-b/--batch-size".
typedef struct title_s {
  char text[96];
} title_t;

static title_t title_of(const leat_option_t *option) {
  title_t title = {""};
  for (size_t i = 0; option->names[i] != '\0' && i + 1 < sizeof title.text; ++i)
    title.text[i] = option->names[i] == ' ' ? '/' : option->names[i];
  return title;
}

// --- legal values

static leat_status_t check_number(const leat_option_t *option, const char *value, size_t length) {
  char copy[64], *end = NULL;
  const bool whole = option->type == LEAT_OPTION_INT;
  const bool blank = length == 0 || length >= sizeof copy || strchr(" \t\n\v\f\r", *value) != NULL;
  double number = NAN;
  if (!blank) {
    const char *read_end = NULL;
    memcpy(copy, value, length);
    copy[length] = '\0';
    number = leat_text_read_double(copy, &read_end);
    end = (char *)read_end;
    if (*end != '\0' || (whole && copy[strspn(copy, "+-0123456789")] != '\0')) number = NAN;
  }
  if (!isfinite(number))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s '%.*s': a %s is expected", title_of(option).text, (int)length, value,
              whole ? "whole number" : "number");
  if (option->low < option->high && (number < option->low || number > option->high))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s %.*s: %.15g to %.15g is legal", title_of(option).text, (int)length, value,
              option->low, option->high);
  return NULL;
}

static leat_status_t check_choice(const leat_option_t *option, const char *value) {
  const size_t length = strlen(value);
  for (const char *at = option->choices; *at != '\0';) {
    const size_t choice = strcspn(at, "|");
    if (choice == length && memcmp(at, value, length) == 0) return NULL;
    at += choice + (at[choice] == '|');
  }
  leat_text_t legal = {0};
  for (const char *at = option->choices; *at != '\0'; ++at) {
    if (*at == '|') {
      leat_text_put(&legal, strchr(at + 1, '|') != NULL ? ", " : " or ");
    } else {
      leat_text_put_bytes(&legal, at, 1);
    }
  }
  leat_status_t status = leat_status_make(LEAT_INVALID_ARGUMENT, "%s '%s': %s is legal", title_of(option).text, value,
                                          legal.data == NULL ? option->choices : legal.data);
  leat_text_deinit(&legal);
  return status;
}

static leat_status_t check_numbers(const leat_option_t *option, const char *value) {
  uint32_t count = 0;
  for (const char *at = value + strspn(value, " "); *at != '\0'; at += strspn(at, " ")) {
    const size_t length = strcspn(at, " ");
    LEAT_TRY(check_number(option, at, length));
    at += length;
    ++count;
  }
  if (count != 3 && count != 4)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s '%s': 3 numbers (fwd, bckwd, opt) or 4 (fwd, bckwd, gradnorm, opt) are legal",
              title_of(option).text, value);
  return NULL;
}

static leat_status_t check_arch(const leat_option_t *option, const char *value) {
  const leat_map_target_t *target;
  leat_arch_t arch;
  return leat_status_annotate(leat_target_find(leat_targets, value, &target, &arch), "%s", title_of(option).text);
}

leat_status_t leat_option_check_value(const leat_option_t *option, const char *value) {
  if (option->type == LEAT_OPTION_FLAG) {
    if (value != NULL) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s takes no value", title_of(option).text);
    return NULL;
  }
  if (value == NULL) {
    if (option->type == LEAT_OPTION_BOOL) return NULL;
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s needs a value", title_of(option).text);
  }
  if (option->choices != NULL) return check_choice(option, value);
  switch (option->type) {
    case LEAT_OPTION_BOOL:
      if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) return NULL;
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s '%s': true or false is legal", title_of(option).text, value);
    case LEAT_OPTION_INT:
    case LEAT_OPTION_FLOAT:
      return check_number(option, value, strlen(value));
    case LEAT_OPTION_NUMBERS:
      return check_numbers(option, value);
    case LEAT_OPTION_ARCH:
      return check_arch(option, value);
    default:
      return NULL;
  }
}

// A row as compile has it, else as any command has it. `name` may be a row's list of names: the first one counts.
static const leat_option_t *find_any(const char *name) {
  const size_t length = strcspn(name, " ");
  const leat_option_t *option = leat_option_find(name, length, COMPILE);
  if (option == NULL) option = leat_option_find(name, length, ALL);
  return option != NULL && option->same_as != NULL ? find_any(option->same_as) : option;
}

static leat_status_t unknown_option(const char *name) {
  char guess[96];
  LEAT_FAIL(LEAT_NOT_FOUND, "there is no option %s%s", name,
            leat_option_suggest(name, strlen(name), ALL, guess, sizeof guess));
}

LEAT_EXPORT leat_status_t leat_option_check(const char *name, const char *value) {
  const leat_option_t *option = find_any(name);
  return option == NULL ? unknown_option(name) : leat_option_check_value(option, value);
}

static bool is_given(const char *name, const char *const *given, size_t given_count) {
  const leat_option_t *option = find_any(name);
  for (size_t i = 0; i < given_count; ++i)
    if (find_any(given[i]) == option) return true;
  return false;
}

LEAT_EXPORT leat_status_t leat_option_check_together(const char *const *names, size_t name_count) {
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; ++i) {
    const leat_option_pair_t *pair = &pairs[i];
    if (!is_given(pair->option, names, name_count)) continue;
    if (is_given(pair->other, names, name_count) != pair->needs)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s %s %s: %s", pair->option, pair->needs ? "needs" : "excludes", pair->other,
                pair->why);
  }
  return NULL;
}

// --- what a value sets

static uint32_t choice_index(const leat_option_t *option, const char *value) {
  uint32_t index = 0;
  for (const char *at = option->choices; strncmp(at, value, strlen(value)) != 0; at = strchr(at, '|') + 1) ++index;
  return index;
}

// Three shares are fwd, bckwd, opt: gradnorm has the share of opt.
static void set_shares(const char *value, double shares[4]) {
  uint32_t count = 0;
  for (const char *at = value + strspn(value, " "); *at != '\0'; at += strspn(at, " "))
    shares[count++] = leat_text_read_double(at, &at);
  if (count == 3) shares[3] = shares[2];
}

static void set_field(const leat_option_t *option, const char *value, leat_compile_options_t *options) {
  char *place = (char *)options + option->set.place;
  uint32_t number = option->set.constant;
  switch (option->set.how) {
    case LEAT_SET_NOTHING:
      return;
    case LEAT_SET_TEXT:
      memcpy(place, &value, sizeof value);
      return;
    case LEAT_SET_SHARES:
      set_shares(value, options->scaling);
      return;
    case LEAT_SET_NUMBER:
      number = option->type != LEAT_OPTION_BOOL ? (uint32_t)strtoul(value, NULL, 10)
                                                : value == NULL || strcmp(value, "true") == 0;
      break;
    case LEAT_SET_INDEX:
      number = choice_index(option, value);
      break;
    case LEAT_SET_LEVEL:
      number = (uint32_t)(value[1] - '0');
      break;
    default:
      break;
  }
  memcpy(place, &number, sizeof number);
}

static bool is_initial(const leat_option_t *option, const char *value) {
  return value != NULL && strcmp(option->initial, value) == 0;
}

static leat_status_t refuse(const leat_option_t *option, const char *value) {
  LEAT_FAIL(LEAT_UNSUPPORTED, "not yet available: %s%s%s (it waits for %s)", title_of(option).text,
            value == NULL ? "" : " ", value == NULL ? "" : value, option->effect);
}

static void say_idle(const leat_option_t *option, const char *value, const leat_compile_options_t *options) {
  leat_say(options, LEAT_LOG_WARNING, "samba", "%s%s%s has no effect on native: %s", title_of(option).text,
           value == NULL ? "" : " ", value == NULL ? "" : value, option->effect);
}

LEAT_EXPORT leat_status_t leat_compile_options_set(leat_compile_options_t *options, const char *name,
                                                   const char *value) {
  const leat_option_t *option = find_any(name);
  if (option == NULL) return unknown_option(name);
  LEAT_TRY(leat_option_check_value(option, value));
  if (option->state == LEAT_OPTION_LATER && !is_initial(option, value)) return refuse(option, value);
  if (option->state == LEAT_OPTION_IDLE && !is_initial(option, value)) say_idle(option, value, options);
  set_field(option, value, options);
  return NULL;
}

// --- fields that nothing consumes yet

static bool same_text(const char *a, const char *b) { return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0); }

static bool is_used(const leat_option_t *option, const leat_compile_options_t *options,
                    const leat_compile_options_t *initial) {
  const char *place = (const char *)options + option->set.place, *from = (const char *)initial + option->set.place;
  uint32_t number;
  const char *text, *initial_text;
  switch (option->set.how) {
    case LEAT_SET_NOTHING:
      return false;
    case LEAT_SET_CONSTANT:
      memcpy(&number, place, sizeof number);
      return number == option->set.constant;
    case LEAT_SET_TEXT:
      memcpy(&text, place, sizeof text);
      memcpy(&initial_text, from, sizeof text);
      return !same_text(text, initial_text);
    case LEAT_SET_SHARES:
      return memcmp(options->scaling, initial->scaling, sizeof options->scaling) != 0;
    default:
      return memcmp(place, from, sizeof number) != 0;
  }
}

LEAT_EXPORT leat_compile_options_t leat_compile_options_default(void) {
  return (leat_compile_options_t){
      .struct_bytes = sizeof(leat_compile_options_t),
      .arch = "native",
      .optim_level = 3,
      .rule_list = "default",
      .use_default_rules = 1,
      .scaling = {1.0, 1.0, 1.0, 1.0},
      .retry = 1,
      .chunked_products = 256,
      .run_batches = 1,
      .update_batches = 1,
  };
}

leat_status_t leat_option_refuse_later(const leat_compile_options_t *options) {
  const leat_compile_options_t initial = leat_compile_options_default();
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
    if (rows[i].state == LEAT_OPTION_LATER && is_used(&rows[i], options, &initial)) return refuse(&rows[i], NULL);
  return NULL;
}

void leat_option_say_unused(const leat_compile_options_t *options) {
  const leat_compile_options_t initial = leat_compile_options_default();
  if (options->optim_level == 1) return;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
    if (rows[i].group == FUSION && is_used(&rows[i], options, &initial))
      leat_say(options, LEAT_LOG_WARNING, "samba", "%s has no effect without -o1", title_of(&rows[i]).text);
  }
}
