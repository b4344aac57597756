// SPDX-License-Identifier: Apache-2.0
// See weights.h. A .safetensors file has "{" behind its 8-byte length; everything else goes to the .pt reader, whose
// messages say what a foreign file lacks.
#include "io/weights.h"

#include "io/pt.h"
#include "io/safetensors.h"

leat_status_t leat_weights_read(const char *path, leat_tensors_t **out_tensors) {
  leat_mapping_t mapping;
  *out_tensors = NULL;
  LEAT_TRY(leat_file_map(path, &mapping));
  const bool safetensors = mapping.data_bytes > 8 && mapping.data[8] == '{';
  leat_file_unmap(&mapping);
  return safetensors ? leat_safetensors_read(path, out_tensors) : leat_pt_read(path, out_tensors);
}
