// SPDX-License-Identifier: Apache-2.0
// IDX, the format of the MNIST files: one big-endian array, plain or gzipped. The one tensor is called "".
#ifndef LEAT_IO_IDX_H_
#define LEAT_IO_IDX_H_

#include "io/tensors.h"

leat_status_t leat_idx_read(const char *path, leat_tensors_t **out_tensors) LEAT_MUST_USE;
leat_status_t leat_idx_read_memory(const void *data, size_t bytes, const char *name,
                                   leat_tensors_t **out_tensors) LEAT_MUST_USE;

#endif
