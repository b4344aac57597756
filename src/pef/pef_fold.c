// SPDX-License-Identifier: Apache-2.0
// Finds what repeats in the tables of a file: blocks of records of which each is the one before it, moved evenly. From
// the first record on, the family that saves most bytes is taken, and the search goes on behind it. It knows nothing of
// what records say: layers of a model, updates of its parameters and strings with numbers are found alike.
#include "pef/pef_fold.h"

#include "pef/pef_read.h"

enum {
  PERIOD_MAX = 512,  // records of a block that are looked for
  BLOCKS_MIN = 3,
  SAVED_MIN = 64  // bytes for which it is worth a family
};

// What repeats: records of whole words, or strings.
typedef struct items_s {
  uint8_t *data;
  uint32_t count, words;   // words of a record; 0: strings
  const uint32_t *starts;  // of strings, and where the last one ends
  // A number each: where item x + 2 p is to x + p what that is to x, so are their numbers, modulo 2^32. Once in order,
  // and once those of even items before those of odd ones, so that what periods from one item on meet lies in a row.
  uint32_t *keys, *every_other[2];
} items_t;

static uint32_t start_of(const items_t *s, uint32_t item) {
  return s->words != 0 ? item * s->words * (uint32_t)sizeof(uint64_t) : s->starts[item];
}

static const uint64_t *record_of(const items_t *s, uint32_t item) {
  return (const uint64_t *)(const void *)s->data + (size_t)item * s->words;
}

// --- strings ---------------------------------------------------------------------------------------------------------

static uint32_t digits_at(const uint8_t *text) {
  uint32_t count = 0;
  while (text[count] >= '0' && text[count] <= '9') ++count;
  return count;
}

static int64_t number_at(const uint8_t *text, uint32_t digits) {
  int64_t number = 0;
  for (uint32_t i = 0; i < digits; ++i) number = number * 10 + (text[i] - '0');
  return number;
}

// Do three texts of one length differ in numbers alone, which step evenly?
static bool texts_go_on(const uint8_t *a, const uint8_t *b, const uint8_t *c) {
  for (;;) {
    const uint32_t digits = digits_at(a);
    if (digits != digits_at(b) || digits != digits_at(c)) return false;
    if (digits > PEF_MAX_DIGITS) {
      if (memcmp(a, b, digits) != 0 || memcmp(b, c, digits) != 0) return false;
    } else if (number_at(c, digits) - number_at(b, digits) != number_at(b, digits) - number_at(a, digits)) {
      return false;
    }
    a += digits, b += digits, c += digits;
    if (*a != *b || *b != *c) return false;
    if (*a == '\0') return true;
    ++a, ++b, ++c;
  }
}

// Steps from one text to the next, of which the first is `at` bytes from the start of the block; `out` NULL: counts.
static uint32_t text_steps(const uint8_t *a, const uint8_t *b, uint32_t at, pef_step_t *out) {
  uint32_t count = 0;
  for (uint32_t i = 0; a[i] != '\0';) {
    const uint32_t digits = digits_at(a + i);
    const int64_t step = digits > PEF_MAX_DIGITS ? 0 : number_at(b + i, digits) - number_at(a + i, digits);
    if (step != 0 && out != NULL) out[count] = (pef_step_t){at + i, digits, step};
    count += step != 0;
    i += digits == 0 ? 1 : digits;
  }
  return count;
}

// --- items -----------------------------------------------------------------------------------------------------------

// Is item x + 2 p to x + p what that is to x?
static bool goes_on(const items_t *s, uint32_t x, uint32_t p) {
  if (s->words == 0) {
    const uint32_t bytes = start_of(s, x + 1) - start_of(s, x);
    return start_of(s, x + p + 1) - start_of(s, x + p) == bytes &&
           start_of(s, x + 2 * p + 1) - start_of(s, x + 2 * p) == bytes &&
           texts_go_on(s->data + start_of(s, x), s->data + start_of(s, x + p), s->data + start_of(s, x + 2 * p));
  }
  const uint64_t *a = record_of(s, x), *b = record_of(s, x + p), *c = record_of(s, x + 2 * p);
  for (uint32_t i = 0; i < s->words; ++i) {
    if (c[i] - b[i] != b[i] - a[i]) return false;
  }
  return true;
}

// What a text has beside its digits: equal where texts go on.
static uint32_t text_key(const uint8_t *text) {
  uint32_t key = 0;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') key = (key + *text) * 0x9e3779b1u;
  }
  return key;
}

// The words of a record weighed and added: what steps evenly in each does so in the sum.
static uint32_t record_key(const uint64_t *record, uint32_t words) {
  uint64_t key = 0, weight = 1;
  for (uint32_t i = 0; i < words; ++i) key += record[i] * (weight *= 0x9e3779b97f4a7c15u);
  return (uint32_t)key;
}

static leat_status_t make_keys(items_t *s) {
  s->keys = leat_alloc((2 * (size_t)s->count + 1) * sizeof *s->keys);
  if (s->keys == NULL) return leat_out_of_memory();
  s->every_other[0] = s->keys + s->count;
  s->every_other[1] = s->every_other[0] + (s->count + 1) / 2;
  for (uint32_t x = 0; x < s->count; ++x) {
    s->keys[x] = s->words == 0 ? text_key(s->data + start_of(s, x)) : record_key(record_of(s, x), s->words);
    s->every_other[x % 2][x / 2] = s->keys[x];
  }
  return NULL;
}

// The first period from `period` to `most` with which items could go on from `first`; else one beyond `most`.
static uint32_t next_period(const items_t *s, uint32_t first, uint32_t period, uint32_t most) {
  enum { TOGETHER = 16 };
  const uint32_t *once = s->keys + first, *twice = s->every_other[first % 2] + first / 2;
  for (; period + TOGETHER <= most + 1; period += TOGETHER) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < TOGETHER; ++i) found |= once[0] + twice[period + i] == 2 * once[period + i];
    if (found != 0) break;
  }
  while (period <= most && once[0] + twice[period] != 2 * once[period]) ++period;
  return period;
}

// From the block of `period` items at `first` to the one behind it.
static uint32_t block_steps(const items_t *s, uint32_t first, uint32_t period, pef_step_t *out) {
  const uint32_t start = start_of(s, first);
  uint32_t count = 0;
  for (uint32_t x = first; x < first + period; ++x) {
    const uint32_t at = start_of(s, x) - start;
    if (s->words == 0) {
      count += text_steps(s->data + start_of(s, x), s->data + start_of(s, x + period), at, out ? out + count : NULL);
      continue;
    }
    const uint64_t *a = record_of(s, x), *b = record_of(s, x + period);
    for (uint32_t i = 0; i < s->words; ++i) {
      if (a[i] == b[i]) continue;
      if (out != NULL) out[count] = (pef_step_t){at + i * (uint32_t)sizeof *a, 0, (int64_t)(b[i] - a[i])};
      ++count;
    }
  }
  return count;
}

// --- families --------------------------------------------------------------------------------------------------------

typedef struct found_s {
  uint32_t period, times;
  int64_t saved;  // bytes
} found_t;

// Blocks of `period` items from `first` on.
static found_t look_for(const items_t *s, uint32_t first, uint32_t period) {
  const uint32_t most = (PEF_MAX_TIMES - 2) * period, left = s->count - first - 2 * period;
  uint32_t run = 0;
  while (run < most && run < left && goes_on(s, first + run, period)) ++run;
  found_t found = {period, run / period + 2, 0};
  if (found.times < BLOCKS_MIN) return found;
  const uint32_t bytes = start_of(s, first + period) - start_of(s, first);
  found.saved = (int64_t)bytes * (found.times - 1) - (int64_t)sizeof(pef_family_t) -
                (int64_t)(block_steps(s, first, period, NULL) * sizeof(pef_step_t));
  return found;
}

static found_t look_at(const items_t *s, uint32_t first) {
  found_t best = {.saved = SAVED_MIN - 1};
  const uint32_t left = (s->count - first) / BLOCKS_MIN, most = left < PERIOD_MAX ? left : PERIOD_MAX;
  for (uint32_t period = 1; (period = next_period(s, first, period, most)) <= most; ++period) {
    const found_t found = look_for(s, first, period);
    if (found.saved > best.saved) best = found;
    if (best.times != 0 && first + best.period * best.times == s->count) break;  // nothing is left to save
  }
  return best;
}

static leat_status_t add_family(pef_folded_t *folded, uint32_t kind, const items_t *s, uint32_t first,
                                const found_t *found) {
  const uint32_t steps = block_steps(s, first, found->period, NULL);
  pef_family_t *family = leat_array_push(&folded->families);
  pef_step_t *step = leat_array_push_n(&folded->steps, steps);
  if (family == NULL || (step == NULL && steps != 0)) return leat_out_of_memory();
  if (steps != 0) (void)block_steps(s, first, found->period, step);
  const bool text = s->words == 0;
  *family = (pef_family_t){
      .kind = kind,
      .first = text ? start_of(s, first) : first,
      .count = text ? start_of(s, first + found->period) - start_of(s, first) : found->period,
      .times = found->times,
      .step_count = steps,
  };
  return NULL;
}

// Leaves what the file has at the start of the data: so many bytes of it.
static leat_status_t fold_keyed(pef_folded_t *folded, uint32_t kind, items_t *s, uint64_t *out_bytes) {
  uint64_t kept = 0;
  for (uint32_t i = 0; i < s->count;) {
    const found_t found = look_at(s, i);
    const uint32_t items = found.times != 0 ? found.period : 1;
    if (found.times != 0) LEAT_TRY(add_family(folded, kind, s, i, &found));
    const uint32_t from = start_of(s, i), bytes = start_of(s, i + items) - from;
    memmove(s->data + kept, s->data + from, bytes);  // behind what is still looked at
    kept += bytes;
    i += found.times != 0 ? found.period * found.times : 1;
  }
  *out_bytes = kept;
  return NULL;
}

static leat_status_t fold_items(pef_folded_t *folded, uint32_t kind, items_t *s, uint64_t *out_bytes) {
  LEAT_TRY(make_keys(s));
  leat_status_t status = fold_keyed(folded, kind, s, out_bytes);
  leat_free(s->keys);
  return status;
}

// --- tables ----------------------------------------------------------------------------------------------------------

static leat_status_t fold_strings(pef_folded_t *folded, pef_strings_t *strings) {
  uint32_t *starts = leat_alloc((strings->count + 1u) * sizeof *starts);
  uint64_t bytes = 0;
  if (starts == NULL) return leat_out_of_memory();
  for (uint32_t i = 0, at = 0; i <= strings->count; ++i) {
    starts[i] = at;
    if (i < strings->count) at += (uint32_t)strlen(strings->text + at) + 1;
  }
  items_t items = {.data = (uint8_t *)strings->text, .count = strings->count, .starts = starts};
  leat_status_t status = fold_items(folded, PEF_SEGMENT_STRINGS, &items, &bytes);
  leat_free(starts);
  folded->pieces[PEF_SEGMENT_STRINGS].records = strings->text;
  folded->pieces[PEF_SEGMENT_STRINGS].count = bytes;
  return status;
}

// Fields that are strings.
static const struct {
  uint32_t kind;
  size_t at;
} texts[] = {
#define TEXT(suffix, record, field) {PEF_SEGMENT_##suffix, offsetof(record, field)},
#include "pef/record.def"
};

static void rename_strings(const pef_piece_t *piece, uint32_t kind, uint8_t *records, const pef_strings_t *strings) {
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
    for (uint64_t r = 0; r < piece->count && texts[i].kind == kind; ++r) {
      uint8_t *at = records + r * piece->record_bytes + texts[i].at;
      uint32_t string;
      memcpy(&string, at, sizeof string);
      string = leat_pef_string_now(strings, string);
      memcpy(at, &string, sizeof string);
    }
  }
}

static leat_status_t fold_records(pef_folded_t *folded, uint32_t kind, uint32_t minor, const pef_strings_t *strings) {
  pef_piece_t *piece = &folded->pieces[kind];
  const pef_piece_t from = *piece;
  piece->record_bytes = leat_pef_record_bytes(from.row, PEF_VERSION_MAJOR, minor);
  uint8_t *records = leat_alloc_zero(from.count, piece->record_bytes);
  if (records == NULL) return leat_out_of_memory();
  folded->made[kind] = records;
  piece->records = records;
  (void)leat_pef_copy_records(records, piece->record_bytes, from.records, from.record_bytes, from.count);
  rename_strings(piece, kind, records, strings);
  if (from.count * piece->record_bytes > UINT32_MAX) return NULL;
  items_t items = {
      .data = records, .count = (uint32_t)from.count, .words = piece->record_bytes / (uint32_t)sizeof(uint64_t)};
  uint64_t bytes;
  LEAT_TRY(fold_items(folded, kind, &items, &bytes));
  piece->count = bytes / piece->record_bytes;
  return NULL;
}

static leat_status_t fold_tables(pef_folded_t *folded, uint32_t minor, pef_strings_t *strings) {
  const pef_piece_t *text = &folded->pieces[PEF_SEGMENT_STRINGS];
  LEAT_TRY(leat_pef_order_strings(text->records, (uint32_t)text->count, strings));
  LEAT_TRY(fold_strings(folded, strings));
  for (uint32_t kind = 0; kind < PEF_SEGMENT_END; ++kind) {
    const pef_piece_t *piece = &folded->pieces[kind];
    if (piece->count != 0 && piece->record_bytes != 1) LEAT_TRY(fold_records(folded, kind, minor, strings));
  }
  return NULL;
}

leat_status_t leat_pef_fold(const pef_piece_t pieces[PEF_SEGMENT_END], uint32_t minor, pef_folded_t *out) {
  pef_strings_t strings;
  *out = (pef_folded_t){0};
  memcpy(out->pieces, pieces, sizeof out->pieces);
  leat_status_t status = fold_tables(out, minor, &strings);
  out->made[PEF_SEGMENT_STRINGS] = strings.text;
  strings.text = NULL;
  leat_pef_strings_deinit(&strings);
  out->pieces[PEF_SEGMENT_FAMILIES].records = out->families.data;
  out->pieces[PEF_SEGMENT_FAMILIES].count = out->families.count;
  out->pieces[PEF_SEGMENT_STEPS].records = out->steps.data;
  out->pieces[PEF_SEGMENT_STEPS].count = out->steps.count;
  return status;
}

void leat_pef_folded_deinit(pef_folded_t *folded) {
  for (uint32_t kind = 0; kind < PEF_SEGMENT_END; ++kind) leat_free(folded->made[kind]);
  leat_array_free(&folded->families);
  leat_array_free(&folded->steps);
}
