// SPDX-License-Identifier: Apache-2.0
// The spec of a contraction or an einsum, "bmk,bkn->bmn": read once here, for shapes, eval, gradients and sections
// alike.
#include <stdio.h>

#include "ir/graph.h"

int leat_spec_find(const leat_spec_t *spec, uint32_t which, char letter) {
  for (int i = 0; i < spec->rank[which]; i++) {
    if (spec->letters[which][i] == letter) return i;
  }
  return -1;
}

leat_spec_t leat_spec_pick(const leat_spec_t *spec, uint32_t x, uint32_t y, uint32_t result) {
  leat_spec_t picked = {.operands = 2};
  const uint32_t parts[3] = {x, y, result};
  for (uint32_t i = 0; i < 3; i++) {
    picked.rank[i] = spec->rank[parts[i]];
    memcpy(picked.letters[i], spec->letters[parts[i]], sizeof picked.letters[i]);
  }
  return picked;
}

const char *leat_spec_text(const leat_spec_t *spec, char buffer[LEAT_SPEC_TEXT]) {
  (void)snprintf(buffer, LEAT_SPEC_TEXT, "%.*s%s%.*s->%.*s", spec->rank[0], spec->letters[0],
                 spec->operands == 2 ? "," : "", spec->rank[1], spec->letters[1], spec->rank[2], spec->letters[2]);
  return buffer;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Reads letters into tensor `which`; what follows them, NULL if they are too many.
static const char *read_letters(const char *at, uint32_t which, leat_spec_t *spec) {
  for (; is_letter(*at); at++) {
    if (spec->rank[which] == LEAT_RANK_MAX) return NULL;
    spec->letters[which][spec->rank[which]++] = *at;
  }
  return at;
}

leat_status_t leat_spec_parse(const char *text, leat_spec_t *out_spec) {
  *out_spec = (leat_spec_t){.operands = 1};
  const char *at = read_letters(text, 0, out_spec);
  if (at != NULL && *at == ',') {
    out_spec->operands = 2;
    at = read_letters(at + 1, 1, out_spec);
  }
  const bool arrow = at != NULL && at[0] == '-' && at[1] == '>';
  if (arrow) at = read_letters(at + 2, 2, out_spec);
  if (at == NULL) LEAT_FAIL(LEAT_UNSUPPORTED, "spec '%s' has more than %d letters in a part", text, LEAT_RANK_MAX);
  if (!arrow || *at != '\0') LEAT_FAIL(LEAT_INVALID_ARGUMENT, "spec '%s' is not of the form 'ab,bc->ac'", text);
  return NULL;
}

leat_status_t leat_spec_check(const leat_spec_t *spec) {
  char text[LEAT_SPEC_TEXT];
  for (uint32_t which = 0; which < 3; which++) {
    for (uint32_t i = 0; i < spec->rank[which]; i++) {
      const char letter = spec->letters[which][i];
      if (spec->operands != 2 || leat_spec_find(spec, which, letter) != (int)i)
        LEAT_FAIL(LEAT_INVALID_ARGUMENT, "spec '%s' is not of the form 'ab,bc->ac' with distinct letters in each part",
                  leat_spec_text(spec, text));
      uint32_t parts = 0;
      for (uint32_t other = 0; other < 3; other++) parts += leat_spec_find(spec, other, letter) >= 0;
      if (parts < 2)
        LEAT_FAIL(LEAT_INVALID_ARGUMENT, "spec '%s': '%c' must be in two of the three parts",
                  leat_spec_text(spec, text), letter);
    }
  }
  return NULL;
}
