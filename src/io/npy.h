// SPDX-License-Identifier: Apache-2.0
// NumPy's .npy, versions 1 to 3: one array, little-endian bools, integers up to 64 bits and floats. Fortran order is
// converted. The one tensor is called "".
#ifndef LEAT_IO_NPY_H_
#define LEAT_IO_NPY_H_

#include "io/tensors.h"

leat_status_t leat_npy_read(const char *path, leat_tensors_t **out_tensors) LEAT_MUST_USE;
leat_status_t leat_npy_read_memory(const void *data, size_t bytes, const char *name,
                                   leat_tensors_t **out_tensors) LEAT_MUST_USE;
// Writes aside, syncs and renames. bf16 has no NumPy dtype: LEAT_UNSUPPORTED.
leat_status_t leat_npy_write(const char *path, const leat_io_tensor_t *tensor) LEAT_MUST_USE;

#endif
