// SPDX-License-Identifier: Apache-2.0
// What every reader of this folder yields: a list of named, contiguous, row-major tensors. Data lies in the mapped file
// where layout and alignment allow it, else in memory that the list owns; it is aligned to its dtype.
//
// Files are hostile: every size and offset is checked before it is used. Failures: LEAT_NOT_FOUND (no such file),
// LEAT_CORRUPT (truncated, mutated, or of another format), LEAT_UNSUPPORTED (legal, but not read here), LEAT_IO,
// LEAT_OUT_OF_MEMORY. Readers have a form for memory, which borrows `data` until the list is destroyed; `name` stands
// for the path in messages.
#ifndef LEAT_IO_TENSORS_H_
#define LEAT_IO_TENSORS_H_

#include "base/base.h"
#include "leat/runtime.h"

typedef struct leat_io_tensor_s {
  const char *name;
  uint32_t dtype;  // LEAT_DTYPE_*
  uint32_t rank;
  int64_t dims[LEAT_MAX_RANK];
  const void *data;
  size_t data_bytes;
} leat_io_tensor_t;

typedef struct leat_tensors_s {
  LEAT_ARRAY(leat_io_tensor_t) items;
  leat_arena_t names;
  LEAT_ARRAY(void *) buffers;     // owned data
  leat_mapping_t mapping;         // of the file, if any
  size_t copied_bytes;            // in buffers
  size_t copy_limit;              // 0: none. A file with many views of one storage cannot ask for endless memory
  size_t name_bytes, name_limit;  // of all names; likewise, for keys that many tensors share
} leat_tensors_t;

// NULL when out of memory.
leat_tensors_t *leat_tensors_create(void);
void leat_tensors_destroy(leat_tensors_t *tensors);
// The tensor called `name`, or NULL.
const leat_io_tensor_t *leat_tensors_find(const leat_tensors_t *tensors, const char *name);

// --- for the readers -------------------------------------------------------------------------------------------

// A buffer of `bytes` owned by the list.
leat_status_t leat_tensors_buffer(leat_tensors_t *tensors, size_t bytes, void **out_buffer) LEAT_MUST_USE;
// Makes the list own `buffer` (of leat_alloc), also on failure.
leat_status_t leat_tensors_adopt(leat_tensors_t *tensors, void *buffer) LEAT_MUST_USE;
// Appends a tensor: copies the name, copies data when it is not aligned to its dtype. `tensor->data_bytes` is checked
// against dtype and dims by the caller.
leat_status_t leat_tensors_add(leat_tensors_t *tensors, const leat_io_tensor_t *tensor) LEAT_MUST_USE;
// LEAT_CORRUPT when two tensors have one name.
leat_status_t leat_tensors_check_unique(const leat_tensors_t *tensors) LEAT_MUST_USE;
// dtype size times the dims; false when it does not fit, a dim is negative, or dtype or rank is out of range.
bool leat_io_tensor_bytes(uint32_t dtype, uint32_t rank, const int64_t *dims, size_t *out_bytes);
size_t leat_io_dtype_bytes(uint32_t dtype);
const char *leat_io_dtype_name(uint32_t dtype);

// A name from a file as it may appear in a message: printable ASCII, at most 100 characters.
typedef struct leat_io_shown_s {
  char text[101];
} leat_io_shown_t;
leat_io_shown_t leat_io_shown(const char *text, size_t length);

// Reads a whole format: fills an empty list from `bytes` bytes at `data`.
typedef leat_status_t (*leat_io_parse_fn)(const uint8_t *data, size_t bytes, leat_tensors_t *tensors);
// Maps `path`, parses it, and annotates failures with the path. The list is destroyed on failure.
leat_status_t leat_tensors_read(const char *path, leat_io_parse_fn parse, leat_tensors_t **out_tensors) LEAT_MUST_USE;
leat_status_t leat_tensors_read_memory(const void *data, size_t bytes, const char *name, leat_io_parse_fn parse,
                                       leat_tensors_t **out_tensors) LEAT_MUST_USE;

#endif
