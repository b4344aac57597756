// SPDX-License-Identifier: Apache-2.0
// einsum of one or two operands; the tracer has expanded the ellipsis. A letter that occurs twice in an operand takes
// the diagonal, a letter that only one operand has and the result has not is summed out first; what is left is a
// permutation or a contract.
#include <stdio.h>

#include "lower/row.h"

typedef struct operand_s {
  leat_value_id_t value;
  char letters[LEAT_RANK_MAX + 1];
} operand_t;

// Drops dim `dim` of the letters.
static void drop_letter(operand_t *o, uint32_t dim) {
  memmove(o->letters + dim, o->letters + dim + 1, strlen(o->letters + dim));
}

static void sum_out(leat_builder_t *b, operand_t *o, uint32_t dim) {
  o->value = leat_b_reduce(b, LEAT_FOLD_SUM, o->value, 1u << dim, false);
  drop_letter(o, dim);
}

// Keeps the elements whose two indices agree, then sums one of the dims away.
static void take_diagonals(leat_builder_t *b, operand_t *o) {
  for (uint32_t i = 0; o->letters[i] != 0; i++) {
    const char *again = strchr(o->letters + i + 1, o->letters[i]);
    if (again == NULL) continue;
    uint32_t dim = (uint32_t)(again - o->letters);
    leat_value_id_t on = leat_b_fn2(b, EQ, leat_b_index_along(b, o->value, i), leat_b_index_along(b, o->value, dim));
    o->value = leat_b_select_or(b, on, o->value, 0.0);
    sum_out(b, o, dim);
    i--;
  }
}

static void sum_lone_letters(leat_builder_t *b, operand_t *o, const char *others, const char *result) {
  for (uint32_t i = 0; o->letters[i] != 0;) {
    if (strchr(others, o->letters[i]) == NULL && strchr(result, o->letters[i]) == NULL)
      sum_out(b, o, i);
    else
      i++;
  }
}

static leat_value_id_t permute_to(leat_builder_t *b, const operand_t *o, const char *result) {
  int64_t perm[LEAT_RANK_MAX];
  for (uint32_t d = 0; result[d] != 0 && d < LEAT_RANK_MAX; d++) {
    const char *at = strchr(o->letters, result[d]);
    if (at == NULL)
      return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "letter '%c' of the result is in no operand", result[d]);
    perm[d] = at - o->letters;
  }
  return leat_b_transpose(b, o->value, perm);
}

// Copies letters up to a stop character; returns what follows, NULL when malformed.
static const char *read_letters(const char *spec, char *out_letters) {
  uint32_t n = 0;
  for (; *spec != 0 && *spec != ',' && *spec != '-'; spec++) {
    if (*spec == ' ') continue;
    if (n == LEAT_RANK_MAX) return NULL;
    out_letters[n++] = *spec;
  }
  out_letters[n] = 0;
  return spec;
}

LOWER(EINSUM) {
  leat_builder_t *b = c->b;
  const char *spec = leat_lower_string(c, LEAT_ATTR_SPEC, "");
  operand_t o[2] = {{c->in[0], ""}, {leat_lower_in(c, 1), ""}};
  char result[LEAT_RANK_MAX + 1] = "";
  const char *at = read_letters(spec, o[0].letters);
  if (at != NULL && *at == ',') at = read_letters(at + 1, o[1].letters);
  if (at != NULL && at[0] == '-' && at[1] == '>')
    at = read_letters(at + 2, result);
  else
    at = NULL;
  if (at == NULL || *at != 0)
    return leat_b_fail(b, LEAT_UNSUPPORTED, "spec '%s': needs one or two operands of at most %d letters and '->'", spec,
                       LEAT_RANK_MAX);
  for (uint32_t i = 0; i < c->in_count; i++) {
    if (strlen(o[i].letters) != leat_b_value(b, o[i].value)->rank)
      return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "spec '%s' does not fit the rank of operand %u", spec, i);
    take_diagonals(b, &o[i]);
    sum_lone_letters(b, &o[i], o[1 - i].letters, result);
  }
  if (c->in_count < 2) return permute_to(b, &o[0], result);
  char pair[3 * LEAT_RANK_MAX + 8];
  snprintf(pair, sizeof pair, "%s,%s->%s", o[0].letters, o[1].letters, result);
  return leat_b_contract(b, pair, o[0].value, o[1].value);
}
