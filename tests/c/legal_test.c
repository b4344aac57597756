// SPDX-License-Identifier: Apache-2.0
// The proofs on plans that were made for them: each rule, and what is legal close to it.
// Where strided accesses meet: legal_box_test.c. Thousands of broken plans: legal_mutate_test.c.
#include "pef/legal.h"

#include "check.h"
#include "pef/pef_scalar.h"
#include "pef/pef_write.h"

enum { ROWS = 4, COLUMNS = 16, VALUE = ROWS * COLUMNS * 4, SYMBOLS = 5 };
enum { X, W, Y, G, S };  // symbols: input, parameter, output, gradient, state

// --- plans -----------------------------------------------------------------------------------------------------------

// f32[ROWS, COLUMNS] in an argument or in the tile buffer that native's layout has at `offset`; rows cut.
typedef struct place_s {
  int32_t slot;  // -1: scratch
  uint64_t offset;
} place_t;

static pef_argument_t arena(uint64_t offset) { return (pef_argument_t){PEF_PLACE_ARENA, 0, offset, VALUE}; }
static pef_argument_t symbol(uint32_t index) { return (pef_argument_t){PEF_PLACE_SYMBOL, index, 0, VALUE}; }
static place_t argument(int32_t slot) { return (place_t){slot, 0}; }
static place_t scratch(uint64_t offset) { return (place_t){-1, offset}; }

enum { STAGES = 8, OPERANDS = 3 };

// A call of a body of its own: stages that compute operand 0 + operand 1 -> operand 2.
typedef struct call_s {
  uint8_t type, barrier;
  pef_argument_t arguments[4];
  place_t stages[STAGES][OPERANDS];
  uint32_t stage_count;
} call_t;

// Of an open file, to be changed.
typedef struct tables_s {
  leat_pef_t pef;
  pef_operand_t operands[6 * STAGES * OPERANDS];
  pef_buffer_t buffers[6 * STAGES];
  pef_layout_t layout[6 * STAGES];
  int64_t dims[8];
} tables_t;

typedef struct plan_s {
  call_t calls[6];
  uint32_t call_count;
  void (*changed)(pef_stage_t *stages, pef_operand_t *operands, uint32_t call);
  void (*after)(tables_t *tables);  // what the validator does not let through
} plan_t;

static pef_operand_t operand_at(place_t place) {
  return (pef_operand_t){.space = place.slot < 0 ? PEF_SPACE_SCRATCH : PEF_SPACE_ARGUMENT,
                         .dtype = PEF_F32,
                         .rank = 2,
                         .slot = (uint32_t)(place.slot < 0 ? 0 : place.slot),
                         .row_mult = 1,
                         .dims = {ROWS, COLUMNS},
                         .strides = {COLUMNS, 1}};
}

// The tile buffers of a body: one a place in scratch.
typedef struct kept_s {
  pef_buffer_t buffers[STAGES * OPERANDS];
  pef_layout_t layout[STAGES * OPERANDS];
  uint32_t count;
} kept_t;

static uint32_t keep(kept_t *kept, uint64_t offset, uint32_t stage) {
  uint32_t slot = 0;
  while (slot < kept->count && kept->layout[slot].offset != offset) ++slot;
  if (slot == kept->count) {
    kept->buffers[slot] = (pef_buffer_t){.dtype = PEF_F32, .rank = 2, .first = stage};
    kept->layout[kept->count++].offset = offset;
  }
  kept->buffers[slot].last = stage;
  return slot;
}

static void add_call(leat_pef_writer_t *writer, const plan_t *plan, uint32_t index) {
  static const pef_instruction_t code[] = {{.op = PEF_OP_LOAD, .a = 0},
                                           {.op = PEF_OP_LOAD, .a = 1},
                                           {.op = PEF_SCALAR_ADD, .a = 0, .b = 1},
                                           {.op = PEF_OP_STORE, .a = 2, .b = 2}};
  const call_t *call = &plan->calls[index];
  pef_stage_t stages[STAGES] = {0};
  pef_operand_t operands[STAGES * OPERANDS];
  pef_instruction_t instructions[STAGES * 4];
  kept_t kept = {0};
  for (uint32_t s = 0; s < call->stage_count; ++s) {
    stages[s] = (pef_stage_t){.kind = PEF_STAGE_MAP,
                              .output = PEF_NO_OUTPUT,
                              .origin = leat_pef_add_string(writer, "net op"),
                              .operand_first = s * OPERANDS,
                              .operand_count = OPERANDS,
                              .instruction_first = s * 4,
                              .instruction_count = 4};
    for (uint32_t i = 0; i < OPERANDS; ++i) {
      const place_t place = call->stages[s][i];
      operands[s * OPERANDS + i] = operand_at(place);
      if (place.slot < 0) operands[s * OPERANDS + i].slot = keep(&kept, place.offset, s);
    }
    memcpy(&instructions[(size_t)s * 4], code, sizeof code);
  }
  if (plan->changed != NULL) plan->changed(stages, operands, index);
  const leat_pef_body_draft_t body = {.body = {.stage_count = call->stage_count,
                                               .argument_count = 4,
                                               .tile_quantum = 1,
                                               .row_count = ROWS,
                                               .tile_rows_max = ROWS,
                                               .buffer_count = kept.count},
                                      .stages = stages,
                                      .operands = operands,
                                      .instructions = instructions,
                                      .buffers = kept.buffers,
                                      .dims = (const int64_t[]){ROWS, COLUMNS},
                                      .layout = kept.layout};
  const pef_call_t record = {.type = call->type,
                             .barrier = call->barrier,
                             .body = leat_pef_add_body(writer, &body),
                             .argument_count = 4,
                             .name = leat_pef_add_string(writer, "section")};
  leat_pef_add_call(writer, &record, call->arguments);
}

static leat_pef_t *made(const plan_t *plan) {
  static const char *const names[SYMBOLS] = {"x", "w", "y", "g", "s"};
  static const uint8_t symbol_kinds[SYMBOLS] = {PEF_SYMBOL_INPUT, PEF_SYMBOL_PARAMETER, PEF_SYMBOL_OUTPUT,
                                                PEF_SYMBOL_GRADIENT, PEF_SYMBOL_STATE};
  leat_pef_writer_t *writer = leat_pef_writer_create();
  leat_pef_t *pef = NULL;
  uint8_t *data = NULL;
  size_t bytes = 0;
  for (uint32_t i = 0; i < SYMBOLS; ++i) {
    const pef_symbol_t record = {.name = leat_pef_add_string(writer, names[i]),
                                 .kind = symbol_kinds[i],
                                 .of = i == G ? W : PEF_NONE,
                                 .rank = 2,
                                 .dims = {ROWS, COLUMNS},
                                 .bytes = VALUE};
    leat_pef_add_symbol(writer, &record);
  }
  for (uint32_t i = 0; i < plan->call_count; ++i) add_call(writer, plan, i);
  leat_pef_set_info(writer, &(pef_info_t){.arena_bytes = 8 * VALUE});
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  assert_ok(leat_pef_open_memory(data, bytes, "plan", &pef));
  leat_pef_writer_destroy(writer);
  leat_free(data);
  return pef;
}

static tables_t tables_of(const leat_pef_t *pef) {
  tables_t t = {.pef = *pef};
  memcpy(t.operands, pef->operands, pef->operand_count * sizeof *t.operands);
  memcpy(t.buffers, pef->buffers, pef->buffer_count * sizeof *t.buffers);
  memcpy(t.layout, pef->layout, pef->buffer_count * sizeof *t.layout);
  memcpy(t.dims, pef->dims, pef->dim_count * sizeof *t.dims);
  return t;
}

// LEAT_RULE_COUNT: the plan is legal. Else the rule of the first finding.
static leat_rule_t verdict(const plan_t *plan) {
  leat_pef_t *pef = made(plan);
  leat_findings_t found;
  tables_t tables = tables_of(pef);
  if (plan->after != NULL) {
    plan->after(&tables);
    tables.pef.operands = tables.operands;
    tables.pef.buffers = tables.buffers;
    tables.pef.layout = tables.layout;
    tables.pef.dims = tables.dims;
  }
  assert_ok(leat_legal_find(&tables.pef, &found));
  const leat_rule_t rule = found.count == 0 ? LEAT_RULE_COUNT : found.list.data[0].rule;
  leat_findings_deinit(&found);
  leat_pef_close(pef);
  return rule;
}

#define CALL(type_, barrier_, ...) \
  { .type = PEF_##type_, .barrier = barrier_, __VA_ARGS__ }
#define ARGUMENTS(...) .arguments = {__VA_ARGS__}
#define STAGE_AT(a, b, c) \
  { a, b, c }

// Forward makes two values from x, and y from both; backward makes g from the first; the update changes w.
static plan_t training(void) {
  return (plan_t){.call_count = 4,
                  .calls = {
                      CALL(FWD, 1, ARGUMENTS(symbol(X), symbol(W), arena(0), arena(VALUE)), .stage_count = 3,
                           .stages = {STAGE_AT(argument(0), argument(1), scratch(0)),
                                      STAGE_AT(scratch(0), argument(1), argument(2)),
                                      STAGE_AT(scratch(0), argument(0), argument(3))}),
                      CALL(FWD, 1, ARGUMENTS(arena(0), arena(VALUE), symbol(Y), symbol(W)), .stage_count = 1,
                           .stages = {STAGE_AT(argument(0), argument(1), argument(2))}),
                      CALL(BCKWD, 1, ARGUMENTS(arena(0), symbol(X), symbol(G), symbol(W)), .stage_count = 1,
                           .stages = {STAGE_AT(argument(0), argument(1), argument(2))}),
                      CALL(OPT, 1, ARGUMENTS(symbol(W), symbol(G), symbol(S), symbol(W)), .stage_count = 1,
                           .stages = {STAGE_AT(argument(0), argument(1), argument(0))}),
                  }};
}

static void a_plan_that_keeps_the_rules_has_no_findings(void **state) {
  (void)state;
  const plan_t plan = training();
  leat_pef_t *pef = made(&plan);
  assert_ok(leat_legal_check(pef));
  leat_pef_close(pef);
}

static void values_that_live_at_once_do_not_share_bytes(void **state) {
  (void)state;
  plan_t plan = training();
  plan.calls[0].arguments[3] = plan.calls[1].arguments[1] = arena(64);
  assert_int_equal(verdict(&plan), LEAT_RULE_OVERLAP);
  plan.calls[0].arguments[3] = plan.calls[1].arguments[1] = arena(3 * VALUE);
  assert_int_equal(verdict(&plan), LEAT_RULE_COUNT);
}

// What forward leaves for backward lives for ever: forward may run again before backward does.
static void what_crosses_section_types_shares_bytes_with_nothing(void **state) {
  (void)state;
  plan_t plan = training();
  plan.calls[4] = plan.calls[3];
  plan.calls[3] = (call_t)CALL(
      BCKWD, 1, ARGUMENTS(symbol(X), symbol(W), arena(64), symbol(S)), .stage_count = 2,
      .stages = {STAGE_AT(argument(0), argument(1), argument(2)), STAGE_AT(argument(2), argument(1), argument(3))});
  plan.call_count = 5;
  assert_int_equal(verdict(&plan), LEAT_RULE_OVERLAP);
  plan.calls[3].arguments[2] = arena(4 * VALUE);
  assert_int_equal(verdict(&plan), LEAT_RULE_COUNT);
}

static void out_of_the_buffer(tables_t *tables) {
  tables->operands[2].space = PEF_SPACE_ARGUMENT;
  tables->operands[2].slot = 2;
}

static void what_is_read_was_written_before(void **state) {
  (void)state;
  plan_t plan = training();
  const call_t kept = plan.calls[0];
  plan.calls[0] = plan.calls[1];
  plan.calls[1] = kept;
  assert_int_equal(verdict(&plan), LEAT_RULE_UNWRITTEN);
  plan = training();
  plan.after = out_of_the_buffer;
  assert_int_equal(verdict(&plan), LEAT_RULE_UNWRITTEN);
}

static void only_some_columns(pef_stage_t *stages, pef_operand_t *operands, uint32_t call) {
  (void)stages;
  for (uint32_t i = 0; call == 0 && i < 3; ++i) operands[3 + i].dims[1] = COLUMNS / 2;
}

static void a_value_is_written_in_all_of_its_bytes(void **state) {
  (void)state;
  plan_t plan = training();
  plan.changed = only_some_columns;
  assert_int_equal(verdict(&plan), LEAT_RULE_UNWRITTEN);
}

static void what_nobody_writes_is_zeros_and_has_its_place_to_itself(void **state) {
  (void)state;
  plan_t plan = training();
  plan.calls[2].arguments[3] = arena(5 * VALUE);
  plan.calls[2].stages[0][1] = argument(3);
  assert_int_equal(verdict(&plan), LEAT_RULE_COUNT);
  plan.calls[2].arguments[3] = arena(VALUE + 64);
  assert_int_equal(verdict(&plan), LEAT_RULE_OVERLAP);
}

// Stage 0 makes a value, stage 2 another, stage 3 reads both.
static plan_t two_buffers(void) {
  plan_t plan = training();
  plan.calls[0].stages[2][2] = scratch(VALUE);
  plan.calls[0].stages[1][2] = argument(3);
  plan.calls[0].stages[3][0] = scratch(0);
  plan.calls[0].stages[3][1] = scratch(VALUE);
  plan.calls[0].stages[3][2] = argument(2);
  plan.calls[0].stage_count = 4;
  return plan;
}

static void overlap(tables_t *tables) { tables->layout[1].offset = 64; }

static void buffers_that_live_at_once_do_not_share_bytes(void **state) {
  (void)state;
  plan_t plan = two_buffers();
  assert_int_equal(verdict(&plan), LEAT_RULE_COUNT);
  plan.after = overlap;
  assert_int_equal(verdict(&plan), LEAT_RULE_OVERLAP);
  plan.calls[0].stages[3][0] = argument(0);  // the first value is read no more
  assert_int_equal(verdict(&plan), LEAT_RULE_COUNT);
}

static void move_by_a_row(tables_t *tables) { tables->operands[9].offset = COLUMNS * 4; }
static void live_shorter(tables_t *tables) { tables->buffers[0].last = 2; }
static void make_anew(tables_t *tables) { tables->operands[8].slot = tables->operands[10].slot = 0; }

static void a_buffer_is_one_value_for_as_long_as_it_says(void **state) {
  (void)state;
  plan_t plan = two_buffers();
  plan.after = move_by_a_row;
  assert_int_equal(verdict(&plan), LEAT_RULE_OUTSIDE);
  plan.after = live_shorter;
  assert_int_equal(verdict(&plan), LEAT_RULE_LIFE);
  plan.calls[0].stages[2][0] = argument(0);
  plan.after = make_anew;
  assert_int_equal(verdict(&plan), LEAT_RULE_ANEW);
}

// One block of bytes in each body, as in files of version 1; values lie where the layout had their buffers.
static void make_opaque(tables_t *tables) {
  const leat_pef_t *pef = &tables->pef;
  const pef_body_t *body = &pef->bodies[0];
  const uint32_t first = pef->stages[body->stage_first].operand_first;
  for (uint32_t i = first; i < first + body->stage_count * OPERANDS; ++i) {
    pef_operand_t *o = &tables->operands[i];
    if (o->space == PEF_SPACE_SCRATCH) o->offset = tables->layout[o->slot].offset;
    if (o->space == PEF_SPACE_SCRATCH) o->slot = 0;
  }
  tables->dims[7] = 4 * VALUE;
  tables->layout[0].offset = 0;
  tables->buffers[0] = (pef_buffer_t){.dtype = PEF_OPAQUE, .rank = 1, .row_dim = PEF_NO_ROW_DIM, .dims = 7, .last = 3};
}

static void torn(tables_t *tables) {
  make_opaque(tables);
  tables->operands[9].offset = 64;
}

static void overlap_opaque(tables_t *tables) {
  make_opaque(tables);
  tables->operands[8].offset = tables->operands[10].offset = 64;
}

static void in_an_opaque_buffer_values_are_known_by_their_bytes(void **state) {
  (void)state;
  plan_t plan = two_buffers();
  plan.after = make_opaque;
  assert_int_equal(verdict(&plan), LEAT_RULE_COUNT);
  plan.after = torn;
  assert_int_equal(verdict(&plan), LEAT_RULE_TORN);
  plan.after = overlap_opaque;
  plan.calls[0].stages[2][0] = argument(0);
  assert_int_equal(verdict(&plan), LEAT_RULE_OVERLAP);
}

// Stages 0 and 1 write a half of the columns each, stage 2 reads all; the first `copies` of them only copy.
static void halves(tables_t *tables, uint32_t copies) {
  static const pef_instruction_t copy[] = {{.op = PEF_OP_LOAD, .a = 0}, {.op = PEF_OP_STORE, .a = 2, .b = 0}};
  static pef_stage_t stages[STAGES];
  static pef_instruction_t code[STAGES * 4 + 2];
  make_opaque(tables);
  memcpy(stages, tables->pef.stages, tables->pef.stage_count * sizeof *stages);
  memcpy(code, tables->pef.instructions, tables->pef.instruction_count * sizeof *code);
  memcpy(&code[tables->pef.instruction_count], copy, sizeof copy);
  for (uint32_t s = 0; s < 2; ++s) {
    pef_operand_t *out = &tables->operands[stages[s].operand_first + 2];
    out->dims[1] = COLUMNS / 2;
    out->offset = s * COLUMNS / 2 * 4;
    if (s >= copies) continue;
    stages[s].instruction_first = tables->pef.instruction_count;
    stages[s].instruction_count = 2;
  }
  tables->pef.stages = stages;
  tables->pef.instructions = code;
}

static void copied_halves(tables_t *tables) { halves(tables, 2); }
static void half_a_copy(tables_t *tables) { halves(tables, 1); }
static void copied_halves_of_dtypes(tables_t *tables) {
  halves(tables, 2);
  tables->operands[5].dtype = PEF_I32;
}

static void in_an_opaque_buffer_copies_of_one_dtype_make_one_value(void **state) {
  (void)state;
  plan_t plan = {.call_count = 1,
                 .calls = {CALL(FWD, 1, ARGUMENTS(symbol(X), symbol(W), symbol(Y), symbol(S)), .stage_count = 3,
                                .stages = {STAGE_AT(argument(0), argument(1), scratch(0)),
                                           STAGE_AT(argument(0), argument(1), scratch(0)),
                                           STAGE_AT(scratch(0), argument(1), argument(2))})}};
  plan.after = copied_halves;
  assert_int_equal(verdict(&plan), LEAT_RULE_COUNT);
  plan.after = half_a_copy;
  assert_int_equal(verdict(&plan), LEAT_RULE_OVERLAP);
  plan.after = copied_halves_of_dtypes;
  assert_int_equal(verdict(&plan), LEAT_RULE_OVERLAP);
}

static void a_value_that_is_lost_is_found(void **state) {
  (void)state;
  plan_t plan = training();
  plan.calls[0].stages[3][0] = argument(0);
  plan.calls[0].stages[3][1] = argument(1);
  plan.calls[0].stages[3][2] = scratch(2 * VALUE);
  plan.calls[0].stage_count = 4;
  assert_int_equal(verdict(&plan), LEAT_RULE_UNREAD);
  plan = training();  // the first of all
  memmove(&plan.calls[0].stages[1], &plan.calls[0].stages[0], 3 * sizeof plan.calls[0].stages[0]);
  plan.calls[0].stages[0][2] = scratch(2 * VALUE);
  plan.calls[0].stage_count = 4;
  assert_int_equal(verdict(&plan), LEAT_RULE_UNREAD);
  plan = training();  // the second value takes the place of the first
  plan.calls[0].arguments[2] = plan.calls[0].arguments[3] = arena(0);
  assert_int_not_equal(verdict(&plan), LEAT_RULE_COUNT);
}

static void as_integers(pef_stage_t *stages, pef_operand_t *operands, uint32_t call) {
  (void)stages;
  if (call == 1) operands[0].dtype = PEF_I32;
}

static void a_value_is_read_as_the_dtype_that_it_was_written_as(void **state) {
  (void)state;
  plan_t plan = training();
  plan.changed = as_integers;
  assert_int_equal(verdict(&plan), LEAT_RULE_TYPE);
}

static void calls_in_flight_do_not_touch_what_one_of_them_writes(void **state) {
  (void)state;
  plan_t plan = training();
  plan.calls[1].barrier = 0;
  assert_int_equal(verdict(&plan), LEAT_RULE_RACE);
  plan = training();
  plan.calls[2].barrier = 0;  // reads what is done, writes what nobody else touches
  assert_int_equal(verdict(&plan), LEAT_RULE_COUNT);
  plan.calls[3].barrier = 0;
  assert_int_equal(verdict(&plan), LEAT_RULE_RACE);
}

static void whole_x(pef_stage_t *stages, pef_operand_t *operands, uint32_t call) {
  (void)stages;
  if (call != 3) return;
  operands[1].row_dim = PEF_NO_ROW_DIM;
  operands[1].row_mult = 0;
  operands[1].strides[0] = 0;
}

static void tiles_do_not_touch_what_another_writes(void **state) {
  (void)state;
  plan_t plan = training();
  plan.changed = whole_x;
  plan.calls[3].stages[0][1] = argument(3);  // every row of the update reads the first row of w
  plan.calls[3].stages[0][0] = argument(1);
  plan.calls[3].stages[0][2] = scratch(0);  // and that before the stage that writes it
  memcpy(plan.calls[3].stages[1], (place_t[]){scratch(0), argument(1), argument(0)}, sizeof plan.calls[3].stages[1]);
  plan.calls[3].stage_count = 2;
  assert_int_equal(verdict(&plan), LEAT_RULE_TILES);
}

static void section_types_run_in_order(void **state) {
  (void)state;
  plan_t plan = training();
  plan.calls[0].type = PEF_BCKWD;
  assert_int_equal(verdict(&plan), LEAT_RULE_ORDER);
  plan = training();  // the update before the gradient
  const call_t kept = plan.calls[2];
  plan.calls[2] = plan.calls[3];
  plan.calls[3] = kept;
  assert_int_equal(verdict(&plan), LEAT_RULE_ORDER);
}

static void prepare_depends_on_parameters_and_buffers_alone(void **state) {
  (void)state;
  plan_t plan = training();
  plan.calls[4] = (call_t)CALL(PREPARE, 1, ARGUMENTS(symbol(W), symbol(W), arena(6 * VALUE), symbol(X)),
                               .stage_count = 1, .stages = {STAGE_AT(argument(0), argument(0), argument(2))});
  plan.call_count = 5;
  plan.calls[1].arguments[3] = arena(6 * VALUE);
  plan.calls[1].stages[0][1] = argument(3);
  plan.calls[0].stages[2][2] = argument(2);
  plan.calls[0].stages[1][2] = scratch(VALUE);
  plan.calls[0].stages[2][0] = scratch(VALUE);
  assert_int_equal(verdict(&plan), LEAT_RULE_COUNT);
  plan.calls[4].stages[0][1] = argument(3);
  assert_int_equal(verdict(&plan), LEAT_RULE_PREPARE);
}

static void the_memory_of_the_caller_holds_what_this_run_wrote(void **state) {
  (void)state;
  plan_t plan = training();
  plan.calls[2].arguments[3] = symbol(Y);  // backward may run when y is somewhere else
  plan.calls[2].stages[0][1] = argument(3);
  assert_int_equal(verdict(&plan), LEAT_RULE_BORROWED);
  plan = training();
  plan.calls[1].arguments[2] = symbol(X);
  assert_int_equal(verdict(&plan), LEAT_RULE_BORROWED);
}

static void first_stage_if_enabled(pef_stage_t *stages, pef_operand_t *operands, uint32_t call) {
  (void)operands;
  if (call == 0) stages[0].output = 0;
}

static void what_an_output_enables_is_read_by_nothing_else(void **state) {
  (void)state;
  plan_t plan = training();
  plan.changed = first_stage_if_enabled;
  assert_int_equal(verdict(&plan), LEAT_RULE_ENABLED);
}

// Two outputs enable a stage each that writes the value; one that always runs reads it beside one that is enabled.
static void enabled_by_two(tables_t *tables) {
  static pef_stage_t stages[2 * STAGES];
  memcpy(stages, tables->pef.stages, tables->pef.stage_count * sizeof *stages);
  pef_stage_t *first = &stages[tables->pef.bodies[0].stage_first], *second = &stages[tables->pef.bodies[1].stage_first];
  first[0].output = 0;
  first[1].output = 1;
  second[0].output = 0;
  tables->pef.stages = stages;
}

static void what_several_outputs_enable_is_read_by_nothing_that_always_runs(void **state) {
  (void)state;
  plan_t plan = {.call_count = 2,
                 .calls = {CALL(FWD, 1, ARGUMENTS(symbol(X), symbol(W), arena(0), symbol(W)), .stage_count = 2,
                                .stages = {STAGE_AT(argument(0), argument(1), argument(2)),
                                           STAGE_AT(argument(0), argument(0), argument(2))}),
                           CALL(FWD, 1, ARGUMENTS(arena(0), symbol(X), symbol(Y), symbol(S)), .stage_count = 2,
                                .stages = {STAGE_AT(argument(0), argument(1), argument(2)),
                                           STAGE_AT(argument(0), argument(1), argument(3))})}};
  assert_int_equal(verdict(&plan), LEAT_RULE_COUNT);
  plan.after = enabled_by_two;
  assert_int_equal(verdict(&plan), LEAT_RULE_ENABLED);
}

static void a_finding_says_where(void **state) {
  (void)state;
  plan_t plan = training();
  plan.calls[1].barrier = 0;
  leat_pef_t *pef = made(&plan);
  assert_fails(leat_legal_check(pef), LEAT_CORRUPT,
               "call 0 (section), stage 1 (map: net op), operand 2: bytes 0 to 256 of the arena");
  assert_fails(leat_legal_check(pef), LEAT_CORRUPT, "a barrier is missing; the other: call 1 (section), stage 3 (map");
  leat_pef_close(pef);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_plan_that_keeps_the_rules_has_no_findings),
      cmocka_unit_test(values_that_live_at_once_do_not_share_bytes),
      cmocka_unit_test(what_crosses_section_types_shares_bytes_with_nothing),
      cmocka_unit_test(what_is_read_was_written_before),
      cmocka_unit_test(a_value_is_written_in_all_of_its_bytes),
      cmocka_unit_test(what_nobody_writes_is_zeros_and_has_its_place_to_itself),
      cmocka_unit_test(buffers_that_live_at_once_do_not_share_bytes),
      cmocka_unit_test(a_buffer_is_one_value_for_as_long_as_it_says),
      cmocka_unit_test(in_an_opaque_buffer_values_are_known_by_their_bytes),
      cmocka_unit_test(in_an_opaque_buffer_copies_of_one_dtype_make_one_value),
      cmocka_unit_test(a_value_that_is_lost_is_found),
      cmocka_unit_test(a_value_is_read_as_the_dtype_that_it_was_written_as),
      cmocka_unit_test(calls_in_flight_do_not_touch_what_one_of_them_writes),
      cmocka_unit_test(tiles_do_not_touch_what_another_writes),
      cmocka_unit_test(section_types_run_in_order),
      cmocka_unit_test(prepare_depends_on_parameters_and_buffers_alone),
      cmocka_unit_test(the_memory_of_the_caller_holds_what_this_run_wrote),
      cmocka_unit_test(what_an_output_enables_is_read_by_nothing_else),
      cmocka_unit_test(what_several_outputs_enable_is_read_by_nothing_that_always_runs),
      cmocka_unit_test(a_finding_says_where),
  };
  return cmocka_run_group_tests_name("legal", tests, NULL, NULL);
}
