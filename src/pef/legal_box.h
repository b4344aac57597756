// SPDX-License-Identifier: Apache-2.0
// Which bytes an operand touches, exactly, and whether two operands meet. Private to the proofs (legal.h).
#ifndef LEAT_PEF_LEGAL_BOX_H_
#define LEAT_PEF_LEGAL_BOX_H_

#include "pef/pef_read.h"
#include "pef/pef_schema.h"

// Runs of `run` bytes: at `low`, and further by any multiples k[d] < extent[d] of stride[d] > 0. Strides descend; dims
// that lie behind one another without a gap are one. run 0: nothing.
typedef struct leat_box_s {
  int64_t low, high;  // the first byte, and the one behind the last
  int64_t run;
  uint32_t rank;
  int64_t extent[PEF_MAX_RANK], stride[PEF_MAX_RANK];  // bytes
} leat_box_t;

// What a stage does with one of its operands.
typedef struct leat_site_s {
  const leat_pef_t *pef;
  const pef_body_t *body;
  const pef_stage_t *stage;
  uint32_t index;  // of the operand, in the stage
  bool written;
} leat_site_t;

static inline const pef_operand_t *leat_site_operand(const leat_site_t *site) {
  return &site->pef->operands[site->stage->operand_first + site->index];
}

// Bytes of the operand in its argument, or in scratch, in the first `rows` rows of the body, and in scratch in a tile
// of tile_max along its axes.
leat_box_t leat_box_of(const leat_site_t *site, uint64_t rows);

static inline bool leat_box_is_dense(const leat_box_t *box) { return box->rank == 0; }

// The same operand in every cell of a body: one row, and one place of each axis. What is read with a halo has it all
// around the cell, also where the whole ends.
enum { LEAT_CELL_AXES = 1 + PEF_MAX_AXES };
typedef struct leat_cells_s {
  leat_box_t cell;
  int64_t step[LEAT_CELL_AXES];  // bytes from a row to the next, and from a place of an axis; 0: the same in all
} leat_cells_t;

leat_cells_t leat_cells_of(const leat_site_t *site);
// How many cells a body has: rows, and places of its axes, 1 of those that it lacks.
void leat_cells_count(const leat_pef_t *pef, const pef_body_t *body, uint64_t count[LEAT_CELL_AXES]);
// `axis` is all that there is to go along.
static inline bool leat_cells_are_along(const uint64_t count[LEAT_CELL_AXES], uint32_t axis) {
  for (uint32_t i = 0; i < LEAT_CELL_AXES; ++i) {
    if (i != axis && count[i] != 1) return false;
  }
  return true;
}
// Whether some cell of `a` and another cell of `b`, moved up by `shift` bytes, have a byte in common. May say yes where
// strides are so entangled that a search of bounded length does not tell.
bool leat_cells_meet(const leat_cells_t *a, const leat_cells_t *b, int64_t shift, const uint64_t count[LEAT_CELL_AXES]);

// Whether `a` and `b`, moved up by `shift` bytes, have a byte in common; as sure as that.
bool leat_boxes_meet(const leat_box_t *a, const leat_box_t *b, int64_t shift);

// One set of bytes that is the two together where they are alike and one continues the other; false: there is none.
bool leat_box_join(leat_box_t *box, const leat_box_t *next);
// Every byte of `inner` is one of `box`. May say no where it would take long to tell.
bool leat_box_holds(const leat_box_t *box, const leat_box_t *inner);

#endif
