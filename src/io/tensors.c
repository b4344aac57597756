// SPDX-License-Identifier: Apache-2.0
// See tensors.h.
#include "io/tensors.h"

#include <stdlib.h>

static const struct {
  const char *name;
  size_t bytes;
} dtypes[] = {
#define DTYPE(suffix, name, bytes, class_letter) [LEAT_DTYPE_##suffix] = {name, bytes},
#include "ir/dtype.def"
#undef DTYPE
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof *dtypes };

size_t leat_io_dtype_bytes(uint32_t dtype) { return dtype < DTYPE_COUNT ? dtypes[dtype].bytes : 0; }
const char *leat_io_dtype_name(uint32_t dtype) { return dtype < DTYPE_COUNT ? dtypes[dtype].name : "?"; }

leat_io_shown_t leat_io_shown(const char *text, size_t length) {
  leat_io_shown_t shown = {{0}};
  for (size_t i = 0; i < length && i < sizeof shown.text - 1; ++i) {
    shown.text[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
  }
  return shown;
}

leat_tensors_t *leat_tensors_create(void) {
  leat_tensors_t *tensors = leat_alloc_zero(1, sizeof *tensors);
  if (tensors != NULL) leat_arena_init(&tensors->names);
  return tensors;
}

void leat_tensors_destroy(leat_tensors_t *tensors) {
  if (tensors == NULL) return;
  for (uint32_t i = 0; i < tensors->buffers.count; ++i) leat_free(tensors->buffers.data[i]);
  leat_array_free(&tensors->buffers);
  leat_array_free(&tensors->items);
  leat_arena_deinit(&tensors->names);
  leat_file_unmap(&tensors->mapping);
  leat_free(tensors);
}

const leat_io_tensor_t *leat_tensors_find(const leat_tensors_t *tensors, const char *name) {
  for (uint32_t i = 0; i < tensors->items.count; ++i) {
    if (strcmp(tensors->items.data[i].name, name) == 0) return &tensors->items.data[i];
  }
  return NULL;
}

leat_status_t leat_tensors_adopt(leat_tensors_t *tensors, void *buffer) {
  void **slot = leat_array_push(&tensors->buffers);
  if (slot == NULL) {
    leat_free(buffer);
    return leat_out_of_memory();
  }
  *slot = buffer;
  return NULL;
}

leat_status_t leat_tensors_buffer(leat_tensors_t *tensors, size_t bytes, void **out_buffer) {
  if (tensors->copy_limit != 0 && bytes > tensors->copy_limit - tensors->copied_bytes) {
    LEAT_FAIL(LEAT_UNSUPPORTED, "its views need more than %zu bytes of copies; save contiguous tensors",
              tensors->copy_limit);
  }
  void *buffer = leat_alloc(bytes == 0 ? 1 : bytes);
  if (buffer == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %zu bytes", bytes);
  tensors->copied_bytes += bytes;
  *out_buffer = buffer;
  return leat_tensors_adopt(tensors, buffer);
}

leat_status_t leat_tensors_add(leat_tensors_t *tensors, const leat_io_tensor_t *tensor) {
  leat_io_tensor_t copy = *tensor;
  tensors->name_bytes += strlen(tensor->name) + 1;
  if (tensors->name_limit != 0 && tensors->name_bytes > tensors->name_limit) {
    LEAT_FAIL(LEAT_UNSUPPORTED, "the names of its tensors take more than %zu bytes, far more than the file",
              tensors->name_limit);
  }
  copy.name = leat_arena_strdup(&tensors->names, tensor->name, strlen(tensor->name));
  if (copy.name == NULL) return leat_out_of_memory();
  if ((uintptr_t)tensor->data % leat_io_dtype_bytes(tensor->dtype) != 0) {
    void *data = NULL;
    LEAT_TRY(leat_tensors_buffer(tensors, tensor->data_bytes, &data));
    if (tensor->data_bytes != 0) memcpy(data, tensor->data, tensor->data_bytes);
    copy.data = data;
  }
  leat_io_tensor_t *item = leat_array_push(&tensors->items);
  if (item == NULL) return leat_out_of_memory();
  *item = copy;
  return NULL;
}

static int compare_names(const void *left, const void *right) {
  const char *const *a = left, *const *b = right;
  return strcmp(*a, *b);
}

leat_status_t leat_tensors_check_unique(const leat_tensors_t *tensors) {
  const uint32_t count = tensors->items.count;
  const char **names = leat_alloc_zero((size_t)count + 1, sizeof *names);
  if (names == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < count; ++i) names[i] = tensors->items.data[i].name;
  qsort(names, count, sizeof *names, compare_names);
  leat_status_t status = NULL;
  for (uint32_t i = 1; i < count && status == NULL; ++i) {
    if (strcmp(names[i - 1], names[i]) == 0)
      status =
          leat_status_make(LEAT_CORRUPT, "two tensors are called '%s'", leat_io_shown(names[i], strlen(names[i])).text);
  }
  leat_free(names);
  return status;
}

bool leat_io_tensor_bytes(uint32_t dtype, uint32_t rank, const int64_t *dims, size_t *out_bytes) {
  size_t bytes = leat_io_dtype_bytes(dtype);
  if (bytes == 0 || rank > LEAT_MAX_RANK) return false;
  bool empty = false;
  for (uint32_t i = 0; i < rank; ++i) {
    if (dims[i] < 0) return false;
    empty |= dims[i] == 0;
    if (dims[i] != 0 && !leat_size_mul(bytes, (size_t)dims[i], &bytes)) return false;
  }
  if (bytes > PTRDIFF_MAX) return false;
  *out_bytes = empty ? 0 : bytes;
  return true;
}

static leat_status_t finish(leat_tensors_t *tensors, const uint8_t *data, size_t bytes, const char *name,
                            leat_io_parse_fn parse, leat_tensors_t **out_tensors) {
  leat_status_t status = parse(data, bytes, tensors);
  if (status == NULL) status = leat_tensors_check_unique(tensors);
  if (status != NULL) {
    leat_tensors_destroy(tensors);
    return leat_status_annotate(status, "%s", name);
  }
  *out_tensors = tensors;
  return NULL;
}

leat_status_t leat_tensors_read(const char *path, leat_io_parse_fn parse, leat_tensors_t **out_tensors) {
  *out_tensors = NULL;
  leat_tensors_t *tensors = leat_tensors_create();
  if (tensors == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "%s: out of memory", path);
  leat_status_t status = leat_file_map(path, &tensors->mapping);
  if (status != NULL) {
    leat_tensors_destroy(tensors);
    return status;
  }
  return finish(tensors, tensors->mapping.data, tensors->mapping.data_bytes, path, parse, out_tensors);
}

leat_status_t leat_tensors_read_memory(const void *data, size_t bytes, const char *name, leat_io_parse_fn parse,
                                       leat_tensors_t **out_tensors) {
  *out_tensors = NULL;
  leat_tensors_t *tensors = leat_tensors_create();
  if (tensors == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "%s: out of memory", name);
  return finish(tensors, data, bytes, name, parse, out_tensors);
}
