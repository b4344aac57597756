// SPDX-License-Identifier: Apache-2.0
// See chip_maker.h.
#include "chip_maker.h"

#include <stdio.h>

#include "check.h"
#include "pef/pef_scalar.h"

void chip_maker_begin(chip_maker_t *maker, int64_t rows) {
  memset(maker, 0, sizeof *maker);
  maker->rows = rows;
  maker->writer = leat_pef_writer_create();
  assert_non_null(maker->writer);
}

static chip_value_t value_of(const chip_maker_t *maker, uint8_t space, uint32_t slot, bool has_rows, uint32_t inner,
                             const int64_t *dims) {
  chip_value_t value = {.space = space, .has_rows = has_rows, .slot = slot};
  if (has_rows) value.dims[value.rank++] = maker->rows;
  for (uint32_t i = 0; i < inner; ++i) value.dims[value.rank++] = dims[i];
  return value;
}

chip_value_t chip_maker_symbol(chip_maker_t *maker, uint32_t kind, bool has_rows, uint32_t inner, const int64_t *dims) {
  const chip_value_t value = value_of(maker, PEF_SPACE_ARGUMENT, maker->argument_count, has_rows, inner, dims);
  char name[16];
  (void)snprintf(name, sizeof name, "v%u", value.slot);
  pef_symbol_t symbol = {.name = leat_pef_add_string(maker->writer, name), .kind = (uint8_t)kind, .dtype = PEF_BF16};
  symbol.of = PEF_NONE;
  symbol.rank = (uint8_t)value.rank;
  symbol.bytes = 2;
  for (uint32_t d = 0; d < value.rank; ++d) symbol.bytes *= (uint64_t)(symbol.dims[d] = value.dims[d]);
  maker->arguments[maker->argument_count++] = (pef_argument_t){
      .kind = PEF_PLACE_SYMBOL, .symbol = leat_pef_add_symbol(maker->writer, &symbol), .bytes = symbol.bytes};
  return value;
}

chip_value_t chip_maker_buffer(chip_maker_t *maker, uint32_t inner, const int64_t *dims) {
  const chip_value_t value = value_of(maker, PEF_SPACE_SCRATCH, maker->buffer_count, true, inner, dims);
  pef_buffer_t *buffer = &maker->buffers[maker->buffer_count];
  *buffer = (pef_buffer_t){.dtype = PEF_BF16, .rank = (uint8_t)value.rank, .dims = 4 * maker->buffer_count};
  buffer->first = UINT32_MAX;
  memcpy(&maker->dims[buffer->dims], value.dims, sizeof value.dims);
  uint64_t bytes = 2;
  for (uint32_t d = 1; d < value.rank; ++d) bytes *= (uint64_t)value.dims[d];
  if (maker->buffer_count + 1 < CHIP_MAKER_VALUES)
    maker->layout[maker->buffer_count + 1].offset =
        maker->layout[maker->buffer_count].offset + (bytes + PEF_ALIGN - 1) / PEF_ALIGN * PEF_ALIGN;
  ++maker->buffer_count;
  return value;
}

static pef_stage_t *add_stage(chip_maker_t *maker, uint16_t kind) {
  pef_stage_t *stage = &maker->stages[maker->stage_count++];
  *stage = (pef_stage_t){.kind = kind, .output = PEF_NO_OUTPUT, .operand_first = maker->operand_count};
  stage->instruction_first = maker->code_count;
  stage->origin = leat_pef_add_string(maker->writer, "test stage");
  return stage;
}

// An operand of the stage that was added last: dim d of it is dim from[d] of the value, or, where that is -1, one that
// the value has not, of that extent.
static void add_operand(chip_maker_t *maker, const chip_value_t *value, uint32_t rank, const int32_t *from,
                        const int64_t *extents) {
  pef_operand_t *operand = &maker->operands[maker->operand_count++];
  *operand = (pef_operand_t){.space = value->space, .dtype = PEF_BF16, .rank = (uint8_t)rank, .slot = value->slot};
  operand->row_dim = PEF_NO_ROW_DIM;
  for (uint32_t d = 0; d < rank; ++d) {
    operand->dims[d] = extents[d];
    if (d == 0 && from[d] < 0 && extents[d] == maker->rows) {  // broadcast along the rows, as compilers write it
      operand->row_dim = 0;
      operand->row_mult = 1;
    }
    if (from[d] < 0) continue;
    operand->strides[d] = 1;
    for (uint32_t e = (uint32_t)from[d] + 1; e < value->rank; ++e) operand->strides[d] *= value->dims[e];
    if (from[d] == 0 && value->has_rows) {
      operand->row_dim = (uint8_t)d;
      operand->row_mult = 1;
    }
  }
  ++maker->stages[maker->stage_count - 1].operand_count;
  if (value->space != PEF_SPACE_SCRATCH) return;
  pef_buffer_t *buffer = &maker->buffers[value->slot];
  if (buffer->first == UINT32_MAX) buffer->first = maker->stage_count - 1;
  buffer->last = maker->stage_count - 1;
}

void chip_maker_product(chip_maker_t *maker, int64_t heads, chip_value_t a, chip_value_t b, chip_value_t out) {
  pef_stage_t *stage = add_stage(maker, PEF_STAGE_CONTRACT);
  const uint32_t headed = heads > 0;
  const int64_t n = b.dims[b.rank - 2], k = b.dims[b.rank - 1];
  if (headed) {
    const int64_t extents[4] = {maker->rows, heads, n, k};
    memcpy(stage->params.contract.roles, (int64_t[]){PEF_ROLE_M, PEF_ROLE_BATCH, PEF_ROLE_N, PEF_ROLE_K}, 32);
    add_operand(maker, &a, 4, (int32_t[]){0, 1, -1, 2}, extents);
    add_operand(maker, &b, 4, (int32_t[]){-1, 0, 1, 2}, extents);
    add_operand(maker, &out, 4, (int32_t[]){0, 1, 2, -1}, extents);
    return;
  }
  const int64_t extents[3] = {maker->rows, n, k};
  memcpy(stage->params.contract.roles, (int64_t[]){PEF_ROLE_M, PEF_ROLE_N, PEF_ROLE_K}, 24);
  add_operand(maker, &a, 3, (int32_t[]){0, -1, 1}, extents);
  add_operand(maker, &b, 3, (int32_t[]){-1, 0, 1}, extents);
  add_operand(maker, &out, 3, (int32_t[]){0, 1, -1}, extents);
}

void chip_maker_map(chip_maker_t *maker, chip_value_t a, const chip_value_t *b, uint32_t operations, chip_value_t out) {
  pef_stage_t *stage = add_stage(maker, PEF_STAGE_MAP);
  const int32_t same[4] = {0, 1, 2, 3}, without_rows[4] = {-1, 0, 1, 2}, without_last[4] = {0, 1, 2, -1};
  pef_instruction_t *code = &maker->code[maker->code_count];
  uint32_t count = 0;
  add_operand(maker, &a, a.rank, same, a.dims);
  code[count++] = (pef_instruction_t){.op = PEF_OP_LOAD, .a = 0};
  if (b != NULL) {
    const int32_t *short_one = b->has_rows ? without_last : without_rows;
    int32_t from[4];
    memcpy(from, b->rank == a.rank ? same : short_one, sizeof from);
    if (b->has_rows && b->rank < a.rank) from[a.rank - 1] = -1;
    add_operand(maker, b, a.rank, from, a.dims);
    code[count++] = (pef_instruction_t){.op = PEF_OP_LOAD, .a = 1};
  }
  for (uint32_t i = 0; i < operations; ++i, ++count)
    code[count] = (pef_instruction_t){.op = PEF_SCALAR_ADD, .a = count - 1, .b = b != NULL ? 1 : 0};
  add_operand(maker, &out, a.rank, same, a.dims);
  code[count] = (pef_instruction_t){.op = PEF_OP_STORE, .a = stage->operand_count - 1u, .b = count - 1};
  stage->instruction_count = ++count;
  maker->code_count += count;
}

void chip_maker_sum(chip_maker_t *maker, chip_value_t in, chip_value_t out) {
  pef_stage_t *stage = add_stage(maker, PEF_STAGE_REDUCE);
  stage->params.reduce.dims = 1 << (in.rank - 1);
  int32_t from[4] = {0, 1, 2, 3};
  add_operand(maker, &in, in.rank, from, in.dims);
  from[in.rank - 1] = -1;
  add_operand(maker, &out, in.rank, from, in.dims);
}

leat_pef_t *chip_maker_end(chip_maker_t *maker) {
  const leat_pef_body_draft_t draft = {.body = {.stage_count = maker->stage_count,
                                                .argument_count = maker->argument_count,
                                                .tile_quantum = 1,
                                                .row_count = (uint64_t)maker->rows,
                                                .tile_rows_max = 1,
                                                .buffer_count = maker->buffer_count},
                                       .stages = maker->stages,
                                       .operands = maker->operands,
                                       .instructions = maker->code,
                                       .buffers = maker->buffers,
                                       .dims = maker->dims,
                                       .layout = maker->layout};
  const pef_call_t call = {.type = PEF_FWD,
                           .barrier = 1,
                           .argument_count = maker->argument_count,
                           .body = leat_pef_add_body(maker->writer, &draft),
                           .name = leat_pef_add_string(maker->writer, "test section")};
  leat_pef_add_call(maker->writer, &call, maker->arguments);
  const pef_info_t info = {.arch = leat_pef_add_string(maker->writer, "native"), .inference = 1};
  leat_pef_set_info(maker->writer, &info);
  leat_pef_set_metadata(maker->writer, "{}");
  uint8_t *data = NULL;
  size_t bytes = 0;
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_write_memory(maker->writer, &data, &bytes));
  assert_ok(leat_pef_open_memory(data, bytes, "test", &pef));
  leat_free(data);
  leat_pef_writer_destroy(maker->writer);
  return pef;
}
