// SPDX-License-Identifier: Apache-2.0
// Scalar functions as instructions of 512 bits (vector_code.h): the operations of kern/math_f32.h, one by one, so that
// bits are those of its kernels. (With 256 bits numbers take instructions of their own, and kernels are as fast.)
#ifndef LEAT_NATIVE_FUNCTION_CODE_H_
#define LEAT_NATIVE_FUNCTION_CODE_H_

#include "native/vector_code.h"

// Whether this function can be put: PEF_SCALAR_*, its first body, in class F32.
bool leat_function_code_has(uint16_t op);

// The numbers that functions read: put once, where the bytes of the code begin. Returns their size: what is run lies
// behind them.
size_t leat_function_code_numbers(vector_code_t *code);

// d = op(x), registers that differ. `free`: so many others that it may overwrite.
enum { FUNCTION_REGISTERS = 4 };
void leat_function_code_put(vector_code_t *code, uint16_t op, uint8_t d, uint8_t x,
                            const uint8_t free[FUNCTION_REGISTERS]);

#endif
