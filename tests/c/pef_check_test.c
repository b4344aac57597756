// SPDX-License-Identifier: Apache-2.0
// The validator, rule by rule: a valid stage of every kind is accepted; the same stage with one field changed is
// refused with the message of that rule.
#include "check.h"
#include "pef/pef_read.h"
#include "pef/pef_scalar.h"
#include "pef_zoo.h"

// Opens what a writer holds, and destroys the writer.
static leat_status_t open_written(leat_pef_writer_t *writer) {
  uint8_t *data = NULL;
  size_t bytes = 0;
  leat_status_t status = leat_pef_write_memory(writer, &data, &bytes);
  leat_pef_writer_destroy(writer);
  if (status != NULL) return status;
  leat_pef_t *pef = NULL;
  status = leat_pef_open_memory(data, bytes, "zoo.pef", &pef);
  leat_pef_close(pef);
  leat_free(data);
  return status;
}

static leat_status_t open_zoo(const pef_zoo_t *zoo, uint32_t count) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_zoo_build(writer, zoo, count);
  return open_written(writer);
}

static void every_kind_is_accepted(void **state) {
  (void)state;
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    const pef_zoo_t zoo = pef_zoo_stage(kind);
    leat_status_t status = open_zoo(&zoo, 1);
    if (status != NULL) fail_msg("%s", leat_status_message(status));
  }
}

// Sets the field at `offset` (`bytes` long) to `value`.
typedef struct edit_s {
  uint32_t kind;
  size_t offset, bytes;
  int64_t value;
  const char *message;
} edit_t;
#define EDIT(kind, field, value, message) \
  { PEF_STAGE_##kind, offsetof(pef_zoo_t, field), sizeof(((pef_zoo_t *)0)->field), (value), (message) }

static const edit_t edits[] = {
    // bodies and stages
    EDIT(MAP, body.row_count, 0, "must be at least 1"),
    EDIT(MAP, body.tile_rows_max, 0, "must be at least 1"),
    EDIT(MAP, body.tile_quantum, 0, "must be at least 1"),
    EDIT(MAP, body.argument_count, PEF_ZOO_OPERANDS + 1, "which takes 13"),
    EDIT(MAP, stage.kind, 99, "stage kind 99 does not exist"),
    EDIT(MAP, stage.fn, 9, "function 9 does not exist"),
    EDIT(MAP, stage.output, 1, "there are 1 outputs"),
    EDIT(MAP, stage.origin, 1000, "origin is string 1000"),
    EDIT(REDUCE, stage.operand_count, 3, "reduce has 2"),
    // operands
    EDIT(MAP, operands[0].space, 3, "space 3"),
    EDIT(MAP, operands[0].space, 0, "absent"),
    EDIT(MAP, operands[0].dtype, 10, "dtype 10"),
    EDIT(MAP, operands[0].rank, 9, "rank 9"),
    EDIT(MAP, operands[0].rank, 1, "in rank 1"),
    EDIT(MAP, operands[0].slot, PEF_ZOO_OPERANDS, "slot 12"),
    EDIT(MAP, operands[0].row_dim, 2, "row dim 2"),
    EDIT(MAP, operands[0].row_dim, 0xff, "row multiple without"),
    EDIT(MAP, operands[0].row_mult, 2, "not 6 rows of 2"),
    EDIT(MAP, operands[0].row_mult, 0, "not 6 rows of 0"),
    EDIT(MAP, operands[0].dims[1], -1, "dim 1 is -1"),
    EDIT(MAP, operands[0].dims[0], 7, "not 6 rows"),
    EDIT(MAP, operands[0].strides[0], INT64_MAX, "too large"),
    EDIT(MAP, operands[0].strides[0], INT64_MIN, "too large"),
    EDIT(MAP, operands[0].offset, 8, "reaches byte -4, before the start"),
    EDIT(MAP, operands[0].offset, 13, "offset 13 does not fit f32"),
    EDIT(MAP, operands[0].offset, 4096, "reach byte 4180 of 4096"),
    EDIT(MAP, operands[0].strides[0], 300, "of 4096"),
    EDIT(MAP, operands[1].strides[1], 0, "elements overlap"),
    EDIT(MAP, operands[1].strides[0], 3, "elements overlap"),
    EDIT(MAP, operands[1].dims[1], 3, "differ in extent"),
    // MAP
    EDIT(MAP, instructions[0].op, 262, "operation 262"),
    EDIT(MAP, instructions[0].op, PEF_SCALAR_COUNT, "does not exist"),
    EDIT(MAP, instructions[0].class_, 3, "class 3"),
    EDIT(MAP, instructions[0].a, 2, "operand 2 of 2"),
    EDIT(MAP, instructions[0].a, UINT32_MAX, "operand 4294967295 of 2"),
    EDIT(MAP, instructions[0].type, 1, "does not use is not zero"),
    EDIT(MAP, instructions[0].b, 1, "does not use is not zero"),
    EDIT(MAP, instructions[0].c, 1, "does not use is not zero"),
    EDIT(MAP, instructions[1].a, 2, "iota along dim 2"),
    EDIT(MAP, instructions[2].type, PEF_CLASS_F32, "value 1 is of class 2, class 0 is read"),
    EDIT(MAP, instructions[2].type, 3, "value 1 is of class 2, class 3 is read"),
    EDIT(MAP, instructions[2].a, 2, "it reads value 2, which does not come before it"),
    EDIT(MAP, instructions[2].a, 3, "it reads value 3, which does not come before it"),
    EDIT(MAP, instructions[2].a, UINT32_MAX, "it reads value 4294967295"),
    EDIT(MAP, instructions[2].b, 1, "does not use is not zero"),
    EDIT(MAP, instructions[3].op, PEF_SCALAR_CAST, "does not exist"),
    EDIT(MAP, instructions[3].op, PEF_SCALAR_XOR, "'xor' is not defined for floats"),
    EDIT(MAP, instructions[3].a, 3, "it reads value 3, which does not come before it"),
    EDIT(MAP, instructions[3].b, 1, "value 1 is of class 2, class 0 is read"),
    EDIT(MAP, instructions[3].c, 4, "it reads value 4, which does not come before it"),
    EDIT(MAP, instructions[3].type, 1, "'fma' has no body 1 in class 0"),
    EDIT(MAP, instructions[4].type, PEF_I8, "wrap to dtype 4"),
    EDIT(MAP, instructions[4].type, 99, "wrap to dtype 99"),
    EDIT(MAP, instructions[5].b, 5, "it reads value 5, which does not come before it"),
    EDIT(MAP, instructions[5].b, 1, "value 1 is of class 2, class 0 is read"),
    EDIT(MAP, instructions[5].c, 1, "does not use is not zero"),
    EDIT(MAP, instructions[5].a, 3, "writes none of its operands"),
    // REDUCE, SCAN
    EDIT(REDUCE, stage.fn, PEF_FN_SET, "does not fit reduce"),
    EDIT(REDUCE, stage.params.reduce.dims, 8, "parameter 'dims' is 8"),
    EDIT(REDUCE, stage.params.reduce.dims, 1, "run along dim 0, which reduce cannot cut"),
    EDIT(REDUCE, stage.params.reduce.dims, 2, "reduced dim 1, should have 0"),
    EDIT(REDUCE, stage.params.reduce.dims, 0, "elements overlap"),
    EDIT(REDUCE, stage.fn, PEF_FN_ARGMAX, "is not i64"),
    EDIT(REDUCE, stage.params.reduce.chain, -1, "parameter 'chain' is -1"),
    EDIT(REDUCE, stage.params.reduce.chain, PEF_CHAIN_MAX + 1, "should be 0 to 65536"),
    EDIT(REDUCE, operands[1].dtype, PEF_F64, "different classes"),
    EDIT(REDUCE, operands[1].dims[2], 1, "differ in extent"),
    EDIT(SCAN, stage.params.scan.dim, 0, "run along dim 0, which scan cannot cut"),
    EDIT(SCAN, stage.params.scan.dim, 2, "parameter 'dim' is 2"),
    EDIT(SCAN, stage.params.scan.reverse, 2, "parameter 'reverse' is 2"),
    EDIT(SCAN, stage.fn, PEF_FN_ARGMAX, "does not fit scan"),
    // CONTRACT
    EDIT(CONTRACT, stage.params.contract.roles[0], 4, "parameter 'roles[0]' is 4"),
    EDIT(CONTRACT, stage.params.contract.roles[0], PEF_NONE, "parameter 'roles[0]'"),
    EDIT(CONTRACT, stage.params.contract.roles[3], 1, "stride 0 on dim 3"),
    EDIT(CONTRACT, stage.params.contract.n_block, -1, "parameter 'n_block'"),
    EDIT(CONTRACT, stage.params.contract.n_block_step, 512, "reach"),
    EDIT(CONTRACT, stage.params.contract.n_block_step, INT64_MAX / 8, "too large"),
    EDIT(CONTRACT, stage.params.contract.add, 2, "parameter 'add'"),
    EDIT(CONTRACT_SCALED, operands[2].strides[0], 1, "dim 0 of operand 'scale' (6)"),
    EDIT(CONTRACT_SCALED, operands[2].dtype, PEF_BF16, "operand 'scale' is bf16, should be f32"),
    EDIT(CONTRACT_SCALED, operands[1].dtype, PEF_U8, "operand 'b' is u8, should be i8"),
    EDIT(CONTRACT_SCALED, operands[3].strides[3], 1, "which it lacks"),
    EDIT(CONTRACT_SCALED, stage.params.product.n_block_step, 4096, "reach"),
    EDIT(CONTRACT, operands[1].strides[2], 2, "stride 1 on its n dim"),
    EDIT(CONTRACT, operands[0].strides[2], 1, "which it lacks"),
    EDIT(CONTRACT, operands[2].strides[3], 1, "which it lacks"),
    EDIT(CONTRACT, operands[1].dims[3], 4, "differ in extent"),
    EDIT(CONTRACT, operands[0].dtype, PEF_I32, "different classes"),
    // CONV, CONV_WGRAD, POOL, POOL_GRAD
    EDIT(CONV, stage.params.window.spatial, 4, "parameter 'spatial' is 4"),
    EDIT(CONV, stage.params.window.spatial, 1, "parameter 'window[1]' is 3, should be 0"),
    EDIT(CONV, stage.params.window.groups, 3, "'groups' is 3: it has to divide 4 channels and 8 features"),
    EDIT(CONV, stage.params.window.groups, 1, "should be 4"),
    EDIT(CONV, stage.params.window.window[0], 2, "the window is 2"),
    EDIT(CONV, stage.params.window.stride[0], 0, "parameter 'stride[0]'"),
    EDIT(CONV, stage.params.window.stride[0], 1, "5 positions"),
    EDIT(CONV, stage.params.window.low[0], 3, "4 positions"),
    EDIT(CONV, stage.params.window.dilation[0], 2, "2 positions"),
    EDIT(CONV, stage.params.window.base_dilation[0], 2, "5 positions"),
    EDIT(CONV, stage.params.window.base_dilation[0], 0, "parameter 'base_dilation[0]'"),
    EDIT(CONV, operands[1].dims[0], 4, "differ in extent"),
    EDIT(CONV_WGRAD, stage.params.window.base_dilation[0], 2, "parameter 'base_dilation[0]'"),
    EDIT(CONV_WGRAD, stage.params.conv_wgrad.batch, 1, "should have 5"),
    EDIT(CONV_WGRAD, stage.params.conv_wgrad.batch, 9, "parameter 'batch' is 9"),
    EDIT(CONV_WGRAD, operands[0].dims[1], 3, "should be 3"),
    EDIT(CONV_WGRAD, operands[0].dims[0], 3, "differ in extent"),
    EDIT(POOL, stage.fn, PEF_FN_MIN, "does not fit pool"),
    EDIT(POOL, stage.params.window.window[0], 3, "1 positions"),
    EDIT(POOL, operands[1].dims[1], 2, "differ in extent"),
    EDIT(POOL_GRAD, operands[2].dims[2], 3, "differ in extent"),
    EDIT(POOL_GRAD, operands[1].dtype, PEF_F64, "operand 'dy' is f64, should be f32 as 'x'"),
    // GATHER, SCATTER, SORT, RANDOM
    EDIT(GATHER, stage.params.gather.dim, 2, "parameter 'dim' is 2"),
    EDIT(GATHER, stage.params.gather.batch, 1, "parameter 'dim' is 0, should be at least 1"),
    EDIT(GATHER, stage.params.gather.dim, 1, "differ in extent"),
    EDIT(GATHER, operands[1].dtype, PEF_F32, "operand 'index' is f32, should be i32 or i64"),
    EDIT(GATHER, operands[2].dims[2], 4, "differ in extent"),
    EDIT(SCATTER, stage.fn, PEF_FN_ARGMIN, "does not fit scatter"),
    EDIT(SCATTER, stage.params.scatter.batch, 0, "operand 'out' has rank 3, should have 2"),
    EDIT(SCATTER, operands[1].dims[1], 3, "differ in extent"),
    EDIT(SORT, stage.params.sort.dim, 0, "which sort cannot cut"),
    EDIT(SORT, operands[2].dtype, PEF_I32, "operand 'indices' is i32, should be i64"),
    EDIT(SORT, operands[1].rank, 1, "absent but has rank 1"),
    EDIT(RANDOM, operands[0].dtype, PEF_I32, "operand 'state' is i32, should be i64"),
    EDIT(RANDOM, operands[1].dtype, PEF_F16, "operand 'out' is f16, should be f32 or f64"),
    EDIT(RANDOM, stage.params.random.stream, -1, "parameter 'stream'"),
    EDIT(RANDOM, stage.fn, PEF_FN_SUM, "does not fit random"),
};

static void every_rule_refuses(void **state) {
  (void)state;
  uint32_t wrong = 0;
  for (size_t i = 0; i < sizeof edits / sizeof *edits; ++i) {
    pef_zoo_t zoo = pef_zoo_stage(edits[i].kind);
    memcpy((char *)&zoo + edits[i].offset, &edits[i].value, edits[i].bytes);  // little-endian
    leat_status_t status = open_zoo(&zoo, 1);
    const char *message = leat_status_message(status);
    if (leat_status_code(status) != LEAT_CORRUPT || strstr(message, edits[i].message) == NULL ||
        strstr(message, "zoo.pef: ") != message) {
      print_error("edit %zu should be refused with '%s', got '%s'\n", i, edits[i].message, message);
      ++wrong;
    }
    leat_status_free(status);
  }
  assert_int_equal(wrong, 0);
}

static void refuses(const pef_zoo_t *zoo, const char *message) {
  assert_fails(open_zoo(zoo, 1), LEAT_CORRUPT, message);
}

// Only MAP and CONTRACT find out by themselves that a broadcast operand follows the rows.
static void broadcast_of_other_kinds_needs_its_row_mark(void **state) {
  (void)state;
  for (uint32_t kind = PEF_STAGE_REDUCE; kind <= PEF_STAGE_SCAN; ++kind) {
    pef_zoo_t zoo = pef_zoo_stage(kind);
    zoo.operands[0].strides[0] = 0;
    assert_null(open_zoo(&zoo, 1));
    zoo.operands[0].row_dim = PEF_NO_ROW_DIM;
    zoo.operands[0].row_mult = 0;
    refuses(&zoo, "differ in extent or rows");
  }
}

static void an_operand_is_stored_to_once(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_MAP);
  zoo.instructions[4] = (pef_instruction_t){.op = PEF_OP_STORE, .a = 1, .b = 3};
  zoo.instructions[5].b = 3;
  refuses(&zoo, "operand 1 is stored to twice");
  zoo.instructions[5] = (pef_instruction_t){.op = PEF_SCALAR_NEG, .a = 4};
  refuses(&zoo, "it reads value 4, but a store makes none");
}

// A second body is format 2.1, also where 2.0 has all else that the file says.
static void second_bodies_are_of_version_2_1(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_MAP);
  zoo.instructions[3] = (pef_instruction_t){.op = PEF_SCALAR_TANH, .a = zoo.instructions[3].a};
  for (int second = 0; second < 2; ++second) {
    if (second == 1) zoo.instructions[3].op = PEF_SCALAR_EXPM1, zoo.instructions[3].type = PEF_BODY_SINGLE;
    leat_pef_writer_t *writer = leat_pef_writer_create();
    pef_zoo_build(writer, &zoo, 1);
    uint8_t *data = NULL;
    size_t bytes = 0;
    assert_ok(leat_pef_write_memory(writer, &data, &bytes));
    leat_pef_writer_destroy(writer);
    pef_header_t *header = (pef_header_t *)(void *)data;
    assert_int_equal(header->version_minor, second);
    header->version_minor = 0;
    leat_pef_t *pef = NULL;
    leat_status_t status = leat_pef_open_memory(data, bytes, "zoo.pef", &pef);
    if (second == 0) assert_null(status);
    if (second == 1) assert_fails(status, LEAT_CORRUPT, "format 2.0 does not have body 1 of 'expm1'");
    leat_pef_close(pef);
    leat_free(data);
  }
  zoo.instructions[3].op = PEF_SCALAR_TANH;
  refuses(&zoo, "'tanh' has no body 1 in class 0");
}

// So that what an engine leaves out need not be taken out of the file.
static void a_value_that_nothing_reads_is_legal(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_MAP);
  zoo.instructions[5].b = 3;
  assert_null(open_zoo(&zoo, 1));
}

// Rows that leave nothing behind could be any number of them.
static void rows_write_an_argument(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_SCAN);
  pef_zoo_keep(&zoo, 1);
  refuses(&zoo, "6 rows write no argument");
  zoo.operands[1].row_dim = PEF_NO_ROW_DIM;
  zoo.operands[1].row_mult = 0;
  zoo.operands[0].row_dim = PEF_NO_ROW_DIM;
  zoo.operands[0].row_mult = 0;
  refuses(&zoo, "every tile would write the same place");
}

static void packed_columns_in_scratch_are_not_cut(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_CONTRACT);
  const int64_t roles[] = {PEF_ROLE_N, PEF_ROLE_BATCH, PEF_ROLE_M, PEF_ROLE_K};
  memcpy(zoo.stage.params.contract.roles, roles, sizeof roles);
  zoo.operands[0].strides[0] = zoo.operands[1].strides[2] = 0;
  zoo.operands[0].strides[2] = 3;
  zoo.operands[0].row_dim = PEF_NO_ROW_DIM;
  zoo.operands[0].row_mult = 0;
  zoo.operands[1].strides[0] = 1;
  zoo.operands[1].row_dim = 0;
  zoo.operands[1].row_mult = 1;
  assert_null(open_zoo(&zoo, 1));
  pef_zoo_keep(&zoo, 1);
  refuses(&zoo, "scratch holds the columns of one tile only");
}

// Pairs are of bf16 with bf16, and whole in blocks of long sums and in panels.
static void pairs_are_of_bf16_and_whole(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_CONTRACT);
  zoo.stage.params.contract.pairs = 1;
  refuses(&zoo, "parameter 'pairs'");
  zoo.operands[0].dtype = PEF_BF16;
  refuses(&zoo, "operand 'b' is f32: parameter 'pairs'");
  zoo.operands[1].dtype = PEF_BF16;
  refuses(&zoo, "operand 'b' is packed in pairs, but has 3 elements of k");
  zoo.stage.params.contract.n_block_step = 13;
  refuses(&zoo, "parameter 'n_block_step'");
  zoo.stage.params.contract.n_block = zoo.stage.params.contract.n_block_step = 0;
  assert_null(open_zoo(&zoo, 1));
  zoo.stage.params.contract.chain = 7;
  refuses(&zoo, "parameter 'chain'");
  zoo.stage.params.contract.chain = 8;
  assert_null(open_zoo(&zoo, 1));
}

// A sum over a broadcast operand takes steps that no memory accounts for: a few are fine, years are not.
static void work_is_bounded_by_size(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_REDUCE);
  zoo.operands[0].strides[2] = 0;
  zoo.operands[0].dims[2] = zoo.operands[1].dims[2] = 1 << 20;
  assert_null(open_zoo(&zoo, 1));
  zoo.operands[0].dims[2] = zoo.operands[1].dims[2] = INT64_C(1) << 40;
  refuses(&zoo, "steps more than the elements");
}

// Summing up no elements has a result, which must have its place.
static void results_of_empty_sums_lie_in_their_argument(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_REDUCE);
  zoo.operands[0].dims[2] = zoo.operands[1].dims[2] = 0;
  assert_null(open_zoo(&zoo, 1));
  zoo.operands[1].offset = PEF_ZOO_ARGUMENT_BYTES - 4 * 23;
  refuses(&zoo, "reach byte 4100 of 4096");
}

static void arguments_of_extremes_have_elements(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_REDUCE);
  zoo.stage.fn = PEF_FN_ARGMAX;
  zoo.operands[1].dtype = PEF_I64;
  assert_null(open_zoo(&zoo, 1));
  zoo.operands[0].dims[2] = zoo.operands[1].dims[2] = 0;
  refuses(&zoo, "dim 2 of operand 'in' is empty: reduce has no result for that");
  zoo.operands[0].dims[1] = zoo.operands[1].dims[1] = 0;  // nothing of nothing
  zoo.body.row_count = 1;
  zoo.operands[0].dims[0] = zoo.operands[1].dims[0] = 1;
  assert_null(open_zoo(&zoo, 1));
}

// Values fit indices of 16 bits.
static void instructions_of_a_stage_are_bounded(void **state) {
  (void)state;
  pef_instruction_t *code = leat_alloc_zero(PEF_MAX_INSTRUCTIONS + 1, sizeof *code);
  for (uint32_t count = PEF_MAX_INSTRUCTIONS; count <= PEF_MAX_INSTRUCTIONS + 1; ++count) {
    pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_MAP);
    for (uint32_t i = 0; i < count; ++i) code[i] = (pef_instruction_t){.op = PEF_OP_IMMEDIATE};
    code[count - 1] = (pef_instruction_t){.op = PEF_OP_STORE, .a = 1};
    zoo.stage.instruction_count = count;
    leat_pef_writer_t *writer = leat_pef_writer_create();
    leat_pef_body_draft_t draft = pef_zoo_draft(&zoo);
    draft.instructions = code;
    const pef_call_t call = {.body = leat_pef_add_body(writer, &draft), .argument_count = PEF_ZOO_OPERANDS};
    pef_argument_t arguments[PEF_ZOO_OPERANDS];
    for (uint32_t i = 0; i < PEF_ZOO_OPERANDS; ++i) arguments[i] = (pef_argument_t){.offset = i * 512, .bytes = 512};
    leat_pef_add_call(writer, &call, arguments);
    leat_pef_set_info(writer, &(pef_info_t){.arena_bytes = PEF_ZOO_OPERANDS * 512});
    uint8_t *data = NULL;
    size_t bytes = 0;
    leat_status_t status = leat_pef_write_memory(writer, &data, &bytes);
    leat_pef_t *pef = NULL;
    if (status == NULL) status = leat_pef_open_memory(data, bytes, "zoo.pef", &pef);
    assert_int_equal(status == NULL, count == PEF_MAX_INSTRUCTIONS);
    leat_status_free(status);
    leat_pef_close(pef);
    leat_free(data);
    leat_pef_writer_destroy(writer);
  }
  leat_free(code);
}

// A bias without a row mark is broadcast along the rows; a full operand needs the mark.
static void broadcast_needs_no_row_mark(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_MAP);
  zoo.operands[0].row_dim = PEF_NO_ROW_DIM;
  zoo.operands[0].row_mult = 0;
  leat_status_t status = open_zoo(&zoo, 1);
  assert_non_null(strstr(leat_status_message(status), "differ in extent or rows"));
  leat_status_free(status);
  zoo.operands[0].strides[0] = 0;
  assert_null(open_zoo(&zoo, 1));
  zoo = pef_zoo_stage(PEF_STAGE_MAP);  // but what is written does
  pef_zoo_keep(&zoo, 1);
  zoo.operands[1].row_dim = PEF_NO_ROW_DIM;
  zoo.operands[1].row_mult = 0;
  refuses(&zoo, "differ in extent or rows");
}

// Only what sums floats has another order of summation.
static void only_sums_have_long_sums(void **state) {
  (void)state;
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    pef_zoo_t zoo = pef_zoo_stage(kind);
    zoo.stage.params.words[23] = 16;
    leat_status_t status = open_zoo(&zoo, 1);
    bool sums = kind == PEF_STAGE_CONTRACT || kind == PEF_STAGE_CONV || kind == PEF_STAGE_CONV_WGRAD;
    sums |= kind == PEF_STAGE_CONTRACT_SCALED;
    sums |= kind == PEF_STAGE_REDUCE && zoo.stage.fn == PEF_FN_SUM;
    const char *message = kind == PEF_STAGE_SCAN ? "parameter 'wide' is 16, should be 0" : "word 23 of the parameters";
    if (sums) {
      assert_null(status);
    } else {
      assert_non_null(strstr(leat_status_message(status), message));
    }
    leat_status_free(status);
  }
}

static void no_two_symbols_have_one_name(void **state) {
  (void)state;
  const pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_MAP);
  const char *const names[] = {"ids", "idz", "ids"};
  for (uint32_t count = 2; count <= 3; ++count) {
    leat_pef_writer_t *writer = leat_pef_writer_create();
    pef_zoo_build(writer, &zoo, 1);
    for (uint32_t i = 0; i < count; ++i) {
      const pef_symbol_t symbol = {.name = leat_pef_add_string(writer, names[i]),
                                   .kind = PEF_SYMBOL_INPUT,
                                   .dtype = PEF_F32,
                                   .of = PEF_NONE,
                                   .bytes = 4};
      leat_pef_add_symbol(writer, &symbol);
    }
    leat_status_t status = open_written(writer);
    if (count == 2) {
      assert_null(status);
    } else {
      assert_fails(status, LEAT_CORRUPT, "are both called 'ids'");
    }
  }
}

// --- bounds of indices -----------------------------------------------------------------------------------------------

static leat_status_t open_bound(const pef_bound_t *bound) {
  const pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_MAP);
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_zoo_build(writer, &zoo, 1);
  pef_symbol_t symbol = {.kind = PEF_SYMBOL_INPUT, .dtype = PEF_I32, .rank = 2, .of = PEF_NONE, .bytes = 48};
  symbol.name = leat_pef_add_string(writer, "ids");
  symbol.dims[0] = 4, symbol.dims[1] = 3;
  pef_bound_t added = *bound;
  const uint32_t ids = leat_pef_add_symbol(writer, &symbol);
  added.symbol += ids;
  leat_pef_add_bound(writer, &added);
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_null(leat_pef_write_memory(writer, &data, &bytes));
  assert_int_equal(leat_pef_find_symbol(writer, "ids"), ids);
  assert_int_equal(leat_pef_find_symbol(writer, "idz"), PEF_NONE);
  leat_pef_writer_destroy(writer);
  leat_pef_t *pef = NULL;
  leat_status_t status = leat_pef_open_memory(data, bytes, "zoo.pef", &pef);
  if (status == NULL) assert_int_equal(pef->bound_count, 1);
  leat_pef_close(pef);
  leat_free(data);
  return status;
}

// Every second row, but for its first column.
static const pef_bound_t part = {.high = 4, .rank = 2, .offset = 1, .dims = {2, 2}, .strides = {6, 1}};

#define BOUND(field, value, message) \
  { 0, offsetof(pef_bound_t, field), sizeof(((pef_bound_t *)0)->field), (value), (message) }
static const edit_t bound_edits[] = {
    BOUND(symbol, 1, "there is no symbol"),
    BOUND(symbol, -1, "is none of indices"),  // of floats
    BOUND(origin, 100000, "there is no string 100000"),
    BOUND(rank, 9, "its rank, its mark"),
    BOUND(rank, 1, "dim 1 has 2 elements 1 apart"),
    BOUND(has_ignored, 2, "its rank, its mark"),
    BOUND(reserved0[5], 1, "reserved bytes"),
    BOUND(dims[0], -1, "dim 0 has -1"),
    BOUND(dims[0], 7, "more than the symbol has"),
    BOUND(dims[0], INT64_MAX, "more than the symbol has"),
    BOUND(dims[0], 3, "over the end"),
    BOUND(strides[0], -6, "-6 apart"),
    BOUND(strides[0], 10, "over the end"),
    BOUND(strides[0], INT64_MAX, "over the end"),
    BOUND(offset, 5, "over the end"),
    BOUND(offset, -1, "more than the symbol has"),
};

static void bounds_stay_inside_their_symbol(void **state) {
  (void)state;
  assert_null(open_bound(&part));
  assert_null(open_bound(&(pef_bound_t){.low = 1, .dims = {0}}));
  assert_null(open_bound(&(pef_bound_t){.rank = 2, .offset = 1000, .dims = {0, 3}, .strides = {3, 1}}));
  for (size_t i = 0; i < sizeof bound_edits / sizeof *bound_edits; ++i) {
    pef_bound_t bound = part;
    memcpy((char *)&bound + bound_edits[i].offset, &bound_edits[i].value, bound_edits[i].bytes);
    leat_status_t status = open_bound(&bound);
    assert_int_equal(leat_status_code(status), LEAT_CORRUPT);
    if (strstr(leat_status_message(status), bound_edits[i].message) == NULL)
      fail_msg("edit %zu: \"%s\" lacks \"%s\"", i, leat_status_message(status), bound_edits[i].message);
    leat_status_free(status);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_is_accepted),
      cmocka_unit_test(every_rule_refuses),
      cmocka_unit_test(broadcast_needs_no_row_mark),
      cmocka_unit_test(broadcast_of_other_kinds_needs_its_row_mark),
      cmocka_unit_test(an_operand_is_stored_to_once),
      cmocka_unit_test(rows_write_an_argument),
      cmocka_unit_test(packed_columns_in_scratch_are_not_cut),
      cmocka_unit_test(pairs_are_of_bf16_and_whole),
      cmocka_unit_test(work_is_bounded_by_size),
      cmocka_unit_test(results_of_empty_sums_lie_in_their_argument),
      cmocka_unit_test(arguments_of_extremes_have_elements),
      cmocka_unit_test(second_bodies_are_of_version_2_1),
      cmocka_unit_test(a_value_that_nothing_reads_is_legal),
      cmocka_unit_test(instructions_of_a_stage_are_bounded),
      cmocka_unit_test(only_sums_have_long_sums),
      cmocka_unit_test(no_two_symbols_have_one_name),
      cmocka_unit_test(bounds_stay_inside_their_symbol),
  };
  return cmocka_run_group_tests_name("pef_check", tests, NULL, NULL);
}
