// SPDX-License-Identifier: Apache-2.0
// The thread pool: every worker runs a job once, waits order writes, a child of fork gets its own threads; shares:
// every tile is done once, and before what waits for it, whoever comes, and when. Meant to be run under the thread
// sanitizer as well.
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "run/shares.h"

enum { WORKERS = 4, ROUNDS = 200, SPIN_ROUNDS = 3000 };

typedef struct counters_s {
  leat_run_threads_t *pool;
  uint32_t workers;
  leat_run_count_t came;
  uint64_t value[WORKERS][8];  // one cache line each; written by its worker alone
  uint64_t failures[WORKERS];
} counters_t;

static void meet(counters_t *c, uint32_t worker, uint64_t wanted) {
  leat_run_count_add(&c->came, 1);
  leat_run_threads_await(c->pool, worker, &c->came, wanted);
}

// Each round every worker writes, all meet, every worker reads the others' values, all meet.
static void job_rounds(void *context, uint32_t worker) {
  counters_t *c = context;
  uint64_t wanted = c->value[worker][0] * 2 * c->workers;  // earlier jobs have met twice a round
  for (uint64_t round = 1; round <= ROUNDS; round++) {
    c->value[worker][0]++;
    meet(c, worker, wanted += c->workers);
    for (uint32_t w = 1; w < c->workers; w++) c->failures[worker] += c->value[w][0] != c->value[0][0];
    meet(c, worker, wanted += c->workers);
  }
}

static uint64_t run_rounds(leat_run_threads_t *pool, uint32_t jobs) {
  counters_t *c = aligned_alloc(64, sizeof *c);
  memset(c, 0, sizeof *c);
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

// --- shares ----------------------------------------------------------------------------------------------------

enum { JOBS = 30, CALLS = 40, TILES_MAX = 13 };

// A program of so many calls: each sums into its tiles what the call before has left, and a worker may come late.
typedef struct sums_s {
  leat_run_threads_t *pool;
  leat_run_shares_t *shares;
  uint64_t rounds, wanted;  // before the job
  uint64_t *out;            // they, behind it
  uint64_t *values;         // [CALLS + 1][TILES_MAX]
  uint32_t late;            // this worker is, a little
} sums_t;

static int64_t tiles_of(uint64_t call) { return 1 + (int64_t)(call * 7 % TILES_MAX); }

static void sum_tile(const sums_t *s, uint64_t call, int64_t tile) {
  const uint64_t *before = s->values + call * TILES_MAX;
  uint64_t sum = 1;
  for (int64_t t = 0; t < tiles_of(call - 1); t++) sum += before[t];
  s->values[(call + 1) * TILES_MAX + (uint64_t)tile] += sum;
}

static void sum_all(void *context, uint32_t worker) {
  sums_t *s = context;
  leat_run_count_t *done = leat_run_shares_done(s->shares);
  for (uint64_t call = 1; call < CALLS; call++) {
    if (worker == s->late && call % 8 == 0) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    leat_run_threads_await(s->pool, worker, done, s->wanted);
    leat_run_taker_t taker = leat_run_taker(s->shares, ++s->rounds, tiles_of(call), worker);
    uint64_t taken = 0;
    for (int64_t tile; leat_run_take(&taker, &tile); taken++) sum_tile(s, call, tile);
    leat_run_count_add(done, taken);
    s->wanted += (uint64_t)tiles_of(call);
  }
  if (worker != 0) return;
  leat_run_threads_await(s->pool, 0, done, s->wanted);
  s->out[0] = s->rounds;
  s->out[1] = s->wanted;
}

// What the values are after a job, on one worker.
static void sum_plainly(uint64_t *values) {
  const sums_t s = {.values = values};
  for (uint64_t call = 1; call < CALLS; call++)
    for (int64_t tile = 0; tile < tiles_of(call); tile++) sum_tile(&s, call, tile);
}

static void test_shares(void **state) {
  (void)state;
  for (uint32_t count = 1; count <= WORKERS; count++) {
    uint64_t values[(CALLS + 1) * TILES_MAX] = {0}, expected[(CALLS + 1) * TILES_MAX] = {0};
    uint64_t behind[2] = {0};
    sums_t s = {.values = values, .out = behind};
    assert_null(leat_run_threads_create(count, SPIN_ROUNDS, &s.pool));
    assert_null(leat_run_shares_create(leat_run_threads_count(s.pool), &s.shares));
    for (uint32_t job = 0; job < JOBS; job++) {
      s.late = job % (count + 1);
      leat_run_threads_run_early(s.pool, sum_all, &s, sizeof s);
      s.rounds = behind[0];
      s.wanted = behind[1];
      sum_plainly(expected);
      assert_memory_equal(values, expected, sizeof values);
    }
    leat_run_threads_destroy(s.pool);
    leat_run_shares_destroy(s.shares);
  }
}

// Nobody comes but one: it takes all, its own share first; a second one that comes afterwards finds nothing, also of
// rounds that are long past; and very many tiles are taken in pieces.
static void test_a_worker_that_never_comes(void **state) {
  (void)state;
  leat_run_shares_t *shares;
  int64_t tile;
  assert_null(leat_run_shares_create(3, &shares));
  for (uint64_t round = 1; round < 4; round++) {
    leat_run_taker_t taker = leat_run_taker(shares, round, 6, 1);
    static const int64_t order[] = {2, 3, 4, 5, 0, 1};
    for (int i = 0; i < 6; i++) assert_true(leat_run_take(&taker, &tile) && tile == order[i]);
    assert_false(leat_run_take(&taker, &tile));
  }
  for (uint64_t round = 1; round < 4; round++) {
    leat_run_taker_t late = leat_run_taker(shares, round, 6, 0);
    assert_false(leat_run_take(&late, &tile));
  }
  const int64_t many = 3 * 131072 - 3;  // the pieces of a share are as many as there can be
  leat_run_taker_t takers[] = {leat_run_taker(shares, 4, many, 0), leat_run_taker(shares, 4, many, 2)};
  int64_t sum = 0, taken = 0;
  for (bool more = true; more;) {
    more = false;
    for (int i = 0; i < 2; i++) {
      if (!leat_run_take(&takers[i], &tile)) continue;
      more = true;
      sum += tile;
      taken++;
    }
  }
  assert_int_equal(taken, many);
  assert_int_equal(sum, many * (many - 1) / 2);
  leat_run_shares_destroy(shares);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rounds), cmocka_unit_test(test_wakes_from_sleep),
      cmocka_unit_test(test_shares), cmocka_unit_test(test_a_worker_that_never_comes),
#ifndef __SANITIZE_THREAD__  // it does not support threads after a fork
      cmocka_unit_test(test_fork),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
