// SPDX-License-Identifier: Apache-2.0
// Scalar functions as instructions of 512 bits (vector_code.h): what kern/math_f32.h computes, so that bits are those
// of its kernels. (With 256 bits numbers take instructions of their own, and kernels are as fast.) Several vectors go
// through a function together, instruction by instruction: each waits for the one before it, and a CPU that is to find
// others to do meanwhile would have to look beyond the end of the function.
#ifndef LEAT_NATIVE_FUNCTION_CODE_H_
#define LEAT_NATIVE_FUNCTION_CODE_H_

#include "native/vector_code.h"

// Whether this function can be put: PEF_SCALAR_*, its first body, in class F32.
bool leat_function_code_has(uint16_t op);

// The numbers that functions read: put once, where the bytes of the code begin. Returns their size: what is run lies
// behind them.
size_t leat_function_code_numbers(vector_code_t *code);

// d = op(x) of `turns` vectors, in registers that differ. A vector has `free` to overwrite, so many as the function
// takes; all have `number`.
enum { FUNCTION_REGISTERS = 4 };  // at most
uint8_t leat_function_code_registers(uint16_t op);
typedef struct function_registers_s {
  uint8_t d, x, free[FUNCTION_REGISTERS];
} function_registers_t;
void leat_function_code_put(vector_code_t *code, uint16_t op, const function_registers_t *of, uint8_t turns,
                            uint8_t number);

#endif
