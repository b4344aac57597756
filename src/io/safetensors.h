// SPDX-License-Identifier: Apache-2.0
// The safetensors format: a JSON header of names, dtypes, shapes and byte ranges, then the bytes.
#ifndef LEAT_IO_SAFETENSORS_H_
#define LEAT_IO_SAFETENSORS_H_

#include "io/tensors.h"

leat_status_t leat_safetensors_read(const char *path, leat_tensors_t **out_tensors) LEAT_MUST_USE;
leat_status_t leat_safetensors_read_memory(const void *data, size_t bytes, const char *name,
                                           leat_tensors_t **out_tensors) LEAT_MUST_USE;
// Writes aside, syncs and renames; tensors in the order given.
leat_status_t leat_safetensors_write(const char *path, const leat_io_tensor_t *tensors, uint32_t count) LEAT_MUST_USE;

#endif
