// SPDX-License-Identifier: Apache-2.0
// The scalar functions of MAP instructions by number, expanded from the data table ir/scalar.def, and which values an
// instruction reads.
#ifndef LEAT_PEF_SCALAR_H_
#define LEAT_PEF_SCALAR_H_

#include <stdbool.h>

#include "pef/pef_format.h"

enum pef_scalar {
#define SCALAR(suffix, ...) PEF_SCALAR_##suffix,
#include "ir/scalar.def"
#undef SCALAR
  PEF_SCALAR_COUNT
};

// How many values a scalar function takes.
static inline uint32_t leat_pef_scalar_arity(uint32_t op) {
  static const uint8_t arity[PEF_SCALAR_COUNT] = {
#define SCALAR(suffix, name, number, arity, ...) arity,
#include "ir/scalar.def"
#undef SCALAR
  };
  return op < PEF_SCALAR_COUNT ? arity[op] : 0;
}

// Operations of an element, roughly; 0 of what is no scalar function.
static inline uint32_t leat_pef_scalar_flops(uint32_t op) {
  static const uint8_t flops[PEF_SCALAR_COUNT] = {
#define SCALAR(suffix, name, number, arity, result, kernels, body, flops, ...) flops,
#include "ir/scalar.def"
#undef SCALAR
  };
  return op < PEF_SCALAR_COUNT ? flops[op] : 0;
}

// The newest body (pef_body) of a scalar function in a class.
static inline uint8_t leat_pef_scalar_body(uint32_t op, uint32_t class_) {
  enum { HERE = PEF_BODY_FIRST, EACH = PEF_BODY_FIRST, WIDE = PEF_BODY_FIRST, NONE = PEF_BODY_FIRST };
  enum { TWO = PEF_BODY_SINGLE };
  static const uint8_t newest[PEF_SCALAR_COUNT] = {
#define SCALAR(suffix, name, number, arity, result, kernels, body, ...) body,
#include "ir/scalar.def"
#undef SCALAR
  };
  return op < PEF_SCALAR_COUNT && class_ == PEF_CLASS_F32 ? newest[op] : PEF_BODY_FIRST;
}

// The minor version of the format that brought what an instruction says.
static inline uint32_t leat_pef_instruction_since(const pef_instruction_t *in) {
  if (in->op == PEF_SCALAR_DITHER) return 2;
  return in->op < PEF_SCALAR_COUNT && in->type == PEF_BODY_SINGLE ? 1 : 0;
}

// The values that a valid instruction reads; returns their number.
static inline uint32_t leat_pef_instruction_reads(const pef_instruction_t *in, uint32_t out_values[3]) {
  const uint32_t fields[3] = {in->op == PEF_OP_STORE ? in->b : in->a, in->b, in->c};
  const bool one = in->op == PEF_OP_STORE || in->op == PEF_OP_CONVERT || in->op == PEF_OP_WRAP;
  const uint32_t count = one ? 1 : leat_pef_scalar_arity(in->op);
  for (uint32_t i = 0; i < count; ++i) out_values[i] = fields[i];
  return count;
}

#endif
