// SPDX-License-Identifier: Apache-2.0
// Files with loops, made by hand, and the same written out: call by call, without a loop.
#ifndef LEAT_TESTS_LOOP_MAKER_H_
#define LEAT_TESTS_LOOP_MAKER_H_

#include "pef/pef_write.h"

enum { LOOP_ROWS = 4, LOOP_COLUMNS = 16, LOOP_PART = LOOP_ROWS * LOOP_COLUMNS * 4 };

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
