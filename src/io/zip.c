// SPDX-License-Identifier: Apache-2.0
// See zip.h. Names of fields follow PKWARE's APPNOTE; offsets are from the start of the record.
#include "io/zip.h"

#include <stdlib.h>
#include <zlib.h>

#include "io/inflate.h"
#include "io/tensors.h"

enum {
  END_BYTES = 22,      // end of central directory
  END64_BYTES = 56,    // zip64 end of central directory
  LOCATOR_BYTES = 20,  // zip64 locator, right before the end record
  CENTRAL_BYTES = 46,  // one central header, before name, extra and comment
  LOCAL_BYTES = 30,
  COMMENT_MAX = 65535,
  METHOD_STORED = 0,
  METHOD_DEFLATED = 8,
  FLAG_ENCRYPTED = 1,
  EXTRA_ZIP64 = 1,
};
static const uint32_t signature_end = 0x06054b50, signature_end64 = 0x06064b50, signature_locator = 0x07064b50,
                      signature_central = 0x02014b50, signature_local = 0x04034b50;

static uint32_t u16(const uint8_t *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8; }
static uint32_t u32(const uint8_t *at) { return u16(at) | u16(at + 2) << 16; }
static uint64_t u64(const uint8_t *at) { return (uint64_t)u32(at) | (uint64_t)u32(at + 4) << 32; }

// `count` bytes at `offset`, or NULL when they are not all there.
static const uint8_t *bytes_at(const leat_zip_t *zip, uint64_t offset, uint64_t count) {
  if (offset > zip->data_bytes || count > zip->data_bytes - offset) return NULL;
  return zip->data + offset;
}

typedef struct zip_directory_s {
  uint64_t offset, bytes, count;
} zip_directory_t;

// The last end record whose comment reaches exactly to the end of the file.
static const uint8_t *find_end(const leat_zip_t *zip) {
  for (size_t back = END_BYTES; back <= zip->data_bytes && back <= END_BYTES + COMMENT_MAX; ++back) {
    const uint8_t *at = zip->data + zip->data_bytes - back;
    if (u32(at) == signature_end && u16(at + 20) == back - END_BYTES) return at;
  }
  return NULL;
}

static leat_status_t read_end64(const leat_zip_t *zip, const uint8_t *locator, zip_directory_t *out_directory) {
  const uint8_t *end64 = bytes_at(zip, u64(locator + 8), END64_BYTES);
  if (end64 == NULL || u32(end64) != signature_end64) {
    LEAT_FAIL(LEAT_CORRUPT, "zip: the zip64 end record is missing; the file is damaged or incomplete");
  }
  *out_directory = (zip_directory_t){.offset = u64(end64 + 48), .bytes = u64(end64 + 40), .count = u64(end64 + 32)};
  return NULL;
}

static leat_status_t read_directory_place(const leat_zip_t *zip, zip_directory_t *out_directory) {
  const uint8_t *end = find_end(zip);
  if (end == NULL)
    LEAT_FAIL(LEAT_CORRUPT, "zip: no end of central directory; the file is cut off or not a zip archive");
  if (u16(end + 4) != 0 || u16(end + 6) != 0) LEAT_FAIL(LEAT_UNSUPPORTED, "zip: the archive is split over disks");
  *out_directory = (zip_directory_t){.offset = u32(end + 16), .bytes = u32(end + 12), .count = u16(end + 10)};
  const size_t end_offset = (size_t)(end - zip->data);
  if (end_offset < LOCATOR_BYTES || u32(end - LOCATOR_BYTES) != signature_locator) return NULL;
  return read_end64(zip, end - LOCATOR_BYTES, out_directory);
}

// Replaces the fields that say "see zip64" by those of the extra field, which lists only them, in this order.
static leat_status_t apply_zip64(const uint8_t *extra, size_t extra_bytes, leat_zip_entry_t *entry) {
  uint64_t *const fields[3] = {&entry->bytes, &entry->packed_bytes, &entry->offset};
  while (extra_bytes >= 4) {
    const size_t size = u16(extra + 2);
    if (size > extra_bytes - 4) break;
    if (u16(extra) == EXTRA_ZIP64) {
      const uint8_t *at = extra + 4, *end = at + size;
      for (uint32_t i = 0; i < 3; ++i) {
        if (*fields[i] != UINT32_MAX) continue;
        if (end - at < 8) LEAT_FAIL(LEAT_CORRUPT, "zip: a zip64 field is too short; the file is damaged");
        *fields[i] = u64(at);
        at += 8;
      }
      return NULL;
    }
    extra += 4 + size;
    extra_bytes -= 4 + size;
  }
  return NULL;
}

static leat_status_t read_entry(const uint8_t *record, size_t left, leat_zip_entry_t *out_entry, size_t *out_bytes) {
  if (left < CENTRAL_BYTES || u32(record) != signature_central) {
    LEAT_FAIL(LEAT_CORRUPT, "zip: the central directory is damaged");
  }
  const size_t name_bytes = u16(record + 28), extra_bytes = u16(record + 30), comment_bytes = u16(record + 32);
  *out_bytes = CENTRAL_BYTES + name_bytes + extra_bytes + comment_bytes;
  if (*out_bytes > left) LEAT_FAIL(LEAT_CORRUPT, "zip: the central directory is damaged");
  const uint32_t method = u16(record + 10);
  *out_entry = (leat_zip_entry_t){.name = (const char *)record + CENTRAL_BYTES,
                                  .name_bytes = name_bytes,
                                  .offset = u32(record + 42),
                                  .packed_bytes = u32(record + 20),
                                  .bytes = u32(record + 24),
                                  .crc = u32(record + 16),
                                  .deflated = method == METHOD_DEFLATED};
  const leat_io_shown_t shown = leat_io_shown(out_entry->name, name_bytes);
  if ((u16(record + 8) & FLAG_ENCRYPTED) != 0) {
    LEAT_FAIL(LEAT_UNSUPPORTED, "zip: entry '%s' is encrypted", shown.text);
  }
  if (method != METHOD_STORED && method != METHOD_DEFLATED) {
    LEAT_FAIL(LEAT_UNSUPPORTED, "zip: entry '%s' uses compression method %u", shown.text, method);
  }
  return apply_zip64(record + CENTRAL_BYTES + name_bytes, extra_bytes, out_entry);
}

static leat_status_t read_entries(leat_zip_t *zip) {
  zip_directory_t directory = {0};
  LEAT_TRY(read_directory_place(zip, &directory));
  const uint8_t *record = bytes_at(zip, directory.offset, directory.bytes);
  if (record == NULL) LEAT_FAIL(LEAT_CORRUPT, "zip: the central directory lies outside of the file; it is damaged");
  size_t left = directory.bytes;
  for (uint64_t i = 0; i < directory.count; ++i) {
    leat_zip_entry_t entry;
    size_t bytes = 0;
    LEAT_TRY(read_entry(record, left, &entry, &bytes));
    leat_zip_entry_t *slot = leat_array_push(&zip->entries);
    if (slot == NULL) return leat_out_of_memory();
    *slot = entry;
    record += bytes;
    left -= bytes;
  }
  return NULL;
}

// Entries lie side by side: so no content is unpacked twice, and what they unpack to is bounded by the file.
static leat_status_t check_apart(const leat_zip_t *zip) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < zip->entries.count; ++i) {
    const uint64_t bytes = zip->entries.data[i].packed_bytes;
    if (bytes > zip->data_bytes - total) LEAT_FAIL(LEAT_CORRUPT, "zip: its entries overlap; the file is damaged");
    total += bytes;
  }
  return NULL;
}

static int compare_entries(const void *left, const void *right) {
  const leat_zip_entry_t *a = left, *b = right;
  const int order = memcmp(a->name, b->name, a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes);
  return order != 0 ? order : (a->name_bytes > b->name_bytes) - (a->name_bytes < b->name_bytes);
}

// By name, so that entries are found quickly; two of one name would be read differently by different programs.
static leat_status_t sort_entries(leat_zip_t *zip) {
  if (zip->entries.count == 0) return NULL;
  qsort(zip->entries.data, zip->entries.count, sizeof *zip->entries.data, compare_entries);
  for (uint32_t i = 1; i < zip->entries.count; ++i) {
    const leat_zip_entry_t *entry = &zip->entries.data[i];
    if (compare_entries(entry - 1, entry) != 0) continue;
    LEAT_FAIL(LEAT_CORRUPT, "zip: two entries are called '%s'", leat_io_shown(entry->name, entry->name_bytes).text);
  }
  return NULL;
}

leat_status_t leat_zip_open(const uint8_t *data, size_t data_bytes, leat_zip_t *out_zip) {
  *out_zip = (leat_zip_t){.data = data, .data_bytes = data_bytes};
  leat_status_t status = read_entries(out_zip);
  if (status == NULL) status = check_apart(out_zip);
  if (status == NULL) status = sort_entries(out_zip);
  if (status != NULL) leat_zip_close(out_zip);
  return status;
}

void leat_zip_close(leat_zip_t *zip) { leat_array_free(&zip->entries); }

const leat_zip_entry_t *leat_zip_find(const leat_zip_t *zip, const char *name, size_t name_bytes) {
  const leat_zip_entry_t key = {.name = name, .name_bytes = name_bytes};
  if (zip->entries.count == 0) return NULL;
  return bsearch(&key, zip->entries.data, zip->entries.count, sizeof key, compare_entries);
}

leat_status_t leat_zip_locate(const leat_zip_t *zip, const leat_zip_entry_t *entry, const uint8_t **out_packed) {
  const uint8_t *local = bytes_at(zip, entry->offset, LOCAL_BYTES);
  if (local != NULL && u32(local) == signature_local) {
    const uint64_t start = entry->offset + LOCAL_BYTES + u16(local + 26) + u16(local + 28);
    *out_packed = bytes_at(zip, start, entry->packed_bytes);
    if (*out_packed != NULL && (entry->deflated || entry->packed_bytes == entry->bytes)) return NULL;
  }
  LEAT_FAIL(LEAT_CORRUPT, "zip: entry '%s' reaches over the end of the file; it is cut off or damaged",
            leat_io_shown(entry->name, entry->name_bytes).text);
}

static leat_status_t unpack(const leat_zip_entry_t *entry, const uint8_t *packed, void **out_buffer) {
  if (!leat_inflate_plausible(entry->packed_bytes, entry->bytes)) {
    LEAT_FAIL(LEAT_CORRUPT, "zip: an entry of %llu bytes cannot come from %llu; the file is damaged",
              (unsigned long long)entry->bytes, (unsigned long long)entry->packed_bytes);
  }
  *out_buffer = leat_alloc(entry->bytes == 0 ? 1 : entry->bytes);
  if (*out_buffer == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %llu bytes", (unsigned long long)entry->bytes);
  return leat_inflate(packed, entry->packed_bytes, LEAT_INFLATE_RAW, true, *out_buffer, entry->bytes);
}

// A fuzzer cannot guess checksums: it is built without them.
static bool checksum_fits(const uint8_t *content, const leat_zip_entry_t *entry) {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
  (void)content;
  (void)entry;
  return true;
#else
  return crc32_z(0, content, entry->bytes) == entry->crc;
#endif
}

leat_status_t leat_zip_read(const leat_zip_t *zip, const leat_zip_entry_t *entry, const uint8_t **out_content,
                            void **out_buffer) {
  const uint8_t *packed = NULL;
  *out_buffer = NULL;
  LEAT_TRY(leat_zip_locate(zip, entry, &packed));
  leat_status_t status = entry->deflated ? unpack(entry, packed, out_buffer) : NULL;
  *out_content = entry->deflated ? *out_buffer : packed;
  if (status == NULL && !checksum_fits(*out_content, entry)) {
    status = leat_status_make(LEAT_CORRUPT, "zip: checksum of entry '%s' is wrong; the file is damaged",
                              leat_io_shown(entry->name, entry->name_bytes).text);
  }
  if (status != NULL) {
    leat_free(*out_buffer);
    *out_buffer = NULL;
  }
  return status;
}
