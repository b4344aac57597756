// SPDX-License-Identifier: Apache-2.0
// Stages of sections: which ops make a pass over a tile together.
#ifndef LEAT_MAP_STAGES_H_
#define LEAT_MAP_STAGES_H_

#include "cut/cut.h"
#include "space/uses.h"

typedef struct leat_stage_s {
  uint32_t kind;    // primitive kind of its ops
  uint8_t row_dim;  // of its results
  uint32_t rank;    // MAP: iteration space
  int64_t dims[LEAT_RANK_MAX];
  uint32_t operands, instructions;  // MAP: no more than these so far
  LEAT_ARRAY(leat_op_id_t) ops;
  leat_op_id_t copy_store;  // a stage that copies a value into the symbol of this store; else LEAT_NONE
} leat_stage_t;

typedef LEAT_ARRAY(leat_stage_t) leat_stage_list_t;

typedef struct leat_stages_s {
  leat_stage_list_t *of;  // per section, in the order in which a tile goes through them
  uint32_t section_count;
  uint32_t *at;  // per op: index in its section's stages; of a store: where it is copied
} leat_stages_t;

leat_status_t leat_stages_make(const leat_graph_t *g, const leat_plan_t *plan, const leat_uses_t *uses,
                               leat_stages_t *out_stages) LEAT_MUST_USE;
void leat_stages_deinit(leat_stages_t *stages);
// A stage behind all others of the store's section, which copies what is stored.
leat_status_t leat_stages_add_copy(leat_stages_t *stages, const leat_plan_t *plan, leat_op_id_t store) LEAT_MUST_USE;
// True if input `input` of `op` reads its base element by element in the op's own iteration order.
bool leat_stages_read_in_step(const leat_graph_t *g, const leat_op_t *op, uint32_t input);

#endif
