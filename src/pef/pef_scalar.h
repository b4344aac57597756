// SPDX-License-Identifier: Apache-2.0
// The scalar functions of MAP instructions by number, expanded from the data table ir/scalar.def.
#ifndef LEAT_PEF_SCALAR_H_
#define LEAT_PEF_SCALAR_H_

#include <stdint.h>

enum pef_scalar {
#define SCALAR(suffix, ...) PEF_SCALAR_##suffix,
#include "ir/scalar.def"
#undef SCALAR
  PEF_SCALAR_COUNT
};

// How many registers an instruction that computes reads; the others that it names may hold anything.
static inline uint32_t leat_pef_scalar_arity(uint32_t op) {
  static const uint8_t arity[PEF_SCALAR_COUNT] = {
#define SCALAR(suffix, name, number, arity, ...) arity,
#include "ir/scalar.def"
#undef SCALAR
  };
  return op < PEF_SCALAR_COUNT ? arity[op] : 1;
}

#endif
