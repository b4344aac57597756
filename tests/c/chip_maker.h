// SPDX-License-Identifier: Apache-2.0
// Bodies for the tests of chips: values that lie row-major, and stages on them, each body a PEF of one section. All in
// bf16; rows run along the outermost dim of what has rows.
#ifndef LEAT_TESTS_CHIP_MAKER_H_
#define LEAT_TESTS_CHIP_MAKER_H_

#include "pef/pef_write.h"

enum { CHIP_MAKER_STAGES = 24, CHIP_MAKER_OPERANDS = 96, CHIP_MAKER_CODE = 64, CHIP_MAKER_VALUES = 32 };

typedef struct chip_value_s {
  uint8_t space;
  bool has_rows;
  uint32_t slot, rank;
  int64_t dims[4];
} chip_value_t;

typedef struct chip_maker_s {
  int64_t rows;
  leat_pef_writer_t *writer;
  pef_stage_t stages[CHIP_MAKER_STAGES];
  pef_operand_t operands[CHIP_MAKER_OPERANDS];
  pef_instruction_t code[CHIP_MAKER_CODE];
  pef_buffer_t buffers[CHIP_MAKER_VALUES];
  pef_layout_t layout[CHIP_MAKER_VALUES];
  int64_t dims[4 * CHIP_MAKER_VALUES];
  pef_argument_t arguments[CHIP_MAKER_VALUES];
  uint32_t stage_count, operand_count, code_count, buffer_count, argument_count;
} chip_maker_t;

void chip_maker_begin(chip_maker_t *maker, int64_t rows);
// An input, parameter or output of `rows` rows (or of none) with `inner` dims; and a tile buffer, which has rows.
chip_value_t chip_maker_symbol(chip_maker_t *maker, uint32_t kind, bool has_rows, uint32_t inner, const int64_t *dims);
chip_value_t chip_maker_buffer(chip_maker_t *maker, uint32_t inner, const int64_t *dims);
#define CHIP_DIMS(...) \
  sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[]) { __VA_ARGS__ }

// out = a b^T: [rows, k] by [n, k]. With `heads`: [rows, heads, k] by [heads, n, k].
void chip_maker_product(chip_maker_t *maker, int64_t heads, chip_value_t a, chip_value_t b, chip_value_t out);
// out = `operations` additions of a and b, of the same dims, or b without the rows; `b` NULL: of a to itself.
void chip_maker_map(chip_maker_t *maker, chip_value_t a, const chip_value_t *b, uint32_t operations, chip_value_t out);
// The sum along the innermost dim, which `out` has not.
void chip_maker_sum(chip_maker_t *maker, chip_value_t in, chip_value_t out);
// The file, with one call of the body.
leat_pef_t *chip_maker_end(chip_maker_t *maker);

#endif
