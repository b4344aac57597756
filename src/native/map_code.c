// SPDX-License-Identifier: Apache-2.0
// See map_code.h. Registers are given in the order of the steps and taken back after the last use; a range of steps
// that needs more than there are is made shorter. What a step computes, and which bits, kern/map_float.h says.
#include "native/map_code.h"

#include "native/function_code.h"
#include "native/vector_code.h"
#include "pef/pef_scalar.h"

enum { STEPS_MAX = 64, BYTES_MAX = 16 * 1024, POINTERS_MAX = 10, REGISTERS_MAX = 30 };
enum { NONE = 0xff };

// --- words --------------------------------------------------------------------------------------------------------

typedef enum word_e {
  WORD_ONE,
  WORD_MINUS_ONE,
  WORD_ZERO,
  WORD_SIGN,
  WORD_REST,
  WORD_NAN,
  WORD_BELOW_HALF,
  WORD_QUIET,
  WORD_COUNT
} word_t;
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
    [WORDS_BEFORE + WORD_BELOW_HALF] = 0x7fff,  // of a last place of bf16
    [WORDS_BEFORE + WORD_QUIET] = 0x400000,
};
const uint32_t *leat_native_map_code_words(void) { return words; }

// --- a part under way ---------------------------------------------------------------------------------------------

typedef struct part_s {
  vector_code_t code;
  size_t entry;  // the bytes before it are numbers
  const map_plan_t *plan;
  const map_step_t *steps;
  const map_value_t *values;
  uint32_t first, end;
  uint32_t strips;                 // the first step of scope STRIP
  bool nest;                       // of many rows
  uint32_t failed;                 // step at which there were not enough registers; end: none
  uint32_t step;                   // under way
  bool tail;                       // of fewer elements than a vector has
  uint16_t pointer[POINTERS_MAX];  // value in general register pointer_register[i]
  uint32_t pointer_count;
  uint32_t free;                     // registers, a bit each
  uint16_t held[REGISTERS_MAX];      // value in a register
  uint8_t held_turn[REGISTERS_MAX];  // of which vector of a body
  uint16_t row_leaf[REGISTERS_MAX];  // those of which a row has an element
  uint32_t row_leaf_count;
  uint8_t word[WORD_COUNT];  // its register; NONE
  bool sums_stay;            // sums in lanes are in registers through a row, but for its last elements
  bool in_registers;         // and are so now
  uint32_t lanes_at;         // of the first vector of a body, which is repeated for all lanes: registers of sums
  uint8_t together;          // vectors that a body takes where there are so many
  uint8_t turns;             // that the body under way takes
  uint8_t alike;             // vectors and steps of one function that go through it together
  uint64_t done;             // steps of the body that went with one before, a bit each
  uint8_t sum[MAP_SUMS_MAX][MAP_SUM_LANES / 8];  // their registers
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
  p->held_turn[r] = p->code.turn;
  return r;
}

// Of the vector whose turn it is, or of all.
static uint8_t find(const part_t *p, uint16_t value) {
  for (uint32_t r = 0; r < register_count(p); r++) {
    if ((p->free >> r & 1) != 0 || p->held[r] != value) continue;
    if (p->held_turn[r] == p->code.turn || p->values[value].scope != MAP_STRIP) return (uint8_t)r;
  }
  return NONE;
}

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
  if (p->values[value].is_narrow)
    leat_vector_load_bf16(&p->code, r, pointer_of(p, value), GPR_AX, p->tail);
  else
    leat_vector_load(&p->code, r, pointer_of(p, value), GPR_AX, p->tail);
  return r;
}

static uint32_t reads_of(const map_step_t *step, uint16_t out[3]) {
  const uint16_t reads[3] = {step->a, step->b, step->c};
  memcpy(out, reads, sizeof reads);
  return step->op == MAP_ROUND_BF16 ? 1 : leat_pef_scalar_arity(step->op);
}

// Values that are the same for a row are made, and die, before its elements are gone through, or live on.
static bool may_die(const part_t *p, uint16_t value) {
  const uint8_t scope = p->values[value].scope;
  return scope == MAP_STRIP || (scope == MAP_ROW && p->nest && p->step < p->strips);
}

// What no later step of the part reads, and what is not to be written at its end, gives its register back.
static void release(part_t *p, uint16_t value) {
  const uint8_t r = find(p, value);
  if (r == NONE || !may_die(p, value) || is_written_last(p, value)) return;
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

// To nearest, ties to even: less than half, and the last bit that stays, is added, then what does not stay goes.
static void round_bf16_step(part_t *p, const step_registers_t *r) {
  vector_code_t *code = &p->code;
  leat_vector_shift(code, r->t, r->a, 15, true);
  leat_vector_shift(code, r->t, r->t, 31, false);
  leat_vector_add_words(code, r->t, r->t, r->a);
  leat_vector_add_words(code, r->t, r->t, p->word[WORD_BELOW_HALF]);
  leat_vector_compare(code, VECTOR_UNORDERED, r->mask, r->a, r->a);
  leat_vector_op(code, VECTOR_OR, r->d, r->a, p->word[WORD_QUIET]);
  leat_vector_pick(code, r->d, r->mask, r->d, r->t);
  leat_vector_shift(code, r->d, r->d, 16, false);
  leat_vector_shift(code, r->d, r->d, 16, true);
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
    case MAP_ROUND_BF16:
      round_bf16_step(p, r);
      break;
  }
}

enum { CODED_BIT = 1 << WORD_COUNT };
// The words that a function reads, and CODED_BIT if it can be coded at all.
static uint32_t words_of(uint16_t op) {
#define CODED(function, reads, ...) [PEF_SCALAR_##function] = CODED_BIT | (reads),
  static const uint16_t table[PEF_SCALAR_COUNT] = {CODED_ALL};
#undef CODED
  if (op == MAP_ROUND_BF16) return CODED_BIT | W(BELOW_HALF) | W(QUIET);
  if (leat_function_code_has(op)) return CODED_BIT;
  return op < PEF_SCALAR_COUNT ? table[op] : 0;
}

bool leat_native_map_code_is_wide(const leat_native_code_t *code) {
  return leat_native_code_isa(code) == LEAT_ISA_AVX512;
}
bool leat_native_map_code_has(const leat_native_code_t *code, uint16_t op) {
  return leat_function_code_has(op) ? leat_native_map_code_is_wide(code) : words_of(op) != 0;
}

// --- sums ---------------------------------------------------------------------------------------------------------

static uint32_t lanes_of(const part_t *p) { return p->code.wide ? 16 : 8; }
static bool has_lanes(const part_t *p) { return p->nest && p->plan->sums.count != 0 && p->plan->sums.lanes; }
static bool is_lanes(const part_t *p, uint32_t sum) { return p->plan->sums.of[sum].lanes; }
static uint8_t pointer_of_sum(part_t *p, uint32_t sum) { return pointer_of(p, p->plan->sums.of[sum].at); }

typedef void (*move_t)(vector_code_t *code, uint8_t r, uint8_t base, uint8_t index, bool part);
static void move_lanes(part_t *p, move_t move) {
  for (uint32_t i = 0; i < p->plan->sums.count; i++) {
    if (!is_lanes(p, i)) continue;
    leat_code_zero(&p->code, GPR_AX);
    for (uint32_t turn = 0; turn < MAP_SUM_LANES / lanes_of(p); turn++) {
      move(&p->code, p->sum[i][turn], pointer_of_sum(p, i), GPR_AX, false);
      leat_code_add(&p->code, GPR_AX, (int8_t)lanes_of(p));
    }
  }
}

// From registers to memory, behind the trips of a row, which end where CX says. Accumulators then are where they lie
// plus where the element is in the row: pointers go back by what has been gone through.
static void put_lanes_back(part_t *p) {
  move_lanes(p, leat_vector_store);
  leat_code_move(&p->code, GPR_AX, GPR_CX);
  leat_code_shift(&p->code, GPR_CX, 2);
  for (uint32_t i = 0; i < p->plan->sums.count; i++) {
    if (is_lanes(p, i)) leat_code_subtract(&p->code, pointer_of_sum(p, i), GPR_CX);
  }
}
static void step_back_a_trip(part_t *p) {
  for (uint32_t i = 0; i < p->plan->sums.count; i++) {
    for (int bytes = 0; is_lanes(p, i) && bytes < 4 * MAP_SUM_LANES; bytes += 128)
      leat_code_add(&p->code, pointer_of_sum(p, i), -128);
  }
}

static void take_lanes(part_t *p) {
  for (uint32_t i = 0; i < p->plan->sums.count; i++) {
    for (uint32_t turn = 0; is_lanes(p, i) && turn < MAP_SUM_LANES / lanes_of(p); turn++)
      p->sum[i][turn] = take(p, UINT16_MAX);
  }
}

// Adds register r to a sum: to its lanes, or to what is in memory.
static void put_sum(part_t *p, uint32_t sum, uint8_t r) {
  if (p->in_registers && is_lanes(p, sum)) {
    const uint8_t to = p->sum[sum][p->lanes_at + p->code.turn];
    leat_vector_op(&p->code, VECTOR_ADD, to, to, r);
    return;
  }
  const uint8_t t = temporary(p, 0), pointer = pointer_of_sum(p, sum);
  leat_vector_load(&p->code, t, pointer, GPR_AX, p->tail);
  leat_vector_op(&p->code, VECTOR_ADD, t, t, r);
  leat_vector_store(&p->code, t, pointer, GPR_AX, p->tail);
}
static void put_sums_of_step(part_t *p, uint16_t value, uint8_t r) {
  for (uint32_t i = 0; p->nest && i < p->plan->sums.count; i++) {
    if (p->plan->sums.of[i].value == value) put_sum(p, i, r);
  }
}
static void put_sums_of_leaves(part_t *p) {
  for (uint32_t i = 0; p->nest && i < p->plan->sums.count && p->failed == p->end; i++) {
    const uint16_t value = p->plan->sums.of[i].value;
    if (p->values[value].made == MAP_NO_STEP) put_sum(p, i, operand(p, value));
  }
}

// --- a body -------------------------------------------------------------------------------------------------------

// Of the table.
static int32_t entry_of(uint32_t value) { return (int32_t)(value * sizeof(void *)); }

// What is the same for all elements, words and values of this scope, has its register before they are gone through.
static void load_splats(part_t *p, map_scope_t scope) {
  for (p->step = p->first; p->step < p->end; p->step++) {
    const map_step_t *step = &p->steps[p->step];
    for (uint32_t w = 0; w < WORD_COUNT; w++) {
      const uint32_t wanted = words_of(p->values[step->dst].is_narrow ? MAP_ROUND_BF16 : step->op) | words_of(step->op);
      if ((wanted >> w & 1) == 0 || p->word[w] != NONE) continue;
      p->word[w] = take(p, UINT16_MAX);
      leat_vector_splat(&p->code, p->word[w], GPR_DX, (int32_t)((WORDS_BEFORE + w) * sizeof(uint32_t)));
    }
    uint16_t reads[3];
    for (uint32_t k = reads_of(step, reads); k-- > 0;) {
      const map_value_t *v = &p->values[reads[k]];
      const bool made = v->made != MAP_NO_STEP && v->made >= p->first && v->made < p->end;
      if (v->scope != scope || made || find(p, reads[k]) != NONE) continue;
      const uint8_t r = take(p, reads[k]);
      leat_code_load(&p->code, GPR_AX, GPR_DI, entry_of(reads[k]));
      leat_vector_splat(&p->code, r, GPR_AX, 0);
      if (scope == MAP_ROW && p->nest && p->row_leaf_count < REGISTERS_MAX) p->row_leaf[p->row_leaf_count++] = reads[k];
    }
  }
}

// Of one vector: what its result overwrites may be in the register of what is read last.
static void put_step_of(part_t *p, const map_step_t *step) {
  uint16_t reads[3];
  const uint32_t count = reads_of(step, reads);
  uint8_t at[3] = {0};
  for (uint32_t k = 0; k < count; k++) at[k] = operand(p, reads[k]);
  for (uint32_t k = 0; k < count; k++) release(p, reads[k]);
  const step_registers_t r = {take(p, step->dst), at[0], at[1], at[2], temporary(p, 0), temporary(p, 1)};
  emit(p, step->op, &r);
}

#define EACH_TURN(p) for ((p)->code.turn = 0; (p)->code.turn < (p)->turns; (p)->code.turn++)
// The step under way, a function, and those behind it that are the same one of what is there already: so many as go
// together. They are done then.
static uint32_t take_alike(part_t *p, const map_step_t *out_steps[VECTOR_TURNS]) {
  const uint32_t end = p->step < p->strips ? p->strips : p->end;
  uint32_t count = 0;
  for (uint32_t s = p->step; s < end && (count + 1) * p->turns <= p->alike; s++) {
    const map_step_t *step = &p->steps[s];
    const uint32_t made = p->values[step->a].made;
    if (step->op != p->steps[p->step].op || (made != MAP_NO_STEP && made >= p->step)) continue;
    p->done |= UINT64_C(1) << (s - p->first);
    out_steps[count++] = step;
  }
  return count;
}

// It reads until its end what a result may not overwrite.
static void put_functions(part_t *p) {
  const map_step_t *steps[VECTOR_TURNS];
  function_registers_t of[VECTOR_TURNS];
  const uint16_t op = p->steps[p->step].op;
  const uint32_t count = take_alike(p, steps), asked = leat_function_code_registers(op);
  const uint32_t registers = asked < FUNCTION_REGISTERS ? asked : FUNCTION_REGISTERS;  // a compiler cannot know
  uint8_t turns = 0;
  for (uint32_t s = 0; s < count; s++) {
    EACH_TURN(p) {
      function_registers_t *r = &of[turns++];
      r->x = operand(p, steps[s]->a);
      r->d = take(p, steps[s]->dst);
      for (uint32_t i = 0; i < registers; i++) r->free[i] = take(p, UINT16_MAX);
    }
  }
  if (p->failed == p->end) leat_function_code_put(&p->code, op, of, turns, temporary(p, 0));
  for (uint32_t t = 0; t < turns; t++) {
    for (uint32_t i = 0; i < registers; i++) p->free |= 1u << of[t].free[i];
  }
  if (p->code.count > p->code.room) fail(p);
}

static void put_step(part_t *p) {
  const map_step_t *step = &p->steps[p->step];
  const bool function = leat_function_code_has(step->op);
  if (function && (p->done >> (p->step - p->first) & 1) == 0) put_functions(p);
  EACH_TURN(p) {
    if (!function) put_step_of(p, step);
    if (function) release(p, step->a);
    const uint8_t d = find(p, step->dst);
    if (d == NONE) continue;  // there were not enough registers
    put_sums_of_step(p, step->dst, d);
    if (is_written(p, step->dst) && !is_written_last(p, step->dst))
      leat_vector_store(&p->code, d, pointer_of(p, step->dst), GPR_AX, p->tail);
    release(p, step->dst);
  }
  p->code.turn = 0;
}

// What goes out of the body, from its register. What was rounded has nothing in its low half.
static void put_out(part_t *p, const map_step_t *step) {
  const uint8_t from = find(p, step->dst), pointer = pointer_of(p, step->dst), t = temporary(p, 0);
  const step_registers_t r = {.d = temporary(p, 1), .a = from, .t = t};
  if (!p->values[step->dst].is_narrow) {
    leat_vector_store(&p->code, from, pointer, GPR_AX, p->tail);
  } else if (step->op == MAP_ROUND_BF16) {
    leat_vector_store_bf16(&p->code, from, t, pointer, GPR_AX, p->tail);
  } else {
    round_bf16_step(p, &r);
    leat_vector_store_bf16(&p->code, r.d, t, pointer, GPR_AX, p->tail);
  }
}

static void put_ends(part_t *p) {
  for (uint32_t s = p->first; s < p->end && p->failed == p->end; s++) {
    if (is_written_last(p, p->steps[s].dst)) put_out(p, &p->steps[s]);
  }
  put_sums_of_leaves(p);
}

static void put_body(part_t *p, uint8_t turns, bool tail) {
  const uint32_t free = p->free;
  p->turns = turns;
  p->tail = tail;
  p->done = 0;
  for (p->step = p->nest ? p->strips : p->first; p->step < p->end && p->step < p->failed; p->step++) put_step(p);
  p->step = p->end - 1;
  EACH_TURN(p) put_ends(p);
  p->code.turn = 0;
  p->free = free;
}

// --- the function -------------------------------------------------------------------------------------------------

static bool has_functions(const part_t *p) {
  bool has = false;
  for (uint32_t s = p->first; s < p->end; s++) has |= leat_function_code_has(p->steps[s].op);
  return has;
}

static void begin_part(part_t *p, uint32_t pointers) {
  p->code.count = 0;
  p->entry = has_functions(p) ? leat_function_code_numbers(&p->code) : 0;
  p->free = (1u << register_count(p)) - 1;
  memset(p->word, NONE, sizeof p->word);
  p->failed = p->end;
  p->step = p->first;
  p->row_leaf_count = 0;
  for (uint32_t i = POINTERS_FREE; i < pointers; i++) leat_code_push(&p->code, pointer_register[i]);
  if (has_lanes(p) && p->sums_stay) take_lanes(p);
}

// Bodies as long as AX is below the element in `limit`: `vectors` a trip, `together` of them at a time.
static void put_loop(part_t *p, uint8_t limit, uint32_t vectors, uint8_t together) {
  leat_code_compare(&p->code, GPR_AX, limit);
  const size_t past = leat_code_jump(&p->code, CODE_NOT_BELOW);
  const size_t loop = p->code.count;
  for (p->lanes_at = 0; p->lanes_at < vectors; p->lanes_at += together) {
    put_body(p, together, false);
    leat_code_add(&p->code, GPR_AX, (int8_t)(together * lanes_of(p)));
  }
  if (has_lanes(p) && vectors > 1 && !p->in_registers) step_back_a_trip(p);
  leat_code_compare(&p->code, GPR_AX, limit);
  leat_code_jump_back(&p->code, CODE_BELOW, loop);
  leat_code_land(&p->code, past);
}

// The elements of a row, of which SI has the count and DX that of whole vectors. Trips of several vectors come first:
// of all lanes where there are sums in lanes.
static void put_row(part_t *p) {
  const uint32_t vectors = has_lanes(p) ? MAP_SUM_LANES / lanes_of(p) : p->together;
  p->in_registers = has_lanes(p) && p->sums_stay;
  if (p->in_registers) move_lanes(p, leat_vector_load);
  leat_code_zero(&p->code, GPR_AX);
  if (vectors > 1) {
    leat_code_move(&p->code, GPR_CX, GPR_SI);
    leat_code_and(&p->code, GPR_CX, (int8_t) - (int8_t)(vectors * lanes_of(p)));
    put_loop(p, GPR_CX, vectors, p->together);
  }
  if (p->in_registers) put_lanes_back(p);
  p->in_registers = false;
  put_loop(p, GPR_DX, 1, 1);
  leat_code_compare(&p->code, GPR_AX, GPR_SI);
  const size_t to_end = leat_code_jump(&p->code, CODE_ZERO);
  put_body(p, 1, true);
  leat_code_land(&p->code, to_end);
}

// What is the same for a row, before its elements.
static void begin_row(part_t *p) {
  load_splats(p, MAP_ROW);
  p->tail = false;
  p->turns = 1;
  p->done = 0;
  for (p->step = p->first; p->step < p->strips && p->step < p->failed; p->step++) put_step(p);
}

static void advance(part_t *p, uint16_t value) {
  leat_code_load(&p->code, GPR_AX, GPR_DI, entry_of(p->plan->value_count + value));
  leat_code_add_to(&p->code, GPR_DI, entry_of(value), GPR_AX);
}
static void end_row(part_t *p) {
  for (uint32_t i = 0; i < p->pointer_count; i++) advance(p, p->pointer[i]);
  for (uint32_t i = 0; i < p->row_leaf_count; i++) advance(p, p->row_leaf[i]);
}

// (table in DI, elements in SI, words in DX, rows in CX): AX is the element under way.
static void put_function(part_t *p, uint32_t pointers) {
  const int32_t rows = entry_of(2 * p->plan->value_count);
  begin_part(p, pointers);
  if (p->nest) leat_code_store(&p->code, GPR_CX, GPR_DI, rows);
  load_splats(p, MAP_TILE);
  if (!p->nest) load_splats(p, MAP_ROW);
  leat_code_move(&p->code, GPR_AX, GPR_SI);
  leat_code_and(&p->code, GPR_AX, (int8_t)(lanes_of(p) - 1));
  leat_vector_part(&p->code, GPR_AX, GPR_DX);
  leat_code_move(&p->code, GPR_DX, GPR_SI);
  leat_code_and(&p->code, GPR_DX, (int8_t) - (int8_t)lanes_of(p));
  const size_t row = p->code.count;
  for (uint32_t i = 0; i < pointers; i++)
    leat_code_load(&p->code, pointer_register[i], GPR_DI, entry_of(p->pointer[i]));
  if (p->nest) begin_row(p);
  if (p->failed == p->end) put_row(p);
  if (p->nest) {
    end_row(p);
    leat_code_count_down(&p->code, GPR_DI, rows);
    leat_code_jump_back(&p->code, CODE_NOT_ZERO, row);
  }
  for (uint32_t i = pointers; i-- > POINTERS_FREE;) leat_code_pop(&p->code, pointer_register[i]);
  leat_vector_end(&p->code);
  leat_code_return(&p->code);
}

static map_code_t keep(leat_native_code_t *code, const part_t *p) {
  const vector_code_t *made = &p->code;
  const char *kept = made->count <= made->room ? leat_native_code_keep(code, made->bytes, made->count) : NULL;
  union {
    const void *from;
    map_code_t to;
  } cast = {.from = kept != NULL ? kept + p->entry : NULL};
  return cast.to;
}

// Puts the function once to find its pointers. False: there are not enough registers, or bytes.
static bool try_function(part_t *p, uint8_t together, uint8_t alike) {
  p->together = together;
  p->alike = alike;
  p->pointer_count = 0;
  put_function(p, 0);
  return p->failed == p->end && p->code.count <= p->code.room;
}
// With as many vectors together as there are registers for, where that is worth it.
static bool find_together(part_t *p) {
  for (uint8_t together = has_functions(p) ? VECTOR_TURNS : 0; together > 0; together /= 2) {
    if (try_function(p, together, VECTOR_TURNS)) return true;
  }
  return try_function(p, 1, 1);
}

static part_t part_of(const leat_native_code_t *code, const map_plan_t *plan, const map_value_t *values) {
  return (part_t){.code = {.room = BYTES_MAX, .wide = leat_native_code_isa(code) == LEAT_ISA_AVX512},
                  .plan = plan,
                  .steps = plan->steps,
                  .values = values,
                  .strips = plan->step_end[MAP_ROW]};
}

map_code_t leat_native_map_code(leat_native_code_t *code, const map_plan_t *plan, const map_value_t *values,
                                uint32_t first, uint32_t end, uint32_t *out_end) {
  uint8_t bytes[BYTES_MAX];
  part_t p = part_of(code, plan, values);
  p.code.bytes = bytes;
  p.first = first;
  p.end = end - first > STEPS_MAX ? first + STEPS_MAX : end;
  while (!find_together(&p)) {  // a step alone never fails
    p.end = p.failed > first && p.failed < p.end ? p.failed : first + (p.end - first) / 2;
  }
  put_function(&p, p.pointer_count);
  const map_code_t kept = keep(code, &p);
  *out_end = kept != NULL ? p.end : end;
  return kept;
}

map_code_t leat_native_map_nest_code(leat_native_code_t *code, const map_plan_t *plan, const map_value_t *values) {
  uint8_t bytes[BYTES_MAX];
  part_t p = part_of(code, plan, values);
  p.code.bytes = bytes;
  p.nest = true;
  p.first = plan->step_end[MAP_TILE];
  p.end = plan->step_count;
  if (p.end - p.first > STEPS_MAX) return NULL;
  p.sums_stay = true;
  bool found = find_together(&p);
  if (!found) {
    p.sums_stay = false;
    found = find_together(&p);
  }
  if (!found) return NULL;
  put_function(&p, p.pointer_count);
  return keep(code, &p);
}
