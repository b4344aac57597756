// SPDX-License-Identifier: Apache-2.0
// A zip archive in memory, read through its central directory: stored and deflated entries, zip64, checksums. Entries
// that are encrypted or split over disks are refused.
#ifndef LEAT_IO_ZIP_H_
#define LEAT_IO_ZIP_H_

#include "base/base.h"

typedef struct leat_zip_entry_s {
  const char *name;  // not NUL-terminated, borrowed from the archive
  size_t name_bytes;
  uint64_t offset;  // of the local header
  uint64_t packed_bytes, bytes;
  uint32_t crc;
  bool deflated;
} leat_zip_entry_t;

typedef struct leat_zip_s {
  const uint8_t *data;
  size_t data_bytes;
  LEAT_ARRAY(leat_zip_entry_t) entries;
} leat_zip_t;

// `data` must outlive the archive.
leat_status_t leat_zip_open(const uint8_t *data, size_t data_bytes, leat_zip_t *out_zip) LEAT_MUST_USE;
void leat_zip_close(leat_zip_t *zip);
// The entry called `name`, or NULL.
const leat_zip_entry_t *leat_zip_find(const leat_zip_t *zip, const char *name, size_t name_bytes);
// Where the stored bytes of the entry (packed_bytes of them) lie in the archive.
leat_status_t leat_zip_locate(const leat_zip_t *zip, const leat_zip_entry_t *entry,
                              const uint8_t **out_packed) LEAT_MUST_USE;
// The entry's content, checksum verified. *out_buffer: memory to release with leat_free, or NULL when the content lies
// in the archive itself.
leat_status_t leat_zip_read(const leat_zip_t *zip, const leat_zip_entry_t *entry, const uint8_t **out_content,
                            void **out_buffer) LEAT_MUST_USE;

#endif
