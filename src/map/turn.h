// SPDX-License-Identifier: Apache-2.0
// Values that lie turned: weights of convolutions over small pictures, and over others that gain by it (blocks.h), made
// by prepare sections, of which nobody but these convolutions knows how they lie. Outputs lie side by side there, the
// lanes of a kernel that no picture is too small for, and every tap begins a line of its own. Else values are
// row-major.
#ifndef LEAT_MAP_TURN_H_
#define LEAT_MAP_TURN_H_

#include "map/keep.h"
#include "space/access.h"

typedef struct leat_turns_s {
  int64_t *pitch;  // per value: elements from a tap to the next; 0: it lies row-major
} leat_turns_t;

// `inference`: the program only infers; else no value lies turned, since it would be turned in every step.
leat_status_t leat_turns_choose(const leat_graph_t *g, const leat_uses_t *uses, const leat_keeps_t *keeps,
                                bool inference, leat_turns_t *out_turns) LEAT_MUST_USE;
void leat_turns_deinit(leat_turns_t *turns);

// Bytes that a value takes in memory.
uint64_t leat_turns_bytes(const leat_turns_t *turns, const leat_graph_t *g, leat_value_id_t v);
// The access to a value as it lies, from that to a row-major one.
leat_access_t leat_turns_access(const leat_turns_t *turns, const leat_graph_t *g, const leat_access_t *access);

#endif
