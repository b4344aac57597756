// SPDX-License-Identifier: Apache-2.0
// The table over stage kinds.
#include "native/stage.h"

static const leat_native_stage_kind_t kinds[PEF_STAGE_COUNT] = {
#define STAGE(suffix, name) [PEF_STAGE_##suffix] = {#name, leat_native_##name##_prepare, leat_native_##name##_run},
#include "native/stage.def"
#undef STAGE
};

static void run_nothing(const leat_native_stage_t *stage, const leat_native_tile_t *tile) { (void)stage, (void)tile; }

const leat_native_stage_kind_t *leat_native_stage_idle(void) {
  static const leat_native_stage_kind_t idle = {"idle", NULL, run_nothing};
  return &idle;
}

const leat_native_stage_kind_t *leat_native_stage_kind(uint32_t kind) {
  return kind < PEF_STAGE_COUNT ? &kinds[kind] : NULL;
}
