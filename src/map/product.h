// SPDX-License-Identifier: Apache-2.0
// Contractions as matrix products. The letters of the spec become axes with a role; axes of extent 1 vanish,
// neighbours that are contiguous in all three operands merge, so that a batched or folded product reaches the engine
// as the plain matrix product that it is.
#ifndef LEAT_MAP_PRODUCT_H_
#define LEAT_MAP_PRODUCT_H_

#include "pef/pef_format.h"
#include "space/access.h"

enum { LEAT_PRODUCT_AXES_MAX = 2 * LEAT_RANK_MAX };
// A, B, C and, where B has one, its scale.
enum { LEAT_PRODUCT_SCALE = 3, LEAT_PRODUCT_OPERANDS = 4 };

typedef struct leat_product_axis_s {
  int64_t extent;
  int64_t strides[LEAT_PRODUCT_OPERANDS];
  uint8_t role;  // pef_role
  bool row;      // the section's rows run along this axis
} leat_product_axis_t;

typedef struct leat_product_s {
  leat_product_axis_t axes[LEAT_PRODUCT_AXES_MAX];  // batch, m, n as they stand in C; k in the order of summation
  uint32_t count;                                   // at most LEAT_RANK_MAX
  leat_access_t access[LEAT_PRODUCT_OPERANDS];
  bool scaled;   // B has a scale
  bool swapped;  // A is the op's second input, so that C's innermost axis is n
} leat_product_t;

// `row_dim`: of the result, or LEAT_ROWS_WHOLE. LEAT_UNSUPPORTED: more axes than a stage has.
leat_status_t leat_product_read(const leat_graph_t *g, const leat_op_t *op, uint8_t row_dim,
                                leat_product_t *out_product) LEAT_MUST_USE;
// The axis of that role if there is exactly one, else NULL.
const leat_product_axis_t *leat_product_only_axis(const leat_product_t *p, uint8_t role);
// The axes of a role as one, if operand B goes along them in equal steps; false: it does not, or there is none.
bool leat_product_line_of_b(const leat_product_t *p, uint8_t role, int64_t *out_extent, int64_t *out_stride);
bool leat_product_has_role(const leat_product_t *p, uint8_t role);
// Of all axes of a role together.
int64_t leat_product_extent(const leat_product_t *p, uint8_t role);
// Whether it multiplies bf16 with bf16, and so adds in pairs of k.
bool leat_product_is_paired(const leat_graph_t *g, const leat_product_t *p);
// Operand `which` over all axes, stride 0 where it lacks one; *out_row_dim: the axis of the rows, or
// LEAT_ROWS_WHOLE.
leat_access_t leat_product_access(const leat_product_t *p, uint32_t which, uint32_t *out_row_dim);

#endif
