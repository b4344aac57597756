// SPDX-License-Identifier: Apache-2.0
// See plan.h.
#include "chip/plan.h"

#include "pef/walk.h"

leat_status_t leat_chip_check_tiles(const leat_chip_t *chip, uint32_t tiles, uint32_t *out_tiles) {
  *out_tiles = tiles == 0 ? (uint32_t)chip->tiles : tiles;
  if (tiles > chip->tiles)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%u tiles are more than the %llu of %s", tiles, (unsigned long long)chip->tiles,
              chip->name);
  if (*out_tiles <= chip->tiles_together || *out_tiles % chip->tiles_together == 0) return NULL;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%u tiles of %s: above %llu it takes multiples of it, which share the rows", tiles,
            chip->name, (unsigned long long)chip->tiles_together);
}

static leat_status_t allocate_bodies(const leat_chip_t *chip, const leat_pef_t *pef, leat_chip_plan_t *plan) {
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    leat_chip_allocation_t *allocation = &plan->bodies[pef->calls[c].body];
    if (allocation->tiles_used == 0)
      LEAT_TRY(leat_chip_allocate(chip, pef, pef->calls[c].body, plan->tiles, allocation));
  }
  return NULL;
}

static leat_status_t add_sections(const leat_chip_t *chip, const leat_pef_t *pef, leat_chip_plan_t *plan) {
  for (leat_walk_t at = leat_walk_start(pef, 1); leat_walk_next(&at);) {
    leat_chip_section_t *section = leat_array_push(&plan->sections);
    if (section == NULL) return leat_out_of_memory();
    *section = (leat_chip_section_t){.call = at.call, .times = leat_walk_times(&at)};
    const leat_chip_given_t given = {.is_loaded = true};
    leat_chip_time_of(chip, &plan->bodies[pef->calls[at.call].body], &given, &section->time);
  }
  return NULL;
}

// How often a run comes to a call from another one: trips of a loop that holds nothing else follow themselves.
static double arrivals(const leat_pef_t *pef, const leat_chip_section_t *section) {
  double times = section->times;
  for (uint32_t i = 0; i < pef->loop_count; ++i) {
    const pef_loop_t *loop = &pef->loops[i];
    if (loop->call_first == section->call && loop->call_count == 1 && (loop->flags & PEF_LOOP_BATCHES) == 0)
      times /= loop->trips;
  }
  return times;
}

// The sections of a run, or those of PREPARE, follow each other in a ring: a program is there where the section before
// was of the same body.
static void count_loads(const leat_pef_t *pef, bool prepares, leat_chip_plan_t *plan) {
  leat_chip_section_t *first = NULL, *before = NULL;
  for (uint32_t i = 0; i < plan->sections.count; ++i) {
    leat_chip_section_t *section = &plan->sections.data[i];
    if ((pef->calls[section->call].type == PEF_PREPARE) != prepares) continue;
    const bool is_same = before != NULL && pef->calls[before->call].body == pef->calls[section->call].body;
    section->loads = is_same ? 0 : arrivals(pef, section);
    if (first == NULL) first = section;
    before = section;
  }
  if (first != NULL && pef->calls[before->call].body == pef->calls[first->call].body) first->loads = 0;
}

static void add_up(const leat_chip_t *chip, const leat_pef_t *pef, leat_chip_plan_t *plan) {
  for (uint32_t i = 0; i < plan->sections.count; ++i) {
    leat_chip_section_t *section = &plan->sections.data[i];
    section->seconds = section->times * section->time.total + section->loads * chip->program_load;
    const bool prepares = pef->calls[section->call].type == PEF_PREPARE;
    *(prepares ? &plan->prepare_seconds : &plan->run_seconds) += section->seconds;
  }
}

leat_status_t leat_chip_plan_make(const leat_chip_t *chip, const leat_pef_t *pef, uint32_t tiles,
                                  leat_chip_plan_t *out_plan) {
  *out_plan = (leat_chip_plan_t){.body_count = pef->body_count};
  LEAT_TRY(leat_chip_check_tiles(chip, tiles, &out_plan->tiles));
  out_plan->bodies = leat_alloc_zero(pef->body_count + 1u, sizeof *out_plan->bodies);
  leat_status_t status = out_plan->bodies != NULL ? allocate_bodies(chip, pef, out_plan) : leat_out_of_memory();
  if (status == NULL) status = add_sections(chip, pef, out_plan);
  if (status != NULL) {
    leat_chip_plan_deinit(out_plan);
    return status;
  }
  count_loads(pef, false, out_plan);
  count_loads(pef, true, out_plan);
  add_up(chip, pef, out_plan);
  return NULL;
}

void leat_chip_plan_deinit(leat_chip_plan_t *plan) {
  for (uint32_t b = 0; plan->bodies != NULL && b < plan->body_count; ++b) leat_chip_allocation_deinit(&plan->bodies[b]);
  leat_free(plan->bodies);
  leat_array_free(&plan->sections);
  *plan = (leat_chip_plan_t){0};
}
