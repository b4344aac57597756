// SPDX-License-Identifier: Apache-2.0
#include "native/finish.h"

#include <math.h>

#include "pef/pef_scalar.h"

typedef struct finder_s {
  const leat_native_stage_t *map;
  const leat_native_operand_t *made;
  leat_native_finish_t *found;
  uint32_t value;  // the result so far, of this instruction
} finder_t;

static bool is_whole(const leat_native_operand_t *operand, const leat_native_operand_t *made) {
  return operand->dtype == PEF_F32 && operand->rank == made->rank && operand->row_dim == made->row_dim &&
         operand->row_mult == made->row_mult && memcmp(operand->dims, made->dims, sizeof made->dims) == 0;
}

static bool is_made(const leat_native_operand_t *operand, const leat_native_operand_t *made) {
  return operand->space == made->space && operand->slot == made->slot && operand->offset == made->offset &&
         is_whole(operand, made) && memcmp(operand->strides, made->strides, sizeof made->strides) == 0;
}

static bool is_bias(const leat_native_operand_t *operand, const leat_native_operand_t *made) {
  if (operand->dtype != PEF_F32 || operand->rank != made->rank) return false;
  for (uint32_t d = 0; d < operand->rank; d++) {
    if (d != 1 && operand->strides[d] != 0 && made->dims[d] != 1) return false;
    if (d != 1 && d == operand->row_dim && operand->strides[d] != 0) return false;
  }
  return true;
}

// Rows of `side` lie as those of a picture without gaps.
static bool is_side(const leat_native_operand_t *operand, const leat_native_operand_t *made) {
  if (!is_whole(operand, made) || operand->rank < 3) return false;
  const uint32_t last = operand->rank - 1u;
  const int64_t width = made->dims[last];
  if (operand->strides[last] != 1 && width != 1) return false;
  return last < 3 || made->dims[last - 1] == 1 || operand->strides[last - 1] == width;
}

static const leat_native_operand_t *loaded(const finder_t *f, uint32_t value) {
  const pef_instruction_t *in = &f->map->instructions[value];
  return in->op == PEF_OP_LOAD ? &f->map->operands[in->a] : NULL;
}

// The number that a value is; false: it is none.
static bool is_number(const finder_t *f, uint32_t value, float *out) {
  const pef_instruction_t *in = &f->map->instructions[value];
  const union {
    uint64_t u;
    double d;
  } wide = {.u = in->imm};
  *out = (float)wide.d;
  return in->op == PEF_OP_IMMEDIATE && !isnan(*out);
}

static bool add_sum(finder_t *f, const pef_instruction_t *in) {
  const leat_native_operand_t *other = loaded(f, in->a == f->value ? in->b : in->a);
  if (other == NULL || f->found->bounded) return false;
  if (f->found->bias == NULL && f->found->side == NULL && is_bias(other, f->made)) {
    f->found->bias = other;
    return true;
  }
  if (f->found->side != NULL || !is_side(other, f->made)) return false;
  f->found->side = other;
  return true;
}

// The lower bound first; of equals the result so far stays, so it has to be the first operand.
static bool add_bound(finder_t *f, const pef_instruction_t *in) {
  float number;
  if (in->a != f->value || !is_number(f, in->b, &number)) return false;
  if (in->op == PEF_SCALAR_MAX) {
    if (f->found->bounded) return false;
    f->found->low = number;
  } else {
    if (f->found->high != INFINITY) return false;
    f->found->high = number;
  }
  f->found->bounded = true;
  return true;
}

static bool add_step(finder_t *f, const pef_instruction_t *in) {
  if (in->type != PEF_BODY_FIRST || in->class_ != PEF_CLASS_F32 || in->op >= PEF_SCALAR_COUNT) return false;
  if (in->op == PEF_SCALAR_COPY) return in->a == f->value;
  if (in->a == in->b || (in->a != f->value && in->b != f->value)) return false;
  if (in->op == PEF_SCALAR_ADD) return add_sum(f, in);
  return (in->op == PEF_SCALAR_MAX || in->op == PEF_SCALAR_MIN) && add_bound(f, in);
}

static bool add_store(finder_t *f, const pef_instruction_t *in) {
  if (in->b != f->value || f->found->y != NULL || !is_whole(&f->map->operands[in->a], f->made)) return false;
  f->found->y = &f->map->operands[in->a];
  return true;
}

bool leat_native_finish_find(const leat_native_stage_t *map, const leat_native_operand_t *made,
                             leat_native_finish_t *out) {
  *out = (leat_native_finish_t){.low = -INFINITY, .high = INFINITY};
  finder_t f = {.map = map, .made = made, .found = out, .value = UINT32_MAX};
  if (made->dtype != PEF_F32 || made->rank < 3) return false;
  for (uint32_t i = 0; i < map->instruction_count; i++) {
    const pef_instruction_t *in = &map->instructions[i];
    if (in->op == PEF_OP_IMMEDIATE) continue;
    if (in->op == PEF_OP_LOAD) {
      if (in->class_ != PEF_CLASS_F32) return false;
      const leat_native_operand_t *read = &map->operands[in->a];
      if (!is_made(read, made)) {
        if (read->space == made->space && read->slot == made->slot) return false;  // a view of what is not stored
        continue;
      }
      if (f.value != UINT32_MAX) return false;
      f.value = i;
    } else if (in->op == PEF_OP_STORE) {
      if (!add_store(&f, in)) return false;
    } else {
      if (out->y != NULL || !add_step(&f, in)) return false;
      f.value = i;
    }
  }
  return out->y != NULL;
}
