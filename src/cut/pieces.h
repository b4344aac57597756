// SPDX-License-Identifier: Apache-2.0
// Pieces: parts of a program that can run one after another.
//
// Items (ops) come in an order in which each follows what it reads, and carry a label. Items of one label form one
// piece as long as all pieces can still be put into an order; where they cannot (what leaves a piece comes back into
// it, alone or through others that wait for it in turn), the label goes on in a new piece. The order is maintained
// while edges are added (Pearce and Kelly, 2006): work is proportional to the pieces between the two ends of an edge.
#ifndef LEAT_CUT_PIECES_H_
#define LEAT_CUT_PIECES_H_

#include "ir/graph.h"

typedef struct leat_piece_s {
  uint32_t label;
  uint32_t order;                      // its place; unique
  uint32_t mark;                       // of a search
  LEAT_ARRAY(uint32_t) before, after;  // pieces it reads from, and that read from it
} leat_piece_t;

typedef struct leat_pieces_s {
  LEAT_ARRAY(leat_piece_t) all;
  LEAT_ARRAY(uint32_t) latest;  // per label: its last piece + 1; 0: none
  LEAT_ARRAY(uint32_t) found;   // of a search
  LEAT_ARRAY(uint32_t) places;
  uint32_t mark;
} leat_pieces_t;

// The piece of the next item. `reads`: the pieces of what it reads, repeats and its own among them, in `count` places.
leat_status_t leat_pieces_add(leat_pieces_t *pieces, uint32_t label, const uint32_t *reads, uint32_t count,
                              uint32_t *out_piece) LEAT_MUST_USE;
// The same for an op, which reads the pieces of what it reads; LEAT_NONE in `piece_of`, a piece an op: in none.
leat_status_t leat_pieces_add_op(leat_pieces_t *pieces, const leat_graph_t *g, leat_op_id_t op, uint32_t label,
                                 uint32_t *piece_of) LEAT_MUST_USE;
// Every piece by its place: out_pieces has room for all.
void leat_pieces_order(const leat_pieces_t *pieces, uint32_t *out_pieces);
void leat_pieces_deinit(leat_pieces_t *pieces);

#endif
