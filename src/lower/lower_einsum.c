// SPDX-License-Identifier: Apache-2.0
// einsum of one or two operands; the tracer has expanded the ellipsis. A letter that occurs twice in an operand takes
// the diagonal, a letter that only one operand has and the result has not is summed out first; what is left is a
// permutation or a contract.
#include "lower/row.h"

// One operand while its letters are made distinct and needed; the letters are those of the spec that is left.
typedef struct operand_s {
  leat_value_id_t value;
  leat_spec_t *spec;
  uint32_t which;
} operand_t;

static char take_letter(operand_t *o, uint32_t dim) {
  char *letters = o->spec->letters[o->which], letter = letters[dim];
  memmove(letters + dim, letters + dim + 1, LEAT_RANK_MAX - 1 - dim);
  letters[LEAT_RANK_MAX - 1] = '\0';
  o->spec->rank[o->which]--;
  return letter;
}

static void sum_out(leat_builder_t *b, operand_t *o, uint32_t dim) {
  take_letter(o, dim);
  o->value = leat_b_reduce(b, LEAT_FOLD_SUM, o->value, 1u << dim, false);
}

// Of two dims of one letter the elements whose indices agree; that letter goes last.
static void take_diagonals(leat_builder_t *b, operand_t *o) {
  for (uint32_t dim = 1; dim < o->spec->rank[o->which];) {
    const uint32_t first = (uint32_t)leat_spec_find(o->spec, o->which, o->spec->letters[o->which][dim]);
    if (first == dim) {
      dim++;
      continue;
    }
    o->value = leat_row_diagonal(b, o->value, first, dim, 0);
    take_letter(o, dim);
    const char letter = take_letter(o, first);
    o->spec->letters[o->which][o->spec->rank[o->which]++] = letter;
    dim = 1;
  }
}

static void sum_lone_letters(leat_builder_t *b, operand_t *o) {
  for (uint32_t i = 0; i < o->spec->rank[o->which];) {
    const char letter = o->spec->letters[o->which][i];
    if (leat_spec_find(o->spec, 1 - o->which, letter) < 0 && leat_spec_find(o->spec, 2, letter) < 0)
      sum_out(b, o, i);
    else
      i++;
  }
}

static leat_value_id_t permute(leat_builder_t *b, leat_value_id_t x, const leat_spec_t *spec) {
  int64_t perm[LEAT_RANK_MAX];
  for (uint32_t d = 0; d < spec->rank[2]; d++) {
    perm[d] = leat_spec_find(spec, 0, spec->letters[2][d]);
    if (perm[d] < 0)
      return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "letter '%c' of the result is in no operand", spec->letters[2][d]);
  }
  return leat_b_transpose(b, x, perm);
}

// Whether both operands have the same letters: then nothing is multiplied twice.
static bool goes_in_step(const leat_spec_t *spec) {
  bool same = spec->rank[0] == spec->rank[1];
  for (uint32_t d = 0; d < spec->rank[0]; d++) same &= leat_spec_find(spec, 1, spec->letters[0][d]) >= 0;
  for (uint32_t d = 0; d < spec->rank[2]; d++) same &= leat_spec_find(spec, 0, spec->letters[2][d]) >= 0;
  return same;
}

// The dims of an operand in the order of the result's letters, what is summed behind them as operand 0 has it.
static leat_value_id_t summed_last(leat_builder_t *b, leat_value_id_t x, const leat_spec_t *spec, uint32_t which) {
  int64_t perm[LEAT_RANK_MAX];
  uint32_t next = 0;
  for (; next < spec->rank[2]; next++) perm[next] = leat_spec_find(spec, which, spec->letters[2][next]);
  for (uint32_t d = 0; d < spec->rank[0]; d++) {
    const char letter = spec->letters[0][d];
    if (leat_spec_find(spec, 2, letter) < 0) perm[next++] = leat_spec_find(spec, which, letter);
  }
  return leat_b_transpose(b, x, perm);
}

// A sum of products element by element: a contract would add it up one by one, a reduction does in lanes.
static leat_value_id_t sum_in_step(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y, const leat_spec_t *spec) {
  leat_value_id_t product = leat_b_mul(b, summed_last(b, x, spec, 0), summed_last(b, y, spec, 1));
  return leat_row_sum_behind(b, product, spec->rank[2]);
}

LOWER(EINSUM) {
  leat_builder_t *b = c->b;
  leat_spec_t spec = *leat_op_spec(c->from, c->op);
  operand_t o[2] = {{c->in[0], &spec, 0}, {leat_lower_in(c, 1), &spec, 1}};
  char text[LEAT_SPEC_TEXT];
  for (uint32_t i = 0; i < c->in_count; i++) {
    if (spec.operands != c->in_count || spec.rank[i] != leat_b_value(b, o[i].value)->rank)
      return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "spec '%s' does not fit the rank of operand %u",
                         leat_spec_text(leat_op_spec(c->from, c->op), text), i);
    take_diagonals(b, &o[i]);
    sum_lone_letters(b, &o[i]);
  }
  if (c->in_count < 2) return permute(b, o[0].value, &spec);
  if (leat_row_sums_in_lanes(b, o[0].value) && goes_in_step(&spec))
    return sum_in_step(b, o[0].value, o[1].value, &spec);
  return leat_b_contract(b, &spec, o[0].value, o[1].value);
}
