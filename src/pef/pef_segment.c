// SPDX-License-Identifier: Apache-2.0
// See pef_segment.h.
#include "pef/pef_segment.h"

enum { OPTIONAL, REQUIRED };

#define NEWEST(...) FIRST_OF(__VA_ARGS__, 0)
#define FIRST_OF(first, ...) (first)
#define IN(major, minor, bytes) bytes
#define RECORD(suffix, number, one, table, record, need, ...)                                                         \
  _Static_assert(sizeof(record) == NEWEST(__VA_ARGS__), "a " #record " of another size is a new size in record.def"); \
  _Static_assert(sizeof(record) % 8 == 0, "records lie on multiples of 8");
#include "pef/record.def"
#undef IN

_Static_assert(sizeof(pef_header_t) == 64, "the header has the same 64 bytes in every version");
_Static_assert(sizeof(pef_segment_t) == 40, "a record of the segment table has 40 bytes in version 2");

#define IN(since_major, since_minor, size) \
  { (since_major), (since_minor), (size) }
#define RECORD(suffix, number, one, table, record, need, ...) [number] = {#table, (need), {__VA_ARGS__}},
#define BYTES(suffix, number, name, need) [number] = {#name, (need), {{1, 0, 1}}},
static const pef_segment_row_t rows[PEF_SEGMENT_END] = {
#include "pef/record.def"
};
#undef IN

const pef_segment_row_t *leat_pef_segment_row(uint32_t kind) {
  return kind < PEF_SEGMENT_END && rows[kind].name != NULL ? &rows[kind] : NULL;
}

uint32_t leat_pef_record_bytes(const pef_segment_row_t *row, uint32_t major, uint32_t minor) {
  for (const pef_size_t *size = row->sizes; size->bytes != 0; ++size) {
    if (size->major < major || (size->major == major && size->minor <= minor)) {
      return row->sizes[0].bytes == 1 || size->major == major ? size->bytes : 0;
    }
  }
  return 0;
}

static bool is_zero(const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

uint32_t leat_pef_records_since(const pef_segment_row_t *row, const void *records, uint64_t count) {
  const pef_size_t *size = row->sizes;
  const uint32_t stride = size->bytes;
  for (; size[1].major == PEF_VERSION_MAJOR; ++size) {
    const uint32_t less = size[1].bytes;
    for (uint64_t i = 0; i < count; ++i) {
      if (!is_zero((const uint8_t *)records + i * stride + less, size->bytes - less)) return size->minor;
    }
  }
  return size->major == PEF_VERSION_MAJOR ? size->minor : 0;
}

uint64_t leat_pef_copy_records(void *target, uint32_t target_bytes, const void *source, uint32_t source_bytes,
                               uint64_t count) {
  const uint32_t common = target_bytes < source_bytes ? target_bytes : source_bytes;
  uint64_t whole = count;
  if (target_bytes == source_bytes) {
    memcpy(target, source, count * common);
    return count;
  }
  for (uint64_t i = 0; i < count; ++i) {
    uint8_t *to = (uint8_t *)target + i * target_bytes;
    const uint8_t *from = (const uint8_t *)source + i * source_bytes;
    memcpy(to, from, common);
    memset(to + common, 0, target_bytes - common);
    if (whole == count && !is_zero(from + common, source_bytes - common)) whole = i;
  }
  return whole;
}
