// SPDX-License-Identifier: Apache-2.0
// What the files of the builder share. Private to ir.
#ifndef LEAT_IR_BUILD_OP_H_
#define LEAT_IR_BUILD_OP_H_

#include "ir/build.h"

// No error so far and no missing operand (which becomes the error).
bool leat_b_ready(leat_builder_t *b, const leat_value_id_t *inputs, uint32_t input_count);
// x with leading dims of extent 1 up to `rank`.
leat_value_id_t leat_b_with_rank(leat_builder_t *b, leat_value_id_t x, uint32_t rank);

static inline bool leat_b_same_dims(const leat_value_t *v, uint32_t rank, const int64_t *dims) {
  return v->rank == rank && (rank == 0 || memcmp(v->dims, dims, rank * sizeof *dims) == 0);
}

#endif
