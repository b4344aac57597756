// SPDX-License-Identifier: Apache-2.0
// See pef_zoo.h.
#include "pef_zoo.h"

#include "pef/pef_scalar.h"

// A contiguous row-major operand in argument `slot`. Dims end at the first 0. rows: dim 0 is cut.
static pef_operand_t dense(uint16_t slot, uint8_t dtype, bool rows, const int64_t *dims) {
  pef_operand_t operand = {.space = PEF_SPACE_ARGUMENT, .dtype = dtype, .row_dim = PEF_NO_ROW_DIM, .slot = slot};
  while (operand.rank < PEF_MAX_RANK && dims[operand.rank] != 0) {
    operand.dims[operand.rank] = dims[operand.rank];
    ++operand.rank;
  }
  int64_t stride = 1;
  for (int32_t i = operand.rank - 1; i >= 0; --i) {
    operand.strides[i] = stride;
    stride *= operand.dims[i];
  }
  if (rows) {
    operand.row_dim = 0;
    operand.row_mult = 1;
  }
  return operand;
}

#define DIMS(...) ((const int64_t[PEF_MAX_RANK + 1]){__VA_ARGS__})

static void set_strides(pef_operand_t *operand, const int64_t *strides) {
  memcpy(operand->strides, strides, operand->rank * sizeof *strides);
}

static void make_map(pef_zoo_t *zoo) {
  static const pef_instruction_t program[] = {
      {.op = PEF_OP_LOAD, .a = 0},
      {.op = PEF_OP_IOTA, .a = 1, .class_ = PEF_CLASS_I64},
      {.op = PEF_OP_CONVERT, .type = PEF_CLASS_I64, .a = 1},
      {.op = PEF_SCALAR_FMA, .a = 0, .b = 2, .c = 0},
      {.op = PEF_OP_WRAP, .type = PEF_BF16, .a = 3},
      {.op = PEF_OP_STORE, .a = 1, .b = 4},
  };
  zoo->operands[0] = dense(0, PEF_F32, true, DIMS(6, 4));
  zoo->operands[1] = dense(1, PEF_BF16, true, DIMS(6, 4));
  zoo->operands[0].offset = 12;  // columns from the last to the first
  set_strides(&zoo->operands[0], DIMS(4, -1));
  memcpy(zoo->instructions, program, sizeof program);
  zoo->stage.operand_count = 2;
  zoo->stage.instruction_count = sizeof program / sizeof *program;
}

static void make_reduce(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_F32, true, DIMS(6, 4, 5));
  zoo->operands[1] = dense(1, PEF_F32, true, DIMS(6, 4, 5));
  set_strides(&zoo->operands[1], DIMS(4, 1, 0));
  zoo->stage.params.reduce.dims = 1 << 2;
}

static void make_scan(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_F64, true, DIMS(6, 4));
  zoo->operands[1] = dense(1, PEF_F64, true, DIMS(6, 4));
  zoo->stage.params.scan.dim = 1;
}

// Batch b, row dim m, packed B in blocks of 4 columns of 10.
static void make_contract(pef_zoo_t *zoo) {
  enum { M = 6, B = 2, N = 10, K = 3 };
  for (uint16_t i = 0; i < 3; ++i) zoo->operands[i] = dense(i, PEF_F32, true, DIMS(M, B, N, K));
  set_strides(&zoo->operands[0], DIMS(B * K, K, 0, 1));
  set_strides(&zoo->operands[1], DIMS(0, N * K, 1, 0));
  set_strides(&zoo->operands[2], DIMS(B * N, N, 1, 0));
  zoo->operands[1].row_dim = PEF_NO_ROW_DIM;
  zoo->operands[1].row_mult = 0;
  zoo->stage.params.contract = (pef_contract_t){
      .roles = {PEF_ROLE_M, PEF_ROLE_BATCH, PEF_ROLE_N, PEF_ROLE_K}, .n_block = 4, .n_block_step = 4 * K};
}

// The same with B in 8 bits, and a scale for each column.
static void make_contract_scaled(pef_zoo_t *zoo) {
  make_contract(zoo);
  zoo->operands[3] = zoo->operands[2];
  zoo->operands[3].slot = 3;
  zoo->operands[2] = zoo->operands[1];
  zoo->operands[2].slot = 2;
  zoo->operands[1].dtype = PEF_I8;
  set_strides(&zoo->operands[2], DIMS(0, 10, 1, 0));
}

static void set_window(pef_zoo_t *zoo, int64_t groups, int64_t window, int64_t stride, int64_t padding) {
  pef_window_t *w = &zoo->stage.params.window;
  w->spatial = 2;
  w->groups = groups;
  for (uint32_t i = 0; i < 2; ++i) {
    w->window[i] = window;
    w->stride[i] = stride;
    w->low[i] = w->high[i] = padding;
    w->dilation[i] = w->base_dilation[i] = 1;
  }
}

static void make_conv(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_F32, true, DIMS(6, 4, 5, 5));
  zoo->operands[1] = dense(1, PEF_F32, false, DIMS(8, 2, 3, 3));
  zoo->operands[2] = dense(2, PEF_F32, true, DIMS(6, 8, 3, 3));
  set_window(zoo, 2, 3, 2, 1);
}

// One group, rows over the features.
static void make_conv_wgrad(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_F32, false, DIMS(2, 4, 5, 5));
  zoo->operands[1] = dense(1, PEF_F32, true, DIMS(2, 6, 3, 3));
  zoo->operands[1].row_dim = 1;
  zoo->operands[2] = dense(2, PEF_F32, true, DIMS(6, 4, 3, 3));
  set_window(zoo, 1, 3, 2, 1);
}

static void make_pool(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_F32, true, DIMS(6, 3, 4, 4));
  zoo->operands[1] = dense(1, PEF_F32, true, DIMS(6, 3, 2, 2));
  zoo->stage.fn = PEF_FN_MAX;
  set_window(zoo, 1, 2, 2, 0);
}

static void make_pool_grad(pef_zoo_t *zoo) {
  make_pool(zoo);
  zoo->operands[2] = dense(2, PEF_F32, true, DIMS(6, 3, 4, 4));
}

// Table 7 x 5, indices 6 x 2, result 6 x 2 x 5.
static void make_gather(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_F32, false, DIMS(7, 5));
  zoo->operands[1] = dense(1, PEF_I64, true, DIMS(6, 2));
  zoo->operands[2] = dense(2, PEF_F32, true, DIMS(6, 2, 5));
}

// Batch 6: indices 6 x 2, updates 6 x 2 x 5, table 6 x 7 x 5.
static void make_scatter(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_I32, true, DIMS(6, 2));
  zoo->operands[1] = dense(1, PEF_F32, true, DIMS(6, 2, 5));
  zoo->operands[2] = dense(2, PEF_F32, true, DIMS(6, 7, 5));
  zoo->stage.params.scatter.dim = zoo->stage.params.scatter.batch = 1;
}

static void make_sort(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_F32, true, DIMS(6, 9));
  zoo->operands[1] = (pef_operand_t){.row_dim = PEF_NO_ROW_DIM};
  zoo->operands[2] = dense(2, PEF_I64, true, DIMS(6, 9));
  zoo->stage.params.sort.dim = 1;
}

// Two lines side by side, and 6 lists of 4 to look for in both.
static void make_search(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_F32, false, DIMS(9, 2));
  zoo->operands[1] = dense(1, PEF_F32, true, DIMS(6, 4));
  zoo->operands[2] = dense(2, PEF_I64, true, DIMS(6, 4, 2));
  zoo->stage.params.search.right = 1;
}

static void make_random(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_I64, false, DIMS(2));
  zoo->operands[1] = dense(1, PEF_F32, true, DIMS(6, 8));
  zoo->stage.fn = PEF_FN_NORMAL;
}

// 6 heads of 3 queries and 5 keys; no key behind its query takes part.
static void make_attention(pef_zoo_t *zoo) {
  zoo->operands[0] = dense(0, PEF_F32, true, DIMS(6, 3, 4));
  zoo->operands[1] = dense(1, PEF_F32, true, DIMS(6, 5, 4));
  zoo->operands[2] = dense(2, PEF_F32, true, DIMS(6, 5, 2));
  for (uint32_t i = 3; i < 6; ++i) zoo->operands[i] = (pef_operand_t){.row_dim = PEF_NO_ROW_DIM};
  zoo->operands[6] = dense(6, PEF_F32, true, DIMS(6, 3, 2));
  zoo->operands[7] = dense(7, PEF_F32, true, DIMS(6, 3, 2));
  zoo->stage.params.attention = (pef_attention_t){.block = 4, .before = 3, .scale = 0x3f800000};
}

static void make_attention_grad(pef_zoo_t *zoo) {
  make_attention(zoo);
  zoo->operands[6] = dense(6, PEF_F32, true, DIMS(6, 3, 2));
  zoo->operands[7] = dense(7, PEF_F32, true, DIMS(6, 3, 1));
  zoo->operands[8] = dense(8, PEF_F32, true, DIMS(6, 3, 2));
  zoo->operands[9] = dense(9, PEF_F32, true, DIMS(6, 3, 4));
  zoo->operands[10] = dense(10, PEF_F32, true, DIMS(6, 5, 4));
  zoo->operands[11] = dense(11, PEF_F32, true, DIMS(6, 5, 2));
}

static const struct {
  void (*make)(pef_zoo_t *zoo);
  uint32_t operand_count;
} kinds[PEF_STAGE_COUNT] = {
    [PEF_STAGE_MAP] = {make_map, 2},
    [PEF_STAGE_REDUCE] = {make_reduce, 2},
    [PEF_STAGE_SCAN] = {make_scan, 2},
    [PEF_STAGE_CONTRACT] = {make_contract, 3},
    [PEF_STAGE_CONV] = {make_conv, 3},
    [PEF_STAGE_CONV_WGRAD] = {make_conv_wgrad, 3},
    [PEF_STAGE_POOL] = {make_pool, 2},
    [PEF_STAGE_POOL_GRAD] = {make_pool_grad, 3},
    [PEF_STAGE_GATHER] = {make_gather, 3},
    [PEF_STAGE_SCATTER] = {make_scatter, 3},
    [PEF_STAGE_SORT] = {make_sort, 3},
    [PEF_STAGE_RANDOM] = {make_random, 2},
    [PEF_STAGE_SEARCH] = {make_search, 3},
    [PEF_STAGE_ATTENTION] = {make_attention, 8},
    [PEF_STAGE_ATTENTION_GRAD] = {make_attention_grad, 12},
    [PEF_STAGE_CONTRACT_SCALED] = {make_contract_scaled, 4},
};

pef_zoo_t pef_zoo_stage(uint32_t kind) {
  pef_zoo_t zoo = {
      .body =
          {.stage_count = 1, .argument_count = PEF_ZOO_OPERANDS, .tile_quantum = 1, .row_count = 6, .tile_rows_max = 4},
      .stage = {.kind = (uint16_t)kind, .output = PEF_NO_OUTPUT, .operand_count = (uint16_t)kinds[kind].operand_count}};
  kinds[kind].make(&zoo);
  return zoo;
}

void pef_zoo_keep(pef_zoo_t *zoo, uint32_t index) {
  pef_operand_t *operand = &zoo->operands[index];
  operand->space = PEF_SPACE_SCRATCH;
  operand->slot = 0;
  memcpy(zoo->dims, operand->dims, sizeof zoo->dims);
  zoo->body.buffer_count = 1;
  zoo->buffer = (pef_buffer_t){.dtype = operand->dtype, .rank = operand->rank, .row_dim = operand->row_dim};
}

leat_pef_body_draft_t pef_zoo_draft(const pef_zoo_t *zoo) {
  return (leat_pef_body_draft_t){.body = zoo->body,
                                 .stages = &zoo->stage,
                                 .operands = zoo->operands,
                                 .instructions = zoo->instructions,
                                 .buffers = &zoo->buffer,
                                 .dims = zoo->dims,
                                 .layout = &zoo->layout};
}

void pef_zoo_build(leat_pef_writer_t *writer, const pef_zoo_t *zoo, uint32_t count) {
  const pef_symbol_t symbol = {.name = leat_pef_add_string(writer, "out"),
                               .kind = PEF_SYMBOL_OUTPUT,
                               .of = PEF_NONE,
                               .rank = 1,
                               .dims = {4},
                               .bytes = 16};
  leat_pef_add_symbol(writer, &symbol);
  pef_argument_t arguments[PEF_ZOO_OPERANDS];
  for (uint32_t i = 0; i < PEF_ZOO_OPERANDS; ++i) {
    arguments[i] = (pef_argument_t){.offset = i * PEF_ZOO_ARGUMENT_BYTES, .bytes = PEF_ZOO_ARGUMENT_BYTES};
  }
  for (uint32_t i = 0; i < count; ++i) {
    const leat_pef_body_draft_t draft = pef_zoo_draft(&zoo[i]);
    const pef_call_t call = {.body = leat_pef_add_body(writer, &draft),
                             .barrier = 1,
                             .argument_count = PEF_ZOO_OPERANDS,
                             .name = leat_pef_add_string(writer, "call")};
    leat_pef_add_call(writer, &call, arguments);
  }
  leat_pef_add_constant(writer, "constant", 8);
  leat_pef_set_info(writer, &(pef_info_t){.arena_bytes = PEF_ZOO_OPERANDS * PEF_ZOO_ARGUMENT_BYTES});
}
