// SPDX-License-Identifier: Apache-2.0
// Fuzz target: the reader of .npy files.
#include "io/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  leat_tensors_t *tensors = NULL;
  leat_status_t status = leat_npy_read_memory(data, bytes, "fuzz", &tensors);
  leat_tensors_destroy(tensors);
  leat_status_free(status);
  return 0;
}
