// SPDX-License-Identifier: Apache-2.0
// Files with loops, made by hand, and the same written out: call by call, without a loop.
#ifndef LEAT_TESTS_LOOP_MAKER_H_
#define LEAT_TESTS_LOOP_MAKER_H_

#include "pef/pef_write.h"

enum { LOOP_ROWS = 4, LOOP_COLUMNS = 16, LOOP_PART = LOOP_ROWS * LOOP_COLUMNS * 4 };

// Bodies over the rows of values. Arguments a, b, c: c = function(a + b); in place a, b: b = function(a + b).
uint32_t loop_sum_body(leat_pef_writer_t *writer, uint16_t function, bool in_place);
// Arguments a, b: b = a.
uint32_t loop_copy_body(leat_pef_writer_t *writer, int64_t rows);
// Arguments a, w, c: c = a w, or c += a w.
uint32_t loop_product_body(leat_pef_writer_t *writer, bool add);

// Values of `parts` parts, in the arena from part `first` on, or as a new symbol.
pef_argument_t loop_arena(uint64_t first, uint64_t parts);
pef_argument_t loop_symbol(leat_pef_writer_t *writer, const char *name, uint8_t kind, uint32_t parts);
void loop_call(leat_pef_writer_t *writer, uint8_t type, uint32_t body, const pef_argument_t *arguments, uint32_t count);
#define LOOP_CALL(writer, body, ...)                                      \
  loop_call(writer, PEF_FWD, body, (const pef_argument_t[]){__VA_ARGS__}, \
            sizeof((pef_argument_t[]){__VA_ARGS__}) / sizeof(pef_argument_t))
uint32_t loop_begin(leat_pef_writer_t *writer, uint32_t trips, uint32_t flags);
// The part of a stack that an argument of the last call is: number `first` in the first trip, `step` further a trip.
void loop_move(leat_pef_writer_t *writer, uint32_t argument, uint32_t loop, int64_t first, int64_t step);
// An arena of so many parts, and some to spare for plans that are broken on purpose; barriers.
void loop_finish(leat_pef_writer_t *writer, uint64_t arena_parts);

// A program of `trips` trips (of the longest of its loops), small enough to be simulated.
typedef struct loop_program_s {
  const char *name;
  void (*build)(leat_pef_writer_t *writer, uint32_t trips);
  uint32_t trips;  // of the program that is run
} loop_program_t;

extern const loop_program_t loop_programs[];
extern const uint32_t loop_program_count;

// The file of a writer, opened; takes the writer.
leat_pef_t *loop_open(leat_pef_writer_t *writer);
leat_pef_t *loop_program(const loop_program_t *program, uint32_t trips);
// Every call in every trip, in order. `trips`: of each loop of the file, that which is under way.
typedef void (*loop_visit_t)(void *context, uint32_t call, const uint32_t *trips);
void loop_each_call(const leat_pef_t *pef, loop_visit_t visit, void *context);
// Where an argument of the file begins then; `bytes` of it are left.
pef_argument_t loop_argument(const leat_pef_t *pef, uint32_t argument, const uint32_t *trips);

// The same program without loops: a call for every trip.
leat_pef_writer_t *loop_unroll(const leat_pef_t *pef);

#endif
