// SPDX-License-Identifier: Apache-2.0
// See batch_rules.h.
#include "opt/batch_rules.h"

// Looks at the operand's batch dim; NULL: rows stay apart.
typedef const char *(*couples_t)(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim);

static const char ALONG[] = "works along the batch dim";

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

static const char *batch_norm(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  if (leat_op_int(g, op, LEAT_ATTR_TRAINING, 0) != 0) return "normalises with the statistics of the whole batch";
  return but_first(g, op, input, dim);
}

static const char *matrices(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  return dim + 2 < operand_rank(g, op, input) ? NULL : ALONG;
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
  const uint32_t first = op->kind == LEAT_TRACED_INDEX_PUT ? 2 : 1;
  if (input >= first) return NULL;
  const leat_value_id_t index = leat_op_input(g, op, first + dim);
  if (index == LEAT_NONE) return NULL;
  return leat_graph_op(g, leat_graph_value(g, index)->op)->kind == LEAT_TRACED_ARANGE ? NULL
                                                                                      : "picks rows of the batch";
}

// Ranges of the table of traced ops.
static const struct {
  uint16_t first, last;
  couples_t couples;
} rules[] = {
    {LEAT_TRACED_DROPOUT, LEAT_TRACED_DETACH, never},
    {LEAT_TRACED_NEG, LEAT_TRACED_ADDCDIV, never},
    {LEAT_TRACED_SUM, LEAT_TRACED_LOGSUMEXP, never},  // their results tell: they have the batch or not
    {LEAT_TRACED_CUMSUM, LEAT_TRACED_LOG_SOFTMAX, along_dim},
    {LEAT_TRACED_LAYER_NORM, LEAT_TRACED_RMS_NORM, along_dims},
    {LEAT_TRACED_BATCH_NORM, LEAT_TRACED_BATCH_NORM, batch_norm},
    {LEAT_TRACED_GROUP_NORM, LEAT_TRACED_INSTANCE_NORM, but_first},
    {LEAT_TRACED_CROSS_ENTROPY, LEAT_TRACED_KL_DIV, never},
    {LEAT_TRACED_MATMUL, LEAT_TRACED_OUTER, never},
    {LEAT_TRACED_SDPA, LEAT_TRACED_SDPA, matrices},
    {LEAT_TRACED_CONV, LEAT_TRACED_PIXEL_SHUFFLE, but_first},
    {LEAT_TRACED_RESHAPE, LEAT_TRACED_UNSQUEEZE, never},
    {LEAT_TRACED_GETITEM, LEAT_TRACED_GETITEM, sliced},
    {LEAT_TRACED_SELECT, LEAT_TRACED_SELECT, along_dim},
    {LEAT_TRACED_NARROW, LEAT_TRACED_SPLIT, sliced},
    {LEAT_TRACED_FLIP, LEAT_TRACED_FLIP, along_dims},
    {LEAT_TRACED_CAT, LEAT_TRACED_CAT, along_dim},
    {LEAT_TRACED_STACK, LEAT_TRACED_STACK, never},
    {LEAT_TRACED_PAD, LEAT_TRACED_PAD, padded},
    {LEAT_TRACED_REPEAT, LEAT_TRACED_REPEAT, repeated},
    {LEAT_TRACED_REPEAT_INTERLEAVE, LEAT_TRACED_REPEAT_INTERLEAVE, along_dim},
    {LEAT_TRACED_ROLL, LEAT_TRACED_ROLL, along_dims},
    {LEAT_TRACED_TRIL, LEAT_TRACED_TRIU_FILL, matrices},
    {LEAT_TRACED_DIAGONAL, LEAT_TRACED_DIAGONAL, along_dims},
    {LEAT_TRACED_UNFOLD, LEAT_TRACED_UNFOLD, along_dim},
    {LEAT_TRACED_EMBEDDING, LEAT_TRACED_EMBEDDING, table_lookup},
    {LEAT_TRACED_INDEX_SELECT, LEAT_TRACED_INDEX_ADD, along_dim},
    {LEAT_TRACED_INDEX, LEAT_TRACED_INDEX_PUT, indexed},
    {LEAT_TRACED_SLICE_SCATTER, LEAT_TRACED_SLICE_SCATTER, sliced},
    {LEAT_TRACED_ONE_HOT, LEAT_TRACED_ONE_HOT, never},
    {LEAT_TRACED_TOPK, LEAT_TRACED_ARGSORT, along_dim},
};

const char *leat_batch_couples(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  for (size_t i = 0; i < sizeof rules / sizeof *rules; ++i) {
    if (op->kind >= rules[i].first && op->kind <= rules[i].last) return rules[i].couples(g, op, input, dim);
  }
  return "is not known to treat every row by itself";
}

bool leat_batch_reshapes(uint32_t kind) {
  return kind == LEAT_TRACED_RESHAPE || kind == LEAT_TRACED_VIEW || kind == LEAT_TRACED_FLATTEN ||
         kind == LEAT_TRACED_SQUEEZE || kind == LEAT_TRACED_UNSQUEEZE;
}

static const struct {
  uint16_t kind, fold;  // fold 0: average
} joins[] = {
    {LEAT_TRACED_SUM, LEAT_TRACED_ADD},         {LEAT_TRACED_MEAN, 0},
    {LEAT_TRACED_AMAX, LEAT_TRACED_MAXIMUM},    {LEAT_TRACED_AMIN, LEAT_TRACED_MINIMUM},
    {LEAT_TRACED_PROD, LEAT_TRACED_MUL},        {LEAT_TRACED_ANY, LEAT_TRACED_LOGICAL_OR},
    {LEAT_TRACED_ALL, LEAT_TRACED_LOGICAL_AND}, {LEAT_TRACED_MATMUL, LEAT_TRACED_ADD},
    {LEAT_TRACED_BMM, LEAT_TRACED_ADD},         {LEAT_TRACED_EINSUM, LEAT_TRACED_ADD},
};

static leat_batch_join_t join_losses(const leat_graph_t *g, const leat_op_t *op, uint32_t *out_fold) {
  const char *reduction = leat_op_string(g, op, LEAT_ATTR_REDUCTION, "mean");
  *out_fold = LEAT_TRACED_ADD;
  if (strcmp(reduction, "sum") == 0) return LEAT_JOIN_FOLD;
  const bool classes = op->kind == LEAT_TRACED_CROSS_ENTROPY || op->kind == LEAT_TRACED_NLL_LOSS;
  const bool labels = !leat_dtype_is_float((leat_dtype_t)leat_graph_value(g, leat_op_input(g, op, 1))->dtype);
  return classes && labels ? LEAT_JOIN_WEIGHTED : LEAT_JOIN_AVERAGE;
}

leat_batch_join_t leat_batch_join(const leat_graph_t *g, const leat_op_t *op, uint32_t *out_fold) {
  if (op->kind >= LEAT_TRACED_CROSS_ENTROPY && op->kind <= LEAT_TRACED_KL_DIV) return join_losses(g, op, out_fold);
  for (size_t i = 0; i < sizeof joins / sizeof *joins; ++i) {
    if (joins[i].kind != op->kind) continue;
    *out_fold = joins[i].fold;
    return joins[i].fold == 0 ? LEAT_JOIN_AVERAGE : LEAT_JOIN_FOLD;
  }
  return LEAT_JOIN_NONE;
}
