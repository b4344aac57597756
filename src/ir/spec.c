// SPDX-License-Identifier: Apache-2.0
// The spec of a contraction, "bmk,bkn->bmn": parsed once here for shapes, eval, gradients and sections alike.
#include "ir/graph.h"

int leat_spec_find(const leat_spec_t *spec, uint32_t which, char letter) {
  for (int i = 0; i < spec->rank[which]; i++) {
    if (spec->letters[which][i] == letter) return i;
  }
  return -1;
}

// Reads letters up to `stop` (exclusive) into tensor `which`; NULL if something else is found.
static const char *read_letters(const char *at, char stop, uint32_t which, leat_spec_t *spec) {
  for (; *at != stop; at++) {
    bool letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');
    if (!letter || spec->rank[which] == LEAT_RANK_MAX || leat_spec_find(spec, which, *at) >= 0) return NULL;
    spec->letters[which][spec->rank[which]++] = *at;
  }
  return at;
}

static bool read_spec(const char *text, leat_spec_t *spec) {
  const char *at = read_letters(text, ',', 0, spec);
  if (at != NULL) at = read_letters(at + 1, '-', 1, spec);
  if (at == NULL || at[1] != '>') return false;
  return read_letters(at + 2, '\0', 2, spec) != NULL;
}

leat_status_t leat_spec_parse(const char *text, leat_spec_t *out_spec) {
  *out_spec = (leat_spec_t){0};
  if (!read_spec(text, out_spec))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "spec '%s' is not of the form 'ab,bc->ac' with distinct letters in each part",
              text);
  for (uint32_t which = 0; which < 3; which++) {
    for (uint32_t i = 0; i < out_spec->rank[which]; i++) {
      char letter = out_spec->letters[which][i];
      int parts = 0;
      for (uint32_t other = 0; other < 3; other++) parts += leat_spec_find(out_spec, other, letter) >= 0;
      if (parts < 2)
        LEAT_FAIL(LEAT_INVALID_ARGUMENT, "spec '%s': '%c' must be in two of the three parts", text, letter);
    }
  }
  return NULL;
}
