// SPDX-License-Identifier: Apache-2.0
// Records as text: `key: value` a line, `#` begins a comment. docs/machines.md is for people who write one.
#include <math.h>
#include <stdio.h>

#include "arch/lines.h"

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
  leat_lines_t lines;
  bool seen_target, seen_name, seen_level;
  bool seen[ROW_COUNT];
  leat_arch_t *arch;
} reader_t;

#define FAIL_HERE(r, format, ...) LEAT_FAIL_AT(&(r)->lines, format, __VA_ARGS__)

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
    FAIL_HERE(r, "%s is '%.*s', which is no %s", row->name, leat_lines_shown(value, strlen(value)), value,
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
  FAIL_HERE(r, "level is '%.*s', it may be portable, avx2 or avx512", leat_lines_shown(value, strlen(value)), value);
}

leat_status_t leat_arch_set_name(leat_arch_t *arch, const char *name) {
  while (leat_lines_is_blank(*name)) ++name;
  size_t length = strlen(name);
  while (length > 0 && leat_lines_is_blank(name[length - 1])) --length;
  return leat_lines_take_text("name", name, length, arch->name, sizeof arch->name);
}

static leat_status_t take_text(const reader_t *r, bool *seen, const char *key, const char *value, char *place,
                               size_t bytes) {
  LEAT_TRY(take_once(r, seen, key));
  return leat_status_annotate(leat_lines_take_text(key, value, strlen(value), place, bytes), "%s:%u", r->lines.from,
                              r->lines.line);
}

static leat_status_t set_fact(reader_t *r) {
  const char *value = r->lines.value;
  if (leat_lines_key_is(&r->lines, "target"))
    return take_text(r, &r->seen_target, "target", value, r->arch->target, sizeof r->arch->target);
  if (!r->seen_target) FAIL_HERE(r, "a record of a machine begins with '%s'", "target: native");
  if (leat_lines_key_is(&r->lines, "name"))
    return take_text(r, &r->seen_name, "name", value, r->arch->name, sizeof r->arch->name);
  if (leat_lines_key_is(&r->lines, "level")) {
    LEAT_TRY(take_once(r, &r->seen_level, "level"));
    return set_level(r, value);
  }
  for (uint32_t i = 0; i < ROW_COUNT; ++i) {
    if (rows[i].name == NULL || !leat_lines_key_is(&r->lines, rows[i].name)) continue;
    LEAT_TRY(take_once(r, &r->seen[i], rows[i].name));
    return set_number(r, &rows[i], value);
  }
  FAIL_HERE(r, "a machine has no '%.*s'; docs/machines.md lists what it has",
            leat_lines_shown(r->lines.key, r->lines.key_length), r->lines.key);
}

leat_status_t leat_arch_read(const char *text, size_t text_bytes, const char *from, leat_arch_t *out_arch) {
  reader_t r = {.lines = {.from = from, .text = text, .text_bytes = text_bytes}, .arch = out_arch};
  leat_arch_init(out_arch, "native", "a machine without a name");
  out_arch->built_in = false;
  if (text_bytes > LEAT_ARCH_TEXT_MAX)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s: a record of a machine has at most %d bytes", from, LEAT_ARCH_TEXT_MAX);
  for (bool found = true; found;) {
    LEAT_TRY(leat_lines_next(&r.lines, &found));
    if (found) LEAT_TRY(set_fact(&r));
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
