// SPDX-License-Identifier: Apache-2.0
// Stages of the ops that are neither elementwise nor contractions: one short function a kind, in a table.
#include "base/loops.h"
#include "ir/attention.h"
#include "map/draft_stages.h"
#include "map/strip.h"
#include "space/rows.h"
#include "space/stage.h"

typedef void (*draft_fn_t)(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op);

// Neighbouring dims that are both reduced or both kept, and contiguous on both sides, become one: longer runs.
// Returns where `row_dim` went.
static uint32_t merge_reduced(leat_access_t *in, leat_access_t *out, uint32_t *mask, uint32_t row_dim) {
  int64_t strides[2][LEAT_RANK_MAX];
  memcpy(strides[0], in->strides, sizeof strides[0]);
  memcpy(strides[1], out->strides, sizeof strides[1]);
  uint32_t places[LEAT_RANK_MAX], merged_mask = 0;
  uint32_t apart = (*mask ^ *mask << 1) | (row_dim == LEAT_ROWS_WHOLE ? 0 : 1u << row_dim);
  leat_loops_t loops = {in->rank, in->dims, 2, LEAT_RANK_MAX, &strides[0][0]};
  leat_loops_merge(&loops, apart, places);
  for (uint32_t i = 0; i < in->rank; ++i) merged_mask |= (*mask >> i & 1) << places[i];
  memcpy(in->strides, strides[0], sizeof strides[0]);
  memcpy(out->strides, strides[1], sizeof strides[1]);
  memcpy(out->dims, in->dims, sizeof out->dims);
  in->rank = out->rank = loops.count;
  *mask = merged_mask;
  return row_dim == LEAT_ROWS_WHOLE ? LEAT_ROWS_WHOLE : places[row_dim];
}

static void draft_reduce(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  uint32_t count, mask = 0;
  const int64_t *dims = leat_op_list(d->g, op, LEAT_ATTR_DIMS, &count);
  uint8_t fn = (uint8_t)leat_stage_fn(d->g, op);
  leat_dtype_t dtype = (leat_dtype_t)leat_graph_value(d->g, leat_op_input(d->g, op, 0))->dtype;
  leat_access_t in = leat_draft_access(d, leat_op_input(d->g, op, 0)), out = leat_draft_access(d, op->result_first);
  for (uint32_t i = 0; i < count; ++i) {
    mask |= 1u << dims[i];
    out.strides[dims[i]] = 0;
  }
  uint32_t row_dim = merge_reduced(&in, &out, &mask, d->plan->row_dim[id]);
  pef_stage_t *stage = leat_draft_stage(d, PEF_STAGE_REDUCE, id);
  stage->fn = fn;
  stage->params.reduce.dims = mask;
  if (fn == PEF_FN_SUM && leat_dtype_is_float(dtype)) stage->params.reduce.chain = PEF_CHAIN_SUM;
  leat_draft_value(d, &in, row_dim, false);
  leat_draft_value(d, &out, row_dim, true);
}

static void draft_scan(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  uint8_t fn = (uint8_t)leat_stage_fn(d->g, op);
  pef_stage_t *stage = leat_draft_stage(d, PEF_STAGE_SCAN, id);
  stage->fn = fn;
  stage->params.scan.dim = leat_op_int(d->g, op, LEAT_ATTR_DIM, 0);
  stage->params.scan.reverse = leat_op_int(d->g, op, LEAT_ATTR_REVERSE, 0);
  const bool wide = leat_graph_value(d->g, op->result_first)->dtype == LEAT_F32 && fn <= PEF_FN_PROD;
  stage->params.scan.wide = wide;  // as PyTorch does
  leat_draft_input(d, id, 0);
  leat_draft_result(d, id, 0);
}

static void draft_sort(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  pef_stage_t *stage = leat_draft_stage(d, PEF_STAGE_SORT, id);
  stage->params.sort.dim = leat_op_int(d->g, op, LEAT_ATTR_DIM, 0);
  stage->params.sort.descending = leat_op_int(d->g, op, LEAT_ATTR_DESCENDING, 0);
  leat_draft_input(d, id, 0);
  leat_draft_result(d, id, 0);
  leat_draft_result(d, id, 1);
}

// One word a dim, where the op has the attribute.
static void set_words(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, int64_t otherwise, int64_t count,
                      int64_t *out) {
  uint32_t given;
  const int64_t *list = leat_op_list(g, op, key, &given);
  for (int64_t k = 0; k < count; ++k) out[k] = list != NULL && k < given ? list[k] : otherwise;
}

// `window` comes from the weights where the op has no such attribute.
static void set_window(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *weights, pef_window_t *w) {
  uint32_t spatial;
  leat_op_list(g, op, LEAT_ATTR_STRIDE, &spatial);
  w->spatial = spatial;
  w->groups = leat_op_int(g, op, LEAT_ATTR_GROUPS, 1);
  set_words(g, op, LEAT_ATTR_WINDOW, 1, spatial, w->window);
  set_words(g, op, LEAT_ATTR_STRIDE, 1, spatial, w->stride);
  set_words(g, op, LEAT_ATTR_LOW, 0, spatial, w->low);
  set_words(g, op, LEAT_ATTR_HIGH, 0, spatial, w->high);
  set_words(g, op, LEAT_ATTR_DILATION, 1, spatial, w->dilation);
  set_words(g, op, LEAT_ATTR_BASE_DILATION, 1, spatial, w->base_dilation);
  for (uint32_t k = 0; k < spatial && weights != NULL; ++k) w->window[k] = weights->dims[2 + k];
}

// Of more terms than a chain has: blocks of whole channels, as many as fit, which kernels find side by side.
static int64_t conv_chain(const leat_value_t *weights) {
  int64_t window = 1;
  for (uint32_t dim = 2; dim < weights->rank; ++dim) window *= weights->dims[dim];
  if (weights->dims[1] * window <= PEF_CHAIN_PRODUCT || window > PEF_CHAIN_MAX) return 0;
  return window < PEF_CHAIN_PRODUCT ? PEF_CHAIN_PRODUCT / window * window : window;
}

static void draft_window(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op, uint32_t kind,
                         const leat_value_t *weights) {
  bool pool = kind == PEF_STAGE_POOL || kind == PEF_STAGE_POOL_GRAD;
  uint8_t fn = pool ? (uint8_t)leat_stage_fn(d->g, op) : 0;
  pef_stage_t *stage = leat_draft_stage(d, kind, id);
  stage->fn = fn;
  set_window(d->g, op, weights, &stage->params.window);
  if (kind == PEF_STAGE_CONV) stage->params.conv.chain = conv_chain(weights);
  if (kind == PEF_STAGE_CONV_WGRAD) {
    stage->params.conv_wgrad.batch = leat_op_int(d->g, op, LEAT_ATTR_BATCH, 0);
    stage->params.conv_wgrad.chain = PEF_CHAIN_PRODUCT;
  }
  for (uint32_t i = 0; i < op->input_count; ++i) leat_draft_input(d, id, i);
  leat_draft_result(d, id, 0);
}

static void draft_conv(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  draft_window(d, id, op, PEF_STAGE_CONV, leat_graph_value(d->g, leat_op_input(d->g, op, 1)));
}
static void draft_conv_wgrad(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  draft_window(d, id, op, PEF_STAGE_CONV_WGRAD, NULL);
}
static void draft_pool(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  draft_window(d, id, op, PEF_STAGE_POOL, NULL);
}
static void draft_pool_grad(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  draft_window(d, id, op, PEF_STAGE_POOL_GRAD, NULL);
}

static void draft_gather(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  pef_stage_t *stage = leat_draft_stage(d, PEF_STAGE_GATHER, id);
  stage->params.gather.dim = leat_op_int(d->g, op, LEAT_ATTR_DIM, 0);
  stage->params.gather.batch = leat_op_int(d->g, op, LEAT_ATTR_BATCH, 0);
  leat_draft_input(d, id, 0);
  leat_draft_input(d, id, 1);
  leat_draft_result(d, id, 0);
}

static void draft_search(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  pef_stage_t *stage = leat_draft_stage(d, PEF_STAGE_SEARCH, id);
  stage->params.search.dim = leat_op_int(d->g, op, LEAT_ATTR_DIM, 0);
  stage->params.search.batch = leat_op_int(d->g, op, LEAT_ATTR_BATCH, 0);
  stage->params.search.right = leat_op_word(d->g, op, LEAT_ATTR_FN, LEAT_SCALAR_GE) == LEAT_SCALAR_GT;
  leat_draft_input(d, id, 0);
  leat_draft_input(d, id, 1);
  leat_draft_result(d, id, 0);
}

// A MAP stage that copies input `i` into the part of the result that `part` describes, or fills it where the input is
// a number.
static void draft_part(leat_draft_t *d, leat_op_id_t id, const leat_access_t *from, uint32_t input,
                       const leat_access_t *part) {
  const leat_op_t *op = leat_graph_op(d->g, id);
  const uint32_t dim = d->plan->row_dim[id], dtype = leat_graph_value(d->g, op->result_first)->dtype;
  const bool whole = dim == LEAT_ROWS_WHOLE;
  double number;
  const bool fills = leat_op_splat(d->g, leat_graph_op(d->g, leat_graph_value(d->g, from->base)->op), &number);
  leat_draft_stage(d, PEF_STAGE_MAP, id);
  if (!fills) leat_draft_value(d, from, whole ? dim : leat_rows_operand_dim(d->g, op, dim, input), false);
  leat_draft_value(d, part, dim, true);
  if (fills)
    leat_strip_fill(d, dtype, number);
  else
    leat_strip_copy(d, dtype);
}

// The result starts as a copy of the operand.
static void draft_scatter(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  const leat_access_t from = leat_draft_access(d, leat_op_input(d->g, op, 0));
  const leat_access_t result = leat_draft_access(d, op->result_first);
  draft_part(d, id, &from, 0, &result);
  uint8_t fn = (uint8_t)leat_stage_fn(d->g, op);
  pef_stage_t *stage = leat_draft_stage(d, PEF_STAGE_SCATTER, id);
  stage->fn = fn;
  stage->params.scatter.dim = leat_op_int(d->g, op, LEAT_ATTR_DIM, 0);
  stage->params.scatter.batch = leat_op_int(d->g, op, LEAT_ATTR_BATCH, 0);
  leat_draft_input(d, id, 1);
  leat_draft_input(d, id, 2);
  leat_draft_result(d, id, 0);
}

static void draft_random(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  bool normal = leat_op_word(d->g, op, LEAT_ATTR_FN, LEAT_DRAW_UNIFORM) == LEAT_DRAW_NORMAL;
  pef_stage_t *stage = leat_draft_stage(d, PEF_STAGE_RANDOM, id);
  stage->fn = normal ? PEF_FN_NORMAL : PEF_FN_UNIFORM;
  stage->params.random.stream = leat_op_int(d->g, op, LEAT_ATTR_STREAM, 0);
  leat_draft_input(d, id, 0);
  leat_draft_result(d, id, 0);
}

// Of what is not made there already.
static void draft_concat(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  uint32_t dim = (uint32_t)leat_op_int(d->g, op, LEAT_ATTR_DIM, 0);
  int64_t at = 0;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_access_t from = leat_draft_access(d, leat_op_input(d->g, op, i));
    leat_access_t part = leat_draft_access(d, op->result_first);
    part.offset = at * part.strides[dim];
    part.dims[dim] = from.dims[dim];
    at += from.dims[dim];
    const bool is_made = d->concats != NULL && d->concats->of[from.base].whole == op->result_first;
    if (from.dims[dim] > 0 && !is_made) draft_part(d, id, &from, i, &part);
  }
}

// Positions 0, i+1, 2(i+1), .. shifted by `low`; negative padding crops. Narrows both sides to the part that is kept.
static bool place_padded(int64_t low, int64_t interior, int64_t result_extent, uint32_t dim, leat_access_t *from,
                         leat_access_t *part) {
  int64_t step = interior + 1, first = 0;
  if (low < 0) first = (-low + step - 1) / step;
  int64_t last = (result_extent - 1 - low) / step;
  if (result_extent - 1 - low < 0) return false;
  if (last > from->dims[dim] - 1) last = from->dims[dim] - 1;
  if (last < first) return false;
  from->offset += first * from->strides[dim];
  part->offset += (low + first * step) * part->strides[dim];
  from->dims[dim] = part->dims[dim] = last - first + 1;
  part->strides[dim] *= step;
  return true;
}

static void draft_pad(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  const leat_graph_t *g = d->g;
  uint32_t count, interior_count;
  const int64_t *low = leat_op_list(g, op, LEAT_ATTR_LOW, &count);
  const int64_t *interior = leat_op_list(g, op, LEAT_ATTR_INTERIOR, &interior_count);
  const leat_value_t *result = leat_graph_value(g, op->result_first);
  leat_draft_stage(d, PEF_STAGE_MAP, id);
  leat_draft_result(d, id, 0);
  leat_strip_fill(d, result->dtype, leat_op_float(g, op, LEAT_ATTR_VALUE, 0.0));
  leat_access_t from = leat_draft_access(d, leat_op_input(g, op, 0)), part = leat_draft_access(d, op->result_first);
  for (uint32_t i = 0; i < result->rank; ++i) {
    if (!place_padded(low[i], i < interior_count ? interior[i] : 0, result->dims[i], i, &from, &part)) return;
  }
  draft_part(d, id, &from, 0, &part);
}

// Input `i`, broadcast to the dims b of the result, and where it is a mask to `rows` and `columns`; LEAT_NONE: absent.
static void draft_scored(leat_draft_t *d, leat_op_id_t id, uint32_t i, int64_t rows, int64_t columns) {
  const leat_op_t *op = leat_graph_op(d->g, id);
  if (i == LEAT_NONE) {
    leat_draft_absent(d);
    return;
  }
  const leat_value_t *all = leat_graph_value(d->g, op->result_first);
  leat_access_t access = leat_draft_access(d, leat_op_input(d->g, op, i));
  for (uint32_t dim = 0; dim < access.rank; ++dim) {
    const int64_t wanted = dim + 2 < access.rank ? all->dims[dim] : dim + 2 == access.rank ? rows : columns;
    if (access.dims[dim] == wanted || wanted == 0) continue;
    access.dims[dim] = wanted;
    access.strides[dim] = 0;
  }
  const uint32_t row_dim = d->plan->row_dim[id];
  const bool whole = row_dim == LEAT_ROWS_WHOLE;
  leat_draft_value(d, &access, whole ? row_dim : leat_rows_operand_dim(d->g, op, row_dim, i), false);
}

static int64_t bits_of(float number) {
  uint32_t bits;
  memcpy(&bits, &number, sizeof bits);
  return bits;
}

static void draft_scores(leat_draft_t *d, leat_op_id_t id, uint32_t kind) {
  const leat_op_t *op = leat_graph_op(d->g, id);
  const leat_attention_places_t at = leat_attention_places(op->kind, op->input_count);
  const leat_value_t *q = leat_graph_value(d->g, leat_op_input(d->g, op, 0));
  const leat_value_t *v = leat_graph_value(d->g, leat_op_input(d->g, op, 2));
  uint32_t count;
  pef_attention_t *params = &leat_draft_stage(d, kind, id)->params.attention;
  params->block = PEF_ATTENTION_BLOCK;
  params->before = leat_op_list(d->g, op, LEAT_ATTR_LOW, &count)[0];
  params->after = leat_op_list(d->g, op, LEAT_ATTR_HIGH, &count)[0];
  params->stream = leat_op_int(d->g, op, LEAT_ATTR_STREAM, 0);
  params->scale = bits_of((float)leat_op_float(d->g, op, LEAT_ATTR_SCALE, 1.0));
  params->bare = leat_op_int(d->g, op, LEAT_ATTR_BARE, 0);  // of ATTENTION
  for (uint32_t i = 0; i < 3; ++i) draft_scored(d, id, i, 0, 0);
  draft_scored(d, id, at.mask, q->dims[q->rank - 2], v->dims[v->rank - 2]);
  for (uint32_t i = 0; i < 2; ++i) {
    if (at.state == LEAT_NONE) leat_draft_absent(d);
    if (at.state != LEAT_NONE) leat_draft_input(d, id, at.state + i);
  }
  for (uint32_t i = 0; at.lse != LEAT_NONE && i < LEAT_ATTENTION_BACKWARD; ++i) leat_draft_input(d, id, at.lse + i);
  for (uint32_t i = 0; i < op->result_count; ++i) {
    if (kind == PEF_STAGE_ATTENTION && i == 0) leat_draft_result(d, id, i);
    if (kind != PEF_STAGE_ATTENTION || i != 0) leat_draft_wanted(d, id, i);
  }
}

static void draft_attention(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  (void)op;
  draft_scores(d, id, PEF_STAGE_ATTENTION);
}
static void draft_attention_grad(leat_draft_t *d, leat_op_id_t id, const leat_op_t *op) {
  (void)op;
  draft_scores(d, id, PEF_STAGE_ATTENTION_GRAD);
}

#define DRAFT_MAP NULL       // draft_map.c
#define DRAFT_CONTRACT NULL  // draft_contract.c
#define DRAFT_RANDOM draft_random
#define DRAFT_REDUCE draft_reduce
#define DRAFT_SCAN draft_scan
#define DRAFT_CONV draft_conv
#define DRAFT_CONV_WGRAD draft_conv_wgrad
#define DRAFT_POOL draft_pool
#define DRAFT_POOL_GRAD draft_pool_grad
#define DRAFT_CONCAT draft_concat
#define DRAFT_PAD draft_pad
#define DRAFT_GATHER draft_gather
#define DRAFT_SCATTER draft_scatter
#define DRAFT_SEARCH draft_search
#define DRAFT_SORT draft_sort
#define DRAFT_ATTENTION draft_attention
#define DRAFT_ATTENTION_GRAD draft_attention_grad

// A primitive that computes does not compile without its row.
static const draft_fn_t draft_table[LEAT_PRIM_COUNT] = {
#define NO_STAGE(e)
#define A_STAGE(e) [LEAT_PRIM_##e] = DRAFT_##e,
#define ROW_SYMBOL NO_STAGE
#define ROW_CONSTANT NO_STAGE
#define ROW_SEQUENCE NO_STAGE
#define ROW_KEEP NO_STAGE
#define ROW_LOOP NO_STAGE
#define ROW_PART NO_STAGE
#define ROW_JOIN NO_STAGE
#define ROW_VIEW NO_STAGE
#define ROW_DRAW A_STAGE
#define ROW_ELEMENTWISE A_STAGE
#define ROW_COMPUTE A_STAGE
#define PRIM(e, n, lo, hi, r, a, role, ...) ROW_##role(e)
#include "ir/op.def"
#undef PRIM
};

void leat_draft_op(leat_draft_t *d, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(d->g, id);
  assert(leat_op_computes(op->kind) && draft_table[op->kind] != NULL);
  draft_table[op->kind](d, id, op);
}
