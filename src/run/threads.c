// SPDX-License-Identifier: Apache-2.0
// Threads and jobs on a few words of memory; the kernel is asked only by who has waited long.
#include "run/threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { YIELD_ROUNDS = 2, PATIENCE_DIVISOR = 8 };
#define GATE_OPEN (1u << 31)

typedef struct thread_worker_s {
  _Alignas(BLOCKS_LINE) struct leat_run_threads_s *pool;
  pthread_t thread;
  uint32_t index;
  uint32_t patience;                                         // rounds that it spins before it sleeps
  uint64_t seen;                                             // the epoch that it does not wait for
  _Alignas(BLOCKS_LINE) char context[LEAT_RUN_CONTEXT_MAX];  // of the job that it has
} thread_worker_t;

struct leat_run_threads_s {
  leat_run_count_t epoch;                       // one up: there is a job (or `stop`)
  leat_run_count_t told;                        // workers that know their job
  leat_run_count_t ended;                       // those that have ended one that all have to
  _Alignas(BLOCKS_LINE) _Atomic uint32_t gate;  // GATE_OPEN: there is a job to have; and how many have come for it
  uint64_t number;                              // the epoch of the job
  leat_run_job_t job;
  const void *context;
  size_t context_bytes;
  _Atomic bool stop;
  bool crowded;  // more workers than CPUs
  uint32_t spin_rounds;
  uint32_t wanted, count;    // workers with the caller
  pid_t owner;               // process whose threads these are
  thread_worker_t *workers;  // the first one is the caller
};

static void pause_briefly(void) { __builtin_ia32_pause(); }

// --- counts ----------------------------------------------------------------------------------------------------

// The kernel compares half of the count: the lower one.
static void *futex_of(leat_run_count_t *count) { return (void *)&count->value; }

void leat_run_count_add(leat_run_count_t *count, uint64_t n) {
  atomic_fetch_add(&count->value, n);
  if (atomic_load(&count->sleepers) != 0)
    syscall(SYS_futex, futex_of(count), FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static bool spin(const leat_run_threads_t *pool, uint32_t rounds, leat_run_count_t *count, uint64_t least) {
  for (uint32_t i = 0; i < rounds; i++) {
    if (atomic_load_explicit(&count->value, memory_order_acquire) >= least) return true;
    if (pool->crowded) {
      sched_yield();
    } else {
      pause_briefly();
    }
  }
  return false;
}

static void sleep_until(leat_run_count_t *count, uint64_t least) {
  atomic_fetch_add(&count->sleepers, 1);
  for (uint64_t value; (value = atomic_load(&count->value)) < least;) {
    syscall(SYS_futex, futex_of(count), FUTEX_WAIT_PRIVATE, (uint32_t)value, NULL, NULL, 0);  // not if it has changed
  }
  atomic_fetch_sub(&count->sleepers, 1);
}

// Spins first; not where there are more workers than CPUs: there the one that is waited for needs the CPU. Who spun in
// vain spins less the next time: others are at work on these CPUs, and the one that is waited for does not run.
void leat_run_threads_await(leat_run_threads_t *pool, uint32_t worker, leat_run_count_t *count, uint64_t least) {
  uint32_t *patience = &pool->workers[worker].patience;
  const uint32_t most = pool->crowded ? YIELD_ROUNDS : pool->spin_rounds;
  if (spin(pool, *patience < most ? *patience : most, count, least)) {
    *patience = *patience < most / 2 ? *patience * 2 : most;
    return;
  }
  *patience = *patience / 2 > most / PATIENCE_DIVISOR ? *patience / 2 : most / PATIENCE_DIVISOR + 1;
  sleep_until(count, least);
}

// --- workers ---------------------------------------------------------------------------------------------------

static bool enter_gate(leat_run_threads_t *pool) {
  uint32_t gate = atomic_load(&pool->gate);
  while ((gate & GATE_OPEN) != 0) {
    if (atomic_compare_exchange_weak(&pool->gate, &gate, gate + 1)) return true;
  }
  return false;
}

// The job that can be had; NULL: none any more. While the worker is at it the caller does not go on to the next one.
static leat_run_job_t take_job(thread_worker_t *worker) {
  leat_run_threads_t *pool = worker->pool;
  worker->seen++;
  if (!enter_gate(pool)) return NULL;
  const leat_run_job_t job = pool->job;
  memcpy(worker->context, pool->context, pool->context_bytes);
  worker->seen = pool->number;
  leat_run_count_add(&pool->told, 1);
  return job;
}

static void *work(void *argument) {
  thread_worker_t *worker = argument;
  leat_run_threads_t *pool = worker->pool;
  for (;;) {
    leat_run_threads_await(pool, worker->index, &pool->epoch, worker->seen + 1);
    if (atomic_load(&pool->stop)) return NULL;
    const leat_run_job_t job = take_job(worker);
    if (job != NULL) job(worker->context, worker->index);
  }
}

// Signals go to the threads of the program that uses the library.
static void start_threads(leat_run_threads_t *pool) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pool->count = 1;
  pool->owner = getpid();
  for (uint32_t w = 1; w < pool->wanted; w++) {
    if (pthread_create(&pool->workers[w].thread, NULL, work, &pool->workers[w]) != 0) break;
    pool->count++;
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

// Before threads start: none sleeps, or is at a job.
static void reset(leat_run_threads_t *pool) {
  atomic_store(&pool->epoch.sleepers, 0);
  atomic_store(&pool->gate, 0);
  for (uint32_t w = 0; w < pool->wanted; w++) {
    thread_worker_t *worker = &pool->workers[w];
    worker->pool = pool;
    worker->index = w;
    worker->patience = pool->spin_rounds;
    worker->seen = atomic_load(&pool->epoch.value);
  }
}

leat_status_t leat_run_threads_create(uint32_t count, uint32_t spin_rounds, leat_run_threads_t **out_pool) {
  leat_run_threads_t *pool = leat_alloc_zero(1, sizeof *pool);
  thread_worker_t *workers = leat_alloc_zero(count, sizeof *workers);
  if (pool == NULL || workers == NULL) {
    leat_free(pool), leat_free(workers);
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %u threads", count);
  }
  pool->wanted = count;
  pool->spin_rounds = spin_rounds;
  pool->crowded = count > leat_run_cpu_count();
  pool->workers = workers;
  reset(pool);
  start_threads(pool);
  *out_pool = pool;
  return NULL;
}

void leat_run_threads_destroy(leat_run_threads_t *pool) {
  if (pool == NULL) return;
  if (pool->owner == getpid()) {  // after a fork the threads are the parent's
    atomic_store(&pool->stop, true);
    leat_run_count_add(&pool->epoch, 1);
    for (uint32_t w = 1; w < pool->count; w++) pthread_join(pool->workers[w].thread, NULL);
  }
  leat_free(pool->workers);
  leat_free(pool);
}

uint32_t leat_run_threads_count(const leat_run_threads_t *pool) { return pool->count; }

// --- jobs ------------------------------------------------------------------------------------------------------

static void open_gate(leat_run_threads_t *pool, leat_run_job_t job, const void *context, size_t context_bytes) {
  if (pool->owner != getpid()) {
    reset(pool);
    start_threads(pool);
  }
  pool->number = atomic_load(&pool->epoch.value) + 1;
  pool->job = job;
  pool->context = context;
  pool->context_bytes = context_bytes;
  atomic_store(&pool->gate, GATE_OPEN);
  leat_run_count_add(&pool->epoch, 1);
}

// Returns when all who have come know their job: nobody reads the pool's any more.
static void close_gate(leat_run_threads_t *pool, uint64_t told) {
  const uint32_t came = atomic_exchange(&pool->gate, 0) & ~GATE_OPEN;
  leat_run_threads_await(pool, 0, &pool->told, told + came);
}

void leat_run_threads_run_early(leat_run_threads_t *pool, leat_run_job_t job, const void *context,
                                size_t context_bytes) {
  assert(context_bytes <= LEAT_RUN_CONTEXT_MAX);
  const uint64_t told = atomic_load(&pool->told.value);
  char *own = pool->workers[0].context;
  memcpy(own, context, context_bytes);
  open_gate(pool, job, context, context_bytes);
  job(own, 0);
  close_gate(pool, told);
}

typedef struct all_s {
  leat_run_threads_t *pool;
  leat_run_job_t job;
  void *context;
} all_t;

static void run_and_tell(void *context, uint32_t worker) {
  const all_t *all = context;
  all->job(all->context, worker);
  leat_run_count_add(&all->pool->ended, 1);
}

void leat_run_threads_run(leat_run_threads_t *pool, leat_run_job_t job, void *context) {
  all_t all = {pool, job, context};
  const uint64_t told = atomic_load(&pool->told.value), ended = atomic_load(&pool->ended.value);
  open_gate(pool, run_and_tell, &all, sizeof all);
  run_and_tell(&all, 0);
  leat_run_threads_await(pool, 0, &pool->ended, ended + pool->count);
  close_gate(pool, told);
}
