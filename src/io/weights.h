// SPDX-License-Identifier: Apache-2.0
// Weights of either format: a file of torch.save or a .safetensors file, told apart by what is in it.
#ifndef LEAT_IO_WEIGHTS_H_
#define LEAT_IO_WEIGHTS_H_

#include "io/tensors.h"

leat_status_t leat_weights_read(const char *path, leat_tensors_t **out_tensors) LEAT_MUST_USE;

#endif
