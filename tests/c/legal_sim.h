// SPDX-License-Identifier: Apache-2.0
// What the files of legal_oracle.h share: a simulation under way, and the elements of an operand.
#ifndef LEAT_TESTS_LEGAL_SIM_H_
#define LEAT_TESTS_LEGAL_SIM_H_

#include "legal_oracle.h"

enum { SIM_EVERY_ROW = -1, SIM_NO_ROW = -2 };

typedef struct sim_s {
  const leat_pef_t *pef;
  oracle_names_t was;
  oracle_t *out;
  uint64_t *reads;        // of the simulation that is under way
  int64_t unit;           // bytes of a cell
  int64_t *first;         // per symbol: its first cell; the arena begins at 0
  int64_t cells;          // of all places
  uint64_t *tags;         // per cell
  uint64_t *names;        // per cell: the argument that it was written through
  bool *written;          // per cell: by any call of the file
  uint64_t *scratch;      // tags
  int64_t *starts;        // per operand in a tile buffer: where that lies in scratch
  size_t *reads_of_call;  // per call of the file before: where its operands are in `reads`
  size_t reads_of_run;
  uint32_t run, bound;  // bound: whose inputs these are
  bool outputs_off;
  uint32_t types;                 // that are asked for
  const uint32_t *trips;          // of the loops, under way
  uint32_t turn;                  // calls so far, each trip counted
  uint8_t class[PEF_TYPE_COUNT];  // per type: the least that only runs together with it
  bool alone;                     // forward runs without those
} sim_t;

// Goes over the elements of an operand, in the order of its dims.
typedef struct cursor_s {
  const pef_stage_t *stage;
  const pef_operand_t *o;
  int64_t extents[PEF_MAX_RANK], at[PEF_MAX_RANK];
  uint32_t which;  // operand
  bool packed, ended;
} cursor_t;

void sim_broken(sim_t *s, const char *what);
void *sim_cells(int64_t count, size_t bytes);  // zeros; never NULL

bool sim_writes(const sim_t *s, const pef_stage_t *stage, uint32_t i);
bool sim_reads(const sim_t *s, const pef_stage_t *stage, uint32_t i);
// At the first element of operand `i` in a tile of so many rows.
cursor_t sim_start(const sim_t *s, const pef_stage_t *stage, uint32_t i, int64_t rows);
void sim_step(cursor_t *c);
int64_t sim_row(const cursor_t *c);
uint64_t sim_index(const cursor_t *c);
pef_argument_t sim_argument(const sim_t *s, const pef_call_t *call, const cursor_t *c);
// The first cell of an element in an argument (-1 in the constants) and in tile scratch, and how many it has.
int64_t sim_cell(const sim_t *s, const pef_argument_t *a, const cursor_t *c);
int64_t sim_scratch_cell(const sim_t *s, const cursor_t *c);
int64_t sim_width(const sim_t *s, const cursor_t *c);

// legal_sight.c: who touches what at the same time. Notes what is written in s->written, and what no plan may do;
// tile scratch has so many cells.
void sim_see(sim_t *s, int64_t scratch_cells);

#endif
