// SPDX-License-Identifier: Apache-2.0
// Bodies of up to three dims, made by hand: whatever tiles they are cut into, in bands and columns of pictures with
// halo, output channels and images, every engine gives the bits of the body that is not cut; what could not be cut is
// refused, and tiles that race are found.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "leat/runtime.h"
#include "pef/legal.h"
#include "pef/pef_scalar.h"
#include "pef/pef_write.h"

enum { X, W, Y, SYMBOLS, ELEMENTS = 4096, OPERANDS = 6, CUTS = 10 };

// A body over the symbols x, w and y, which are arguments 0, 1 and 2.
typedef struct plan_s {
  pef_body_t body;
  pef_stage_t stages[2];
  pef_operand_t operands[OPERANDS];
  pef_instruction_t code[8];
  pef_buffer_t buffer;  // if the body has one
  pef_layout_t layout;
  int64_t dims[3];
  pef_axis_t axes[2];
  pef_cut_t cuts[CUTS];
  uint32_t axis_count, cut_count;
} plan_t;

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
static void put_cut(plan_t *p, uint32_t index, uint8_t axis, uint8_t dim, uint64_t mult, int64_t before,
                    int64_t after) {
  p->cuts[p->cut_count++] = (pef_cut_t){
      .operand = index, .axis = axis, .dim = dim, .mult = mult, .before = (int32_t)before, .after = (int32_t)after};
}

static void put_axis(plan_t *p, int64_t count, int64_t tile) {
  const uint32_t number = ++p->axis_count;
  p->axes[number - 1] =
      (pef_axis_t){.number = number, .count = (uint64_t)count, .tile_max = (uint64_t)tile, .quantum = 1};
}

// --- files -----------------------------------------------------------------------------------------------------------

static leat_pef_writer_t *write_plan(const plan_t *p) {
  static const char *const names[] = {"x", "w", "y"};
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_argument_t arguments[SYMBOLS];
  for (uint32_t i = 0; i < SYMBOLS; ++i) {
    const pef_symbol_t symbol = {.name = leat_pef_add_string(writer, names[i]),
                                 .kind = i == Y ? PEF_SYMBOL_BUFFER : PEF_SYMBOL_INPUT,
                                 .dtype = PEF_F32,
                                 .of = PEF_NONE,
                                 .rank = 1,
                                 .dims = {ELEMENTS},
                                 .bytes = ELEMENTS * sizeof(float)};
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
  const pef_call_t call = {.body = leat_pef_add_body(writer, &draft), .argument_count = SYMBOLS, .flops = 1e9};
  leat_pef_add_call(writer, &call, arguments);
  leat_pef_set_info(writer, &(pef_info_t){0});
  return writer;
}

static leat_status_t open_plan(const plan_t *p, leat_pef_t **out_pef) {
  leat_pef_writer_t *writer = write_plan(p);
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  leat_pef_writer_destroy(writer);
  leat_status_t status = leat_pef_open_memory(data, bytes, "space.pef", out_pef);
  leat_free(data);
  return status;
}

static void run_plan(const plan_t *p, const char *engine, uint32_t threads, float *out_y) {
  char path[64];
  snprintf(path, sizeof path, "space_test_%d.pef", (int)getpid());
  leat_pef_writer_t *writer = write_plan(p);
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  leat_pef_writer_destroy(writer);
  FILE *file = fopen(path, "wb");  // without waiting for the disk
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, bytes, file), bytes);
  assert_int_equal(fclose(file), 0);
  leat_free(data);
  leat_load_options_t options = leat_load_options_default();
  leat_program_t *program = NULL;
  options.engine = engine;
  options.thread_count = threads;
  assert_ok(leat_program_load(path, &options, &program));
  static float values[ELEMENTS];
  for (uint32_t s = X; s <= W; ++s) {
    for (uint32_t i = 0; i < ELEMENTS; ++i) values[i] = (float)((i * 37 + s * 11) % 97) / 8 - 6;
    assert_ok(leat_program_write(program, s, values, sizeof values));
  }
  memset(values, 0, sizeof values);
  assert_ok(leat_program_write(program, Y, values, sizeof values));
  assert_ok(leat_program_run(program, LEAT_SECTIONS_FWD));
  assert_ok(leat_program_read(program, Y, out_y, ELEMENTS * sizeof *out_y));
  leat_program_destroy(program);
  unlink(path);
}

// --- bodies ----------------------------------------------------------------------------------------------------------

typedef struct window_s {
  int64_t in, size, stride, low, high, dilation;
} window_t;

static int64_t positions_of(const window_t *w) {
  return (w->in + w->low + w->high - (w->size - 1) * w->dilation - 1) / w->stride + 1;
}

static void put_window(pef_window_t *out, uint32_t d, const window_t *w) {
  out->window[d] = w->size;
  out->stride[d] = w->stride;
  out->low[d] = w->low;
  out->high[d] = w->high;
  out->dilation[d] = w->dilation;
  out->base_dilation[d] = 1;
}

static int64_t after_of(const window_t *w) { return (w->size - 1) * w->dilation + 1 - w->stride - w->low; }

// y[2, 4, t, u] = conv(x[2, 3, h, w], w[4, 3, ..]). Images are rows; axes: none, bands and columns, or output channels
// and bands.
static plan_t convolution(const window_t *h, const window_t *w, uint32_t axes, int64_t tile1, int64_t tile2) {
  const int64_t t = positions_of(h), u = positions_of(w);
  plan_t p = {.body = {.stage_count = 1, .argument_count = 3, .tile_quantum = 1, .row_count = 2, .tile_rows_max = 1}};
  p.stages[0] = (pef_stage_t){.kind = PEF_STAGE_CONV, .output = PEF_NO_OUTPUT, .operand_count = 3};
  pef_window_t *window = &p.stages[0].params.window;
  window->spatial = 2;
  window->groups = 1;
  put_window(window, 0, h);
  put_window(window, 1, w);
  p.operands[0] = operand(X, 4, (int64_t[]){2, 3, h->in, w->in});
  p.operands[1] = operand(W, 4, (int64_t[]){4, 3, h->size, w->size});
  p.operands[2] = operand(Y, 4, (int64_t[]){2, 4, t, u});
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

static plan_t pool(const window_t *h, const window_t *w, uint8_t fn, bool cut, int64_t tile1, int64_t tile2) {
  plan_t p = {.body = {.stage_count = 1, .argument_count = 3, .tile_quantum = 1, .row_count = 1, .tile_rows_max = 1}};
  p.stages[0] = (pef_stage_t){.kind = PEF_STAGE_POOL, .fn = fn, .output = PEF_NO_OUTPUT, .operand_count = 2};
  pef_window_t *window = &p.stages[0].params.window;
  window->spatial = 2;
  put_window(window, 0, h);
  put_window(window, 1, w);
  p.operands[0] = operand(X, 3, (int64_t[]){5, h->in, w->in});
  p.operands[1] = operand(Y, 3, (int64_t[]){5, positions_of(h), positions_of(w)});
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
static plan_t chain(bool sums, uint32_t axes, int64_t tile1, int64_t tile2) {
  enum { R = 6, I = 7, J = 10 };
  const int64_t i_most = axes > 0 ? tile1 : I, j_most = axes > 1 ? tile2 : J;
  plan_t p = {.body = {.stage_count = 2,
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
  p.operands[0] = operand(X, 3, dims);
  p.operands[1] = operand(W, 3, dims);
  p.operands[1].strides[0] = p.operands[1].strides[1] = 0;
  p.operands[2] = operand(0, 3, dims);
  p.operands[2].space = PEF_SPACE_SCRATCH;
  p.operands[2].strides[0] = i_most * j_most;
  p.operands[2].strides[1] = j_most;
  p.operands[3] = p.operands[2];
  p.operands[4] = operand(Y, 3, dims);
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
static plan_t product(bool cut, int64_t tile1, int64_t tile2) {
  enum { M = 9, N = 14, K = 11 };
  plan_t p = {.body = {.stage_count = 1, .argument_count = 3, .tile_quantum = 1, .row_count = 1, .tile_rows_max = 1}};
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

// --- every tile, every engine ----------------------------------------------------------------------------------------

static void expect_same(const plan_t *cut, const plan_t *whole) {
  static const char *const engines[] = {"native", "ref", "compare"};
  static float wanted[ELEMENTS], found[ELEMENTS];
  leat_pef_t *pef = NULL;
  assert_ok(open_plan(cut, &pef));
  assert_ok(leat_legal_check(pef));
  leat_pef_close(pef);
  run_plan(whole, "ref", 1, wanted);
  for (uint32_t e = 0; e < 3; ++e) {
    run_plan(cut, engines[e], 1 + e % 2, found);
    for (uint32_t i = 0; i < ELEMENTS; ++i) {
      if (memcmp(&found[i], &wanted[i], sizeof *found) != 0)
        fail_msg("%s: element %u is %g, should be %g; tiles of %u and %u", engines[e], i, (double)found[i],
                 (double)wanted[i], (unsigned)cut->axes[0].tile_max, (unsigned)cut->axes[1].tile_max);
    }
  }
}

static const window_t windows[] = {
    {9, 3, 1, 1, 1, 1}, {10, 3, 2, 1, 1, 1}, {9, 2, 3, 0, 0, 1},   {8, 3, 1, 2, 2, 2},
    {7, 1, 2, 0, 0, 1}, {6, 3, 1, 3, 4, 1},  {9, 3, 1, -1, -2, 1},
};
enum { WINDOWS = sizeof windows / sizeof *windows };

static void convolutions_of_any_tile_give_the_same_bits(void **state) {
  (void)state;
  for (uint32_t i = 0; i < WINDOWS; ++i) {
    const window_t *h = &windows[i], *w = &windows[(i + 1) % WINDOWS];
    const plan_t whole = convolution(h, w, 0, 0, 0);
    for (int64_t tile = 1; tile <= 5; tile += 1 + tile / 2) {
      const plan_t bands = convolution(h, w, 1, tile, tile % 3 + 1),
                   channels = convolution(h, w, 2, tile % 4 + 1, tile);
      expect_same(&bands, &whole);
      expect_same(&channels, &whole);
    }
  }
}

static void pools_of_any_tile_give_the_same_bits(void **state) {
  (void)state;
  for (uint32_t i = 0; i < WINDOWS; ++i) {
    const window_t *h = &windows[i], *w = &windows[(i + 2) % WINDOWS];
    const uint8_t fn = i % 2 == 0 ? PEF_FN_MAX : PEF_FN_SUM;
    const plan_t whole = pool(h, w, fn, false, 0, 0);
    for (int64_t tile = 1; tile <= 4; ++tile) {
      const plan_t cut = pool(h, w, fn, true, tile, 6 - tile);
      expect_same(&cut, &whole);
    }
  }
}

static void chains_through_scratch_give_the_same_bits(void **state) {
  (void)state;
  const plan_t sums = chain(true, 0, 0, 0), copies = chain(false, 0, 0, 0);
  for (int64_t tile = 1; tile <= 8; ++tile) {
    const plan_t cut_sums = chain(true, 1, tile < 7 ? tile : 7, 0);
    const plan_t cut_copies = chain(false, 2, tile < 7 ? tile : 7, 9 - tile);
    expect_same(&cut_sums, &sums);
    expect_same(&cut_copies, &copies);
  }
}

static void products_of_any_tile_give_the_same_bits(void **state) {
  (void)state;
  const plan_t whole = product(false, 0, 0);
  for (int64_t tile = 1; tile <= 7; ++tile) {
    const plan_t cut = product(true, tile, 8 - tile);
    expect_same(&cut, &whole);
  }
}

// --- what is refused, and what races ---------------------------------------------------------------------------------

static void refused(const plan_t *p, const char *message) {
  leat_pef_t *pef = NULL;
  assert_fails(open_plan(p, &pef), LEAT_CORRUPT, message);
}

static void what_cannot_be_cut_is_refused(void **state) {
  (void)state;
  const plan_t good = convolution(&windows[0], &windows[1], 1, 2, 3);
  plan_t p = good;
  p.axes[0].count = 0;
  refused(&p, "axis 0: count, tile and quantum (0, 2, 1) must be at least 1");
  p = good;
  p.axes[1].number = 1;
  refused(&p, "axis 1: it is number 1 of body 0, which is out of order");
  p = good;
  p.axes[0].tile_max = 1;
  p.axes[0].count = UINT64_C(1) << 40;
  refused(&p, "more than 262144 tiles along axes");
  p = good;
  p.cuts[1].axis = 3;
  refused(&p, "its body has no axis 3");
  p = good;
  p.cuts[0].before += 1;
  refused(&p, "dim 2 of operand 'x' has a halo of 2 and 1 in steps of 1, its window another");
  p = good;
  p.cuts[2].mult = 2;
  refused(&p, "cut along axis 1, but the positions of the window are not");
  p = good;
  p.cut_count = 3;
  refused(&p, "cut along axis 2, but the positions of the window are not");
  p = good;
  p.cuts[2].dim = 1;
  refused(&p, "dim 0 of operand 'w' (4) and dim 1 of operand 'y' (4) differ in extent or rows");
  p = good;
  p.cuts[0] = p.cuts[1];
  refused(&p, "cut 1: it is of operand 0 along axis 2, which is out of order");
  p = good;
  p.cuts[3].dim = 2;
  refused(&p, "dim 2 of operand 2 cannot be cut along axis 2");
  p = convolution(&windows[0], &windows[1], 2, 2, 3);
  p.stages[0].params.window.groups = 3;
  p.operands[1].dims[1] = 1;
  p.operands[2].dims[1] = 6;
  p.axes[0].count = p.operands[1].dims[0] = 6;
  refused(&p, "the output channels of 3 groups cannot be cut");
  p = chain(true, 1, 3, 0);
  p.cuts[3].dim = p.cuts[2].dim = 2;
  refused(&p, "an axis runs along dim 2 of operand");
  p = chain(false, 2, 3, 4);
  p.operands[1].strides[1] = 1;  // no longer broadcast there: it has to be cut, too
  refused(&p, "differ in extent or rows");
  p = chain(false, 2, 3, 4);
  p.dims[2] = 3;
  refused(&p, "of buffer 0 in a tile of 4 rows");
  p = chain(false, 2, 3, 4);
  p.axis_count = 1;
  refused(&p, "its body has no axis 2");
}

static void tiles_that_race_are_found(void **state) {
  (void)state;
  leat_pef_t *pef = NULL;
  plan_t p = product(true, 2, 3);
  p.operands[0].slot = Y;  // x in the place of y: every tile along axis 1 reads rows that others write
  p.operands[0].offset = 2048;
  assert_ok(open_plan(&p, &pef));
  assert_ok(leat_legal_check(pef));  // beside it
  leat_pef_close(pef);
  p.operands[0].offset = 8 * 14 * sizeof(float);  // the first row of x is the last of y: not within one tile
  p.operands[0].dims[0] = p.operands[1].dims[0] = p.operands[2].dims[0] = p.axes[1].count = 8;
  assert_ok(open_plan(&p, &pef));
  assert_ok(leat_legal_check(pef));
  leat_pef_close(pef);
  p = chain(false, 2, 3, 4);
  p.operands[0].slot = Y;  // in place, but each tile reads what the tile beside it along axis 2 writes
  p.operands[0].offset = 4;
  assert_ok(open_plan(&p, &pef));
  assert_fails(leat_legal_check(pef), LEAT_CORRUPT, "tile");
  leat_pef_close(pef);
  p.operands[0].offset = 0;
  assert_ok(open_plan(&p, &pef));
  assert_ok(leat_legal_check(pef));
  leat_pef_close(pef);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(convolutions_of_any_tile_give_the_same_bits),
      cmocka_unit_test(pools_of_any_tile_give_the_same_bits),
      cmocka_unit_test(chains_through_scratch_give_the_same_bits),
      cmocka_unit_test(products_of_any_tile_give_the_same_bits),
      cmocka_unit_test(what_cannot_be_cut_is_refused),
      cmocka_unit_test(tiles_that_race_are_found),
  };
  return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
