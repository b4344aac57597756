// SPDX-License-Identifier: Apache-2.0
// What the files of columns.c share: a product that is made by chunks of columns, and how what hangs on it ends.
#ifndef LEAT_OPT_COLUMNS_H_
#define LEAT_OPT_COLUMNS_H_

#include "ir/rebuild.h"

enum { LEAT_EXITS_MAX = 64 };  // of one product

typedef struct leat_columns_s {
  const leat_graph_t *g;
  leat_op_id_t product;
  bool forward;                  // it is about what forward makes of the product, not about what backward does
  uint32_t weights, letter_dim;  // of the product: the operand that has the columns, and which of its dims they are
  int64_t extent, chunk;         // columns of the product and of a chunk
  uint8_t *follows;              // per value: 1 + the dim that is columns, of what hangs on the product; 0
  uint8_t *remade;               // per value: 1 + the dim that is columns, of what each chunk makes; 0
  leat_op_id_t exits[LEAT_EXITS_MAX];
  uint32_t exit_count;
  leat_op_id_t place;      // in front of this op all is made
  leat_value_id_t *made;   // per value that is remade: of the chunk under way
  leat_value_id_t *parts;  // per exit and chunk
  uint32_t chunk_count, first_group;
} leat_columns_t;

// An op behind the last one that leaves columns apart. `r->user` is the columns, `at` to `end` those of a chunk.
typedef struct leat_columns_exit_s {
  bool (*suits)(const leat_columns_t *c, const leat_op_t *op);
  void (*want)(leat_columns_t *c, const leat_op_t *op);        // notes what a chunk reads for it
  bool (*adds)(const leat_columns_t *c, const leat_op_t *op);  // a part is added to those of the chunks before
  leat_value_id_t (*part)(leat_rebuild_t *r, const leat_op_t *op, int64_t at, int64_t end);
  leat_value_id_t (*end)(leat_rebuild_t *r, const leat_op_t *op, const leat_value_id_t *parts);  // one a chunk
} leat_columns_exit_t;

// NULL: `op`, which hangs on the product, is none (columns_exit.c).
const leat_columns_exit_t *leat_columns_exit(const leat_columns_t *c, const leat_op_t *op);

static inline const leat_op_t *leat_columns_maker(const leat_graph_t *g, leat_value_id_t v) {
  return leat_graph_op(g, leat_graph_value(g, v)->op);
}
static inline const leat_value_t *leat_columns_result(const leat_graph_t *g, const leat_op_t *op) {
  return leat_graph_value(g, op->result_first);
}
static inline bool leat_columns_is_exact(const leat_value_t *v) { return v->dtype == LEAT_F32 || v->dtype == LEAT_F64; }
// The dim of the columns in operand `input`; LEAT_NONE: it does not hang on the product.
static inline uint32_t leat_columns_of(const leat_columns_t *c, const leat_op_t *op, uint32_t input) {
  const leat_value_id_t v = leat_op_input(c->g, op, input);
  return v == LEAT_NONE || c->follows[v] == 0 ? LEAT_NONE : c->follows[v] - 1u;
}

// What the product sums or keeps for each column.
static inline char leat_columns_letter(const leat_columns_t *c) {
  return leat_op_spec(c->g, leat_graph_op(c->g, c->product))->letters[c->weights][c->letter_dim];
}

// The dim of the result that has the columns of all operands which hang on the product; LEAT_NONE: there is none, or
// the op does not leave columns apart.
uint32_t leat_columns_follow(const leat_columns_t *c, const leat_op_t *op);
// Notes that a chunk reads columns of `v` along `dim`; of what a product has along a letter; what it reads to make
// columns of the result, of which `dim` is remade.
void leat_columns_want(leat_columns_t *c, leat_value_id_t v, uint32_t dim);
void leat_columns_want_contract(leat_columns_t *c, const leat_op_t *op, char letter);
void leat_columns_want_follower(leat_columns_t *c, const leat_op_t *op, uint32_t dim);
// Columns of `v` along `dim`; all of it where it has none there.
leat_value_id_t leat_columns_at(leat_rebuild_t *r, leat_value_id_t v, uint32_t dim, int64_t at, int64_t end);
// The product `op` of columns along `letter`.
leat_value_id_t leat_columns_contract(leat_rebuild_t *r, const leat_op_t *op, char letter, int64_t at, int64_t end);
// Makes columns of the result of `id`, into c->made.
void leat_columns_remake(leat_rebuild_t *r, leat_op_id_t id, int64_t at, int64_t end);

#endif
