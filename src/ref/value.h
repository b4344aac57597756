// SPDX-License-Identifier: Apache-2.0
// Values of the three classes, and how they are stored.
#ifndef LEAT_REF_VALUE_H_
#define LEAT_REF_VALUE_H_

#include "base/base.h"
#include "pef/pef_read.h"

// A value; who has it knows its class.
typedef union ref_value_u {
  float f32;
  double f64;
  int64_t i64;
} ref_value_t;

ref_value_t leat_ref_of_int(uint32_t class_, int64_t x);
ref_value_t leat_ref_of_double(uint32_t class_, double x);  // F32: rounded; not I64
ref_value_t leat_ref_convert(uint32_t to, uint32_t from, ref_value_t value);

// The element at `at` in a class, and back.
ref_value_t leat_ref_load(uint32_t class_, uint32_t dtype, const char *at);
void leat_ref_store(uint32_t class_, uint32_t dtype, char *at, ref_value_t value);

// One step of a sum, and the like; integers wrap.
ref_value_t leat_ref_add(uint32_t class_, ref_value_t a, ref_value_t b);
ref_value_t leat_ref_multiply(uint32_t class_, ref_value_t a, ref_value_t b);
ref_value_t leat_ref_multiply_add(uint32_t class_, ref_value_t a, ref_value_t b, ref_value_t sum);  // rounded once
// The same of a term of a pair: in f32 without denormals, as pef_format.h says ("Pairs").
ref_value_t leat_ref_pair_term(ref_value_t a, ref_value_t b, ref_value_t sum);
bool leat_ref_less(uint32_t class_, ref_value_t a, ref_value_t b);  // false with a NaN
bool leat_ref_is_nan(uint32_t class_, ref_value_t value);

#endif
