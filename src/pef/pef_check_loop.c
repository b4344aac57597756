// SPDX-License-Identifier: Apache-2.0
// Loops, and the arguments that they move: ranges of calls that nest, distances that stay within what an argument names
// in every trip. Nothing here takes longer than the records that it looks at.
#include "pef/pef_check.h"
#include "pef/walk.h"

// --- loops -----------------------------------------------------------------------------------------------------------

static uint32_t end_of(const pef_loop_t *loop) { return loop->call_first + loop->call_count; }

static leat_status_t check_record(const leat_pef_t *pef, const pef_loop_t *loop) {
  if (loop->name >= pef->string_bytes)
    return leat_pef_corrupt("name is string %u of %u bytes", loop->name, pef->string_bytes);
  if (loop->call_first >= pef->call_count || loop->call_count == 0 ||
      loop->call_count > pef->call_count - loop->call_first) {
    return leat_pef_corrupt("calls %u + %u of %u", loop->call_first, loop->call_count, pef->call_count);
  }
  if (loop->trips == 0 || loop->trips > PEF_MAX_TRIPS) return leat_pef_corrupt("%u trips", loop->trips);
  const uint32_t known = PEF_LOOP_APART | (pef->version_minor >= 1 ? PEF_LOOP_BATCHES | PEF_LOOP_FWD_ALONE : 0);
  if ((loop->flags & ~known) != 0) return leat_pef_corrupt("flags 0x%x do not exist", loop->flags);
  if ((loop->flags & PEF_LOOP_APART) != 0 && (loop->flags & PEF_LOOP_FWD_ALONE) != 0)
    return leat_pef_corrupt("all its types may run apart, and FWD alone");
  return NULL;
}

// Where a loop over batches lies: behind PREPARE calls, in front of calls of other types.
static leat_status_t check_batches(const leat_pef_t *pef, const pef_loop_t *loop, uint32_t depth) {
  uint32_t types = 0, behind = 0;
  if (depth != 1) return leat_pef_corrupt("a loop over batches lies within another");
  if ((loop->flags & PEF_LOOP_APART) == 0 || loop->stream_step != 0)
    return leat_pef_corrupt("a loop over batches has flags 0x%x, and its streams step by %u", loop->flags,
                            loop->stream_step);
  for (uint32_t i = 0; i < pef->loop_count; ++i) {
    if (&pef->loops[i] != loop && (pef->loops[i].flags & PEF_LOOP_BATCHES) != 0)
      return leat_pef_corrupt("loop %u is one over batches, too", i);
  }
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    const uint32_t type = 1u << pef->calls[c].type;
    if (c < loop->call_first && type != 1u << PEF_PREPARE)
      return leat_pef_corrupt("call %u in front of a loop over batches is not of type prepare", c);
    if (c >= loop->call_first && c < end_of(loop)) types |= type;
    if (c >= end_of(loop)) behind |= type;
  }
  if ((types & (behind | 1u << PEF_PREPARE)) != 0)
    return leat_pef_corrupt("section types of a loop over batches (bits 0x%x) are prepare, or behind it (bits 0x%x)",
                            types, behind);
  return NULL;
}

static leat_status_t check_forward(const leat_pef_t *pef, const pef_loop_t *loop) {
  if ((loop->flags & PEF_LOOP_FWD_ALONE) == 0) return NULL;
  for (uint32_t c = loop->call_first; c < end_of(loop); ++c)
    if (pef->calls[c].type == PEF_FWD) return NULL;
  return leat_pef_corrupt("forward may run alone, and it has none");
}

// Its calls are of type PREPARE all, or none is.
static leat_status_t check_types(const leat_pef_t *pef, const pef_loop_t *loop) {
  const bool prepares = pef->calls[loop->call_first].type == PEF_PREPARE;
  for (uint32_t c = loop->call_first; c < end_of(loop); ++c) {
    if ((pef->calls[c].type == PEF_PREPARE) != prepares)
      return leat_pef_corrupt("call %u is of type prepare, or is none, unlike the first", c);
  }
  return NULL;
}

// `open`: the ends of the loops around it.
typedef struct nest_s {
  uint32_t ends[PEF_MAX_LOOP_DEPTH], depth, last_first;
} nest_t;

static leat_status_t check_nesting(const pef_loop_t *loop, nest_t *nest) {
  if (loop->call_first < nest->last_first) return leat_pef_corrupt("it begins before the loop in front of it");
  nest->last_first = loop->call_first;
  while (nest->depth > 0 && nest->ends[nest->depth - 1] <= loop->call_first) --nest->depth;
  if (nest->depth > 0 && end_of(loop) > nest->ends[nest->depth - 1])
    return leat_pef_corrupt("it begins within another loop and ends behind it");
  if (nest->depth == PEF_MAX_LOOP_DEPTH) return leat_pef_corrupt("it lies within %u others", PEF_MAX_LOOP_DEPTH);
  nest->ends[nest->depth++] = end_of(loop);
  return NULL;
}

static leat_status_t check_loops(const leat_pef_t *pef) {
  nest_t nest = {0};
  for (uint32_t i = 0; i < pef->loop_count; ++i) {
    leat_status_t status = check_record(pef, &pef->loops[i]);
    if (status == NULL) status = check_nesting(&pef->loops[i], &nest);
    if (status == NULL) status = check_forward(pef, &pef->loops[i]);
    if (status == NULL && nest.depth == 1) status = check_types(pef, &pef->loops[i]);
    if (status == NULL && (pef->loops[i].flags & PEF_LOOP_BATCHES) != 0)
      status = check_batches(pef, &pef->loops[i], nest.depth);
    LEAT_TRY(leat_status_annotate(status, "loop %u", i));
  }
  return NULL;
}

// --- moves -----------------------------------------------------------------------------------------------------------

static leat_status_t check_places(const leat_pef_t *pef, const pef_move_t *move, uint32_t *next_place) {
  if (move->place_first == PEF_NONE) return NULL;
  if (move->loop == PEF_NONE || move->step != 0) return leat_pef_corrupt("it has places, and a step or no loop");
  const uint32_t trips = pef->loops[move->loop].trips;
  const pef_argument_t *own = &pef->arguments[move->argument];
  if (move->place_first != *next_place || trips > pef->place_count - *next_place)
    return leat_pef_corrupt("places %u + %u of %u are not its own", move->place_first, trips, pef->place_count);
  *next_place += trips;
  if (memcmp(&pef->places[move->place_first], own, sizeof *own) != 0)
    return leat_pef_corrupt("the place of the first trip is not that of the argument");
  for (uint32_t t = 0; t < trips; ++t) {
    const pef_argument_t *place = &pef->places[move->place_first + t];
    if (place->bytes != own->bytes) return leat_pef_corrupt("the place of trip %u has other bytes", t);
    LEAT_TRY(leat_status_annotate(leat_pef_check_argument(pef, place), "the place of trip %u", t));
  }
  return NULL;
}

// Which call an argument belongs to: arguments lie in the order of the calls.
static uint32_t call_of(const leat_pef_t *pef, uint32_t argument) {
  uint32_t low = 0, high = pef->call_count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (pef->calls[middle].argument_first + pef->calls[middle].argument_count <= argument)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static leat_status_t check_move(const leat_pef_t *pef, const pef_move_t *move, uint32_t *next_place) {
  if (move->argument >= pef->argument_count)
    return leat_pef_corrupt("argument %u of %u", move->argument, pef->argument_count);
  if (move->reserved0 != 0) return leat_pef_corrupt("reserved bytes are not zero");
  if (move->loop == PEF_NONE) {
    if (move->step != 0) return leat_pef_corrupt("it has a step and no loop");
    return check_places(pef, move, next_place);
  }
  if (move->loop >= pef->loop_count) return leat_pef_corrupt("loop %u of %u", move->loop, pef->loop_count);
  const pef_loop_t *loop = &pef->loops[move->loop];
  if ((loop->flags & PEF_LOOP_BATCHES) != 0) return leat_pef_corrupt("it moves with a loop over batches");
  const uint32_t call = call_of(pef, move->argument);
  if (call < loop->call_first || call >= end_of(loop))
    return leat_pef_corrupt("argument %u is of call %u, which is not in loop %u", move->argument, call, move->loop);
  return check_places(pef, move, next_place);
}

// All moves of one argument, which are `count`.
static leat_status_t check_reach(const leat_pef_t *pef, const pef_move_t *moves, uint32_t count) {
  const pef_argument_t *argument = &pef->arguments[moves->argument];
  uint32_t tables = 0;
  int64_t least, most;
  for (uint32_t m = 0; m < count; ++m) tables += moves[m].place_first != PEF_NONE;
  if (tables > 1) return leat_pef_corrupt("two of its moves have places");
  if (!leat_pef_reach(pef, moves->argument, &least, &most) || least < 0 || (uint64_t)most > argument->bytes)
    return leat_pef_corrupt("in some trip it begins outside of its %llu bytes", (unsigned long long)argument->bytes);
  return NULL;
}

static leat_status_t check_moves(const leat_pef_t *pef) {
  uint32_t next_place = 0;
  for (uint32_t i = 0; i < pef->move_count; ++i) {
    const pef_move_t *move = &pef->moves[i], *before = move - 1;
    if (i > 0 &&
        (move->argument < before->argument || (move->argument == before->argument && move->loop <= before->loop)))
      return leat_pef_corrupt("move %u is out of order", i);
    LEAT_TRY(leat_status_annotate(check_move(pef, move, &next_place), "move %u", i));
  }
  for (uint32_t i = 0, first = 0; i < pef->move_count; ++i) {  // which looks moves up: all of them are in order
    const pef_move_t *move = &pef->moves[i];
    if (i + 1 < pef->move_count && pef->moves[i + 1].argument == move->argument) continue;
    LEAT_TRY(leat_status_annotate(check_reach(pef, &pef->moves[first], i + 1 - first), "argument %u", move->argument));
    first = i + 1;
  }
  if (next_place != pef->place_count)
    return leat_pef_corrupt("%u places, the moves own %u", pef->place_count, next_place);
  return NULL;
}

// Calls of some trips only lie in the loop over batches.
static leat_status_t check_whens(const leat_pef_t *pef) {
  const pef_loop_t *batches = leat_pef_batches(pef);
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    if (pef->calls[c].when == PEF_WHEN_ALWAYS) continue;
    if (batches == NULL || c - batches->call_first >= batches->call_count)
      return leat_pef_corrupt("call %u is of some batches only, and in no loop over batches", c);
  }
  return NULL;
}

leat_status_t leat_pef_check_loops(const leat_pef_t *pef) {
  LEAT_TRY(check_loops(pef));
  LEAT_TRY(check_whens(pef));
  return check_moves(pef);
}
