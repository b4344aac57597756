// SPDX-License-Identifier: Apache-2.0
// See lines.h.
#include "arch/lines.h"

#include <ctype.h>

int leat_lines_shown(const char *text, size_t length) {
  size_t end = 0;
  while (end < length && end < 40 && isprint((unsigned char)text[end])) ++end;
  return (int)end;
}

bool leat_lines_is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool leat_lines_key_is(const leat_lines_t *lines, const char *name) {
  return strlen(name) == lines->key_length && memcmp(name, lines->key, lines->key_length) == 0;
}

leat_status_t leat_lines_take_text(const char *key, const char *value, size_t length, char *place, size_t bytes) {
  if (length == 0 || length >= bytes) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s has 1 to %zu characters", key, bytes - 1);
  char room[LEAT_ARCH_NAME_MAX] = {0};
  memcpy(room, value, length);
  for (size_t at = 0, step; at < length; at += step) {
    step = leat_utf8_length(room + at);
    if (step == 0) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s is not UTF-8", key);
    if (room[at] == '#') LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s has a '#', which begins comments", key);
    if ((unsigned char)room[at] < ' ' && !leat_lines_is_blank(room[at]))
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s: character %zu is no text", key, at + 1);
  }
  memcpy(place, room, bytes);
  return NULL;
}

// A line without its end; one of blanks and comments has no key.
static leat_status_t split(leat_lines_t *lines, const char *line, size_t length) {
  lines->key_length = 0;
  for (size_t i = 0; i < length; ++i) {
    if (line[i] == '#' && (i == 0 || leat_lines_is_blank(line[i - 1]))) length = i;
    if (i < length && (unsigned char)line[i] < ' ' && !leat_lines_is_blank(line[i]))
      LEAT_FAIL_AT(lines, "character %zu is no text", i + 1);
  }
  while (length > 0 && leat_lines_is_blank(line[length - 1])) --length;
  for (; length > 0 && leat_lines_is_blank(*line); --length) ++line;
  lines->key = length == 0 ? NULL : line;
  if (length == 0) return NULL;
  const char *colon = memchr(line, ':', length);
  if (colon == NULL) LEAT_FAIL_AT(lines, "'%.*s' is not 'key: value'", leat_lines_shown(line, length), line);
  const char *value = colon + 1;
  lines->key_length = (size_t)(colon - line);
  while (lines->key_length > 0 && leat_lines_is_blank(line[lines->key_length - 1])) --lines->key_length;
  while (value < line + length && leat_lines_is_blank(*value)) ++value;
  const size_t value_length = (size_t)(line + length - value);
  if (value_length >= sizeof lines->value)
    LEAT_FAIL_AT(lines, "a value of more than %zu characters", sizeof lines->value - 1);
  memcpy(lines->value, value, value_length);
  lines->value[value_length] = '\0';
  return NULL;
}

leat_status_t leat_lines_next(leat_lines_t *lines, bool *out_found) {
  for (lines->key = NULL; lines->at < lines->text_bytes && lines->key == NULL;) {
    const char *line = lines->text + lines->at;
    const char *end = memchr(line, '\n', lines->text_bytes - lines->at);
    const size_t length = end != NULL ? (size_t)(end - line) : lines->text_bytes - lines->at;
    ++lines->line;
    LEAT_TRY(split(lines, line, length));
    lines->at += length + 1;
  }
  *out_found = lines->key != NULL;
  return NULL;
}
