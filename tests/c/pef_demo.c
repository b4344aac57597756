// SPDX-License-Identifier: Apache-2.0
// See pef_demo.h.
#include "pef_demo.h"

enum { SCALAR_ADD = 32, SCALAR_MAX = 40 };  // rows of ir/scalar.def

static pef_symbol_t symbol_f32(leat_pef_writer_t *writer, const char *name, uint8_t kind, int64_t d0, int64_t d1) {
  pef_symbol_t symbol = {.name = leat_pef_add_string(writer, name), .kind = kind, .dtype = PEF_F32, .of = PEF_NONE};
  symbol.rank = d1 < 0 ? 1 : 2;
  symbol.dims[0] = d0;
  symbol.dims[1] = d1 < 0 ? 0 : d1;
  symbol.bytes = (uint64_t)(d0 * (d1 < 0 ? 1 : d1)) * 4;
  return symbol;
}

static pef_operand_t operand_f32(uint8_t space, uint16_t slot, uint8_t rank, const int64_t *dims,
                                 const int64_t *strides) {
  pef_operand_t operand = {.space = space, .dtype = PEF_F32, .rank = rank, .row_dim = PEF_NO_ROW_DIM, .slot = slot};
  for (uint32_t i = 0; i < rank; ++i) {
    operand.dims[i] = dims[i];
    operand.strides[i] = strides[i];
  }
  return operand;
}

// Rows of the body run along dim 0.
static pef_operand_t by_rows(pef_operand_t operand) {
  operand.row_dim = 0;
  operand.row_mult = 1;
  return operand;
}

static pef_argument_t whole_symbol(uint32_t index, int64_t elements) {
  return (pef_argument_t){.kind = PEF_PLACE_SYMBOL, .symbol = index, .bytes = (uint64_t)elements * 4};
}

// One MAP stage a block: w_packed[block][k][j] = w[k][block * n_block + j].
static void add_packing(leat_pef_writer_t *writer, const pef_demo_t *demo) {
  enum { BLOCKS_MAX = 64 };
  static const pef_instruction_t copy[2] = {{.op = PEF_OP_LOAD, .a = 0}, {.op = PEF_OP_STORE, .a = 1, .b = 0}};
  pef_stage_t stages[BLOCKS_MAX];
  pef_operand_t operands[2 * BLOCKS_MAX];
  uint32_t blocks = 0;
  for (int64_t n = 0; n < demo->out; n += demo->n_block, ++blocks) {
    assert(blocks < BLOCKS_MAX);
    const int64_t width = demo->out - n < demo->n_block ? demo->out - n : demo->n_block;
    const int64_t dims[2] = {demo->in, width};
    pef_operand_t *pair = &operands[2 * blocks];
    pair[0] = operand_f32(PEF_SPACE_ARGUMENT, 0, 2, dims, (int64_t[]){demo->out, 1});
    pair[0].offset = (uint64_t)n * 4;
    pair[1] = operand_f32(PEF_SPACE_ARGUMENT, 1, 2, dims, (int64_t[]){width, 1});
    pair[1].offset = (uint64_t)(blocks * demo->in * demo->n_block) * 4;
    stages[blocks] = (pef_stage_t){.kind = PEF_STAGE_MAP,
                                   .output = PEF_NO_OUTPUT,
                                   .operand_first = 2 * blocks,
                                   .operand_count = 2,
                                   .instruction_count = 2,
                                   .origin = leat_pef_add_string(writer, "demo pack w")};
  }
  const leat_pef_body_draft_t draft = {
      .body = {.stage_count = blocks, .argument_count = 2, .tile_quantum = 1, .row_count = 1, .tile_rows_max = 1},
      .stages = stages,
      .operands = operands,
      .instructions = copy};
  const pef_argument_t arguments[2] = {whole_symbol(PEF_DEMO_W, demo->in * demo->out),
                                       {.kind = PEF_PLACE_ARENA, .bytes = (uint64_t)(demo->in * demo->out) * 4}};
  const pef_call_t call = {.type = PEF_PREPARE,
                           .barrier = 1,
                           .argument_count = 2,
                           .body = leat_pef_add_body(writer, &draft),
                           .name = leat_pef_add_string(writer, "pack w")};
  leat_pef_add_call(writer, &call, arguments);
}

// x W into a tile buffer, then relu(. + b) to y.
static void add_forward(leat_pef_writer_t *writer, const pef_demo_t *demo) {
  const int64_t dims[3] = {demo->rows, demo->out, demo->in};  // m, n, k
  const bool packed = demo->n_block != 0;
  const pef_operand_t operands[] = {
      by_rows(operand_f32(PEF_SPACE_ARGUMENT, 0, 3, dims, (int64_t[]){demo->in, 0, 1})),
      operand_f32(PEF_SPACE_ARGUMENT, 1, 3, dims, (int64_t[]){0, 1, packed ? 0 : demo->out}),
      by_rows(operand_f32(PEF_SPACE_SCRATCH, 0, 3, dims, (int64_t[]){demo->out, 1, 0})),
      by_rows(operand_f32(PEF_SPACE_SCRATCH, 0, 2, dims, (int64_t[]){demo->out, 1})),
      by_rows(operand_f32(PEF_SPACE_ARGUMENT, 2, 2, dims, (int64_t[]){0, 1})),
      by_rows(operand_f32(PEF_SPACE_ARGUMENT, 3, 2, dims, (int64_t[]){demo->out, 1})),
  };
  const pef_buffer_t product = {.dtype = PEF_F32, .rank = 2, .last = 1};
  static const pef_instruction_t relu[] = {
      {.op = PEF_OP_LOAD, .a = 0},        {.op = PEF_OP_LOAD, .a = 1},        {.op = SCALAR_ADD, .a = 0, .b = 1},
      {.op = PEF_OP_IMMEDIATE, .imm = 0}, {.op = SCALAR_MAX, .a = 2, .b = 3}, {.op = PEF_OP_STORE, .a = 2, .b = 4},
  };
  const pef_stage_t stages[] = {
      {.kind = PEF_STAGE_CONTRACT,
       .output = PEF_NO_OUTPUT,
       .operand_first = 0,
       .operand_count = 3,
       .origin = leat_pef_add_string(writer, "demo linear"),
       .params.contract = {.roles = {PEF_ROLE_M, PEF_ROLE_N, PEF_ROLE_K},
                           .n_block = demo->n_block,
                           .n_block_step = demo->in * demo->n_block}},
      {.kind = PEF_STAGE_MAP,
       .output = PEF_NO_OUTPUT,
       .operand_first = 3,
       .operand_count = 3,
       .instruction_count = 6,
       .origin = leat_pef_add_string(writer, "demo relu")},
  };
  const leat_pef_body_draft_t draft = {.body = {.stage_count = 2,
                                                .argument_count = 4,
                                                .tile_quantum = 1,
                                                .row_count = (uint64_t)demo->rows,
                                                .tile_rows_max = (uint64_t)demo->tile_rows_max,
                                                .buffer_count = 1},
                                       .stages = stages,
                                       .operands = operands,
                                       .instructions = relu,
                                       .buffers = &product,
                                       .dims = dims,
                                       .layout = &(pef_layout_t){0}};
  const pef_argument_t weights =
      packed ? (pef_argument_t){.kind = PEF_PLACE_ARENA, .bytes = (uint64_t)(demo->in * demo->out) * 4}
             : whole_symbol(PEF_DEMO_W, demo->in * demo->out);
  const pef_argument_t arguments[4] = {whole_symbol(PEF_DEMO_X, demo->rows * demo->in), weights,
                                       whole_symbol(PEF_DEMO_B, demo->out),
                                       whole_symbol(PEF_DEMO_Y, demo->rows * demo->out)};
  const pef_call_t call = {.type = PEF_FWD,
                           .barrier = 1,
                           .argument_count = 4,
                           .body = leat_pef_add_body(writer, &draft),
                           .name = leat_pef_add_string(writer, "demo forward"),
                           .flops = 2.0 * (double)(demo->rows * demo->in * demo->out)};
  leat_pef_add_call(writer, &call, arguments);
}

void pef_demo_build(leat_pef_writer_t *writer, const pef_demo_t *demo) {
  const pef_symbol_t symbols[4] = {
      symbol_f32(writer, "x", PEF_SYMBOL_INPUT, demo->rows, demo->in),
      symbol_f32(writer, "w", PEF_SYMBOL_PARAMETER, demo->in, demo->out),
      symbol_f32(writer, "b", PEF_SYMBOL_PARAMETER, demo->out, -1),
      symbol_f32(writer, "y", PEF_SYMBOL_OUTPUT, demo->rows, demo->out),
  };
  for (uint32_t i = 0; i < 4; ++i) leat_pef_add_symbol(writer, &symbols[i]);
  if (demo->n_block != 0) add_packing(writer, demo);
  add_forward(writer, demo);
  const pef_info_t info = {.fingerprint = {1, 2, 3},
                           .arena_bytes = demo->n_block != 0 ? (uint64_t)(demo->in * demo->out) * 4 : 0,
                           .arch = leat_pef_add_string(writer, "native"),
                           .inference = 1,
                           .compiler = leat_pef_add_string(writer, LEAT_VERSION)};
  leat_pef_set_info(writer, &info);
  leat_pef_set_metadata(writer, "{\"app\":\"demo\"}");
}
