// SPDX-License-Identifier: Apache-2.0
// Threads, jobs and barriers on three words of memory; the kernel is asked only by who has waited long.
#include "run/threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/blocks.h"

enum { YIELD_ROUNDS = 2 };

typedef struct thread_word_s {
  _Alignas(BLOCKS_LINE) _Atomic uint32_t value;
  _Atomic uint32_t sleepers;
} thread_word_t;

typedef struct thread_worker_s {
  struct leat_run_threads_s *pool;
  pthread_t thread;
  uint32_t index;
} thread_worker_t;

struct leat_run_threads_s {
  thread_word_t epoch;       // one up: there is a job (or `stop`)
  thread_word_t done;        // workers that have ended the job
  thread_word_t generation;  // of the barrier
  _Alignas(BLOCKS_LINE) _Atomic uint32_t arrived;
  leat_run_job_t job;
  void *context;
  bool stop;
  bool crowded;  // more workers than CPUs
  uint32_t spin_rounds;
  uint32_t wanted, count;    // workers with the caller
  pid_t owner;               // process whose threads these are
  thread_worker_t *workers;  // wanted - 1
};

static void pause_briefly(void) { __builtin_ia32_pause(); }

// Returns when the word is no longer `old`. Spins first; not where there are more workers than CPUs: there the one that
// is waited for needs the CPU.
static void wait_change(const leat_run_threads_t *pool, thread_word_t *word, uint32_t old) {
  for (uint32_t i = 0; i < (pool->crowded ? YIELD_ROUNDS : pool->spin_rounds); i++) {
    if (atomic_load_explicit(&word->value, memory_order_acquire) != old) return;
    if (pool->crowded) {
      sched_yield();
    } else {
      pause_briefly();
    }
  }
  atomic_fetch_add(&word->sleepers, 1);
  while (atomic_load(&word->value) == old) {
    syscall(SYS_futex, &word->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);  // returns at once if it has changed
  }
  atomic_fetch_sub(&word->sleepers, 1);
}

static void add_and_wake(thread_word_t *word) {
  atomic_fetch_add(&word->value, 1);
  if (atomic_load(&word->sleepers) != 0) syscall(SYS_futex, &word->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void *work(void *argument) {
  thread_worker_t *worker = argument;
  leat_run_threads_t *pool = worker->pool;
  uint32_t seen = 0;
  for (;;) {
    wait_change(pool, &pool->epoch, seen);
    seen++;
    if (pool->stop) return NULL;
    pool->job(pool->context, worker->index);
    add_and_wake(&pool->done);
  }
}

// Signals go to the threads of the program that uses the library.
static void start_threads(leat_run_threads_t *pool) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pool->count = 1;
  pool->owner = getpid();
  for (uint32_t w = 0; w + 1 < pool->wanted; w++) {
    thread_worker_t *worker = &pool->workers[w];
    worker->pool = pool;
    worker->index = w + 1;
    if (pthread_create(&worker->thread, NULL, work, worker) != 0) break;
    pool->count++;
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void reset(leat_run_threads_t *pool) {
  thread_word_t *const words[] = {&pool->epoch, &pool->done, &pool->generation};
  for (int i = 0; i < 3; i++) {
    atomic_store(&words[i]->value, 0);
    atomic_store(&words[i]->sleepers, 0);
  }
  atomic_store(&pool->arrived, 0);
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
    pool->stop = true;
    add_and_wake(&pool->epoch);
    for (uint32_t w = 0; w + 1 < pool->count; w++) pthread_join(pool->workers[w].thread, NULL);
  }
  leat_free(pool->workers);
  leat_free(pool);
}

uint32_t leat_run_threads_count(const leat_run_threads_t *pool) { return pool->count; }

void leat_run_threads_run(leat_run_threads_t *pool, leat_run_job_t job, void *context) {
  if (pool->owner != getpid()) {
    reset(pool);
    start_threads(pool);
  }
  pool->job = job;
  pool->context = context;
  atomic_store(&pool->done.value, 0);
  add_and_wake(&pool->epoch);
  job(context, 0);
  for (;;) {
    uint32_t done = atomic_load_explicit(&pool->done.value, memory_order_acquire);
    if (done + 1 == pool->count) return;
    wait_change(pool, &pool->done, done);
  }
}

void leat_run_threads_sync(leat_run_threads_t *pool) {
  uint32_t generation = atomic_load(&pool->generation.value);
  if (atomic_fetch_add(&pool->arrived, 1) + 1 == pool->count) {
    atomic_store(&pool->arrived, 0);
    add_and_wake(&pool->generation);
  } else {
    wait_change(pool, &pool->generation, generation);
  }
}
