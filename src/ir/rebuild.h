// SPDX-License-Identifier: Apache-2.0
// Rebuild: the one way a pass changes a graph. It walks the old graph in order and writes a new one.
#ifndef LEAT_IR_REBUILD_H_
#define LEAT_IR_REBUILD_H_

#include "ir/build.h"

typedef struct leat_rebuild_s {
  const leat_graph_t *from;
  leat_builder_t b;      // writes to the new graph
  leat_value_id_t *map;  // old value -> new value; LEAT_NONE: dropped
  void *user;
} leat_rebuild_t;

// For each op of the old graph, in order: provenance of `b` is set from it, then `visit` is called. It either writes
// replacement ops and sets r->map for every result, or calls leat_rebuild_copy. Symbols, origins, blobs and bodies are
// copied with their indices before the walk. A failure, returned or left in `b`, is annotated with the op it happened
// at.
typedef leat_status_t (*leat_rebuild_visit_t)(leat_rebuild_t *r, leat_op_id_t op);
leat_status_t leat_rebuild(const leat_graph_t *from, leat_rebuild_visit_t visit, void *user,
                           leat_graph_t **out_graph) LEAT_MUST_USE;
// Copies the op with its inputs mapped.
leat_status_t leat_rebuild_copy(leat_rebuild_t *r, leat_op_id_t op) LEAT_MUST_USE;
// Appends to b->graph an op of another graph, with those operands, what its attributes name (the bytes of a constant,
// bodies of loops) and the place of `b`. It names no symbol.
leat_status_t leat_graph_import_op(leat_builder_t *b, const leat_graph_t *from, const leat_op_t *op,
                                   const leat_value_id_t *inputs, leat_op_id_t *out_op) LEAT_MUST_USE;
// The streams of a draw move on by `streams`; of any other op, nothing does.
void leat_graph_shift_stream(leat_graph_t *g, leat_op_id_t op, int64_t streams);
// The same with one attribute more, whose key comes after all that the op has.
leat_status_t leat_rebuild_copy_with(leat_rebuild_t *r, leat_op_id_t op, const leat_attr_t *attr) LEAT_MUST_USE;
// Appends an op of the old graph, which has one result, once more: with other operands, as one of a type and a group.
leat_status_t leat_rebuild_again(leat_rebuild_t *r, const leat_op_t *op, const leat_value_id_t *inputs, uint8_t type,
                                 uint32_t group, leat_value_id_t *out_value) LEAT_MUST_USE;
static inline leat_value_id_t leat_rebuild_input(const leat_rebuild_t *r, const leat_op_t *op, uint32_t i) {
  leat_value_id_t v = leat_op_input(r->from, op, i);
  return v == LEAT_NONE ? LEAT_NONE : r->map[v];
}

#endif
