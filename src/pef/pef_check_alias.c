// SPDX-License-Identifier: Apache-2.0
// Operands of one stage that share memory: what is written shares no byte with another operand, but for those that the
// schema lets a stage work on in place. Refused is what has a byte in common for certain: two elements that overlap are
// looked for, outermost strides first, for a bounded number of steps, and of all stages together, too.
#include <stdlib.h>

#include "pef/pef_check.h"
#include "pef/walk.h"

enum { STEPS_MAX = 4096, TERMS_MAX = 2 * PEF_MAX_RANK + PEF_MAX_LOOP_DEPTH };
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

// Where an operand lies in a call, in the first trip: `memory` tells places apart that share nothing.
typedef struct pef_place_s {
  uint64_t memory;
  int64_t at;  // byte of element 0
  const pef_move_t *moves;
  uint32_t move_count;
} pef_place_t;

// Where an argument may lie: `loop` chooses one of `count` places; PEF_NONE: there is one.
typedef struct pef_table_s {
  const pef_argument_t *places;
  uint32_t count, loop;
} pef_table_t;

// A call under check.
typedef struct pef_call_site_s {
  const pef_stage_site_t *stage;
  const leat_pef_t *pef;
  const pef_call_t *call;
} pef_call_site_t;

static pef_table_t table_of(const pef_call_site_t *site, const pef_operand_t *operand) {
  pef_table_t table = {.count = 1, .loop = PEF_NONE};
  if (operand->space == PEF_SPACE_SCRATCH) return table;
  const uint32_t argument = site->call->argument_first + operand->slot;
  uint32_t count;
  const pef_move_t *moves = leat_pef_moves(site->pef, argument, 1, &count);
  table.places = leat_pef_places(site->pef, argument, &table.count);
  for (uint32_t m = 0; m < count; ++m) {
    if (moves[m].place_first != PEF_NONE) table.loop = moves[m].loop;
  }
  return table;
}

static pef_place_t place_of(const pef_call_site_t *site, const pef_operand_t *operand, const pef_argument_t *argument) {
  if (operand->space == PEF_SPACE_SCRATCH)
    return (pef_place_t){.memory = UINT64_MAX - operand->slot, .at = (int64_t)operand->offset};
  pef_place_t place = {.memory = (uint64_t)argument->kind << 32 | argument->symbol,
                       .at = (int64_t)(argument->offset + operand->offset)};
  place.moves = leat_pef_moves(site->pef, site->call->argument_first + operand->slot, 1, &place.move_count);
  for (uint32_t m = 0; m < place.move_count; ++m) place.at += place.moves[m].first;
  return place;
}

static int64_t step_in(const pef_place_t *place, uint32_t loop) {
  for (uint32_t m = 0; m < place->move_count; ++m) {
    if (place->moves[m].loop == loop) return place->moves[m].step;
  }
  return 0;
}

// How the distance from p to q changes from trip to trip. True where it does.
static bool add_trips(const leat_pef_t *pef, const pef_place_t *p, const pef_place_t *q, pef_distance_t *distance) {
  const uint32_t terms = distance->terms;
  for (uint32_t m = 0; m < p->move_count + q->move_count; ++m) {
    const bool of_p = m < p->move_count;
    const uint32_t loop = of_p ? p->moves[m].loop : q->moves[m - p->move_count].loop;
    if (loop == PEF_NONE || (of_p && step_in(q, loop) != 0)) continue;  // both move: once
    add_term(distance, step_in(q, loop) - step_in(p, loop), (int64_t)pef->loops[loop].trips - 1);
  }
  return distance->terms != terms;
}

// The elements of two operands of the stage, in the trips of `distance`.
static bool have_common_bytes(const pef_stage_site_t *site, uint32_t i, uint32_t j, pef_distance_t distance,
                              int64_t apart, int64_t *steps) {
  const pef_operand_t *a = &site->operands[i], *b = &site->operands[j];
  int64_t extents_a[PEF_MAX_RANK], extents_b[PEF_MAX_RANK];
  leat_pef_extents(site, i, extents_a);
  leat_pef_extents(site, j, extents_b);
  if (leat_pef_has_empty(a, extents_a) || leat_pef_has_empty(b, extents_b)) return false;
  distance.steps_left = STEPS_MAX;
  distance.bytes_before = (int64_t)leat_pef_dtype_bytes(b->dtype) - 1;
  distance.bytes_after = (int64_t)leat_pef_dtype_bytes(a->dtype) - 1;
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
  return (traits & PEF_IN_PLACE) != 0 && alike && !leat_pef_site_writes(site, j);
}

// In one place of each, in all trips. A stage works in place in all of them or in none.
static bool are_apart(const pef_call_site_t *call, uint32_t i, uint32_t j, const pef_argument_t *x,
                      const pef_argument_t *y, int64_t *steps) {
  if (--*steps < 0) return true;
  const pef_stage_site_t *site = call->stage;
  const pef_place_t p = place_of(call, &site->operands[i], x), q = place_of(call, &site->operands[j], y);
  if (p.memory != q.memory) return true;
  pef_distance_t distance = {0};
  const bool moves = add_trips(call->pef, &p, &q, &distance);
  if (p.at == q.at && !moves && works_in_place(site, i, j)) return true;
  return !have_common_bytes(site, i, j, distance, q.at - p.at, steps);
}

// What tells apart most operands of a stage of very many: memory that no trip changes is not that of the other.
static bool lie_elsewhere(const pef_call_site_t *call, const pef_operand_t *a, const pef_operand_t *b) {
  if (a->space != b->space) return true;
  if (a->space == PEF_SPACE_SCRATCH) return a->slot != b->slot;
  const pef_argument_t *arguments = call->pef->arguments + call->call->argument_first;
  const pef_argument_t *x = &arguments[a->slot], *y = &arguments[b->slot];
  return call->pef->place_count == 0 && (x->kind != y->kind || x->symbol != y->symbol);
}

static bool is_apart(const pef_call_site_t *call, uint32_t i, uint32_t j, int64_t *steps) {
  const pef_stage_site_t *site = call->stage;
  const pef_operand_t *a = &site->operands[i], *b = &site->operands[j];
  if (a->space == PEF_SPACE_NONE || b->space == PEF_SPACE_NONE) return true;
  if (lie_elsewhere(call, a, b)) return true;
  if (leat_pef_operand_is_packed(site->stage, i) || leat_pef_operand_is_packed(site->stage, j)) return true;
  const pef_table_t x = table_of(call, a), y = table_of(call, b);
  const bool together = x.loop != PEF_NONE && x.loop == y.loop;  // both are where the same trip puts them
  for (uint32_t t = 0; t<x.count && * steps> 0; ++t) {
    for (uint32_t u = together ? t : 0; u < (together ? t + 1 : y.count) && *steps > 0; ++u) {
      const pef_argument_t *at = x.places == NULL ? NULL : &x.places[t],
                           *other = y.places == NULL ? NULL : &y.places[u];
      if (!are_apart(call, i, j, at, other, steps)) return false;
    }
  }
  return true;
}

leat_status_t leat_pef_check_alias(const pef_stage_site_t *site, const leat_pef_t *pef, const pef_call_t *call,
                                   int64_t *steps) {
  const pef_call_site_t at = {site, pef, call};
  for (uint32_t i = 0; i < site->stage->operand_count && !site->idle; ++i) {
    if (!leat_pef_site_writes(site, i)) continue;
    for (uint32_t j = 0; j < site->stage->operand_count; ++j) {
      if (--*steps < 0) return NULL;
      if (j == i || (j < i && leat_pef_site_writes(site, j)) || is_apart(&at, i, j, steps)) continue;
      return leat_pef_corrupt("%s is written and shares memory with %s", leat_pef_label(site, i).text,
                              leat_pef_label(site, j).text);
    }
  }
  return NULL;
}
