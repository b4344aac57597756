// SPDX-License-Identifier: Apache-2.0
// The lexer of the graph text.
#include "ir/lex.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static leat_status_t fail_at(const leat_lexer_t *lexer, const char *place, int code, const char *message) {
  LEAT_FAIL(code, "line %" PRIu32 ", column %td: %s", lexer->line, place - lexer->line_start + 1, message);
}

leat_status_t leat_lexer_fail(const leat_lexer_t *lexer, int code, const char *format, ...) {
  char message[512];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  for (char *c = message; *c != '\0'; ++c) {  // of the text, which may hold anything
    if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
  }
  return fail_at(lexer, lexer->token.start, code, message);
}

static bool is_name_start(char c) { return isalpha((unsigned char)c) || c == '_'; }
static bool is_name_part(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void skip_blanks_and_comment(leat_lexer_t *lexer) {
  while (lexer->at < lexer->end && (*lexer->at == ' ' || *lexer->at == '\t' || *lexer->at == '\r')) lexer->at++;
  if (*lexer->at != '#') return;
  while (lexer->at < lexer->end && *lexer->at != '\n') lexer->at++;
}

// Digits with an optional sign; the token's kind is set by the caller.
static leat_status_t lex_integer(leat_lexer_t *lexer, const char *start) {
  char *end;
  errno = 0;
  lexer->token.integer = strtoll(start, &end, 10);
  if (errno == ERANGE) return fail_at(lexer, start, LEAT_INVALID_ARGUMENT, "the integer does not fit 64 bits");
  lexer->token.number = (double)lexer->token.integer;
  lexer->at = end;
  return NULL;
}

static leat_status_t lex_number(leat_lexer_t *lexer) {
  const char *digits = lexer->at + (*lexer->at == '-' || *lexer->at == '+');
  const char *after = digits;
  while (is_digit(*after)) after++;
  if (after > digits && *after != '.' && !is_name_start(*after)) {
    lexer->token.kind = LEAT_TOKEN_INTEGER;
    return lex_integer(lexer, lexer->at);
  }
  const char *end;
  lexer->token.kind = LEAT_TOKEN_FLOAT;
  lexer->token.number = leat_text_read_double(lexer->at, &end);
  if (end == lexer->at || is_name_part(*end))
    return fail_at(lexer, lexer->at, LEAT_INVALID_ARGUMENT, "this is not a number");
  lexer->at = end;
  return NULL;
}

static leat_status_t lex_string(leat_lexer_t *lexer) {
  const char *at = lexer->at + 1;
  for (; at < lexer->end && *at != '"'; at++) {
    if ((unsigned char)*at < 0x20) break;
    if (*at == '\\' && at + 1 < lexer->end) at++;
  }
  if (at >= lexer->end || *at != '"')
    return fail_at(lexer, lexer->at, LEAT_INVALID_ARGUMENT, "the string does not end on its line");
  lexer->token.kind = LEAT_TOKEN_STRING;
  lexer->at = at + 1;
  return NULL;
}

static leat_status_t lex_token(leat_lexer_t *lexer) {
  char c = *lexer->at;
  if (is_name_start(c)) {
    lexer->token.kind = LEAT_TOKEN_NAME;
    while (is_name_part(*lexer->at)) lexer->at++;
    return NULL;
  }
  if (c == '%' && is_digit(lexer->at[1])) {
    lexer->token.kind = LEAT_TOKEN_VALUE;
    return lex_integer(lexer, lexer->at + 1);
  }
  if (is_digit(c) || c == '-' || c == '+' || c == '.') return lex_number(lexer);
  if (c == '"') return lex_string(lexer);
  if (c != '\0' && strchr("(){}[],:=!@", c) != NULL) {
    lexer->token.kind = LEAT_TOKEN_MARK;
    lexer->at++;
    return NULL;
  }
  return fail_at(lexer, lexer->at, LEAT_INVALID_ARGUMENT,
                 c == '%' ? "a value is written as %<number>" : "this character has no meaning here");
}

leat_status_t leat_lexer_next(leat_lexer_t *lexer) {
  if (lexer->token.kind == LEAT_TOKEN_NEWLINE && lexer->token.start != NULL) {
    lexer->line++;
    lexer->line_start = lexer->at;
  }
  skip_blanks_and_comment(lexer);
  lexer->token = (leat_token_t){.kind = LEAT_TOKEN_END, .start = lexer->at};
  if (lexer->at < lexer->end && *lexer->at == '\n') {
    lexer->token.kind = LEAT_TOKEN_NEWLINE;
    lexer->at++;
  } else if (lexer->at < lexer->end) {
    LEAT_TRY(lex_token(lexer));
  }
  lexer->token.length = (size_t)(lexer->at - lexer->token.start);
  return NULL;
}

leat_status_t leat_lexer_start(leat_lexer_t *lexer, const char *text, size_t length) {
  *lexer = (leat_lexer_t){.at = text, .end = text + length, .line_start = text, .line = 1};
  return leat_lexer_next(lexer);
}

bool leat_lexer_is_mark(const leat_lexer_t *lexer, char mark) {
  return lexer->token.kind == LEAT_TOKEN_MARK && *lexer->token.start == mark;
}

// --- strings ------------------------------------------------------------------------------------------------------

static size_t put_utf8(char *to, uint32_t code) {
  if (code < 0x80) return to[0] = (char)code, 1;
  if (code < 0x800) return to[0] = (char)(0xc0 | code >> 6), to[1] = (char)(0x80 | (code & 0x3f)), 2;
  if (code < 0x10000) {
    to[0] = (char)(0xe0 | code >> 12), to[1] = (char)(0x80 | (code >> 6 & 0x3f)), to[2] = (char)(0x80 | (code & 0x3f));
    return 3;
  }
  to[0] = (char)(0xf0 | code >> 18), to[1] = (char)(0x80 | (code >> 12 & 0x3f));
  to[2] = (char)(0x80 | (code >> 6 & 0x3f)), to[3] = (char)(0x80 | (code & 0x3f));
  return 4;
}

static bool read_hex4(const char *at, const char *end, uint32_t *out_code) {
  *out_code = 0;
  if (end - at < 4) return false;
  for (int i = 0; i < 4; i++) {
    if (!isxdigit((unsigned char)at[i])) return false;
    char c = (char)tolower((unsigned char)at[i]);
    *out_code = *out_code * 16 + (uint32_t)(is_digit(c) ? c - '0' : c - 'a' + 10);
  }
  return true;
}

// The character that "\uXXXX" at `at` (after the u) stands for, a surrogate pair taken together. NULL: malformed.
static const char *read_unicode(const char *at, const char *end, uint32_t *out_code) {
  uint32_t low;
  if (!read_hex4(at, end, out_code) || *out_code == 0) return NULL;
  if (*out_code < 0xd800 || *out_code > 0xdfff) return at + 4;
  if (*out_code > 0xdbff || end - at < 10 || at[4] != '\\' || at[5] != 'u') return NULL;
  if (!read_hex4(at + 6, end, &low) || low < 0xdc00 || low > 0xdfff) return NULL;
  *out_code = 0x10000 + ((*out_code - 0xd800) << 10) + (low - 0xdc00);
  return at + 10;
}

// Decodes one escape after its backslash; NULL: malformed.
static const char *decode_escape(const char *at, const char *end, char **to) {
  static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  if (*at == 'u') {
    uint32_t code;
    const char *after = read_unicode(at + 1, end, &code);
    if (after != NULL) *to += put_utf8(*to, code);
    return after;
  }
  const char *letter = *at == '\0' ? NULL : strchr(letters, *at);
  if (letter == NULL) return NULL;
  *(*to)++ = meanings[letter - letters];
  return at + 1;
}

leat_status_t leat_lexer_string(const leat_lexer_t *lexer, leat_arena_t *arena, const char **out_string) {
  assert(lexer->token.kind == LEAT_TOKEN_STRING);
  const char *at = lexer->token.start + 1, *end = lexer->token.start + lexer->token.length - 1;
  char *decoded = leat_arena_alloc(arena, lexer->token.length), *to = decoded;
  if (decoded == NULL) return leat_out_of_memory();
  while (at < end) {
    if (*at != '\\') {
      *to++ = *at++;
      continue;
    }
    const char *escape = at;
    at = decode_escape(at + 1, end, &to);
    if (at == NULL) return fail_at(lexer, escape, LEAT_INVALID_ARGUMENT, "this is no escape of a JSON string");
  }
  for (const char *c = decoded; *c != '\0';) {
    const uint32_t length = leat_utf8_length(c);
    if (length == 0) return fail_at(lexer, lexer->token.start, LEAT_INVALID_ARGUMENT, "this string is not UTF-8");
    c += length;
  }
  *out_string = decoded;
  return NULL;
}
