// SPDX-License-Identifier: Apache-2.0
// Files of torch.save (the zip format of torch 1.6 and later): every tensor of the saved object, however deep in
// dictionaries, lists and tuples; keys and indices joined by "." make the name ("model.fc.weight", "state.0.step").
// What is not a tensor is passed over. The pickle is read, never run (pickle.h).
#ifndef LEAT_IO_PT_H_
#define LEAT_IO_PT_H_

#include "io/tensors.h"

leat_status_t leat_pt_read(const char *path, leat_tensors_t **out_tensors) LEAT_MUST_USE;
leat_status_t leat_pt_read_memory(const void *data, size_t bytes, const char *name,
                                  leat_tensors_t **out_tensors) LEAT_MUST_USE;

#endif
