// SPDX-License-Identifier: Apache-2.0
// Accesses: how a value that is only a view (reshape, transpose, slice, broadcast, flip) reads the storage of another.
//
// Views move nothing: a consumer reads the base value through strides. A base is a symbol, a blob constant or the
// result of a computing op, stored row-major and contiguous.
#ifndef LEAT_SPACE_ACCESS_H_
#define LEAT_SPACE_ACCESS_H_

#include "ir/graph.h"

typedef struct leat_access_s {
  leat_value_id_t base;
  uint32_t rank;
  int64_t dims[LEAT_RANK_MAX];
  int64_t strides[LEAT_RANK_MAX];  // elements of the base; 0 for broadcast
  int64_t offset;                  // elements from the base's first
} leat_access_t;

// The value behind all views of `v` (`v` itself if it is no view).
leat_value_id_t leat_access_base(const leat_graph_t *g, leat_value_id_t v);
// The access of `v` to its base. False if a reshape on the way cannot be expressed in strides.
bool leat_access_resolve(const leat_graph_t *g, leat_value_id_t v, leat_access_t *out_access);
// The same element order as the base, contiguous: the base's storage can stand for `v`.
bool leat_access_is_whole(const leat_graph_t *g, const leat_access_t *access);
void leat_contiguous_strides(uint32_t rank, const int64_t *dims, int64_t *out_strides);

// A dim of what the view `op` reads: dim `dim` of `from`, which the view makes `to`; `g` holds the attributes of `op`.
typedef struct leat_view_dim_s {
  const leat_graph_t *g;
  const leat_op_t *op;
  const leat_value_t *from, *to;
  uint32_t dim;
  int64_t rows;  // equal pieces that the dim is cut into
} leat_view_dim_t;
// The dim of `to` in which the pieces stay apart, or LEAT_NONE.
uint32_t leat_view_rows(const leat_view_dim_t *d);
// The dim of `to` along which an index is what it was along the dim of `from`, or LEAT_NONE. Knows of dims of one view
// that move, are added or are repeated as a whole; extent 1 has no answer.
uint32_t leat_view_count(const leat_view_dim_t *d);

// Where the rows of a base go under the views down to `v`: dim `base_dim` of the base, cut into `rows` equal pieces,
// becomes the returned dim of `v`, or LEAT_NONE if the pieces do not stay apart.
uint32_t leat_access_row_dim(const leat_graph_t *g, leat_value_id_t v, uint32_t base_dim, int64_t rows);

#endif
