// SPDX-License-Identifier: Apache-2.0
// The segments of the format (record.def) as a table, for reader and writer. Private to src/pef.
#ifndef LEAT_PEF_SEGMENT_H_
#define LEAT_PEF_SEGMENT_H_

#include "base/base.h"
#include "pef/pef_format.h"

enum { PEF_SIZES_MAX = 8 };  // of a record, over all versions

typedef struct pef_size_s {
  uint16_t major, minor;  // since this version
  uint32_t bytes;
} pef_size_t;

typedef struct pef_segment_row_s {
  const char *name;  // NULL: there is no segment of this kind
  bool required;
  pef_size_t sizes[PEF_SIZES_MAX];  // of a record, the newest first, and a last one of 0 bytes; 1 byte of byte segments
} pef_segment_row_t;

// NULL: of a kind that is not known here.
const pef_segment_row_t *leat_pef_segment_row(uint32_t kind);
// Bytes of a record in files of a version; 0: it has no such segment.
uint32_t leat_pef_record_bytes(const pef_segment_row_t *row, uint32_t major, uint32_t minor);
// The least minor version of the newest major one whose records hold all that is not 0 in these.
uint32_t leat_pef_records_since(const pef_segment_row_t *row, const void *records, uint64_t count);

// Copies `count` records from one size to another: what the target has more is 0. Returns the first record that has
// something else than 0 in what the target lacks; `count` if none has.
uint64_t leat_pef_copy_records(void *target, uint32_t target_bytes, const void *source, uint32_t source_bytes,
                               uint64_t count);

#endif
