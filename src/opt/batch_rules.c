// SPDX-License-Identifier: Apache-2.0
// See batch_rules.h.
#include "opt/batch_rules.h"

static const char ALONG[] = "works along the batch dim";

static const char *unknown(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  (void)g, (void)op, (void)input, (void)dim;
  return "is not known to treat every row by itself";
}

static const char *never(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  (void)g, (void)op, (void)input, (void)dim;
  return NULL;
}

static uint32_t operand_rank(const leat_graph_t *g, const leat_op_t *op, uint32_t input) {
  return leat_graph_value(g, leat_op_input(g, op, input))->rank;
}

static const char *along_dim(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  (void)input;
  return leat_op_int(g, op, LEAT_ATTR_DIM, 0) == (int64_t)dim ? ALONG : NULL;
}

static const char *along_dims(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  (void)input;
  uint32_t count;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; ++i) {
    if (dims[i] == (int64_t)dim) return ALONG;
  }
  return NULL;
}

// Images and sequences of features: the batch is the first dim, or the operand (weights, statistics) has none.
static const char *but_first(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  (void)g, (void)op;
  return dim == 0 && input == 0 ? NULL : "has the batch where it expects channels, positions or weights";
}

// x[T,B,I], states [B,H], one a result behind the output, then weights, and a mask [T,B] at the end.
static const char *recurrent(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  const bool state = input != 0 && input < op->result_count;
  const bool weight = input >= op->result_count && leat_graph_value(g, leat_op_input(g, op, input))->dtype != LEAT_BOOL;
  return weight || dim != (state ? 0 : 1) ? "has the batch where it expects steps or weights" : NULL;
}

// Rows x and states, then weights.
static const char *but_weights(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  (void)g;
  return input <= op->result_count && dim == 0 ? NULL : "has the batch where it expects features or weights";
}

static const char *batch_norm(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  if (leat_op_int(g, op, LEAT_ATTR_TRAINING, 0) != 0) return "normalises with the statistics of the whole batch";
  return but_first(g, op, input, dim);
}

static const char *matrices(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  return dim + 2 < operand_rank(g, op, input) ? NULL : ALONG;
}

// Lines along the last dim of operand 0, for rows of the other.
static const char *lines(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  return input == 0 && dim + 1 == operand_rank(g, op, 0) ? ALONG : NULL;
}

// Slices must take all of the batch.
static const char *sliced(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  uint32_t count;
  const leat_value_t *x = leat_graph_value(g, leat_op_input(g, op, input));
  const int64_t *start = leat_op_list(g, op, LEAT_ATTR_START, &count);
  if (dim < count && start[dim] != 0) return ALONG;
  const int64_t *stop = leat_op_list(g, op, LEAT_ATTR_STOP, &count);
  if (dim < count && stop[dim] != x->dims[dim]) return ALONG;
  const int64_t *step = leat_op_list(g, op, LEAT_ATTR_STEP, &count);
  return dim < count && step[dim] != 1 ? ALONG : NULL;
}

static const char *padded(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  (void)input;
  uint32_t low_count, high_count;
  const int64_t *low = leat_op_list(g, op, LEAT_ATTR_LOW, &low_count);
  const int64_t *high = leat_op_list(g, op, LEAT_ATTR_HIGH, &high_count);
  return (dim < low_count && low[dim] != 0) || (dim < high_count && high[dim] != 0) ? ALONG : NULL;
}

static const char *repeated(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  uint32_t count;
  const int64_t *repeats = leat_op_list(g, op, LEAT_ATTR_SHAPE, &count);
  const uint32_t at = count - operand_rank(g, op, input) + dim;
  return at < count && repeats[at] != 1 ? ALONG : NULL;
}

static const char *table_lookup(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  (void)g, (void)op, (void)dim;
  return input == 0 ? "looks up rows of the batch" : NULL;
}

// x[.., i, ..]: an index at the place of the batch picks rows, unless it names every row in order.
static const char *indexed(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  const uint32_t first = leat_batch_rule(op->kind)->first_index;
  if (input >= first) return NULL;
  const leat_value_id_t index = leat_op_input(g, op, first + dim);
  if (index == LEAT_NONE) return NULL;
  const leat_op_t *maker = leat_graph_op(g, leat_graph_value(g, index)->op);
  return leat_op_role(maker->kind) == LEAT_ROLE_SEQUENCE ? NULL : "picks rows of the batch";
}

static leat_batch_join_t join_loss(const leat_graph_t *g, const leat_op_t *op) {
  const bool sum = leat_op_word(g, op, LEAT_ATTR_REDUCTION, LEAT_REDUCTION_MEAN) == LEAT_REDUCTION_SUM;
  return sum ? LEAT_JOIN_FOLD : LEAT_JOIN_AVERAGE;
}

static leat_batch_join_t join_class_loss(const leat_graph_t *g, const leat_op_t *op) {
  const leat_batch_join_t join = join_loss(g, op);
  const bool labels = !leat_dtype_is_float((leat_dtype_t)leat_graph_value(g, leat_op_input(g, op, 1))->dtype);
  return join == LEAT_JOIN_AVERAGE && labels ? LEAT_JOIN_WEIGHTED : join;
}

// The words of the column `batch` of traced.def.
#define BATCH_unknown \
  { .couples = unknown }
#define BATCH_apart \
  { .couples = never }
#define BATCH_reshapes \
  { .couples = never, .reshapes = true }
#define BATCH_along_dim \
  { .couples = along_dim }
#define BATCH_along_dims \
  { .couples = along_dims }
#define BATCH_but_first \
  { .couples = but_first }
#define BATCH_matrices \
  { .couples = matrices }
#define BATCH_lines \
  { .couples = lines }
#define BATCH_sliced \
  { .couples = sliced }
#define BATCH_padded \
  { .couples = padded }
#define BATCH_repeated \
  { .couples = repeated }
#define BATCH_table_lookup \
  { .couples = table_lookup }
#define BATCH_indexed \
  { .couples = indexed, .first_index = 1 }
#define BATCH_index_put \
  { .couples = indexed, .first_index = 2 }
#define BATCH_recurrent \
  { .couples = recurrent }
#define BATCH_but_weights \
  { .couples = but_weights }
#define BATCH_batch_norm \
  { .couples = batch_norm, .passes = true }
#define BATCH_cotangent \
  { .couples = never, .stands_in = true }
#define BATCH_own_gradient \
  { .couples = never, .first_gradient = 2 }
#define BATCH_averages \
  { .couples = never, .join = LEAT_JOIN_AVERAGE }
#define BATCH_adds \
  { .couples = never, .join = LEAT_JOIN_FOLD, .fold = LEAT_TRACED_ADD }
#define BATCH_multiplies \
  { .couples = never, .join = LEAT_JOIN_FOLD, .fold = LEAT_TRACED_MUL }
#define BATCH_greatest \
  { .couples = never, .join = LEAT_JOIN_FOLD, .fold = LEAT_TRACED_MAXIMUM }
#define BATCH_least \
  { .couples = never, .join = LEAT_JOIN_FOLD, .fold = LEAT_TRACED_MINIMUM }
#define BATCH_any \
  { .couples = never, .join = LEAT_JOIN_FOLD, .fold = LEAT_TRACED_LOGICAL_OR }
#define BATCH_all \
  { .couples = never, .join = LEAT_JOIN_FOLD, .fold = LEAT_TRACED_LOGICAL_AND }
#define BATCH_loss \
  { .couples = never, .join_by = join_loss, .fold = LEAT_TRACED_ADD }
#define BATCH_class_loss \
  { .couples = never, .join_by = join_class_loss, .fold = LEAT_TRACED_ADD }

const leat_batch_rule_t *leat_batch_rule(uint32_t kind) {
  static const leat_batch_rule_t none = BATCH_unknown, rules[] = {
#define TRACED(e, n, lo, hi, r, a, own, lowering, role, products, batch, ...) BATCH_##batch,
#include "ir/traced.def"
#undef TRACED
                                                       };
  return leat_op_is_traced(kind) ? &rules[kind - LEAT_TRACED_FIRST] : &none;
}

leat_batch_join_t leat_batch_join(const leat_graph_t *g, const leat_op_t *op) {
  const leat_batch_rule_t *rule = leat_batch_rule(op->kind);
  return rule->join_by != NULL ? rule->join_by(g, op) : rule->join;
}
