// SPDX-License-Identifier: Apache-2.0
// Instructions of x86-64 as bytes: those on vectors of floats that programs of MAP consist of, in the form of the ISA
// level (VEX with 256 bits, EVEX with 512), and what a loop around them needs.
#ifndef LEAT_NATIVE_VECTOR_CODE_H_
#define LEAT_NATIVE_VECTOR_CODE_H_

#include "base/base.h"

typedef struct vector_code_s {
  uint8_t *bytes;
  size_t count, room;  // once count is above room, nothing more is written
  bool wide;           // 512 bits
  // Of several vectors that go together the one whose instruction is put: what a comparison yields is its own, and
  // operands in memory lie so many vectors farther than they say.
  uint8_t turn;
} vector_code_t;
enum { VECTOR_TURNS = 4 };

// General registers, by number.
enum { GPR_AX, GPR_CX, GPR_DX, GPR_BX, GPR_SP, GPR_BP, GPR_SI, GPR_DI, GPR_8 = 8, GPR_15 = 15 };

// d = a op b
typedef enum vector_op_e {
  VECTOR_AND = 0x54,
  VECTOR_OR = 0x56,
  VECTOR_XOR = 0x57,
  VECTOR_ADD = 0x58,
  VECTOR_MUL = 0x59,
  VECTOR_SUB = 0x5c,
  VECTOR_MIN = 0x5d,  // a < b ? a : b
  VECTOR_DIV = 0x5e,
  VECTOR_MAX = 0x5f,  // a > b ? a : b
} vector_op_t;
// Comparisons; with a NaN false, but for UNORDERED, UNEQUAL and NOT_LESS.
typedef enum vector_compare_e {
  VECTOR_EQUAL = 0x00,
  VECTOR_UNORDERED = 0x03,
  VECTOR_UNEQUAL = 0x04,
  VECTOR_LESS = 0x11,
  VECTOR_LESS_EQUAL = 0x12,
  VECTOR_NOT_LESS = 0x15,
  VECTOR_GREATER_EQUAL = 0x1d,
  VECTOR_GREATER = 0x1e,
} vector_compare_t;
typedef enum vector_round_e {
  VECTOR_NEAREST = 8,
  VECTOR_FLOOR = 9,
  VECTOR_CEIL = 10,
  VECTOR_TRUNC = 11
} vector_round_t;

void leat_vector_op(vector_code_t *code, vector_op_t op, uint8_t d, uint8_t a, uint8_t b);
void leat_vector_move(vector_code_t *code, uint8_t d, uint8_t a);
// Of words: d = a + b; d = a by so many bits to the left, or to the right.
void leat_vector_add_words(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b);
void leat_vector_shift(vector_code_t *code, uint8_t d, uint8_t a, uint8_t bits, bool left);
void leat_vector_sqrt(vector_code_t *code, uint8_t d, uint8_t a);
void leat_vector_round(vector_code_t *code, vector_round_t how, uint8_t d, uint8_t a);
// d = a b + d, and d = a d + b.
void leat_vector_fma_onto(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b);
void leat_vector_fma_of(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b);
void leat_vector_fma_less(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b);  // d = b - a d

// Numbers among the bytes of the code: `at` says where, from the beginning on.
void leat_vector_bytes(vector_code_t *code, const void *bytes, size_t count);
void leat_vector_splat_at(vector_code_t *code, uint8_t d, size_t at);

// What a comparison yields lies in vector register `mask`, or with 512 bits in one of k2 to k5, by turn. pick: d = mask
// ? yes : no; keep: d = mask ? a : 0.
void leat_vector_compare(vector_code_t *code, vector_compare_t how, uint8_t mask, uint8_t a, uint8_t b);
void leat_vector_pick(vector_code_t *code, uint8_t d, uint8_t mask, uint8_t yes, uint8_t no);
void leat_vector_keep(vector_code_t *code, uint8_t d, uint8_t mask, uint8_t a);
// With 512 bits: d = mask ? a 2^b : 0, b rounded down; d = mask ? a op b : d.
void leat_vector_scale_kept(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b);
void leat_vector_op_where(vector_code_t *code, vector_op_t op, uint8_t d, uint8_t a, uint8_t b);
// With 512 bits: d = the lesser of |a| and |b|, of a NaN and a number the number; what rounding to the nearest whole
// number, ties to even, leaves of a; d = d | a & b.
void leat_vector_least_of_sizes(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b);
void leat_vector_rest(vector_code_t *code, uint8_t d, uint8_t a);
// `reciprocal`: 1 / a, off by 2^-14 of itself at most.
void leat_vector_reciprocal(vector_code_t *code, uint8_t d, uint8_t a);
void leat_vector_or_and(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b);

// Memory at base + 4 * index; `part`: only the lanes of the part mask, which is vector register VECTOR_PART with 256
// bits and k1 with 512. The other lanes load as zero.
enum { VECTOR_PART = 15 };
void leat_vector_load(vector_code_t *code, uint8_t d, uint8_t base, uint8_t index, bool part);
void leat_vector_store(vector_code_t *code, uint8_t a, uint8_t base, uint8_t index, bool part);
// bf16 at base + 2 * index, with 512 bits: as floats, and back from those whose low halves do not matter.
void leat_vector_load_bf16(vector_code_t *code, uint8_t d, uint8_t base, uint8_t index, bool part);
void leat_vector_store_bf16(vector_code_t *code, uint8_t a, uint8_t t, uint8_t base, uint8_t index, bool part);
// The float at base + offset in all lanes.
void leat_vector_splat(vector_code_t *code, uint8_t d, uint8_t base, int32_t offset);
// The part mask of the first `count` lanes, a register that it overwrites as well as GPR_CX; `table`: points at as many
// words of ones as a vector of 256 bits has lanes, followed by as many zeros.
void leat_vector_part(vector_code_t *code, uint8_t count, uint8_t table);
void leat_vector_end(vector_code_t *code);  // no vector register is used any more

void leat_code_load(vector_code_t *code, uint8_t to, uint8_t base, int32_t offset);  // 8 bytes
void leat_code_store(vector_code_t *code, uint8_t from, uint8_t base, int32_t offset);
void leat_code_add_to(vector_code_t *code, uint8_t base, int32_t offset, uint8_t from);  // to what lies there
void leat_code_count_down(vector_code_t *code, uint8_t base, int32_t offset);            // what lies there, by one
void leat_code_move(vector_code_t *code, uint8_t to, uint8_t from);
void leat_code_zero(vector_code_t *code, uint8_t to);
void leat_code_add(vector_code_t *code, uint8_t to, int8_t number);
void leat_code_and(vector_code_t *code, uint8_t to, int8_t number);
void leat_code_shift(vector_code_t *code, uint8_t to, uint8_t bits);  // to the left
void leat_code_subtract(vector_code_t *code, uint8_t to, uint8_t from);
void leat_code_compare(vector_code_t *code, uint8_t a, uint8_t b);
void leat_code_push(vector_code_t *code, uint8_t from);
void leat_code_pop(vector_code_t *code, uint8_t to);
void leat_code_return(vector_code_t *code);

// Jumps on what was compared or computed last: unsigned. A jump ahead gives a place, which `land` makes the target.
typedef enum code_jump_e {
  CODE_BELOW = 0x82,
  CODE_NOT_BELOW = 0x83,
  CODE_ZERO = 0x84,
  CODE_NOT_ZERO = 0x85
} code_jump_t;
void leat_code_jump_back(vector_code_t *code, code_jump_t when, size_t target);
size_t leat_code_jump(vector_code_t *code, code_jump_t when);
void leat_code_land(vector_code_t *code, size_t place);

#endif
