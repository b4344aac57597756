// SPDX-License-Identifier: Apache-2.0
// A stage with thousands of operands, outputs and values: y[i] = x[i] + x[i - 1], an operand a row of x and of y. It is
// read, proved, asked what flows through it, searched for NaN, and computed by every engine.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "leat/runtime.h"
#include "pef/flow.h"
#include "pef/legal.h"
#include "pef/pef_scalar.h"
#include "pef/pef_write.h"

enum { ROWS = 2000, WIDTH = 3, X = 0, Y = 1, OPERANDS = 2 * ROWS, INSTRUCTIONS = 3 * ROWS };

static uint32_t add_symbol(leat_pef_writer_t *writer, const char *name, uint8_t kind) {
  pef_symbol_t symbol = {.name = leat_pef_add_string(writer, name), .kind = kind, .dtype = PEF_F32, .of = PEF_NONE};
  symbol.rank = 2;
  symbol.dims[0] = ROWS;
  symbol.dims[1] = WIDTH;
  symbol.bytes = ROWS * WIDTH * sizeof(float);
  return leat_pef_add_symbol(writer, &symbol);
}

static pef_operand_t row_of(uint32_t slot, uint32_t row) {
  pef_operand_t operand = {.space = PEF_SPACE_ARGUMENT, .dtype = PEF_F32, .rank = 1, .row_dim = PEF_NO_ROW_DIM};
  operand.slot = slot;
  operand.offset = row * WIDTH * sizeof(float);
  operand.dims[0] = WIDTH;
  operand.strides[0] = 1;
  return operand;
}

static void build(leat_pef_writer_t *writer) {
  pef_operand_t *operands = leat_alloc_zero(OPERANDS, sizeof *operands);
  pef_instruction_t *code = leat_alloc_zero(INSTRUCTIONS, sizeof *code);
  const pef_argument_t arguments[] = {
      {.kind = PEF_PLACE_SYMBOL, .symbol = add_symbol(writer, "x", PEF_SYMBOL_INPUT), .bytes = ROWS * WIDTH * 4},
      {.kind = PEF_PLACE_SYMBOL, .symbol = add_symbol(writer, "y", PEF_SYMBOL_OUTPUT), .bytes = ROWS * WIDTH * 4},
  };
  for (uint32_t i = 0; i < ROWS; ++i) {
    operands[i] = row_of(X, i);
    operands[ROWS + i] = row_of(Y, i);
    code[i] = (pef_instruction_t){.op = PEF_OP_LOAD, .a = i};
    code[ROWS + i] = (pef_instruction_t){.op = PEF_SCALAR_ADD, .a = i, .b = i == 0 ? 0 : i - 1};
    code[2 * ROWS + i] = (pef_instruction_t){.op = PEF_OP_STORE, .a = ROWS + i, .b = ROWS + i};
  }
  const pef_stage_t stage = {.kind = PEF_STAGE_MAP,
                             .output = PEF_NO_OUTPUT,
                             .origin = leat_pef_add_string(writer, "wide"),
                             .operand_count = OPERANDS,
                             .instruction_count = INSTRUCTIONS};
  const leat_pef_body_draft_t draft = {
      .body = {.stage_count = 1, .argument_count = 2, .tile_quantum = 1, .row_count = 1, .tile_rows_max = 1},
      .stages = &stage,
      .operands = operands,
      .instructions = code};
  const pef_call_t call = {.type = PEF_FWD,
                           .barrier = 1,
                           .argument_count = 2,
                           .body = leat_pef_add_body(writer, &draft),
                           .name = leat_pef_add_string(writer, "wide section")};
  leat_pef_add_call(writer, &call, arguments);
  leat_free(operands);
  leat_free(code);
}

// Path of the program; the next call reuses the buffer.
static const char *write_program(void) {
  static char path[64];
  snprintf(path, sizeof path, "wide_test_%d.pef", (int)getpid());
  leat_pef_writer_t *writer = leat_pef_writer_create();
  build(writer);
  assert_ok(leat_pef_write(writer, path));
  leat_pef_writer_destroy(writer);
  return path;
}

static void what_is_asked_of_the_file(void **state) {
  (void)state;
  leat_pef_t *pef = NULL;
  const char *path = write_program();
  assert_ok(leat_pef_open(path, &pef));
  const pef_stage_t *stage = &pef->stages[0];
  assert_int_equal(leat_pef_output(pef, stage), ROWS);
  for (uint32_t i = 0; i < OPERANDS; ++i) {
    assert_int_equal(leat_pef_reads(pef, stage, i), i < ROWS);
    assert_int_equal(leat_pef_writes(pef, stage, i), i >= ROWS);
  }
  uint32_t uses = 0;
  for (leat_operand_use_t use = {0}; leat_flow_next(pef, stage, &use); ++uses) {
    assert_int_equal(use.index, uses);
    assert_int_equal(use.written, uses >= ROWS);
  }
  assert_int_equal(uses, OPERANDS);
  assert_ok(leat_legal_check(pef));
  bool needed[2] = {false, true};
  assert_ok(leat_flow_needs(pef, 1u << PEF_FWD, needed));
  assert_true(needed[X]);
  leat_pef_close(pef);
  unlink(path);
}

static void every_engine_computes_it(void **state) {
  (void)state;
  static const char *const engines[] = {"native", "ref", "compare"};
  const char *path = write_program();
  float *x = malloc(ROWS * WIDTH * sizeof *x), *y = malloc(ROWS * WIDTH * sizeof *y);
  for (uint32_t i = 0; i < ROWS * WIDTH; ++i) x[i] = (float)(i * 37 % 1001) / 16;
  for (uint32_t e = 0; e < 3; ++e) {
    leat_load_options_t options = leat_load_options_default();
    leat_program_t *program = NULL;
    options.engine = engines[e];
    options.thread_count = 2;
    assert_ok(leat_program_load(path, &options, &program));
    assert_ok(leat_program_write(program, X, x, ROWS * WIDTH * sizeof *x));
    assert_ok(leat_program_run(program, LEAT_SECTIONS_FWD));
    assert_ok(leat_program_read(program, Y, y, ROWS * WIDTH * sizeof *y));
    for (uint32_t i = 0; i < ROWS * WIDTH; ++i) assert_true(y[i] == x[i] + x[i < WIDTH ? i : i - WIDTH]);
    leat_fault_t faults[2];
    assert_ok(leat_program_find_faults(program, LEAT_SECTIONS_FWD, faults));
    assert_null(faults[LEAT_FAULT_NAN].origin);
    leat_program_destroy(program);
  }
  free(x);
  free(y);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_asked_of_the_file),
      cmocka_unit_test(every_engine_computes_it),
  };
  return cmocka_run_group_tests_name("wide", tests, NULL, NULL);
}
