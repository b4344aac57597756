// SPDX-License-Identifier: Apache-2.0
// How a person names a symbol on the command line.
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "driver/cmd.h"

enum { LISTED_MAX = 12 };  // candidates that a message names

static bool ends_with_word(const char *name, const char *suffix) {
  size_t length = strlen(name), suffix_length = strlen(suffix);
  if (suffix_length >= length) return false;
  const char *tail = name + length - suffix_length;
  return !isalnum((unsigned char)tail[-1]) && strcmp(tail, suffix) == 0;
}

// "name f32[..]" is too much for a list: names alone, of the symbols of `kind` whose name ends with `suffix`
// (NULL: all).
static void list_symbols(const leat_program_t *program, uint32_t kind, const char *suffix, leat_text_t *out_list) {
  uint32_t listed = 0;
  for (uint32_t i = 0; i < leat_program_symbol_count(program); ++i) {
    leat_symbol_info_t info;
    leat_status_t status = leat_program_symbol_info(program, i, &info);
    assert(!status && "index is in range");
    if (suffix ? !ends_with_word(info.name, suffix) : info.kind != kind) continue;
    if (listed < LISTED_MAX) leat_text_put(out_list, "%s%s", listed ? ", " : "", info.name);
    ++listed;
  }
  if (listed > LISTED_MAX) leat_text_put(out_list, " and %u more", listed - LISTED_MAX);
}

static leat_status_t no_such_symbol(const leat_program_t *program, const char *name, uint32_t kind, bool ambiguous) {
  leat_text_t list = {0};
  list_symbols(program, kind, ambiguous ? name : NULL, &list);
  leat_status_t status = leat_status_make(ambiguous ? LEAT_INVALID_ARGUMENT : LEAT_NOT_FOUND, "%s '%s': %s",
                                          ambiguous ? "several symbols end with" : "no symbol is called, or ends with",
                                          name, list.data ? list.data : "there are none of this kind");
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

leat_status_t leat_cmd_find_symbol(const leat_program_t *program, const char *name, uint32_t kind,
                                   uint32_t *out_symbol) {
  uint32_t number = 0, seen_of_kind = 0, by_suffix = 0;
  const bool numbered = as_number(name, &number);
  for (uint32_t i = 0; i < leat_program_symbol_count(program); ++i) {
    leat_symbol_info_t info;
    LEAT_TRY(leat_program_symbol_info(program, i, &info));
    const bool chosen = numbered ? info.kind == kind && seen_of_kind == number : strcmp(info.name, name) == 0;
    if (chosen) {
      *out_symbol = i;
      return NULL;
    }
    seen_of_kind += info.kind == kind;
    if (!numbered && ends_with_word(info.name, name)) {
      *out_symbol = i;
      ++by_suffix;
    }
  }
  return by_suffix == 1 ? NULL : no_such_symbol(program, name, kind, by_suffix > 1);
}
