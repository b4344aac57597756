// SPDX-License-Identifier: Apache-2.0
// The container: header, segment table, checksums, sizes of records.
#include <stdio.h>

#include "pef/pef_check.h"
#include "pef/pef_file.h"
#include "pef/pef_index.h"
#include "pef/pef_v1.h"

enum { RECORD_BYTES_MAX = 4096 };  // of a version that is not known yet

// Bytes of a record of the segment table; the beginning is the same in all versions.
static size_t segment_bytes(const pef_header_t *header) {
  return header->version_major == 1 ? sizeof(pef_v1_segment_t) : sizeof(pef_segment_t);
}

static leat_status_t check_version(const pef_header_t *header) {
  if (header->version_major > PEF_VERSION_MAJOR) {
    LEAT_FAIL(LEAT_UNSUPPORTED,
              "format version %u.%u, but this library reads up to %u.x: update the library, or compile again with it",
              header->version_major, header->version_minor, PEF_VERSION_MAJOR);
  }
  const bool exists = header->version_major == PEF_VERSION_MAJOR ||
                      (header->version_major == 1 && header->version_minor <= PEF_V1_VERSION_MINOR);
  if (exists) return NULL;
  return leat_pef_corrupt("header: format version %u.%u does not exist", header->version_major, header->version_minor);
}

static leat_status_t check_header(const pef_file_t *file) {
  const pef_header_t *header = (const pef_header_t *)file->data;
  if (file->bytes < sizeof *header) return leat_pef_corrupt("cut off in the header, at byte %zu", file->bytes);
  if (header->endian_mark != PEF_ENDIAN_MARK || header->float_mark != PEF_FLOAT_MARK) {
    return leat_pef_corrupt("header: marks of byte order and float format do not fit");
  }
  LEAT_TRY(check_version(header));
  for (size_t i = 0; i < sizeof header->reserved; ++i) {
    if (header->reserved[i] != 0) return leat_pef_corrupt("header: reserved bytes are not zero");
  }
  if (header->file_bytes != file->bytes) {
    return leat_pef_corrupt("header states %llu bytes, the file has %zu", (unsigned long long)header->file_bytes,
                            file->bytes);
  }
  if (header->segment_count > (file->bytes - sizeof *header) / segment_bytes(header)) {
    return leat_pef_corrupt("header: %u segments do not fit the file", header->segment_count);
  }
  if (leat_pef_hash(header + 1, header->segment_count * segment_bytes(header)) != header->table_hash) {
    return leat_pef_corrupt("checksum of the segment table (byte %zu) is wrong", sizeof *header);
  }
  return NULL;
}

// Record `index` of the segment table, as version 2 has it.
static pef_segment_t segment_of(const pef_file_t *file, uint32_t index) {
  const pef_header_t *header = (const pef_header_t *)file->data;
  const size_t bytes = segment_bytes(header);
  pef_segment_t segment = {0};
  memcpy(&segment, file->data + sizeof *header + index * bytes, bytes);
  const pef_segment_row_t *row = leat_pef_segment_row(segment.kind);
  if (header->version_major == 1 && row != NULL && row->required) segment.flags = PEF_SEGMENT_IS_REQUIRED;
  return segment;
}

static const char *name_of(const pef_segment_t *segment) {
  const pef_segment_row_t *row = leat_pef_segment_row(segment->kind);
  return row != NULL ? row->name : "unknown kind";
}

static leat_status_t check_place(const pef_file_t *file, const pef_segment_t *segment, uint64_t end) {
  if (segment->offset % PEF_ALIGN != 0 || segment->offset < end) {
    return leat_pef_corrupt("it starts at byte %llu, which is unaligned or overlaps what is before it",
                            (unsigned long long)segment->offset);
  }
  if (segment->offset > file->bytes || segment->bytes > file->bytes - segment->offset) {
    return leat_pef_corrupt("bytes %llu + %llu reach over the end of the file", (unsigned long long)segment->offset,
                            (unsigned long long)segment->bytes);
  }
  if (leat_pef_hash(file->data + segment->offset, segment->bytes) != segment->hash) {
    return leat_pef_corrupt("checksum of bytes %llu + %llu is wrong", (unsigned long long)segment->offset,
                            (unsigned long long)segment->bytes);
  }
  return NULL;
}

// What no checksum covers holds zeros, so that no byte of a file can change unseen.
static leat_status_t check_gap(const pef_file_t *file, uint64_t begin, uint64_t end) {
  for (uint64_t at = begin; at < end; ++at) {
    if (file->data[at] != 0) return leat_pef_corrupt("byte %llu between segments is not zero", (unsigned long long)at);
  }
  return NULL;
}

static leat_status_t check_places(const pef_file_t *file) {
  const pef_header_t *header = (const pef_header_t *)file->data;
  uint64_t end = sizeof *header + header->segment_count * segment_bytes(header);
  uint32_t last_kind = 0;
  for (uint32_t i = 0; i < header->segment_count; ++i) {
    const pef_segment_t segment = segment_of(file, i);
    if (segment.kind <= last_kind) return leat_pef_corrupt("segment %u (%s) is out of order", i, name_of(&segment));
    LEAT_TRY(leat_status_annotate(check_place(file, &segment, end), "segment %u (%s)", i, name_of(&segment)));
    LEAT_TRY(check_gap(file, end, segment.offset));
    last_kind = segment.kind;
    end = segment.offset + segment.bytes;
  }
  return check_gap(file, end, file->bytes);
}

leat_status_t leat_pef_check_container(pef_file_t *file) {
  LEAT_TRY(check_header(file));
  LEAT_TRY(check_places(file));
  const pef_header_t *header = (const pef_header_t *)file->data;
  file->pef.version_major = header->version_major;
  file->pef.version_minor = header->version_minor;
  file->pef.file_bytes = file->bytes;
  return NULL;
}

// Records have the size of the file's version; of a version that is not known here, at least the newest that is.
static leat_status_t check_records(const pef_file_t *file, const pef_segment_t *segment, const pef_segment_row_t *row) {
  const uint32_t wanted = leat_pef_record_bytes(row, file->pef.version_major, file->pef.version_minor);
  const uint32_t found = segment->record_bytes;
  const bool grown = leat_pef_is_newer(&file->pef) && wanted != 1 && found % 8 == 0 && found <= RECORD_BYTES_MAX;
  if ((found != wanted && !(grown && found > wanted)) || found == 0 || segment->bytes % found != 0) {
    return leat_pef_corrupt("%llu bytes in records of %u, records should have %u", (unsigned long long)segment->bytes,
                            found, wanted);
  }
  if (segment->kind != PEF_SEGMENT_CONSTANTS && segment->bytes / found >= PEF_NONE) {
    return leat_pef_corrupt("too many records");
  }
  return NULL;
}

// A segment that is not known may be ignored, if it says so.
static leat_status_t check_segment(const pef_file_t *file, const pef_segment_t *segment) {
  const pef_segment_row_t *row = leat_pef_segment_row(segment->kind);
  if (segment->reserved0 != 0 || segment->flags > PEF_SEGMENT_IS_REQUIRED) {
    return leat_pef_corrupt("its flags are %u and %u", segment->flags, segment->reserved0);
  }
  if (row != NULL) {
    if (segment->flags != (row->required ? PEF_SEGMENT_IS_REQUIRED : 0)) return leat_pef_corrupt("its flags are wrong");
    return check_records(file, segment, row);
  }
  if (segment->flags == 0) return NULL;
  return leat_pef_corrupt("the program needs what it says");
}

leat_status_t leat_pef_check_segments(pef_file_t *file) {
  const pef_header_t *header = (const pef_header_t *)file->data;
  for (uint32_t i = 0; i < header->segment_count; ++i) {
    const pef_segment_t segment = segment_of(file, i);
    LEAT_TRY(leat_status_annotate(check_segment(file, &segment), "segment %u (%s)", i, name_of(&segment)));
    if (leat_pef_segment_row(segment.kind) == NULL) continue;
    file->segments[segment.kind] = segment;
    file->pef.where[segment.kind] = (leat_pef_where_t){.offset = segment.offset, .record_bytes = segment.record_bytes};
  }
  return NULL;
}
