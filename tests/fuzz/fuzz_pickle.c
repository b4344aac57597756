// SPDX-License-Identifier: Apache-2.0
// Fuzz target: the pickle reader alone, without the checksums of the archive around it.
#include "io/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  leat_pickle_t *pickle = NULL;
  leat_status_t status = leat_pickle_read(data, bytes, SIZE_MAX, &pickle);
  leat_pickle_destroy(pickle);
  leat_status_free(status);
  return 0;
}
