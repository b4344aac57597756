// SPDX-License-Identifier: Apache-2.0
#include "plan_mutate.h"

#include <stdlib.h>

#include "check.h"
#include "loop_maker.h"
#include "pef/pef_write.h"

enum { TRIES_MAX = 64 };

static uint32_t below(plan_t *p, uint64_t limit) { return (uint32_t)mutate_below(&p->file, limit); }

static void *table(const plan_t *p, enum pef_segment_kind kind) {
  const pef_header_t *header = (const pef_header_t *)(void *)p->file.data;
  const pef_segment_t *segments = (const pef_segment_t *)(header + 1);
  for (uint32_t i = 0; i < header->segment_count; ++i) {
    if (segments[i].kind == (uint32_t)kind) return p->file.data + segments[i].offset;
  }
  return NULL;
}

plan_t plan_copy(const leat_pef_t *pef, uint64_t seed) {
  plan_t p = {.was = pef};
  assert_ok(leat_pef_encode(pef, &p.file.data, &p.file.bytes));
  p.file.capacity = p.file.bytes;
  p.file.random = seed;
  p.calls = table(&p, PEF_SEGMENT_CALLS);
  p.arguments = table(&p, PEF_SEGMENT_ARGUMENTS);
  p.bodies = table(&p, PEF_SEGMENT_BODIES);
  p.stages = table(&p, PEF_SEGMENT_STAGES);
  p.operands = table(&p, PEF_SEGMENT_OPERANDS);
  if (pef->loop_count != 0) p.loops = table(&p, PEF_SEGMENT_LOOPS);
  if (pef->move_count != 0) p.moves = table(&p, PEF_SEGMENT_MOVES);
  p.call_was = leat_alloc((pef->call_count + 1u) * sizeof *p.call_was);
  p.operand_was = leat_alloc((pef->operand_count + 1u) * sizeof *p.operand_was);
  for (uint32_t i = 0; i < pef->call_count; ++i) p.call_was[i] = i;
  for (uint32_t i = 0; i < pef->operand_count; ++i) p.operand_was[i] = i;
  return p;
}

void plan_free(plan_t *p) {
  leat_free(p->file.data);
  leat_free(p->call_was);
  leat_free(p->operand_was);
}

// --- mutations -------------------------------------------------------------------------------------------------------

static pef_argument_t *arena_argument(plan_t *p) {
  for (uint32_t i = 0; i < TRIES_MAX && p->was->argument_count != 0; ++i) {
    pef_argument_t *a = &p->arguments[below(p, p->was->argument_count)];
    if (a->kind == PEF_PLACE_ARENA) return a;
  }
  return NULL;
}

// Where another value lies, or beside.
static uint64_t other_offset(plan_t *p, const pef_argument_t *a) {
  const pef_argument_t *b = arena_argument(p);
  uint64_t offset = b->offset;
  if (below(p, 2) == 0) offset += PEF_ALIGN * below(p, b->bytes / PEF_ALIGN + 1);
  return offset + a->bytes <= p->was->info->arena_bytes ? offset : b->offset;
}

static bool move_value(plan_t *p) {
  pef_argument_t *a = arena_argument(p);
  if (a == NULL) return false;
  const uint64_t from = a->offset, bytes = a->bytes, to = other_offset(p, a);
  if (to + bytes > p->was->info->arena_bytes) return false;
  for (uint32_t i = 0; i < p->was->argument_count; ++i) {
    pef_argument_t *b = &p->arguments[i];
    if (b->kind != PEF_PLACE_ARENA || b->bytes != bytes) continue;
    p->alike |= b->offset == to;
    if (b->offset == from) b->offset = to;
  }
  return to != from;
}

static bool move_argument(plan_t *p) {
  pef_argument_t *a = arena_argument(p);
  if (a == NULL) return false;
  const uint64_t from = a->offset;
  const uint64_t to = other_offset(p, a);
  if (to + a->bytes > p->was->info->arena_bytes) return false;
  a->offset = to;
  return to != from;
}

static bool drop_barrier(plan_t *p) {
  pef_call_t *call = &p->calls[below(p, p->was->call_count)];
  const bool had = call->barrier != 0;
  call->barrier = 0;
  return had;
}

static int by_argument(const void *a, const void *b) {
  const pef_move_t *x = a, *y = b;
  if (x->argument != y->argument) return x->argument < y->argument ? -1 : 1;
  return x->loop < y->loop ? -1 : x->loop > y->loop;
}

// Records of ARGUMENTS lie in the order of the calls, MOVES in that of the arguments.
static void lay_arguments(plan_t *p) {
  pef_argument_t *all = leat_alloc((p->was->argument_count + 1u) * sizeof *all);
  uint32_t next = 0, *now = leat_alloc((p->was->argument_count + 1u) * sizeof *now);
  for (uint32_t c = 0; c < p->was->call_count; ++c) {
    pef_call_t *call = &p->calls[c];
    memcpy(&all[next], &p->arguments[call->argument_first], call->argument_count * sizeof *all);
    for (uint32_t i = 0; i < call->argument_count; ++i) now[call->argument_first + i] = next + i;
    call->argument_first = next;
    next += call->argument_count;
  }
  memcpy(p->arguments, all, next * sizeof *all);
  for (uint32_t m = 0; m < p->was->move_count; ++m) p->moves[m].argument = now[p->moves[m].argument];
  if (p->was->move_count != 0) qsort(p->moves, p->was->move_count, sizeof *p->moves, by_argument);
  leat_free(all);
  leat_free(now);
}

static bool swap_calls(plan_t *p) {
  if (p->was->call_count < 2) return false;
  const uint32_t i = below(p, p->was->call_count - 1);
  const uint32_t j = below(p, 2) == 0 ? i + 1 : i + 1 + below(p, p->was->call_count - i - 1);
  const pef_call_t kept = p->calls[i];
  p->calls[i] = p->calls[j];
  p->calls[j] = kept;
  if (below(p, 2) == 0) {  // barriers stay where they are
    p->calls[j].barrier = p->calls[i].barrier;
    p->calls[i].barrier = kept.barrier;
  }
  // A state that the one adds to and the other reads, in either order: no file says which is meant.
  p->alike |= p->calls[i].when != PEF_WHEN_ALWAYS && p->calls[j].when != PEF_WHEN_ALWAYS;
  p->call_was[i] = j;
  p->call_was[j] = i;
  lay_arguments(p);
  return true;
}

static bool change_type(plan_t *p) {
  static const uint8_t types[] = {PEF_FWD, PEF_BCKWD, PEF_GRADNORM, PEF_OPT, PEF_PREPARE};
  pef_call_t *call = &p->calls[below(p, p->was->call_count)];
  const uint8_t was = call->type;
  call->type = types[below(p, sizeof types)];
  return call->type != was;
}

static pef_operand_t *operand_in(plan_t *p, uint32_t space) {
  for (uint32_t i = 0; i < TRIES_MAX && p->was->operand_count != 0; ++i) {
    pef_operand_t *o = &p->operands[below(p, p->was->operand_count)];
    if (o->space == space) return o;
  }
  return NULL;
}

static const pef_body_t *body_of(const plan_t *p, const pef_operand_t *operand) {
  const uint32_t index = (uint32_t)(operand - p->operands);
  for (uint32_t b = 0; b < p->was->body_count; ++b) {
    const pef_body_t *body = &p->bodies[b];
    const pef_stage_t *last = &p->stages[body->stage_first + body->stage_count - 1];
    if (index < last->operand_first + last->operand_count) return body;
  }
  return p->bodies;
}

static int64_t some_step(plan_t *p) {
  static const int64_t steps[] = {8, -8, 64, -64, 128, -128, 256, -256, 1024, -1024};
  return steps[below(p, sizeof steps / sizeof *steps)];
}

static bool shift_scratch(plan_t *p) {
  pef_operand_t *o = operand_in(p, PEF_SPACE_SCRATCH), *other = operand_in(p, PEF_SPACE_SCRATCH);
  if (o == NULL || other == NULL) return false;
  const uint64_t from = o->offset;
  int64_t to = (int64_t)from + some_step(p);
  if (below(p, 2) == 0 && body_of(p, other) == body_of(p, o)) to = (int64_t)other->offset;
  if (to < 0) return false;
  o->offset = (uint64_t)to;
  return (uint64_t)to != from;
}

static void reach(const pef_body_t *body, const pef_operand_t *o, int64_t *low, int64_t *high) {
  const int64_t bytes = (int64_t)leat_pef_dtype_bytes(o->dtype);
  const uint64_t rows = body->tile_rows_max < body->row_count ? body->tile_rows_max : body->row_count;
  *low = (int64_t)o->offset;
  *high = *low + bytes;
  for (uint32_t d = 0; d < o->rank; ++d) {
    const int64_t extent = d == o->row_dim ? (int64_t)(rows * o->row_mult) : o->dims[d];
    const int64_t span = (extent - 1) * o->strides[d] * bytes;
    *(span < 0 ? low : high) += span;
  }
}

// A value of scratch with all that touches it, from the stage that makes it until something else is written there.
static bool move_block(plan_t *p) {
  pef_operand_t *o = operand_in(p, PEF_SPACE_SCRATCH), *other = operand_in(p, PEF_SPACE_SCRATCH);
  if (o == NULL || other == NULL) return false;
  const pef_body_t *body = body_of(p, o);
  int64_t low, high, delta = some_step(p) * (1 + below(p, 4));
  bool made = false;
  reach(body, o, &low, &high);
  if (below(p, 2) == 0 && body_of(p, other) == body) delta = (int64_t)other->offset - (int64_t)o->offset;
  if (delta == 0 || low + delta < 0) return false;
  for (uint32_t s = 0; s < body->stage_count; ++s) {
    const pef_stage_t *stage = &p->stages[body->stage_first + s];
    const pef_stage_t *was = &p->was->stages[body->stage_first + s];
    const bool copies = stage->kind == PEF_STAGE_MAP && stage->instruction_count == 2;
    for (uint32_t i = 0; i < stage->operand_count; ++i) {
      pef_operand_t *at = &p->operands[stage->operand_first + i];
      int64_t at_low, at_high;
      if (at->space != PEF_SPACE_SCRATCH) continue;
      const bool written = leat_pef_writes(p->was, was, i);
      if (at == o && (!written || copies || stage->kind == PEF_STAGE_SCATTER)) return false;
      reach(body, at, &at_low, &at_high);
      p->alike |= written && at_low == low + delta && at_high == high + delta;
      if (made && written && at != o && at_low < high && low < at_high) return true;
      made |= at == o;
      if (made && low <= at_low && at_high <= high) at->offset = (uint64_t)((int64_t)at->offset + delta);
    }
  }
  return true;
}

static int64_t row_bytes(const pef_operand_t *o) {
  return (int64_t)o->row_mult * o->strides[o->row_dim] * (int64_t)leat_pef_dtype_bytes(o->dtype);
}

static pef_operand_t *row_operand(plan_t *p) {
  for (uint32_t i = 0; i < TRIES_MAX; ++i) {
    pef_operand_t *o = operand_in(p, PEF_SPACE_ARGUMENT);
    if (o != NULL && o->row_dim != PEF_NO_ROW_DIM) return o;
  }
  return NULL;
}

static bool shift_row(plan_t *p) {
  pef_operand_t *o = row_operand(p);
  if (o == NULL) return false;
  const int64_t step = row_bytes(o) * (below(p, 2) == 0 ? 1 : -1);
  if (step == 0 || (int64_t)o->offset + step < 0) return false;
  o->offset = (uint64_t)((int64_t)o->offset + step);
  return true;
}

static bool stretch_row(plan_t *p) {
  pef_operand_t *o = row_operand(p);
  if (o == NULL) return false;
  int64_t *stride = &o->strides[below(p, 2) == 0 ? o->row_dim : below(p, o->rank)];
  const int64_t was = *stride;
  *stride = below(p, 2) == 0 ? 0 : below(p, 2) == 0 ? was * 2 : was / 2;
  return *stride != was;
}

static bool forget_rows(plan_t *p) {
  pef_operand_t *o = row_operand(p);
  if (o == NULL) return false;
  o->row_dim = PEF_NO_ROW_DIM;
  o->row_mult = 0;
  return true;
}

// An operand moves to where another of its body is.
static bool change_slot(plan_t *p) {
  pef_operand_t *o = operand_in(p, PEF_SPACE_ARGUMENT);
  if (o == NULL) return false;
  const uint32_t was = o->slot;
  o->slot = below(p, body_of(p, o)->argument_count);
  return o->slot != was;
}

static bool make_conditional(plan_t *p) {
  pef_stage_t *stage = &p->stages[below(p, p->was->stage_count)];
  const uint16_t was = stage->output;
  stage->output = 0;
  return was != 0;
}

// Records of OPERANDS lie in the order of the stages; instructions stay where they are unless the next one swaps MAPs.
static bool swap_stages(plan_t *p) {
  pef_body_t *body = &p->bodies[below(p, p->was->body_count)];
  if (body->stage_count < 2) return false;
  pef_stage_t *a = &p->stages[body->stage_first + below(p, body->stage_count - 1)], *b = a + 1;
  pef_instruction_t *code = table(p, PEF_SEGMENT_INSTRUCTIONS), *moved;
  const uint32_t first = a->operand_first, count = a->operand_count + b->operand_count;
  pef_operand_t *operands = leat_alloc((count + 1u) * sizeof *operands);
  uint32_t *was = leat_alloc((count + 1u) * sizeof *was);
  const uint32_t code_first = a->instruction_first, code_count = a->instruction_count + b->instruction_count;
  memcpy(operands, &p->operands[b->operand_first], b->operand_count * sizeof *operands);
  memcpy(operands + b->operand_count, &p->operands[first], a->operand_count * sizeof *operands);
  for (uint32_t i = 0; i < count; ++i) was[i] = first + (i + a->operand_count) % count;
  memcpy(&p->operands[first], operands, count * sizeof *operands);
  memcpy(&p->operand_was[first], was, count * sizeof *was);
  leat_free(operands);
  leat_free(was);
  moved = leat_alloc((code_count + 1u) * sizeof *moved);
  memcpy(moved, &code[b->instruction_first], b->instruction_count * sizeof *moved);
  memcpy(moved + b->instruction_count, &code[code_first], a->instruction_count * sizeof *moved);
  memcpy(&code[code_first], moved, code_count * sizeof *moved);
  leat_free(moved);
  const pef_stage_t kept = *a;
  *a = *b;
  *b = kept;
  a->operand_first = first;
  b->operand_first = first + a->operand_count;
  a->instruction_first = code_first;
  b->instruction_first = code_first + a->instruction_count;
  return true;
}

// A symbol takes the place of another that is as large.
static bool change_symbol(plan_t *p) {
  for (uint32_t i = 0; i < TRIES_MAX && p->was->symbol_count != 0; ++i) {
    pef_argument_t *a = &p->arguments[below(p, p->was->argument_count)];
    const uint32_t symbol = below(p, p->was->symbol_count);
    if (a->kind != PEF_PLACE_SYMBOL || a->symbol == symbol) continue;
    if (p->was->symbols[symbol].bytes != p->was->symbols[a->symbol].bytes) continue;
    a->symbol = symbol;
    return true;
  }
  return false;
}

static int64_t some_distance(plan_t *p, int64_t was) {
  const int64_t distances[] = {0, -was, 2 * was, was + LOOP_PART, was - LOOP_PART, was + LOOP_PART / 2};
  return distances[below(p, sizeof distances / sizeof *distances)];
}

static bool change_step(plan_t *p) {
  if (p->was->move_count == 0) return false;
  pef_move_t *move = &p->moves[below(p, p->was->move_count)];
  const int64_t was = move->step, first = move->first;
  move->step = some_distance(p, was);
  if (below(p, 2) == 0) move->first = some_distance(p, first);
  return move->step != was || move->first != first;
}

static bool change_first(plan_t *p) {
  if (p->was->move_count == 0) return false;
  pef_move_t *move = &p->moves[below(p, p->was->move_count)];
  const int64_t was = move->first;
  move->first = some_distance(p, was);
  return move->first != was;
}

static bool change_trips(plan_t *p) {
  if (p->was->loop_count == 0) return false;
  pef_loop_t *loop = &p->loops[below(p, p->was->loop_count)];
  const uint32_t was = loop->trips;
  loop->trips = 1 + below(p, was + 2);
  return loop->trips != was;
}

static bool change_range(plan_t *p) {
  if (p->was->loop_count == 0) return false;
  pef_loop_t *loop = &p->loops[below(p, p->was->loop_count)];
  if (below(p, 2) == 0) {
    ++loop->call_count;
    return true;
  }
  if (below(p, 2) == 0) ++loop->call_first;
  return --loop->call_count != 0;
}

static bool change_flag(plan_t *p) {
  if (p->was->loop_count == 0) return false;
  p->loops[below(p, p->was->loop_count)].flags ^= below(p, 2) == 0 ? PEF_LOOP_APART : PEF_LOOP_FWD_ALONE;
  return true;
}

const plan_mutation_t plan_mutations[PLAN_MUTATIONS] = {
    {"a value moves in the arena", move_value, true},
    {"a value moves in scratch", move_block, true},
    {"a barrier is dropped", drop_barrier, true},
    {"two calls are swapped", swap_calls, true},
    {"two stages are swapped", swap_stages, false},
    {"a call gets another type", change_type, false},
    {"one argument moves in the arena", move_argument, false},
    {"one operand moves in scratch", shift_scratch, false},
    {"an access moves by a row", shift_row, false},
    {"an access gets another stride", stretch_row, false},
    {"an access is not cut into rows", forget_rows, false},
    {"an operand gets another argument", change_slot, false},
    {"a stage depends on an output", make_conditional, false},
    {"an argument gets another symbol", change_symbol, false},
    {"an argument moves by another step", change_step, false},
    {"an argument begins in another part", change_first, false},
    {"a loop has other trips", change_trips, false},
    {"a loop has other calls", change_range, false},
    {"types of a loop run apart", change_flag, false},
};
