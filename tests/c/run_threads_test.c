// SPDX-License-Identifier: Apache-2.0
// The thread pool: every worker runs a job once, barriers order writes, a child of fork gets its own threads. Meant to
// be run under the thread sanitizer as well.
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "run/threads.h"

enum { WORKERS = 4, ROUNDS = 200, SPIN_ROUNDS = 3000 };

typedef struct counters_s {
  leat_run_threads_t *pool;
  uint32_t workers;
  uint64_t value[WORKERS][8];  // one cache line each; written by its worker alone
  uint64_t failures[WORKERS];
} counters_t;

// Each round every worker writes, all meet, every worker reads the others' values, all meet.
static void job_rounds(void *context, uint32_t worker) {
  counters_t *c = context;
  for (uint64_t round = 1; round <= ROUNDS; round++) {
    c->value[worker][0]++;
    leat_run_threads_sync(c->pool);
    for (uint32_t w = 1; w < c->workers; w++) c->failures[worker] += c->value[w][0] != c->value[0][0];
    leat_run_threads_sync(c->pool);
  }
}

static uint64_t run_rounds(leat_run_threads_t *pool, uint32_t jobs) {
  counters_t *c = calloc(1, sizeof *c);
  c->pool = pool;
  c->workers = leat_run_threads_count(pool);
  for (uint32_t j = 0; j < jobs; j++) leat_run_threads_run(pool, job_rounds, c);
  uint64_t wrong = 0;
  for (uint32_t w = 0; w < c->workers; w++) wrong += c->failures[w] + (c->value[w][0] != (uint64_t)jobs * ROUNDS);
  free(c);
  return wrong;
}

static void test_rounds(void **state) {
  (void)state;
  for (uint32_t count = 1; count <= WORKERS; count++) {
    leat_run_threads_t *pool;
    assert_null(leat_run_threads_create(count, SPIN_ROUNDS, &pool));
    assert_int_equal(run_rounds(pool, 5), 0);
    leat_run_threads_destroy(pool);
  }
}

static void test_wakes_from_sleep(void **state) {
  (void)state;
  leat_run_threads_t *pool;
  assert_null(leat_run_threads_create(WORKERS, SPIN_ROUNDS, &pool));
  for (int i = 0; i < 3; i++) {
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);  // long enough for the workers to sleep
    assert_int_equal(run_rounds(pool, 1), 0);
  }
  leat_run_threads_destroy(pool);
}

__attribute__((unused)) static void test_fork(void **state) {
  (void)state;
  leat_run_threads_t *pool;
  assert_null(leat_run_threads_create(2, SPIN_ROUNDS, &pool));
  assert_int_equal(run_rounds(pool, 1), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    uint64_t wrong = run_rounds(pool, 2);
    leat_run_threads_destroy(pool);
    _exit(wrong == 0 ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_int_equal(run_rounds(pool, 1), 0);
  leat_run_threads_destroy(pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rounds),
      cmocka_unit_test(test_wakes_from_sleep),
#ifndef __SANITIZE_THREAD__  // it does not support threads after a fork
      cmocka_unit_test(test_fork),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
