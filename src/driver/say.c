// SPDX-License-Identifier: Apache-2.0
// Messages to the callbacks of leat_compile_options_t.
#include "driver/say.h"

#include <stdio.h>

void leat_say(const leat_compile_options_t *options, uint32_t level, const char *layer, const char *format, ...) {
  char text[512];
  if (options->log == NULL) return;
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  options->log(options->log_user, level, layer, text);
}

void leat_say_step(const leat_compile_options_t *options, uint32_t done, uint32_t total, const char *what) {
  if (options->progress != NULL) options->progress(options->progress_user, done, total, what);
}
