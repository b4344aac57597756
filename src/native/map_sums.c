// SPDX-License-Identifier: Apache-2.0
#include "native/map_sums.h"

#include "native/reduce_plan.h"

// --- dims of a sum in the space of the stage ----------------------------------------------------------------------

typedef struct dims_s {
  uint32_t count;
  map_dim_t of[PEF_MAX_RANK + 1];
} dims_t;

static void add_dim(dims_t *dims, map_dim_t dim) {
  if (dim.extent != 1 || dim.is_row) dims->of[dims->count++] = dim;
}

// Of an operand, with the rows of a tile apart from what each of them has.
static dims_t dims_of(const leat_native_operand_t *operand) {
  dims_t dims = {0};
  for (uint32_t d = 0; d < operand->rank; d++) {
    const bool rows = d == operand->row_dim;
    if (rows) add_dim(&dims, (map_dim_t){.source = d, .extent = 1, .times = operand->row_mult, .is_row = true});
    add_dim(&dims, (map_dim_t){.source = d, .extent = rows ? operand->row_mult : operand->dims[d], .times = 1});
  }
  return dims;
}

static int64_t stride_of(const leat_native_operand_t *operand, const map_dim_t *dim) {
  return operand->strides[dim->source] * dim->times;
}

// Takes the inner `extent` of a dim off it. False: nothing is left.
static bool take_off(map_dim_t *dim, int64_t extent) {
  dim->extent /= extent;
  dim->times *= extent;
  return dim->extent > 1;
}

// Makes `space`, the dims of `own`, finer, until those of `in`, which sum number `sum` reads, are dims of it: both are
// walks through the same memory. False: they are not, or there are too many dims.
static bool refine(dims_t *space, const leat_native_operand_t *own, const leat_native_operand_t *in, uint64_t summed,
                   uint32_t sum) {
  dims_t theirs = dims_of(in), found = {0};
  uint32_t i = space->count, k = theirs.count;
  while (i > 0 && k > 0) {
    map_dim_t *a = &space->of[i - 1], *b = &theirs.of[k - 1];
    const int64_t extent = a->extent < b->extent ? a->extent : b->extent;
    if (extent == 0 || found.count == PEF_MAX_RANK || a->is_row != b->is_row || stride_of(own, a) != stride_of(in, b) ||
        a->extent % extent != 0 || b->extent % extent != 0)
      return false;
    map_dim_t *dim = &found.of[found.count++];
    *dim = *a;
    dim->extent = extent;
    dim->summed |= (uint32_t)(summed >> b->source & 1) << sum;
    dim->run |= (uint32_t)(b->source == in->rank - 1u) << sum;
    i -= !take_off(a, extent);
    k -= !take_off(b, extent);
  }
  for (uint32_t d = 0; d < found.count; d++) space->of[d] = found.of[found.count - 1 - d];
  space->count = found.count;
  return i == 0 && k == 0;
}

// --- what is summed -----------------------------------------------------------------------------------------------

static bool is_same_place(const leat_native_operand_t *a, const leat_native_operand_t *b) {
  return a->space == b->space && a->slot == b->slot && a->offset == b->offset && a->dtype == b->dtype;
}

// Whether storing `store` may change what lies at `operand`: arguments may be one memory.
static bool may_change(const leat_native_operand_t *store, const leat_native_operand_t *operand) {
  return store->space == operand->space && (store->space == PEF_SPACE_ARGUMENT || store->slot == operand->slot);
}

// What the program has of the memory that a sum reads. *out_store: the operand that it stores it to; the count of
// stores: it is there already. NULL: it is not known.
static const leat_native_operand_t *find_operand(const map_plan_t *plan, const leat_native_operand_t *in,
                                                 uint32_t *out_store, uint16_t *out_value) {
  for (*out_store = 0; *out_store < plan->store_count; ++*out_store) {
    const map_store_t *store = &plan->stores[*out_store];
    *out_value = store->value;
    if (is_same_place(store->operand, in)) return store->is_native ? store->operand : NULL;
  }
  for (uint32_t i = 0; i < plan->store_count; i++) {
    if (may_change(plan->stores[i].operand, in)) return NULL;
  }
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    const map_leaf_t *leaf = &plan->leaves[i];
    *out_value = leaf->value;
    if (leaf->operand != NULL && leaf->class_ == PEF_CLASS_F32 && is_same_place(leaf->operand, in))
      return leaf->operand;
  }
  return NULL;
}

static bool takes_blocks(const leat_native_stage_t *reduce, const reduce_plan_t *plan) {
  const bool blocks = reduce->fn == PEF_FN_SUM && reduce->params->reduce.chain != 0 && plan->class_ == PEF_CLASS_F32;
  return blocks && plan->native && plan->in_order && (plan->mode == REDUCE_LANES || plan->mode == REDUCE_COLUMNS);
}

static bool is_read_later(const leat_native_prepare_t *context, uint32_t count, const leat_native_operand_t *operand) {
  for (uint32_t i = count; i < context->sum_count; i++) {
    const leat_native_operand_t *in = &context->sums[i].reduce->operands[0];
    if (in->space == operand->space && in->slot == operand->slot) return true;
  }
  return false;
}

// Of stores that nobody wants the value is computed all the same, for its sum.
static void drop_stores(map_plan_t *plan, const leat_native_prepare_t *context, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    const leat_native_operand_t *in = &context->sums[i].reduce->operands[0];
    uint32_t store;
    uint16_t value;
    (void)find_operand(plan, in, &store, &value);
    if (store == plan->store_count || context->sums[i].wanted || is_read_later(context, count, in)) continue;
    memmove(&plan->stores[store], &plan->stores[store + 1], (plan->store_count - store - 1) * sizeof *plan->stores);
    plan->store_count--;
  }
}

// Notes sum i of the plan. *out_taken: it is one that the plan can make beside those before it.
static leat_status_t take(map_plan_t *plan, const leat_native_prepare_t *context, uint32_t i, dims_t *space,
                          bool *out_taken) {
  map_sums_t *sums = &plan->sums;
  leat_native_stage_t *reduce = leat_arena_alloc(context->arena, sizeof *reduce);
  if (reduce == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  *reduce = *context->sums[i].reduce;
  const leat_native_operand_t *in = &reduce->operands[0];
  uint32_t store;
  const leat_native_operand_t *own = find_operand(plan, in, &store, &sums->of[i].value);
  if (own != NULL && i == 0) *space = dims_of(own);
  *out_taken = own != NULL && refine(space, own, in, (uint64_t)reduce->params->reduce.dims, i);
  if (!*out_taken) return NULL;
  LEAT_TRY(reduce->kind->prepare(reduce, context));
  sums->of[i].stage = reduce;
  sums->of[i].lanes = ((const reduce_plan_t *)reduce->plan)->mode == REDUCE_LANES;
  sums->lanes |= sums->of[i].lanes;
  sums->columns |= !sums->of[i].lanes;
  if (i == 0) sums->chain = reduce->params->reduce.chain;
  *out_taken = takes_blocks(reduce, reduce->plan) && reduce->params->reduce.chain == sums->chain;
  return NULL;
}

leat_status_t leat_native_map_take_sums(map_plan_t *plan, const leat_native_prepare_t *context, uint32_t count) {
  bool taken = true;
  dims_t space = {0};
  for (uint32_t i = 0; i < count && taken; i++) LEAT_TRY(take(plan, context, i, &space, &taken));
  if (!taken || space.count == 0) return NULL;
  memcpy(plan->sums.dims, space.of, sizeof plan->sums.dims);
  plan->sums.dim_count = space.count;
  drop_stores(plan, context, count);
  plan->sums.count = count;
  return NULL;
}

// Results of one sum in the highest tile.
static int64_t results_of(const map_plan_t *plan, bool lanes, int64_t rows) {
  const map_sums_t *sums = &plan->sums;
  const uint32_t inner = plan->rank - 1, kept = lanes && sums->columns ? inner : sums->kept_count;
  int64_t results = plan->row_dim < 8 ? rows : 1;
  for (uint32_t d = 0; d < kept; d++) results *= plan->dims[d];
  return lanes ? results : results * plan->dims[inner];
}

static size_t take_room(leat_native_stage_t *stage, size_t bytes) {
  const size_t at = (stage->workspace_bytes + 63) / 64 * 64;
  stage->workspace_bytes = at + bytes;
  return at;
}

void leat_native_map_place_sums(map_plan_t *plan, leat_native_stage_t *stage, int64_t rows) {
  map_sums_t *sums = &plan->sums;
  size_t pair_rows = 0;
  if (sums->count == 0) return;
  sums->width = sums->lanes && sums->columns ? plan->dims[plan->rank - 1] : sums->lanes ? MAP_SUM_LANES : REDUCE_STRIP;
  for (uint32_t i = 0; i < sums->count; i++) {
    const reduce_plan_t *reduce = sums->of[i].stage->plan;
    if (reduce->pair_rows > pair_rows) pair_rows = reduce->pair_rows;
    sums->of[i].results_at = take_room(stage, (size_t)results_of(plan, sums->of[i].lanes, rows) * sizeof(float));
  }
  sums->pairs_bytes = (size_t)sums->width * pair_rows * sizeof(float);
  sums->pairs_at = take_room(stage, sums->pairs_bytes * sums->count);
  sums->accumulators_at = take_room(stage, sums->count * MAP_SUM_ROWS * MAP_SUM_LANES * sizeof(float));
}
