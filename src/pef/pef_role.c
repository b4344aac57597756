// SPDX-License-Identifier: Apache-2.0
// Roles of symbols. A file of version 1 says the kind of a symbol and whose it is; what it is to that one is what its
// name adds to the owner's, and for the few symbols of the program as a whole their names stand here.
#include <stdio.h>

#include "pef/pef_read.h"

// "optimizer_12__step": 12.
static bool read_step(const char *name, uint32_t *out_number) {
  int end = 0;
  return sscanf(name, "optimizer_%9u__step%n", out_number, &end) == 1 && end > 0 && name[end] == '\0';
}

const char *leat_pef_symbol_role(const leat_pef_t *pef, uint32_t symbol, uint32_t *out_number) {
  const pef_symbol_t *record = &pef->symbols[symbol];
  const char *name = pef->strings + record->name;
  *out_number = 0;
  if (record->of != PEF_NONE) {
    const char *owner = pef->strings + pef->symbols[record->of].name;
    const size_t length = strlen(owner);
    return strncmp(name, owner, length) == 0 && strncmp(name + length, "__", 2) == 0 ? name + length + 2 : "";
  }
  if (record->kind != PEF_SYMBOL_STATE) return "";
  if (read_step(name, out_number)) return "step";
  return strcmp(name, "random__state") == 0 ? "random" : "";
}
