// SPDX-License-Identifier: Apache-2.0
// JSON in one pass, for headers that may be hostile: a cursor that takes one token after the other and keeps nothing.
// White space before a token is passed over. A call that returns false leaves the cursor anywhere: give up then.
#ifndef LEAT_IO_JSON_SCAN_H_
#define LEAT_IO_JSON_SCAN_H_

#include "base/base.h"

typedef struct leat_json_scan_s {
  const char *at, *end;
} leat_json_scan_t;

// Is `mark` next? Then it is taken; else the cursor stays.
bool leat_json_mark(leat_json_scan_t *scan, char mark);
// A string, unescaped and NUL-terminated, in place of what `out` held; strings with a NUL or malformed UTF-8 are none.
bool leat_json_string(leat_json_scan_t *scan, leat_text_t *out);
// A whole number from 0 to 2^53.
bool leat_json_size(leat_json_scan_t *scan, int64_t *out_size);
// Passes over any value; brackets have to match in number, not in kind.
bool leat_json_skip(leat_json_scan_t *scan);
// Is there nothing but white space (and NULs) left?
bool leat_json_end(leat_json_scan_t *scan);

#endif
