// SPDX-License-Identifier: Apache-2.0
// One element of a tensor on its way through eval: floats travel as f64, integers and bool as i64.
//
// Storing rounds once (nearest even) to the float dtypes and wraps to the width of the integers; bool is != 0.
#ifndef LEAT_IR_ELEMENT_H_
#define LEAT_IR_ELEMENT_H_

#include "ir/graph.h"

typedef enum leat_element_class_e { LEAT_ELEMENT_F, LEAT_ELEMENT_I, LEAT_ELEMENT_B } leat_element_class_t;
leat_element_class_t leat_dtype_class(leat_dtype_t dtype);

typedef union leat_element_u {
  double f;   // dtypes of class F
  int64_t i;  // the others; bool is 0 or 1
} leat_element_t;

leat_element_t leat_element_load(leat_dtype_t dtype, const void *data, int64_t index);
void leat_element_store(leat_dtype_t dtype, void *data, int64_t index, leat_element_t element);
// The value of one dtype as that of another: float to integer truncates (NaN and what i64 cannot hold give INT64_MIN,
// which then wraps as it is stored), anything to bool is != 0, integer to float rounds once.
leat_element_t leat_element_convert(leat_dtype_t from, leat_dtype_t to, leat_element_t element);
// `number` as an element of `dtype`.
leat_element_t leat_element_of(leat_dtype_t dtype, double number);

#endif
