// SPDX-License-Identifier: Apache-2.0
// See pt_legacy.h.
#include "io/pt_legacy.h"

#include <stdlib.h>

#include "io/tensors.h"

static const uint8_t magic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46};

bool leat_pt_legacy_is(const uint8_t *data, size_t bytes) {
  return bytes >= sizeof magic && memcmp(data, magic, sizeof magic) == 0;
}

// --- the pickles -------------------------------------------------------------------------------------------------

// The next pickle of the file; *at is moved behind it.
static leat_status_t next_pickle(const uint8_t *data, size_t bytes, size_t *at, const char *what,
                                 leat_pickle_t **out_pickle) {
  const size_t left = bytes - *at;
  LEAT_TRY(leat_status_annotate(leat_pickle_read(data + *at, left < UINT32_MAX ? left : UINT32_MAX - 1,
                                                 leat_pickle_memory_max(bytes), out_pickle),
                                "%s, at byte %zu", what, *at));
  *at += (*out_pickle)->bytes;
  return NULL;
}

static leat_status_t skip_pickle(const uint8_t *data, size_t bytes, size_t *at, const char *what) {
  leat_pickle_t *pickle = NULL;
  LEAT_TRY(next_pickle(data, bytes, at, what, &pickle));
  leat_pickle_destroy(pickle);
  return NULL;
}

static bool is_text(const leat_pickle_value_t *value, const char *text) {
  return value->kind == LEAT_PICKLE_STRING && value->text.length == strlen(text) &&
         memcmp(value->text.data, text, value->text.length) == 0;
}

static leat_status_t check_machine(const leat_pickle_t *facts) {
  const leat_pickle_value_t *values = facts->values.data, *root = &values[facts->root];
  if (root->kind != LEAT_PICKLE_DICT) LEAT_FAIL(LEAT_CORRUPT, "the facts of the machine are no dictionary");
  for (uint32_t i = 0; i < root->items.count; i += 2) {
    if (!is_text(&values[root->items.data[i]], "little_endian")) continue;
    if (values[root->items.data[i + 1]].integer != 0) return NULL;
    LEAT_FAIL(LEAT_UNSUPPORTED, "saved on a big-endian machine; save it again on a little-endian one");
  }
  return NULL;
}

// --- storages ----------------------------------------------------------------------------------------------------

static int compare_keys(const leat_pt_storage_t *a, const char *key, size_t key_bytes) {
  const size_t common = a->key_bytes < key_bytes ? a->key_bytes : key_bytes;
  const int order = common == 0 ? 0 : memcmp(a->key, key, common);
  return order != 0 ? order : (a->key_bytes > key_bytes) - (a->key_bytes < key_bytes);
}

static int compare_storages(const void *a, const void *b) {
  const leat_pt_storage_t *second = b;
  return compare_keys(a, second->key, second->key_bytes);
}

// The storages that the object's tensors lie in, each once.
static leat_status_t collect_storages(leat_pt_legacy_t *file) {
  for (uint32_t i = 0; i < file->object->values.count; ++i) {
    const leat_pickle_value_t *value = &file->object->values.data[i];
    if (value->kind != LEAT_PICKLE_STORAGE) continue;
    leat_pt_storage_t *storage = leat_array_push(&file->storages);
    if (storage == NULL) return leat_out_of_memory();
    *storage = (leat_pt_storage_t){.key = value->text.data, .key_bytes = value->text.length, .dtype = value->dtype};
  }
  if (file->storages.count == 0) return NULL;
  qsort(file->storages.data, file->storages.count, sizeof *file->storages.data, compare_storages);
  uint32_t kept = 1;
  for (uint32_t i = 1; i < file->storages.count; ++i) {
    const leat_pt_storage_t *storage = &file->storages.data[i], *last = &file->storages.data[kept - 1];
    if (compare_storages(last, storage) != 0) {
      file->storages.data[kept++] = *storage;
    } else if (last->dtype != storage->dtype) {
      LEAT_FAIL(LEAT_CORRUPT, "storage '%s' has two dtypes", leat_io_shown(storage->key, storage->key_bytes).text);
    }
  }
  file->storages.count = kept;
  return NULL;
}

// The storage that begins at *at, which is moved behind it.
static leat_status_t place_storage(leat_pt_storage_t *storage, const uint8_t *data, size_t bytes, size_t *at) {
  uint64_t count = 0;
  size_t size = 0;
  if (bytes - *at >= sizeof count) memcpy(&count, data + *at, sizeof count);
  const bool fits = bytes - *at >= sizeof count && count <= INT64_MAX &&
                    leat_size_mul((size_t)count, leat_io_dtype_bytes(storage->dtype), &size) &&
                    size <= bytes - *at - sizeof count;
  if (!fits || storage->data != NULL) {
    LEAT_FAIL(LEAT_CORRUPT, "storage '%s' at byte %zu reaches over the end of the file or comes twice",
              leat_io_shown(storage->key, storage->key_bytes).text, *at);
  }
  storage->data = data + *at + sizeof count;
  storage->count = (int64_t)count;
  *at += sizeof count + size;
  return NULL;
}

static leat_status_t place_storages(leat_pt_legacy_t *file, const leat_pickle_t *keys, const uint8_t *data,
                                    size_t bytes, size_t at) {
  const leat_pickle_value_t *list = &keys->values.data[keys->root];
  if (list->kind != LEAT_PICKLE_LIST) LEAT_FAIL(LEAT_CORRUPT, "the keys of the storages are no list");
  for (uint32_t i = 0; i < list->items.count; ++i) {
    const leat_pickle_value_t *key = &keys->values.data[list->items.data[i]];
    const bool is_string = key->kind == LEAT_PICKLE_STRING;
    const leat_pt_storage_t *storage = is_string ? leat_pt_legacy_find(file, key->text.data, key->text.length) : NULL;
    if (storage == NULL) LEAT_FAIL(LEAT_CORRUPT, "key %u of the storages belongs to no tensor", i);
    LEAT_TRY(place_storage(&file->storages.data[storage - file->storages.data], data, bytes, &at));
  }
  return NULL;
}

// --- the whole ---------------------------------------------------------------------------------------------------

leat_status_t leat_pt_legacy_open(const uint8_t *data, size_t bytes, leat_pt_legacy_t *out_file) {
  *out_file = (leat_pt_legacy_t){0};
  size_t at = 0;
  leat_pickle_t *pickle = NULL;
  LEAT_TRY(skip_pickle(data, bytes, &at, "magic number"));
  LEAT_TRY(skip_pickle(data, bytes, &at, "version"));
  LEAT_TRY(next_pickle(data, bytes, &at, "facts of the machine", &pickle));
  leat_status_t status = check_machine(pickle);
  leat_pickle_destroy(pickle);
  if (status != NULL) return status;
  LEAT_TRY(next_pickle(data, bytes, &at, "the object", &out_file->object));
  LEAT_TRY(collect_storages(out_file));
  LEAT_TRY(next_pickle(data, bytes, &at, "keys of the storages", &pickle));
  status = place_storages(out_file, pickle, data, bytes, at);
  leat_pickle_destroy(pickle);
  return status;
}

void leat_pt_legacy_close(leat_pt_legacy_t *file) {
  leat_pickle_destroy(file->object);
  leat_array_free(&file->storages);
  *file = (leat_pt_legacy_t){0};
}

const leat_pt_storage_t *leat_pt_legacy_find(const leat_pt_legacy_t *file, const char *key, size_t key_bytes) {
  uint32_t low = 0, high = file->storages.count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    const int order = compare_keys(&file->storages.data[middle], key, key_bytes);
    if (order == 0) return &file->storages.data[middle];
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return NULL;
}
