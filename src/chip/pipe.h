// SPDX-License-Identifier: Apache-2.0
// A body as a pipeline, for one tile: which stages get units, which ride in those of a product, and what flows between
// them and memory. Says nothing yet of how many units there are.
#ifndef LEAT_CHIP_PIPE_H_
#define LEAT_CHIP_PIPE_H_

#include "chip/allocate.h"
#include "chip/cost.h"

// A stage that has units of its own.
typedef struct leat_chip_node_s {
  uint32_t stage;  // of the body, counted from its first
  uint32_t level;  // nodes on the longest way to it
  leat_chip_cost_t cost;
} leat_chip_node_t;

enum leat_chip_pass_kind {
  LEAT_CHIP_PASS,      // from node to node, through buffers
  LEAT_CHIP_LOAD,      // from memory, tile by tile
  LEAT_CHIP_RESIDENT,  // from memory once, before the first tile
  LEAT_CHIP_STORE,     // to memory
  LEAT_CHIP_LOOK_UP,   // here and there in memory, either way
};
enum leat_chip_side { LEAT_CHIP_SIDE_NONE, LEAT_CHIP_SIDE_M, LEAT_CHIP_SIDE_N };  // of the product that reads it

typedef struct leat_chip_pass_s {
  uint32_t kind;      // enum leat_chip_pass_kind
  uint32_t from, to;  // nodes; LEAT_CHIP_MEMORY
  uint32_t side;      // enum leat_chip_side
  uint32_t depth;     // copies of a tile that buffers hold; 0: none
  double bytes;       // of a tile; of what is resident: all
  double looked_up;   // of a table that is resident: bytes of a tile, if it stayed in memory
  bool is_first;      // of those that read the same bytes: memory gives them once
  const pef_operand_t *operand;
} leat_chip_pass_t;

typedef struct leat_chip_pipe_s {
  LEAT_ARRAY(leat_chip_node_t) nodes;  // ascending by level
  LEAT_ARRAY(leat_chip_pass_t) passes;
  uint32_t *node_of;  // a stage of the body: its node, or that in whose units it rides; LEAT_CHIP_NONE: nothing to do
  uint32_t stage_count, levels;
} leat_chip_pipe_t;

// LEAT_OUT_OF_MEMORY. `tiles`: of the body, one after the other.
leat_status_t leat_chip_pipe_make(const leat_chip_t *chip, const leat_pef_t *pef, const pef_body_t *body,
                                  const leat_chip_tile_t *tile, double tiles, leat_chip_pipe_t *out_pipe) LEAT_MUST_USE;
void leat_chip_pipe_deinit(leat_chip_pipe_t *pipe);

#endif
