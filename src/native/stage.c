// SPDX-License-Identifier: Apache-2.0
// The table over stage kinds.
#include "native/stage.h"

#include "pef/pef_scalar.h"

// Kernels take classes, functions and dtypes by the numbers of the file.
static_assert((int)LEAT_KERN_F32 == PEF_CLASS_F32 && (int)LEAT_KERN_F64 == PEF_CLASS_F64, "classes of kernels");
static_assert((int)LEAT_KERN_I64 == PEF_CLASS_I64 && (int)LEAT_KERN_DTYPE_COUNT == PEF_DTYPE_COUNT,
              "dtypes of kernels");
static_assert((int)LEAT_KERN_SUM == PEF_FN_SUM && (int)LEAT_KERN_PROD == PEF_FN_PROD, "functions of kernels");
static_assert((int)LEAT_KERN_MAX == PEF_FN_MAX && (int)LEAT_KERN_MIN == PEF_FN_MIN, "functions of kernels");
static_assert((int)LEAT_KERN_SET == PEF_FN_SET, "functions of kernels");
static_assert((int)LEAT_KERN_FN_COUNT == PEF_SCALAR_COUNT, "scalar functions of kernels");

#define STAGE(suffix, name, number, since, text) \
  static void run_##name(const void *stage, const leat_run_tile_t *tile) { leat_native_##name##_run(stage, tile); }
#include "pef/stage.def"

static const leat_native_stage_kind_t kinds[PEF_STAGE_COUNT] = {
#define STAGE(suffix, name, number, since, text) \
  [PEF_STAGE_##suffix] = {#name, leat_native_##name##_prepare, run_##name},
#include "pef/stage.def"
};

const leat_native_stage_kind_t *leat_native_stage_kind(uint32_t kind) {
  return kind < PEF_STAGE_COUNT ? &kinds[kind] : NULL;
}

void leat_native_copy2(const leat_kern_t *kern, uint8_t bytes, char *out, int64_t ld_out, const char *in, int64_t in_i,
                       int64_t in_j, int64_t rows, int64_t cols) {
  switch (bytes) {
    case 1:
      kern->copy2_b1((uint8_t *)out, ld_out, (const uint8_t *)in, in_i, in_j, rows, cols);
      break;
    case 2:
      kern->copy2_b2((void *)out, ld_out, (const void *)in, in_i, in_j, rows, cols);
      break;
    case 4:
      kern->copy2_b4((void *)out, ld_out, (const void *)in, in_i, in_j, rows, cols);
      break;
    default:
      kern->copy2_b8((void *)out, ld_out, (const void *)in, in_i, in_j, rows, cols);
  }
}
