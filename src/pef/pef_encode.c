// SPDX-License-Identifier: Apache-2.0
// Tables as a file: the least minor version that has all of them, then the segments one after the other; with families
// where these are worth it.
#include "pef/pef_align.h"
#include "pef/pef_fold.h"
#include "pef/pef_index.h"
#include "pef/pef_scalar.h"
#include "pef/pef_schema.h"
#include "pef/pef_segment.h"
#include "pef/pef_write.h"

static pef_piece_t piece(uint32_t kind, const void *records, uint64_t count) {
  const pef_segment_row_t *row = leat_pef_segment_row(kind);
  return (pef_piece_t){row, records, count, row->sizes[0].bytes};
}

// By kind, every record written out; what is empty is not written.
static void collect_pieces(const leat_pef_t *pef, pef_piece_t pieces[PEF_SEGMENT_END]) {
#define RECORD(suffix, number, one, table, record, need, ...) \
  pieces[number] = piece((number), pef->table, pef->one##_count);
#include "pef/record.def"
  pieces[PEF_SEGMENT_STRINGS] = piece(PEF_SEGMENT_STRINGS, pef->strings, pef->string_bytes);
  pieces[PEF_SEGMENT_CONSTANTS] = piece(PEF_SEGMENT_CONSTANTS, pef->constants, pef->constant_bytes);
  pieces[PEF_SEGMENT_METADATA] = piece(PEF_SEGMENT_METADATA, pef->metadata, strlen(pef->metadata));
  pieces[PEF_SEGMENT_FAMILIES].count = pieces[PEF_SEGMENT_STEPS].count = 0;  // of the file that it was read from
}

// The minor version that brought the stage, or the newest of its parameters that it uses.
static uint32_t stage_since(const pef_stage_t *stage) {
  const pef_stage_row_t *row = leat_pef_stage_row(stage->kind);
  uint32_t since = row != NULL ? row->since : 0;
  const int64_t *words = stage->params.words;
  for (const pef_param_row_t *param = row != NULL ? row->params : NULL; param != NULL && param->name != NULL; ++param) {
    bool used = false;
    for (uint32_t i = 0; i < param->words; ++i) used |= *words++ != 0;
    if (used && param->since > since) since = param->since;
  }
  return since;
}

// What brought the marks of the loops.
static uint32_t loops_since(const leat_pef_t *pef) {
  for (uint32_t i = 0; i < pef->loop_count; ++i) {
    if ((pef->loops[i].flags & (PEF_LOOP_BATCHES | PEF_LOOP_FWD_ALONE)) != 0) return 1;
  }
  return 0;
}

static uint32_t version_minor(const leat_pef_t *pef, const pef_piece_t pieces[PEF_SEGMENT_END]) {
  uint32_t minor = loops_since(pef);
  for (uint32_t i = 0; i < pef->stage_count; ++i) {
    const uint32_t since = stage_since(&pef->stages[i]);
    if (since > minor) minor = since;
  }
  for (uint32_t i = 0; i < pef->instruction_count; ++i) {
    const uint32_t since = leat_pef_instruction_since(&pef->instructions[i]);
    if (since > minor) minor = since;
  }
  for (uint32_t kind = 0; kind < PEF_SEGMENT_END; ++kind) {
    if (pieces[kind].count == 0) continue;
    const uint32_t since = leat_pef_records_since(pieces[kind].row, pieces[kind].records, pieces[kind].count);
    if (since > minor) minor = since;
  }
  return minor;
}

// Fills `table`; *out_count: of its segments.
static size_t place_segments(const pef_piece_t pieces[PEF_SEGMENT_END], uint32_t minor,
                             pef_segment_t table[PEF_SEGMENT_END], uint32_t *out_count) {
  uint32_t count = 0;
  for (uint32_t kind = 0; kind < PEF_SEGMENT_END; ++kind) {
    const pef_piece_t *from = &pieces[kind];
    if (from->count == 0) continue;
    const uint32_t bytes = leat_pef_record_bytes(from->row, PEF_VERSION_MAJOR, minor);
    table[count++] = (pef_segment_t){.kind = kind,
                                     .record_bytes = bytes,
                                     .bytes = from->count * bytes,
                                     .flags = from->row->required ? PEF_SEGMENT_IS_REQUIRED : 0};
  }
  size_t end = leat_pef_align(sizeof(pef_header_t) + count * sizeof *table);
  for (uint32_t i = 0; i < count; ++i) {
    table[i].offset = end;
    end = leat_pef_align(end + table[i].bytes);
  }
  *out_count = count;
  return end;
}

static size_t bytes_of(const pef_piece_t pieces[PEF_SEGMENT_END], uint32_t minor) {
  pef_segment_t table[PEF_SEGMENT_END];
  uint32_t count;
  return place_segments(pieces, minor, table, &count);
}

static leat_status_t lay_out(const pef_piece_t pieces[PEF_SEGMENT_END], uint32_t minor, uint8_t **out_data,
                             size_t *out_bytes) {
  pef_segment_t table[PEF_SEGMENT_END];
  uint32_t count = 0;
  const size_t bytes = place_segments(pieces, minor, table, &count);
  uint8_t *data = leat_alloc_zero(1, bytes);
  if (data == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for a PEF of %zu bytes", bytes);
  for (uint32_t i = 0; i < count; ++i) {
    const pef_piece_t *from = &pieces[table[i].kind];
    uint8_t *to = data + table[i].offset;
    (void)leat_pef_copy_records(to, table[i].record_bytes, from->records, from->record_bytes, from->count);
    table[i].hash = leat_pef_hash(to, table[i].bytes);
  }
  const pef_header_t header = {.magic = PEF_MAGIC,
                               .version_major = PEF_VERSION_MAJOR,
                               .version_minor = minor,
                               .endian_mark = PEF_ENDIAN_MARK,
                               .segment_count = count,
                               .float_mark = PEF_FLOAT_MARK,
                               .file_bytes = bytes,
                               .table_hash = leat_pef_hash(table, count * sizeof *table)};
  memcpy(data, &header, sizeof header);
  memcpy(data + sizeof header, table, count * sizeof *table);
  *out_data = data;
  *out_bytes = bytes;
  return NULL;
}

leat_status_t leat_pef_encode(const leat_pef_t *tables, uint8_t **out_data, size_t *out_bytes) {
  pef_piece_t pieces[PEF_SEGMENT_END] = {0};
  collect_pieces(tables, pieces);
  return lay_out(pieces, version_minor(tables, pieces), out_data, out_bytes);
}

// --- with families ---------------------------------------------------------------------------------------------------

enum { SAVED_MIN = 2048 };  // bytes that families must save, and a 16th of the file: older readers refuse them

leat_status_t leat_pef_encode_folded(const leat_pef_t *tables, uint8_t **out_data, size_t *out_bytes) {
  pef_piece_t pieces[PEF_SEGMENT_END] = {0};
  collect_pieces(tables, pieces);
  const uint32_t minor = version_minor(tables, pieces), since = pieces[PEF_SEGMENT_FAMILIES].row->sizes[0].minor;
  const uint32_t folded_minor = since > minor ? since : minor;
  pef_folded_t folded;
  leat_status_t status = leat_pef_fold(pieces, folded_minor, &folded);
  if (status == NULL) {
    const size_t plain = bytes_of(pieces, minor), shorter = bytes_of(folded.pieces, folded_minor);
    const bool worth = plain >= shorter + SAVED_MIN && plain - shorter >= plain / 16;
    status = lay_out(worth ? folded.pieces : pieces, worth ? folded_minor : minor, out_data, out_bytes);
  }
  leat_pef_folded_deinit(&folded);
  return status;
}
