// SPDX-License-Identifier: Apache-2.0
// Operands of a tile, and walks over indices.
#include "ref/stage.h"

ref_operand_t leat_ref_operand(const ref_stage_t *stage, uint32_t index, const leat_run_tile_t *tile) {
  const pef_operand_t *file = &stage->pef->operands[stage->file->operand_first + index];
  ref_operand_t operand = {.file = file, .dtype = file->dtype, .rank = file->rank};
  if (file->space != PEF_SPACE_NONE) operand.at = leat_run_operand_at(stage->pef, file, tile);
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) {
    operand.dims[d] = 1;
    if (d < file->rank) operand.dims[d] = leat_run_operand_extent(stage->pef, file, d, tile, &operand.first[d]);
  }
  return operand;
}

ref_operand_t leat_ref_operand_of_bytes(const ref_stage_t *stage, uint32_t index, const leat_run_tile_t *tile) {
  ref_operand_t operand = leat_ref_operand(stage, index, tile);
  if (operand.dtype == PEF_BOOL) operand.dtype = PEF_U8;
  return operand;
}

char *leat_ref_at(const ref_operand_t *operand, const int64_t index[PEF_MAX_RANK]) {
  int64_t elements = 0;
  for (uint32_t d = 0; d < operand->rank; d++) elements += index[d] * operand->file->strides[d];
  return operand->at + elements * (int64_t)leat_pef_dtype_bytes(operand->dtype);
}

ref_value_t leat_ref_read(const ref_operand_t *operand, uint32_t class_, const int64_t index[PEF_MAX_RANK]) {
  return leat_ref_load(class_, operand->dtype, leat_ref_at(operand, index));
}

void leat_ref_write(const ref_operand_t *operand, uint32_t class_, const int64_t index[PEF_MAX_RANK],
                    ref_value_t value) {
  leat_ref_store(class_, operand->dtype, leat_ref_at(operand, index), value);
}

bool leat_ref_next(int64_t index[PEF_MAX_RANK], const int64_t dims[PEF_MAX_RANK]) {
  for (uint32_t d = PEF_MAX_RANK; d-- > 0;) {
    if (++index[d] < dims[d]) return true;
    index[d] = 0;
  }
  return false;
}

void leat_ref_nth(int64_t count, const int64_t dims[PEF_MAX_RANK], int64_t index[PEF_MAX_RANK]) {
  for (uint32_t d = PEF_MAX_RANK; d-- > 0;) {
    index[d] = count % dims[d];
    count /= dims[d];
  }
}

int64_t leat_ref_count(const int64_t dims[PEF_MAX_RANK]) {
  int64_t count = 1;
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) count *= dims[d];
  return count;
}
