// SPDX-License-Identifier: Apache-2.0
// A reader of the one subset of Python's pickle that torch.save writes for state dictionaries: None, bools, numbers,
// strings, tuples, lists, dictionaries, tensors. Nothing is executed: the stream is read by a small stack machine that
// knows four names of callables (OrderedDict, _rebuild_tensor_v2, _rebuild_parameter, the storages); any other name is
// refused by name, any other opcode by number.
#ifndef LEAT_IO_PICKLE_H_
#define LEAT_IO_PICKLE_H_

#include "base/base.h"
#include "leat/runtime.h"

enum leat_pickle_kind {
  LEAT_PICKLE_NONE,
  LEAT_PICKLE_BOOL,
  LEAT_PICKLE_INT,
  LEAT_PICKLE_FLOAT,
  LEAT_PICKLE_STRING,
  LEAT_PICKLE_TUPLE,
  LEAT_PICKLE_LIST,
  LEAT_PICKLE_DICT,
  LEAT_PICKLE_GLOBAL,
  LEAT_PICKLE_STORAGE,
  LEAT_PICKLE_TENSOR,
  LEAT_PICKLE_KIND_COUNT
};

typedef struct leat_pickle_tensor_s {
  uint32_t storage;  // value id
  uint32_t rank;
  int64_t offset;                                       // in elements of the storage
  int64_t dims[LEAT_MAX_RANK], strides[LEAT_MAX_RANK];  // not checked against the storage
} leat_pickle_tensor_t;

typedef struct leat_pickle_value_s {
  uint8_t kind;     // enum leat_pickle_kind
  uint8_t dtype;    // STORAGE: LEAT_DTYPE_*
  uint16_t global;  // GLOBAL: row of the table of names
  union {
    int64_t integer;  // BOOL, INT
    double number;
    struct {
      const char *data;  // borrowed from the stream, not NUL-terminated; STORAGE: its key
      size_t length;
    } text;
    LEAT_ARRAY(uint32_t) items;  // TUPLE, LIST: values; DICT: key, value, key, value, ...
    const leat_pickle_tensor_t *tensor;
  };
} leat_pickle_value_t;

typedef struct leat_pickle_s {
  LEAT_ARRAY(leat_pickle_value_t) values;
  leat_arena_t arena;
  uint32_t root;  // value id
  size_t bytes;   // that it takes of the stream
} leat_pickle_t;

// What the values of pickles in a file of so many bytes may take: twice that, and an allowance for small files.
size_t leat_pickle_memory_max(size_t file_bytes);
// `data` must outlive the result, and may go on behind the pickle. Containers may contain each other, and themselves:
// bound every walk. `memory_max`: bytes that the values may take, about; more is refused.
leat_status_t leat_pickle_read(const uint8_t *data, size_t bytes, size_t memory_max,
                               leat_pickle_t **out_pickle) LEAT_MUST_USE;
void leat_pickle_destroy(leat_pickle_t *pickle);
const char *leat_pickle_kind_name(uint32_t kind);

#endif
