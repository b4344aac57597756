// SPDX-License-Identifier: Apache-2.0
// The writer: tables in memory, made into one file at the end (pef_encode.c). Equal content is found through content
// indexes (pef_index.h); the file depends on nothing but the order of the appends, so equal compiles give equal bytes.
#include "pef/pef_write.h"

#include "pef/pef_align.h"
#include "pef/pef_index.h"
#include "pef/pef_json.h"

// Constants may exceed 4 GiB and are aligned, so they do not fit LEAT_ARRAY.
typedef struct pef_blob_s {
  uint8_t *data;
  size_t bytes, capacity;
} pef_blob_t;

typedef struct pef_constant_s {
  uint64_t offset, bytes;
} pef_constant_t;

struct leat_pef_writer_s {
#define RECORD(suffix, number, one, table, record, need, ...) LEAT_ARRAY(record) table;
#include "pef/record.def"
  LEAT_ARRAY(uint8_t) access;  // of the operands
  LEAT_ARRAY(char) strings;
  LEAT_ARRAY(pef_constant_t) constants;
  uint32_t open_loops[PEF_MAX_LOOP_DEPTH], open_count;
  pef_blob_t blob;
  char *metadata;
  pef_index_t string_index, constant_index, body_index, dims_index;
  bool keeps_bodies_apart;
  bool lacks_layout;      // some buffers have no place
  leat_status_t failure;  // the first one; reported by leat_pef_write*
};

leat_pef_writer_t *leat_pef_writer_create(void) {
  leat_pef_writer_t *writer = leat_alloc_zero(1, sizeof *writer);
  if (writer == NULL) return NULL;
  if (leat_array_push(&writer->strings) == NULL || leat_array_push(&writer->info) == NULL) {
    leat_pef_writer_destroy(writer);
    return NULL;
  }
  return writer;
}

void leat_pef_writer_destroy(leat_pef_writer_t *writer) {
  if (writer == NULL) return;
#define RECORD(suffix, number, one, table, record, need, ...) leat_array_free(&writer->table);
#include "pef/record.def"
  leat_array_free(&writer->access);
  leat_array_free(&writer->strings);
  leat_array_free(&writer->constants);
  leat_free(writer->blob.data);
  leat_free(writer->metadata);
  leat_pef_index_deinit(&writer->string_index);
  leat_pef_index_deinit(&writer->constant_index);
  leat_pef_index_deinit(&writer->body_index);
  leat_pef_index_deinit(&writer->dims_index);
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

void leat_pef_add_block(leat_pef_writer_t *writer, const pef_block_t *block) {
  if (writer->failure == NULL) (void)APPEND(writer, blocks, block, 1);
}

uint32_t leat_pef_add_call(leat_pef_writer_t *writer, const pef_call_t *call, const pef_argument_t *arguments) {
  if (writer->failure != NULL) return 0;
  const uint32_t id = writer->calls.count;
  pef_call_t placed = *call;
  placed.argument_first = writer->arguments.count;
  if (!APPEND(writer, calls, &placed, 1)) return 0;
  return APPEND(writer, arguments, arguments, call->argument_count) ? id : 0;
}

// --- loops -----------------------------------------------------------------------------------------------------

uint32_t leat_pef_begin_loop(leat_pef_writer_t *writer, const pef_loop_t *loop) {
  if (writer->failure != NULL) return 0;
  if (writer->open_count == PEF_MAX_LOOP_DEPTH) {
    fail(writer, leat_status_make(LEAT_UNSUPPORTED, "building a PEF: more than %u loops within each other",
                                  PEF_MAX_LOOP_DEPTH));
    return 0;
  }
  const uint32_t id = writer->loops.count;
  pef_loop_t placed = *loop;
  placed.call_first = writer->calls.count;
  if (!APPEND(writer, loops, &placed, 1)) return 0;
  writer->open_loops[writer->open_count++] = id;
  return id;
}

void leat_pef_end_loop(leat_pef_writer_t *writer) {
  if (writer->failure != NULL) return;
  assert(writer->open_count > 0);
  pef_loop_t *loop = &writer->loops.data[writer->open_loops[--writer->open_count]];
  loop->call_count = writer->calls.count - loop->call_first;
}

void leat_pef_add_loop_around(leat_pef_writer_t *writer, const pef_loop_t *loop) {
  if (writer->failure != NULL) return;
  assert(writer->open_count == 0 && loop->call_first + loop->call_count <= writer->calls.count);
  if (!APPEND(writer, loops, loop, 1)) return;
  uint32_t id = writer->loops.count - 1;
  for (; id > 0 && writer->loops.data[id - 1].call_first >= loop->call_first; --id)
    writer->loops.data[id] = writer->loops.data[id - 1];
  writer->loops.data[id] = *loop;
  for (uint32_t i = 0; i < writer->moves.count; ++i) {
    uint32_t *of = &writer->moves.data[i].loop;
    if (*of != PEF_NONE && *of >= id) ++*of;
  }
}

void leat_pef_add_move(leat_pef_writer_t *writer, const pef_move_t *move, const pef_argument_t *places) {
  if (writer->failure != NULL) return;
  pef_move_t placed = *move;
  placed.argument += writer->calls.data[writer->calls.count - 1].argument_first;
  placed.place_first = places == NULL ? PEF_NONE : writer->places.count;
  if (!APPEND(writer, moves, &placed, 1) || places == NULL) return;
  (void)APPEND(writer, places, places, writer->loops.data[move->loop].trips);
}

// --- tile buffers ----------------------------------------------------------------------------------------------

typedef struct pef_dims_query_s {
  const leat_pef_writer_t *writer;
  const int64_t *dims;
  uint32_t rank;
} pef_dims_query_t;

static bool dims_equal(const void *context, uint64_t id) {
  const pef_dims_query_t *query = context;
  return query->rank <= query->writer->dims.count - id &&
         memcmp(query->writer->dims.data + id, query->dims, query->rank * sizeof *query->dims) == 0;
}

static uint32_t add_dims(leat_pef_writer_t *writer, const int64_t *dims, uint32_t rank) {
  const uint64_t hash = leat_pef_hash(dims, rank * sizeof *dims);
  uint64_t id = 0;
  if (rank == 0 ||
      leat_pef_index_find(&writer->dims_index, hash, dims_equal, &(pef_dims_query_t){writer, dims, rank}, &id)) {
    return (uint32_t)id;
  }
  id = writer->dims.count;
  if (!APPEND(writer, dims, dims, rank)) return 0;
  if (!leat_pef_index_add(&writer->dims_index, hash, id)) fail_memory(writer);
  return (uint32_t)id;
}

static pef_buffer_t buffer_content(const pef_buffer_t *buffer) {
  pef_buffer_t content = *buffer;
  content.dims = 0;
  return content;
}

// Stored buffer `id` is number `index` of the draft, and lies where that does.
static bool buffer_equal(const leat_pef_writer_t *writer, uint32_t id, const leat_pef_body_draft_t *draft,
                         uint32_t index) {
  const pef_buffer_t *left = &writer->buffers.data[id], *right = &draft->buffers[index];
  const pef_buffer_t a = buffer_content(left), b = buffer_content(right);
  const uint64_t offset = draft->layout == NULL ? 0 : draft->layout[index].offset;
  return memcmp(&a, &b, sizeof a) == 0 && writer->layout.data[id].offset == offset &&
         (a.rank == 0 ||
          memcmp(writer->dims.data + left->dims, draft->dims + right->dims, a.rank * sizeof *draft->dims) == 0);
}

static bool append_buffers(leat_pef_writer_t *writer, const leat_pef_body_draft_t *draft) {
  static const pef_layout_t nowhere = {0};
  for (uint32_t i = 0; i < draft->body.buffer_count; ++i) {
    pef_buffer_t placed = draft->buffers[i];
    placed.dims = add_dims(writer, draft->dims + placed.dims, placed.rank);
    if (!APPEND(writer, buffers, &placed, 1)) return false;
    if (!APPEND(writer, layout, draft->layout == NULL ? &nowhere : &draft->layout[i], 1)) return false;
  }
  writer->lacks_layout |= draft->layout == NULL && draft->body.buffer_count != 0;
  return true;
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
  content.stage_first = content.buffer_first = 0;
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

static pef_cut_t cut_content(const pef_cut_t *cut, uint32_t operand_first) {
  pef_cut_t content = *cut;
  content.operand -= operand_first;
  return content;
}

// Axes and cuts, as bodies say them that start anywhere.
static bool space_equal(const leat_pef_writer_t *writer, uint32_t body, const leat_pef_body_draft_t *draft) {
  leat_pef_t view;
  leat_pef_view(writer, &view);
  const pef_axis_t *axes;
  const pef_cut_t *cuts;
  const pef_body_t *stored = &view.bodies[body];
  if (leat_pef_axes(&view, stored, &axes) != draft->axis_count) return false;
  for (uint32_t i = 0; i < draft->axis_count; ++i) {
    pef_axis_t axis = draft->axes[i];
    axis.body = body;
    if (memcmp(&axis, &axes[i], sizeof axis) != 0) return false;
  }
  if (draft->axis_count == 0) return true;
  if (leat_pef_body_cuts(&view, stored, &cuts) != draft->cut_count) return false;
  for (uint32_t i = 0; i < draft->cut_count; ++i) {
    const pef_cut_t a = cut_content(&cuts[i], view.stages[stored->stage_first].operand_first),
                    b = cut_content(&draft->cuts[i], draft->stages[0].operand_first);
    if (memcmp(&a, &b, sizeof a) != 0) return false;
  }
  return true;
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
  for (uint32_t i = 0; i < a.buffer_count; ++i) {
    if (!buffer_equal(query->writer, stored->buffer_first + i, query->draft, i)) return false;
  }
  return space_equal(query->writer, (uint32_t)id, query->draft);
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
  for (uint32_t i = 0; i < body.buffer_count; ++i) {
    const pef_buffer_t content = buffer_content(&draft->buffers[i]);
    hash = hash_combine(hash, &content, sizeof content);
  }
  for (uint32_t i = 0; i < draft->cut_count; ++i) {
    const pef_cut_t content = cut_content(&draft->cuts[i], draft->stages[0].operand_first);
    hash = hash_combine(hash, &content, sizeof content);
  }
  return hash;
}

static bool append_stage(leat_pef_writer_t *writer, const leat_pef_body_draft_t *draft, const pef_stage_t *stage) {
  pef_stage_t placed = *stage;
  placed.operand_first = writer->operands.count;
  placed.instruction_first = writer->instructions.count;
  uint8_t *access = leat_array_push_n(&writer->access, stage->operand_count);
  if (access == NULL && stage->operand_count != 0) {
    fail_memory(writer);
    return false;
  }
  const pef_instruction_t *steps =
      stage->instruction_count != 0 ? draft->instructions + stage->instruction_first : NULL;
  leat_pef_find_access(stage, steps, access);
  return APPEND(writer, stages, &placed, 1) &&
         APPEND(writer, operands, draft->operands + stage->operand_first, stage->operand_count) &&
         APPEND(writer, instructions, steps, stage->instruction_count);
}

static void append_space(leat_pef_writer_t *writer, const leat_pef_body_draft_t *draft, uint32_t body,
                         uint32_t operand_first) {
  for (uint32_t i = 0; i < draft->axis_count; ++i) {
    pef_axis_t axis = draft->axes[i];
    axis.body = body;
    if (!APPEND(writer, axes, &axis, 1)) return;
  }
  for (uint32_t i = 0; i < draft->cut_count; ++i) {
    pef_cut_t cut = draft->cuts[i];
    cut.operand += operand_first - draft->stages[0].operand_first;
    if (!APPEND(writer, cuts, &cut, 1)) return;
  }
}

void leat_pef_share_bodies(leat_pef_writer_t *writer, bool share) { writer->keeps_bodies_apart = !share; }

uint32_t leat_pef_add_body(leat_pef_writer_t *writer, const leat_pef_body_draft_t *draft) {
  if (writer->failure != NULL) return 0;
  const bool apart = writer->keeps_bodies_apart;
  const uint64_t hash = apart ? 0 : body_hash(draft);
  uint64_t id = 0;
  if (!apart && leat_pef_index_find(&writer->body_index, hash, body_equal, &(pef_body_query_t){writer, draft}, &id)) {
    return (uint32_t)id;
  }
  pef_body_t placed = draft->body;
  placed.stage_first = writer->stages.count;
  placed.buffer_first = writer->buffers.count;
  id = writer->bodies.count;
  if (!APPEND(writer, bodies, &placed, 1) || !append_buffers(writer, draft)) return 0;
  const uint32_t operand_first = writer->operands.count;
  for (uint32_t i = 0; i < placed.stage_count; ++i) {
    if (!append_stage(writer, draft, &draft->stages[i])) return 0;
  }
  append_space(writer, draft, (uint32_t)id, operand_first);
  if (!apart && !leat_pef_index_add(&writer->body_index, hash, id)) fail_memory(writer);
  return (uint32_t)id;
}

// --- the rest --------------------------------------------------------------------------------------------------

void leat_pef_set_info(leat_pef_writer_t *writer, const pef_info_t *info) { writer->info.data[0] = *info; }

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

void leat_pef_set_barrier(leat_pef_writer_t *writer, uint32_t call, bool barrier) {
  if (writer->failure == NULL) writer->calls.data[call].barrier = barrier;
}

static leat_pef_t tables_of(const leat_pef_writer_t *writer) {
  leat_pef_t tables = {
#define RECORD(suffix, number, one, table, record, need, ...) \
  .table = writer->table.data, .one##_count = writer->table.count,
#include "pef/record.def"
      .access = writer->access.data,
      .strings = writer->strings.data,
      .string_bytes = writer->strings.count,
      .constants = writer->blob.data,
      .constant_bytes = writer->blob.bytes,
      .metadata = writer->metadata == NULL ? "{}" : writer->metadata,
  };
  if (writer->lacks_layout) tables.layout_count = 0;
  return tables;
}

void leat_pef_view(const leat_pef_writer_t *writer, leat_pef_t *out_view) {
  *out_view = writer->failure == NULL ? tables_of(writer) : (leat_pef_t){.info = writer->info.data};
}

// --- the file --------------------------------------------------------------------------------------------------

leat_status_t leat_pef_write_memory(const leat_pef_writer_t *writer, uint8_t **out_data, size_t *out_bytes) {
  if (writer->failure != NULL) {
    LEAT_FAIL(leat_status_code(writer->failure), "%s", leat_status_message(writer->failure));
  }
  const leat_pef_t tables = tables_of(writer);
  return leat_pef_encode_folded(&tables, out_data, out_bytes);
}

leat_status_t leat_pef_write(const leat_pef_writer_t *writer, const char *path) {
  uint8_t *data = NULL;
  size_t bytes = 0;
  LEAT_TRY(leat_pef_write_memory(writer, &data, &bytes));
  leat_status_t status = leat_file_write_atomic(path, data, bytes);
  leat_free(data);
  return status;
}
