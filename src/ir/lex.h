// SPDX-License-Identifier: Apache-2.0
// Tokens of the graph text (docs/graph-text.md). Private to ir.
#ifndef LEAT_IR_LEX_H_
#define LEAT_IR_LEX_H_

#include "base/base.h"

typedef enum leat_token_kind_e {
  LEAT_TOKEN_END,
  LEAT_TOKEN_NEWLINE,
  LEAT_TOKEN_NAME,   // letters, digits, '_' and '.'
  LEAT_TOKEN_VALUE,  // %12: `integer` is the number
  LEAT_TOKEN_INTEGER,
  LEAT_TOKEN_FLOAT,
  LEAT_TOKEN_STRING,  // with its quotes; see leat_lexer_string
  LEAT_TOKEN_MARK     // one character
} leat_token_kind_t;

typedef struct leat_token_s {
  leat_token_kind_t kind;
  const char *start;
  size_t length;
  int64_t integer;
  double number;  // of FLOAT and INTEGER
} leat_token_t;

typedef struct leat_lexer_s {
  const char *at, *end;  // the text ends with a NUL at `end`
  const char *line_start;
  uint32_t line;
  leat_token_t token;  // the current one
} leat_lexer_t;

// Starts at the first token of `text`, which is NUL-terminated at text[length].
leat_status_t leat_lexer_start(leat_lexer_t *lexer, const char *text, size_t length) LEAT_MUST_USE;
leat_status_t leat_lexer_next(leat_lexer_t *lexer) LEAT_MUST_USE;
bool leat_lexer_is_mark(const leat_lexer_t *lexer, char mark);
// A failed status that names line and column of the current token.
leat_status_t leat_lexer_fail(const leat_lexer_t *lexer, int code, const char *format, ...)
    LEAT_PRINTF(3, 4) LEAT_MUST_USE;
// The current STRING token without quotes and escapes, NUL-terminated in `arena`.
leat_status_t leat_lexer_string(const leat_lexer_t *lexer, leat_arena_t *arena, const char **out_string) LEAT_MUST_USE;

#endif
