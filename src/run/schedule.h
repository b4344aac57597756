// SPDX-License-Identifier: Apache-2.0
// The order of a run: loops written out, one call in one trip after the other.
#ifndef LEAT_RUN_SCHEDULE_H_
#define LEAT_RUN_SCHEDULE_H_

#include "run/program.h"

// A call in one trip of the loops around it.
typedef struct leat_run_turn_s {
  const leat_run_call_t *call;
  char *const *arguments;  // where they lie in this trip
  uint32_t stream;
} leat_run_turn_t;

// At load, once the calls are there: what loops hold, and how their calls move.
leat_status_t leat_run_schedule_prepare(leat_program_t *program) LEAT_MUST_USE;

// The call that `walk` is at, as worker `worker` runs it: valid until its next turn.
leat_run_turn_t leat_run_turn(const leat_program_t *program, const leat_walk_t *walk, uint32_t worker);

// Whether a run of `types`, as a batch of `whens`, makes the call.
static inline bool leat_run_asks(uint32_t types, uint32_t whens, const leat_run_call_t *call) {
  return (types >> call->type & whens >> call->when & 1u) != 0;
}

// Where the loops around the call have nothing to do with `types`, goes on behind the outermost of those and returns
// it; else NULL.
const leat_run_loop_t *leat_run_pass_by(const leat_program_t *program, leat_walk_t *walk, uint32_t types);

// LEAT_INVALID_ARGUMENT where a run of these types would tear the types of a loop apart.
leat_status_t leat_run_types_check(const leat_program_t *program, uint32_t types) LEAT_MUST_USE;

// Tile `index` of a call as worker `worker` runs it. Boxes come one after the other, each with all its rows, so that
// the share of a worker is of few boxes.
static inline leat_run_tile_t leat_run_tile_of(const leat_program_t *program, const leat_run_turn_t *turn,
                                               int64_t index, uint32_t worker) {
  const leat_run_space_t *space = &turn->call->body->space;
  const int64_t row_tiles = turn->call->body->tile_count / space->boxes;
  const int64_t row_tile = space->boxes == 1 ? index : index % row_tiles;
  const int64_t r0 = row_tile * space->tile_rows, left = space->row_count - r0;
  char *memory = leat_run_worker_memory(program, worker);
  leat_run_tile_t tile = {.r0 = r0,
                          .rows = left < space->tile_rows ? left : space->tile_rows,
                          .box = space->boxes == 1 ? 0 : (uint32_t)(index / row_tiles),
                          .stream = turn->stream,
                          .arguments = turn->arguments,
                          .scratch = memory,
                          .buffers = turn->call->body->buffers,
                          .workspace = memory + program->scratch_bytes};
  leat_run_box(space, tile.box, tile.first, tile.end);
  return tile;
}

#endif
