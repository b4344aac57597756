// SPDX-License-Identifier: Apache-2.0
#include "map/strip.h"

uint32_t leat_strip_class_of(uint32_t dtype) {
  if (dtype == LEAT_F64) return PEF_CLASS_F64;
  return leat_dtype_is_float((leat_dtype_t)dtype) ? PEF_CLASS_F32 : PEF_CLASS_I64;
}

uint64_t leat_strip_immediate(uint32_t class, uint32_t dtype, double number) {
  uint64_t bits;
  if (class == PEF_CLASS_I64) {
    int64_t integer = (int64_t)number;
    memcpy(&bits, &integer, sizeof bits);
  } else {
    double rounded = leat_dtype_is_float((leat_dtype_t)dtype) ? leat_dtype_round((leat_dtype_t)dtype, number) : number;
    memcpy(&bits, &rounded, sizeof bits);
  }
  return bits;
}

void leat_strip_copy(leat_draft_t *d, uint32_t dtype) {
  const uint8_t class = (uint8_t)leat_strip_class_of(dtype);
  *leat_draft_instruction(d) = (pef_instruction_t){.op = PEF_OP_LOAD, .class_ = class, .a = 0};
  *leat_draft_instruction(d) = (pef_instruction_t){.op = PEF_OP_STORE, .class_ = class, .a = 1, .b = 0};
}

void leat_strip_fill(leat_draft_t *d, uint32_t dtype, double number) {
  const uint8_t class = (uint8_t)leat_strip_class_of(dtype);
  const uint64_t bits = leat_strip_immediate(class, dtype, number);
  *leat_draft_instruction(d) = (pef_instruction_t){.op = PEF_OP_IMMEDIATE, .class_ = class, .imm = bits};
  *leat_draft_instruction(d) = (pef_instruction_t){.op = PEF_OP_STORE, .class_ = class, .a = 0, .b = 0};
}
