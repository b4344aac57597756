// SPDX-License-Identifier: Apache-2.0
// See function_code.h. Numbers are operands in memory.
#include "native/function_code.h"

#include <stddef.h>

#include "kern/numbers_f32.h"
#include "pef/pef_scalar.h"

typedef struct numbers_s {
  uint32_t sign, rest;
  float one, two, whole;
  float exp_over_log2, exp_less_high, exp_less_low, exp_highest, exp_lowest, exp_poly[5];
  float tanh_near, tanh_far, tanh_poly[6];
  float erf_far, erf_near_poly[7], erf_log2_poly[7], erf_power_poly[6];
} numbers_t;

static const numbers_t numbers = {
    .sign = 0x80000000,
    .rest = 0x7fffffff,
    .one = 1,
    .two = 2,
    .whole = F32_WHOLE,
    .exp_over_log2 = F32_EXP_OVER_LOG2,
    .exp_less_high = F32_EXP_LESS_HIGH,
    .exp_less_low = F32_EXP_LESS_LOW,
    .exp_highest = F32_EXP_HIGHEST,
    .exp_lowest = F32_EXP_LOWEST,
    .exp_poly = {F32_EXP_POLY},
    .tanh_near = F32_TANH_NEAR,
    .tanh_far = F32_TANH_FAR,
    .tanh_poly = {F32_TANH_POLY},
    .erf_far = F32_ERF_FAR,
    .erf_near_poly = {F32_ERF_NEAR_POLY},
    .erf_log2_poly = {F32_ERF_LOG2_POLY},
    .erf_power_poly = {F32_ERF_POWER_POLY},
};

size_t leat_function_code_numbers(vector_code_t *code) {
  leat_vector_bytes(code, &numbers, sizeof numbers);
  return sizeof numbers;
}

// --- with a number ------------------------------------------------------------------------------------------------

typedef struct function_s {
  vector_code_t *code;
  uint8_t d, x, t, m, s, q;
} function_t;

#define AT(field) offsetof(numbers_t, field)
#define POLY(f, r, x, field) poly(f, r, x, AT(field), sizeof(((numbers_t *)0)->field) / sizeof(float))

static void splat(const function_t *f, uint8_t r, size_t at) { leat_vector_splat_at(f->code, r, at); }
static void op(const function_t *f, vector_op_t how, uint8_t d, uint8_t a, uint8_t b) {
  leat_vector_op(f->code, how, d, a, b);
}
static void op_at(const function_t *f, vector_op_t how, uint8_t d, uint8_t a, size_t at) {
  leat_vector_op_at(f->code, how, d, a, at);
}
static void poly(const function_t *f, uint8_t r, uint8_t x, size_t at, size_t count) {
  splat(f, r, at + (count - 1) * sizeof(float));
  for (size_t i = count - 1; i-- > 0;) leat_vector_fma_of_at(f->code, r, x, at + i * sizeof(float));
}

// --- functions ----------------------------------------------------------------------------------------------------

// r = exp(r) / 2^n, *s = n + F32_WHOLE; t and q are overwritten.
static void exp_fraction(const function_t *f, uint8_t r, uint8_t s, uint8_t t, uint8_t q) {
  splat(f, s, AT(exp_over_log2));
  leat_vector_fma_of_at(f->code, s, r, AT(whole));
  op_at(f, VECTOR_SUB, q, s, AT(whole));
  leat_vector_fma_onto_at(f->code, r, q, AT(exp_less_high));
  leat_vector_fma_onto_at(f->code, r, q, AT(exp_less_low));
  POLY(f, q, r, exp_poly);
  op(f, VECTOR_MUL, t, r, r);
  leat_vector_fma_onto(f->code, r, t, q);
  op_at(f, VECTOR_ADD, r, r, AT(one));
}

// r times 2^n, of s = n + F32_WHOLE: also where that is infinite, or a denormal. Of an x that is below the lowest: 0.
static void scale(const function_t *f, uint8_t r, uint8_t s, uint8_t x, uint8_t t) {
  splat(f, t, AT(exp_lowest));
  leat_vector_compare(f->code, VECTOR_NOT_LESS, t, x, t);
  op_at(f, VECTOR_SUB, s, s, AT(whole));
  leat_vector_scale_kept(f->code, r, r, s);
}
// The same where it is neither, for any x.
static void scale_normal(const function_t *f, uint8_t r, uint8_t s) {
  leat_vector_shift(f->code, s, s, 23, true);
  leat_vector_add_words(f->code, r, r, s);
}

static void exp_code(const function_t *f) {
  splat(f, f->t, AT(exp_highest));
  op(f, VECTOR_MIN, f->d, f->t, f->x);
  exp_fraction(f, f->d, f->s, f->t, f->q);
  scale(f, f->d, f->s, f->x, f->t);
}

static void sigmoid_code(const function_t *f) {
  op_at(f, VECTOR_OR, f->m, f->x, AT(sign));
  leat_vector_move(f->code, f->d, f->m);
  exp_fraction(f, f->d, f->s, f->t, f->q);
  scale(f, f->d, f->s, f->m, f->t);
  op(f, VECTOR_XOR, f->q, f->q, f->q);
  leat_vector_compare(f->code, VECTOR_GREATER_EQUAL, f->s, f->x, f->q);
  splat(f, f->t, AT(one));
  leat_vector_pick(f->code, f->q, f->s, f->t, f->d);
  op(f, VECTOR_ADD, f->t, f->t, f->d);
  op(f, VECTOR_DIV, f->d, f->q, f->t);
}

static void tanh_code(const function_t *f) {
  op(f, VECTOR_MUL, f->m, f->x, f->x);
  POLY(f, f->d, f->m, tanh_poly);
  op(f, VECTOR_MUL, f->m, f->x, f->m);
  leat_vector_fma_of(f->code, f->d, f->m, f->x);
  op_at(f, VECTOR_AND, f->m, f->x, AT(rest));
  op(f, VECTOR_ADD, f->m, f->m, f->m);
  op_at(f, VECTOR_MIN, f->m, f->m, AT(tanh_far));
  exp_fraction(f, f->m, f->s, f->t, f->q);
  scale_normal(f, f->m, f->s);
  op_at(f, VECTOR_ADD, f->m, f->m, AT(one));
  splat(f, f->t, AT(two));
  op(f, VECTOR_DIV, f->m, f->t, f->m);
  splat(f, f->t, AT(one));
  op(f, VECTOR_SUB, f->m, f->t, f->m);
  splat(f, f->t, AT(tanh_near));
  op_at(f, VECTOR_AND, f->q, f->x, AT(rest));
  leat_vector_compare(f->code, VECTOR_LESS, f->s, f->t, f->q);
  leat_vector_pick(f->code, f->d, f->s, f->m, f->d);
  op_at(f, VECTOR_AND, f->q, f->x, AT(sign));
  op(f, VECTOR_OR, f->d, f->d, f->q);  // that of what it is already, but for zeros
}

static void erf_code(const function_t *f) {
  op(f, VECTOR_MUL, f->m, f->x, f->x);
  POLY(f, f->d, f->m, erf_near_poly);
  op(f, VECTOR_MUL, f->d, f->x, f->d);
  op_at(f, VECTOR_AND, f->t, f->x, AT(rest));
  op_at(f, VECTOR_MIN, f->q, f->t, AT(erf_far));
  POLY(f, f->m, f->q, erf_log2_poly);
  op_at(f, VECTOR_ADD, f->s, f->m, AT(whole));
  op_at(f, VECTOR_SUB, f->q, f->s, AT(whole));
  op(f, VECTOR_SUB, f->m, f->m, f->q);
  POLY(f, f->q, f->m, erf_power_poly);
  scale_normal(f, f->q, f->s);
  splat(f, f->s, AT(one));
  op(f, VECTOR_SUB, f->q, f->s, f->q);
  leat_vector_compare(f->code, VECTOR_GREATER_EQUAL, f->s, f->t, f->s);
  op_at(f, VECTOR_AND, f->t, f->x, AT(sign));
  op(f, VECTOR_OR, f->q, f->q, f->t);
  leat_vector_pick(f->code, f->d, f->s, f->q, f->d);
}

typedef void (*function_code_t)(const function_t *f);
static function_code_t code_of(uint16_t op) {
  static const function_code_t table[PEF_SCALAR_COUNT] = {[PEF_SCALAR_EXP] = exp_code,
                                                          [PEF_SCALAR_TANH] = tanh_code,
                                                          [PEF_SCALAR_SIGMOID] = sigmoid_code,
                                                          [PEF_SCALAR_ERF] = erf_code};
  return op < PEF_SCALAR_COUNT ? table[op] : NULL;
}

bool leat_function_code_has(uint16_t op) { return code_of(op) != NULL; }
void leat_function_code_put(vector_code_t *code, uint16_t op, uint8_t d, uint8_t x,
                            const uint8_t free[FUNCTION_REGISTERS]) {
  const function_t f = {code, d, x, free[0], free[1], free[2], free[3]};
  code_of(op)(&f);
}
