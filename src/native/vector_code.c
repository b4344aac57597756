// SPDX-License-Identifier: Apache-2.0
// See vector_code.h. Names of fields are those of the manuals.
#include "native/vector_code.h"

static void put(vector_code_t *code, uint32_t byte) {
  if (code->count < code->room) code->bytes[code->count] = (uint8_t)byte;
  code->count++;
}

static void put4(vector_code_t *code, uint32_t word) {
  for (int i = 0; i < 4; i++) put(code, word >> 8 * i);
}

// --- vectors -----------------------------------------------------------------------------------------------------

enum { MAP_0F = 1, MAP_0F38 = 2, MAP_0F3A = 3 };
enum { PP_NONE = 0, PP_66 = 1, PP_F3 = 2 };
enum { MASK_NONE = 0, MASK_PART = 1, MASK_COMPARED = 2 };
static uint8_t compared(const vector_code_t *code) { return (uint8_t)(MASK_COMPARED + code->turn); }

typedef struct form_s {
  uint8_t map, pp, opcode;
  uint8_t mask;  // k register, with 512 bits
  bool zero;     // lanes that are masked out become zero
} form_t;

// The prefixes and the opcode. `x` and `b` are bits 3 and 4 of the last operand as the form wants them.
static void put_prefix(vector_code_t *code, form_t form, uint32_t reg, uint32_t vvvv, uint32_t x, uint32_t b) {
  const uint32_t r = reg >> 3 & 1;
  if (code->wide) {
    put(code, 0x62);
    put(code, (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | ((reg >> 4 & 1) ^ 1) << 4 | form.map);
    put(code, (~vvvv & 15) << 3 | 4 | form.pp);
    put(code, (uint32_t)form.zero << 7 | 2 << 5 | ((vvvv >> 4 & 1) ^ 1) << 3 | form.mask);
  } else {
    put(code, 0xc4);
    put(code, (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | form.map);
    put(code, (~vvvv & 15) << 3 | 4 | form.pp);
  }
  put(code, form.opcode);
}

static void put_registers(vector_code_t *code, form_t form, uint32_t reg, uint32_t vvvv, uint32_t rm) {
  put_prefix(code, form, reg, vvvv, rm >> 4 & 1, rm >> 3 & 1);
  put(code, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

// base + index << scale, turn by turn: with a displacement of one byte, since BP and R13 need one; of EVEX it counts
// in sizes of what is in memory.
static void put_scaled(vector_code_t *code, form_t form, uint32_t reg, uint32_t vvvv, uint32_t base, uint32_t index,
                       uint32_t scale) {
  put_prefix(code, form, reg, vvvv, index >> 3, base >> 3);
  put(code, 0x44 | (reg & 7) << 3);
  put(code, scale << 6 | (index & 7) << 3 | (base & 7));
  put(code, code->wide ? code->turn : code->turn * 32u);
}
static void put_indexed(vector_code_t *code, form_t form, uint32_t reg, uint32_t vvvv, uint32_t base, uint32_t index) {
  put_scaled(code, form, reg, vvvv, base, index, 2);
}

// base + offset; base is neither SP nor R12.
static void put_offset(vector_code_t *code, form_t form, uint32_t reg, uint32_t base, int32_t offset) {
  put_prefix(code, form, reg, 0, 0, base >> 3);
  put(code, 0x80 | (reg & 7) << 3 | (base & 7));
  put4(code, (uint32_t)offset);
}

// What lies at this byte of the code, relative to the instruction that follows.
static void put_at(vector_code_t *code, form_t form, uint32_t reg, uint32_t vvvv, size_t at) {
  put_prefix(code, form, reg, vvvv, 0, 0);
  put(code, (reg & 7) << 3 | 5);
  put4(code, (uint32_t)at - (uint32_t)code->count - 4);
}

void leat_vector_bytes(vector_code_t *code, const void *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) put(code, ((const uint8_t *)bytes)[i]);
}
void leat_vector_splat_at(vector_code_t *code, uint8_t d, size_t at) {
  put_at(code, (form_t){.map = MAP_0F38, .pp = PP_66, .opcode = 0x18}, d, 0, at);
}
void leat_vector_op(vector_code_t *code, vector_op_t op, uint8_t d, uint8_t a, uint8_t b) {
  put_registers(code, (form_t){MAP_0F, PP_NONE, (uint8_t)op, MASK_NONE, false}, d, a, b);
}
void leat_vector_move(vector_code_t *code, uint8_t d, uint8_t a) {
  put_registers(code, (form_t){MAP_0F, PP_NONE, 0x28, MASK_NONE, false}, d, 0, a);
}
void leat_vector_add_words(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b) {
  put_registers(code, (form_t){MAP_0F, PP_66, 0xfe, MASK_NONE, false}, d, a, b);
}
void leat_vector_shift(vector_code_t *code, uint8_t d, uint8_t a, uint8_t bits, bool left) {
  enum { RIGHT = 2, LEFT = 6 };
  put_registers(code, (form_t){MAP_0F, PP_66, 0x72, MASK_NONE, false}, left ? LEFT : RIGHT, d, a);
  put(code, bits);
}
void leat_vector_sqrt(vector_code_t *code, uint8_t d, uint8_t a) {
  put_registers(code, (form_t){MAP_0F, PP_NONE, 0x51, MASK_NONE, false}, d, 0, a);
}
void leat_vector_round(vector_code_t *code, vector_round_t how, uint8_t d, uint8_t a) {
  put_registers(code, (form_t){MAP_0F3A, PP_66, 0x08, MASK_NONE, false}, d, 0, a);
  put(code, how);
}
void leat_vector_fma_onto(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b) {
  put_registers(code, (form_t){MAP_0F38, PP_66, 0xb8, MASK_NONE, false}, d, a, b);
}
void leat_vector_fma_of(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b) {
  put_registers(code, (form_t){MAP_0F38, PP_66, 0xa8, MASK_NONE, false}, d, a, b);
}

void leat_vector_fma_less(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b) {
  put_registers(code, (form_t){MAP_0F38, PP_66, 0xac, MASK_NONE, false}, d, a, b);
}

void leat_vector_compare(vector_code_t *code, vector_compare_t how, uint8_t mask, uint8_t a, uint8_t b) {
  put_registers(code, (form_t){MAP_0F, PP_NONE, 0xc2, MASK_NONE, false}, code->wide ? compared(code) : mask, a, b);
  put(code, how);
}
void leat_vector_pick(vector_code_t *code, uint8_t d, uint8_t mask, uint8_t yes, uint8_t no) {
  if (code->wide) {
    put_registers(code, (form_t){MAP_0F38, PP_66, 0x65, compared(code), false}, d, no, yes);
  } else {
    put_registers(code, (form_t){MAP_0F3A, PP_66, 0x4a, MASK_NONE, false}, d, no, yes);
    put(code, (uint32_t)mask << 4);
  }
}
void leat_vector_keep(vector_code_t *code, uint8_t d, uint8_t mask, uint8_t a) {
  if (code->wide) {
    put_registers(code, (form_t){MAP_0F, PP_NONE, 0x28, compared(code), true}, d, 0, a);
  } else {
    leat_vector_op(code, VECTOR_AND, d, mask, a);
  }
}

void leat_vector_scale_kept(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b) {
  put_registers(code, (form_t){MAP_0F38, PP_66, 0x2c, compared(code), true}, d, a, b);
}
void leat_vector_op_where(vector_code_t *code, vector_op_t op, uint8_t d, uint8_t a, uint8_t b) {
  put_registers(code, (form_t){MAP_0F, PP_NONE, (uint8_t)op, compared(code), false}, d, a, b);
}
void leat_vector_least_of_sizes(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b) {
  enum { LEAST_SIZE_WITHOUT_SIGN = 0x0a };
  put_registers(code, (form_t){MAP_0F3A, PP_66, 0x50, MASK_NONE, false}, d, a, b);
  put(code, LEAST_SIZE_WITHOUT_SIGN);
}
void leat_vector_rest(vector_code_t *code, uint8_t d, uint8_t a) {
  put_registers(code, (form_t){MAP_0F3A, PP_66, 0x56, MASK_NONE, false}, d, 0, a);
  put(code, VECTOR_NEAREST);
}
void leat_vector_reciprocal(vector_code_t *code, uint8_t d, uint8_t a) {
  put_registers(code, (form_t){MAP_0F38, PP_66, 0x4c, MASK_NONE, false}, d, 0, a);
}
void leat_vector_or_and(vector_code_t *code, uint8_t d, uint8_t a, uint8_t b) {
  enum { TABLE = 0xf8 };  // bit 4 d + 2 a + b is what is made of these three
  put_registers(code, (form_t){MAP_0F3A, PP_66, 0x25, MASK_NONE, false}, d, a, b);
  put(code, TABLE);
}

void leat_vector_load(vector_code_t *code, uint8_t d, uint8_t base, uint8_t index, bool part) {
  if (part && !code->wide) {
    put_indexed(code, (form_t){MAP_0F38, PP_66, 0x2c, MASK_NONE, false}, d, VECTOR_PART, base, index);
  } else {
    put_indexed(code, (form_t){MAP_0F, PP_NONE, 0x10, part ? MASK_PART : MASK_NONE, part}, d, 0, base, index);
  }
}
void leat_vector_store(vector_code_t *code, uint8_t a, uint8_t base, uint8_t index, bool part) {
  if (part && !code->wide) {
    put_indexed(code, (form_t){MAP_0F38, PP_66, 0x2e, MASK_NONE, false}, a, VECTOR_PART, base, index);
  } else {
    put_indexed(code, (form_t){MAP_0F, PP_NONE, 0x11, part ? MASK_PART : MASK_NONE, false}, a, 0, base, index);
  }
}
void leat_vector_load_bf16(vector_code_t *code, uint8_t d, uint8_t base, uint8_t index, bool part) {
  const form_t words_of_halves = {MAP_0F38, PP_66, 0x33, part ? MASK_PART : MASK_NONE, part};
  put_scaled(code, words_of_halves, d, 0, base, index, 1);
  leat_vector_shift(code, d, d, 16, true);
}
void leat_vector_store_bf16(vector_code_t *code, uint8_t a, uint8_t t, uint8_t base, uint8_t index, bool part) {
  leat_vector_shift(code, t, a, 16, false);
  put_scaled(code, (form_t){MAP_0F38, PP_F3, 0x33, part ? MASK_PART : MASK_NONE, false}, t, 0, base, index, 1);
}
void leat_vector_splat(vector_code_t *code, uint8_t d, uint8_t base, int32_t offset) {
  put_offset(code, (form_t){MAP_0F38, PP_66, 0x18, MASK_NONE, false}, d, base, offset);
}

// --- general registers -------------------------------------------------------------------------------------------

static void put_general(vector_code_t *code, uint32_t opcode, uint32_t reg, uint32_t rm) {
  put(code, 0x48 | (reg >> 3) << 2 | rm >> 3);
  put(code, opcode);
  put(code, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

// 8 bytes at base + offset; base is neither SP nor R12.
static void put_memory(vector_code_t *code, uint32_t opcode, uint32_t reg, uint32_t base, int32_t offset) {
  put(code, 0x48 | (reg >> 3) << 2 | base >> 3);
  put(code, opcode);
  put(code, 0x80 | (reg & 7) << 3 | (base & 7));
  put4(code, (uint32_t)offset);
}

void leat_code_load(vector_code_t *code, uint8_t to, uint8_t base, int32_t offset) {
  put_memory(code, 0x8b, to, base, offset);
}
void leat_code_store(vector_code_t *code, uint8_t from, uint8_t base, int32_t offset) {
  put_memory(code, 0x89, from, base, offset);
}
void leat_code_add_to(vector_code_t *code, uint8_t base, int32_t offset, uint8_t from) {
  put_memory(code, 0x01, from, base, offset);
}
void leat_code_count_down(vector_code_t *code, uint8_t base, int32_t offset) {
  put_memory(code, 0xff, 1, base, offset);
}
void leat_code_move(vector_code_t *code, uint8_t to, uint8_t from) { put_general(code, 0x8b, to, from); }
void leat_code_zero(vector_code_t *code, uint8_t to) { put_general(code, 0x33, to, to); }
void leat_code_add(vector_code_t *code, uint8_t to, int8_t number) {
  put_general(code, 0x83, 0, to);
  put(code, (uint8_t)number);
}
void leat_code_and(vector_code_t *code, uint8_t to, int8_t number) {
  put_general(code, 0x83, 4, to);
  put(code, (uint8_t)number);
}
void leat_code_shift(vector_code_t *code, uint8_t to, uint8_t bits) {
  put_general(code, 0xc1, 4, to);
  put(code, bits);
}
void leat_code_subtract(vector_code_t *code, uint8_t to, uint8_t from) { put_general(code, 0x2b, to, from); }
void leat_code_compare(vector_code_t *code, uint8_t a, uint8_t b) { put_general(code, 0x3b, a, b); }
void leat_code_push(vector_code_t *code, uint8_t from) {
  put(code, 0x40 | from >> 3);
  put(code, 0x50 | (from & 7));
}
void leat_code_pop(vector_code_t *code, uint8_t to) {
  put(code, 0x40 | to >> 3);
  put(code, 0x58 | (to & 7));
}
void leat_code_return(vector_code_t *code) { put(code, 0xc3); }

void leat_vector_part(vector_code_t *code, uint8_t count, uint8_t table) {
  if (code->wide) {
    leat_code_move(code, GPR_CX, count);
    leat_code_zero(code, count);
    leat_code_add(code, count, 1);
    put_general(code, 0xd3, 4, count);  // 1 << CX, less one
    leat_code_add(code, count, -1);
    put(code, 0xc5), put(code, 0xf8), put(code, 0x92);  // kmovw
    put(code, 0xc0 | MASK_PART << 3 | count);
  } else {
    put_general(code, 0xf7, 3, count);  // negated: the ones of the table that count are those before its zeros
    leat_code_move(code, GPR_CX, table);
    leat_code_add(code, GPR_CX, 32);
    leat_vector_load(code, VECTOR_PART, GPR_CX, count, false);
  }
}
void leat_vector_end(vector_code_t *code) { put(code, 0xc5), put(code, 0xf8), put(code, 0x77); }  // vzeroupper

void leat_code_jump_back(vector_code_t *code, code_jump_t when, size_t target) {
  put(code, 0x0f);
  put(code, when);
  put4(code, (uint32_t)((int64_t)target - (int64_t)code->count - 4));
}
size_t leat_code_jump(vector_code_t *code, code_jump_t when) {
  put(code, 0x0f);
  put(code, when);
  put4(code, 0);
  return code->count;
}
void leat_code_land(vector_code_t *code, size_t place) {
  const uint32_t distance = (uint32_t)(code->count - place);
  for (size_t i = 0; i < 4 && code->count <= code->room; i++) code->bytes[place - 4 + i] = (uint8_t)(distance >> 8 * i);
}
