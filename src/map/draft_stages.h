// SPDX-License-Identifier: Apache-2.0
// Drafting the stages of a section, a file a kind of op: draft_map.c, draft_contract.c, draft_op.c.
#ifndef LEAT_MAP_DRAFT_STAGES_H_
#define LEAT_MAP_DRAFT_STAGES_H_

#include "map/draft.h"
#include "map/keep.h"
#include "map/pack.h"

// Elementwise ops that share a pass.
void leat_draft_map(leat_draft_t *d, const leat_stage_t *stage, const leat_keeps_t *keeps);
// Copies a value into the symbol of a store.
void leat_draft_store_copy(leat_draft_t *d, leat_op_id_t store, const leat_map_symbols_t *symbols);
// A product of `section`; its right operand may become a pack.
void leat_draft_contract(leat_draft_t *d, leat_op_id_t op, uint32_t section, leat_packs_t *packs);
// Any other computing op.
void leat_draft_op(leat_draft_t *d, leat_op_id_t op);

#endif
