// SPDX-License-Identifier: Apache-2.0
// The table over stage kinds.
#include "native/stage.h"

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
