// SPDX-License-Identifier: Apache-2.0
// See npy.h. The header is a Python dictionary literal with exactly the keys 'descr', 'fortran_order' and 'shape'; a
// small scanner reads just that.
#include "io/npy.h"

#include <inttypes.h>

static const char magic[] = "\x93NUMPY";
enum { MAGIC_BYTES = 6, PREFIX_V1 = 10, PREFIX_V2 = 12, ALIGNMENT = 64 };

static const struct {
  const char *descr;
  uint32_t dtype;
} descriptions[] = {
    {"<f4", LEAT_DTYPE_F32}, {"<f8", LEAT_DTYPE_F64}, {"<f2", LEAT_DTYPE_F16},
    {"|i1", LEAT_DTYPE_I8},  {"|u1", LEAT_DTYPE_U8},  {"<i2", LEAT_DTYPE_I16},
    {"<i4", LEAT_DTYPE_I32}, {"<i8", LEAT_DTYPE_I64}, {"|b1", LEAT_DTYPE_BOOL},
};
enum { DESCRIPTION_COUNT = sizeof descriptions / sizeof *descriptions };

typedef struct npy_header_s {
  leat_io_tensor_t tensor;
  bool fortran;
  uint32_t seen;  // bit per key
} npy_header_t;

typedef struct npy_scanner_s {
  const char *at, *end;
} npy_scanner_t;

static leat_status_t damaged(void) {
  return leat_status_make(LEAT_CORRUPT, "the .npy header is damaged; write the file again with numpy.save");
}

// --- scanner -----------------------------------------------------------------------------------------------------

static void skip_space(npy_scanner_t *scanner) {
  while (scanner->at < scanner->end && (*scanner->at == ' ' || *scanner->at == '\n')) ++scanner->at;
}

static bool accept(npy_scanner_t *scanner, const char *token) {
  skip_space(scanner);
  const size_t length = strlen(token);
  if ((size_t)(scanner->end - scanner->at) < length || memcmp(scanner->at, token, length) != 0) return false;
  scanner->at += length;
  return true;
}

// A quoted string without escapes.
static bool accept_string(npy_scanner_t *scanner, const char **out_text, size_t *out_length) {
  skip_space(scanner);
  if (scanner->at >= scanner->end || (*scanner->at != '\'' && *scanner->at != '"')) return false;
  const char *start = scanner->at + 1;
  const char *close = memchr(start, *scanner->at, (size_t)(scanner->end - start));
  if (close == NULL) return false;
  *out_text = start;
  *out_length = (size_t)(close - start);
  scanner->at = close + 1;
  return true;
}

static bool accept_integer(npy_scanner_t *scanner, int64_t *out_value) {
  skip_space(scanner);
  const char *start = scanner->at;
  int64_t value = 0;
  for (; scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9'; ++scanner->at) {
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *scanner->at - '0', &value)) {
      return false;
    }
  }
  *out_value = value;
  return scanner->at != start;
}

// --- header ------------------------------------------------------------------------------------------------------

static leat_status_t parse_descr(npy_scanner_t *scanner, npy_header_t *header) {
  const char *text = NULL;
  size_t length = 0;
  if (!accept_string(scanner, &text, &length)) {
    LEAT_FAIL(LEAT_UNSUPPORTED, "a .npy file of records; save one plain array");
  }
  for (uint32_t i = 0; i < DESCRIPTION_COUNT; ++i) {
    if (strlen(descriptions[i].descr) != length || memcmp(descriptions[i].descr, text, length) != 0) continue;
    header->tensor.dtype = descriptions[i].dtype;
    return NULL;
  }
  LEAT_FAIL(LEAT_UNSUPPORTED, "NumPy dtype '%s' is not read; convert to float32, int64 or another plain dtype",
            leat_io_shown(text, length).text);
}

static leat_status_t parse_order(npy_scanner_t *scanner, npy_header_t *header) {
  header->fortran = accept(scanner, "True");
  return header->fortran || accept(scanner, "False") ? NULL : damaged();
}

static leat_status_t parse_shape(npy_scanner_t *scanner, npy_header_t *header) {
  if (!accept(scanner, "(")) return damaged();
  while (!accept(scanner, ")")) {
    if (header->tensor.rank == LEAT_MAX_RANK) {
      LEAT_FAIL(LEAT_UNSUPPORTED, "an array of more than %d dimensions", LEAT_MAX_RANK);
    }
    if (!accept_integer(scanner, &header->tensor.dims[header->tensor.rank])) return damaged();
    ++header->tensor.rank;
    if (accept(scanner, ",")) continue;
    if (!accept(scanner, ")")) return damaged();
    break;
  }
  return NULL;
}

static const struct {
  const char *key;
  leat_status_t (*parse)(npy_scanner_t *scanner, npy_header_t *header);
} keys[] = {{"descr", parse_descr}, {"fortran_order", parse_order}, {"shape", parse_shape}};
enum { KEY_COUNT = sizeof keys / sizeof *keys };

static leat_status_t parse_member(npy_scanner_t *scanner, npy_header_t *header) {
  const char *key = NULL;
  size_t length = 0;
  if (!accept_string(scanner, &key, &length) || !accept(scanner, ":")) return damaged();
  for (uint32_t i = 0; i < KEY_COUNT; ++i) {
    if (strlen(keys[i].key) != length || memcmp(keys[i].key, key, length) != 0) continue;
    if ((header->seen >> i & 1) != 0) return damaged();
    header->seen |= 1u << i;
    return keys[i].parse(scanner, header);
  }
  return damaged();
}

static leat_status_t parse_header(npy_scanner_t *scanner, npy_header_t *header) {
  if (!accept(scanner, "{")) return damaged();
  while (!accept(scanner, "}")) {
    LEAT_TRY(parse_member(scanner, header));
    if (accept(scanner, ",")) continue;
    if (!accept(scanner, "}")) return damaged();
    break;
  }
  return header->seen == (1u << KEY_COUNT) - 1 ? NULL : damaged();
}

// --- data --------------------------------------------------------------------------------------------------------

// Row-major copy of a column-major array.
static leat_status_t convert_order(leat_tensors_t *tensors, leat_io_tensor_t *tensor) {
  const size_t element_bytes = leat_io_dtype_bytes(tensor->dtype);
  void *copy = NULL;
  LEAT_TRY(leat_tensors_buffer(tensors, tensor->data_bytes, &copy));
  size_t strides[LEAT_MAX_RANK], stride = element_bytes, at = 0;
  int64_t index[LEAT_MAX_RANK] = {0};
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    strides[d] = stride;
    stride *= (size_t)tensor->dims[d];
  }
  for (size_t done = 0; done < tensor->data_bytes; done += element_bytes) {
    memcpy((char *)copy + done, (const char *)tensor->data + at, element_bytes);
    for (uint32_t d = tensor->rank; d > 0; --d) {
      at += strides[d - 1];
      if (++index[d - 1] < tensor->dims[d - 1]) break;
      at -= strides[d - 1] * (size_t)tensor->dims[d - 1];
      index[d - 1] = 0;
    }
  }
  tensor->data = copy;
  return NULL;
}

// Bytes before the header text, and the length of that text.
static leat_status_t parse_prefix(const uint8_t *data, size_t bytes, size_t *out_prefix, size_t *out_length) {
  if (bytes < MAGIC_BYTES || memcmp(data, magic, MAGIC_BYTES) != 0) {
    LEAT_FAIL(LEAT_CORRUPT, "not a .npy file; give a file of numpy.save");
  }
  if (bytes < PREFIX_V2) return damaged();
  const uint32_t version = data[6];
  if (version < 1 || version > 3) LEAT_FAIL(LEAT_UNSUPPORTED, ".npy version %u; versions 1 to 3 are read", version);
  *out_prefix = version == 1 ? PREFIX_V1 : PREFIX_V2;
  *out_length = (size_t)data[8] | (size_t)data[9] << 8;
  if (version > 1) *out_length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
  return *out_length <= bytes - *out_prefix ? NULL : damaged();
}

static leat_status_t parse(const uint8_t *data, size_t bytes, leat_tensors_t *tensors) {
  size_t prefix = 0, length = 0, needed = 0;
  LEAT_TRY(parse_prefix(data, bytes, &prefix, &length));
  npy_header_t header = {.tensor = {.name = ""}};
  npy_scanner_t scanner = {(const char *)data + prefix, (const char *)data + prefix + length};
  LEAT_TRY(parse_header(&scanner, &header));
  leat_io_tensor_t *tensor = &header.tensor;
  const size_t left = bytes - prefix - length;
  if (!leat_io_tensor_bytes(tensor->dtype, tensor->rank, tensor->dims, &needed) || needed != left) {
    LEAT_FAIL(LEAT_CORRUPT, "%zu bytes of data do not fit the shape of the .npy header; the file is cut off or damaged",
              left);
  }
  tensor->data = data + prefix + length;
  tensor->data_bytes = needed;
  if (header.fortran && tensor->rank > 1 && needed != 0) LEAT_TRY(convert_order(tensors, tensor));
  return leat_tensors_add(tensors, tensor);
}

leat_status_t leat_npy_read(const char *path, leat_tensors_t **out_tensors) {
  return leat_tensors_read(path, parse, out_tensors);
}

leat_status_t leat_npy_read_memory(const void *data, size_t bytes, const char *name, leat_tensors_t **out_tensors) {
  return leat_tensors_read_memory(data, bytes, name, parse, out_tensors);
}

// --- writing -----------------------------------------------------------------------------------------------------

static void put_header(leat_text_t *text, const char *descr, const leat_io_tensor_t *tensor) {
  leat_text_put_bytes(text, magic, MAGIC_BYTES);
  leat_text_put_bytes(text, "\x01\x00\x00\x00", PREFIX_V1 - MAGIC_BYTES);  // version 1.0; the length comes last
  leat_text_put(text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (uint32_t i = 0; i < tensor->rank; ++i) {
    leat_text_put(text, "%s%" PRId64 "%s", i == 0 ? "" : " ", tensor->dims[i],
                  i + 1 < tensor->rank || tensor->rank == 1 ? "," : "");
  }
  leat_text_put(text, "), }");
  while (!text->failed && (text->length + 1) % ALIGNMENT != 0) leat_text_put_bytes(text, " ", 1);
  leat_text_put_bytes(text, "\n", 1);
  if (text->failed) return;
  const size_t length = text->length - PREFIX_V1;  // rank 8 stays far below 64 KiB
  text->data[8] = (char)(length & 0xff);
  text->data[9] = (char)(length >> 8);
}

leat_status_t leat_npy_write(const char *path, const leat_io_tensor_t *tensor) {
  const char *descr = NULL;
  for (uint32_t i = 0; i < DESCRIPTION_COUNT; ++i) {
    if (descriptions[i].dtype == tensor->dtype) descr = descriptions[i].descr;
  }
  if (descr == NULL) {
    LEAT_FAIL(LEAT_UNSUPPORTED, "%s: NumPy has no dtype for %s; write .safetensors", path,
              leat_io_dtype_name(tensor->dtype));
  }
  leat_text_t file = {0};
  put_header(&file, descr, tensor);
  leat_text_put_bytes(&file, tensor->data, tensor->data_bytes);
  leat_status_t status = file.failed ? leat_status_make(LEAT_OUT_OF_MEMORY, "%s: out of memory", path)
                                     : leat_file_write_atomic(path, file.data, file.length);
  leat_text_deinit(&file);
  return status;
}
