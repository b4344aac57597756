// SPDX-License-Identifier: Apache-2.0
// See function_code.h. Where math_f32.h takes several operations, fewer may give the same bits: powers of two are put
// into coefficients, and what it computes of 2 x is computed of x, halved; signs go by masks.
#include "native/function_code.h"

#include <stddef.h>

#include "kern/numbers_f32.h"
#include "pef/pef_scalar.h"

typedef struct numbers_s {
  uint32_t sign;
  float one, half, whole, whole_above_127, whole_above_126;
  float exp_over_log2, exp_less_high, exp_less_low, exp_highest, exp_lowest, exp_poly[5];
  float tanh_near, tanh_far, tanh_poly[6], twice_over_log2, half_less_high, half_less_low, twice_exp_poly[5];
  float erf_far, erf_near_poly[7], erf_log2_poly[7], twice_power_poly[6];
} numbers_t;

// Of a polynomial that is doubled: its coefficients; of one in x that is given x / 2: those of powers of 2 x, too.
#define DOUBLED(a, b, c, d, e, f) \
  { 2 * (a), 2 * (b), 2 * (c), 2 * (d), 2 * (e), 2 * (f) }
#define DOUBLED_OF_HALF(a, b, c, d, e) \
  { 2 * (a), 4 * (b), 8 * (c), 16 * (d), 32 * (e) }
#define EXPANDED(macro, ...) macro(__VA_ARGS__)

static const numbers_t numbers = {
    .sign = 0x80000000,
    .one = 1,
    .half = 0.5f,
    .whole = F32_WHOLE,
    .whole_above_127 = F32_WHOLE + 127,
    .whole_above_126 = F32_WHOLE + 126,
    .exp_over_log2 = F32_EXP_OVER_LOG2,
    .exp_less_high = F32_EXP_LESS_HIGH,
    .exp_less_low = F32_EXP_LESS_LOW,
    .exp_highest = F32_EXP_HIGHEST,
    .exp_lowest = F32_EXP_LOWEST,
    .exp_poly = {F32_EXP_POLY},
    .tanh_near = F32_TANH_NEAR * F32_TANH_NEAR,
    .tanh_far = F32_TANH_FAR / 2,
    .tanh_poly = {F32_TANH_POLY},
    .twice_over_log2 = 2 * F32_EXP_OVER_LOG2,
    .half_less_high = F32_EXP_LESS_HIGH / 2,
    .half_less_low = F32_EXP_LESS_LOW / 2,
    .twice_exp_poly = EXPANDED(DOUBLED_OF_HALF, F32_EXP_POLY),
    .erf_far = F32_ERF_FAR,
    .erf_near_poly = {F32_ERF_NEAR_POLY},
    .erf_log2_poly = {F32_ERF_LOG2_POLY},
    .twice_power_poly = EXPANDED(DOUBLED, F32_ERF_POWER_POLY),
};

size_t leat_function_code_numbers(vector_code_t *code) {
  leat_vector_bytes(code, &numbers, sizeof numbers);
  return sizeof numbers;
}

// --- of all vectors -----------------------------------------------------------------------------------------------

// Registers of a vector, and the one of all: the number that an instruction reads.
typedef enum name_e { D, X, T, Q, M, S, NUMBER } name_t;
typedef struct function_s {
  vector_code_t *code;
  const function_registers_t *of;
  uint8_t turns, number;
} function_t;

static uint8_t at(const function_t *f, name_t name) {
  const function_registers_t *of = &f->of[f->code->turn];
  return name == NUMBER ? f->number : name == D ? of->d : name == X ? of->x : of->free[name - T];
}

#define OF(field) offsetof(numbers_t, field)
#define EACH_TURN for (f->code->turn = 0; f->code->turn < f->turns; f->code->turn++)

static void number(const function_t *f, size_t of) { leat_vector_splat_at(f->code, f->number, of); }
static void splat(const function_t *f, name_t r, size_t of) { EACH_TURN leat_vector_splat_at(f->code, at(f, r), of); }
static void op(const function_t *f, vector_op_t how, name_t d, name_t a, name_t b) {
  EACH_TURN leat_vector_op(f->code, how, at(f, d), at(f, a), at(f, b));
}
static void op_where(const function_t *f, vector_op_t how, name_t d, name_t a, name_t b) {
  EACH_TURN leat_vector_op_where(f->code, how, at(f, d), at(f, a), at(f, b));
}
static void fma_onto(const function_t *f, name_t d, name_t a, name_t b) {
  EACH_TURN leat_vector_fma_onto(f->code, at(f, d), at(f, a), at(f, b));
}
static void fma_of(const function_t *f, name_t d, name_t a, name_t b) {
  EACH_TURN leat_vector_fma_of(f->code, at(f, d), at(f, a), at(f, b));
}
static void fma_less(const function_t *f, name_t d, name_t a, name_t b) {
  EACH_TURN leat_vector_fma_less(f->code, at(f, d), at(f, a), at(f, b));
}
static void compare(const function_t *f, vector_compare_t how, name_t a, name_t b) {
  EACH_TURN leat_vector_compare(f->code, how, 0, at(f, a), at(f, b));
}
static void pick(const function_t *f, name_t d, name_t yes, name_t no) {
  EACH_TURN leat_vector_pick(f->code, at(f, d), 0, at(f, yes), at(f, no));
}
static void least_of_sizes(const function_t *f, name_t d, name_t a, name_t b) {
  EACH_TURN leat_vector_least_of_sizes(f->code, at(f, d), at(f, a), at(f, b));
}
static void move(const function_t *f, name_t d, name_t a) { EACH_TURN leat_vector_move(f->code, at(f, d), at(f, a)); }
static void rest(const function_t *f, name_t d) { EACH_TURN leat_vector_rest(f->code, at(f, d), at(f, d)); }
static void scale_kept(const function_t *f, name_t d, name_t by) {
  EACH_TURN leat_vector_scale_kept(f->code, at(f, d), at(f, d), at(f, by));
}
// What lies in the low bits becomes the exponent.
static void raise(const function_t *f, name_t r) { EACH_TURN leat_vector_shift(f->code, at(f, r), at(f, r), 23, true); }
// The sign of x, for a d that has none, or that of x already.
static void take_sign(const function_t *f) {
  number(f, OF(sign));
  EACH_TURN leat_vector_or_and(f->code, at(f, D), at(f, X), f->number);
}

// Polynomials: r begins with the last coefficient and takes one after the other. Two at once do not wait so long.
#define COUNT(field) (sizeof(((numbers_t *)0)->field) / sizeof(float))
#define TERM(field, i) (OF(field) + (i) * sizeof(float))
#define LAST(field) TERM(field, COUNT(field) - 1)
#define POLY(f, r, x, field) poly(f, r, x, OF(field), COUNT(field))
static void take_term(const function_t *f, name_t r, name_t x, size_t of) {
  number(f, of);
  fma_of(f, r, x, NUMBER);
}
static void poly(const function_t *f, name_t r, name_t x, size_t of, size_t count) {
  splat(f, r, of + (count - 1) * sizeof(float));
  for (size_t i = count - 1; i-- > 0;) take_term(f, r, x, of + i * sizeof(float));
}

// --- functions ----------------------------------------------------------------------------------------------------

// r = exp(r) / 2^n, s = n; t and q are overwritten.
static void exp_fraction(const function_t *f, name_t r, name_t s, name_t t, name_t q) {
  splat(f, s, OF(exp_over_log2));
  number(f, OF(whole));
  fma_of(f, s, r, NUMBER);
  op(f, VECTOR_SUB, s, s, NUMBER);
  number(f, OF(exp_less_high));
  fma_onto(f, r, s, NUMBER);
  number(f, OF(exp_less_low));
  fma_onto(f, r, s, NUMBER);
  POLY(f, q, r, exp_poly);
  op(f, VECTOR_MUL, t, r, r);
  fma_onto(f, r, t, q);
  number(f, OF(one));
  op(f, VECTOR_ADD, r, r, NUMBER);
}

// r times 2^s: also where that is infinite, or a denormal. Of an x that is below the lowest: 0.
static void scale(const function_t *f, name_t r, name_t s, name_t x) {
  number(f, OF(exp_lowest));
  compare(f, VECTOR_NOT_LESS, x, NUMBER);
  scale_kept(f, r, s);
}

// d = 1 / x, of normal numbers, NUMBER being 1, rounded as a division is: one off by less than a last place, as the
// first step leaves it, becomes so (Markstein), unless all bits of the fraction of x are set: then it is 2^-n, not the
// next. A division takes the time of twelve other instructions.
static void reciprocal(const function_t *f, name_t d, name_t x, name_t t) {
  EACH_TURN leat_vector_reciprocal(f->code, at(f, d), at(f, x));
  for (int step = 0; step < 2; step++) {
    move(f, t, d);
    fma_less(f, t, x, NUMBER);
    fma_onto(f, d, d, t);
  }
}

static void exp_code(const function_t *f) {
  number(f, OF(exp_highest));
  op(f, VECTOR_MIN, D, NUMBER, X);
  exp_fraction(f, D, M, T, Q);
  scale(f, D, M, X);
}

static void sigmoid_code(const function_t *f) {
  number(f, OF(sign));
  op(f, VECTOR_OR, M, X, NUMBER);
  op(f, VECTOR_OR, D, X, NUMBER);
  exp_fraction(f, D, S, T, Q);
  scale(f, D, S, M);
  op(f, VECTOR_XOR, Q, Q, Q);
  compare(f, VECTOR_GREATER_EQUAL, X, Q);
  number(f, OF(one));
  pick(f, Q, NUMBER, D);
  op(f, VECTOR_ADD, T, NUMBER, D);
  op(f, VECTOR_DIV, D, Q, T);
}

// Beyond `near`, whose square compares as it does: 1 - 1 / E, E = (exp(2 |x|) + 1) / 2, of r = 2 |x| - n log(2),
// halved. E is above 2 there, so that 1 less 2^-n is 1 less the next number, too. What is near is computed meanwhile.
static void tanh_code(const function_t *f) {
  op(f, VECTOR_MUL, M, X, X);
  number(f, OF(tanh_far));
  least_of_sizes(f, T, X, NUMBER);
  splat(f, D, LAST(tanh_poly));
  splat(f, S, OF(twice_over_log2));
  take_term(f, S, T, OF(whole_above_127));
  op(f, VECTOR_SUB, Q, S, NUMBER);
  take_term(f, D, M, TERM(tanh_poly, 4));
  number(f, OF(half_less_high));
  fma_onto(f, T, Q, NUMBER);
  take_term(f, D, M, TERM(tanh_poly, 3));
  number(f, OF(half_less_low));
  fma_onto(f, T, Q, NUMBER);
  take_term(f, D, M, TERM(tanh_poly, 2));
  splat(f, Q, LAST(twice_exp_poly));
  take_term(f, Q, T, TERM(twice_exp_poly, 3));
  take_term(f, D, M, TERM(tanh_poly, 1));
  take_term(f, Q, T, TERM(twice_exp_poly, 2));
  take_term(f, D, M, TERM(tanh_poly, 0));
  take_term(f, Q, T, TERM(twice_exp_poly, 1));
  number(f, OF(tanh_near));
  compare(f, VECTOR_LESS, NUMBER, M);
  op(f, VECTOR_MUL, M, X, M);
  take_term(f, Q, T, TERM(twice_exp_poly, 0));
  fma_of(f, D, M, X);
  op(f, VECTOR_MUL, M, T, T);
  fma_onto(f, T, M, Q);
  number(f, OF(half));
  op(f, VECTOR_ADD, T, T, NUMBER);
  raise(f, S);
  fma_of(f, T, S, NUMBER);
  number(f, OF(one));
  reciprocal(f, Q, T, M);
  op_where(f, VECTOR_SUB, D, NUMBER, Q);
  take_sign(f);
}

// From 1 on, as its square says: 1 - p 2^n, p doubled and n one less.
static void erf_code(const function_t *f) {
  op(f, VECTOR_MUL, M, X, X);
  number(f, OF(erf_far));
  least_of_sizes(f, T, X, NUMBER);
  splat(f, Q, LAST(erf_log2_poly));
  splat(f, D, LAST(erf_near_poly));
  for (size_t i = COUNT(erf_near_poly) - 1; i-- > 0;) {  // as many
    take_term(f, Q, T, TERM(erf_log2_poly, i));
    take_term(f, D, M, TERM(erf_near_poly, i));
  }
  number(f, OF(one));
  compare(f, VECTOR_GREATER_EQUAL, M, NUMBER);
  number(f, OF(whole_above_126));
  op(f, VECTOR_ADD, T, Q, NUMBER);
  rest(f, Q);
  op(f, VECTOR_MUL, D, X, D);
  POLY(f, M, Q, twice_power_poly);
  raise(f, T);
  number(f, OF(one));
  fma_less(f, M, T, NUMBER);
  pick(f, D, M, D);
  take_sign(f);
}

typedef struct function_row_s {
  void (*put)(const function_t *f);
  uint8_t registers;
} function_row_t;
static const function_row_t *row_of(uint16_t op) {
  static const function_row_t table[PEF_SCALAR_COUNT] = {[PEF_SCALAR_EXP] = {exp_code, 3},
                                                         [PEF_SCALAR_TANH] = {tanh_code, 4},
                                                         [PEF_SCALAR_SIGMOID] = {sigmoid_code, 4},
                                                         [PEF_SCALAR_ERF] = {erf_code, 3}};
  return op < PEF_SCALAR_COUNT && table[op].put != NULL ? &table[op] : NULL;
}

bool leat_function_code_has(uint16_t op) { return row_of(op) != NULL; }
uint8_t leat_function_code_registers(uint16_t op) { return row_of(op)->registers; }
void leat_function_code_put(vector_code_t *code, uint16_t op, const function_registers_t *of, uint8_t turns,
                            uint8_t number) {
  const function_t f = {code, of, turns, number};
  row_of(op)->put(&f);
  code->turn = 0;
}
