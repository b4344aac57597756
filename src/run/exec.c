// SPDX-License-Identifier: Apache-2.0
// A run: a walk over calls, trips of loops, tiles and stages. Allocates nothing, takes no lock, looks nothing up.
//
// With a pool every worker walks the same list: of a call that is worth it, it takes its share of the tiles; a small
// call is worker 0's alone. Workers meet only where the file's barriers demand it of calls on different workers.
#include <time.h>

#include "run/schedule.h"
#include "run/threads.h"

typedef struct exec_job_s {
  leat_program_t *program;
  uint32_t types;
  leat_walk_t start;  // before the first call
  uint32_t end;       // the call behind the last one
  bool once;          // one call, in one trip
  uint32_t workers;
} exec_job_t;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_stages(const leat_program_t *program, const leat_run_body_t *body, const leat_run_tile_t *tile) {
  for (uint32_t s = 0; s < body->stage_count; s++) {
    const leat_run_stage_t *stage = &body->stages[s];
    if (leat_run_stage_enabled(program, stage)) stage->run(stage->plan, tile);
  }
}

// Adds the time of every stage to `seconds`, a table of this thread's own.
static void run_stages_timed(const leat_program_t *program, const leat_run_body_t *body, const leat_run_tile_t *tile,
                             double *seconds) {
  double before = now();
  for (uint32_t s = 0; s < body->stage_count; s++) {
    const leat_run_stage_t *stage = &body->stages[s];
    if (leat_run_stage_enabled(program, stage)) stage->run(stage->plan, tile);
    double after = now();
    seconds[s] += after - before;
    before = after;
  }
}

static void run_tile(const leat_program_t *program, const leat_run_turn_t *turn, int64_t index, uint32_t worker) {
  const leat_run_body_t *body = turn->call->body;
  leat_run_tile_t tile = leat_run_tile_of(program, turn, index, worker);
  if (program->profile == NULL) {
    run_stages(program, body, &tile);
  } else {
    leat_run_profile_t *profile = &program->profile[turn->call - program->calls];
    run_stages_timed(program, body, &tile, profile->stage_seconds + worker * body->stage_count);
  }
}

static void run_share(const exec_job_t *job, const leat_walk_t *walk, uint32_t worker, uint32_t workers) {
  const leat_run_turn_t turn = leat_run_turn(job->program, walk, worker);
  int64_t tiles = turn.call->body->tile_count;
  int64_t first = tiles * worker / workers, end = tiles * (worker + 1) / workers;
  for (int64_t t = first; t < end; t++) run_tile(job->program, &turn, t, worker);
}

// What has been started since the workers last met. `owed`: a barrier between calls of worker 0 was passed without a
// meeting; later shared calls may rely on it.
typedef struct exec_pending_s {
  bool shared, alone, owed;
} exec_pending_t;

static bool must_meet(exec_pending_t *pending, const leat_run_call_t *call, bool barrier) {
  bool shared = call->shared;
  bool meet = barrier ? pending->shared || (shared && pending->alone) : shared && pending->owed;
  if (meet) {
    *pending = (exec_pending_t){0};
  } else if (barrier && pending->alone) {
    pending->owed = true;
  }
  if (shared) {
    pending->shared = true;
  } else {
    pending->alone = true;
  }
  return meet;
}

// Goes on behind a loop that has no work for the worker: from its third trip on it changes nothing of what is pending
// either, if no call of it is shared.
static bool leave_alone(const exec_job_t *job, leat_walk_t *walk, uint32_t worker) {
  for (uint32_t level = 0; level < walk->depth && worker != 0; level++) {
    if (walk->levels[level].trip < 2 || job->program->loops[walk->levels[level].loop].shared) continue;
    leat_walk_leave(walk, level);
    return true;
  }
  return false;
}

static void run_worker(void *context, uint32_t worker) {
  const exec_job_t *job = context;
  exec_pending_t pending = {0};
  bool barrier = false;  // of this call and of those left out before it: later calls rely on them as well
  for (leat_walk_t walk = job->start; leat_walk_next(&walk) && walk.call < job->end;) {
    const leat_run_call_t *call = &job->program->calls[walk.call];
    if (!job->once && leave_alone(job, &walk, worker)) continue;
    barrier |= call->barrier;
    if ((job->types >> call->type & 1) == 0) {
      const leat_run_loop_t *loop = leat_run_pass_by(job->program, &walk, job->types);
      barrier |= loop != NULL && loop->barrier;
      continue;
    }
    if (must_meet(&pending, call, barrier) && job->workers > 1) leat_run_threads_sync(job->program->pool);
    barrier = false;
    if (call->shared) {
      run_share(job, &walk, worker, job->workers);
    } else if (worker == 0) {
      run_share(job, &walk, 0, 1);
    }
    if (job->once) return;
  }
}

static double estimate(const leat_program_t *program, uint32_t types) {
  double seconds = 0;
  for (uint32_t t = 0; t < PEF_TYPE_COUNT; t++) seconds += types >> t & 1 ? program->type_seconds[t] : 0;
  return seconds;
}

static void run_job(exec_job_t *job) {
  leat_program_t *program = job->program;
  job->workers = 1;
  if (program->pool == NULL || !leat_run_is_worth_waking(program, estimate(program, job->types))) {
    run_worker(job, 0);
    return;
  }
  job->workers = leat_run_threads_count(program->pool);
  leat_run_threads_run(program->pool, run_worker, job);
}

// One job a call and trip, so that its time is its own.
static void run_profiled(leat_program_t *program, uint32_t types, leat_walk_t start, uint32_t end) {
  exec_job_t job = {.program = program, .types = types, .start = start, .end = end, .once = true};
  for (leat_walk_t walk = start; leat_walk_next(&walk) && walk.call < end; job.start = walk) {
    if ((types >> program->calls[walk.call].type & 1) == 0) {
      (void)leat_run_pass_by(program, &walk, types);
      continue;
    }
    double before = now();
    run_job(&job);
    program->profile[walk.call].seconds += now() - before;
    program->profile[walk.call].runs += leat_walk_is_first(&walk);
  }
}

static void run_calls(leat_program_t *program, uint32_t types, uint32_t first, uint32_t end) {
  const leat_walk_t start = leat_walk_from(program->pef, PEF_MAX_TRIPS, first);
  if (program->profile != NULL) {
    run_profiled(program, types, start, end);
  } else {
    exec_job_t job = {.program = program, .types = types, .start = start, .end = end};
    run_job(&job);
  }
}

static void run_types(leat_program_t *program, uint32_t types) {
  run_calls(program, types, 0, program->pef->call_count);
}

static void prepare_if_stale(leat_program_t *program) {
  if (!leat_run_is_stale(program) || !program->has_prepare) return;
  run_types(program, 1u << PEF_PREPARE);
  program->prepared = *program->changes;
}

leat_status_t leat_run_exec_run(leat_program_t *program, uint32_t types) {
  if ((types & ~(1u << PEF_OPT)) != 0) prepare_if_stale(program);
  run_types(program, types);
  if ((types & program->section_types & (1u << PEF_OPT)) != 0) ++*program->changes;
  return leat_run_verdict(program);
}

leat_status_t leat_run_exec_calls(leat_program_t *program, uint32_t first, uint32_t count) {
  uint32_t types = 0;
  for (uint32_t c = first; c < first + count; c++) types |= 1u << program->calls[c].type;
  if ((types & ~(1u << PEF_OPT | 1u << PEF_PREPARE)) != 0) prepare_if_stale(program);
  run_calls(program, types, first, first + count);
  if ((types >> PEF_OPT & 1) != 0) ++*program->changes;
  return leat_run_verdict(program);
}
