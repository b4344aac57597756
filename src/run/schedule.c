// SPDX-License-Identifier: Apache-2.0
// See schedule.h. A call that moves has its pointers in memory of the worker, made anew in every trip; all others are
// read where binding left them.
#include "run/schedule.h"

// --- load ------------------------------------------------------------------------------------------------------

static uint32_t level_of(const leat_walk_t *walk, uint32_t loop) {
  uint32_t level = 0;
  while (level < walk->depth && walk->levels[level].loop != loop) ++level;
  return level;
}

// Those that a trip changes: what a move adds in all trips alike is part of the place (symbols.c).
static leat_status_t prepare_moves(leat_program_t *program, const leat_walk_t *walk) {
  const leat_pef_t *pef = program->pef;
  const pef_call_t *file = &pef->calls[walk->call];
  leat_run_call_t *call = &program->calls[walk->call];
  uint32_t count;
  const pef_move_t *moves = leat_pef_moves(pef, file->argument_first, file->argument_count, &count);
  if (count == 0) return NULL;
  leat_run_move_t *out = leat_arena_alloc(&program->arena, count * sizeof *out);
  if (out == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for a loop");
  call->moves = out;
  for (uint32_t m = 0; m < count; m++) {
    if (moves[m].loop == PEF_NONE) continue;
    leat_run_move_t move = {.slot = moves[m].argument - file->argument_first,
                            .level = level_of(walk, moves[m].loop),
                            .step = moves[m].step};
    if (moves[m].place_first != PEF_NONE) move.places = program->places + pef->argument_count + moves[m].place_first;
    out[call->move_count++] = move;
  }
  return NULL;
}

static void note_in_loops(leat_program_t *program, const leat_walk_t *walk) {
  const leat_run_call_t *call = &program->calls[walk->call];
  for (uint32_t i = 0; i < walk->depth; i++) {
    leat_run_loop_t *loop = &program->loops[walk->levels[i].loop];
    loop->types |= 1u << call->type;
    loop->barrier |= call->barrier;
    loop->shared |= call->shared;
  }
}

// The types that a run has beside FWD, since a loop holds both.
static void join_forward(leat_program_t *program) {
  program->forward_types = 1u << PEF_FWD;
  for (bool grew = true; grew;) {
    grew = false;
    for (uint32_t l = 0; l < program->pef->loop_count; l++) {
      const uint32_t types = program->loops[l].types;
      if (program->loops[l].apart || (types & program->forward_types) == 0) continue;
      grew |= (types & ~program->forward_types) != 0;
      program->forward_types |= types;
    }
  }
}

leat_status_t leat_run_schedule_prepare(leat_program_t *program) {
  const leat_pef_t *pef = program->pef;
  program->loops = leat_arena_alloc(&program->arena, (pef->loop_count + 1u) * sizeof *program->loops);
  if (program->loops == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %u loops", pef->loop_count);
  for (uint32_t l = 0; l < pef->loop_count; l++) {
    program->loops[l].apart = (pef->loops[l].flags & PEF_LOOP_APART) != 0;
    program->loops[l].fwd_alone = (pef->loops[l].flags & PEF_LOOP_FWD_ALONE) != 0;
  }
  for (leat_walk_t walk = leat_walk_start(pef, 1); leat_walk_next(&walk);) {
    const leat_run_call_t *call = &program->calls[walk.call];
    program->type_seconds[call->type] += call->seconds * leat_walk_times(&walk);
    note_in_loops(program, &walk);
    LEAT_TRY(prepare_moves(program, &walk));
  }
  join_forward(program);
  return NULL;
}

// --- run -------------------------------------------------------------------------------------------------------

leat_run_turn_t leat_run_turn(const leat_program_t *program, const leat_walk_t *walk, uint32_t worker) {
  const leat_run_call_t *call = &program->calls[walk->call];
  leat_run_turn_t turn = {.call = call, .arguments = call->arguments, .stream = call->stream};
  if (walk->depth != 0) turn.stream += leat_walk_stream(walk);
  if (call->move_count == 0) return turn;
  char **moved = leat_run_worker_arguments(program, worker);
  memcpy(moved, call->arguments, program->pef->calls[walk->call].argument_count * sizeof *moved);
  for (uint32_t m = 0; m < call->move_count; m++) {
    const leat_run_move_t *move = &call->moves[m];
    if (move->places != NULL) moved[move->slot] = move->places[walk->levels[move->level].trip];
  }
  for (uint32_t m = 0; m < call->move_count; m++) {
    const leat_run_move_t *move = &call->moves[m];
    moved[move->slot] += move->step * (int64_t)walk->levels[move->level].trip;
  }
  turn.arguments = moved;
  return turn;
}

const leat_run_loop_t *leat_run_pass_by(const leat_program_t *program, leat_walk_t *walk, uint32_t types) {
  for (uint32_t level = 0; level < walk->depth; level++) {
    const leat_run_loop_t *loop = &program->loops[walk->levels[level].loop];
    if ((loop->types & types) != 0) continue;
    leat_walk_leave(walk, level);
    return loop;
  }
  return NULL;
}

static void put_types(leat_text_t *out, uint32_t types) {
  const char *separator = "";
  for (uint32_t t = 0; t < PEF_TYPE_COUNT; t++) {
    if ((types >> t & 1) == 0) continue;
    leat_text_put(out, "%s%s", separator, leat_run_type_name(t));
    separator = ", ";
  }
}

static bool tears(const leat_run_loop_t *loop, uint32_t types) {
  const uint32_t own = loop->types & types;
  return !loop->apart && own != 0 && own != loop->types && !(loop->fwd_alone && own == 1u << PEF_FWD);
}

leat_status_t leat_run_types_check(const leat_program_t *program, uint32_t types) {
  const leat_pef_t *pef = program->pef;
  for (uint32_t l = 0; l < pef->loop_count; l++) {
    const leat_run_loop_t *loop = &program->loops[l];
    if (!tears(loop, types)) continue;
    leat_text_t text = {0};
    put_types(&text, loop->types);
    leat_status_t status = leat_status_make(
        LEAT_INVALID_ARGUMENT,
        "the section types %s only run together: the loop \"%s\" repeats them in turn, %u times; run all of them at "
        "once%s",
        text.failed ? "of a loop" : text.data, pef->strings + pef->loops[l].name, pef->loops[l].trips,
        loop->fwd_alone ? ", or fwd alone" : "");
    leat_text_deinit(&text);
    return status;
  }
  return NULL;
}
