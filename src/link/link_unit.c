// SPDX-License-Identifier: Apache-2.0
// Calls of a unit become calls of the program: their bodies, their arguments and how those move, the loops around them.
#include "link/linker.h"

// --- bodies ----------------------------------------------------------------------------------------------------------

static leat_status_t add_body(leat_linked_unit_t *u, uint32_t index) {
  const leat_pef_t *pef = u->pef;
  const pef_body_t *body = &pef->bodies[index];
  u->stages.count = 0;
  pef_stage_t *stages = leat_array_push_n(&u->stages, body->stage_count);
  if (stages == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < body->stage_count; ++i) {
    stages[i] = pef->stages[body->stage_first + i];
    stages[i].origin = leat_pef_add_string(u->writer, pef->strings + stages[i].origin);
    if (stages[i].output != PEF_NO_OUTPUT) stages[i].output = u->output(u->context, stages[i].output);
  }
  leat_pef_body_draft_t draft = {.body = *body,
                                 .stages = stages,
                                 .operands = pef->operands,
                                 .instructions = pef->instructions,
                                 .buffers = pef->buffers + body->buffer_first,
                                 .dims = pef->dims,
                                 .layout = pef->layout_count == 0 ? NULL : pef->layout + body->buffer_first};
  draft.axis_count = leat_pef_axes(pef, body, &draft.axes);
  draft.cut_count = leat_pef_body_cuts(pef, body, &draft.cuts);
  u->bodies[index] = leat_pef_add_body(u->writer, &draft) + 1;
  return NULL;
}

// --- loops -----------------------------------------------------------------------------------------------------------

static bool holds(const pef_loop_t *loop, uint32_t call) { return call - loop->call_first < loop->call_count; }

static void end_loops(leat_linked_unit_t *u, uint32_t depth) {
  while (u->depth > depth) {
    leat_pef_end_loop(u->writer);
    u->depth--;
  }
}

// Ends the loops that do not hold the call, and begins those that do.
static void go_to(leat_linked_unit_t *u, uint32_t call) {
  const leat_pef_t *pef = u->pef;
  uint32_t depth = 0;
  while (depth < u->depth && holds(&pef->loops[u->own[depth]], call)) ++depth;
  end_loops(u, depth);
  for (uint32_t l = depth == 0 ? 0 : u->own[depth - 1] + 1; l < pef->loop_count; ++l) {
    if (!holds(&pef->loops[l], call)) continue;
    pef_loop_t loop = pef->loops[l];
    loop.name = leat_pef_add_string(u->writer, pef->strings + loop.name);
    u->own[u->depth] = l;
    u->open[u->depth++] = leat_pef_begin_loop(u->writer, &loop);
  }
}

static double times_of(const leat_linked_unit_t *u) {
  double times = u->times;
  for (uint32_t i = 0; i < u->depth; ++i) times *= u->pef->loops[u->own[i]].trips;
  return times;
}

static uint32_t opened(const leat_linked_unit_t *u, uint32_t own) {
  for (uint32_t i = 0; i < u->depth; ++i) {
    if (u->own[i] == own) return u->open[i];
  }
  return PEF_NONE;
}

// --- arguments -------------------------------------------------------------------------------------------------------

// Places of a loop of the unit: what moves besides has no place a trip as well.
static leat_status_t place_table(leat_linked_unit_t *u, const pef_move_t *move) {
  const uint32_t trips = u->pef->loops[move->loop].trips;
  u->places.count = 0;
  for (uint32_t t = 0; t < trips; ++t) {
    leat_link_place_t place;
    LEAT_TRY(u->place(u->context, &u->pef->places[move->place_first + t], &place));
    pef_argument_t *slot = leat_array_push(&u->places);
    if (slot == NULL) return leat_out_of_memory();
    *slot = place.whole;
    if (place.first == 0 && place.step == 0 && place.places == NULL && slot->bytes == u->places.data[0].bytes) continue;
    LEAT_FAIL(LEAT_UNSUPPORTED, "a loop whose trips have places of their own lies in a loop that moves them");
  }
  return NULL;
}

// What a move of the unit and its argument's place in the program come to.
static leat_status_t add_moves(leat_linked_unit_t *u, uint32_t slot, uint32_t argument,
                               const leat_link_place_t *place) {
  uint32_t count;
  const pef_move_t *moves = leat_pef_moves(u->pef, argument, 1, &count);
  pef_move_t fixed = {.argument = slot, .loop = PEF_NONE, .first = place->first};
  if (place->step != 0 || place->places != NULL) {
    const pef_move_t outer = {.argument = slot, .loop = u->loop, .first = place->first, .step = place->step};
    leat_pef_add_move(u->writer, &outer, place->places);
    fixed.first = 0;
  }
  for (uint32_t m = 0; m < count; ++m) {
    pef_move_t move = moves[m];
    move.argument = slot;
    if (move.loop == PEF_NONE) {
      fixed.first += move.first;
      continue;
    }
    const bool table = move.place_first != PEF_NONE;
    move.loop = opened(u, move.loop);
    if (table) LEAT_TRY(place_table(u, &moves[m]));
    leat_pef_add_move(u->writer, &move, table ? u->places.data : NULL);
  }
  if (fixed.first != 0) leat_pef_add_move(u->writer, &fixed, NULL);
  return NULL;
}

leat_status_t leat_linked_unit_call(leat_linked_unit_t *u, uint32_t index, const char *name, const char *why) {
  pef_call_t call = u->pef->calls[index];
  const uint32_t first = call.argument_first;
  leat_link_place_t place;
  if (u->bodies[call.body] == 0) LEAT_TRY(add_body(u, call.body));
  go_to(u, index);
  call.when = u->when;
  u->arguments.count = 0;
  for (uint32_t i = 0; i < call.argument_count; ++i) {
    pef_argument_t *argument = leat_array_push(&u->arguments);
    if (argument == NULL) return leat_out_of_memory();
    LEAT_TRY(u->place(u->context, &u->pef->arguments[first + i], &place));
    *argument = place.whole;
  }
  call.body = u->bodies[call.body] - 1;
  call.stream += u->stream;
  call.name = leat_pef_add_string(u->writer, name);
  call.why = leat_pef_add_string(u->writer, why);
  leat_pef_add_call(u->writer, &call, u->arguments.data);
  for (uint32_t i = 0; i < call.argument_count; ++i) {
    LEAT_TRY(u->place(u->context, &u->pef->arguments[first + i], &place));
    LEAT_TRY(add_moves(u, i, first + i, &place));
  }
  u->info->run_flops += call.flops * times_of(u);
  u->info->run_bytes += call.bytes * times_of(u);
  return NULL;
}

void leat_linked_unit_end(leat_linked_unit_t *u) { end_loops(u, 0); }

void leat_linked_unit_deinit(leat_linked_unit_t *u) {
  leat_array_free(&u->stages);
  leat_array_free(&u->arguments);
  leat_array_free(&u->places);
}
