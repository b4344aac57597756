// SPDX-License-Identifier: Apache-2.0
// The row relation of every primitive: one short function a word of the column `rows` of op.def.
#include "space/rows.h"

#include "arch/blocks.h"

typedef uint32_t (*relation_t)(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input);

static const leat_value_t *result_of(const leat_graph_t *g, const leat_op_t *op) {
  return leat_graph_value(g, op->result_first);
}

static const leat_value_t *input_of(const leat_graph_t *g, const leat_op_t *op, uint32_t i) {
  return leat_graph_value(g, leat_op_input(g, op, i));
}

static bool list_has(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, uint32_t dim) {
  uint32_t count;
  const int64_t *list = leat_op_list(g, op, key, &count);
  for (uint32_t i = 0; i < count; ++i) {
    if (list[i] == (int64_t)dim) return true;
  }
  return false;
}

static uint32_t rows_map(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  return input_of(g, op, input)->dims[dim] == result_of(g, op)->dims[dim] ? dim : LEAT_ROWS_WHOLE;
}

static uint32_t rows_reduce(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  (void)input;
  return list_has(g, op, LEAT_ATTR_DIMS, dim) ? LEAT_ROWS_ILLEGAL : dim;
}

static uint32_t rows_one_dim(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  (void)input;
  return leat_op_int(g, op, LEAT_ATTR_DIM, 0) == (int64_t)dim ? LEAT_ROWS_ILLEGAL : dim;
}

static uint32_t rows_contract(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  const leat_spec_t *spec = leat_op_spec(g, op);
  const bool is_scale = input == 2;  // of operand 1
  int position = leat_spec_find(spec, is_scale ? 1 : input, spec->letters[2][dim]);
  if (is_scale && position >= 0 && input_of(g, op, 2)->dims[position] != result_of(g, op)->dims[dim]) position = -1;
  return position < 0 ? LEAT_ROWS_WHOLE : (uint32_t)position;
}

// Images, or output channels.
static uint32_t rows_conv(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  (void)g, (void)op;
  if (dim > 1) return LEAT_ROWS_ILLEGAL;
  return (input == 0) == (dim == 0) ? 0 : LEAT_ROWS_WHOLE;
}

// Batches, or output channels.
static uint32_t rows_conv_wgrad(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  const uint32_t batch = (uint32_t)leat_op_int(g, op, LEAT_ATTR_BATCH, 0);
  if (dim < batch) return dim;
  if (dim != batch) return LEAT_ROWS_ILLEGAL;
  return input == 0 ? LEAT_ROWS_WHOLE : batch + 1;
}

static uint32_t rows_pool(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  (void)input;
  uint32_t spatial;
  leat_op_list(g, op, LEAT_ATTR_WINDOW, &spatial);
  return dim + spatial < result_of(g, op)->rank ? dim : LEAT_ROWS_ILLEGAL;
}

// x: B++P++[D]++S, index: B++I, result: B++P++I++S.
static uint32_t rows_gather(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  uint32_t axis = (uint32_t)leat_op_int(g, op, LEAT_ATTR_DIM, 0);
  uint32_t batch = (uint32_t)leat_op_int(g, op, LEAT_ATTR_BATCH, 0);
  uint32_t index_rank = input_of(g, op, 1)->rank - batch;
  if (dim < batch) return dim;
  if (dim < axis) return input == 0 ? dim : LEAT_ROWS_WHOLE;
  if (dim < axis + index_rank) return input == 0 ? LEAT_ROWS_WHOLE : dim - axis + batch;
  return input == 0 ? dim - index_rank + 1 : LEAT_ROWS_WHOLE;
}

// Rows run along the table where an index moves enough: every tile looks at all indices.
static bool scatter_by_table_rows(const leat_graph_t *g, const leat_op_t *op, uint32_t axis) {
  const leat_value_t *table = result_of(g, op);
  int64_t run = 1;
  for (uint32_t dim = axis + 1; dim < table->rank; ++dim) run *= table->dims[dim];
  return leat_op_int(g, op, LEAT_ATTR_BATCH, 0) == 0 && run >= SCATTER_RUN_MIN;
}

// x (and the result): B++P++[D]++S; index: B++I; updates: B++P++I++S.
static uint32_t rows_scatter(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  uint32_t axis = (uint32_t)leat_op_int(g, op, LEAT_ATTR_DIM, 0);
  uint32_t batch = (uint32_t)leat_op_int(g, op, LEAT_ATTR_BATCH, 0);
  uint32_t index_rank = input_of(g, op, 1)->rank - batch;
  if (dim == axis && !scatter_by_table_rows(g, op, axis)) return LEAT_ROWS_ILLEGAL;
  if (input == 0) return dim;
  if (dim == axis) return LEAT_ROWS_WHOLE;
  if (dim < batch) return dim;
  if (input == 1) return LEAT_ROWS_WHOLE;
  return dim < axis ? dim : dim - 1 + index_rank;
}

static uint32_t rows_pad(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  return input_of(g, op, input)->dims[dim] == result_of(g, op)->dims[dim] &&
                 leat_op_list(g, op, LEAT_ATTR_LOW, &(uint32_t){0})[dim] == 0
             ? dim
             : LEAT_ROWS_ILLEGAL;
}

static uint32_t rows_random(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  (void)input;
  const leat_value_t *result = result_of(g, op);
  for (uint32_t i = 0; i < dim; ++i) {
    if (result->dims[i] != 1) return LEAT_ROWS_ILLEGAL;  // a tile must be one run of elements
  }
  return LEAT_ROWS_WHOLE;
}

// Heads, or queries: a mask goes with them where it has them.
static uint32_t rows_attention(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  const leat_value_t *result = result_of(g, op), *x = input_of(g, op, input);
  if (dim + 1 == result->rank) return LEAT_ROWS_ILLEGAL;
  const bool reads_all = x->rank != result->rank || (dim + 2 == result->rank && (input == 1 || input == 2));
  return reads_all || x->dims[dim] != result->dims[dim] ? LEAT_ROWS_WHOLE : dim;
}

static uint32_t rows_attention_grad(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  const leat_value_t *result = result_of(g, op), *x = input_of(g, op, input);
  if (dim + 2 >= result->rank) return LEAT_ROWS_ILLEGAL;
  return x->rank != result->rank || x->dims[dim] != result->dims[dim] ? LEAT_ROWS_WHOLE : dim;
}

// The column `rows` of op.def.
#define rows_none NULL
static const relation_t relation_table[LEAT_PRIM_COUNT] = {
#define PRIM(e, n, lo, hi, r, a, role, products, again, rows, ...) [LEAT_PRIM_##e] = rows_##rows,
#include "ir/op.def"
#undef PRIM
};

uint32_t leat_rows_operand_dim(const leat_graph_t *g, const leat_op_t *op, uint32_t dim, uint32_t input) {
  assert(leat_op_is_primitive(op->kind) && relation_table[op->kind] != NULL);
  return relation_table[op->kind](g, op, dim, input);
}

bool leat_rows_legal(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (leat_rows_operand_dim(g, op, dim, i) == LEAT_ROWS_ILLEGAL) return false;
  }
  return true;
}

uint32_t leat_rows_first(const leat_graph_t *g, const leat_op_t *op) {
  const leat_value_t *result = result_of(g, op);
  for (uint32_t dim = 0; dim < result->rank; ++dim) {
    if (result->dims[dim] > 1 && leat_rows_legal(g, op, dim)) return dim;
  }
  return LEAT_NONE;
}
