// SPDX-License-Identifier: Apache-2.0
// See space_maker.h.
#include "space_maker.h"

#include "pef/pef_scalar.h"

static pef_operand_t operand(uint32_t slot, uint32_t rank, const int64_t *dims) {
  pef_operand_t o = {.space = PEF_SPACE_ARGUMENT, .dtype = PEF_F32, .rank = (uint8_t)rank, .row_dim = PEF_NO_ROW_DIM};
  o.slot = slot;
  int64_t stride = 1;
  for (uint32_t d = rank; d-- > 0; stride *= dims[d]) {
    o.dims[d] = dims[d];
    o.strides[d] = stride;
  }
  return o;
}

static void by_rows(pef_operand_t *o, uint8_t dim, uint64_t rows) {
  o->row_dim = dim;
  o->row_mult = (uint64_t)o->dims[dim] / rows;
}

// Cuts have to be put in the order of operands, then of axes.
static void put_cut(space_plan_t *p, uint32_t index, uint8_t axis, uint8_t dim, uint64_t mult, int64_t before,
                    int64_t after) {
  p->cuts[p->cut_count++] = (pef_cut_t){
      .operand = index, .axis = axis, .dim = dim, .mult = mult, .before = (int32_t)before, .after = (int32_t)after};
}

static void put_axis(space_plan_t *p, int64_t count, int64_t tile) {
  const uint32_t number = ++p->axis_count;
  p->axes[number - 1] =
      (pef_axis_t){.number = number, .count = (uint64_t)count, .tile_max = (uint64_t)tile, .quantum = 1};
}

// --- files -----------------------------------------------------------------------------------------------------------

leat_pef_writer_t *space_write(const space_plan_t *p) {
  static const char *const names[] = {"x", "w", "y"};
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_argument_t arguments[SPACE_SYMBOLS];
  for (uint32_t i = 0; i < SPACE_SYMBOLS; ++i) {
    const pef_symbol_t symbol = {.name = leat_pef_add_string(writer, names[i]),
                                 .kind = i == SPACE_Y ? PEF_SYMBOL_BUFFER : PEF_SYMBOL_INPUT,
                                 .dtype = PEF_F32,
                                 .of = PEF_NONE,
                                 .rank = 1,
                                 .dims = {SPACE_ELEMENTS},
                                 .bytes = SPACE_ELEMENTS * sizeof(float)};
    arguments[i] = (pef_argument_t){PEF_PLACE_SYMBOL, leat_pef_add_symbol(writer, &symbol), 0, symbol.bytes};
  }
  const leat_pef_body_draft_t draft = {.body = p->body,
                                       .stages = p->stages,
                                       .operands = p->operands,
                                       .instructions = p->code,
                                       .buffers = &p->buffer,
                                       .dims = p->dims,
                                       .layout = &p->layout,
                                       .axes = p->axes,
                                       .cuts = p->cuts,
                                       .axis_count = p->axis_count,
                                       .cut_count = p->cut_count};
  const pef_call_t call = {.body = leat_pef_add_body(writer, &draft), .argument_count = SPACE_SYMBOLS, .flops = 1e9};
  leat_pef_add_call(writer, &call, arguments);
  leat_pef_set_info(writer, &(pef_info_t){0});
  return writer;
}

// --- bodies ----------------------------------------------------------------------------------------------------------

static int64_t positions_of(const space_window_t *w) {
  return (w->in + w->low + w->high - (w->size - 1) * w->dilation - 1) / w->stride + 1;
}

static void put_window(pef_window_t *out, uint32_t d, const space_window_t *w) {
  out->window[d] = w->size;
  out->stride[d] = w->stride;
  out->low[d] = w->low;
  out->high[d] = w->high;
  out->dilation[d] = w->dilation;
  out->base_dilation[d] = 1;
}

static int64_t after_of(const space_window_t *w) { return (w->size - 1) * w->dilation + 1 - w->stride - w->low; }

// y[2, 4, t, u] = conv(x[2, 3, h, w], w[4, 3, ..]). Images are rows; axes: none, bands and columns, or output channels
// and bands.
space_plan_t space_convolution(const space_window_t *h, const space_window_t *w, uint32_t axes, int64_t tile1,
                               int64_t tile2) {
  const int64_t t = positions_of(h), u = positions_of(w);
  space_plan_t p = {
      .body = {.stage_count = 1, .argument_count = 3, .tile_quantum = 1, .row_count = 2, .tile_rows_max = 1}};
  p.stages[0] = (pef_stage_t){.kind = PEF_STAGE_CONV, .output = PEF_NO_OUTPUT, .operand_count = 3};
  pef_window_t *window = &p.stages[0].params.window;
  window->spatial = 2;
  window->groups = 1;
  put_window(window, 0, h);
  put_window(window, 1, w);
  p.operands[0] = operand(SPACE_X, 4, (int64_t[]){2, 3, h->in, w->in});
  p.operands[1] = operand(SPACE_W, 4, (int64_t[]){4, 3, h->size, w->size});
  p.operands[2] = operand(SPACE_Y, 4, (int64_t[]){2, 4, t, u});
  by_rows(&p.operands[0], 0, 2);
  by_rows(&p.operands[2], 0, 2);
  if (axes == 1) {
    put_axis(&p, t, tile1);
    put_axis(&p, u, tile2);
    put_cut(&p, 0, 1, 2, (uint64_t)h->stride, h->low, after_of(h));
    put_cut(&p, 0, 2, 3, (uint64_t)w->stride, w->low, after_of(w));
    put_cut(&p, 2, 1, 2, 1, 0, 0);
    put_cut(&p, 2, 2, 3, 1, 0, 0);
  } else if (axes == 2) {
    put_axis(&p, 4, tile1);
    put_axis(&p, t, tile2);
    put_cut(&p, 0, 2, 2, (uint64_t)h->stride, h->low, after_of(h));
    put_cut(&p, 1, 1, 0, 1, 0, 0);
    put_cut(&p, 2, 1, 1, 1, 0, 0);
    put_cut(&p, 2, 2, 2, 1, 0, 0);
  }
  return p;
}

space_plan_t space_pool(const space_window_t *h, const space_window_t *w, uint8_t fn, bool cut, int64_t tile1,
                        int64_t tile2) {
  space_plan_t p = {
      .body = {.stage_count = 1, .argument_count = 3, .tile_quantum = 1, .row_count = 1, .tile_rows_max = 1}};
  p.stages[0] = (pef_stage_t){.kind = PEF_STAGE_POOL, .fn = fn, .output = PEF_NO_OUTPUT, .operand_count = 2};
  pef_window_t *window = &p.stages[0].params.window;
  window->spatial = 2;
  put_window(window, 0, h);
  put_window(window, 1, w);
  p.operands[0] = operand(SPACE_X, 3, (int64_t[]){5, h->in, w->in});
  p.operands[1] = operand(SPACE_Y, 3, (int64_t[]){5, positions_of(h), positions_of(w)});
  if (!cut) return p;
  put_axis(&p, positions_of(w), tile1);
  put_axis(&p, 5, tile2);
  put_cut(&p, 0, 1, 2, (uint64_t)w->stride, w->low, after_of(w));
  put_cut(&p, 0, 2, 0, 1, 0, 0);
  put_cut(&p, 1, 1, 2, 1, 0, 0);
  put_cut(&p, 1, 2, 0, 1, 0, 0);
  return p;
}

// scratch[r, i, j] = x[r, i, j] * w[j] + i + j, then y[r, i] = the sum of scratch[r, i, :] over j, or a copy of all of
// it. Rows, then axes along i and j; along j only where it is not summed. Strides in scratch are those of the largest
// tile.
space_plan_t space_chain(bool sums, uint32_t axes, int64_t tile1, int64_t tile2) {
  enum { R = 6, I = 7, J = 10 };
  const int64_t i_most = axes > 0 ? tile1 : I, j_most = axes > 1 ? tile2 : J;
  space_plan_t p = {.body = {.stage_count = 2,
                             .argument_count = 3,
                             .tile_quantum = 1,
                             .row_count = R,
                             .tile_rows_max = 4,
                             .buffer_count = 1},
                    .buffer = {.rank = 3, .last = 1},
                    .dims = {R, i_most, j_most}};
  const int64_t dims[3] = {R, I, J};
  p.stages[0] = (pef_stage_t){.output = PEF_NO_OUTPUT, .operand_count = 3, .instruction_count = 8};
  p.code[0] = (pef_instruction_t){.op = PEF_OP_LOAD, .a = 0};
  p.code[1] = (pef_instruction_t){.op = PEF_OP_LOAD, .a = 1};
  p.code[2] = (pef_instruction_t){.op = PEF_SCALAR_MUL, .a = 0, .b = 1};
  p.code[3] = (pef_instruction_t){.op = PEF_OP_IOTA, .a = 1};
  p.code[4] = (pef_instruction_t){.op = PEF_SCALAR_ADD, .a = 2, .b = 3};
  p.code[5] = (pef_instruction_t){.op = PEF_OP_IOTA, .a = 2};
  p.code[6] = (pef_instruction_t){.op = PEF_SCALAR_ADD, .a = 4, .b = 5};
  p.code[7] = (pef_instruction_t){.op = PEF_OP_STORE, .a = 2, .b = 6};
  p.operands[0] = operand(SPACE_X, 3, dims);
  p.operands[1] = operand(SPACE_W, 3, dims);
  p.operands[1].strides[0] = p.operands[1].strides[1] = 0;
  p.operands[2] = operand(0, 3, dims);
  p.operands[2].space = PEF_SPACE_SCRATCH;
  p.operands[2].strides[0] = i_most * j_most;
  p.operands[2].strides[1] = j_most;
  p.operands[3] = p.operands[2];
  p.operands[4] = operand(SPACE_Y, 3, dims);
  for (uint32_t o = 0; o < 5; ++o) {
    if (o != 1) by_rows(&p.operands[o], 0, R);
  }
  if (sums) {
    p.stages[1] = (pef_stage_t){.kind = PEF_STAGE_REDUCE,
                                .output = PEF_NO_OUTPUT,
                                .operand_first = 3,
                                .operand_count = 2,
                                .instruction_first = 8,
                                .params.reduce.dims = 1 << 2};
    p.operands[4].strides[0] = I;
    p.operands[4].strides[1] = 1;
    p.operands[4].strides[2] = 0;
  } else {
    p.stages[0].instruction_count = 6;  // without the index along j
    p.code[5] = (pef_instruction_t){.op = PEF_OP_STORE, .a = 2, .b = 4};
    p.code[6] = (pef_instruction_t){.op = PEF_OP_LOAD, .a = 0};
    p.code[7] = (pef_instruction_t){.op = PEF_OP_STORE, .a = 1, .b = 0};
    p.stages[1] = (pef_stage_t){.output = PEF_NO_OUTPUT,
                                .operand_first = 3,
                                .operand_count = 2,
                                .instruction_first = 6,
                                .instruction_count = 2};
  }
  if (axes > 0) put_axis(&p, I, tile1);
  if (axes > 1) put_axis(&p, J, tile2);
  for (uint32_t o = 0; o < 5; ++o) {
    if (axes > 0 && o != 1) put_cut(&p, o, 1, 1, 1, 0, 0);
    if (axes > 1) put_cut(&p, o, 2, 2, 1, 0, 0);
  }
  return p;
}

// y[m, n] = x[m, k] w[k, n]: axes along n and m, in pairs of columns.
space_plan_t space_product(bool cut, int64_t tile1, int64_t tile2) {
  enum { M = 9, N = 14, K = 11 };
  space_plan_t p = {
      .body = {.stage_count = 1, .argument_count = 3, .tile_quantum = 1, .row_count = 1, .tile_rows_max = 1}};
  p.stages[0] = (pef_stage_t){.kind = PEF_STAGE_CONTRACT,
                              .output = PEF_NO_OUTPUT,
                              .operand_count = 3,
                              .params.contract.roles = {PEF_ROLE_M, PEF_ROLE_N, PEF_ROLE_K}};
  const int64_t dims[3] = {M, N, K}, strides[3][3] = {{K, 0, 1}, {0, 1, N}, {N, 1, 0}};
  for (uint32_t o = 0; o < 3; ++o) {
    p.operands[o] = operand(o, 3, dims);
    memcpy(p.operands[o].strides, strides[o], sizeof strides[o]);
  }
  if (!cut) return p;
  put_axis(&p, N / 2, tile1);
  put_axis(&p, M, tile2);
  put_cut(&p, 0, 2, 0, 1, 0, 0);
  put_cut(&p, 1, 1, 1, 2, 0, 0);
  put_cut(&p, 2, 1, 1, 2, 0, 0);
  put_cut(&p, 2, 2, 0, 1, 0, 0);
  return p;
}
