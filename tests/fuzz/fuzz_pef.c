// SPDX-License-Identifier: Apache-2.0
// Fuzz target: the PEF reader. The mutator mends the checksums of most inputs, so that they reach the validator.
#include "pef/pef_index.h"
#include "pef/pef_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t bytes_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned int seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  leat_pef_t *pef = NULL;
  leat_status_t status = leat_pef_open_memory(data, bytes, "fuzz", &pef);
  leat_pef_close(pef);
  leat_status_free(status);
  return 0;
}

static void mend(uint8_t *data, size_t bytes) {
  pef_header_t header;
  if (bytes < sizeof header) return;
  memcpy(&header, data, sizeof header);
  const size_t width = header.version_major == 1 ? offsetof(pef_segment_t, flags) : sizeof(pef_segment_t);
  const size_t room = (bytes - sizeof header) / width;
  if (header.segment_count > room) return;
  uint8_t *table = data + sizeof header;
  for (uint32_t i = 0; i < header.segment_count; ++i) {
    pef_segment_t segment;
    memcpy(&segment, table + i * width, width);
    if (segment.offset > bytes || segment.bytes > bytes - segment.offset) continue;
    segment.hash = leat_pef_hash(data + segment.offset, segment.bytes);
    memcpy(table + i * width, &segment, width);
  }
  header.file_bytes = bytes;
  header.table_hash = leat_pef_hash(table, header.segment_count * width);
  memcpy(data, &header, sizeof header);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned int seed) {
  const size_t mutated = LLVMFuzzerMutate(data, bytes, bytes_max);
  if (seed % 8 != 0) mend(data, mutated);
  return mutated;
}
