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

// Bytes of the operand in its argument, or in scratch, in the first `rows` rows of the body.
leat_box_t leat_box_of(const leat_site_t *site, uint64_t rows);
// Bytes from a row to the next; 0 for an operand that is the same in all rows, and for scratch.
int64_t leat_box_row_step(const leat_site_t *site);

static inline bool leat_box_is_dense(const leat_box_t *box) { return box->rank == 0; }

// The same operand in every row: one row of it, and the step to the next.
typedef struct leat_rows_s {
  leat_box_t row;
  int64_t step;
} leat_rows_t;

// Whether some row of `a` and another row of `b`, moved up by `shift` bytes, have a byte in common; both have `count`
// rows. May say yes where strides are so entangled that a search of bounded length does not tell.
bool leat_rows_meet(const leat_rows_t *a, const leat_rows_t *b, int64_t shift, uint64_t count);

// Whether `a` and `b`, moved up by `shift` bytes, have a byte in common; as sure as that.
bool leat_boxes_meet(const leat_box_t *a, const leat_box_t *b, int64_t shift);

// One set of bytes that is the two together where they are alike and one continues the other; false: there is none.
bool leat_box_join(leat_box_t *box, const leat_box_t *next);
// Every byte of `inner` is one of `box`. May say no where it would take long to tell.
bool leat_box_holds(const leat_box_t *box, const leat_box_t *inner);

#endif
