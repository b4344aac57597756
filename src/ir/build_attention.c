// SPDX-License-Identifier: Apache-2.0
// Builder functions of attention.
#include "ir/attention.h"
#include "ir/build.h"
#include "ir/build_op.h"

enum { OPERANDS_MAX = 6 + LEAT_ATTENTION_BACKWARD };

static uint32_t operands_of(const leat_attention_t *a, leat_value_id_t out[OPERANDS_MAX]) {
  uint32_t count = 0;
  out[count++] = a->q;
  out[count++] = a->k;
  out[count++] = a->v;
  if (a->mask != LEAT_NONE) out[count++] = a->mask;
  if (a->state == LEAT_NONE) return count;
  out[count++] = a->state;
  out[count++] = a->drop;
  return count;
}

static leat_value_id_t append(leat_builder_t *b, uint32_t kind, const leat_attention_t *a,
                              const leat_value_id_t *operands, uint32_t count) {
  const leat_attr_t attrs[] = {leat_attr_l(LEAT_ATTR_LOW, &a->low, 1), leat_attr_l(LEAT_ATTR_HIGH, &a->high, 1),
                               leat_attr_i(LEAT_ATTR_STREAM, a->stream), leat_attr_f(LEAT_ATTR_SCALE, a->scale),
                               leat_attr_i(LEAT_ATTR_BARE, a->bare)};
  return leat_b_op(b, kind, operands, count, attrs, leat_op_takes_attr(kind, LEAT_ATTR_BARE) ? 5 : 4, NULL);
}

leat_value_id_t leat_b_attention(leat_builder_t *b, const leat_attention_t *a, leat_value_id_t *out_lse) {
  leat_value_id_t operands[OPERANDS_MAX];
  const leat_value_id_t out = append(b, LEAT_PRIM_ATTENTION, a, operands, operands_of(a, operands));
  *out_lse = out == LEAT_NONE ? LEAT_NONE : out + 1;
  return out;
}

leat_value_id_t leat_b_attention_grad(leat_builder_t *b, const leat_attention_t *a, leat_value_id_t lse,
                                      leat_value_id_t delta, leat_value_id_t dout) {
  leat_value_id_t operands[OPERANDS_MAX];
  uint32_t count = operands_of(a, operands);
  operands[count++] = lse;
  operands[count++] = delta;
  operands[count++] = dout;
  return append(b, LEAT_PRIM_ATTENTION_GRAD, a, operands, count);
}
