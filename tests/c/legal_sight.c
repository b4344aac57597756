// SPDX-License-Identifier: Apache-2.0
// See legal_sim.h: who touches what at the same time.
#include <stdlib.h>

#include "legal_sim.h"
#include "loop_maker.h"

// Of a cell, since the last barrier.
typedef struct seen_s {
  uint32_t flight, writer, reader, other_reader;  // turns: calls in a trip
  uint32_t call;                                  // whose rows these are
  int64_t written_row, read_row;
  const pef_stage_t *stage;  // whose elements these are
  uint64_t out_index, in_index;
  int32_t out_operand, in_operand;
  bool many_in, many_rows;
} seen_t;

static void see_call(sim_t *s, seen_t *seen, uint32_t call, bool written) {
  const uint32_t me = call;
  const bool other_writes = seen->writer != 0 && seen->writer != me;
  const bool other_reads = (seen->reader != 0 && seen->reader != me) || seen->other_reader != 0;
  if (other_writes || (written && other_reads)) sim_broken(s, "two calls race");
  if (written) {
    seen->writer = me;
  } else if (seen->reader == 0) {
    seen->reader = me;
  } else if (seen->reader != me) {
    seen->other_reader = me;
  }
}

static bool other_row(int64_t a, int64_t b) {
  return a != SIM_NO_ROW && (a == SIM_EVERY_ROW || b == SIM_EVERY_ROW || a != b);
}

static void see_row(sim_t *s, seen_t *seen, uint32_t call, int64_t row, bool written) {
  if (seen->call != call) {
    seen->call = call;
    seen->written_row = seen->read_row = SIM_NO_ROW;
    seen->many_rows = false;
  }
  if (other_row(seen->written_row, row) || (written && (seen->many_rows || other_row(seen->read_row, row))))
    sim_broken(s, "two tiles race");
  if (written) {
    seen->written_row = row;
  } else {
    seen->many_rows |= other_row(seen->read_row, row);
    seen->read_row = row;
  }
}

static void see_element(sim_t *s, seen_t *seen, const cursor_t *c, int64_t part, bool written) {
  const uint64_t index = sim_index(c) * 8 + (uint64_t)part;
  const int32_t me = (int32_t)c->which + 1;
  if (seen->stage != c->stage) {
    seen->stage = c->stage;
    seen->out_operand = seen->in_operand = 0;
    seen->many_in = false;
  }
  if (written && seen->out_operand != 0 && seen->out_operand != me) sim_broken(s, "a stage writes a byte twice");
  if (written) {
    seen->out_operand = me;
    seen->out_index = index;
    const bool step_by_step = c->stage->kind == PEF_STAGE_MAP && !seen->many_in && seen->in_index == index;
    if (seen->in_operand != 0 && seen->in_operand != me && !step_by_step)
      sim_broken(s, "a stage writes over what it reads");
  } else {
    seen->many_in |= seen->in_operand != 0 && seen->in_index != index;
    seen->in_operand = me;
    seen->in_index = index;
  }
}

static void see_operand(sim_t *s, seen_t *seen, uint32_t call, uint32_t flight, cursor_t c, bool written,
                        int64_t rows) {
  const bool in_scratch = c.o->space == PEF_SPACE_SCRATCH;
  const pef_argument_t argument = in_scratch ? (pef_argument_t){0} : sim_argument(s, &s->pef->calls[call], &c);
  for (; !c.ended; sim_step(&c)) {
    const int64_t cell = in_scratch ? sim_scratch_cell(s, &c) : sim_cell(s, &argument, &c);
    for (int64_t w = 0; cell >= 0 && w < sim_width(s, &c); ++w) {
      seen_t *at = &seen[cell + w];
      if (at->flight != flight) *at = (seen_t){.flight = flight};
      if (!in_scratch) see_call(s, at, s->turn, written);
      if (!in_scratch && rows > 1) see_row(s, at, s->turn, sim_row(&c), written);
      if (!in_scratch && written) s->written[cell + w] = true;
      see_element(s, at, &c, w, written);
    }
  }
}

// Stages of a call; `scratch`: cells of tile scratch, which are its own.
static void see_stages(sim_t *s, seen_t *seen, seen_t *scratch, uint32_t call, uint32_t flight) {
  const pef_body_t *body = &s->pef->bodies[s->pef->calls[call].body];
  const uint64_t most = body->tile_rows_max < body->row_count ? body->tile_rows_max : body->row_count;
  for (uint32_t k = 0; k < body->stage_count; ++k) {
    const pef_stage_t *stage = &s->pef->stages[body->stage_first + k];
    if (leat_pef_stage_is_idle(s->pef, stage)) continue;
    for (uint32_t pass = 0; pass < 2; ++pass) {
      for (uint32_t i = 0; i < stage->operand_count; ++i) {
        const pef_operand_t *o = &s->pef->operands[stage->operand_first + i];
        if (o->space == PEF_SPACE_NONE || !(pass == 0 ? sim_reads(s, stage, i) : sim_writes(s, stage, i))) continue;
        const bool in_scratch = o->space == PEF_SPACE_SCRATCH;
        const cursor_t c = sim_start(s, stage, i, (int64_t)(in_scratch ? most : body->row_count));
        see_operand(s, in_scratch ? scratch : seen, call, in_scratch ? s->turn : flight, c, pass == 1,
                    (int64_t)body->row_count);
      }
    }
  }
}

typedef struct sight_s {
  sim_t *s;
  seen_t *seen, *scratch;
  uint32_t phase, flight;
} sight_t;

static void see_turn(void *context, uint32_t call, const uint32_t *trips) {
  sight_t *sight = context;
  sight->s->trips = trips;
  sight->s->turn++;
  sight->flight += sight->s->pef->calls[call].barrier;
  if ((sight->s->pef->calls[call].type == PEF_PREPARE) == (sight->phase == 0))
    see_stages(sight->s, sight->seen, sight->scratch, call, sight->flight);
}

// Symbols that no call may write.
static void see_inputs(sim_t *s) {
  for (uint32_t k = 0; k < s->pef->symbol_count; ++k) {
    for (int64_t i = 0; i < (int64_t)s->pef->symbols[k].bytes / s->unit; ++i) {
      if (s->pef->symbols[k].kind == PEF_SYMBOL_INPUT && s->written[s->first[k] + i])
        sim_broken(s, "an input is written");
    }
  }
}

void sim_see(sim_t *s, int64_t scratch_cells) {
  sight_t sight = {.s = s,
                   .seen = sim_cells(s->cells, sizeof *sight.seen),
                   .scratch = sim_cells(scratch_cells, sizeof *sight.scratch)};
  for (sight.phase = 0; sight.phase < 2; ++sight.phase) {
    ++sight.flight;
    loop_each_call(s->pef, see_turn, &sight);
  }
  see_inputs(s);
  free(sight.seen);
  free(sight.scratch);
}
