// SPDX-License-Identifier: Apache-2.0
// See mutate.h: mending zip archives, gzip, and the headers of safetensors and npy.
#include <string.h>
#include <zlib.h>

#include "io/zip.h"
#include "mutate.h"

enum { CRC_LOCAL = 14, CRC_CENTRAL = 16, CENTRAL_BYTES = 46, SAFETENSORS_LENGTH = 8, NPY_START = 10 };

// The archive reader finds the entries; their names lie in the central directory, behind the checksum.
void mend_zip(mutant_t *mutant) {
  leat_zip_t zip;
  leat_status_t status = leat_zip_open(mutant->data, mutant->bytes, &zip);
  if (status != NULL) {
    leat_status_free(status);
    return;
  }
  for (uint32_t i = 0; i < zip.entries.count; ++i) {
    const leat_zip_entry_t *entry = &zip.entries.data[i];
    const uint8_t *packed = NULL;
    status = leat_zip_locate(&zip, entry, &packed);
    if (status == NULL && !entry->deflated) {
      const uint32_t crc = (uint32_t)crc32_z(0, packed, entry->bytes);
      uint8_t *central = mutant->data + ((const uint8_t *)entry->name - mutant->data) - CENTRAL_BYTES;
      memcpy(mutant->data + entry->offset + CRC_LOCAL, &crc, sizeof crc);
      memcpy(central + CRC_CENTRAL, &crc, sizeof crc);
    }
    leat_status_free(status);
  }
  leat_zip_close(&zip);
}

void mend_gzip(mutant_t *mutant) {
  static uint8_t packed[1 << 16];
  z_stream stream = {.next_in = mutant->data, .avail_in = (uInt)mutant->bytes};
  stream.next_out = packed;
  stream.avail_out = sizeof packed;
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return;
  const bool whole = deflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out <= mutant->capacity;
  if (whole) {
    mutant->bytes = stream.total_out;
    memcpy(mutant->data, packed, mutant->bytes);
  }
  deflateEnd(&stream);
}

void mend_safetensors(mutant_t *mutant) {
  if (mutant->bytes <= SAFETENSORS_LENGTH) return;
  const uint8_t *end = memrchr(mutant->data, '}', mutant->bytes);
  uint64_t length = end != NULL ? (uint64_t)(end - mutant->data) + 1 : mutant->bytes;
  length = length > SAFETENSORS_LENGTH ? length - SAFETENSORS_LENGTH : 0;
  memcpy(mutant->data, &length, sizeof length);
}

void mend_npy(mutant_t *mutant) {
  if (mutant->bytes <= NPY_START) return;
  const uint8_t *end = memchr(mutant->data + NPY_START, '\n', mutant->bytes - NPY_START);
  const uint16_t length = end != NULL ? (uint16_t)(end + 1 - mutant->data - NPY_START) : 0;
  memcpy(mutant->data + NPY_START - sizeof length, &length, sizeof length);
}
