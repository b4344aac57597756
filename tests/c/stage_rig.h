// SPDX-License-Identifier: Apache-2.0
// A rig for tests of stage kinds: operands over plain arrays, one stage, any ISA level, tiles of any number of rows.
#ifndef LEAT_TESTS_STAGE_RIG_H_
#define LEAT_TESTS_STAGE_RIG_H_

#include "native/stage.h"

enum { RIG_OPERANDS = 4 };

typedef struct rig_s {
  leat_native_stage_t stage;
  leat_native_operand_t operands[RIG_OPERANDS];
  pef_params_t params;
  char *arguments[RIG_OPERANDS];
  int64_t row_count;
  uint32_t stream;  // of the call
  leat_arena_t arena;
} rig_t;

void rig_init(rig_t *rig, uint32_t kind, uint8_t fn, const leat_kern_t *kern);
void rig_deinit(rig_t *rig);
// Adds an operand over `data`, row-major; rank dims follow as int64_t. Strides may be changed before rig_run.
leat_native_operand_t *rig_operand(rig_t *rig, uint8_t dtype, void *data, uint32_t rank, const int64_t *dims);
// An absent operand.
void rig_absent(rig_t *rig);
// Dim `dim` of the operand holds the rows.
void rig_rows(rig_t *rig, uint32_t operand, uint32_t dim);
// Prepares; then runs tiles of `tile_rows` rows, the last ones first (0: one tile).
leat_status_t rig_run(rig_t *rig, int64_t tile_rows);

// The three levels that this CPU runs; *out_count of them.
const leat_kern_t *const *rig_levels(uint32_t *out_count);
// Repeatable numbers in [-1, 1), with many ties when `coarse`.
void rig_fill_f32(float *out, size_t count, uint32_t seed, int coarse);

#endif
