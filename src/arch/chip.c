// SPDX-License-Identifier: Apache-2.0
// Records of chips: the built-in ones, and their text. docs/chips.md is for people who write one.
#include "arch/chip.h"

#include <math.h>
#include <stdio.h>

#include "arch/lines.h"

enum { TARGET_COUNT = 4, UNIT_LENGTH = 16 };
static const char *const targets[TARGET_COUNT] = {"sn10", "sn20", "sn30", "tiny"};  // ORDER: the columns of chip.def
static const char *const confidences[LEAT_CONFIDENCE_COUNT] = {"H", "M", "L", "DERIVED", "ASSUMED", "GIVEN"};

typedef struct row_s {
  const char *name;
  size_t offset;
  bool is_count;
  double lowest, highest;
  const char *unit, *meaning;
  struct {
    double value;
    const char *source;
    uint8_t confidence;
  } is[TARGET_COUNT];
} row_t;

static const row_t rows[] = {
#define IS(value, source, confidence) \
  { (double)(value), source, LEAT_CONFIDENCE_##confidence }
#define FACT(name, count, lowest, highest, unit, meaning, ...) \
  {#name, offsetof(leat_chip_t, name), count, (double)(lowest), (double)(highest), unit, meaning, {__VA_ARGS__}},
#define REAL(name, ...) FACT(name, false, __VA_ARGS__)
#define COUNT(name, ...) FACT(name, true, __VA_ARGS__)
#include "arch/chip.def"
#undef FACT
#undef IS
};
_Static_assert(sizeof rows / sizeof *rows == LEAT_CHIP_FACT_COUNT, "a row a fact");

const char *leat_chip_fact_name(enum leat_chip_fact fact) { return rows[fact].name; }
const char *leat_confidence_word(leat_confidence_t confidence) { return confidences[confidence]; }

double leat_chip_fact(const leat_chip_t *chip, enum leat_chip_fact fact) {
  const char *place = (const char *)chip + rows[fact].offset;
  double number;
  uint64_t count;
  memcpy(&number, place, sizeof number);
  memcpy(&count, place, sizeof count);
  return rows[fact].is_count ? (double)count : number;
}

static void set_fact(leat_chip_t *chip, uint32_t fact, double value) {
  const uint64_t count = rows[fact].is_count ? (uint64_t)value : 0;
  memcpy((char *)chip + rows[fact].offset, rows[fact].is_count ? (const void *)&count : (const void *)&value, 8);
}

static void set_note(leat_chip_t *chip, uint32_t fact, const char *source, uint8_t confidence) {
  leat_chip_note_t *note = &chip->notes[fact];
  *note = (leat_chip_note_t){.confidence = confidence};
  (void)snprintf(note->source, sizeof note->source, "%s", source);
  leat_utf8_trim(note->source);
}

bool leat_chip_built_in(const char *name, leat_chip_t *out_chip) {
  uint32_t target = 0;
  while (target < TARGET_COUNT && strcmp(targets[target], name) != 0) ++target;
  if (target == TARGET_COUNT) return false;
  memset(out_chip, 0, sizeof *out_chip);  // equal records have equal bytes
  (void)snprintf(out_chip->name, sizeof out_chip->name, "%s", name);
  for (uint32_t i = 0; i < LEAT_CHIP_FACT_COUNT; ++i) {
    set_fact(out_chip, i, rows[i].is[target].value);
    set_note(out_chip, i, rows[i].is[target].source, rows[i].is[target].confidence);
  }
  return true;
}

// --- reading ---------------------------------------------------------------------------------------------------------

typedef struct reader_s {
  leat_lines_t lines;
  bool seen_target, seen_name, seen_base;
  uint32_t line_of[LEAT_CHIP_FACT_COUNT];  // 0: the file does not say the fact
  uint32_t said;                           // facts of the file
  leat_chip_t *chip;
} reader_t;

#define FAIL_HERE(r, format, ...) LEAT_FAIL_AT(&(r)->lines, format, __VA_ARGS__)
static const char first_line[] = "target: chip";

// Units that a record may say in place of the row's own: so many of it, or that part of it.
typedef struct unit_s {
  const char *of, *name;
  double times, part;
} unit_t;
static const unit_t units[] = {
    {"bytes", "bytes", 1, 1},     {"bytes", "B", 1, 1},
    {"bytes", "KiB", 0x1p10, 1},  {"bytes", "MiB", 0x1p20, 1},
    {"bytes", "GiB", 0x1p30, 1},  {"bytes", "TiB", 0x1p40, 1},
    {"bytes", "KB", 1e3, 1},      {"bytes", "MB", 1e6, 1},
    {"bytes", "GB", 1e9, 1},      {"bytes", "TB", 1e12, 1},
    {"bytes/s", "bytes/s", 1, 1}, {"bytes/s", "B/s", 1, 1},
    {"bytes/s", "MB/s", 1e6, 1},  {"bytes/s", "GB/s", 1e9, 1},
    {"bytes/s", "TB/s", 1e12, 1}, {"bytes/s", "GiB/s", 0x1p30, 1},
    {"Hz", "Hz", 1, 1},           {"Hz", "MHz", 1e6, 1},
    {"Hz", "GHz", 1e9, 1},        {"s", "s", 1, 1},
    {"s", "ms", 1, 1e3},          {"s", "us", 1, 1e6},
    {"s", "ns", 1, 1e9},
};

static leat_status_t find_unit(const reader_t *r, const row_t *row, const char *unit, const unit_t **out_unit) {
  static const unit_t same = {"", "", 1, 1};
  *out_unit = &same;
  if (*unit == '\0' || strcmp(unit, row->unit) == 0) return NULL;
  const unit_t *found = NULL;
  for (size_t i = 0; i < sizeof units / sizeof *units && found == NULL; ++i)
    if (strcmp(units[i].name, unit) == 0) found = &units[i];
  *out_unit = found;
  if (found != NULL && strcmp(found->of, row->unit) == 0) return NULL;
  const char *own = *row->unit != '\0' ? row->unit : "a number without a unit";
  if (found != NULL) FAIL_HERE(r, "%s is in '%s', which measures %s: it has to be %s", row->name, unit, found->of, own);
  FAIL_HERE(r, "%s is in '%.*s', which is no unit that is known: it has to be %s", row->name,
            leat_lines_shown(unit, strlen(unit)), unit, own);
}

// A text without the blanks around it.
static char *trimmed(char *text) {
  while (leat_lines_is_blank(*text)) ++text;
  size_t length = strlen(text);
  while (length > 0 && leat_lines_is_blank(text[length - 1])) text[--length] = '\0';
  return text;
}

// `[source, confidence]` behind a number; `text` begins behind the bracket.
static leat_status_t read_note(const reader_t *r, uint32_t fact, char *text) {
  char *end = strrchr(text, ']'), *comma = strrchr(text, ',');
  if (end == NULL || end[1] != '\0' || comma == NULL || comma > end)
    FAIL_HERE(r, "%s: behind its number may stand '[source, confidence]'", rows[fact].name);
  *end = *comma = '\0';
  comma = trimmed(comma + 1);
  text = trimmed(text);
  uint8_t confidence = 0;
  while (confidence < LEAT_CONFIDENCE_COUNT && strcmp(confidences[confidence], comma) != 0) ++confidence;
  if (confidence == LEAT_CONFIDENCE_COUNT)
    FAIL_HERE(r, "%s has the confidence '%.*s', it may be H, M, L, DERIVED, ASSUMED or GIVEN", rows[fact].name,
              leat_lines_shown(comma, strlen(comma)), comma);
  leat_chip_note_t *note = &r->chip->notes[fact];
  note->confidence = confidence;
  return leat_status_annotate(leat_lines_take_text("source", text, strlen(text), note->source, sizeof note->source),
                              "%s:%u: %s", r->lines.from, r->lines.line, rows[fact].name);
}

static leat_status_t take_number(const reader_t *r, uint32_t fact, const char *text, double value) {
  const row_t *row = &rows[fact];
  if (!isfinite(value))
    FAIL_HERE(r, "%s is '%.*s', which is no number", row->name, leat_lines_shown(text, strlen(text)), text);
  if (row->is_count && value != floor(value))
    FAIL_HERE(r, "%s is %g %s, which is no whole number", row->name, value, row->unit);
  if (value < row->lowest || value > row->highest)
    FAIL_HERE(r, "%s is %g, it may be from %g to %g %s", row->name, value, row->lowest, row->highest, row->unit);
  set_fact(r->chip, fact, value);
  return NULL;
}

// number [unit] ['[' source ',' confidence ']']
static leat_status_t read_value(reader_t *r, uint32_t fact) {
  char *value = r->lines.value;
  char *bracket = strchr(value, '[');
  char source[LEAT_CHIP_SOURCE_MAX];
  (void)snprintf(source, sizeof source, "line %u", r->lines.line);
  set_note(r->chip, fact, source, LEAT_CONFIDENCE_GIVEN);
  if (bracket != NULL) {
    *bracket = '\0';
    LEAT_TRY(read_note(r, fact, bracket + 1));
  }
  value = trimmed(value);
  const char *unit;
  const double number = leat_text_read_double(value, &unit);
  if (unit == value || !isfinite(number))
    FAIL_HERE(r, "%s is '%.*s', which is no number", rows[fact].name, leat_lines_shown(value, strlen(value)), value);
  while (leat_lines_is_blank(*unit)) ++unit;
  const unit_t *said;
  LEAT_TRY(find_unit(r, &rows[fact], unit, &said));
  return take_number(r, fact, value, number * said->times / said->part);
}

static leat_status_t take_once(const reader_t *r, bool *seen, const char *name) {
  if (*seen) FAIL_HERE(r, "'%s' is there a second time", name);
  *seen = true;
  return NULL;
}

static leat_status_t read_base(reader_t *r) {
  LEAT_TRY(take_once(r, &r->seen_base, "base"));
  if (r->said > 0) FAIL_HERE(r, "'%s' comes before the facts, which are changes of it", "base");
  char name[LEAT_ARCH_NAME_MAX];
  memcpy(name, r->chip->name, sizeof name);
  if (!leat_chip_built_in(r->lines.value, r->chip))
    FAIL_HERE(r, "base is '%.*s', it may be sn10, sn20, sn30 or tiny",
              leat_lines_shown(r->lines.value, strlen(r->lines.value)), r->lines.value);
  memcpy(r->chip->name, name, sizeof name);
  return NULL;
}

static leat_status_t read_name(reader_t *r) {
  LEAT_TRY(take_once(r, &r->seen_name, "name"));
  return leat_status_annotate(
      leat_lines_take_text("name", r->lines.value, strlen(r->lines.value), r->chip->name, sizeof r->chip->name),
      "%s:%u", r->lines.from, r->lines.line);
}

static leat_status_t read_target(reader_t *r) {
  LEAT_TRY(take_once(r, &r->seen_target, "target"));
  if (strcmp(r->lines.value, "chip") == 0) return NULL;
  FAIL_HERE(r, "target is '%.*s'; a record of a chip begins with '%s'",
            leat_lines_shown(r->lines.value, strlen(r->lines.value)), r->lines.value, first_line);
}

static leat_status_t read_fact(reader_t *r) {
  const leat_lines_t *lines = &r->lines;
  if (leat_lines_key_is(lines, "target")) return read_target(r);
  if (!r->seen_target) FAIL_HERE(r, "a record of a chip begins with '%s'", first_line);
  if (leat_lines_key_is(lines, "name")) return read_name(r);
  if (leat_lines_key_is(lines, "base")) return read_base(r);
  for (uint32_t i = 0; i < LEAT_CHIP_FACT_COUNT; ++i) {
    if (!leat_lines_key_is(lines, rows[i].name)) continue;
    if (r->line_of[i] != 0)
      FAIL_HERE(r, "'%s' is there a second time: the first is line %u", rows[i].name, r->line_of[i]);
    r->line_of[i] = lines->line;
    ++r->said;
    return read_value(r, i);
  }
  FAIL_HERE(r, "a chip has no '%.*s'; docs/chips.md lists what it has", leat_lines_shown(lines->key, lines->key_length),
            lines->key);
}

// --- what facts say together -----------------------------------------------------------------------------------------

// The line of either fact, that which comes last; 0: neither is of the file.
static uint32_t line_of_pair(const reader_t *r, uint32_t one, uint32_t other) {
  return r->line_of[one] > r->line_of[other] ? r->line_of[one] : r->line_of[other];
}

#define REQUIRE(r, one, other, is_so, format, ...)                           \
  do {                                                                       \
    if (!(is_so)) {                                                          \
      (r)->lines.line = line_of_pair(r, LEAT_CHIP_##one, LEAT_CHIP_##other); \
      FAIL_HERE(r, format, __VA_ARGS__);                                     \
    }                                                                        \
  } while (0)
#define NUMBER(count) ((unsigned long long)(count))

static leat_status_t check_sizes(reader_t *r) {
  const leat_chip_t *c = r->chip;
  REQUIRE(r, pcus, rows, c->pcus + c->pmus <= c->rows * c->columns,
          "%llu PCUs and %llu PMUs do not fit the %llu x %llu cells of a tile", NUMBER(c->pcus), NUMBER(c->pmus),
          NUMBER(c->rows), NUMBER(c->columns));
  REQUIRE(r, tiles_together, tiles, c->tiles_together <= c->tiles && c->tiles % c->tiles_together == 0,
          "tiles_together is %llu, which does not divide the %llu tiles", NUMBER(c->tiles_together), NUMBER(c->tiles));
  REQUIRE(r, banks, pmu_bytes, c->pmu_bytes % c->banks == 0, "%llu banks do not divide the %llu bytes of a PMU",
          NUMBER(c->banks), NUMBER(c->pmu_bytes));
  REQUIRE(r, lanes_bf16, vector_bytes, 2 * c->lanes_bf16 <= c->vector_bytes,
          "%llu lanes of 2 bytes do not fit a vector of %llu bytes", NUMBER(c->lanes_bf16), NUMBER(c->vector_bytes));
  REQUIRE(r, lanes_f32, vector_bytes, 4 * c->lanes_f32 <= c->vector_bytes,
          "%llu lanes of 4 bytes do not fit a vector of %llu bytes", NUMBER(c->lanes_f32), NUMBER(c->vector_bytes));
  return NULL;
}

static leat_status_t check_rates(reader_t *r) {
  const leat_chip_t *c = r->chip;
  REQUIRE(r, ddr_effective, ddr_peak, c->ddr_effective <= c->ddr_peak,
          "ddr_effective is %g bytes/s, more than ddr_peak, %g", c->ddr_effective, c->ddr_peak);
  REQUIRE(r, ddr_random, ddr_effective, c->ddr_random <= c->ddr_effective,
          "ddr_random is %g bytes/s, more than ddr_effective, %g", c->ddr_random, c->ddr_effective);
  return NULL;
}

static leat_status_t check_complete(const reader_t *r) {
  if (!r->seen_target)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s: nothing but blanks and comments; a record of a chip begins with '%s'",
              r->lines.from, first_line);
  for (uint32_t i = 0; i < LEAT_CHIP_FACT_COUNT && !r->seen_base; ++i)
    if (r->line_of[i] == 0)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s: '%s' is missing; a record without 'base: sn10' or the like has all facts",
                r->lines.from, rows[i].name);
  return NULL;
}

leat_status_t leat_chip_read(const char *text, size_t text_bytes, const char *from, leat_chip_t *out_chip) {
  reader_t r = {.lines = {.from = from, .text = text, .text_bytes = text_bytes}, .chip = out_chip};
  memset(out_chip, 0, sizeof *out_chip);
  (void)snprintf(out_chip->name, sizeof out_chip->name, "a chip without a name");
  if (text_bytes > LEAT_ARCH_TEXT_MAX)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s: a record of a chip has at most %d bytes", from, LEAT_ARCH_TEXT_MAX);
  for (bool found = true; found;) {
    LEAT_TRY(leat_lines_next(&r.lines, &found));
    if (found) LEAT_TRY(read_fact(&r));
  }
  LEAT_TRY(check_complete(&r));
  LEAT_TRY(check_sizes(&r));
  return check_rates(&r);
}

leat_status_t leat_chip_read_file(const char *path, leat_chip_t *out_chip) {
  leat_mapping_t file;
  LEAT_TRY(leat_file_map(path, &file));
  leat_status_t status = leat_chip_read((const char *)file.data, file.data_bytes, path, out_chip);
  leat_file_unmap(&file);
  return status;
}

leat_status_t leat_chip_find(const char *text, leat_chip_t *out_chip) {
  if (leat_chip_built_in(text, out_chip)) return NULL;
  leat_status_t status = leat_chip_read_file(text, out_chip);
  if (leat_status_code(status) != LEAT_NOT_FOUND || strpbrk(text, "./") != NULL) return status;
  leat_status_free(status);
  LEAT_FAIL(LEAT_INVALID_ARGUMENT,
            "'%.*s' is no chip: use sn10, sn20, sn30 or tiny (lower case), or the file of a record (docs/chips.md)",
            leat_lines_shown(text, strlen(text)), text);
}

// --- writing ---------------------------------------------------------------------------------------------------------

void leat_chip_put(const leat_chip_t *chip, leat_text_t *out) {
  leat_text_put(out, "%s\nname: %s\n", first_line, chip->name);
  for (uint32_t i = 0; i < LEAT_CHIP_FACT_COUNT; ++i) {
    const double value = leat_chip_fact(chip, i);
    leat_text_put(out, "%s: ", rows[i].name);
    if (rows[i].is_count)
      leat_text_put(out, "%.0f", value);
    else
      leat_text_put_double(out, value);
    leat_text_put(out, " [%s, %s]\n", chip->notes[i].source, confidences[chip->notes[i].confidence]);
  }
}
