// SPDX-License-Identifier: Apache-2.0
// Records as lines, `key: value` each, `#` begins a comment: what the readers of machines and of chips share.
#ifndef LEAT_ARCH_LINES_H_
#define LEAT_ARCH_LINES_H_

#include "arch/arch.h"

// A text that is gone through line by line. The caller fills the first three fields.
typedef struct leat_lines_s {
  const char *from, *text;
  size_t text_bytes, at;
  uint32_t line;    // the one that was read last, from 1 on
  const char *key;  // of key_length bytes, no blanks around it
  size_t key_length;
  char value[2 * LEAT_ARCH_NAME_MAX];  // no blanks around it
} leat_lines_t;

// Steps to the next line that says something. Untrusted; LEAT_INVALID_ARGUMENT says "<from>:<line>: ".
leat_status_t leat_lines_next(leat_lines_t *lines, bool *out_found) LEAT_MUST_USE;
bool leat_lines_key_is(const leat_lines_t *lines, const char *name);
// How much of `text` is fit to be seen in a message: as a precision of %.*s.
int leat_lines_shown(const char *text, size_t length);
bool leat_lines_is_blank(char c);
// Puts `length` bytes of `value` into the `bytes` at `place`, as text of one line.
leat_status_t leat_lines_take_text(const char *key, const char *value, size_t length, char *place,
                                   size_t bytes) LEAT_MUST_USE;

#define LEAT_FAIL_AT(lines, format, ...) \
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s:%u: " format, (lines)->from, (lines)->line, __VA_ARGS__)

#endif
