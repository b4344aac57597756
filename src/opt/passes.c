// SPDX-License-Identifier: Apache-2.0
#include "opt/opt.h"

const leat_opt_pass_t leat_opt_passes[LEAT_OPT_PASS_COUNT] = {
    {"fold", leat_opt_fold},
    {"cse", leat_opt_cse},
    {"dce", leat_opt_dce},
};
