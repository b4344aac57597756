// SPDX-License-Identifier: Apache-2.0
// Records as text: `key: value` a line, `#` begins a comment. docs/machines.md is for people who write one.
#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "arch/arch.h"

typedef struct row_s {
  const char *heading;  // NULL but in a row that is a heading alone
  const char *name;
  size_t offset;
  bool is_count;
  double lowest, highest;
  const char *unit, *meaning;
} row_t;

static const row_t rows[] = {
#define HEADING(text) {.heading = (text)},
#define REAL(name, lowest, highest, initial, unit, meaning) \
  {NULL, #name, offsetof(leat_arch_t, name), false, lowest, highest, unit, meaning},
#define COUNT(name, lowest, highest, initial, unit, meaning) \
  {NULL, #name, offsetof(leat_arch_t, name), true, lowest, highest, unit, meaning},
#include "arch/arch.def"
};
enum { ROW_COUNT = sizeof rows / sizeof *rows };

// --- reading ------------------------------------------------------------------------------------------------------

typedef struct reader_s {
  const char *from;
  uint32_t line;
  bool seen_target, seen_name, seen_level;
  bool seen[ROW_COUNT];
  leat_arch_t *arch;
} reader_t;

#define FAIL_HERE(r, format, ...) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s:%u: " format, (r)->from, (r)->line, __VA_ARGS__)

// Words are shown as far as they are fit to be seen.
static int shown(const char *text, size_t length) {
  size_t end = 0;
  while (end < length && end < 40 && isprint((unsigned char)text[end])) ++end;
  return (int)end;
}

static leat_status_t take_once(const reader_t *r, bool *seen, const char *name) {
  if (*seen) FAIL_HERE(r, "'%s' is there a second time", name);
  *seen = true;
  return NULL;
}

static leat_status_t set_number(const reader_t *r, const row_t *row, const char *value) {
  const char *end;
  const double number = leat_text_read_double(value, &end);
  const bool whole = !row->is_count || (number == floor(number) && value[strspn(value, "0123456789")] == '\0');
  if (end == value || *end != '\0' || !isfinite(number) || !whole)
    FAIL_HERE(r, "%s is '%.*s', which is no %s", row->name, shown(value, strlen(value)), value,
              row->is_count ? "whole number" : "number");
  if (number < row->lowest || number > row->highest)
    FAIL_HERE(r, "%s is %g, it may be from %g to %g %s", row->name, number, row->lowest, row->highest, row->unit);
  char *place = (char *)r->arch + row->offset;
  if (row->is_count) {
    const uint64_t count = (uint64_t)number;
    memcpy(place, &count, sizeof count);
  } else {
    memcpy(place, &number, sizeof number);
  }
  return NULL;
}

static leat_status_t set_level(const reader_t *r, const char *value) {
  for (uint32_t level = 0; level < LEAT_ARCH_LEVEL_COUNT; ++level) {
    if (strcmp(value, leat_arch_level_name((leat_arch_level_t)level)) != 0) continue;
    r->arch->level = (uint8_t)level;
    return NULL;
  }
  FAIL_HERE(r, "level is '%.*s', it may be portable, avx2 or avx512", shown(value, strlen(value)), value);
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// Puts `length` bytes of `value` into the `bytes` at `place`, as text of one line.
static leat_status_t set_text(const char *key, const char *value, size_t length, char *place, size_t bytes) {
  if (length == 0 || length >= bytes) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s has 1 to %zu characters", key, bytes - 1);
  char room[LEAT_ARCH_NAME_MAX] = {0};
  memcpy(room, value, length);
  for (size_t at = 0, step; at < length; at += step) {
    step = leat_utf8_length(room + at);
    if (step == 0) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s is not UTF-8", key);
    if (room[at] == '#') LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s has a '#', which begins comments", key);
    if ((unsigned char)room[at] < ' ' && !is_blank(room[at]))
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s: character %zu is no text", key, at + 1);
  }
  memcpy(place, room, bytes);
  return NULL;
}

leat_status_t leat_arch_set_name(leat_arch_t *arch, const char *name) {
  while (is_blank(*name)) ++name;
  size_t length = strlen(name);
  while (length > 0 && is_blank(name[length - 1])) --length;
  return set_text("name", name, length, arch->name, sizeof arch->name);
}

static leat_status_t take_text(const reader_t *r, bool *seen, const char *key, const char *value, char *place,
                               size_t bytes) {
  LEAT_TRY(take_once(r, seen, key));
  return leat_status_annotate(set_text(key, value, strlen(value), place, bytes), "%s:%u", r->from, r->line);
}

static leat_status_t set_fact(reader_t *r, const char *key, size_t key_length, const char *value) {
  static const char target[] = "target", name[] = "name", level[] = "level";
  if (key_length == sizeof target - 1 && memcmp(key, target, key_length) == 0)
    return take_text(r, &r->seen_target, target, value, r->arch->target, sizeof r->arch->target);
  if (!r->seen_target) FAIL_HERE(r, "a record of a machine begins with '%s'", "target: native");
  if (key_length == sizeof name - 1 && memcmp(key, name, key_length) == 0)
    return take_text(r, &r->seen_name, name, value, r->arch->name, sizeof r->arch->name);
  if (key_length == sizeof level - 1 && memcmp(key, level, key_length) == 0) {
    LEAT_TRY(take_once(r, &r->seen_level, level));
    return set_level(r, value);
  }
  for (uint32_t i = 0; i < ROW_COUNT; ++i) {
    if (rows[i].name == NULL || strlen(rows[i].name) != key_length || memcmp(rows[i].name, key, key_length) != 0)
      continue;
    LEAT_TRY(take_once(r, &r->seen[i], rows[i].name));
    return set_number(r, &rows[i], value);
  }
  FAIL_HERE(r, "a machine has no '%.*s'; docs/machines.md lists what it has", shown(key, key_length), key);
}

// A line without its end; `room` takes its value.
static leat_status_t read_line(reader_t *r, const char *line, size_t length, char *room, size_t room_bytes) {
  for (size_t i = 0; i < length; ++i) {
    if (line[i] == '#' && (i == 0 || is_blank(line[i - 1]))) length = i;
    if (i < length && (unsigned char)line[i] < ' ' && !is_blank(line[i]))
      FAIL_HERE(r, "character %zu is no text", i + 1);
  }
  while (length > 0 && is_blank(line[length - 1])) --length;
  for (; length > 0 && is_blank(*line); --length) ++line;
  if (length == 0) return NULL;
  const char *colon = memchr(line, ':', length);
  if (colon == NULL) FAIL_HERE(r, "'%.*s' is not 'key: value'", shown(line, length), line);
  const char *value = colon + 1;
  size_t key_length = (size_t)(colon - line);
  while (key_length > 0 && is_blank(line[key_length - 1])) --key_length;
  while (value < line + length && is_blank(*value)) ++value;
  const size_t value_length = (size_t)(line + length - value);
  if (value_length >= room_bytes) FAIL_HERE(r, "a value of more than %zu characters", room_bytes - 1);
  memcpy(room, value, value_length);
  room[value_length] = '\0';
  return set_fact(r, line, key_length, room);
}

leat_status_t leat_arch_read(const char *text, size_t text_bytes, const char *from, leat_arch_t *out_arch) {
  char room[2 * LEAT_ARCH_NAME_MAX];
  reader_t r = {.from = from, .arch = out_arch};
  leat_arch_init(out_arch, "native", "a machine without a name");
  out_arch->built_in = false;
  if (text_bytes > LEAT_ARCH_TEXT_MAX)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s: a record of a machine has at most %d bytes", from, LEAT_ARCH_TEXT_MAX);
  for (size_t at = 0; at < text_bytes;) {
    const char *end = memchr(text + at, '\n', text_bytes - at);
    const size_t length = end != NULL ? (size_t)(end - (text + at)) : text_bytes - at;
    ++r.line;
    LEAT_TRY(read_line(&r, text + at, length, room, sizeof room));
    at += length + 1;
  }
  if (!r.seen_target)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s: nothing but blanks and comments; a record of a machine begins with '%s'",
              from, "target: native");
  return NULL;
}

leat_status_t leat_arch_read_file(const char *path, leat_arch_t *out_arch) {
  leat_mapping_t file;
  LEAT_TRY(leat_file_map(path, &file));
  leat_status_t status = leat_arch_read((const char *)file.data, file.data_bytes, path, out_arch);
  leat_file_unmap(&file);
  return status;
}

void leat_arch_of_pef(const char *text, leat_arch_t *out_arch) {
  const bool is_record = strchr(text, '\n') != NULL;
  leat_status_t status =
      is_record ? leat_arch_read(text, strlen(text), "the file", out_arch) : leat_arch_native(text, out_arch);
  if (status != NULL || strcmp(text, "native") == 0) leat_arch_init(out_arch, "native", "native");
  leat_status_free(status);
}

// --- writing ------------------------------------------------------------------------------------------------------

static void put_row(const leat_arch_t *arch, const row_t *row, bool comments, leat_text_t *out) {
  const char *place = (const char *)arch + row->offset;
  const size_t start = out->length;
  leat_text_put(out, "%s: ", row->name);
  if (row->is_count) {
    uint64_t count;
    memcpy(&count, place, sizeof count);
    leat_text_put(out, "%llu", (unsigned long long)count);
  } else {
    double number;
    memcpy(&number, place, sizeof number);
    leat_text_put_double(out, number);
  }
  if (comments) {
    const size_t width = out->length - start;
    leat_text_put(out, "%*s# %s%s%s", width < 34 ? (int)(34 - width) : 1, "", row->unit, *row->unit ? ": " : "",
                  row->meaning);
  }
  leat_text_put(out, "\n");
}

void leat_arch_put(const leat_arch_t *arch, bool comments, leat_text_t *out) {
  if (arch->built_in && !comments) {
    leat_text_put(out, "%s", arch->name);
    return;
  }
  leat_text_put(out, "target: %s\nname: %s\nlevel: %s\n", arch->target, arch->name,
                leat_arch_level_name((leat_arch_level_t)arch->level));
  for (uint32_t i = 0; i < ROW_COUNT; ++i) {
    if (rows[i].name != NULL)
      put_row(arch, &rows[i], comments, out);
    else if (comments)
      leat_text_put(out, "\n# %s\n", rows[i].heading);
  }
}
