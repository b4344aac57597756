// SPDX-License-Identifier: Apache-2.0
// Rows: along which dim of its result an op may be cut into independent pieces, and what each piece reads.
#ifndef LEAT_SPACE_ROWS_H_
#define LEAT_SPACE_ROWS_H_

#include "ir/graph.h"

enum {
  LEAT_ROWS_WHOLE = 0xfe,    // every piece reads the whole operand
  LEAT_ROWS_ILLEGAL = 0xff,  // the op cannot be cut along this dim
};

// The dim of operand `input` that is cut when result 0 of `op` is cut along `dim`; or one of the marks above.
uint32_t leat_rows_operand_dim(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input);
// True if result 0 may be cut along `dim`.
bool leat_rows_legal(const leat_graph_t *g, const leat_op_t *op, uint32_t dim);
// The first dim of extent > 1 along which the op may be cut, or LEAT_NONE.
uint32_t leat_rows_first(const leat_graph_t *g, const leat_op_t *op);

#endif
