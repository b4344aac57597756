// SPDX-License-Identifier: Apache-2.0
// See idx.h. Header: two zero bytes, element type, rank, then rank 32-bit extents; everything big-endian.
#include "io/idx.h"

#include "io/inflate.h"

enum { HEADER_BYTES = 4, EXTENT_BYTES = 4, HEADER_BYTES_MAX = HEADER_BYTES + EXTENT_BYTES * LEAT_MAX_RANK };

static const struct {
  uint8_t code;
  uint32_t dtype;
} types[] = {{0x08, LEAT_DTYPE_U8},  {0x09, LEAT_DTYPE_I8},  {0x0b, LEAT_DTYPE_I16},
             {0x0c, LEAT_DTYPE_I32}, {0x0d, LEAT_DTYPE_F32}, {0x0e, LEAT_DTYPE_F64}};

typedef struct idx_header_s {
  leat_io_tensor_t tensor;
  size_t bytes;  // of the header
} idx_header_t;

static bool find_dtype(uint8_t code, uint32_t *out_dtype) {
  for (size_t i = 0; i < sizeof types / sizeof *types; ++i) {
    if (types[i].code != code) continue;
    *out_dtype = types[i].dtype;
    return true;
  }
  return false;
}

static leat_status_t check_magic(const uint8_t *data, size_t bytes) {
  if (bytes >= HEADER_BYTES && data[0] == 0 && data[1] == 0 && data[3] != 0) return NULL;
  LEAT_FAIL(LEAT_CORRUPT, "not an IDX file (plain or gzipped): it does not start with 0, 0, type, rank");
}

// `bytes` of the file are at hand, at least HEADER_BYTES.
static leat_status_t parse_header(const uint8_t *data, size_t bytes, idx_header_t *out_header) {
  leat_io_tensor_t *tensor = &out_header->tensor;
  if (!find_dtype(data[2], &tensor->dtype)) LEAT_FAIL(LEAT_CORRUPT, "IDX element type 0x%02x does not exist", data[2]);
  tensor->rank = data[3];
  if (tensor->rank > LEAT_MAX_RANK) LEAT_FAIL(LEAT_UNSUPPORTED, "IDX array of %u dimensions", tensor->rank);
  out_header->bytes = HEADER_BYTES + EXTENT_BYTES * (size_t)tensor->rank;
  if (bytes < out_header->bytes) LEAT_FAIL(LEAT_CORRUPT, "the IDX header is cut off");
  for (uint32_t i = 0; i < tensor->rank; ++i) {
    const uint8_t *at = data + HEADER_BYTES + EXTENT_BYTES * i;
    tensor->dims[i] = (int64_t)at[0] << 24 | (int64_t)at[1] << 16 | (int64_t)at[2] << 8 | (int64_t)at[3];
  }
  if (!leat_io_tensor_bytes(tensor->dtype, tensor->rank, tensor->dims, &tensor->data_bytes)) {
    LEAT_FAIL(LEAT_CORRUPT, "the extents of the IDX header do not fit memory; the file is damaged");
  }
  tensor->name = "";
  return NULL;
}

static void reverse_copy(uint8_t *out, const uint8_t *in, size_t count, size_t element_bytes) {
  for (size_t i = 0; i < count; i += element_bytes) {
    for (size_t k = 0; k < element_bytes; ++k) out[i + k] = in[i + element_bytes - 1 - k];
  }
}

static leat_status_t parse_plain(const uint8_t *data, size_t bytes, leat_tensors_t *tensors) {
  idx_header_t header = {0};
  LEAT_TRY(check_magic(data, bytes));
  LEAT_TRY(parse_header(data, bytes, &header));
  leat_io_tensor_t *tensor = &header.tensor;
  if (bytes - header.bytes != tensor->data_bytes) {
    LEAT_FAIL(LEAT_CORRUPT, "the IDX header states %zu bytes of data, %zu follow; the file is cut off or damaged",
              tensor->data_bytes, bytes - header.bytes);
  }
  const size_t element_bytes = leat_io_dtype_bytes(tensor->dtype);
  tensor->data = data + header.bytes;
  if (element_bytes > 1) {
    void *copy = NULL;
    LEAT_TRY(leat_tensors_buffer(tensors, tensor->data_bytes, &copy));
    reverse_copy(copy, tensor->data, tensor->data_bytes, element_bytes);
    tensor->data = copy;
  }
  return leat_tensors_add(tensors, tensor);
}

// The header says how long the whole is, so that the right amount of memory is taken at once.
static leat_status_t parse_gzip(const uint8_t *data, size_t bytes, leat_tensors_t *tensors) {
  uint8_t start[HEADER_BYTES_MAX] = {0};
  idx_header_t header = {0};
  size_t total = 0;
  LEAT_TRY(leat_inflate(data, bytes, LEAT_INFLATE_GZIP, false, start, HEADER_BYTES));
  LEAT_TRY(check_magic(start, HEADER_BYTES));
  const size_t ranks = start[3] > LEAT_MAX_RANK ? LEAT_MAX_RANK : start[3];
  LEAT_TRY(leat_inflate(data, bytes, LEAT_INFLATE_GZIP, false, start, HEADER_BYTES + EXTENT_BYTES * ranks));
  LEAT_TRY(parse_header(start, sizeof start, &header));
  if (!leat_size_add(header.bytes, header.tensor.data_bytes, &total) || !leat_inflate_plausible(bytes, total)) {
    LEAT_FAIL(LEAT_CORRUPT, "the IDX header states %zu bytes of data, more than %zu gzipped bytes can hold",
              header.tensor.data_bytes, bytes);
  }
  void *plain = NULL;
  LEAT_TRY(leat_tensors_buffer(tensors, total, &plain));
  LEAT_TRY(leat_inflate(data, bytes, LEAT_INFLATE_GZIP, true, plain, total));
  return parse_plain(plain, total, tensors);
}

static leat_status_t parse(const uint8_t *data, size_t bytes, leat_tensors_t *tensors) {
  const bool gzip = bytes >= 2 && data[0] == 0x1f && data[1] == 0x8b;
  return gzip ? parse_gzip(data, bytes, tensors) : parse_plain(data, bytes, tensors);
}

leat_status_t leat_idx_read(const char *path, leat_tensors_t **out_tensors) {
  return leat_tensors_read(path, parse, out_tensors);
}

leat_status_t leat_idx_read_memory(const void *data, size_t bytes, const char *name, leat_tensors_t **out_tensors) {
  return leat_tensors_read_memory(data, bytes, name, parse, out_tensors);
}
