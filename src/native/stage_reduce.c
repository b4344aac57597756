// SPDX-License-Identifier: Apache-2.0
// REDUCE: strided operands, four ways.
//   lanes    float sums whose innermost reduced dim has stride 1: 16 partial sums (pef_format.h)
//   columns  a kept dim has stride 1, or sums are of a few terms: vectors of columns, each summed sequentially
//   fold     anything else, element by element of the result
//   arg      argmax and argmin: the only reduced dim, element by element of the result
// Long sums of the first three go in blocks, whose sums are added pairwise (the parameter `chain`; leat_kern_pairs_t).
// Operands of other dtypes than the classes' own are converted piece by piece into the workspace.
#include "base/loops.h"
#include "native/reduce_plan.h"
#include "pef/pef_read.h"

// --- load ------------------------------------------------------------------------------------------------------

static void choose_kernels(reduce_plan_t *plan, const leat_kern_t *kern, uint8_t fn) {
#define FOLDS(name) \
  { kern->fold_##name##_f32, kern->fold_##name##_f64, kern->fold_##name##_i64 }
#define COLUMNS(name) \
  { kern->columns_##name##_f32, kern->columns_##name##_f64, kern->columns_##name##_i64 }
  const reduce_fold_fn_t folds[4][3] = {FOLDS(sum), FOLDS(prod), FOLDS(max), FOLDS(min)};
  const reduce_columns_fn_t columns[4][3] = {COLUMNS(sum), COLUMNS(prod), COLUMNS(max), COLUMNS(min)};
  const reduce_arg_fn_t args[2][3] = {{kern->argmax_f32, kern->argmax_f64, kern->argmax_i64},
                                      {kern->argmin_f32, kern->argmin_f64, kern->argmin_i64}};
  if (fn == PEF_FN_ARGMAX || fn == PEF_FN_ARGMIN) {
    plan->arg = args[fn - PEF_FN_ARGMAX][plan->class_];
    return;
  }
  plan->fold = folds[fn][plan->class_];
  plan->columns = columns[fn][plan->class_];
  bool wide = plan->class_ == PEF_CLASS_F64;
  plan->lanes_add = wide ? kern->lanes_add_f64 : kern->lanes_add_f32;
  plan->lanes_end = wide ? kern->lanes_end_f64 : kern->lanes_end_f32;
  plan->pairs = (reduce_pairs_fns_t){
      wide ? kern->pairs_fold_f64 : kern->pairs_fold_f32,   wide ? kern->pairs_columns_f64 : kern->pairs_columns_f32,
      wide ? kern->pairs_lanes_f64 : kern->pairs_lanes_f32, wide ? kern->pairs_close_f64 : kern->pairs_close_f32,
      wide ? kern->pairs_end_f64 : kern->pairs_end_f32,     wide ? kern->pairs_rows_f64 : kern->pairs_rows_f32};
}

static uint64_t neutral_element(uint8_t fn, uint8_t class_) {
  static const uint64_t bits[4][3] = {
      [PEF_FN_SUM] = {0, 0, 0},
      [PEF_FN_PROD] = {0x3f800000u, 0x3ff0000000000000u, 1},
      [PEF_FN_MAX] = {0xff800000u, 0xfff0000000000000u, (uint64_t)INT64_MIN},
      [PEF_FN_MIN] = {0x7f800000u, 0x7ff0000000000000u, INT64_MAX},
  };
  return fn <= PEF_FN_MIN ? bits[fn][class_] : 0;
}

// Neighbours of `dims` become one, but for `last`: the order of summation depends on its runs. Rows begin a dim.
static void merge_dims(reduce_dim_t *dims, uint32_t *count, uint32_t last) {
  int64_t extents[8], strides[2][8];
  uint32_t places[8], apart = last < 8 ? 1u << last : 0;
  for (uint32_t d = 0; d < *count; d++) {
    extents[d] = dims[d].extent;
    strides[0][d] = dims[d].in, strides[1][d] = dims[d].out;
    if (dims[d].is_rows) apart |= 1u << d;
  }
  leat_loops_t loops = {*count, extents, 2, 8, &strides[0][0]};
  leat_loops_merge(&loops, apart, places);
  for (uint32_t d = 0; d < *count; d++) {
    const uint32_t at = places[d];
    const bool rows = dims[d].is_rows || (d > 0 && places[d - 1] == at && dims[at].is_rows);
    dims[at] = (reduce_dim_t){extents[at], strides[0][at], strides[1][at], rows};
  }
  *count = loops.count;
}

// Appends a dim unless it is of no matter: one step, that of an operand's row or of a run of lanes excepted.
static void add_dim(reduce_dim_t *dims, uint32_t *count, reduce_dim_t dim, bool is_run) {
  if (dim.extent == 1 && !dim.is_rows && *count > 0 && !is_run) return;
  dims[(*count)++] = dim;
}

static void build_dims(reduce_plan_t *plan, const leat_native_stage_t *stage) {
  const leat_native_operand_t *in = &stage->operands[0], *out = &stage->operands[1];
  uint64_t mask = (uint64_t)stage->params->reduce.dims;
  uint32_t innermost = 8;
  for (uint32_t d = 0; d < in->rank; d++) {
    if (mask >> d & 1) innermost = d;
  }
  bool is_float_sum = stage->fn == PEF_FN_SUM && plan->class_ != PEF_CLASS_I64;
  bool by_lanes = is_float_sum && innermost == in->rank - 1u && in->strides[innermost] == 1;
  for (uint32_t d = 0; d < in->rank; d++) {
    bool is_rows = d == out->row_dim;
    reduce_dim_t dim = {is_rows ? out->row_mult : in->dims[d], in->strides[d], out->strides[d], is_rows};
    if (mask >> d & 1) {
      add_dim(plan->reduced, &plan->reduced_count, dim, by_lanes && d == innermost);
    } else {
      add_dim(plan->kept, &plan->kept_count, dim, false);
    }
  }
  merge_dims(plan->reduced, &plan->reduced_count, by_lanes ? plan->reduced_count - 1 : 8);
  merge_dims(plan->kept, &plan->kept_count, 8);
  if (plan->kept_count == 0) plan->kept[plan->kept_count++] = (reduce_dim_t){1, 0, 0, false};
  if (plan->reduced_count == 0) plan->reduced[plan->reduced_count++] = (reduce_dim_t){1, 0, 0, false};
  plan->mode = by_lanes ? REDUCE_LANES : REDUCE_FOLD;
  for (uint32_t d = 0; d < plan->reduced_count; d++) {
    if (plan->reduced[d].extent > 0) continue;
    plan->reduced[0] = (reduce_dim_t){0, 1, 0, false};  // nothing to add up: the neutral element
    plan->reduced_count = 1;
    plan->mode = REDUCE_FOLD;
  }
}

static bool is_short(const reduce_plan_t *plan) {
  enum { MOST = 16 };
  int64_t terms = 1;
  for (uint32_t d = 0; d < plan->reduced_count && terms <= MOST; d++) terms *= plan->reduced[d].extent;
  return terms <= MOST;
}

// Moves the kept dim of stride 1 to the end, so that columns are contiguous.
static void choose_mode(reduce_plan_t *plan) {
  plan->in_order = true;
  if (plan->arg != NULL) {
    plan->mode = REDUCE_ARG;
  } else if (plan->mode == REDUCE_FOLD && plan->reduced[plan->reduced_count - 1].in != 1) {
    for (uint32_t d = 0; d < plan->kept_count; d++) {
      if (plan->kept[d].in != 1) continue;
      reduce_dim_t unit = plan->kept[d];
      plan->in_order = d + 1 == plan->kept_count;
      memmove(&plan->kept[d], &plan->kept[d + 1], (plan->kept_count - d - 1) * sizeof unit);
      plan->kept[plan->kept_count - 1] = unit;
      plan->mode = REDUCE_COLUMNS;
      return;
    }
  }
  if (plan->mode == REDUCE_FOLD && is_short(plan)) plan->mode = REDUCE_COLUMNS;
}

static int64_t pair_width(const reduce_plan_t *plan) {
  return plan->mode == REDUCE_COLUMNS ? REDUCE_STRIP : plan->mode == REDUCE_LANES ? 64 : 1;
}

static int64_t times(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

// Blocks of the sum, from shape and chain alone. A sequential sum of one block is made without.
static void choose_block(reduce_plan_t *plan, int64_t chain) {
  const int64_t n = plan->reduced[plan->reduced_count - 1].extent, steps = (n + 63) / 64;  // of a run of lanes
  int64_t runs = 1;
  if (chain == 0 || plan->mode == REDUCE_ARG || n == 0) return;
  for (uint32_t d = 0; d + 1 < plan->reduced_count; d++) runs = times(runs, plan->reduced[d].extent);
  int64_t blocks = times(runs, n) / chain + 1;
  plan->block = chain;
  if (plan->mode == REDUCE_LANES) {
    plan->close_runs = steps > chain;
    plan->block = plan->close_runs ? 64 * chain : chain / steps * n;
    blocks = plan->close_runs ? times(runs, steps / chain + 1) : runs / (chain / steps) + 1;
  } else if (times(runs, n) <= chain) {
    plan->block = 0;
  }
  plan->pair_rows = 1;
  while (blocks >> plan->pair_rows != 0) plan->pair_rows++;
  plan->pair_rows++;
}

// Each result is of one run of elements side by side, which are in memory as they are computed.
static void choose_rows(reduce_plan_t *plan, const leat_kern_t *kern, uint8_t fn) {
  if (!plan->native || plan->reduced_count != 1 || plan->reduced[0].in != 1) return;
  if (plan->mode == REDUCE_LANES && plan->block == 0) {
    plan->rows = plan->class_ == PEF_CLASS_F64 ? kern->rows_sum_f64 : kern->rows_sum_f32;
  } else if (plan->mode == REDUCE_FOLD && fn == PEF_FN_PROD && plan->class_ == PEF_CLASS_F32) {
    plan->rows = kern->rows_prod_f32;
  }
}

leat_status_t leat_native_reduce_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  const leat_native_operand_t *in = &stage->operands[0], *out = &stage->operands[1];
  reduce_plan_t *plan = leat_arena_alloc(context->arena, sizeof *plan);
  if (plan == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a REDUCE");
  static const uint8_t native[] = {PEF_F32, PEF_F64, PEF_I64};
  plan->class_ = (uint8_t)leat_pef_dtype_class(in->dtype);
  plan->native = in->dtype == native[plan->class_];
  plan->in_bytes = in->element_bytes;
  plan->out_bytes = out->element_bytes;
  plan->value_bytes = plan->class_ == PEF_CLASS_F32 ? 4 : 8;
  plan->start = neutral_element(stage->fn, plan->class_);
  plan->load = context->kern->load[plan->class_][in->dtype];
  choose_kernels(plan, context->kern, stage->fn);
  plan->store = context->kern->store[plan->arg != NULL ? PEF_CLASS_I64 : plan->class_][out->dtype];
  build_dims(plan, stage);
  choose_mode(plan);
  choose_block(plan, stage->params->reduce.chain);
  choose_rows(plan, context->kern, stage->fn);
  stage->plan = plan;
  stage->workspace_bytes = (2 * REDUCE_STRIP + 16) * 8;  // results of a strip; a converted piece; lanes
  stage->workspace_bytes += (size_t)plan->pair_rows * (size_t)pair_width(plan) * plan->value_bytes;
  return NULL;
}

// --- run -------------------------------------------------------------------------------------------------------

typedef struct reduce_run_s {
  const reduce_plan_t *plan;
  int64_t kept[8], reduced[8];  // extents in this tile
  char *results, *piece, *lanes, *pairs;
} reduce_run_t;

static int64_t in_offset(const reduce_dim_t *dims, const int64_t *index, uint32_t count) {
  int64_t sum = 0;
  for (uint32_t d = 0; d < count; d++) sum += dims[d].in * index[d];
  return sum;
}

static void set_neutral(const reduce_plan_t *plan, const leat_kern_t *kern, char *to, int64_t n) {
  if (plan->value_bytes == 4) {
    kern->fill_b4(to, (uint32_t)plan->start, n);
  } else {
    kern->fill_b8(to, plan->start, n);
  }
}

static leat_kern_pairs_t start_pairs(const reduce_run_t *run) {
  return (leat_kern_pairs_t){.rows = run->pairs, .width = pair_width(run->plan), .block = run->plan->block};
}

// Leaves the `cols` sums in `out`.
static void end_pairs(const reduce_run_t *run, leat_kern_pairs_t *p, void *out, int64_t cols) {
  if (p->open > 0 && run->plan->mode == REDUCE_LANES) run->plan->pairs.lanes(p, p->rows, 0, 1, 0, true);
  if (p->open > 0) run->plan->pairs.close(p->rows, p->width, p->count++, cols);
  run->plan->pairs.end(out, p->rows, p->width, p->count, cols);
}

// `runs` runs of n elements, to the lanes of the result at hand.
static void add_runs(const reduce_run_t *run, leat_kern_pairs_t *pairs, const char *at, int64_t run_stride,
                     int64_t runs, int64_t n, bool close) {
  const reduce_plan_t *plan = run->plan;
  if (plan->block > 0) {
    plan->pairs.lanes(pairs, at, run_stride, runs, n, close);
  } else {
    plan->lanes_add(run->lanes, at, run_stride, runs, n);
  }
}

// 16 lanes over all runs of one result.
static void lanes_one(const reduce_run_t *run, const char *in, char *out) {
  const reduce_plan_t *plan = run->plan;
  uint32_t inner = plan->reduced_count - 1, outer = inner > 0 ? inner - 1 : 0;
  int64_t n = run->reduced[inner], index[8] = {0};
  int64_t runs = inner > 0 ? run->reduced[outer] : 1, run_stride = inner > 0 ? plan->reduced[outer].in : 0;
  leat_kern_pairs_t pairs = start_pairs(run);
  memset(run->lanes, 0, 16u * plan->value_bytes);
  do {
    const char *at = in + in_offset(plan->reduced, index, outer) * plan->in_bytes;
    if (plan->native) {
      add_runs(run, &pairs, at, run_stride, runs, n, plan->close_runs);
      continue;
    }
    for (int64_t r = 0; r < runs; r++) {
      for (int64_t i = 0; i < n; i += REDUCE_STRIP) {  // a multiple of 16: lanes stay
        int64_t count = n - i < REDUCE_STRIP ? n - i : REDUCE_STRIP;
        plan->load(run->piece, at + (r * run_stride + i) * plan->in_bytes, 1, count);
        add_runs(run, &pairs, run->piece, 0, 1, count, plan->close_runs && i + count == n);
      }
    }
  } while (leat_index_next(outer, run->reduced, index));
  if (plan->block > 0) end_pairs(run, &pairs, run->lanes, 16);
  plan->lanes_end(out, run->lanes);
}

static void fold_run(const reduce_plan_t *plan, leat_kern_pairs_t *pairs, char *out, const char *at, int64_t stride,
                     int64_t n) {
  if (plan->block > 0) {
    plan->pairs.fold(pairs, at, stride, n);
  } else {
    plan->fold(out, at, stride, n);
  }
}

static void fold_one(const reduce_run_t *run, const leat_kern_t *kern, const char *in, char *out) {
  const reduce_plan_t *plan = run->plan;
  uint32_t inner = plan->reduced_count - 1;
  int64_t n = run->reduced[inner], stride = plan->reduced[inner].in, index[8] = {0};
  leat_kern_pairs_t pairs = start_pairs(run);
  set_neutral(plan, kern, out, 1);
  do {
    const char *at = in + in_offset(plan->reduced, index, inner) * plan->in_bytes;
    if (plan->native) {
      fold_run(plan, &pairs, out, at, stride, n);
      continue;
    }
    for (int64_t i = 0; i < n; i += REDUCE_STRIP) {
      int64_t count = n - i < REDUCE_STRIP ? n - i : REDUCE_STRIP;
      plan->load(run->piece, at + i * stride * plan->in_bytes, stride, count);
      fold_run(plan, &pairs, out, run->piece, 1, count);
    }
  } while (leat_index_next(inner, run->reduced, index));
  if (plan->block > 0) end_pairs(run, &pairs, out, 1);
}

// The reduced dim as one run of class values: in place, or piece by piece with the winner carried over.
static void arg_one(const reduce_run_t *run, const char *in, char *out) {
  const reduce_plan_t *plan = run->plan;
  int64_t n = run->reduced[0], stride = plan->reduced[0].in, best = 0;
  if (plan->native) {
    *(int64_t *)(void *)out = plan->arg(in, stride, n);
    return;
  }
  // Slot 0 holds the best so far, so that ties and NaN go to it.
  plan->load(run->piece, in, stride, 1);
  for (int64_t i = 1; i < n; i += REDUCE_STRIP - 1) {
    int64_t count = n - i < REDUCE_STRIP - 1 ? n - i : REDUCE_STRIP - 1;
    plan->load(run->piece + plan->value_bytes, in + i * stride * plan->in_bytes, stride, count);
    int64_t where = plan->arg(run->piece, 1, count + 1);
    if (where == 0) continue;
    best = i + where - 1;
    memcpy(run->piece, run->piece + where * plan->value_bytes, plan->value_bytes);
  }
  *(int64_t *)(void *)out = best;
}

// Results [0, n) along the innermost kept dim, from `in`.
static void strip_by_element(const reduce_run_t *run, const leat_kern_t *kern, const char *in, int64_t n) {
  const reduce_plan_t *plan = run->plan;
  int64_t stride = plan->kept[plan->kept_count - 1].in;
  if (plan->rows != NULL) {
    plan->rows(run->results, in, stride, n, run->reduced[0]);
    return;
  }
  if (plan->mode == REDUCE_LANES && plan->native && plan->reduced_count == 1) {
    plan->pairs.rows(run->results, in, stride, n, run->reduced[0], plan->block);
    return;
  }
  int64_t bytes = plan->mode == REDUCE_ARG ? 8 : plan->value_bytes;
  for (int64_t i = 0; i < n; i++) {
    const char *at = in + i * stride * plan->in_bytes;
    char *out = run->results + i * bytes;
    if (plan->mode == REDUCE_LANES) {
      lanes_one(run, at, out);
    } else if (plan->mode == REDUCE_ARG) {
      arg_one(run, at, out);
    } else {
      fold_one(run, kern, at, out);
    }
  }
}

static void add_rows(const reduce_run_t *run, leat_kern_pairs_t *pairs, const char *at, int64_t stride, int64_t rows,
                     int64_t n) {
  const reduce_plan_t *plan = run->plan;
  if (plan->block > 0) {
    plan->pairs.columns(pairs, at, stride, rows, n);
  } else {
    plan->columns(run->results, at, stride, rows, n);
  }
}

static void strip_by_columns(const reduce_run_t *run, const leat_kern_t *kern, const char *in, int64_t n) {
  const reduce_plan_t *plan = run->plan;
  uint32_t inner = plan->reduced_count - 1;
  int64_t rows = run->reduced[inner], stride = plan->reduced[inner].in, index[8] = {0};
  const int64_t step = plan->kept[plan->kept_count - 1].in;
  leat_kern_pairs_t pairs = start_pairs(run);
  set_neutral(plan, kern, run->results, n);
  do {
    const char *at = in + in_offset(plan->reduced, index, inner) * plan->in_bytes;
    if (plan->native && step == 1) {
      add_rows(run, &pairs, at, stride, rows, n);
      continue;
    }
    for (int64_t r = 0; r < rows; r++) {
      plan->load(run->piece, at + r * stride * plan->in_bytes, step, n);
      add_rows(run, &pairs, run->piece, 0, 1, n);
    }
  } while (leat_index_next(inner, run->reduced, index));
  if (plan->block > 0) end_pairs(run, &pairs, run->results, n);
}

// `made`: results that are there already; NULL: they are made.
static void run_tile(const leat_native_stage_t *stage, const leat_run_tile_t *tile, char *made) {
  const reduce_plan_t *plan = stage->plan;
  reduce_run_t run = {.plan = plan, .results = tile->workspace};
  run.piece = run.results + REDUCE_STRIP * 8;
  run.lanes = run.piece + REDUCE_STRIP * 8;
  run.pairs = run.lanes + 16 * 8;
  for (uint32_t d = 0; d < plan->kept_count; d++) {
    run.kept[d] = plan->kept[d].extent * (plan->kept[d].is_rows ? tile->rows : 1);
  }
  for (uint32_t d = 0; d < plan->reduced_count; d++) run.reduced[d] = plan->reduced[d].extent;
  const char *in = leat_native_operand_at(&stage->operands[0], tile);
  char *out = leat_native_operand_at(&stage->operands[1], tile);
  uint32_t inner = plan->kept_count - 1;
  int64_t extent = run.kept[inner], index[8] = {0};
  do {
    int64_t from = in_offset(plan->kept, index, inner), to = 0;
    for (uint32_t d = 0; d < inner; d++) to += plan->kept[d].out * index[d];
    for (int64_t i = 0; i < extent; i += REDUCE_STRIP) {
      int64_t n = extent - i < REDUCE_STRIP ? extent - i : REDUCE_STRIP;
      const char *at = in + (from + i * plan->kept[inner].in) * plan->in_bytes;
      if (made != NULL) {
        run.results = made;
        made += n * plan->value_bytes;
      } else if (plan->mode == REDUCE_COLUMNS) {
        strip_by_columns(&run, stage->kern, at, n);
      } else {
        strip_by_element(&run, stage->kern, at, n);
      }
      plan->store(out + (to + i * plan->kept[inner].out) * plan->out_bytes, plan->kept[inner].out, run.results, n);
    }
  } while (leat_index_next(inner, run.kept, index));
}

void leat_native_reduce_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  run_tile(stage, tile, NULL);
}
void leat_native_reduce_store(const leat_native_stage_t *stage, const leat_run_tile_t *tile, char *results) {
  run_tile(stage, tile, results);
}
