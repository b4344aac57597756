// SPDX-License-Identifier: Apache-2.0
// Strip programs of any length and with any number of live values: they run, and native on each ISA level agrees with
// ref (the engine `compare` is both) and with what the test computes. Programs of version 1 become what they were.
#include <math.h>
#include <unistd.h>

#include "check.h"
#include "leat/runtime.h"
#include "pef/pef_file.h"
#include "pef/pef_read.h"
#include "pef/pef_scalar.h"
#include "pef/pef_write.h"
#include "stage_rig.h"

enum { ROWS = 3, COLUMNS = 70, ELEMENTS = ROWS * COLUMNS, INPUTS = 4, OUT = INPUTS, OPERANDS };
static const char path[] = "strip_test.pef";
static const char *const levels[] = {"portable", "avx2", NULL};  // NULL: all that the machine has

// --- a program as a file -------------------------------------------------------------------------------------------

typedef struct program_s {
  pef_instruction_t *code;
  uint32_t count;
  pef_operand_t operands[OPERANDS];
} program_t;

// Inputs: all elements, one a row, one a column, one.
static void begin(program_t *p, uint32_t most) {
  static const int64_t strides[OPERANDS][2] = {{COLUMNS, 1}, {1, 0}, {0, 1}, {0, 0}, {COLUMNS, 1}};
  *p = (program_t){.code = leat_alloc_zero(most, sizeof *p->code)};
  assert_non_null(p->code);
  for (uint32_t i = 0; i < OPERANDS; ++i) {
    p->operands[i] = (pef_operand_t){.space = PEF_SPACE_ARGUMENT,
                                     .dtype = PEF_F32,
                                     .rank = 2,
                                     .slot = (uint16_t)i,
                                     .row_mult = 1,
                                     .dims = {ROWS, COLUMNS},
                                     .strides = {strides[i][0], strides[i][1]}};
  }
}

static uint32_t add(program_t *p, pef_instruction_t instruction) {
  p->code[p->count] = instruction;
  return p->count++;
}
static uint32_t load(program_t *p, uint32_t operand) {
  return add(p, (pef_instruction_t){.op = PEF_OP_LOAD, .a = operand});
}
static uint32_t number(program_t *p, double value) {
  pef_instruction_t instruction = {.op = PEF_OP_IMMEDIATE};
  memcpy(&instruction.imm, &value, sizeof value);
  return add(p, instruction);
}
static uint32_t binary(program_t *p, uint32_t op, uint32_t a, uint32_t b) {
  return add(p, (pef_instruction_t){.op = (uint16_t)op, .a = a, .b = b});
}
static void end(program_t *p, uint32_t value) { add(p, (pef_instruction_t){.op = PEF_OP_STORE, .a = OUT, .b = value}); }

static void write_file(const program_t *p) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_argument_t arguments[OPERANDS];
  for (uint32_t i = 0; i < OPERANDS; ++i) {
    const char name[] = {(char)('a' + i), '\0'};
    const pef_symbol_t symbol = {.name = leat_pef_add_string(writer, name),
                                 .kind = PEF_SYMBOL_BUFFER,
                                 .of = PEF_NONE,
                                 .rank = 1,
                                 .dims = {ELEMENTS},
                                 .bytes = ELEMENTS * sizeof(float)};
    leat_pef_add_symbol(writer, &symbol);
    arguments[i] = (pef_argument_t){.kind = PEF_PLACE_SYMBOL, .symbol = i, .bytes = symbol.bytes};
  }
  const pef_stage_t stage = {
      .kind = PEF_STAGE_MAP, .output = PEF_NO_OUTPUT, .operand_count = OPERANDS, .instruction_count = p->count};
  const leat_pef_body_draft_t draft = {
      .body = {.stage_count = 1, .argument_count = OPERANDS, .tile_quantum = 1, .row_count = ROWS, .tile_rows_max = 2},
      .stages = &stage,
      .operands = p->operands,
      .instructions = p->code};
  const pef_call_t call = {.body = leat_pef_add_body(writer, &draft),
                           .argument_count = OPERANDS,
                           .name = leat_pef_add_string(writer, "call")};
  leat_pef_add_call(writer, &call, arguments);
  assert_ok(leat_pef_write(writer, path));
  leat_pef_writer_destroy(writer);
}

typedef float memory_t[OPERANDS][ELEMENTS];

static void fill(memory_t memory, uint32_t seed) {
  for (uint32_t i = 0; i < OPERANDS; ++i) {
    for (uint32_t e = 0; e < ELEMENTS; ++e) {
      memory[i][e] = (float)((int32_t)((e * 2654435761u + i * 40503u + seed * 977u) >> 12 & 0xff) - 128) / 64.0f;
    }
  }
}
static float input_at(memory_t memory, const program_t *p, uint32_t input, uint32_t e) {
  const int64_t *strides = p->operands[input].strides;
  return memory[input][e / COLUMNS * (uint32_t)strides[0] + e % COLUMNS * (uint32_t)strides[1]];
}

// Which NaN a NaN is may differ.
static bool is_same(memory_t a, memory_t b) {
  for (uint32_t i = 0; i < OPERANDS; ++i) {
    for (uint32_t e = 0; e < ELEMENTS; ++e) {
      const bool both = a[i][e] != a[i][e] && b[i][e] != b[i][e];
      if (!both && memcmp(&a[i][e], &b[i][e], sizeof(float)) != 0) return false;
    }
  }
  return true;
}

// Runs it on each ISA level beside ref; `memory` has the inputs, and then the result.
static void run(const program_t *p, memory_t memory) {
  static memory_t given, found;
  write_file(p);
  memcpy(given, memory, sizeof given);
  for (uint32_t l = 0; l < sizeof levels / sizeof *levels; ++l) {
    leat_load_options_t options = leat_load_options_default();
    options.thread_count = 1;
    options.engine = "compare";
    options.isa = levels[l];
    leat_program_t *program = NULL;
    assert_ok(leat_program_load(path, &options, &program));
    for (uint32_t i = 0; i < OPERANDS; ++i) assert_ok(leat_program_write(program, i, given[i], sizeof given[i]));
    assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
    for (uint32_t i = 0; i < OPERANDS; ++i) assert_ok(leat_program_read(program, i, found[i], sizeof found[i]));
    leat_program_destroy(program);
    if (l > 0) assert_true(is_same(found, memory));
    memcpy(memory, found, sizeof found);
  }
  unlink(path);
}

// --- programs ------------------------------------------------------------------------------------------------------

// Values 0..live-1 are there before the first is read again, in the order in which they were made.
static void many_values_live_at_once(void **state) {
  (void)state;
  static const uint32_t counts[] = {65, 1000, 20000};
  static memory_t memory;
  for (uint32_t c = 0; c < sizeof counts / sizeof *counts; ++c) {
    const uint32_t live = counts[c];
    program_t p;
    begin(&p, 2 * live + 8);
    fill(memory, live);
    const uint32_t x = load(&p, 0), one = number(&p, 1.0), first = p.count;
    for (uint32_t i = 0; i < live; ++i) {
      binary(&p, i % 2 == 0 ? PEF_SCALAR_ADD : PEF_SCALAR_MAX, i == 0 ? x : p.count - 1, one);
    }
    uint32_t sum = first;
    for (uint32_t i = 1; i < live; ++i) sum = binary(&p, PEF_SCALAR_SUB, sum, first + i);
    end(&p, sum);
    static float wanted[ELEMENTS];
    for (uint32_t e = 0; e < ELEMENTS; ++e) {
      float value = input_at(memory, &p, 0, e) + 1.0f;
      wanted[e] = value;
      for (uint32_t i = 1; i < live; ++i) {
        value = i % 2 == 0 ? value + 1.0f : value > 1.0f ? value : 1.0f;
        wanted[e] -= value;
      }
    }
    run(&p, memory);
    assert_memory_equal(memory[OUT], wanted, sizeof wanted);
    leat_free(p.code);
  }
}

static void a_program_is_as_long_as_the_format_allows(void **state) {
  (void)state;
  static const uint32_t counts[] = {5000, PEF_MAX_INSTRUCTIONS};
  static memory_t memory;
  for (uint32_t c = 0; c < sizeof counts / sizeof *counts; ++c) {
    program_t p;
    begin(&p, counts[c]);
    fill(memory, c);
    const uint32_t step = load(&p, 2), half = number(&p, 0.5);
    uint32_t value = load(&p, 0);
    for (uint32_t i = 0; p.count + 1 < counts[c]; ++i) {
      value = binary(&p, i % 2 == 0 ? PEF_SCALAR_MUL : PEF_SCALAR_ADD, value, i % 2 == 0 ? half : step);
    }
    end(&p, value);
    assert_int_equal(p.count, counts[c]);
    static float wanted[ELEMENTS];
    for (uint32_t e = 0; e < ELEMENTS; ++e) {
      wanted[e] = input_at(memory, &p, 0, e);
      for (uint32_t i = 0; i + 4 < counts[c]; ++i) {
        wanted[e] = i % 2 == 0 ? wanted[e] * 0.5f : wanted[e] + input_at(memory, &p, 2, e);
      }
    }
    run(&p, memory);
    assert_memory_equal(memory[OUT], wanted, sizeof wanted);
    leat_free(p.code);
  }
}

// A random program of the three classes, in which much is read late, often, or never.
static uint32_t below(uint32_t *random, uint32_t limit) {
  *random = *random * 1664525u + 1013904223u;
  return (*random >> 8) % limit;
}

// A value of the class, or `otherwise`, which is of it.
static uint32_t some_value(const program_t *p, uint32_t *random, uint32_t class_, uint32_t otherwise) {
  const uint32_t v = below(random, p->count);
  return p->code[v].class_ == class_ ? v : otherwise;
}

static pef_instruction_t some_instruction(const program_t *p, uint32_t *random) {
  static const uint16_t ops[] = {PEF_SCALAR_ADD, PEF_SCALAR_SUB, PEF_SCALAR_MUL, PEF_SCALAR_MAX,
                                 PEF_SCALAR_NEG, PEF_SCALAR_ABS, PEF_SCALAR_LT,  PEF_SCALAR_SELECT};
  static const uint8_t narrow[] = {PEF_BF16, PEF_F64, PEF_I16};
  const uint32_t a = below(random, p->count), to = below(random, 3);
  const uint8_t class_ = p->code[a].class_;
  pef_instruction_t in = {.class_ = class_, .a = a};
  switch (below(random, 8)) {
    case 0:
      return (pef_instruction_t){.op = PEF_OP_CONVERT, .class_ = (uint8_t)to, .type = class_, .a = a};
    case 1:
      return (pef_instruction_t){.op = PEF_OP_IOTA, .class_ = (uint8_t)to, .a = below(random, 2)};
    case 2:
      return (pef_instruction_t){.op = PEF_OP_LOAD, .class_ = (uint8_t)to, .a = below(random, INPUTS)};
    case 3:
      return (pef_instruction_t){.op = PEF_OP_WRAP, .class_ = class_, .type = narrow[class_], .a = a};
    case 4:
      return (pef_instruction_t){.op = PEF_OP_IMMEDIATE, .class_ = (uint8_t)to, .imm = to == PEF_CLASS_I64 ? 3 : 0};
    default:
      in.op = ops[below(random, sizeof ops / sizeof *ops)];
      if (leat_pef_scalar_arity(in.op) > 1) in.b = some_value(p, random, class_, a);
      if (leat_pef_scalar_arity(in.op) > 2) in.c = some_value(p, random, class_, a);
      return in;
  }
}

static void make_random(program_t *p, uint32_t *random) {
  begin(p, 400);
  const uint32_t length = 4 + below(random, 300);
  for (uint32_t i = 0; i < INPUTS; ++i) load(p, i);
  while (p->count < length) add(p, some_instruction(p, random));
  uint32_t last = p->count - 1;
  while (p->code[last].class_ != PEF_CLASS_F32) --last;
  end(p, last);
}

static void random_programs_agree(void **state) {
  (void)state;
  static memory_t memory;
  uint32_t random = 1;
  for (uint32_t draw = 0; draw < 120; ++draw) {
    program_t p;
    make_random(&p, &random);
    fill(memory, draw);
    if (below(&random, 2) == 0) p.operands[OUT].slot = 0;  // in place
    run(&p, memory);
    leat_free(p.code);
  }
}

// --- what is refused -----------------------------------------------------------------------------------------------

// What `at` may read as one of its values, by the text of the format.
static bool may_read(const program_t *p, uint32_t at, uint32_t value) {
  const pef_instruction_t *in = &p->code[at];
  const uint32_t class_ = in->op == PEF_OP_CONVERT ? in->type : in->class_;
  return value < at && p->code[value].op != PEF_OP_STORE && p->code[value].class_ == class_;
}

// One of the values that some instruction reads becomes another number: itself, a later one, one of another class.
static void values_that_are_not_there_are_refused(void **state) {
  (void)state;
  uint32_t random = 7, refused = 0, accepted = 0;
  for (uint32_t draw = 0; draw < 600; ++draw) {
    program_t p;
    uint32_t values[3], count = 0, at = 0;
    make_random(&p, &random);
    while (count == 0) {
      at = below(&random, p.count);
      count = leat_pef_instruction_reads(&p.code[at], values);
    }
    const uint32_t which = p.code[at].op == PEF_OP_STORE ? 1 : below(&random, count);
    const uint32_t wild[] = {at, at + 1, p.count - 1, p.count, below(&random, p.count), UINT32_MAX};
    const uint32_t value = wild[below(&random, sizeof wild / sizeof *wild)];
    *(which == 0 ? &p.code[at].a : which == 1 ? &p.code[at].b : &p.code[at].c) = value;
    write_file(&p);
    leat_pef_t *pef = NULL;
    leat_status_t status = leat_pef_open(path, &pef);
    assert_int_equal(status == NULL, may_read(&p, at, value));
    if (status != NULL) assert_non_null(strstr(leat_status_message(status), "value"));
    *(status == NULL ? &accepted : &refused) += 1;
    leat_status_free(status);
    leat_pef_close(pef);
    leat_free(p.code);
  }
  assert_true(refused > 200 && accepted > 20);
  unlink(path);
}

// --- what native makes of a program ----------------------------------------------------------------------------------

static int64_t computed;  // elements
static void count_exp(void *out, const void *a, const void *b, const void *c, int64_t n) {
  computed += n;
  leat_kern_portable.map[LEAT_KERN_F32][PEF_SCALAR_EXP](out, a, b, c, n);
}

// y = x + exp(exp(row)) + exp(number): the first two once a row, the last once a tile.
static void what_strips_share_is_computed_once(void **state) {
  (void)state;
  enum { WIDTH = 2000 };
  const pef_instruction_t code[] = {
      {.op = PEF_OP_LOAD, .a = 1},
      {.op = PEF_SCALAR_EXP, .a = 0},
      {.op = PEF_SCALAR_EXP, .a = 1},
      {.op = PEF_OP_IMMEDIATE},
      {.op = PEF_SCALAR_EXP, .a = 3},
      {.op = PEF_OP_LOAD, .a = 0},
      {.op = PEF_SCALAR_ADD, .a = 5, .b = 2},
      {.op = PEF_SCALAR_ADD, .a = 6, .b = 4},
      {.op = PEF_OP_STORE, .a = 2, .b = 7},
  };
  leat_kern_t kern = leat_kern_portable;
  kern.map[LEAT_KERN_F32][PEF_SCALAR_EXP] = count_exp;
  static float x[ROWS * WIDTH], y[ROWS * WIDTH];
  float row[ROWS] = {0, 1, -1};
  rig_t rig;
  rig_init(&rig, PEF_STAGE_MAP, 0, &kern);
  const int64_t dims[] = {ROWS, WIDTH};
  rig_operand(&rig, PEF_F32, x, 2, dims);
  leat_native_operand_t *rows = rig_operand(&rig, PEF_F32, row, 2, dims);
  rig_operand(&rig, PEF_F32, y, 2, dims);
  rows->strides[0] = 1;
  rows->strides[1] = 0;
  for (uint32_t i = 0; i < 3; ++i) rig_rows(&rig, i, 0);
  rig.stage.instructions = code;
  rig.stage.instruction_count = sizeof code / sizeof *code;
  computed = 0;
  assert_ok(rig_run(&rig, ROWS));
  assert_int_equal(computed, 2 * ROWS + 1);
  for (uint32_t r = 0; r < ROWS; ++r) assert_true(fabsf(y[r * WIDTH + 1999] - (expf(expf(row[r])) + 1)) < 1e-5f);
  rig_deinit(&rig);
}

// A chain needs no more strips however long it is; values that nobody needs are not computed.
static void strips_are_as_many_as_values_live(void **state) {
  (void)state;
  enum { LENGTH = 1000 };
  float x[COLUMNS] = {0}, y[COLUMNS];
  for (uint32_t round = 0; round < 2; ++round) {
    program_t p;
    begin(&p, LENGTH + 8);
    uint32_t value = load(&p, 0);
    for (uint32_t i = 0; i < (round == 0 ? 10 : LENGTH); ++i)
      value = add(&p, (pef_instruction_t){.op = PEF_SCALAR_NEG, .a = value});
    add(&p, (pef_instruction_t){.op = PEF_SCALAR_EXP, .a = value});
    add(&p, (pef_instruction_t){.op = PEF_OP_STORE, .a = 1, .b = value});
    leat_kern_t kern = leat_kern_portable;
    kern.map[LEAT_KERN_F32][PEF_SCALAR_EXP] = count_exp;
    rig_t rig;
    rig_init(&rig, PEF_STAGE_MAP, 0, &kern);
    rig_operand(&rig, PEF_F32, x, 1, (int64_t[]){COLUMNS});
    rig_operand(&rig, PEF_BF16, y, 1, (int64_t[]){COLUMNS});
    rig.stage.instructions = p.code;
    rig.stage.instruction_count = p.count;
    computed = 0;
    assert_ok(rig_run(&rig, 0));
    assert_int_equal(computed, 0);
    const size_t pointers = (2 * p.count + 4) * sizeof(void *) + 128;  // with a step each
    assert_true(rig.stage.workspace_bytes < pointers + 2 * 512 * sizeof(float));
    rig_deinit(&rig);
    leat_free(p.code);
  }
}

// --- version 1 -----------------------------------------------------------------------------------------------------

static void registers_become_the_values_that_they_held(void **state) {
  (void)state;
  const pef_v1_instruction_t old[] = {
      {.op = PEF_OP_LOAD, .dst = 3, .a = 1},
      {.op = PEF_OP_IMMEDIATE, .dst = 63, .imm = 7, .a = 9},  // `a` was any number
      {.op = PEF_SCALAR_ADD, .dst = 3, .a = 3, .b = 63, .c = 50},
      {.op = PEF_OP_STORE, .a = 0, .b = 3, .dst = 63},
      {.op = PEF_OP_CONVERT, .class_ = 2, .dst = 0, .a = 44, .b = 3, .c = 0},
      {.op = PEF_OP_WRAP, .class_ = 2, .dst = 0, .a = PEF_I8, .b = 0},
      {.op = PEF_SCALAR_SELECT, .dst = 3, .a = 63, .b = 3, .c = 63},
      {.op = PEF_OP_IOTA, .dst = 1, .a = 1},  // of the second stage
      {.op = PEF_OP_STORE, .a = 0, .b = 1},
  };
  const pef_instruction_t wanted[] = {
      {.op = PEF_OP_LOAD, .a = 1},
      {.op = PEF_OP_IMMEDIATE, .imm = 7},
      {.op = PEF_SCALAR_ADD, .a = 0, .b = 1},
      {.op = PEF_OP_STORE, .a = 0, .b = 2},
      {.op = PEF_OP_CONVERT, .class_ = 2, .type = 0, .a = 2},
      {.op = PEF_OP_WRAP, .class_ = 2, .type = PEF_I8, .a = 4},
      {.op = PEF_SCALAR_SELECT, .a = 1, .b = 2, .c = 1},
      {.op = PEF_OP_IOTA, .a = 1},
      {.op = PEF_OP_STORE, .a = 0, .b = 0},
  };
  enum { COUNT = sizeof old / sizeof *old };
  const pef_stage_t stages[] = {{.instruction_count = 7}, {.instruction_first = 7, .instruction_count = 2}};
  pef_instruction_t found[COUNT];
  assert_ok(leat_pef_upgrade_programs(stages, 2, old, found));
  assert_memory_equal(found, wanted, sizeof wanted);
}

static void refuses_v1(const pef_v1_instruction_t *old, const char *message) {
  const pef_stage_t stage = {.kind = PEF_STAGE_MAP, .instruction_count = 2};
  pef_instruction_t found[2];
  leat_status_t status = leat_pef_upgrade_programs(&stage, 1, old, found);
  if (leat_status_code(status) != LEAT_CORRUPT || strstr(leat_status_message(status), message) == NULL) {
    fail_msg("should be refused for \"%s\", got \"%s\"", message,
             status == NULL ? "nothing" : leat_status_message(status));
  }
  leat_status_free(status);
}

static void broken_registers_are_refused(void **state) {
  (void)state;
  const pef_stage_t own = {.instruction_count = 2};
  pef_v1_instruction_t old[2] = {{.op = PEF_OP_LOAD, .dst = 5}, {.op = PEF_SCALAR_NEG, .a = 6}};
  refuses_v1(old, "instruction 1: register 6 is read before it is written");
  old[1].a = 64;
  refuses_v1(old, "register 64 does not exist");
  old[1].a = 5;
  old[1].dst = 64;
  refuses_v1(old, "register 64 does not exist");
  old[1].dst = 0;
  old[1].reserved0[2] = 1;
  refuses_v1(old, "reserved bytes");
  old[1] = (pef_v1_instruction_t){.op = PEF_OP_CONVERT, .b = 5, .c = 0x100};  // not class 0
  pef_instruction_t found[2];
  assert_ok(leat_pef_upgrade_programs(&own, 1, old, found));
  assert_int_equal(found[1].type, 0xff);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_values_live_at_once),
      cmocka_unit_test(a_program_is_as_long_as_the_format_allows),
      cmocka_unit_test(random_programs_agree),
      cmocka_unit_test(values_that_are_not_there_are_refused),
      cmocka_unit_test(what_strips_share_is_computed_once),
      cmocka_unit_test(strips_are_as_many_as_values_live),
      cmocka_unit_test(registers_become_the_values_that_they_held),
      cmocka_unit_test(broken_registers_are_refused),
  };
  return cmocka_run_group_tests_name("strip", tests, NULL, NULL);
}
