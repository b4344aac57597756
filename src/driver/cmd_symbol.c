// SPDX-License-Identifier: Apache-2.0
// How a person names a symbol on the command line.
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "driver/cmd.h"

enum { LISTED_MAX = 12 };  // candidates that a message names

// Where in `name` the words of `words` stand: at its end, somewhere, or nowhere.
enum place { NOWHERE, INSIDE, AT_END };
static enum place find_words(const char *name, const char *words) {
  const size_t length = strlen(words);
  enum place found = NOWHERE;
  for (const char *at = strstr(name, words); at && length; at = strstr(at + 1, words)) {
    const bool starts_word = at == name || !isalnum((unsigned char)at[-1]);
    if (!starts_word || isalnum((unsigned char)at[length])) continue;
    found = at[length] ? INSIDE : AT_END;
  }
  return found;
}

// How well a name can fit, from worst to best; a better fit outdoes all worse ones.
enum fit { NO_FIT, WORDS_INSIDE, WORDS_AT_END, EXACT };
static enum fit fit_of(const leat_symbol_info_t *info, const char *name, uint32_t kind) {
  if (strcmp(info->name, name) == 0) return EXACT;
  const enum place place = find_words(info->name, name);
  if (place == AT_END) return WORDS_AT_END;
  return place == INSIDE && info->kind == kind ? WORDS_INSIDE : NO_FIT;
}

// Names of the symbols that fit `name` as well as `fit`; with NO_FIT those of `kind`.
static void list_symbols(const leat_program_t *program, const char *name, uint32_t kind, enum fit fit,
                         leat_text_t *out_list) {
  uint32_t listed = 0;
  for (uint32_t i = 0; i < leat_program_symbol_count(program); ++i) {
    leat_symbol_info_t info;
    leat_status_t status = leat_program_symbol_info(program, i, &info);
    assert(!status && "index is in range");
    if (fit == NO_FIT ? info.kind != kind : fit_of(&info, name, kind) != fit) continue;
    if (listed < LISTED_MAX) leat_text_put(out_list, "%s%s", listed ? ", " : "", info.name);
    ++listed;
  }
  if (listed > LISTED_MAX) leat_text_put(out_list, " and %u more", listed - LISTED_MAX);
}

static leat_status_t not_one_symbol(const leat_program_t *program, const char *name, uint32_t kind, enum fit fit) {
  leat_text_t list = {0};
  list_symbols(program, name, kind, fit, &list);
  const char *names = list.data ? list.data : "none";
  leat_status_t status = fit == NO_FIT
                             ? leat_status_make(LEAT_NOT_FOUND, "no symbol is called '%s'; there are: %s", name, names)
                             : leat_status_make(LEAT_INVALID_ARGUMENT, "'%s' can mean: %s", name, names);
  leat_text_deinit(&list);
  return status;
}

// True when `name` is a number: its value in *out_number.
static bool as_number(const char *name, uint32_t *out_number) {
  if (!isdigit((unsigned char)name[0])) return false;
  char *end;
  errno = 0;
  unsigned long number = strtoul(name, &end, 10);
  *out_number = (uint32_t)number;
  return !errno && !*end && number <= UINT32_MAX;
}

// The `number`-th symbol of `kind`.
static leat_status_t find_numbered(const leat_program_t *program, uint32_t number, uint32_t kind,
                                   uint32_t *out_symbol) {
  uint32_t seen = 0;
  for (uint32_t i = 0; i < leat_program_symbol_count(program); ++i) {
    leat_symbol_info_t info;
    LEAT_TRY(leat_program_symbol_info(program, i, &info));
    if (info.kind != kind || seen++ != number) continue;
    *out_symbol = i;
    return NULL;
  }
  LEAT_FAIL(LEAT_NOT_FOUND, "there are %u symbols of this kind, numbered from 0; no number %u", seen, number);
}

leat_status_t leat_cmd_find_symbol(const leat_program_t *program, const char *name, uint32_t kind,
                                   uint32_t *out_symbol) {
  uint32_t number = 0, fitting = 0;
  if (as_number(name, &number)) return find_numbered(program, number, kind, out_symbol);
  enum fit best = NO_FIT;
  for (uint32_t i = 0; i < leat_program_symbol_count(program); ++i) {
    leat_symbol_info_t info;
    LEAT_TRY(leat_program_symbol_info(program, i, &info));
    const enum fit fit = fit_of(&info, name, kind);
    if (fit == NO_FIT || fit < best) continue;
    fitting = fit == best ? fitting + 1 : 1;
    best = fit;
    *out_symbol = i;
  }
  return fitting == 1 ? NULL : not_one_symbol(program, name, kind, best);
}
