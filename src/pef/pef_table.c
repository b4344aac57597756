// SPDX-License-Identifier: Apache-2.0
// Tables of a file that is opened: where their records lie.
#include "pef/pef_file.h"

const void *leat_pef_raw(const pef_file_t *file, uint32_t kind, uint64_t *out_count) {
  const pef_segment_t *segment = &file->segments[kind];
  *out_count = file->written[kind].count;
  if (file->written[kind].records != NULL) return file->written[kind].records;
  *out_count = segment->record_bytes == 0 ? 0 : segment->bytes / segment->record_bytes;
  return file->data + segment->offset;
}

void *leat_pef_make_table(pef_file_t *file, uint32_t kind, uint64_t count) {
  void *made = leat_alloc_zero(count + 1, leat_pef_segment_row(kind)->sizes[0].bytes);
  if (made == NULL) return NULL;
  leat_free(file->tables[kind].made);
  file->tables[kind] = (pef_table_t){.records = made, .made = made, .count = count};
  return made;
}

void leat_pef_bind(pef_file_t *file) {
  leat_pef_t *pef = &file->pef;
#define RECORD(suffix, number, one, table, record, need, ...) \
  pef->table = file->tables[number].records;                  \
  pef->one##_count = (uint32_t)file->tables[number].count;
#include "pef/record.def"
  pef->strings = file->tables[PEF_SEGMENT_STRINGS].records;
  pef->string_bytes = (uint32_t)file->tables[PEF_SEGMENT_STRINGS].count;
  pef->constants = file->tables[PEF_SEGMENT_CONSTANTS].records;
  pef->constant_bytes = file->tables[PEF_SEGMENT_CONSTANTS].count;
}
