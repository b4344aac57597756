// SPDX-License-Identifier: Apache-2.0
// Files of torch.save before torch 1.6 (still what `_use_new_zipfile_serialization=False` writes): five pickles in a
// row (magic number, version, facts of the machine, the object, the keys of its storages), then the storages in the
// order of these keys, each an i64 count of elements and the elements.
#ifndef LEAT_IO_PT_LEGACY_H_
#define LEAT_IO_PT_LEGACY_H_

#include "io/pickle.h"

typedef struct leat_pt_storage_s {
  const char *key;  // borrowed from the file
  size_t key_bytes;
  const uint8_t *data;  // in the file; NULL until its place is known
  int64_t count;        // elements
  uint8_t dtype;        // LEAT_DTYPE_*
} leat_pt_storage_t;

typedef struct leat_pt_legacy_s {
  leat_pickle_t *object;
  LEAT_ARRAY(leat_pt_storage_t) storages;  // sorted by key
} leat_pt_legacy_t;

// Whether `data` begins as such a file does.
bool leat_pt_legacy_is(const uint8_t *data, size_t bytes);
// `data` must outlive the result, which is to be closed also after a failure.
leat_status_t leat_pt_legacy_open(const uint8_t *data, size_t bytes, leat_pt_legacy_t *out_file) LEAT_MUST_USE;
void leat_pt_legacy_close(leat_pt_legacy_t *file);
// The storage `key`, or NULL.
const leat_pt_storage_t *leat_pt_legacy_find(const leat_pt_legacy_t *file, const char *key, size_t key_bytes);

#endif
