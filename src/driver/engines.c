// SPDX-License-Identifier: Apache-2.0
// The engines that a program may run on, a row each; the first is taken where none is named.
#include "driver/compare.h"
#include "native/engine.h"
#include "ref/engine.h"
#include "run/program.h"

static const leat_run_engine_t *const engines[] = {
    &leat_native_engine,
    &leat_ref_engine,
    &leat_compare_engine,
    NULL,
};

LEAT_EXPORT leat_status_t leat_program_load(const char *path, const leat_load_options_t *options,
                                            leat_program_t **out_program) {
  return leat_run_load(path, options, engines, out_program);
}
