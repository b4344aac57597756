// SPDX-License-Identifier: Apache-2.0
// Families of a file that is opened: what they say once is written out, before anybody looks at the tables. Nothing is
// trusted: a family lies within the records of its table, a block within the bytes that it steps.
#include "pef/pef_check.h"
#include "pef/pef_file.h"

// --- steps -----------------------------------------------------------------------------------------------------------

// The number that `digits` decimal digits are; -1: they are none.
static int64_t read_number(const uint8_t *digits, uint32_t count) {
  int64_t number = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (digits[i] < '0' || digits[i] > '9') return -1;
    number = number * 10 + (digits[i] - '0');
  }
  return number;
}

static void write_number(uint8_t *digits, uint32_t count, int64_t number) {
  for (uint32_t i = count; i-- > 0; number /= 10) digits[i] = (uint8_t)('0' + number % 10);
}

static void take_step(uint8_t *block, const pef_step_t *step) {
  uint8_t *at = block + step->at;
  if (step->digits != 0) {
    write_number(at, step->digits, read_number(at, step->digits) + step->step);
    return;
  }
  uint64_t word;
  memcpy(&word, at, sizeof word);
  word += (uint64_t)step->step;
  memcpy(at, &word, sizeof word);
}

// A number that is as long in every block as in the first.
static leat_status_t check_number(const uint8_t *digits, const pef_step_t *step, uint32_t times) {
  const int64_t first = read_number(digits, step->digits);
  int64_t limit = 1, last = 0;
  for (uint32_t i = 0; i < step->digits; ++i) limit *= 10;
  if (first < 0) return leat_pef_corrupt("bytes %u + %u are no number", step->at, step->digits);
  if (__builtin_mul_overflow(step->step, (int64_t)times - 1, &last) || __builtin_add_overflow(first, last, &last) ||
      last < 0 || last >= limit)
    return leat_pef_corrupt("the number at byte %u does not keep its %u digits", step->at, step->digits);
  return NULL;
}

// --- one family ------------------------------------------------------------------------------------------------------

// A table, and how far its families were read.
typedef struct reading_s {
  pef_file_t *file;
  uint32_t kind, record_bytes;
  const uint8_t *stored;
  uint64_t stored_count;
  uint64_t stored_end, end;  // records, as stored and written out, of the families before
  uint64_t count;            // of all that is written out
  uint32_t step_first;
} reading_t;

static leat_status_t check_step(const reading_t *r, const uint8_t *block, const pef_family_t *family,
                                const pef_step_t *step, uint64_t *end) {
  const bool text = r->kind == PEF_SEGMENT_STRINGS;
  const uint64_t bytes = (uint64_t)family->count * r->record_bytes, width = text ? step->digits : sizeof(uint64_t);
  if (text ? step->digits == 0 || step->digits > PEF_MAX_DIGITS : step->digits != 0 || step->at % sizeof(uint64_t) != 0)
    return leat_pef_corrupt("byte %u, %u digits", step->at, step->digits);
  if (step->at < *end || step->at > bytes || width > bytes - step->at || step->step == 0)
    return leat_pef_corrupt("byte %u is not behind the step before, in a block of %llu, or does not move", step->at,
                            (unsigned long long)bytes);
  *end = step->at + width;
  return text ? check_number(block + step->at, step, family->times) : NULL;
}

// Where the first block is stored: the records in front of the family lie in the file as they are.
static leat_status_t check_family(reading_t *r, const pef_family_t *family, uint64_t *out_stored) {
  const leat_pef_t *pef = &r->file->pef;
  if (family->reserved0 != 0) return leat_pef_corrupt("reserved bytes are not zero");
  if (family->times < 2 || family->times > PEF_MAX_TIMES || family->count == 0)
    return leat_pef_corrupt("%u records, %u times", family->count, family->times);
  if (family->first < r->end) return leat_pef_corrupt("it begins at record %u, within the one before", family->first);
  const uint64_t stored = r->stored_end + (family->first - r->end);
  if (stored > r->stored_count || family->count > r->stored_count - stored)
    return leat_pef_corrupt("its block is records %llu + %u of %llu in the file", (unsigned long long)stored,
                            family->count, (unsigned long long)r->stored_count);
  if (family->step_count > pef->step_count - r->step_first)
    return leat_pef_corrupt("steps %u + %u of %u", r->step_first, family->step_count, pef->step_count);
  const uint8_t *block = r->stored + stored * r->record_bytes;
  uint64_t end = 0;
  for (uint32_t i = 0; i < family->step_count; ++i) {
    const pef_step_t *step = &pef->steps[r->step_first + i];
    LEAT_TRY(leat_status_annotate(check_step(r, block, family, step, &end), "step %u", r->step_first + i));
  }
  *out_stored = stored;
  return NULL;
}

static void write_family(const reading_t *r, const pef_family_t *family, uint64_t stored, uint8_t *to) {
  const size_t bytes = (size_t)family->count * r->record_bytes;
  memcpy(to, r->stored + stored * r->record_bytes, bytes);
  for (uint32_t t = 1; t < family->times; ++t) {
    memcpy(to + bytes, to, bytes);
    to += bytes;
    for (uint32_t i = 0; i < family->step_count; ++i) take_step(to, &r->file->pef.steps[r->step_first + i]);
  }
}

// --- one table -------------------------------------------------------------------------------------------------------

static bool may_repeat(uint32_t kind) {
  const pef_segment_row_t *row = leat_pef_segment_row(kind);
  if (kind == PEF_SEGMENT_STRINGS) return true;
  return row != NULL && row->sizes[0].bytes != 1 && kind != PEF_SEGMENT_FAMILIES && kind != PEF_SEGMENT_STEPS;
}

// Goes through the `count` families of a table; `to` NULL: checks them, and counts what they stand for.
static leat_status_t go_through(reading_t *r, uint32_t first, uint32_t count, uint8_t *to) {
  const pef_family_t *families = r->file->pef.families;
  const uint32_t step_first = r->step_first;
  r->end = r->stored_end = 0;
  for (uint32_t i = first; i < first + count; ++i) {
    const pef_family_t *family = &families[i];
    uint64_t stored = 0;
    LEAT_TRY(leat_status_annotate(check_family(r, family, &stored), "family %u", i));
    const uint64_t plain = family->first - r->end;
    if (to != NULL) {
      memcpy(to + r->end * r->record_bytes, r->stored + r->stored_end * r->record_bytes, plain * r->record_bytes);
      write_family(r, family, stored, to + (size_t)family->first * r->record_bytes);
    }
    r->end = family->first + (uint64_t)family->count * family->times;
    r->stored_end = stored + family->count;
    r->step_first += family->step_count;
  }
  const uint64_t rest = r->stored_count - r->stored_end;
  r->count = r->end + rest;
  if (to == NULL)
    r->step_first = step_first;
  else if (rest != 0)
    memcpy(to + r->end * r->record_bytes, r->stored + r->stored_end * r->record_bytes, rest * r->record_bytes);
  return NULL;
}

static leat_status_t write_out(reading_t *r, uint32_t first, uint32_t count) {
  if (!may_repeat(r->kind)) return leat_pef_corrupt("family %u: segment %u has none", first, r->kind);
  r->record_bytes = r->file->segments[r->kind].record_bytes;
  r->stored = leat_pef_raw(r->file, r->kind, &r->stored_count);
  LEAT_TRY(go_through(r, first, count, NULL));
  if (r->count >= PEF_NONE) return leat_pef_corrupt("family %u: too many records of segment %u", first, r->kind);
  uint8_t *made = leat_alloc_zero(r->count + 1, r->record_bytes);
  if (made == NULL) return leat_out_of_memory();
  r->file->written[r->kind] = (pef_table_t){.records = made, .made = made};
  LEAT_TRY(go_through(r, first, count, made));
  r->file->written[r->kind].count = r->count;
  r->file->pef.where[r->kind].family_first = first;
  r->file->pef.where[r->kind].family_count = count;
  return NULL;
}

leat_status_t leat_pef_write_out(pef_file_t *file) {
  const leat_pef_t *pef = &file->pef;
  reading_t reading = {.file = file};
  for (uint32_t i = 0, end = 0; i < pef->family_count; i = end) {
    const uint32_t kind = pef->families[i].kind;
    for (end = i; end < pef->family_count && pef->families[end].kind == kind;) ++end;
    if (kind <= reading.kind) return leat_pef_corrupt("family %u is out of order", i);
    reading.kind = kind;
    LEAT_TRY(write_out(&reading, i, end - i));
  }
  if (reading.step_first == pef->step_count) return NULL;
  return leat_pef_corrupt("%u steps, the families own %u", pef->step_count, reading.step_first);
}

// --- for messages ----------------------------------------------------------------------------------------------------

uint64_t leat_pef_byte_of(const leat_pef_t *pef, enum pef_segment_kind segment, uint64_t index) {
  const leat_pef_where_t *where = &pef->where[segment];
  uint64_t left_out = 0;
  for (uint32_t i = where->family_first; i < where->family_first + where->family_count; ++i) {
    const pef_family_t *family = &pef->families[i];
    if (family->first > index) break;
    const uint64_t within = index - family->first, all = (uint64_t)family->count * family->times;
    left_out += within < all ? within - within % family->count : all - family->count;
  }
  return where->offset + (index - left_out) * where->record_bytes;
}
