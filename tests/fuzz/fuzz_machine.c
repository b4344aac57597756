// SPDX-License-Identifier: Apache-2.0
// Fuzz target: the reader of records of machines; what it reads is read again from its own text.
#include <stdlib.h>

#include "arch/arch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  leat_arch_t arch, again;
  leat_text_t text = {0};
  leat_status_t status = leat_arch_read((const char *)data, bytes, "fuzz", &arch);
  if (status == NULL) {
    leat_arch_put(&arch, true, &text);
    status = leat_arch_read(text.data, text.length, "again", &again);
    if (status != NULL || memcmp(&arch, &again, sizeof arch) != 0) abort();
  }
  leat_text_deinit(&text);
  leat_status_free(status);
  return 0;
}
