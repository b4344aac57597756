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

bool leat_kind_is_view(uint32_t kind);
// Symbols, constants and iotas: values that no section computes.
bool leat_kind_is_leaf(uint32_t kind);
// Neither view nor leaf nor store: runs in a section and has storage of its own.
bool leat_kind_computes(uint32_t kind);

// The value behind all views of `v` (`v` itself if it is no view).
leat_value_id_t leat_access_base(const leat_graph_t *g, leat_value_id_t v);
// The access of `v` to its base. False if a reshape on the way cannot be expressed in strides.
bool leat_access_resolve(const leat_graph_t *g, leat_value_id_t v, leat_access_t *out_access);
// The same element order as the base, contiguous: the base's storage can stand for `v`.
bool leat_access_is_whole(const leat_graph_t *g, const leat_access_t *access);
void leat_contiguous_strides(uint32_t rank, const int64_t *dims, int64_t *out_strides);

// Where the rows of a base go under the views down to `v`: dim `base_dim` of the base, cut into `rows` equal pieces,
// becomes the returned dim of `v`, or LEAT_NONE if the pieces do not stay apart.
uint32_t leat_access_row_dim(const leat_graph_t *g, leat_value_id_t v, uint32_t base_dim, int64_t rows);

#endif
