// SPDX-License-Identifier: Apache-2.0
// Roles of symbols. A file of version 1 says the kind of a symbol and whose it is; what it is to that one, or to the
// program, its name says, by the table that the compiler made it from.
#include "pef/pef_read.h"

typedef enum form_e { OWNED, NUMBERED, ALONE } form_t;
enum {
  KIND_GRAD = PEF_SYMBOL_GRADIENT,
  KIND_SEED = PEF_SYMBOL_SEED,
  KIND_STATE = PEF_SYMBOL_STATE,
  KIND_INTERNAL = PEF_SYMBOL_INTERNAL,
  KIND_HYPER = PEF_SYMBOL_HYPERPARAMETER
};

typedef struct role_s {
  const char *before, *after;
  uint8_t kind, form;
} role_t;

static const role_t roles[] = {
#define ROLE(e, kind, form, before, after) {before, after, KIND_##kind, form},
#include "ir/role.def"
#undef ROLE
};

// The number that `text` starts with, of at most nine digits; returns what follows it, or NULL.
static const char *read_number(const char *text, uint32_t *out_number) {
  size_t digits = strspn(text, "0123456789");
  if (digits == 0 || digits > 9) return NULL;
  for (*out_number = 0; digits > 0; --digits, ++text) *out_number = *out_number * 10 + (uint32_t)(*text - '0');
  return text;
}

static bool is_of(const leat_pef_t *pef, const pef_symbol_t *symbol, const role_t *role, uint32_t *out_number) {
  const char *rest = pef->strings + symbol->name;
  const bool owned = symbol->of != PEF_NONE;
  if (symbol->kind != role->kind || owned != (role->form == OWNED)) return false;
  const char *before = owned ? pef->strings + pef->symbols[symbol->of].name : role->before;
  const size_t length = strlen(before);
  if (strncmp(rest, before, length) != 0) return false;
  rest += length;
  if (role->form == NUMBERED) rest = read_number(rest, out_number);
  return rest != NULL && strcmp(rest, role->after) == 0;
}

const char *leat_pef_symbol_role(const leat_pef_t *pef, uint32_t symbol, uint32_t *out_number) {
  for (size_t i = 0; i < sizeof roles / sizeof *roles; ++i) {
    *out_number = 0;
    if (!is_of(pef, &pef->symbols[symbol], &roles[i], out_number)) continue;
    return roles[i].form == ALONE ? roles[i].before : roles[i].after + strlen("__");
  }
  *out_number = 0;
  return "";
}
