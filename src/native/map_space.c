// SPDX-License-Identifier: Apache-2.0
#include "native/map_space.h"

#include "base/loops.h"

enum { NO_STORE = UINT32_MAX };
// What sums have of a dim, in the order in which dims then lie.
typedef enum role_e { ROLE_KEPT, ROLE_SUMMED, ROLE_INNER } role_t;

typedef struct space_s {
  uint32_t rank, row_dim, entries;
  int64_t dims[8];
  uint8_t roles[8];
  int64_t (*strides)[8];  // of leaves, then of stores
} space_t;

static const int64_t no_strides[8];

static void take_strides(const map_plan_t *plan, uint32_t entry, uint32_t rank, int64_t out[8]) {
  const leat_native_operand_t *operand =
      entry < plan->leaf_count ? plan->leaves[entry].operand : plan->stores[entry - plan->leaf_count].operand;
  memcpy(out, operand != NULL ? operand->strides : no_strides, sizeof no_strides);
  if (entry < plan->leaf_count && plan->leaves[entry].is_iota && plan->leaves[entry].iota_dim < rank) {
    out[plan->leaves[entry].iota_dim] = 1;
  }
}

static void drop_dim(space_t *space, uint32_t dim) {
  for (uint32_t d = dim; d + 1 < space->rank; d++) {
    space->dims[d] = space->dims[d + 1];
    space->roles[d] = space->roles[d + 1];
    for (uint32_t e = 0; e < space->entries; e++) space->strides[e][d] = space->strides[e][d + 1];
  }
  space->rank--;
  if (space->row_dim != 8 && space->row_dim > dim) space->row_dim--;
}

static void swap_dims(space_t *space, uint32_t a, uint32_t b) {
  const int64_t extent = space->dims[a];
  const uint8_t role = space->roles[a];
  space->dims[a] = space->dims[b], space->dims[b] = extent;
  space->roles[a] = space->roles[b], space->roles[b] = role;
  for (uint32_t e = 0; e < space->entries; e++) {
    const int64_t stride = space->strides[e][a];
    space->strides[e][a] = space->strides[e][b], space->strides[e][b] = stride;
  }
  space->row_dim = space->row_dim == a ? b : space->row_dim == b ? a : space->row_dim;
}

// The last dim is the innermost: of sums in lanes the run, of columns with those before it that may become one with it.
static bool is_inner(const map_sums_t *sums, uint32_t dim) {
  if (sums->lanes) return (sums->dims[dim].run & sums->dims[dim].summed) != 0;
  for (uint32_t d = dim; d < sums->dim_count; d++) {
    if (sums->dims[d].summed != 0 || (sums->dims[d].is_row && d + 1 < sums->dim_count)) return false;
  }
  return true;
}

static void give_roles(space_t *space, const map_sums_t *sums) {
  for (uint32_t d = 0; d < space->rank; d++)
    space->roles[d] = is_inner(sums, d) ? ROLE_INNER : sums->dims[d].summed != 0 ? ROLE_SUMMED : ROLE_KEPT;
}

// Whether all sums are over the same dims, in runs of the same ones, or, where there are both kinds, those in lanes
// over the innermost alone, whose results come in the order of the rows.
static bool are_alike(const space_t *space, const map_sums_t *sums) {
  const bool both = sums->lanes && sums->columns;
  uint32_t all = (1u << sums->count) - 1, lanes = 0;
  for (uint32_t i = 0; i < sums->count; i++) lanes |= sums->of[i].lanes ? 1u << i : 0;
  bool alike = true;
  for (uint32_t d = 0; d < space->rank; d++) {
    const uint32_t summed = sums->dims[d].summed;
    if (space->roles[d] == ROLE_INNER) alike &= summed == lanes && (sums->dims[d].run & lanes) == lanes;
    if (space->roles[d] == ROLE_SUMMED) alike &= summed == (both ? all & ~lanes : all);
    alike &= !both || d == 0 || space->roles[d - 1] <= space->roles[d];
  }
  return alike;
}

// The dims of the stage in the parts that sums need.
static void refine(space_t *space, const map_sums_t *sums) {
  for (uint32_t e = 0; e < space->entries; e++) {
    int64_t strides[8];
    memcpy(strides, space->strides[e], sizeof strides);
    for (uint32_t d = 0; d < 8; d++)
      space->strides[e][d] = d < sums->dim_count ? strides[sums->dims[d].source] * sums->dims[d].times : 0;
  }
  space->rank = sums->dim_count;
  space->row_dim = 8;
  for (uint32_t d = 0; d < space->rank; d++) {
    space->dims[d] = sums->dims[d].extent;
    if (sums->dims[d].is_row) space->row_dim = d;
  }
}

static void sort_by_role(space_t *space) {
  for (uint32_t i = 1; i < space->rank; i++) {
    for (uint32_t d = i; d > 0 && space->roles[d] < space->roles[d - 1]; d--) swap_dims(space, d, d - 1);
  }
}

static void drop_ones(space_t *space) {
  for (uint32_t d = space->rank; d-- > 0 && space->rank > 1;) {
    if (space->dims[d] == 1 && d != space->row_dim) drop_dim(space, d);
  }
}

// A copy may be walked in any order: in that of its only store, entry `copied_to`, in memory.
static void merge_dims(space_t *space, uint32_t copied_to) {
  uint32_t places[8], apart = 1u << space->row_dim;
  leat_loops_t loops = {space->rank, space->dims, space->entries, 8, &space->strides[0][0]};
  if (copied_to != NO_STORE) {
    leat_loops_sort(&loops, copied_to, 0, places);
    if (space->row_dim != 8) space->row_dim = places[space->row_dim];
    apart = 1u << space->row_dim;
  }
  for (uint32_t d = 1; d < space->rank; d++) apart |= space->roles[d] != space->roles[d - 1] ? 1u << d : 0;
  leat_loops_merge(&loops, apart, places);
  for (uint32_t d = 0; d < space->rank; d++) space->roles[places[d]] = space->roles[d];
  space->rank = loops.count;
  if (space->row_dim != 8) space->row_dim = places[space->row_dim];
}

static leat_status_t read_space(map_plan_t *plan, const leat_native_stage_t *stage, leat_arena_t *arena,
                                space_t *space) {
  const leat_native_operand_t *first = &stage->operands[0];
  *space = (space_t){.rank = first->rank, .row_dim = 8, .entries = plan->leaf_count + plan->store_count};
  memcpy(space->dims, first->dims, sizeof space->dims);
  for (uint32_t i = 0; i < stage->operand_count; i++) {
    const leat_native_operand_t *operand = &stage->operands[i];
    if (operand->row_dim == PEF_NO_ROW_DIM) continue;
    space->row_dim = operand->row_dim;
    space->dims[operand->row_dim] = operand->row_mult;
  }
  for (uint32_t i = 0; i < plan->leaf_count && space->row_dim < 8; i++) {
    map_leaf_t *leaf = &plan->leaves[i];
    if (leaf->is_iota && leaf->iota_dim == space->row_dim) leaf->iota_row_mult = space->dims[space->row_dim];
  }
  if (space->rank == 0) space->rank = 1;
  space->strides = leat_arena_alloc(arena, (space->entries + 1u) * sizeof *space->strides);
  if (space->strides == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  for (uint32_t e = 0; e < space->entries; e++) take_strides(plan, e, first->rank, space->strides[e]);
  return NULL;
}

static void keep_space(map_plan_t *plan, const space_t *space, int64_t row_min) {
  plan->rank = space->rank;
  plan->row_dim = space->row_dim;
  memcpy(plan->dims, space->dims, sizeof plan->dims);
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    memcpy(plan->leaves[i].strides, space->strides[i], sizeof space->strides[i]);
  }
  for (uint32_t i = 0; i < plan->store_count; i++) {
    memcpy(plan->stores[i].strides, space->strides[plan->leaf_count + i], sizeof space->strides[0]);
  }
  plan->row_mode = plan->rank == 1 || plan->row_dim == plan->rank - 1 || plan->dims[plan->rank - 1] >= row_min;
}

static void count_kept(map_plan_t *plan, const space_t *space) {
  uint32_t counts[3] = {0};
  for (uint32_t d = 0; d < space->rank; d++) counts[space->roles[d]]++;
  plan->sums.kept_count = counts[ROLE_KEPT];
  const bool both = plan->sums.lanes && plan->sums.columns;
  bool fits = counts[ROLE_INNER] == 1 && (!plan->sums.columns || counts[ROLE_SUMMED] > 0);
  const int64_t most = plan->sums.chain * MAP_SUM_LANES * MAP_SUM_ROWS;
  fits &= !both || (plan->dims[plan->rank - 1] <= most && plan->row_dim != plan->rank - 1);
  if (!fits || !plan->row_mode) plan->sums.count = 0;
}

leat_status_t leat_native_map_space(map_plan_t *plan, const leat_native_stage_t *stage, int64_t row_min,
                                    leat_arena_t *arena) {
  space_t space;
  LEAT_TRY(read_space(plan, stage, arena, &space));
  const bool sums = plan->sums.count != 0;
  if (sums) {
    refine(&space, &plan->sums);
    give_roles(&space, &plan->sums);
    if (!are_alike(&space, &plan->sums)) plan->sums.count = 0;
    sort_by_role(&space);
  }
  drop_ones(&space);
  merge_dims(&space, plan->is_copy && !sums ? plan->leaf_count : NO_STORE);
  keep_space(plan, &space, row_min);
  if (plan->sums.count != 0) count_kept(plan, &space);
  return NULL;
}
