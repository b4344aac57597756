// SPDX-License-Identifier: Apache-2.0
// What the files of the cutter share.
//
//   cut_order.c       the pieces of the program (group and type), put into an order
//   cut_piece.c       the sections of one piece
//   cut_to_readers.c  ops that move to a later section of it, that of their readers
//   cut_store.c       where stores happen
#ifndef LEAT_CUT_CUTTER_H_
#define LEAT_CUT_CUTTER_H_

#include "cut/cut.h"
#include "rule/heuristic.h"
#include "space/access.h"
#include "space/rows.h"
#include "space/uses.h"

typedef struct leat_cutter_s {
  const leat_graph_t *g;
  const leat_cut_options_t *options;
  leat_plan_t *plan;
  leat_uses_t uses;
  leat_strategy_t strategy;       // of the piece that is being cut
  uint32_t part_first;            // forward_sections: the first section of the part that is being cut
  bool one_row[LEAT_TYPE_COUNT];  // spatial: the type is one section of one row, in which anything follows anything
} leat_cutter_t;

// The op behind all views of `v`.
static inline const leat_op_t *leat_cutter_base_op(const leat_graph_t *g, leat_value_id_t v, leat_op_id_t *out_id) {
  *out_id = leat_graph_value(g, leat_access_base(g, v))->op;
  return leat_graph_op(g, *out_id);
}

// Fills plan->order and plan->pieces, without sections.
leat_status_t leat_cut_order(leat_cutter_t *c) LEAT_MUST_USE;
// Cuts the piece into sections, which are appended to the plan.
leat_status_t leat_cut_piece(leat_cutter_t *c, leat_plan_piece_t *piece) LEAT_MUST_USE;
// Puts the op, whose inputs have their sections, into section `section`. LEAT_INVALID_ARGUMENT: it cannot be cut into
// the rows of the section, or does not follow them.
leat_status_t leat_cut_put(leat_cutter_t *c, leat_op_id_t id, uint32_t section) LEAT_MUST_USE;
// Whether it could, and whoever reads it in that section follows its rows there.
bool leat_cut_takes(leat_cutter_t *c, leat_op_id_t id, uint32_t section);
// Takes the op out of its section.
void leat_cut_take(leat_cutter_t *c, leat_op_id_t id);
// Moves ops of the piece that was cut last to later sections of it that alone read them.
leat_status_t leat_cut_to_readers(leat_cutter_t *c, const leat_plan_piece_t *piece) LEAT_MUST_USE;
// Gives every store its section; all ops have theirs.
leat_status_t leat_cut_stores(leat_cutter_t *c) LEAT_MUST_USE;
leat_status_t leat_cut_new_section(leat_cutter_t *c, uint8_t type, int64_t rows, const char *why) LEAT_MUST_USE;

#endif
