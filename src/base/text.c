// SPDX-License-Identifier: Apache-2.0
// Text builder with a sticky out-of-memory flag, and numbers that do not depend on the locale of the process.
#include <ctype.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

enum { FIRST_CAPACITY = 256, DOUBLE_TEXT_MAX = 64 };

LEAT_EXPORT void leat_string_free(char *text) { leat_free(text); }

void leat_text_deinit(leat_text_t *text) {
  leat_free(text->data);
  *text = (leat_text_t){0};
}

// Room for `extra` characters and the NUL.
static bool reserve(leat_text_t *text, size_t extra) {
  size_t needed;
  if (text->failed) return false;
  if (!leat_size_add(text->length + 1, extra, &needed)) return !(text->failed = true);
  if (needed <= text->capacity) return true;
  size_t capacity = text->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : text->capacity + text->capacity / 2;
  if (capacity < needed) capacity = needed;
  char *moved = leat_alloc(capacity);
  if (moved == NULL) return !(text->failed = true);
  if (text->length != 0) memcpy(moved, text->data, text->length);
  moved[text->length] = '\0';
  leat_free(text->data);
  text->data = moved;
  text->capacity = capacity;
  return true;
}

void leat_text_put_bytes(leat_text_t *text, const char *bytes, size_t length) {
  if (!reserve(text, length)) return;
  if (length != 0) memcpy(text->data + text->length, bytes, length);
  text->length += length;
  text->data[text->length] = '\0';
}

void leat_text_put(leat_text_t *text, const char *format, ...) {
  char small[256];
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int length = vsnprintf(small, sizeof small, format, arguments);
  if (length < 0) {
    text->failed = true;
  } else if ((size_t)length < sizeof small) {
    leat_text_put_bytes(text, small, (size_t)length);
  } else if (reserve(text, (size_t)length)) {
    (void)vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
    text->length += (size_t)length;
  }
  va_end(again);
  va_end(arguments);
}

static void put_json_character(leat_text_t *text, unsigned char c) {
  static const char letters[] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
  if (c == '"' || c == '\\') {
    leat_text_put(text, "\\%c", c);
  } else if (c < sizeof letters && letters[c] != 0) {
    leat_text_put(text, "\\%c", letters[c]);
  } else if (c < 0x20) {
    leat_text_put(text, "\\u%04x", c);
  } else {
    leat_text_put_bytes(text, (const char *)&c, 1);
  }
}

void leat_text_put_json_string(leat_text_t *text, const char *string) {
  leat_text_put_bytes(text, "\"", 1);
  for (const char *c = string; *c != '\0'; c++) put_json_character(text, (unsigned char)*c);
  leat_text_put_bytes(text, "\"", 1);
}

// Swaps the decimal point of the process's locale and '.' in a number of at most DOUBLE_TEXT_MAX characters. A locale
// with a point of several bytes is not one that C library numbers are written in.
static void swap_point(char *number, char from, char to) {
  char *point = from == to ? NULL : strchr(number, from);
  if (point != NULL) *point = to;
}

static char locale_point(void) { return localeconv()->decimal_point[0]; }

void leat_text_put_double(leat_text_t *text, double value) {
  if (isnan(value)) {
    leat_text_put_bytes(text, "nan", 3);
    return;
  }
  char number[DOUBLE_TEXT_MAX];
  // 15 digits always survive the way from decimal to a normal double and back, so fewer need not be tried.
  int digits = fabs(value) < DBL_MIN ? 1 : DBL_DIG;
  do {
    (void)snprintf(number, sizeof number, "%.*g", digits, value);
  } while (strtod(number, NULL) != value && ++digits <= DBL_DECIMAL_DIG);
  swap_point(number, locale_point(), '.');
  leat_text_put_bytes(text, number, strlen(number));
  if (strpbrk(number, ".en") == NULL) leat_text_put_bytes(text, ".0", 2);
}

double leat_text_read_double(const char *text, const char **out_end) {
  char point = locale_point();
  char *end;
  double value;
  *out_end = text;
  if (isspace((unsigned char)text[0])) return 0.0;
  if (point == '.') {
    value = strtod(text, &end);
    *out_end = end;
    return value;
  }
  char number[DOUBLE_TEXT_MAX * 2];
  size_t length = strspn(text, "+-.0123456789abcdefABCDEFxXpPinINtTyY");
  if (length >= sizeof number) return 0.0;
  memcpy(number, text, length);
  number[length] = '\0';
  swap_point(number, '.', point);
  value = strtod(number, &end);
  *out_end = text + (end - number);
  return value;
}

uint32_t leat_utf8_length(const char *text) {
  const uint8_t *at = (const uint8_t *)text, c = at[0];
  if (c < 0x80) return 1;
  const uint32_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
  if (c < 0xc2 || c > 0xf4) return 0;
  for (uint32_t i = 1; i < length; ++i) {
    if ((at[i] & 0xc0) != 0x80) return 0;
  }
  const uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
  return at[1] >= low && at[1] <= high ? length : 0;
}

void leat_utf8_trim(char *text) {
  size_t end = 0;
  for (uint32_t length; text[end] != '\0' && (length = leat_utf8_length(text + end)) != 0;) end += length;
  text[end] = '\0';
}

bool leat_text_lists(const char *list, const char *word) {
  const size_t length = strlen(word);
  for (const char *at = list; at != NULL && *at != '\0'; at += *at == ',') {
    const size_t span = strcspn(at, ",");
    if (span == length && memcmp(at, word, length) == 0) return true;
    at += span;
  }
  return false;
}
