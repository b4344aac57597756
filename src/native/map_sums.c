// SPDX-License-Identifier: Apache-2.0
#include "native/map_sums.h"

#include "native/reduce_plan.h"

static bool is_same(const leat_native_operand_t *a, const leat_native_operand_t *b) {
  return a->space == b->space && a->slot == b->slot && a->offset == b->offset && a->dtype == b->dtype &&
         a->rank == b->rank && a->row_dim == b->row_dim && a->row_mult == b->row_mult &&
         memcmp(a->dims, b->dims, sizeof a->dims) == 0 && memcmp(a->strides, b->strides, sizeof a->strides) == 0;
}

// Whether storing `store` may change what lies at `operand`: arguments may be one memory.
static bool may_change(const leat_native_operand_t *store, const leat_native_operand_t *operand) {
  return store->space == operand->space && (store->space == PEF_SPACE_ARGUMENT || store->slot == operand->slot);
}

// The value that memory at `operand` has once the program has run; UINT16_MAX: it is not known. *out_store: what stores
// it; the count of stores: it is there already.
static uint16_t value_of(const map_plan_t *plan, const leat_native_operand_t *operand, uint32_t *out_store) {
  for (*out_store = 0; *out_store < plan->store_count; ++*out_store) {
    const map_store_t *store = &plan->stores[*out_store];
    if (is_same(store->operand, operand)) return store->is_native ? store->value : UINT16_MAX;
  }
  for (uint32_t i = 0; i < plan->store_count; i++) {
    if (may_change(plan->stores[i].operand, operand)) return UINT16_MAX;
  }
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    const map_leaf_t *leaf = &plan->leaves[i];
    if (leaf->operand != NULL && leaf->class_ == PEF_CLASS_F32 && is_same(leaf->operand, operand)) return leaf->value;
  }
  return UINT16_MAX;
}

static bool takes_blocks(const leat_native_stage_t *reduce, const reduce_plan_t *plan, bool lanes) {
  const bool blocks = reduce->fn == PEF_FN_SUM && reduce->params->reduce.chain != 0 && plan->class_ == PEF_CLASS_F32;
  return blocks && plan->native && plan->in_order && plan->mode == (lanes ? REDUCE_LANES : REDUCE_COLUMNS);
}

static bool is_read_later(const leat_native_prepare_t *context, uint32_t count, const leat_native_operand_t *operand) {
  for (uint32_t i = count; i < context->sum_count; i++) {
    const leat_native_operand_t *in = &context->sums[i].reduce->operands[0];
    if (in->space == operand->space && in->slot == operand->slot) return true;
  }
  return false;
}

// Of stores that nobody wants the value is computed all the same, for its sum.
static void drop_stores(map_plan_t *plan, leat_native_stage_t *stage, const leat_native_prepare_t *context,
                        uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    const leat_native_operand_t *in = &context->sums[i].reduce->operands[0];
    uint32_t store;
    (void)value_of(plan, in, &store);
    if (store == plan->store_count || context->sums[i].wanted || is_read_later(context, count, in)) continue;
    stage->left_out[stage->left_out_count++] = (uint32_t)(plan->stores[store].operand - stage->operands);
    memmove(&plan->stores[store], &plan->stores[store + 1], (plan->store_count - store - 1) * sizeof *plan->stores);
    plan->store_count--;
  }
}

// Notes sum i of the plan. *out_taken: it is one that the plan can make beside those before it.
static leat_status_t take(map_plan_t *plan, const leat_native_prepare_t *context, uint32_t i, bool *out_taken) {
  map_sums_t *sums = &plan->sums;
  leat_native_stage_t *reduce = leat_arena_alloc(context->arena, sizeof *reduce);
  if (reduce == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  *reduce = *context->sums[i].reduce;
  const leat_native_operand_t *in = &reduce->operands[0];
  const uint64_t dims = (uint64_t)reduce->params->reduce.dims;
  const int64_t chain = reduce->params->reduce.chain;
  uint32_t store;
  const uint16_t value = value_of(plan, in, &store);
  *out_taken = false;
  if (value == UINT16_MAX || dims == 0 || (i > 0 && (dims != sums->dims || chain != sums->chain))) return NULL;
  LEAT_TRY(reduce->kind->prepare(reduce, context));
  const bool lanes = dims >> (in->rank - 1) != 0;
  if (i == 0) *sums = (map_sums_t){.dims = dims, .lanes = lanes, .chain = chain};
  sums->of[i].value = value;
  sums->of[i].stage = reduce;
  *out_taken = takes_blocks(reduce, reduce->plan, lanes);
  return NULL;
}

leat_status_t leat_native_map_take_sums(map_plan_t *plan, leat_native_stage_t *stage,
                                        const leat_native_prepare_t *context, uint32_t count) {
  bool taken = true;
  for (uint32_t i = 0; i < count && taken; i++) LEAT_TRY(take(plan, context, i, &taken));
  if (!taken) return NULL;
  drop_stores(plan, stage, context, count);
  plan->sums.count = count;
  return NULL;
}

// Results of one sum in the highest tile.
static int64_t results_of(const map_plan_t *plan, int64_t rows) {
  const uint32_t inner = plan->rank - 1;
  int64_t results = plan->row_dim < 8 ? rows : 1;
  for (uint32_t d = 0; d < plan->sums.kept_count; d++) results *= plan->dims[d];
  return plan->sums.lanes ? results : results * plan->dims[inner];
}

static size_t take_room(leat_native_stage_t *stage, size_t bytes) {
  const size_t at = (stage->workspace_bytes + 63) / 64 * 64;
  stage->workspace_bytes = at + bytes;
  return at;
}

void leat_native_map_place_sums(map_plan_t *plan, leat_native_stage_t *stage, int64_t rows) {
  map_sums_t *sums = &plan->sums;
  if (sums->count == 0) return;
  const size_t width = sums->lanes ? MAP_SUM_LANES : REDUCE_STRIP;
  sums->pairs_bytes = width * ((const reduce_plan_t *)sums->of[0].stage->plan)->pair_rows * sizeof(float);
  sums->pairs_at = take_room(stage, sums->pairs_bytes * sums->count);
  sums->accumulators_at = take_room(stage, sums->count * MAP_SUM_ROWS * MAP_SUM_LANES * sizeof(float));
  for (uint32_t i = 0; i < sums->count; i++)
    sums->of[i].results_at = take_room(stage, (size_t)results_of(plan, rows) * sizeof(float));
}
