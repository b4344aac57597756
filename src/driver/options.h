// SPDX-License-Identifier: Apache-2.0
// Options of a compile: their defaults, their legal values, and which of them nothing consumes yet.
#ifndef LEAT_DRIVER_OPTIONS_H_
#define LEAT_DRIVER_OPTIONS_H_

#include "base/base.h"
#include "leat/compile.h"

// LEAT_INVALID_ARGUMENT names the field, its value and what is legal; LEAT_UNSUPPORTED what is not yet available.
leat_status_t leat_options_check(const leat_compile_options_t *options) LEAT_MUST_USE;

#endif
