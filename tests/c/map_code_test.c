// SPDX-License-Identifier: Apache-2.0
// Programs of MAP as code that is written at load, at the ISA level of the process: bit for bit what the kernels give,
// for random programs of every function, on numbers of all kinds, any length, in place, with more values than there are
// registers. LEAT_DRAWS: how many programs (600).
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "check.h"
#include "draws.h"
#include "level.h"
#include "native/code.h"
#include "native/stage.h"
#include "pef/pef_scalar.h"

enum { INPUTS = 4, OUTPUTS = 3, OPERANDS = INPUTS + OUTPUTS, ROWS = 3, LENGTH_MAX = 700, PROGRAM_MAX = 160 };

typedef struct program_s {
  pef_instruction_t code[PROGRAM_MAX];
  uint32_t count, values;  // instructions; of which are no stores
  leat_native_operand_t operands[OPERANDS];
  float memory[OPERANDS][ROWS * LENGTH_MAX];
  uint32_t lies_in[OPERANDS];  // whose memory it is
} program_t;

static uint64_t state;
static uint32_t chance(uint32_t n) {  // below n
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (uint32_t)(state >> 33) % n;
}

static float any_number(void) {
  static const uint32_t special[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
                                     0x7fc00000, 0xffc00001, 0x7f800001, 1,          0x80000001, 0x00800000,
                                     0x7f7fffff, 0x4b000000, 0x3f000000, 0xbf000000, 0x3fc00000};
  union {
    uint32_t bits;
    float number;
  } is = {.bits = special[chance(sizeof special / sizeof *special)]};
  if (chance(3) != 0) is.number = ((float)chance(1 << 20) - (float)(1 << 19)) / (float)(1 << 16);
  return is.number;
}

static void set_operand(program_t *p, uint32_t index, int64_t length, bool row, bool column) {
  leat_native_operand_t *o = &p->operands[index];
  *o = (leat_native_operand_t){.space = PEF_SPACE_ARGUMENT,
                               .dtype = PEF_F32,
                               .element_bytes = 4,
                               .rank = 2,
                               .slot = index,
                               .row_dim = 0,
                               .row_mult = 1,
                               .dims = {ROWS, length, 1, 1, 1, 1, 1, 1}};
  if (chance(4) == 0) o->dtype = PEF_BF16, o->element_bytes = 2;
  o->strides[0] = row ? 0 : column ? 1 : length;
  o->strides[1] = column ? 0 : 1;
  o->row_bytes = o->strides[0] * o->element_bytes;
  p->lies_in[index] = index;
}

static pef_instruction_t *add(program_t *p, pef_instruction_t instruction) {
  p->code[p->count] = instruction;
  return &p->code[p->count++];
}

// A value of those before: the last ones most of the time, so that programs are deep; all, so that values live long.
static uint32_t any_value(const program_t *p, bool deep) {
  const uint32_t last = deep && p->values > 4 && chance(4) != 0 ? 4 : p->values;
  return p->values - 1 - chance(last);
}

static void add_function(program_t *p, bool deep) {
  static const uint8_t slow[] = {PEF_SCALAR_EXP, PEF_SCALAR_TANH, PEF_SCALAR_SIGMOID, PEF_SCALAR_ERF, PEF_SCALAR_LOG};
  uint8_t op = (uint8_t)chance(PEF_SCALAR_COUNT);
  while (!leat_kern_portable.map[LEAT_KERN_F32][op] || op == PEF_SCALAR_POW) op = (uint8_t)chance(PEF_SCALAR_COUNT);
  if (chance(12) == 0) op = slow[chance(sizeof slow)];
  if (chance(4) == 0) op = PEF_SCALAR_ADD;
  const uint32_t a = any_value(p, deep), b = any_value(p, deep), c = any_value(p, deep);
  if (chance(8) == 0) {
    (void)add(p, (pef_instruction_t){.op = PEF_OP_WRAP, .type = PEF_BF16, .a = a});
    p->values++;
    return;
  }
  const uint32_t arity = leat_pef_scalar_arity(op);
  (void)add(p, (pef_instruction_t){.op = op, .a = a, .b = arity > 1 ? b : 0, .c = arity > 2 ? c : 0});
  p->values++;
}

// Leaves first and stores last: instructions up to p->values make one value each.
static void draw_program(program_t *p, int64_t length) {
  memset(p, 0, sizeof *p);
  for (uint32_t i = 0; i < INPUTS; i++) {
    set_operand(p, i, length, chance(6) == 0, i > 0 && chance(4) == 0);
    for (uint32_t e = 0; e < ROWS * LENGTH_MAX; e++) p->memory[i][e] = any_number();
    (void)add(p, (pef_instruction_t){.op = PEF_OP_LOAD, .a = i});
  }
  p->values = INPUTS;
  for (uint32_t i = chance(3) == 0 ? 40 : chance(6); i > 0; i--, p->values++) {
    const double number = (double)any_number();
    memcpy(&add(p, (pef_instruction_t){.op = PEF_OP_IMMEDIATE})->imm, &number, sizeof number);
  }
  const bool deep = chance(3) != 0;
  for (uint32_t i = 1 + chance(chance(2) ? 8 : 100); i > 0; i--) add_function(p, deep);
  for (uint32_t i = INPUTS; i < OPERANDS; i++) {
    set_operand(p, i, length, false, false);
    const leat_native_operand_t *in = &p->operands[i - INPUTS];
    if (chance(3) == 0 && in->dtype == p->operands[i].dtype &&
        memcmp(in->strides, p->operands[i].strides, sizeof in->strides) == 0)
      p->lies_in[i] = i - INPUTS;
    (void)add(p, (pef_instruction_t){.op = PEF_OP_STORE, .a = i, .b = any_value(p, true)});
  }
}

static void run(const program_t *p, leat_native_code_t *code, float (*memory)[ROWS * LENGTH_MAX]) {
  leat_arena_t arena;
  leat_arena_init(&arena);
  leat_native_stage_t stage = {.kind = leat_native_stage_kind(PEF_STAGE_MAP),
                               .kern = leat_native_cpu_kernels(level_isa()),
                               .operands = p->operands,
                               .operand_count = OPERANDS,
                               .instructions = p->code,
                               .instruction_count = p->count,
                               .origin = "test"};
  const leat_native_prepare_t context = {
      .arena = &arena, .kern = stage.kern, .code = code, .row_count = ROWS, .tile_rows_max = 2};
  assert_ok(stage.kind->prepare(&stage, &context));
  char *workspace = leat_alloc(stage.workspace_bytes + 64), *arguments[OPERANDS];
  memset(workspace, 0x7f, stage.workspace_bytes);
  memcpy(memory, p->memory, sizeof p->memory);
  for (uint32_t i = 0; i < OPERANDS; i++) arguments[i] = (char *)memory[p->lies_in[i]];
  for (int64_t r = 0; r < ROWS; r += 2) {
    const leat_run_tile_t tile = {
        .r0 = r, .rows = r + 2 > ROWS ? ROWS - r : 2, .arguments = arguments, .workspace = workspace};
    stage.kind->run(&stage, &tile);
  }
  leat_free(workspace);
  leat_arena_deinit(&arena);
}

static bool is_same(uint8_t dtype, const float *a, const float *b) {
  uint16_t x[2], y[2];
  if (memcmp(a, b, sizeof *a) == 0 || (*a != *a && *b != *b && dtype == PEF_F32)) return true;
  memcpy(x, a, sizeof x);
  memcpy(y, b, sizeof y);
  bool same = dtype == PEF_BF16;
  for (int i = 0; i < 2; i++) same &= x[i] == y[i] || ((x[i] & 0x7fff) > 0x7f80 && (y[i] & 0x7fff) > 0x7f80);
  return same;
}

static void one_program(uint32_t seed, leat_native_code_t *code) {
  static program_t p;
  static float by_kernels[OPERANDS][ROWS * LENGTH_MAX], by_code[OPERANDS][ROWS * LENGTH_MAX];
  state = seed * 2654435761u + 99;
  for (int i = 0; i < 8; i++) (void)chance(2);
  draw_program(&p, 1 + chance(chance(2) ? 40 : LENGTH_MAX));
  run(&p, NULL, by_kernels);
  run(&p, code, by_code);
  for (uint32_t i = 0; i < OPERANDS; i++) {
    for (uint32_t e = 0; e < ROWS * LENGTH_MAX; e++) {
      if (!is_same(p.operands[i].dtype, &by_kernels[i][e], &by_code[i][e]))
        fail_msg("program %u, operand %u, element %u: %.9g by kernels, %.9g by code", seed, i, e,
                 (double)by_kernels[i][e], (double)by_code[i][e]);
    }
  }
}

static void code_gives_what_kernels_give(void **unused) {
  (void)unused;
  leat_native_code_t *code = NULL;
  assert_ok(leat_native_code_create(level_isa(), &code));
  if (level_isa() == LEAT_ISA_PORTABLE) assert_null(code);  // nothing is written for this level
  if (code == NULL) return;                                 // nor for other machines
  for (uint32_t i = 0; i < draws(600); i++) one_program(i, code);
  const leat_native_code_counts_t counts = leat_native_code_counts(code);
  assert_true(counts.kept > 0);
  assert_int_equal(counts.refused, 0);
  leat_native_code_destroy(code);
}

// Asked for by code.c alone; the linker sends the request here.
static bool refuses;
int __real_mprotect(void *pages, size_t bytes, int protection);
int __wrap_mprotect(void *pages, size_t bytes, int protection);
int __wrap_mprotect(void *pages, size_t bytes, int protection) {
  if (!refuses) return __real_mprotect(pages, bytes, protection);
  errno = EACCES;
  return -1;
}

static void where_code_is_refused_kernels_run(void **unused) {
  (void)unused;
  leat_native_code_t *code = NULL;
  assert_ok(leat_native_code_create(level_isa(), &code));
  if (code == NULL) return;
  refuses = true;
  for (uint32_t i = 0; i < 40; i++) one_program(i, code);
  refuses = false;
  const leat_native_code_counts_t counts = leat_native_code_counts(code);
  assert_int_equal(counts.kept, 0);
  assert_true(counts.refused > 0);
  leat_native_code_destroy(code);
}

static void equal_code_is_kept_once(void **unused) {
  (void)unused;
  leat_native_code_t *code = NULL;
  assert_ok(leat_native_code_create(level_isa(), &code));
  if (code == NULL) return;
  const uint8_t returns[] = {0xc3}, returns_too[] = {0x90, 0xc3};
  const void *first = leat_native_code_keep(code, returns, sizeof returns);
  assert_non_null(first);
  assert_ptr_equal(leat_native_code_keep(code, returns, sizeof returns), first);
  assert_ptr_not_equal(leat_native_code_keep(code, returns_too, sizeof returns_too), first);
  assert_int_equal(leat_native_code_counts(code).kept, 2);
  leat_native_code_destroy(code);
}

int main(void) {
  if (!level_begin()) return LEVEL_MISSING;
  const struct CMUnitTest tests[] = {cmocka_unit_test(code_gives_what_kernels_give),
                                     cmocka_unit_test(where_code_is_refused_kernels_run),
                                     cmocka_unit_test(equal_code_is_kept_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
