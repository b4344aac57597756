// SPDX-License-Identifier: Apache-2.0
// A stage on a tile: operands with their extents there, elements by index, and one function a stage kind.
#ifndef LEAT_REF_STAGE_H_
#define LEAT_REF_STAGE_H_

#include "ref/value.h"
#include "run/engine.h"

typedef struct ref_stage_s {
  const leat_pef_t *pef;
  const pef_stage_t *file;
  const pef_body_t *body;
} ref_stage_t;

// An operand of a tile. An index has as many words as the format has dims; those beyond the rank are 0.
typedef struct ref_operand_s {
  const pef_operand_t *file;
  uint32_t dtype, rank;
  char *at;                     // element 0
  int64_t dims[PEF_MAX_RANK];   // in this tile; beyond the rank: 1
  int64_t first[PEF_MAX_RANK];  // where the tile begins in the whole
} ref_operand_t;

ref_operand_t leat_ref_operand(const ref_stage_t *stage, uint32_t index, const leat_run_tile_t *tile);
// bool as bytes that may hold any number: SCAN and SCATTER.
ref_operand_t leat_ref_operand_of_bytes(const ref_stage_t *stage, uint32_t index, const leat_run_tile_t *tile);

char *leat_ref_at(const ref_operand_t *operand, const int64_t index[PEF_MAX_RANK]);
ref_value_t leat_ref_read(const ref_operand_t *operand, uint32_t class_, const int64_t index[PEF_MAX_RANK]);
void leat_ref_write(const ref_operand_t *operand, uint32_t class_, const int64_t index[PEF_MAX_RANK],
                    ref_value_t value);

// The next index in lexicographic order within `dims`; false after the last, the index being 0 again.
bool leat_ref_next(int64_t index[PEF_MAX_RANK], const int64_t dims[PEF_MAX_RANK]);
// The index that comes `count`-th in that order.
void leat_ref_nth(int64_t count, const int64_t dims[PEF_MAX_RANK], int64_t index[PEF_MAX_RANK]);
// How many there are.
int64_t leat_ref_count(const int64_t dims[PEF_MAX_RANK]);

// What a stage of instructions wants to have of the workspace.
size_t leat_ref_map_workspace(const pef_stage_t *file);
// And one that is the gradient of attention.
size_t leat_ref_attention_grad_workspace(const pef_stage_t *file);

#define STAGE(suffix, name, number, since, text) \
  void leat_ref_##name(const ref_stage_t *stage, const leat_run_tile_t *tile);
#include "pef/stage.def"

#endif
