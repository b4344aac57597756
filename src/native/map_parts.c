// SPDX-License-Identifier: Apache-2.0
// See map_parts.h. A step's level is the number of kernels that must have run one after the other before it: kernels
// run as early as they can, code as late as it may, so that what it makes passes in registers to what reads it.
#include "native/map_parts.h"

#include "native/map_code.h"

typedef struct levels_s {
  const leat_native_code_t *code;
  uint32_t *of_value, *latest;  // by value
  uint32_t highest;
} levels_t;

static uint32_t first_of_strips(const map_plan_t *plan) { return plan->step_end[MAP_ROW]; }
static bool is_code(const leat_native_code_t *code, const map_step_t *step) {
  return leat_native_map_code_has(code, step->op);
}

static void find_earliest(const map_plan_t *plan, levels_t *levels) {
  for (uint32_t s = first_of_strips(plan); s < plan->step_count; s++) {
    const map_step_t *step = &plan->steps[s];
    const uint16_t reads[3] = {step->a, step->b, step->c};
    uint32_t level = 0;
    for (int k = 0; k < 3; k++) level = levels->of_value[reads[k]] > level ? levels->of_value[reads[k]] : level;
    levels->of_value[step->dst] = level + !is_code(levels->code, step);
    if (levels->of_value[step->dst] > levels->highest) levels->highest = levels->of_value[step->dst];
  }
}

static void find_latest(const map_plan_t *plan, levels_t *levels) {
  for (uint32_t v = 0; v < plan->value_count; v++) levels->latest[v] = levels->highest;
  for (uint32_t s = plan->step_count; s-- > first_of_strips(plan);) {
    const map_step_t *step = &plan->steps[s];
    const uint16_t reads[3] = {step->a, step->b, step->c};
    if (is_code(levels->code, step)) levels->of_value[step->dst] = levels->latest[step->dst];
    const uint32_t bound = levels->of_value[step->dst] - !is_code(levels->code, step);
    for (int k = 0; k < 3; k++) {
      if (bound < levels->latest[reads[k]]) levels->latest[reads[k]] = bound;
    }
  }
}

// Of a level the kernels come first.
static uint32_t key_of(const levels_t *levels, const map_step_t *step) {
  return 2 * levels->of_value[step->dst] + is_code(levels->code, step);
}

leat_status_t leat_native_map_order(map_plan_t *plan, const leat_native_code_t *code, leat_arena_t *arena) {
  const uint32_t first = first_of_strips(plan), count = plan->step_count - first;
  levels_t levels = {.code = code};
  levels.of_value = leat_arena_alloc(arena, (plan->value_count + 1u) * sizeof *levels.of_value);
  levels.latest = leat_arena_alloc(arena, (plan->value_count + 1u) * sizeof *levels.latest);
  map_step_t *ordered = leat_arena_alloc(arena, (count + 1u) * sizeof *ordered);
  uint32_t *places = leat_arena_alloc(arena, (2u * count + 4u) * sizeof *places);
  if (levels.of_value == NULL || levels.latest == NULL || ordered == NULL || places == NULL)
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  find_earliest(plan, &levels);
  find_latest(plan, &levels);
  for (uint32_t s = first; s < plan->step_count; s++) places[key_of(&levels, &plan->steps[s]) + 1]++;
  for (uint32_t key = 1; key < 2 * count + 4; key++) places[key] += places[key - 1];
  for (uint32_t s = first; s < plan->step_count; s++)
    ordered[places[key_of(&levels, &plan->steps[s])]++] = plan->steps[s];
  memcpy(plan->steps + first, ordered, count * sizeof *ordered);
  return NULL;
}

// Whether all that the plan reads and writes is where code can have it row by row, and all that it computes is code.
static bool may_nest(const map_plan_t *plan, const map_value_t *values, const leat_native_code_t *code) {
  const uint32_t first = plan->step_end[MAP_TILE], count = plan->step_count - first;
  bool may = plan->row_mode && count != 0;
  for (uint32_t i = 0; i < plan->leaf_count && may; i++) {
    const map_leaf_t *leaf = &plan->leaves[i];
    const bool row = leaf->kind == MAP_LEAF_ROW && leaf->operand != NULL && leaf->operand->dtype == PEF_F32;
    may = leaf->kind == MAP_LEAF_ALIAS || leaf->kind == MAP_LEAF_CONSTANT || row;
  }
  for (uint32_t s = first; s < plan->step_count && may; s++) may = is_code(code, &plan->steps[s]);
  for (uint32_t i = 0; i < plan->sums.count && may; i++) may = values[plan->sums.of[i].value].scope == MAP_STRIP;
  for (uint32_t i = 0; i < plan->store_count && may; i++) {
    may = values[plan->stores[i].value].goes_out && plan->stores[i].contiguous;
    for (uint32_t k = 0; k < i; k++) may &= plan->stores[k].value != plan->stores[i].value;
  }
  return may;
}

void leat_native_map_parts(map_plan_t *plan, const map_value_t *values, leat_native_code_t *code) {
  if (code != NULL && may_nest(plan, values, code)) {
    plan->parts[0] =
        (map_part_t){leat_native_map_nest_code(code, plan, values), plan->step_end[MAP_TILE], plan->step_count};
    plan->nest = plan->parts[0].code != NULL;
    plan->part_count = plan->nest;
    if (plan->nest) return;
  }
  uint32_t chain = 0;  // the end of the steps from s on that may be code
  for (uint32_t s = first_of_strips(plan); s < plan->step_count; s = plan->parts[plan->part_count - 1].end) {
    map_part_t *part = &plan->parts[plan->part_count++];
    *part = (map_part_t){.first = s};
    if (chain < s) chain = s;
    while (chain < plan->step_count && code != NULL && is_code(code, &plan->steps[chain])) chain++;
    const bool coded = code != NULL && chain > s;
    if (coded) part->code = leat_native_map_code(code, plan, values, s, chain, &part->end);
    if (coded && part->code == NULL) code = NULL;  // what refuses one refuses the others
    if (part->code == NULL) part->end = s + 1;
  }
}

const map_part_t *leat_native_map_part_of(const map_plan_t *plan, uint32_t step) {
  uint32_t low = 0, high = plan->part_count;
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    if (plan->parts[middle].first <= step) low = middle;
    if (plan->parts[middle].first > step) high = middle;
  }
  return &plan->parts[low];
}
