// SPDX-License-Identifier: Apache-2.0
// See pt.h. An archive "<prefix>/": data.pkl (the object), data/<key> (storages), byteorder.
#include "io/pt.h"

#include "io/pickle.h"
#include "io/pt_legacy.h"
#include "io/zip.h"

enum {
  DEPTH_MAX = 64,
  VISITS_MAX = 1 << 20,       // values: shared containers could unfold into endless names
  COPY_ALLOWANCE = 64 << 20,  // bytes of copies besides COPY_FACTOR times the file
  COPY_FACTOR = 16,
  NAME_BYTES_MAX = 65535,
  BYTE_ORDER_BYTES_MAX = 16,
};

typedef struct pt_reader_s {
  leat_zip_t zip;
  const char *prefix;  // up to and with the "/"
  size_t prefix_bytes;
  const uint8_t **contents;  // by zip entry: its content once read
  leat_pt_legacy_t legacy;   // in place of the archive; `object` is NULL otherwise
  leat_pickle_t *pickle;
  leat_tensors_t *tensors;
  leat_text_t name;    // of the value being walked
  size_t table_bytes;  // that names and values may take
  uint32_t visits;
} pt_reader_t;

// --- archive -----------------------------------------------------------------------------------------------------

static leat_status_t check_magic(const uint8_t *data, size_t bytes) {
  if (bytes >= 4 && memcmp(data, "PK\x03\x04", 4) == 0) return NULL;
  LEAT_FAIL(LEAT_CORRUPT, "not a file of torch.save (it is not a zip archive)");
}

// "<prefix>data.pkl", where the prefix is one folder.
static leat_status_t find_pickle(pt_reader_t *reader, const leat_zip_entry_t **out_entry) {
  static const char suffix[] = "/data.pkl";
  const size_t suffix_bytes = sizeof suffix - 1;
  for (uint32_t i = 0; i < reader->zip.entries.count; ++i) {
    const leat_zip_entry_t *entry = &reader->zip.entries.data[i];
    if (entry->name_bytes < suffix_bytes) continue;
    const size_t folder_bytes = entry->name_bytes - suffix_bytes;
    if (memcmp(entry->name + folder_bytes, suffix, suffix_bytes) != 0) continue;
    if (memchr(entry->name, '/', folder_bytes) != NULL) continue;
    reader->prefix = entry->name;
    reader->prefix_bytes = folder_bytes + 1;
    *out_entry = entry;
    return NULL;
  }
  LEAT_FAIL(LEAT_CORRUPT, "a zip archive without data.pkl: not a file of torch.save");
}

// The entry "<prefix><folder><key>", or NULL; `*out_failed`: out of memory.
static const leat_zip_entry_t *find_member(const pt_reader_t *reader, const char *folder, const char *key,
                                           size_t key_bytes, bool *out_failed) {
  leat_text_t name = {0};
  leat_text_put_bytes(&name, reader->prefix, reader->prefix_bytes);
  leat_text_put_bytes(&name, folder, strlen(folder));
  leat_text_put_bytes(&name, key, key_bytes);
  *out_failed = name.failed;
  const leat_zip_entry_t *entry = name.failed ? NULL : leat_zip_find(&reader->zip, name.data, name.length);
  leat_text_deinit(&name);
  return entry;
}

// Content of an entry, read once; a decompressed copy belongs to the tensors.
static leat_status_t content_of(pt_reader_t *reader, const leat_zip_entry_t *entry, const uint8_t **out_content) {
  const size_t index = (size_t)(entry - reader->zip.entries.data);
  if (reader->contents[index] == NULL) {
    void *buffer = NULL;
    LEAT_TRY(leat_zip_read(&reader->zip, entry, &reader->contents[index], &buffer));
    if (buffer != NULL) LEAT_TRY(leat_tensors_adopt(reader->tensors, buffer));
  }
  *out_content = reader->contents[index];
  return NULL;
}

static leat_status_t check_byte_order(pt_reader_t *reader) {
  bool failed = false;
  const leat_zip_entry_t *entry = find_member(reader, "", "byteorder", strlen("byteorder"), &failed);
  if (failed) return leat_out_of_memory();
  if (entry == NULL) return NULL;  // older files: the writer's order, in practice little-endian
  const uint8_t *content = NULL;
  if (entry->bytes <= BYTE_ORDER_BYTES_MAX) LEAT_TRY(content_of(reader, entry, &content));
  if (entry->bytes == 6 && memcmp(content, "little", 6) == 0) return NULL;
  LEAT_FAIL(LEAT_UNSUPPORTED, "saved on a big-endian machine; save it again on a little-endian one");
}

// --- tensors -----------------------------------------------------------------------------------------------------

// Elements of the tensor, and the last element of the storage that it reaches; false when they do not fit int64.
static bool measure(const leat_pickle_tensor_t *tensor, int64_t *out_count, int64_t *out_last) {
  int64_t count = 1, last = tensor->offset;
  if (tensor->offset < 0) return false;
  for (uint32_t i = 0; i < tensor->rank; ++i) {
    int64_t span = 0;
    const int64_t dim = tensor->dims[i], stride = tensor->strides[i];
    if (dim < 0 || stride < 0 || __builtin_mul_overflow(count, dim, &count)) return false;
    if (dim > 1 && __builtin_mul_overflow(dim - 1, stride, &span)) return false;
    if (__builtin_add_overflow(last, span, &last)) return false;
  }
  *out_count = count;
  *out_last = count == 0 ? -1 : last;
  return true;
}

static bool is_contiguous(const leat_pickle_tensor_t *tensor) {
  int64_t expected = 1;
  for (uint32_t i = tensor->rank; i > 0; --i) {
    if (tensor->dims[i - 1] != 1 && tensor->strides[i - 1] != expected) return false;
    expected *= tensor->dims[i - 1];
  }
  return true;
}

// Where the walk is, for messages.
static leat_io_shown_t shown_name(const pt_reader_t *reader) {
  return leat_io_shown(reader->name.data, reader->name.length);
}

// Row-major copy of a strided tensor of `count` elements.
static void copy_strided(const leat_pickle_tensor_t *tensor, const uint8_t *storage, size_t element_bytes,
                         int64_t count, uint8_t *out) {
  int64_t index[LEAT_MAX_RANK] = {0}, strides[LEAT_MAX_RANK] = {0}, at = tensor->offset;
  for (uint32_t d = 0; d < tensor->rank; ++d) strides[d] = tensor->dims[d] > 1 ? tensor->strides[d] : 0;
  for (int64_t i = 0; i < count; ++i, out += element_bytes) {
    memcpy(out, storage + (size_t)at * element_bytes, element_bytes);
    for (uint32_t d = tensor->rank; d > 0; --d) {
      at += strides[d - 1];
      if (++index[d - 1] < tensor->dims[d - 1]) break;
      at -= strides[d - 1] * tensor->dims[d - 1];
      index[d - 1] = 0;
    }
  }
}

static leat_status_t storage_is_missing(const leat_pickle_value_t *storage) {
  LEAT_FAIL(LEAT_CORRUPT, "storage '%s' is missing from the file, which is damaged",
            leat_io_shown(storage->text.data, storage->text.length).text);
}

static leat_status_t storage_content(pt_reader_t *reader, const leat_pickle_value_t *storage, const uint8_t **out_data,
                                     int64_t *out_count) {
  if (reader->legacy.object != NULL) {
    const leat_pt_storage_t *found = leat_pt_legacy_find(&reader->legacy, storage->text.data, storage->text.length);
    if (found == NULL || found->data == NULL) return storage_is_missing(storage);
    *out_data = found->data;
    *out_count = found->count;
    return NULL;
  }
  bool failed = false;
  const leat_zip_entry_t *entry = find_member(reader, "data/", storage->text.data, storage->text.length, &failed);
  if (failed) return leat_out_of_memory();
  if (entry == NULL) return storage_is_missing(storage);
  LEAT_TRY(content_of(reader, entry, out_data));
  *out_count = (int64_t)(entry->bytes / leat_io_dtype_bytes(storage->dtype));
  return NULL;
}

static leat_status_t add_tensor(pt_reader_t *reader, const leat_pickle_tensor_t *tensor) {
  const leat_pickle_value_t *storage = &reader->pickle->values.data[tensor->storage];
  const size_t element_bytes = leat_io_dtype_bytes(storage->dtype);
  const uint8_t *data = NULL;
  int64_t stored = 0, count = 0, last = 0;
  LEAT_TRY(storage_content(reader, storage, &data, &stored));
  if (!measure(tensor, &count, &last) || last >= stored || tensor->offset > stored) {
    LEAT_FAIL(LEAT_CORRUPT, "it reaches over the end of its storage (%lld elements); the file is damaged",
              (long long)stored);
  }
  if (count > stored) LEAT_FAIL(LEAT_UNSUPPORTED, "it is expanded over a smaller storage; save it contiguous");
  leat_io_tensor_t out = {.name = reader->name.length == 0 ? "" : reader->name.data,
                          .dtype = storage->dtype,
                          .rank = tensor->rank,
                          .data = data + (size_t)tensor->offset * element_bytes,
                          .data_bytes = (size_t)count * element_bytes};
  memcpy(out.dims, tensor->dims, sizeof out.dims);
  if (count != 0 && !is_contiguous(tensor)) {
    void *copy = NULL;
    LEAT_TRY(leat_tensors_buffer(reader->tensors, out.data_bytes, &copy));
    copy_strided(tensor, data, element_bytes, count, copy);
    out.data = copy;
  }
  return leat_tensors_add(reader->tensors, &out);
}

// --- the walk ----------------------------------------------------------------------------------------------------

static leat_status_t walk(pt_reader_t *reader, uint32_t id, uint32_t depth);

// Walks `id` under the name extended by one part.
static leat_status_t walk_named(pt_reader_t *reader, uint32_t id, uint32_t depth, const char *part, size_t part_bytes) {
  leat_text_t *name = &reader->name;
  const size_t length = name->length;
  if (memchr(part, '\0', part_bytes) != NULL) LEAT_FAIL(LEAT_CORRUPT, "a key holds a NUL; the file is damaged");
  if (length != 0) leat_text_put_bytes(name, ".", 1);
  if (part_bytes > NAME_BYTES_MAX - 1 || length > NAME_BYTES_MAX - 1 - part_bytes)
    LEAT_FAIL(LEAT_UNSUPPORTED, "a name of more than %d bytes", NAME_BYTES_MAX);
  leat_text_put_bytes(name, part, part_bytes);
  if (name->failed) return leat_out_of_memory();
  LEAT_TRY(walk(reader, id, depth));
  name->length = length;
  if (name->data != NULL) name->data[length] = '\0';
  return NULL;
}

static leat_status_t walk_numbered(pt_reader_t *reader, uint32_t id, uint32_t depth, int64_t number) {
  char digits[24];  // of any int64
  size_t at = sizeof digits;
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  do {
    digits[--at] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  if (number < 0) digits[--at] = '-';
  return walk_named(reader, id, depth, digits + at, sizeof digits - at);
}

static leat_status_t walk_pair(pt_reader_t *reader, uint32_t key, uint32_t value, uint32_t depth) {
  const leat_pickle_value_t *k = &reader->pickle->values.data[key];
  if (k->kind == LEAT_PICKLE_STRING) return walk_named(reader, value, depth, k->text.data, k->text.length);
  if (k->kind == LEAT_PICKLE_INT) return walk_numbered(reader, value, depth, k->integer);
  LEAT_FAIL(LEAT_UNSUPPORTED, "a dictionary under '%s' has %s as key; keys should be strings or integers",
            shown_name(reader).text, leat_pickle_kind_name(k->kind));
}

static leat_status_t walk(pt_reader_t *reader, uint32_t id, uint32_t depth) {
  const leat_pickle_value_t *value = &reader->pickle->values.data[id];
  if (depth > DEPTH_MAX || ++reader->visits > VISITS_MAX) {
    LEAT_FAIL(LEAT_CORRUPT, "nested deeper than %d levels or over %d values; the file is damaged", DEPTH_MAX,
              VISITS_MAX);
  }
  if (value->kind == LEAT_PICKLE_TENSOR) {
    return leat_status_annotate(add_tensor(reader, value->tensor), "tensor '%s'", shown_name(reader).text);
  }
  const bool sequence = value->kind == LEAT_PICKLE_LIST || value->kind == LEAT_PICKLE_TUPLE;
  for (uint32_t i = 0; sequence && i < value->items.count; ++i) {
    LEAT_TRY(walk_numbered(reader, value->items.data[i], depth + 1, i));
  }
  for (uint32_t i = 0; value->kind == LEAT_PICKLE_DICT && i < value->items.count; i += 2) {
    LEAT_TRY(walk_pair(reader, value->items.data[i], value->items.data[i + 1], depth + 1));
  }
  return NULL;
}

// --- the whole ---------------------------------------------------------------------------------------------------

static leat_status_t read_archive(pt_reader_t *reader) {
  const leat_zip_entry_t *entry = NULL;
  const uint8_t *pickle = NULL;
  reader->contents = leat_alloc_zero((size_t)reader->zip.entries.count + 1, sizeof *reader->contents);
  if (reader->contents == NULL) return leat_out_of_memory();
  LEAT_TRY(find_pickle(reader, &entry));
  LEAT_TRY(check_byte_order(reader));
  if (entry->bytes > reader->table_bytes) {
    LEAT_FAIL(LEAT_UNSUPPORTED, "data.pkl unpacks to %llu bytes, far more than the file",
              (unsigned long long)entry->bytes);
  }
  LEAT_TRY(content_of(reader, entry, &pickle));
  LEAT_TRY(leat_pickle_read(pickle, entry->bytes, reader->table_bytes, &reader->pickle));
  return walk(reader, reader->pickle->root, 0);
}

static leat_status_t parse_legacy(const uint8_t *data, size_t bytes, leat_tensors_t *tensors) {
  pt_reader_t reader = {.tensors = tensors};
  leat_status_t status = leat_pt_legacy_open(data, bytes, &reader.legacy);
  if (status == NULL) {
    reader.pickle = reader.legacy.object;
    status = walk(&reader, reader.pickle->root, 0);
  }
  leat_pt_legacy_close(&reader.legacy);
  leat_text_deinit(&reader.name);
  return status;
}

static leat_status_t parse(const uint8_t *data, size_t bytes, leat_tensors_t *tensors) {
  pt_reader_t reader = {.tensors = tensors};
  const bool legacy = leat_pt_legacy_is(data, bytes);
  if (!legacy) LEAT_TRY(check_magic(data, bytes));
  if (!legacy) LEAT_TRY(leat_zip_open(data, bytes, &reader.zip));
  if (!leat_size_mul(bytes, COPY_FACTOR, &tensors->copy_limit) ||
      !leat_size_add(tensors->copy_limit, COPY_ALLOWANCE, &tensors->copy_limit)) {
    tensors->copy_limit = SIZE_MAX;
  }
  reader.table_bytes = tensors->name_limit = leat_pickle_memory_max(bytes);
  if (legacy) return parse_legacy(data, bytes, tensors);
  leat_status_t status = read_archive(&reader);
  leat_pickle_destroy(reader.pickle);
  leat_text_deinit(&reader.name);
  leat_free(reader.contents);
  leat_zip_close(&reader.zip);
  return status;
}

leat_status_t leat_pt_read(const char *path, leat_tensors_t **out_tensors) {
  return leat_tensors_read(path, parse, out_tensors);
}

leat_status_t leat_pt_read_memory(const void *data, size_t bytes, const char *name, leat_tensors_t **out_tensors) {
  return leat_tensors_read_memory(data, bytes, name, parse, out_tensors);
}
