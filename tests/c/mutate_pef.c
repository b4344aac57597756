// SPDX-License-Identifier: Apache-2.0
// See mutate.h: mutations of a PEF by its tables, and mending it.
#include <string.h>

#include "mutate.h"
#include "pef/pef_format.h"
#include "pef/pef_index.h"

static pef_header_t *header_of(const mutant_t *mutant) { return (pef_header_t *)(void *)mutant->data; }
static pef_segment_t *table_of(const mutant_t *mutant) { return (pef_segment_t *)(void *)(header_of(mutant) + 1); }

// Segments that the header counts and the file has room for.
static uint32_t segment_count(const mutant_t *mutant) {
  if (mutant->bytes < sizeof(pef_header_t)) return 0;
  const size_t room = (mutant->bytes - sizeof(pef_header_t)) / sizeof(pef_segment_t);
  const uint32_t count = header_of(mutant)->segment_count;
  return count <= room ? count : 0;
}

static bool is_inside(const mutant_t *mutant, const pef_segment_t *segment) {
  return segment->offset <= mutant->bytes && segment->bytes <= mutant->bytes - segment->offset;
}

void mend_pef(mutant_t *mutant) {
  const uint32_t count = segment_count(mutant);
  if (count == 0) return;
  pef_segment_t *table = table_of(mutant);
  for (uint32_t i = 0; i < count; ++i) {
    if (is_inside(mutant, &table[i])) table[i].hash = leat_pef_hash(mutant->data + table[i].offset, table[i].bytes);
  }
  pef_header_t *header = header_of(mutant);
  header->file_bytes = mutant->bytes;
  header->table_hash = leat_pef_hash(table, count * sizeof *table);
}

// A segment that lies in the file and holds something; NULL: none was found.
static pef_segment_t *choose_segment(mutant_t *mutant) {
  const uint32_t count = segment_count(mutant);
  for (uint32_t tries = 0; count != 0 && tries < 8; ++tries) {
    pef_segment_t *segment = &table_of(mutant)[mutate_below(mutant, count)];
    if (is_inside(mutant, segment) && segment->bytes != 0 && segment->record_bytes != 0 &&
        segment->record_bytes <= segment->bytes) {
      return segment;
    }
  }
  return NULL;
}

static uint8_t *choose_record(mutant_t *mutant, const pef_segment_t *segment) {
  const uint64_t count = segment->bytes / segment->record_bytes;
  return mutant->data + segment->offset + mutate_below(mutant, count) * segment->record_bytes;
}

// One field, or two neighbouring ones: a boundary value, a step from what it was, or what the same field of another
// record holds.
static void change_field(mutant_t *mutant, const pef_segment_t *segment) {
  const size_t width = (size_t)1 << mutate_below(mutant, 4);
  if (segment->record_bytes < width) {
    uint8_t *byte = choose_record(mutant, segment);
    *byte = (uint8_t)mutate_random(mutant);
    return;
  }
  const size_t field = mutate_below(mutant, segment->record_bytes / width) * width;
  uint8_t *at = choose_record(mutant, segment) + field;
  uint64_t value = 0;
  memcpy(&value, at, width);
  switch (mutate_below(mutant, 4)) {
    case 0:
      value = mutate_boundary(mutant);
      break;
    case 1:
      value += mutate_below(mutant, 2) == 0 ? 1 : UINT64_MAX;
      break;
    case 2:
      value += mutate_below(mutant, 129) - 64;
      break;
    default:
      memcpy(&value, choose_record(mutant, segment) + field, width);
      break;
  }
  memcpy(at, &value, width);
}

static void exchange_records(mutant_t *mutant, const pef_segment_t *segment, bool copy) {
  uint8_t *a = choose_record(mutant, segment), *b = choose_record(mutant, segment);
  for (uint32_t i = 0; i < segment->record_bytes; ++i) {
    const uint8_t kept = a[i];
    a[i] = b[i];
    if (!copy) b[i] = kept;
  }
}

static void change_segment(mutant_t *mutant, pef_segment_t *segment) {
  const pef_segment_t *other = choose_segment(mutant);
  switch (mutate_below(mutant, 7)) {
    case 0:
      segment->bytes -= segment->record_bytes;
      break;
    case 1:
      segment->bytes += segment->record_bytes;
      break;
    case 2:
      segment->bytes += mutate_below(mutant, 3) - 1;
      break;
    case 3:
      segment->offset += (mutate_below(mutant, 5) - 2) * PEF_ALIGN;
      break;
    case 4:
      segment->offset = other != NULL ? other->offset : mutate_boundary(mutant);
      break;
    case 5:
      segment->bytes = mutate_boundary(mutant);
      break;
    default:
      change_field(mutant, &(pef_segment_t){.record_bytes = sizeof *segment,
                                            .offset = (uint64_t)((uint8_t *)segment - mutant->data),
                                            .bytes = sizeof *segment});
  }
}

// The end of the file at the border of a segment, or a byte beside it.
static void cut_at_border(mutant_t *mutant, const pef_segment_t *segment) {
  const uint64_t border = mutate_below(mutant, 2) == 0 ? segment->offset : segment->offset + segment->bytes;
  const uint64_t end = border + mutate_below(mutant, 3) - 1;
  if (end < mutant->bytes) mutant->bytes = end;
}

static void change_header(mutant_t *mutant) {
  const pef_segment_t whole = {.record_bytes = sizeof(pef_header_t), .bytes = sizeof(pef_header_t)};
  change_field(mutant, &whole);
}

void mutate_pef(mutant_t *mutant) {
  pef_segment_t *segment = choose_segment(mutant);
  if (segment == NULL) {
    mutate_bytes(mutant);
    return;
  }
  switch (mutate_below(mutant, 16)) {
    case 0:
      exchange_records(mutant, segment, true);
      break;
    case 1:
      exchange_records(mutant, segment, false);
      break;
    case 2:
      change_segment(mutant, segment);
      break;
    case 3:
      if (mutate_below(mutant, 4) == 0) {
        cut_at_border(mutant, segment);
      } else {
        change_header(mutant);
      }
      break;
    default:
      change_field(mutant, segment);
      break;
  }
}
