// SPDX-License-Identifier: Apache-2.0
// See safetensors.h. JSON by cJSON; numbers above 2^53 are refused, as it holds them as doubles.
#include "io/safetensors.h"

#include <cjson/cJSON.h>
#include <inttypes.h>

enum { LENGTH_BYTES = 8, HEADER_BYTES_MAX = 100 << 20, ALIGNMENT = 8 };

static const struct {
  const char *name;
  uint32_t dtype;
} dtype_names[] = {
    {"F32", LEAT_DTYPE_F32}, {"F64", LEAT_DTYPE_F64},   {"BF16", LEAT_DTYPE_BF16}, {"F16", LEAT_DTYPE_F16},
    {"I8", LEAT_DTYPE_I8},   {"U8", LEAT_DTYPE_U8},     {"I16", LEAT_DTYPE_I16},   {"I32", LEAT_DTYPE_I32},
    {"I64", LEAT_DTYPE_I64}, {"BOOL", LEAT_DTYPE_BOOL},
};
enum { DTYPE_NAME_COUNT = sizeof dtype_names / sizeof *dtype_names };

typedef struct safetensors_body_s {
  const uint8_t *data;  // behind the header
  size_t bytes;
} safetensors_body_t;

static leat_status_t damaged(const char *what) {
  return leat_status_make(LEAT_CORRUPT, "%s; the file is damaged or not a .safetensors file", what);
}

// --- one tensor --------------------------------------------------------------------------------------------------

static bool to_integer(const cJSON *node, int64_t *out_value) {
  const double limit = 9007199254740992.0;  // 2^53
  if (!cJSON_IsNumber(node) || !(node->valuedouble >= 0 && node->valuedouble <= limit)) return false;
  *out_value = (int64_t)node->valuedouble;
  return (double)*out_value == node->valuedouble;
}

static leat_status_t parse_dtype(const cJSON *node, uint32_t *out_dtype) {
  if (!cJSON_IsString(node)) return damaged("a tensor has no dtype");
  for (uint32_t i = 0; i < DTYPE_NAME_COUNT; ++i) {
    if (strcmp(dtype_names[i].name, node->valuestring) != 0) continue;
    *out_dtype = dtype_names[i].dtype;
    return NULL;
  }
  LEAT_FAIL(LEAT_UNSUPPORTED, "dtype '%s' is not read; convert to F32 or BF16",
            leat_io_shown(node->valuestring, strlen(node->valuestring)).text);
}

static leat_status_t parse_shape(const cJSON *node, leat_io_tensor_t *tensor) {
  const cJSON *dim = NULL;
  if (!cJSON_IsArray(node)) return damaged("a tensor has no shape");
  cJSON_ArrayForEach(dim, node) {
    if (tensor->rank == LEAT_MAX_RANK) LEAT_FAIL(LEAT_UNSUPPORTED, "it has more than %d dimensions", LEAT_MAX_RANK);
    if (!to_integer(dim, &tensor->dims[tensor->rank])) return damaged("a shape is not made of sizes");
    ++tensor->rank;
  }
  return NULL;
}

static leat_status_t parse_tensor(const cJSON *node, const safetensors_body_t *body, leat_tensors_t *tensors) {
  leat_io_tensor_t tensor = {.name = node->string};
  const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(node, "data_offsets");
  LEAT_TRY(parse_dtype(cJSON_GetObjectItemCaseSensitive(node, "dtype"), &tensor.dtype));
  LEAT_TRY(parse_shape(cJSON_GetObjectItemCaseSensitive(node, "shape"), &tensor));
  int64_t begin = 0, end = 0;
  if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 || !to_integer(offsets->child, &begin) ||
      !to_integer(offsets->child->next, &end)) {
    return damaged("data_offsets are not two sizes");
  }
  if (!leat_io_tensor_bytes(tensor.dtype, tensor.rank, tensor.dims, &tensor.data_bytes) || begin > end ||
      (uint64_t)end > body->bytes || (uint64_t)(end - begin) != tensor.data_bytes) {
    LEAT_FAIL(LEAT_CORRUPT, "bytes %" PRId64 " to %" PRId64 " of %zu do not fit dtype and shape; the file is damaged",
              begin, end, body->bytes);
  }
  tensor.data = body->data + begin;
  return leat_tensors_add(tensors, &tensor);
}

// --- the file ----------------------------------------------------------------------------------------------------

static leat_status_t parse_members(const cJSON *root, const safetensors_body_t *body, leat_tensors_t *tensors) {
  const cJSON *node = NULL;
  if (!cJSON_IsObject(root)) return damaged("the header is not a JSON object");
  cJSON_ArrayForEach(node, root) {
    if (strcmp(node->string, "__metadata__") == 0) continue;
    if (!cJSON_IsObject(node)) return damaged("a member of the header is not an object");
    LEAT_TRY(leat_status_annotate(parse_tensor(node, body, tensors), "tensor '%s'",
                                  leat_io_shown(node->string, strlen(node->string)).text));
  }
  return NULL;
}

static leat_status_t parse(const uint8_t *data, size_t bytes, leat_tensors_t *tensors) {
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < LENGTH_BYTES && i < bytes; ++i) header_bytes |= (uint64_t)data[i] << (8 * i);
  if (bytes < LENGTH_BYTES || header_bytes > HEADER_BYTES_MAX || header_bytes > bytes - LENGTH_BYTES) {
    return damaged("the header is longer than the file");
  }
  const safetensors_body_t body = {data + LENGTH_BYTES + header_bytes, bytes - LENGTH_BYTES - header_bytes};
  tensors->copy_limit = bytes;  // ranges do not overlap in a sound file
  cJSON *root = cJSON_ParseWithLength((const char *)data + LENGTH_BYTES, header_bytes);
  leat_status_t status = parse_members(root, &body, tensors);
  cJSON_Delete(root);
  return status;
}

leat_status_t leat_safetensors_read(const char *path, leat_tensors_t **out_tensors) {
  return leat_tensors_read(path, parse, out_tensors);
}

leat_status_t leat_safetensors_read_memory(const void *data, size_t bytes, const char *name,
                                           leat_tensors_t **out_tensors) {
  return leat_tensors_read_memory(data, bytes, name, parse, out_tensors);
}

// --- writing -----------------------------------------------------------------------------------------------------

static const char *dtype_name(uint32_t dtype) {
  for (uint32_t i = 0; i < DTYPE_NAME_COUNT; ++i) {
    if (dtype_names[i].dtype == dtype) return dtype_names[i].name;
  }
  return "?";
}

static void put_header(leat_text_t *text, const leat_io_tensor_t *tensors, uint32_t count) {
  size_t begin = 0;
  leat_text_put_bytes(text, "\0\0\0\0\0\0\0\0", LENGTH_BYTES);
  leat_text_put(text, "{");
  for (uint32_t i = 0; i < count; ++i) {
    if (i != 0) leat_text_put(text, ",");
    leat_text_put_json_string(text, tensors[i].name);
    leat_text_put(text, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(tensors[i].dtype));
    for (uint32_t d = 0; d < tensors[i].rank; ++d)
      leat_text_put(text, "%s%" PRId64, d == 0 ? "" : ",", tensors[i].dims[d]);
    leat_text_put(text, "],\"data_offsets\":[%zu,%zu]}", begin, begin + tensors[i].data_bytes);
    begin += tensors[i].data_bytes;
  }
  leat_text_put(text, "}");
  while (!text->failed && text->length % ALIGNMENT != 0) leat_text_put_bytes(text, " ", 1);
  if (text->failed) return;
  const uint64_t header_bytes = text->length - LENGTH_BYTES;
  for (uint32_t i = 0; i < LENGTH_BYTES; ++i) text->data[i] = (char)(header_bytes >> (8 * i) & 0xff);
}

leat_status_t leat_safetensors_write(const char *path, const leat_io_tensor_t *tensors, uint32_t count) {
  leat_text_t file = {0};
  put_header(&file, tensors, count);
  for (uint32_t i = 0; i < count; ++i) leat_text_put_bytes(&file, tensors[i].data, tensors[i].data_bytes);
  leat_status_t status = file.failed ? leat_status_make(LEAT_OUT_OF_MEMORY, "%s: out of memory", path)
                                     : leat_file_write_atomic(path, file.data, file.length);
  leat_text_deinit(&file);
  return status;
}
