// SPDX-License-Identifier: Apache-2.0
// See walk.h. Loops are in the order in which they begin, so one that ends has all inner ones behind it; a loop that
// begins another trip meets them again.
#include "pef/walk.h"

#define DISTANCE_LIMIT (INT64_C(1) << 62)

static uint32_t end_of(const pef_loop_t *loop) { return loop->call_first + loop->call_count; }

leat_walk_t leat_walk_from(const leat_pef_t *pef, uint32_t most_trips, uint32_t first) {
  leat_walk_t walk = {.pef = pef, .most_trips = most_trips, .next_call = first};
  while (walk.next_loop < pef->loop_count && pef->loops[walk.next_loop].call_first < first) walk.next_loop++;
  return walk;
}

static bool is_batches(const pef_loop_t *loop) { return (loop->flags & PEF_LOOP_BATCHES) != 0; }

const pef_loop_t *leat_pef_batches(const leat_pef_t *pef) {
  for (uint32_t i = 0; i < pef->loop_count; ++i) {
    if (is_batches(&pef->loops[i])) return &pef->loops[i];
  }
  return NULL;
}

static void enter_loops(leat_walk_t *w) {
  const leat_pef_t *pef = w->pef;
  for (; w->next_loop < pef->loop_count && pef->loops[w->next_loop].call_first == w->next_call; ++w->next_loop) {
    if (is_batches(&pef->loops[w->next_loop])) continue;
    assert(w->depth < PEF_MAX_LOOP_DEPTH);
    w->levels[w->depth++] = (leat_walk_level_t){.loop = w->next_loop};
  }
}

static void end_trips(leat_walk_t *w) {
  while (w->depth > 0) {
    leat_walk_level_t *level = &w->levels[w->depth - 1];
    const pef_loop_t *loop = &w->pef->loops[level->loop];
    if (w->next_call != end_of(loop)) return;
    if (level->trip + 1 < loop->trips && level->trip + 1 < w->most_trips) {
      level->trip++;
      w->next_call = loop->call_first;
      w->next_loop = level->loop + 1;
      return;
    }
    w->depth--;
  }
}

bool leat_walk_next(leat_walk_t *w) {
  end_trips(w);
  if (w->next_call == w->pef->call_count) return false;
  enter_loops(w);
  w->call = w->next_call++;
  return true;
}

void leat_walk_leave(leat_walk_t *w, uint32_t level) {
  const leat_pef_t *pef = w->pef;
  w->next_call = end_of(&pef->loops[w->levels[level].loop]);
  w->depth = level;
  while (w->next_loop < pef->loop_count && pef->loops[w->next_loop].call_first < w->next_call) w->next_loop++;
}

bool leat_walk_is_first(const leat_walk_t *w) {
  for (uint32_t i = 0; i < w->depth; ++i) {
    if (w->levels[i].trip != 0) return false;
  }
  return true;
}

double leat_walk_times(const leat_walk_t *w) {
  double times = 1;
  for (uint32_t i = 0; i < w->depth; ++i) times *= w->pef->loops[w->levels[i].loop].trips;
  return times;
}

uint32_t leat_walk_stream(const leat_walk_t *w) {
  uint32_t stream = 0;
  for (uint32_t i = 0; i < w->depth; ++i) stream += w->levels[i].trip * w->pef->loops[w->levels[i].loop].stream_step;
  return stream;
}

uint32_t leat_walk_trip(const leat_walk_t *w, uint32_t loop) {
  for (uint32_t i = 0; i < w->depth; ++i) {
    if (w->levels[i].loop == loop) return w->levels[i].trip;
  }
  return 0;
}

const pef_argument_t *leat_walk_argument(const leat_walk_t *w, uint32_t index, int64_t *out_shift) {
  const pef_argument_t *argument = &w->pef->arguments[index];
  uint32_t count;
  const pef_move_t *moves = leat_pef_moves(w->pef, index, 1, &count);
  *out_shift = 0;
  for (uint32_t m = 0; m < count; ++m) {
    const int64_t trip = leat_walk_trip(w, moves[m].loop);
    *out_shift += moves[m].first + moves[m].step * trip;
    if (moves[m].place_first != PEF_NONE) argument = &w->pef->places[moves[m].place_first + trip];
  }
  return argument;
}

// --- arguments that move ---------------------------------------------------------------------------------------------

// The first move of an argument from `argument` on.
static uint32_t first_move(const leat_pef_t *pef, uint32_t argument) {
  uint32_t low = 0, high = pef->move_count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (pef->moves[middle].argument < argument)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

const pef_move_t *leat_pef_moves(const leat_pef_t *pef, uint32_t argument, uint32_t count, uint32_t *out_count) {
  const uint32_t first = first_move(pef, argument);
  uint32_t end = first;
  while (end < pef->move_count && pef->moves[end].argument - argument < count) ++end;
  *out_count = end - first;
  return pef->moves == NULL ? NULL : pef->moves + first;
}

const pef_argument_t *leat_pef_places(const leat_pef_t *pef, uint32_t argument, uint32_t *out_count) {
  uint32_t count;
  const pef_move_t *moves = leat_pef_moves(pef, argument, 1, &count);
  *out_count = 1;
  for (uint32_t m = 0; m < count; ++m) {
    if (moves[m].place_first == PEF_NONE) continue;
    *out_count = pef->loops[moves[m].loop].trips;
    return &pef->places[moves[m].place_first];
  }
  return &pef->arguments[argument];
}

static bool add_distance(int64_t *sum, int64_t distance) {
  return !__builtin_add_overflow(*sum, distance, sum) && *sum > -DISTANCE_LIMIT && *sum < DISTANCE_LIMIT;
}

bool leat_pef_reach(const leat_pef_t *pef, uint32_t argument, int64_t *out_least, int64_t *out_most) {
  uint32_t count;
  const pef_move_t *moves = leat_pef_moves(pef, argument, 1, &count);
  *out_least = *out_most = 0;
  for (uint32_t m = 0; m < count; ++m) {
    const int64_t last = moves[m].loop == PEF_NONE ? 0 : (int64_t)pef->loops[moves[m].loop].trips - 1;
    int64_t way;
    if (__builtin_mul_overflow(moves[m].step, last, &way)) return false;
    if (!add_distance(out_least, moves[m].first) || !add_distance(out_most, moves[m].first)) return false;
    if (!add_distance(way < 0 ? out_least : out_most, way)) return false;
  }
  return true;
}
