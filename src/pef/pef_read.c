// SPDX-License-Identifier: Apache-2.0
// The container: header, segment table, checksums, record sizes; then pef_check.c validates what the tables say.
#include "pef/pef_read.h"

#include <stdio.h>

#include "pef/pef_check.h"
#include "pef/pef_index.h"
#include "pef/pef_json.h"

#define RECORD_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " is a file record of " #bytes " bytes")
RECORD_SIZE(pef_header_t, 64);
RECORD_SIZE(pef_segment_t, 32);
RECORD_SIZE(pef_info_t, 80);
RECORD_SIZE(pef_symbol_t, 96);
RECORD_SIZE(pef_argument_t, 24);
RECORD_SIZE(pef_call_t, 48);
RECORD_SIZE(pef_body_t, 40);
RECORD_SIZE(pef_stage_t, 216);
RECORD_SIZE(pef_operand_t, 152);
RECORD_SIZE(pef_instruction_t, 24);
RECORD_SIZE(pef_bound_t, 176);

enum { KIND_END = PEF_SEGMENT_BOUNDS + 1 };

static const struct {
  const char *name;
  uint32_t record_bytes;
} segment_facts[KIND_END] = {
    [PEF_SEGMENT_STRINGS] = {"strings", 1},
    [PEF_SEGMENT_SYMBOLS] = {"symbols", sizeof(pef_symbol_t)},
    [PEF_SEGMENT_CALLS] = {"calls", sizeof(pef_call_t)},
    [PEF_SEGMENT_ARGUMENTS] = {"arguments", sizeof(pef_argument_t)},
    [PEF_SEGMENT_BODIES] = {"bodies", sizeof(pef_body_t)},
    [PEF_SEGMENT_STAGES] = {"stages", sizeof(pef_stage_t)},
    [PEF_SEGMENT_OPERANDS] = {"operands", sizeof(pef_operand_t)},
    [PEF_SEGMENT_INSTRUCTIONS] = {"instructions", sizeof(pef_instruction_t)},
    [PEF_SEGMENT_CONSTANTS] = {"constants", 1},
    [PEF_SEGMENT_METADATA] = {"metadata", 1},
    [PEF_SEGMENT_INFO] = {"info", sizeof(pef_info_t)},
    [PEF_SEGMENT_BOUNDS] = {"bounds", sizeof(pef_bound_t)},
};

typedef struct pef_file_s {
  leat_pef_t pef;  // first: a leat_pef_t * is the pef_file_t *
  uint8_t *data;   // the whole file
  char *metadata;
} pef_file_t;

typedef struct pef_container_s {
  const uint8_t *data;
  size_t bytes;
  const pef_segment_t *segments[KIND_END];  // by kind; NULL: absent
} pef_container_t;

static leat_status_t check_header(const pef_container_t *file) {
  const pef_header_t *header = (const pef_header_t *)file->data;
  if (file->bytes < sizeof header->magic || memcmp(file->data, PEF_MAGIC, sizeof header->magic) != 0) {
    LEAT_FAIL(LEAT_CORRUPT, "not a PEF (it does not start with " PEF_MAGIC "); give the file that compile wrote");
  }
  if (file->bytes < sizeof *header) return leat_pef_corrupt("cut off in the header, at byte %zu", file->bytes);
  if (header->endian_mark != PEF_ENDIAN_MARK || header->float_mark != PEF_FLOAT_MARK) {
    return leat_pef_corrupt("header: marks of byte order and float format do not fit");
  }
  if (header->version_major > PEF_VERSION_MAJOR) {
    LEAT_FAIL(LEAT_UNSUPPORTED,
              "format version %u.%u, but this library reads up to %u.x: update the library, or compile again with it",
              header->version_major, header->version_minor, PEF_VERSION_MAJOR);
  }
  for (size_t i = 0; i < sizeof header->reserved; ++i) {
    if (header->reserved[i] != 0) return leat_pef_corrupt("header: reserved bytes are not zero");
  }
  if (header->version_major == 0) return leat_pef_corrupt("header: format version 0 does not exist");
  if (header->file_bytes != file->bytes) {
    return leat_pef_corrupt("header states %llu bytes, the file has %zu", (unsigned long long)header->file_bytes,
                            file->bytes);
  }
  const size_t table_room = (file->bytes - sizeof *header) / sizeof(pef_segment_t);
  if (header->segment_count > table_room) {
    return leat_pef_corrupt("header: %u segments do not fit the file", header->segment_count);
  }
  if (leat_pef_hash(header + 1, header->segment_count * sizeof(pef_segment_t)) != header->table_hash) {
    return leat_pef_corrupt("checksum of the segment table (byte %zu) is wrong", sizeof *header);
  }
  return NULL;
}

static leat_status_t check_segment(const pef_container_t *file, const pef_segment_t *segment, uint64_t end) {
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
  if (segment->kind >= KIND_END) return NULL;
  const uint32_t record_bytes = segment_facts[segment->kind].record_bytes;
  if (segment->record_bytes != record_bytes || segment->bytes % record_bytes != 0) {
    return leat_pef_corrupt("%llu bytes in records of %u, records should have %u", (unsigned long long)segment->bytes,
                            segment->record_bytes, record_bytes);
  }
  const bool counted = segment->kind != PEF_SEGMENT_CONSTANTS && segment->kind != PEF_SEGMENT_METADATA;
  if (counted && segment->bytes / record_bytes >= PEF_NONE) return leat_pef_corrupt("too many records");
  return NULL;
}

// What no checksum covers holds zeros, so that no byte of a file can change unseen.
static leat_status_t check_gap(const pef_container_t *file, uint64_t begin, uint64_t end) {
  for (uint64_t at = begin; at < end; ++at) {
    if (file->data[at] != 0) return leat_pef_corrupt("byte %llu between segments is not zero", (unsigned long long)at);
  }
  return NULL;
}

static leat_status_t check_segments(pef_container_t *file) {
  const pef_header_t *header = (const pef_header_t *)file->data;
  const pef_segment_t *table = (const pef_segment_t *)(header + 1);
  uint64_t end = sizeof *header + header->segment_count * sizeof *table;
  uint32_t last_kind = 0;
  for (uint32_t i = 0; i < header->segment_count; ++i) {
    const pef_segment_t *segment = &table[i];
    const char *name = segment->kind < KIND_END ? segment_facts[segment->kind].name : "unknown kind";
    if (segment->kind <= last_kind) return leat_pef_corrupt("segment %u (%s) is out of order", i, name);
    LEAT_TRY(leat_status_annotate(check_segment(file, segment, end), "segment %u (%s)", i, name ? name : "?"));
    LEAT_TRY(check_gap(file, end, segment->offset));
    last_kind = segment->kind;
    end = segment->offset + segment->bytes;
    if (segment->kind < KIND_END) file->segments[segment->kind] = segment;
  }
  LEAT_TRY(check_gap(file, end, file->bytes));
  for (uint32_t kind = PEF_SEGMENT_STRINGS; kind <= PEF_SEGMENT_INFO; ++kind) {
    if (file->segments[kind] == NULL) return leat_pef_corrupt("segment '%s' is missing", segment_facts[kind].name);
  }
  if (file->segments[PEF_SEGMENT_INFO]->bytes != sizeof(pef_info_t)) {
    return leat_pef_corrupt("segment 'info' must hold exactly one record");
  }
  return NULL;
}

static const void *segment_data(const pef_container_t *file, uint32_t kind) {
  return file->data + file->segments[kind]->offset;
}
static uint32_t segment_count(const pef_container_t *file, uint32_t kind) {
  return (uint32_t)(file->segments[kind]->bytes / segment_facts[kind].record_bytes);
}

static void bind_tables(const pef_container_t *file, leat_pef_t *pef) {
  pef->header = (const pef_header_t *)file->data;
  pef->info = segment_data(file, PEF_SEGMENT_INFO);
  pef->strings = segment_data(file, PEF_SEGMENT_STRINGS);
  pef->symbols = segment_data(file, PEF_SEGMENT_SYMBOLS);
  pef->calls = segment_data(file, PEF_SEGMENT_CALLS);
  pef->arguments = segment_data(file, PEF_SEGMENT_ARGUMENTS);
  pef->bodies = segment_data(file, PEF_SEGMENT_BODIES);
  pef->stages = segment_data(file, PEF_SEGMENT_STAGES);
  pef->operands = segment_data(file, PEF_SEGMENT_OPERANDS);
  pef->instructions = segment_data(file, PEF_SEGMENT_INSTRUCTIONS);
  pef->constants = segment_data(file, PEF_SEGMENT_CONSTANTS);
  pef->constant_bytes = file->segments[PEF_SEGMENT_CONSTANTS]->bytes;
  pef->string_bytes = segment_count(file, PEF_SEGMENT_STRINGS);
  pef->symbol_count = segment_count(file, PEF_SEGMENT_SYMBOLS);
  pef->call_count = segment_count(file, PEF_SEGMENT_CALLS);
  pef->argument_count = segment_count(file, PEF_SEGMENT_ARGUMENTS);
  pef->body_count = segment_count(file, PEF_SEGMENT_BODIES);
  pef->stage_count = segment_count(file, PEF_SEGMENT_STAGES);
  pef->operand_count = segment_count(file, PEF_SEGMENT_OPERANDS);
  pef->instruction_count = segment_count(file, PEF_SEGMENT_INSTRUCTIONS);
  if (file->segments[PEF_SEGMENT_BOUNDS] == NULL) return;
  pef->bounds = segment_data(file, PEF_SEGMENT_BOUNDS);
  pef->bound_count = segment_count(file, PEF_SEGMENT_BOUNDS);
}

static leat_status_t bind_metadata(const pef_container_t *file, pef_file_t *out) {
  const char *text = segment_data(file, PEF_SEGMENT_METADATA);
  const size_t bytes = file->segments[PEF_SEGMENT_METADATA]->bytes;
  leat_status_t status = leat_pef_json_canonical(text, bytes, &out->metadata);
  if (leat_status_code(status) == LEAT_OUT_OF_MEMORY) return status;
  const bool equal = status == NULL && strlen(out->metadata) == bytes && memcmp(out->metadata, text, bytes) == 0;
  leat_status_free(status);
  if (!equal) return leat_pef_corrupt("segment 'metadata' is not one JSON object with sorted keys");
  out->pef.metadata = out->metadata;
  return NULL;
}

static leat_status_t validate(const uint8_t *data, size_t bytes, pef_file_t *out) {
  pef_container_t container = {.data = data, .bytes = bytes};
  LEAT_TRY(check_header(&container));
  LEAT_TRY(check_segments(&container));
  bind_tables(&container, &out->pef);
  LEAT_TRY(bind_metadata(&container, out));
  return leat_pef_check(&out->pef);
}

static leat_status_t finish(pef_file_t *file, size_t bytes, const char *name, leat_pef_t **out_pef) {
  leat_status_t status = leat_status_annotate(validate(file->data, bytes, file), "%s", name);
  if (status != NULL) {
    leat_pef_close(&file->pef);
    return status;
  }
  *out_pef = &file->pef;
  return NULL;
}

leat_status_t leat_pef_open(const char *path, leat_pef_t **out_pef) {
  *out_pef = NULL;
  pef_file_t *file = leat_alloc_zero(1, sizeof *file);
  if (file == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "%s: out of memory", path);
  size_t bytes = 0;
  leat_status_t status = leat_file_read(path, &file->data, &bytes);
  if (status != NULL) {
    leat_free(file);
    return status;
  }
  return finish(file, bytes, path, out_pef);
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
  return finish(file, data_bytes, name, out_pef);
}

void leat_pef_close(leat_pef_t *pef) {
  if (pef == NULL) return;
  pef_file_t *file = (pef_file_t *)pef;
  leat_free(file->data);
  leat_free(file->metadata);
  leat_free(file);
}
