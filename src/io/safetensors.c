// SPDX-License-Identifier: Apache-2.0
// See safetensors.h. The header is read in one pass without a tree: time and memory follow its length.
#include "io/safetensors.h"

#include <inttypes.h>

#include "io/json_scan.h"

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

typedef struct safetensors_reader_s {
  leat_json_scan_t scan;
  const uint8_t *data;  // behind the header
  size_t bytes;
  leat_text_t name, text;  // of the tensor at hand; of the field at hand
  leat_tensors_t *tensors;
} safetensors_reader_t;

static leat_status_t damaged(const char *what) {
  return leat_status_make(LEAT_CORRUPT, "%s; the file is damaged or not a .safetensors file", what);
}

// --- one tensor --------------------------------------------------------------------------------------------------

static leat_status_t read_dtype(safetensors_reader_t *r, uint32_t *out_dtype) {
  if (!leat_json_string(&r->scan, &r->text)) return damaged("a tensor has no dtype");
  for (uint32_t i = 0; i < DTYPE_NAME_COUNT; ++i) {
    if (strcmp(dtype_names[i].name, r->text.data) != 0) continue;
    *out_dtype = dtype_names[i].dtype;
    return NULL;
  }
  LEAT_FAIL(LEAT_UNSUPPORTED, "dtype '%s' is not read; convert to F32 or BF16",
            leat_io_shown(r->text.data, r->text.length).text);
}

// Sizes in brackets, at most `most`.
static leat_status_t read_sizes(safetensors_reader_t *r, const char *what, int64_t *out, uint32_t most,
                                uint32_t *out_count) {
  *out_count = 0;
  if (!leat_json_mark(&r->scan, '[')) return damaged(what);
  if (leat_json_mark(&r->scan, ']')) return NULL;
  do {
    if (*out_count == most) LEAT_FAIL(LEAT_UNSUPPORTED, "it has more than %u dimensions or offsets", most);
    if (!leat_json_size(&r->scan, &out[*out_count])) return damaged(what);
    ++*out_count;
  } while (leat_json_mark(&r->scan, ','));
  return leat_json_mark(&r->scan, ']') ? NULL : damaged(what);
}

enum { FIELD_DTYPE = 1, FIELD_SHAPE = 2, FIELD_OFFSETS = 4 };

static uint32_t field_of(const char *name) {
  if (strcmp(name, "dtype") == 0) return FIELD_DTYPE;
  if (strcmp(name, "shape") == 0) return FIELD_SHAPE;
  return strcmp(name, "data_offsets") == 0 ? FIELD_OFFSETS : 0;
}

// The fields of a tensor, in any order; what else there is is passed over.
static leat_status_t read_fields(safetensors_reader_t *r, leat_io_tensor_t *tensor, int64_t offsets[2]) {
  uint32_t seen = 0, count = 0;
  if (!leat_json_mark(&r->scan, '{')) return damaged("a member of the header is not an object");
  bool more = !leat_json_mark(&r->scan, '}');
  while (more) {
    if (!leat_json_string(&r->scan, &r->text) || !leat_json_mark(&r->scan, ':')) return damaged("a field has no name");
    const uint32_t field = field_of(r->text.data);
    if ((seen & field) != 0) return damaged("a field is there twice");
    seen |= field;
    if (field == FIELD_DTYPE) LEAT_TRY(read_dtype(r, &tensor->dtype));
    if (field == FIELD_SHAPE) {
      LEAT_TRY(read_sizes(r, "a shape is not made of sizes", tensor->dims, LEAT_MAX_RANK, &tensor->rank));
    }
    if (field == FIELD_OFFSETS) {
      LEAT_TRY(read_sizes(r, "data_offsets are not two sizes", offsets, 2, &count));
      if (count != 2) return damaged("data_offsets are not two sizes");
    }
    if (field == 0 && !leat_json_skip(&r->scan)) return damaged("a field is malformed");
    more = leat_json_mark(&r->scan, ',');
    if (!more && !leat_json_mark(&r->scan, '}')) return damaged("a member of the header does not end");
  }
  if ((seen & FIELD_DTYPE) == 0) return damaged("a tensor has no dtype");
  if ((seen & FIELD_SHAPE) == 0) return damaged("a tensor has no shape");
  return (seen & FIELD_OFFSETS) != 0 ? NULL : damaged("data_offsets are not two sizes");
}

static leat_status_t read_tensor(safetensors_reader_t *r) {
  leat_io_tensor_t tensor = {.name = r->name.data};
  int64_t offsets[2] = {0};
  LEAT_TRY(read_fields(r, &tensor, offsets));
  const int64_t begin = offsets[0], end = offsets[1];
  if (!leat_io_tensor_bytes(tensor.dtype, tensor.rank, tensor.dims, &tensor.data_bytes) || begin > end ||
      (uint64_t)end > r->bytes || (uint64_t)(end - begin) != tensor.data_bytes) {
    LEAT_FAIL(LEAT_CORRUPT, "bytes %" PRId64 " to %" PRId64 " of %zu do not fit dtype and shape; the file is damaged",
              begin, end, r->bytes);
  }
  tensor.data = r->data + begin;
  return leat_tensors_add(r->tensors, &tensor);
}

// --- the file ----------------------------------------------------------------------------------------------------

static leat_status_t read_member(safetensors_reader_t *r) {
  if (!leat_json_string(&r->scan, &r->name) || !leat_json_mark(&r->scan, ':')) {
    return damaged("a member of the header has no name");
  }
  if (strcmp(r->name.data, "__metadata__") == 0) {
    return leat_json_skip(&r->scan) ? NULL : damaged("the metadata are malformed");
  }
  return leat_status_annotate(read_tensor(r), "tensor '%s'", leat_io_shown(r->name.data, r->name.length).text);
}

static leat_status_t read_members(safetensors_reader_t *r) {
  if (!leat_json_mark(&r->scan, '{')) return damaged("the header is not a JSON object");
  bool more = !leat_json_mark(&r->scan, '}');
  while (more) {
    leat_status_t status = read_member(r);
    if (r->name.failed || r->text.failed) {
      leat_status_free(status);
      return leat_out_of_memory();
    }
    if (status != NULL) return status;
    more = leat_json_mark(&r->scan, ',');
    if (!more && !leat_json_mark(&r->scan, '}')) return damaged("the header does not end");
  }
  return leat_json_end(&r->scan) ? NULL : damaged("something follows the header's object");
}

static leat_status_t parse(const uint8_t *data, size_t bytes, leat_tensors_t *tensors) {
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < LENGTH_BYTES && i < bytes; ++i) header_bytes |= (uint64_t)data[i] << (8 * i);
  if (bytes < LENGTH_BYTES || header_bytes > HEADER_BYTES_MAX || header_bytes > bytes - LENGTH_BYTES) {
    return damaged("the header is longer than the file");
  }
  const char *header = (const char *)data + LENGTH_BYTES;
  safetensors_reader_t reader = {.scan = {header, header + header_bytes},
                                 .data = data + LENGTH_BYTES + header_bytes,
                                 .bytes = bytes - LENGTH_BYTES - header_bytes,
                                 .tensors = tensors};
  tensors->copy_limit = bytes;  // ranges do not overlap in a sound file
  leat_status_t status = read_members(&reader);
  leat_text_deinit(&reader.name);
  leat_text_deinit(&reader.text);
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
