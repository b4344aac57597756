// SPDX-License-Identifier: Apache-2.0
// What the compiler tells its caller while it works: messages, and which step it has come to.
#ifndef LEAT_DRIVER_SAY_H_
#define LEAT_DRIVER_SAY_H_

#include "base/base.h"
#include "leat/compile.h"

// To options->log, if there is one. A message has up to 511 bytes; the rest is cut off.
void leat_say(const leat_compile_options_t *options, uint32_t level, const char *layer, const char *format, ...)
    LEAT_PRINTF(4, 5);
// To options->progress, if there is one.
void leat_say_step(const leat_compile_options_t *options, uint32_t done, uint32_t total, const char *what);

#endif
