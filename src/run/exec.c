// SPDX-License-Identifier: Apache-2.0
// A run: a walk over calls, trips of loops, tiles and stages. Allocates nothing, takes no lock, looks nothing up.
//
// With a pool every worker walks the same list: of a call that is worth it, it takes tiles (shares.h); a small call is
// worker 0's alone. Workers wait only where the file's barriers demand it of calls on different workers, and not for
// each other but until what lies before is done. A worker that gets nowhere does no harm, even if it is still on its
// way through a run that has ended: it takes no tile there, and looks at nothing else that changes.
#include <time.h>

#include "run/paged.h"
#include "run/schedule.h"
#include "run/shares.h"

typedef struct exec_job_s {
  leat_program_t *program;
  uint32_t types, whens;
  leat_walk_t start;  // before the first call
  uint32_t end;       // the call behind the last one
  bool once;          // one call, in one trip
  bool alone;         // on one thread
  uint64_t rounds;    // shared calls of earlier runs
  uint64_t wanted;    // what the count of shares has to be before the first call
} exec_job_t;
static_assert(sizeof(exec_job_t) <= LEAT_RUN_CONTEXT_MAX, "a job fits into the context of a worker");

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Runs a stage, and the next ones where they are one. Returns how many that are.
static uint32_t run_stage(const leat_program_t *program, const leat_run_stage_t *stage, const leat_run_tile_t *tile) {
  if (!leat_run_stage_enabled(program, stage)) return 1;
  stage->run(stage->joined != NULL ? stage->joined : stage->plan, tile);
  return stage->joined != NULL ? stage->joined_count : 1;
}

static void run_stages(const leat_program_t *program, const leat_run_body_t *body, const leat_run_tile_t *tile) {
  for (uint32_t s = 0; s < body->stage_count;) s += run_stage(program, &body->stages[s], tile);
}

// Adds the time of every stage to `seconds`, a table of this thread's own; of those that are one to the first.
static void run_stages_timed(const leat_program_t *program, const leat_run_body_t *body, const leat_run_tile_t *tile,
                             double *seconds) {
  double before = now();
  for (uint32_t s = 0, count; s < body->stage_count; s += count) {
    count = run_stage(program, &body->stages[s], tile);
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

static void run_alone(const exec_job_t *job, const leat_walk_t *walk) {
  const leat_run_turn_t turn = leat_run_turn(job->program, walk, 0);
  for (int64_t t = 0; t < turn.call->body->tile_count; t++) run_tile(job->program, &turn, t, 0);
}

// Looks at the arguments once it has a tile, since until that is done the run does not end.
static void run_share(const leat_program_t *program, const leat_walk_t *walk, uint32_t worker, uint64_t round) {
  leat_run_taker_t taker = leat_run_taker(program->shares, round, program->calls[walk->call].body->tile_count, worker);
  int64_t tile, done = 0;
  if (!leat_run_take(&taker, &tile)) return;
  const leat_run_turn_t turn = leat_run_turn(program, walk, worker);
  do {
    run_tile(program, &turn, tile, worker);
    done++;
  } while (leat_run_take(&taker, &tile));
  leat_run_count_add(leat_run_shares_done(program->shares), (uint64_t)done);
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

// Where a worker is: all reckon alike what has been begun before a call.
typedef struct exec_worker_s {
  uint32_t index;
  exec_pending_t pending;
  uint64_t rounds, wanted;
} exec_worker_t;

static void run_call(const exec_job_t *job, const leat_walk_t *walk, exec_worker_t *w, bool barrier) {
  const leat_run_call_t *call = &job->program->calls[walk->call];
  if (job->alone) {
    run_alone(job, walk);
    return;
  }
  leat_run_count_t *done = leat_run_shares_done(job->program->shares);
  const bool alone = w->pending.alone;
  if (must_meet(&w->pending, call, barrier)) {
    if (alone && w->index == 0) leat_run_count_add(done, 1);
    w->wanted += alone;
    leat_run_threads_await(job->program->pool, w->index, done, w->wanted);
  }
  if (call->shared) {
    run_share(job->program, walk, w->index, ++w->rounds);
    w->wanted += (uint64_t)call->body->tile_count;
  } else if (w->index == 0) {
    run_alone(job, walk);
  }
}

static void walk_calls(const exec_job_t *job, exec_worker_t *w) {
  bool barrier = false;  // of this call and of those left out before it: later calls rely on them as well
  for (leat_walk_t walk = job->start; leat_walk_next(&walk) && walk.call < job->end;) {
    const leat_run_call_t *call = &job->program->calls[walk.call];
    if (!job->once && leave_alone(job, &walk, w->index)) continue;
    barrier |= call->barrier;
    if (!leat_run_asks(job->types, job->whens, call)) {
      const leat_run_loop_t *loop = leat_run_pass_by(job->program, &walk, job->types);
      barrier |= loop != NULL && loop->barrier;
      continue;
    }
    run_call(job, &walk, w, barrier);
    barrier = false;
    if (job->once) return;
  }
}

// Worker 0 ends the run: with it all is done.
static void run_worker(void *context, uint32_t worker) {
  const exec_job_t *job = context;
  exec_worker_t w = {.index = worker, .rounds = job->rounds, .wanted = job->wanted};
  walk_calls(job, &w);
  if (worker != 0 || job->alone) return;
  leat_run_threads_await(job->program->pool, 0, leat_run_shares_done(job->program->shares), w.wanted);
  job->program->rounds = w.rounds;
  job->program->wanted = w.wanted;
}

static double estimate(const leat_program_t *program, uint32_t types) {
  double seconds = 0;
  for (uint32_t t = 0; t < PEF_TYPE_COUNT; t++) seconds += types >> t & 1 ? program->type_seconds[t] : 0;
  return seconds;
}

static void run_job(exec_job_t *job) {
  leat_program_t *program = job->program;
  job->alone = program->pool == NULL || !leat_run_is_worth_waking(program, estimate(program, job->types));
  if (job->alone) {
    run_worker(job, 0);
    return;
  }
  job->rounds = program->rounds;
  job->wanted = program->wanted;
  leat_run_threads_run_early(program->pool, run_worker, job, sizeof *job);
}

// Says of the run what may be another's when a worker gets there late.
static exec_job_t job_of(leat_program_t *program, uint32_t types, leat_walk_t start, uint32_t end) {
  return (exec_job_t){.program = program, .types = types, .whens = program->whens, .start = start, .end = end};
}

// One job a call and trip, so that its time is its own.
static void run_profiled(leat_program_t *program, uint32_t types, leat_walk_t start, uint32_t end) {
  exec_job_t job = job_of(program, types, start, end);
  job.once = true;
  for (leat_walk_t walk = start; leat_walk_next(&walk) && walk.call < end; job.start = walk) {
    if (!leat_run_asks(types, job.whens, &program->calls[walk.call])) {
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
    exec_job_t job = job_of(program, types, start, end);
    run_job(&job);
  }
}

static void run_types(leat_program_t *program, uint32_t types) {
  run_calls(program, types, 0, program->pef->call_count);
}

static void prepare_if_stale(leat_program_t *program) {
  if (!leat_run_is_stale(program)) {
    if (program->has_prepare) leat_run_page_out(program);
    return;
  }
  program->quiet_runs = 0;
  leat_run_symbols_follow(program);
  if (program->has_prepare) run_types(program, 1u << PEF_PREPARE);
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
