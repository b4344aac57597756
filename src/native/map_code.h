// SPDX-License-Identifier: Apache-2.0
// Steps of a MAP as one function: their values pass from one to the next in registers, and memory is touched where
// they begin and where they end.
//
// A part is a range of steps of scope STRIP. It reads what lies in memory (strips, operands read in place, the one
// element of what all of a strip have in common) and writes those of its values that are wanted in memory; of an
// element all that it loads is loaded before anything is written that an operand may share memory with. Where there are
// functions, several vectors go through a body together (function_code.h).
#ifndef LEAT_NATIVE_MAP_CODE_H_
#define LEAT_NATIVE_MAP_CODE_H_

#include "native/code.h"
#include "native/map_plan.h"

// Whether a step of this function can be part of code: PEF_SCALAR_*, its first body, in class F32.
bool leat_native_map_code_has(const leat_native_code_t *code, uint16_t op);
// Whether it has 512 bits: it reads and writes bf16, too (map_value_t.is_narrow).
bool leat_native_map_code_is_wide(const leat_native_code_t *code);

// The function of steps first to *out_end - 1 of a plan, as many of those before `end` as registers allow, at least
// one. NULL: no code (memory that may be executed is refused), *out_end is `end`.
map_code_t leat_native_map_code(leat_native_code_t *code, const map_plan_t *plan, const map_value_t *values,
                                uint32_t first, uint32_t end, uint32_t *out_end);

// The function of all steps of scope ROW and STRIP of a plan, with its sums, for any number of rows: pointers of leaves
// of kind ROW are those of the operand. NULL: registers do not suffice, or as above.
map_code_t leat_native_map_nest_code(leat_native_code_t *code, const map_plan_t *plan, const map_value_t *values);

// Words that code reads beside the table: its third argument.
const uint32_t *leat_native_map_code_words(void);

#endif
