// SPDX-License-Identifier: Apache-2.0
// Operands of one stage that share memory: what is written shares no byte with another operand, but for those that the
// schema lets a stage work on in place. Refused is what has a byte in common for certain: two elements that overlap are
// looked for, outermost strides first, for a bounded number of steps, and of all stages together, too.
#include <stdlib.h>

#include "pef/pef_check.h"

enum { STEPS_MAX = 4096, TERMS_MAX = 2 * PEF_MAX_RANK };
#define REACH_LIMIT (INT64_C(1) << 60)  // more than any memory; sums of a few of them fit

// Bytes from one element to another: a constant and a sum of count * step, 0 <= count <= most.
typedef struct pef_distance_s {
  int64_t constant;
  uint32_t terms, steps_left;
  int64_t step[TERMS_MAX], most[TERMS_MAX];
  int64_t reach_down[TERMS_MAX + 1], reach_up[TERMS_MAX + 1];  // of the terms from this one on
  int64_t bytes_before, bytes_after;                           // of the elements: they overlap in between
} pef_distance_t;

static void add_term(pef_distance_t *distance, int64_t step, int64_t most) {
  if (step == 0 || most <= 0) return;
  uint32_t at = distance->terms++;
  for (; at > 0 && llabs(distance->step[at - 1]) < llabs(step); --at) {
    distance->step[at] = distance->step[at - 1];
    distance->most[at] = distance->most[at - 1];
  }
  distance->step[at] = step;
  distance->most[at] = most;
}

static void add_operand(pef_distance_t *distance, const pef_operand_t *operand, const int64_t *extents, int64_t sign) {
  const int64_t bytes = (int64_t)leat_pef_dtype_bytes(operand->dtype);
  for (uint32_t d = 0; d < operand->rank; ++d) add_term(distance, sign * operand->strides[d] * bytes, extents[d] - 1);
}

// False where that is more than there is memory.
static bool measure_reach(pef_distance_t *distance) {
  distance->reach_down[distance->terms] = distance->reach_up[distance->terms] = 0;
  for (uint32_t i = distance->terms; i-- > 0;) {
    const int64_t span = distance->step[i] * distance->most[i];
    distance->reach_down[i] = distance->reach_down[i + 1] + (span < 0 ? span : 0);
    distance->reach_up[i] = distance->reach_up[i + 1] + (span > 0 ? span : 0);
    if (distance->reach_up[i] - distance->reach_down[i] > REACH_LIMIT) return false;
  }
  return true;
}

static int64_t divide_down(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
static int64_t divide_up(int64_t a, int64_t b) { return -divide_down(-a, b); }

// Some counts of the terms from `term` on bring `so_far` to within the elements.
static bool meets(pef_distance_t *distance, uint32_t term, int64_t so_far) {
  if (distance->steps_left == 0) return false;
  --distance->steps_left;
  const int64_t low = -distance->bytes_before - so_far, high = distance->bytes_after - so_far;  // what is left to go
  if (term == distance->terms) return low <= 0 && 0 <= high;
  const int64_t step = distance->step[term], from = low - distance->reach_up[term + 1],
                to = high - distance->reach_down[term + 1];
  int64_t first = step > 0 ? divide_up(from, step) : divide_up(to, step);
  int64_t last = step > 0 ? divide_down(to, step) : divide_down(from, step);
  if (first < 0) first = 0;
  if (last > distance->most[term]) last = distance->most[term];
  for (int64_t count = first; count <= last; ++count) {
    if (meets(distance, term + 1, so_far + count * step)) return true;
    if (distance->steps_left == 0) return false;
  }
  return false;
}

// Where an operand lies in one call: `memory` tells places apart that share nothing.
typedef struct pef_place_s {
  uint64_t memory;
  int64_t at;  // byte of element 0
} pef_place_t;

static pef_place_t place_of(const pef_operand_t *operand, const pef_argument_t *arguments) {
  if (operand->space == PEF_SPACE_SCRATCH) return (pef_place_t){UINT64_MAX, (int64_t)operand->offset};
  const pef_argument_t *argument = &arguments[operand->slot];
  return (pef_place_t){(uint64_t)argument->kind << 32 | argument->symbol,
                       (int64_t)(argument->offset + operand->offset)};
}

static bool have_common_bytes(const pef_stage_site_t *site, uint32_t i, uint32_t j, int64_t apart, int64_t *steps) {
  const pef_operand_t *a = &site->operands[i], *b = &site->operands[j];
  int64_t extents_a[PEF_MAX_RANK], extents_b[PEF_MAX_RANK];
  leat_pef_extents(site, i, extents_a);
  leat_pef_extents(site, j, extents_b);
  if (leat_pef_has_empty(a, extents_a) || leat_pef_has_empty(b, extents_b)) return false;
  pef_distance_t distance = {.steps_left = STEPS_MAX,
                             .bytes_before = (int64_t)leat_pef_dtype_bytes(b->dtype) - 1,
                             .bytes_after = (int64_t)leat_pef_dtype_bytes(a->dtype) - 1};
  add_operand(&distance, b, extents_b, 1);
  add_operand(&distance, a, extents_a, -1);
  const bool met = measure_reach(&distance) && meets(&distance, 0, apart);
  *steps -= STEPS_MAX - distance.steps_left;
  return met;
}

static bool works_in_place(const pef_stage_site_t *site, uint32_t i, uint32_t j) {
  const pef_operand_t *a = &site->operands[i], *b = &site->operands[j];
  const uint32_t traits = leat_pef_operand_row(site->stage->kind, i)->traits;
  const bool alike = a->dtype == b->dtype && a->rank == b->rank && a->row_dim == b->row_dim &&
                     memcmp(a->dims, b->dims, sizeof a->dims) == 0 &&
                     memcmp(a->strides, b->strides, sizeof a->strides) == 0;
  return (traits & PEF_IN_PLACE) != 0 && alike && (site->outputs >> j & 1) == 0;
}

static bool is_apart(const pef_stage_site_t *site, uint32_t i, uint32_t j, const pef_argument_t *arguments,
                     int64_t *steps) {
  if (--*steps < 0) return true;
  const pef_operand_t *a = &site->operands[i], *b = &site->operands[j];
  if (a->space == PEF_SPACE_NONE || b->space == PEF_SPACE_NONE) return true;
  if (leat_pef_operand_is_packed(site->stage, i) || leat_pef_operand_is_packed(site->stage, j)) return true;
  const pef_place_t p = place_of(a, arguments), q = place_of(b, arguments);
  if (p.memory != q.memory || (p.at == q.at && works_in_place(site, i, j))) return true;
  return !have_common_bytes(site, i, j, q.at - p.at, steps);
}

leat_status_t leat_pef_check_alias(const pef_stage_site_t *site, const pef_argument_t *arguments, int64_t *steps) {
  for (uint32_t i = 0; i < site->stage->operand_count && !site->idle; ++i) {
    if ((site->outputs >> i & 1) == 0) continue;
    for (uint32_t j = 0; j < site->stage->operand_count; ++j) {
      if (j == i || (j < i && (site->outputs >> j & 1) != 0) || is_apart(site, i, j, arguments, steps)) continue;
      return leat_pef_corrupt("%s is written and shares memory with %s", leat_pef_label(site, i).text,
                              leat_pef_label(site, j).text);
    }
  }
  return NULL;
}
