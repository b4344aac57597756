// SPDX-License-Identifier: Apache-2.0
// Opening a file: its container, the tables in it, then what they say (pef_check.h).
#include "pef/pef_read.h"

#include "pef/pef_check.h"
#include "pef/pef_file.h"
#include "pef/pef_json.h"
#include "pef/pef_v1.h"

// --- tables ----------------------------------------------------------------------------------------------------------

// Records of another size than here are copied.
static leat_status_t take_table(pef_file_t *file, uint32_t kind) {
  const pef_segment_row_t *row = leat_pef_segment_row(kind);
  const uint32_t bytes = row->sizes[0].bytes, found = file->segments[kind].record_bytes;
  uint64_t count = 0;
  const void *raw = leat_pef_raw(file, kind, &count);
  if (found == bytes || found == 0) {
    file->tables[kind] = (pef_table_t){.records = raw, .count = count};
    return NULL;
  }
  void *made = leat_pef_make_table(file, kind, count);
  if (made == NULL) return leat_out_of_memory();
  const uint64_t whole = leat_pef_copy_records(made, bytes, raw, found, count);
  if (whole == count) return NULL;
  return leat_pef_corrupt("record %llu of segment '%s' has more than %u bytes, and says something there",
                          (unsigned long long)whole, row->name, bytes);
}

// What families say of tables comes before the tables.
static leat_status_t take_families(pef_file_t *file) {
  LEAT_TRY(take_table(file, PEF_SEGMENT_FAMILIES));
  LEAT_TRY(take_table(file, PEF_SEGMENT_STEPS));
  leat_pef_bind(file);
  return leat_pef_write_out(file);
}

static leat_status_t take_tables(pef_file_t *file) {
  LEAT_TRY(take_families(file));
  for (uint32_t kind = 0; kind < PEF_SEGMENT_END; ++kind) {
    if (leat_pef_segment_row(kind) == NULL) continue;
    const bool upgraded = file->pef.version_major == 1 && leat_pef_is_upgraded(kind);
    LEAT_TRY(upgraded ? leat_pef_upgrade_records(file, kind) : take_table(file, kind));
  }
  return NULL;
}

static leat_status_t take_metadata(pef_file_t *file) {
  const pef_table_t *table = &file->tables[PEF_SEGMENT_METADATA];
  const char *text = table->count != 0 ? table->records : "{}";
  const size_t bytes = table->count != 0 ? table->count : 2;
  leat_status_t status = leat_pef_json_canonical(text, bytes, &file->metadata);
  if (leat_status_code(status) == LEAT_OUT_OF_MEMORY) return status;
  const bool equal = status == NULL && strlen(file->metadata) == bytes && memcmp(file->metadata, text, bytes) == 0;
  leat_status_free(status);
  if (!equal) return leat_pef_corrupt("segment 'metadata' is not one JSON object with sorted keys");
  file->pef.metadata = file->metadata;
  return NULL;
}

static leat_status_t take_access(pef_file_t *file) {
  file->access = leat_alloc_zero(file->pef.operand_count + 1u, sizeof *file->access);
  if (file->access == NULL) return leat_out_of_memory();
  const leat_pef_t *pef = &file->pef;
  for (uint32_t s = 0; s < pef->stage_count; ++s) {
    const pef_stage_t *stage = &pef->stages[s];
    leat_pef_find_access(stage, &pef->instructions[stage->instruction_first], &file->access[stage->operand_first]);
  }
  file->pef.access = file->access;
  return NULL;
}

// --- the whole -------------------------------------------------------------------------------------------------------

static leat_status_t validate(pef_file_t *file) {
  LEAT_TRY(leat_pef_check_container(file));
  LEAT_TRY(leat_pef_check_segments(file));
  LEAT_TRY(take_tables(file));
  leat_pef_bind(file);
  if (file->pef.version_major == 1) LEAT_TRY(leat_pef_upgrade(file));
  LEAT_TRY(leat_pef_check_owners(&file->pef));
  LEAT_TRY(take_access(file));
  LEAT_TRY(take_metadata(file));
  return leat_pef_check(&file->pef);
}

static bool is_pef(const pef_file_t *file) {
  return file->bytes >= sizeof PEF_MAGIC && memcmp(file->data, PEF_MAGIC, sizeof PEF_MAGIC) == 0;
}

static leat_status_t finish(pef_file_t *file, const char *name, leat_pef_t **out_pef) {
  leat_status_t status = is_pef(file) ? leat_pef_conclude(&file->pef, validate(file))
                                      : leat_status_make(LEAT_CORRUPT, "not a PEF (it does not start with " PEF_MAGIC
                                                                       "); give the file that compile wrote");
  if (status != NULL) {
    leat_pef_close(&file->pef);
    return leat_status_annotate(status, "%s", name);
  }
  *out_pef = &file->pef;
  return NULL;
}

leat_status_t leat_pef_open(const char *path, leat_pef_t **out_pef) {
  *out_pef = NULL;
  pef_file_t *file = leat_alloc_zero(1, sizeof *file);
  if (file == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "%s: out of memory", path);
  leat_status_t status = leat_file_read(path, &file->data, &file->bytes);
  if (status != NULL) {
    leat_free(file);
    return status;
  }
  return finish(file, path, out_pef);
}

leat_status_t leat_pef_open_memory(const void *data, size_t data_bytes, const char *name, leat_pef_t **out_pef) {
  *out_pef = NULL;
  pef_file_t *file = leat_alloc_zero(1, sizeof *file);
  if (file != NULL) file->data = leat_alloc(data_bytes == 0 ? 1 : data_bytes);
  if (file == NULL || file->data == NULL) {
    leat_free(file);
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "%s: out of memory", name);
  }
  if (data_bytes != 0) memcpy(file->data, data, data_bytes);
  file->bytes = data_bytes;
  return finish(file, name, out_pef);
}

void leat_pef_close(leat_pef_t *pef) {
  if (pef == NULL) return;
  pef_file_t *file = (pef_file_t *)pef;
  for (uint32_t kind = 0; kind < PEF_SEGMENT_END; ++kind) {
    leat_free(file->tables[kind].made);
    leat_free(file->written[kind].made);
  }
  leat_free(file->data);
  leat_free(file->metadata);
  leat_free(file->access);
  leat_free(file);
}
