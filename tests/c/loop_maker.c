// SPDX-License-Identifier: Apache-2.0
// See loop_maker.h. All values are f32[LOOP_ROWS, LOOP_COLUMNS], or stacks of them.
#include "loop_maker.h"

#include <stdio.h>
#include <stdlib.h>

#include "pef/flight.h"
#include "pef/pef_scalar.h"

#define PART LOOP_PART

static void must(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "loop_maker: %s\n", what);
  abort();
}

static void must_work(leat_status_t status) { must(status == NULL, status == NULL ? "" : leat_status_message(status)); }

// --- bodies ----------------------------------------------------------------------------------------------------------

static pef_operand_t part(uint16_t slot, int64_t rows) {
  return (pef_operand_t){.space = PEF_SPACE_ARGUMENT,
                         .dtype = PEF_F32,
                         .rank = 2,
                         .slot = slot,
                         .row_mult = 1,
                         .dims = {rows, LOOP_COLUMNS},
                         .strides = {LOOP_COLUMNS, 1}};
}

static uint32_t add_body(leat_pef_writer_t *writer, const pef_stage_t *stage, const pef_operand_t *operands,
                         const pef_instruction_t *code, int64_t rows) {
  const leat_pef_body_draft_t draft = {.body = {.stage_count = 1,
                                                .argument_count = operands[stage->operand_count - 1].slot + 1u,
                                                .tile_quantum = 1,
                                                .row_count = (uint64_t)rows,
                                                .tile_rows_max = (uint64_t)rows},
                                       .stages = stage,
                                       .operands = operands,
                                       .instructions = code};
  return leat_pef_add_body(writer, &draft);
}

uint32_t loop_sum_body(leat_pef_writer_t *writer, uint16_t function, bool in_place) {
  const int64_t rows = LOOP_ROWS;
  const pef_instruction_t code[] = {{.op = PEF_OP_LOAD, .a = 0},
                                    {.op = PEF_OP_LOAD, .a = 1},
                                    {.op = PEF_SCALAR_ADD, .a = 0, .b = 1},
                                    {.op = function, .a = 2},
                                    {.op = PEF_OP_STORE, .a = 2, .b = 3}};
  const pef_operand_t operands[] = {part(0, rows), part(1, rows), part(in_place ? 1 : 2, rows)};
  const pef_stage_t stage = {.kind = PEF_STAGE_MAP,
                             .output = PEF_NO_OUTPUT,
                             .origin = leat_pef_add_string(writer, "net sum"),
                             .operand_count = 3,
                             .instruction_count = 5};
  return add_body(writer, &stage, operands, code, rows);
}

uint32_t loop_copy_body(leat_pef_writer_t *writer, int64_t rows) {
  static const pef_instruction_t code[] = {{.op = PEF_OP_LOAD, .a = 0}, {.op = PEF_OP_STORE, .a = 1, .b = 0}};
  const pef_operand_t operands[] = {part(0, rows), part(1, rows)};
  const pef_stage_t stage = {.kind = PEF_STAGE_MAP,
                             .output = PEF_NO_OUTPUT,
                             .origin = leat_pef_add_string(writer, "net copy"),
                             .operand_count = 2,
                             .instruction_count = 2};
  return add_body(writer, &stage, operands, code, rows);
}

uint32_t loop_product_body(leat_pef_writer_t *writer, bool add) {
  pef_operand_t operands[] = {part(0, LOOP_ROWS), part(1, LOOP_ROWS), part(2, LOOP_ROWS)};
  static const int64_t strides[3][3] = {{LOOP_COLUMNS, 0, 1}, {0, 1, LOOP_COLUMNS}, {LOOP_COLUMNS, 1, 0}};
  for (uint32_t i = 0; i < 3; ++i) {
    operands[i].rank = 3;
    operands[i].dims[1] = operands[i].dims[2] = LOOP_COLUMNS;
    memcpy(operands[i].strides, strides[i], sizeof strides[i]);
  }
  operands[1].row_dim = PEF_NO_ROW_DIM;
  operands[1].row_mult = 0;
  const pef_stage_t stage = {.kind = PEF_STAGE_CONTRACT,
                             .output = PEF_NO_OUTPUT,
                             .origin = leat_pef_add_string(writer, "net product"),
                             .operand_count = 3,
                             .params.contract = {.roles = {PEF_ROLE_M, PEF_ROLE_N, PEF_ROLE_K}, .add = add}};
  return add_body(writer, &stage, operands, NULL, LOOP_ROWS);
}

// Arguments state, out: numbers of stream 5.
static uint32_t random_body(leat_pef_writer_t *writer) {
  const pef_operand_t operands[] = {{.space = PEF_SPACE_ARGUMENT,
                                     .dtype = PEF_I64,
                                     .rank = 1,
                                     .row_dim = PEF_NO_ROW_DIM,
                                     .dims = {2},
                                     .strides = {1}},
                                    part(1, LOOP_ROWS)};
  const pef_stage_t stage = {.kind = PEF_STAGE_RANDOM,
                             .fn = PEF_FN_NORMAL,
                             .output = PEF_NO_OUTPUT,
                             .origin = leat_pef_add_string(writer, "net random"),
                             .operand_count = 2,
                             .params.random.stream = 5};
  return add_body(writer, &stage, operands, NULL, LOOP_ROWS);
}

// --- places and calls ------------------------------------------------------------------------------------------------

pef_argument_t loop_arena(uint64_t part, uint64_t parts) {
  return (pef_argument_t){PEF_PLACE_ARENA, 0, part * PART, parts * PART};
}

pef_argument_t loop_symbol(leat_pef_writer_t *writer, const char *name, uint8_t kind, uint32_t parts) {
  const pef_symbol_t record = {.name = leat_pef_add_string(writer, name),
                               .kind = kind,
                               .of = PEF_NONE,
                               .rank = 2,
                               .dims = {(int64_t)parts * LOOP_ROWS, LOOP_COLUMNS},
                               .bytes = (uint64_t)parts * PART};
  return (pef_argument_t){PEF_PLACE_SYMBOL, leat_pef_add_symbol(writer, &record), 0, record.bytes};
}

void loop_call(leat_pef_writer_t *writer, uint8_t type, uint32_t body, const pef_argument_t *arguments,
               uint32_t count) {
  const pef_call_t call = {.type = type,
                           .body = body,
                           .argument_count = count,
                           .name = leat_pef_add_string(writer, "section"),
                           .flops = 1e6,  // worth several threads
                           .stream = 100};
  leat_pef_add_call(writer, &call, arguments);
}

uint32_t loop_begin(leat_pef_writer_t *writer, uint32_t trips, uint32_t flags) {
  const uint32_t stream_step = (flags & PEF_LOOP_BATCHES) != 0 ? 0 : 3;
  const pef_loop_t loop = {
      .trips = trips, .stream_step = stream_step, .flags = flags, .name = leat_pef_add_string(writer, "loop")};
  return leat_pef_begin_loop(writer, &loop);
}

void loop_move(leat_pef_writer_t *writer, uint32_t argument, uint32_t loop, int64_t first, int64_t step) {
  const pef_move_t record = {.argument = argument, .loop = loop, .first = first * PART, .step = step * PART};
  leat_pef_add_move(writer, &record, NULL);
}

void loop_finish(leat_pef_writer_t *writer, uint64_t arena_parts) {
  leat_pef_set_info(writer, &(pef_info_t){.arena_bytes = (arena_parts + 8) * PART});
  must_work(leat_flight_plan(writer));
}

// --- programs --------------------------------------------------------------------------------------------------------

// s[t + 1] = s[t] + x[t] in a stack of the arena; y is all sums.
static void build_running_sum(leat_pef_writer_t *writer, uint32_t trips) {
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, trips),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, trips + 1),
                       s0 = loop_symbol(writer, "s0", PEF_SYMBOL_INPUT, 1), stack = loop_arena(1, trips + 1);
  const uint32_t sum = loop_sum_body(writer, PEF_SCALAR_NEG, false), copy = loop_copy_body(writer, LOOP_ROWS);
  LOOP_CALL(writer, copy, s0, stack);
  const uint32_t loop = loop_begin(writer, trips, 0);
  LOOP_CALL(writer, sum, stack, x, stack);
  loop_move(writer, 0, loop, 0, 1);
  loop_move(writer, 1, loop, 0, 1);
  loop_move(writer, 2, loop, 1, 1);
  leat_pef_end_loop(writer);
  LOOP_CALL(writer, loop_copy_body(writer, (int64_t)(trips + 1) * LOOP_ROWS), stack, y);
  loop_finish(writer, trips + 2);
}

// h[t + 1] = tanh(x[t] + h[t] w); the product is one call, the rest another. The last state is an output beside.
static void build_rnn(leat_pef_writer_t *writer, uint32_t trips) {
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, trips),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, trips + 1),
                       last = loop_symbol(writer, "last", PEF_SYMBOL_OUTPUT, 1),
                       h0 = loop_symbol(writer, "h0", PEF_SYMBOL_STATE, 1),
                       w = loop_symbol(writer, "w", PEF_SYMBOL_PARAMETER, LOOP_COLUMNS / LOOP_ROWS),
                       product = loop_arena(0, 1), h = loop_arena(1, trips + 1);
  const uint32_t times = loop_product_body(writer, false), cell = loop_sum_body(writer, PEF_SCALAR_TANH, false),
                 copy = loop_copy_body(writer, LOOP_ROWS);
  LOOP_CALL(writer, copy, h0, h);
  const uint32_t loop = loop_begin(writer, trips, 0);
  LOOP_CALL(writer, times, h, w, product);
  loop_move(writer, 0, loop, 0, 1);
  LOOP_CALL(writer, cell, product, x, h);
  loop_move(writer, 1, loop, 0, 1);
  loop_move(writer, 2, loop, 1, 1);
  leat_pef_end_loop(writer);
  LOOP_CALL(writer, copy, h, last);
  loop_move(writer, 0, PEF_NONE, trips, 0);
  LOOP_CALL(writer, loop_copy_body(writer, (int64_t)(trips + 1) * LOOP_ROWS), h, y);
  loop_finish(writer, trips + 2);
}

// g[t] = tanh(x[t] + g[t + 1]) from the last to the first, in the output itself.
static void build_backwards(leat_pef_writer_t *writer, uint32_t trips) {
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, trips),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, trips + 1),
                       g = loop_symbol(writer, "g", PEF_SYMBOL_INPUT, 1);
  const uint32_t cell = loop_sum_body(writer, PEF_SCALAR_TANH, false);
  LOOP_CALL(writer, loop_copy_body(writer, LOOP_ROWS), g, y);
  loop_move(writer, 1, PEF_NONE, trips, 0);
  const uint32_t loop = loop_begin(writer, trips, 0);
  LOOP_CALL(writer, cell, x, y, y);
  loop_move(writer, 0, loop, trips - 1, -1);
  loop_move(writer, 1, loop, trips, -1);
  loop_move(writer, 2, loop, trips - 1, -1);
  leat_pef_end_loop(writer);
  loop_finish(writer, 1);
}

// y[i] = sum over j of x[i, j] in one place that every trip of the outer loop clears; what reads it then is the same
// body as what clears it.
static void build_nested(leat_pef_writer_t *writer, uint32_t trips) {
  const uint32_t inner = 3;
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, trips * inner),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, trips),
                       zero = loop_symbol(writer, "zero", PEF_SYMBOL_STATE, 1), sum = loop_arena(0, 1);
  const uint32_t add = loop_sum_body(writer, PEF_SCALAR_NEG, true), copy = loop_copy_body(writer, LOOP_ROWS);
  const uint32_t rows = loop_begin(writer, trips, 0);
  LOOP_CALL(writer, copy, zero, sum);
  const uint32_t terms = loop_begin(writer, inner, 0);
  LOOP_CALL(writer, add, x, sum);
  loop_move(writer, 0, rows, 0, inner);
  loop_move(writer, 0, terms, 0, 1);
  leat_pef_end_loop(writer);
  LOOP_CALL(writer, copy, sum, y);
  loop_move(writer, 1, rows, 0, 1);
  leat_pef_end_loop(writer);
  loop_finish(writer, 1);
}

// h = tanh(h w_l + h), every layer with a weight of its own.
static void build_layers(leat_pef_writer_t *writer, uint32_t trips) {
  static const char *const names[] = {"w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7"};
  pef_argument_t weights[8];
  must(trips <= 8, "too many layers");
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 1),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, 1), h = loop_arena(0, 1),
                       product = loop_arena(1, 1);
  for (uint32_t l = 0; l < trips; ++l)
    weights[l] = loop_symbol(writer, names[l], PEF_SYMBOL_PARAMETER, LOOP_COLUMNS / LOOP_ROWS);
  const uint32_t copy = loop_copy_body(writer, LOOP_ROWS);
  LOOP_CALL(writer, copy, x, h);
  const uint32_t loop = loop_begin(writer, trips, 0);
  LOOP_CALL(writer, loop_product_body(writer, false), h, weights[0], product);
  leat_pef_add_move(writer, &(pef_move_t){.argument = 1, .loop = loop}, weights);
  LOOP_CALL(writer, loop_sum_body(writer, PEF_SCALAR_TANH, true), product, h);
  leat_pef_end_loop(writer);
  LOOP_CALL(writer, copy, h, y);
  loop_finish(writer, 2);
}

// Micro-batches: forward a = tanh(x[m] + b), backward g += x[m] a, in turn; then an update. Types that run together.
static void build_trips(leat_pef_writer_t *writer, uint32_t trips, uint32_t flags) {
  const uint32_t square = LOOP_COLUMNS / LOOP_ROWS;
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, trips), a = loop_arena(0, square),
                       b = loop_symbol(writer, "b", PEF_SYMBOL_PARAMETER, 1),
                       w = loop_symbol(writer, "w", PEF_SYMBOL_STATE, square),
                       g = loop_symbol(writer, "g", PEF_SYMBOL_GRADIENT, 1),
                       zero = loop_symbol(writer, "zero", PEF_SYMBOL_STATE, 1);
  const uint32_t cell = loop_sum_body(writer, PEF_SCALAR_TANH, false);
  LOOP_CALL(writer, loop_copy_body(writer, LOOP_ROWS), zero, g);
  const uint32_t loop = loop_begin(writer, trips, flags);
  LOOP_CALL(writer, cell, x, b, a);
  loop_move(writer, 0, loop, 0, 1);
  loop_call(writer, PEF_BCKWD, loop_product_body(writer, true), (const pef_argument_t[]){a, w, g}, 3);
  leat_pef_end_loop(writer);
  loop_call(writer, PEF_OPT, cell, (const pef_argument_t[]){g, b, b}, 3);
  loop_finish(writer, square);
}

static void build_microbatches(leat_pef_writer_t *writer, uint32_t trips) { build_trips(writer, trips, 0); }

// The same, of which forward may run alone.
static void build_forward_alone(leat_pef_writer_t *writer, uint32_t trips) {
  build_trips(writer, trips, PEF_LOOP_FWD_ALONE);
}

// Forward and backward of all steps in one loop, that may run apart: every step keeps its own value. Behind a loop that
// is not marked.
static void build_apart(leat_pef_writer_t *writer, uint32_t trips) {
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, trips),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_STATE, trips),
                       z = loop_symbol(writer, "z", PEF_SYMBOL_OUTPUT, trips), a = loop_arena(0, trips);
  const uint32_t cell = loop_sum_body(writer, PEF_SCALAR_TANH, false);
  const uint32_t before = loop_begin(writer, trips, 0);
  LOOP_CALL(writer, loop_copy_body(writer, LOOP_ROWS), x, z);
  for (uint32_t i = 0; i < 2; ++i) loop_move(writer, i, before, 0, 1);
  leat_pef_end_loop(writer);
  const uint32_t loop = loop_begin(writer, trips, PEF_LOOP_APART);
  LOOP_CALL(writer, cell, x, x, a);
  for (uint32_t i = 0; i < 3; ++i) loop_move(writer, i, loop, 0, 1);
  loop_call(writer, PEF_BCKWD, cell, (const pef_argument_t[]){a, x, y}, 3);
  for (uint32_t i = 0; i < 3; ++i) loop_move(writer, i, loop, 0, 1);
  leat_pef_end_loop(writer);
  loop_finish(writer, trips);
}

// r[t] = numbers of a stream of its own; in pairs: two loops around.
static void build_random(leat_pef_writer_t *writer, uint32_t trips) {
  const pef_symbol_t state = {.name = leat_pef_add_string(writer, "state"),
                              .kind = PEF_SYMBOL_STATE,
                              .dtype = PEF_I64,
                              .of = PEF_NONE,
                              .rank = 1,
                              .dims = {2},
                              .bytes = 16};
  const pef_argument_t seed = {PEF_PLACE_SYMBOL, leat_pef_add_symbol(writer, &state), 0, 16};
  const pef_argument_t y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, 2 * trips);
  const uint32_t outer = loop_begin(writer, trips, 0), inner = loop_begin(writer, 2, 0);
  LOOP_CALL(writer, random_body(writer), seed, y);
  loop_move(writer, 1, outer, 0, 2);
  loop_move(writer, 1, inner, 0, 1);
  leat_pef_end_loop(writer);
  leat_pef_end_loop(writer);
  loop_finish(writer, 0);
}

// What depends on a parameter alone is made before, for each layer, and read layer by layer.
static void build_prepared(leat_pef_writer_t *writer, uint32_t trips) {
  const pef_argument_t w = loop_symbol(writer, "w", PEF_SYMBOL_PARAMETER, trips),
                       x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 1),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, 1), kept = loop_arena(0, trips),
                       h = loop_arena(trips, 1);
  const uint32_t cell = loop_sum_body(writer, PEF_SCALAR_TANH, false), copy = loop_copy_body(writer, LOOP_ROWS);
  const uint32_t prepare = loop_begin(writer, trips, 0);
  loop_call(writer, PEF_PREPARE, cell, (const pef_argument_t[]){w, w, kept}, 3);
  for (uint32_t i = 0; i < 3; ++i) loop_move(writer, i, prepare, 0, 1);
  leat_pef_end_loop(writer);
  LOOP_CALL(writer, copy, x, h);
  const uint32_t loop = loop_begin(writer, trips, 0);
  LOOP_CALL(writer, loop_sum_body(writer, PEF_SCALAR_TANH, true), kept, h);
  loop_move(writer, 0, loop, 0, 1);
  leat_pef_end_loop(writer);
  LOOP_CALL(writer, copy, h, y);
  loop_finish(writer, trips + 1);
}

// A carried value in one place, which one call reads and writes through two arguments; the last is an output.
static void build_in_place(leat_pef_writer_t *writer, uint32_t trips) {
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, trips),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, 1),
                       c0 = loop_symbol(writer, "c0", PEF_SYMBOL_STATE, 1), c = loop_arena(0, 1);
  const uint32_t copy = loop_copy_body(writer, LOOP_ROWS);
  LOOP_CALL(writer, copy, c0, c);
  const uint32_t loop = loop_begin(writer, trips, 0);
  LOOP_CALL(writer, loop_sum_body(writer, PEF_SCALAR_TANH, false), c, x, c);
  loop_move(writer, 1, loop, 0, 1);
  leat_pef_end_loop(writer);
  LOOP_CALL(writer, copy, c, y);
  loop_finish(writer, 1);
}

// Batches, a run each: a loop of its own within, whose value backward adds to what the batches before have left.
static void build_batches(leat_pef_writer_t *writer, uint32_t trips) {
  const pef_argument_t x = loop_symbol(writer, "x", PEF_SYMBOL_INPUT, 3),
                       s = loop_symbol(writer, "s", PEF_SYMBOL_STATE, 1),
                       y = loop_symbol(writer, "y", PEF_SYMBOL_OUTPUT, 1), h = loop_arena(0, 1);
  const uint32_t copy = loop_copy_body(writer, LOOP_ROWS), cell = loop_sum_body(writer, PEF_SCALAR_TANH, true);
  loop_begin(writer, trips, PEF_LOOP_APART | PEF_LOOP_BATCHES);
  LOOP_CALL(writer, copy, s, h);
  const uint32_t loop = loop_begin(writer, 3, 0);
  LOOP_CALL(writer, cell, x, h);
  loop_move(writer, 0, loop, 0, 1);
  leat_pef_end_loop(writer);
  LOOP_CALL(writer, copy, h, y);
  loop_call(writer, PEF_BCKWD, cell, (const pef_argument_t[]){h, s}, 2);
  leat_pef_end_loop(writer);
  loop_finish(writer, 1);
}

const loop_program_t loop_programs[] = {
    {"running sum", build_running_sum, 1000},
    {"rnn", build_rnn, 1000},
    {"backwards", build_backwards, 100},
    {"nested", build_nested, 50},
    {"layers", build_layers, 8},
    {"micro-batches", build_microbatches, 20},
    {"forward alone", build_forward_alone, 20},
    {"apart", build_apart, 20},
    {"random", build_random, 20},
    {"prepared", build_prepared, 6},
    {"in place", build_in_place, 30},
    {"batches", build_batches, 3},
};
const uint32_t loop_program_count = sizeof loop_programs / sizeof *loop_programs;

leat_pef_t *loop_open(leat_pef_writer_t *writer) {
  uint8_t *data = NULL;
  size_t bytes = 0;
  leat_pef_t *pef = NULL;
  must_work(leat_pef_write_memory(writer, &data, &bytes));
  leat_pef_writer_destroy(writer);
  must_work(leat_pef_open_memory(data, bytes, "loops", &pef));
  leat_free(data);
  return pef;
}

leat_pef_t *loop_program(const loop_program_t *program, uint32_t trips) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  program->build(writer, trips);
  return loop_open(writer);
}

// --- written out -----------------------------------------------------------------------------------------------------

typedef struct trips_s {
  const leat_pef_t *pef;
  loop_visit_t visit;
  void *context;
  uint32_t trips[64];
} trips_t;

// That a run makes: a batch has a run of its own.
static uint32_t trips_of_run(const pef_loop_t *loop) { return (loop->flags & PEF_LOOP_BATCHES) != 0 ? 1 : loop->trips; }

// Calls [first, end) with the loops from `loop` on that lie there.
static void go_through(trips_t *t, uint32_t first, uint32_t end, uint32_t loop) {
  const leat_pef_t *pef = t->pef;
  for (uint32_t c = first; c < end;) {
    while (loop < pef->loop_count && pef->loops[loop].call_first < c) ++loop;
    if (loop == pef->loop_count || pef->loops[loop].call_first != c || pef->loops[loop].call_count > end - c) {
      t->visit(t->context, c++, t->trips);
      continue;
    }
    const uint32_t behind = c + pef->loops[loop].call_count;
    for (t->trips[loop] = 0; t->trips[loop] < trips_of_run(&pef->loops[loop]); ++t->trips[loop])
      go_through(t, c, behind, loop + 1);
    c = behind;
  }
}

void loop_each_call(const leat_pef_t *pef, loop_visit_t visit, void *context) {
  trips_t t = {.pef = pef, .visit = visit, .context = context};
  must(pef->loop_count <= 64, "too many loops");
  go_through(&t, 0, pef->call_count, 0);
}

pef_argument_t loop_argument(const leat_pef_t *pef, uint32_t argument, const uint32_t *trips) {
  pef_argument_t at = pef->arguments[argument];
  int64_t shift = 0;
  for (uint32_t m = 0; m < pef->move_count; ++m) {
    const pef_move_t *move = &pef->moves[m];
    if (move->argument != argument) continue;
    const uint32_t trip = move->loop == PEF_NONE ? 0 : trips[move->loop];
    if (move->place_first != PEF_NONE) at = pef->places[move->place_first + trip];
    shift += move->first + move->step * trip;
  }
  at.offset += (uint64_t)shift;
  at.bytes -= (uint64_t)shift;
  return at;
}

typedef struct unroll_s {
  const leat_pef_t *pef;
  leat_pef_writer_t *writer;
} unroll_t;

static void unroll_call(void *context, uint32_t index, const uint32_t *trips) {
  const unroll_t *u = context;
  pef_argument_t arguments[8];
  pef_call_t call = u->pef->calls[index];
  call.name = call.why = 0;
  must(call.argument_count <= 8, "too many arguments");
  for (uint32_t l = 0; l < u->pef->loop_count; ++l) {
    const pef_loop_t *loop = &u->pef->loops[l];
    if (index - loop->call_first < loop->call_count) call.stream += loop->stream_step * trips[l];
  }
  for (uint32_t i = 0; i < call.argument_count; ++i)
    arguments[i] = loop_argument(u->pef, call.argument_first + i, trips);
  leat_pef_add_call(u->writer, &call, arguments);
}

leat_pef_writer_t *loop_unroll(const leat_pef_t *pef) {
  unroll_t u = {.pef = pef, .writer = leat_pef_writer_create()};
  for (uint32_t s = 0; s < pef->symbol_count; ++s) {
    pef_symbol_t symbol = pef->symbols[s];
    symbol.name = leat_pef_add_string(u.writer, pef->strings + symbol.name);
    leat_pef_add_symbol(u.writer, &symbol);
  }
  for (uint32_t b = 0; b < pef->body_count; ++b) {
    pef_stage_t stage = pef->stages[pef->bodies[b].stage_first];
    stage.origin = leat_pef_add_string(u.writer, pef->strings + stage.origin);
    const leat_pef_body_draft_t draft = {
        .body = pef->bodies[b], .stages = &stage, .operands = pef->operands, .instructions = pef->instructions};
    must(leat_pef_add_body(u.writer, &draft) == b, "two bodies are equal");
  }
  loop_each_call(pef, unroll_call, &u);
  pef_info_t info = *pef->info;
  info.arch = info.compiler = 0;
  leat_pef_set_info(u.writer, &info);
  return u.writer;
}
