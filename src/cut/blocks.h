// SPDX-License-Identifier: Apache-2.0
// Repeated blocks of a traced program: modules that are entries of one container (`gpt2.h.0`, `gpt2.h.1`, ...) and
// hold the same ops.
#ifndef LEAT_CUT_BLOCKS_H_
#define LEAT_CUT_BLOCKS_H_

#include "cut/group.h"

// Appends a match for every block that equals another of its container, named after the container. Containers are
// looked for from the outside in: what lies in a repeated block is not searched again. Ops of which `taken` (a flag an
// op, or NULL) says so are left alone. Names live in `strings`.
leat_status_t leat_blocks_find(const leat_graph_t *traced, const bool *taken, leat_arena_t *strings,
                               leat_group_matches_t *out_matches) LEAT_MUST_USE;

#endif
