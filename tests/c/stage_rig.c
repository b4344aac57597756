// SPDX-License-Identifier: Apache-2.0
// A rig for tests of stage kinds.
#include "stage_rig.h"

void rig_init(rig_t *rig, uint32_t kind, uint8_t fn, const leat_kern_t *kern) {
  memset(rig, 0, sizeof *rig);
  leat_arena_init(&rig->arena);
  rig->row_count = 1;
  rig->stage = (leat_native_stage_t){.kind = leat_native_stage_kind(kind),
                                     .kern = kern,
                                     .operands = rig->operands,
                                     .fn = fn,
                                     .params = &rig->params,
                                     .origin = "test"};
}

void rig_deinit(rig_t *rig) { leat_arena_deinit(&rig->arena); }

leat_native_operand_t *rig_operand(rig_t *rig, uint8_t dtype, void *data, uint32_t rank, const int64_t *dims) {
  static const uint8_t element_bytes[PEF_DTYPE_COUNT] = {4, 8, 2, 2, 1, 1, 2, 4, 8, 1};
  uint32_t i = rig->stage.operand_count++;
  leat_native_operand_t *o = &rig->operands[i];
  *o = (leat_native_operand_t){.space = PEF_SPACE_ARGUMENT,
                               .dtype = dtype,
                               .element_bytes = element_bytes[dtype],
                               .rank = (uint8_t)rank,
                               .row_dim = PEF_NO_ROW_DIM,
                               .slot = (uint16_t)i};
  int64_t stride = 1;
  for (uint32_t d = 0; d < 8; d++) o->dims[d] = d < rank ? dims[d] : 1;
  for (uint32_t d = rank; d-- > 0;) {
    o->strides[d] = stride;
    stride *= dims[d];
  }
  rig->arguments[i] = data;
  return o;
}

void rig_absent(rig_t *rig) {
  rig->operands[rig->stage.operand_count++] =
      (leat_native_operand_t){.space = PEF_SPACE_NONE, .row_dim = PEF_NO_ROW_DIM};
}

void rig_rows(rig_t *rig, uint32_t operand, uint32_t dim) {
  leat_native_operand_t *o = &rig->operands[operand];
  o->row_dim = (uint8_t)dim;
  o->row_mult = 1;
  o->row_bytes = o->strides[dim] * o->element_bytes;
  rig->row_count = o->dims[dim];
}

leat_status_t rig_run(rig_t *rig, int64_t tile_rows) {
  if (tile_rows == 0 || tile_rows > rig->row_count) tile_rows = rig->row_count;
  const leat_native_prepare_t context = {
      .arena = &rig->arena, .kern = rig->stage.kern, .row_count = rig->row_count, .tile_rows_max = tile_rows};
  LEAT_TRY(rig->stage.kind->prepare(&rig->stage, &context));
  char *workspace = leat_alloc(rig->stage.workspace_bytes + 64);
  if (!workspace) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  memset(workspace, 0xff, rig->stage.workspace_bytes);  // NaN in every float
  for (int64_t r1 = rig->row_count; r1 > 0; r1 -= tile_rows) {
    int64_t r0 = r1 > tile_rows ? r1 - tile_rows : 0;
    const leat_run_tile_t tile = {
        .r0 = r0, .rows = r1 - r0, .stream = rig->stream, .arguments = rig->arguments, .workspace = workspace};
    rig->stage.kind->run(&rig->stage, &tile);
  }
  leat_free(workspace);
  return NULL;
}

const leat_kern_t *const *rig_levels(uint32_t *out_count) {
  static const leat_kern_t *const levels[] = {&leat_kern_portable, &leat_kern_avx2, &leat_kern_avx512};
  __builtin_cpu_init();
  *out_count = 1;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) *out_count = 2;
  if (*out_count == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
    *out_count = 3;
  }
  return levels;
}

void rig_fill_f32(float *out, size_t count, uint32_t seed, int coarse) {
  uint32_t s = seed * 2654435761u + 1;
  for (size_t i = 0; i < count; i++) {
    s ^= s << 13, s ^= s >> 17, s ^= s << 5;
    out[i] = (float)(int32_t)s * 0x1p-31f;
    if (coarse != 0) out[i] = (float)((int32_t)(s >> 8) % 5 - 2);
  }
}
