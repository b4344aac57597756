// SPDX-License-Identifier: Apache-2.0
// The section cutter: which ops the device holds at once, and along which rows they stream.
//
// A section iterates over rows. Every op in it cuts its result along one dim into `rows` equal pieces, and reads from
// ops of the same section only the piece of the same row; so a tile of rows can go through all ops while its
// intermediate values stay in cache. What needs all rows of a value (a weight gradient, a mean over the batch) is cut
// off into a later section. A section of one row is a single tile in which anything may follow anything.
#ifndef LEAT_CUT_CUT_H_
#define LEAT_CUT_CUT_H_

#include "arch/arch.h"
#include "ir/graph.h"

typedef struct leat_section_s {
  uint8_t type;  // leat_section_type_t
  int64_t rows;
  LEAT_ARRAY(leat_op_id_t) ops;     // computing ops, in graph order
  LEAT_ARRAY(leat_op_id_t) stores;  // stores that happen here; the stored value may come from an earlier section
  const char *why;                  // why a new section began here
  double seconds;                   // estimate, one core
  double flops, bytes;
  double cache_bytes;                 // what its tiles may take of L2
  double row_bytes;                   // results of all ops, per row
  double whole_bytes;                 // activations that every tile reads from end to end
  uint32_t tile_rows_max, tiles_min;  // what the group's heuristic asks for; 0: nothing
  bool alone;                         // a large product of its own rows: only what reads it joins
} leat_section_t;

// Ops of one group and one type that run without anything between them.
typedef struct leat_plan_piece_s {
  uint32_t group;                         // 0: none
  uint8_t type;                           // leat_section_type_t
  uint32_t op_first, op_count;            // into the plan's order
  uint32_t section_first, section_count;  // sections of stores alone come after all pieces
} leat_plan_piece_t;

typedef struct leat_plan_s {
  LEAT_ARRAY(leat_plan_piece_t) pieces;  // in the order in which they run; none where decisions said where to cut
  leat_op_id_t *order;                   // computing ops, piece by piece (section by section)
  LEAT_ARRAY(leat_section_t) sections;
  uint32_t *section_of;  // per op; LEAT_NONE for views and leaves
  uint8_t *row_dim;      // per op: the dim of its results that is cut; LEAT_ROWS_WHOLE in one-row sections
  leat_arena_t strings;  // reasons that came from outside
} leat_plan_t;

typedef struct leat_cut_options_s {
  const leat_arch_t *arch;
  const double *shares;        // of L2 for fwd, bckwd, gradnorm, opt; NULL: all of it
  bool greedy;                 // ops join wherever rows allow, whatever it costs
  bool spatial;                // one section a type, or LEAT_UNSUPPORTED with the reason
  const char *decisions;       // JSON that says where to cut (decision.h), or NULL
  const char *decisions_name;  // its file, for messages
  const char *why_first;       // why the first section of a type begins; NULL: because it is the first
} leat_cut_options_t;

// needs: a settled graph (settle.h). worst case: ops times a constant number of candidate sections.
leat_status_t leat_cut(const leat_graph_t *g, const leat_cut_options_t *options, leat_plan_t *out_plan) LEAT_MUST_USE;
void leat_plan_deinit(leat_plan_t *plan);

#endif
