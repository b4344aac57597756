// SPDX-License-Identifier: Apache-2.0
// A pool of threads that work on one job together. Waiting spins a while, then sleeps in the kernel, so that a meeting
// inside a job costs a fraction of a microsecond and an idle program costs nothing.
//
// Thread rule: one job at a time, from one thread at a time. After a fork the child's first job starts new threads.
#ifndef LEAT_RUN_THREADS_H_
#define LEAT_RUN_THREADS_H_

#include <stdatomic.h>

#include "arch/blocks.h"
#include "base/base.h"

typedef struct leat_run_threads_s leat_run_threads_t;
typedef void (*leat_run_job_t)(void *context, uint32_t worker);

enum { LEAT_RUN_CONTEXT_MAX = 512 };

// A number that only grows, and for which workers wait.
typedef struct leat_run_count_s {
  _Alignas(BLOCKS_LINE) _Atomic uint64_t value;
  _Atomic uint32_t sleepers;
} leat_run_count_t;

// CPUs in the affinity mask, cut to the CPU quota of the control groups (v1 and v2) that the process is in; at least 1.
uint32_t leat_run_cpu_count(void);

// A pool of `count` workers, each of which spins so many rounds before it sleeps; the caller of a job is worker 0.
// Where the system refuses threads, fewer.
leat_status_t leat_run_threads_create(uint32_t count, uint32_t spin_rounds,
                                      leat_run_threads_t **out_pool) LEAT_MUST_USE;
void leat_run_threads_destroy(leat_run_threads_t *pool);
uint32_t leat_run_threads_count(const leat_run_threads_t *pool);

// Runs job(context, worker) once on every worker; returns when all have returned.
void leat_run_threads_run(leat_run_threads_t *pool, leat_run_job_t job, void *context);
// Runs it on the caller, and on those workers that come before the caller has returned, each with a copy of the
// context, of at most LEAT_RUN_CONTEXT_MAX bytes. Does not wait for them: what they still do then must be nothing that
// matters (shares.h).
void leat_run_threads_run_early(leat_run_threads_t *pool, leat_run_job_t job, const void *context,
                                size_t context_bytes);

// What was written before an addition is visible behind the wait that saw it.
void leat_run_count_add(leat_run_count_t *count, uint64_t n);
// Inside a job: returns when the count is at least this.
void leat_run_threads_await(leat_run_threads_t *pool, uint32_t worker, leat_run_count_t *count, uint64_t least);

#endif
