// SPDX-License-Identifier: Apache-2.0
// See map_code.h. Registers are given in the order of the steps and taken back after the last use; a range of steps
// that needs more than there are is made shorter. What a step computes, and which bits, kern/map_float.h says.
#include "native/map_code.h"

#include "native/vector_code.h"
#include "pef/pef_scalar.h"

enum { STEPS_MAX = 64, BYTES_MAX = 16 * 1024, POINTERS_MAX = 10, REGISTERS_MAX = 30 };
enum { NONE = 0xff };

// --- words --------------------------------------------------------------------------------------------------------

typedef enum word_e { WORD_ONE, WORD_MINUS_ONE, WORD_ZERO, WORD_SIGN, WORD_REST, WORD_NAN, WORD_COUNT } word_t;
enum { WORDS_BEFORE = 16 };  // those of leat_vector_part

static const uint32_t words[WORDS_BEFORE + WORD_COUNT] = {
    UINT32_MAX,
    UINT32_MAX,
    UINT32_MAX,
    UINT32_MAX,
    UINT32_MAX,
    UINT32_MAX,
    UINT32_MAX,
    UINT32_MAX,
    [WORDS_BEFORE + WORD_ONE] = 0x3f800000,
    [WORDS_BEFORE + WORD_MINUS_ONE] = 0xbf800000,
    [WORDS_BEFORE + WORD_SIGN] = 0x80000000,
    [WORDS_BEFORE + WORD_REST] = 0x7fffffff,
    [WORDS_BEFORE + WORD_NAN] = 0x7fc00000,
};
const uint32_t *leat_native_map_code_words(void) { return words; }

// --- a part under way ---------------------------------------------------------------------------------------------

typedef struct part_s {
  vector_code_t code;
  const map_step_t *steps;
  const map_value_t *values;
  uint32_t first, end;
  uint32_t failed;                 // step at which there were not enough registers; end: none
  uint32_t step;                   // under way
  bool tail;                       // of fewer elements than a vector has
  uint16_t pointer[POINTERS_MAX];  // value in general register pointer_register[i]
  uint32_t pointer_count;
  uint32_t free;                 // registers, a bit each
  uint16_t held[REGISTERS_MAX];  // value in a register
  uint8_t word[WORD_COUNT];      // its register; NONE
} part_t;

static const uint8_t pointer_register[POINTERS_MAX] = {GPR_8, 9, 10, 11, GPR_BX, GPR_BP, 12, 13, 14, GPR_15};
enum { POINTERS_FREE = 4 };  // of those, which the caller does not want back

// The registers above those that values are in.
static uint32_t register_count(const part_t *p) { return p->code.wide ? REGISTERS_MAX : 13; }
static uint8_t temporary(const part_t *p, uint32_t which) { return (uint8_t)(register_count(p) + which); }

static void fail(part_t *p) {
  if (p->step < p->failed) p->failed = p->step;
}

static uint8_t take(part_t *p, uint16_t value) {
  if (p->free == 0) {
    fail(p);
    return 0;
  }
  const uint8_t r = (uint8_t)__builtin_ctz(p->free);
  p->free &= p->free - 1;
  p->held[r] = value;
  return r;
}

static uint8_t find(const part_t *p, uint16_t value) {
  for (uint32_t r = 0; r < register_count(p); r++) {
    if ((p->free >> r & 1) == 0 && p->held[r] == value) return (uint8_t)r;
  }
  return NONE;
}

static bool is_splat(const part_t *p, uint16_t value) { return p->values[value].scope != MAP_STRIP; }
// Of a value that the part makes: later parts read it, or stores; those to operands come after all that is read.
static bool is_written(const part_t *p, uint16_t value) { return p->values[value].last_use >= p->end; }
static bool is_written_last(const part_t *p, uint16_t value) {
  const map_value_t *v = &p->values[value];
  return v->goes_out && v->made >= p->first && v->made < p->end;
}

static uint8_t pointer_of(part_t *p, uint16_t value) {
  for (uint32_t i = 0; i < p->pointer_count; i++) {
    if (p->pointer[i] == value) return pointer_register[i];
  }
  if (p->pointer_count == POINTERS_MAX) {
    fail(p);
    return pointer_register[0];
  }
  p->pointer[p->pointer_count] = value;
  return pointer_register[p->pointer_count++];
}

// The register that a value is in, into which it is loaded if it is in none.
static uint8_t operand(part_t *p, uint16_t value) {
  const uint8_t found = find(p, value);
  if (found != NONE) return found;
  const uint8_t r = take(p, value);
  leat_vector_load(&p->code, r, pointer_of(p, value), GPR_AX, p->tail);
  return r;
}

static uint32_t reads_of(const map_step_t *step, uint16_t out[3]) {
  const uint16_t reads[3] = {step->a, step->b, step->c};
  memcpy(out, reads, sizeof reads);
  return leat_pef_scalar_arity(step->op);
}

// What no later step of the part reads, and what is not to be written at its end, gives its register back.
static void release(part_t *p, uint16_t value) {
  const uint8_t r = find(p, value);
  if (r == NONE || is_splat(p, value) || is_written_last(p, value)) return;
  for (uint32_t s = p->step + 1; s < p->end; s++) {
    if (p->steps[s].a == value || p->steps[s].b == value || p->steps[s].c == value) return;
  }
  p->free |= 1u << r;
}

// --- steps --------------------------------------------------------------------------------------------------------

// Registers: of the result, of what is read, two that are free for the step's own.
typedef struct step_registers_s {
  uint8_t d, a, b, c, t, mask;
} step_registers_t;

static void predicate(part_t *p, const step_registers_t *r, vector_compare_t how, uint8_t b) {
  leat_vector_compare(&p->code, how, r->mask, r->a, b);
  leat_vector_keep(&p->code, r->d, r->mask, p->word[WORD_ONE]);
}

// Of two where one is a NaN, the NaN of the class.
static void extreme(part_t *p, const step_registers_t *r, vector_op_t op) {
  leat_vector_compare(&p->code, VECTOR_UNORDERED, r->mask, r->a, r->b);
  leat_vector_op(&p->code, op, r->t, r->b, r->a);
  leat_vector_pick(&p->code, r->d, r->mask, p->word[WORD_NAN], r->t);
}

// A NaN stays as it is.
static void rounded(part_t *p, const step_registers_t *r, vector_round_t how, uint8_t from) {
  leat_vector_compare(&p->code, VECTOR_UNORDERED, r->mask, from, from);
  if (from == r->t) {
    leat_vector_round(&p->code, how, r->d, from);
    leat_vector_pick(&p->code, r->d, r->mask, from, r->d);
  } else {
    leat_vector_round(&p->code, how, r->t, from);
    leat_vector_pick(&p->code, r->d, r->mask, from, r->t);
  }
}

static void fma_step(part_t *p, const step_registers_t *r) {
  if (r->d == r->c) {
    leat_vector_fma_onto(&p->code, r->d, r->a, r->b);
  } else if (r->d == r->a) {
    leat_vector_fma_of(&p->code, r->d, r->b, r->c);
  } else if (r->d == r->b) {
    leat_vector_fma_of(&p->code, r->d, r->a, r->c);
  } else {
    leat_vector_move(&p->code, r->d, r->c);
    leat_vector_fma_onto(&p->code, r->d, r->a, r->b);
  }
}

static void sign_step(part_t *p, const step_registers_t *r) {
  leat_vector_compare(&p->code, VECTOR_LESS, r->mask, r->a, p->word[WORD_ZERO]);
  leat_vector_keep(&p->code, r->t, r->mask, p->word[WORD_MINUS_ONE]);
  leat_vector_compare(&p->code, VECTOR_GREATER, r->mask, r->a, p->word[WORD_ZERO]);
  leat_vector_pick(&p->code, r->d, r->mask, p->word[WORD_ONE], r->t);
}

// CODED(function, words that it reads as bits 1 << word, what it emits)
#define W(word) (1u << WORD_##word)
#define OP(op, x, y) leat_vector_op(code, VECTOR_##op, r->d, x, y)
#define CODED_ALL                                                                                           \
  CODED(COPY, 0, leat_vector_move(code, r->d, r->a))                                                        \
  CODED(STOP, 0, leat_vector_move(code, r->d, r->a))                                                        \
  CODED(NEG, W(SIGN), OP(XOR, r->a, p->word[WORD_SIGN]))                                                    \
  CODED(ABS, W(REST), OP(AND, r->a, p->word[WORD_REST]))                                                    \
  CODED(SIGN, W(ZERO) | W(ONE) | W(MINUS_ONE), sign_step(p, r))                                             \
  CODED(FLOOR, 0, rounded(p, r, VECTOR_FLOOR, r->a))                                                        \
  CODED(CEIL, 0, rounded(p, r, VECTOR_CEIL, r->a))                                                          \
  CODED(TRUNC, 0, rounded(p, r, VECTOR_TRUNC, r->a))                                                        \
  CODED(ROUND, 0, rounded(p, r, VECTOR_NEAREST, r->a))                                                      \
  CODED(SQRT, 0, leat_vector_sqrt(code, r->d, r->a))                                                        \
  CODED(RSQRT, W(ONE), leat_vector_sqrt(code, r->t, r->a); OP(DIV, p->word[WORD_ONE], r->t))                \
  CODED(RECIP, W(ONE), OP(DIV, p->word[WORD_ONE], r->a))                                                    \
  CODED(ISNAN, W(ONE), predicate(p, r, VECTOR_UNORDERED, r->a))                                             \
  CODED(ADD, 0, OP(ADD, r->a, r->b))                                                                        \
  CODED(SUB, 0, OP(SUB, r->a, r->b))                                                                        \
  CODED(MUL, 0, OP(MUL, r->a, r->b))                                                                        \
  CODED(DIV, 0, OP(DIV, r->a, r->b))                                                                        \
  CODED(FLOORDIV, 0, leat_vector_op(code, VECTOR_DIV, r->t, r->a, r->b); rounded(p, r, VECTOR_FLOOR, r->t)) \
  CODED(MAX, W(NAN), extreme(p, r, VECTOR_MAX))                                                             \
  CODED(MIN, W(NAN), extreme(p, r, VECTOR_MIN))                                                             \
  CODED(EQ, W(ONE), predicate(p, r, VECTOR_EQUAL, r->b))                                                    \
  CODED(NE, W(ONE), predicate(p, r, VECTOR_UNEQUAL, r->b))                                                  \
  CODED(LT, W(ONE), predicate(p, r, VECTOR_LESS, r->b))                                                     \
  CODED(LE, W(ONE), predicate(p, r, VECTOR_LESS_EQUAL, r->b))                                               \
  CODED(GT, W(ONE), predicate(p, r, VECTOR_GREATER, r->b))                                                  \
  CODED(GE, W(ONE), predicate(p, r, VECTOR_GREATER_EQUAL, r->b))                                            \
  CODED(SELECT, W(ZERO), leat_vector_compare(code, VECTOR_UNEQUAL, r->mask, r->a, p->word[WORD_ZERO]);      \
        leat_vector_pick(code, r->d, r->mask, r->b, r->c))                                                  \
  CODED(FMA, 0, fma_step(p, r))

static void emit(part_t *p, uint16_t op, const step_registers_t *r) {
  vector_code_t *code = &p->code;
  switch (op) {
#define CODED(function, reads, ...) \
  case PEF_SCALAR_##function:       \
    __VA_ARGS__;                    \
    break;
    CODED_ALL
#undef CODED
    default:
      break;
  }
}

enum { CODED_BIT = 1 << WORD_COUNT };
// The words that a function reads, and CODED_BIT if it can be coded at all.
static uint32_t words_of(uint16_t op) {
#define CODED(function, reads, ...) [PEF_SCALAR_##function] = CODED_BIT | (reads),
  static const uint16_t table[PEF_SCALAR_COUNT] = {CODED_ALL};
#undef CODED
  return op < PEF_SCALAR_COUNT ? table[op] : 0;
}

bool leat_native_map_code_has(uint16_t op) { return words_of(op) != 0; }

// --- a body -------------------------------------------------------------------------------------------------------

// What is the same for all elements has its register before the loop.
static void load_splats(part_t *p) {
  for (p->step = p->first; p->step < p->end; p->step++) {
    const map_step_t *step = &p->steps[p->step];
    for (uint32_t w = 0; w < WORD_COUNT; w++) {
      if ((words_of(step->op) >> w & 1) == 0 || p->word[w] != NONE) continue;
      p->word[w] = take(p, UINT16_MAX);
      leat_vector_splat(&p->code, p->word[w], GPR_DX, (int32_t)((WORDS_BEFORE + w) * sizeof(uint32_t)));
    }
    uint16_t reads[3];
    for (uint32_t k = reads_of(step, reads); k-- > 0;) {
      if (!is_splat(p, reads[k]) || find(p, reads[k]) != NONE) continue;
      const uint8_t r = take(p, reads[k]);
      leat_code_load(&p->code, GPR_AX, GPR_DI, reads[k] * (int32_t)sizeof(void *));
      leat_vector_splat(&p->code, r, GPR_AX, 0);
    }
  }
}

static void put_step(part_t *p) {
  const map_step_t *step = &p->steps[p->step];
  uint16_t reads[3];
  const uint32_t count = reads_of(step, reads);
  uint8_t at[3] = {0};
  for (uint32_t k = 0; k < count; k++) at[k] = operand(p, reads[k]);
  for (uint32_t k = 0; k < count; k++) release(p, reads[k]);
  const step_registers_t r = {take(p, step->dst), at[0], at[1], at[2], temporary(p, 0), temporary(p, 1)};
  emit(p, step->op, &r);
  if (is_written(p, step->dst) && !is_written_last(p, step->dst))
    leat_vector_store(&p->code, r.d, pointer_of(p, step->dst), GPR_AX, p->tail);
  release(p, step->dst);
}

static void put_body(part_t *p, bool tail) {
  const uint32_t free = p->free;
  p->tail = tail;
  for (p->step = p->first; p->step < p->end && p->step < p->failed; p->step++) put_step(p);
  p->step = p->end - 1;
  for (uint32_t s = p->first; s < p->end && p->failed == p->end; s++) {
    const uint16_t value = p->steps[s].dst;
    if (is_written_last(p, value)) leat_vector_store(&p->code, find(p, value), pointer_of(p, value), GPR_AX, tail);
  }
  p->free = free;
}

// --- the function -------------------------------------------------------------------------------------------------

static void begin_part(part_t *p, uint32_t pointers) {
  p->code.count = 0;
  p->free = (1u << register_count(p)) - 1;
  memset(p->word, NONE, sizeof p->word);
  p->failed = p->end;
  for (uint32_t i = POINTERS_FREE; i < pointers; i++) leat_code_push(&p->code, pointer_register[i]);
  for (uint32_t i = 0; i < pointers; i++)
    leat_code_load(&p->code, pointer_register[i], GPR_DI, p->pointer[i] * (int32_t)sizeof(void *));
}

// (values in DI, elements in SI, words in DX): AX is the element under way.
static void put_function(part_t *p, uint32_t pointers) {
  const int8_t lanes = p->code.wide ? 16 : 8;
  begin_part(p, pointers);
  load_splats(p);
  if (p->failed < p->end) return;
  leat_code_zero(&p->code, GPR_AX);
  leat_code_move(&p->code, GPR_CX, GPR_SI);
  leat_code_and(&p->code, GPR_CX, (int8_t)-lanes);
  const size_t to_tail = leat_code_jump(&p->code, CODE_ZERO);
  const size_t loop = p->code.count;
  put_body(p, false);
  leat_code_add(&p->code, GPR_AX, lanes);
  leat_code_compare(&p->code, GPR_AX, GPR_CX);
  leat_code_jump_back(&p->code, CODE_BELOW, loop);
  leat_code_land(&p->code, to_tail);
  leat_code_subtract(&p->code, GPR_SI, GPR_AX);
  const size_t to_end = leat_code_jump(&p->code, CODE_ZERO);
  leat_vector_part(&p->code, GPR_SI, GPR_DX);
  put_body(p, true);
  leat_code_land(&p->code, to_end);
  for (uint32_t i = pointers; i-- > POINTERS_FREE;) leat_code_pop(&p->code, pointer_register[i]);
  leat_vector_end(&p->code);
  leat_code_return(&p->code);
}

map_code_t leat_native_map_code(leat_native_code_t *code, const map_step_t *steps, uint32_t first, uint32_t end,
                                const map_value_t *values, uint32_t *out_end) {
  uint8_t bytes[BYTES_MAX];
  part_t p = {.code = {.bytes = bytes, .room = sizeof bytes, .wide = leat_native_code_isa(code) == LEAT_ISA_AVX512},
              .steps = steps,
              .values = values,
              .first = first,
              .end = end - first > STEPS_MAX ? first + STEPS_MAX : end};
  for (;;) {  // a step alone never fails
    p.pointer_count = 0;
    put_function(&p, 0);  // finds the pointers
    if (p.failed == p.end) break;
    p.end = p.failed > first ? p.failed : first + (p.end - first) / 2;
  }
  put_function(&p, p.pointer_count);
  const void *kept = p.code.count <= p.code.room ? leat_native_code_keep(code, bytes, p.code.count) : NULL;
  *out_end = kept != NULL ? p.end : end;
  union {
    const void *from;
    map_code_t to;
  } cast = {.from = kept};
  return cast.to;
}
