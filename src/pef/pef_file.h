// SPDX-License-Identifier: Apache-2.0
// A file while it is opened, layer by layer: pef_container.c (header, segment table, checksums), pef_table.c (tables),
// pef_upgrade.c (what version 1 had otherwise), then the validator (pef_check.h); pef_read.c goes through them. Private
// to src/pef.
#ifndef LEAT_PEF_FILE_H_
#define LEAT_PEF_FILE_H_

#include "pef/pef_read.h"
#include "pef/pef_segment.h"
#include "pef/pef_v1.h"

typedef struct pef_table_s {
  const void *records;  // of the size that they have here
  void *made;           // NULL: they lie in the file as they are
  uint64_t count;
} pef_table_t;

typedef struct pef_file_s {
  leat_pef_t pef;  // first: a leat_pef_t * is the pef_file_t *
  uint8_t *data;   // the whole file
  size_t bytes;
  pef_segment_t segments[PEF_SEGMENT_END];  // by kind; all 0: it is not there
  pef_table_t written[PEF_SEGMENT_END];     // by kind: what families of the file stand for, written out
  pef_table_t tables[PEF_SEGMENT_END];      // by kind
  char *metadata;
  uint8_t *access;
} pef_file_t;

// Header, segment table, places and checksums: the file is whole. Fills the versions of `pef`.
leat_status_t leat_pef_check_container(pef_file_t *file) LEAT_MUST_USE;
// What the segment table says is known here. Fills `segments`.
leat_status_t leat_pef_check_segments(pef_file_t *file) LEAT_MUST_USE;

// The records of a segment as the file says them: 8-byte aligned, each of the segment's record_bytes.
const void *leat_pef_raw(const pef_file_t *file, uint32_t kind, uint64_t *out_count);
// A table of `count` zeroed records, in place of the one that `kind` had; the file owns it. NULL: out of memory.
void *leat_pef_make_table(pef_file_t *file, uint32_t kind, uint64_t count);
// With FAMILIES and STEPS bound: fills `written`.
leat_status_t leat_pef_write_out(pef_file_t *file) LEAT_MUST_USE;
// Points `file->pef` to the tables.
void leat_pef_bind(pef_file_t *file);

// Version 1. Whether its records of a kind are no beginning of those of version 2, and if so, the table made of them.
bool leat_pef_is_upgraded(uint32_t kind);
leat_status_t leat_pef_upgrade_records(pef_file_t *file, uint32_t kind) LEAT_MUST_USE;
// The programs of `stages`, which own the instructions `old` one after the other, one for one into `out`.
// LEAT_CORRUPT: a register that does not exist or holds nothing.
leat_status_t leat_pef_upgrade_programs(const pef_stage_t *stages, uint32_t stage_count,
                                        const pef_v1_instruction_t *old, pef_instruction_t *out) LEAT_MUST_USE;
// Then, with all tables bound: what does not come of single records.
leat_status_t leat_pef_upgrade(pef_file_t *file) LEAT_MUST_USE;

#endif
