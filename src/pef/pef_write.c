// SPDX-License-Identifier: Apache-2.0
// The writer: tables in memory, laid out into one file at the end. Equal content is found through content indexes
// (pef_index.h); the layout depends on nothing but the order of the appends, so equal compiles give equal bytes.
#include "pef/pef_write.h"

#include "pef/pef_align.h"
#include "pef/pef_index.h"
#include "pef/pef_json.h"
#include "pef/pef_schema.h"

// Constants may exceed 4 GiB and are aligned, so they do not fit LEAT_ARRAY.
typedef struct pef_blob_s {
  uint8_t *data;
  size_t bytes, capacity;
} pef_blob_t;

typedef struct pef_constant_s {
  uint64_t offset, bytes;
} pef_constant_t;

struct leat_pef_writer_s {
  LEAT_ARRAY(char) strings;
  LEAT_ARRAY(pef_symbol_t) symbols;
  LEAT_ARRAY(pef_call_t) calls;
  LEAT_ARRAY(pef_argument_t) arguments;
  LEAT_ARRAY(pef_body_t) bodies;
  LEAT_ARRAY(pef_stage_t) stages;
  LEAT_ARRAY(pef_operand_t) operands;
  LEAT_ARRAY(pef_instruction_t) instructions;
  LEAT_ARRAY(pef_constant_t) constants;
  LEAT_ARRAY(pef_bound_t) bounds;
  pef_blob_t blob;
  char *metadata;
  pef_info_t info;
  pef_index_t string_index, constant_index, body_index;
  bool keeps_bodies_apart;
  leat_status_t failure;  // the first one; reported by leat_pef_write*
};

leat_pef_writer_t *leat_pef_writer_create(void) {
  leat_pef_writer_t *writer = leat_alloc_zero(1, sizeof *writer);
  if (writer == NULL) return NULL;
  char *empty = leat_array_push(&writer->strings);
  if (empty == NULL) {
    leat_pef_writer_destroy(writer);
    return NULL;
  }
  return writer;
}

void leat_pef_writer_destroy(leat_pef_writer_t *writer) {
  if (writer == NULL) return;
  leat_array_free(&writer->strings);
  leat_array_free(&writer->symbols);
  leat_array_free(&writer->calls);
  leat_array_free(&writer->arguments);
  leat_array_free(&writer->bodies);
  leat_array_free(&writer->stages);
  leat_array_free(&writer->operands);
  leat_array_free(&writer->instructions);
  leat_array_free(&writer->constants);
  leat_array_free(&writer->bounds);
  leat_free(writer->blob.data);
  leat_free(writer->metadata);
  leat_pef_index_deinit(&writer->string_index);
  leat_pef_index_deinit(&writer->constant_index);
  leat_pef_index_deinit(&writer->body_index);
  leat_status_free(writer->failure);
  leat_free(writer);
}

// Keeps the first failure; frees later ones.
static void fail(leat_pef_writer_t *writer, leat_status_t status) {
  if (writer->failure == NULL) {
    writer->failure = status;
  } else {
    leat_status_free(status);
  }
}

static void fail_memory(leat_pef_writer_t *writer) {
  fail(writer, leat_status_make(LEAT_OUT_OF_MEMORY, "building a PEF: out of memory"));
}

// Appends `count` records to one of the writer's arrays; yields false after remembering the failure.
#define APPEND(writer, array, source, count_)                                       \
  append_records((writer), leat_array_push_n(&(writer)->array, (count_)), (source), \
                 (size_t)(count_) * sizeof *(writer)->array.data)
static bool append_records(leat_pef_writer_t *writer, void *destination, const void *source, size_t bytes) {
  if (bytes == 0) return true;
  if (destination == NULL) {
    fail_memory(writer);
    return false;
  }
  memcpy(destination, source, bytes);
  return true;
}

// --- strings ---------------------------------------------------------------------------------------------------

typedef struct pef_string_query_s {
  const leat_pef_writer_t *writer;
  const char *text;
} pef_string_query_t;

static bool string_equal(const void *context, uint64_t id) {
  const pef_string_query_t *query = context;
  return strcmp(query->writer->strings.data + id, query->text) == 0;
}

uint32_t leat_pef_add_string(leat_pef_writer_t *writer, const char *text) {
  if (writer->failure != NULL || text == NULL || text[0] == '\0') return 0;
  const size_t length = strlen(text);
  const uint64_t hash = leat_pef_hash(text, length);
  uint64_t offset = 0;
  if (leat_pef_index_find(&writer->string_index, hash, string_equal, &(pef_string_query_t){writer, text}, &offset)) {
    return (uint32_t)offset;
  }
  if (length >= UINT32_MAX - writer->strings.count) {
    fail(writer, leat_status_make(LEAT_UNSUPPORTED, "building a PEF: more than 4 GiB of strings"));
    return 0;
  }
  offset = writer->strings.count;
  if (!APPEND(writer, strings, text, (uint32_t)length + 1)) return 0;
  if (!leat_pef_index_add(&writer->string_index, hash, offset)) fail_memory(writer);
  return (uint32_t)offset;
}

// --- constants -------------------------------------------------------------------------------------------------

typedef struct pef_constant_query_s {
  const leat_pef_writer_t *writer;
  const void *data;
  size_t bytes;
} pef_constant_query_t;

static bool constant_equal(const void *context, uint64_t id) {
  const pef_constant_query_t *query = context;
  const pef_constant_t *constant = &query->writer->constants.data[id];
  return constant->bytes == query->bytes &&
         memcmp(query->writer->blob.data + constant->offset, query->data, query->bytes) == 0;
}

// Room for `bytes` more, zero padding to the alignment included; NULL when out of memory.
static uint8_t *blob_reserve(pef_blob_t *blob, size_t bytes) {
  size_t needed = 0;
  if (!leat_size_add(blob->bytes, bytes, &needed) || needed > SIZE_MAX / 4) return NULL;
  needed = leat_pef_align(needed);
  if (needed > blob->capacity) {
    const size_t capacity = needed > 2 * blob->capacity ? needed : 2 * blob->capacity;
    uint8_t *data = leat_alloc(capacity);
    if (data == NULL) return NULL;
    if (blob->bytes != 0) memcpy(data, blob->data, blob->bytes);
    leat_free(blob->data);
    blob->data = data;
    blob->capacity = capacity;
  }
  uint8_t *start = blob->data + blob->bytes;
  memset(start + bytes, 0, needed - blob->bytes - bytes);
  blob->bytes = needed;
  return start;
}

uint64_t leat_pef_add_constant(leat_pef_writer_t *writer, const void *data, size_t data_bytes) {
  if (writer->failure != NULL || data_bytes == 0) return 0;
  const uint64_t hash = leat_pef_hash(data, data_bytes);
  const pef_constant_query_t query = {writer, data, data_bytes};
  uint64_t id = 0;
  if (leat_pef_index_find(&writer->constant_index, hash, constant_equal, &query, &id)) {
    return writer->constants.data[id].offset;
  }
  const pef_constant_t constant = {.offset = writer->blob.bytes, .bytes = data_bytes};
  uint8_t *place = blob_reserve(&writer->blob, data_bytes);
  if (place == NULL) {
    fail_memory(writer);
    return 0;
  }
  memcpy(place, data, data_bytes);
  id = writer->constants.count;
  if (!APPEND(writer, constants, &constant, 1)) return 0;
  if (!leat_pef_index_add(&writer->constant_index, hash, id)) fail_memory(writer);
  return constant.offset;
}

// --- symbols and calls -----------------------------------------------------------------------------------------

uint32_t leat_pef_add_symbol(leat_pef_writer_t *writer, const pef_symbol_t *symbol) {
  if (writer->failure != NULL) return 0;
  const uint32_t id = writer->symbols.count;
  return APPEND(writer, symbols, symbol, 1) ? id : 0;
}

uint32_t leat_pef_find_symbol(const leat_pef_writer_t *writer, const char *name) {
  if (writer->failure != NULL) return 0;
  for (uint32_t i = 0; i < writer->symbols.count; ++i) {
    if (strcmp(writer->strings.data + writer->symbols.data[i].name, name) == 0) return i;
  }
  return PEF_NONE;
}

void leat_pef_add_bound(leat_pef_writer_t *writer, const pef_bound_t *bound) {
  if (writer->failure == NULL) (void)APPEND(writer, bounds, bound, 1);
}

uint32_t leat_pef_add_call(leat_pef_writer_t *writer, const pef_call_t *call, const pef_argument_t *arguments) {
  if (writer->failure != NULL) return 0;
  const uint32_t id = writer->calls.count;
  pef_call_t placed = *call;
  placed.argument_first = writer->arguments.count;
  if (!APPEND(writer, calls, &placed, 1)) return 0;
  return APPEND(writer, arguments, arguments, call->argument_count) ? id : 0;
}

// --- bodies ----------------------------------------------------------------------------------------------------

// A stage without what does not count when bodies are compared: its origin and its places in the tables.
static pef_stage_t stage_content(const pef_stage_t *stage) {
  pef_stage_t content = *stage;
  content.origin = content.operand_first = content.instruction_first = 0;
  return content;
}

static pef_body_t body_content(const pef_body_t *body) {
  pef_body_t content = *body;
  content.stage_first = 0;
  return content;
}

static bool stage_equal(const leat_pef_writer_t *writer, const leat_pef_body_draft_t *draft, const pef_stage_t *left,
                        const pef_stage_t *right) {
  const pef_stage_t a = stage_content(left), b = stage_content(right);
  if (memcmp(&a, &b, sizeof a) != 0) return false;
  if (a.operand_count != 0 &&
      memcmp(writer->operands.data + left->operand_first, draft->operands + right->operand_first,
             a.operand_count * sizeof(pef_operand_t)) != 0) {
    return false;
  }
  return a.instruction_count == 0 ||
         memcmp(writer->instructions.data + left->instruction_first, draft->instructions + right->instruction_first,
                a.instruction_count * sizeof(pef_instruction_t)) == 0;
}

typedef struct pef_body_query_s {
  const leat_pef_writer_t *writer;
  const leat_pef_body_draft_t *draft;
} pef_body_query_t;

static bool body_equal(const void *context, uint64_t id) {
  const pef_body_query_t *query = context;
  const pef_body_t *stored = &query->writer->bodies.data[id];
  const pef_body_t a = body_content(stored), b = body_content(&query->draft->body);
  if (memcmp(&a, &b, sizeof a) != 0) return false;
  for (uint32_t i = 0; i < a.stage_count; ++i) {
    const pef_stage_t *left = &query->writer->stages.data[stored->stage_first + i];
    if (!stage_equal(query->writer, query->draft, left, &query->draft->stages[i])) return false;
  }
  return true;
}

static uint64_t hash_combine(uint64_t hash, const void *data, size_t bytes) {
  const uint64_t pair[2] = {hash, leat_pef_hash(data, bytes)};
  return leat_pef_hash(pair, sizeof pair);
}

static uint64_t body_hash(const leat_pef_body_draft_t *draft) {
  const pef_body_t body = body_content(&draft->body);
  uint64_t hash = leat_pef_hash(&body, sizeof body);
  for (uint32_t i = 0; i < body.stage_count; ++i) {
    const pef_stage_t *stage = &draft->stages[i];
    const pef_stage_t content = stage_content(stage);
    hash = hash_combine(hash, &content, sizeof content);
    if (stage->operand_count != 0) {
      hash = hash_combine(hash, draft->operands + stage->operand_first, stage->operand_count * sizeof(pef_operand_t));
    }
    if (stage->instruction_count != 0) {
      hash = hash_combine(hash, draft->instructions + stage->instruction_first,
                          stage->instruction_count * sizeof(pef_instruction_t));
    }
  }
  return hash;
}

static bool append_stage(leat_pef_writer_t *writer, const leat_pef_body_draft_t *draft, const pef_stage_t *stage) {
  pef_stage_t placed = *stage;
  placed.operand_first = writer->operands.count;
  placed.instruction_first = writer->instructions.count;
  return APPEND(writer, stages, &placed, 1) &&
         APPEND(writer, operands, draft->operands + stage->operand_first, stage->operand_count) &&
         APPEND(writer, instructions, draft->instructions + stage->instruction_first, stage->instruction_count);
}

void leat_pef_share_bodies(leat_pef_writer_t *writer, bool share) { writer->keeps_bodies_apart = !share; }

uint32_t leat_pef_add_body(leat_pef_writer_t *writer, const leat_pef_body_draft_t *draft) {
  if (writer->failure != NULL) return 0;
  const uint64_t hash = writer->keeps_bodies_apart ? 0 : body_hash(draft);
  uint64_t id = 0;
  if (!writer->keeps_bodies_apart &&
      leat_pef_index_find(&writer->body_index, hash, body_equal, &(pef_body_query_t){writer, draft}, &id)) {
    return (uint32_t)id;
  }
  pef_body_t placed = draft->body;
  placed.stage_first = writer->stages.count;
  id = writer->bodies.count;
  if (!APPEND(writer, bodies, &placed, 1)) return 0;
  for (uint32_t i = 0; i < placed.stage_count; ++i) {
    if (!append_stage(writer, draft, &draft->stages[i])) return 0;
  }
  if (!writer->keeps_bodies_apart && !leat_pef_index_add(&writer->body_index, hash, id)) fail_memory(writer);
  return (uint32_t)id;
}

// --- the rest --------------------------------------------------------------------------------------------------

void leat_pef_set_info(leat_pef_writer_t *writer, const pef_info_t *info) { writer->info = *info; }

void leat_pef_set_metadata(leat_pef_writer_t *writer, const char *json) {
  if (writer->failure != NULL) return;
  leat_free(writer->metadata);
  writer->metadata = NULL;
  if (json == NULL) return;
  leat_status_t status = leat_pef_json_canonical(json, strlen(json), &writer->metadata);
  if (status != NULL) fail(writer, leat_status_annotate(status, "metadata of the PEF"));
}

uint64_t leat_pef_constant_bytes(const leat_pef_writer_t *writer) { return writer->blob.bytes; }
uint32_t leat_pef_body_count(const leat_pef_writer_t *writer) { return writer->bodies.count; }
uint32_t leat_pef_call_count(const leat_pef_writer_t *writer) { return writer->calls.count; }

// --- layout ----------------------------------------------------------------------------------------------------

enum { SEGMENT_MAX = 12 };

typedef struct pef_piece_s {
  uint32_t kind, record_bytes;
  const void *data;
  size_t bytes;
} pef_piece_t;

#define PIECE(kind, array) \
  { (kind), sizeof *(array).data, (array).data, (size_t)(array).count * sizeof *(array).data }

// Returns how many there are: all but the bounds, where there are none.
static uint32_t collect_pieces(const leat_pef_writer_t *w, pef_piece_t pieces[SEGMENT_MAX]) {
  const char *metadata = w->metadata == NULL ? "{}" : w->metadata;
  const pef_piece_t all[SEGMENT_MAX] = {
      PIECE(PEF_SEGMENT_STRINGS, w->strings),
      PIECE(PEF_SEGMENT_SYMBOLS, w->symbols),
      PIECE(PEF_SEGMENT_CALLS, w->calls),
      PIECE(PEF_SEGMENT_ARGUMENTS, w->arguments),
      PIECE(PEF_SEGMENT_BODIES, w->bodies),
      PIECE(PEF_SEGMENT_STAGES, w->stages),
      PIECE(PEF_SEGMENT_OPERANDS, w->operands),
      PIECE(PEF_SEGMENT_INSTRUCTIONS, w->instructions),
      {PEF_SEGMENT_CONSTANTS, 1, w->blob.data, w->blob.bytes},
      {PEF_SEGMENT_METADATA, 1, metadata, strlen(metadata)},
      {PEF_SEGMENT_INFO, sizeof w->info, &w->info, sizeof w->info},
      PIECE(PEF_SEGMENT_BOUNDS, w->bounds),
  };
  memcpy(pieces, all, sizeof all);
  return w->bounds.count == 0 ? SEGMENT_MAX - 1 : SEGMENT_MAX;
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

static uint32_t version_minor(const leat_pef_writer_t *w) {
  uint32_t minor = PEF_VERSION_MINOR_LEAST;
  for (uint32_t i = 0; i < w->stages.count; ++i) {
    const uint32_t since = stage_since(&w->stages.data[i]);
    if (since > minor) minor = since;
  }
  return minor;
}

static size_t place_segments(const pef_piece_t *pieces, uint32_t count, pef_segment_t *table) {
  size_t end = leat_pef_align(sizeof(pef_header_t) + count * sizeof(pef_segment_t));
  for (uint32_t i = 0; i < count; ++i) {
    const pef_piece_t *piece = &pieces[i];
    table[i] = (pef_segment_t){.kind = piece->kind,
                               .record_bytes = piece->record_bytes,
                               .offset = end,
                               .bytes = piece->bytes,
                               .hash = leat_pef_hash(piece->data, piece->bytes)};
    end = leat_pef_align(end + piece->bytes);
  }
  return end;
}

leat_status_t leat_pef_write_memory(const leat_pef_writer_t *writer, uint8_t **out_data, size_t *out_bytes) {
  if (writer->failure != NULL) {
    LEAT_FAIL(leat_status_code(writer->failure), "%s", leat_status_message(writer->failure));
  }
  pef_piece_t pieces[SEGMENT_MAX];
  pef_segment_t table[SEGMENT_MAX];
  const uint32_t count = collect_pieces(writer, pieces);
  const size_t bytes = place_segments(pieces, count, table);
  const pef_header_t header = {.magic = PEF_MAGIC,
                               .version_major = PEF_VERSION_MAJOR,
                               .version_minor = version_minor(writer),
                               .endian_mark = PEF_ENDIAN_MARK,
                               .segment_count = count,
                               .float_mark = PEF_FLOAT_MARK,
                               .file_bytes = bytes,
                               .table_hash = leat_pef_hash(table, count * sizeof *table)};
  uint8_t *data = leat_alloc_zero(1, bytes);
  if (data == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for a PEF of %zu bytes", bytes);
  memcpy(data, &header, sizeof header);
  memcpy(data + sizeof header, table, count * sizeof *table);
  for (uint32_t i = 0; i < count; ++i) {
    if (pieces[i].bytes != 0) memcpy(data + table[i].offset, pieces[i].data, pieces[i].bytes);
  }
  *out_data = data;
  *out_bytes = bytes;
  return NULL;
}

leat_status_t leat_pef_write(const leat_pef_writer_t *writer, const char *path) {
  uint8_t *data = NULL;
  size_t bytes = 0;
  LEAT_TRY(leat_pef_write_memory(writer, &data, &bytes));
  leat_status_t status = leat_file_write_atomic(path, data, bytes);
  leat_free(data);
  return status;
}
