// SPDX-License-Identifier: Apache-2.0
// Tile buffers: what the validator refuses, layouts against every pair of buffers, what the writer keeps once, and what
// engines make of them.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "native/engine.h"
#include "pef/pef_check.h"
#include "pef/pef_write.h"
#include "ref/engine.h"
#include "run/program.h"

enum { ROWS = 6, COLUMNS = 4, TILE = 4, STAGES = 4, BUFFERS = 3, TILE_BYTES = TILE * COLUMNS * 4 };
enum { X, Y };

// x -> buffer 0 -> buffer 1 -> buffer 2 -> y, f32[ROWS, COLUMNS] each. Buffers 0 and 2 never live at once.
typedef struct chain_s {
  pef_body_t body;
  pef_stage_t stages[STAGES];
  pef_operand_t operands[2 * STAGES];
  pef_buffer_t buffers[BUFFERS];
  pef_layout_t layout[BUFFERS];
  int64_t dims[16];
} chain_t;

static chain_t chain(void) {
  chain_t c = {.body = {.stage_count = STAGES,
                        .argument_count = 2,
                        .tile_quantum = 1,
                        .row_count = ROWS,
                        .tile_rows_max = TILE,
                        .buffer_count = BUFFERS},
               .dims = {ROWS, COLUMNS}};
  for (uint32_t s = 0; s < STAGES; ++s) {
    c.stages[s] = (pef_stage_t){.kind = PEF_STAGE_MAP,
                                .output = PEF_NO_OUTPUT,
                                .operand_first = 2 * s,
                                .operand_count = 2,
                                .instruction_first = 2 * s,
                                .instruction_count = 2};
  }
  for (uint32_t i = 0; i < 2 * STAGES; ++i) {
    const bool outside = i == 0 || i == 2 * STAGES - 1;
    c.operands[i] = (pef_operand_t){.space = outside ? PEF_SPACE_ARGUMENT : PEF_SPACE_SCRATCH,
                                    .rank = 2,
                                    .slot = outside ? i != 0 : (i - 1) / 2,
                                    .row_mult = 1,
                                    .dims = {ROWS, COLUMNS},
                                    .strides = {COLUMNS, 1}};
  }
  for (uint32_t i = 0; i < BUFFERS; ++i) {
    c.buffers[i] = (pef_buffer_t){.rank = 2, .first = i, .last = i + 1};
    c.layout[i].offset = i % 2 * TILE_BYTES;
  }
  return c;
}

static leat_pef_body_draft_t draft_of(const chain_t *c) {
  static const pef_instruction_t copies[2 * STAGES] = {
      {.op = PEF_OP_LOAD}, {.op = PEF_OP_STORE, .a = 1}, {.op = PEF_OP_LOAD}, {.op = PEF_OP_STORE, .a = 1},
      {.op = PEF_OP_LOAD}, {.op = PEF_OP_STORE, .a = 1}, {.op = PEF_OP_LOAD}, {.op = PEF_OP_STORE, .a = 1}};
  return (leat_pef_body_draft_t){.body = c->body,
                                 .stages = c->stages,
                                 .operands = c->operands,
                                 .instructions = copies,
                                 .buffers = c->buffers,
                                 .dims = c->dims,
                                 .layout = c->layout};
}

static leat_pef_writer_t *writer_of(const leat_pef_body_draft_t *draft) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  for (uint32_t i = X; i <= Y; ++i) {
    const pef_symbol_t symbol = {.name = leat_pef_add_string(writer, i == X ? "x" : "y"),
                                 .kind = i == X ? PEF_SYMBOL_INPUT : PEF_SYMBOL_OUTPUT,
                                 .of = PEF_NONE,
                                 .rank = 2,
                                 .dims = {ROWS, COLUMNS},
                                 .bytes = ROWS * COLUMNS * 4};
    leat_pef_add_symbol(writer, &symbol);
  }
  const pef_argument_t arguments[2] = {{PEF_PLACE_SYMBOL, X, 0, ROWS * COLUMNS * 4},
                                       {PEF_PLACE_SYMBOL, Y, 0, ROWS * COLUMNS * 4}};
  const pef_call_t call = {.body = leat_pef_add_body(writer, draft), .argument_count = 2};
  leat_pef_add_call(writer, &call, arguments);
  leat_pef_set_info(writer, &(pef_info_t){.arch = leat_pef_add_string(writer, "a chip")});
  return writer;
}

static leat_status_t open_chain(const chain_t *c, leat_pef_t **out_pef) {
  const leat_pef_body_draft_t draft = draft_of(c);
  leat_pef_writer_t *writer = writer_of(&draft);
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  leat_pef_writer_destroy(writer);
  leat_status_t status = leat_pef_open_memory(data, bytes, "chain.pef", out_pef);
  leat_free(data);
  return status;
}

static void refuses(const chain_t *c, const char *message) {
  leat_pef_t *pef = NULL;
  leat_status_t status = open_chain(c, &pef);
  if (leat_status_code(status) != LEAT_CORRUPT || strstr(leat_status_message(status), message) == NULL)
    fail_msg("should be refused with '%s', got '%s'", message, leat_status_message(status));
  leat_status_free(status);
}

// --- records and use -------------------------------------------------------------------------------------------------

typedef struct edit_s {
  size_t offset, bytes;
  uint64_t value;
  const char *message;
} edit_t;
#define EDIT(field, value, message) \
  { offsetof(chain_t, field), sizeof(((chain_t *)0)->field), (value), (message) }

static const edit_t edits[] = {
    EDIT(buffers[0].dtype, 10, "buffer 0: dtype 10 does not exist"),
    EDIT(buffers[0].dtype, PEF_OPAQUE, "buffer 0: dtype 255 does not exist"),
    EDIT(buffers[0].dtype, PEF_F64, "it is f32, buffer 0 is f64"),
    EDIT(buffers[1].rank, 9, "buffer 1: rank 9 is over 8"),
    EDIT(buffers[1].reserved0, 1, "buffer 1: reserved bytes"),
    EDIT(buffers[0].row_dim, 2, "row dim 2 of rank 2"),
    EDIT(buffers[0].row_dim, 1, "dim 1 is 4, which does not hold 6 rows"),
    EDIT(buffers[0].row_dim, PEF_NO_ROW_DIM, "it has no row dim, the body has 6 rows"),
    EDIT(buffers[0].dims, 1, "dim 0 is 4, which does not hold 6 rows"),
    EDIT(dims[0], 0, "dim 0 is 0, which does not hold 6 rows"),
    EDIT(dims[1], UINT64_MAX, "dim 1 is -1"),
    EDIT(dims[1], UINT64_C(1) << 59, "its dims do not fit an address space"),
    EDIT(dims[1], 3, "it reaches byte 64 of 48 of buffer 0 in a tile of 4 rows"),
    EDIT(buffers[0].first, 1, "stage 0 of the body uses buffer 0, which says that stages 1 to 1 do"),
    EDIT(buffers[1].first, 0, "stage 1 of the body uses buffer 1, which says that stages 0 to 2 do"),
    EDIT(buffers[0].last, 0, "stage 1 of the body uses buffer 0, which says that stages 0 to 0 do"),
    EDIT(buffers[0].last, 2, "buffer 0: no stage uses it up to stage 2 of the body"),
    EDIT(buffers[2].last, 4, "stages 2 to 4 of 4"),
    EDIT(buffers[2].first, 4, "stages 4 to 3 of 4"),
    EDIT(operands[1].offset, 16, "it reaches byte 80 of 64 of buffer 0 in a tile of 4 rows"),
    EDIT(operands[1].slot, 3, "slot 3, the body has 3 tile buffers"),
    EDIT(operands[2].slot, 1, "it reads buffer 1, which no stage before has written (stage 1 of the body makes it)"),
    EDIT(operands[3].slot, 0, "buffer 1, which no stage before has written"),
    EDIT(layout[1].offset, 0,
         "native's layout has buffers 0 and 1 both at byte 0 of scratch, and both live in stage 1"),
    EDIT(layout[2].offset, TILE_BYTES, "has buffers 1 and 2 both at byte 64 of scratch, and both live in stage 2"),
    EDIT(layout[1].offset, 96, "native's layout has buffer 1 at byte 96"),
    EDIT(layout[1].offset, UINT64_C(1) << 62, "native's layout has buffer 1 at byte 4611686018427387904"),
};

static void every_rule_refuses(void **state) {
  (void)state;
  leat_pef_t *pef = NULL;
  chain_t c = chain();
  assert_ok(open_chain(&c, &pef));
  assert_int_equal(leat_pef_most_scratch_bytes(pef), 2 * TILE_BYTES);
  leat_pef_close(pef);
  for (size_t i = 0; i < sizeof edits / sizeof *edits; ++i) {
    c = chain();
    memcpy((char *)&c + edits[i].offset, &edits[i].value, edits[i].bytes);  // little-endian
    refuses(&c, edits[i].message);
  }
}

static void an_operand_is_inside_in_the_lowest_tile_too(void **state) {
  (void)state;
  chain_t c = chain();
  pef_operand_t *reads = &c.operands[2];
  reads->row_dim = PEF_NO_ROW_DIM;
  reads->row_mult = 0;
  reads->strides[0] = 0;
  leat_pef_t *pef = NULL;
  assert_ok(open_chain(&c, &pef));
  leat_pef_close(pef);
  reads->offset = 3 * COLUMNS * 4;  // the fourth row
  refuses(&c, "it reaches byte 64 of 16 of buffer 0 in a tile of 1 rows");
}

// Buffer 0 in the place of buffer 2.
static void a_buffer_holds_one_value(void **state) {
  (void)state;
  chain_t c = chain();
  c.operands[5].slot = c.operands[6].slot = 0;
  c.buffers[0].last = 3;
  c.body.buffer_count = 2;
  refuses(&c, "it writes buffer 0 anew, which stage 1 of the body has read");
}

// --- layouts ---------------------------------------------------------------------------------------------------------

enum { MANY = 130, STAGES_OF_MANY = 40 };

// What the validator says of a layout is what all pairs say.
static void layouts_are_held_against_all_pairs(void **state) {
  (void)state;
  static pef_buffer_t buffers[MANY];
  static pef_layout_t layout[MANY];
  int64_t dims[MANY];
  const uint32_t counts[] = {1, 2, 3, 5, 63, 64, 65, MANY};
  uint64_t seed = 1;
  uint32_t refused = 0, trials = 4000;
  for (uint32_t t = 0; t < trials; ++t) {
    const pef_body_t body = {
        .row_count = 1, .tile_rows_max = 1, .buffer_count = counts[t % 8], .stage_count = STAGES_OF_MANY};
    const leat_pef_t pef = {.buffers = buffers, .dims = dims, .layout = layout, .layout_count = body.buffer_count};
    const uint32_t room = 1 + body.buffer_count * body.buffer_count;
    bool meet = false;
    for (uint32_t i = 0; i < body.buffer_count; ++i) {
      seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
      const uint32_t a = (uint32_t)(seed >> 33) % STAGES_OF_MANY, length = (uint32_t)(seed >> 45) % 40;
      buffers[i] = (pef_buffer_t){.dtype = PEF_U8, .rank = 1, .row_dim = PEF_NO_ROW_DIM, .dims = i, .first = a};
      buffers[i].last = a + length < STAGES_OF_MANY ? a + length : STAGES_OF_MANY - 1;
      dims[i] = (int64_t)((seed >> 20) % 5 * 48);
      layout[i].offset = (seed >> 25) % room * PEF_ALIGN;
      for (uint32_t j = 0; j < i; ++j) {
        meet |= dims[i] != 0 && dims[j] != 0 && buffers[i].first <= buffers[j].last &&
                buffers[j].first <= buffers[i].last && layout[i].offset < layout[j].offset + (uint64_t)dims[j] &&
                layout[j].offset < layout[i].offset + (uint64_t)dims[i];
      }
    }
    leat_status_t status = leat_pef_check_layout(&pef, &body);
    assert_int_equal(status != NULL, meet);
    refused += status != NULL;
    leat_status_free(status);
  }
  assert_true(refused > trials / 10 && refused < trials * 9 / 10);
}

// --- the writer ------------------------------------------------------------------------------------------------------

static void shapes_are_kept_once_and_bodies_differ_by_their_layout(void **state) {
  (void)state;
  const chain_t c = chain();
  chain_t other = chain();
  leat_pef_body_draft_t draft = draft_of(&c);
  leat_pef_writer_t *writer = writer_of(&draft);
  assert_int_equal(leat_pef_add_body(writer, &draft), 0);
  other.dims[8] = ROWS;
  other.dims[9] = COLUMNS;
  other.buffers[1].dims = 8;
  draft = draft_of(&other);
  assert_int_equal(leat_pef_add_body(writer, &draft), 0);
  other.layout[2].offset = 2 * TILE_BYTES;
  assert_int_equal(leat_pef_add_body(writer, &draft), 1);
  uint8_t *data = NULL;
  size_t bytes = 0;
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  assert_ok(leat_pef_open_memory(data, bytes, "chain.pef", &pef));
  assert_int_equal(pef->buffer_count, 2 * BUFFERS);
  assert_int_equal(pef->dim_count, 2);
  leat_pef_close(pef);
  leat_free(data);
  leat_pef_writer_destroy(writer);
}

// --- engines ---------------------------------------------------------------------------------------------------------

static leat_status_t run_chain(const leat_pef_body_draft_t *draft, const leat_run_engine_t *engine,
                               float out_y[ROWS * COLUMNS]) {
  static const char path[] = "pef_buffer_test.pef";
  const leat_run_engine_t *list[] = {engine, NULL};
  leat_pef_writer_t *writer = writer_of(draft);
  assert_ok(leat_pef_write(writer, path));
  leat_pef_writer_destroy(writer);
  leat_load_options_t options = leat_load_options_default();
  options.thread_count = 1;
  options.engine = engine->name;
  leat_program_t *program = NULL;
  leat_status_t status = leat_run_load(path, &options, list, &program);
  unlink(path);
  if (status != NULL) return status;
  float x[ROWS * COLUMNS];
  for (uint32_t i = 0; i < ROWS * COLUMNS; ++i) x[i] = (float)i;
  assert_ok(leat_program_write(program, X, x, sizeof x));
  status = leat_program_run(program, LEAT_SECTIONS_FWD);
  assert_ok(leat_program_read(program, Y, out_y, sizeof x));
  leat_program_destroy(program);
  return status;
}

static void a_file_without_native_layout_runs_where_none_is_needed(void **state) {
  (void)state;
  const chain_t c = chain();
  leat_pef_body_draft_t draft = draft_of(&c);
  float y[ROWS * COLUMNS];
  draft.layout = NULL;
  assert_fails(run_chain(&draft, &leat_native_engine, y), LEAT_UNSUPPORTED,
               "was compiled for a chip and does not say where tile buffers lie for native");
  assert_ok(run_chain(&draft, &leat_ref_engine, y));
  for (uint32_t i = 0; i < ROWS * COLUMNS; ++i) assert_true(y[i] == (float)i);
}

// Stage 1 writes two columns of buffer 1; stage 2 reads all of it.
static void what_was_not_written_is_no_number_on_ref(void **state) {
  (void)state;
  chain_t c = chain();
  c.operands[2].dims[1] = c.operands[3].dims[1] = 2;
  const leat_pef_body_draft_t draft = draft_of(&c);
  float y[ROWS * COLUMNS];
  assert_ok(run_chain(&draft, &leat_ref_engine, y));
  for (uint32_t i = 0; i < ROWS * COLUMNS; ++i) {
    if (i % COLUMNS < 2) assert_true(y[i] == (float)i);
    if (i % COLUMNS >= 2) assert_true(isnan(y[i]));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_rule_refuses),
      cmocka_unit_test(an_operand_is_inside_in_the_lowest_tile_too),
      cmocka_unit_test(a_buffer_holds_one_value),
      cmocka_unit_test(layouts_are_held_against_all_pairs),
      cmocka_unit_test(shapes_are_kept_once_and_bodies_differ_by_their_layout),
      cmocka_unit_test(a_file_without_native_layout_runs_where_none_is_needed),
      cmocka_unit_test(what_was_not_written_is_no_number_on_ref),
  };
  return cmocka_run_group_tests_name("pef_buffer", tests, NULL, NULL);
}
